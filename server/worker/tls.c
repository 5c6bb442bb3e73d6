/* SPDX-License-Identifier: MIT */
/*
 * States of an encrypted connection, beside those of connection.c:
 *
 *     handshake --note_done--> done
 *     either --end_with--> over: `failure` is what every later call says; OpenSSL is not asked again
 *
 * What one costs before its handshake is done: OpenSSL's memory, which is bounded by the most that it takes of one
 * message (a client's first: 128 KiB; its certificates: TLS_CHAIN_MOST), and TLS_HANDSHAKE_MOST bytes to be read, for
 * at most tls_handshake_timeout. docs/operating.md has the figures. Afterwards an idle connection has no buffers
 * (SSL_MODE_RELEASE_BUFFERS).
 *
 * What one costs in a turn: OpenSSL goes on to the next record where one had no bytes of the client's in it (new keys,
 * a warning, a wish to renegotiate), as long as there are any. So records are counted as they come: SILENT_MOST without
 * bytes in between end the connection, and RECORDS_A_CALL are the most of a call.
 */
#include "server/worker/tls.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/tls/context.h"
#include "server/worker/connection.h"
#include "server/worker/input.h"
#include "server/worker/internal.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    STEPS_A_TURN = 4,    /* of handshakes: each may take a millisecond, and all wait for the turn */
    RECORDS_A_CALL = 64, /* of reading, after which it reads no further: new keys take some microseconds */
    SILENT_MOST = 32,    /* records without bytes in a row; as many empty ones OpenSSL allows itself */
};

struct tls_link {
    SSL *ssl;
    uint32_t began;   /* monotonic seconds */
    bool done;        /* the handshake is */
    bool ended;       /* the client has said that nothing follows */
    bool drained;     /* the last read got less than it asked for: what comes then is reported */
    bool awaits_room; /* it cannot be read before OpenSSL has sent what it has to say */
    bool interrupted; /* by a signal, before the last read got anything */
    bool agreed;      /* as `done`, within the call in which it becomes so */
    bool excessive;   /* the client has sent more than is read of it: OpenSSL reads no further */
    unsigned records; /* of the call */
    unsigned silent;  /* records without bytes, since one had some */
    int refused;      /* errno of the last call that the socket refused for more than a moment */
    int failure;      /* errno of what is over; 0: nothing is */
};

/* Of a handshake. */
static bool takes_little(const struct tls_link *link) {
    return BIO_number_read(SSL_get_rbio(link->ssl)) <= TLS_HANDSHAKE_MOST;
}

static bool is_refused(int result) {
    return result < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
}

/* Looks on as OpenSSL reads the socket, where it takes an interrupted call for an empty socket. Where the kernel
 * decrypts, a read is a record, and says nothing of what is behind. Why the kernel refused a call is forgotten by
 * OpenSSL. */
static long note_call(BIO *bio, int operation, const char *data, size_t size, int number, long argument,
                      int result, size_t *got) {
    struct tls_link *link = (struct tls_link *)(void *)BIO_get_callback_arg(bio);
    (void)data, (void)number, (void)argument;
    if (operation == (BIO_CB_READ | BIO_CB_RETURN)) {
        link->drained = result > 0 && *got < size && !BIO_get_ktls_recv(bio);
        link->interrupted = result < 0 && errno == EINTR;
    }
    bool is_call = operation == (BIO_CB_READ | BIO_CB_RETURN) || operation == (BIO_CB_WRITE | BIO_CB_RETURN);
    if (is_call && is_refused(result))
        link->refused = errno;
    return result;
}

/* Looks on as OpenSSL begins to read a record, which may have bytes. Where the end has been told, it throws the record
 * away, and returns. */
static void note_record(int is_sent, int version, int type, const void *data, size_t size, SSL *ssl,
                        void *context) {
    struct tls_link *link = context;
    (void)version, (void)data, (void)size;
    if (is_sent || type != SSL3_RT_HEADER)
        return;
    link->agreed = link->agreed || SSL_is_init_finished(ssl);
    link->records++;
    if (link->agreed ? link->silent++ <= SILENT_MOST : takes_little(link))
        return;
    link->excessive = true;
    SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

static void watch_calls(struct tls_link *link) {
    BIO *bio = SSL_get_rbio(link->ssl);
    BIO_set_callback_arg(bio, (char *)link);
    BIO_set_callback_ex(bio, note_call);
    SSL_set_msg_callback(link->ssl, note_record);
    SSL_set_msg_callback_arg(link->ssl, link);
}

bool tls_enter(struct connection *connection, enum address_tls kind) {
    struct worker *worker = connection->worker;
    struct tls_link *link = calloc(1, sizeof *link);
    if (!link)
        return false;
    link->ssl = tls_begin(worker->server->tls, kind);
    if (!link->ssl || SSL_set_fd(link->ssl, connection->fd) != 1) {
        SSL_free(link->ssl);
        free(link);
        return false;
    }
    watch_calls(link);
    link->began = worker->second;
    connection->tls = link;
    worker->handshakes++;
    return true;
}

void tls_leave(struct connection *connection) {
    struct tls_link *link = connection->tls;
    if (!link->done)
        connection->worker->handshakes--;
    ERR_clear_error();
    if (link->done && !link->failure)
        SSL_shutdown(link->ssl); /* as far as the socket takes it */
    ERR_clear_error();
    SSL_free(link->ssl);
    free(link);
    connection->tls = NULL;
}

/* ---- What becomes of a handshake ---- */

/* As OpenSSL says it, or the verification of a client's certificate. */
static const char *reason_of(const struct tls_link *link) {
    long verified = SSL_get_verify_result(link->ssl);
    if (verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "the client left";
}

/* What whoever reads it can do. */
static const char *remedy_of(const struct tls_link *link) {
    switch (ERR_GET_REASON(ERR_peek_last_error())) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
        return "; it does not speak TLS: switch that on in the client, or take an address without tls:";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "; give the client a certificate, or see tls_client_certificates";
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return "; see tls_version";
    case SSL_R_NO_SHARED_CIPHER:
        return "; see tls_ciphers";
    default:
        return SSL_get_verify_result(link->ssl) == X509_V_OK ? ""
                                                             : "; see the client's certificate, and tls_ca";
    }
}

static void log_failure(const struct connection *connection, const char *reason, const char *remedy) {
    char address[PEER_TEXT];
    peer_name(&connection->peer, address);
    server_log_about(connection->worker->server, LOG_KIND_HANDSHAKE, LOG_LEVEL_WARNING,
                     LOG_FIELDS(log_text("address", address)), "client %s: the TLS handshake failed: %s%s",
                     address, reason, remedy);
}

static void note_failed_handshake(const struct connection *connection, const char *reason,
                                  const char *remedy) {
    count(&connection->worker->tls_handshake_errors);
    log_failure(connection, reason, remedy);
}

/* After the handshake. Clients cause that by leaving, too. */
static void tell_end(const struct connection *connection, const char *reason) {
    connection_tell_end(connection, LOG_KIND_ENCRYPTION, LOG_LEVEL_DEBUG, "its TLS has ended: %s", reason);
}

/* As OpenSSL says it, or the kernel. */
static const char *reason_of_end(const struct tls_link *link) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason          ? reason
           : link->refused ? strerror(link->refused)
                           : "neither OpenSSL nor the kernel says why";
}

/* After each call that may have been a part of it. False: it is not done, and has had enough. */
static bool note_done(struct connection *connection) {
    struct tls_link *link = connection->tls;
    struct worker *worker = connection->worker;
    if (link->done)
        return true;
    if (!SSL_is_init_finished(link->ssl))
        return takes_little(link);
    link->done = true;
    worker->handshakes--;
    count(&worker->tls_handshakes);
    if (SSL_session_reused(link->ssl))
        count(&worker->tls_resumed);
    return true;
}

/* From now on every call says so. */
static ssize_t end_with(struct connection *connection, int failure) {
    ERR_clear_error();
    connection->tls->failure = failure;
    errno = failure;
    return -1;
}

/* As OpenSSL has just said it. Who connects and leaves without a word, as probes do, has not failed. */
static ssize_t note_failure(struct connection *connection, int failure) {
    const struct tls_link *link = connection->tls;
    if (link->done && ERR_peek_error())
        count(&connection->worker->tls_errors);
    if (link->done)
        tell_end(connection, reason_of_end(link));
    else if (BIO_number_read(SSL_get_rbio(link->ssl)) > 0)
        note_failed_handshake(connection, reason_of(link), remedy_of(link));
    return end_with(connection, failure);
}

bool tls_begins(const struct connection *connection) {
    return !connection->tls->done;
}

bool tls_awaits_room(const struct connection *connection) {
    return connection->tls && connection->tls->awaits_room;
}

void tls_end_slow(struct worker *worker) {
    uint32_t most = worker->server->settings->tls_handshake_timeout;
    struct connection *next;
    for (struct connection *connection = worker->connections; connection; connection = next) {
        next = connection->next;
        const struct tls_link *link = connection->tls;
        if (!link || link->done || connection_state(connection) == CONNECTION_BROKEN ||
            link->began + most >= worker->second)
            continue;
        note_failed_handshake(connection, "it took too long", "; see tls_handshake_timeout");
        connection_end(connection, CLOSED_IDLE);
    }
}

/* ---- In ---- */

/* Says goodbye, if a message of the client's does not lack its end. */
static ssize_t refuse(struct connection *connection, const char *reason) {
    count(&connection->worker->tls_errors);
    tell_end(connection, reason);
    SSL_shutdown(connection->tls->ssl);
    return end_with(connection, EPROTO);
}

/* The last call got nothing. As receive of io.h: 0 at the end, or -1 with errno. */
static ssize_t receive_nothing(struct connection *connection) {
    struct tls_link *link = connection->tls;
    if (link->excessive)
        return refuse(connection, "too many records without bytes");
    switch (SSL_get_error(link->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE: /* it has more to say than the socket takes: it is readable again when there is room */
        if (!link->awaits_room && !connection->worker->io_type->watch_room(connection, true))
            return note_failure(connection, ENOMEM);
        link->awaits_room = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_READ:
        link->awaits_room = false;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        link->ended = true;
        return link->done ? 0 : note_failure(connection, EPROTO);
    default:
        return note_failure(connection, EPROTO);
    }
}

/* Whether a handshake may go on in this turn. */
static bool may_step(struct worker *worker) {
    if (worker->handshake_us != worker->now.us)
        worker->handshake_steps = 0;
    worker->handshake_us = worker->now.us;
    return worker->handshake_steps++ < STEPS_A_TURN;
}

/* It is read again in the next turn. */
static ssize_t put_off(struct connection *connection) {
    connection->readable = true;
    errno = EAGAIN;
    return -1;
}

/* What a call before has found out already. */
static ssize_t receive_end(struct connection *connection) {
    const struct tls_link *link = connection->tls;
    connection->readable = false;
    errno = link->failure;
    return link->failure ? -1 : 0;
}

/* Whether the socket is empty, and so is what OpenSSL has of it. */
static bool is_drained(const struct tls_link *link) {
    return link->drained && !SSL_has_pending(link->ssl);
}

/* Whether the client has asked for new keys of what it is sent, and the kernel encrypts that: it goes on with the old
 * ones, while OpenSSL (3.0) tells the client, with its next write, that new ones follow. Nothing the client could read
 * would. */
static bool asks_for_keys_of_the_kernel(const struct tls_link *link) {
    return SSL_get_key_update_type(link->ssl) != SSL_KEY_UPDATE_NONE &&
           BIO_get_ktls_send(SSL_get_wbio(link->ssl));
}

/* False as SSL_read_ex says it: it got nothing. What an interrupted read left in the socket is not told again. */
static bool read_record(struct tls_link *link, char *data, size_t size, size_t *got) {
    size_t part = 0;
    bool read = false;
    do {
        link->interrupted = false;
        read = SSL_read_ex(link->ssl, data + *got, size - *got, &part) == 1;
    } while (!read && link->interrupted);
    if (!read)
        return false;
    *got += part;
    link->silent = 0;
    link->awaits_room = false;
    return true;
}

/* Reads until there is no more, or no room: only then does the kernel tell when there is; or until it was enough for a
 * turn. What follows bytes, an end or a failure, is told by the next call. */
ssize_t tls_receive(struct connection *connection, char *data, size_t size) {
    struct tls_link *link = connection->tls;
    size_t got = 0;
    bool read;
    if (link->failure || link->ended)
        return receive_end(connection);
    if (!link->done && !may_step(connection->worker))
        return put_off(connection);
    ERR_clear_error();
    link->drained = false; /* what a call before found was told since, and may be over */
    link->records = 0;
    do
        read = read_record(link, data, size, &got);
    while (read && got < size && !is_drained(link) && link->records < RECORDS_A_CALL);
    if (!note_done(connection)) {
        note_failed_handshake(connection, "it takes too much", "");
        return end_with(connection, EPROTO);
    }
    if (asks_for_keys_of_the_kernel(
            link)) /* what came before is not executed any more: no answer could be told */
        return refuse(connection, "it asks for new keys, which the kernel cannot have");
    connection->readable = read && (!is_drained(link) || connection->hung_up);
    if (read)
        return (ssize_t)got;
    ssize_t rest = receive_nothing(connection);
    if (got == 0)
        return rest;
    connection->readable = link->failure || link->ended;
    return (ssize_t)got;
}

ssize_t tls_take(struct connection *connection, size_t size, const char **ret_data) {
    return input_take(connection, tls_receive, size, ret_data);
}

/* ---- Out ---- */

ssize_t tls_send(struct connection *connection, const char *data, size_t size) {
    struct tls_link *link = connection->tls;
    size_t sent = 0, part;
    if (link->failure) {
        errno = link->failure;
        return -1;
    }
    ERR_clear_error();
    while (sent < size && SSL_write_ex(link->ssl, data + sent, size - sent, &part) == 1)
        sent += part;
    if (sent == size)
        return (ssize_t)sent;
    if (SSL_get_error(link->ssl, 0) != SSL_ERROR_WANT_WRITE)
        return note_failure(connection, EPIPE);
    errno = EAGAIN;
    return sent > 0 ? (ssize_t)sent : -1;
}

ssize_t tls_send_pieces(struct connection *connection, const char *base, const struct piece *pieces,
                        size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        ssize_t sent = tls_send(connection, piece_data(&pieces[i], base), pieces[i].size);
        if (sent < 0)
            return errno == EAGAIN ? (ssize_t)total : -1;
        total += (size_t)sent;
        if ((size_t)sent < pieces[i].size)
            break;
    }
    return (ssize_t)total;
}
