/* SPDX-License-Identifier: MIT */
/* See once.h. */
#include "tools/top/once.h"
#include "cache/base/clock.h"
#include "tools/top/model.h"
#include "tools/top/print.h"
#include "tools/top/wire.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Steps until the state is the wanted one, or AWAY; *ret_answered says whether an answer is complete. */
static bool await_state(struct wire *wire, enum wire_state wanted, bool *ret_answered) {
    *ret_answered = false;
    while (wire_state(wire) != wanted && wire_state(wire) != WIRE_AWAY) {
        struct pollfd ready = {wire_descriptor(wire), wire_events(wire), 0};
        poll(&ready, 1, 100);
        *ret_answered = wire_step(wire, monotonic_us()) || *ret_answered;
    }
    return wire_state(wire) == wanted;
}

/* NULL: the wire knows why. */
static struct sample *ask(struct wire *wire) {
    char why[300];
    bool answered;
    size_t size;
    if (wire_state(wire) != WIRE_IDLE)
        return NULL;
    wire_ask(wire);
    if (!await_state(wire, WIRE_IDLE, &answered) || !answered)
        return NULL;
    char *text = wire_take(wire, &size);
    struct sample *sample = sample_new(text, size, monotonic_us(), why, sizeof why);
    if (!sample)
        wire_fail(wire, why);
    return sample;
}

static struct sample *open_and_ask(struct wire *wire) {
    bool answered;
    wire_open(wire);
    await_state(wire, WIRE_IDLE, &answered);
    return ask(wire);
}

/* A server with an idle_timeout may have closed a connection that was silent for the interval. */
static struct sample *ask_again(struct wire *wire) {
    struct sample *sample = ask(wire);
    return sample ? sample : open_and_ask(wire);
}

static void wait_until(uint64_t us) {
    struct timespec until = {(time_t)(us / US_PER_SECOND), (long)(us % US_PER_SECOND) * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* A picture is large, and no place for the stack. */
static bool print_both(const struct options *options, const struct sample *now, const struct sample *before) {
    struct picture *picture = malloc(sizeof *picture);
    if (!picture)
        return false;
    model_picture(now, before, picture);
    if (options->json)
        print_json(stdout, picture);
    else
        print_text(stdout, picture);
    free(picture);
    return true;
}

static int run(struct wire *wire, const struct options *options) {
    bool printed = false;
    struct sample *before = open_and_ask(wire), *now = NULL;
    if (before) {
        wait_until(sample_taken_us(before) + options->interval_ms * US_PER_MS);
        now = ask_again(wire);
    }
    if (now)
        printed = print_both(options, now, before);
    if (!now)
        fprintf(stderr, "forebay-top: %s: %s\n", options->place.text, wire_reason(wire));
    else if (!printed)
        fputs("forebay-top: no memory\n", stderr);
    sample_free(before);
    sample_free(now);
    return printed ? EXIT_SUCCESS : EXIT_FAILURE;
}

int once_run(const struct options *options) {
    struct wire *wire = wire_new(options);
    if (!wire) {
        fputs("forebay-top: no memory\n", stderr);
        return EXIT_FAILURE;
    }
    int status = run(wire, options);
    wire_free(wire);
    return status;
}
