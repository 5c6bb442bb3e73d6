/* SPDX-License-Identifier: MIT */
/*
 * Accepting goes in batches: up to ACCEPT_BATCH connections per readiness, then the loop sees to signals and
 * timers.
 *
 * At the connection limit there are two ways, as with memcached: with maxconns_fast (the default) a client is
 * told so and closed; without it the sockets are paused, new clients wait in the backlog, and a timer looks
 * every RESUME_SECONDS whether somebody has left. A process out of descriptors pauses in the same way, until a connection
 * closes, but no longer than STARVED_US: others may have given some back.
 *
 *     created --listener_start--> accepting <--pause/resume--> paused --listener_stop--> stopped
 */
#include "server/listener.h"
#include "cache/base/fit.h"
#include "cache/base/writable_folder.h"
#include "server/activation.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/server.h"
#include <errno.h>
#include <ev.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64, LISTENERS_MAX = 64, ADDRESS_TEXT = 160, STARVED_US = US_PER_SECOND };
static const double RESUME_SECONDS = 0.01;

struct listening {
    ev_io io; /* first: the callback's watcher is the listening socket */
    struct listener *listener;
    int fd;
    bool is_unix;
    enum address_tls tls;    /* not ADDRESS_TLS_UNSAID */
    char text[ADDRESS_TEXT]; /* as address_name writes it */
};

struct listener {
    const struct settings *settings;
    struct server *server;
    listener_hand *hand;
    struct ev_loop *loop;
    struct listening sockets[LISTENERS_MAX];
    size_t count;
    struct rotation rotation;
    ev_timer resume;
    uint64_t paused_at_us; /* monotonic */
    atomic_bool paused;
    bool started, adopted;
    bool starved;              /* paused for want of descriptors or memory of the kernel, */
    unsigned starved_at;       /* with so many connections, */
    uint64_t starved_until_us; /* at most until then, monotonic */
};

/* ---- Sockets ---- */

static void name_socket(struct listening *socket) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(socket->fd, (struct sockaddr *)&address, &size) == 0)
        address_name(&address, size, socket->text, sizeof socket->text);
}

static const char *remedy(int error) {
    switch (error) {
    case EADDRINUSE:
        return "another server has it; stop that one or choose another port with -p or listen";
    case EACCES:
    case EPERM:
        return "ports below 1024 need root; start as root with -u USER, or choose another port";
    case EADDRNOTAVAIL:
        return "no interface of this machine has this address; correct -l or listen";
    default:
        return "correct -l, -p, -s or listen";
    }
}

static struct listening *add_socket(struct listener *listener, int fd, bool is_unix) {
    struct listening *socket = &listener->sockets[listener->count++];
    *socket = (struct listening){.listener = listener, .fd = fd, .is_unix = is_unix, .tls = ADDRESS_TLS_OFF};
    return socket;
}

/* Sockets that it accepts inherit these. */
static void set_inherited_options(int fd) {
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int open_tcp(const struct addrinfo *info) {
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    set_inherited_options(fd);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Binds all that a name stands for. A machine without IPv6 (or IPv4) serves the other alone. */
static bool bind_all(struct listener *listener, const struct addrinfo *list, enum address_tls tls, bool any,
                     int *ret_errno) {
    size_t before = listener->count;
    for (const struct addrinfo *info = list; info; info = info->ai_next) {
        if (listener->count == LISTENERS_MAX) {
            *ret_errno = ENOSPC;
            return false;
        }
        int fd = open_tcp(info);
        if (fd >= 0) {
            struct listening *socket = add_socket(listener, fd, false);
            socket->tls = settings_tls(listener->settings, tls);
            name_socket(socket);
            continue;
        }
        *ret_errno = errno;
        if (errno != EAFNOSUPPORT && !(any && errno == EADDRNOTAVAIL))
            return false;
    }
    return listener->count > before;
}

static bool bind_tcp(struct listener *listener, const char *host, int port, enum address_tls tls,
                     char *ret_error, size_t error_size) {
    struct addrinfo *list = address_lookup(host, port, ret_error, error_size);
    int failed = EAFNOSUPPORT;
    bool done = list && bind_all(listener, list, tls, *host == '\0', &failed);
    if (list)
        freeaddrinfo(list);
    if (list && !done)
        fit_print(ret_error, error_size, "cannot listen on %s:%d: %s; %s", *host ? host : "*", port,
                  strerror(failed), remedy(failed));
    errno = list ? failed : 0;
    return done;
}

/* What bind() takes for a free port is 0. */
static int port_to_bind(int port) {
    return port == PORT_FREE ? 0 : port;
}

static bool bind_addresses(struct listener *listener, char *ret_error, size_t error_size) {
    const struct settings *settings = listener->settings;
    if (settings->port == PORT_NONE)
        return true;
    if (settings->listen_count == 0 && !settings->unix_socket)
        return bind_tcp(listener, "", port_to_bind(settings->port), ADDRESS_TLS_UNSAID, ret_error,
                        error_size);
    for (size_t i = 0; i < settings->listen_count; i++) {
        struct listen_address address;
        if (!address_parse(settings->listen[i], &address, ret_error, error_size))
            return false;
        if (!address.is_unix &&
            !bind_tcp(listener, address.host, port_to_bind(settings_port(settings, address.port)),
                      address.tls, ret_error, error_size))
            return false;
    }
    return true;
}

static struct listener *allocate(const struct settings *settings, char *ret_error, size_t error_size) {
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener)
        listener->settings = settings;
    else
        fit_print(ret_error, error_size, "no memory for the listening sockets");
    return listener;
}

struct listener *listener_create(const struct settings *settings, char *ret_error, size_t error_size) {
    struct listener *listener = allocate(settings, ret_error, error_size);
    if (!listener || bind_addresses(listener, ret_error, error_size))
        return listener;
    int error = errno;
    listener_free(listener);
    errno = error;
    return NULL;
}

static void adopt(struct listener *listener, const struct activation_socket *given) {
    struct listening *socket = add_socket(listener, given->fd, false);
    name_socket(socket);
    socket->is_unix = strncmp(socket->text, "tcp", 3) != 0;
    if (socket->is_unix)
        return;
    set_inherited_options(given->fd);
    socket->tls = settings_tls(listener->settings,
                               strcmp(given->name, "tls") == 0 ? ADDRESS_TLS_ON : ADDRESS_TLS_UNSAID);
}

_Static_assert((int)ACTIVATION_MAX <= (int)LISTENERS_MAX, "all that are handed over can be adopted");

struct listener *listener_adopt(const struct settings *settings, const struct activation *activation,
                                char *ret_error, size_t error_size) {
    struct listener *listener = allocate(settings, ret_error, error_size);
    if (!listener)
        return NULL;
    listener->adopted = true;
    for (size_t i = 0; i < activation->count; i++)
        adopt(listener, &activation->sockets[i]);
    return listener;
}

bool listener_uses_tls(const struct listener *listener) {
    for (size_t i = 0; i < listener->count; i++)
        if (listener->sockets[i].tls != ADDRESS_TLS_OFF)
            return true;
    return false;
}

/* True when somebody answers on the socket file: then it is not ours to remove. */
static bool unix_is_served(const struct sockaddr_un *address) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool served = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
    close(fd);
    return served;
}

static int open_unix(const struct sockaddr_un *address, unsigned mask) {
    struct stat status;
    if (lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode) && !unix_is_served(address))
        unlink(address->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    mode_t before = umask((mode_t)(~mask & 0777));
    int bound = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    umask(before);
    if (bound == 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

static void complain_of_unix(const char *path, int error, char *ret_error, size_t error_size) {
    fit_print(ret_error, error_size, "cannot listen on the Unix socket %s: %s; %s", path, strerror(error),
              error == EADDRINUSE
                  ? "another server has it, or it is not a socket; stop that one or remove the file"
                  : "correct -s or listen");
}

static bool bind_unix(struct listener *listener, const char *path, char *ret_error, size_t error_size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1;
    errno = ENAMETOOLONG;
    if (strlen(path) < sizeof address.sun_path && listener->count < LISTENERS_MAX) {
        strcpy(address.sun_path, path);
        fd = open_unix(&address, listener->settings->unix_mask);
    }
    if (fd < 0) {
        complain_of_unix(path, errno, ret_error, error_size);
        return false;
    }
    struct listening *socket = add_socket(listener, fd, true);
    snprintf(socket->text, sizeof socket->text, "unix:%s", path);
    return true;
}

/* What bind() would say, as an errno. A socket file that nobody serves would be removed first. */
static int judge_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    char folder[sizeof address.sun_path];
    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    strcpy(address.sun_path, path);
    if (lstat(path, &status) == 0 && (!S_ISSOCK(status.st_mode) || unix_is_served(&address)))
        return EADDRINUSE;
    strcpy(folder, path);
    return folder_is_writable(dirname(folder)) ? 0 : errno;
}

bool listener_judge_unix(const char *path, char *ret_error, size_t error_size) {
    int error = judge_unix(path);
    if (error)
        complain_of_unix(path, error, ret_error, error_size);
    return error == 0;
}

bool listener_bind_unix(struct listener *listener, char *ret_error, size_t error_size) {
    const struct settings *settings = listener->settings;
    if (listener->adopted)
        return true;
    if (settings->unix_socket && !bind_unix(listener, settings->unix_socket, ret_error, error_size))
        return false;
    for (size_t i = 0; i < settings->listen_count; i++) {
        struct listen_address address;
        if (!address_parse(settings->listen[i], &address, ret_error, error_size))
            return false;
        if (address.is_unix && !bind_unix(listener, address.host, ret_error, error_size))
            return false;
    }
    return true;
}

/* ---- Accepting ---- */

static bool is_full(const struct listener *listener) {
    return atomic_load_explicit(&listener->server->connections, memory_order_relaxed) >=
           listener->settings->max_connections;
}

/* Something was wanting, and nothing tells when it is there again but a connection that closes: else it is tried again
 * once a second. */
static bool is_starved(const struct listener *listener) {
    return listener->starved && monotonic_us() < listener->starved_until_us &&
           atomic_load_explicit(&listener->server->connections, memory_order_relaxed) >= listener->starved_at;
}

static void pause_accepting(struct listener *listener) {
    if (atomic_exchange(&listener->paused, true))
        return;
    for (size_t i = 0; i < listener->count; i++)
        ev_io_stop(listener->loop, &listener->sockets[i].io);
    atomic_fetch_add(&listener->server->listen_disabled, 1);
    listener->paused_at_us = monotonic_us();
    ev_timer_again(listener->loop, &listener->resume);
}

static void resume_accepting(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)events;
    struct listener *listener = timer->data;
    if (is_full(listener) || is_starved(listener))
        return;
    listener->starved = false;
    ev_timer_stop(loop, timer);
    atomic_fetch_add(&listener->server->listen_disabled_us, monotonic_us() - listener->paused_at_us);
    for (size_t i = 0; i < listener->count; i++)
        ev_io_start(loop, &listener->sockets[i].io);
    atomic_store(&listener->paused, false);
}

/* A client that speaks TLS would take the line for a fault of the server's. */
static void reject(struct listener *listener, int fd, enum address_tls tls) {
    static const char line[] = "ERROR Too many open connections\r\n";
    atomic_fetch_add(&listener->server->connections_rejected, 1);
    if (tls == ADDRESS_TLS_OFF && send(fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        server_log_limited(listener->server, LOG_KIND_REJECTED, LOG_LEVEL_DEBUG,
                           "a rejected client left before it was told");
    close(fd);
}

static void hand_over(struct listener *listener, int fd, enum address_tls tls) {
    struct server *server = listener->server;
    atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->connections_total, 1, memory_order_relaxed);
    listener->hand(rotation_next(&listener->rotation), fd, tls);
}

/* What accept4 says besides a descriptor; true: go on with the batch. */
static bool accept_failed(struct listener *listener, int error) {
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        server_log_limited(
            listener->server, LOG_KIND_ACCEPT, LOG_LEVEL_WARNING,
            "cannot accept a connection: %s; waiting until one closes (ulimit -n against -c %u)",
            strerror(error), listener->settings->max_connections);
        listener->starved_at = atomic_load_explicit(&listener->server->connections, memory_order_relaxed);
        listener->starved_until_us = monotonic_us() + STARVED_US;
        listener->starved = true;
        pause_accepting(listener);
        return false;
    case EAGAIN:
        return false;
    default: /* the client was gone before it was accepted */
        return true;
    }
}

/* The kernel does not watch the socket, and libev has given it up: a server that nobody can reach is no server. */
static void give_up(struct listening *socket) {
    server_log(socket->listener->server, LOG_LEVEL_ERROR,
               "%s cannot be watched any more: the system has no memory or no watches left; stopping",
               socket->text);
    socket->listener->server->gave_up = true;
    socket->listener->server->stop(socket->listener->server);
}

static void accept_some(struct ev_loop *loop, ev_io *io, int events) {
    (void)loop;
    struct listening *socket = (struct listening *)io;
    struct listener *listener = socket->listener;
    if (events & EV_ERROR) {
        give_up(socket);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (!listener->settings->maxconns_fast && is_full(listener)) {
            pause_accepting(listener);
            return;
        }
        int fd = accept4(socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (!accept_failed(listener, errno))
                return;
        } else if (is_full(listener)) {
            reject(listener, fd, socket->tls);
        } else {
            hand_over(listener, fd, socket->tls);
        }
    }
}

static bool listen_all(struct listener *listener, char *ret_error, size_t error_size) {
    for (size_t i = 0; i < listener->count; i++) {
        struct listening *socket = &listener->sockets[i];
        if (listen(socket->fd, (int)listener->settings->backlog) != 0) {
            fit_print(ret_error, error_size, "cannot listen on %s: %s; %s", socket->text, strerror(errno),
                      remedy(errno));
            return false;
        }
    }
    return true;
}

bool listener_start(struct listener *listener, struct ev_loop *loop, struct server *server,
                    listener_hand *hand, rotation_processors *processors, char *ret_error,
                    size_t error_size) {
    if (!listener->adopted && !listen_all(listener, ret_error, error_size))
        return false;
    listener->hand = hand;
    listener->loop = loop;
    listener->server = server;
    rotation_start(&listener->rotation, server, processors);
    ev_init(&listener->resume, resume_accepting);
    listener->resume.repeat = RESUME_SECONDS;
    listener->resume.data = listener;
    for (size_t i = 0; i < listener->count; i++) {
        struct listening *socket = &listener->sockets[i];
        ev_io_init(&socket->io, accept_some, socket->fd, EV_READ);
        ev_io_start(loop, &socket->io);
    }
    listener->started = true;
    return true;
}

static void close_socket(struct listening *socket) {
    if (socket->fd >= 0)
        close(socket->fd);
    socket->fd = -1;
}

/* An adopted socket lives on in the manager, and so in the loop's epoll set: libev takes it out when a client comes, by its
 * number, which must not be that of another file by then. */
void listener_stop(struct listener *listener) {
    if (listener->started) {
        ev_timer_stop(listener->loop, &listener->resume);
        for (size_t i = 0; i < listener->count; i++)
            ev_io_stop(listener->loop, &listener->sockets[i].io);
        listener->started = false;
    }
    for (size_t i = 0; i < listener->count && !listener->adopted; i++) {
        struct listening *socket = &listener->sockets[i];
        if (socket->fd < 0)
            continue;
        if (socket->is_unix)
            unlink(socket->text + strlen("unix:"));
        close_socket(socket);
    }
}

void listener_free(struct listener *listener) {
    if (!listener)
        return;
    listener_stop(listener);
    for (size_t i = 0; i < listener->count; i++)
        close_socket(&listener->sockets[i]);
    free(listener);
}

/* ---- What it tells of itself ---- */

static const char *bare_text(const struct listening *socket) {
    return socket->is_unix ? socket->text : strchr(socket->text, ':') + 1;
}

void listener_describe(const struct listener *listener, char *ret_text, size_t size) {
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < listener->count && used < size; i++)
        used += (size_t)snprintf(
            ret_text + used, size - used, "%s%s%s", i ? ", " : "",
            listener->sockets[i].tls == ADDRESS_TLS_OFF ? "" : "tls:", bare_text(&listener->sockets[i]));
}

void listener_print_ports(const struct listener *listener, FILE *out) {
    for (size_t i = 0; i < listener->count; i++) {
        const char *text = listener->sockets[i].text;
        if (!listener->sockets[i].is_unix)
            fprintf(out, "TCP %s: %s\n", strncmp(text, "tcp6", 4) == 0 ? "INET6" : "INET",
                    strrchr(text, ':') + 1);
    }
}

bool listener_is_accepting(const struct listener *listener) {
    return !atomic_load(&listener->paused);
}

void listener_stat(const struct listener *listener, struct stat_sink *sink) {
    for (size_t i = 0; i < listener->count; i++) {
        const struct listening *socket = &listener->sockets[i];
        char name[48];
        snprintf(name, sizeof name, "%d:addr", socket->fd);
        sink->line(sink, name, socket->text);
        snprintf(name, sizeof name, "%d:state", socket->fd);
        sink->line(sink, name, "conn_listening");
    }
}
