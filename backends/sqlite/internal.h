/* SPDX-License-Identifier: MIT */
/*
 * What the files of the SQLite backend share. The design is told in sqlite.c.
 *
 *     sqlite.c      the kind: its settings and checks
 *     path.c        where a database is
 *     connection.c  opening and closing
 *     probe.c       what opening would come to
 *     statement.c   statements: prepared, run, bound, failed
 *     schema.c      tables: made, their statements prepared
 *     schema_check.c  what is there: whether it can be used
 *     lost_table.c  tables that were there and are not
 *     own_sql.c     tables of the application's own, seen through its own statements
 *     overlap.c     two backends over one file, two namespaces over one table
 *     load.c        reading: by key, the newest, the highest version
 *     apply.c       batches
 *     rival.c       whether another server writes to it
 *     upkeep.c      checkpoints and the purge
 *     files.c       whether the files are still those that were opened
 */
#ifndef FOREBAY_BACKENDS_SQLITE_INTERNAL_H
#define FOREBAY_BACKENDS_SQLITE_INTERNAL_H

#include "backends/arena.h"
#include "backends/kinds.h"
#include "backends/sqlite/options.h"
#include <assert.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <time.h>

enum {
    SQLITE_STORE_SCHEMA = 1,  /* version of the layout written here */
    SQLITE_BLOCK_ROWS = 32,   /* rows of a full upsert statement: 16 and 64 measured the same within noise */
    SQLITE_ROW_PARAMETERS = 7 /* key, value, flags, expires_at, version, client_cas, marks */
};

/* Positions of the named parameters in a statement of the application's own SQL; 0: not in it. */
struct sqlite_parameters {
    int key, value, flags, expires_at, version, now;
};

/* The purge of one table, by the writer. */
struct sqlite_sweep {
    bool running;
    sqlite3_int64 row;   /* rows up to this one are done */
    uint32_t next_due;   /* no row that was written or seen expires before this second */
    uint32_t started_at; /* seconds */
    uint32_t not_before; /* the next sweep begins no earlier */
};

struct sqlite_table {
    const struct backend_table *table;
    struct sqlite_table_options options;
    bool own_sql;
    bool unready;   /* its statements failed, or could not be made: they are made anew before the next call */
    bool was_ready; /* over this connection, so the table was there */
    bool filled;    /* the writer's: it has had rows (lost_table.c) */
    bool lost; /* the writer's: and was missing when it was opened, which is noted until the writer goes on */
    bool seen; /* the writer's: whether it has rows that are not noted was looked at */
    bool fills;         /* the writer's: that it has rows is noted in the transaction at hand */
    sqlite3_stmt *load; /* both kinds */

    /* A table of ours; all but pick, page and walk are the writer's. */
    sqlite3_stmt *put_block, *put_row;
    sqlite3_stmt *touch_block, *touch_row;
    sqlite3_stmt *delete_row;
    sqlite3_stmt *stored_version; /* and the expiry */
    sqlite3_stmt *pick;           /* keys, newest first */
    sqlite3_stmt *page;           /* keys in their order, from one on */
    sqlite3_stmt *walk;           /* rows as they lie, from one on */
    sqlite3_stmt *sweep_look, *sweep_purge;
    struct sqlite_sweep sweep;

    /* The application's table. store and delete_own are the writer's. */
    sqlite3_stmt *store, *delete_own;
    struct sqlite_parameters load_at, store_at, delete_at;
};

/* What was seen of another server over the same database (rival.c). */
struct sqlite_rival {
    uint64_t foreign; /* connection->base.foreign, up to which other connections' writes are known */
    uint64_t version; /* the highest that it has raised; 0: none */
    uint64_t seen_us; /* monotonic */
};

struct sqlite_connection {
    struct backend_connection base;
    enum backend_role role;
    char *name; /* of the backend */
    char *path;
    unsigned timeout_ms, busy_ms; /* the longest wait for a lock: of any call, and as it was set last */
    bool running, reads_only;     /* see backend_options */
    sqlite3 *db;
    sqlite3_stmt *begin_read, *begin_write, *commit;
    sqlite3_stmt *high_get, *high_set;
    sqlite3_stmt *data_version;
    struct sqlite_table *tables;
    size_t table_count;
    struct arena loaded; /* what the last load handed out */

    /* The writer's. */
    sqlite3_int64 schema_version;    /* SQLite's own, with which all tables were seen to be there */
    sqlite3_int64 data_version_seen; /* SQLite's own: it changes when another connection has written */
    bool triggers_add_keys; /* to our tables, when this connection writes: each commit counts as foreign */
    struct arena refusals;  /* why rows of the last batch were refused */
    const char *last_refusal;
    size_t refused;             /* how many */
    struct batch_place *places; /* room for the order of a batch */
    size_t place_count;
    uint64_t high_version;      /* as stored */
    int wal_checkpoint_pages;   /* in the log when a checkpoint is due */
    int wal_bound_pages;        /* and when each batch tries one */
    int wal_wait_pages;         /* and when a batch waits for readers to let the log restart */
    int wal_pages;              /* in the log since it was last restarted */
    int wal_done;               /* of these, copied to the database */
    struct timespec changed_at; /* of the database file, after the last checkpoint of ours */
    off_t size;                 /* the same */
    sqlite3_int64 file_version; /* the high version in it, without what is in the log; -1: unknown */
    uint64_t unlike_since_us; /* monotonic: when it was first found to be no database of ours; 0: it is one */
    struct sqlite_rival rival;
    unsigned idle_steps;      /* of upkeep, in a row */
    bool busy_since_maintain; /* a batch was applied since */
    size_t sweep_next_table;  /* the table whose turn it is */
};

static inline struct sqlite_connection *sqlite_connection_of(struct backend_connection *base) {
    assert(base->type == &sqlite_backend);
    return (struct sqlite_connection *)base;
}

/* Our table of a contract's table. */
static inline struct sqlite_table *sqlite_table_of(struct sqlite_connection *connection,
                                                   const struct backend_table *table) {
    assert(table->index < connection->table_count);
    assert(connection->tables[table->index].table == table);
    return &connection->tables[table->index];
}

/* ---- path.c ---- */

/* The path of a URI, relative ones below the data folder; to be freed. NULL: out of memory. */
char *sqlite_path_of(const struct backend_options *options);

/* A missing folder is the likeliest reason why a database cannot be made, and SQLite does not say it. True: what the
 * first
 * *ret_length bytes of the path name is not there (errno is ENOENT), or is no folder (ENOTDIR). */
bool sqlite_folder_is_missing(const char *path, size_t *ret_length);

/* The same, told: BACKEND_REFUSED. */
enum backend_status sqlite_check_folder(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* Where a file or a folder that need not be there would be, of which the first bytes of a path are the name: that name,
 * in its folder, links to which are followed. To be freed. NULL: the folder is not there either, or out of memory. */
char *sqlite_place_of(const char *path, size_t length);

/* BACKEND_REFUSED: the path is longer than SQLite takes, or than the names of the files beside it allow. */
enum backend_status sqlite_check_length(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* ---- connection.c ---- */

/* A connection with nothing open, and its tables as the options say. To be closed, also on failure. NULL: out of
 * memory. */
struct sqlite_connection *sqlite_allocate(const struct backend_options *options, enum backend_role role);
enum backend_status sqlite_take_tables(struct sqlite_connection *connection,
                                       const struct backend_options *options,
                                       struct backend_error *ret_error);

/* Nothing that somebody has written into the file reaches further than SQL on its tables: no trigger or view of it
 * calls what has effects outside (unless the operator trusts them), and nothing writes what SQLite keeps for itself
 * there. */
bool sqlite_distrust(sqlite3 *db, bool trusted_schema);

/* BACKEND_REFUSED: in the place of the database, its log or the index of that is something else than a file. Whoever
 * opens a pipe waits for somebody at its other end. */
enum backend_status sqlite_check_kind(const struct sqlite_connection *connection,
                                      struct backend_error *ret_error);

/* BACKEND_REFUSED: the database, its log or the index of that is there, and this user cannot read and write it. */
enum backend_status sqlite_check_access(const struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* As sqlite_refuse, of a database that cannot be opened. */
enum backend_status sqlite_refuse_to_open(const struct sqlite_connection *connection,
                                          struct backend_error *ret_error);

/* At the beginning of a call: how long it may wait for locks. */
void sqlite_limit_waiting(struct sqlite_connection *connection);

/* ---- statement.c ---- */

/* Says what SQLite said, with the place; returns what the code means where a batch or no table is concerned: the
 * store's fault, or at the end of a batch a row's. */
enum backend_status sqlite_fail(const struct sqlite_connection *connection, const char *doing,
                                struct backend_error *ret_error);

/* The same for a statement on a table, the one that was run last: the store's fault, the table's or a row's. */
enum backend_status sqlite_fail_writing(const struct sqlite_connection *connection,
                                        struct sqlite_table *table, sqlite3_stmt *statement,
                                        const char *doing, struct backend_error *ret_error);
enum backend_status sqlite_fail_reading(const struct sqlite_connection *connection,
                                        struct sqlite_table *table, sqlite3_stmt *statement,
                                        const char *doing, struct backend_error *ret_error);

/* The same while opening: what will not go away by itself is BACKEND_REFUSED. */
enum backend_status sqlite_refuse(const struct sqlite_connection *connection, const char *doing,
                                  struct backend_error *ret_error);

/* Prepares a statement that stays. SQLITE_OK or the error; sql NULL: SQLITE_NOMEM. The second: of a format whose one
 * "%w" is the table's name. */
int sqlite_prepare(struct sqlite_connection *connection, const char *sql, sqlite3_stmt **ret_statement);
int sqlite_prepare_for(struct sqlite_connection *connection, const char *format, const char *table,
                       sqlite3_stmt **ret_statement);

/* Steps a statement that returns no rows and resets it. SQLITE_OK or the error. */
int sqlite_run(sqlite3_stmt *statement);

/* Ends a transaction whose batch failed. */
void sqlite_roll_back(struct sqlite_connection *connection);

/* Binds bytes that outlive the next step; an empty slice is an empty blob, not NULL. */
void sqlite_bind_bytes(sqlite3_stmt *statement, int at, struct slice bytes);

/* ---- files.c ---- */

bool sqlite_exposed(const struct backend_options *options, char *ret_text, size_t size);
void sqlite_needs(const struct backend_options *options, struct backend_needs *ret_needs);

/* At the end of opening: notes which files are open. BACKEND_TRANSIENT: they have changed meanwhile. */
enum backend_status sqlite_files_note(struct sqlite_connection *connection, struct backend_error *ret_error);

/* Before the writer opens: may what is at the path be opened, and is there nothing beside it that belongs to a
 * database that was there before? renews: backend_options. */
enum backend_status sqlite_files_prepare(const struct sqlite_connection *connection,
                                         const struct backend_identity *expected, bool renews,
                                         struct backend_error *ret_error);

/* The same where no opening has succeeded yet: a database that one of them has seen is not to be made anew where it is
 * missing now, and may still be on its way where it was. */
enum backend_status sqlite_files_sight(const struct sqlite_connection *connection,
                                       struct backend_sighting *sighting, struct backend_error *ret_error);

/* Where there is no database, none may be made while the log of one lies there: SQLite would empty that, and the
 * database may come back, which is not whole without. BACKEND_TRANSIENT: so it is. */
enum backend_status sqlite_files_check_log(const struct sqlite_connection *connection,
                                           struct backend_error *ret_error);

/* BACKEND_REPLACED: the files at the path are others. Then the writer has brought what was in the log into the file
 * that it has open, if that is whole, and the log is gone from the path. */
enum backend_status sqlite_files_check(struct sqlite_connection *connection, struct backend_error *ret_error);

/* After a checkpoint: what the database file is like now. complete: it has all that is in the log. */
void sqlite_files_note_checkpoint(struct sqlite_connection *connection, bool complete);

/* ---- schema.c ---- */

/* Makes what is missing (writer), checks what is there, prepares all statements. */
enum backend_status sqlite_schema_open(struct sqlite_connection *connection, struct backend_error *ret_error);
void sqlite_schema_close(struct sqlite_connection *connection);

/* Before statements of a table are run: readies them if they are not. What the writer has to make for it is made in
 * the transaction that is open, if one is. */
enum backend_status sqlite_ready_table(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error);

/* Those of the connection that are on no table of a namespace. */
enum backend_status sqlite_prepare_common(struct sqlite_connection *connection,
                                          struct backend_error *ret_error);

/* ---- schema_check.c: BACKEND_REFUSED where it cannot be used ---- */

/* The columns of a table of ours, in their order. */
#define SQLITE_ROW_COLUMNS "key, value, flags, expires_at, version, client_cas, marks"

/* Before the schema is looked at: whose the tables are, that no two of ours have one name, and none that is
 * taken; and the transaction, by this statement. */
enum backend_status sqlite_begin_schema(struct sqlite_connection *connection, const char *begin,
                                        struct backend_error *ret_error);

/* A table is there, has these columns, and can be written to. */
enum backend_status sqlite_check_table(struct sqlite_connection *connection, const char *table,
                                       struct backend_error *ret_error);

/* The layout is not that of a later version. There may be none yet. */
enum backend_status sqlite_check_layout(struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* Checks what is there as sqlite_schema_open does for the writer, and makes nothing. With BACKEND_OK the error's
 * message says which tables were lost. */
enum backend_status sqlite_schema_probe(struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* ---- load.c ---- */

/* BACKEND_REPLACED: the high version has gone back since the writer wrote last. So does nothing but a restore of an
 * older copy through SQLite, which keeps the file. */
enum backend_status sqlite_check_version(struct sqlite_connection *connection,
                                         struct backend_error *ret_error);

/* ---- rival.c: the writer's ---- */

/* A batch of up to this version is committed. */
void sqlite_note_own_version(struct sqlite_connection *connection, uint64_t version);

/* The high version was just read: is it another server's? Then it is told in connection->base.company. */
void sqlite_look_for_rival(struct sqlite_connection *connection, uint64_t version);

/* ---- lost_table.c ---- */

/* The writer's: BACKEND_REPLACED if the table, or one of all, was there and is not any more; else BACKEND_OK. */
enum backend_status sqlite_look_for_table(struct sqlite_connection *connection, struct sqlite_table *table,
                                          struct backend_error *ret_error);
enum backend_status sqlite_look_for_tables(struct sqlite_connection *connection,
                                           struct backend_error *ret_error);

/* While it opens, in one transaction: what the file says of its tables, before any is made; and then, when all are
 * there that can be, what it says from now on, and what is to be told (backend_connection.lost). */
enum backend_status sqlite_read_table_notes(struct sqlite_connection *connection,
                                            struct backend_error *ret_error);
enum backend_status sqlite_renew_table_notes(struct sqlite_connection *connection,
                                             struct backend_error *ret_error);

/* Which tables were missing, as sqlite_read_table_notes has found, with the place; "": none. Cut at size. */
void sqlite_say_lost(const struct sqlite_connection *connection, char *ret_text, size_t size);

/* In a batch, before rows are put into a table; and at its end. */
enum backend_status sqlite_note_filled(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error);
void sqlite_end_filling(struct sqlite_connection *connection, bool committed);

/* The writer goes on: what was missing has been told, and need not be again; and what has rows is noted, if it was not
 * before. */
enum backend_status sqlite_settle_notes(struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* ---- own_sql.c ---- */

/* Notes which tables are the application's: those with all three statements; some of them only is a mistake. */
enum backend_status sqlite_find_own_sql(struct sqlite_connection *connection,
                                        struct backend_error *ret_error);

/* Prepares the statements of such a table. */
enum backend_status sqlite_prepare_own(struct sqlite_connection *connection, struct sqlite_table *table,
                                       struct backend_error *ret_error);

/* Binds what the application's statement asks for. The key goes without the namespace's prefix. False: it is none of
 * the key_type of the table, so there is no row of it, and there can be none. */
bool sqlite_bind_own(sqlite3_stmt *statement, const struct sqlite_parameters *at,
                     const struct sqlite_table *table, const struct entry *entry, uint32_t now);

/* ---- overlap.c ---- */

enum backend_nearness sqlite_same_store(const struct backend_options *a, const struct backend_options *b);
/* Whether statements of a namespace's own, all three of them, name the table that is Forebay's. */
bool sqlite_names_meta(const struct sqlite_table_options *options);
enum backend_nearness sqlite_overlap(const struct backend_table *a, const struct backend_table *b,
                                     struct backend_meeting *ret_meeting);
void sqlite_place(const struct backend_table *table, char *ret_text, size_t size);

/* ---- upkeep.c ---- */

void sqlite_upkeep_open(struct sqlite_connection *connection);

/* Before a batch: keeps the log within its bound even if nobody calls maintain. */
void sqlite_bound_wal(struct sqlite_connection *connection);

/* After a batch: how long the log is (backend_connection.log_bytes). */
void sqlite_note_log(struct sqlite_connection *connection);

/* After a batch wrote an entry: its expiry is known to the purge. */
void sqlite_expect_expiry(struct sqlite_table *table, uint32_t expires_at);

/* ---- Functions of the type: connection.c, probe.c, load.c, apply.c, upkeep.c ---- */

enum backend_status sqlite_open(const struct backend_options *options, enum backend_role role,
                                struct backend_connection **ret_connection, struct backend_error *ret_error);
enum backend_status sqlite_probe(const struct backend_options *options, uint64_t *ret_version,
                                 struct backend_error *ret_error);
void sqlite_close(struct backend_connection *base);
enum backend_status sqlite_high_version(struct backend_connection *base, uint64_t *ret_version,
                                        struct backend_error *ret_error);
enum backend_status sqlite_look(struct backend_connection *base, struct backend_error *ret_error);
enum backend_status sqlite_load(struct backend_connection *base, const struct backend_table *table,
                                const struct slice *keys, size_t count, uint32_t now,
                                struct load_result *results, struct backend_error *ret_error);
enum backend_status sqlite_scan(struct backend_connection *base, const struct backend_table *table,
                                size_t limit, uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error);
enum backend_status sqlite_extent(struct backend_connection *base, const struct backend_table *table,
                                  size_t most, uint64_t room, struct backend_extent *ret_extent,
                                  struct backend_error *ret_error);
enum backend_status sqlite_apply(struct backend_connection *base, struct mutation *mutations, size_t count,
                                 uint32_t now, struct backend_error *ret_error);
enum backend_status sqlite_maintain(struct backend_connection *base, uint32_t now, bool *ret_more,
                                    struct backend_error *ret_error);

#endif
