/* SPDX-License-Identifier: MIT */
/*
 * Entries of a quarantine that are to be tried again, as an operator asked for or a lost store needs it.
 */
#include "policies/write/quarantine_list.h"

size_t quarantine_ask_retry(struct quarantine *quarantine, struct slice key) {
    size_t asked = 0;
    if (!quarantine)
        return 0;
    pthread_mutex_lock(&quarantine->mutex);
    struct refused *kept = key.size ? quarantine_list_find(quarantine, key) : quarantine->first;
    for (; kept; kept = key.size ? NULL : kept->next) {
        quarantine_list_set_retry(quarantine, kept, true);
        asked++;
    }
    pthread_mutex_unlock(&quarantine->mutex);
    return asked;
}

size_t quarantine_retries(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->retries, memory_order_relaxed) : 0;
}

void quarantine_put_off_retry(struct quarantine *quarantine, struct slice key) {
    pthread_mutex_lock(&quarantine->mutex);
    struct refused *kept = quarantine_list_find(quarantine, key);
    if (kept)
        quarantine_list_put_off(quarantine, kept);
    pthread_mutex_unlock(&quarantine->mutex);
}

size_t quarantine_put_off(const struct quarantine *quarantine) {
    return quarantine ? atomic_load_explicit(&quarantine->put_off, memory_order_relaxed) : 0;
}

void quarantine_go_on_retrying(struct quarantine *quarantine) {
    if (quarantine_put_off(quarantine) == 0)
        return;
    pthread_mutex_lock(&quarantine->mutex);
    for (struct refused *kept = quarantine->first; kept; kept = kept->next)
        if (kept->put_off)
            quarantine_list_set_retry(quarantine, kept, true);
    pthread_mutex_unlock(&quarantine->mutex);
}

static bool any_is_due(const struct quarantine *quarantine) {
    return quarantine_retries(quarantine) > quarantine_put_off(quarantine);
}

size_t quarantine_next_retries(struct quarantine *quarantine, size_t most, size_t most_bytes,
                               struct quarantine_retry *ret_retries) {
    size_t count = 0, bytes = 0;
    if (quarantine_retries(quarantine) == 0)
        return 0;
    pthread_mutex_lock(&quarantine->mutex);
    struct refused *kept = quarantine->retry_from;
    for (; kept && count < most && bytes < most_bytes && any_is_due(quarantine); kept = kept->next) {
        if (!kept->retry || kept->put_off)
            continue;
        quarantine_list_set_retry(quarantine, kept, false);
        ret_retries[count++] = (struct quarantine_retry){entry_copy_share(kept->copy), kept->kind};
        bytes += kept->copy->entry.value.size;
    }
    quarantine->retry_from = any_is_due(quarantine) ? kept : NULL;
    pthread_mutex_unlock(&quarantine->mutex);
    return count;
}
