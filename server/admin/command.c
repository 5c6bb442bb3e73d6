/* SPDX-License-Identifier: MIT */
/*
 * Commands without a key. Answers and errors are memcached's; of its slab classes, those that it gives when
 * they are switched off.
 */
#include "server/admin/command.h"
#include "policies/evaluate.h"
#include "server/admin/dump.h"
#include "server/admin/stats.h"
#include "server/admin/watch.h"
#include "server/admin/words.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/machine_memory.h"
#include "server/protocol/base64.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { VERBOSITY_MAX = 2, MEMLIMIT_LOWEST = 8, MEMLIMIT_HIGHEST = 1000000000, CRAWLER_SLEEP_MAX = 1000000 };

struct call {
    struct server *server;
    struct tier_worker *worker;
    const struct request *request;
    const struct cache_time *now;
    struct words words;
    struct command_place *place;
    struct buffer *out;
};

static void answer(struct call *call, const char *line) {
    if (!call->request->noreply)
        buffer_print(call->out, "%s\r\n", line);
}

/* True: the operator has restricted it (restrict), and the client is told so. */
static bool is_refused(struct call *call, bool allowed, const char *name) {
    if (!allowed && !call->request->noreply)
        buffer_print(call->out, "CLIENT_ERROR %s not allowed\r\n", name);
    return !allowed;
}

static void run_verbosity(struct call *call) {
    uint32_t level;
    if (is_refused(call, call->server->settings->allow_verbosity, "verbosity"))
        return;
    if (!words_number(call->words.word[0], &level)) {
        answer(call, "CLIENT_ERROR bad command line format");
        return;
    }
    atomic_store(&call->server->verbosity, level > VERBOSITY_MAX ? VERBOSITY_MAX : (int)level);
    answer(call, "OK");
}

static void run_flush_all(struct call *call) {
    int32_t exptime = 0;
    if (!call->server->settings->allow_flush_all) {
        tier_count_flush(call->worker);
        answer(call, "CLIENT_ERROR flush_all not allowed");
        return;
    }
    if (call->words.count > 0 && !words_signed_number(call->words.word[0], &exptime)) {
        answer(call, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    uint32_t now = call->now->seconds; /* as in memcached, the second before the one asked for is the last */
    tier_flush_all(call->worker, exptime > 0 ? evaluate_expiry(exptime, 0, now) - 1 : now);
    answer(call, "OK");
}

/* Quotas are a promise: the whole may not become smaller than their sum. */
static size_t sum_of_quotas(const struct server *server) {
    size_t sum = 0;
    for (size_t i = 0; i < tier_space_count(server->tier); i++)
        sum += space_options(tier_space(server->tier, i))->memory;
    return sum;
}

static void warn_of_memory(struct server *server, size_t limit) {
    char warning[600];
    if (machine_memory_warns("entries", limit, "it by cache_memlimit, as it was set", warning,
                             sizeof warning))
        server_log_limited(server, LOG_KIND_MEMORY_LIMIT, LOG_LEVEL_WARNING, "%s", warning);
}

static void run_cache_memlimit(struct call *call) {
    uint32_t megabytes;
    if (is_refused(call, call->server->settings->allow_cache_memlimit, "cache_memlimit"))
        return;
    if (!words_number(call->words.word[0], &megabytes)) {
        answer(call, "ERROR");
        return;
    }
    if (megabytes < MEMLIMIT_LOWEST) {
        answer(call, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
        return;
    }
    if (megabytes > MEMLIMIT_HIGHEST) {
        answer(call, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
        return;
    }
    size_t bytes = (size_t)megabytes << 20;
    if (bytes < sum_of_quotas(call->server) ||
        cache_resize(tier_cache(call->server->tier), bytes) != CACHE_OK) {
        answer(call, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
        return;
    }
    server_log_limited(call->server, LOG_KIND_COMMAND, LOG_LEVEL_DEBUG,
                       "cache_memlimit: the memory limit is %u MB now", megabytes);
    warn_of_memory(call->server, bytes);
    answer(call, "OK");
}

static enum command_result run_shutdown(struct call *call) {
    const struct words *words = &call->words;
    if (!call->server->settings->allow_shutdown) {
        answer(call, "SERVER_ERROR: shutdown not enabled");
        return COMMAND_ANSWERED;
    }
    if (words->count > 0 && !(words->count == 1 && words_equal(words->word[0], "graceful"))) {
        answer(call, "CLIENT_ERROR invalid shutdown mode");
        return COMMAND_ANSWERED;
    }
    call->server->stop(call->server);
    return COMMAND_CLOSE;
}

static void run_quarantine(struct call *call) {
    char *text = NULL;
    size_t size = 0;
    const char *error = REPLY_NO_MEMORY;
    if (is_refused(call, call->server->settings->allow_quarantine, "quarantine"))
        return;
    FILE *file = open_memstream(&text, &size);
    bool good = file && tier_quarantine(call->worker, call->request->argument, file, &error);
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        answer(call, error);
    else if (!call->request->noreply)
        buffer_append(call->out, text, size);
    free(text);
}

/* The key, in base64 if a word b follows. False: there is no such key. */
static bool forget_key(const struct words *words, char *buffer, struct slice *ret_key) {
    struct slice key = words->word[0];
    if (words->count == 0 || words->count > 2 || key.size > ENTRY_KEY_MAX)
        return false;
    if (words->count == 2) {
        if (!words_equal(words->word[1], "b"))
            return false;
        key = slice_of(buffer, base64_decode(key, buffer));
    }
    *ret_key = key;
    return key.size > 0;
}

static void run_forget(struct call *call) {
    char buffer[ENTRY_KEY_MAX];
    struct slice key;
    const struct space_options *space;
    if (is_refused(call, call->server->settings->allow_forget, "forget"))
        return;
    if (!forget_key(&call->words, buffer, &key)) {
        answer(call, "CLIENT_ERROR usage: forget <key> [b]");
        return;
    }
    switch (tier_forget(call->worker, key, &space)) {
    case TIER_FORGOTTEN:
        answer(call, "FORGOTTEN");
        return;
    case TIER_KNEW_NOTHING:
        answer(call, "NOT_FOUND");
        return;
    case TIER_HOLDS_BACK:
        buffer_print(
            call->out,
            "SERVER_ERROR not forgotten: a change of the key waits for the backend; sync %s, then try again\r\n",
            space->name);
        return;
    }
}

/* ---- The crawler and the watchers ---- */

static void run_crawl(struct call *call, struct slice classes) {
    uint64_t spaces;
    switch (dump_classes(classes, &spaces)) {
    case DUMP_OK: /* there is nothing to do: what has expired is swept away all the time */
        atomic_fetch_add(&call->server->crawler_starts, 1);
        answer(call, "OK");
        return;
    case DUMP_BAD_CLASS:
        answer(call, "BADCLASS invalid class id");
        return;
    default:
        answer(call, "NOTSTARTED no items to crawl");
    }
}

static enum command_result run_dump(struct call *call, struct slice classes, enum dump_form form) {
    bool requests = form == DUMP_REQUESTS;
    uint64_t spaces;
    if (!call->server->settings->allow_dump) {
        answer(call, requests ? "ERROR key dump not allowed" : "ERROR metadump not allowed");
        return COMMAND_ANSWERED;
    }
    if (call->place->behind_replies) {
        answer(call, requests ? "ERROR cannot pipeline other commands before mgdump"
                              : "ERROR cannot pipeline other commands before metadump");
        return COMMAND_ANSWERED;
    }
    enum dump_status status = dump_classes(classes, &spaces);
    if (status == DUMP_OK)
        status = dump_begin(call->server, spaces, form, &call->place->feed);
    switch (status) {
    case DUMP_OK:
        atomic_fetch_add(&call->server->crawler_starts, 1);
        return COMMAND_FEED;
    case DUMP_RUNNING:
        answer(call, "BUSY currently processing crawler request");
        break;
    case DUMP_BAD_CLASS:
        answer(call, "BADCLASS invalid class id");
        break;
    case DUMP_NOTHING:
        answer(call, "NOTSTARTED no items to crawl");
        break;
    case DUMP_NO_MEMORY:
        answer(call, "ERROR an unknown error happened");
        break;
    }
    return COMMAND_ANSWERED;
}

/* The crawler's speed and depth: there is nothing to set, but the words are checked. */
static void run_crawler_setting(struct call *call, struct slice value, bool sleeps) {
    uint32_t number;
    if (!words_number(value, &number))
        answer(call, "CLIENT_ERROR bad command line format");
    else if (sleeps && number > CRAWLER_SLEEP_MAX)
        answer(call, "CLIENT_ERROR sleep must be one second or less");
    else
        answer(call, "OK");
}

static enum command_result run_crawler_job(struct call *call) {
    struct slice what = call->words.word[0], value = call->words.word[1];
    if (words_abbreviate(what, "tocrawl") || words_abbreviate(what, "sleep")) {
        run_crawler_setting(call, value, words_abbreviate(what, "sleep"));
        return COMMAND_ANSWERED;
    }
    bool crawl = words_abbreviate(what, "crawl"), meta = words_abbreviate(what, "metadump"),
         keys = words_abbreviate(what, "mgdump");
    if (!crawl && !meta && !keys)
        answer(call, "ERROR");
    else if (!atomic_load(&call->server->crawler))
        answer(call, "CLIENT_ERROR lru crawler disabled");
    else if (crawl)
        run_crawl(call, value);
    else
        return run_dump(call, value, meta ? DUMP_META : DUMP_REQUESTS);
    return COMMAND_ANSWERED;
}

static enum command_result run_lru_crawler(struct call *call) {
    struct slice what = call->words.word[0];
    bool enable = words_abbreviate(what, "enable");
    if (call->words.count == 2)
        return run_crawler_job(call);
    if (call->words.count != 1 || !(enable || words_abbreviate(what, "disable"))) {
        answer(call, "ERROR");
    } else {
        atomic_store(&call->server->crawler, enable);
        answer(call, "OK");
    }
    return COMMAND_ANSWERED;
}

static enum command_result run_watch(struct call *call) {
    const char *error = "ERROR";
    unsigned kinds = call->words.count == 0 ? WATCH_FETCHERS : 0;
    for (size_t i = 0; i < call->words.count; i++) {
        unsigned kind = watch_kind_of(call->words.word[i]);
        kinds = kind && (kinds || i == 0) ? kinds | kind : 0;
    }
    if (!call->server->settings->allow_watch)
        error = "CLIENT_ERROR watch commands not allowed";
    else if (call->place->behind_replies)
        error = "ERROR cannot pipeline other commands before watch";
    else if (kinds)
        call->place->feed = watch_begin(call->server->watch, kinds, &error);
    if (call->place->feed)
        return COMMAND_FEED;
    answer(call, error);
    return COMMAND_ANSWERED;
}

/* ---- All ---- */

/* What memcached answers where it moves no slabs. */
static void run_slabs(struct call *call) {
    const struct words *words = &call->words;
    bool automove = words->count > 1 && words_equal(words->word[0], "automove");
    int32_t number;
    if (automove && !words_signed_number(words->word[1], &number))
        answer(call, "CLIENT_ERROR bad command line format");
    else if (automove || (words->count > 1 && words_equal(words->word[0], "reassign")))
        answer(call, "CLIENT_ERROR slab reassignment disabled");
    else
        answer(call, "ERROR");
}

static enum command_result run(struct call *call) {
    switch (call->request->command) {
    case COMMAND_VERSION:
        answer(call, "VERSION " STATS_MEMCACHED_VERSION);
        break;
    case COMMAND_VERBOSITY:
        run_verbosity(call);
        break;
    case COMMAND_FLUSH_ALL:
        run_flush_all(call);
        break;
    case COMMAND_CACHE_MEMLIMIT:
        run_cache_memlimit(call);
        break;
    case COMMAND_STATS:
        stats_run(call->server, call->request->argument, call->out);
        break;
    case COMMAND_QUARANTINE:
        run_quarantine(call);
        break;
    case COMMAND_FORGET:
        run_forget(call);
        break;
    case COMMAND_SHUTDOWN:
        return run_shutdown(call);
    case COMMAND_WATCH:
        return run_watch(call);
    case COMMAND_LRU_CRAWLER:
        return run_lru_crawler(call);
    case COMMAND_SLABS:
        run_slabs(call);
        break;
    case COMMAND_LRU:
    case COMMAND_EXTSTORE:
        answer(call, "ERROR");
        break;
    case COMMAND_META_NOOP:
    case COMMAND_QUIT:
    case COMMAND_SYNC:
    case COMMAND_SASL:
    case COMMAND_BAD:
        COMMANDS_WITH_KEY(COMMAND_CASE)
        assert(false && "the worker's turn answers it");
    }
    return COMMAND_ANSWERED;
}

enum command_result command_run(struct server *server, struct tier_worker *worker,
                                const struct request *request, const struct cache_time *now,
                                struct command_place *place, struct buffer *out) {
    struct call call = {server, worker, request, now, words_of(request->argument), place, out};
    return run(&call);
}
