/* SPDX-License-Identifier: MIT */
/*
 * The program: from the command line to a serving process, and from SIGTERM to an empty dirty queue.
 *
 *     read options and configuration -> bind -> drop privileges -> background -> loop
 *
 *     STARTING  a helper thread makes the tier (opens backends, recovers journals), so that signals are heard
 *     LOADING   the workers run; preloads that are to be waited for
 *     SERVING   the listener accepts
 *     STOPPING  a helper thread stops the workers and drains; a second SIGTERM ends the drain
 *     STOPPED   the loop has ended; everything is taken down
 *
 * Everything is in one struct program on main's stack; there are no globals. Signals are blocked in all other
 * threads.
 */
#include "cache/base/standard_files.h"
#include "policies/journal/journal.h"
#include "policies/policy.h"
#include "server/activation.h"
#include "server/admin/feed.h"
#include "server/admin/stats_detail.h"
#include "server/admin/watch.h"
#include "server/check.h"
#include "server/config/config.h"
#include "server/config/manual.h"
#include "server/config/options.h"
#include "server/config/print.h"
#include "server/config/read.h"
#include "server/config/settings.h"
#include "server/http/admin_http.h"
#include "server/http/health.h"
#include "server/last_resort.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/maintenance.h"
#include "server/manager.h"
#include "server/process.h"
#include "server/reload.h"
#include "server/risks.h"
#include "server/server.h"
#include "server/worker/auth.h"
#include "server/worker/worker.h"
#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CONFIGURATION = 78, ERROR_MAX = 1024, SIGNALS = 4 };
enum { STOP_GRACE_MS = 20000, MANAGER_GRACE_MS = 5000 }; /* the manager's own last resort comes after ours */
enum { START_STEP_MS = 90000 }; /* of a start, besides what a backend takes: the manager's own default */

static const double LOG_SECONDS = 1; /* how often it is told what the log has left out */

struct program {
    struct server server; /* first: server_stop finds the program by it */
    struct settings settings;
    struct options options;
    struct config *config;
    struct admin_http *http; /* NULL: no admin address */
    struct ev_loop *loop;
    ev_signal signals[SIGNALS];
    ev_async helper_done, stop_asked, reload_done;
    ev_timer ready_timer;
    ev_timer log_timer; /* tells what the log has left out */
    pthread_t helper;
    struct manager *manager;        /* of services; NULL: none wants to be told */
    struct activation activation;   /* its sockets are the listener's */
    unsigned connections_wanted;    /* before the limit of open files was looked at */
    atomic_uint_fast64_t recovered; /* records of the journal, as the helper thread reads them */
    bool helper_runs;
    int ready_fd; /* of the waiting parent, -1: in the foreground */
    int exit_status;
    /* Written by the helper thread, read after its end. */
    struct {
        bool good;
        char error[ERROR_MAX];
    } start;
    struct {
        size_t before, left, journaled; /* dirty entries; those in the journal are among those left */
    } drain;
};

/* Whoever asks something of the program at a terminal is answered plainly; a server's last words have the form of its
 * log. */
static int complain(const struct program *program, const char *error, int status) {
    if (program->options.action == OPTIONS_SERVE)
        server_complain(&program->server, error);
    else
        fprintf(stderr, "forebay: %s\n", error);
    return status;
}

/* ---- Helper threads ---- */

static void block_signals(bool block) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static bool run_helper(struct program *program, void *(*body)(void *)) {
    block_signals(true);
    program->helper_runs = pthread_create(&program->helper, NULL, body, program) == 0;
    block_signals(false);
    return program->helper_runs;
}

static void join_helper(struct program *program) {
    if (program->helper_runs)
        pthread_join(program->helper, NULL);
    program->helper_runs = false;
}

/* ---- What the tier and the workers call ---- */

static void on_wake(void *context, unsigned worker) {
    struct program *program = context;
    struct worker *const *workers = program->server.workers;
    if (workers && workers[worker])
        worker_wake(workers[worker]);
}

static void on_log(void *context, enum log_level level, const struct log_field *fields, const char *message) {
    struct program *program = context;
    server_log_about(&program->server, LOG_KIND_UNLIMITED, level, fields, "%s", message);
}

static void on_risk(void *context, enum log_level level, const char *message) {
    on_log(context, level, NULL, message);
}

static void server_stop(struct server *server) {
    struct program *program = (struct program *)server;
    ev_async_send(program->loop, &program->stop_asked);
}

/* ---- Starting ---- */

static void *start_tier(void *argument) {
    struct program *program = argument;
    program->start.good = tier_create(&program->settings.tier, &program->server.tier, program->start.error,
                                      sizeof program->start.error);
    ev_async_send(program->loop, &program->helper_done);
    return NULL;
}

static bool start_workers(struct program *program) {
    struct server *server = &program->server;
    unsigned count = program->settings.threads;
    struct worker **workers = calloc(count, sizeof *workers);
    bool good = workers != NULL;
    server->workers = workers;
    server->worker_count = good ? count : 0;
    block_signals(true);
    for (unsigned i = 0; good && i < count; i++)
        good = (workers[i] = worker_start(server, i)) != NULL;
    program->server.maintenance = good ? maintenance_start(server->tier) : NULL;
    block_signals(false);
    return program->server.maintenance != NULL;
}

static void fail_start(struct program *program, const char *error) {
    server_log(&program->server, LOG_LEVEL_ERROR, "cannot start: %s", error);
    program->exit_status = EXIT_FAILURE;
    program->server.phase = SERVER_STOPPED;
    ev_break(program->loop, EVBREAK_ALL);
}

static void write_port_file(struct program *program) {
    const char *path = getenv("MEMCACHED_PORT_FILENAME");
    char temporary[4096];
    if (!path || snprintf(temporary, sizeof temporary, "%s.lck", path) >= (int)sizeof temporary)
        return;
    FILE *file = process_open_public(temporary);
    if (!file) {
        server_log(&program->server, LOG_LEVEL_WARNING, "MEMCACHED_PORT_FILENAME: cannot open %s: %s",
                   temporary, strerror(errno));
        return;
    }
    listener_print_ports(program->server.listener, file);
    if (program->http)
        admin_http_print_port(program->http, file);
    if (fclose(file) != 0 || rename(temporary, path) != 0)
        server_log(&program->server, LOG_LEVEL_WARNING, "MEMCACHED_PORT_FILENAME: cannot write %s: %s", path,
                   strerror(errno));
}

static void announce_space(struct program *program, const struct space_options *space) {
    char uri[512], journal[64] = "";
    if (space->backend < 0) {
        server_log_about(&program->server, LOG_KIND_UNLIMITED, LOG_LEVEL_NOTICE,
                         LOG_FIELDS(log_text("namespace", space->name)), "namespace %s: keys \"%s*\" are %s",
                         space->name, space->prefix, space->policy->name);
        return;
    }
    const struct tier_backend_options *backend = &program->settings.tier.backends[space->backend];
    backend_show_uri(backend->store.uri, uri, sizeof uri);
    if (space->policy->holds_back)
        snprintf(journal, sizeof journal, ", journal %s", journal_mode_names[space->journal]);
    server_log_about(&program->server, LOG_KIND_UNLIMITED, LOG_LEVEL_NOTICE,
                     LOG_FIELDS(log_text("namespace", space->name), log_text("backend", backend->store.name)),
                     "namespace %s: keys \"%s*\" are %s to %s (%s)%s", space->name, space->prefix,
                     space->policy->name, backend->store.name, uri, journal);
}

static void announce(struct program *program) {
    char addresses[1024];
    struct server *server = &program->server;
    listener_describe(server->listener, addresses, sizeof addresses);
    if (!*addresses)
        server_log(server, LOG_LEVEL_WARNING,
                   "no client can connect: -p 0 leaves TCP out, and there is no -s");
    server_log(server, LOG_LEVEL_NOTICE,
               "forebay " FOREBAY_VERSION " serves %s with %u threads and %zu MB of memory", addresses,
               server->worker_count, program->settings.tier.cache.memory_limit >> 20);
    if (program->settings.data)
        server_log(server, LOG_LEVEL_NOTICE, "data folder: %s", program->settings.data);
    for (size_t i = 0; i < tier_space_count(server->tier); i++)
        announce_space(program, space_options(tier_space(server->tier, i)));
}

static void tell_reload_done(void *context) {
    struct program *program = context;
    ev_async_send(program->loop, &program->reload_done);
}

static void serve(struct program *program) {
    struct server *server = &program->server;
    char error[ERROR_MAX];
    if (!listener_start(server->listener, program->loop, server, worker_hand, error, sizeof error) ||
        (program->options.pid_file && !process_write_pid(program->options.pid_file, error, sizeof error))) {
        fail_start(program, error);
        return;
    }
    program->server.phase = SERVER_SERVING;
    reload_open(server->reload, program->http, tell_reload_done, program);
    write_port_file(program);
    announce(program);
    if (program->ready_fd >= 0)
        process_ready(program->ready_fd, program->settings.verbosity > 0);
    program->ready_fd = -1;
    manager_ready(program->manager);
}

static void on_ready_timer(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)events;
    struct program *program = timer->data;
    if (!tier_is_ready(program->server.tier))
        return;
    ev_timer_stop(loop, timer);
    serve(program);
}

static void after_start(struct program *program) {
    if (!program->start.good) {
        fail_start(program, program->start.error);
        return;
    }
    if (!start_workers(program)) {
        fail_start(program, "no memory or no threads for the workers; lower -t (threads)");
        return;
    }
    watch_attach(program->server.watch, tier_cache(program->server.tier));
    program->server.phase = SERVER_LOADING;
    if (tier_is_ready(program->server.tier)) {
        serve(program);
        return;
    }
    server_log(&program->server, LOG_LEVEL_NOTICE, "preloading before clients are served");
    ev_timer_again(program->loop, &program->ready_timer);
}

/* ---- Stopping ---- */

static void *stop_one_worker(void *worker) {
    worker_stop(worker);
    return NULL;
}

/* All at once: each may take seconds for clients that read slowly. */
static void stop_workers(struct server *server) {
    pthread_t *threads = calloc(server->worker_count, sizeof *threads);
    bool *started = calloc(server->worker_count, sizeof *started);
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (!server->workers[i])
            continue;
        if (threads && started)
            started[i] = pthread_create(&threads[i], NULL, stop_one_worker, server->workers[i]) == 0;
        if (!started || !started[i])
            worker_stop(server->workers[i]);
    }
    for (unsigned i = 0; threads && started && i < server->worker_count; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
    free(threads);
    free(started);
}

static size_t count_dirty(struct tier *tier) {
    size_t dirty = 0;
    for (size_t i = 0; i < tier_space_count(tier); i++)
        dirty += cache_dirty_entries(tier_cache(tier), (int)i);
    return dirty;
}

static void *stop_and_drain(void *argument) {
    struct program *program = argument;
    reload_close(program->server.reload);
    stop_workers(&program->server);
    program->drain.before = count_dirty(program->server.tier);
    program->drain.left = tier_drain(program->server.tier, &program->drain.journaled);
    ev_async_send(program->loop, &program->helper_done);
    return NULL;
}

static unsigned longest_timeout_ms(const struct tier_options *tier) {
    unsigned timeout_ms = 0;
    for (size_t i = 0; i < tier->backend_count; i++)
        if (tier->backends[i].store.timeout_ms > timeout_ms)
            timeout_ms = tier->backends[i].store.timeout_ms;
    return timeout_ms;
}

/* Well above what a stop takes that does not hang. */
static uint64_t stop_limit_ms(const struct tier_options *tier) {
    return (uint64_t)tier->drain_timeout + STOP_GRACE_MS + longest_timeout_ms(tier);
}

static void begin_stop(struct program *program, const char *why) {
    if (program->server.phase == SERVER_STARTING) {
        server_log(&program->server, LOG_LEVEL_NOTICE, "%s: stopped before the start was complete", why);
        _exit(EXIT_SUCCESS); /* journals and backends are made for that */
    }
    if (program->server.phase == SERVER_STOPPING) {
        server_log_limited(&program->server, LOG_KIND_SIGNAL, LOG_LEVEL_NOTICE, "%s: draining is ended", why);
        tier_stop_draining(program->server.tier);
        return;
    }
    server_log(&program->server, LOG_LEVEL_NOTICE, "%s: stopping, draining for at most %u ms", why,
               program->settings.tier.drain_timeout);
    program->server.phase = SERVER_STOPPING;
    manager_stopping(program->manager, stop_limit_ms(&program->settings.tier) + MANAGER_GRACE_MS);
    last_resort_start(&program->server, stop_limit_ms(&program->settings.tier));
    ev_timer_stop(program->loop, &program->ready_timer);
    listener_stop(program->server.listener);
    if (!run_helper(program, stop_and_drain))
        stop_and_drain(program);
}

static void after_drain(struct program *program) {
    size_t left = program->drain.left, before = program->drain.before;
    size_t drained = before > left ? before - left : 0;
    if (left == 0)
        server_log(&program->server, LOG_LEVEL_NOTICE, "stopped; %zu entries drained, nothing left", drained);
    else if (program->drain.journaled >= left)
        server_log(
            &program->server, LOG_LEVEL_NOTICE,
            "stopped; %zu entries drained, %zu left, all of them in the journal: the next start replays them",
            drained, left);
    else
        server_log(
            &program->server, LOG_LEVEL_ERROR,
            "stopped; %zu entries drained, %zu left, of which the journal holds %zu: the other %zu are lost",
            drained, left, program->drain.journaled, left - program->drain.journaled);
    program->server.phase = SERVER_STOPPED;
    ev_break(program->loop, EVBREAK_ALL);
}

static void on_helper_done(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    struct program *program = async->data;
    join_helper(program);
    if (program->server.phase == SERVER_STARTING)
        after_start(program);
    else
        after_drain(program);
}

/* ---- Signals ---- */

static void warn_of_exposure(struct program *program, const struct auth *auth) {
    char warning[ERROR_MAX];
    if (auth && auth_is_exposed(auth, program->settings.auth_file, warning, sizeof warning))
        server_log(&program->server, LOG_LEVEL_WARNING, "%s", warning);
}

static void reload_configuration(struct program *program) {
    if (program->server.phase == SERVER_SERVING)
        manager_reloading(program->manager);
    block_signals(true);
    reload_ask(program->server.reload);
    block_signals(false);
}

/* A stop may have begun meanwhile, and is the last that the manager hears of. */
static void on_reload_done(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    struct program *program = async->data;
    if (program->server.phase == SERVER_SERVING)
        manager_ready(program->manager);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events) {
    (void)loop;
    (void)events;
    struct program *program = watcher->data;
    switch (watcher->signum) {
    case SIGHUP:
        reload_configuration(program);
        break;
    case SIGUSR1:
        server_log_limited(&program->server, LOG_KIND_SIGNAL, LOG_LEVEL_DEBUG, "SIGUSR1: nothing to do");
        break;
    default:
        begin_stop(program, watcher->signum == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void on_stop_asked(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    struct program *program = async->data;
    if (program->server.phase != SERVER_STOPPING)
        begin_stop(program, "shutdown");
}

/* ---- What the service manager is told ---- */

static void describe_start(struct program *program, char *ret_text, size_t size) {
    uint64_t recovered = atomic_load_explicit(&program->recovered, memory_order_relaxed);
    if (recovered > 0)
        snprintf(ret_text, size, "recovering: %" PRIu64 " records of the journal read", recovered);
    else
        snprintf(ret_text, size, "starting");
}

/* With the time, so that it changes: a preload ends by itself, however long it reads the names of what it will load. */
static void describe_load(struct program *program, char *ret_text, size_t size) {
    struct cache_stats stats;
    uint64_t seconds = (monotonic_us() - program->server.started_us) / US_PER_SECOND;
    cache_get_stats(tier_cache(program->server.tier), CACHE_ALL_SPACES, &stats);
    snprintf(ret_text, size, "preloading: %" PRIu64 " entries in memory, %" PRIu64 " s after the start",
             stats.entries, seconds);
}

static void describe_drain(struct program *program, char *ret_text, size_t size) {
    const struct cache *cache = tier_cache(program->server.tier);
    size_t entries = 0, bytes = 0;
    for (size_t i = 0; i < tier_space_count(program->server.tier); i++) {
        entries += cache_dirty_entries(cache, (int)i);
        bytes += cache_dirty_bytes(cache, (int)i);
    }
    snprintf(ret_text, size, "draining: %zu entries with %zu bytes left", entries, bytes);
}

static void describe(void *context, char *ret_text, size_t size) {
    struct program *program = context;
    enum server_phase phase = program->server.phase;
    size_t used;
    switch (phase) {
    case SERVER_STARTING:
        describe_start(program, ret_text, size);
        return;
    case SERVER_LOADING:
        describe_load(program, ret_text, size);
        return;
    case SERVER_SERVING:
        used = (size_t)snprintf(ret_text, size, "serving ");
        listener_describe(program->server.listener, ret_text + used, size - used);
        return;
    case SERVER_STOPPING:
    case SERVER_STOPPED:
        describe_drain(program, ret_text, size);
    }
}

static bool is_alive(void *context) {
    struct program *program = context;
    return health_is_live(&program->server);
}

/* ---- The loop ---- */

static void on_log_timer(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct program *program = timer->data;
    server_log_left_out(&program->server);
    if (program->server.phase == SERVER_SERVING)
        tier_tell_left_out(program->server.tier);
}

static void on_heard(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    *(bool *)async->data = true;
}

/* libev does not say when the kernel refuses to watch the descriptor by which it hears of signals and threads. The
 * start would then wait for ever, deaf to SIGTERM; a second round makes libev say it, and abort, or tells us. */
static bool loop_hears(struct ev_loop *loop) {
    enum { ROUNDS = 3 };
    bool heard = false;
    ev_async call;
    ev_async_init(&call, on_heard);
    call.data = &heard;
    ev_async_start(loop, &call);
    for (int i = 0; i < ROUNDS && !heard; i++) {
        ev_run(loop, EVRUN_NOWAIT); /* the descriptor is watched from the first round on */
        ev_async_send(loop, &call);
    }
    ev_run(loop, EVRUN_NOWAIT);
    ev_async_stop(loop, &call);
    return heard;
}

static bool prepare_loop(struct program *program) {
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at the limit of ulimit -f: the write fails, as on a full disk */
    program->loop = ev_default_loop(EVFLAG_AUTO);
    if (!program->loop)
        return false;
    for (int i = 0; i < SIGNALS; i++) {
        ev_signal_init(&program->signals[i], on_signal, numbers[i]);
        program->signals[i].data = program;
        ev_signal_start(program->loop, &program->signals[i]);
    }
    ev_async_init(&program->helper_done, on_helper_done);
    ev_async_init(&program->stop_asked, on_stop_asked);
    ev_async_init(&program->reload_done, on_reload_done);
    program->helper_done.data = program->stop_asked.data = program->reload_done.data = program;
    ev_async_start(program->loop, &program->helper_done);
    ev_async_start(program->loop, &program->stop_asked);
    ev_async_start(program->loop, &program->reload_done);
    ev_init(&program->ready_timer, on_ready_timer);
    program->ready_timer.repeat = 0.02;
    program->ready_timer.data = program;
    ev_init(&program->log_timer, on_log_timer);
    program->log_timer.repeat = LOG_SECONDS;
    program->log_timer.data = program;
    ev_timer_again(program->loop, &program->log_timer);
    return loop_hears(program->loop);
}

static void log_lines(struct program *program, enum log_level level, const char *lines) {
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        server_log(&program->server, level, "%.*s", (int)(end - lines), lines);
}

static void log_notices(struct program *program) {
    if (program->activation.count > 0)
        server_log(
            &program->server, LOG_LEVEL_NOTICE,
            "the service manager hands over the sockets of clients: listen, -l, -p and -s are not used");
    buffer_append(&program->options.notices, "", 1);
    if (!program->options.notices.failed)
        log_lines(program, LOG_LEVEL_NOTICE, program->options.notices.data);
    if (program->config)
        log_lines(program, LOG_LEVEL_WARNING, config_warnings(program->config));
    warn_of_exposure(program, atomic_load(&program->server.auth));
    risks_tell(&program->settings, program->connections_wanted, program->options.user,
               program->activation.count > 0, on_risk, program);
}

static bool start_http(struct program *program, char *error, size_t error_size) {
    if (!admin_http_start(program->http, error, error_size))
        return false;
    server_log(&program->server, LOG_LEVEL_NOTICE, "admin HTTP: http://%s/",
               admin_http_address(program->http));
    return true;
}

static int run(struct program *program) {
    struct server *server = &program->server;
    char error[ERROR_MAX];
    if (program->options.daemonize && (program->ready_fd = process_daemonize()) < 0)
        return complain(program, "-d: cannot fork", EXIT_FAILURE);
    if (program->options.lock_memory && mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        server_log(server, LOG_LEVEL_WARNING, "-k: the memory cannot be locked: %s; raise ulimit -l",
                   strerror(errno));
    if (program->settings.data && !process_check_folder(program->settings.data, error, sizeof error))
        return complain(program, error, EXIT_FAILURE);
    server->started_us = monotonic_us();
    server->started_wall_us = wall_us();
    server->detail = stats_detail_create(program->settings.stats_prefix_delimiter, program->settings.detail);
    server->feeds = feeds_create();
    server->watch = server->feeds ? watch_create(server->feeds, program->settings.watch_buffer) : NULL;
    if (!server->detail || !server->watch || !prepare_loop(program))
        return complain(
            program, "no memory for the event loop, or the system watches no more descriptors for this user",
            EXIT_FAILURE);
    log_notices(program);
    program->manager =
        manager_create(program->loop, describe, is_alive,
                       START_STEP_MS + (uint64_t)longest_timeout_ms(&program->settings.tier), program);
    if (program->http && !start_http(program, error, sizeof error))
        return complain(program, error, EXIT_FAILURE);
    if (!run_helper(program, start_tier))
        return complain(program, "no thread can be started", EXIT_FAILURE);
    ev_run(program->loop, 0);
    return program->exit_status;
}

/* ---- Before the loop ---- */

static void connect_parts(struct program *program) {
    struct settings *settings = &program->settings;
    settings->tier.cache.item_max = settings->item_max;
    settings->tier.cache.threads = settings->threads;
    settings->tier.workers = settings->threads;
    settings->tier.wake = on_wake;
    settings->tier.log = on_log;
    settings->tier.context = program;
    settings->tier.recovered = &program->recovered;
    program->server.settings = settings;
    program->server.stop = server_stop;
    atomic_init(&program->server.verbosity, settings->verbosity);
    atomic_init(&program->server.crawler, settings->crawler);
}

/* What the service manager hands over is served in place of what would be bound for the same. */
static bool create_sockets(struct program *program, char *error, size_t error_size) {
    struct server *server = &program->server;
    struct activation *activation = &program->activation;
    if (!activation_read(activation, error, error_size))
        return false;
    int admin = activation_take(activation, "admin");
    if ((admin >= 0 || program->settings.admin) &&
        !(program->http = admin_http_create(server, admin, error, error_size)))
        return false;
    server->listener = activation->count > 0
                           ? listener_adopt(&program->settings, activation, error, error_size)
                           : listener_create(&program->settings, error, error_size);
    return server->listener != NULL;
}

/* What may need root comes first, then the privileges go. */
static bool prepare_process(struct program *program, char *error, size_t error_size) {
    struct settings *settings = &program->settings;
    struct server *server = &program->server;
    unsigned connections = program->connections_wanted = settings->max_connections;
    if (settings->auth_file) {
        struct auth *auth = auth_load(settings->auth_file, error, error_size);
        if (!auth)
            return false;
        atomic_init(&server->auth, auth);
    }
    if ((program->options.core_dumps && !process_raise_core_limit(error, error_size)) ||
        !process_raise_descriptors(process_own_descriptors(settings), &connections, error, error_size))
        return false;
    settings->max_connections = connections;
    return create_sockets(program, error, error_size) &&
           process_become(program->options.user, error, error_size) &&
           listener_bind_unix(server->listener, error, error_size);
}

static int start(struct program *program, int argc, char **argv) {
    char error[ERROR_MAX];
    connect_parts(program);
    if (program->options.action == OPTIONS_CHECK)
        return check_start(&program->settings, program->config, &program->options);
    program->server.reload = reload_create(&program->server, &program->settings, argc, argv);
    if (!program->server.reload)
        return complain(program, "no memory", EXIT_FAILURE);
    if (!prepare_process(program, error, sizeof error))
        return complain(program, error, EXIT_FAILURE);
    return run(program);
}

static int read_settings(struct program *program, int argc, char **argv) {
    char error[ERROR_MAX];
    enum config_reading reading =
        config_read(argc, argv, &program->settings, &program->options, &program->config, error, sizeof error);
    program->server.log_form.format =
        program->settings.log_format; /* as far as it is known, for what is wrong, too */
    switch (reading) {
    case CONFIG_READ:
        return EXIT_SUCCESS;
    case CONFIG_BAD_OPTIONS:
        return complain(program, error, EXIT_USAGE);
    case CONFIG_BAD_FILE:
        return complain(program, error, EXIT_CONFIGURATION);
    }
    return EXIT_FAILURE;
}

/* What was printed may have gone into a file on a full disk, and is not taken for the whole then. */
static int end_output(const struct program *program, int status) {
    char error[ERROR_MAX];
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    snprintf(error, sizeof error, "cannot write to standard output: %s", strerror(errno));
    return complain(program, error, EXIT_FAILURE);
}

static int act(struct program *program, int argc, char **argv) {
    int status = read_settings(program, argc, argv);
    if (status != EXIT_SUCCESS)
        return status;
    switch (program->options.action) {
    case OPTIONS_HELP:
        manual_print(program->options.help_topic, stdout);
        return EXIT_SUCCESS;
    case OPTIONS_VERSION:
        puts("forebay " FOREBAY_VERSION " (speaks memcached 1.6.45)");
        return EXIT_SUCCESS;
    case OPTIONS_LICENSE:
        options_print_license(stdout);
        return EXIT_SUCCESS;
    case OPTIONS_JOURNAL_DUMP:
        return journal_dump(program->options.journal_folder, stdout);
    case OPTIONS_PRINT_CONFIG:
        config_print(&program->settings, program->config, &program->options, stdout);
        return EXIT_SUCCESS;
    case OPTIONS_SERVE:
    case OPTIONS_CHECK:
        break;
    }
    return start(program, argc, argv);
}

static void free_program(struct program *program) {
    struct server *server = &program->server;
    admin_http_free(program->http);
    if (program->server.phase == SERVER_STOPPED && program->exit_status != EXIT_SUCCESS && server->workers)
        stop_workers(server); /* the start failed after they ran */
    maintenance_stop(program->server.maintenance);
    if (server->tier)
        tier_destroy(server->tier);
    for (unsigned i = 0; i < server->worker_count; i++)
        if (server->workers[i])
            worker_free(server->workers[i]);
    free(server->workers);
    listener_free(server->listener);
    auth_free(atomic_load(&server->auth));
    reload_free(server->reload);
    stats_detail_free(server->detail);
    feeds_free(server->feeds);
    watch_free(server->watch);
    if (program->options.pid_file && program->server.phase == SERVER_STOPPED &&
        program->exit_status == EXIT_SUCCESS)
        unlink(program->options.pid_file);
    manager_free(program->manager);
    if (program->loop)
        ev_loop_destroy(program->loop);
    options_free(&program->options);
    config_free(program->config);
}

int main(int argc, char **argv) {
    struct program program = {.ready_fd = -1};
    standard_files_hold();
    umask(S_IRWXG |
          S_IRWXO); /* whatever is made holds data, also what a library makes, or the system of a crash */
    program.server.log_form.is_journal = log_is_journal(STDERR_FILENO, getenv("JOURNAL_STREAM"));
    int status = end_output(&program, act(&program, argc, argv));
    free_program(&program);
    return status;
}
