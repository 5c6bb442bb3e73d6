/* SPDX-License-Identifier: MIT */
/* Who is trusted after failures to authenticate, and how much of them is told. */
#include "server/worker/gate.h"
#include "tests/support/check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static const uint64_t START_US = 1000000000;

static struct gate new_gate(void) {
    struct gate gate;
    gate_init(&gate);
    return gate;
}

/* A client of this address; NULL: of a Unix socket. */
static struct sockaddr_storage peer_of(const char *text) {
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    struct sockaddr_in *four = (struct sockaddr_in *)&peer;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&peer;
    if (text && inet_pton(AF_INET, text, &four->sin_addr) == 1)
        peer.ss_family = AF_INET;
    else if (text && inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        peer.ss_family = AF_INET6;
    return peer;
}

static unsigned fail_times(struct gate *gate, const char *from, unsigned times, uint64_t now_us) {
    struct sockaddr_storage peer = peer_of(from);
    unsigned lines = 0, left_out;
    for (unsigned i = 0; i < times; i++)
        lines += gate_note_failure(gate, &peer, now_us, &left_out);
    return lines;
}

static bool trusts(const struct gate *gate, const char *from, uint64_t now_us) {
    struct sockaddr_storage peer = peer_of(from);
    return gate_trusts(gate, &peer, now_us);
}

TEST(an_address_is_trusted_until_it_has_failed_a_few_times) {
    (void)state;
    struct gate gate = new_gate();
    fail_times(&gate, "10.1.2.3", GATE_FAILURES - 1, START_US);
    assert_true(trusts(&gate, "10.1.2.3", START_US));
    fail_times(&gate, "10.1.2.3", 1, START_US);
    assert_false(trusts(&gate, "10.1.2.3", START_US));
    assert_false(trusts(&gate, "10.1.2.3", START_US + GATE_FORGIVEN_US - 1));
    assert_true(trusts(&gate, "10.1.2.3", START_US + GATE_FORGIVEN_US));
    fail_times(&gate, "10.1.2.3", 1, START_US + GATE_FORGIVEN_US);
    assert_false(trusts(&gate, "10.1.2.3", START_US + GATE_FORGIVEN_US));
}

TEST(a_million_failures_are_forgiven_as_soon_as_a_few) {
    (void)state;
    struct gate gate = new_gate();
    fail_times(&gate, "10.1.2.3", 1000000, START_US);
    assert_false(trusts(&gate, "10.1.2.3", START_US));
    assert_true(trusts(&gate, "10.1.2.3", START_US + GATE_FORGIVEN_US));
}

/* Some addresses share a place, and it is another one in each gate. */
TEST(other_addresses_are_trusted_all_the_same) {
    (void)state;
    unsigned distrusted = 0;
    for (unsigned i = 0; i < 1000; i++) {
        struct gate gate = new_gate();
        fail_times(&gate, "10.1.2.3", 1000, START_US);
        distrusted += !trusts(&gate, "10.1.2.4", START_US);
    }
    assert_in_range(distrusted, 0, 100);
}

TEST(a_machine_is_one_address_whatever_it_comes_from) {
    (void)state;
    static const struct {
        const char *one, *other;
        bool same;
    } table[] = {
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"10.1.2.3", "::ffff:10.1.2.3", true},
        {"::ffff:10.1.2.4", "::ffff:10.1.2.3", false},
        {NULL, NULL, true},
        {NULL, "10.1.2.3", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        unsigned distrusted = 0, gates = 100;
        for (unsigned k = 0; k < gates; k++) {
            struct gate gate = new_gate();
            fail_times(&gate, table[i].one, GATE_FAILURES, START_US);
            distrusted += !trusts(&gate, table[i].other, START_US);
        }
        if (table[i].same ? distrusted < gates : distrusted > gates / 2)
            fail_msg("row %zu: %u of %u", i, distrusted, gates);
    }
}

TEST(a_few_lines_are_written_and_the_rest_is_counted) {
    (void)state;
    struct gate gate = new_gate();
    struct sockaddr_storage peer = peer_of("10.1.2.3");
    unsigned left_out = 99;
    assert_true(gate_note_failure(&gate, &peer, START_US, &left_out));
    assert_int_equal(left_out, 0);
    assert_int_equal(fail_times(&gate, "10.9.9.9", 1000, START_US), GATE_LINES - 1);
    assert_false(gate_note_failure(&gate, &peer, START_US + GATE_LINE_US - 1, &left_out));
    assert_true(gate_note_failure(&gate, &peer, START_US + GATE_LINE_US, &left_out));
    assert_int_equal(left_out, 1000 - (GATE_LINES - 1) + 1);
    assert_true(gate_note_failure(&gate, &peer, START_US + 100 * GATE_LINE_US, &left_out));
    assert_int_equal(left_out, 0);
}

TEST(what_was_left_out_is_told_when_no_more_failures_come) {
    (void)state;
    struct gate gate = new_gate();
    unsigned left_out;
    assert_false(gate_tells_rest(&gate, START_US, &left_out));
    fail_times(&gate, "10.1.2.3", GATE_LINES + 7, START_US);
    assert_false(gate_tells_rest(&gate, START_US, &left_out));
    assert_true(gate_tells_rest(&gate, START_US + GATE_LINE_US, &left_out));
    assert_int_equal(left_out, 7);
    assert_false(gate_tells_rest(&gate, START_US + 100 * GATE_LINE_US, &left_out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_trusted_until_it_has_failed_a_few_times),
        cmocka_unit_test(a_million_failures_are_forgiven_as_soon_as_a_few),
        cmocka_unit_test(other_addresses_are_trusted_all_the_same),
        cmocka_unit_test(a_machine_is_one_address_whatever_it_comes_from),
        cmocka_unit_test(a_few_lines_are_written_and_the_rest_is_counted),
        cmocka_unit_test(what_was_left_out_is_told_when_no_more_failures_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
