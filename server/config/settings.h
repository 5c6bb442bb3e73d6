/* SPDX-License-Identifier: MIT */
/* The settings, as they are before anybody says otherwise, and what has to hold between them in the end. */
#ifndef FOREBAY_SERVER_CONFIG_SETTINGS_H
#define FOREBAY_SERVER_CONFIG_SETTINGS_H

#include "policies/tier.h"
#include "server/config/address.h"
#include "server/log_line.h"

/* memcached's numbers: -p -1 takes a free port, -p 0 leaves TCP out, whatever -l says. */
enum { PORT_NONE = 0, PORT_FREE = -1 };
#define SETTINGS_LISTEN_DEFAULT "127.0.0.1"   /* of a configuration; without one: all interfaces */
enum { SETTINGS_VERBOSITY_MAX = 3 };          /* more -v say no more */
enum { SETTINGS_CONNECTIONS_DEFAULT = 1024 }; /* gives way to the limit of open files: process.h */

/* What clients may speak, which the first byte of a connection tells (-B). */
enum protocols { PROTOCOLS_AUTO, PROTOCOLS_ASCII, PROTOCOLS_BINARY };

/* How workers talk with the kernel (io, --io). */
enum io_kind { IO_AUTO, IO_EPOLL, IO_RING };
extern const char *const io_kind_names[];

/* To which worker threads connections are given: server/rotation.h. */
enum use_threads { USE_PROCESSORS, USE_ALL };
extern const char *const use_threads_names[];

/* Whether the running server closes what it has no use for (sandbox, --sandbox). */
enum sandbox_kind { SANDBOX_OFF, SANDBOX_STRICT };
extern const char *const sandbox_kind_names[];

/* Whether clients of an encrypted address show who they are (tls_client_certificates). One that is shown has to be
 * good. */
enum client_certificates { CERTIFICATES_OFF, CERTIFICATES_OPTIONAL, CERTIFICATES_REQUIRED };
extern const char *const client_certificates_names[];

/* The lowest version of TLS that is spoken (tls_version). */
enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };
extern const char *const tls_version_names[];

/* A client that says who it is, as a section of the configuration has it. Namespaces by their names, or USER_ALL. */
#define USER_ALL "*"
struct user_options {
    const char *name, *password_file;
    const char *const *namespaces; /* what it reads and writes, ended by NULL */
    const char *const *reads;      /* what it reads beside, the same */
    bool is_operator;              /* it may use commands of operation */
    int password_line;             /* of the configuration, where its file is named */
};

/* Filled by settings.c (defaults), config.c and options.c. Once the server runs, a reload may change what is atomic
 * here; everything else is constant. */
struct settings {
    size_t item_max;                  /* -I, bytes */
    unsigned threads;                 /* -t */
    enum use_threads use_threads;     /* --use-threads */
    enum io_kind io;                  /* --io */
    enum sandbox_kind sandbox;        /* --sandbox */
    _Atomic unsigned max_connections; /* -c */
    _Atomic unsigned idle_timeout;    /* seconds, 0: none */
    /* bytes of unfinished requests of all connections; 0: settings_request_memory */
    _Atomic size_t request_memory;
    unsigned requests_per_event;   /* -R: requests of one connection before others get their turn, */
    bool limits_requests;          /* if it was given; in any case keys and replies are limited: share.h */
    unsigned backlog;              /* -b */
    _Atomic uint32_t sync_timeout; /* ms, 0: none */
    bool allow_shutdown;           /* -A */
    _Atomic bool never_shutdown;   /* restrict; contradicts -A */
    _Atomic bool allow_flush_all;  /* not -F, or restrict */
    /* not restrict */
    _Atomic bool allow_cache_memlimit, allow_forget, allow_quarantine, allow_sync, allow_verbosity;
    bool cas_enabled;                       /* not -C */
    char stats_prefix_delimiter;            /* -D */
    _Atomic(const char *) auth_file;        /* -Y, or NULL */
    _Atomic unsigned auth_timeout;          /* seconds until a client has authenticated */
    const char *admin;                      /* --admin: address_parse_admin; NULL: no admin HTTP */
    _Atomic(const char *) admin_token_file; /* NULL: it changes nothing */
    _Atomic uint32_t stall_timeout;         /* ms without progress after which a thread counts as stuck */
    _Atomic(const char *) tls_certificate;  /* NULL: no address can be encrypted */
    _Atomic(const char *) tls_key;          /* NULL: it is in tls_certificate */
    _Atomic(const char *) tls_ca;           /* who makes clients' certificates, or NULL */
    _Atomic(const char *) tls_ciphers;      /* of TLS 1.2; NULL: OpenSSL's choice */
    _Atomic enum client_certificates tls_client_certificates;
    _Atomic enum tls_version tls_version;
    _Atomic bool tls_kernel;                /* the kernel encrypts, where it can */
    _Atomic unsigned tls_handshake_timeout; /* seconds */
    const char *config_file;                /* --config, or NULL */
    const char *data;                       /* folder, or NULL */
    struct tier_options tier;
    const struct user_options *users; /* none: there is auth_file, or nobody has to authenticate */
    size_t user_count;

    /* What only program/main.c, listener.c and stats.c look at. */
    const char *const *listen; /* server/config/address.h; none: all interfaces, or the Unix socket alone */
    size_t listen_count;
    int port;                /* -p: for addresses without one; or PORT_FREE, PORT_NONE */
    bool port_overrides;     /* -p was given over a configuration's listen: it replaces the ports there */
    const char *unix_socket; /* -s, or NULL */
    unsigned unix_mask;      /* -a: access bits */
    _Atomic int verbosity;   /* -v */
    enum log_format log_format;
    bool maxconns_fast;       /* over max_connections: an error and the end, instead of waiting */
    _Atomic bool allow_dump;  /* not -X, or restrict */
    _Atomic bool allow_watch; /* not -W, or restrict */
    bool crawler;             /* not -o no_lru_crawler */
    size_t watch_buffer;      /* -o watcher_logbuf_size: bytes for each watcher */
    size_t reply_limit;       /* -o read_buf_mem_limit: bytes of replies of all threads, 0: none */
    bool detail;              /* -D: per-prefix statistics from the start */
    enum protocols protocols; /* -B, -S */
    bool sasl;                /* -S: clients have to authenticate, by SASL */
    bool tls;                 /* -Z: what an address is that says nothing itself */
};

/* Largest -I: what the engine takes (cache_options.item_max). memcached's own bound is 1024m. */
enum { SETTINGS_ITEM_MIN = 1024, SETTINGS_ITEM_MAX = 128 << 20, SETTINGS_THREADS_MAX = 256 };

/* The settings at the top of a configuration file, with their defaults. */
extern const struct setting root_settings[];

/* Those of a section that describes a user: struct user_options. */
extern const struct setting user_settings[];

/* Whether clients have to authenticate. */
static inline bool settings_ask_who(const struct settings *settings) {
    return settings->auth_file || settings->user_count > 0;
}

/* memcached's defaults: port 11211 on all interfaces, 64 MB, 4 threads, 1024 connections, items up to 1 MB. */
void settings_defaults(struct settings *ret_settings);

/* From now on what this name of a restriction stands for is refused. False: there is no such name. */
bool settings_restrict(struct settings *settings, const char *name);

/* Refuses what `from` refuses, and nothing else, in settings that others read meanwhile. */
void settings_take_restrictions(struct settings *settings, const struct settings *from);

/* The names of all restrictions, or (of: not NULL) of those in force, separated so; cut at size. */
void settings_list_restrictions(const struct settings *of, const char *separator, char *ret_names,
                                size_t size);

/* The bytes that unfinished requests may take: what was configured, or a quarter of the memory, and two of the
 * largest items at least. */
size_t settings_request_memory(const struct settings *settings);

/* The port of an address: its own (-1: it has none), or what -p says. */
int settings_port(const struct settings *settings, int given);

/* What an address is in the end: anything but ADDRESS_TLS_UNSAID. */
enum address_tls settings_tls(const struct settings *settings, enum address_tls given);

/* Whether some address of the network is encrypted. */
bool settings_use_tls(const struct settings *settings);

/* What contradicts what. */
struct settings_complaint {
    char text[1024];         /* a whole sentence that names the options */
    const char *space;       /* the settings are those of this namespace; NULL: of the top */
    const char *settings[3]; /* what it is about, the first one first; the rest NULL */
};

/* What only the whole can tell: limits against each other, quotas against the memory, --recover against the
 * data folder. */
bool settings_check(const struct settings *settings, struct settings_complaint *ret_complaint);

#endif
