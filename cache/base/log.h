/* SPDX-License-Identifier: MIT */
/*
 * A line for the operator: how weighty it is, and what it is about, for whoever reads lines by program. The program
 * decides where lines go, and in which form (tier_options.log).
 */
#ifndef FOREBAY_CACHE_BASE_LOG_H
#define FOREBAY_CACHE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,   /* somebody has to act */
    LOG_LEVEL_WARNING, /* something failed and is being retried, or was refused */
    LOG_LEVEL_NOTICE,  /* starts, stops, recoveries */
    LOG_LEVEL_DEBUG,   /* -v and more */
};

/* What a line is about: "namespace", "sessions". Names are lower-case words with `_`, the same for the same thing in
 * all lines. Never a value of an entry, and never a key except in debug lines. */
struct log_field {
    const char *name; /* NULL: the end of a list */
    const char *text; /* of a number: NULL */
    uint64_t number;
    bool is_number;
};

/* A text that is NULL is left out of the line. */
static inline struct log_field log_text(const char *name, const char *text) {
    return (struct log_field){.name = name, .text = text};
}

static inline struct log_field log_number(const char *name, uint64_t number) {
    return (struct log_field){.name = name, .number = number, .is_number = true};
}

/* A list of them, as long as the block that it stands in. */
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.name = NULL}})

#endif
