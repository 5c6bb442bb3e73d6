/* SPDX-License-Identifier: MIT */
/* A master that has lost what it had, by whom that is noticed, and who hears of it. */
#include "tests/backends/redis_cluster/steps.h"
#include "tests/backends/redis_cluster/subjects.h"
#include <stdatomic.h>
#include <string.h>

TEST(a_master_that_lost_what_it_had_is_noticed_by_the_next_batch) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    open_writer(fixture, &fixture->other);
    assert_string_equal(redis_server_ask(&masters[1], "FLUSHALL"), "OK");
    assert_comes_to(fixture, put_rows(fixture, 2000), BACKEND_REPLACED);
    assert_non_null(strstr(fixture->error.message, "went back to an older state"));
    /* Another node finds out as well, although versions are above what it knew. */
    const struct backend_identity before = fixture->writer->identity;
    open_writer(fixture, &fixture->writer);
    assert_memory_not_equal(&before, &fixture->writer->identity, sizeof before);
    assert_ok(fixture, put_rows(fixture, 3000));
    assert_comes_to(fixture, look(fixture, fixture->other), BACKEND_REPLACED);
    open_writer(fixture, &fixture->other);
    assert_ok(fixture, look(fixture, fixture->other));
    assert_ok(fixture, look(fixture, fixture->writer));
}

TEST(a_master_that_lost_what_it_had_is_noticed_by_a_look) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    assert_ok(fixture, look(fixture, fixture->writer));
    assert_string_equal(redis_server_ask(&masters[2], "FLUSHALL"), "OK");
    assert_comes_to(fixture, look(fixture, fixture->writer), BACKEND_REPLACED);
}

/* Over a new link it asks what each has to have, as the writer has shown it; and so does the writer before it reads. */
TEST(a_reader_believes_no_master_that_lacks_something) {
    struct fixture *fixture = *state;
    atomic_uint_fast64_t acknowledged = 0;
    fixture->options.nodes = backend_nodes_create();
    fixture->options.acknowledged = &acknowledged;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    for (unsigned lost = 0; lost < 2; lost++) {
        redis_backend.close(fixture->other);
        assert_ok(fixture,
                  redis_backend.open(&fixture->options, BACKEND_READER, &fixture->other, &fixture->error));
        assert_comes_to(fixture, read_rows(fixture, fixture->other), lost ? BACKEND_REPLACED : BACKEND_OK);
        assert_string_equal(redis_server_ask(&masters[1], "FLUSHALL"), "OK");
    }
    redis_server_ask(&masters[1], "CLIENT KILL TYPE normal SKIPME yes");
    assert_comes_to(fixture, read_rows(fixture, fixture->writer), BACKEND_REPLACED);
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 3000));
    eventually(read_rows(fixture, fixture->other) == BACKEND_OK);
}

static const struct CMUnitTest cases[] = {
    CASE(a_master_that_lost_what_it_had_is_noticed_by_the_next_batch),
    CASE(a_master_that_lost_what_it_had_is_noticed_by_a_look),
    CASE(a_reader_believes_no_master_that_lacks_something),
};

const struct subject about_losses = {cases, sizeof cases / sizeof cases[0]};
