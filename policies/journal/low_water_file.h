/* SPDX-License-Identifier: MIT */
/*
 * The low-water versions, per namespace, and the file that holds them. By name: a version belongs to those
 * namespaces only that the process knew when it set it.
 *
 * One thread at a time. Functions that reach the disk leave the reason of a failure in errno.
 */
#ifndef FOREBAY_POLICIES_JOURNAL_LOW_WATER_FILE_H
#define FOREBAY_POLICIES_JOURNAL_LOW_WATER_FILE_H

#include "cache/base/slice.h"
#include "policies/journal/disk.h"
#include <stdbool.h>

struct low_water {
    struct slice space;
    uint64_t version;
    uint64_t mark; /* by which its store has all up to the version (journal_set_mark); 0: none is known */
    uint64_t forgotten; /* journal_forgotten */
};

/* A file of a series, by the numbers in its name. */
struct listed_file {
    unsigned series;
    uint64_t sequence;
};

struct low_waters {
    struct low_water *list; /* owns the names */
    size_t count;
    /* Those that are in use (listed.c), as many as there is room for; none: it is not known. */
    struct listed_file *files;
    size_t file_count;
    uint64_t serial; /* counts the writes */
    size_t on_disk;  /* bytes of a copy in the file that was read; 0: none was */
};

/* The entry of a namespace, or NULL. It is the list's. */
struct low_water *low_waters_find(struct low_waters *all, struct slice space);
/* Copies the name. False: no memory. */
bool low_waters_add(struct low_waters *all, struct slice space, uint64_t version);
void low_waters_free(struct low_waters *all);

/* Lists a file. False: there is no memory for it, or no room in the low-water file. */
bool low_waters_add_file(struct low_waters *all, unsigned series, uint64_t sequence);
bool low_waters_has_file(const struct low_waters *all, unsigned series, uint64_t sequence);

enum low_water_status {
    LOW_WATER_OK,
    LOW_WATER_ABSENT,  /* there is no such file */
    LOW_WATER_DAMAGED, /* neither copy passes its check */
    LOW_WATER_FAILED,  /* errno */
};

/* OK: *ret_all is filled in, for low_waters_free. */
enum low_water_status low_water_file_read(const struct journal_disk *disk, const char *folder,
                                          struct low_waters *ret_all);

/* Writes a new file that replaces the old one. Durable when it returns true. */
bool low_water_file_create(const struct journal_disk *disk, const char *folder, struct low_waters *all);

/* Do they fit into the file that was read? */
bool low_water_file_fits(const struct low_waters *all);

/* Writes the file in place, which needs no room on the disk. Durable when it returns true. */
bool low_water_file_update(const struct journal_disk *disk, const char *folder, struct low_waters *all);

#endif
