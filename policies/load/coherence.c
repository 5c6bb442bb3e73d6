/* SPDX-License-Identifier: MIT */
/*
 * See coherence.h. The thread goes round: hear, compare what was heard, see after a loss, judge.
 *
 *     HEARING --lost--> LOOKING --the writer has looked--> WRITING_AGAIN --nothing is written again--> HEARING, a new epoch
 *                        ^ --lost-- (from each of them)
 *
 * What is proven counts when all that was heard before is compared, and not while LOOKING. Namespaces of which memory
 * is never written to the store get their new epoch at once.
 *
 * Where a part of the rows has moved in the store, some may be gone that nobody tells of. That is taken for a loss once
 * half of coherence_limit is over, as others mostly follow; until then nothing more is believed than was before.
 *
 * A server that was stopped and goes on shows what it has for the moment until its thread has seen how late it is.
 */
#include "policies/load/coherence.h"
#include "policies/load/doubts.h"
#include "policies/load/loader.h"
#include "policies/policy.h"
#include "policies/tell.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    BUSY_WAIT_MS = 2, /* while the writer is waited for */
    LIMIT_SHARE = 2,  /* of coherence_limit, that the store may take to answer */
    FIRST_PAUSE_MS = 5,
    LONGEST_PAUSE_MS = 320,
    NAP_MS = 10,     /* how soon an end is noticed */
    AGAIN_US = 20000 /* between two requests for the same look */
};

enum phase { HEARING, LOOKING, WRITING_AGAIN };

struct coherence {
    struct backend_listener listener; /* first */
    struct tier_backend *backend;
    pthread_t thread;
    bool started;
    atomic_bool stop;

    /* the thread's */
    struct session session;
    struct doubts doubts;
    enum phase phase;
    unsigned look;   /* asked of the writer */
    bool looks_back; /* while HEARING, for rows that are gone (doubts_need_look) */
    uint64_t look_asked_us;
    uint64_t proven_us;   /* backend_type.changes; 0: nothing */
    uint64_t believed_us; /* what is older was heard and compared; 0: nothing */
    uint64_t moved_us;    /* since when rows may be gone that nobody tells of; 0: none */
    size_t shown_tables;  /* of how many namespaces the cache knows whether they are blind */
    unsigned pause_ms;    /* after a failure */
    bool told;            /* the log knows that it is blind */
    struct log_limit lines;

    /* read by any thread */
    atomic_bool believes;
    atomic_uint_fast64_t changed_us; /* when that began, monotonic */
    counter heard, losses, blinds, blind_us, subscriptions;
};

static struct coherence *coherence_of(struct backend_listener *listener) {
    return (struct coherence *)(void *)listener;
}

static uint64_t limit_us(const struct coherence *self) {
    return (uint64_t)self->backend->options.coherence_limit * US_PER_MS;
}

/* ---- Namespaces ---- */

/* Its next one; from 0 on, NULL at the end. */
static struct space *next_space(const struct coherence *self, size_t *at) {
    const struct tier *tier = self->backend->tier;
    while (*at < tier->space_count) {
        struct space *space = &tier->spaces[(*at)++];
        if (space->backend == self->backend)
            return space;
    }
    return NULL;
}

/* Does the writer write what memory holds of it to a store that has lost it? As rewrite.c has it. */
static bool is_written(const struct space *space) {
    return policy_writes_rows(space->options.policy);
}

static void begin_epoch(struct coherence *self, bool of_written) {
    struct tier *tier = self->backend->tier;
    struct cache_time now = tier_now(tier);
    struct space *space;
    for (size_t at = 0; (space = next_space(self, &at));)
        if (is_written(space) == of_written) {
            cache_flush_all(tier->cache, space->number, now.seconds, &now);
            if (quarantine_count(space->quarantine) > 0 &&
                quarantine_ask_retry(space->quarantine, SLICE("")) > 0)
                writer_poke(self->backend->writer); /* it is shown, and may be superseded */
        }
}

/* Those that the connection knows. */
static void set_blind(struct coherence *self, bool blind) {
    struct space *space;
    for (size_t at = 0; (space = next_space(self, &at));)
        if (space->options.table.index < self->shown_tables)
            cache_set_blind(self->backend->tier->cache, space->number, blind);
}

/* ---- Hearing ---- */

static void ask_look(struct coherence *self) {
    self->look = writer_ask_look(self->backend->writer);
    self->look_asked_us = monotonic_us();
}

/* The other connections may lead to an old master, which still shows what it had: none of them is used for what is
 * asked from now on. All go at once: later, nobody may be able to say where the store is. The one on which it hears is
 * no older than the loss. */
static void leave_old_links(struct coherence *self) {
    unsigned moves = store_shift(self->backend->store);
    if (self->session.moves + 1 == moves) /* else the store was found elsewhere meanwhile */
        self->session.moves = moves;
    loader_let_go(self->backend->loader);
    doubts_follow(&self->doubts);
}

static void lose(struct coherence *self) {
    count(&self->losses);
    leave_old_links(self);
    self->phase = LOOKING;
    self->looks_back = false;
    self->moved_us = 0;
    begin_epoch(self, false);
    ask_look(self);
}

static void on_lost(struct backend_listener *listener) {
    struct coherence *self = coherence_of(listener);
    count_add(&self->subscriptions, self->proven_us == 0);
    lose(self);
}

static void on_moved(struct backend_listener *listener) {
    struct coherence *self = coherence_of(listener);
    if (!self->moved_us)
        self->moved_us = monotonic_us();
}

/* Slots of a cluster move one after the other, many of them: so not at once, but in time. */
static void end_move(struct coherence *self) {
    if (self->moved_us && monotonic_us() >= self->moved_us + limit_us(self) / LIMIT_SHARE)
        lose(self);
}

static void on_changed(struct backend_listener *listener, const struct backend_table *table,
                       struct slice key) {
    struct coherence *self = coherence_of(listener);
    struct space *space;
    count(&self->heard);
    for (size_t at = 0; (space = next_space(self, &at));)
        if (&space->options.table == table)
            doubts_note(&self->doubts, space, key);
}

static void rest(const struct coherence *self, unsigned pause_ms) {
    for (unsigned slept = 0; slept < pause_ms && !atomic_load(&self->stop); slept += NAP_MS)
        usleep((pause_ms - slept < NAP_MS ? pause_ms - slept : NAP_MS) * US_PER_MS);
}

/* Once it is heard that a namespace has come, the connection is made anew, and with it comes a new epoch. */
static bool hear(struct coherence *self) {
    struct session *session = &self->session;
    bool busy = doubts_are_waiting(&self->doubts) || self->phase != HEARING;
    unsigned wait_ms = busy ? BUSY_WAIT_MS : BACKEND_PROOF_MS;
    if (!session_is_open(session) || session_is_outdated(session))
        self->proven_us = 0;
    enum backend_status status = session_open(session, monotonic_us() + limit_us(self) / LIMIT_SHARE);
    if (status == BACKEND_OK)
        status = self->backend->type->changes(session->connection, wait_ms, &self->listener, &self->proven_us,
                                              &session->error);
    return status == BACKEND_OK;
}

static bool hear_or_rest(struct coherence *self) {
    if (self->backend->table_count == 0) { /* a reload may bring one */
        rest(self, BACKEND_PROOF_MS);
        return false;
    }
    if (hear(self)) {
        self->pause_ms = FIRST_PAUSE_MS;
        return true;
    }
    self->proven_us = 0;
    rest(self, self->pause_ms);
    if (self->pause_ms < LONGEST_PAUSE_MS)
        self->pause_ms *= 2;
    return false;
}

/* ---- After a loss ---- */

/* What is proven to be heard is compared. Once rows may be gone that nobody tells of, that is not enough. */
static void believe(struct coherence *self) {
    if (self->proven_us > self->believed_us && !self->moved_us)
        self->believed_us = self->proven_us;
}

/* A look that was asked for is asked for again until it is answered. */
static bool has_looked(struct coherence *self) {
    uint64_t now_us = monotonic_us();
    if (writer_has_looked(self->backend->writer, self->look))
        return true;
    if (now_us - self->look_asked_us >= AGAIN_US) {
        self->look_asked_us = now_us;
        writer_poke(self->backend->writer);
    }
    return false;
}

/* The store has no row where memory holds one, or an older one: it may have lost it. */
static void see_what_is_back(struct coherence *self) {
    if (!self->looks_back) {
        ask_look(self);
        self->looks_back = true;
    } else if (has_looked(self) && !writer_rewrites(self->backend->writer)) {
        if (doubts_are_sure(&self->doubts)) /* of all that was heard by now */
            believe(self);
        self->looks_back = false;
    }
}

static void see(struct coherence *self) {
    struct writer *writer = self->backend->writer;
    if (self->phase == LOOKING && has_looked(self))
        self->phase = WRITING_AGAIN;
    if (self->phase == WRITING_AGAIN && !writer_rewrites(writer)) {
        begin_epoch(self, true);
        self->phase = HEARING;
    } else if (self->phase == HEARING && doubts_need_look(&self->doubts)) {
        see_what_is_back(self);
    }
}

/* ---- Judging ---- */

/* Not of a start that is just waited for. */
static void tell(struct coherence *self, bool believes, const char *reason) {
    const struct tier_backend *backend = self->backend;
    const char *name = backend->options.store.name;
    if (believes && self->told)
        tell_of_backend(backend, &self->lines, LOG_LEVEL_NOTICE,
                        "backend %s: what others change is heard again, and memory is believed", name);
    else if (!believes && !self->told)
        tell_of_backend(
            backend, &self->lines, LOG_LEVEL_WARNING,
            "backend %s: what others change is not heard, so that reads go to the store, whatever memory holds: %s",
            name, reason);
    self->told = !believes;
}

static void turn(struct coherence *self, bool believes) {
    uint64_t now_us = monotonic_us();
    set_blind(self, !believes);
    if (believes)
        count_add(&self->blind_us, now_us - atomic_load(&self->changed_us));
    else
        count(&self->blinds);
    atomic_store(&self->changed_us, now_us);
    atomic_store(&self->believes, believes);
}

static void judge(struct coherence *self, bool heard, bool answered) {
    if (heard && answered && self->phase != LOOKING)
        believe(self);
    bool believes = self->believed_us && monotonic_us() < self->believed_us + limit_us(self),
         more_tables = self->session.table_count != self->shown_tables;
    self->shown_tables = self->session.table_count;
    if (believes != atomic_load(&self->believes)) {
        turn(self, believes);
        tell(self, believes, heard ? "it does not answer" : self->session.error.message);
    } else if (more_tables) {
        set_blind(self, !believes);
    }
    if (!believes && !heard && *self->session.error.message)
        tell(self, believes, self->session.error.message);
}

/* ---- The thread ---- */

static void *coherence_main(void *argument) {
    struct coherence *self = argument;
    while (!atomic_load(&self->stop)) {
        bool heard = hear_or_rest(self);
        enum doubts_status status = doubts_ask(&self->doubts);
        if (status == DOUBTS_NO_MEMORY)
            lose(self);
        end_move(self);
        see(self);
        judge(self, heard, status == DOUBTS_ANSWERED);
    }
    session_close(&self->session);
    return NULL;
}

struct coherence *coherence_create(struct tier_backend *backend) {
    struct coherence *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->listener = (struct backend_listener){.changed = on_changed, .lost = on_lost, .moved = on_moved};
    self->backend = backend;
    self->phase = LOOKING;
    self->pause_ms = FIRST_PAUSE_MS;
    atomic_init(&self->changed_us, monotonic_us());
    count(&self->blinds);
    doubts_init(&self->doubts, backend, limit_us(self) / LIMIT_SHARE);
    session_init(&self->session, backend, BACKEND_WATCHER, 1);
    return self;
}

bool coherence_start(struct coherence *self) {
    self->started = service_start_thread(&self->thread, "watcher", self->backend->options.store.name,
                                         coherence_main, self) == 0;
    return self->started;
}

void coherence_ask_to_end(struct coherence *self) {
    if (self)
        atomic_store(&self->stop, true);
}

void coherence_stop(struct coherence *self) {
    if (!self || !self->started)
        return;
    coherence_ask_to_end(self);
    pthread_join(self->thread, NULL);
    self->started = false;
}

void coherence_destroy(struct coherence *self) {
    if (!self)
        return;
    doubts_free(&self->doubts);
    free(self);
}

void coherence_await(const struct coherence *self, unsigned patience_ms, const atomic_bool *stop) {
    uint64_t until_us = monotonic_us() + (uint64_t)patience_ms * US_PER_MS;
    while (self && !atomic_load(&self->believes) && !atomic_load(stop) && monotonic_us() < until_us)
        usleep(NAP_MS * US_PER_MS);
}

void coherence_get_stats(const struct coherence *self, struct coherence_stats *ret_stats) {
    uint64_t subscriptions = counted(&self->subscriptions), now_us = monotonic_us(),
             changed_us = atomic_load(&self->changed_us);
    bool believes = atomic_load(&self->believes);
    *ret_stats = (struct coherence_stats){
        .believes = believes,
        .heard = counted(&self->heard),
        .asked = counted(&self->doubts.asked),
        .dropped = counted(&self->doubts.dropped),
        .losses = counted(&self->losses),
        .reconnects = subscriptions ? subscriptions - 1 : 0,
        .blinds = counted(&self->blinds),
        .blind_us = counted(&self->blind_us) + (believes || now_us < changed_us ? 0 : now_us - changed_us),
    };
}
