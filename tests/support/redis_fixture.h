/* SPDX-License-Identifier: MIT */
/* A Redis of its own for each test. */
#ifndef FOREBAY_TESTS_SUPPORT_REDIS_FIXTURE_H
#define FOREBAY_TESTS_SUPPORT_REDIS_FIXTURE_H

#include "backends/kinds.h"
#include "backends/redis/options.h"
#include "tests/support/check.h"
#include "tests/support/heard.h"
#include "tests/support/redis_server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct fixture {
    struct redis_server server;
    char uri[400];
    struct backend_table tables[3]; /* hash, string, hash for all other keys */
    const struct backend_table *list[3];
    struct redis_table_options own[3];
    struct backend_options options;
    struct backend_connection *writer, *reader;
    struct backend_error error;
    uint32_t now;
    struct redis_server other_server; /* a second one, where a test has it */
    struct backend_connection *other; /* of a second node */
    pid_t child;                      /* 0: none */
};

enum { HASH, STRING, DEFAULT };

/* What is to succeed has time; but some tests wait it out, for a server that is down. */
enum { TIME_LIMIT = 4000, MINUTE = 60000 }; /* milliseconds */

static inline int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->server.append_only = *state != NULL;
    if (!redis_server_start(&fixture->server))
        fail_msg("redis-server (Debian: redis-server) is needed for these tests");
    fixture->now = (uint32_t)time(NULL);
    static const char *const names[] = {"sessions", "shared", "default"}, *const prefixes[] = {
                                                                              "sess:", "sh:", ""};
    for (unsigned i = 0; i < 3; i++) {
        fixture->own[i] = (struct redis_table_options){{&redis_backend},
                                                       .layout = i == STRING ? "string" : "hash",
                                                       .store_prefix = i == DEFAULT ? "app*:" : ""};
        fixture->tables[i] = (struct backend_table){
            .name = names[i], .key_prefix = prefixes[i], .specific = &fixture->own[i].base, .index = i};
        fixture->list[i] = &fixture->tables[i];
    }
    snprintf(fixture->uri, sizeof fixture->uri, "redis://127.0.0.1:%d", fixture->server.port);
    fixture->options = (struct backend_options){.name = "cache",
                                                .uri = fixture->uri,
                                                .timeout_ms = MINUTE,
                                                .tables = fixture->list,
                                                .table_count = 3};
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;
    redis_backend.close(fixture->reader);
    redis_backend.close(fixture->writer);
    redis_backend.close(fixture->other);
    if (fixture->child > 0) {
        kill(fixture->child, SIGKILL);
        waitpid(fixture->child, NULL, 0);
    }
    if (fixture->other_server.port)
        redis_server_stop(&fixture->other_server);
    redis_server_stop(&fixture->server);
    free(fixture);
    return 0;
}

#define ask(fixture, ...) redis_server_ask(&(fixture)->server, __VA_ARGS__)

static inline enum backend_status open_writer(struct fixture *fixture) {
    redis_backend.close(fixture->writer);
    fixture->writer = NULL;
    return redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error);
}

static inline void open_both(struct fixture *fixture) {
    if (open_writer(fixture) != BACKEND_OK ||
        redis_backend.open(&fixture->options, BACKEND_READER, &fixture->reader, &fixture->error) !=
            BACKEND_OK)
        fail_msg("%s", fixture->error.message);
}

static inline enum backend_status look(struct fixture *fixture) {
    return redis_backend.look(fixture->writer, &fixture->error);
}

static inline struct mutation mutation(struct fixture *fixture, unsigned table, enum mutation_kind kind,
                                       const char *key, const char *value, uint64_t version) {
    return (struct mutation){
        .table = fixture->list[table],
        .kind = kind,
        .entry = {.key = slice_string(key), .value = slice_string(value), .version = version}};
}

static inline enum backend_status apply(struct fixture *fixture, struct mutation *mutations, size_t count) {
    return redis_backend.apply(fixture->writer, mutations, count, fixture->now, &fixture->error);
}

static inline enum backend_status put(struct fixture *fixture, unsigned table, const char *key,
                                      const char *value, uint64_t version) {
    struct mutation one = mutation(fixture, table, MUTATION_PUT, key, value, version);
    return apply(fixture, &one, 1);
}

/* Whether a single mutation was superseded. */
static inline bool superseded(struct fixture *fixture, unsigned table, enum mutation_kind kind,
                              const char *key, uint64_t version) {
    struct mutation one = mutation(fixture, table, kind, key, "value", version);
    assert_int_equal(apply(fixture, &one, 1), BACKEND_OK);
    return one.superseded;
}

static inline enum backend_status load(struct fixture *fixture, unsigned table, const char *key,
                                       struct load_result *result) {
    struct slice slice = slice_string(key);
    return redis_backend.load(fixture->reader, fixture->list[table], &slice, 1, fixture->now, result,
                              &fixture->error);
}

static inline void assert_value(struct fixture *fixture, unsigned table, const char *key, const char *value) {
    struct load_result result;
    if (load(fixture, table, key, &result) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    assert_true(result.found);
    assert_int_equal(result.entry.value.size, strlen(value));
    assert_memory_equal(result.entry.value.data, value, strlen(value));
}

static inline void assert_absent(struct fixture *fixture, unsigned table, const char *key) {
    struct load_result result;
    assert_int_equal(load(fixture, table, key, &result), BACKEND_OK);
    assert_false(result.found);
}

static inline void assert_says(const struct fixture *fixture, const char *part) {
    if (!strstr(fixture->error.message, part))
        fail_msg("\"%s\" is not in: %s", part, fixture->error.message);
}

/* Nobody is there to answer: calls from now on are not waited for long. */
static inline void wait_briefly(struct fixture *fixture) {
    uint64_t until_us = monotonic_us() + 50 * US_PER_MS;
    fixture->writer->call_until_us = until_us;
    if (fixture->reader)
        fixture->reader->call_until_us = until_us;
}

#define CASE_APPEND_ONLY(test)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(test, set_up, tear_down, (void *)"append only")

#endif
