/* SPDX-License-Identifier: MIT */
/*
 * What every backend owes to the policies (backends/backend.h), run against each kind of store.
 *
 * A kind (conformance/kinds.h) brings a way to make an empty store and to make it go away; the tests, a file for each
 * subject (conformance/subjects.h), know nothing else of it. A cluster is a kind once more while its slots move in a
 * loop: all that is promised holds then as well, but that a walk is whole. Times lie around the real clock, for stores
 * that look at it themselves.
 *
 * It is one program, as the servers of the whole run (conformance/servers.h) take seconds to start.
 */
#include "tests/backends/conformance/kinds.h"
#include "tests/backends/conformance/servers.h"
#include "tests/backends/conformance/subjects.h"
#include <signal.h>
#include <stdio.h>

static const struct subject *const subjects[] = {
    &about_rows,        &about_versions, &about_touches,  &about_conditions, &about_batches, &about_expiry,
    &about_connections, &about_scans,    &about_failures, &about_races,      &about_probes,
};

enum { SUBJECTS = sizeof subjects / sizeof subjects[0] };

int main(void) {
    int failed = 0;
    signal(SIGPIPE, SIG_IGN);
    if (!servers_start()) {
        fprintf(stderr, "redis-server (Debian: redis-server) is needed for these tests\n");
        return 1;
    }
    for (size_t i = 0; i < kind_count; i++)
        failed += subjects_run(kinds[i].name, subjects, SUBJECTS, (void *)&kinds[i]);
    if (servers_stop() == 0) {
        fprintf(stderr, "no key has moved with its slot: these tests have shown nothing\n");
        failed++;
    }
    return failed;
}
