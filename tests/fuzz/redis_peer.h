/* SPDX-License-Identifier: MIT */
/*
 * Somebody who listens where a Redis should be. What he answers is taken from any bytes: to each command mostly what a
 * Redis would say, with values that the bytes choose, so that the conversation gets on; else any value of the protocol,
 * or torn bytes. When the bytes have come to their end he hangs up on everybody.
 *
 * A thread, for one input after another. The input is handed over while nobody is connected, and taken away before it
 * goes.
 */
#ifndef FOREBAY_TESTS_FUZZ_REDIS_PEER_H
#define FOREBAY_TESTS_FUZZ_REDIS_PEER_H

#include "tests/fuzz/choices.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_CLIENTS = 8, PEER_ASKED_MAX = 64 << 10, PEER_ANSWER_MAX = 64 << 10 };

struct peer_client {
    int socket;
    size_t size;
    char asked[PEER_ASKED_MAX];
};

struct redis_peer {
    int door, port;
    pthread_mutex_t lock; /* of choices */
    struct choices choices;
    struct peer_client clients[PEER_CLIENTS];
    char answer[PEER_ANSWER_MAX];
    size_t answer_size;
};

/* ---- Values ---- */

static inline void peer_print(struct redis_peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void peer_print(struct redis_peer *peer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof peer->answer - peer->answer_size;
    int size = vsnprintf(peer->answer + peer->answer_size, room, format, arguments);
    va_end(arguments);
    peer->answer_size += size < 0 ? 0 : (size_t)size < room ? (size_t)size : room - 1;
}

static inline void peer_bulk(struct redis_peer *peer, const char *text) {
    peer_print(peer, "$%zu\r\n%s\r\n", strlen(text), text);
}

static inline const char *peer_choose_text(struct redis_peer *peer) {
    static const char long_word[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char *const texts[] = {
        "",
        "1",
        "0",
        "-1",
        "42",
        "9079256848778919936",
        "18446744073709551615",
        "99999999999999999999999",
        "sess:a",
        "sess:b",
        "str:c",
        "other",
        "x y",
        "01",
        "+5",
        "1.5",
        "nan",
        "master",
        "forebay:x",
        "forebay:beside:str:c",
        "0000000000000000000000000000000000000000",
        "redis_version:7.0.15\nrole:slave\nmaster_host:h",
        long_word,
    };
    return texts[choose(&peer->choices, sizeof texts / sizeof *texts)];
}

static inline void peer_error(struct redis_peer *peer) {
    static const char *const errors[] = {"ERR unknown command",
                                         "NOSCRIPT No matching script",
                                         "LOADING Redis is loading",
                                         "OOM command not allowed",
                                         "READONLY You can't write",
                                         "CLUSTERDOWN Hash slot not served",
                                         "TRYAGAIN Multiple keys",
                                         "WRONGTYPE Operation",
                                         "NOAUTH Authentication required",
                                         "WRONGPASS no",
                                         "NOPERM no permissions",
                                         "MASTERDOWN Link",
                                         "OTHERSTORE older",
                                         "OTHERSTORE other",
                                         "FOREBAY the key x holds y",
                                         "BUSY Redis is busy",
                                         "MISCONF",
                                         "",
                                         "ERR Script attempted to access a non local key",
                                         "NOREPLICAS Not enough"};
    unsigned which = choose(&peer->choices, sizeof errors / sizeof *errors + 2);
    if (which < sizeof errors / sizeof *errors)
        peer_print(peer, "-%s\r\n", errors[which]);
    else
        peer_print(peer, "-%s %u 127.0.0.1:%d\r\n", choose(&peer->choices, 2) ? "MOVED" : "ASK",
                   (unsigned)choose_bits(&peer->choices, 2), choose(&peer->choices, 4) ? peer->port : 1);
}

static inline void peer_any(struct redis_peer *peer, unsigned depth);

static inline void peer_array(struct redis_peer *peer, unsigned depth) {
    unsigned count = choose(&peer->choices, 8);
    peer_print(peer, "*%u\r\n", count);
    while (count-- > 0)
        peer_any(peer, depth + 1);
}

/* A value, whole or (rarely) what no Redis says. */
static inline void peer_any(struct redis_peer *peer, unsigned depth) {
    switch (choose(&peer->choices, 12)) {
    case 0:
    case 1:
    case 2:
        peer_bulk(peer, peer_choose_text(peer));
        return;
    case 3:
        peer_print(peer, "+%.40s\r\n", choose(&peer->choices, 2) ? "OK" : "QUEUED");
        return;
    case 4:
        peer_print(peer, ":%lld\r\n", (long long)choose_bits(&peer->choices, choose(&peer->choices, 9)));
        return;
    case 5:
        peer_print(peer, "$-1\r\n");
        return;
    case 6:
        peer_error(peer);
        return;
    case 7:
    case 8:
        if (depth < 3)
            peer_array(peer, depth);
        else
            peer_print(peer, "*0\r\n");
        return;
    case 9:
        peer_print(peer, "*-1\r\n");
        return;
    case 10:
        peer_print(peer, "%c%u\r\n", "%~_#,(=>|!"[choose(&peer->choices, 10)], choose(&peer->choices, 3));
        return;
    default:
        peer_print(peer, "%c%d\r\n", (char)choose(&peer->choices, 256), (int)choose_bits(&peer->choices, 4));
    }
}

/* ---- What a Redis would say ---- */

static inline void peer_fields(struct redis_peer *peer, unsigned count) {
    peer_print(peer, "*%u\r\n", count);
    while (count-- > 0) {
        if (choose(&peer->choices, 4))
            peer_bulk(peer, peer_choose_text(peer));
        else
            peer_print(peer, "$-1\r\n");
    }
}

static inline void peer_slots(struct redis_peer *peer) {
    unsigned half = choose(&peer->choices, 3) * 8000;
    peer_print(peer, "*%u\r\n", half ? 2 : 1);
    peer_print(peer, "*3\r\n:0\r\n:%u\r\n*4\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\naa\r\n*0\r\n",
               half ? half - 1 : 16383, peer->port);
    if (half)
        peer_print(peer, "*3\r\n:%u\r\n:16383\r\n*4\r\n$0\r\n\r\n:%d\r\n$2\r\nbb\r\n*0\r\n", half,
                   peer->port);
}

static inline void peer_page(struct redis_peer *peer) {
    peer_print(peer, "*2\r\n");
    peer_bulk(peer, choose(&peer->choices, 4) ? "0" : peer_choose_text(peer));
    peer_fields(peer, choose(&peer->choices, 6));
}

/* words: how many the command has; of the script's arguments nothing is known but that. */
static inline void peer_sane(struct redis_peer *peer, const char *command, unsigned words) {
    if (strcmp(command, "INFO") == 0)
        peer_bulk(peer, "redis_version:7.0.15\r\nrun_id:abcdef\r\nrole:master\r\nmaster_replid:aa\r\n");
    else if (strcmp(command, "SCRIPT") == 0)
        peer_bulk(peer, "0123456789012345678901234567890123456789");
    else if (strcmp(command, "HMGET") == 0)
        peer_fields(peer, words > 2 ? words - 2 : 0);
    else if (strcmp(command, "EVALSHA") == 0)
        peer_fields(peer, choose(&peer->choices, 2) ? 6 : 0);
    else if (strcmp(command, "SCAN") == 0)
        peer_page(peer);
    else if (strcmp(command, "CLUSTER") == 0)
        peer_slots(peer);
    else if (strcmp(command, "GET") == 0 || strcmp(command, "HGET") == 0)
        peer_bulk(peer, peer_choose_text(peer));
    else if (strcmp(command, "WAIT") == 0)
        peer_print(peer, ":%u\r\n", choose(&peer->choices, 3));
    else
        peer_print(peer, "+OK\r\n");
}

/* ---- Commands ---- */

/* The next line as "Xnumber"; NULL: it has not come whole. */
static inline const char *peer_take_line(const char *at, const char *end, long *ret_number) {
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    if (!line_end)
        return NULL;
    *ret_number = strtol(at + 1, NULL, 10);
    return line_end + 1;
}

/* The length of the first command, 0: not all of it has come. */
static inline size_t peer_take_command(const struct peer_client *client, char ret_word[16],
                                       unsigned *ret_words) {
    const char *at = client->asked, *end = at + client->size;
    long words, length;
    at = peer_take_line(at, end, &words);
    *ret_words = (unsigned)words;
    for (long i = 0; at && i < words; i++) {
        at = peer_take_line(at, end, &length);
        if (!at || end - at < length + 2)
            return 0;
        if (i == 0)
            snprintf(ret_word, 16, "%.*s", (int)length, at);
        at += length + 2;
    }
    return at ? (size_t)(at - client->asked) : 0;
}

static inline void peer_hang_up(struct peer_client *client) {
    close(client->socket);
    client->socket = -1;
    client->size = 0;
}

/* False: the bytes have come to their end, or he had rather not. */
static inline bool peer_answer(struct redis_peer *peer, const char *word, unsigned words) {
    pthread_mutex_lock(&peer->lock);
    bool goes_on = choices_left(&peer->choices);
    unsigned how = choose(&peer->choices, 16);
    if (how == 0)
        peer_error(peer);
    else if (how == 1)
        peer_any(peer, 0);
    else if (how == 2)
        goes_on = false;
    else
        peer_sane(peer, word, words);
    pthread_mutex_unlock(&peer->lock);
    return goes_on;
}

static inline void peer_serve(struct redis_peer *peer, struct peer_client *client) {
    char word[16];
    unsigned words;
    ssize_t n = read(client->socket, client->asked + client->size, sizeof client->asked - client->size);
    bool goes_on = n > 0;
    client->size += n > 0 ? (size_t)n : 0;
    peer->answer_size = 0;
    for (size_t length; goes_on && (length = peer_take_command(client, word, &words)) > 0;) {
        goes_on = peer_answer(peer, word, words);
        client->size -= length;
        memmove(client->asked, client->asked + length, client->size);
    }
    if (peer->answer_size)
        goes_on &= send(client->socket, peer->answer, peer->answer_size, MSG_NOSIGNAL) > 0;
    if (!goes_on || client->size == sizeof client->asked)
        peer_hang_up(client);
}

static inline void peer_welcome(struct redis_peer *peer) {
    int socket = accept(peer->door, NULL, NULL);
    for (size_t i = 0; i < PEER_CLIENTS; i++)
        if (peer->clients[i].socket < 0) {
            peer->clients[i].socket = socket;
            return;
        }
    close(socket);
}

static inline void *peer_run(void *context) {
    struct redis_peer *peer = context;
    for (;;) {
        struct pollfd fds[PEER_CLIENTS + 1] = {{.fd = peer->door, .events = POLLIN}};
        for (size_t i = 0; i < PEER_CLIENTS; i++)
            fds[i + 1] = (struct pollfd){.fd = peer->clients[i].socket, .events = POLLIN};
        if (poll(fds, PEER_CLIENTS + 1, -1) <= 0)
            continue;
        for (size_t i = 0; i < PEER_CLIENTS; i++)
            if (fds[i + 1].revents)
                peer_serve(peer, &peer->clients[i]);
        if (fds[0].revents)
            peer_welcome(peer);
    }
    return NULL;
}

/* The one of the program; its thread ends with that. */
static inline struct redis_peer *redis_peer(void) {
    static struct redis_peer peer = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (peer.port)
        return &peer;
    for (size_t i = 0; i < PEER_CLIENTS; i++)
        peer.clients[i].socket = -1;
    peer.door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(bind(peer.door, (struct sockaddr *)&address, sizeof address) == 0 &&
               listen(peer.door, 16) == 0);
    FUZZ_CHECK(getsockname(peer.door, (struct sockaddr *)&address, &size) == 0);
    peer.port = ntohs(address.sin_port);
    FUZZ_CHECK(pthread_create(&thread, NULL, peer_run, &peer) == 0 && pthread_detach(thread) == 0);
    return &peer;
}

static inline void redis_peer_take(struct redis_peer *peer, struct choices choices) {
    pthread_mutex_lock(&peer->lock);
    peer->choices = choices;
    pthread_mutex_unlock(&peer->lock);
}

#endif
