/* SPDX-License-Identifier: MIT */
#include "server/admin/dump.h"
#include "policies/request.h"
#include "policies/tier.h"
#include "server/admin/feed.h"
#include "server/admin/watch.h"
#include "server/admin/words.h"
#include "server/config/settings.h"
#include "server/protocol/base64.h"
#include "server/server.h"
#include <stdlib.h>

enum {
    KEYS_BYTES = 2 << 20,
    DUMP_PATIENCE = 60, /* seconds that a client may leave a dump unread, where there is no idle_timeout */
};

struct dump {
    struct feed feed; /* first */
    struct server *server;
    uint64_t spaces;
    enum dump_form form;
    struct cache_walk walk;
};

struct dumper {
    struct cache_visitor visitor; /* first */
    struct buffer *out;
    uint64_t spaces;
    uint32_t limit; /* DUMP_META, DUMP_REQUESTS: not looked at */
    uint32_t shown;
};

static bool is_wanted(const struct dumper *dumper, int space) {
    return dumper->spaces >> space & 1;
}

/* ---- The three forms of a line ---- */

static void add_meta(struct cache_visitor *self, int space, const struct cache_view *view) {
    struct dumper *dumper = (struct dumper *)self;
    char key[WATCH_KEY_TEXT];
    if (!is_wanted(dumper, space))
        return;
    watch_write_key(key, view->key);
    buffer_print(dumper->out, "key=%s exp=%lld la=%u cas=%llu fetch=%s cls=%d size=%zu flags=%u \n", key,
                 view->expires_at ? (long long)view->expires_at : -1, view->last_access,
                 (unsigned long long)cache_view_cas(view), view->fetched ? "yes" : "no", space + 1,
                 request_item_size(view->key.size, view->flags, view->value.size), view->flags);
}

static bool is_binary(struct slice key) {
    for (size_t i = 0; i < key.size; i++)
        if ((unsigned char)key.data[i] <= ' ' || key.data[i] == 0x7f)
            return true;
    return false;
}

static void add_request(struct cache_visitor *self, int space, const struct cache_view *view) {
    struct dumper *dumper = (struct dumper *)self;
    char line[3 + BASE64_SIZE(ENTRY_KEY_MAX) + 4] = "mg ", *end = line + 3;
    if (!is_wanted(dumper, space))
        return;
    bool binary = is_binary(view->key);
    if (binary) {
        end = base64_encode(view->key, end);
    } else {
        memcpy(end, view->key.data, view->key.size);
        end += view->key.size;
    }
    buffer_append(dumper->out, line, (size_t)(end - line));
    buffer_append(dumper->out, binary ? " b\r\n" : "\r\n", binary ? 4 : 2);
}

static void add_key(struct cache_visitor *self, int space, const struct cache_view *view) {
    struct dumper *dumper = (struct dumper *)self;
    bool full = (dumper->limit && dumper->shown == dumper->limit) || dumper->out->size > KEYS_BYTES - 512;
    if (full || !is_wanted(dumper, space) || is_binary(view->key))
        return;
    dumper->shown++;
    buffer_print(dumper->out, "ITEM %.*s [%zu b; %u s]\r\n", (int)view->key.size, view->key.data,
                 view->value.size, view->expires_at);
}

/* ---- Dumps ---- */

static enum feed_step dump_step(struct feed *feed, struct buffer *out) {
    struct dump *dump = (struct dump *)feed;
    bool requests = dump->form == DUMP_REQUESTS;
    struct dumper dumper = {
        .visitor.entry = requests ? add_request : add_meta, .out = out, .spaces = dump->spaces};
    struct cache_time now = tier_now(dump->server->tier);
    if (cache_walk(tier_cache(dump->server->tier), CACHE_ALL_SPACES, &dump->walk, &now, &dumper.visitor))
        return FEED_SAYS;
    buffer_append(out, requests ? "EN\r\n" : "END\r\n", requests ? 4 : 5);
    return FEED_ENDS;
}

static void dump_free(struct feed *feed) {
    struct dump *dump = (struct dump *)feed;
    atomic_store(&dump->server->dumping, false);
    free(dump);
}

static const struct feed_kind dump_kind = {.step = dump_step, .free = dump_free};

static bool add_class(struct slice part, uint64_t *spaces) {
    uint32_t class;
    if (!words_number(part, &class) || class < 1 || class >= DUMP_CLASSES_MAX)
        return false;
    *spaces |= 1ull << (class - 1);
    return true;
}

enum dump_status dump_classes(struct slice word, uint64_t *ret_spaces) {
    uint64_t spaces = 0;
    if (words_equal(word, "all") || words_equal(word, "hash"))
        spaces = UINT64_MAX;
    while (spaces != UINT64_MAX && word.size > 0) {
        const char *comma = memchr(word.data, ',', word.size);
        struct slice part = comma ? slice_of(word.data, (size_t)(comma - word.data)) : word;
        word = slice_of(part.data + part.size + (comma != NULL), word.size - part.size - (comma != NULL));
        if (part.size > 0 && !add_class(part, &spaces))
            return DUMP_BAD_CLASS;
    }
    *ret_spaces = spaces;
    return spaces ? DUMP_OK : DUMP_NOTHING;
}

enum dump_status dump_begin(struct server *server, uint64_t spaces, enum dump_form form,
                            struct feed **ret_feed) {
    if (atomic_exchange(&server->dumping, true))
        return DUMP_RUNNING;
    struct dump *dump = calloc(1, sizeof *dump);
    if (!dump) {
        atomic_store(&server->dumping, false);
        return DUMP_NO_MEMORY;
    }
    *dump = (struct dump){.feed.kind = &dump_kind, .server = server, .spaces = spaces, .form = form};
    dump->feed.patience = server->settings->idle_timeout ? server->settings->idle_timeout : DUMP_PATIENCE;
    *ret_feed = &dump->feed;
    return DUMP_OK;
}

void dump_keys(struct server *server, uint32_t class, uint32_t limit, struct buffer *out) {
    struct dumper dumper = {.visitor.entry = add_key, .out = out, .limit = limit};
    struct cache_walk walk = {0};
    struct cache_time now = tier_now(server->tier);
    dumper.spaces = class > 0 ? 1ull << (class - 1) : 0;
    bool more = class > 0 && class <= tier_space_count(server->tier);
    while (more && !(limit && dumper.shown == limit) && out->size <= KEYS_BYTES - 512)
        more = cache_walk(tier_cache(server->tier), (int)class - 1, &walk, &now, &dumper.visitor);
    buffer_append(out, "END\r\n", 5);
}
