/* SPDX-License-Identifier: MIT */
/* CRC-32C against published values, its definition, and one implementation against the other. */
#include "policies/journal/crc32c.h"
#include "tests/support/check.h"
#include <string.h>

enum { LONGEST = 9000 };

typedef uint32_t implementation(uint32_t crc, const void *data, size_t size);
static implementation *const both[] = {crc32c, crc32c_portable};

/* RFC 3720, B.4, and the check value of the catalogues. */
TEST(the_published_values_come_out) {
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (unsigned i = 0; i < 32; i++) {
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(both[i](0, "123456789", 9), 0xe3069283);
        assert_int_equal(both[i](0, zeros, 32), 0x8a9136aa);
        assert_int_equal(both[i](0, ones, 32), 0x62a8ab43);
        assert_int_equal(both[i](0, up, 32), 0x46dd794e);
        assert_int_equal(both[i](0, down, 32), 0x113fdb5c);
        assert_int_equal(both[i](0, NULL, 0), 0);
        assert_int_equal(both[i](17, NULL, 0), 17);
    }
}

/* The polynomial division, bit by bit. */
static uint32_t by_definition(uint32_t crc, const unsigned char *data, size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void fill(unsigned char *data, size_t size) {
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data[i] = (unsigned char)(state >> 32);
    }
}

/* Every length up to beyond the longest lanes, at different alignments. */
TEST(every_length_agrees_with_the_definition) {
    static unsigned char data[LONGEST + 16];
    fill(data, sizeof data);
    uint32_t seed = 0x12345678;
    for (size_t size = 0; size <= LONGEST; size += size < 1300 ? 1 : 97) {
        const unsigned char *at = data + size % 13;
        uint32_t expected = by_definition(seed, at, size);
        assert_int_equal(crc32c(seed, at, size), expected);
        assert_int_equal(crc32c_portable(seed, at, size), expected);
        seed = expected;
    }
}

TEST(a_crc_can_be_taken_in_pieces) {
    unsigned char data[700];
    fill(data, sizeof data);
    uint32_t whole = by_definition(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++)
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(both[i](both[1 - i](0, data, cut), data + cut, sizeof data - cut), whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_values_come_out),
        cmocka_unit_test(every_length_agrees_with_the_definition),
        cmocka_unit_test(a_crc_can_be_taken_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
