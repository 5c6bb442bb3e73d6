/* SPDX-License-Identifier: MIT */
/* What a start would make of what earlier runs have left: told, and nothing is changed. */
#include "cache/base/count_text.h"
#include "cache/base/own_file.h"
#include "policies/journal/folder_lock.h"
#include "policies/tier_parts.h"
#include "policies/write/leftover.h"
#include "policies/write/leftover_internal.h"
#include "policies/write/places.h"
#include <errno.h>
#include <stdio.h>

static bool check_one(const struct tier_options *options, const struct leftover *one, FILE *notes,
                      FILE *complaints) {
    char text[2 * SENTENCE + PATH_SHOWN];
    enum fate fate = leftovers_decide(options, one->name);
    if (!leftovers_hold(one))
        return true;
    if (fate == FATE_REFUSED) {
        leftovers_refuse_one(options, one, text, sizeof text);
        fprintf(complaints,
                "forebay: %s. If a server runs there now, stop it with SIGTERM: it writes this itself\n",
                text);
        return false;
    }
    leftovers_describe(one, text);
    fprintf(notes, "%s holds %s, not known to be in a backend: %s\n", options->data, text,
            leftovers_intention(fate));
    if ((fate == FATE_RESTORED || fate == FATE_FLUSHED) &&
        places_describe_pending(options, leftovers_space_of(options, one->name),
                                one->changes + one->quarantined, text, sizeof text))
        fprintf(complaints, "forebay: warning: %s\n", text);
    return true;
}

#define FILES(count)       count_text(count, "file", "files").text
#define QUARANTINES(count) count_text(count, "quarantine", "quarantines").text

/* damaged: of the journal's files, those that a start has need of. */
static void tell_damage(const struct tier_options *options, const struct leftovers *all, size_t damaged,
                        FILE *complaints) {
    if (*all->spoilt_damage) /* a start comes to the quarantines first */
        fprintf(complaints, "forebay: %s\n", all->spoilt_damage);
    if (damaged)
        fprintf(complaints, "forebay: %s\n", all->damage);
    if (damaged + all->spoilt > 1)
        fprintf(complaints, "forebay: %s of the journal and %s in %s are damaged\n", FILES(damaged),
                QUARANTINES(all->spoilt), options->data);
    if (damaged)
        fprintf(complaints, "forebay: --journal-dump=%s shows what is in the journal\n", options->data);
}

/* Beside a server that runs, a file that is just being written to may look damaged without being so. */
static bool check_damage(const struct tier_options *options, const struct leftovers *all, FILE *notes,
                         FILE *complaints) {
    bool unread = all->only_low_water && !tier_wants_journal(options); /* a start has no need of it */
    size_t damaged = unread ? 0 : all->damaged;
    bool skipped = options->recovery.skip_damaged && (unread || all->failing == 0);
    if (damaged + all->spoilt == 0)
        return true;
    if (!skipped && !folder_lock_is_held(options->data)) {
        tell_damage(options, all, damaged, complaints);
        return false;
    }
    if (damaged)
        fprintf(notes, "%s of the journal in %s may be damaged: see forebay --journal-dump=%s\n",
                FILES(damaged), options->data, options->data);
    if (all->spoilt)
        fprintf(notes, "%s in %s may be damaged or missing: %s\n", QUARANTINES(all->spoilt), options->data,
                all->spoilt_damage);
    return true;
}

/* A link or a pipe: no server that runs there has made it. */
static bool is_no_plain_file(int failure) {
    return failure == ELOOP || failure == ENXIO;
}

static bool check_kind(const struct tier_options *options, const char *name, FILE *complaints) {
    char path[PATH_SHOWN];
    snprintf(path, sizeof path, "%s/%s", options->data, name);
    int file = own_file_open(path, O_RDONLY), failure = errno;
    if (file >= 0)
        close(file);
    else if (is_no_plain_file(failure))
        fprintf(complaints, "forebay: %s: %s\n", path, own_file_reason(failure).text);
    return file >= 0 || !is_no_plain_file(failure);
}

/* Beside a server that runs, what cannot be read now may be so later. */
static bool check_reach(const struct tier_options *options, const struct leftovers *all, FILE *notes,
                        FILE *complaints) {
    char text[PATH_SHOWN + SENTENCE];
    bool refused = is_no_plain_file(errno);
    leftovers_out_of_reach(options, all, text, sizeof text);
    fprintf(refused ? complaints : notes, "%s%s\n", refused ? "forebay: " : "", text);
    return !refused;
}

bool leftovers_check(const struct tier_options *options, FILE *notes, FILE *complaints) {
    struct leftovers all;
    bool good = true;
    if (!options->data)
        return true;
    if (!check_kind(options, "lock", complaints) || !check_kind(options, "low-water", complaints))
        return false;
    if (!leftovers_look(options, true, &all))
        return check_reach(options, &all, notes, complaints);
    for (size_t i = 0; i < all.count; i++)
        good = check_one(options, &all.list[i], notes, complaints) && good;
    good = check_damage(options, &all, notes, complaints) && good;
    leftovers_forget(&all);
    return good;
}

bool leftovers_need(const struct tier_options *options, size_t backend) {
    struct leftovers all;
    bool needed = false;
    if (!options->recovery.flush || !options->data || !leftovers_look(options, true, &all))
        return false;
    for (size_t i = 0; i < all.count && !needed; i++)
        needed = leftovers_hold(&all.list[i]) &&
                 leftovers_decide(options, all.list[i].name) == FATE_FLUSHED &&
                 leftovers_space_of(options, all.list[i].name)->backend == (int)backend;
    leftovers_forget(&all);
    return needed;
}
