/* SPDX-License-Identifier: MIT */
/*
 * A setting: its name in a configuration, how its text is read and within which bounds, what it is when nobody
 * says, where it goes, and what the manuals say of it. Whoever has settings keeps a table of them, ended by a row
 * without a name, beside the struct that they go to. server/config reads the texts; the defaults are in the tables alone,
 * and so is what `forebay --help=settings`, the manual pages and the tables of docs/operating.md show.
 */
#ifndef FOREBAY_CACHE_BASE_SETTING_H
#define FOREBAY_CACHE_BASE_SETTING_H

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

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset; /* of the member, in the struct that the table belongs to */
    uint64_t minimum, maximum;
    const char *const *words; /* ended by NULL */
    uint64_t standard;        /* the default, as the member holds it; WORD and NAME: position in words */
    const char *standard_text;
    unsigned need;     /* what it takes to mean something, as the owner of the table counts; 0: nothing */
    const char *about; /* for the manuals, in a line; `code` and [links](operating.md#so) are marked */
};

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

/* The same for all settings of a table. */
static inline void setting_set_defaults(const struct setting *settings, void *target) {
    for (; settings && settings->name; settings++)
        setting_set_default(settings, target);
}

#endif
