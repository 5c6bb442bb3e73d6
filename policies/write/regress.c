/* SPDX-License-Identifier: MIT */
/* See regress.h. */
#include "policies/write/regress.h"
#include "cache/base/clock_text.h"
#include "cache/base/fit.h"
#include "policies/store.h"
#include "policies/tell.h"
#include "policies/write/internal.h"
#include "policies/write/store_note.h"

static const char *name_of(const struct writer *writer) {
    return writer->backend->options.store.name;
}

void regress_say_older(const char *backend, uint64_t version, uint64_t before, const char *what_now,
                       char *ret_text, size_t size) {
    char had[CLOCK_TEXT_MAX], has[CLOCK_TEXT_MAX + 24] = "is empty, or was not written by Forebay";
    if (version) {
        char until[CLOCK_TEXT_MAX];
        snprintf(has, sizeof has, "holds changes until %s", clock_text(version_us(version), 0, until));
    }
    fit_print(
        ret_text, size,
        "backend %s: the store %s; the one before held changes until %s. It is an older copy or another store: %s",
        backend, has, clock_text(version_us(before), 0, had), what_now);
}

/* The store has less than it had: whoever restored it knows, whoever did not has to. */
static void tell_older(struct writer *writer, uint64_t version, const char *what_now) {
    char text[REGRESS_SENTENCE_MAX];
    regress_say_older(name_of(writer), version, writer->store_version, what_now, text, sizeof text);
    tell_of_backend(writer->backend, &writer->older_lines, LOG_LEVEL_ERROR, "%s", text);
}

/* Its newest changes are there, and others that it had acknowledged are not; or it has changes of other servers
 * alone. */
static void tell_lack(struct writer *writer, uint64_t found, uint64_t acknowledged) {
    char has[CLOCK_TEXT_MAX], had[CLOCK_TEXT_MAX];
    clock_text(acknowledged, 0, had);
    if (found)
        tell_of_backend(
            writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
            "backend %s: the store has lost what it acknowledged between %s and %s: what memory and journal have is written to it again",
            name_of(writer), clock_text(found, 0, has), had);
    else
        tell_of_backend(
            writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
            "backend %s: the store has nothing of what it acknowledged to this server until %s: what memory and journal have is written to it again",
            name_of(writer), had);
}

void regress_expect(struct writer *writer, uint64_t applied) {
    writer->store_applied = applied;
    atomic_store(&writer->backend->store->acknowledged, applied);
}

uint64_t regress_mark(const struct writer *writer, bool other) {
    uint64_t found = writer->session.connection->found;
    return !other && found < writer->store_applied ? found : 0;
}

bool regress_note(struct writer *writer, uint64_t version, bool other) {
    uint64_t applied = writer->session.connection->applied, found = writer->session.connection->found;
    bool older = version < writer->store_version, lacks = applied && found < writer->store_applied;
    bool starting = writer->session.starting;
    if (older && starting)
        tell_older(writer, version,
                   "what only the old one had is gone, except what the journal still has to write");
    else if (older)
        tell_older(writer, version, "what memory holds is written to it again");
    else if (lacks)
        tell_lack(writer, found, writer->store_applied);
    if (starting) {
        writer->began_older = older;
        writer->began_found = found;
    } else if (older || lacks || other || (writer->owes && !rewrite_is_running(writer)))
        rewrite_begin(writer, regress_mark(writer, other));
    writer->store_version = version;
    if (applied) /* else the store does not take it now */
        regress_expect(writer, applied);
    if (applied && !starting)
        store_note_number(writer);
    return older || lacks;
}

/* What the last process has noted last of the namespaces, of which one may be new. */
static uint64_t noted_mark(const struct writer *writer) {
    uint64_t noted = 0;
    for (size_t i = 0; i < writer->flusher_count; i++) {
        uint64_t mark = journal_get_mark(writer->tier->journal, writer->flushers[i].space->journal_number);
        noted = mark > noted ? mark : noted;
    }
    return noted;
}

bool regress_may_follow(struct writer *writer) {
    call_end_first(writer);
    return writer->backend->type->remembers_deletes && (writer->tier->journal || writer->began_older);
}

static void look_back(struct writer *writer) {
    if (!writer->tier->journal || !writer->backend->type->remembers_deletes)
        return;
    uint64_t noted = noted_mark(writer);
    bool owed = noted == JOURNAL_MARK_OWED;
    if (!session_is_open(&writer->session)) { /* it is compared when it is there */
        writer->owes |= owed;
        regress_expect(writer, owed ? 0 : noted);
        return;
    }
    bool lacks = !owed && writer->began_found < noted;
    if (lacks && (writer->began_found || !writer->began_older))
        tell_lack(writer, writer->began_found, noted);
    if (lacks && !writer->began_older)
        count(&writer->counters.store_regressions);
    if (owed || lacks || writer->began_older)
        rewrite_begin_past(writer, 0);
}

void regress_look_back(struct writer *writer) {
    look_back(writer);
    if (session_is_open(&writer->session) &&
        (writer->session.connection->applied || !writer->backend->type->remembers_deletes))
        store_note_number(writer);
}
