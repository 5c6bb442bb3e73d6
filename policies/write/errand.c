/* SPDX-License-Identifier: MIT */
/* See errand.h. */
#include "policies/write/errand.h"
#include "cache/base/fit.h"
#include "cache/base/thread.h"
#include "policies/write/internal.h"

static void refuse(const struct writer *doer, struct errand *errand, const char *why) {
    fit_print(errand->error.message, sizeof errand->error.message, "backend \"%s\": %s",
              doer->backend->options.store.name, why);
}

static void run(struct writer *doer, struct errand *errand) {
    *doer->session.error.message = '\0';
    call_limit(doer, errand->until_us);
    doer->lacked_part = false;
    errand->done = errand->run(doer, errand);
    errand->partial = !errand->done && doer->lacked_part;
    call_limit(doer, 0);
    if (errand->done)
        return;
    if (*doer->session.error.message)
        errand->error = doer->session.error;
    else
        refuse(doer, errand, "it is away");
}

/* ---- Who asks ---- */

/* Who asks has others to serve, and does not wait for a store that is away: its own writer tries that (call_renew), and
 * is roused for it. */
static bool is_away(const struct writer *doer) {
    const struct tier_backend *backend = doer->backend;
    return !writer_has_reached(doer) || atomic_load_explicit(&backend->failed_us, memory_order_relaxed) >
                                            atomic_load_explicit(&backend->answered_us, memory_order_relaxed);
}

/* With the mutex. */
static void append(struct writer *doer, struct errand *errand) {
    struct errand **at = &doer->errands;
    while (*at)
        at = &(*at)->next;
    *at = errand;
}

/* With the mutex. */
static void take_back(struct writer *doer, struct errand *errand) {
    struct errand **at = &doer->errands;
    while (*at != errand)
        at = &(*at)->next;
    *at = errand->next;
}

/* With the mutex: until it is done, or it is too late to begin. */
static void await(struct writer *doer, struct errand *errand, uint64_t until_us) {
    bool late = false;
    while (errand->state != ERRAND_DONE && !(late && errand->state == ERRAND_WAITS))
        if (errand->state == ERRAND_WAITS)
            late = condition_wait_until(&doer->errand_done, &doer->mutex, until_us) != 0;
        else
            pthread_cond_wait(&doer->errand_done, &doer->mutex);
    if (errand->state == ERRAND_DONE)
        return;
    take_back(doer, errand);
    refuse(doer, errand, "its writer was busy with other changes for too long");
}

bool errand_do(struct writer *doer, struct errand *errand) {
    uint64_t timeout_us = (uint64_t)doer->backend->timeout_ms * US_PER_MS;
    errand->next = NULL;
    errand->state = ERRAND_WAITS;
    errand->done = errand->partial = false;
    if (!atomic_load(&doer->tier->writers_run)) {
        run(doer, errand);
        return errand->done;
    }
    pthread_mutex_lock(&doer->mutex);
    if (doer->stop) {
        refuse(doer, errand, "the server is stopping");
    } else if (is_away(doer)) {
        refuse(doer, errand, "it is away");
        writer_rouse(doer);
    } else {
        append(doer, errand);
        writer_rouse(doer);
        await(doer, errand, errand->until_us ? errand->until_us : monotonic_us() + timeout_us);
    }
    pthread_mutex_unlock(&doer->mutex);
    return errand->done;
}

/* ---- Who does it ---- */

static struct errand *take(struct writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    struct errand *errand = writer->errands;
    if (errand) {
        writer->errands = errand->next;
        errand->state = ERRAND_RUNS;
    }
    pthread_mutex_unlock(&writer->mutex);
    return errand;
}

static void end(struct writer *writer, struct errand *errand) {
    pthread_mutex_lock(&writer->mutex);
    errand->state = ERRAND_DONE; /* and no longer ours */
    pthread_cond_broadcast(&writer->errand_done);
    pthread_mutex_unlock(&writer->mutex);
}

void errands_run(struct writer *writer) {
    for (struct errand *errand; (errand = take(writer)); end(writer, errand))
        run(writer, errand);
}

void errands_refuse(struct writer *writer) {
    for (struct errand *errand; (errand = writer->errands); errand->state = ERRAND_DONE) {
        writer->errands = errand->next;
        refuse(writer, errand, "the server is stopping");
    }
    pthread_cond_broadcast(&writer->errand_done);
}
