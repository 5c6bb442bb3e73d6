/* SPDX-License-Identifier: MIT */
/*
 * Whose records count: a namespace may be configured, not configured any more, or given up.
 */
#include "cache/base/count_text.h"
#include "policies/journal/replay.h"
#include <stdlib.h>

static bool find_unknown(struct recovering *self, struct slice space, size_t *ret_index) {
    for (size_t i = 0; i < self->unknown_count; i++)
        if (slice_equal(space, slice_of(self->unknown[i].name, self->unknown[i].size))) {
            *ret_index = i;
            return true;
        }
    struct unknown_space *longer = realloc(self->unknown, (self->unknown_count + 1) * sizeof *longer);
    if (!longer)
        return false;
    self->unknown = longer;
    char *name = malloc(space.size + 1);
    if (!name)
        return false;
    memcpy(name, space.data, space.size);
    name[space.size] = '\0';
    *ret_index = self->unknown_count;
    self->unknown[self->unknown_count++] = (struct unknown_space){.name = name, .size = space.size};
    return true;
}

uint64_t *replay_given_up(const struct recovering *self, struct slice space) {
    for (size_t i = 0; i < self->options->discarded_count; i++)
        if (slice_equal(self->options->discarded[i], space))
            return &self->given_up[i];
    return NULL;
}

bool replay_decide_fates(struct recovering *self) {
    const struct journal *journal = self->journal;
    free(self->fates);
    self->fates = calloc(self->walk.header.space_count + 1, sizeof *self->fates);
    self->from_earlier_boot = !format_is_same_boot(self->walk.header.boot, journal->boot);
    for (size_t i = 0; self->fates && i < self->walk.header.space_count; i++) {
        struct space_fate *fate = &self->fates[i];
        const struct low_water *low_water = low_waters_find(&self->low_waters, self->walk.header.spaces[i]);
        fate->low_water = low_water ? low_water->version : 0;
        fate->given_up = replay_given_up(self, self->walk.header.spaces[i]);
        for (size_t k = 0; k < journal->space_count && !fate->known; k++) {
            fate->known = slice_equal(journal->spaces[k], self->walk.header.spaces[i]);
            fate->index = k;
        }
        if (!fate->known && !find_unknown(self, self->walk.header.spaces[i], &fate->index))
            return false;
    }
    return self->fates != NULL;
}

bool replay_keep_unknown(struct recovering *self, struct journal_file *file, size_t index) {
    struct journal_replayer *replayer = self->replayer;
    struct unknown_space *unknown = &self->unknown[index];
    if (unknown->records == 0 && replayer->keeps &&
        !replayer->keeps(replayer, slice_of(unknown->name, unknown->size)))
        return false;
    unknown->records++;
    unknown->files += unknown->last_file != replay_file_name(self);
    unknown->last_file = replay_file_name(self);
    file->pinned = true;
    return true;
}

void replay_name_unknown(const struct recovering *self) {
    for (size_t i = 0; i < self->unknown_count; i++)
        if (self->unknown[i].records > 0)
            journal_log(
                self->journal, LOG_LEVEL_WARNING,
                "journal: %s to namespace '%s', which is not configured: kept, in %s of %s, until it is configured again or given up with --recover=discard:%s",
                count_text(self->unknown[i].records, "record belongs", "records belong").text,
                self->unknown[i].name, count_text(self->unknown[i].files, "file", "files").text,
                self->journal->folder, self->unknown[i].name);
}

void replay_free_fates(struct recovering *self) {
    for (size_t i = 0; i < self->unknown_count; i++)
        free(self->unknown[i].name);
    free(self->unknown);
    free(self->given_up);
    free(self->fates);
}
