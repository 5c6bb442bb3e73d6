/* SPDX-License-Identifier: MIT */
/*
 * The inside of a loader, for the files that are parts of it: boarding.c (workers: loads become flights), batch.c
 * (flights that are looked up together, and how they land), look_up.c (asking the backend for a batch), verdict.c (what
 * the answers mean for the breakers and the log), loader.c (the threads).
 */
#ifndef FOREBAY_POLICIES_LOAD_INTERNAL_H
#define FOREBAY_POLICIES_LOAD_INTERNAL_H

#include "cache/base/progress.h"
#include "policies/load/flight.h"
#include "policies/load/loader.h"
#include "policies/load/wary.h"
#include "policies/session.h"

enum { BATCH_KEYS = 128, FLIGHT_BUCKETS = 4096 };

/* Flights of one namespace that are looked up together. They stay in the table, and take passengers, until they are
 * closed. */
struct batch {
    struct flight *flights[BATCH_KEYS];
    struct slice keys[BATCH_KEYS];
    struct load_result results[BATCH_KEYS];
    size_t count;
    struct space *space;
    bool partial;   /* a part of the store is away: results say which could not be looked up */
    uint32_t then;  /* the second at which the rows have to be alive; 0: now */
    unsigned begun; /* wary_begin, from before it was seen that they need not wait */
};

struct line {
    struct flight *first, **end;
};

/* Flights that wait for a reader. */
struct queue {
    pthread_cond_t work;
    struct line *lines; /* per namespace of the tier */
    size_t next_line;   /* where the search for work goes on: namespaces take turns */
};

struct reader {
    struct loader *loader;
    struct queue *queue; /* what it takes */
    pthread_t thread;
    bool started;
    struct progress progress;
    struct session session;
    unsigned followed;  /* the moves of the store that it has gone after */
    struct batch batch; /* in hand; here, because without it a reader could not even fail its loads */
};

struct loader {
    struct tier_backend *backend;
    struct reader *readers;
    unsigned reader_count;
    struct reader patient; /* takes from `late`; started when some backend turns out to have parts */
    pthread_t preloader;   /* ends when all is preloaded */
    bool wants_preload, preload_waits, preloads;
    pthread_t builder; /* of absent filters */
    bool builds;
    atomic_bool stop;
    atomic_bool in_doubt; /* the last call of the backend failed, or there was none yet */

    pthread_mutex_t mutex;
    struct flight *table[FLIGHT_BUCKETS];
    struct queue queue; /* the readers' */
    struct queue late;  /* the patient reader's: of parts that were silent when they were asked */
    struct flight *unused;
    struct breaker breaker;
    struct breaker part_breaker; /* of the backend's parts: what it tells, it keeps nobody off */
    struct loader_stats stats;
    struct log_limit outage_lines; /* of the log, any thread */
    struct wary wary;              /* any thread */
};

static inline struct flight **loader_table_slot(struct loader *loader, uint64_t hash) {
    return &loader->table[(hash >> 16) % FLIGHT_BUCKETS];
}

static inline bool reader_is_patient(const struct reader *reader) {
    return reader == &reader->loader->patient;
}

/* With the mutex. */
static inline void queue_append(struct queue *queue, struct flight *flight) {
    struct line *line = &queue->lines[flight->space->number];
    flight->next = NULL;
    *line->end = flight;
    line->end = &flight->next;
}

/* ---- batch.c ---- */

/* Under the mutex: queued flights of one namespace that need not wait, up to BATCH_KEYS. False: there are none. */
bool batch_take(struct loader *loader, struct queue *queue, struct batch *batch);

/* All of it is queued again, before those that came later. */
void batch_put_back(struct loader *loader, struct queue *queue, struct batch *batch);

/* All of it fails. */
void batch_fail(struct loader *loader, struct batch *batch);

/* By its results. */
void batch_land(struct loader *loader, struct batch *batch);

/* Takes those out of it whose part was silent: the patient reader asks for them. */
void batch_put_off_late(struct loader *loader, struct batch *batch);

/* Takes those out of it that need no backend, or for which it is too late. */
void batch_sort_out(struct reader *reader, struct batch *batch);

uint64_t batch_deadline_us(const struct batch *batch);

/* Whether, before this moment, there is time left to look anything up. */
bool batch_in_time(const struct loader *loader, uint64_t deadline_us);

/* ---- look_up.c ---- */

/* Looks all of it up: each flight lands, or is put off. */
void batch_look_up(struct reader *reader, struct batch *batch);

/* ---- verdict.c ---- */

/* With the mutex: is there any use in asking for keys of this namespace? */
bool verdict_is_hopeful(const struct loader *loader, const struct space *space, uint64_t now_us);

/* True: the loader may ask its backend for keys of this namespace now. */
bool verdict_admits(struct loader *loader, struct space *space);

/* Whether no failure of the backend or of this namespace is known: else what is asked is a probe. */
bool verdict_is_good(const struct loader *loader, const struct space *space);

/* What a call came to for the backend and the namespace. Of a part of the store alone it is told, and no more. */
void verdict_note(struct reader *reader, struct space *space, enum backend_status status);
void verdict_note_parts(struct reader *reader, const struct batch *batch, enum backend_status status);

/* ---- loader.c ---- */

/* Whether there is a patient reader; starts it. Any reader. */
bool loader_has_patience(struct loader *loader);

#endif
