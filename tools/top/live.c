/* SPDX-License-Identifier: MIT */
/*
 * One loop over the keys, the signals and the connection. Nothing in it waits for the server, so that keys are answered
 * at once however the server is.
 *
 * The last two samples are kept, and the picture that points into them. While it is paused, nothing is asked, and the
 * rates of the first answer afterwards are those of the whole pause.
 */
#include "tools/top/live.h"
#include "cache/base/clock.h"
#include "tools/top/screen.h"
#include "tools/top/wire.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { RETRY_FIRST_MS = 500, RETRY_LAST_MS = 5000, SILENCE_S = 2, LOOK_MS = 500 };

struct live {
    const struct options *options;
    struct screen *screen;
    struct wire *wire;
    int signals;
    struct view view;
    struct sample *now, *before; /* NULL: there is none */
    struct picture picture;      /* of both, once there is one */
    uint64_t next_us;            /* when to ask, or to connect */
    uint64_t retry_ms;           /* the pause before the next attempt */
    char trouble[400];
};

/* ---- The server ---- */

static void take_answer(struct live *live, uint64_t now_us) {
    char why[300];
    size_t size;
    char *text = wire_take(live->wire, &size);
    struct sample *sample = sample_new(text, size, now_us, why, sizeof why);
    if (!sample) {
        wire_fail(live->wire, why);
        return;
    }
    live->retry_ms = RETRY_FIRST_MS;
    *live->trouble = '\0';
    if (live->view.paused && live->now) { /* it was under way when the pause began */
        sample_free(sample);
        return;
    }
    sample_free(live->before);
    live->before = live->now;
    live->now = sample;
    model_picture(live->now, live->before, &live->picture);
}

/* The pause doubles: a server that has just come back is not besieged, and a wrong password is not tried over and
 * over. */
static void note_away(struct live *live, uint64_t now_us) {
    live->next_us = now_us + live->retry_ms * US_PER_MS;
    live->retry_ms = 2 * live->retry_ms < RETRY_LAST_MS ? 2 * live->retry_ms : RETRY_LAST_MS;
}

static void talk(struct live *live, uint64_t now_us) {
    bool was_away = wire_state(live->wire) == WIRE_AWAY;
    if (wire_step(live->wire, now_us))
        take_answer(live, now_us);
    if (was_away && now_us >= live->next_us) {
        wire_open(live->wire);
        was_away = false;
    } else if (wire_state(live->wire) == WIRE_IDLE && now_us >= live->next_us && !live->view.paused) {
        live->next_us = now_us + live->view.interval_ms * US_PER_MS;
        wire_ask(live->wire);
    }
    if (!was_away && wire_state(live->wire) == WIRE_AWAY)
        note_away(live, now_us);
}

/* Said until there is an answer. */
static void note_trouble(struct live *live) {
    uint64_t silent_s = (monotonic_us() - wire_since_us(live->wire)) / US_PER_SECOND;
    const char *old = live->now ? ". Figures are old" : "";
    if (wire_state(live->wire) == WIRE_AWAY)
        snprintf(live->trouble, sizeof live->trouble, "The server %s; trying again%s",
                 wire_reason(live->wire), old);
    else if (wire_state(live->wire) == WIRE_ASKING && silent_s >= SILENCE_S)
        snprintf(live->trouble, sizeof live->trouble, "The server has not answered for %u s%s",
                 (unsigned)silent_s, old);
}

/* ---- The user ---- */

static void press_keys(struct live *live) {
    const struct picture *picture = live->now ? &live->picture : NULL;
    enum view_key key;
    bool resized;
    while (screen_key(live->screen, &key, &resized)) {
        uint64_t interval_ms = live->view.interval_ms;
        if (!resized)
            view_press(&live->view, key, picture, screen_rows(live->screen, picture));
        if (live->view.interval_ms < interval_ms && wire_state(live->wire) != WIRE_AWAY)
            live->next_us = 0;
    }
}

static void draw(struct live *live) {
    struct scene scene = {&live->view, live->now ? &live->picture : NULL, live->options->place.text,
                          *live->trouble ? live->trouble : NULL};
    screen_draw(live->screen, &scene);
}

/* ---- The loop ---- */

static int timeout_ms(const struct live *live, uint64_t now_us) {
    bool idle = wire_state(live->wire) == WIRE_IDLE && live->view.paused;
    uint64_t left_ms = live->next_us > now_us ? (live->next_us - now_us) / US_PER_MS + 1 : 0;
    if (wire_state(live->wire) == WIRE_IDLE || wire_state(live->wire) == WIRE_AWAY)
        return idle || left_ms > 60000 ? 60000 : (int)left_ms;
    return LOOK_MS;
}

static void turn(struct live *live) {
    int wire = wire_descriptor(live->wire);
    struct pollfd ready[] = {
        {STDIN_FILENO, POLLIN, 0}, {live->signals, POLLIN, 0}, {wire, wire_events(live->wire), 0}};
    poll(ready, 3, timeout_ms(live, monotonic_us()));
    uint64_t now_us = monotonic_us();
    if (ready[1].revents || (ready[0].revents & (POLLHUP | POLLERR | POLLNVAL)))
        live->view.done = true;
    press_keys(live);
    talk(live, now_us);
    note_trouble(live);
    draw(live);
}

/* Ctrl-C, kill and the end of the terminal, as a descriptor: the terminal is given back before the program ends. */
static int open_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static struct live *live_open(const struct options *options, char *ret_error, size_t error_size) {
    struct live *live = calloc(1, sizeof *live);
    if (!live) {
        snprintf(ret_error, error_size, "no memory");
        return NULL;
    }
    live->options = options;
    live->retry_ms = RETRY_FIRST_MS;
    view_init(&live->view, options->interval_ms);
    live->wire = wire_new(options);
    live->screen = live->wire ? screen_open(ret_error, error_size) : NULL;
    live->signals = live->screen ? open_signals() : -1;
    return live;
}

static void live_close(struct live *live) {
    screen_close(live->screen);
    wire_free(live->wire);
    if (live->signals >= 0)
        close(live->signals);
    sample_free(live->now);
    sample_free(live->before);
    free(live);
}

int live_run(const struct options *options) {
    char why[300] = "no memory";
    struct live *live = live_open(options, why, sizeof why);
    bool good = live && live->screen;
    if (!good)
        fprintf(stderr, "forebay-top: %s\n", why);
    while (good && !live->view.done)
        turn(live);
    if (live)
        live_close(live);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
