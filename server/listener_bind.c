/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets, until somebody can connect: bound to addresses, or taken over from a service manager.
 */
#include "cache/base/fit.h"
#include "cache/base/writable_folder.h"
#include "server/activation.h"
#include "server/listener_internal.h"
#include <errno.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- TCP ---- */

static void name_socket(struct listening *socket) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(socket->fd, (struct sockaddr *)&address, &size) == 0)
        address_name(&address, size, socket->text, sizeof socket->text);
}

const char *listener_remedy(int error) {
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
                  strerror(failed), listener_remedy(failed));
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

/* ---- The listener ---- */

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

/* ---- Unix sockets ---- */

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
    fit_print(
        ret_error, error_size, "cannot listen on the Unix socket %s: %s; %s", path, strerror(error),
        error == EADDRINUSE ? "another server has it, or it is not a socket; stop that one or remove the file"
        : error == ENAMETOOLONG ? "a socket's path has at most 107 bytes: give -s or listen a shorter one"
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
