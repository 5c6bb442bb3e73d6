/* SPDX-License-Identifier: MIT */
/* Who is trusted after failures to authenticate. */
#include "server/accepted.h"
#include "server/worker/auth/gate.h"
#include "tests/support/check.h"
#include <arpa/inet.h>

static const uint64_t START_US = 1000000000;

static struct gate new_gate(void) {
    struct gate gate;
    gate_init(&gate);
    return gate;
}

/* A client of this address; NULL: of a Unix socket. */
static struct peer peer_of(const char *text) {
    struct peer peer = {.family = AF_UNIX};
    if (text && inet_pton(AF_INET, text, &peer.v4.sin_addr) == 1)
        peer.family = AF_INET;
    else if (text && inet_pton(AF_INET6, text, &peer.v6.sin6_addr) == 1)
        peer.family = AF_INET6;
    return peer;
}

static void fail_times(struct gate *gate, const char *from, unsigned times, uint64_t now_us) {
    struct peer peer = peer_of(from);
    for (unsigned i = 0; i < times; i++)
        gate_note_failure(gate, &peer, now_us);
}

static bool trusts(const struct gate *gate, const char *from, uint64_t now_us) {
    struct peer peer = peer_of(from);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_trusted_until_it_has_failed_a_few_times),
        cmocka_unit_test(a_million_failures_are_forgiven_as_soon_as_a_few),
        cmocka_unit_test(other_addresses_are_trusted_all_the_same),
        cmocka_unit_test(a_machine_is_one_address_whatever_it_comes_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
