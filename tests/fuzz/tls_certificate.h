/* SPDX-License-Identifier: MIT */
/* A certificate that is its own authority, with its key, for a server and for a client whom it knows. */
#ifndef FOREBAY_TESTS_FUZZ_TLS_CERTIFICATE_H
#define FOREBAY_TESTS_FUZZ_TLS_CERTIFICATE_H

#include "tests/fuzz/folder.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

enum { TLS_DAY_S = 24 * 60 * 60 };

static inline X509 *tls_certificate_of(EVP_PKEY *key) {
    X509 *certificate = X509_new();
    X509_NAME *name = X509_NAME_new();
    FUZZ_CHECK(certificate && name &&
               X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1,
                                          -1, 0) == 1);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -TLS_DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 365L * TLS_DAY_S);
    X509_set_subject_name(certificate, name);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    FUZZ_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    X509_NAME_free(name);
    return certificate;
}

/* Both into one file; and for the caller to free. */
static inline void tls_certificate_make(const char *path, X509 **ret_certificate, EVP_PKEY **ret_key) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FUZZ_CHECK(key);
    X509 *certificate = tls_certificate_of(key);
    FILE *file = fopen(path, "we");
    FUZZ_CHECK(file && PEM_write_X509(file, certificate) == 1 &&
               PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0 &&
               chmod(path, 0600) == 0);
    *ret_certificate = certificate;
    *ret_key = key;
}

#endif
