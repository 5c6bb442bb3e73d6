/* SPDX-License-Identifier: MIT */
/* See wire.h. */
#include "tools/top/wire.h"
#include "cache/base/clock.h"
#include "tools/top/sample.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, REQUEST_MAX = OPTIONS_PASSWORD_MAX + 512 };

struct wire {
    const struct options *options;
    enum wire_state state;
    int descriptor; /* -1: none */
    uint64_t since_us;
    struct addrinfo *addresses, *next; /* those of the host that have not been tried yet */
    char request[REQUEST_MAX];
    size_t request_size, sent;
    char *answer; /* as far as it has arrived */
    size_t size, room;
    size_t scanned; /* the beginning of the first line that is not complete */
    int ended;      /* reports of this answer */
    bool told;      /* the password, on this connection */
    char reason[300];
};

/* ---- Ends and states ---- */

static void enter(struct wire *wire, enum wire_state state) {
    wire->state = state;
    wire->since_us = monotonic_us();
}

static void drop_answer(struct wire *wire) {
    free(wire->answer);
    wire->answer = NULL;
    wire->size = wire->room = wire->scanned = 0;
    wire->ended = 0;
}

static void close_descriptor(struct wire *wire) {
    if (wire->descriptor >= 0)
        close(wire->descriptor);
    wire->descriptor = -1;
}

static void drop_addresses(struct wire *wire) {
    if (wire->addresses)
        freeaddrinfo(wire->addresses);
    wire->addresses = wire->next = NULL;
}

void wire_fail(struct wire *wire, const char *why) {
    snprintf(wire->reason, sizeof wire->reason, "%s", why);
    close_descriptor(wire);
    drop_addresses(wire);
    drop_answer(wire);
    enter(wire, WIRE_AWAY);
}

static void fail_with(struct wire *wire, const char *what, int failure) {
    char why[200];
    snprintf(why, sizeof why, "%s: %s", what, strerror(failure));
    wire_fail(wire, why);
}

struct wire *wire_new(const struct options *options) {
    struct wire *wire = calloc(1, sizeof *wire);
    if (!wire)
        return NULL;
    wire->options = options;
    wire->descriptor = -1;
    return wire;
}

void wire_free(struct wire *wire) {
    if (!wire)
        return;
    wire_fail(wire, "");
    explicit_bzero(wire->request, sizeof wire->request);
    free(wire);
}

enum wire_state wire_state(const struct wire *wire) {
    return wire->state;
}

int wire_descriptor(const struct wire *wire) {
    return wire->descriptor;
}

short wire_events(const struct wire *wire) {
    bool writes = wire->state == WIRE_CONNECTING || wire->sent < wire->request_size;
    return (short)(POLLIN | (writes ? POLLOUT : 0));
}

uint64_t wire_since_us(const struct wire *wire) {
    return wire->since_us;
}

const char *wire_reason(const struct wire *wire) {
    return wire->reason;
}

/* ---- Connecting ---- */

/* 0, or an errno. */
static int begin_to_connect(struct wire *wire, int family, const struct sockaddr *address, socklen_t size) {
    close_descriptor(wire);
    wire->descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->descriptor < 0)
        return errno;
    enter(wire, WIRE_CONNECTING);
    return connect(wire->descriptor, address, size) == 0 || errno == EINPROGRESS ? 0 : errno;
}

/* The next address of the host that does not refuse at once. */
static void try_next(struct wire *wire, int failure) {
    while (failure != 0 && wire->next) {
        const struct addrinfo *address = wire->next;
        wire->next = address->ai_next;
        failure = begin_to_connect(wire, address->ai_family, address->ai_addr, address->ai_addrlen);
    }
    if (failure != 0)
        fail_with(wire, "cannot be reached", failure);
}

static void open_path(struct wire *wire, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.*s", (int)sizeof address.sun_path - 1, path);
    try_next(wire, begin_to_connect(wire, AF_UNIX, (const struct sockaddr *)&address, sizeof address));
}

void wire_open(struct wire *wire) {
    const struct place *place = &wire->options->place;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char why[200];
    if (place->is_unix) {
        open_path(wire, place->host);
        return;
    }
    int failure = getaddrinfo(place->host, place->port, &hints, &wire->addresses);
    if (failure != 0) {
        wire->addresses = NULL;
        snprintf(why, sizeof why, "has no address: %s", gai_strerror(failure));
        wire_fail(wire, why);
        return;
    }
    wire->next = wire->addresses;
    try_next(wire, EHOSTUNREACH);
}

/* ---- Receiving ---- */

static bool make_room(struct wire *wire) {
    if (wire->room - wire->size >= READ_SIZE)
        return true;
    size_t room = wire->room ? 2 * wire->room : 2 * READ_SIZE;
    char *answer = wire->size < WIRE_ANSWER_MAX ? realloc(wire->answer, room) : NULL;
    if (!answer)
        return false;
    wire->answer = answer;
    wire->room = room;
    return true;
}

/* A server that refuses a connection says why before it closes, and may not wait for a request. */
static void lose(struct wire *wire) {
    char why[250], said[100] = "";
    size_t length = wire->size < sizeof said ? wire->size : sizeof said - 1;
    for (size_t i = 0; i < length && wire->answer[i] != '\r' && wire->answer[i] != '\n'; i++)
        said[i] = wire->answer[i] >= ' ' && wire->answer[i] <= '~' ? wire->answer[i] : '?';
    if (strncmp(said, "ERROR", 5) == 0 || strstr(said, "_ERROR") != NULL)
        snprintf(why, sizeof why, "has closed the connection: \"%s\"", said);
    else
        snprintf(
            why, sizeof why, "has closed the connection without an answer: %s",
            "it takes TLS alone at this address (ask at one without tls:), or refuses the text protocol (-B, -S); its log says which");
    wire_fail(wire, why);
}

static bool is_closed(int failure) {
    return failure == ECONNRESET || failure == EPIPE;
}

static bool read_some(struct wire *wire) {
    if (!make_room(wire)) {
        wire_fail(wire, "answers with more than can be kept");
        return false;
    }
    ssize_t got = recv(wire->descriptor, wire->answer + wire->size, READ_SIZE, 0);
    if (got > 0) {
        wire->size += (size_t)got;
        return true;
    }
    if (got == 0 || is_closed(errno))
        lose(wire);
    else if (errno != EAGAIN && errno != EINTR)
        fail_with(wire, "has ended the connection", errno);
    return false;
}

/* What it has said before it closed; the last attempt ends the connection. */
static void take_leave(struct wire *wire) {
    while (read_some(wire))
        continue;
}

/* ---- Asking ---- */

static void send_some(struct wire *wire) {
    ssize_t sent =
        send(wire->descriptor, wire->request + wire->sent, wire->request_size - wire->sent, MSG_NOSIGNAL);
    if (sent >= 0)
        wire->sent += (size_t)sent;
    else if (is_closed(errno))
        take_leave(wire);
    else if (errno != EAGAIN && errno != EINTR)
        fail_with(wire, "cannot be asked", errno);
}

static void begin_request(struct wire *wire, enum wire_state state, size_t size) {
    wire->request_size = size;
    wire->sent = 0;
    drop_answer(wire);
    enter(wire, state);
    send_some(wire);
}

void wire_ask(struct wire *wire) {
    begin_request(wire, WIRE_ASKING,
                  (size_t)snprintf(wire->request, sizeof wire->request, "%s", sample_requests));
}

/* Asks for something harmless: a server that wants no password must not be given one, which it would store as a
 * value. */
static void ask_for_gate(struct wire *wire) {
    begin_request(wire, WIRE_LOGIN, (size_t)snprintf(wire->request, sizeof wire->request, "version\r\n"));
}

/* The set that counts as a login: its key and flags mean nothing. */
static void log_in(struct wire *wire) {
    const struct options *options = wire->options;
    size_t size = strlen(options->user) + 1 + strlen(options->password);
    int used = snprintf(wire->request, sizeof wire->request, "set login 0 0 %zu\r\n%s %s\r\n", size,
                        options->user, options->password);
    wire->told = true;
    if (used >= (int)sizeof wire->request)
        wire_fail(wire, "takes no user and password that are so long");
    else
        begin_request(wire, WIRE_LOGIN, (size_t)used);
}

static void finish_connecting(struct wire *wire) {
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(wire->descriptor, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) {
        try_next(wire, failure);
        return;
    }
    drop_addresses(wire);
    wire->request_size = wire->sent = 0;
    wire->told = false;
    if (wire->options->user)
        ask_for_gate(wire);
    else
        enter(wire, WIRE_IDLE);
}

/* ---- Reading answers ---- */

static bool line_is(const char *line, size_t size, const char *word) {
    return size >= strlen(word) && strncmp(line, word, strlen(word)) == 0;
}

/* A report ends with END, or is an error. */
static bool ends_report(const char *line, size_t size) {
    return line_is(line, size, "END\r\n") || line_is(line, size, "ERROR") ||
           line_is(line, size, "CLIENT_ERROR") || line_is(line, size, "SERVER_ERROR");
}

/* True: all reports are there. */
static bool scan_answer(struct wire *wire) {
    char *newline;
    while (wire->ended < REPORTS &&
           (newline = memchr(wire->answer + wire->scanned, '\n', wire->size - wire->scanned))) {
        const char *line = wire->answer + wire->scanned;
        size_t size = (size_t)(newline + 1 - line);
        wire->ended += ends_report(line, size);
        wire->scanned += size;
    }
    return wire->ended == REPORTS;
}

static void read_login(struct wire *wire) {
    char why[300];
    const char *newline = memchr(wire->answer, '\n', wire->size);
    if (!newline)
        return;
    if (line_is(wire->answer, wire->size, "STORED\r\n") || line_is(wire->answer, wire->size, "VERSION ")) {
        enter(wire, WIRE_IDLE);
        return;
    }
    if (!wire->told && line_is(wire->answer, wire->size, "CLIENT_ERROR unauthenticated")) {
        log_in(wire);
        return;
    }
    snprintf(why, sizeof why, "does not let %s in: the user or the password is wrong", wire->options->user);
    wire_fail(wire, why);
}

static bool read_answer(struct wire *wire) {
    if (!read_some(wire))
        return false;
    if (wire->state == WIRE_LOGIN)
        read_login(wire);
    else if (wire->state == WIRE_IDLE)
        lose(wire); /* nobody asked: it takes leave */
    else if (scan_answer(wire)) {
        enter(wire, WIRE_IDLE);
        return true;
    }
    return false;
}

char *wire_take(struct wire *wire, size_t *ret_size) {
    char *answer = wire->answer;
    *ret_size = wire->scanned;
    wire->answer = NULL;
    drop_answer(wire);
    return answer;
}

/* ---- Steps ---- */

static bool is_ready(const struct wire *wire, short *ret_events) {
    struct pollfd ready = {wire->descriptor, wire_events(wire), 0};
    *ret_events = poll(&ready, 1, 0) > 0 ? ready.revents : 0;
    return *ret_events != 0;
}

/* An address that does not answer at all is left for the host's next one. */
static void check_patience(struct wire *wire, uint64_t now_us) {
    char why[100];
    if (wire->state == WIRE_IDLE || now_us - wire->since_us < (uint64_t)WIRE_PATIENCE_S * US_PER_SECOND)
        return;
    if (wire->state == WIRE_CONNECTING && wire->next) {
        try_next(wire, ETIMEDOUT);
        return;
    }
    snprintf(why, sizeof why, "has not answered for %d s", WIRE_PATIENCE_S);
    wire_fail(wire, why);
}

bool wire_step(struct wire *wire, uint64_t now_us) {
    short events;
    if (wire->state == WIRE_AWAY)
        return false;
    if (!is_ready(wire, &events)) {
        check_patience(wire, now_us);
        return false;
    }
    if (wire->state == WIRE_CONNECTING) {
        finish_connecting(wire);
        return false;
    }
    if ((events & POLLOUT) && wire->sent < wire->request_size)
        send_some(wire);
    return wire->state != WIRE_AWAY && (events & ~POLLOUT) && read_answer(wire);
}
