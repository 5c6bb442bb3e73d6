/* SPDX-License-Identifier: MIT */
#include "server/reload_thread.h"
#include "cache/base/thread.h"

void reload_thread_init(struct reload_thread *self, void (*work)(void *context), void *context) {
    *self = (struct reload_thread){.work = work, .context = context};
    pthread_mutex_init(&self->mutex, NULL);
}

void reload_thread_report(struct reload_thread *self, void (*ended)(void *context), void *context) {
    pthread_mutex_lock(&self->mutex);
    self->ended = ended;
    self->ended_context = context;
    pthread_mutex_unlock(&self->mutex);
}

/* With the mutex, so that nobody who asks takes it for one that still works. */
static void rest(struct reload_thread *self) {
    self->asked = self->runs = false;
    if (self->ended)
        self->ended(self->ended_context);
}

/* False: there is nothing left to do. */
static bool begin_work(struct reload_thread *self) {
    pthread_mutex_lock(&self->mutex);
    bool asked = self->asked;
    self->asked = false;
    if (!asked)
        rest(self);
    pthread_mutex_unlock(&self->mutex);
    return asked;
}

static void *run(void *argument) {
    struct reload_thread *self = argument;
    while (begin_work(self))
        self->work(self->context);
    return NULL;
}

/* True: somebody has to start it. */
static bool note_ask(struct reload_thread *self) {
    pthread_mutex_lock(&self->mutex);
    bool rests = !self->runs;
    self->asked = self->runs = true;
    pthread_mutex_unlock(&self->mutex);
    return rests;
}

static void join(struct reload_thread *self) {
    if (self->started)
        pthread_join(self->thread, NULL);
    self->started = false;
}

bool reload_thread_ask(struct reload_thread *self) {
    if (!note_ask(self))
        return true;
    join(self); /* what it still had to do was to return */
    self->started = thread_start(&self->thread, "reload", run, self) == 0;
    if (self->started)
        return true;
    pthread_mutex_lock(&self->mutex);
    rest(self);
    pthread_mutex_unlock(&self->mutex);
    return false;
}

void reload_thread_end(struct reload_thread *self) {
    join(self);
    pthread_mutex_destroy(&self->mutex);
}
