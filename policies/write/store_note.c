/* SPDX-License-Identifier: MIT */
/* See store_note.h. */
#include "policies/write/store_note.h"
#include "policies/write/internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { KEEP_US = 10000000 };

static bool path_of(const struct writer *writer, const char *rest, char *ret_path, size_t size) {
    const char *data = writer->tier->options.data;
    int length = data ? snprintf(ret_path, size, "%s/backend-%s.version%s", data,
                                 writer->backend->options.store.name, rest)
                      : -1;
    return length > 0 && (size_t)length < size;
}

void store_note_read(struct writer *writer) {
    char path[4096];
    uint64_t version = 0;
    FILE *file = path_of(writer, "", path, sizeof path) ? fopen(path, "re") : NULL;
    if (!file)
        return;
    if (fscanf(file, "high_version %" SCNu64, &version) == 1)
        writer->store_version = writer->noted_version = version;
    fclose(file);
}

static bool write_file(const char *path, uint64_t version) {
    FILE *file = fopen(path, "we");
    bool written = file && fprintf(file, "high_version %" PRIu64 "\n", version) > 0;
    return file && fclose(file) == 0 && written;
}

void store_note_write(struct writer *writer) {
    char path[4096], fresh[4096];
    if (writer->store_version == writer->noted_version || !path_of(writer, "", path, sizeof path) ||
        !path_of(writer, ".new", fresh, sizeof fresh))
        return;
    if (!write_file(fresh, writer->store_version) || rename(fresh, path) != 0)
        unlink(fresh);
    writer->noted_version = writer->store_version; /* tried; again when it has grown */
}

void store_note_keep(struct writer *writer, uint64_t now_us) {
    if (now_us - writer->noted_at_us < KEEP_US)
        return;
    writer->noted_at_us = now_us;
    store_note_write(writer);
}
