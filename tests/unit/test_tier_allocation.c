/* SPDX-License-Identifier: MIT */
/*
 * No memory: buffers, batches and lists that cannot grow. What was acknowledged is not lost by it, what
 * cannot be taken is refused, and all goes on when there is memory again.
 *
 * The program is linked so that its calls of realloc come here (tests/CMakeLists.txt): that is how everything
 * that grows grows. The tests' own store does not use it.
 */
#include "policies/internal.h"
#include "tests/support/tier_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static _Atomic long allowed = -1; /* calls that still succeed; negative: all */
static _Atomic unsigned long refused;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size) {
    long left = atomic_load(&allowed);
    while (left > 0 && !atomic_compare_exchange_weak(&allowed, &left, left - 1))
        continue;
    if (left != 0)
        return __real_realloc(old, size);
    atomic_fetch_add(&refused, 1);
    return NULL;
}

static void allow(long calls) {
    atomic_store(&allowed, calls);
}

static void begin(struct tier_rig *rig) {
    rig_init(rig, &policy_write_behind);
    rig_use_folder(rig);
    rig->spaces[0].journal = JOURNAL_OS;
    rig->options.drain_timeout = 50;
}

/* Sets and touches; what was acknowledged is noted. */
static void write_some(struct tier_rig *rig, bool *stored, int count) {
    char command[64];
    for (int i = 0; i < count; i++) {
        snprintf(command, sizeof command, "set key%d %d 1000", i, i);
        const char *reply = rig_do(rig, command);
        stored[i] = strcmp(reply, "STORED") == 0;
        assert_true(stored[i] || strncmp(reply, "SERVER_ERROR", 12) == 0);
        snprintf(command, sizeof command, "touch key%d 5000", i);
        rig_do(rig, command);
    }
}

static void check_rows(struct tier_rig *rig, const bool *stored, int count) {
    char key[32], value[32];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(value, sizeof value, "%d", i);
        char *row = rig_row(rig, key);
        assert_true(row ? strcmp(row, value) == 0 : !stored[i]);
        free(row);
    }
}

enum { COUNT = 3000 };

/* The batches of the flusher cannot grow, at any of the first places where they would. */
static void test_flushing_without_memory(void **state) {
    static bool stored[COUNT];
    (void)state;
    for (long calls = 0; calls < 12; calls++) {
        struct tier_rig rig;
        begin(&rig);
        rig.spaces[0].flush_delay = 1;
        rig_start(&rig);
        allow(calls);
        write_some(&rig, stored, COUNT);
        usleep(20000);
        allow(-1);
        rig_do(&rig, "sync");
        assert_int_equal(cache_dirty_entries(tier_cache(rig.tier), 0), 0);
        check_rows(&rig, stored, COUNT);
        rig_stop(&rig);
    }
    assert_true(atomic_load(&refused) > 0);
}

/* A start that finds no memory says so, and leaves everything as it was for the next one. */
static void test_recovery_without_memory(void **state) {
    static bool stored[COUNT];
    unsigned failed = 0;
    struct tier_rig rig;
    (void)state;
    begin(&rig);
    rig_start(&rig);
    write_some(&rig, stored, COUNT);
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_TRANSIENT);
    rig_end_tier(&rig);
    for (long calls = 0; calls < 20; calls += calls < 8 ? 1 : 4) {
        allow(calls);
        const char *error = rig_try_start(&rig);
        allow(-1);
        if (error)
            failed++;
        else
            rig_end_tier(&rig);
    }
    assert_true(failed > 0);
    faulty_fail_all(rig.faulty, FAULTY_APPLY, BACKEND_OK);
    rig_start(&rig);
    rig_do(&rig, "sync");
    check_rows(&rig, stored, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_true(stored[i]);
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flushing_without_memory),
        cmocka_unit_test(test_recovery_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
