/* SPDX-License-Identifier: MIT */
/* The registry of policies. Adding one: a file with its const struct policy, its name here and in policy.h. */
#include "policies/policy.h"
#include <stdio.h>

static const struct policy *const policies[] = {&policy_cache_aside, &policy_read_through,
                                                &policy_write_through, &policy_write_behind};

enum { POLICIES = sizeof policies / sizeof policies[0] };

const struct policy *policy_find(const char *name) {
    for (size_t i = 0; i < POLICIES; i++)
        if (strcmp(policies[i]->name, name) == 0)
            return policies[i];
    return NULL;
}

void policy_list(bool (*wanted)(const struct policy *policy), const char *quote, char *ret_text,
                 size_t size) {
    const char *names[POLICIES];
    size_t count = 0, used = 0;
    for (size_t i = 0; i < POLICIES; i++)
        if (!wanted || wanted(policies[i]))
            names[count++] = policies[i]->name;
    *ret_text = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const char *separator = i == 0 ? "" : i + 1 < count ? ", " : " or ";
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s%s%s", separator, quote, names[i], quote);
    }
}
