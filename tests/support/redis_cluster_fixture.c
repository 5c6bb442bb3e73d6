/* SPDX-License-Identifier: MIT */
#include "tests/support/redis_cluster_fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct redis_server masters[MASTERS], fresh;

int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "FLUSHALL"), "OK");
    snprintf(fixture->uri, sizeof fixture->uri, "redis+cluster://127.0.0.1:%d", masters[0].port);
    fixture->table = (struct backend_table){.name = "sessions", .key_prefix = "sess:"};
    fixture->list[0] = &fixture->table;
    fixture->now = (uint32_t)time(NULL);
    fixture->own = (struct redis_options){{&redis_backend}, .tombstone_seconds = 60};
    fixture->options = (struct backend_options){.name = "cache",
                                                .uri = fixture->uri,
                                                .timeout_ms = EVENTUALLY_SECONDS * 1000,
                                                .specific = &fixture->own.base,
                                                .tables = fixture->list,
                                                .table_count = 1};
    *state = fixture;
    return 0;
}

int tear_down(void **state) {
    struct fixture *fixture = *state;
    redis_backend.close(fixture->writer);
    redis_backend.close(fixture->other);
    redis_backend.close(fixture->third);
    backend_nodes_destroy(fixture->options.nodes);
    free(fixture);
    return 0;
}

static enum backend_status try_writer(struct fixture *fixture, struct backend_connection **connection,
                                      uint64_t *ret_version) {
    redis_backend.close(*connection);
    *connection = NULL;
    enum backend_status status =
        redis_backend.open(&fixture->options, BACKEND_WRITER, connection, &fixture->error);
    if (status == BACKEND_OK)
        status = redis_backend.high_version(*connection, ret_version, &fixture->error);
    return status == BACKEND_REPLACED ? BACKEND_TRANSIENT : status; /* to be opened anew */
}

uint64_t open_writer(struct fixture *fixture, struct backend_connection **connection) {
    uint64_t version = 0;
    assert_ok(fixture, try_writer(fixture, connection, &version));
    return version;
}

enum backend_status put_some(struct fixture *fixture, uint64_t version, size_t *ret_done,
                             size_t *ret_lacking) {
    struct mutation mutations[ROWS];
    char keys[ROWS][16];
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(keys[i], sizeof keys[i], "sess:%u", i);
        mutations[i] = (struct mutation){
            .table = &fixture->table,
            .kind = MUTATION_PUT,
            .entry = {.key = slice_string(keys[i]), .value = SLICE("value"), .version = version + i}};
    }
    enum backend_status status =
        redis_backend.apply(fixture->writer, mutations, ROWS, fixture->now, &fixture->error);
    *ret_done = *ret_lacking = 0;
    for (unsigned i = 0; i < ROWS; i++) {
        *ret_done += mutations[i].done;
        *ret_lacking += mutations[i].lacks_replicas;
    }
    return status;
}

enum backend_status put_rows(struct fixture *fixture, uint64_t version) {
    size_t done, lacking;
    return put_some(fixture, version, &done, &lacking);
}

enum backend_status look(struct fixture *fixture, struct backend_connection *connection) {
    return redis_backend.look(connection, &fixture->error);
}
