/* SPDX-License-Identifier: MIT */
#include "server/manager.h"
#include "cache/base/clock.h"
#include "server/notify.h"
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_MAX = 1024, STATE_MAX = 128, MESSAGE_MAX = 2048 };
enum { START_GOES_ON_US = 90 * US_PER_SECOND, TICK_US = US_PER_SECOND };

struct manager {
    ev_timer timer;
    struct ev_loop *loop;
    struct notify notify;
    manager_describe *describe;
    manager_is_alive *is_alive;
    void *context;
    bool starting;
    char owed[STATE_MAX];            /* lines of the state that were not taken yet */
    char described[DESCRIPTION_MAX]; /* what was last taken */
    uint64_t alive_us;               /* the last WATCHDOG=1, monotonic */
};

static bool watchdog_is_due(const struct manager *manager, uint64_t now_us) {
    uint64_t watchdog_us = manager->notify.watchdog_us;
    return watchdog_us > 0 && now_us - manager->alive_us >= watchdog_us / 2 &&
           manager->is_alive(manager->context);
}

/* Appends what is new; returns the length. A message has room for the longest of everything. */
static size_t compose(const struct manager *manager, const char *description, bool alive, char *ret_message) {
    size_t used = (size_t)snprintf(ret_message, MESSAGE_MAX, "%s", manager->owed);
    if (strcmp(description, manager->described) != 0) {
        used += (size_t)snprintf(ret_message + used, MESSAGE_MAX - used, "STATUS=%s\n", description);
        if (manager->starting)
            used += (size_t)snprintf(ret_message + used, MESSAGE_MAX - used, "EXTEND_TIMEOUT_USEC=%d\n",
                                     START_GOES_ON_US);
    }
    if (alive)
        used += (size_t)snprintf(ret_message + used, MESSAGE_MAX - used, "WATCHDOG=1\n");
    return used;
}

static void tell(struct manager *manager) {
    char description[DESCRIPTION_MAX], message[MESSAGE_MAX];
    uint64_t now_us = monotonic_us();
    bool alive = watchdog_is_due(manager, now_us);
    manager->describe(manager->context, description, sizeof description);
    if (compose(manager, description, alive, message) == 0 || !notify_send(&manager->notify, message))
        return;
    manager->owed[0] = '\0';
    strcpy(manager->described, description);
    if (alive)
        manager->alive_us = now_us;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)loop;
    (void)events;
    tell(timer->data);
}

struct manager *manager_create(struct ev_loop *loop, manager_describe *describe, manager_is_alive *is_alive,
                               void *context) {
    struct notify notify;
    if (!notify_open(&notify))
        return NULL;
    struct manager *manager = calloc(1, sizeof *manager);
    if (!manager) {
        notify_close(&notify);
        return NULL;
    }
    *manager = (struct manager){.loop = loop,
                                .notify = notify,
                                .describe = describe,
                                .is_alive = is_alive,
                                .context = context,
                                .starting = true};
    uint64_t tick_us = TICK_US, watchdog_us = notify.watchdog_us;
    if (watchdog_us > 0 && watchdog_us / 4 < tick_us)
        tick_us = watchdog_us / 4; /* so that half of it is not missed by much */
    ev_timer_init(&manager->timer, on_timer, 0., (double)tick_us / US_PER_SECOND);
    manager->timer.data = manager;
    ev_timer_start(loop, &manager->timer);
    return manager;
}

void manager_free(struct manager *manager) {
    if (!manager)
        return;
    ev_timer_stop(manager->loop, &manager->timer);
    notify_close(&manager->notify);
    free(manager);
}

void manager_ready(struct manager *manager) {
    if (!manager)
        return;
    manager->starting = false;
    strcpy(manager->owed, "READY=1\n");
    tell(manager);
}

void manager_reloading(struct manager *manager) {
    if (!manager)
        return;
    snprintf(manager->owed, sizeof manager->owed, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
             monotonic_us());
    tell(manager);
}

void manager_stopping(struct manager *manager, uint64_t limit_ms) {
    if (!manager)
        return;
    manager->starting = false;
    snprintf(manager->owed, sizeof manager->owed, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
             limit_ms * US_PER_MS);
    tell(manager);
}
