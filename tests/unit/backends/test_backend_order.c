/* SPDX-License-Identifier: MIT */
/* The order of a batch (backends/batch_order.h) and the arena of loaded bytes (backends/arena.h). */
#include "backends/arena.h"
#include "backends/batch_order.h"
#include "tests/support/check.h"
#include <stdlib.h>

enum { BATCH_MAX = 400, KEY_MAX = 12 };

static const struct backend_table tables[] = {{.name = "a", .index = 0}, {.name = "b", .index = 1}};

static int compare_keys(struct slice a, struct slice b) {
    size_t least = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.data, b.data, least);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool same_key(const struct mutation *a, const struct mutation *b) {
    return a->table == b->table && slice_equal(a->entry.key, b->entry.key);
}

/* How often the key of mutation i occurs before it. */
static unsigned round_of(const struct mutation *mutations, size_t i) {
    unsigned before = 0;
    for (size_t j = 0; j < i; j++)
        before += same_key(&mutations[j], &mutations[i]);
    return before;
}

/* Round, table, kind, key: never falling. */
static void assert_sorted(const struct mutation *mutations, const struct batch_place *places, size_t count) {
    for (size_t i = 1; i < count; i++) {
        const struct mutation *a = &mutations[places[i - 1].index], *b = &mutations[places[i].index];
        if (places[i - 1].round != places[i].round)
            assert_true(places[i - 1].round < places[i].round);
        else if (a->table != b->table)
            assert_true(a->table->index < b->table->index);
        else if (a->kind != b->kind)
            assert_true(a->kind < b->kind);
        else
            assert_true(compare_keys(a->entry.key, b->entry.key) < 0);
    }
}

static void assert_runs(const struct mutation *mutations, const struct batch_place *places, size_t count) {
    for (size_t from = 0, run; from < count; from += run) {
        run = batch_run(mutations, places, from, count);
        assert_in_range(run, 1, count - from);
        for (size_t i = from + 1; i < from + run; i++) {
            assert_int_equal(places[i].round, places[from].round);
            assert_ptr_equal(mutations[places[i].index].table, mutations[places[from].index].table);
            assert_int_equal(mutations[places[i].index].kind, mutations[places[from].index].kind);
        }
    }
}

static void check(const struct mutation *mutations, size_t count) {
    struct batch_place places[BATCH_MAX];
    bool seen[BATCH_MAX] = {false};
    batch_order(mutations, count, places);
    for (size_t i = 0; i < count; i++) {
        assert_true(places[i].index < count && !seen[places[i].index]);
        seen[places[i].index] = true;
        assert_int_equal(places[i].round, round_of(mutations, places[i].index));
    }
    assert_sorted(mutations, places, count);
    assert_runs(mutations, places, count);
}

/* Few different bytes and lengths, so that keys collide, are prefixes of each other and hold zeros. */
TEST(random_batches_come_out_in_order) {
    static char bytes[BATCH_MAX][KEY_MAX];
    static struct mutation mutations[BATCH_MAX];
    srand(1);
    for (unsigned trial = 0; trial < 2000; trial++) {
        size_t count = (size_t)rand() % (trial % 20 ? 30 : BATCH_MAX);
        unsigned letters = 1 + (unsigned)rand() % 4, kinds = 1 + (unsigned)rand() % 3;
        size_t common = (size_t)rand() % 6, longest = (size_t)rand() % (KEY_MAX - 1) + 1;
        for (size_t i = 0; i < count; i++) {
            size_t size = 1 + (size_t)rand() % longest;
            for (size_t j = 0; j < size; j++)
                bytes[i][j] = j < common ? 'c'
                                         : "\0\xff"
                                           "ab"[(unsigned)rand() % letters];
            mutations[i] = (struct mutation){.table = &tables[trial % 3 ? 0 : rand() % 2],
                                             .kind = (enum mutation_kind)((unsigned)rand() % kinds),
                                             .entry = {.key = {bytes[i], size}}};
        }
        check(mutations, count);
    }
}

TEST(arena_bytes_stay_where_they_are) {
    enum { COUNT = 300 };
    struct arena arena = {NULL};
    struct slice copies[COUNT];
    char original[5000];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            memset(original, (int)(i + round), sizeof original);
            assert_true(arena_copy(&arena, slice_of(original, i * 17 % sizeof original), &copies[i]));
            assert_int_equal((uintptr_t)arena_take(&arena, 3) % _Alignof(max_align_t), 0);
        }
        for (unsigned i = 0; i < COUNT; i++) {
            assert_int_equal(copies[i].size, i * 17 % sizeof original);
            for (size_t j = 0; j < copies[i].size; j++)
                assert_int_equal(copies[i].data[j], (char)(i + round));
        }
        assert_non_null(arena_take(&arena, 1 << 20));
        arena_reset(&arena);
    }
    assert_null(arena_take(&arena, SIZE_MAX));
    arena_free(&arena);
    arena_reset(&arena);
    arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_batches_come_out_in_order),
        cmocka_unit_test(arena_bytes_stay_where_they_are),
    };
    return cmocka_run_group_tests_name("backend order", tests, NULL, NULL);
}
