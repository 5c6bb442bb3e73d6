/* SPDX-License-Identifier: MIT */
/* See damage.h. */
#include "policies/journal/damage.h"
#include "cache/base/fit.h"
#include <inttypes.h>

void damage_refuses(const char *folder, const char *name, const struct damage *damage, char *ret_text,
                    size_t size) {
    fit_print(ret_text, size,
              "journal: %s/%s is damaged: %s at offset %" PRIu64 " (%" PRIu64
              " bytes). What it held is lost; to start without it, use --recover=skip-damaged",
              folder, name, damage->what, damage->offset, damage->bytes);
}

void damage_of_missing_refuses(const char *folder, const char *name, char *ret_text, size_t size) {
    fit_print(
        ret_text, size,
        "journal: %s/%s is missing: it was in use when the server ended. Put it back; what it held is lost otherwise. To start without it, use --recover=skip-damaged",
        folder, name);
}

void damage_of_low_water_refuses(const char *folder, char *ret_text, size_t size) {
    fit_print(ret_text, size,
              "journal: %s/low-water is damaged: both copies fail their check, at offset 0. "
              "To apply all records again, also those that were flushed before, use --recover=skip-damaged",
              folder);
}
