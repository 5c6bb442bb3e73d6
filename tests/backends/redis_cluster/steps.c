/* SPDX-License-Identifier: MIT */
#include "tests/backends/redis_cluster/steps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis_server replica;

enum backend_status read_into(struct fixture *fixture, struct backend_connection *reader,
                              struct load_result results[ROWS]) {
    struct slice keys[ROWS];
    char names[ROWS][16];
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "sess:%u", i);
        keys[i] = slice_string(names[i]);
    }
    return redis_backend.load(reader, &fixture->table, keys, ROWS, fixture->now, results, &fixture->error);
}

enum backend_status read_rows(struct fixture *fixture, struct backend_connection *reader) {
    struct load_result results[ROWS];
    return read_into(fixture, reader, results);
}

void ask_all(const char *command, const char *key, const char *field, const char *value) {
    for (int i = 0; i < MASTERS; i++)
        if (value)
            redis_server_ask(&masters[i], "%s %s %s %s", command, key, field, value);
        else
            redis_server_ask(&masters[i], "%s %s %s", command, key, field);
}

void set_rival(const struct fixture *fixture, const char *node) {
    char rival[80];
    snprintf(rival, sizeof rival, "%u home boot/1/1/1 elsewhere, process 1", (unsigned)fixture->now);
    ask_all("HSET", "forebay: nodes", node, rival);
}

void remove_rival(const char *node) {
    ask_all("HDEL", "forebay: nodes", node, NULL);
}
