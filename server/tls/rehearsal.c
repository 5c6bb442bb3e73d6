/* SPDX-License-Identifier: MIT */
#include "server/tls/rehearsal.h"
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>

/* Steps of both ends: each takes what the pair of BIOs between them has room for. */
enum { STEPS_MAX = 64 };

struct ends {
    SSL *server, *client;
};

static int accept_any(int good, X509_STORE_CTX *store) {
    (void)good, (void)store;
    return 1;
}

static SSL_CTX *new_client(SSL_CTX *server, int version) {
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    if (!client)
        return NULL;
    SSL_CTX_set_security_level(client, 0); /* whether the certificate is a good one is not the question */
    SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
    bool good = SSL_CTX_set_min_proto_version(client, version) == 1 &&
                SSL_CTX_set_max_proto_version(client, version) == 1 &&
                SSL_CTX_use_certificate(client, SSL_CTX_get0_certificate(server)) == 1 &&
                SSL_CTX_use_PrivateKey(client, SSL_CTX_get0_privatekey(server)) == 1;
    if (good)
        return client;
    SSL_CTX_free(client);
    return NULL;
}

static bool connect_ends(const struct ends *ends) {
    static const unsigned char name[] = "rehearsal";
    BIO *of_server = NULL, *of_client = NULL;
    if (!ends->server || !ends->client || BIO_new_bio_pair(&of_server, 0, &of_client, 0) != 1)
        return false;
    SSL_set_bio(ends->server, of_server, of_server);
    SSL_set_bio(ends->client, of_client, of_client);
    SSL_set_accept_state(ends->server);
    SSL_set_connect_state(ends->client);
    if (SSL_get_verify_mode(ends->server) != SSL_VERIFY_NONE)
        SSL_set_verify(ends->server, SSL_VERIFY_PEER, accept_any);
    return SSL_set_session_id_context(ends->server, name, sizeof name - 1) == 1;
}

static bool wants_more(const SSL *ssl, int result) {
    int error = SSL_get_error(ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* False: it has failed, or is over. */
static bool step(SSL *ssl, bool *ret_done) {
    int result = SSL_do_handshake(ssl);
    *ret_done = result == 1;
    return *ret_done || wants_more(ssl, result);
}

/* Until both are done. */
static bool shake_hands(const struct ends *ends) {
    bool client_done = false, server_done = false;
    for (unsigned steps = 0; steps < STEPS_MAX && !(client_done && server_done); steps++)
        if (!step(ends->client, &client_done) || !step(ends->server, &server_done))
            return false;
    return client_done && server_done;
}

/* A byte there and one back, with which tickets come. */
static void talk(const struct ends *ends) {
    char byte = 'x';
    bool good = SSL_write(ends->client, &byte, 1) == 1 && SSL_read(ends->server, &byte, 1) == 1 &&
                SSL_write(ends->server, &byte, 1) == 1 && SSL_read(ends->client, &byte, 1) == 1;
    if (good)
        SSL_shutdown(ends->client);
}

/* Returns the session for the next one; NULL: there is none. */
static SSL_SESSION *rehearse_once(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *session) {
    struct ends ends = {SSL_new(server), SSL_new(client)};
    SSL_SESSION *next = NULL;
    bool good =
        connect_ends(&ends) && (!session || SSL_set_session(ends.client, session) == 1) && shake_hands(&ends);
    if (good) {
        talk(&ends);
        next = SSL_get1_session(ends.client);
    }
    SSL_free(ends.server);
    SSL_free(ends.client);
    return next;
}

static void rehearse_version(SSL_CTX *server, int version) {
    SSL_CTX *client = new_client(server, version);
    if (!client)
        return;
    SSL_SESSION *session = rehearse_once(server, client, NULL);
    if (session)
        SSL_SESSION_free(rehearse_once(server, client, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
}

void tls_rehearse(SSL_CTX *server) {
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    ERR_clear_error();
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (SSL_CTX_get_min_proto_version(server) <= versions[i])
            rehearse_version(server, versions[i]);
    ERR_clear_error();
}
