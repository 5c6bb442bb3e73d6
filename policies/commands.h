/* SPDX-License-Identifier: MIT */
/*
 * The commands, in one table. Whoever treats commands by what they have in common (statistics, watchers, policies, the
 * server's turn) asks it, and is left alone when one is added.
 *
 * Adding a command on a key: a row here, its line and its arguments in server/protocol/parser.c and what that calls,
 * its meaning in policies/evaluate.c, its answer in server/protocol/reply.c. Adding one without a key: a row here,
 * its answer in server/admin/command.c. The compiler asks for each of these: no switch over commands or kinds has a
 * `default` (except the one in server/worker/talk.c, which hands to command.c what it does not answer itself), and
 * those that are about commands with a key list the others by COMMANDS_WITHOUT_KEY(COMMAND_CASE). Opcodes of the binary
 * protocol have no rows here: each is one of these commands (server/protocol/binary.c).
 */
#ifndef FOREBAY_POLICIES_COMMANDS_H
#define FOREBAY_POLICIES_COMMANDS_H

#include "cache/base/slice.h"

/* What a command does, classic and meta alike. */
enum command_kind {
    KIND_TALK,           /* has no key: the server answers it */
    KIND_READ,           /* shows an entry; as a meta command it may change one, if its flags say so */
    KIND_READ_AND_TOUCH, /* shows an entry and gives it another expiry */
    KIND_INSPECT,        /* tells what is known of an entry; is no use of it, and counts as none */
    KIND_STORE,
    KIND_DELETE,
    KIND_COUNT, /* incr, decr */
    KIND_TOUCH,
};

/* What a command has to know of the entry before it can be evaluated. */
enum need {
    NEED_NOTHING,   /* set: overwrites whatever there is */
    NEED_EXISTENCE, /* add, replace, delete, touch (and meta likes): whether it exists, as the namespace's
                       `existence` has it decided */
    NEED_ENTRY,     /* get, gat, cas, append, prepend, incr, decr, mg ...: the whole entry */
    NEED_BY_FLAGS,  /* in the table alone: one of the above, by the flags sent (evaluate_need) */
};

struct command_row {
    struct slice word; /* as clients send it; empty: no word makes this command */
    enum command_kind kind;
    enum need need;
    bool is_meta;
    bool has_cas_form;  /* the word with an s behind it (gets, gats) asks for the CAS as well */
    bool comes_in_runs; /* a line may have many keys, each a request; an error ends the line */
    bool overwrites;    /* where its value cannot be stored, the old one must not live on, as in memcached */
    /* without a key */
    bool may_be_indented; /* blanks may come before it */
    bool takes_noreply;   /* a closing "noreply" is not an argument */
};

#define COMMANDS_WITH_KEY(X)                                                                                 \
    X(GET, "get", .kind = KIND_READ, .need = NEED_ENTRY, .has_cas_form = true, .comes_in_runs = true)        \
    X(GAT, "gat", .kind = KIND_READ_AND_TOUCH, .need = NEED_ENTRY, .has_cas_form = true,                     \
      .comes_in_runs = true)                                                                                 \
    X(SET, "set", .kind = KIND_STORE, .need = NEED_NOTHING, .overwrites = true)                              \
    X(ADD, "add", .kind = KIND_STORE, .need = NEED_EXISTENCE)                                                \
    X(REPLACE, "replace", .kind = KIND_STORE, .need = NEED_EXISTENCE)                                        \
    X(APPEND, "append", .kind = KIND_STORE, .need = NEED_ENTRY)                                              \
    X(PREPEND, "prepend", .kind = KIND_STORE, .need = NEED_ENTRY)                                            \
    X(CAS, "cas", .kind = KIND_STORE, .need = NEED_ENTRY)                                                    \
    X(DELETE, "delete", .kind = KIND_DELETE, .need = NEED_EXISTENCE)                                         \
    X(INCR, "incr", .kind = KIND_COUNT, .need = NEED_ENTRY)                                                  \
    X(DECR, "decr", .kind = KIND_COUNT, .need = NEED_ENTRY)                                                  \
    X(TOUCH, "touch", .kind = KIND_TOUCH, .need = NEED_EXISTENCE)                                            \
    X(META_GET, "mg", .kind = KIND_READ, .need = NEED_ENTRY, .is_meta = true)                                \
    X(META_SET, "ms", .kind = KIND_STORE, .need = NEED_BY_FLAGS, .is_meta = true, .overwrites = true)        \
    X(META_DELETE, "md", .kind = KIND_DELETE, .need = NEED_BY_FLAGS, .is_meta = true)                        \
    X(META_ARITHMETIC, "ma", .kind = KIND_COUNT, .need = NEED_ENTRY, .is_meta = true)                        \
    X(META_DEBUG, "me", .kind = KIND_INSPECT, .need = NEED_ENTRY, .is_meta = true)

#define COMMANDS_WITHOUT_KEY(X)                                                                              \
    X(META_NOOP, "mn", .is_meta = true)                                                                      \
    X(VERSION, "version")                                                                                    \
    X(STATS, "stats")                                                                                        \
    X(QUIT, "quit")                                                                                          \
    X(WATCH, "watch")                                                                                        \
    X(FLUSH_ALL, "flush_all", .may_be_indented = true, .takes_noreply = true)                                \
    X(VERBOSITY, "verbosity", .may_be_indented = true, .takes_noreply = true)                                \
    X(CACHE_MEMLIMIT, "cache_memlimit", .may_be_indented = true, .takes_noreply = true)                      \
    X(SHUTDOWN, "shutdown", .may_be_indented = true) /* "shutdown noreply" is a mode that does not exist */  \
    X(SYNC, "sync", .may_be_indented = true, .takes_noreply = true)                                          \
    X(QUARANTINE, "quarantine", .may_be_indented = true, .takes_noreply = true)                              \
    X(FORGET, "forget", .may_be_indented = true) /* "forget noreply" is about the key noreply */             \
    X(LRU_CRAWLER, "lru_crawler", .may_be_indented = true, .takes_noreply = true)                            \
    /* known to memcached, and about parts that do not exist here */                                         \
    X(SLABS, "slabs", .may_be_indented = true, .takes_noreply = true)                                        \
    X(LRU, "lru", .may_be_indented = true, .takes_noreply = true)                                            \
    X(EXTSTORE, "extstore", .may_be_indented = true, .takes_noreply = true)                                  \
    X(BAD, "")  /* malformed or unknown: request.error is the reply line */                                  \
    X(SASL, "") /* of the binary protocol alone: no word makes it */

#define COMMAND_ENUMERATOR(name, ...) COMMAND_##name,
enum command { COMMANDS_WITH_KEY(COMMAND_ENUMERATOR) COMMANDS_WITHOUT_KEY(COMMAND_ENUMERATOR) };

/* For a switch: COMMANDS_WITHOUT_KEY(COMMAND_CASE) are the labels of all commands without a key. */
#define COMMAND_CASE(name, ...) case COMMAND_##name:

#define COMMAND_ONE(...) +1
enum {
    COMMANDS_WITH_KEY_COUNT = 0 COMMANDS_WITH_KEY(COMMAND_ONE),
    COMMANDS_COUNT = COMMANDS_WITH_KEY_COUNT COMMANDS_WITHOUT_KEY(COMMAND_ONE)
};

extern const struct command_row command_rows[COMMANDS_COUNT];

static inline const struct command_row *command_row(enum command command) {
    return &command_rows[command];
}

static inline enum command_kind command_kind(enum command command) {
    return command_rows[command].kind;
}

/* Those of the first list. Asked three times for every request, so it looks at no row. */
static inline bool command_has_key(enum command command) {
    return (int)command < COMMANDS_WITH_KEY_COUNT;
}

static inline bool command_is_meta(enum command command) {
    return command_rows[command].is_meta;
}

/* Whether a line of it may have many keys, each a request. */
static inline bool command_comes_in_runs(enum command command) {
    return command_rows[command].comes_in_runs;
}

/* Whether it shows an entry's value. */
static inline bool command_is_lookup(enum command command) {
    return command_rows[command].kind == KIND_READ || command_rows[command].kind == KIND_READ_AND_TOUCH;
}

/* The command of this word, COMMAND_BAD if there is none. *ret_cas: the word asks for the CAS as well. */
enum command command_of_word(struct slice word, bool *ret_cas);

#endif
