/* SPDX-License-Identifier: MIT */
/* How many keys of a turn are one connection's, however many there are. */
#include "server/worker/share.h"
#include "tests/support/check.h"

/* Of so many connections each has `wanted` keys, and is served those that are its share. The least share; all of them
 * together. */
static int64_t serve(size_t connections, int64_t wanted, size_t *ret_executed) {
    int64_t least = INT64_MAX;
    size_t executed = 0;
    for (size_t unserved = connections; unserved > 0; unserved--) {
        int64_t share = share_keys(executed, unserved);
        assert_in_range(share, SHARE_LEAST_KEYS, SHARE_KEYS);
        least = share < least ? share : least;
        executed += (size_t)(wanted < share ? wanted : share);
    }
    *ret_executed = executed;
    return least;
}

TEST(a_few_have_whole_shares) {
    size_t executed;
    for (size_t connections = 1; connections <= SHARE_TURN_KEYS / SHARE_KEYS; connections++)
        assert_int_equal(serve(connections, INT64_MAX, &executed), SHARE_KEYS);
}

TEST(many_share_a_turn_alike) {
    for (size_t connections = 33; connections <= SHARE_TURN_KEYS / SHARE_LEAST_KEYS; connections++) {
        size_t executed;
        assert_in_range(serve(connections, INT64_MAX, &executed), SHARE_TURN_KEYS / connections - 1,
                        SHARE_KEYS);
        assert_in_range(executed, SHARE_TURN_KEYS, SHARE_TURN_KEYS + connections);
    }
}

TEST(what_some_leave_is_others) {
    size_t executed;
    assert_int_equal(serve(1000, 1, &executed), SHARE_LEAST_KEYS);
    assert_int_equal(executed, 1000);
    assert_int_equal(share_keys(1000, 10), SHARE_KEYS);
    assert_int_equal(share_keys(SHARE_TURN_KEYS - 1000, 10), 101);
}

TEST(however_many_there_are_each_has_a_little) {
    size_t executed;
    assert_int_equal(serve(10000, INT64_MAX, &executed), SHARE_LEAST_KEYS);
    assert_int_equal(executed, 10000 * SHARE_LEAST_KEYS);
    assert_int_equal(share_keys(SHARE_TURN_KEYS, 1), SHARE_LEAST_KEYS);
    assert_int_equal(share_keys(10 * SHARE_TURN_KEYS, 1), SHARE_LEAST_KEYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_have_whole_shares),
        cmocka_unit_test(many_share_a_turn_alike),
        cmocka_unit_test(what_some_leave_is_others),
        cmocka_unit_test(however_many_there_are_each_has_a_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
