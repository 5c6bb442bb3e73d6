/* SPDX-License-Identifier: MIT */
/* See rewrite.h. */
#include "policies/write/rewrite.h"
#include "cache/base/clock_text.h"
#include "cache/base/count_text.h"
#include "policies/tell.h"
#include "policies/write/concern.h"
#include "policies/write/internal.h"
#include "policies/write/past_rewrite.h"
#include "policies/write/row_batch.h"

enum {
    REST_US = 500000, /* for a part of the store that is away */
    MEMORY_REST_US = 50000
};

/* What a step writes. */
struct copied {
    struct cache_visitor visitor;
    struct space *space;
    struct row_batch batch;
};

/* ---- What the store owes ---- */

/* There is none yet while the first connection is made. */
static bool has_past(const struct writer *writer) {
    return past_rewrite_is_of_use(writer);
}

/* On disk before anything is written: from then on the store's number grows again. */
static void note_debt(struct writer *writer) {
    if (!has_past(writer))
        return;
    for (size_t i = 0; i < writer->flusher_count; i++)
        journal_set_mark(writer->tier->journal, writer->flushers[i].space->journal_number, JOURNAL_MARK_OWED);
    enum progress_state before = progress_begin_call(&writer->progress);
    journal_note_passed(writer->tier->journal);
    progress_end_call(&writer->progress, before);
}

uint64_t rewrite_mark(const struct writer *writer) {
    return writer->owes && has_past(writer) ? JOURNAL_MARK_OWED : writer->store_applied;
}

static void halt_keeping(struct writer *writer, bool halts) {
    if (!has_past(writer) || halts == writer->rewrite.halts)
        return;
    journal_halt_keeping(writer->tier->journal, halts);
    writer->rewrite.halts = halts;
}

void rewrite_halt_keeping(struct writer *writer) {
    bool away = !writer->reached || !writer->seen || breaker_state(&writer->breaker) != BREAKER_CLOSED;
    halt_keeping(writer, away || writer->owes);
}

/* ---- Beginning and end ---- */

/* What another one under way was to write is still to be written. */
static uint64_t earlier_mark(const struct writer *writer, uint64_t mark) {
    return writer->owes && writer->rewrite.mark < mark ? writer->rewrite.mark : mark;
}

static void begin(struct writer *writer, uint64_t mark, bool in_journal) {
    struct rewrite *rewrite = &writer->rewrite;
    rewrite->mark = earlier_mark(writer, mark);
    rewrite->space = 0;
    rewrite->walk = (struct cache_walk){0};
    rewrite->written = rewrite->rests_until_us = 0;
    rewrite->left = rewrite->again = false;
    rewrite->in_journal = in_journal;
    past_rewrite_free(rewrite->past);
    rewrite->past = NULL;
    atomic_store(&rewrite->running, true);
    writer->owes = true;
    at_risk_begin(writer, rewrite->mark); /* before readers believe what is there (store_found) */
    for (size_t i = 0; i < writer->flusher_count; i++)
        marks_go_back(&writer->flushers[i].marks, rewrite->mark);
    halt_keeping(writer, true);
    note_debt(writer);
}

void rewrite_begin(struct writer *writer, uint64_t mark) {
    begin(writer, mark, false);
}

void rewrite_begin_past(struct writer *writer, uint64_t mark) {
    begin(writer, mark, true);
}

bool rewrite_is_running(const struct writer *writer) {
    return atomic_load(&writer->rewrite.running);
}

void rewrite_end(struct writer *writer) {
    past_rewrite_free(writer->rewrite.past);
    writer->rewrite.past = NULL;
}

/* ---- Memory ---- */

/* Does memory hold here what the store has to have? */
static bool concerns(const struct writer *writer, const struct space *space) {
    return space->backend == writer->backend && policy_writes_rows(space->policy);
}

bool rewrite_is_of_store(const struct cache_view *view) {
    return view->state == CACHE_CLEAN && view->version != 0 && !may_be_placeholder(view->value, view->marks);
}

struct entry rewrite_entry(const struct cache_view *view, struct slice key, struct slice value) {
    return (struct entry){.key = key,
                          .value = value,
                          .version = view->version,
                          .client_cas = view->client_cas,
                          .flags = view->flags,
                          .expires_at = view->expires_at,
                          .marks = view->marks};
}

static void copy_entry(struct cache_visitor *self, int number, const struct cache_view *view) {
    struct copied *copied = (struct copied *)(void *)self;
    (void)number;
    if (!rewrite_is_of_store(view))
        return;
    struct entry entry = rewrite_entry(view, view->key, view->value);
    row_batch_add(&copied->batch, &copied->space->options.table, MUTATION_PUT, &entry);
}

/* Copies the next entries of the namespace that is being walked. *ret_more: it has more. False: no memory. */
static bool copy_some(struct writer *writer, struct copied *copied, struct cache_walk *walk, bool *ret_more) {
    struct tier *tier = writer->tier;
    struct cache_time now = tier_now(copied->space->tier);
    bool more = true;
    while (more && !row_batch_is_full(&copied->batch))
        more = cache_walk(tier->cache, copied->space->number, walk, &now, &copied->visitor);
    *ret_more = more;
    return !copied->batch.no_memory;
}

/* The store has a newer row: what memory has is old. */
static void forget_superseded(struct space *space, const struct mutation *mutation) {
    struct cache_time now = tier_now(space->tier);
    const struct entry *entry = &mutation->entry;
    struct cache_cursor cursor;
    if (!mutation->superseded)
        return;
    cache_seek(space->tier->cache, space->number, entry->key, cache_hash(space->tier->cache, entry->key),
               &now, &cursor);
    if (cursor.presence != CACHE_UNKNOWN && cursor.view.version == entry->version)
        cache_forget(&cursor);
    cache_release(&cursor);
}

static void rest(struct rewrite *rewrite, uint64_t pause_us) {
    rewrite->rests_until_us = monotonic_us() + pause_us;
}

/* Whether the walk goes on behind the step in hand. */
static bool may_go_on(struct rewrite *rewrite) {
    if (rewrite->partial && rewrite->again) {
        rest(rewrite, REST_US);
        return false;
    }
    rewrite->left |= rewrite->partial;
    return true;
}

/* False: not now; the step is made again. */
static bool step(struct writer *writer, struct space *space) {
    struct rewrite *rewrite = &writer->rewrite;
    struct copied copied = {.visitor = {copy_entry}, .space = space};
    struct cache_walk walk = rewrite->walk;
    bool more;
    rewrite->partial = false;
    bool fine = copy_some(writer, &copied, &walk, &more) &&
                row_batch_write(writer, space, &copied.batch, forget_superseded) && may_go_on(rewrite);
    if (fine) {
        rewrite->written += rewrite->again ? 0 : copied.batch.count;
        rewrite->walk = more ? walk : (struct cache_walk){0};
        rewrite->space += !more;
    }
    if (copied.batch.no_memory)
        rest(rewrite, MEMORY_REST_US);
    row_batch_free(&copied.batch);
    return fine;
}

/* For what was left. False: not now. */
static bool walk_again(struct rewrite *rewrite) {
    rewrite->left = false;
    rewrite->again = true;
    rewrite->space = 0;
    rest(rewrite, REST_US);
    return false;
}

/* False: not now. *ret_done: memory has no more. */
static bool run_memory(struct writer *writer, bool *ret_done) {
    struct rewrite *rewrite = &writer->rewrite;
    struct tier *tier = writer->tier;
    while (rewrite->space < tier->space_count && !concerns(writer, &tier->spaces[rewrite->space]))
        rewrite->space++;
    bool walked = rewrite->space == tier->space_count;
    *ret_done = walked && !rewrite->left;
    if (walked)
        return *ret_done || walk_again(rewrite);
    struct space *space = &tier->spaces[rewrite->space];
    return call_is_admitted_for(writer, space) && step(writer, space);
}

/* ---- The journal, and the end ---- */

/* Write-through has no journal, and write-behind may have none. */
static bool all_have_a_journal(const struct writer *writer) {
    const struct tier *tier = writer->tier;
    for (size_t i = 0; i < tier->space_count; i++)
        if (concerns(writer, &tier->spaces[i]) &&
            !(tier->spaces[i].policy->holds_back && tier->spaces[i].options.journal != JOURNAL_OFF))
            return false;
    return true;
}

/* What nobody has any more, in a few words; "": it is all written. */
static void say_rest(const struct writer *writer, char *ret_text, size_t size) {
    const struct past_rewrite *past = writer->rewrite.past;
    char since[CLOCK_TEXT_MAX];
    *ret_text = '\0';
    if (!past || !writer->tier->options.journal_keep)
        snprintf(
            ret_text, size,
            ". Deletes, and rows that memory had evicted, may be missing: the journal keeps nothing of them (journal_keep)");
    else if (!past_rewrite_is_whole(past))
        snprintf(ret_text, size, ". A part of the journal could not be read: changes may be missing");
    else if (past_rewrite_missing(past))
        snprintf(
            ret_text, size,
            ". Deletes until %s, and rows that memory had evicted by then, may be missing: the journal has not kept them (journal_keep, journal_keep_size)",
            clock_text(version_us(past_rewrite_missing(past)), 0, since));
    else if (!all_have_a_journal(writer))
        snprintf(
            ret_text, size,
            ". Of namespaces without a journal, as those that are write-through, deletes and rows that memory had evicted may be missing");
}

/* Of a kind of store that the journal can say something of. */
static void say_past(const struct writer *writer, char *ret_text, size_t size) {
    const struct past_rewrite *past = writer->rewrite.past;
    char rest[256];
    *ret_text = '\0';
    if (!writer->backend->type->remembers_deletes)
        return;
    say_rest(writer, rest, sizeof rest);
    snprintf(ret_text, size, ", and %s that only the journal had%s",
             count_text(past ? past_rewrite_written(past) : 0, "change", "changes").text, rest);
}

static void tell_end(struct writer *writer) {
    char past[320];
    say_past(writer, past, sizeof past);
    tell_of_backend(
        writer->backend, &writer->rewritten_lines, LOG_LEVEL_NOTICE,
        "backend %s: %s that memory holds %s written to the store again, where it had older ones or none%s",
        writer->backend->options.store.name, count_text(writer->rewrite.written, "entry", "entries").text,
        writer->rewrite.written == 1 ? "was" : "were", past);
}

static void finish(struct writer *writer) {
    tell_end(writer);
    rewrite_end(writer);
    writer->owes = false;
    at_risk_end(writer);
    atomic_store(&writer->rewrite.running, false);
}

/* What is not read would be lost, so it is owed until there is memory. */
static void begin_past_later(struct writer *writer) {
    tell_of_backend(
        writer->backend, &writer->past_lines, LOG_LEVEL_ERROR,
        "backend %s: there is no memory to read what the journal has for a store that went back. It is tried again, and missing there until then",
        writer->backend->options.store.name);
    rewrite_end(writer);
    rest(&writer->rewrite, MEMORY_REST_US);
}

/* Until it is done. False: not now. */
static bool run_past(struct writer *writer, enum past_rewrite_status *ret_status) {
    struct rewrite *rewrite = &writer->rewrite;
    if (!rewrite->past)
        rewrite->past = past_rewrite_create(writer, rewrite->mark);
    if (rewrite->past)
        *ret_status = past_rewrite_run(writer, rewrite->past);
    if (rewrite->past && !past_rewrite_lacks_memory(rewrite->past))
        return true;
    begin_past_later(writer);
    return false;
}

static bool run_journal(struct writer *writer) {
    struct rewrite *rewrite = &writer->rewrite;
    enum past_rewrite_status status = PAST_REWRITE_DONE;
    rewrite->partial = false;
    if (has_past(writer) && !run_past(writer, &status))
        return false;
    if (rewrite->partial)
        rest(rewrite, REST_US);
    if (status == PAST_REWRITE_DONE)
        finish(writer);
    return status == PAST_REWRITE_MORE ||
           (status == PAST_REWRITE_DONE && touches_are_waiting(writer)); /* maybe for the last rows alone */
}

bool rewrite_run(struct writer *writer) {
    struct rewrite *rewrite = &writer->rewrite;
    if (!rewrite_is_running(writer))
        return false;
    if (at_risk_read(writer)) /* whatever the store does: loads wait for it */
        return true;
    if (monotonic_us() < rewrite->rests_until_us)
        return false;
    if (rewrite->in_journal)
        return call_is_admitted(writer) && run_journal(writer);
    return run_memory(writer, &rewrite->in_journal);
}

uint64_t rewrite_rests_until(const struct writer *writer) {
    uint64_t until_us = writer->rewrite.rests_until_us;
    return rewrite_is_running(writer) && monotonic_us() < until_us ? until_us : UINT64_MAX;
}
