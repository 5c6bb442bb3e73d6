/* SPDX-License-Identifier: MIT */
/*
 * The program: from the command line to a serving process, and from SIGTERM to an empty dirty queue.
 *
 *     read options and configuration -> bind -> drop privileges -> background -> sandbox -> loop
 *
 *     STARTING  a helper thread makes the tier (opens backends, recovers journals), so that signals are heard
 *     LOADING   the workers run; preloads that are to be waited for
 *     SERVING   the listener accepts
 *     STOPPING  a helper thread stops the workers, drains, and ends the threads of the tier; a second SIGTERM ends the drain
 *     STOPPED   the loop has ended; everything is taken down
 *
 * Each of these is a file of this folder: starting.c, stopping.c, loop.c (what the main thread hears), told.c (what the
 * service manager is told).
 */
#include "cache/base/fit.h"
#include "cache/base/standard_files.h"
#include "policies/journal/journal.h"
#include "policies/service.h"
#include "server/admin/feed.h"
#include "server/admin/stats_detail.h"
#include "server/admin/watch.h"
#include "server/check.h"
#include "server/config/config.h"
#include "server/config/manual.h"
#include "server/config/print.h"
#include "server/config/read.h"
#include "server/http/admin_http.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/log_line.h"
#include "server/maintenance.h"
#include "server/manager.h"
#include "server/pid_file.h"
#include "server/privileges.h"
#include "server/process.h"
#include "server/program/program.h"
#include "server/reload.h"
#include "server/risks.h"
#include "server/tls/context.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/prover.h"
#include "server/worker/auth/users.h"
#include "server/worker/worker.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CONFIGURATION = 78 };
enum { START_STEP_MS = 90000 }; /* of a start, besides what a backend takes: the manager's own default */

/* Whoever asks something of the program at a terminal is answered plainly; a server's last words have the form of its
 * log. */
static int complain(const struct program *program, const char *error, int status) {
    if (program->options.action == OPTIONS_SERVE)
        server_complain(&program->server, error);
    else
        fprintf(stderr, "forebay: %s\n", error);
    return status;
}

/* ---- What the tier and the workers call ---- */

static void on_wake(void *context, unsigned worker) {
    struct program *program = context;
    struct worker *const *workers = program->server.workers;
    if (workers && workers[worker])
        worker_wake(workers[worker]);
}

_Static_assert((int)SERVICE_MESSAGE_SIZE <= (int)LOG_MESSAGE_MAX, "what the tier has to say is told whole");

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

/* ---- The loop, from before it to its end ---- */

static void warn_of_exposure(struct program *program, const struct auth *auth) {
    char warning[ERROR_MAX];
    if (auth && auth_is_exposed(auth, program->settings.auth_file, warning, sizeof warning))
        server_log(&program->server, LOG_LEVEL_WARNING, "%s", warning);
}

static void on_exposed(void *context, const char *message) {
    on_log(context, LOG_LEVEL_WARNING, NULL, message);
}

static void warn_of_certificate(struct program *program) {
    char warning[ERROR_MAX];
    if (program->server.tls && tls_warns(program->server.tls, &program->settings, warning, sizeof warning))
        server_log(&program->server, LOG_LEVEL_WARNING, "%s", warning);
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
    if (atomic_load(&program->server.users))
        users_tell_exposed(atomic_load(&program->server.users), on_exposed, program);
    warn_of_certificate(program);
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

/* All that is left needs no rights, and runs inside. */
static bool enter_sandbox(struct program *program, char *error, size_t error_size) {
    struct buffer text = {0};
    bool good =
        privileges_seal(program->options.core_dumps, program->options.lock_memory, error, error_size) &&
        sandbox_enter(&program->sandbox, &program->settings, &program->options, &text, error, error_size);
    if (good && text.size && !text.failed)
        server_log(&program->server, LOG_LEVEL_NOTICE, "%.*s", (int)text.size, text.data);
    buffer_free(&text);
    return good;
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
    if (!enter_sandbox(program, error, sizeof error))
        return complain(program, error, EXIT_FAILURE);
    server->started_us = monotonic_us();
    server->started_wall_us = wall_us();
    server->detail = stats_detail_create(program->settings.stats_prefix_delimiter, program->settings.detail);
    server->feeds = feeds_create();
    server->watch = server->feeds ? watch_create(server->feeds, program->settings.watch_buffer) : NULL;
    if (!server->detail || !server->watch || !program_prepare_loop(program))
        return complain(
            program, "no memory for the event loop, or the system watches no more descriptors for this user",
            EXIT_FAILURE);
    log_notices(program);
    program->manager = manager_create(
        program->loop, program_describe, program_is_alive,
        START_STEP_MS + (uint64_t)program_longest_timeout_ms(&program->settings.tier), program);
    if (program->http && !start_http(program, error, sizeof error))
        return complain(program, error, EXIT_FAILURE);
    if (!program_run_helper(program, program_start_tier))
        return complain(program, "no thread can be started", EXIT_FAILURE);
    ev_run(program->loop, 0);
    return program_status(program);
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

static bool load_certificate(struct program *program, char *error, size_t error_size) {
    struct server *server = &program->server;
    if (!listener_uses_tls(server->listener))
        return true;
    struct tls_context *context = tls_context_load(&program->settings, error, error_size);
    server->tls = context ? tls_create(context) : NULL;
    if (context && !server->tls) {
        fit_print(error, error_size, "no memory for the certificate");
        tls_context_free(context);
    }
    return server->tls != NULL;
}

static bool load_credentials(struct program *program, char *error, size_t error_size) {
    const struct settings *settings = &program->settings;
    if (settings->auth_file)
        atomic_init(&program->server.auth, auth_load(settings->auth_file, error, error_size));
    if (settings->user_count > 0)
        atomic_init(&program->server.users, users_load(settings, error, error_size));
    return settings_ask_who(settings) ==
           (atomic_load(&program->server.auth) || atomic_load(&program->server.users));
}

/* Before anything is loaded. It is written, and held, when the server serves. */
static bool judge_pid_file(struct program *program, char *error, size_t error_size) {
    const char *path = program->options.pid_file;
    char warning[ERROR_MAX];
    if (!path)
        return true;
    if (!pid_file_judge(path, 0, error, error_size))
        return false;
    if (pid_file_warns(path, warning, sizeof warning))
        server_log(&program->server, LOG_LEVEL_WARNING, "%s", warning);
    return true;
}

/* What may need root comes first, then the privileges go. */
static bool prepare_process(struct program *program, char *error, size_t error_size) {
    struct settings *settings = &program->settings;
    struct server *server = &program->server;
    unsigned connections = program->connections_wanted = settings->max_connections;
    if (!load_credentials(program, error, error_size) ||
        (program->options.core_dumps && !process_raise_core_limit(error, error_size)) ||
        !process_raise_descriptors(process_own_descriptors(settings), &connections, error, error_size))
        return false;
    settings->max_connections = connections;
    return create_sockets(program, error, error_size) && load_certificate(program, error, error_size) &&
           privileges_become(program->options.user, error, error_size) &&
           judge_pid_file(program, error, error_size) &&
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
    fit_print(error, sizeof error, "cannot write to standard output: %s", strerror(errno));
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
        return journal_dump(program->options.journal_folder, stdout, stderr);
    case OPTIONS_HASH:
        return program_hash_password(program->options.hash_cost);
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
        program_stop_workers(server); /* the start failed after they ran */
    maintenance_stop(program->server.maintenance);
    if (server->tier)
        tier_destroy(server->tier);
    prover_free(server->prover); /* tells workers */
    for (unsigned i = 0; server->workers && i < server->worker_count; i++)
        if (server->workers[i])
            worker_free(server->workers[i]);
    free(server->workers);
    listener_free(server->listener);
    tls_free(server->tls);
    auth_free(atomic_load(&server->auth));
    users_free(atomic_load(&server->users));
    reload_free(server->reload);
    stats_detail_free(server->detail);
    feeds_free(server->feeds);
    watch_free(server->watch);
    pid_file_remove(program->options.pid_file, program->pid_file);
    manager_free(program->manager);
    if (program->loop)
        ev_loop_destroy(program->loop);
    options_free(&program->options);
    config_free(program->config);
}

int main(int argc, char **argv) {
    struct program program = {.ready_fd = -1, .pid_file = -1};
    standard_files_hold();
    process_divide_addresses();
    umask(S_IRWXG |
          S_IRWXO); /* whatever is made holds data, also what a library makes, or the system of a crash */
    program.server.log_form.is_journal = log_is_journal(STDERR_FILENO, getenv("JOURNAL_STREAM"));
    int status = end_output(&program, act(&program, argc, argv));
    free_program(&program);
    return status;
}
