/* SPDX-License-Identifier: MIT */
/*
 * A setting: its name in a configuration, how its text is read and within which bounds, what it is when nobody
 * says, where it goes, and what the manuals say of it. Whoever has settings keeps a table of them, ended by a row
 * without a name, beside the struct that they go to. server/config reads the texts; the defaults are in the tables
 * alone, and so is what `forebay --help=settings`, the manual pages and the tables of docs/operating.md show.
 */
#ifndef FOREBAY_CACHE_BASE_SETTING_H
#define FOREBAY_CACHE_BASE_SETTING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum setting_type {
    SETTING_TEXT,         /* const char *; minimum 1: not empty */
    SETTING_WORD,         /* an enum: position in words */
    SETTING_NAME,         /* const char *: one of words */
    SETTING_SWITCH,       /* bool */
    SETTING_COUNT,        /* unsigned */
    SETTING_SIZE,         /* size_t, bytes */
    SETTING_MILLISECONDS, /* uint32_t */
    SETTING_SECONDS,      /* uint32_t; minimum and maximum are milliseconds; a part of a second is refused */
    SETTING_LIST,         /* several texts, read by whoever has the table */
};

/* Whether a reload of the configuration can change a setting. The member of one that it can is atomic, as it is read
 * while it changes; whoever fills a struct for itself need not mind that. */
enum setting_change {
    SETTING_UNCLASSED, /* nobody has thought about it: tests/unit/server/config/test_change.c fails */
    SETTING_LIVE,      /* changes while the server runs */
    SETTING_FIXED,     /* needs a restart */
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset; /* of the member, in the struct that the table belongs to */
    uint64_t minimum, maximum;
    const char *const *words; /* ended by NULL */
    uint64_t standard;        /* the default, as the member holds it; WORD and NAME: position in words */
    const char *standard_text;
    unsigned need; /* what it takes to mean something, as the owner of the table counts; 0: nothing */
    enum setting_change change;
    bool is_secret;    /* shown to nobody who does not ask for it */
    const char *about; /* for the manuals, in a line; `code` and [links](operating.md#so) are marked */
};

_Static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t) && sizeof(_Atomic bool) == sizeof(bool) &&
                   sizeof(_Atomic size_t) == sizeof(size_t) &&
                   sizeof(_Atomic(const char *)) == sizeof(const char *),
               "a table fills atomic members and others alike");

struct setting_table {
    const struct setting *settings; /* NULL: none */
    size_t size;                    /* of the struct that they go to */
};

/* NULL: the table has no such setting. settings may be NULL. */
static inline const struct setting *setting_find(const struct setting *settings, const char *name) {
    for (; settings && settings->name; settings++)
        if (strcmp(settings->name, name) == 0)
            return settings;
    return NULL;
}

/* Gives the member of target that the setting is for its default. */
static inline void setting_set_default(const struct setting *setting, void *target) {
    char *at = (char *)target + setting->offset;
    switch (setting->type) {
    case SETTING_TEXT:
        *(const char **)at = setting->standard_text;
        break;
    case SETTING_NAME:
        *(const char **)at = setting->words[setting->standard];
        break;
    case SETTING_WORD:
        *(int *)at = (int)setting->standard;
        break;
    case SETTING_SWITCH:
        *(bool *)at = setting->standard != 0;
        break;
    case SETTING_SIZE:
        *(size_t *)at = (size_t)setting->standard;
        break;
    case SETTING_COUNT:
    case SETTING_MILLISECONDS:
    case SETTING_SECONDS:
        *(uint32_t *)at = (uint32_t)setting->standard;
        break;
    case SETTING_LIST:
        break;
    }
}

static inline const char *setting_text(const struct setting *setting, const void *target) {
    const char *text = *(const char *const *)((const char *)target + setting->offset);
    return text ? text : "";
}

/* Whether two structs have the same value of it. Not for a LIST. */
static inline bool setting_is_equal(const struct setting *setting, const void *a, const void *b) {
    static const size_t sizes[] = {[SETTING_WORD] = sizeof(int),
                                   [SETTING_SWITCH] = sizeof(bool),
                                   [SETTING_COUNT] = sizeof(uint32_t),
                                   [SETTING_SIZE] = sizeof(size_t),
                                   [SETTING_MILLISECONDS] = sizeof(uint32_t),
                                   [SETTING_SECONDS] = sizeof(uint32_t)};
    if (setting->type == SETTING_LIST)
        return true;
    if (setting->type == SETTING_TEXT || setting->type == SETTING_NAME)
        return strcmp(setting_text(setting, a), setting_text(setting, b)) == 0;
    return memcmp((const char *)a + setting->offset, (const char *)b + setting->offset,
                  sizes[setting->type]) == 0;
}

/* Gives the member of `to`, which others read meanwhile, the value that it has in `from`. Not for a LIST. */
static inline void setting_take(const struct setting *setting, void *to, const void *from) {
    char *at = (char *)to + setting->offset;
    const char *value = (const char *)from + setting->offset;
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_NAME:
        atomic_store((_Atomic(const char *) *)(void *)at, *(const char *const *)(const void *)value);
        break;
    case SETTING_WORD:
        atomic_store((_Atomic int *)(void *)at, *(const int *)(const void *)value);
        break;
    case SETTING_SWITCH:
        atomic_store((_Atomic bool *)(void *)at, *(const bool *)(const void *)value);
        break;
    case SETTING_SIZE:
        atomic_store((_Atomic size_t *)(void *)at, *(const size_t *)(const void *)value);
        break;
    case SETTING_COUNT:
    case SETTING_MILLISECONDS:
    case SETTING_SECONDS:
        atomic_store((_Atomic uint32_t *)(void *)at, *(const uint32_t *)(const void *)value);
        break;
    case SETTING_LIST:
        break;
    }
}

/* Gives all members that a table is about their defaults. */
static inline void setting_set_defaults(const struct setting *settings, void *target) {
    for (; settings && settings->name; settings++)
        setting_set_default(settings, target);
}

#endif
