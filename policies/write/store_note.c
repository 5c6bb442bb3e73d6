/* SPDX-License-Identifier: MIT */
/* See store_note.h. */
#include "policies/write/store_note.h"
#include "cache/base/own_file.h"
#include "policies/write/internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { KEEP_US = 10000000, AHEAD_US = KEEP_US + KEEP_US / 2, PATH_SIZE = 4096 };

static bool path_of(const char *data, const char *backend, const char *rest, char ret_path[PATH_SIZE]) {
    int length = data ? snprintf(ret_path, PATH_SIZE, "%s/backend-%s.version%s", data, backend, rest) : -1;
    return length > 0 && length < PATH_SIZE;
}

bool store_note_find(const char *data, const char *backend, struct store_note *ret_note) {
    char path[PATH_SIZE];
    struct store_note note = *ret_note;
    FILE *file = path_of(data, backend, "", path) ? own_file_read(path) : NULL;
    if (!file)
        return false;
    bool found = fscanf(file, "high_version %" SCNu64 " versions_below %" SCNu64 " node %u", &note.version,
                        &note.below, &note.node) >= 1;
    if (found)
        *ret_note = note;
    fclose(file);
    return found;
}

void store_note_read(struct writer *writer) {
    writer->noted.node = writer->tier->options.cache.node;
    if (store_note_find(writer->tier->options.data, writer->backend->options.store.name, &writer->noted))
        writer->store_version = writer->noted.version;
    writer->backend->former_node = writer->noted.node;
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
    char path[PATH_SIZE], fresh[PATH_SIZE];
    const char *data = writer->tier->options.data, *name = writer->backend->options.store.name;
    struct store_note note = {writer->store_version, below, writer->backend->former_node};
    if (!path_of(data, name, "", path) || !path_of(data, name, ".new", fresh))
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
