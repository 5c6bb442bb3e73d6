/* SPDX-License-Identifier: MIT */
/*
 * The bytes of the files, written down: a journal and a low-water file are these on every machine, so that one which
 * some other machine, or an earlier build, has written can be read.
 */
#include "policies/journal/format.h"
#include "policies/journal/low_water_file.h"
#include "tests/fuzz/low_water.h"
#include "tests/support/check.h"
#include <stdlib.h>

#define EPOCH UINT64_C(0x0123456789abcdef)

static const struct slice spaces[] = {{"plain", 5}, {"session", 7}};

TEST(a_header_is_these_bytes) {
    struct format_header header = {.series = 3,
                                   .sequence = 0x1122334455667788,
                                   .epoch = EPOCH,
                                   .created_us = 5,
                                   .file_size = 16384,
                                   .fresh = true,
                                   .spaces = spaces,
                                   .space_count = 2,
                                   .size = FORMAT_HEADER_UNIT};
    struct format_header decoded;
    char bytes[FORMAT_HEADER_UNIT];
    format_encode_header(bytes, &header);
    assert_memory_equal(bytes, "FOREBAYJ\1\0\0\0\0\x10\0\0", 16);
    assert_memory_equal(bytes + 20,
                        "\3\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\xef\xcd\xab\x89\x67\x45\x23\x01", 20);
    assert_memory_equal(bytes + 40, "\5\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\0", 16);
    assert_memory_equal(bytes + 72, "\1\0\0\0\2\0\0\0", 8);
    assert_memory_equal(bytes + 88, "\5\0plain\7\0session\0", 17);
    assert_int_equal(format_decode_header(bytes, sizeof bytes, &decoded), FORMAT_GOOD);
    assert_true(decoded.sequence == header.sequence && decoded.epoch == EPOCH && decoded.space_count == 2);
    free((void *)(uintptr_t)decoded.spaces);
}

TEST(a_record_is_these_bytes) {
    struct entry entry = {.key = SLICE("key"),
                          .value = SLICE("value"),
                          .version = 0x0102030405060708,
                          .client_cas = 0x1112131415161718,
                          .flags = 0xa1a2a3a4,
                          .expires_at = 0x21222324,
                          .marks = 2};
    struct format_key key = format_key(EPOCH);
    struct format_record decoded;
    char bytes[64];
    assert_int_equal(format_encode_record(bytes, JOURNAL_PUT, 1, &entry), 48);
    format_place_records(bytes, 48, &key, 4096);
    assert_memory_equal(bytes + 4, "\x67\x45\x23\x01\5\0\0\0\3\xa1\1\0", 12);
    assert_memory_equal(bytes + 16, "\x08\x07\x06\x05\x04\x03\x02\x01\x24\x23\x22\x21\xa4\xa3\xa2\xa1", 16);
    assert_memory_equal(bytes + 32, "\x18\x17\x16\x15\x14\x13\x12\x11keyvalue", 16);
    assert_true(format_decode_record_at(bytes, 48, 4096, &key, 2, &decoded));
    assert_true(decoded.entry.version == entry.version && decoded.entry.client_cas == entry.client_cas &&
                decoded.entry.flags == entry.flags && decoded.entry.expires_at == entry.expires_at);
}

/* CRC-32C, a bit at a time. */
static uint32_t slow_crc(const char *data, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void put_crc(char *to, uint32_t crc) {
    for (int i = 0; i < 4; i++)
        to[i] = (char)(crc >> 8 * i);
}

/* Under CRCs that are right. For so many no memory is asked for: there is no room in the header for their names. */
TEST(a_header_with_more_namespaces_than_it_has_room_for_is_bad) {
    struct format_header header = {.spaces = spaces, .space_count = 2, .size = FORMAT_HEADER_UNIT};
    struct format_header decoded;
    char bytes[FORMAT_HEADER_UNIT], covered[FORMAT_HEADER_UNIT];
    format_encode_header(bytes, &header);
    memset(bytes + 76, 0xff, 4);
    memcpy(covered, bytes, 16);
    memcpy(covered + 16, bytes + 20, 60);
    put_crc(bytes + 80, slow_crc(covered, 76));
    memset(bytes + 16, 0, 4);
    put_crc(bytes + 16, slow_crc(bytes, sizeof bytes - FORMAT_NOTE_SIZE));
    assert_int_equal(format_decode_header(bytes, sizeof bytes, &decoded), FORMAT_BAD);
}

TEST(a_low_water_file_is_these_bytes) {
    static struct memory_disk disk;
    struct low_waters all = {.serial = 0x41}, again = {0};
    memory_disk_begin(&disk);
    assert_true(low_waters_add(&all, SLICE("plain"), 0x0102030405060708));
    all.list[0].mark = 0x1112131415161718;
    assert_true(low_waters_add_file(&all, 0x21, 0x3132333435363738));
    assert_true(low_water_file_create(&disk.base, "folder", &all));
    assert_int_equal(disk.size, 2 * LOW_WATER_COPY);
    assert_memory_equal(disk.bytes, "FOREBAYL", 8);
    assert_memory_equal(disk.bytes + 12, "\1\0\0\0\x42\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01", 20);
    assert_memory_equal(disk.bytes + 32, "\5\0plain\x18\x17\x16\x15\x14\x13\x12\x11\0", 16);
    assert_memory_equal(disk.bytes + 55, "\1\0\0\0\x21\0\0\0\x38\x37\x36\x35\x34\x33\x32\x31\0", 17);
    uint32_t crc = slow_crc(disk.bytes + 12, LOW_WATER_COPY - 12);
    for (int i = 0; i < 4; i++)
        assert_int_equal((uint8_t)disk.bytes[8 + i], crc >> 8 * i & 0xff);
    assert_int_equal(low_water_file_read(&disk.base, "folder", &again), LOW_WATER_OK);
    assert_true(low_waters_equal(&all, &again));
    low_waters_free(&all);
    low_waters_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_these_bytes),
        cmocka_unit_test(a_record_is_these_bytes),
        cmocka_unit_test(a_header_with_more_namespaces_than_it_has_room_for_is_bad),
        cmocka_unit_test(a_low_water_file_is_these_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
