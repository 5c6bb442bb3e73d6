/* SPDX-License-Identifier: MIT */
/*
 * What is sent to the admin HTTP of a server that is starting: the bytes themselves, or requests that they choose parts
 * of, one behind the other. So everything is judged (host, path, method, token, arguments, body), and nothing is done.
 *
 * What must hold: it answers in HTTP or not at all, and tells nobody the token.
 */
#ifndef FOREBAY_TESTS_FUZZ_HTTP_H
#define FOREBAY_TESTS_FUZZ_HTTP_H

#include "server/config/settings.h"
#include "server/http/admin_http.h"
#include "server/server.h"
#include "tests/fuzz/folder.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { HTTP_ASKED_MAX = 24 << 10, HTTP_ANSWER_MAX = 1 << 20, HTTP_PIPELINED = 4, HTTP_SILENCE_MS = 2 };

#define HTTP_TOKEN "a-token-of-the-fuzzer-0123456789"

struct http_bench {
    struct server server;
    struct settings settings;
    struct admin_http *http;
    char token_path[512];
    int port;
    char asked[HTTP_ASKED_MAX], answer[HTTP_ANSWER_MAX];
    size_t size;
};

static inline struct http_bench *http_bench(void) {
    static struct http_bench bench;
    char error[1024];
    if (bench.http)
        return &bench;
    snprintf(bench.token_path, sizeof bench.token_path, "%s/token", fuzz_folder());
    fuzz_folder_write("token", HTTP_TOKEN "\n", sizeof HTTP_TOKEN);
    FUZZ_CHECK(chmod(bench.token_path, 0600) == 0);
    settings_defaults(&bench.settings);
    bench.settings.admin = "127.0.0.1:0";
    bench.settings.admin_token_file = bench.token_path;
    bench.server.settings = &bench.settings;
    bench.server.verbosity = -1;
    bench.http = admin_http_create(&bench.server, -1, error, sizeof error);
    FUZZ_CHECK(bench.http && admin_http_start(bench.http, error, sizeof error));
    bench.port = atoi(strrchr(admin_http_address(bench.http), ':') + 1);
    return &bench;
}

static inline void http_bench_end(struct http_bench *bench) {
    admin_http_free(bench->http);
    bench->http = NULL;
}

/* ---- Requests ---- */

static inline void http_put(struct http_bench *bench, const char *text) {
    size_t size = strlen(text), room = sizeof bench->asked - bench->size;
    size = size < room ? size : room;
    memcpy(bench->asked + bench->size, text, size);
    bench->size += size;
}

static inline void http_put_one(struct http_bench *bench, struct choices *choices, const char *const *texts,
                                unsigned count) {
    http_put(bench, texts[choose(choices, count)]);
}

#define HTTP_PUT_ONE(bench, choices, texts)                                                                  \
    http_put_one(bench, choices, texts, sizeof(texts) / sizeof *(texts))

static inline void http_put_headers(struct http_bench *bench, struct choices *choices) {
    static const char *const headers[] = {
        "Host: localhost",
        "Host: 127.0.0.1:1",
        "Host: evil.example",
        "Host: [::1]:5",
        "Host: [",
        "Host:",
        "Host: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ("Authorization: Bearer " HTTP_TOKEN),
        "Authorization: Bearer x",
        "Authorization: Basic eDp5",
        ("Authorization: bearer  " HTTP_TOKEN),
        "Content-Length: 3",
        "Content-Length: 99999999999",
        "Content-Length: -1",
        "Transfer-Encoding: chunked",
        "Accept-Encoding: gzip;q=0, deflate",
        "Accept-Encoding: gzip",
        "If-None-Match: \"x\"",
        "Connection: close",
        "Expect: 100-continue",
        "X: \x01\xff",
        " folded",
        "Cookie: a=b; c"};
    for (unsigned count = choose(choices, 6); count > 0; count--) {
        HTTP_PUT_ONE(bench, choices, headers);
        http_put(bench, choose(choices, 32) ? "\r\n" : "\n");
    }
}

static inline void http_put_request(struct http_bench *bench, struct choices *choices) {
    static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "get ", "TRACE "};
    static const char *const paths[] = {"/livez",
                                        "/readyz",
                                        "/startupz",
                                        "/metrics",
                                        "/",
                                        "/page/page.js",
                                        "/history.json",
                                        "/sync",
                                        "/flush",
                                        "/handover",
                                        "/quarantine/retry",
                                        "/quarantine/drop",
                                        "/reload",
                                        "/log",
                                        "/livez/tier",
                                        "/page/../x",
                                        "/sync%00x",
                                        "/%2e%2e/",
                                        "/page/",
                                        "http://localhost/livez",
                                        "*",
                                        "/%",
                                        "/a b"};
    static const char *const queries[] = {"",
                                          "",
                                          "?verbose",
                                          "?namespace=a",
                                          "?namespace=a&key=b",
                                          "?level=2",
                                          "?level=x",
                                          "?to=on",
                                          "?to=off&to=on",
                                          "?namespace=%00",
                                          "?key",
                                          "?=",
                                          "?%",
                                          "?namespace=a&unknown=1",
                                          "?exclude=tier&exclude=x",
                                          "?since=18446744073709551616"};
    static const char *const versions[] = {" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n",
                                           " HTTP/9.9\r\n", "\r\n",          " HTTP/1.1\n"};
    static const char *const bodies[] = {
        "", "", "", "abc", "3\r\nabc\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "0\r\nX: y\r\n\r\n"};
    HTTP_PUT_ONE(bench, choices, methods);
    HTTP_PUT_ONE(bench, choices, paths);
    HTTP_PUT_ONE(bench, choices, queries);
    HTTP_PUT_ONE(bench, choices, versions);
    http_put_headers(bench, choices);
    http_put(bench, "\r\n");
    HTTP_PUT_ONE(bench, choices, bodies);
}

/* ---- The exchange ---- */

static inline int http_connect(const struct http_bench *bench) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)bench->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger at_once = {1, 0}; /* so that ports are not used up */
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(client >= 0 && setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    FUZZ_CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    return client;
}

/* All that comes until it closes, or says no more: then it waits for the rest of a request, and the client breaks off.
 * (Of a client that ends its half in the moment in which it has sent, libmicrohttpd may not notice the end before its
 * time is up.) */
static inline size_t http_ask(struct http_bench *bench, const char *bytes, size_t size) {
    int client = http_connect(bench);
    struct pollfd wanted = {.fd = client, .events = POLLIN};
    size_t got = 0;
    for (ssize_t n; size > 0 && (n = send(client, bytes, size, MSG_NOSIGNAL)) > 0; bytes += n)
        size -= (size_t)n;
    while (got < sizeof bench->answer && poll(&wanted, 1, HTTP_SILENCE_MS) > 0) {
        ssize_t n = recv(client, bench->answer + got, sizeof bench->answer - got, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(client);
    return got;
}

/* One input: the first byte says what the rest is. */
static inline void check_http(const uint8_t *data, size_t size) {
    struct http_bench *bench = http_bench();
    if (size < 2)
        return;
    struct choices choices = choices_of(data + 1, size - 1);
    bench->size = 0;
    for (unsigned i = 0; data[0] % 2 && i < HTTP_PIPELINED && choices_left(&choices); i++)
        http_put_request(bench, &choices);
    size_t got = data[0] % 2 ? http_ask(bench, bench->asked, bench->size)
                             : http_ask(bench, (const char *)data + 1, size - 1);
    FUZZ_CHECK(got == 0 || (got > 9 && memcmp(bench->answer, "HTTP/1.", 7) == 0));
    /* Those that are made have it in one place only, which nothing repeats. */
    FUZZ_CHECK(data[0] % 2 == 0 || !memmem(bench->answer, got, HTTP_TOKEN, strlen(HTTP_TOKEN)));
}

#endif
