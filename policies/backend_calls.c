/* SPDX-License-Identifier: MIT */
/* See backend_calls.h. */
#include "policies/backend_calls.h"

void backend_call_note(struct backend_calls *calls, enum backend_call call, uint64_t took_us,
                       enum backend_status status) {
    histogram_add_shared(&calls->times[call], took_us);
    count_shared(&calls->endings[call][status]);
}

void backend_calls_read(const struct backend_calls *calls, struct backend_calls_sum *ret_sum) {
    *ret_sum = (struct backend_calls_sum){.log_bytes = counted(&calls->log_bytes)};
    for (int call = 0; call < BACKEND_CALLS; call++) {
        histogram_collect(&ret_sum->times[call], &calls->times[call]);
        for (int status = 0; status < BACKEND_STATUSES; status++)
            ret_sum->endings[call][status] = counted(&calls->endings[call][status]);
    }
    for (int role = 0; role < BACKEND_ROLES; role++)
        ret_sum->reconnects[role] = counted(&calls->reconnects[role]);
}

const char *backend_call_name(enum backend_call call) {
    static const char *const names[BACKEND_CALLS] = {
        [CALL_OPEN] = "open", [CALL_VERSION] = "version",   [CALL_LOAD] = "load", [CALL_APPLY] = "apply",
        [CALL_SCAN] = "scan", [CALL_MAINTAIN] = "maintain", [CALL_LOOK] = "look", [CALL_COMPARE] = "compare",
    };
    return names[call];
}

const char *backend_status_name(enum backend_status status) {
    static const char *const names[BACKEND_STATUSES] = {
        [BACKEND_OK] = "ok",
        [BACKEND_TRANSIENT] = "transient",
        [BACKEND_TABLE_FAILED] = "table_failed",
        [BACKEND_PERMANENT] = "permanent",
        [BACKEND_REPLACED] = "replaced",
        [BACKEND_REFUSED] = "refused",
    };
    return names[status];
}

const char *backend_role_name(enum backend_role role) {
    return role == BACKEND_WRITER ? "write" : "read";
}
