/* SPDX-License-Identifier: MIT */
/*
 * See company.h.
 *
 * Versions are drawn by the store's clock as far as that is ahead of this machine's: of two nodes over one store, the
 * change that was made later has the higher version then, whatever their clocks say. By how much it is ahead is known
 * to lie between two bounds; what is taken is moved no further than they ask for, so that it stays while nothing
 * changes. A store whose clock is behind changes nothing: the versions of this node are ahead then, and others go on
 * above what they see of them.
 */
#include "policies/write/company.h"
#include "policies/tell.h"
#include "policies/write/internal.h"

#define CLOCK_OFF_US  (INT64_C(100) * US_PER_MS)
#define TELL_AGAIN_US (UINT64_C(600) * US_PER_SECOND)
#define CLOCK_AHEAD_MAX                                                                                      \
    (INT64_C(86400) * US_PER_SECOND) /* more is no clock that is off, but one that is wrong */

static const struct backend_company *company_of(const struct writer *writer) {
    return &writer->session.connection->company;
}

/* ---- The clock ---- */

static int64_t within(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

static void correct_clock(struct writer *writer) {
    const struct backend_company *company = company_of(writer);
    struct tier *tier = writer->tier;
    int64_t ahead = atomic_load_explicit(&writer->backend->ahead_us, memory_order_relaxed), most = 0;
    ahead = within(within(ahead, company->ahead_least_us, company->ahead_most_us), 0, CLOCK_AHEAD_MAX);
    atomic_store_explicit(&writer->backend->ahead_us, ahead, memory_order_relaxed);
    for (size_t i = 0; i < tier->backend_count; i++) {
        int64_t one = atomic_load_explicit(&tier->backends[i].ahead_us, memory_order_relaxed);
        most = one > most ? one : most;
    }
    atomic_store_explicit(&tier->ahead_us, (uint64_t)most, memory_order_relaxed);
}

static bool is_due(uint64_t *told_us) {
    uint64_t now_us = monotonic_us();
    if (*told_us && now_us - *told_us < TELL_AGAIN_US)
        return false;
    *told_us = now_us;
    return true;
}

/* Ahead or behind; 0: as far as can be told, not at all. */
static int64_t clock_off_us(const struct backend_company *company) {
    return company->ahead_least_us > 0  ? company->ahead_least_us
           : company->ahead_most_us < 0 ? -company->ahead_most_us
                                        : 0;
}

static void look_at_clock(struct writer *writer) {
    const struct backend_company *company = company_of(writer);
    int64_t off_us = clock_off_us(company);
    bool ahead = company->ahead_least_us > 0;
    atomic_store_explicit(&writer->backend->clock_off_us, (uint64_t)off_us, memory_order_relaxed);
    if (off_us <= CLOCK_OFF_US)
        writer->company.clock_us = 0;
    else if (is_due(&writer->company.clock_us))
        tell_of_backend(
            writer->backend, NULL, LOG_LEVEL_ERROR,
            "backend %s: its clock is %lld ms %s this machine's: of changes of several nodes the wrong one may win; set the clocks right",
            writer->backend->options.store.name, (long long)off_us / US_PER_MS,
            ahead ? "ahead of" : "behind");
}

/* ---- The neighbours ---- */

static void look_at_complaint(struct writer *writer) {
    const char *complaint = company_of(writer)->complaint;
    atomic_store_explicit(&writer->backend->rival, *complaint != '\0', memory_order_relaxed);
    if (!*complaint)
        writer->company.complaint_us = 0;
    else if (is_due(&writer->company.complaint_us))
        tell_of_backend(writer->backend, NULL, LOG_LEVEL_ERROR, "%s", complaint);
}

static bool keeps_copies_for_ever(const struct writer *writer, const struct space *space) {
    return space->backend == writer->backend && !writer->backend->options.store.coherent &&
           !space_is_retired(space) && !space->options.max_residency;
}

/* The names of these namespaces, as many as fit. */
static size_t list_keepers(const struct writer *writer, char *ret_names, size_t size) {
    const struct tier *tier = writer->tier;
    size_t used = 0;
    *ret_names = '\0';
    for (size_t i = 0; i < tier->space_count; i++) {
        const char *name = tier->spaces[i].options.name;
        if (keeps_copies_for_ever(writer, &tier->spaces[i]) && used + strlen(name) + 3 < size)
            used += (size_t)snprintf(ret_names + used, size - used, "%s%s", used ? ", " : "", name);
    }
    return used;
}

/* Once: it is how the servers are set up. */
static void look_at_residency(struct writer *writer) {
    char names[300];
    unsigned others = company_of(writer)->others;
    if (others == 0 || writer->company.residency || list_keepers(writer, names, sizeof names) == 0)
        return;
    writer->company.residency = true;
    tell_of_backend(
        writer->backend, NULL, LOG_LEVEL_WARNING,
        "backend %s: %u more %s its rows, and nobody tells this one of changes, as coherent of the backend would: old copies are served as long as memory has room for them. Set max_residency, the longest that a copy may be old, for: %s",
        writer->backend->options.store.name, others, others == 1 ? "server keeps" : "servers keep", names);
}

void company_note(struct writer *writer) {
    if (!session_is_open(&writer->session))
        return;
    atomic_store_explicit(&writer->backend->others, company_of(writer)->others, memory_order_relaxed);
    correct_clock(writer);
    look_at_clock(writer);
    look_at_complaint(writer);
    look_at_residency(writer);
}
