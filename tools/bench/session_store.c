/* SPDX-License-Identifier: MIT */
#include "tools/bench/session_store.h"
#include "tools/bench/entries.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 64 * 1024 }; /* of a request, and of an answer: a session has 8 kB */

struct session_connection {
    int socket;
    size_t sent; /* bytes of `out` that are to be sent */
    size_t at;   /* the next byte of `in` to be read, */
    size_t end;  /* and the end of those that are there */
    char out[ROOM], in[ROOM];
};

struct session_connection *session_connect(unsigned short port) {
    struct session_connection *connection = calloc(1, sizeof *connection);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;
    if (!connection)
        bench_die("no memory for a connection");
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->socket < 0 ||
        connect(connection->socket, (struct sockaddr *)&address, sizeof address) != 0)
        bench_die("nobody listens there");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connection;
}

void session_disconnect(struct session_connection *connection) {
    close(connection->socket);
    free(connection);
}

/* ---- Bytes ---- */

static void put(struct session_connection *connection, struct slice bytes) {
    if (bytes.size > ROOM - connection->sent)
        bench_die("a session is too large");
    memcpy(connection->out + connection->sent, bytes.data, bytes.size);
    connection->sent += bytes.size;
}

static void put_text(struct session_connection *connection, const char *text) {
    put(connection, slice_string(text));
}

static void put_number(struct session_connection *connection, size_t number) {
    char text[24];
    put(connection, slice_of(text, (size_t)snprintf(text, sizeof text, "%zu", number)));
}

static void send_all(struct session_connection *connection) {
    for (size_t done = 0; done < connection->sent;) {
        ssize_t count =
            send(connection->socket, connection->out + done, connection->sent - done, MSG_NOSIGNAL);
        if (count <= 0)
            bench_die("the connection broke");
        done += (size_t)count;
    }
    connection->sent = connection->at = connection->end =
        0; /* one request, one answer: nothing is left in `in` */
}

static void receive_more(struct session_connection *connection) {
    ssize_t count = connection->end < ROOM ? recv(connection->socket, connection->in + connection->end,
                                                  ROOM - connection->end, 0)
                                           : 0;
    if (count <= 0)
        bench_die("the connection broke, or an answer is too large");
    connection->end += (size_t)count;
}

/* The next line, without its end. */
static struct slice line(struct session_connection *connection) {
    for (size_t looked = connection->at;;) {
        const char *end = memchr(connection->in + looked, '\n', connection->end - looked);
        if (end) {
            struct slice found =
                slice_of(connection->in + connection->at, (size_t)(end - connection->in) - connection->at);
            connection->at = (size_t)(end - connection->in) + 1;
            found.size -= found.size > 0 && found.data[found.size - 1] == '\r';
            return found;
        }
        looked = connection->end;
        receive_more(connection);
    }
}

/* So many bytes and the end of the line behind them. */
static struct slice bytes(struct session_connection *connection, size_t count) {
    while (connection->end - connection->at < count + 2)
        receive_more(connection);
    struct slice found = slice_of(connection->in + connection->at, count);
    connection->at += count + 2;
    return found;
}

static bool is(struct slice text, const char *word) {
    return slice_equal(text, slice_string(word));
}

static bool begins(struct slice text, const char *word) {
    return slice_starts_with(text, slice_string(word));
}

/* The number that a line ends with: the lines end in "\n" themselves, so strtoul stops there. */
static size_t last_number(struct slice text, char before) {
    const char *at = memrchr(text.data, before, text.size);
    return at ? strtoul(at + 1, NULL, 10) : 0;
}

/* ---- memcached ---- */

static enum session_outcome memcached_answer(struct session_connection *connection, const char *done,
                                             const char *absent) {
    put_text(connection, "\r\n");
    send_all(connection);
    struct slice said = line(connection);
    return is(said, done) ? SESSION_DONE : is(said, absent) ? SESSION_ABSENT : SESSION_REFUSED;
}

static void memcached_begin(struct session_connection *connection, const char *verb, struct slice key) {
    put_text(connection, verb);
    put(connection, key);
}

static enum session_outcome memcached_get(struct session_connection *connection, struct slice key,
                                          struct slice *ret_value) {
    memcached_begin(connection, "get ", key);
    put_text(connection, "\r\n");
    send_all(connection);
    struct slice said = line(connection);
    if (!begins(said, "VALUE "))
        return is(said, "END") ? SESSION_ABSENT : SESSION_REFUSED;
    size_t header = connection->at; /* the room of `in` does not move */
    size_t size = last_number(said, ' ');
    bytes(connection, size);
    if (!is(line(connection), "END"))
        return SESSION_REFUSED;
    *ret_value = slice_of(connection->in + header, size);
    return SESSION_DONE;
}

static enum session_outcome memcached_store(struct session_connection *connection, const char *verb,
                                            struct slice key, struct slice value, unsigned ttl) {
    memcached_begin(connection, verb, key);
    put_text(connection, " 0 ");
    put_number(connection, ttl);
    put_text(connection, " ");
    put_number(connection, value.size);
    put_text(connection, "\r\n");
    put(connection, value);
    return memcached_answer(connection, "STORED", "NOT_STORED");
}

static enum session_outcome memcached_set(struct session_connection *connection, struct slice key,
                                          struct slice value, unsigned ttl) {
    return memcached_store(connection, "set ", key, value, ttl);
}

static enum session_outcome memcached_add(struct session_connection *connection, struct slice key,
                                          struct slice value, unsigned ttl) {
    return memcached_store(connection, "add ", key, value, ttl);
}

static enum session_outcome memcached_touch(struct session_connection *connection, struct slice key,
                                            unsigned ttl) {
    memcached_begin(connection, "touch ", key);
    put_text(connection, " ");
    put_number(connection, ttl);
    return memcached_answer(connection, "TOUCHED", "NOT_FOUND");
}

static enum session_outcome memcached_remove(struct session_connection *connection, struct slice key) {
    memcached_begin(connection, "delete ", key);
    return memcached_answer(connection, "DELETED", "NOT_FOUND");
}

const struct session_store session_store_memcached = {
    .name = "memcached",
    .get = memcached_get,
    .set = memcached_set,
    .add = memcached_add,
    .touch = memcached_touch,
    .remove = memcached_remove,
};

/* ---- Redis ---- */

static void redis_begin(struct session_connection *connection, unsigned words) {
    put_text(connection, "*");
    put_number(connection, words);
    put_text(connection, "\r\n");
}

static void redis_word(struct session_connection *connection, struct slice word) {
    put_text(connection, "$");
    put_number(connection, word.size);
    put_text(connection, "\r\n");
    put(connection, word);
    put_text(connection, "\r\n");
}

static void redis_text(struct session_connection *connection, const char *text) {
    redis_word(connection, slice_string(text));
}

static void redis_seconds(struct session_connection *connection, unsigned ttl) {
    char text[24];
    redis_word(connection, slice_of(text, (size_t)snprintf(text, sizeof text, "%u", ttl)));
}

static enum session_outcome redis_answer(struct session_connection *connection, const char *done,
                                         const char *absent) {
    send_all(connection);
    struct slice said = line(connection);
    return is(said, done) ? SESSION_DONE : is(said, absent) ? SESSION_ABSENT : SESSION_REFUSED;
}

static enum session_outcome redis_get(struct session_connection *connection, struct slice key,
                                      struct slice *ret_value) {
    redis_begin(connection, 2);
    redis_text(connection, "GET");
    redis_word(connection, key);
    send_all(connection);
    struct slice said = line(connection);
    if (!begins(said, "$"))
        return SESSION_REFUSED;
    if (is(said, "$-1"))
        return SESSION_ABSENT;
    *ret_value = bytes(connection, last_number(said, '$'));
    return SESSION_DONE;
}

static enum session_outcome redis_set(struct session_connection *connection, struct slice key,
                                      struct slice value, unsigned ttl) {
    redis_begin(connection, 5);
    redis_text(connection, "SET");
    redis_word(connection, key);
    redis_word(connection, value);
    redis_text(connection, "EX");
    redis_seconds(connection, ttl);
    return redis_answer(connection, "+OK", "");
}

static enum session_outcome redis_add(struct session_connection *connection, struct slice key,
                                      struct slice value, unsigned ttl) {
    redis_begin(connection, 6);
    redis_text(connection, "SET");
    redis_word(connection, key);
    redis_word(connection, value);
    redis_text(connection, "NX");
    redis_text(connection, "EX");
    redis_seconds(connection, ttl);
    return redis_answer(connection, "+OK", "$-1");
}

static enum session_outcome redis_touch(struct session_connection *connection, struct slice key,
                                        unsigned ttl) {
    redis_begin(connection, 3);
    redis_text(connection, "EXPIRE");
    redis_word(connection, key);
    redis_seconds(connection, ttl);
    return redis_answer(connection, ":1", ":0");
}

static enum session_outcome redis_remove(struct session_connection *connection, struct slice key) {
    redis_begin(connection, 2);
    redis_text(connection, "DEL");
    redis_word(connection, key);
    return redis_answer(connection, ":1", ":0");
}

const struct session_store session_store_redis = {
    .name = "redis",
    .get = redis_get,
    .set = redis_set,
    .add = redis_add,
    .touch = redis_touch,
    .remove = redis_remove,
};

const struct session_store *session_store_find(const char *name) {
    static const struct session_store *const all[] = {&session_store_memcached, &session_store_redis};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
