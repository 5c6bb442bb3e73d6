/* SPDX-License-Identifier: MIT */
#include "server/http/socket.h"
#include "cache/base/fit.h"
#include "server/config/address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *http_bare_address(const char *name) {
    return strchr(name, ':') + 1;
}

static int bind_one(const struct addrinfo *info) {
    int on = 1, fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0)
        return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static bool is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return address->ss_family == AF_INET &&
           ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void describe(struct http_socket *ret_socket) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char name[SOCKET_ADDRESS_MAX];
    getsockname(ret_socket->fd, (struct sockaddr *)&address, &size);
    address_name(&address, size, name, sizeof name);
    snprintf(ret_socket->address, sizeof ret_socket->address, "%s", http_bare_address(name));
    ret_socket->is_loopback = is_loopback(&address);
    ret_socket->is_ipv6 = address.ss_family == AF_INET6;
}

static const char *remedy(int failure) {
    switch (failure) {
    case EADDRINUSE:
        return "another server has it; stop that one, or choose another port";
    case EACCES:
        return "ports below 1024 need root; choose another port";
    case EADDRNOTAVAIL:
        return "no interface of this machine has this address; correct it";
    default:
        return "correct the address";
    }
}

bool http_socket_bind(const char *text, struct http_socket *ret_socket, char *ret_error, size_t error_size) {
    struct listen_address address;
    char why[300];
    if (!address_parse_admin(text, &address, why, sizeof why)) {
        fit_print(ret_error, error_size, "admin: %s", why);
        return false;
    }
    struct addrinfo *list = address_lookup(address.host, address.port, why, sizeof why);
    int fd = -1, failure = EADDRNOTAVAIL;
    for (const struct addrinfo *info = list; info && fd < 0; info = info->ai_next)
        if ((fd = bind_one(info)) < 0)
            failure = errno;
    if (list)
        freeaddrinfo(list);
    if (fd < 0) {
        fit_print(ret_error, error_size, "admin: cannot listen on %s: %s; %s", text,
                  list ? strerror(failure) : "the name stands for no address",
                  list ? remedy(failure) : "correct the address");
        errno = list ? failure : 0;
        return false;
    }
    ret_socket->fd = fd;
    describe(ret_socket);
    return true;
}

bool http_socket_adopt(int fd, struct http_socket *ret_socket, char *ret_error, size_t error_size) {
    int domain = AF_UNSPEC;
    socklen_t size = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    if (domain != AF_INET && domain != AF_INET6) {
        fit_print(
            ret_error, error_size,
            "the socket \"admin\", which the service manager hands over, has no IP address; give ListenStream=127.0.0.1:11280 in the socket unit");
        close(fd);
        return false;
    }
    ret_socket->fd = fd;
    describe(ret_socket);
    return true;
}
