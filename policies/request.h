/* SPDX-License-Identifier: MIT */
/*
 * What a client asked, and what it is answered: the two plain structs between the protocols (server/protocol/parser.h
 * and binary.h make requests, reply.h and binary.h write outcomes) and the policies, which never know which of the two
 * a client speaks. The words of the text protocol name things here; an opcode that means the same makes the same
 * request. One request is about one key: a multi-key get is a run of requests of which only the last has ends_run set.
 */
#ifndef FOREBAY_POLICIES_REQUEST_H
#define FOREBAY_POLICIES_REQUEST_H

#include "cache/cache.h"
#include "policies/commands.h"

struct space; /* policies/space.h */

/* Meta flags, one bit per letter; both cases. Values are in the request's fields, the raw tokens in
 * meta_flags (the reply repeats some in the order they were sent). */
static inline uint64_t meta_bit(char letter) {
    return 1ull << ((letter >= 'a') ? letter - 'a' + 26 : letter - 'A');
}

struct request {
    /* what every command uses, in the first cache line */
    enum command command;
    bool noreply;     /* classic: no answer at all, COMMAND_BAD included. Meta quiet (q): see meta */
    bool ret_cas;     /* gets, gats */
    bool ends_run;    /* get, gets, gat, gats: the last key of the line, END follows. A packet has one key */
    bool has_exptime; /* meta: the T flag was given (classic commands that take one always set it) */
    char mode;        /* ms: S E(add) A P R, 0: default (set); ma: I or D */
    /* set, ms: the value was too large and is not there (value is empty): an error is answered, and what the
     * key held is deleted, as memcached does lest stale data stay */
    bool too_large;
    uint32_t flags;      /* client flags */
    struct slice key;    /* decoded when the meta flag b was given */
    uint64_t hash;       /* set by tier_prepare */
    struct space *space; /* set by tier_prepare */
    struct slice value;  /* data block without its CRLF; empty where the command has none */
    /* where the command has them */
    int64_t exptime; /* as sent: 0 never, negative at once, <= 30 days relative, else absolute */
    uint64_t cas;    /* cas command; meta C */
    uint64_t delta;  /* incr, decr; meta D (default 1) */
    /* meta; the bits are 0 in classic commands, the rest is undefined there */
    uint64_t meta;           /* meta_bit of each flag given */
    uint64_t new_cas;        /* E */
    uint64_t initial;        /* ma J (default 0) */
    int64_t vivify_ttl;      /* N */
    int64_t recache_ttl;     /* R */
    struct slice raw_key;    /* as sent (still base64 with b) */
    struct slice meta_flags; /* the tokens behind the key (and the length), as sent */
    /* commands without a key */
    struct slice argument; /* the words behind the command, as sent, trimmed, without a closing "noreply" */
    const char *error;     /* COMMAND_BAD: the whole reply line without CRLF; static */
};

/* Gives the fields that every command has their values where nothing else is said. */
static inline void request_begin(struct request *request, enum command command) {
    request->command = command;
    request->noreply = false;
    request->ret_cas = false;
    request->ends_run = false;
    request->has_exptime = false;
    request->mode = 0;
    request->too_large = false;
    request->value = slice_of(NULL, 0);
    request->meta = 0;
}

/* The same for a meta command, which has no flags yet. meta_flags is the caller's. */
static inline void request_begin_meta(struct request *request, enum command command, struct slice key) {
    request_begin(request, command);
    request->key = request->raw_key = key;
    request->flags = 0;
    request->exptime = request->vivify_ttl = request->recache_ttl = 0;
    request->cas = request->new_cas = request->initial = 0;
    request->delta = 1;
}

/* The bytes that memcached 1.6 counts against its item limit (-I): header and CAS, key and its zero, flags
 * unless 0, value and CRLF. What it accepts and refuses, is accepted and refused here. */
static inline size_t request_item_size(size_t key_size, uint32_t flags, size_t value_size) {
    return 48 + 8 + key_size + 1 + (flags ? 4 : 0) + value_size + 2;
}

static inline bool request_has(const struct request *request, char flag) {
    return (request->meta & meta_bit(flag)) != 0;
}

enum outcome_status {
    OUTCOME_HIT,        /* view is valid until tier_release */
    OUTCOME_MISS,       /* get: nothing; mg: EN */
    OUTCOME_STORED,     /* STORED, HD */
    OUTCOME_NOT_STORED, /* NOT_STORED, NS */
    OUTCOME_EXISTS,     /* EXISTS, EX */
    OUTCOME_NOT_FOUND,  /* NOT_FOUND, NF */
    OUTCOME_DELETED,    /* DELETED, HD */
    OUTCOME_TOUCHED,    /* TOUCHED; of the view, flags and CAS, 0 where not known */
    OUTCOME_NUMBER,     /* incr, decr, ma: number */
    OUTCOME_ERROR,      /* error is the reply line, error_kind what it is about */
};

/* Lines that more than one place answers. */
#define REPLY_TOO_LARGE "SERVER_ERROR object too large for cache"
#define REPLY_NO_MEMORY "SERVER_ERROR out of memory"
#define REPLY_KEY_UNFIT                                                                                      \
    "CLIENT_ERROR keys of this namespace are whole numbers after its prefix, such as 7 (not 007 or 7.0)"

/* What an error is about, for those who count errors or tell them apart: lines are for people. */
enum outcome_error {
    ERROR_NO_MEMORY,
    ERROR_TOO_LARGE,
    ERROR_NOT_A_NUMBER, /* incr, decr, ma of another value */
    ERROR_TOO_BUSY,     /* the key changes faster than it can be loaded */
    ERROR_NO_NAMESPACE,
    ERROR_KEY_UNFIT,    /* the store can have no row of it */
    ERROR_FULL,         /* the namespace takes no more changes before the backend has some */
    ERROR_JOURNAL_FULL, /* or it cannot be written */
    ERROR_BACKEND_DOWN,
    ERROR_ROW_UNFIT, /* row.h */
    ERROR_BACKEND_REFUSES,
    ERROR_UNCONFIRMED, /* the change is kept, but the backend has not got it in time */
    /* no tier says this: */
    ERROR_FORBIDDEN, /* the client may not have the key */
};

struct outcome {
    enum outcome_status status;
    bool holds_lock; /* a cursor is open: tier_release must be called before anything else of the tier */
    bool hit;        /* private to the tier: the release counts an access */
    bool won, stale, lost; /* meta W, X, Z */
    bool hit_before;       /* meta h, as of before this request */
    uint32_t last_access;  /* meta l: seconds since the last access before this request */
    uint32_t ttl_now;      /* the second that ttls are counted from */
    /* mg, ma: before this request, and as the first of T and N has left it: what t tells when it was sent
     * before both of them, and between them */
    uint32_t expires_before, expires_between;
    uint64_t number; /* OUTCOME_NUMBER */
    /* HIT: the entry (value, flags, expires_at). STORED, NUMBER: version/client_cas, expires_at, flags and the
     * value's size as they are now. Values that do not live in the cache point into
     * the ticket or the worker's scratch. */
    struct cache_view view;
    enum outcome_error error_kind; /* OUTCOME_ERROR */
    const char *error;             /* OUTCOME_ERROR: without CRLF; static, or in the ticket */
    struct cache_cursor cursor;    /* private to the tier */
};

static inline void outcome_fail(struct outcome *outcome, enum outcome_error kind, const char *line) {
    outcome->status = OUTCOME_ERROR;
    outcome->error_kind = kind;
    outcome->error = line;
}

#endif
