/* SPDX-License-Identifier: MIT */
/* See store_note.h. */
#include "policies/write/store_note.h"
#include "cache/base/own_file.h"
#include "policies/write/internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { KEEP_US = 10000000, AHEAD_US = KEEP_US + KEEP_US / 2 };

static bool path_of(const struct writer *writer, const char *rest, char *ret_path, size_t size) {
    const char *data = writer->tier->options.data;
    int length = data ? snprintf(ret_path, size, "%s/backend-%s.version%s", data,
                                 writer->backend->options.store.name, rest)
                      : -1;
    return length > 0 && (size_t)length < size;
}

void store_note_read(struct writer *writer) {
    char path[4096];
    unsigned node = writer->tier->options.cache.node;
    struct store_note note = {.node = node};
    FILE *file = path_of(writer, "", path, sizeof path) ? own_file_read(path) : NULL;
    writer->noted.node = writer->backend->former_node = node;
    if (!file)
        return;
    if (fscanf(file, "high_version %" SCNu64 " versions_below %" SCNu64 " node %u", &note.version,
               &note.below, &note.node) >= 1) {
        writer->noted = note;
        writer->store_version = note.version;
        writer->backend->former_node = note.node;
    }
    fclose(file);
}

bool store_note_begins_above(struct writer *writer) {
    uint64_t last = writer->noted.below > writer->noted.version ? writer->noted.below : writer->noted.version;
    return cache_raise_version(writer->tier->cache, last);
}

static bool write_file(const char *path, const struct store_note *note) {
    FILE *file = own_file_write(path);
    bool written = file && fprintf(file, "high_version %" PRIu64 "\nversions_below %" PRIu64 "\nnode %u\n",
                                   note->version, note->below, note->node) > 0;
    return file && fclose(file) == 0 && written;
}

static void write_note(struct writer *writer, uint64_t below) {
    char path[4096], fresh[4096];
    struct store_note note = {writer->store_version, below, writer->backend->former_node};
    if (!path_of(writer, "", path, sizeof path) || !path_of(writer, ".new", fresh, sizeof fresh))
        return;
    enum progress_state before = progress_begin_call(&writer->progress);
    if (!write_file(fresh, &note) || rename(fresh, path) != 0)
        unlink(fresh);
    progress_end_call(&writer->progress, before);
    writer->noted = note; /* tried; again when it has grown */
}

static uint64_t some_way_above(uint64_t version) {
    return version_from_us(version_us(version) + AHEAD_US, 0);
}

void store_note_number(struct writer *writer) {
    unsigned node = writer->tier->options.cache.node;
    if (writer->backend->former_node == node)
        return;
    writer->backend->former_node = node;
    write_note(writer, writer->noted.below);
}

void store_note_keep(struct writer *writer, uint64_t now_us) {
    if (now_us - writer->noted_at_us < KEEP_US)
        return;
    writer->noted_at_us = now_us;
    if (writer->store_version != writer->noted.version)
        write_note(writer, some_way_above(writer->store_version));
}

void store_note_before(struct writer *writer, uint64_t version) {
    if (version > writer->tried_version)
        writer->tried_version = version;
    if (version >= writer->noted.below)
        write_note(writer, some_way_above(version));
}

void store_note_end(struct writer *writer) {
    uint64_t version = writer->store_version, tried = writer->tried_version; /* it may have arrived */
    struct store_note end = {.version = version, .below = version > tried ? version : tried};
    if (writer->reached && (end.version != writer->noted.version || end.below != writer->noted.below))
        write_note(writer, end.below);
}
