/* SPDX-License-Identifier: MIT */
/* Who does not know the secret cannot choose keys that meet; and nothing of a key is left out. */
#include "cache/base/keyed_hash.h"
#include "tests/support/check.h"
#include <stdio.h>

enum {
    BUCKETS = 4096,
    KEYS = 2000,
    CROWD =
        20, /* 2000 keys in 4096 buckets: by chance not even ten are in one, once in a thousand million times */
    PATTERNS = 5
};

/* Keys of the forms that people have, from 7 bytes to 100; none is the same for two numbers. */
static struct slice key_of(unsigned pattern, uint64_t number, char *buffer) {
    static const char *const forms[PATTERNS] = {
        "%07llu", "user:%08llu", "session:%llu:cart", "%016llx%016llx",
        "a/long/path/in/front/of/all/the/keys/of/this/application/%llu/and/behind"};
    int size = snprintf(buffer, ENTRY_KEY_MAX + 1, forms[pattern], (unsigned long long)number, 0ull);
    return slice_of(buffer, (size_t)size);
}

/* How many of the keys with these numbers are in the fullest bucket. */
static unsigned fullest(const struct keyed_hash *hash, unsigned pattern, const uint64_t *numbers) {
    unsigned in_bucket[BUCKETS] = {0}, most = 0;
    char buffer[ENTRY_KEY_MAX + 1];
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned now = ++in_bucket[keyed_hash_of(hash, key_of(pattern, numbers[i], buffer)) % BUCKETS];
        most = now > most ? now : most;
    }
    return most;
}

static void find_meeting(const struct keyed_hash *hash, unsigned pattern, uint64_t *ret_numbers) {
    char buffer[ENTRY_KEY_MAX + 1];
    unsigned found = 0;
    for (uint64_t number = 0; found < KEYS; number++)
        if (keyed_hash_of(hash, key_of(pattern, number, buffer)) % BUCKETS == 0)
            ret_numbers[found++] = number;
}

TEST(keys_that_meet_under_one_secret_do_not_meet_under_another) {
    struct keyed_hash known, next;
    uint64_t numbers[KEYS];
    assert_true(keyed_hash_draw(1, &known));
    for (unsigned pattern = 0; pattern < PATTERNS; pattern++) {
        find_meeting(&known, pattern, numbers);
        assert_int_equal(fullest(&known, pattern, numbers), KEYS);
        for (unsigned i = 0; i < 20; i++) {
            assert_true(keyed_hash_draw(0, &next));
            assert_in_range(fullest(&next, pattern, numbers), 1, CROWD);
        }
    }
}

TEST(keys_in_a_row_spread) {
    uint64_t numbers[KEYS];
    struct keyed_hash hash;
    for (unsigned i = 0; i < KEYS; i++)
        numbers[i] = i;
    for (unsigned seed = 1; seed <= 20; seed++) {
        assert_true(keyed_hash_draw(seed, &hash));
        for (unsigned pattern = 0; pattern < PATTERNS; pattern++)
            assert_in_range(fullest(&hash, pattern, numbers), 1, CROWD);
    }
}

TEST(a_secret_is_drawn_anew_unless_it_is_given) {
    struct keyed_hash given, again, other, drawn, anew;
    assert_true(keyed_hash_draw(5, &given) && keyed_hash_draw(5, &again) && keyed_hash_draw(6, &other));
    assert_true(keyed_hash_draw(0, &drawn) && keyed_hash_draw(0, &anew));
    assert_memory_equal(&given, &again, sizeof given);
    for (unsigned i = 0; i < KEYED_HASH_SECRETS; i++) {
        assert_true(given.secrets[i] != other.secrets[i]);
        assert_true(drawn.secrets[i] != anew.secrets[i]);
    }
}

TEST(every_bit_of_a_key_counts_and_so_does_its_size) {
    struct keyed_hash hash;
    char key[ENTRY_KEY_MAX];
    uint64_t last = 0;
    assert_true(keyed_hash_draw(1, &hash));
    memset(key, 'x', sizeof key);
    for (size_t size = 0; size <= sizeof key; size++) {
        uint64_t whole = keyed_hash_of(&hash, slice_of(key, size));
        assert_true(whole != last);
        last = whole;
        for (size_t bit = 0; bit < size * 8; bit++) {
            key[bit / 8] = (char)(key[bit / 8] ^ 1 << bit % 8);
            assert_true(keyed_hash_of(&hash, slice_of(key, size)) != whole);
            key[bit / 8] = 'x';
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_meet_under_one_secret_do_not_meet_under_another),
        cmocka_unit_test(keys_in_a_row_spread),
        cmocka_unit_test(a_secret_is_drawn_anew_unless_it_is_given),
        cmocka_unit_test(every_bit_of_a_key_counts_and_so_does_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
