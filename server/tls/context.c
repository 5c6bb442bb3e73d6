/* SPDX-License-Identifier: MIT */
#include "server/tls/context.h"
#include "cache/base/clock.h"
#include "cache/base/fit.h"
#include "server/tls/files.h"
#include "server/tls/memory.h"
#include "server/tls/rehearsal.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { REASON_MAX = 200, CONTEXT_NAME = 8 };

struct tls_context {
    SSL_CTX *ssl;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size;
    mode_t key_mode;
    uint64_t loaded_us; /* monotonic */
};

struct tls {
    pthread_mutex_t lock; /* a leaf */
    struct tls_context *context;
};

/* What is read before anything is made of it. */
struct sources {
    struct tls_file certificate, key, ca;
};

/* ---- Saying what is wrong ---- */

/* OpenSSL's last word, for a sentence. */
static const char *openssl_reason(char ret_text[REASON_MAX]) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(ret_text, REASON_MAX, "%s", reason ? reason : "OpenSSL does not say why");
    ERR_clear_error();
    return ret_text;
}

static bool complain(char *ret_error, size_t error_size, const char *setting, const char *path,
                     const char *remedy) {
    char reason[REASON_MAX];
    fit_print(ret_error, error_size, "%s: %s: %s; %s", setting, path, openssl_reason(reason), remedy);
    return false;
}

/* ---- The parts of a context ---- */

/* Whether it was the end of the file that ended the certificates. */
static bool ends_well(size_t count) {
    unsigned long error = ERR_peek_last_error();
    bool ended = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (ended && count > 0)
        ERR_clear_error();
    return ended && count > 0;
}

/* OpenSSL looks into a certificate when it first needs to, and remembers what it found: where it lacked memory for
 * that, nobody who shows one of this authority gets in any more. So that is done now. */
static bool is_looked_into(X509 *certificate) {
    return X509_check_purpose(certificate, -1, 0) == 1 && X509_get0_pubkey(certificate);
}

/* NULL: there is none, or no memory. One that is bad itself is for those who look at it. */
static X509 *read_certificate(BIO *bio) {
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (!certificate || is_looked_into(certificate))
        return certificate;
    ERR_clear_error();
    X509 *again = X509_dup(certificate);
    X509_free(certificate);
    if (again && !is_looked_into(again))
        ERR_clear_error();
    return again;
}

/* The first is the server's, the others lead to one that clients know. */
static bool use_certificates(SSL_CTX *ssl, const struct tls_file *file) {
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
    X509 *certificate;
    size_t count = 0;
    bool good = bio != NULL;
    while (good && (certificate = read_certificate(bio))) {
        good = (count++ ? SSL_CTX_add1_chain_cert(ssl, certificate)
                        : SSL_CTX_use_certificate(ssl, certificate)) == 1;
        X509_free(certificate);
    }
    BIO_free(bio);
    return good && ends_well(count);
}

/* Nobody is there to be asked for a passphrase. */
static int refuse_passphrase(char *text, int size, int writes, void *context) {
    (void)text, (void)size, (void)writes;
    *(bool *)context = true;
    return -1;
}

static EVP_PKEY *read_key(const struct tls_file *file, bool *ret_is_locked) {
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
    *ret_is_locked = false;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, ret_is_locked) : NULL;
    BIO_free(bio);
    return key;
}

/* A key that was read, and does not belong to the certificate. */
static void describe_stranger(const struct sources *sources, char *ret_text, size_t size) {
    if (sources->key.data)
        fit_print(
            ret_text, size,
            "it is not the private key of the first certificate in %s (tls_certificate), so the two do not belong together: give the two that do",
            sources->certificate.path);
    else
        fit_print(
            ret_text, size,
            "the private key in it is not that of its first certificate: put the one that is there, or give tls_key");
}

static bool use_key(SSL_CTX *ssl, const struct sources *sources, char *ret_error, size_t error_size) {
    const struct tls_file *file = sources->key.data ? &sources->key : &sources->certificate;
    char stranger[REASON_MAX + PATH_MAX];
    bool is_locked;
    EVP_PKEY *key = read_key(file, &is_locked);
    bool is_read = key != NULL;
    bool good = key && SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
    EVP_PKEY_free(key);
    if (good)
        return true;
    describe_stranger(sources, stranger, sizeof stranger);
    return complain(
        ret_error, error_size, sources->key.data ? "tls_key" : "tls_certificate", file->path,
        is_read ? stranger
        : is_locked
            ? "the private key has a passphrase, which nobody is there to be asked for: give one without (`openssl pkey` takes it off)"
            : "it has to have the private key of the first certificate in tls_certificate, in PEM and without a passphrase");
}

static bool use_ca(SSL_CTX *ssl, const struct tls_file *file) {
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
    X509 *certificate;
    size_t count = 0;
    bool good = bio != NULL;
    while (good && (certificate = read_certificate(bio))) {
        good = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), certificate) == 1 &&
               SSL_CTX_add_client_CA(ssl, certificate) == 1;
        count++;
        X509_free(certificate);
    }
    BIO_free(bio);
    return good && ends_well(count);
}

static int verify_mode(enum client_certificates wanted) {
    switch (wanted) {
    case CERTIFICATES_REQUIRED:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    case CERTIFICATES_OPTIONAL:
        return SSL_VERIFY_PEER;
    case CERTIFICATES_OFF:
        break;
    }
    return SSL_VERIFY_NONE;
}

/* OpenSSL looks at a client's certificate where a session begins, and not where it goes on; and with TLS 1.3 each
 * ticket that is taken is followed by another. So a client whose certificate is over by now has to show one again. */
static bool is_over(SSL_SESSION *session) {
    const X509 *shown = SSL_SESSION_get0_peer(session);
    return shown && X509_cmp_current_time(X509_get0_notAfter(shown)) <= 0; /* 0: no time that can be read */
}

static SSL_TICKET_RETURN look_at_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_size, SSL_TICKET_STATUS status, void *context) {
    (void)ssl, (void)name, (void)name_size, (void)context;
    bool is_good = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    if (!is_good || is_over(session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* Sessions are resumed by tickets, which only a context of the same keys can read: so none outlives the certificates,
 * its own and the clients', under which it began. Nothing is kept of them here. */
static void set_options(SSL_CTX *ssl, const struct settings *settings) {
    SSL_CTX_set_options(ssl,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF); /* a request that is cut off is not executed */
    if (settings->tls_kernel)
        SSL_CTX_set_options(ssl, SSL_OP_ENABLE_KTLS);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl, 1); /* a record costs one system call, not two */
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_ticket_cb(ssl, NULL, look_at_ticket, NULL);
    SSL_CTX_set_max_cert_list(ssl, TLS_CHAIN_MOST);
    SSL_CTX_set_verify(ssl, verify_mode(settings->tls_client_certificates), NULL);
}

static bool set_protocol(SSL_CTX *ssl, const struct settings *settings, char *ret_error, size_t error_size) {
    const char *ciphers = settings->tls_ciphers;
    int version = settings->tls_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_CTX_set_min_proto_version(ssl, version) != 1)
        return complain(ret_error, error_size, "tls_version", tls_version_names[settings->tls_version],
                        "take another");
    return !ciphers || SSL_CTX_set_cipher_list(ssl, ciphers) == 1 ||
           complain(ret_error, error_size, "tls_ciphers", ciphers,
                    "correct the list; `openssl ciphers -v LIST` shows what one stands for");
}

static bool use_all(SSL_CTX *ssl, const struct settings *settings, const struct sources *sources,
                    char *ret_error, size_t error_size) {
    ERR_clear_error();
    set_options(ssl, settings);
    if (!set_protocol(ssl, settings, ret_error, error_size))
        return false;
    if (!use_certificates(ssl, &sources->certificate))
        return complain(ret_error, error_size, "tls_certificate", sources->certificate.path,
                        "it has to have the server's certificate and those behind it, in PEM");
    if (!use_key(ssl, sources, ret_error, error_size))
        return false;
    return !sources->ca.data || use_ca(ssl, &sources->ca) ||
           complain(ret_error, error_size, "tls_ca", sources->ca.path,
                    "it has to have the certificates of those who make clients' certificates, in PEM");
}

/* ---- Loading ---- */

static bool read_sources(const struct settings *settings, struct sources *ret_sources, char *ret_error,
                         size_t error_size) {
    return tls_file_read("tls_certificate", settings->tls_certificate, &ret_sources->certificate, ret_error,
                         error_size) &&
           tls_file_read("tls_key", settings->tls_key, &ret_sources->key, ret_error, error_size) &&
           tls_file_read("tls_ca", settings->tls_ca, &ret_sources->ca, ret_error, error_size);
}

static void add_part(EVP_MD_CTX *digest, const void *data, size_t size) {
    EVP_DigestUpdate(digest, &size, sizeof size);
    EVP_DigestUpdate(digest, data ? data : "", size);
}

static bool set_digest(struct tls_context *context, const struct settings *settings,
                       const struct sources *sources) {
    const char *ciphers = settings->tls_ciphers;
    int words[] = {(int)settings->tls_client_certificates, (int)settings->tls_version, settings->tls_kernel};
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    if (good) {
        add_part(digest, sources->certificate.data, sources->certificate.size);
        add_part(digest, sources->key.data, sources->key.size);
        add_part(digest, sources->ca.data, sources->ca.size);
        add_part(digest, ciphers, ciphers ? strlen(ciphers) : 0);
        add_part(digest, words, sizeof words);
        good = EVP_DigestFinal_ex(digest, context->digest, &context->digest_size) == 1;
    }
    EVP_MD_CTX_free(digest);
    return good;
}

static bool fill(struct tls_context *context, const struct settings *settings, struct sources *sources,
                 char *ret_error, size_t error_size) {
    if (!settings->tls_certificate) { /* of a socket that is handed over, nobody has asked before */
        fit_print(
            ret_error, error_size,
            "an address is to be encrypted, and there is no certificate to show: give tls_certificate (-o ssl_chain_cert=FILE)");
        return false;
    }
    if (!read_sources(settings, sources, ret_error, error_size))
        return false;
    context->ssl = SSL_CTX_new(TLS_server_method());
    if (!context->ssl || !set_digest(context, settings, sources)) {
        fit_print(ret_error, error_size, "no memory for the certificate %s", sources->certificate.path);
        return false;
    }
    context->key_mode = sources->key.data ? sources->key.mode : sources->certificate.mode;
    context->loaded_us = monotonic_us();
    return use_all(context->ssl, settings, sources, ret_error, error_size);
}

struct tls_context *tls_context_load(const struct settings *settings, char *ret_error, size_t error_size) {
    struct sources sources = {0};
    tls_memory_watch();
    uint64_t refusals = tls_memory_refusals();
    struct tls_context *context = calloc(1, sizeof *context);
    bool good = context && fill(context, settings, &sources, ret_error, error_size);
    if (!context)
        fit_print(ret_error, error_size, "no memory for the certificate");
    if (good)
        tls_rehearse(context->ssl);
    if (good && tls_memory_refusals() != refusals) {
        fit_print(ret_error, error_size,
                  "OpenSSL got no memory for TLS, and would do without a part of it: give it more");
        good = false;
    }
    tls_file_free(&sources.certificate);
    tls_file_free(&sources.key);
    tls_file_free(&sources.ca);
    if (good)
        return context;
    tls_context_free(context);
    return NULL;
}

void tls_context_free(struct tls_context *context) {
    if (!context)
        return;
    SSL_CTX_free(context->ssl); /* connections that go on have it, too */
    free(context);
}

/* Whether two are made of the same: files, and what the settings say beside them. */
static bool is_same(const struct tls_context *a, const struct tls_context *b) {
    return a->digest_size == b->digest_size && memcmp(a->digest, b->digest, a->digest_size) == 0;
}

bool tls_context_warns(const struct tls_context *context, const struct settings *settings, char *ret_warning,
                       size_t warning_size) {
    const X509 *certificate = SSL_CTX_get0_certificate(context->ssl);
    const char *path = settings->tls_certificate, *key = settings->tls_key ? settings->tls_key : path;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        fit_print(ret_warning, warning_size,
                  "the certificate in %s is over, and clients that look refuse it: renew it, and reload",
                  path);
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        fit_print(
            ret_warning, warning_size,
            "the certificate in %s is not valid yet, and clients that look refuse it: see to the clock, or take another",
            path);
    else if (context->key_mode & (S_IROTH | S_IWOTH))
        fit_print(
            ret_warning, warning_size,
            "the private key in %s can be read or written by all users of this machine: chmod 0600 (or 0640) %s, and take a new key",
            key, key);
    else
        return false;
    return true;
}

/* ---- The context of new connections ---- */

struct tls *tls_create(struct tls_context *context) {
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return NULL;
    pthread_mutex_init(&tls->lock, NULL);
    tls->context = context;
    return tls;
}

void tls_free(struct tls *tls) {
    if (!tls)
        return;
    tls_context_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

struct tls_context *tls_exchange(struct tls *tls, struct tls_context *context) {
    pthread_mutex_lock(&tls->lock);
    struct tls_context *out = context;
    if (!is_same(tls->context, context)) {
        out = tls->context;
        tls->context = context;
    }
    pthread_mutex_unlock(&tls->lock);
    return out;
}

/* A session that began without a client's certificate must not go on where one is wanted: sessions of one kind of
 * address are no other's. */
static bool set_kind(SSL *ssl, enum address_tls kind) {
    char name[CONTEXT_NAME];
    int size = snprintf(name, sizeof name, "%d", (int)kind);
    if (kind == ADDRESS_TLS_ANYBODY)
        SSL_set_verify(ssl, verify_mode(CERTIFICATES_OFF), NULL);
    if (kind == ADDRESS_TLS_KNOWN)
        SSL_set_verify(ssl, verify_mode(CERTIFICATES_REQUIRED), NULL);
    return SSL_set_session_id_context(ssl, (const unsigned char *)name, (unsigned)size) == 1;
}

SSL *tls_begin(struct tls *tls, enum address_tls kind) {
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context->ssl);
    pthread_mutex_unlock(&tls->lock);
    if (ssl && set_kind(ssl, kind)) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

bool tls_warns(struct tls *tls, const struct settings *settings, char *ret_warning, size_t warning_size) {
    pthread_mutex_lock(&tls->lock);
    bool warns = tls_context_warns(tls->context, settings, ret_warning, warning_size);
    pthread_mutex_unlock(&tls->lock);
    return warns;
}

uint64_t tls_age(struct tls *tls) {
    pthread_mutex_lock(&tls->lock);
    uint64_t loaded_us = tls->context->loaded_us;
    pthread_mutex_unlock(&tls->lock);
    return (monotonic_us() - loaded_us) / US_PER_SECOND;
}
