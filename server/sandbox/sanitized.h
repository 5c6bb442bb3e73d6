/* SPDX-License-Identifier: MIT */
/* Whether this build is one with ASan or TSan, which trace their own threads and read files for a report. gcc has
 * macros for that, clang features. */
#ifndef FOREBAY_SERVER_SANDBOX_SANITIZED_H
#define FOREBAY_SERVER_SANDBOX_SANITIZED_H

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FOREBAY_IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FOREBAY_IS_SANITIZED true
#endif
#endif

#ifdef FOREBAY_IS_SANITIZED
enum { IS_SANITIZED = true };
#else
enum { IS_SANITIZED = false };
#endif

#endif
