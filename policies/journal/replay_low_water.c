/* SPDX-License-Identifier: MIT */
/*
 * From which version on the records of a namespace count: as the low-water file says at the start, and as it is written
 * anew when all is read.
 */
#include "cache/base/own_file.h"
#include "policies/journal/listed.h"
#include "policies/journal/replay.h"
#include <errno.h>

enum journal_status replay_read_low_waters(struct recovering *self) {
    const struct journal *journal = self->journal;
    enum low_water_status status = low_water_file_read(journal->disk, journal->folder, &self->low_waters);
    if (status == LOW_WATER_FAILED)
        return replay_fail(self, JOURNAL_FAILED, "journal: cannot read %s/low-water: %s", journal->folder,
                           own_file_reason(errno).text);
    if (status == LOW_WATER_DAMAGED) {
        if (!self->skip_damaged) {
            damage_of_low_water_refuses(journal->folder, self->error->message, sizeof self->error->message);
            return JOURNAL_DAMAGED;
        }
        self->recovery->skipped_damaged++;
        journal_log(journal, LOG_LEVEL_WARNING,
                    "journal: %s/low-water is damaged: all records are applied again", journal->folder);
    }
    for (size_t i = 0; i < self->low_waters.count; i++)
        if (self->low_waters.list[i].version > self->recovery->highest_version)
            self->recovery->highest_version = self->low_waters.list[i].version;
    return JOURNAL_OK;
}

/* From which version on a namespace's records count. 0: all. */
static uint64_t low_water_of(struct recovering *self, struct slice space) {
    const struct low_water *old = low_waters_find(&self->low_waters, space);
    const uint64_t *given_up = replay_given_up(self, space);
    uint64_t version = old ? old->version : 0;
    return given_up && *given_up > version ? *given_up : version;
}

static bool start_low_water(struct recovering *self, struct slice space) {
    struct low_waters *low_waters = &self->journal->low_waters;
    const struct low_water *old = low_waters_find(&self->low_waters, space);
    if (!low_waters_add(low_waters, space, low_water_of(self, space)))
        return false;
    if (old) {
        low_waters->list[low_waters->count - 1].mark = old->mark;
        low_waters->list[low_waters->count - 1].forgotten = old->forgotten;
    }
    return true;
}

/* What was noted holds until more is told. */
static void take_noted_over(struct journal *journal) {
    for (size_t i = 0; i < journal->space_count; i++) {
        const struct low_water *noted = &journal->low_waters.list[i];
        atomic_store(&journal->passing[i].low_water, noted->version);
        atomic_store(&journal->passing[i].mark, noted->mark);
        atomic_store(&journal->passing[i].forgotten, noted->forgotten);
    }
}

enum journal_status replay_start_low_waters(struct recovering *self) {
    struct journal *journal = self->journal;
    struct low_waters *low_waters = &journal->low_waters;
    bool good = true;
    for (size_t i = 0; good && i < journal->space_count; i++)
        good = start_low_water(self, journal->spaces[i]);
    for (size_t i = 0; good && i < self->unknown_count; i++) {
        struct slice space = slice_of(self->unknown[i].name, self->unknown[i].size);
        good = low_water_of(self, space) == 0 || start_low_water(self, space);
    }
    low_waters->serial = self->low_waters.serial;
    low_waters->on_disk = self->low_waters.on_disk;
    if (good) {
        take_noted_over(journal);
        listed_renew(journal);
        good = low_water_file_create(journal->disk, journal->folder, low_waters) ||
               (low_water_file_fits(low_waters) &&
                low_water_file_update(journal->disk, journal->folder, low_waters));
    }
    if (!good)
        return replay_fail(self, JOURNAL_FAILED, "journal: cannot write %s/low-water: %s", journal->folder,
                           own_file_reason(errno).text);
    listed_note_written(journal);
    return JOURNAL_OK;
}
