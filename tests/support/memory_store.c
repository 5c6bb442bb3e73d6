/* SPDX-License-Identifier: MIT */
#include "tests/support/memory_store.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };

struct row {
    struct row *next;
    char *table;
    char *key;
    size_t key_size;
    bool deleted; /* only the version of the delete is left */
    struct entry entry;
    char *value;
};

struct memory_store {
    pthread_mutex_t lock;
    struct row *buckets[BUCKETS];
    struct memory_store_counts counts;
    bool forgets_deletes;
    bool is_faster; /* than whoever writes */
    bool tells_extent;
    uint64_t foreign; /* rows that the test has written */
    char uri[40];
};

struct connection {
    struct backend_connection base;
    struct memory_store *store;
    void **held; /* copies handed out by load, until the next call */
    size_t held_count;
};

/* ---- Rows ---- */

static struct row **find(struct memory_store *store, const char *table, struct slice key) {
    uint32_t hash = 5381;
    for (size_t i = 0; i < key.size; i++)
        hash = hash * 33 + (unsigned char)key.data[i];
    struct row **at = &store->buckets[hash % BUCKETS];
    while (*at && !((*at)->key_size == key.size && memcmp((*at)->key, key.data, key.size) == 0 &&
                    strcmp((*at)->table, table) == 0))
        at = &(*at)->next;
    return at;
}

static void *copy_of(const void *data, size_t size) {
    char *copy = malloc(size + 1);
    assert(copy);
    if (size)
        memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

static struct row *row_of(struct memory_store *store, const char *table, struct slice key) {
    struct row **at = find(store, table, key);
    struct row *row = *at;
    if (row)
        return row;
    row = calloc(1, sizeof *row);
    assert(row);
    row->table = copy_of(table, strlen(table));
    row->key = copy_of(key.data, key.size);
    row->key_size = key.size;
    row->deleted = true;
    *at = row;
    return row;
}

static void set_row(struct row *row, const struct entry *entry) {
    free(row->value);
    row->value = copy_of(entry->value.data, entry->value.size);
    row->entry = *entry;
    row->entry.key = slice_of(row->key, row->key_size);
    row->entry.value = slice_of(row->value, entry->value.size);
    row->deleted = false;
}

static bool is_alive(const struct row *row, uint32_t now) {
    return !row->deleted && (!row->entry.expires_at || row->entry.expires_at > now);
}

/* How much newer the value of the row is than what is touched: below, at or above 0. */
static int meets(const struct row *row, const struct mutation *mutation) {
    uint64_t cas = row->entry.client_cas && !row->deleted ? row->entry.client_cas : row->entry.version;
    if (mutation->kind != MUTATION_TOUCH || !row->entry.version || cas == mutation->entry.client_cas)
        return 0;
    return cas > mutation->entry.client_cas ? 1 : -1;
}

static bool is_on(const struct row *row, const struct mutation *mutation, uint32_t now) {
    if (row->entry.version == mutation->entry.version)
        return true;
    if (!mutation->on)
        return meets(row, mutation) <= 0;
    if (!is_alive(row, now))
        return mutation->on & MUTATION_ON_ABSENCE;
    if (mutation->on & MUTATION_ON_CAS)
        return meets(row, mutation) == 0;
    return mutation->on & MUTATION_ON_VERSION &&
           (!row->entry.version || row->entry.version == mutation->base);
}

/* Only the expiry of the row changes. */
static bool keeps_value(const struct row *row, const struct mutation *mutation, uint32_t now) {
    return mutation->kind == MUTATION_TOUCH && !row->deleted && (!mutation->on || is_alive(row, now)) &&
           meets(row, mutation) == 0;
}

static void apply_one(struct memory_store *store, struct mutation *mutation, uint32_t now) {
    struct row *row = row_of(store, mutation->table->name, mutation->entry.key);
    uint64_t version = mutation->entry.version;
    bool deletes = mutation->kind == MUTATION_DELETE;
    row->entry.version += store->is_faster; /* of another node's number */
    mutation->attempts++;
    mutation->superseded = row->entry.version > version || !is_on(row, mutation, now);
    mutation->superseded_by = mutation->superseded ? row->entry.version : 0;
    if (mutation->superseded || (!deletes && row->entry.version == version))
        return;
    store->counts.mutations++;
    if (deletes) {
        store->counts.deletes++;
        row->deleted = true;
        row->entry.version = store->forgets_deletes ? 0 : version;
    } else if (keeps_value(row, mutation, now)) {
        store->counts.touches++;
        row->entry.version = version;
        row->entry.client_cas = mutation->entry.client_cas;
        row->entry.expires_at = mutation->entry.expires_at;
        row->entry.marks = mutation->entry.marks;
    } else {
        set_row(row, &mutation->entry);
    }
}

/* ---- The interface ---- */

static enum backend_status open_store(const struct backend_options *options, enum backend_role role,
                                      struct backend_connection **ret_connection,
                                      struct backend_error *ret_error) {
    struct connection *connection = calloc(1, sizeof *connection);
    void *store = NULL;
    (void)role;
    assert(connection);
    if (sscanf(options->uri, "memory:%p", &store) != 1) {
        snprintf(ret_error->message, sizeof ret_error->message, "not a memory store: %s", options->uri);
        free(connection);
        return BACKEND_REFUSED;
    }
    connection->base.type = &memory_store_type;
    connection->store = store;
    *ret_connection = &connection->base;
    return BACKEND_OK;
}

static struct connection *of(struct backend_connection *base) {
    assert(base->type == &memory_store_type);
    return (struct connection *)base;
}

static enum backend_status high_version(struct backend_connection *connection, uint64_t *ret_version,
                                        struct backend_error *ret_error) {
    struct memory_store *store = of(connection)->store;
    (void)ret_error;
    uint64_t high = 0;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct row *row = store->buckets[i]; row; row = row->next)
            if (row->entry.version > high)
                high = row->entry.version;
    connection->foreign = store->foreign;
    pthread_mutex_unlock(&store->lock);
    *ret_version = high;
    return BACKEND_OK;
}

static void let_go(struct connection *connection) {
    for (size_t i = 0; i < connection->held_count; i++)
        free(connection->held[i]);
    free(connection->held);
    connection->held = NULL;
    connection->held_count = 0;
}

static enum backend_status load(struct backend_connection *base, const struct backend_table *table,
                                const struct slice *keys, size_t count, uint32_t now,
                                struct load_result *results, struct backend_error *ret_error) {
    struct connection *connection = of(base);
    struct memory_store *store = connection->store;
    (void)ret_error;
    let_go(connection);
    connection->held = calloc(count + 1, sizeof(void *));
    assert(connection->held);
    pthread_mutex_lock(&store->lock);
    store->counts.keys += count;
    for (size_t i = 0; i < count; i++) {
        struct row *row = *find(store, table->name, keys[i]);
        results[i].found = row && !row->deleted && (!row->entry.expires_at || row->entry.expires_at > now);
        if (!results[i].found)
            continue;
        char *copy = copy_of(row->value, row->entry.value.size);
        connection->held[connection->held_count++] = copy;
        results[i].entry = row->entry;
        results[i].entry.key = keys[i];
        results[i].entry.value.data = copy;
    }
    pthread_mutex_unlock(&store->lock);
    return BACKEND_OK;
}

static enum backend_status apply(struct backend_connection *connection, struct mutation *mutations,
                                 size_t count, uint32_t now, struct backend_error *ret_error) {
    struct memory_store *store = of(connection)->store;
    (void)ret_error;
    let_go(of(connection));
    pthread_mutex_lock(&store->lock);
    store->counts.batches++;
    for (size_t i = 0; i < count; i++)
        apply_one(store, &mutations[i], now);
    connection->foreign = store->foreign;
    pthread_mutex_unlock(&store->lock);
    return BACKEND_OK;
}

enum { PAGE_BUCKETS = 64 };

/* A place is the number of the next bucket. */
static void show_page(struct memory_store *store, const struct backend_table *table,
                      struct backend_visitor *visitor) {
    struct backend_place *place = visitor->place;
    size_t first = 0, end;
    bool more = true;
    if (place->size == sizeof first)
        memcpy(&first, place->bytes, sizeof first);
    end = first + PAGE_BUCKETS;
    for (size_t i = first; i < end; i++)
        for (struct row *row = store->buckets[i]; row && more; row = row->next)
            if (!row->deleted && strcmp(row->table, table->name) == 0)
                more = visitor->entry(visitor, &row->entry);
    if (!more)
        return;
    memcpy(place->bytes, &end, sizeof end);
    place->size = sizeof end;
    place->end = end == BUCKETS;
}

static enum backend_status scan(struct backend_connection *connection, const struct backend_table *table,
                                size_t limit, uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error) {
    struct memory_store *store = of(connection)->store;
    bool more = true;
    (void)now, (void)ret_error;
    pthread_mutex_lock(&store->lock);
    if (visitor->place) {
        show_page(store, table, visitor);
        more = false;
    }
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct row *row = store->buckets[i]; row && more && limit; row = row->next) {
            if (row->deleted || strcmp(row->table, table->name) != 0)
                continue;
            more = visitor->entry(visitor, &row->entry);
            limit--;
        }
    pthread_mutex_unlock(&store->lock);
    return BACKEND_OK;
}

static enum backend_status extent(struct backend_connection *connection, const struct backend_table *table,
                                  size_t most, uint64_t room, struct backend_extent *ret_extent,
                                  struct backend_error *ret_error) {
    struct memory_store *store = of(connection)->store;
    struct backend_extent extent = {0};
    (void)most, (void)room, (void)ret_error;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct row *row = store->buckets[i]; row; row = row->next) {
            bool counts = !row->deleted && strcmp(row->table, table->name) == 0;
            extent.rows += counts;
            extent.bytes += counts ? row->key_size + row->entry.value.size : 0;
        }
    if (!store->tells_extent)
        extent.rows = SIZE_MAX;
    pthread_mutex_unlock(&store->lock);
    *ret_extent = extent;
    return BACKEND_OK;
}

static enum backend_status maintain(struct backend_connection *connection, uint32_t now, bool *ret_more,
                                    struct backend_error *ret_error) {
    (void)connection, (void)now, (void)ret_error;
    *ret_more = false;
    return BACKEND_OK;
}

static enum backend_status look(struct backend_connection *connection, struct backend_error *ret_error) {
    struct memory_store *store = of(connection)->store;
    (void)ret_error;
    pthread_mutex_lock(&store->lock);
    connection->foreign = store->foreign;
    pthread_mutex_unlock(&store->lock);
    return BACKEND_OK;
}

static void close_store(struct backend_connection *connection) {
    if (!connection)
        return;
    let_go(of(connection));
    free(connection);
}

static bool check(const struct backend_options *options, struct backend_complaint *ret_complaint) {
    (void)options, (void)ret_complaint;
    return true;
}

static enum backend_nearness same_store(const struct backend_options *a, const struct backend_options *b) {
    return strcmp(a->uri, b->uri) == 0 ? BACKEND_SAME : BACKEND_APART;
}

static enum backend_nearness overlap(const struct backend_table *a, const struct backend_table *b,
                                     struct backend_meeting *ret_meeting) {
    (void)a, (void)b, (void)ret_meeting;
    return BACKEND_APART;
}

static void place(const struct backend_table *table, char *ret_text, size_t size) {
    snprintf(ret_text, size, "table %s", table->name);
}

static bool exposed(const struct backend_options *options, char *ret_text, size_t size) {
    (void)options, (void)ret_text, (void)size;
    return false;
}

static bool check_table(const struct backend_table *table, const char *scanned_for,
                        struct backend_complaint *ret_complaint) {
    (void)table, (void)scanned_for, (void)ret_complaint;
    return true;
}

static enum backend_keys keys(const struct backend_table *table) {
    (void)table;
    return BACKEND_KEYS_ANY;
}

static enum backend_status probe(const struct backend_options *options, uint64_t *ret_version,
                                 struct backend_error *ret_error) {
    (void)options, (void)ret_error;
    *ret_version = BACKEND_VERSION_HIDDEN;
    return BACKEND_OK;
}

static struct backend_descriptors descriptors(const struct backend_options *options, enum backend_role role) {
    (void)options, (void)role;
    return (struct backend_descriptors){0, 0};
}

static void needs(const struct backend_options *options, struct backend_needs *ret_needs) {
    (void)options;
    *ret_needs = (struct backend_needs){0};
}

const struct backend_type memory_store_type = {
    .scheme = "memory",
    .title = "memory",
    .article = "a",
    .schemes = "memory",
    .example = "memory:...",
    .options = {.size = sizeof(struct backend_specific)},
    .table_options = {.size = sizeof(struct backend_specific)},
    .check = check,
    .check_table = check_table,
    .keys = keys,
    .same_store = same_store,
    .overlap = overlap,
    .place = place,
    .exposed = exposed,
    .needs = needs,
    .descriptors = descriptors,
    .open = open_store,
    .probe = probe,
    .high_version = high_version,
    .look = look,
    .load = load,
    .apply = apply,
    .scan = scan,
    .extent = extent,
    .maintain = maintain,
    .close = close_store,
};

/* ---- For the test ---- */

struct memory_store *memory_store_create(void) {
    struct memory_store *store = calloc(1, sizeof *store);
    assert(store);
    pthread_mutex_init(&store->lock, NULL);
    snprintf(store->uri, sizeof store->uri, "memory:%p", (void *)store);
    return store;
}

void memory_store_destroy(struct memory_store *store) {
    for (size_t i = 0; i < BUCKETS; i++)
        while (store->buckets[i]) {
            struct row *row = store->buckets[i];
            store->buckets[i] = row->next;
            free(row->table);
            free(row->key);
            free(row->value);
            free(row);
        }
    pthread_mutex_destroy(&store->lock);
    free(store);
}

const char *memory_store_uri(const struct memory_store *store) {
    return store->uri;
}

void memory_store_put(struct memory_store *store, const char *table, const char *key, const char *value,
                      uint64_t version) {
    pthread_mutex_lock(&store->lock);
    struct row *row = row_of(store, table, slice_string(key));
    store->foreign++;
    if (value) {
        struct entry entry = {.value = slice_string(value), .version = version};
        set_row(row, &entry);
    } else {
        row->deleted = true;
        row->entry.version = version;
    }
    pthread_mutex_unlock(&store->lock);
}

char *memory_store_get(struct memory_store *store, const char *table, const char *key, uint64_t *ret_version,
                       uint32_t *ret_expires_at) {
    char *value = NULL;
    pthread_mutex_lock(&store->lock);
    struct row *row = *find(store, table, slice_string(key));
    if (row && !row->deleted)
        value = copy_of(row->value, row->entry.value.size);
    if (ret_version)
        *ret_version = row ? row->entry.version : 0;
    if (ret_expires_at)
        *ret_expires_at = row ? row->entry.expires_at : 0;
    pthread_mutex_unlock(&store->lock);
    return value;
}

void memory_store_tell_extent(struct memory_store *store) {
    store->tells_extent = true;
}

void memory_store_forget_deletes(struct memory_store *store) {
    pthread_mutex_lock(&store->lock);
    store->forgets_deletes = true;
    pthread_mutex_unlock(&store->lock);
}

void memory_store_be_faster(struct memory_store *store, bool faster) {
    pthread_mutex_lock(&store->lock);
    store->is_faster = faster;
    pthread_mutex_unlock(&store->lock);
}

size_t memory_store_rows(struct memory_store *store) {
    size_t rows = 0;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct row *row = store->buckets[i]; row; row = row->next)
            rows += !row->deleted;
    pthread_mutex_unlock(&store->lock);
    return rows;
}

struct memory_store_counts memory_store_counts(struct memory_store *store) {
    pthread_mutex_lock(&store->lock);
    struct memory_store_counts counts = store->counts;
    pthread_mutex_unlock(&store->lock);
    return counts;
}
