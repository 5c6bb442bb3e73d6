/* SPDX-License-Identifier: MIT */
/*
 * Addresses to listen on, written as for memcached's -l: "127.0.0.1", "localhost:11212", "[::1]:11211", "::1",
 * "*" or "*:11211" for all interfaces; and "unix:/path" for a Unix socket. In front of one of the network, "tls:" has
 * its connections encrypted; "notls:", "btls:" and "mtls:" are memcached's, for -Z.
 */
#ifndef FOREBAY_SERVER_CONFIG_ADDRESS_H
#define FOREBAY_SERVER_CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct addrinfo; /* <netdb.h> */

/* Whether the connections of an address are encrypted, and who may come in. */
enum address_tls {
    ADDRESS_TLS_UNSAID,  /* as -Z says, which is not given by default: settings_tls */
    ADDRESS_TLS_OFF,     /* notls: */
    ADDRESS_TLS_ON,      /* tls: clients show a certificate as tls_client_certificates says */
    ADDRESS_TLS_ANYBODY, /* btls: without one */
    ADDRESS_TLS_KNOWN,   /* mtls: with one */
};

struct listen_address {
    bool is_unix;
    enum address_tls tls;
    char host[256]; /* or the path; empty: all interfaces */
    int port;       /* -1: none given */
};

/* False with a whole sentence when text is not an address. Resolves no names. */
bool address_parse(const char *text, struct listen_address *ret_address, char *ret_error, size_t error_size);

enum { ADDRESS_ADMIN_PORT = 11280 };

/* The address of the admin HTTP: one of the network, "127.0.0.1:11280", "localhost", "[::1]:11280"; the port is
 * ADDRESS_ADMIN_PORT where none is given. All interfaces have to be asked for by number (0.0.0.0, [::]). False with a
 * whole sentence. Resolves no names. */
bool address_parse_admin(const char *text, struct listen_address *ret_address, char *ret_error,
                         size_t error_size);

/* What the host stands for, to be freed with freeaddrinfo; an empty host is all interfaces. Asks the resolver.
 * NULL with a whole sentence. */
struct addrinfo *address_lookup(const char *host, int port, char *ret_error, size_t error_size);

/* False with a whole sentence when the host is a name that stands for no address. Asks the resolver. */
bool address_resolves(const struct listen_address *address, char *ret_error, size_t error_size);

/* "tcp:127.0.0.1:11211", "tcp6:[::1]:11211", "unix:/path"; memcached's "?:<AF 0>" for a Unix socket without a
 * name, such as a client's. */
void address_name(const struct sockaddr_storage *address, socklen_t size, char *ret_text, size_t text_size);

#endif
