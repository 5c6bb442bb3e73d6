/* SPDX-License-Identifier: MIT */
/* The listening socket of the admin HTTP. How its address is written: server/config/address.h. */
#ifndef FOREBAY_SERVER_HTTP_SOCKET_H
#define FOREBAY_SERVER_HTTP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

enum { SOCKET_ADDRESS_MAX = 80 };

struct http_socket {
    int fd;
    char address[SOCKET_ADDRESS_MAX]; /* "127.0.0.1:11280", as it was bound */
    bool is_loopback;                 /* only this machine reaches it */
    bool is_ipv6;
};

/* Binds the address; of a name, the first that can be had. Nobody can connect yet. False with a whole sentence, and
 * errno: why it cannot be bound, or 0. */
bool http_socket_bind(const char *text, struct http_socket *ret_socket, char *ret_error, size_t error_size);

/* The same of a socket that a service manager has bound; closes it where that fails. */
bool http_socket_adopt(int fd, struct http_socket *ret_socket, char *ret_error, size_t error_size);

/* Without the "tcp:" that address_name begins with. */
const char *http_bare_address(const char *name);

#endif
