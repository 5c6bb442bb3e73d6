/* SPDX-License-Identifier: MIT */
/*
 * What the files of the Redis backend share. The design is told in redis.c.
 *
 *     redis.c       the kind: its settings
 *     connection.c  opening and closing, the highest version
 *     mark.c        whether the store has lost what it had; of a cluster with mark_cluster.c
 *     nodes.c       who else has the store open, and what time it is there; of a cluster with nodes_cluster.c
 *     address.c     URIs
 *     overlap.c     two backends over one database, two namespaces with one name for their entries
 *     link.c        the link: made when needed, lost, pipelines, what an error means
 *     dial.c        connecting
 *     wire.c        bytes out and in
 *     greeting.c    what is said over a new link
 *     sentinel.c    which Redis is the master
 *     cluster.c     the masters of a cluster and their slots, with slots.c
 *     deal.c        commands dealt to them, with answers.c
 *     guard.c       the high version of a cluster; looking at it, and opening it
 *     proofs.c      what its masters are known to have, and replicas of it
 *     words.c       the words of commands
 *     script.c      the scripts
 *     load.c        loading
 *     apply.c       batches
 *     acknowledged.c  what a batch ends with: its number, and replicas that have it; and a load
 *     former.c      a server that had another number before
 *     scan.c        the newest entries, with picks.c
 *     pages.c       all keys, page by page
 *     watch.c       what others change; of a cluster with watch_cluster.c
 */
#ifndef FOREBAY_BACKENDS_REDIS_INTERNAL_H
#define FOREBAY_BACKENDS_REDIS_INTERNAL_H

#include "backends/arena.h"
#include "backends/kinds.h"
#include "backends/nodes.h"
#include "backends/redis/address.h"
#include "backends/redis/options.h"
#include <assert.h>
#include <hiredis.h>

enum redis_script { REDIS_APPLY_HASH, REDIS_APPLY_STRING, REDIS_LOAD_STRING, REDIS_REGISTER, REDIS_SCRIPTS };

enum {
    REDIS_SHA_SIZE = 40,
    REDIS_MARK_SIZE = 32,
    REDIS_SELF_SIZE = 100,
    REDIS_RUN_MAX = 63,
    REDIS_CURSOR_SIZE = 24
};

/* What a step through the socket came to. */
enum redis_step {
    REDIS_DONE,
    REDIS_LOST,      /* the connection broke, or an answer took too long: it is closed */
    REDIS_NO_SCRIPT, /* the server forgot the scripts */
    REDIS_FAILED,    /* an answer was an error; status and message are filled in */
    REDIS_NO_MASTER, /* Sentinel has to be asked (again); status and message are filled in */
};

/* A namespace, with what its settings say taken out of their words. */
struct redis_table {
    const struct backend_table *table;
    bool is_string; /* the layout: a string and its companion, not a hash */
    struct slice key_prefix, store_prefix;
};

/* A link to one Redis. */
struct redis_link {
    redisContext *context; /* NULL: not connected */
    bool was_connected;
    uint64_t serial; /* of the links that this connection has made; another one each time */
    struct redis_address *address;
    char sha[REDIS_SCRIPTS][REDIS_SHA_SIZE + 1];
    char run[REDIS_RUN_MAX + 1]; /* of the server that is connected, as it calls it; else of the link */
    /* What it replicates, as it calls that, and what it did before it was promoted; "": not known. */
    char replicates[REDIS_RUN_MAX + 1], replicated[REDIS_RUN_MAX + 1];
};

struct redis_hearing; /* watch_cluster.c */

/* Of a link of a watcher. */
struct redis_watch {
    bool subscribed;    /* over the link that is open */
    uint64_t pinged_us; /* when the PING under way was sent, monotonic; 0: none is */
    uint64_t next_ping_us;
    uint64_t proven_us; /* backend_type.changes */
};

struct redis_connection {
    struct backend_connection base;
    enum backend_role role;
    char *name; /* of the backend */
    struct redis_address address;
    const char *sentinel_user, *sentinel_password; /* NULL: none; the configuration's */
    uint64_t sentinel_asked_us; /* when it was last asked whether the master is the same, monotonic, */
    uint64_t sentinel_pause_us; /* and how long not again */
    uint64_t sentinel_named_us; /* when one was asked that named the master which is connected, */
    unsigned sentinel_silences; /* and how many in a row have not answered since */
    bool only_looks;            /* a probe: no script is loaded, whether that would be allowed is asked */
    bool writes;                /* a replica will not do */
    unsigned node, replicas;    /* of this server; that have to have each batch */
    unsigned former_node;       /* of this server, before (backend_options) */
    unsigned timeout_ms;
    char tombstone_seconds[16];
    struct redis_table *tables;
    size_t table_count;

    struct redis_link *link; /* the one in hand: commands are added to it, and answers taken from it */
    struct redis_link only;
    uint64_t links;                           /* made so far */
    struct backend_nodes *nodes;              /* the statistics of a cluster; NULL: nobody wants to know */
    const atomic_uint_fast64_t *acknowledged; /* of a reader (backend_options); NULL: no matter */
    struct redis_cluster *cluster;            /* NULL: one Redis; else `only` leads nowhere */
    uint64_t deadline;                        /* of the call in hand, ms of the monotonic clock */

    /* The writer's: what its store is known by (mark.c). */
    char mark[REDIS_MARK_SIZE + 1];     /* "": not known */
    char new_mark[REDIS_MARK_SIZE + 1]; /* for a store that needs one */
    uint64_t known_version;             /* the high version was that once, 0: not known */
    /* And what it says of this server (nodes.c). */
    bool starting;                 /* the server: a number that is taken is refused */
    bool registered;               /* the number is ours */
    bool is_known;                 /* what a cluster has to have: it has given its high version */
    char home[REDIS_SELF_SIZE];    /* of the data folder, as long as the machine runs */
    char itself[REDIS_SELF_SIZE];  /* of the process */
    char heir_of[REDIS_SELF_SIZE]; /* a process that had the number and is dead; "-": none */
    uint64_t batch_number;         /* of the batch in hand (acknowledged.c) */
    uint64_t former_applied; /* of the last one by the number that the server had before; 0: there is none */
    bool too_few;            /* replicas have it */

    struct redis_watch watch;
    struct redis_hearing *hearing; /* of a cluster; NULL: not begun */

    redisReply **kept; /* answers of the last load: its values point into them */
    size_t kept_count, kept_room;
    struct arena words; /* what the commands in hand are made of */
};

static inline struct redis_connection *redis_connection_of(struct backend_connection *base) {
    assert(base->type == &redis_backend);
    return (struct redis_connection *)base;
}

/* Where the Redis of the link in hand is, for messages. */
static inline const char *redis_shown(const struct redis_connection *connection) {
    return connection->link->address->shown;
}

/* Our table of a contract's table. */
static inline const struct redis_table *redis_table_of(const struct redis_connection *connection,
                                                       const struct backend_table *table) {
    assert(table->index < connection->table_count);
    assert(connection->tables[table->index].table == table);
    return &connection->tables[table->index];
}

/* What Forebay keeps for itself has names that begin so; of those, these are taken: the key of the highest version ever
 * applied, companions (REDIS_OWN "beside:" and a name), and what begins with REDIS_OWN " ": the keys of the mark, of
 * the nodes and of what each has applied, and with a name that is taken behind it, where an entry is kept whose own
 * name is taken. So no key that a client can send reaches anything but entries. */
#define REDIS_OWN         "forebay:"
#define REDIS_HIGH_KEY    REDIS_OWN "high_version"
#define REDIS_MARK_KEY    REDIS_OWN " store"
#define REDIS_NODES_KEY   REDIS_OWN " nodes"
#define REDIS_APPLIED_KEY REDIS_OWN " applied:" /* and the number of the node */

const char *redis_script_text(enum redis_script script);

/* Ends what the last load handed out. */
void redis_forget_loaded(struct redis_connection *connection);

/* ---- guard.c: of a cluster ---- */

enum backend_status redis_cluster_high_version(struct redis_connection *connection, uint64_t *ret_version,
                                               struct backend_error *ret_error);

/* Takes up the link to the master that knows which servers there are, if it is connected. */
void redis_cluster_take_up_nodes(struct redis_connection *connection);
enum backend_status redis_cluster_look(struct redis_connection *connection, struct backend_error *ret_error);

/* mark_cluster.c: after BACKEND_REPLACED, the writer's. Gives the cluster another mark, if a master was found to have
 * less than it had: other servers find out by it. */
void redis_cluster_mark_anew(struct redis_connection *connection);

/* ---- sentinel.c ---- */

/* Asks the Sentinels where the master is, and takes that for the address. REDIS_NO_MASTER: none says so now;
 * REDIS_FAILED: none ever will. */
enum redis_step redis_find_master(struct redis_connection *connection, enum backend_status *ret_status,
                                  struct backend_error *ret_error);

/* False: the master is another Redis than the one that is connected. Waits for a moment at most, and asks about once a
 * second (a watcher: ten times), less often while no Sentinel answers. */
bool redis_is_still_master(struct redis_connection *connection);

/* Asks all Sentinels, where one has named the master, and says what is wrong with one of the others. False: nothing
 * is. */
bool redis_sentinels_differ(struct redis_connection *connection, struct backend_error *ret_error);

/* Until when the Redis that is connected was the master, as far as is known. UINT64_MAX: there is no Sentinel, or none
 * that can say so. */
uint64_t redis_named_until_us(const struct redis_connection *connection);

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

/* A call begins: sets its deadline. */
void redis_begin_call(struct redis_connection *connection);

/* Sleeps, unless the call would be over by then: false. */
bool redis_pause(const struct redis_connection *connection, unsigned milliseconds);

/* Connects the link in hand, and greets. REDIS_LOST, REDIS_FAILED, REDIS_NO_MASTER: with status and message. */
enum redis_step redis_connect(struct redis_connection *connection, enum backend_status *ret_status,
                              struct backend_error *ret_error);

/* Of a link that breaks before it was greeted: what follows on the reason where no Redis may be at the other end; else
 * "". errno is that of the failure. */
const char *redis_doubt(const redisContext *context);

/* Says what broke, in the words of the link in hand, and closes it. */
void redis_lose(struct redis_connection *connection, struct backend_error *ret_error);

/* The first attempt to connect, for open. BACKEND_REFUSED: it cannot ever work. */
enum backend_status redis_first_contact(struct redis_connection *connection, struct backend_error *ret_error);
void redis_disconnect(struct redis_connection *connection);

/* Adds a command to the pipeline. false: out of memory, the connection is closed. */
bool redis_append(struct redis_connection *connection, size_t count, const char **words, const size_t *sizes);

/* The same, of at most 16 words. */
bool redis_append_slices(struct redis_connection *connection, size_t count, const struct slice *words);

/* Sends what was appended, without waiting for answers. REDIS_DONE or REDIS_LOST. */
enum redis_step redis_send(struct redis_connection *connection);

/* More values than any array of an answer has: a page of a scan, the slots of a cluster. */
enum { REDIS_ARRAY_MAX = 1 << 20 };

/* An answer with an array of more is from then on an error of the reader, for which no memory is asked. Any thread. */
void redis_bound_arrays(redisReader *reader);

/* Connects to a socket file, or to a place where there is none (path NULL or ""), within a time that is also each
 * answer's. That a name is looked up takes time of its own, as much as the machine's resolver is set to take; its
 * addresses share this one. What fails is told in its err and errstr, as hiredis does. NULL: out of memory. */
redisContext *redis_dial(const struct redis_place *place, const char *path, struct timeval timeout);

/* As redisAppendCommandArgv, redisBufferWrite until all has gone, redisBufferRead, redisGetReply and redisCommandArgv,
 * which do not survive that there is no memory, or lose some (wire.c). */
int redis_put_command(redisContext *context, size_t count, const char **words, const size_t *sizes);
int redis_write_out(redisContext *context);
int redis_read_in(redisContext *context);
int redis_get_reply(redisContext *context, void **ret_reply);
redisReply *redis_command(redisContext *context, size_t count, const char **words, const size_t *sizes);

/* The next answer, which is the caller's to free. Errors among the answers are answers. */
enum redis_step redis_answer(struct redis_connection *connection, redisReply **ret_reply);

/* As poll, but until then (monotonic us), whatever signals come meanwhile. */
struct pollfd;
int redis_poll(struct pollfd *fds, size_t count, uint64_t until_us);

/* What is left of the call in hand, at most so many ms, but at least a little: 0 would mean for ever. */
struct timeval redis_time_left(const struct redis_connection *connection, uint64_t most_ms);

/* Whether an error answer begins with a word. */
bool redis_begins_with(const redisReply *reply, const char *word);

/* How many bytes of an error answer may be told. */
int redis_tellable(const redisReply *reply);

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

/* ---- acknowledged.c: the writer's, unless it says otherwise ---- */

/* Behind the last call of a batch. false: out of memory, the connection is closed. */
bool redis_end_batch(struct redis_connection *connection);

/* Behind its answers. REDIS_FAILED with BACKEND_TRANSIENT: written, but not where it has to be. */
enum redis_step redis_hear_end(struct redis_connection *connection, enum backend_status *ret_status,
                               struct backend_error *ret_error);

/* Adds a WAIT for the replicas; for how long it may be, and what the answer says. REDIS_FAILED with BACKEND_TRANSIENT:
 * too few have it. */
bool redis_append_wait(struct redis_connection *connection, uint64_t milliseconds);
uint64_t redis_wait_ms(const struct redis_connection *connection);
enum redis_step redis_judge_wait(struct redis_connection *connection, const redisReply *reply,
                                 enum backend_status *ret_status, struct backend_error *ret_error);

/* The number of the last batch of this node that the store has; *ret_found: 0 where it has none and gets one.
 * *ret_number 0: it does not take it. */
enum redis_step redis_learn_applied(struct redis_connection *connection, uint64_t *ret_found,
                                    uint64_t *ret_number, enum backend_status *ret_status,
                                    struct backend_error *ret_error);

/* Over a new link, the writer's or a reader's: has the store all that was acknowledged? REDIS_FAILED with
 * BACKEND_REPLACED: no. */
enum redis_step redis_compare_applied(struct redis_connection *connection, enum backend_status *ret_status,
                                      struct backend_error *ret_error);

/* The end of a load, over Sentinel alone: the number that the store has to have behind it, taken before anything is
 * sent (0: it proves nothing). Then it is asked for behind the last question (false: out of memory, the connection is
 * closed), and its answer judged as above. */
uint64_t redis_load_proves(const struct redis_connection *connection);
bool redis_end_load(struct redis_connection *connection, uint64_t least);
enum redis_step redis_hear_end_of_load(struct redis_connection *connection, uint64_t least,
                                       enum backend_status *ret_status, struct backend_error *ret_error);

/* As over a new link, with each look. Where somebody has removed the number alone, none is expected any more. */
enum redis_step redis_look_for_applied(struct redis_connection *connection, enum backend_status *ret_status,
                                       struct backend_error *ret_error);

/* ---- former.c ---- */

/* The writer's, before it registers itself: the number of the last batch by the number that this server had before,
 * which redis_learn_applied takes for its own. */
enum redis_step redis_learn_former(struct redis_connection *connection, enum backend_status *ret_status,
                                   struct backend_error *ret_error);

/* ---- greeting.c ---- */

/* Makes a new link ours: login, database, scripts. REDIS_FAILED with BACKEND_REFUSED: this Redis cannot serve. */
enum redis_step redis_greet(struct redis_connection *connection, enum backend_status *ret_status,
                            struct backend_error *ret_error);

/* Whether an error answer stays as it is until somebody changes the configuration, here or there. */
bool redis_is_refusal(const redisReply *reply);

/* ---- mark.c: the writer's ---- */

/* Makes up a mark, should the store need one. */
void redis_make_mark(struct redis_connection *connection);

bool redis_is_mark(const redisReply *reply);

/* Adds a command to the link in hand: sets it where there is none, or in place of whatever is there; asks for it.
 * False: out of memory. */
bool redis_send_set_mark(struct redis_connection *connection, bool replaces);
bool redis_send_get_mark(struct redis_connection *connection);

/* The store is known by this one from now on. */
void redis_take_mark(struct redis_connection *connection, const redisReply *reply);

/* Reads the mark of the store, or gives it one. A store that takes no writes now is known by none. REDIS_DONE or
 * REDIS_LOST; else REDIS_FAILED. */
enum redis_step redis_learn_mark(struct redis_connection *connection, enum backend_status *ret_status,
                                 struct backend_error *ret_error);

/* Whether an error answer of the apply scripts says that it is another store, or an older one; if so, tells. */
bool redis_is_replaced(const struct redis_connection *connection, const redisReply *reply,
                       enum backend_status *ret_status, struct backend_error *ret_error);

/* ---- nodes.c: the writer's ---- */

/* Notes who this server is. data: its folder, or NULL. False: the system cannot say it now, errno says why. What it
 * would be without that, a start after a kill -9 would not know for itself. */
bool redis_know_itself(struct redis_connection *connection, const char *data);

/* Registers this server, or says that it is still there; fills connection->base.company. REDIS_FAILED with
 * BACKEND_REFUSED: the server starts, and another one has its number. */
enum redis_step redis_register(struct redis_connection *connection, enum backend_status *ret_status,
                               struct backend_error *ret_error);

/* The same in two steps, over the link in hand: asks, and takes the answer, also to be freed, to what was asked at
 * before_us of the wall clock. *ret_again: it is to be asked again, as the number can be had. */
bool redis_register_send(struct redis_connection *connection);
enum redis_step redis_register_hear(struct redis_connection *connection, redisReply *reply,
                                    uint64_t before_us, bool *ret_again, enum backend_status *ret_status,
                                    struct backend_error *ret_error);

/* Says that it is gone, to whoever is still there. */
void redis_unregister(struct redis_connection *connection);

/* Of a probe, which registers nobody: whether the start would be refused, as another server has the number of this one
 * (BACKEND_REFUSED). data, running_pid: as in backend_options. What cannot be seen is left to the start. */
enum backend_status redis_look_for_rival(struct redis_connection *connection, const char *data,
                                         long running_pid, struct backend_error *ret_error);

/* Its two questions over the link in hand (false: out of memory), and whether the answers say so, which is told. NULL:
 * none. */
bool redis_rival_send_time(struct redis_connection *connection);
bool redis_rival_send_holder(struct redis_connection *connection);
bool redis_is_rival(const struct redis_connection *connection, const redisReply *time,
                    const redisReply *holder, long running_pid, struct backend_error *ret_error);

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

/* A name of our own in this slot of a cluster: "start{tag}". */
struct slice redis_tagged(struct redis_connection *connection, const char *start, unsigned slot);

/* A prefix and a key together: the name of an entry, unless it is taken. */
struct slice redis_whole(struct redis_connection *connection, struct slice prefix, struct slice key);

/* The other way: prefix and key together, from the name of a key in Redis. False: it is no entry's. */
bool redis_entry_named(struct slice name, struct slice *ret_whole);

/* The number that an answer holds; 0 when it is none, or is above the highest that makes sense. */
uint64_t redis_number_in(const redisReply *reply, uint64_t highest);

/* ---- connection.c ---- */

/* The version that the key of a high version holds; 0: there is none. What is no version is refused: *ret_refused. */
enum redis_step redis_read_high(const struct redis_connection *connection, const char *key,
                                const redisReply *reply, uint64_t *ret_version, bool *ret_refused,
                                enum backend_status *ret_status, struct backend_error *ret_error);

/* ---- scan.c and pages.c: over the link in hand ---- */

/* The names of one step of SCAN, all that begin as those of this table do; the cursor moves on, and is "0" behind the
 * last. The answer is the caller's to free, where it is REDIS_DONE. */
enum redis_step redis_scan_names(struct redis_connection *connection, const struct redis_table *table,
                                 char cursor[REDIS_CURSOR_SIZE], redisReply **ret_page,
                                 enum backend_status *ret_status, struct backend_error *ret_error);

/* The key of an entry of this table from its name in Redis. False: it is none. */
bool redis_scan_belongs(const struct redis_connection *connection, const struct redis_table *table,
                        struct slice name, struct slice *ret_key);

/* A redis_work. ret_moves, a bool *: true where a slot is on its way from, or to, the node in hand; else it stays. */
enum redis_step redis_scan_sees_moves(struct redis_connection *connection, void *ret_moves,
                                      enum backend_status *ret_status, struct backend_error *ret_error);

/* What redis_scan does for a visitor with a place. */
enum backend_status redis_scan_page(struct redis_connection *connection, const struct redis_table *table,
                                    struct backend_visitor *visitor, struct backend_error *ret_error);

/* ---- Functions of the type: connection.c, mark.c, load.c, apply.c, scan.c, watch.c ---- */

enum backend_status redis_open(const struct backend_options *options, enum backend_role role,
                               struct backend_connection **ret_connection, struct backend_error *ret_error);
enum backend_status redis_probe(const struct backend_options *options, uint64_t *ret_version,
                                struct backend_error *ret_error);
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
enum backend_status redis_extent(struct backend_connection *base, const struct backend_table *table,
                                 size_t most, uint64_t room, struct backend_extent *ret_extent,
                                 struct backend_error *ret_error);
enum backend_status redis_changes(struct backend_connection *base, unsigned wait_ms,
                                  struct backend_listener *listener, uint64_t *ret_proven_us,
                                  struct backend_error *ret_error);
enum backend_status redis_versions(struct backend_connection *base, const struct backend_table *table,
                                   const struct slice *keys, size_t count, uint64_t *ret_versions,
                                   struct backend_error *ret_error);

#endif
