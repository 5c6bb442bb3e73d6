/* SPDX-License-Identifier: MIT */
/* The registry of policies. Adding one: a file with its const struct policy, its name here and in policy.h. */
#include "policies/policy.h"

const struct policy *policy_find(const char *name) {
    static const struct policy *const policies[] = {&policy_cache_aside, &policy_read_through,
                                                    &policy_write_through, &policy_write_behind};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (strcmp(policies[i]->name, name) == 0)
            return policies[i];
    return NULL;
}
