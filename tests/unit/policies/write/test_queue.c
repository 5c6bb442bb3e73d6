/* SPDX-License-Identifier: MIT */
/* The dirty queue: order, counts, chunk borders, one producer and one consumer at the same time. And the
 * breaker. */
#include "policies/breaker.h"
#include "policies/write/queue.h"
#include "tests/support/check.h"
#include <pthread.h>
#include <stdlib.h>

static int set_up(void **state) {
    struct queue *queue = aligned_alloc(64, sizeof *queue);
    *state = queue;
    return queue && queue_init(queue) ? 0 : -1;
}

static int tear_down(void **state) {
    queue_clear(*state);
    free(*state);
    return 0;
}

static void push(struct queue *queue, uint64_t n) {
    assert_true(queue_reserve(queue));
    queue_push(queue, (struct dirty){n, n + 1});
}

TEST(the_order_holds_over_chunks) {
    struct queue *queue = *state;
    struct dirty front;
    uint64_t pushed = 0, popped = 0;
    assert_false(queue_peek(queue, &front));
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < round * 37 + 1; i++)
            push(queue, pushed++);
        assert_true(queue_is_sane(queue));
        for (int i = 0; i < round * 31 + 1 && popped < pushed; i++) {
            assert_true(queue_peek(queue, &front));
            assert_int_equal(front.hash, popped);
            assert_true(queue_pop(queue, &front));
            assert_int_equal(front.hash, popped);
            assert_int_equal(front.since, popped + 1);
            popped++;
        }
        assert_true(queue_is_sane(queue));
        assert_int_equal(queue_pushed(queue), pushed);
        assert_int_equal(queue->popped, popped);
    }
    while (queue_pop(queue, &front))
        assert_int_equal(front.hash, popped++);
    assert_int_equal(popped, pushed);
}

TEST(a_chunk_can_be_filled_and_drained_exactly) {
    struct queue *queue = *state;
    struct dirty front;
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < QUEUE_CHUNK_ELEMENTS; i++)
            push(queue, i);
        for (uint64_t i = 0; i < QUEUE_CHUNK_ELEMENTS; i++)
            assert_true(queue_pop(queue, &front));
        assert_false(queue_pop(queue, &front));
        assert_true(queue_is_sane(queue));
    }
}

enum { MANY = 300000 };

static void *produce(void *argument) {
    struct queue *queue = argument;
    for (uint64_t i = 0; i < MANY; i++) {
        while (!queue_reserve(queue))
            continue;
        queue_push(queue, (struct dirty){i * 3, i});
    }
    return NULL;
}

TEST(one_thread_pushes_while_another_pops) {
    struct queue *queue = *state;
    pthread_t thread;
    struct dirty front;
    uint64_t seen = 0, wrong = 0;
    assert_int_equal(pthread_create(&thread, NULL, produce, queue), 0);
    while (seen < MANY) {
        if (!queue_pop(queue, &front))
            continue;
        wrong += front.since != seen || front.hash != seen * 3;
        seen++;
    }
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
    assert_true(queue_is_sane(queue));
}

TEST(a_breaker_opens_probes_and_closes) {
    struct breaker breaker;
    uint64_t now = 1000000;
    breaker_init(&breaker, 7);
    assert_true(breaker_admits(&breaker, now));
    breaker_failure(&breaker, now);
    assert_int_equal(breaker_state(&breaker), BREAKER_CLOSED);
    assert_false(breaker_admits(&breaker, now)); /* a short pause already */
    assert_true(breaker_admits(&breaker, now + BREAKER_FIRST_PAUSE * 1000));
    breaker_failure(&breaker, now);
    breaker_failure(&breaker, now);
    assert_int_equal(breaker_state(&breaker), BREAKER_OPEN);
    assert_false(breaker_hopeful(&breaker, now));
    now += BREAKER_LONGEST_PAUSE * 1000;
    assert_true(breaker_hopeful(&breaker, now));
    assert_true(breaker_admits(&breaker, now)); /* the probe */
    assert_int_equal(breaker_state(&breaker), BREAKER_HALF_OPEN);
    assert_false(breaker_admits(&breaker, now)); /* only one */
    breaker_failure(&breaker, now);
    assert_int_equal(breaker_state(&breaker), BREAKER_OPEN);
    for (int i = 0; i < 100; i++) { /* the pause grows, to a ceiling */
        breaker_failure(&breaker, now);
        assert_true(breaker.retry_at > now);
        assert_true(breaker.retry_at <= now + BREAKER_LONGEST_PAUSE * 1000);
    }
    assert_true(breaker.retry_at >= now + BREAKER_LONGEST_PAUSE * 500);
    assert_true(breaker_admits(&breaker, breaker.retry_at));
    breaker_success(&breaker);
    assert_int_equal(breaker_state(&breaker), BREAKER_CLOSED);
    assert_true(breaker_admits(&breaker, now));
    assert_int_equal(atomic_load(&breaker.opened), 1);
}

TEST(a_breaker_tells_reasons_that_are_new) {
    struct breaker breaker;
    uint64_t now = 1000000, second = 1000000;
    breaker_init(&breaker, 7);
    assert_false(breaker_failure_is_news(&breaker, "locked", now));
    assert_false(breaker_failure_is_news(&breaker, "locked", now));
    assert_true(breaker_failure_is_news(&breaker, "locked", now)); /* it opens */
    assert_false(breaker_failure_is_news(&breaker, "gone", now));  /* so soon after */
    assert_false(breaker_failure_is_news(&breaker, "locked", now += second));
    assert_true(breaker_failure_is_news(&breaker, "gone", now));
    assert_false(breaker_failure_is_news(&breaker, "locked", now += second));
    assert_true(breaker_failure_is_news(&breaker, "locked", now += second));
    int lines = 0;
    for (int i = 0; i < 3600; i++) /* reasons that alternate for an hour */
        lines += breaker_failure_is_news(&breaker, i % 2 ? "locked" : "gone", now += second);
    assert_in_range(lines, 6, 20);
    breaker_success(&breaker);
    breaker_failure(&breaker, now);
    breaker_failure(&breaker, now);
    assert_true(breaker_failure_is_news(&breaker, "locked", now)); /* another outage */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_order_holds_over_chunks),
        CASE(a_chunk_can_be_filled_and_drained_exactly),
        CASE(one_thread_pushes_while_another_pops),
        cmocka_unit_test(a_breaker_opens_probes_and_closes),
        cmocka_unit_test(a_breaker_tells_reasons_that_are_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
