/* SPDX-License-Identifier: MIT */
#include "server/config/address.h"
#include "cache/base/fit.h"
#include "cache/base/slice.h"
#include "server/config/measure.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

static bool refuse(char *ret_error, size_t error_size, const char *text, const char *why) {
    fit_print(
        ret_error, error_size,
        "\"%s\" is not an address to listen on (%s): write host, host:port, [ipv6]:port, *:port or unix:/path; tls: in front encrypts",
        text, why);
    return false;
}

static bool parse_port(const char *text, int *ret_port) {
    uint64_t port;
    if (!measure_number(text, &port) || port > 65535)
        return false;
    *ret_port = (int)port;
    return true;
}

static const char *take_tls(const char *text, enum address_tls *ret_tls) {
    static const struct {
        const char *word;
        enum address_tls tls;
    } words[] = {{"tls:", ADDRESS_TLS_ON},
                 {"notls:", ADDRESS_TLS_OFF},
                 {"btls:", ADDRESS_TLS_ANYBODY},
                 {"mtls:", ADDRESS_TLS_KNOWN}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(text, words[i].word, length) != 0)
            continue;
        *ret_tls = words[i].tls;
        return text + length;
    }
    return text;
}

/* memcached allows "proto[ascii]:tag[name]:" before the address. */
static const char *skip_prefixes(const char *text, const char **ret_why) {
    static const char *const names[] = {"proto[", "tag["};
    *ret_why = NULL;
    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(text, names[i], length) != 0)
            continue;
        const char *end = strstr(text, "]:");
        if (!end)
            return *ret_why = "the ']:' is missing", text;
        struct slice word = slice_of(text + length, (size_t)(end - text) - length);
        bool known = slice_equal(word, SLICE("ascii")) || slice_equal(word, SLICE("negotiating"));
        if (i == 0 && !known)
            return *ret_why = "an address has no protocol of its own: -B is for all of them", text;
        text = end + 2;
    }
    return text;
}

static bool split_host(const char *text, struct listen_address *address, const char **ret_why) {
    const char *host = text, *end = strchr(text, '\0'), *port = NULL;
    if (*text == '[') {
        host = text + 1;
        end = strchr(text, ']');
        if (!end)
            return *ret_why = "the ']' is missing", false;
        if (end[1] != '\0' && end[1] != ':')
            return *ret_why = "only a port may follow ']'", false;
        port = end[1] == ':' ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) { /* several colons: a bare IPv6 address */
            end = colon;
            port = colon + 1;
        }
    }
    if (port && !parse_port(port, &address->port))
        return *ret_why = "a port is a number from 0 to 65535", false;
    size_t length = (size_t)(end - host);
    if (length >= sizeof address->host)
        return *ret_why = "too long: a host has at most 255 bytes", false;
    if (!(length == 1 && *host == '*')) {
        memcpy(address->host, host, length);
        address->host[length] = '\0';
    }
    if (length > 0 && strspn(host, "0123456789") == length && *host != '0')
        return *ret_why = "a number alone is no host",
               false; /* to the resolver it is one: 11280 is 0.0.44.16 */
    return length > 0 || (*ret_why = "the host is missing", false);
}

static bool parse_unix(const char *path, struct listen_address *address, const char **ret_why) {
    struct sockaddr_un un;
    if (*path == '\0' || strlen(path) >= sizeof un.sun_path)
        return *ret_why = "a socket's path has 1 to 107 bytes", false;
    address->is_unix = true;
    snprintf(address->host, sizeof address->host, "%s", path);
    return true;
}

static bool parse(const char *text, struct listen_address *ret_address, const char **ret_why) {
    static const char unix_scheme[] = "unix:";
    struct listen_address address = {.port = -1};
    const char *rest = skip_prefixes(take_tls(text, &address.tls), ret_why);
    if (*ret_why)
        return false;
    bool is_unix = strncmp(rest, unix_scheme, sizeof unix_scheme - 1) == 0;
    if (is_unix && address.tls > ADDRESS_TLS_OFF)
        return *ret_why = "a Unix socket leaves the machine to nobody, and is not encrypted", false;
    if (!(is_unix ? parse_unix(rest + sizeof unix_scheme - 1, &address, ret_why)
                  : split_host(rest, &address, ret_why)))
        return false;
    *ret_address = address;
    return true;
}

bool address_parse(const char *text, struct listen_address *ret_address, char *ret_error, size_t error_size) {
    const char *why = NULL;
    return parse(text, ret_address, &why) || refuse(ret_error, error_size, text, why);
}

static bool refuse_admin(char *ret_error, size_t error_size, const char *text, const char *why) {
    fit_print(
        ret_error, error_size,
        "\"%s\" is not an address for the admin HTTP (%s): write host:port or [ipv6]:port, for example 127.0.0.1:%d",
        text, why, ADDRESS_ADMIN_PORT);
    return false;
}

bool address_parse_admin(const char *text, struct listen_address *ret_address, char *ret_error,
                         size_t error_size) {
    struct listen_address address;
    const char *why = NULL;
    if (!parse(text, &address, &why))
        return refuse_admin(ret_error, error_size, text, why);
    if (address.is_unix)
        return refuse_admin(ret_error, error_size, text, "it is served over the network alone");
    if (address.tls != ADDRESS_TLS_UNSAID)
        return refuse_admin(ret_error, error_size, text, "it is not encrypted: put a proxy in front");
    if (!*address.host)
        return refuse_admin(ret_error, error_size, text, "all interfaces are 0.0.0.0, or [::]");
    if (address.port < 0)
        address.port = ADDRESS_ADMIN_PORT;
    *ret_address = address;
    return true;
}

struct addrinfo *address_lookup(const char *host, int port, char *ret_error, size_t error_size) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int error = getaddrinfo(*host ? host : NULL, service, &hints, &list);
    if (error == 0)
        return list;
    fit_print(ret_error, error_size, "cannot listen on %s: %s; correct -l or listen", *host ? host : "*",
              gai_strerror(error));
    return NULL;
}

bool address_resolves(const struct listen_address *address, char *ret_error, size_t error_size) {
    if (address->is_unix)
        return true;
    struct addrinfo *list =
        address_lookup(address->host, address->port < 0 ? 0 : address->port, ret_error, error_size);
    if (list)
        freeaddrinfo(list);
    return list != NULL;
}

void address_name(const struct sockaddr_storage *address, socklen_t size, char *ret_text, size_t text_size) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(ret_text, text_size, "tcp:%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(ret_text, text_size, "tcp6:[%s]:%u", host, ntohs(in6->sin6_port));
    } else if (address->ss_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path)) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)address;
        snprintf(ret_text, text_size, "unix:%.*s", (int)sizeof un->sun_path, un->sun_path);
    } else {
        snprintf(ret_text, text_size, "?:<AF 0>");
    }
}
