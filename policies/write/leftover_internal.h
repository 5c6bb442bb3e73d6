/* SPDX-License-Identifier: MIT */
/*
 * What the files about leftovers share: leftover.c finds them, decides and does what a start does with them;
 * leftover_check.c only tells. The thread that starts the server.
 */
#ifndef FOREBAY_POLICIES_WRITE_LEFTOVER_INTERNAL_H
#define FOREBAY_POLICIES_WRITE_LEFTOVER_INTERNAL_H

#include "policies/journal/survey.h"
#include "policies/tier.h"
#include "policies/write/quarantine.h"

enum { NAME_SHOWN = 64, SENTENCE = 400, PATH_SHOWN = 4096, PROBLEM_SHOWN = SURVEY_PROBLEM_MAX };

/* Of one namespace. */
struct leftover {
    char name[NAME_SHOWN];
    uint64_t changes;     /* in journals */
    uint64_t quarantined; /* in its quarantine */
    uint64_t oldest_us;
    struct quarantine_damage damage; /* of the quarantine's file */
};

struct leftovers {
    struct leftover *list;
    size_t count;
    size_t damaged;      /* files of journals, and low-water */
    size_t failing;      /* of these: no option of recovery helps */
    bool only_low_water; /* there is no file of a journal, and low-water is damaged */
    size_t spoilt;       /* quarantines whose damage refuses a start, or is passed over where that is told */
    /* What a start would say of the first of each. */
    char damage[PROBLEM_SHOWN], spoilt_damage[PROBLEM_SHOWN];
    char unread[NAME_SHOWN + 32]; /* the quarantine's file that could not be */
};

/* What becomes of it. */
enum fate { FATE_RESTORED, FATE_KEPT, FATE_FLUSHED, FATE_DISCARDED, FATE_REFUSED };

/* What lies in the data folder, to be forgotten; at_journals: in the journals as well. False: errno, and perhaps
 * ret_all->unread; nothing is to be forgotten. */
bool leftovers_look(const struct tier_options *options, bool at_journals, struct leftovers *ret_all);
void leftovers_forget(struct leftovers *all);

/* What is configured of a namespace; NULL: it is not. */
const struct space_options *leftovers_space_of(const struct tier_options *options, const char *name);

/* What becomes of what a namespace has left, by the configuration and what the operator has said. */
enum fate leftovers_decide(const struct tier_options *options, const char *name);

/* Whether there is anything: it may be that the quarantine's file is damaged and has nothing any more. */
static inline bool leftovers_hold(const struct leftover *one) {
    return one->changes + one->quarantined > 0;
}

/* How much of which namespace it is, and since when: part of a sentence. */
void leftovers_describe(const struct leftover *one, char ret_text[SENTENCE]);

/* What a start does then, in words; FATE_REFUSED has its own. */
const char *leftovers_intention(enum fate fate);

/* The sentence that refuses a start for it. */
void leftovers_refuse_one(const struct tier_options *options, const struct leftover *one, char *ret_error,
                          size_t error_size);

/* The sentence for what could not be looked at, as errno says; returns false. */
bool leftovers_out_of_reach(const struct tier_options *options, const struct leftovers *all, char *ret_error,
                            size_t error_size);

#endif
