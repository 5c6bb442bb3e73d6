/* SPDX-License-Identifier: MIT */
/*
 * A walk over a file finds what the scan of all its bytes finds, wherever the windows through which it is read begin
 * and end; and what it has found stays at hand until it says that it goes.
 */
#include "policies/journal/walk.h"
#include "tests/support/check.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    RECORDS = 3000,
    LONGEST = 700 << 10, /* of a value: several windows */
    KEEP_MOST = 64,      /* records that are looked at again before they go */
    FAILING_FROM = 1 << 20,
};

struct file {
    struct format_header header;
    struct walk walk;
    char *bytes;
    size_t size, capacity;
    size_t offsets[RECORDS + 1]; /* of each record, and of what follows the last */
    int handle;
    struct format_record kept[KEEP_MOST];
    size_t kept_count;
};

static int set_up(void **state) {
    struct file *file = calloc(1, sizeof *file);
    assert_non_null(file);
    file->handle = memfd_create("journal", MFD_CLOEXEC);
    assert_true(file->handle >= 0);
    *state = file;
    return 0;
}

static int tear_down(void **state) {
    struct file *file = *state;
    walk_free(&file->walk);
    close(file->handle);
    free((void *)(uintptr_t)file->header.spaces);
    free(file->bytes);
    free(file);
    return 0;
}

/* ---- Files ---- */

static char *room_for(struct file *file, size_t more) {
    if (file->size + more > file->capacity) {
        file->capacity = 2 * (file->size + more);
        file->bytes = realloc(file->bytes, file->capacity);
        assert_non_null(file->bytes);
    }
    memset(file->bytes + file->size, 0, more);
    file->size += more;
    return file->bytes + file->size - more;
}

static void begin(struct file *file, size_t spaces) {
    static char name[200];
    struct slice *names = calloc(spaces, sizeof *names);
    assert_non_null(names);
    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < spaces; i++)
        names[i] = slice_of(name, sizeof name);
    file->header = (struct format_header){.epoch = 0x123456789abcdef,
                                          .fresh = true,
                                          .spaces = names,
                                          .space_count = spaces,
                                          .size = format_header_size(names, spaces)};
    format_encode_header(room_for(file, file->header.size), &file->header);
}

/* Mostly short ones; now and then one that is longer than a window. */
static size_t value_size(size_t number) {
    return number % 1000 == 500 ? LONGEST - number : number * 7919 % 900;
}

static void append(struct file *file, unsigned kind, size_t number) {
    static char value[LONGEST];
    char key[32];
    struct format_key place = format_key(file->header.epoch);
    struct entry entry = {.version = number};
    entry.key =
        slice_of(key, kind == FORMAT_KIND_END ? 0 : (size_t)snprintf(key, sizeof key, "key %zu", number));
    entry.value = slice_of(value, value_size(number));
    memset(value, (int)('a' + number % 26), entry.value.size);
    size_t size = format_record_size(&entry, kind == JOURNAL_PUT ? entry.value.size : 0);
    char *at = room_for(file, size);
    format_encode_record(at, kind, 0, &entry);
    format_place_records(at, size, &place, (uint64_t)(at - file->bytes));
}

static void fill(struct file *file) {
    begin(file, 2);
    for (size_t i = 0; i < RECORDS; i++) {
        file->offsets[i] = file->size;
        append(file, i % 5 == 4 ? JOURNAL_DELETE : JOURNAL_PUT, i);
    }
    file->offsets[RECORDS] = file->size;
}

static void store(const struct file *file) {
    assert_int_equal(ftruncate(file->handle, 0), 0);
    assert_int_equal(journal_disk_write(&journal_disk_system, file->handle, file->bytes, file->size, 0), 0);
}

/* ---- Walks ---- */

static void assert_genuine(const struct format_record *record) {
    char key[32];
    size_t number = (size_t)record->entry.version;
    snprintf(key, sizeof key, "key %zu", number);
    assert_true(slice_equal(record->entry.key, slice_string(key)));
    if (record->kind != JOURNAL_PUT)
        return;
    const struct slice value = record->entry.value;
    assert_int_equal(value.size, value_size(number));
    for (size_t i = 0; i<value.size; i += value.size> 4096 ? 97 : 1)
        assert_int_equal(value.data[i], 'a' + number % 26);
}

static void look_again(struct file *file) {
    for (size_t i = 0; i < file->kept_count; i++)
        assert_genuine(&file->kept[i]);
    file->kept_count = 0;
}

static void keep(struct file *file) {
    assert_genuine(&file->walk.record);
    if (file->kept_count == KEEP_MOST)
        file->kept_count--;
    file->kept[file->kept_count++] = file->walk.record;
}

static void start_walk(struct file *file, const struct journal_disk *disk) {
    enum format_status header;
    assert_true(walk_begin(&file->walk, disk, file->handle, &header));
    assert_int_equal(header, FORMAT_GOOD);
    assert_int_equal(file->walk.header.space_count, file->header.space_count);
}

/* The next step that is no pause. */
static enum walk_status step(struct file *file) {
    enum walk_status status;
    while ((status = walk_next(&file->walk)) == WALK_PAUSE)
        look_again(file);
    if (status == WALK_RECORD)
        keep(file);
    return status;
}

static enum walk_status as_walk(enum scan_status status) {
    static const enum walk_status same[] = {[SCAN_RECORD] = WALK_RECORD,
                                            [SCAN_HOLE] = WALK_HOLE,
                                            [SCAN_MISSING] = WALK_MISSING,
                                            [SCAN_TORN] = WALK_TORN,
                                            [SCAN_END] = WALK_END};
    return same[status];
}

/* Returns how many records and holes there were; an end that is missing counts as one. */
static size_t compare(struct file *file) {
    static const uint8_t boot[JOURNAL_BOOT_SIZE] = {1};
    struct scan scan;
    size_t count = 0;
    enum walk_status expected;
    store(file);
    scan_begin(&scan, file->bytes, file->size, &file->header);
    start_walk(file, &journal_disk_system);
    do {
        expected = as_walk(scan_next(&scan));
        assert_int_equal(step(file), expected);
        assert_int_equal(file->walk.at, scan.at);
        if (expected != WALK_END)
            assert_int_equal(file->walk.extent, scan.extent);
        if (expected == WALK_MISSING)
            assert_int_equal(file->walk.missing, scan.missing);
        if (expected == WALK_HOLE)
            assert_int_equal(walk_hole_is_damage(&file->walk, boot),
                             scan_hole_is_damage(&scan, &file->header, boot));
        count++;
    } while (expected == WALK_RECORD || expected == WALK_HOLE || expected == WALK_MISSING);
    look_again(file);
    const char *all = walk_all(&file->walk);
    assert_non_null(all);
    assert_int_equal(file->walk.size, file->size);
    assert_memory_equal(all, file->bytes, file->size);
    return count - 1;
}

TEST(a_file_that_says_where_it_ends) {
    struct file *file = *state;
    fill(file);
    append(file, FORMAT_KIND_END, 0);
    room_for(file, LONGEST);
    assert_int_equal(compare(file), RECORDS);
    assert_int_equal(file->walk.stage, WALK_IN_RECORDS); /* nothing of what follows was looked at */
}

TEST(files_that_end_without_saying_so) {
    struct file *file = *state;
    fill(file);
    assert_int_equal(compare(file), RECORDS);
    room_for(file, 10000); /* zeros, as of a file that was filled before */
    assert_int_equal(compare(file), RECORDS);
    assert_int_equal(file->walk.stage, WALK_AT_END); /* it was looked at, and not kept */
    room_for(file, LONGEST);                         /* with tags, but of another place: no records */
    memcpy(file->bytes + file->size - LONGEST, file->bytes + file->offsets[0], LONGEST);
    assert_int_equal(compare(file), RECORDS);
    assert_int_equal(file->walk.stage, WALK_IN_DATA);
}

/* At each place in turn, and at the end of each file that was cut there. */
TEST(damaged_and_torn_places_are_found_wherever_they_are) {
    struct file *file = *state;
    fill(file);
    for (size_t i = 1; i < RECORDS; i += 211) {
        size_t at = file->offsets[i] + (file->offsets[i + 1] - file->offsets[i]) / 2;
        file->bytes[at] ^= 1;
        assert_int_equal(compare(file), RECORDS);
        file->bytes[at] ^= 1;
        size_t size = file->size;
        file->size = at;
        assert_int_equal(compare(file), i);
        file->size = size;
    }
}

/* Cut between two records, or within one; what lies behind that may look like a record, for which the rest is kept. */
TEST(a_missing_end_is_found_wherever_it_is) {
    struct file *file = *state;
    fill(file);
    size_t synced = file->header.synced = file->size;
    format_encode_header(file->bytes, &file->header);
    for (size_t i = RECORDS - 1; i > 307; i -= 307) {
        size_t half = (file->offsets[i + 1] - file->offsets[i]) / 16 * 8;
        file->size = file->offsets[i] + (i % 2 ? half : 0);
        assert_int_equal(compare(file), i + 1);
        assert_int_equal(file->walk.missing, synced - file->offsets[i]);
        assert_int_equal(file->walk.stage, WALK_AT_END);
        memcpy(room_for(file, 64), file->bytes + file->offsets[0], 64);
        assert_int_equal(compare(file), i + 1);
        assert_int_equal(file->walk.missing, synced - file->offsets[i]);
        assert_int_equal(file->walk.stage, WALK_IN_DATA);
    }
}

/* A record whose length has decayed claims more than there is, or what is at hand has to be read for it. */
TEST(lengths_that_have_decayed_are_found) {
    struct file *file = *state;
    fill(file);
    for (unsigned bit = 10; bit < 32; bit++) {
        char *length = file->bytes + file->offsets[1000] + 8;
        length[bit / 8] ^= (char)(1u << bit % 8);
        assert_int_equal(compare(file), RECORDS);
        length[bit / 8] ^= (char)(1u << bit % 8);
    }
}

TEST(a_header_may_be_longer_than_a_window) {
    struct file *file = *state;
    begin(file, 3000);
    assert_true(file->header.size > (512 << 10));
    for (size_t i = 0; i < 10; i++)
        append(file, JOURNAL_PUT, i);
    assert_int_equal(compare(file), 10);
}

TEST(what_is_no_journal_is_told_by_its_header) {
    struct file *file = *state;
    enum format_status header;
    assert_true(walk_begin(&file->walk, &journal_disk_system, file->handle, &header));
    assert_int_equal(header, FORMAT_SHORT);
    room_for(file, LONGEST);
    store(file);
    assert_true(walk_begin(&file->walk, &journal_disk_system, file->handle, &header));
    assert_int_equal(header, FORMAT_BAD);
    assert_int_equal(file->walk.size, LONGEST);
    file->size = 0;
    begin(file, 3000);
    file->size -= 1; /* all of it is looked at */
    store(file);
    assert_true(walk_begin(&file->walk, &journal_disk_system, file->handle, &header));
    assert_int_equal(header, FORMAT_SHORT);
    assert_int_equal(file->walk.size, file->size);
}

/* A file after another: nothing of the former shows. */
TEST(a_walk_can_be_begun_again) {
    struct file *file = *state;
    fill(file);
    assert_int_equal(compare(file), RECORDS);
    file->size = file->offsets[100];
    assert_int_equal(compare(file), 100);
    file->size = file->offsets[2000];
    file->bytes[file->offsets[1000] + 40] ^= 1;
    assert_int_equal(compare(file), 2000);
}

static ssize_t fail_late(const struct journal_disk *self, int handle, void *to, size_t size,
                         uint64_t offset) {
    errno = EIO;
    return offset + size > FAILING_FROM ? -1 : journal_disk_system.read_at(self, handle, to, size, offset);
}

TEST(what_cannot_be_read_fails) {
    struct file *file = *state;
    struct journal_disk disk = journal_disk_system;
    enum walk_status status;
    disk.read_at = fail_late;
    fill(file);
    store(file);
    start_walk(file, &disk);
    while ((status = step(file)) == WALK_RECORD)
        ;
    assert_int_equal(status, WALK_FAILED);
    assert_int_equal(errno, EIO);
    assert_true(file->walk.window.offset <= FAILING_FROM);
    assert_null(walk_all(&file->walk));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_file_that_says_where_it_ends),
        CASE(files_that_end_without_saying_so),
        CASE(damaged_and_torn_places_are_found_wherever_they_are),
        CASE(a_missing_end_is_found_wherever_it_is),
        CASE(lengths_that_have_decayed_are_found),
        CASE(a_header_may_be_longer_than_a_window),
        CASE(what_is_no_journal_is_told_by_its_header),
        CASE(a_walk_can_be_begun_again),
        CASE(what_cannot_be_read_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
