/* SPDX-License-Identifier: MIT */
#include "tests/support/tier_rig.h"
#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { FINISH_SECONDS = 3 * EVENTUALLY_SECONDS }; /* a call may wait for a backend, and for another then */
enum { PATIENCE_MS = EVENTUALLY_SECONDS * 1000 }; /* a test that wants a time limit to be met sets one */

static void wake(void *context, unsigned worker) {
    struct rig_worker *waiting = &((struct tier_rig *)context)->workers[worker];
    pthread_mutex_lock(&waiting->mutex);
    waiting->wake = true;
    pthread_cond_broadcast(&waiting->woken);
    pthread_mutex_unlock(&waiting->mutex);
}

static void log_line(void *context, enum log_level level, const struct log_field *fields,
                     const char *message) {
    (void)fields;
    struct tier_rig *rig = context;
    if (level == LOG_LEVEL_DEBUG) /* as without -v */
        return;
    pthread_mutex_lock(&rig->mutex);
    snprintf(rig->last_log, sizeof rig->last_log, "%s", message);
    rig->awaited_logs += rig->awaited_log && strstr(message, rig->awaited_log);
    pthread_mutex_unlock(&rig->mutex);
    if (getenv("RIG_LOG"))
        fprintf(stderr, "%d %s\n", (int)level, message);
}

/* ---- Making ---- */

struct space_options *rig_add_space(struct tier_rig *rig, const char *name, const char *prefix,
                                    const struct policy *policy) {
    assert(rig->space_count < RIG_SPACES);
    struct space_options *space = &rig->spaces[rig->space_count++];
    *space = (struct space_options){.name = name,
                                    .prefix = prefix,
                                    .policy = policy,
                                    .backend = 0,
                                    .flush_delay = 60000,
                                    .flush_batch = 200000,
                                    .dirty_limit = 64 << 20,
                                    .table = {.name = name, .key_prefix = prefix}};
    return space;
}

void rig_init(struct tier_rig *rig, const struct policy *policy) {
    memset(rig, 0, sizeof *rig);
    rig->store = memory_store_create();
    rig->faulty = faulty_create(&memory_store_type);
    rig->backend.store = (struct backend_options){.name = "store",
                                                  .uri = memory_store_uri(rig->store),
                                                  .timeout_ms = PATIENCE_MS,
                                                  .type = faulty_type(rig->faulty)};
    rig->options = (struct tier_options){
        .cache = {.memory_limit = 16 << 20, .item_max = 1 << 20, .node = 1, .hash_seed = 1},
        .workers = 1,
        .drain_timeout = PATIENCE_MS,
        .journal_file_size = 1 << 20,
        .wake = wake,
        .log = log_line};
    pthread_mutex_init(&rig->mutex, NULL);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        pthread_mutex_init(&rig->workers[i].mutex, NULL);
        pthread_cond_init(&rig->workers[i].woken, NULL);
    }
    rig_add_space(rig, "test", "", policy);
}

void rig_use_folder(struct tier_rig *rig) {
    temp_folder_make(&rig->folder);
}

static void point_options(struct tier_rig *rig) {
    rig->options.spaces = rig->spaces;
    rig->options.space_count = rig->space_count;
    rig->options.backends = &rig->backend;
    rig->options.backend_count = 1;
    rig->options.data = rig->folder.path[0] ? rig->folder.path : NULL;
    rig->options.context = rig;
}

const char *rig_try_start(struct tier_rig *rig) {
    point_options(rig);
    if (!tier_create(&rig->options, &rig->tier, rig->reply, sizeof rig->reply))
        return rig->reply;
    for (unsigned i = 0; i < rig->options.workers; i++) {
        rig->workers[i].common = tier_ticket_create(tier_get_worker(rig->tier, i), NULL);
        assert(rig->workers[i].common);
    }
    return NULL;
}

const char *rig_reload(struct tier_rig *rig) {
    point_options(rig);
    return tier_reload(rig->tier, &rig->options, rig->reply, sizeof rig->reply) ? NULL : rig->reply;
}

void rig_start(struct tier_rig *rig) {
    const char *error = rig_try_start(rig);
    if (error)
        fail_msg("tier_create: %s", error);
}

void rig_end_tier(struct tier_rig *rig) {
    tier_destroy(rig->tier);
    rig->tier = NULL;
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        tier_ticket_destroy(rig->workers[i].common);
        rig->workers[i].common = NULL;
    }
}

void rig_files_can_be_written(bool can) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = can ? limit.rlim_max : 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

void rig_stop(struct tier_rig *rig) {
    rig_files_can_be_written(true);
    faulty_hold(rig->faulty, FAULTY_ANY, false);
    faulty_delay(rig->faulty, FAULTY_ANY, 0);
    faulty_silence_part(rig->faulty, NULL);
    rig_end_tier(rig);
    for (struct rig_call *call = rig->calls, *next; call; call = next) {
        next = call->next;
        rig_free(call);
    }
    faulty_destroy(rig->faulty);
    memory_store_destroy(rig->store);
    if (rig->folder.path[0])
        temp_folder_remove(&rig->folder);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        pthread_mutex_destroy(&rig->workers[i].mutex);
        pthread_cond_destroy(&rig->workers[i].woken);
    }
    pthread_mutex_destroy(&rig->mutex);
}

int rig_set_up(void **state) {
    struct tier_rig *rig = calloc(1, sizeof *rig);
    assert(rig);
    rig_init(rig, *state);
    *state = rig;
    return 0;
}

int rig_tear_down(void **state) {
    rig_stop(*state);
    free(*state);
    return 0;
}

void rig_renew(struct tier_rig *rig, const struct policy *policy) {
    rig_stop(rig);
    rig_init(rig, policy);
}

/* ---- Commands ---- */

static struct cache_time rig_now(const struct tier_rig *rig) {
    return cache_time_from_us((uint64_t)((int64_t)wall_us() + rig->clock_shift_us));
}

static const struct {
    const char *word;
    enum command command;
} words[] = {{"get", COMMAND_GET},       {"gets", COMMAND_GET},
             {"gat", COMMAND_GAT},       {"set", COMMAND_SET},
             {"add", COMMAND_ADD},       {"replace", COMMAND_REPLACE},
             {"append", COMMAND_APPEND}, {"prepend", COMMAND_PREPEND},
             {"cas", COMMAND_CAS},       {"delete", COMMAND_DELETE},
             {"incr", COMMAND_INCR},     {"decr", COMMAND_DECR},
             {"touch", COMMAND_TOUCH},   {"vivify", COMMAND_META_GET},
             {"sync", COMMAND_SYNC},     {"flush_all", COMMAND_FLUSH_ALL},
             {"forget", COMMAND_FORGET}};

static enum command command_of(const char *word) {
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, word) == 0)
            return words[i].command;
    assert(false && "a command of the rig");
    return COMMAND_BAD;
}

static void fill_request(struct rig_call *call, const char *word, char *key, char *first, char *second) {
    struct request *request = &call->request;
    request->command = command_of(word);
    request->key = request->raw_key = slice_string(key ? key : "");
    request->meta_flags = request->argument = slice_of("", 0);
    request->ret_cas = strcmp(word, "gets") == 0;
    request->ends_run = true;
    switch (request->command) {
    case COMMAND_GAT:
    case COMMAND_TOUCH:
        request->exptime = strtoll(first, NULL, 10);
        request->has_exptime = true;
        break;
    case COMMAND_INCR:
    case COMMAND_DECR:
        request->delta = strtoull(first, NULL, 10);
        break;
    case COMMAND_META_GET:
        request->meta = meta_bit('N') | meta_bit('v');
        request->vivify_ttl = strtoll(first, NULL, 10);
        request->new_cas = second ? strtoull(second, NULL, 10) : 0;
        break;
    default:
        request->value = slice_string(first ? first : "");
        request->has_exptime = true;
        if (request->command == COMMAND_CAS)
            request->cas = strtoull(second, NULL, 10);
        else
            request->exptime = second ? strtoll(second, NULL, 10) : 0;
        break;
    }
}

static void parse(struct rig_call *call, const char *command) {
    char *save = NULL;
    snprintf(call->text, sizeof call->text, "%s", command);
    char *word = strtok_r(call->text, " ", &save), *key = strtok_r(NULL, " ", &save);
    char *first = strtok_r(NULL, " ", &save), *second = strtok_r(NULL, " ", &save);
    fill_request(call, word, key, first, second);
}

static void write_hit(struct rig_call *call, const struct outcome *outcome) {
    const struct cache_view *view = &outcome->view;
    int size = (int)(view->value.size < RIG_REPLY - 64 ? view->value.size : RIG_REPLY - 64);
    if (outcome->won)
        snprintf(call->reply, RIG_REPLY, "WON");
    else if (call->request.ret_cas)
        snprintf(call->reply, RIG_REPLY, "%.*s %" PRIu64, size, view->value.data, cache_view_cas(view));
    else
        snprintf(call->reply, RIG_REPLY, "%.*s", size, view->value.data);
}

static void write_reply(struct rig_call *call, const struct outcome *outcome) {
    static const char *const texts[] = {"HIT",       "MISS",    "STORED",  "NOT_STORED", "EXISTS",
                                        "NOT_FOUND", "DELETED", "TOUCHED", "NUMBER",     "ERROR"};
    if (outcome->status == OUTCOME_HIT)
        write_hit(call, outcome);
    else if (outcome->status == OUTCOME_NUMBER)
        snprintf(call->reply, RIG_REPLY, "%" PRIu64, outcome->number);
    else if (outcome->status == OUTCOME_ERROR)
        snprintf(call->reply, RIG_REPLY, "%s", outcome->error);
    else
        snprintf(call->reply, RIG_REPLY, "%s", texts[outcome->status]);
    call->done = true;
}

static struct tier_worker *worker_of(const struct rig_call *call) {
    return tier_get_worker(call->rig->tier, call->worker);
}

static struct tier_ticket *common_of(const struct rig_call *call) {
    return call->rig->workers[call->worker].common;
}

static enum tier_status execute(struct rig_call *call, struct outcome *outcome) {
    struct tier_worker *worker = worker_of(call);
    struct tier_ticket *ticket = call->ticket ? call->ticket : common_of(call);
    if (call->request.command == COMMAND_SYNC)
        return tier_sync(worker, ticket, call->request.key, PATIENCE_MS, outcome);
    tier_prepare(worker, &call->request);
    return tier_execute(worker, ticket, &call->request, outcome);
}

/* As the server does. */
static void park(struct rig_call *call) {
    if (!call->ticket)
        call->ticket = tier_ticket_take(common_of(call), call);
    if (call->ticket) {
        tier_submit(worker_of(call), call->ticket);
        return;
    }
    snprintf(call->reply, sizeof call->reply, "%s", REPLY_NO_MEMORY);
    call->done = true;
}

static const char *forget(struct rig_call *call) {
    static const char *const texts[] = {
        [TIER_FORGOTTEN] = "FORGOTTEN", [TIER_KNEW_NOTHING] = "NOT_FOUND", [TIER_HOLDS_BACK] = "HELD_BACK"};
    const struct space_options *space;
    return texts[tier_forget(worker_of(call), call->request.key, &space)];
}

static const char *flush_all(struct rig_call *call) {
    struct cache_time now = rig_now(call->rig);
    tier_flush_all(worker_of(call), now.seconds);
    return "OK";
}

/* Within a turn. */
static void run(struct rig_call *call) {
    struct outcome outcome;
    enum command command = call->request.command;
    if (command == COMMAND_FLUSH_ALL || command == COMMAND_FORGET) {
        const char *reply = command == COMMAND_FORGET ? forget(call) : flush_all(call);
        snprintf(call->reply, RIG_REPLY, "%s", reply);
        call->done = true;
        return;
    }
    memset(&outcome, 0, sizeof outcome);
    enum tier_status status = execute(call, &outcome);
    if (status == TIER_PARKED) {
        park(call);
        return;
    }
    write_reply(call, &outcome);
    call->held = status == TIER_HELD;
    call->done = !call->held;
    if (outcome.holds_lock)
        tier_release(&outcome);
}

/* The hold of a turn is that of all that are held in it; where there is none yet, a later one. */
void rig_end_turn(struct rig_call *call) {
    uint64_t hold;
    call->kept = tier_turn_end(worker_of(call), &hold);
    pthread_mutex_lock(&call->rig->mutex);
    for (struct rig_call *other = call->rig->calls; other; other = other->next)
        if (other->worker == call->worker && other->held && other->hold == 0)
            other->hold = hold;
    pthread_mutex_unlock(&call->rig->mutex);
}

static struct rig_call *make_call(struct tier_rig *rig, unsigned worker) {
    struct rig_call *call = calloc(1, sizeof *call);
    assert(call);
    call->rig = rig;
    call->worker = worker;
    pthread_mutex_lock(&rig->mutex);
    call->next = rig->calls;
    call->link = &rig->calls;
    if (call->next)
        call->next->link = &call->next;
    rig->calls = call;
    pthread_mutex_unlock(&rig->mutex);
    return call;
}

struct rig_call *rig_begin_turn(struct tier_rig *rig, unsigned worker, const char *command) {
    struct rig_call *call = make_call(rig, worker);
    struct cache_time now = rig_now(rig);
    parse(call, command);
    tier_turn_begin(worker_of(call), &now);
    run(call);
    return call;
}

struct rig_call *rig_begin(struct tier_rig *rig, unsigned worker, const char *command) {
    struct rig_call *call = rig_begin_turn(rig, worker, command);
    rig_end_turn(call);
    return call;
}

bool rig_is_done(struct rig_call *call) {
    struct cache_time now = rig_now(call->rig);
    struct tier_ticket *ticket;
    tier_turn_begin(worker_of(call), &now);
    bool kept = call->kept;
    while ((ticket = tier_next_ready(worker_of(call))))
        run(tier_ticket_owner(ticket));
    rig_end_turn(call);
    call->kept = kept;
    if (call->held && call->hold != 0 && call->hold <= tier_released(worker_of(call)))
        call->done = true;
    return call->done;
}

/* Until it is woken, a second at most. False: it was not woken. */
static bool doze(struct rig_worker *waiting) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&waiting->mutex);
    while (!waiting->wake)
        if (pthread_cond_timedwait(&waiting->woken, &waiting->mutex, &until) != 0)
            break;
    bool woken = waiting->wake;
    waiting->wake = false;
    pthread_mutex_unlock(&waiting->mutex);
    return woken;
}

/* Seconds are counted, as time may pass at once. */
const char *rig_finish(struct rig_call *call) {
    struct rig_worker *waiting = &call->rig->workers[call->worker];
    unsigned silent = 0;
    while (!rig_is_done(call)) {
        silent = doze(waiting) ? 0 : silent + 1;
        if (silent > FINISH_SECONDS)
            fail_msg("a call is never answered");
    }
    return call->reply;
}

void rig_free(struct rig_call *call) {
    pthread_mutex_lock(&call->rig->mutex);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    pthread_mutex_unlock(&call->rig->mutex);
    tier_ticket_destroy(call->ticket);
    free(call);
}

const char *rig_do(struct tier_rig *rig, const char *command) {
    struct rig_call *call = rig_begin(rig, 0, command);
    snprintf(rig->reply, sizeof rig->reply, "%s", rig_finish(call));
    rig_free(call);
    return rig->reply;
}

void rig_expect(struct tier_rig *rig, const char *command, const char *reply) {
    const char *got = rig_do(rig, command);
    if (strcmp(got, reply) != 0)
        fail_msg("%s: %s, not %s", command, got, reply);
}

void rig_store(struct tier_rig *rig, const char *format, ...) {
    char command[RIG_REPLY];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    rig_expect(rig, command, "STORED");
}

/* ---- Pipelines ---- */

/* One turn of worker 0, from the request `at` on; returns the first that is not answered. */
static size_t pipeline_turn(struct tier_rig *rig, struct rig_call *calls, size_t at, size_t count) {
    struct tier_worker *worker = tier_get_worker(rig->tier, 0);
    struct tier_ticket *ticket = calls[0].ticket;
    struct cache_time now = rig_now(rig);
    tier_turn_begin(worker, &now);
    for (size_t i = at; i < count; i++)
        tier_prepare(worker, &calls[i].request);
    for (; at < count; at++) {
        struct outcome outcome = {0};
        if (tier_execute(worker, ticket, &calls[at].request, &outcome) == TIER_PARKED)
            break;
        write_reply(&calls[at], &outcome);
        if (outcome.holds_lock)
            tier_release(&outcome);
    }
    if (at < count) {
        for (size_t i = at + 1; i < count; i++)
            if (!tier_anticipate(worker, ticket, &calls[at].request, &calls[i].request))
                break;
        tier_submit(worker, ticket);
    }
    tier_turn_end(worker, NULL);
    return at;
}

const char *rig_pipeline(struct tier_rig *rig, const char *commands) {
    char text[RIG_REPLY], *save = NULL;
    struct rig_call *calls = calloc(RIG_PIPELINE, sizeof *calls);
    size_t count = 0, used = 0;
    assert(calls);
    snprintf(text, sizeof text, "%s", commands);
    for (char *command = strtok_r(text, ";", &save); command; command = strtok_r(NULL, ";", &save)) {
        assert(count < RIG_PIPELINE);
        calls[count].rig = rig;
        parse(&calls[count++], command);
    }
    calls[0].ticket = tier_ticket_create(tier_get_worker(rig->tier, 0), calls);
    assert(calls[0].ticket);
    for (size_t at = 0; (at = pipeline_turn(rig, calls, at, count)) < count;)
        eventually(tier_next_ready(tier_get_worker(rig->tier, 0)));
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(rig->reply + used, sizeof rig->reply - used, "%s%s", i ? "," : "",
                                 calls[i].reply);
    tier_ticket_destroy(calls[0].ticket);
    free(calls);
    return rig->reply;
}

/* ---- Looking ---- */

bool rig_wait_clean(struct tier_rig *rig) {
    uint64_t until_us = monotonic_us() + (uint64_t)PATIENCE_MS * US_PER_MS;
    while (monotonic_us() < until_us) {
        size_t dirty = 0;
        for (size_t space = 0; space < tier_space_count(rig->tier); space++)
            dirty += cache_dirty_entries(tier_cache(rig->tier), (int)space);
        if (dirty == 0)
            return true;
        usleep(1000);
    }
    return false;
}

struct finder {
    struct stat_sink sink;
    const char *name;
    uint64_t value;
    bool found;
};

static void find_line(struct stat_sink *self, const char *name, const char *value) {
    struct finder *finder = (struct finder *)(void *)self;
    if (strcmp(name, finder->name) != 0)
        return;
    finder->value = strtoull(value, NULL, 10);
    finder->found = true;
}

bool rig_find_stat(struct tier_rig *rig, const char *name, uint64_t *ret_value) {
    struct finder finder = {.sink = {find_line}, .name = name};
    tier_stat_write_behind(rig->tier, &finder.sink);
    tier_stat_backends(rig->tier, &finder.sink);
    tier_stat_spaces(rig->tier, &finder.sink);
    *ret_value = finder.value;
    return finder.found;
}

uint64_t rig_stat(struct tier_rig *rig, const char *name) {
    uint64_t value;
    bool found = rig_find_stat(rig, name, &value);
    assert(found);
    (void)found;
    return value;
}

bool rig_said(struct tier_rig *rig, const char *text) {
    pthread_mutex_lock(&rig->mutex);
    bool found = strstr(rig->last_log, text) != NULL;
    pthread_mutex_unlock(&rig->mutex);
    return found;
}

unsigned rig_count_awaited(struct tier_rig *rig) {
    pthread_mutex_lock(&rig->mutex);
    unsigned count = rig->awaited_logs;
    pthread_mutex_unlock(&rig->mutex);
    return count;
}

/* ---- The store ---- */

void rig_put_row(struct tier_rig *rig, const char *key, const char *value) {
    memory_store_put(rig->store, "test", key, value, 1000);
}

uint32_t rig_row_expiry(struct tier_rig *rig, const char *key) {
    uint32_t expires_at = 0;
    free(memory_store_get(rig->store, "test", key, NULL, &expires_at));
    return expires_at;
}

size_t rig_mutations(struct tier_rig *rig) {
    return memory_store_counts(rig->store).mutations;
}

char *rig_row(struct tier_rig *rig, const char *key) {
    return memory_store_get(rig->store, "test", key, NULL, NULL);
}

void rig_assert_row(struct tier_rig *rig, const char *key, const char *value) {
    char *row = rig_row(rig, key);
    if (value) {
        assert_non_null(row);
        assert_string_equal(row, value);
    } else {
        assert_null(row);
    }
    free(row);
}
