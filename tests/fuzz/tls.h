/* SPDX-License-Identifier: MIT */
/*
 * What comes to the server's end of an encrypted connection (server/worker/tls.c): any bytes, or what a client of
 * OpenSSL's says and somebody on the way has changed: bytes, records, where it ends (tls_way.h). Keys differ from run
 * to run, so of one input the lengths and the order are the same every time, and what is changed, but not each byte.
 *
 * What must hold: the server reads what the client wrote, from its first byte on, or less of it, whatever happened on
 * the way; nothing at all where the client never agreed on keys, or is one that the address does not let in; and all of
 * it where nobody meddled. It comes to an end, and a connection that has ended or failed stays so.
 */
#ifndef FOREBAY_TESTS_FUZZ_TLS_H
#define FOREBAY_TESTS_FUZZ_TLS_H

#include "cache/base/clock.h"
#include "server/tls/context.h"
#include "server/worker/connection.h"
#include "server/worker/internal.h"
#include "server/worker/tls.h"
#include "tests/fuzz/tls_certificate.h"
#include "tests/fuzz/tls_way.h"
#include <sys/socket.h>

enum {
    TLS_SAID_MAX = 40 << 10,
    TLS_STEPS_MAX = 60,
    TLS_SILENT_MOST = 32 /* records without bytes in a row: worker/tls.c */
};

/* The server, once for all inputs. */
struct tls_bench {
    struct server server;
    struct settings settings;
    struct io_type io_type;
    struct worker worker;
    SSL_CTX *client;
    X509 *certificate; /* that the server knows; with its key read once, as that takes long */
    EVP_PKEY *key;
    char text[TLS_SAID_MAX]; /* what clients say, as much of it as they do */
};

/* One connection of an input. */
struct tls_talk {
    struct tls_bench *bench;
    struct connection connection;
    SSL *client; /* NULL: nobody who knows TLS */
    struct tls_way way;
    int socket;                   /* the client's end */
    size_t said, written;         /* bytes that it is to say, and has said */
    size_t heard, told, answered; /* that the server read and sent back, and the client read of these */
    bool over;                    /* the server reads no more */
    unsigned storm;               /* how often it is to ask for new keys at once */
    bool stormy;                  /* it has, and more often than it may */
};

static inline bool tls_bench_watch(struct connection *connection, bool waits) {
    (void)connection, (void)waits;
    return true;
}

static inline struct tls_bench *tls_bench(void) {
    static struct tls_bench bench;
    static char path[512];
    char error[1024];
    if (bench.client)
        return &bench;
    snprintf(path, sizeof path, "%s/both.pem", fuzz_folder());
    settings_defaults(&bench.settings);
    bench.client = SSL_CTX_new(TLS_client_method());
    FUZZ_CHECK(bench.client);
    tls_certificate_make(path, &bench.certificate, &bench.key);
    bench.settings.tls_certificate = bench.settings.tls_ca = path;
    struct tls_context *context = tls_context_load(&bench.settings, error, sizeof error);
    FUZZ_CHECK(context && (bench.server.tls = tls_create(context)));
    bench.io_type = (struct io_type){.name = "bench", .watch_room = tls_bench_watch};
    bench.server.settings = &bench.settings;
    bench.server.verbosity = -1;
    bench.worker.server = &bench.server;
    bench.worker.io_type = &bench.io_type;
    SSL_CTX_set_verify(bench.client, SSL_VERIFY_NONE, NULL);
    for (size_t i = 0; i < sizeof bench.text; i++)
        bench.text[i] = (char)(i * 7 + i / 256);
    return &bench;
}

static inline void tls_bench_end(struct tls_bench *bench) {
    tls_free(bench->server.tls);
    SSL_CTX_free(bench->client);
    X509_free(bench->certificate);
    EVP_PKEY_free(bench->key);
    bench->client = NULL;
}

/* ---- The server's end ---- */

/* What it does with what it has read: it says the same back. */
static inline void tls_echo(struct tls_talk *talk, size_t size) {
    ssize_t sent = tls_send(&talk->connection, talk->bench->text + talk->told, size);
    if (sent > 0)
        talk->told += (size_t)sent;
}

/* Reads all that there is. */
static inline void tls_serve(struct tls_talk *talk) {
    char data[2048];
    while (!talk->over) {
        talk->bench->worker.now.us++; /* a turn */
        ssize_t got = tls_receive(&talk->connection, data, sizeof data);
        if (got < 0 && errno == EAGAIN)
            return;
        FUZZ_CHECK(got <= (ssize_t)sizeof data && (got >= 0 || errno != 0));
        talk->over = got <= 0;
        for (int i = 0; talk->over && i < 2; i++)
            FUZZ_CHECK(tls_receive(&talk->connection, data, sizeof data) <= 0 && !talk->connection.readable);
        if (got <= 0)
            return;
        FUZZ_CHECK(talk->heard + (size_t)got <= talk->written);
        FUZZ_CHECK(memcmp(data, talk->bench->text + talk->heard, (size_t)got) == 0);
        talk->heard += (size_t)got;
        tls_echo(talk, talk->heard - talk->told);
    }
}

/* ---- The client's end ---- */

static inline void tls_talk_begin(struct tls_talk *talk, struct tls_bench *bench, enum address_tls kind) {
    int sockets[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) == 0);
    *talk = (struct tls_talk){
        .bench = bench, .connection = {.fd = sockets[0], .worker = &bench->worker}, .socket = sockets[1]};
    FUZZ_CHECK(tls_enter(&talk->connection, kind) && bench->worker.handshakes == 1);
}

static inline void tls_talk_end(struct tls_talk *talk) {
    tls_leave(&talk->connection);
    FUZZ_CHECK(talk->bench->worker.handshakes == 0);
    SSL_free(talk->client);
    close(talk->connection.fd);
    close(talk->socket);
}

/* Mostly all at once; and what the socket does not take is lost, as the way may lose anything. */
static inline void tls_deliver(struct tls_talk *talk, struct choices *choices, const char *data,
                               size_t size) {
    while (size > 0) {
        size_t piece = choose(choices, 4) != 1 ? size : 1 + choose_place(choices, size);
        ssize_t sent = send(talk->socket, data, piece, MSG_NOSIGNAL);
        talk->way.meddled |= sent != (ssize_t)piece;
        tls_serve(talk);
        data += piece;
        size -= piece;
    }
}

/* What the client has to say goes its way, and what the server says comes back, which nobody touches. */
static inline void tls_carry(struct tls_talk *talk, struct choices *choices) {
    char data[32 << 10];
    int size = BIO_read(SSL_get_wbio(talk->client), data, sizeof data / 2);
    if (size > 0) {
        size_t left = tls_way_pass(&talk->way, choices, data, (size_t)size, sizeof data);
        tls_deliver(talk, choices, data, left);
    }
    for (ssize_t got; (got = recv(talk->socket, data, sizeof data, 0)) > 0;)
        BIO_write(SSL_get_rbio(talk->client), data, (int)got);
}

static inline void tls_hear(struct tls_talk *talk) {
    char data[2048];
    for (int got; (got = SSL_read(talk->client, data, sizeof data)) > 0;) {
        FUZZ_CHECK(talk->answered + (size_t)got <= talk->told &&
                   memcmp(data, talk->bench->text + talk->answered, (size_t)got) == 0);
        talk->answered += (size_t)got;
    }
}

/* New keys again and again, and then bytes. */
static inline void tls_storm(struct tls_talk *talk) {
    unsigned sent = 0;
    while (sent < talk->storm && SSL_key_update(talk->client, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
           SSL_do_handshake(talk->client) == 1)
        sent++;
    talk->storm = 0;
    talk->stormy = sent > TLS_SILENT_MOST;
}

/* False: it cannot. */
static inline bool tls_say(struct tls_talk *talk, struct choices *choices) {
    static const size_t sizes[] = {16384, 1, 2, 16, 100, 1000, 5000};
    size_t left = talk->said - talk->written, size = sizes[choose(choices, 7)];
    if (!SSL_is_init_finished(talk->client))
        return SSL_do_handshake(talk->client) == 1 || BIO_pending(SSL_get_wbio(talk->client)) > 0;
    if (left > 0 && talk->storm > 0)
        tls_storm(talk);
    else if (choose(choices, 8) == 0)
        SSL_key_update(talk->client,
                       choose(choices, 2) ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    size = size < left ? size : left;
    if (size == 0 || SSL_write(talk->client, talk->bench->text + talk->written, (int)size) != (int)size)
        return false;
    talk->written += size;
    return true;
}

/* Until nobody has anything more to say. */
static inline void tls_converse(struct tls_talk *talk, struct choices *choices) {
    for (unsigned steps = 0; steps < TLS_STEPS_MAX; steps++) {
        ERR_clear_error();
        bool says = tls_say(talk, choices);
        tls_carry(talk, choices);
        tls_hear(talk);
        if (!says && BIO_pending(SSL_get_wbio(talk->client)) == 0)
            break;
    }
    if (choose(choices, 2) && SSL_is_init_finished(talk->client))
        SSL_shutdown(talk->client);
    tls_carry(talk, choices);
    tls_hear(talk);
}

/* ---- Inputs ---- */

/* certified: it shows the certificate that the server knows. */
static inline void tls_client_begin(struct tls_talk *talk, struct choices *choices, bool certified,
                                    SSL_SESSION *session) {
    talk->client = SSL_new(talk->bench->client);
    FUZZ_CHECK(talk->client);
    SSL_set_bio(talk->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(talk->client);
    if (choose(choices, 2))
        SSL_set_max_proto_version(talk->client, TLS1_2_VERSION);
    if (certified)
        FUZZ_CHECK(SSL_use_certificate(talk->client, talk->bench->certificate) == 1 &&
                   SSL_use_PrivateKey(talk->client, talk->bench->key) == 1);
    if (session)
        SSL_set_session(talk->client, session);
}

/* A session that a good client got at an address for anybody. */
static inline SSL_SESSION *tls_session(struct tls_bench *bench, struct choices *choices) {
    static struct tls_talk talk;
    struct choices none = {NULL, NULL};
    tls_talk_begin(&talk, bench, ADDRESS_TLS_ANYBODY);
    tls_client_begin(&talk, choices, false, NULL);
    talk.said = 1;
    tls_converse(&talk, &none);
    FUZZ_CHECK(talk.heard == 1 && talk.answered == 1);
    SSL_SESSION *session = SSL_get1_session(talk.client);
    tls_talk_end(&talk);
    return session;
}

static inline void tls_play_client(struct tls_bench *bench, struct choices *choices) {
    static struct tls_talk talk;
    enum address_tls kind = choose(choices, 2) ? ADDRESS_TLS_ANYBODY : ADDRESS_TLS_KNOWN;
    bool certified = choose(choices, 2), may = certified || kind == ADDRESS_TLS_ANYBODY;
    SSL_SESSION *session = choose(choices, 4) == 0 ? tls_session(bench, choices) : NULL;
    tls_talk_begin(&talk, bench, kind);
    tls_client_begin(&talk, choices, certified, session);
    talk.said = choose_place(choices, TLS_SAID_MAX);
    talk.storm = choose(choices, 4) == 1 ? choose(choices, 2 * TLS_SILENT_MOST) : 0;
    talk.way = tls_way_begin(choices);
    tls_converse(&talk, choices);
    FUZZ_CHECK(may || talk.heard == 0);
    FUZZ_CHECK(talk.way.meddled || !talk.stormy || !may || talk.heard < talk.written);
    FUZZ_CHECK(talk.way.meddled || talk.stormy || !may ||
               (talk.heard == talk.written && talk.answered == talk.written));
    tls_talk_end(&talk);
    SSL_SESSION_free(session);
}

static inline void tls_play_bytes(struct tls_bench *bench, struct choices *choices, const char *data,
                                  size_t size) {
    static struct tls_talk talk;
    tls_talk_begin(&talk, bench, choose(choices, 2) ? ADDRESS_TLS_ANYBODY : ADDRESS_TLS_KNOWN);
    tls_deliver(&talk, choices, data, size);
    FUZZ_CHECK(talk.heard == 0);
    tls_talk_end(&talk);
}

/* One input: the first byte says what the rest is. */
static inline void check_tls(const uint8_t *data, size_t size) {
    struct tls_bench *bench = tls_bench();
    struct choices choices = choices_of(data, size);
    if (choose(&choices, 4))
        tls_play_client(bench, &choices);
    else if (size > 4)
        tls_play_bytes(bench, &(struct choices){data + 1, data + 4}, (const char *)data + 4, size - 4);
    ERR_clear_error();
}

#endif
