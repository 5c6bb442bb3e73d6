/* SPDX-License-Identifier: MIT */
/*
 * See leftover.h. What is flushed first is flushed by a tier of its own, in which its namespaces are write-behind
 * again: it recovers, drains and ends, and the tier that is to serve begins with a clean folder.
 */
#include "policies/write/leftover.h"
#include "cache/base/clock_text.h"
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/disk.h"
#include "policies/journal/survey.h"
#include "policies/policy.h"
#include "policies/tier_parts.h"
#include "policies/write/leftover_internal.h"
#include "policies/write/quarantine.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Finding ---- */

static struct leftover *find(struct leftovers *all, const char *name) {
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->list[i].name, name) == 0)
            return &all->list[i];
    struct leftover *longer = realloc(all->list, (all->count + 1) * sizeof *longer);
    if (!longer)
        return NULL;
    all->list = longer;
    longer[all->count] = (struct leftover){.oldest_us = UINT64_MAX};
    snprintf(longer[all->count].name, NAME_SHOWN, "%s", name);
    return &longer[all->count++];
}

/* Adds what was found; false: no memory. */
static bool add(struct leftovers *all, const char *name, const struct leftover *found) {
    struct leftover *one = find(all, name);
    if (!one)
        return false;
    one->changes += found->changes;
    one->quarantined += found->quarantined;
    if (quarantine_is_damaged(&found->damage))
        one->damage = found->damage;
    if (found->oldest_us < one->oldest_us)
        one->oldest_us = found->oldest_us;
    return true;
}

static bool find_in_journals(struct leftovers *all, const char *folder) {
    struct survey survey;
    bool good = survey_folder(folder, &survey);
    if (!good)
        return false;
    all->damaged = survey.damaged;
    all->failing = survey.failing;
    memcpy(all->damage, survey.problem, sizeof all->damage);
    all->only_low_water = survey.low_water_damaged && survey.files == 0;
    for (size_t i = 0; good && i < survey.space_count; i++) {
        const struct survey_space *space = &survey.spaces[i];
        struct leftover found = {.changes = space->records, .oldest_us = space->oldest_us};
        good = add(all, space->name, &found);
    }
    survey_free(&survey);
    return good;
}

/* The namespace of "quarantine-NAME" with this behind it; false: another file. */
static bool parse_quarantine(const char *file, const char *behind, char ret_name[NAME_SHOWN]) {
    static const char before[] = "quarantine-";
    size_t size = strlen(file), around = sizeof before - 1 + strlen(behind);
    if (size <= around || size - around >= NAME_SHOWN || strncmp(file, before, sizeof before - 1) != 0 ||
        strcmp(file + size - strlen(behind), behind) != 0)
        return false;
    snprintf(ret_name, NAME_SHOWN, "%.*s", (int)(size - around), file + sizeof before - 1);
    return true;
}

/* One that is given up is not needed, and one that is kept stays as it is, if it is there. */
static bool damage_refuses(const struct tier_options *options, const char *name,
                           const struct quarantine_damage *damage) {
    enum fate fate = leftovers_decide(options, name);
    return quarantine_is_damaged(damage) && fate != FATE_DISCARDED && (damage->gone || fate != FATE_KEPT);
}

static bool find_in_quarantine(struct leftovers *all, const struct tier_options *options, const char *file,
                               const char *name) {
    char path[PATH_SHOWN];
    struct quarantine_summary summary;
    snprintf(path, sizeof path, "%s/%s", options->data, file);
    if (!quarantine_look(&journal_disk_system, path, &summary)) {
        snprintf(all->unread, sizeof all->unread, "/%s", file);
        return false;
    }
    if (damage_refuses(options, name, &summary.damage) && all->spoilt++ == 0)
        quarantine_damage_refuses(path, &summary.damage, all->spoilt_damage, sizeof all->spoilt_damage);
    struct leftover found = {.quarantined = summary.entries,
                             .oldest_us = summary.oldest * UINT64_C(1000000),
                             .damage = summary.damage};
    bool any = leftovers_hold(&found) || quarantine_is_damaged(&found.damage);
    return !any || add(all, name, &found);
}

/* One that should be there, and is not. */
static bool find_gone(struct leftovers *all, const struct tier_options *options, const char *name) {
    char path[PATH_SHOWN], file[NAME_SHOWN + 32];
    struct quarantine_summary summary;
    snprintf(file, sizeof file, "quarantine-%s.log", name);
    snprintf(path, sizeof path, "%s/%s", options->data, file);
    if (access(path, F_OK) == 0 || errno != ENOENT ||
        !quarantine_look(&journal_disk_system, path, &summary) || !summary.damage.gone)
        return true;
    return find_in_quarantine(all, options, file, name);
}

static bool find_in_quarantines(struct leftovers *all, const struct tier_options *options) {
    DIR *stream = opendir(options->data);
    bool good = true;
    if (!stream)
        return errno == ENOENT;
    for (struct dirent *found; good && (found = readdir(stream));) {
        char name[NAME_SHOWN];
        if (parse_quarantine(found->d_name, ".log", name))
            good = find_in_quarantine(all, options, found->d_name, name);
        else if (parse_quarantine(found->d_name, ".note", name))
            good = find_gone(all, options, name);
    }
    int failure = errno;
    closedir(stream);
    errno = failure;
    return good;
}

void leftovers_forget(struct leftovers *all) {
    free(all->list);
    all->list = NULL;
    all->count = all->damaged = 0;
}

bool leftovers_look(const struct tier_options *options, bool at_journals, struct leftovers *ret_all) {
    *ret_all = (struct leftovers){0};
    if (find_in_quarantines(ret_all, options) && (!at_journals || find_in_journals(ret_all, options->data)))
        return true;
    int failure = errno;
    leftovers_forget(ret_all);
    errno = failure;
    return false;
}

/* ---- Deciding ---- */

static bool is_default(const struct tier_options *options, const char *name) {
    for (size_t i = 0; i < options->space_count; i++)
        if (!*options->spaces[i].prefix)
            return false;
    return strcmp(name, SPACE_DEFAULT_NAME) == 0;
}

const struct space_options *leftovers_space_of(const struct tier_options *options, const char *name) {
    for (size_t i = 0; i < options->space_count; i++)
        if (strcmp(options->spaces[i].name, name) == 0)
            return &options->spaces[i];
    return NULL;
}

static bool is_among(const char *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

bool leftovers_are_kept(const struct tier_options *options, const char *name) {
    return is_among(options->recovery.keep, options->recovery.keep_count, name);
}

enum fate leftovers_decide(const struct tier_options *options, const char *name) {
    const struct space_options *space = leftovers_space_of(options, name);
    if (is_among(options->recovery.discard, options->recovery.discard_count, name))
        return FATE_DISCARDED;
    if (!space)
        return leftovers_are_kept(options, name) && !is_default(options, name) ? FATE_KEPT : FATE_REFUSED;
    if (space->policy->holds_back)
        return FATE_RESTORED;
    return options->recovery.flush && space->backend >= 0 ? FATE_FLUSHED : FATE_REFUSED;
}

/* ---- Saying ---- */

/* "2 acknowledged changes of namespace "x" (the oldest of 2026-01-31T12:00:00Z, 1 of them in quarantine)" */
void leftovers_describe(const struct leftover *one, char ret_text[SENTENCE]) {
    char time[CLOCK_TEXT_MAX], quarantined[64] = "";
    uint64_t all = one->changes + one->quarantined;
    if (one->quarantined)
        snprintf(quarantined, sizeof quarantined, ", %" PRIu64 " of them in quarantine", one->quarantined);
    snprintf(ret_text, SENTENCE, "%s of namespace \"%s\" (the oldest of %s%s)",
             count_text(all, "acknowledged change", "acknowledged changes").text, one->name,
             clock_text(one->oldest_us, 0, time), quarantined);
}

const char *leftovers_intention(enum fate fate) {
    switch (fate) {
    case FATE_RESTORED:
        return "the start takes it back";
    case FATE_FLUSHED:
        return "the start writes it to the backend first";
    case FATE_DISCARDED:
        return "the start gives it up";
    case FATE_KEPT:
    case FATE_REFUSED:
        break;
    }
    return "the namespace is not configured: this is kept, as --recover=keep says";
}

void leftovers_refuse_one(const struct tier_options *options, const struct leftover *one, char *ret_error,
                          size_t error_size) {
    char what[SENTENCE];
    const struct space_options *space = leftovers_space_of(options, one->name);
    leftovers_describe(one, what);
    if (!space && !is_default(options, one->name))
        fit_print(
            ret_error, error_size,
            "%s holds %s, not known to be in any backend; that namespace is not configured now, and its keys would be answered without this. Configure it again and start once, so that all is written (if it was renamed: by its old name), or start with --recover=keep:%s to leave it there, or with --recover=discard:%s to give it up",
            options->data, what, one->name, one->name);
    else if (!space || space->backend < 0)
        fit_print(
            ret_error, error_size,
            "%s holds %s, not known to be in any backend, and the namespace is cache-aside now and has no backend. Start once with its old policy and backend, so that all is written, or with --recover=discard:%s to give it up",
            options->data, what, one->name);
    else
        fit_print(
            ret_error, error_size,
            "%s holds %s, not known to be in backend \"%s\", and the namespace is %s now. Start once with --recover=flush to have it written there first, or with --recover=discard:%s to give it up, or go back to policy = \"write-behind\"",
            options->data, what, options->backends[space->backend].store.name, space->policy->name,
            one->name);
}

void leftovers_refuse(const struct tier_options *options, const char *name, char *ret_error,
                      size_t error_size) {
    struct leftover none = {.changes = 1, .oldest_us = wall_us()};
    struct leftovers all;
    const struct leftover *one = NULL;
    snprintf(none.name, sizeof none.name, "%s", name);
    if (leftovers_look(options, true, &all))
        one = find(&all, name);
    leftovers_refuse_one(options, one && leftovers_hold(one) ? one : &none, ret_error, error_size);
    leftovers_forget(&all);
}

bool leftovers_out_of_reach(const struct tier_options *options, const struct leftovers *all, char *ret_error,
                            size_t error_size) {
    fit_print(ret_error, error_size, "What earlier runs left in %s%s cannot be read by user %u: %s%s",
              options->data, all->unread, (unsigned)geteuid(), own_file_reason(errno).text,
              errno == EACCES ? "; chown -R the data folder to him." : ".");
    return false;
}

/* ---- Giving up ---- */

static bool discard(const struct tier_options *options, const struct leftover *one, char *error,
                    size_t error_size) {
    char what[SENTENCE], path[PATH_SHOWN];
    struct service service = {options->wake, options->log, options->context};
    bool spoilt = quarantine_is_damaged(&one->damage);
    snprintf(path, sizeof path, "%s/quarantine-%s.log", options->data, one->name);
    if ((one->quarantined || spoilt) && !quarantine_forget(&journal_disk_system, path)) {
        fit_print(error, error_size, "Cannot remove %s: %s.", path, strerror(errno));
        return false;
    }
    leftovers_describe(one, what); /* those in the journal: when that is opened */
    if (!leftovers_hold(one))
        snprintf(what, sizeof what, "%.300s, which %s", path, one->damage.gone ? "is missing" : "is damaged");
    service_log(&service, LOG_LEVEL_WARNING, "given up, as --recover=discard:%s says: %s", one->name, what);
    return true;
}

/* Mostly a slip of the pen. */
static void name_absent(const struct tier_options *options, struct leftovers *all) {
    struct service service = {options->wake, options->log, options->context};
    for (size_t i = 0; i < options->recovery.discard_count; i++) {
        const char *name = options->recovery.discard[i];
        bool found = false;
        for (size_t k = 0; k < all->count && !found; k++)
            found = strcmp(all->list[k].name, name) == 0;
        if (!found)
            service_log(&service, LOG_LEVEL_WARNING,
                        "--recover=discard:%s: nothing of a namespace \"%s\" lies in %s", name, name,
                        options->data);
    }
}

/* ---- Writing to backends first ---- */

static struct space_options *write_behind_again(const struct tier_options *options,
                                                const struct leftovers *all) {
    struct space_options *spaces = calloc(options->space_count + 1, sizeof *spaces);
    for (size_t i = 0; spaces && i < options->space_count; i++) {
        spaces[i] = options->spaces[i];
        spaces[i].preload = 0;
        for (size_t k = 0; k < all->count; k++) {
            if (strcmp(all->list[k].name, spaces[i].name) != 0 ||
                leftovers_decide(options, spaces[i].name) != FATE_FLUSHED)
                continue;
            spaces[i].policy = &policy_write_behind;
            spaces[i].journal = JOURNAL_OS;
        }
    }
    return spaces;
}

/* Entries in the quarantines of the namespaces that are write-behind for this alone; *ret_name is one of them. */
static size_t count_refused(struct tier *tier, const struct tier_options *options, const char **ret_name) {
    size_t refused = 0;
    for (size_t i = 0; i < tier_space_count(tier); i++) {
        const struct space *space = tier_space(tier, i);
        size_t count = quarantine_count(space->quarantine);
        if (count == 0 || leftovers_decide(options, space->options.name) != FATE_FLUSHED)
            continue;
        refused += count;
        *ret_name = space->options.name;
    }
    return refused;
}

static bool drain(struct tier *tier, const struct tier_options *options, char *error, size_t error_size) {
    const char *name = NULL;
    struct tier_left left;
    tier_drain(tier, &left);
    size_t refused = count_refused(tier, options, &name);
    if (left.entries == 0 && refused == 0)
        return true;
    if (left.entries)
        fit_print(
            error, error_size,
            "%s could not be written within drain_timeout, and what is left stays in %s. See to the backends and start again",
            count_text(left.entries, "change", "changes").text, options->data);
    else
        fit_print(
            error, error_size,
            "The backend still refuses %s in quarantine in %s, as in namespace \"%s\". Make the backend take them, go back to policy = \"write-behind\" to see them with `quarantine list`, or give them up with --recover=discard:%s",
            count_text(refused, "change", "changes").text, options->data, name, name);
    return false;
}

static bool flush_first(const struct tier_options *options, const struct leftovers *all, char *error,
                        size_t error_size) {
    struct tier_options writing = *options;
    struct tier *tier = NULL;
    struct space_options *spaces = write_behind_again(options, all);
    if (!spaces) {
        fit_print(error, error_size, "Out of memory.");
        return false;
    }
    writing.spaces = spaces;
    writing.recovery.writes_back = true;
    bool good = tier_create(&writing, &tier, error, error_size);
    if (good)
        good = drain(tier, options, error, error_size);
    tier_destroy(tier);
    free(spaces);
    return good;
}

/* ---- A start ---- */

/* What is wrong with a quarantine that no tier opens; with others it is found when that is done. */
static bool put_away(const struct tier_options *options, const struct leftover *one, enum fate fate,
                     char *error, size_t error_size) {
    char what[SENTENCE];
    struct service service = {options->wake, options->log, options->context};
    bool is_opened = fate == FATE_RESTORED || (fate != FATE_KEPT && leftovers_hold(one));
    if (is_opened || fate == FATE_DISCARDED || !damage_refuses(options, one->name, &one->damage))
        return true;
    if (!quarantine_put_away(&journal_disk_system, options->data, one->name, &one->damage, error, error_size))
        return false;
    quarantine_say_skipped(&one->damage, what, sizeof what);
    service_log(&service, LOG_LEVEL_ERROR, "namespace %s: its quarantine file in %s %s", one->name,
                options->data, what);
    return true;
}

static bool settle_one(const struct tier_options *options, const struct leftover *one, bool *ret_flush,
                       char *error, size_t error_size) {
    char what[SENTENCE];
    struct service service = {options->wake, options->log, options->context};
    enum fate fate = leftovers_decide(options, one->name);
    if (!put_away(options, one, fate, error, error_size))
        return false;
    if (fate != FATE_DISCARDED && !leftovers_hold(one))
        return true;
    leftovers_describe(one, what);
    switch (fate) {
    case FATE_REFUSED:
        leftovers_refuse(options, one->name, error, error_size);
        return false;
    case FATE_DISCARDED:
        return discard(options, one, error, error_size);
    case FATE_FLUSHED:
        *ret_flush = true;
        service_log(&service, LOG_LEVEL_NOTICE, "written to the backend before clients are served: %s", what);
        return true;
    case FATE_KEPT: /* what is in a journal is named by the journal */
        if (one->quarantined)
            service_log(&service, LOG_LEVEL_WARNING, "%s holds %s: %s", options->data, what,
                        leftovers_intention(FATE_KEPT));
        return true;
    case FATE_RESTORED:
        break;
    }
    return true;
}

/* The journals are read here only if that is told to be dealt with: their recovery finds what refuses a start. */
bool leftovers_settle(const struct tier_options *options, char *ret_error, size_t error_size) {
    struct leftovers all;
    bool good = true, flush = false, told = options->recovery.flush || options->recovery.discard_count > 0;
    if (!options->data || options->recovery.writes_back)
        return true;
    if (!leftovers_look(options, told, &all))
        return leftovers_out_of_reach(options, &all, ret_error, error_size);
    name_absent(options, &all);
    if (all.spoilt && !options->recovery.skip_damaged) {
        fit_print(ret_error, error_size, "%s", all.spoilt_damage);
        good = false;
    }
    for (size_t i = 0; good && i < all.count; i++)
        good = settle_one(options, &all.list[i], &flush, ret_error, error_size);
    if (good && flush)
        good = flush_first(options, &all, ret_error, error_size);
    leftovers_forget(&all);
    return good;
}
