/* SPDX-License-Identifier: MIT */
/* See regress.h. */
#include "policies/write/regress.h"
#include "cache/base/clock_text.h"
#include "policies/tell.h"
#include "policies/write/internal.h"

static const char *name_of(const struct writer *writer) {
    return writer->backend->options.store.name;
}

/* The store has less than it had: whoever restored it knows, whoever did not has to. */
static void tell_older(struct writer *writer, uint64_t version, const char *what_now) {
    char had[CLOCK_TEXT_MAX], has[CLOCK_TEXT_MAX + 24] = "is empty, or was not written by Forebay";
    if (version) {
        char until[CLOCK_TEXT_MAX];
        snprintf(has, sizeof has, "holds changes until %s", clock_text(version_us(version), 0, until));
    }
    tell_of_backend(
        writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
        "backend %s: the store %s; the one before held changes until %s. It is an older copy or another store: %s",
        name_of(writer), has, clock_text(version_us(writer->store_version), 0, had), what_now);
}

/* Its newest changes are there, and others that it had acknowledged are not. */
static void tell_gap(struct writer *writer, uint64_t applied) {
    char has[CLOCK_TEXT_MAX], had[CLOCK_TEXT_MAX];
    tell_of_backend(
        writer->backend, &writer->older_lines, LOG_LEVEL_ERROR,
        "backend %s: the store has lost what it acknowledged between %s and %s: what memory holds is written to it again",
        name_of(writer), clock_text(applied, 0, has), clock_text(writer->store_applied, 0, had));
}

bool regress_note(struct writer *writer, uint64_t version) {
    uint64_t applied = writer->session.connection->applied;
    bool older = version < writer->store_version, lacks = applied && applied < writer->store_applied;
    if (older && writer->session.starting)
        tell_older(writer, version,
                   "what only the old one had is gone, except what the journal still has to write");
    else if (older)
        tell_older(writer, version, "what memory holds is written to it again");
    else if (lacks)
        tell_gap(writer, applied);
    if ((older || lacks) && !writer->session.starting)
        rewrite_begin(writer);
    writer->store_version = version;
    if (applied) /* else the store does not take it now */
        writer->store_applied = applied;
    return older || lacks;
}
