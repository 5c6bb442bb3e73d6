/* SPDX-License-Identifier: MIT */
/* See copy_note.h. */
#include "policies/write/copy_note.h"
#include "cache/base/own_file.h"
#include "policies/write/copy.h"
#include "policies/write/places.h"
#include <inttypes.h>
#include <stdlib.h>

enum { LINE_SIZE = 2 * BACKEND_PLACE_MAX + PLACES_WHERE_SIZE };

struct noted_copy {
    char from[PLACES_WHERE_SIZE], to[PLACES_WHERE_SIZE];
    unsigned stage;
    uint64_t rows, total, unreadable;
    unsigned doubt;
    char place[LINE_SIZE]; /* in hexadecimal digits */
};

static bool path_of(const struct tier_options *options, const char *name, const char *rest,
                    char ret_path[4096]) {
    return options->data && snprintf(ret_path, 4096, "%s/copy-%s%s", options->data, name, rest) < 4096;
}

/* ---- Reading ---- */

/* The rest of a line that begins with the word. */
static bool read_words(FILE *file, const char *word, char *ret_text, size_t size) {
    char line[LINE_SIZE];
    if (!fgets(line, sizeof line, file) || strncmp(line, word, strlen(word)) != 0)
        return false;
    line[strcspn(line, "\n")] = '\0';
    int length = snprintf(ret_text, size, "%s", line + strlen(word));
    return (size_t)length < size;
}

static bool read_file(const struct tier_options *options, const char *name, struct noted_copy *ret_noted) {
    char path[4096], numbers[200];
    FILE *file = path_of(options, name, "", path) ? own_file_read(path) : NULL;
    if (!file)
        return false;
    bool good = read_words(file, "from ", ret_noted->from, sizeof ret_noted->from) &&
                read_words(file, "to ", ret_noted->to, sizeof ret_noted->to) &&
                read_words(file, "stage ", numbers, sizeof numbers) &&
                sscanf(numbers, "%u rows %" SCNu64 " total %" SCNu64 " unreadable %" SCNu64 " doubt %u",
                       &ret_noted->stage, &ret_noted->rows, &ret_noted->total, &ret_noted->unreadable,
                       &ret_noted->doubt) == 5 &&
                read_words(file, "place ", ret_noted->place, sizeof ret_noted->place) &&
                ret_noted->stage <= COPY_HALTED;
    fclose(file);
    return good;
}

static bool read_place(const char *digits, struct backend_place *ret_place) {
    size_t size = strlen(digits) / 2;
    if (size > BACKEND_PLACE_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(digits + 2 * i, "%2x", &byte) != 1)
            return false;
        ret_place->bytes[i] = (char)byte;
    }
    ret_place->size = size;
    return true;
}

static void describe(const struct space *space, struct noted_copy *ret_noted) {
    const struct copy *copy = space->copy;
    places_describe(&space->backend->options.store, &space->options.table, ret_noted->from);
    places_describe(&copy->target->options.store, &copy->table, ret_noted->to);
}

bool copy_note_read(struct space *space) {
    struct copy *copy = space->copy;
    struct noted_copy now, before;
    struct backend_place place = {.size = 0};
    describe(space, &now);
    if (!read_file(&space->tier->options, space->options.name, &before) ||
        strcmp(now.from, before.from) != 0 || strcmp(now.to, before.to) != 0 ||
        !read_place(before.place, &place))
        return false;
    if (before.stage == COPY_WHOLE && before.doubt)
        return true; /* another round */
    atomic_store(&copy->rows, before.rows);
    atomic_store(&copy->total, before.total);
    atomic_store(&copy->unreadable, before.unreadable);
    copy->place = place;
    atomic_store(&copy->stage, (int)before.stage);
    copy->doubt = before.doubt;
    return true;
}

bool copy_note_is_whole(const struct tier_options *options, const char *name, const char *from,
                        const char *to) {
    struct noted_copy noted;
    return read_file(options, name, &noted) && noted.stage == COPY_WHOLE && strcmp(noted.from, from) == 0 &&
           strcmp(noted.to, to) == 0;
}

bool copy_note_is_partial(const struct tier_options *options, const char *name, const char *to,
                          uint64_t *ret_rows, uint64_t *ret_total) {
    struct noted_copy noted;
    if (!read_file(options, name, &noted) || noted.stage >= COPY_WHOLE || strcmp(noted.to, to) != 0)
        return false;
    *ret_rows = noted.rows;
    *ret_total = noted.total;
    return true;
}

/* ---- Writing ---- */

static bool write_file(const char *path, const struct space *space) {
    const struct copy *copy = space->copy;
    struct noted_copy noted;
    FILE *file = own_file_write(path);
    if (!file)
        return false;
    describe(space, &noted);
    fprintf(file,
            "from %s\nto %s\nstage %d rows %" PRIu64 " total %" PRIu64 " unreadable %" PRIu64
            " doubt %d\nplace ",
            noted.from, noted.to, atomic_load(&copy->stage), counted(&copy->rows), counted(&copy->total),
            counted(&copy->unreadable), copy->doubt || !copy->ended);
    for (size_t i = 0; i < copy->place.size; i++)
        fprintf(file, "%02x", (unsigned)(unsigned char)copy->place.bytes[i]);
    fputc('\n', file);
    bool good = !ferror(file);
    return fclose(file) == 0 && good;
}

bool copy_note_write(const struct space *space) {
    char path[4096], fresh[4096];
    const struct tier_options *options = &space->tier->options;
    if (!path_of(options, space->options.name, "", path) ||
        !path_of(options, space->options.name, ".new", fresh))
        return true;
    if (write_file(fresh, space) && rename(fresh, path) == 0)
        return true;
    int failure = errno;
    unlink(fresh);
    errno = failure;
    return false;
}

void copy_notes_clear(const struct tier *tier) {
    char path[4096];
    for (size_t i = 0; i < tier->space_count; i++)
        if (!tier->spaces[i].copy && path_of(&tier->options, tier->spaces[i].options.name, "", path))
            unlink(path);
}
