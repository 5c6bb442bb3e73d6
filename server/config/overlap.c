/* SPDX-License-Identifier: MIT */
/*
 * No two namespaces keep entries in one place: clients of one would read and write the other's, in two cache entries
 * of one row. What is one place, the kind of backend knows; which keys a namespace has, is known here.
 *
 * Two namespaces that both only read are let alone: they store nothing, and both show what the application wrote.
 */
#include "policies/policy.h"
#include "server/config/internal.h"

static enum backend_nearness same_store(const struct config_loading *loading, const struct space_draft *a,
                                        const struct space_draft *b) {
    if (a->options.backend == b->options.backend)
        return BACKEND_SAME;
    return a->type->same_store(&loading->backends[a->options.backend].options.store,
                               &loading->backends[b->options.backend].options.store);
}

/* Whether keys that begin so are those of a namespace with a longer prefix. */
static bool are_anothers(const struct config_loading *loading, const struct space_draft *draft,
                         const char *start) {
    size_t size = strlen(draft->options.prefix);
    for (size_t i = 0; i < loading->space_count; i++) {
        const char *prefix = loading->spaces[i].options.prefix;
        if (strlen(prefix) > size && strncmp(start, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

/* What keys of a have to do with the entries of b, in one store. */
static enum backend_nearness overlap(const struct config_loading *loading, const struct space_draft *a,
                                     const struct space_draft *b, struct backend_meeting *ret_meeting) {
    enum backend_nearness nearness = a->type->overlap(&a->options.table, &b->options.table, ret_meeting);
    if (nearness != BACKEND_APART && *ret_meeting->start && are_anothers(loading, a, ret_meeting->start))
        return BACKEND_APART;
    return nearness;
}

static bool only_read(const struct space_draft *a, const struct space_draft *b) {
    return a->options.policy == &policy_read_through && b->options.policy == &policy_read_through;
}

static bool check_pair(struct config_loading *loading, const struct space_draft *later,
                       const struct space_draft *earlier) {
    struct backend_meeting meeting;
    if (!later->type || later->type != earlier->type || only_read(later, earlier))
        return true;
    enum backend_nearness store = same_store(loading, later, earlier), rows = BACKEND_APART;
    if (store != BACKEND_APART)
        rows = overlap(loading, later, earlier, &meeting);
    if (store != BACKEND_APART && rows == BACKEND_APART)
        rows = overlap(loading, earlier, later, &meeting);
    if (rows == BACKEND_APART)
        return true;
    bool has = config_find(later->section, meeting.complaint.setting) ||
               !config_find(earlier->section, meeting.complaint.setting);
    int line = config_line((has ? later : earlier)->section, meeting.complaint.setting);
    if (store == BACKEND_SAME && rows == BACKEND_SAME)
        return config_fail(&loading->report, line, "%s", meeting.complaint.message);
    if (later->options.absent_filter || earlier->options.absent_filter)
        return config_fail(
            &loading->report,
            config_line((later->options.absent_filter ? later : earlier)->section, "absent_filter"),
            "absent_filter: namespace \"%s\" may write rows of \"%s\", or the other way round: remove it, or keep their rows apart",
            later->options.name, earlier->options.name);
    const char *doubt =
        store == BACKEND_SAME ? "" : " (if both backends are one store, which cannot be seen here)";
    buffer_print(loading->warnings, "%s:%d: %s%s\n", loading->report.path, line, meeting.complaint.message,
                 doubt);
    return true;
}

/* A copy against the namespaces, its own one included, and the copies before it. */
static bool check_copy(struct config_loading *loading, size_t index) {
    struct space_draft copy, other;
    if (!config_draft_of_copy(loading, &loading->spaces[index], &copy))
        return true;
    for (size_t i = 0; i < loading->space_count; i++)
        if (!check_pair(loading, &copy, &loading->spaces[i]) ||
            (i < index && config_draft_of_copy(loading, &loading->spaces[i], &other) &&
             !check_pair(loading, &copy, &other)))
            return false;
    return true;
}

bool config_check_overlaps(struct config_loading *loading) {
    for (size_t i = 0; i < loading->space_count; i++)
        for (size_t j = 0; j < i; j++)
            if (!check_pair(loading, &loading->spaces[i], &loading->spaces[j]))
                return false;
    for (size_t i = 0; i < loading->space_count; i++)
        if (!check_copy(loading, i))
            return false;
    return true;
}
