/* SPDX-License-Identifier: MIT */
/*
 * What the files of the Redis backend share. The design is told in redis.c.
 *
 *     redis.c       the kind: its settings
 *     connection.c  opening and closing, the highest version
 *     mark.c        whether the store has lost what it had
 *     address.c     URIs
 *     overlap.c     two backends over one database, two namespaces with one name for their entries
 *     link.c        the link: made when needed, lost, pipelines, what an error means
 *     greeting.c    what is said over a new link
 *     words.c       the words of commands
 *     script.c      the scripts
 *     load.c        loading
 *     apply.c       batches
 *     scan.c        the newest entries, with picks.c; all keys, page by page
 */
#ifndef FOREBAY_BACKENDS_REDIS_INTERNAL_H
#define FOREBAY_BACKENDS_REDIS_INTERNAL_H

#include "backends/arena.h"
#include "backends/kinds.h"
#include "backends/redis/address.h"
#include "backends/redis/options.h"
#include <assert.h>
#include <hiredis.h>

enum redis_script { REDIS_APPLY_HASH, REDIS_APPLY_STRING, REDIS_LOAD_STRING, REDIS_SCRIPTS };

enum { REDIS_SHA_SIZE = 40, REDIS_MARK_SIZE = 32, REDIS_RUN_MAX = 63 };

/* What a step through the socket came to. */
enum redis_step {
    REDIS_DONE,
    REDIS_LOST,      /* the connection broke, or an answer took too long: it is closed */
    REDIS_NO_SCRIPT, /* the server forgot the scripts */
    REDIS_FAILED,    /* an answer was an error; status and message are filled in */
};

/* A namespace, with what its settings say taken out of their words. */
struct redis_table {
    const struct backend_table *table;
    bool is_string; /* the layout: a string and its companion, not a hash */
    struct slice key_prefix, store_prefix;
};

struct redis_connection {
    struct backend_connection base;
    enum backend_role role;
    char *name; /* of the backend */
    struct redis_address address;
    bool only_looks; /* a probe: no script is loaded, whether that would be allowed is asked */
    unsigned timeout_ms;
    char tombstone_seconds[16];
    struct redis_table *tables;
    size_t table_count;

    redisContext *link; /* NULL: not connected */
    bool was_connected;
    char sha[REDIS_SCRIPTS][REDIS_SHA_SIZE + 1];
    uint64_t deadline; /* of the call in hand, ms of the monotonic clock */

    char run[REDIS_RUN_MAX + 1]; /* of the server that is connected, as it calls it; else of the connection */

    /* The writer's: what its store is known by (mark.c). */
    char mark[REDIS_MARK_SIZE + 1];     /* "": not known */
    char new_mark[REDIS_MARK_SIZE + 1]; /* for a store that needs one */
    uint64_t known_version;             /* the high version was that once, 0: not known */

    redisReply **kept; /* answers of the last load: its values point into them */
    size_t kept_count, kept_room;
    struct arena words; /* what the commands in hand are made of */
};

static inline struct redis_connection *redis_connection_of(struct backend_connection *base) {
    assert(base->type == &redis_backend);
    return (struct redis_connection *)base;
}

/* Our table of a contract's table. */
static inline const struct redis_table *redis_table_of(const struct redis_connection *connection,
                                                       const struct backend_table *table) {
    assert(table->index < connection->table_count);
    assert(connection->tables[table->index].table == table);
    return &connection->tables[table->index];
}

/* What Forebay keeps for itself has names that begin so; of those, these are taken: the key of the highest version
 * ever applied, companions (REDIS_OWN "beside:" and a name), and what begins with REDIS_OWN " ": the key of the mark, and
 * with a name that is taken behind it, where an entry is kept whose own name is taken. So no key that a client can send reaches anything but entries. */
#define REDIS_OWN      "forebay:"
#define REDIS_HIGH_KEY REDIS_OWN "high_version"
#define REDIS_MARK_KEY REDIS_OWN " store"

const char *redis_script_text(enum redis_script script);

/* Ends what the last load handed out. */
void redis_forget_loaded(struct redis_connection *connection);

/* ---- link.c ---- */

/* Work that can be started over: it must not depend on how far it came before. */
typedef enum redis_step (*redis_work)(struct redis_connection *connection, void *task,
                                      enum backend_status *ret_status, struct backend_error *ret_error);

/* Does the work over a working connection: connects where necessary, and starts over after a lost connection
 * or forgotten scripts, until the timeout of the call is over. */
enum backend_status redis_do(struct redis_connection *connection, redis_work work, void *task,
                             struct backend_error *ret_error);

/* The same, but for a moment only: where the link is lost, it is made again once. */
enum backend_status redis_try(struct redis_connection *connection, redis_work work, void *task,
                              struct backend_error *ret_error);

/* The first attempt to connect, for open. BACKEND_REFUSED: it cannot ever work. */
enum backend_status redis_first_contact(struct redis_connection *connection, struct backend_error *ret_error);
void redis_disconnect(struct redis_connection *connection);

/* Adds a command to the pipeline. false: out of memory, the connection is closed. */
bool redis_append(struct redis_connection *connection, size_t count, const char **words, const size_t *sizes);

/* Sends what was appended, without waiting for answers. REDIS_DONE or REDIS_LOST. */
enum redis_step redis_send(struct redis_connection *connection);

/* The next answer, which is the caller's to free. Errors among the answers are answers. */
enum redis_step redis_answer(struct redis_connection *connection, redisReply **ret_reply);

/* Whether an error answer begins with a word. */
bool redis_begins_with(const redisReply *reply, const char *word);

/* Tells what an error answer says, but no secret: REDIS_FAILED with this status. */
enum redis_step redis_say(const struct redis_connection *connection, const redisReply *reply,
                          enum backend_status status, enum backend_status *ret_status,
                          struct backend_error *ret_error);

/* What an error answer means in the middle of a call. */
enum redis_step redis_error_means(const struct redis_connection *connection, const redisReply *reply,
                                  enum backend_status *ret_status, struct backend_error *ret_error);

/* The same for an answer of a form that was not asked for. */
enum redis_step redis_odd_answer(const struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error);

/* The same when memory runs out. The pipeline is in an unknown state: closes the connection. */
enum redis_step redis_out_of_memory(struct redis_connection *connection, enum backend_status *ret_status,
                                    struct backend_error *ret_error);

/* ---- apply.c ---- */

/* Has the store still what it had (mark.c)? A call that changes nothing. REDIS_FAILED with BACKEND_REPLACED: no. */
enum redis_step redis_compare(struct redis_connection *connection, enum backend_status *ret_status,
                              struct backend_error *ret_error);

/* ---- greeting.c ---- */

/* Makes a new link ours: login, database, scripts. REDIS_FAILED with BACKEND_REFUSED: this Redis cannot serve. */
enum redis_step redis_greet(struct redis_connection *connection, enum backend_status *ret_status,
                            struct backend_error *ret_error);

/* ---- mark.c: the writer's ---- */

/* Makes up a mark, should the store need one. */
void redis_make_mark(struct redis_connection *connection);

/* Reads the mark of the store, or gives it one. A store that takes no writes now is known by none. REDIS_DONE or
 * REDIS_LOST; else REDIS_FAILED. */
enum redis_step redis_learn_mark(struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error);

/* Whether an error answer of the apply scripts says that it is another store, or an older one; if so, tells. */
bool redis_is_replaced(const struct redis_connection *connection, const redisReply *reply,
                       enum backend_status *ret_status, struct backend_error *ret_error);

/* ---- overlap.c ---- */

enum backend_nearness redis_same_store(const struct backend_options *a, const struct backend_options *b);
enum backend_nearness redis_overlap(const struct backend_table *a, const struct backend_table *b,
                                    struct backend_meeting *ret_meeting);
void redis_place(const struct backend_table *table, char *ret_text, size_t size);
bool redis_exposed(const struct backend_options *options, char *ret_text, size_t size);

/* ---- words.c: words of commands, in the arena connection->words; NULL data: out of memory ---- */

struct slice redis_number(struct redis_connection *connection, uint64_t number);

/* The names under which an entry is kept. */
struct slice redis_key(struct redis_connection *connection, const struct redis_table *table,
                       struct slice key);
struct slice redis_companion(struct redis_connection *connection, const struct redis_table *table,
                             struct slice key);

/* A prefix and a key together: the name of an entry, unless it is taken. */
struct slice redis_whole(struct redis_connection *connection, struct slice prefix, struct slice key);
bool redis_name_is_taken(struct slice name);

/* The other way: prefix and key together, from the name of a key in Redis. False: it is no entry's. */
bool redis_entry_named(struct slice name, struct slice *ret_whole);

/* The number that an answer holds; 0 when it is none, or is above the highest that makes sense. */
uint64_t redis_number_in(const redisReply *reply, uint64_t highest);

/* ---- Functions of the type: connection.c, mark.c, load.c, apply.c, scan.c ---- */

enum backend_status redis_open(const struct backend_options *options, enum backend_role role,
                               struct backend_connection **ret_connection, struct backend_error *ret_error);
enum backend_status redis_probe(const struct backend_options *options, struct backend_error *ret_error);
void redis_close(struct backend_connection *base);
enum backend_status redis_look(struct backend_connection *base, struct backend_error *ret_error);
enum backend_status redis_high_version(struct backend_connection *base, uint64_t *ret_version,
                                       struct backend_error *ret_error);
enum backend_status redis_load(struct backend_connection *base, const struct backend_table *table,
                               const struct slice *keys, size_t count, uint32_t now,
                               struct load_result *results, struct backend_error *ret_error);
enum backend_status redis_apply(struct backend_connection *base, struct mutation *mutations, size_t count,
                                uint32_t now, struct backend_error *ret_error);
enum backend_status redis_scan(struct backend_connection *base, const struct backend_table *table,
                               size_t limit, uint32_t now, struct backend_visitor *visitor,
                               struct backend_error *ret_error);

#endif
