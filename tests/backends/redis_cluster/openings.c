/* SPDX-License-Identifier: MIT */
/* Where versions begin, what is refused, and scripts that a master has forgotten. */
#include "tests/backends/redis_cluster/steps.h"
#include "tests/backends/redis_cluster/subjects.h"
#include <stdio.h>
#include <string.h>

TEST(versions_begin_above_those_of_all_masters) {
    struct fixture *fixture = *state;
    assert_int_equal(open_writer(fixture, &fixture->writer), 0);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_int_equal(open_writer(fixture, &fixture->other), 1000 + ROWS - 1);
    assert_ok(fixture, look(fixture, fixture->other));
    assert_memory_equal(&fixture->writer->identity, &fixture->other->identity,
                        sizeof fixture->other->identity);
}

/* It alone has the newest. Else the store would be taken for an older one. */
TEST(versions_begin_above_that_of_a_master_that_is_away) {
    struct fixture *fixture = *state;
    struct mutation newest = {.table = &fixture->table,
                              .kind = MUTATION_PUT,
                              .entry = {.key = SLICE("sess:59"),
                                        .value = SLICE("value"),
                                        .version = 2000}}; /* of the last master */
    fixture->options.nodes = backend_nodes_create();
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_ok(fixture, redis_backend.apply(fixture->writer, &newest, 1, fixture->now, &fixture->error));
    fixture->options.timeout_ms = 1000;
    redis_server_pause(&masters[MASTERS - 1], true);
    uint64_t version = open_writer(fixture, &fixture->writer);
    redis_server_pause(&masters[MASTERS - 1], false);
    assert_int_equal(version, 2000);
}

TEST(a_high_version_that_is_none_is_refused) {
    struct fixture *fixture = *state;
    char key[60] = "forebay: high_version:{....}";
    uint64_t version = 0;
    redis_slot_tag(16383, strchr(key, '{') + 1);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "SET %s many", key), "OK");
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error));
    assert_comes_to(fixture, redis_backend.high_version(fixture->writer, &version, &fixture->error),
                    BACKEND_REFUSED);
    assert_non_null(strstr(fixture->error.message, key));
    assert_non_null(strstr(fixture->error.message, "holds many"));
}

TEST(a_node_number_that_is_taken_is_refused) {
    struct fixture *fixture = *state;
    uint64_t version;
    set_rival(fixture, "0");
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error));
    assert_comes_to(fixture, redis_backend.high_version(fixture->writer, &version, &fixture->error),
                    BACKEND_REFUSED);
    assert_non_null(strstr(fixture->error.message, "its node number 0 is used by another server (elsewhere"));
    struct backend_error said = {.message = ""};
    assert_comes_to(fixture, redis_backend.probe(&fixture->options, &version, &said), BACKEND_REFUSED);
    assert_string_equal(said.message, fixture->error.message);
    fixture->options.node = 1;
    assert_ok(fixture, redis_backend.probe(&fixture->options, &version, &said));
    fixture->options.node = 0;
    remove_rival("0");
    set_rival(fixture, "7");
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_int_equal(fixture->writer->company.others, 1);
}

TEST(forgotten_scripts_are_loaded_again) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "SCRIPT FLUSH"), "OK");
    assert_ok(fixture, put_rows(fixture, 2000));
}

static const struct CMUnitTest cases[] = {
    CASE(versions_begin_above_those_of_all_masters), CASE(versions_begin_above_that_of_a_master_that_is_away),
    CASE(a_high_version_that_is_none_is_refused),    CASE(a_node_number_that_is_taken_is_refused),
    CASE(forgotten_scripts_are_loaded_again),
};

const struct subject about_openings = {cases, sizeof cases / sizeof cases[0]};
