/* SPDX-License-Identifier: MIT */
/*
 * Messages for people in a room of fixed size. What is too long loses its middle: a sentence begins with the thing and
 * ends with what is wrong with it and what to do, and what makes it long is a path or an address between them.
 *
 *     backend "local", /srv/a/long/w ... ffe/store.db: disk I/O error
 *
 * Any thread.
 */
#ifndef FOREBAY_CACHE_BASE_FIT_H
#define FOREBAY_CACHE_BASE_FIT_H

#include <stdarg.h>
#include <stddef.h>

/* Copies the text, or its beginning and its end; no character of UTF-8 is halved. Returns the bytes that it has,
 * without the final zero. size is above 0. */
size_t fit_text(const char *text, char *ret_text, size_t size);

/* The same of what is printed, of which 16 KiB are looked at. It may print what lies in ret_text. */
__attribute__((format(printf, 3, 4))) size_t fit_print(char *ret_text, size_t size, const char *format, ...);
size_t fit_vprint(char *ret_text, size_t size, const char *format, va_list arguments);

#endif
