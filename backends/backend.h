/* SPDX-License-Identifier: MIT */
/*
 * Where entries live durably: one blocking batch interface, a folder per kind of store.
 *
 * A backend_type is a const struct of functions, none optional but those that the settings ask about (changes,
 * versions), with what the configuration has to know of the kind. A connection belongs to one thread at a time; each
 * thread that talks to a store opens its own. A store has at most one connection with the role BACKEND_WRITER, and it
 * is opened first: it makes tables and scripts where they are missing.
 *
 * The version guard: a put or a touch takes effect only if the stored version is lower, a delete only if the
 * stored version is lower or equal. So per key a store only moves forward, whatever is retried or replayed.
 * A mutation that says what it was computed from (mutation.on) takes effect only if the row is still that, or is this
 * mutation itself, applied before. So changes of several nodes, each computed from what it has seen, do not undo each
 * other. A touch that does not say it takes effect only on the value that it was made on, known by its CAS (client_cas,
 * else the version): where the row, or what a delete has left of it, has a newer one it is superseded, where it has an
 * older one all of the entry is written. A CAS that a client dictated is neither newer nor older than the version of a
 * delete: a touch of what the store may never have had says so (MUTATION_ON_ABSENCE), and then no CAS is compared for
 * it. Somebody else may have written to the store: a stored version that is no number, or is above
 * ENTRY_VERSION_HIGHEST, counts as 0, loaded or as a guard.
 *
 * Adding a kind: a folder with a `const struct backend_type`, a line in kinds.h, and one in
 * tests/backends/conformance/kinds.c. Settings that only this kind has are rows of its own tables.
 */
#ifndef FOREBAY_BACKENDS_BACKEND_H
#define FOREBAY_BACKENDS_BACKEND_H

#include "cache/base/entry.h"
#include "cache/base/setting.h"
#include <stdatomic.h>

struct backend_type;
struct backend_nodes; /* backends/nodes.h */

enum backend_status {
    BACKEND_OK,
    /* The store's fault: busy, disk full, disconnected, loading, out of memory. The same call may succeed later. */
    BACKEND_TRANSIENT,
    /* A table's fault: it is gone or was changed by a migration, keys of its namespace are not allowed, its pages
     * are damaged. The same call may succeed later, and calls for other tables may succeed now. From load and scan
     * the table that was asked; from apply one of those in the batch: apply for each of them alone to find it. */
    BACKEND_TABLE_FAILED,
    /* A row's fault. From apply: this batch will never be accepted as it is, some row is refused; a store that can
     * tell which marks all of them (mutation.refused), so that the rest can follow at once. From load: some row cannot
     * be read. Where nothing is marked, bisect to find it. */
    BACKEND_PERMANENT,
    /* From every call but open: the store that the connection has open is no longer the one at its address, or has
     * lost what it had; it was removed, renamed, replaced or emptied. What was applied may be in neither. Close the
     * connection, and all others that this process has to the same store, before one is opened anew. */
    BACKEND_REPLACED,
    /* From open and high_version only: bad path or address, no permission, not a database, newer schema, bad SQL, a
     * high version that is none. */
    BACKEND_REFUSED,
};

/* Filled on every status except BACKEND_OK: names the thing, the place and where possible the remedy. */
struct backend_error {
    char message[800]; /* a line of the log has room for it */
};

/* Tells a store from another one that was at the same address before; for comparing alone. The first two parts are the
 * store's own, the others may change in one and the same store. These two 0: it cannot be told. */
struct backend_identity {
    uint64_t parts[6];
};

static inline bool backend_identity_tells(const struct backend_identity *identity) {
    return identity->parts[0] || identity->parts[1];
}

/* What the openings of a writer have seen at the address of a store while none succeeded. Zeros at first; the caller
 * keeps it from one to the next. */
struct backend_sighting {
    bool seen; /* something that may have been a store */
    bool gone; /* which was missing later */
};

/* Settings that one kind alone has. Each kind embeds this as the first member of two structs: what its tables
 * `options` and `table_options` describe. */
struct backend_specific {
    const struct backend_type *type; /* the kind */
};

/* How one namespace is kept in a store. All strings outlive the connections. */
struct backend_table {
    const char *name;                        /* of the namespace */
    const char *key_prefix;                  /* the namespace's: each of its keys begins with it */
    const struct backend_specific *specific; /* NULL: the kind's defaults */
    unsigned index;                          /* position in backend_options.tables */
    bool written; /* the namespace's policy writes its rows: what cannot is no statement for that */
    /* No namespace has it for now, as a reload has removed that: whoever drops it takes nothing away. Any thread. */
    atomic_bool retired;
};

struct backend_options {
    const char *name;                        /* of the backend, for messages */
    const char *uri;                         /* sqlite:PATH, redis://[user:password@]host:port/db, ... */
    const char *data;                        /* folder where relative paths start */
    unsigned timeout_ms;                     /* above 0; a call that waits longer is BACKEND_TRANSIENT */
    const struct backend_specific *specific; /* NULL: the kind's defaults */
    unsigned node; /* the number of this server: in its versions, and in what a store keeps for each */
    /* Of the writer: the number that this server had when the store acknowledged to it last; that of now, or another
     * one, whose marks in the store are then taken for its own, unless another server has it. */
    unsigned former_node;
    const struct backend_table *const *tables;
    size_t table_count;
    bool coherent; /* a watcher will be opened, and asked for changes */
    /* The server has started: a table that does not fit (any more) is a failure of the calls for it,
     * BACKEND_TABLE_FAILED, and no reason to refuse the connection. */
    bool running;
    /* What the writer of this process has had open last; NULL: nothing yet. A store that was there before is not made
     * anew where it is missing, and what a removed one has left behind is kept from the one in its place. */
    const struct backend_identity *expected;
    /* Of the writer: the same is so of a store that none of its openings could open. NULL: no matter. */
    struct backend_sighting *sighting;
    /* The connection before was good, and made way for this one for the sake of further tables: if the expected store
     * is at the address, it was not put there meanwhile, and need not be waited for. */
    bool renews;
    bool reads_only;        /* no row of any table is ever written: a store that takes no writes will do */
    uint64_t open_until_us; /* monotonic: open ends by then, if timeout_ms has not; 0: no matter */
    /* Where a store of several nodes tells of them; NULL: nobody wants to know. */
    struct backend_nodes *nodes;
    /* Of a reader: backend_connection.applied of the writer's connection, as that goes on. A store that has less has
     * lost something that the writer may not have noticed yet, or is not where the writer is: BACKEND_REPLACED. NULL:
     * no matter. */
    const atomic_uint_fast64_t *acknowledged;
    /* Of a probe: the process of the server that runs with this configuration, and may be known to the store; 0: none
     * does. */
    long running_pid;
    const struct backend_type *type; /* NULL: what backend_find(uri) gives. Tests put a wrapper here */
};

/* What is wrong with the settings of a backend or of a namespace in it. */
struct backend_complaint {
    const char *setting; /* the one to blame */
    char message[600];
};

/* Whether two things are one and the same. */
enum backend_nearness {
    BACKEND_APART,
    BACKEND_UNKNOWN, /* it cannot be known from settings */
    BACKEND_SAME
};

/* How entries of two namespaces, a and b, may have one place. */
struct backend_meeting {
    char start[ENTRY_KEY_MAX + 1]; /* it is keys of a that begin so; "": whatever they begin with */
    struct backend_complaint complaint;
};

/* Which keys the rows of a namespace can have, without its prefix. */
enum backend_keys {
    BACKEND_KEYS_ANY, /* whatever bytes */
    BACKEND_KEYS_INTEGER, /* whole numbers (backends/key.h): the store finds a row by the number, however it is spelt */
};

/* A watcher hears what is changed (changes), or looks at what was (versions, load); not both on one connection. */
enum backend_role { BACKEND_WRITER, BACKEND_READER, BACKEND_WATCHER };

/* Descriptors that a connection has open at once. */
struct backend_descriptors {
    unsigned least; /* so many are needed, as far as settings tell */
    unsigned most;
};

/* What the connections to a store take of the machine, for whoever closes all else (server/sandbox). */
struct backend_needs {
    char *folders[2]; /* files are made, changed and removed in them; the caller frees both. NULL: in none */
    int port;         /* that is connected to over TCP; 0: none, -1: only the store knows which */
    bool looks_up;    /* names of hosts */
};

enum mutation_kind {
    MUTATION_PUT, /* all of entry */
    /* All but value and flags changed; they are given in case the row is gone, or older. entry.client_cas: the CAS of
     * the value that is touched. A row without a version that counts is touched whatever it is. */
    MUTATION_TOUCH,
    MUTATION_DELETE /* entry.key and entry.version */
};

/* What the row has to be like, beside older than the mutation; or-ed: the one or the other. */
enum mutation_on {
    MUTATION_ON_ANY = 0,
    /* A living row with the version `base`, or with none that counts: then nobody can tell. */
    MUTATION_ON_VERSION = 1,
    /* No row, or one whose life is over; of that nothing counts but a higher version. A touch writes all of the
     * entry. */
    MUTATION_ON_ABSENCE = 2,
    /* Of a touch, and not together with MUTATION_ON_VERSION: a living row with the CAS of the entry, or with no version
     * that counts, or in a table that keeps no CAS. */
    MUTATION_ON_CAS = 4
};

struct mutation {
    const struct backend_table *table;
    enum mutation_kind kind;
    unsigned on;     /* enum mutation_on */
    uint64_t base;   /* with MUTATION_ON_VERSION */
    bool superseded; /* out: not applied, as the store held a newer version, or what the mutation is not on */
    uint64_t superseded_by; /* out, where superseded: the version there; 0: none that counts, or no row */
    /* How often the store may have applied it; the kind counts, and the caller begins with 0. Above 1: what supersedes
     * it may have come after it. */
    unsigned attempts;
    /* Out, with BACKEND_PERMANENT: this one is refused, by itself; and why, until the next call on the connection, or
     * NULL: see the error. The caller sets both to nothing before. */
    bool refused;
    const char *refusal;
    bool done; /* out, where not all were: the store has it, or a newer row */
    /* Out, with BACKEND_TRANSIENT: the store has it, or a newer row, but not in as many places as it has to. It stays
     * when the mutation is repeated. */
    bool lacks_replicas;
    struct entry entry;
};

struct load_result {
    bool found;  /* false: no row, or its life is over */
    bool failed; /* out, with backend_connection.partial: it could not be looked up */
    bool late;   /* out, with failed, of a hasty call: its part was silent; another connection is to ask */
    bool unfit;  /* the caller's, who checks what the store gives; the store leaves it alone */
    struct entry entry; /* bytes valid until the next call on the same connection */
};

enum { BACKEND_PLACE_MAX = 320 };

/* How far a walk over all keys has come, in bytes that only the kind of store reads. It may be kept, and used over
 * another connection, or by another process. */
struct backend_place {
    char bytes[BACKEND_PLACE_MAX];
    size_t size; /* 0: the beginning */
    bool end;    /* there are no more */
};

/* Shows one entry of a scan; its bytes are valid during the call. False stops the scan. */
struct backend_visitor {
    bool (*entry)(struct backend_visitor *self, const struct entry *entry);
    bool keys_only; /* of the entries only the keys are wanted; the rest may be zero */
    /* With all_keys: not all at once, but about a thousand from here on; it is moved, unless the visitor has stopped
     * the scan. From the beginning to the end, a row that is there all the time is shown at least once; a key may be
     * shown that has no row any more. A place that means nothing to the store (it was restarted, or is another one) is
     * the beginning. NULL: all. With neither all_keys nor keys_only, where the extent was told: whole entries that
     * live, likewise, in no order. */
    struct backend_place *place;
    /* All keys of the table are wanted, those of rows past their life as well, and in no order; with the limit
     * SIZE_MAX, and 0 for now. A row that is there from the call to its end is shown; one that comes meanwhile may not
     * be. */
    bool all_keys;
};

enum { BACKEND_PLACE_SHOWN = 272 };

/* How much a table has, for whoever has to know beforehand. */
struct backend_extent {
    /* It may count those past their life. SIZE_MAX: the kind cannot tell, and shows entries in their order alone. */
    size_t rows;
    uint64_t bytes; /* of keys and values together, or more than these are */
};

/* Who else has the store open, and what time it is there. All zero where the kind does not look. */
struct backend_company {
    unsigned others; /* servers that write to it, or may, beside this one */
    /* By how much the store's clock is ahead of this machine's wall clock: no less and no more, microseconds. Both 0:
     * not known. */
    int64_t ahead_least_us, ahead_most_us;
    /* Another server has the same node number, or the store that is for one alone, or it cannot be seen whether one
     * has; with place and remedy. "": neither. */
    char complaint[480];
};

/* Is told what was changed in a store, by whomever. */
struct backend_listener {
    /* The row of a key may be another one. The key is valid during the call; it may not be changed at all. */
    void (*changed)(struct backend_listener *self, const struct backend_table *table, struct slice key);
    /* So may any row, as changes may have been missed, or all were at once. */
    void (*lost)(struct backend_listener *self);
    /* A part of the rows is at another place of the store from now on. All that were taken there have been told of, or
     * will be before what follows is proven; those that were left behind are gone, and that is not told. */
    void (*moved)(struct backend_listener *self);
};

/* Parts of a store that were found elsewhere, as another node has taken over: how many, and where the last of them was
 * and is. */
struct backend_failovers {
    uint64_t count;
    char from[BACKEND_PLACE_SHOWN], to[BACKEND_PLACE_SHOWN];
};

enum { BACKEND_PROOF_MS = 50 };

/* Of a row whose version does not tell its value, as others write it without one: it has to be loaded. */
#define BACKEND_VERSION_UNTOLD UINT64_MAX
/* Of a row that could not be asked for, while others were (backend_connection.partial). */
#define BACKEND_VERSION_UNASKED (UINT64_MAX - 1)
/* Of a store that was only looked at, and did not show it (probe). */
#define BACKEND_VERSION_HIDDEN UINT64_MAX

/* How a call meets a part of the store that is silent, while others answer. */
enum backend_patience {
    BACKEND_ORDINARY, /* one that was connected is waited for, and one that was not for a moment */
    BACKEND_HASTY, /* it is waited for a moment at most, and not again before it has answered (load_result.late) */
    BACKEND_PATIENT, /* it is waited for */
};

/* Each kind embeds this as the first member of its own connection struct. */
struct backend_connection {
    const struct backend_type *type;
    /* The caller's: a call that waits beyond this moment of the monotonic clock is BACKEND_TRANSIENT, even if it
     * has waited less than timeout_ms; 0: timeout_ms alone counts. Holds until it is changed. */
    uint64_t call_until_us;
    struct backend_identity identity; /* as opened; the writer's, once it has given the high version */
    /* The kind's, of the writer's connection, where it notices them: grows when somebody else has written to the store
     * since it was opened, be it what makes rows there whenever this connection writes. As seen by the last look or
     * apply. */
    uint64_t foreign;
    /* The kind's, of the writer's connection: what its log holds (SQLite: -wal), as of the last apply or maintain; 0:
     * it has none. */
    uint64_t log_bytes;
    /* The kind's, of the writer's connection: as of the last high_version or look. */
    struct backend_company company;
    /* The kind's: how often it has taken the place of a link that was lost by another one since it was opened, without
     * being opened anew. */
    uint64_t reconnects;
    /* The kind's, of the writer's connection, where the store keeps such a number: that of the last batch of this node
     * that it has acknowledged, or, by high_version, that it has. It never goes back in one store, and is a time (wall
     * clock, us). found is what high_version has found there: 0 where it had none of this node, and was given one. */
    uint64_t applied, found;
    /* The kind's, for the caller to take and set to 0: batches that waited for replicas, and those of them that too few
     * had. */
    uint64_t replica_waits, replica_short;
    /* The kind's, where a store is looked for: where it was found when it was connected last, fit to be shown; else
     * "". */
    char place[BACKEND_PLACE_SHOWN];
    /* The kind's, of a store of several parts: the last call was BACKEND_TRANSIENT because of some of them alone, and
     * what others were asked is done (mutation.done, load_result.failed). */
    bool partial;
    unsigned parts_away;            /* the kind's: so many, as far as the last call has shown */
    bool has_parts;                 /* the kind's: there may be several */
    enum backend_patience patience; /* the caller's, of a reader's: for load, until it is changed */
    /* The kind's, of a store of several parts, for the caller to take and set count to 0. */
    struct backend_failovers failovers;
    /* The kind's, of the writer's connection, by high_version: a part of the store has less than it had acknowledged to
     * the connection before; its identity is another one, too, once the store takes one. */
    bool went_back;
    /* The same: its identity is another one, but was given to it by this server, for a loss that was told. */
    bool renamed;
    /* The kind's, of the writer's connection, as opened: a table that has had rows was gone, and has been made anew:
     * which, and where, for a line that goes on with what becomes of it; "": none was. */
    char lost[480];
    /* The kind's: this connection has seen of its store what one that is opened anew could not know, and is not to be
     * closed for the calls that fail because of it. */
    bool witness;
};

struct backend_type {
    /* Of its URIs, up to a ':' or '+'. Whatever follows is the kind's: check says whether it makes sense. */
    const char *scheme;

    /* For messages: the name, its article ("an SQLite backend"), all schemes, a URI to copy. */
    const char *title, *article, *schemes, *example;

    /* What follows the scheme is a path: an '@' in it ends no login. */
    bool uri_is_path;

    /* How names of namespaces and backends must not begin, in upper or lower case; ended by NULL. NULL: no rule. */
    const char *const *taken_prefixes;

    /* Settings that only this kind has: of a backend, and of a namespace in it. Sizes are those of the structs that
     * embed backend_specific, at the least its own. */
    struct setting_table options, table_options;

    /* Whether such a backend makes sense, and such a namespace; scanned_for: the setting for which its entries are to
     * be scanned; NULL: none. False with a complaint. Nothing is opened, as `forebay --check` only looks. */
    bool (*check)(const struct backend_options *options, struct backend_complaint *ret_complaint);
    bool (*check_table)(const struct backend_table *table, const char *scanned_for,
                        struct backend_complaint *ret_complaint);

    /* Which keys such a namespace can have. */
    enum backend_keys (*keys)(const struct backend_table *table);

    /* Whether two backends of this kind keep their rows in one store. Files may be looked at, nothing is opened. */
    enum backend_nearness (*same_store)(const struct backend_options *a, const struct backend_options *b);
    bool one_backend_only; /* two over one store would be in each other's way, even with different rows */
    bool notices_foreign;  /* backend_connection.foreign */
    /* A delete leaves its version for a while: an older change that comes after it is superseded. */
    bool remembers_deletes;

    /* Whether keys of namespace a would be kept in one store where those of b are; asked in both orders. With a
     * meeting, unless they are apart. */
    enum backend_nearness (*overlap)(const struct backend_table *a, const struct backend_table *b,
                                     struct backend_meeting *ret_meeting);

    /* Says in a few words where in a store the entries of a namespace are: two texts differ exactly if what is kept
     * under one is not found under the other. Cut at size. */
    void (*place)(const struct backend_table *table, char *ret_text, size_t size);

    /* Says in a sentence how every user of the machine can get at the store beside the server, or false: by no way that
     * modes of files show. Cut at size. */
    bool (*exposed)(const struct backend_options *options, char *ret_text, size_t size);

    /* What all connections to such a store need. */
    void (*needs)(const struct backend_options *options, struct backend_needs *ret_needs);

    /* How many descriptors a connection with this role has open. */
    struct backend_descriptors (*descriptors)(const struct backend_options *options, enum backend_role role);

    /* Opens a connection. BACKEND_REFUSED: it cannot ever work; BACKEND_TRANSIENT: the store does not answer
     * now (the caller may retry). A store that reconnects by itself may also answer BACKEND_OK and fail in
     * the calls. */
    enum backend_status (*open)(const struct backend_options *options, enum backend_role role,
                                struct backend_connection **ret_connection, struct backend_error *ret_error);

    /* What open would come to for the writer, as far as that shows to somebody who changes nothing, neither in the
     * store nor beside it; other processes may use it meanwhile. BACKEND_OK, also of a store or a table that open would
     * make; BACKEND_TRANSIENT: it does not answer now; BACKEND_REFUSED. With BACKEND_OK the error's message is what is
     * wrong all the same, or empty, and *ret_version is what high_version would give; BACKEND_VERSION_HIDDEN: that does
     * not show. */
    enum backend_status (*probe)(const struct backend_options *options, uint64_t *ret_version,
                                 struct backend_error *ret_error);

    /* The highest version ever applied through this store, 0: none; at most ENTRY_VERSION_HIGHEST. New versions start
     * above it. BACKEND_REFUSED: what the store has in its place is none, and the message names where and what; or, of
     * the writer's connection at the start, another server has this node's number. */
    enum backend_status (*high_version)(struct backend_connection *connection, uint64_t *ret_version,
                                        struct backend_error *ret_error);

    /* A cheap look that waits for a moment at most: is what is open still the store at the address? Failures but
     * BACKEND_REPLACED say nothing. The writer's connection only. */
    enum backend_status (*look)(struct backend_connection *connection, struct backend_error *ret_error);

    /* Looks up count keys; results[i] belongs to keys[i]. A row whose expiry is <= now is not found. */
    enum backend_status (*load)(struct backend_connection *connection, const struct backend_table *table,
                                const struct slice *keys, size_t count, uint32_t now,
                                struct load_result *results, struct backend_error *ret_error);

    /* Applies count mutations in one atomic batch (Redis: one pipeline, each mutation atomic) and sets superseded
     * (and superseded_by) of each. A key may occur more than once: applied in the order given. On failure nothing may
     * be assumed of those that are not marked as done, neither applied nor not; all may be repeated. The array keeps
     * its order. */
    enum backend_status (*apply)(struct backend_connection *connection, struct mutation *mutations,
                                 size_t count, uint32_t now, struct backend_error *ret_error);

    /* Shows up to limit live entries of a table, newest version first, or all keys (backend_visitor). */
    enum backend_status (*scan)(struct backend_connection *connection, const struct backend_table *table,
                                size_t limit, uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error);

    /* How much a table has. It is not looked closer than that rows are found to be more than `most`, of which bytes say
     * nothing then, or bytes to be no more than `room`. */
    enum backend_status (*extent)(struct backend_connection *connection, const struct backend_table *table,
                                  size_t most, uint64_t room, struct backend_extent *ret_extent,
                                  struct backend_error *ret_error);

    /* A bounded step of upkeep by the writer between batches: purge rows past their expiry, checkpoint. now is 0 where
     * it is not certain enough what time it is: then no row is purged.
     * *ret_more: call again soon. */
    enum backend_status (*maintain)(struct backend_connection *connection, uint32_t now, bool *ret_more,
                                    struct backend_error *ret_error);

    /* A watcher: tells of changes in its tables since the call before, also of those that this process has made. Waits
     * so long for one, and no longer (the first call, and one after a failure, may also take a moment to begin; that
     * tells first that any row may be another one). *ret_proven_us: all that was changed before this moment of the
     * monotonic clock has been told; 0: nothing is proven yet. It moves on every BACKEND_PROOF_MS while the store
     * answers. NULL: the kind cannot tell. Other than BACKEND_OK: changes are missed until a later call succeeds. */
    enum backend_status (*changes)(struct backend_connection *connection, unsigned wait_ms,
                                   struct backend_listener *listener, uint64_t *ret_proven_us,
                                   struct backend_error *ret_error);

    /* The versions of count rows: 0: there is none, or it has none; or BACKEND_VERSION_UNTOLD. A deleted row may have
     * one. Where the call fails for some alone (partial), these are BACKEND_VERSION_UNASKED. NULL where changes is. */
    enum backend_status (*versions)(struct backend_connection *connection, const struct backend_table *table,
                                    const struct slice *keys, size_t count, uint64_t *ret_versions,
                                    struct backend_error *ret_error);

    /* Ends the connection and frees it; NULL is allowed. */
    void (*close)(struct backend_connection *connection);
};

/* The kind that serves a URI, or NULL when no kind has its scheme. */
const struct backend_type *backend_find(const char *uri);

/* The kinds in the order of kinds.h; NULL when there are no more. */
const struct backend_type *backend_kind(size_t index);

/* Writes a URI as it may be shown to anyone: of user and password only "***" is left, also where no kind has the
 * scheme. What is too long loses its middle. */
void backend_show_uri(const char *uri, char *ret_text, size_t size);

/* Whether something of it is left out then. */
bool backend_uri_has_login(const char *uri);

/* For error messages, cut at size: the schemes of all kinds, separated by ", "; examples of URIs, by " or "; how
 * names must not begin, by " and ". */
void backend_list_schemes(char *ret_text, size_t size);
void backend_list_examples(char *ret_text, size_t size);
void backend_list_taken(char *ret_text, size_t size);

/* Whether some kind does not take a namespace or backend of this name. */
bool backend_name_is_taken(const char *name);

/* For a kind: fills its own struct, which table describes, with what is given, or with its defaults when nothing is
 * (NULL). False: what is given is another kind's. */
bool backend_take_specific(const struct backend_type *type, const struct setting_table *table,
                           const struct backend_specific *given, void *ret_options);

#endif
