/* SPDX-License-Identifier: MIT */
/* STARTING, LOADING: from the helper that makes the tier to the first client. */
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "policies/journal/journal.h"
#include "policies/policy.h"
#include "server/admin/watch.h"
#include "server/config/config.h"
#include "server/http/admin_http.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/maintenance.h"
#include "server/manager.h"
#include "server/pid_file.h"
#include "server/process.h"
#include "server/program/program.h"
#include "server/public_file.h"
#include "server/reload.h"
#include "server/rotation.h"
#include "server/worker/auth/prover.h"
#include "server/worker/auth/users.h"
#include "server/worker/io/io.h"
#include "server/worker/io/ring_setup.h"
#include "server/worker/processors.h"
#include "server/worker/worker.h"
#include <errno.h>
#include <stdlib.h>

void *program_start_tier(void *context) {
    struct program *program = context;
    program->start.good = tier_create(&program->settings.tier, &program->server.tier, program->start.error,
                                      sizeof program->start.error);
    program_helper_ends(program);
    return NULL;
}

#define NO_THREADS "no memory or no threads for the workers; lower -t (threads), or raise ulimit -u or -v"
#define NO_DESCRIPTORS                                                                                       \
    "no descriptors for the workers: raise the limit of open files (ulimit -n), or lower -t (threads)"

/* What stands in the way of workers, whichever way they talk with the kernel. */
static const char *reason_without_workers(int error) {
    return error == EMFILE || error == ENFILE ? NO_DESCRIPTORS : NO_THREADS;
}

static void free_workers(struct worker **workers, unsigned count) {
    for (unsigned i = 0; workers && i < count; i++)
        if (workers[i])
            worker_free(workers[i]);
    free(workers);
}

/* None of them runs yet. NULL: errno, and *ret_lacks_io is that of worker_create. */
static struct worker **create_workers(struct server *server, const struct io_type *io_type, unsigned count,
                                      bool *ret_lacks_io) {
    struct worker **workers = calloc(count, sizeof *workers);
    bool good = workers != NULL;
    *ret_lacks_io = false;
    for (unsigned i = 0; good && i < count; i++)
        good = (workers[i] = worker_create(server, io_type, i, ret_lacks_io)) != NULL;
    if (good)
        return workers;
    int error = errno;
    free_workers(workers, count);
    errno = error;
    return NULL;
}

/* All of them talk with the kernel in the same way: where one lacks its ring, none has one. */
static bool make_workers(struct program *program) {
    struct server *server = &program->server;
    unsigned count = program->settings.threads;
    enum io_kind wanted = program->settings.io;
    bool lacks_io = false;
    const char *reason;
    const struct io_type *io_type = io_choose(wanted, &reason);
    struct worker **workers = io_type ? create_workers(server, io_type, count, &lacks_io) : NULL;
    if (!workers && io_type == &io_ring && lacks_io) {
        reason = io_ring_reason(errno);
        io_type = wanted == IO_AUTO ? &io_epoll : NULL;
        workers = io_type ? create_workers(server, io_type, count, &lacks_io) : NULL;
    }
    if (!io_type)
        fit_print(program->start.error, sizeof program->start.error, IO_REFUSED, reason);
    else if (!workers)
        fit_print(program->start.error, sizeof program->start.error, "%s", reason_without_workers(errno));
    else if (reason)
        server_log(server, LOG_LEVEL_NOTICE, IO_REPLACED, reason);
    server->workers = workers;
    server->worker_count = workers ? count : 0;
    return workers != NULL;
}

/* Before the first client. */
static bool start_prover(struct program *program) {
    struct server *server = &program->server;
    struct users *users = atomic_load(&server->users);
    if (!users)
        return true;
    users_resolve(users, server->tier);
    server->prover = prover_create();
    if (!server->prover)
        fit_print(program->start.error, sizeof program->start.error,
                  "no memory or no thread to prove passwords with");
    return server->prover != NULL;
}

static bool start_workers(struct program *program) {
    struct server *server = &program->server;
    if (!start_prover(program) || !make_workers(program))
        return false;
    bool good = true;
    program_block_signals(true);
    for (unsigned i = 0; good && i < server->worker_count; i++)
        good = worker_run(server->workers[i]);
    server->maintenance = good ? maintenance_start(server->tier) : NULL;
    program_block_signals(false);
    if (!server->maintenance)
        fit_print(program->start.error, sizeof program->start.error, NO_THREADS);
    return server->maintenance != NULL;
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
    FILE *file = public_file_open(temporary);
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

/* Nobody needs to have thought of the default: on a small machine it is no news that some of these rest. */
static bool threads_are_given(const struct program *program) {
    return options_origin(&program->options, "threads") ||
           (program->config && config_gives(program->config, "threads"));
}

static void announce(struct program *program) {
    char addresses[1024];
    struct server *server = &program->server;
    listener_describe(server->listener, addresses, sizeof addresses);
    if (!*addresses)
        server_log(server, LOG_LEVEL_WARNING,
                   "no client can connect: -p 0 leaves TCP out, and there is no -s");
    server_log(server, LOG_LEVEL_NOTICE, "forebay " FOREBAY_VERSION " serves %s with %s and %zu MB of memory",
               *addresses ? addresses : "nobody", count_text(server->worker_count, "thread", "threads").text,
               program->settings.tier.cache.memory_limit >> 20);
    if (threads_are_given(program))
        rotation_tell_rest(server, LOG_KIND_UNLIMITED);
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
    if (!sandbox_complete(&program->sandbox, error, sizeof error) ||
        !listener_start(server->listener, program->loop, server, worker_hand, processors_of_workers, error,
                        sizeof error) ||
        (program->options.pid_file &&
         !pid_file_write(program->options.pid_file, &program->pid_file, error, sizeof error))) {
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

bool program_tries_to_serve(struct program *program) {
    if (!tier_is_ready(program->server.tier))
        return false;
    serve(program);
    return true;
}

void program_go_on(struct program *program) {
    if (!program->start.good) {
        fail_start(program, program->start.error);
        return;
    }
    if (!start_workers(program)) {
        fail_start(program, program->start.error);
        return;
    }
    watch_attach(program->server.watch, tier_cache(program->server.tier));
    program->server.phase = SERVER_LOADING;
    if (program_tries_to_serve(program))
        return;
    server_log(&program->server, LOG_LEVEL_NOTICE, "preloading before clients are served");
    ev_timer_again(program->loop, &program->ready_timer);
}
