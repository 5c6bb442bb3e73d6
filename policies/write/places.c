/* SPDX-License-Identifier: MIT */
/* See places.h. */
#include "policies/write/places.h"
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/tell.h"
#include "policies/write/copy_note.h"
#include "policies/write/quarantine.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    NAME_SIZE = 128,
    WHERE_SIZE = PLACES_WHERE_SIZE,
    WHERE_SHOWN = 200, /* beside a path that is to be removed, which is told whole */
    LINE_SIZE = NAME_SIZE + ENTRY_KEY_MAX + WHERE_SIZE + 4,
    URI_MAX = 12 << 10, /* of a cluster it may name many nodes */
    KEPT_MAX = 1 << 10,
    PENDING_SHOWN = 2 * WHERE_SIZE + NAME_SIZE + 200,
    END_SHOWN = 285 /* of what is too long: its beginning, and its end */
};

struct place {
    char name[NAME_SIZE], prefix[ENTRY_KEY_MAX + 1];
    char where[WHERE_SIZE]; /* "": in memory alone */
};

struct places {
    struct place *list;
    size_t count;
};

/* ---- Now ---- */

/* One line of a file or a log, whatever an address holds. */
static void make_plain(char *text) {
    for (; *text; text++)
        if (iscntrl((unsigned char)*text))
            *text = '?';
}

/* Places are compared, so that two which differ in what has no room differ all the same: by a hash of the whole. */
static void shorten(const char *whole, char ret_where[PLACES_WHERE_SIZE]) {
    size_t length = strlen(whole);
    if (length < WHERE_SIZE)
        memcpy(ret_where, whole, length + 1);
    else
        snprintf(ret_where, WHERE_SIZE, "%.*s...%016" PRIx64 "...%s", (int)END_SHOWN, whole,
                 (uint64_t)XXH3_64bits(whole, length), whole + length - END_SHOWN);
}

void places_describe(const struct backend_options *store, const struct backend_table *table,
                     char ret_where[PLACES_WHERE_SIZE]) {
    char uri[URI_MAX], kept[KEPT_MAX], whole[URI_MAX + KEPT_MAX + 2];
    const struct backend_type *type = store->type ? store->type : backend_find(store->uri);
    backend_show_uri(store->uri, uri, sizeof uri);
    type->place(table, kept, sizeof kept);
    snprintf(whole, sizeof whole, "%s, %s", uri, kept);
    make_plain(whole);
    shorten(whole, ret_where);
}

static void describe(const struct tier_options *options, const struct space_options *space,
                     struct place *ret_place) {
    *ret_place = (struct place){0};
    snprintf(ret_place->name, sizeof ret_place->name, "%s", space->name);
    snprintf(ret_place->prefix, sizeof ret_place->prefix, "%s", space->prefix);
    if (space->backend < 0)
        return;
    struct backend_table table = space->table;
    table.name = table.name ? table.name : space->name;
    table.key_prefix = table.key_prefix ? table.key_prefix : space->prefix;
    places_describe(&options->backends[space->backend].store, &table, ret_place->where);
}

/* The namespace of all other keys is one of them, also if nobody has configured it. */
static bool list_configured(const struct tier_options *options, struct places *ret_places) {
    struct place *list = calloc(options->space_count + 1, sizeof *list);
    size_t count = list ? options->space_count : 0;
    bool has_default = false;
    for (size_t i = 0; i < count; i++) {
        describe(options, &options->spaces[i], &list[i]);
        has_default |= !*list[i].prefix;
    }
    if (list && !has_default)
        snprintf(list[count++].name, sizeof list->name, "%s", SPACE_DEFAULT_NAME);
    *ret_places = (struct places){list, count};
    return list != NULL;
}

static bool list_running(const struct tier *tier, struct places *ret_places) {
    struct place *list = calloc(tier->space_count, sizeof *list);
    size_t count = 0;
    for (size_t i = 0; list && i < tier->space_count; i++)
        if (!space_is_retired(&tier->spaces[i]))
            describe(&tier->options, &tier->spaces[i].options, &list[count++]);
    *ret_places = (struct places){list, count};
    return list != NULL;
}

/* ---- Before ---- */

static bool take_word(char **at, char *ret_word, size_t size) {
    char *end = *at + strcspn(*at, "\t\n");
    if (!*end || (size_t)(end - *at) >= size)
        return false;
    memcpy(ret_word, *at, (size_t)(end - *at));
    ret_word[end - *at] = '\0';
    *at = end + 1;
    return true;
}

static bool add_line(struct places *places, char *line) {
    struct place place;
    if (!take_word(&line, place.name, sizeof place.name) ||
        !take_word(&line, place.prefix, sizeof place.prefix) ||
        !take_word(&line, place.where, sizeof place.where))
        return true; /* not ours: nothing is known */
    struct place *longer = realloc(places->list, (places->count + 1) * sizeof *longer);
    if (!longer)
        return false;
    places->list = longer;
    places->list[places->count++] = place;
    return true;
}

static bool path_of(const struct tier_options *options, const char *ending, char ret_path[4096]) {
    return options->data && snprintf(ret_path, 4096, "%s/places%s", options->data, ending) < 4096;
}

static void read_before(const struct tier_options *options, struct places *ret_places) {
    char path[4096], line[LINE_SIZE];
    FILE *file = path_of(options, "", path) ? own_file_read(path) : NULL;
    *ret_places = (struct places){0};
    while (file && fgets(line, sizeof line, file) && add_line(ret_places, line))
        ;
    if (file)
        fclose(file);
}

static bool write_lines(FILE *file, const struct places *places) {
    for (size_t i = 0; i < places->count; i++)
        fprintf(file, "%s\t%s\t%s\n", places->list[i].name, places->list[i].prefix, places->list[i].where);
    bool good = !ferror(file);
    return fclose(file) == 0 && good;
}

static void write_now(const struct tier *tier, const struct places *places) {
    char path[4096], fresh[4096];
    if (!path_of(&tier->options, "", path) || !path_of(&tier->options, ".new", fresh))
        return;
    FILE *file = own_file_write(fresh);
    if (!file || !write_lines(file, places) || rename(fresh, path) != 0)
        service_log(
            &tier->service, LOG_LEVEL_WARNING,
            "%s: cannot be written: %s; if the configuration changes, the next start cannot say which rows are not seen any more",
            path, own_file_reason(errno).text);
}

/* ---- Telling ---- */

static const char *shown(const char *where) {
    return *where ? where : "memory alone";
}

/* The place of a key that is, or begins with, the prefix. */
static const struct place *owner_of(const struct places *places, const char *prefix) {
    const struct place *owner = NULL;
    for (size_t i = 0; i < places->count; i++) {
        size_t size = strlen(places->list[i].prefix);
        if (strncmp(prefix, places->list[i].prefix, size) == 0 && (!owner || size > strlen(owner->prefix)))
            owner = &places->list[i];
    }
    return owner;
}

/* What was in the old place is in the new one, too. */
static bool was_copied(const struct tier_options *options, const struct place *old, const struct place *new) {
    return strcmp(old->name, new->name) == 0 &&
           copy_note_is_whole(options, new->name, old->where, new->where);
}

/* One kind of store, and the same names in it: an address may have changed and the store not. */
static bool may_be_one(const struct place *old, const struct place *new) {
    const char *kept = strstr(old->where, ", "), *keeps = strstr(new->where, ", ");
    return kept && keeps && strcmp(kept, keeps) == 0 && backend_find(old->where) == backend_find(new->where);
}

static void tell_prefix(const struct service *service, const struct tier_options *options,
                        const struct places *before, const struct places *now, const char *prefix) {
    const struct place *old = owner_of(before, prefix), *new = owner_of(now, prefix);
    if (!old || !new || !*old->where || strcmp(old->where, new->where) == 0)
        return;
    if (was_copied(options, old, new)) {
        service_log(service, LOG_LEVEL_NOTICE,
                    "keys \"%s*\" are kept by namespace %s in %s, where they were copied to from %s", prefix,
                    new->name, new->where, old->where);
        return;
    }
    service_log(
        service, LOG_LEVEL_WARNING,
        "keys \"%s*\" are kept by namespace %s in %s; before, by namespace %s in %s: what is there of such keys is not seen here%s",
        prefix, new->name, shown(new->where), old->name, old->where,
        may_be_one(old, new) ? ", unless both are one store by another address" : "");
}

static bool has_prefix(const struct places *places, const char *prefix) {
    const struct place *owner = owner_of(places, prefix);
    return owner && strcmp(owner->prefix, prefix) == 0;
}

static void tell(const struct service *service, const struct tier_options *options,
                 const struct places *now) {
    struct places before;
    read_before(options, &before);
    for (size_t i = 0; i < before.count; i++)
        tell_prefix(service, options, &before, now, before.list[i].prefix);
    for (size_t i = 0; i < now->count; i++)
        if (!has_prefix(&before, now->list[i].prefix))
            tell_prefix(service, options, &before, now, now->list[i].prefix);
    free(before.list);
}

static bool allow(const struct tier_options *options, const struct place *now, char *ret_error,
                  size_t error_size) {
    uint64_t rows, total;
    char where[WHERE_SHOWN];
    if (!copy_note_is_partial(options, now->name, now->where, &rows, &total))
        return true;
    fit_text(now->where, where, sizeof where);
    fit_print(
        ret_error, error_size,
        "namespace \"%s\": its copy to %s is not complete (%" PRIu64 " of %" PRIu64
        " rows): give it backend and copy_to as before until the log says that it is; or, to do without what is in the old place, remove %s/copy-%s",
        now->name, where, rows, total, options->data, now->name);
    return false;
}

bool places_allow(const struct tier_options *options, char *ret_error, size_t error_size) {
    struct places now;
    if (!options->data || !list_configured(options, &now))
        return true;
    bool allowed = true;
    for (size_t i = 0; i < now.count && allowed; i++)
        allowed = allow(options, &now.list[i], ret_error, error_size);
    free(now.list);
    return allowed;
}

void places_tell(const struct service *service, const struct tier_options *options) {
    struct places now;
    if (!options->data || !list_configured(options, &now))
        return;
    tell(service, options, &now);
    free(now.list);
}

void places_note(struct tier *tier) {
    struct places now;
    if (!tier->options.data || !list_running(tier, &now))
        return;
    tell(&tier->service, &tier->options, &now);
    write_now(tier, &now);
    free(now.list);
}

/* False: they go where they were made for. */
static bool describe_pending(const struct tier_options *options, const struct space_options *space,
                             const struct places *before, uint64_t pending, char *ret_text, size_t size) {
    struct place now;
    describe(options, space, &now);
    for (size_t i = 0; pending && i < before->count; i++)
        if (strcmp(before->list[i].name, now.name) == 0 && strcmp(before->list[i].where, now.where) != 0 &&
            !was_copied(options, &before->list[i], &now)) {
            fit_print(ret_text, size, "namespace %s: %s made for %s, not written yet, will go to %s",
                      now.name, count_text(pending, "change", "changes").text, shown(before->list[i].where),
                      now.where);
            return true;
        }
    return false;
}

static void tell_pending(const struct space *space, const struct places *before) {
    char text[PENDING_SHOWN];
    size_t pending =
        cache_dirty_entries(space->tier->cache, space->number) + quarantine_count(space->quarantine);
    if (describe_pending(&space->tier->options, &space->options, before, pending, text, sizeof text))
        tell_of_space(space, NULL, LOG_LEVEL_WARNING, "%s", text);
}

bool places_describe_pending(const struct tier_options *options, const struct space_options *space,
                             uint64_t pending, char *ret_text, size_t size) {
    struct places before;
    read_before(options, &before);
    bool elsewhere = describe_pending(options, space, &before, pending, ret_text, size);
    free(before.list);
    return elsewhere;
}

void places_tell_pending(struct tier *tier) {
    struct places before;
    read_before(&tier->options, &before);
    for (size_t i = 0; i < tier->space_count; i++)
        if (tier->spaces[i].policy->holds_back)
            tell_pending(&tier->spaces[i], &before);
    free(before.list);
}
