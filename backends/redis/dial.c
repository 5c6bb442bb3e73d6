/* SPDX-License-Identifier: MIT */
/*
 * Connecting. redisConnectWithTimeout ends the process where it is refused memory for a name or a timeout, so hiredis
 * is given sockets that are connected, for which it needs neither.
 */
#include "backends/redis/internal.h"
#include "cache/base/clock.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static void fail(redisContext *context, int kind, const char *reason) {
    context->err = kind;
    snprintf(context->errstr, sizeof context->errstr, "%s", reason);
}

static bool is_connected(int fd, const struct sockaddr *address, socklen_t size, uint64_t until_us) {
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t error_size = sizeof error;
    if (connect(fd, address, size) == 0)
        return true;
    if (errno != EINPROGRESS && errno != EINTR)
        return false;
    int ready = redis_poll(&room, 1, until_us);
    if (ready == 0)
        error = ETIMEDOUT;
    else if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
        error = errno;
    errno = error;
    return error == 0;
}

/* A socket that blocks, as hiredis uses it. */
static int connect_to(const struct sockaddr *address, socklen_t size, uint64_t until_us) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool good = is_connected(fd, address, size, until_us) && fcntl(fd, F_SETFL, 0) == 0 &&
                (address->sa_family == AF_UNIX ||
                 setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    if (good)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void connect_by_path(redisContext *context, const char *path, uint64_t until_us) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert(strlen(path) < sizeof address.sun_path); /* that is the size of a path in redis_address */
    memcpy(address.sun_path, path, strlen(path));
    context->fd = connect_to((const struct sockaddr *)&address, sizeof address, until_us);
    if (context->fd < 0)
        fail(context, REDIS_ERR_IO, strerror(errno));
}

/* All addresses of a host, also those of kinds that this machine has no route to (AI_ADDRCONFIG would leave out ::1,
 * too, where IPv6 leads nowhere else). */
static int look_up(const struct redis_place *place, struct addrinfo **ret_addresses) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[16];
    snprintf(port, sizeof port, "%d", place->port);
    return getaddrinfo(place->host, port, &hints, ret_addresses);
}

static size_t count_addresses(const struct addrinfo *addresses) {
    size_t count = 0;
    for (const struct addrinfo *at = addresses; at; at = at->ai_next)
        count++;
    return count;
}

/* One that swallows what it is sent leaves the others their part of the time. */
static uint64_t share_until_us(uint64_t until_us, size_t addresses_left) {
    uint64_t now_us = monotonic_us();
    return now_us < until_us ? now_us + (until_us - now_us) / addresses_left : until_us;
}

/* The first that answers, of IPv4 if there is one. What is told is the failure of the one tried first: to those of IPv6
 * there often is no route, which is not what is wrong. */
static int connect_to_one_of(const struct addrinfo *addresses, uint64_t until_us) {
    static const int families[] = {AF_INET, AF_INET6};
    size_t left = count_addresses(addresses);
    int fd = -1, error = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const struct addrinfo *at = addresses; at && fd < 0; at = at->ai_next) {
            if (at->ai_family != families[i])
                continue;
            fd = connect_to(at->ai_addr, at->ai_addrlen, share_until_us(until_us, left--));
            if (fd < 0 && error == 0)
                error = errno;
        }
    errno = error;
    return fd;
}

static void connect_by_name(redisContext *context, const struct redis_place *place, uint64_t timeout_us) {
    struct addrinfo *addresses = NULL;
    int failure = look_up(place, &addresses);
    if (failure == EAI_MEMORY || failure == EAI_SYSTEM) {
        fail(context, REDIS_ERR_IO, strerror(failure == EAI_MEMORY ? ENOMEM : errno));
        return;
    }
    if (failure != 0) {
        fail(context, REDIS_ERR_OTHER, gai_strerror(failure));
        return;
    }
    context->fd = connect_to_one_of(addresses, monotonic_us() + timeout_us);
    if (context->fd < 0)
        fail(context, REDIS_ERR_IO, strerror(errno));
    freeaddrinfo(addresses);
}

redisContext *redis_dial(const struct redis_place *place, const char *path, struct timeval timeout) {
    uint64_t timeout_us = (uint64_t)timeout.tv_sec * US_PER_SECOND + (uint64_t)timeout.tv_usec;
    redisContext *context = redisConnectFd(-1);
    if (!context)
        return NULL;
    if (path && *path)
        connect_by_path(context, path, monotonic_us() + timeout_us);
    else
        connect_by_name(context, place, timeout_us);
    if (!context->err && redisSetTimeout(context, timeout) != REDIS_OK && !context->err)
        fail(context, REDIS_ERR_IO, strerror(errno));
    return context;
}
