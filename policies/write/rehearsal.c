/* SPDX-License-Identifier: MIT */
#include "policies/write/rehearsal.h"
#include "cache/base/own_file.h"
#include "policies/journal/names.h"
#include "policies/policy.h"
#include "policies/service.h"
#include "policies/write/exposure.h"
#include "policies/write/leftover.h"
#include "policies/write/places.h"
#include "policies/write/regress.h"
#include "policies/write/store_note.h"
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PATH_SHOWN = 4096, URI_SHOWN = 300, ERROR_SHOWN = 400 };

/* ---- The data folder ---- */

/* Files that a start opens to go on writing to them, and does not replace. */
static const char *const kept_names[] = {"lock", "journal-", "quarantine-"};

static bool is_kept(const char *name) {
    size_t size = strlen(name);
    if (size > 4 && strcmp(name + size - 4, ".new") == 0) /* what was to take a file's place, and never did */
        return false;
    for (size_t i = 0; i < sizeof kept_names / sizeof *kept_names; i++)
        if (strncmp(name, kept_names[i], strlen(kept_names[i])) == 0)
            return true;
    return false;
}

/* What is no plain file is told with what earlier runs have left. */
static bool check_file(const char *folder, const char *name, FILE *complaints) {
    char path[PATH_SHOWN];
    struct stat status;
    if (!is_kept(name) || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path ||
        lstat(path, &status) != 0 || !S_ISREG(status.st_mode) || access(path, R_OK | W_OK) == 0)
        return true;
    fprintf(complaints, "forebay: %s cannot be opened by user %u: %s; chown -R the data folder to him\n",
            path, (unsigned)geteuid(), strerror(errno));
    return false;
}

static bool check_length(const struct tier_options *options, FILE *complaints) {
    if (!tier_wants_journal(options) || journal_folder_fits(options->data))
        return true;
    fprintf(complaints, "forebay: the data folder %s: its name is too long for a journal in it\n",
            options->data);
    return false;
}

static bool check_files(const char *folder, FILE *complaints) {
    DIR *stream = folder ? opendir(folder) : NULL;
    bool good = true;
    for (struct dirent *found; stream && (found = readdir(stream));)
        good = check_file(folder, found->d_name, complaints) && good;
    if (stream)
        closedir(stream);
    return good;
}

/* ---- Addresses ---- */

enum {
    THREADS_OF_BACKEND = 5, /* beside its readers: writer, preload, absent filter, patient reader, watcher */
    THREADS_BESIDE = 12     /* of journal, program, maintenance, admin HTTP */
};

/* ulimit -v: the cache takes them first, and what is left has to do for the stacks. */
static bool stacks_fit(const struct tier_options *options) {
    pthread_attr_t attributes;
    size_t stack = 0, threads = THREADS_BESIDE + options->workers;
    for (size_t i = 0; i < options->backend_count; i++)
        threads += THREADS_OF_BACKEND + options->backends[i].readers;
    if (pthread_getattr_default_np(&attributes) != 0)
        return true;
    pthread_attr_getstacksize(&attributes, &stack);
    pthread_attr_destroy(&attributes);
    size_t bytes = threads * stack;
    void *mapped = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mapped != MAP_FAILED && munmap(mapped, bytes) == 0;
}

static bool check_addresses(const struct tier_options *options, FILE *complaints) {
    struct cache *cache;
    char error[ERROR_SHOWN];
    if (!tier_create_cache(&options->cache, &cache, error, sizeof error)) {
        fprintf(complaints, "forebay: %s\n", error);
        return false;
    }
    bool fit = stacks_fit(options);
    cache_destroy(cache);
    if (!fit)
        fprintf(
            complaints,
            "forebay: no addresses for the stacks of all threads: lower -t (threads) or -m (memory), or raise ulimit -v\n");
    return fit;
}

/* ---- Backends ---- */

/* The tables of a backend, as the tier would list them. */
struct listing {
    struct backend_table *tables;
    const struct backend_table **list;
    unsigned count;
    bool writes; /* rows of one of them are written */
};

static void add_table(struct listing *listing, const struct backend_table *wanted) {
    struct backend_table *table = &listing->tables[listing->count];
    *table = *wanted;
    table->index = listing->count;
    listing->list[listing->count++] = table;
}

static bool list_tables(const struct tier_options *options, size_t backend, struct listing *ret_listing) {
    struct listing listing = {calloc(2 * options->space_count + 1, sizeof *listing.tables),
                              calloc(2 * options->space_count + 1, sizeof *listing.list), 0, false};
    bool good = listing.tables && listing.list;
    for (size_t i = 0; good && i < options->space_count; i++) {
        if (options->spaces[i].backend == (int)backend) {
            add_table(&listing, &options->spaces[i].table);
            listing.writes |= policy_writes_rows(options->spaces[i].policy);
        }
        if (options->spaces[i].copy_to == backend + 1) {
            add_table(&listing, &options->spaces[i].copy_table);
            listing.writes = true;
        }
    }
    *ret_listing = listing;
    return good;
}

/* What a start makes of a backend that does not answer. False: it cannot do without. */
static bool tell_away(const struct tier_options *options, size_t index, const char *message,
                      FILE *complaints) {
    const char *waits = "";
    if (leftovers_need(options, index)) {
        fprintf(complaints, "forebay: %s. --recover=flush has changes for it, and a start fails without it\n",
                message);
        return false;
    }
    for (size_t i = 0; i < options->space_count; i++)
        if (options->spaces[i].backend == (int)index && options->spaces[i].preload &&
            options->spaces[i].preload_wait)
            waits = " for its preload, and then";
    if (*waits)
        fprintf(complaints,
                "forebay: warning: %s. A start waits %d s%s serves without it, and goes on trying\n", message,
                PRELOAD_PATIENCE_MS / 1000, waits);
    else
        fprintf(complaints, "forebay: warning: %s. A start serves without it, and goes on trying\n", message);
    return true;
}

static bool tell(const struct tier_options *options, size_t index, enum backend_status status,
                 const char *message, FILE *notes, FILE *complaints) {
    const struct backend_options *store = &options->backends[index].store;
    char uri[URI_SHOWN];
    backend_show_uri(store->uri, uri, sizeof uri);
    if (status != BACKEND_OK && status != BACKEND_REFUSED)
        return tell_away(options, index, message, complaints);
    if (status == BACKEND_REFUSED)
        fprintf(complaints, "forebay: %s\n", message);
    else if (*message)
        fprintf(complaints, "forebay: warning: %s\n", message);
    if (status == BACKEND_OK)
        fprintf(notes, "backend \"%s\" (%s): ready\n", store->name, uri);
    return status == BACKEND_OK;
}

/* By what a start would compare it with; one that is hidden is above all. */
static void tell_older(const char *name, uint64_t version, uint64_t before, FILE *complaints) {
    char said[REGRESS_SENTENCE_MAX];
    if (version >= before)
        return;
    regress_say_older(
        name, version, before,
        "a start goes on with it, and what only the old one had is gone, except what the journal still has to write",
        said, sizeof said);
    fprintf(complaints, "forebay: warning: %s\n", said);
}

static void pass_over_key(struct backend_listener *self, const struct backend_table *table,
                          struct slice key) {
    (void)self, (void)table, (void)key;
}

static void pass_over(struct backend_listener *self) {
    (void)self;
}

/* Where others' changes cannot be heard, a start goes on all the same. */
static void listen_once(const struct backend_type *type, const struct backend_options *store,
                        FILE *complaints) {
    struct backend_listener listener = {.changed = pass_over_key, .lost = pass_over, .moved = pass_over};
    struct backend_connection *connection = NULL;
    struct backend_error error;
    uint64_t proven_us = 0;
    enum backend_status status = type->open(store, BACKEND_WATCHER, &connection, &error);
    if (status == BACKEND_OK)
        status = type->changes(connection, 0, &listener, &proven_us, &error);
    if (status != BACKEND_OK)
        fprintf(
            complaints,
            "forebay: warning: %s. Until that is allowed, memory is not believed, and reads go to the store\n",
            error.message);
    type->close(connection);
}

static bool ask(const struct tier_options *options, size_t index, long running, FILE *notes,
                FILE *complaints) {
    struct backend_options store = options->backends[index].store;
    const struct backend_type *type = store.type ? store.type : backend_find(store.uri);
    struct backend_error error = {"no memory"};
    enum backend_status status = BACKEND_REFUSED;
    uint64_t version = BACKEND_VERSION_HIDDEN;
    struct store_note note = {0};
    struct listing listing;
    store_note_find(options->data, store.name, &note); /* first, as a server may be writing to both */
    if (list_tables(options, index, &listing)) {
        store.tables = listing.list;
        store.table_count = listing.count;
        store.reads_only = !listing.writes;
        store.node = options->cache.node;
        store.running_pid = running;
        *error.message = '\0';
        status = type->probe(&store, &version, &error);
        if (status == BACKEND_OK && store.coherent)
            listen_once(type, &store, complaints);
    }
    free(listing.tables);
    free(listing.list);
    if (status == BACKEND_OK)
        tell_older(store.name, version, note.version, complaints);
    return tell(options, index, status, error.message, notes, complaints);
}

/* ---- The whole ---- */

static bool check_places(const struct tier_options *options, FILE *complaints) {
    char reason[PATH_SHOWN];
    bool allowed = places_allow(options, reason, sizeof reason);
    if (!allowed)
        fprintf(complaints, "forebay: %s\n", reason);
    return allowed;
}

static void on_log(void *context, enum log_level level, const struct log_field *fields, const char *message) {
    (void)fields;
    fprintf(context, "forebay: %s%s\n", level == LOG_LEVEL_WARNING ? "warning: " : "", message);
}

bool rehearse(const struct tier_options *options, bool asks_backends, long running, FILE *notes,
              FILE *complaints) {
    const struct service service = {.log = on_log, .context = complaints};
    bool good = check_addresses(options, complaints);
    good = check_length(options, complaints) && good;
    good = check_files(options->data, complaints) && good;
    good = leftovers_check(options, notes, complaints) && good;
    good = check_places(options, complaints) && good;
    for (size_t i = 0; asks_backends && i < options->backend_count; i++)
        good = ask(options, i, running, notes, complaints) && good;
    places_tell(&service, options);
    exposure_tell(&service, options);
    return good;
}
