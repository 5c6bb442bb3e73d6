/* SPDX-License-Identifier: MIT */
/* A database in a folder of its own, with a writer and a reader, and somebody beside them. */
#ifndef FOREBAY_TESTS_SUPPORT_SQLITE_FIXTURE_H
#define FOREBAY_TESTS_SUPPORT_SQLITE_FIXTURE_H

#include "backends/kinds.h"
#include "backends/sqlite/internal.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOW = 1000000 };

struct fixture {
    struct temp_folder folder;
    char path[300];
    struct backend_table tables[2];
    const struct backend_table *list[2];
    struct backend_options options;
    struct sqlite_options own;
    struct sqlite_table_options sql; /* of tables[0] once with_own_sql was called */
    struct backend_connection *writer, *reader;
    struct backend_error error;
    sqlite3 *shell; /* somebody else's connection to the same file */
    pid_t child;    /* somebody else's process; 0: none */

    /* A thread that reads while the test writes. */
    pthread_t race;
    bool racing, torn;
    atomic_bool stop;
    unsigned reads;
};

enum {
    MINUTE = 60000,
    SHORT = 50
}; /* milliseconds: what is to succeed has time; a lock is waited for briefly */

static inline int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    temp_folder_make(&fixture->folder);
    snprintf(fixture->path, sizeof fixture->path, "%s/store.db", fixture->folder.path);
    fixture->tables[0] = (struct backend_table){.name = "sessions", .key_prefix = "sess:"};
    fixture->tables[1] =
        (struct backend_table){.name = "Qu\"oted 'name'; --", .key_prefix = "q:", .index = 1};
    fixture->list[0] = &fixture->tables[0];
    fixture->list[1] = &fixture->tables[1];
    fixture->options = (struct backend_options){.name = "local",
                                                .uri = "sqlite:store.db",
                                                .data = fixture->folder.path,
                                                .timeout_ms = MINUTE,
                                                .specific = &fixture->own.base,
                                                .tables = fixture->list,
                                                .table_count = 2};
    fixture->own = (struct sqlite_options){{&sqlite_backend}, .synchronous = "full"};
    *state = fixture;
    return 0;
}

static inline void end_race(struct fixture *fixture) {
    atomic_store(&fixture->stop, true);
    if (fixture->racing)
        pthread_join(fixture->race, NULL);
    fixture->racing = false;
}

/* As a failed assertion left it: the file may grow, root is root again. */
static inline void undo_limits(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (getuid() == 0 && geteuid() != 0 && seteuid(0) != 0)
        abort();
}

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;
    undo_limits();
    end_race(fixture);
    if (fixture->child > 0) {
        kill(fixture->child, SIGKILL);
        waitpid(fixture->child, NULL, 0);
    }
    sqlite3_close(fixture->shell);
    sqlite_backend.close(fixture->reader);
    sqlite_backend.close(fixture->writer);
    temp_folder_remove(&fixture->folder);
    free(fixture);
    return 0;
}

static inline enum backend_status open_writer(struct fixture *fixture) {
    memset(&fixture->error, 0, sizeof fixture->error);
    return sqlite_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error);
}

static inline enum backend_status open_reader(struct fixture *fixture) {
    return sqlite_backend.open(&fixture->options, BACKEND_READER, &fixture->reader, &fixture->error);
}

static inline void open_both(struct fixture *fixture) {
    if (open_writer(fixture) != BACKEND_OK || open_reader(fixture) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
}

static inline void shell(struct fixture *fixture, const char *sql) {
    if (!fixture->shell)
        assert_int_equal(sqlite3_open(fixture->path, &fixture->shell), SQLITE_OK);
    if (sqlite3_exec(fixture->shell, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(fixture->shell));
}

/* The first column of the first row, as text; "" when there is none. */
static inline const char *ask(struct fixture *fixture, const char *sql) {
    static char answer[300];
    sqlite3_stmt *statement;
    shell(fixture, "");
    assert_int_equal(sqlite3_prepare_v2(fixture->shell, sql, -1, &statement, NULL), SQLITE_OK);
    bool row = sqlite3_step(statement) == SQLITE_ROW;
    const unsigned char *text = row ? sqlite3_column_text(statement, 0) : NULL;
    snprintf(answer, sizeof answer, "%s", text ? (const char *)text : "");
    sqlite3_finalize(statement);
    return answer;
}

static inline struct mutation put(struct fixture *fixture, const char *key, const char *value,
                                  uint64_t version) {
    return (struct mutation){
        .table = fixture->list[0],
        .kind = MUTATION_PUT,
        .entry = {.key = slice_string(key), .value = slice_string(value), .version = version}};
}

static inline enum backend_status apply(struct fixture *fixture, struct mutation *mutations, size_t count) {
    return sqlite_backend.apply(fixture->writer, mutations, count, NOW, &fixture->error);
}

static inline enum backend_status apply_one(struct fixture *fixture, struct mutation mutation) {
    return apply(fixture, &mutation, 1);
}

static inline struct load_result load(struct fixture *fixture, const char *key) {
    struct slice slice = slice_string(key);
    struct load_result result;
    if (sqlite_backend.load(fixture->reader, fixture->list[0], &slice, 1, NOW, &result, &fixture->error) !=
        BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    return result;
}

static inline void assert_value(struct fixture *fixture, const char *key, const char *value) {
    struct load_result result = load(fixture, key);
    assert_true(result.found);
    assert_int_equal(result.entry.value.size, strlen(value));
    assert_memory_equal(result.entry.value.data, value, strlen(value));
}

static inline void assert_says(const struct fixture *fixture, const char *part) {
    if (!strstr(fixture->error.message, part))
        fail_msg("\"%s\" is not in: %s", part, fixture->error.message);
}

static inline void assert_refused(struct fixture *fixture, const char *part, const char *other_part) {
    assert_int_equal(open_writer(fixture), BACKEND_REFUSED);
    assert_null(fixture->writer);
    assert_says(fixture, part);
    assert_says(fixture, other_part);
}

static inline unsigned maintain_to_the_end(struct fixture *fixture, uint32_t now) {
    unsigned steps = 0;
    for (bool more = true; more && steps < 1000; steps++)
        assert_int_equal(sqlite_backend.maintain(fixture->writer, now, &more, &fixture->error), BACKEND_OK);
    return steps;
}

static inline off_t size_of(const struct fixture *fixture, const char *ending) {
    char path[320];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", fixture->path, ending);
    return stat(path, &status) == 0 ? status.st_size : -1;
}

static const char LOAD[] = "SELECT data, 0, expire, version FROM app WHERE id = :key";

static const char STORE[] =
    "INSERT INTO app(id, data, expire, version, who) VALUES (:key, CAST(:value AS TEXT), "
    ":expires_at, :version, 'forebay') ON CONFLICT(id) DO UPDATE SET data = excluded.data, "
    "expire = excluded.expire, version = excluded.version WHERE excluded.version > version";

static const char DELETE[] = "DELETE FROM app WHERE id = :key AND version <= :version";

static inline void with_own_sql(struct fixture *fixture) {
    shell(fixture, "CREATE TABLE IF NOT EXISTS app (id TEXT PRIMARY KEY, data TEXT CHECK(data <> 'bad'), "
                   "expire INTEGER, version INTEGER NOT NULL DEFAULT 0, who TEXT);"
                   "INSERT OR IGNORE INTO app VALUES ('theirs', 'from the application', 0, 0, 'app')");
    fixture->tables[0].specific = &fixture->sql.base;
    fixture->sql.base.type = &sqlite_backend;
    fixture->sql.load_sql = LOAD;
    fixture->sql.store_sql = STORE;
    fixture->sql.delete_sql = DELETE;
}

#endif
