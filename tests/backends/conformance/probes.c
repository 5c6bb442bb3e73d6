/* SPDX-License-Identifier: MIT */
/* A look at a store that says what opening it would come to, and leaves no trace. */
#include "tests/backends/conformance/servers.h"
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"

/* It waits for a moment at most: on a busy machine that may be too short, for once. */
static uint64_t assert_probe(struct store *store, enum backend_status expected) {
    struct backend_error error = {""};
    uint64_t version = BACKEND_VERSION_HIDDEN;
    enum backend_status status;
    uint64_t began_us = monotonic_us();
    do
        status = type(store)->probe(&store->options, &version, &error);
    while (status == BACKEND_TRANSIENT && expected != status && has_time_since(began_us));
    if (status != expected)
        fail_msg("%d, not %d: %s", (int)status, (int)expected, error.message);
    return version;
}

TEST(a_probe_says_what_opening_would_come_to) {
    struct store *store = *state;
    assert_int_equal(assert_probe(store, BACKEND_OK), 0); /* beside the writer */
    apply(store, put(store, "sess:a", "value", 7));
    assert_int_equal(assert_probe(store, BACKEND_OK), 7);
    disconnect(store);
    assert_int_equal(assert_probe(store, BACKEND_OK), 7);
    connect_both(store);
    assert_value(store, "sess:a", "value", 7);
}

static bool is_empty(const struct redis_server *servers, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (strstr(redis_server_ask(&servers[i], "INFO keyspace"), "db"))
            return false;
    return true;
}

TEST(a_probe_makes_nothing) {
    struct store *store = *state;
    struct backend_error error;
    struct backend_connection *reader = NULL;
    disconnect(store);
    store->kind->stop(store);
    store->kind->start(store);
    store->options.data = store->folder.path;
    assert_probe(store, BACKEND_OK);
    if (strncmp(store->uri, "sqlite:", strlen("sqlite:")) == 0) /* no file: a reader makes none */
        assert_int_equal(type(store)->open(&store->options, BACKEND_READER, &reader, &error),
                         BACKEND_REFUSED);
    else
        assert_true(is_empty(strstr(store->uri, "+cluster") ? masters : &redis,
                             strstr(store->uri, "+cluster") ? MASTERS : 1));
    connect_both(store);
}

static const struct CMUnitTest cases[] = {
    CASE(a_probe_says_what_opening_would_come_to),
    CASE(a_probe_makes_nothing),
};

const struct subject about_probes = {cases, sizeof cases / sizeof cases[0]};
