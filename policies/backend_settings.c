/* SPDX-License-Identifier: MIT */
/* The settings that backends of all kinds have: one row each. */
#include "policies/tier.h"

#define IN(member) offsetof(struct tier_backend_options, member)

const struct setting tier_backend_settings[] = {
    {"uri", SETTING_TEXT, IN(store.uri), .minimum = 1, .change = SETTING_FIXED,
     .about =
         "where the store is, must be given: `sqlite:PATH` (without `//`: a whole path begins with one `/`, any other lies in the data folder); `redis://[user:password@]host:port/db`; `redis+unix:///path`; `redis+sentinel://host:port,host:port/master`"},
    {"readers", SETTING_COUNT, IN(readers), 1, 64, .standard = 2, .change = SETTING_FIXED,
     .about = "threads that load entries"},
    {"timeout", SETTING_MILLISECONDS, IN(store.timeout_ms), 1, 3600000, .standard = 2000,
     .change = SETTING_FIXED,
     .about = "waiting longer than this for a lock or an answer is a failure, and is retried"},
    {"coherent", SETTING_SWITCH, IN(store.coherent), .standard = false, .change = SETTING_FIXED,
     .about =
         "`true` where [several servers share the store](growth.md), Redis alone: what another one changes is forgotten here"},
    {"coherence_limit", SETTING_MILLISECONDS, IN(coherence_limit), 200, 3600000, .standard = 1000,
     .change = SETTING_FIXED,
     .about =
         "with `coherent`: no read is older than that; once it is not certain that changes are heard, reads go to the store"},
    {0},
};

void tier_backend_options_complete(struct tier_backend_options *options) {
    struct tier_backend_options standard = {.readers = 0};
    setting_set_defaults(tier_backend_settings, &standard);
    if (!options->readers)
        options->readers = standard.readers;
    if (!options->store.timeout_ms)
        options->store.timeout_ms = standard.store.timeout_ms;
    if (!options->coherence_limit)
        options->coherence_limit = standard.coherence_limit;
}
