/* SPDX-License-Identifier: MIT */
/* How damage of a quarantine's file is told, in the same words by whoever finds it: as a refusal, or as what was
 * skipped. */
#include "cache/base/count_text.h"
#include "cache/base/fit.h"
#include "policies/write/quarantine.h"

void quarantine_damage_refuses(const char *path, const struct quarantine_damage *damage, char *ret_text,
                               size_t size) {
    if (damage->gone)
        fit_print(
            ret_text, size,
            "The quarantine file %s is missing: it held %s when the server ended. Put it back; what it held is lost otherwise. To start without it, use --recover=skip-damaged.",
            path, count_text(damage->gone, "entry", "entries").text);
    else if (damage->places == 0)
        fit_print(ret_text, size,
                  "The quarantine file %s is damaged: records that were synced are missing at offset %" PRIu64
                  " (%" PRIu64
                  " bytes). What they held is lost; to start without it, use --recover=skip-damaged.",
                  path, damage->end, damage->missing);
    else
        fit_print(ret_text, size,
                  "The quarantine file %s is damaged: no record that passes its check at offset %" PRIu64
                  " (%" PRIu64
                  " bytes in %s). What they held is lost; to start without it, use --recover=skip-damaged.",
                  path, damage->offset, damage->bytes, count_text(damage->places, "place", "places").text);
}

void quarantine_say_skipped(const struct quarantine_damage *damage, char *ret_text, size_t size) {
    if (damage->gone)
        fit_print(ret_text, size, "is missing: what it held, %s, is lost",
                  count_text(damage->gone, "entry", "entries").text);
    else if (damage->places == 0)
        fit_print(ret_text, size,
                  "is damaged: records that were synced are missing at offset %" PRIu64 " (%" PRIu64
                  " bytes), and the file is kept there under a name that begins with damaged-",
                  damage->end, damage->missing);
    else
        fit_print(
            ret_text, size,
            "is damaged: no record that passes its check at offset %" PRIu64 "; %" PRIu64
            " bytes in %s are skipped, and the file is kept there under a name that begins with damaged-",
            damage->offset, damage->bytes, count_text(damage->places, "place", "places").text);
}
