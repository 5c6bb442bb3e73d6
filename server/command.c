/* SPDX-License-Identifier: MIT */
/*
 * Commands without a key. Answers and errors are memcached's. What belongs to its slab classes, its LRU
 * crawler or its log watchers is answered as memcached answers when that part is switched off.
 */
#include "server/command.h"
#include "policies/evaluate.h"
#include "server/stats.h"
#include "server/words.h"
#include <stdio.h>
#include <stdlib.h>

enum { VERBOSITY_MAX = 2, MEMLIMIT_LOWEST = 8, MEMLIMIT_HIGHEST = 1000000000 };

struct call {
    struct server *server;
    struct tier_worker *worker;
    const struct request *request;
    const struct cache_time *now;
    struct words words;
    struct buffer *out;
};

static void answer(struct call *call, const char *line) {
    if (!call->request->noreply)
        buffer_print(call->out, "%s\r\n", line);
}

static void run_verbosity(struct call *call) {
    uint32_t level;
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
        answer(call, "CLIENT_ERROR flush_all not allowed");
        return;
    }
    if (call->words.count > 0 && !words_signed_number(call->words.word[0], &exptime)) {
        answer(call, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    uint32_t now = call->now->seconds;
    tier_flush_all(call->worker, exptime > 0 ? evaluate_expiry(exptime, 0, now) : now);
    answer(call, "OK");
}

/* Quotas are a promise: the whole may not become smaller than their sum. */
static size_t sum_of_quotas(const struct server *server) {
    size_t sum = 0;
    for (size_t i = 0; i < tier_space_count(server->tier); i++)
        sum += space_options(tier_space(server->tier, i))->memory;
    return sum;
}

static void run_cache_memlimit(struct call *call) {
    uint32_t megabytes;
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
    server_log(call->server, LOG_LEVEL_DEBUG, "cache_memlimit: the memory limit is %u MB now", megabytes);
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
    const char *error = "SERVER_ERROR out of memory";
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

static void run_lru_crawler(struct call *call) {
    struct slice what = call->words.word[1];
    if (call->words.count < 2)
        answer(call, "ERROR");
    else if (words_equal(what, "disable"))
        answer(call, "OK"); /* there is none */
    else if (words_equal(what, "enable"))
        answer(call, "ERROR failed to start lru crawler thread");
    else if (call->words.count == 3)
        answer(call, "CLIENT_ERROR lru crawler disabled");
    else
        answer(call, "ERROR");
}

/* Known words that mean nothing here; the first word is the command. */
static void run_other(struct call *call) {
    const struct words *words = &call->words;
    bool has_argument = words->count > 2;
    int32_t number;
    if (words_equal(words->word[0], "watch"))
        answer(call, "CLIENT_ERROR watch commands not allowed");
    else if (words_equal(words->word[0], "lru_crawler"))
        run_lru_crawler(call);
    else if (words_equal(words->word[0], "slabs") && has_argument &&
             words_equal(words->word[1], "automove") && !words_signed_number(words->word[2], &number))
        answer(call, "CLIENT_ERROR bad command line format");
    else if (words_equal(words->word[0], "slabs") && has_argument &&
             (words_equal(words->word[1], "reassign") || words_equal(words->word[1], "automove")))
        answer(call, "CLIENT_ERROR slab reassignment disabled");
    else
        answer(call, "ERROR");
}

enum command_result command_run(struct server *server, struct tier_worker *worker,
                                const struct request *request, const struct cache_time *now,
                                struct buffer *out) {
    struct call call = {server, worker, request, now, words_of(request->argument), out};
    switch (request->command) {
    case COMMAND_VERSION:
        answer(&call, "VERSION " STATS_MEMCACHED_VERSION);
        break;
    case COMMAND_VERBOSITY:
        run_verbosity(&call);
        break;
    case COMMAND_FLUSH_ALL:
        run_flush_all(&call);
        break;
    case COMMAND_CACHE_MEMLIMIT:
        run_cache_memlimit(&call);
        break;
    case COMMAND_STATS:
        stats_run(server, request->argument, out);
        break;
    case COMMAND_QUARANTINE:
        run_quarantine(&call);
        break;
    case COMMAND_SHUTDOWN:
        return run_shutdown(&call);
    case COMMAND_QUIT:
        return COMMAND_CLOSE;
    case COMMAND_META_NOOP:
        answer(&call, "MN");
        break;
    case COMMAND_OTHER:
        run_other(&call);
        break;
    default:
        answer(&call, "ERROR");
    }
    return COMMAND_ANSWERED;
}
