/* SPDX-License-Identifier: MIT */
#include "server/check.h"
#include "cache/base/fit.h"
#include "policies/journal/folder_lock.h"
#include "policies/journal/journal.h"
#include "policies/write/rehearsal.h"
#include "server/config/address.h"
#include "server/http/socket.h"
#include "server/http/token.h"
#include "server/listener.h"
#include "server/log_line.h"
#include "server/neighbour.h"
#include "server/pid_file.h"
#include "server/privileges.h"
#include "server/process.h"
#include "server/risks.h"
#include "server/tls/context.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/users.h"
#include "server/worker/io/io.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    ERROR_MAX = 1024,
    LINE_MAX_SHOWN = 16384,
    FILE_SIZE_LEAST = 32 << 10 /* bytes; of low-water, and of an empty database */
};

struct check {
    struct settings *settings;
    const struct options *options;
    long running; /* pid of the server that runs with this data folder or pid file; 0: none that is known */
    bool failed;
};

/* ---- Saying ---- */

static void fail(struct check *check, const char *error) {
    fprintf(stderr, "forebay: %s\n", error);
    check->failed = true;
}

static void say(void *context, enum log_level level, const char *message) {
    (void)context;
    if (level == LOG_LEVEL_WARNING)
        fprintf(stderr, "forebay: warning: %s\n", message);
    else
        printf("%s\n", message);
}

static void say_lines(struct buffer *lines) {
    if (lines->size && !lines->failed)
        printf("%.*s", (int)lines->size, lines->data);
}

static void say_warnings(const char *lines) {
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        fprintf(stderr, "forebay: warning: %.*s\n", (int)(end - lines), lines);
}

/* ---- The process ---- */

static void check_auth_file(struct check *check) {
    char said[ERROR_MAX];
    const char *path = check->settings->auth_file;
    struct auth *auth = path ? auth_load(path, said, sizeof said) : NULL;
    if (path && !auth)
        fail(check, said);
    else if (auth && auth_is_exposed(auth, path, said, sizeof said))
        say(NULL, LOG_LEVEL_WARNING, said);
    auth_free(auth);
}

static void on_exposed(void *context, const char *message) {
    (void)context;
    say(NULL, LOG_LEVEL_WARNING, message);
}

/* One after the other: whoever is wrong in one file may be so in others. */
static void check_user_file(struct check *check, const struct user_options *user) {
    char said[ERROR_MAX], error[ERROR_MAX];
    struct settings one = *check->settings;
    one.users = user;
    one.user_count = 1;
    struct users *users = users_load(&one, said, sizeof said);
    if (users) {
        users_tell_exposed(users, on_exposed, NULL);
    } else {
        fit_print(error, sizeof error, "%s:%d: %s", one.config_file, user->password_line, said);
        fail(check, error);
    }
    users_free(users);
}

static void check_users(struct check *check) {
    for (size_t i = 0; i < check->settings->user_count; i++)
        check_user_file(check, &check->settings->users[i]);
}

/* A start that has no address to encrypt leaves the files alone, unless it is handed a socket for TLS. */
static void check_certificate(struct check *check) {
    char said[ERROR_MAX];
    if (!check->settings->tls_certificate)
        return;
    struct tls_context *context = tls_context_load(check->settings, said, sizeof said);
    if (!context && settings_use_tls(check->settings))
        fail(check, said);
    else if (!context)
        say(NULL, LOG_LEVEL_WARNING, said);
    else if (tls_context_warns(context, check->settings, said, sizeof said))
        say(NULL, LOG_LEVEL_WARNING, said);
    tls_context_free(context);
}

static void check_limits(struct check *check) {
    char error[ERROR_MAX];
    struct settings *settings = check->settings;
    if (check->options->core_dumps && !process_raise_core_limit(error, sizeof error))
        fail(check, error);
    unsigned connections = settings->max_connections;
    if (!process_raise_descriptors(process_own_descriptors(settings), &connections, error, sizeof error))
        fail(check, error);
    settings->max_connections = connections;
}

/* What grows in the data folder, above all the journal, stops growing there. */
static void check_file_size(struct check *check) {
    char said[ERROR_MAX];
    struct rlimit limit;
    const struct settings *settings = check->settings;
    size_t file_size =
        settings->tier.journal_file_size ? settings->tier.journal_file_size : JOURNAL_FILE_SIZE_DEFAULT;
    if (!settings->data || getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= file_size)
        return;
    bool any = limit.rlim_cur >= FILE_SIZE_LEAST;
    fit_print(said, sizeof said,
              "a file of this process may have %llu kB at most, %s: raise ulimit -f (LimitFSIZE= in systemd)",
              (unsigned long long)limit.rlim_cur >> 10,
              any ? "and the journal makes larger ones, or changes are refused (journal_file_size)"
                  : "and a start cannot write its own then");
    if (any)
        say(NULL, LOG_LEVEL_WARNING, said);
    else
        fail(check, said);
}

/* As late as at a start: who has given up root may lock less. */
static void check_memory_lock(const struct check *check) {
    char warning[ERROR_MAX];
    if (!check->options->lock_memory)
        return;
    if (mlockall(MCL_CURRENT) != 0) {
        fit_print(warning, sizeof warning, "-k: the memory cannot be locked: %s; raise ulimit -l",
                  strerror(errno));
        say(NULL, LOG_LEVEL_WARNING, warning);
    }
    munlockall();
}

static void check_io(struct check *check) {
    char said[ERROR_MAX];
    const char *reason;
    const struct io_type *io_type = io_choose(check->settings->io, &reason);
    if (!reason)
        return;
    fit_print(said, sizeof said, io_type ? IO_REPLACED : IO_REFUSED, reason);
    if (io_type)
        say(NULL, LOG_LEVEL_NOTICE, said);
    else
        fail(check, said);
}

static void check_user(struct check *check) {
    char error[ERROR_MAX];
    if (!privileges_become(check->options->user, error, sizeof error))
        fail(check, error);
}

static void check_pid_file(struct check *check) {
    char error[ERROR_MAX];
    const char *path = check->options->pid_file;
    if (path && !pid_file_judge(path, check->running, error, sizeof error))
        fail(check, error);
    else if (path && check->running == 0 && pid_file_warns(path, error, sizeof error))
        say(NULL, LOG_LEVEL_WARNING, error);
}

/* ---- Addresses ---- */

/* Whether it is for the server that runs that a port could not be bound. EACCES: one below 1024, and it had the
 * right. */
static bool is_neighbours(const struct check *check, int port, int error) {
    return (error == EADDRINUSE || error == EACCES) && port > 0 && neighbour_has_port(check->running, port);
}

/* Binds as a start does, and lets go at once. text NULL: all interfaces. */
static void check_tcp(struct check *check, const char *text, int port) {
    char error[ERROR_MAX];
    struct settings one = *check->settings;
    one.unix_socket = NULL;
    one.listen = &text;
    one.listen_count = text ? 1 : 0;
    struct listener *listener = listener_create(&one, error, sizeof error);
    if (!listener && is_neighbours(check, port, errno))
        printf("%s, port %d: taken by the server that runs, pid %ld\n", text ? text : "all interfaces", port,
               check->running);
    else if (!listener)
        fail(check, error);
    listener_free(listener);
}

static void check_unix(struct check *check, const char *path) {
    char error[ERROR_MAX];
    if (neighbour_has_socket(check->running, path))
        printf("unix:%s: taken by the server that runs, pid %ld\n", path, check->running);
    else if (!listener_judge_unix(path, error, sizeof error))
        fail(check, error);
}

static void check_address(struct check *check, const char *text, bool is_unix) {
    char error[ERROR_MAX];
    struct listen_address address;
    if (!address_parse(text, &address, error, sizeof error))
        fail(check, error);
    else if (address.is_unix && is_unix)
        check_unix(check, address.host);
    else if (!address.is_unix && !is_unix && check->settings->port != PORT_NONE)
        check_tcp(check, text, settings_port(check->settings, address.port));
}

static void check_addresses(struct check *check, bool is_unix) {
    const struct settings *settings = check->settings;
    for (size_t i = 0; i < settings->listen_count; i++)
        check_address(check, settings->listen[i], is_unix);
    if (is_unix && settings->unix_socket)
        check_unix(check, settings->unix_socket);
    if (!is_unix && settings->listen_count == 0 && !settings->unix_socket && settings->port != PORT_NONE)
        check_tcp(check, NULL, settings->port);
}

static bool token_is_good(const char *path, char *error, size_t error_size) {
    struct token token;
    return !path || token_load(path, &token, error, error_size);
}

static void check_admin(struct check *check) {
    char error[ERROR_MAX];
    struct listen_address address;
    if (!check->settings->admin)
        return;
    if (!token_is_good(check->settings->admin_token_file, error, sizeof error))
        fail(check, error);
    struct http_socket socket;
    if (http_socket_bind(check->settings->admin, &socket, error, sizeof error)) {
        close(socket.fd);
        return;
    }
    int why = errno;
    if (address_parse_admin(check->settings->admin, &address, (char[ERROR_MAX]){0}, ERROR_MAX) &&
        is_neighbours(check, address.port, why))
        printf("admin, %s: taken by the server that runs, pid %ld\n", check->settings->admin, check->running);
    else
        fail(check, error);
}

/* ---- Data and backends ---- */

static void find_running(struct check *check) {
    const char *data = check->settings->data, *pid_file = check->options->pid_file;
    bool held = data && folder_lock_is_held(data);
    check->running = held ? folder_lock_holder(data) : pid_file ? neighbour_of_pid_file(pid_file) : 0;
    if (held && check->running)
        printf("the data folder %s is in use by the server that runs, pid %ld\n", data, check->running);
    else if (held)
        printf("the data folder %s is in use by a server whose pid is not known\n", data);
}

/* Lines that quote a store, or a file of the data folder, whoever wrote that. */
static void put_plain(FILE *out, const char *lines) {
    char plain[LINE_MAX_SHOWN];
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
        char *line = strndup(lines, (size_t)(end - lines));
        if (line)
            fprintf(out, "%.*s\n", (int)log_plain(line, plain, sizeof plain), plain);
        free(line);
    }
}

static bool rehearse_plainly(const struct tier_options *options, bool asks_backends, long running) {
    char *said[2] = {NULL, NULL};
    size_t sizes[2];
    FILE *notes = open_memstream(&said[0], &sizes[0]), *complaints = open_memstream(&said[1], &sizes[1]);
    bool good = notes && complaints && rehearse(options, asks_backends, running, notes, complaints);
    if (notes)
        fclose(notes);
    if (complaints)
        fclose(complaints);
    put_plain(stdout, said[0] ? said[0] : "");
    put_plain(stderr, said[1] ? said[1] : "forebay: no memory\n");
    free(said[0]);
    free(said[1]);
    return good;
}

static void check_tier(struct check *check) {
    char error[ERROR_MAX];
    const struct settings *settings = check->settings;
    if (settings->data && !process_would_take_folder(settings->data, error, sizeof error)) {
        fail(check, error); /* nothing in it can be looked at then */
        return;
    }
    if (!rehearse_plainly(&settings->tier, !check->options->offline, check->running))
        check->failed = true;
}

static void *check_tier_here(void *context) {
    check_tier(context);
    return NULL;
}

/* As a start has it made: by a thread, whose stack is large enough, however small ulimit -s makes this one's. */
static void check_tier_apart(struct check *check) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, check_tier_here, check) == 0)
        pthread_join(thread, NULL);
    else
        fail(check, "no thread can be started");
}

/* ---- The whole ---- */

int check_start(struct settings *settings, struct config *config, struct options *options) {
    struct check check = {.settings = settings, .options = options};
    unsigned connections_wanted = settings->max_connections;
    signal(SIGPIPE, SIG_IGN); /* a backend may hang up */
    signal(SIGXFSZ, SIG_IGN); /* what is printed may go into a file */
    say_lines(&options->notices);
    say_warnings(config_warnings(config));
    find_running(&check);
    check_auth_file(&check);
    check_users(&check);
    check_certificate(&check);
    check_limits(&check);
    check_file_size(&check);
    check_admin(&check);
    check_addresses(&check, false);
    check_user(&check);
    check_addresses(&check, true);
    check_memory_lock(&check);
    check_io(&check);
    check_tier_apart(&check);
    check_pid_file(&check);
    risks_tell(settings, connections_wanted, options->user, false, say, NULL);
    if (check.failed)
        return EXIT_FAILURE;
    printf("%s: ok\n", settings->config_file);
    return EXIT_SUCCESS;
}
