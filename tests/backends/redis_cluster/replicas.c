/* SPDX-License-Identifier: MIT */
/* What counts as done where replicas have to have it. */
#include "tests/backends/redis_cluster/steps.h"
#include "tests/backends/redis_cluster/subjects.h"
#include <string.h>

static size_t rows_at(const struct redis_server *server) {
    size_t rows = 0;
    for (unsigned i = 0; i < ROWS; i++)
        rows += strcmp(redis_server_ask(server, "HGET sess:%u value", i), "value") == 0;
    return rows;
}

/* The writer has no more than this for a call that fails. */
static void wait_for(struct fixture *fixture, unsigned milliseconds) {
    fixture->writer->call_until_us = monotonic_us() + milliseconds * US_PER_MS;
}

/* All that one call comes to. On a busy machine some may need longer. */
static bool is_put_but_at_replicas(struct fixture *fixture, size_t *ret_done, size_t *ret_lacking) {
    open_writer(fixture, &fixture->writer);
    wait_for(fixture, 2000);
    assert_int_equal(put_some(fixture, 1000, ret_done, ret_lacking), BACKEND_TRANSIENT);
    return *ret_done > 0 && *ret_done + *ret_lacking == ROWS;
}

TEST(a_batch_counts_where_the_replicas_of_its_master_have_it) {
    struct fixture *fixture = *state;
    size_t done, lacking;
    fixture->own.replicas = 1;
    eventually(is_put_but_at_replicas(fixture, &done, &lacking));
    assert_true(fixture->writer->partial);
    assert_non_null(strstr(fixture->error.message, "written, but only 0 of 1 replicas have it"));
    assert_int_equal(rows_at(&masters[0]) + rows_at(&masters[1]) + rows_at(&masters[2]), ROWS);
    assert_int_equal(done, rows_at(&masters[0]));
    assert_int_equal(lacking, ROWS - done);
    assert_int_equal(fixture->writer->replica_waits, MASTERS);
    assert_int_equal(fixture->writer->replica_short, MASTERS - 1);
}

/* Repeating changes nothing in the store, and is not taken for done before the replica has caught up. */
TEST(what_a_replica_lacks_is_not_done_until_it_has_it) {
    struct fixture *fixture = *state;
    size_t done, lacking;
    fixture->own.replicas = 1;
    redis_server_cut_off(&replica, &masters[0], true);
    open_writer(fixture, &fixture->writer);
    for (unsigned turn = 0; turn < 2; turn++) {
        wait_for(fixture, 200);
        assert_int_equal(put_some(fixture, 1000, &done, &lacking), BACKEND_TRANSIENT);
        assert_int_equal(done, 0);
        assert_false(fixture->writer->partial); /* of all masters */
    }
    redis_server_cut_off(&replica, &masters[0], false);
    eventually((wait_for(fixture, 200), put_some(fixture, 1000, &done, &lacking), done > 0));
    assert_int_equal(done, rows_at(&masters[0]));
}

static const struct CMUnitTest cases[] = {
    CASE(a_batch_counts_where_the_replicas_of_its_master_have_it),
    CASE(what_a_replica_lacks_is_not_done_until_it_has_it),
};

const struct subject about_replicas = {cases, sizeof cases / sizeof cases[0]};
