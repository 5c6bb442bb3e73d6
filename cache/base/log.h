/* SPDX-License-Identifier: MIT */
/* How weighty a line for the operator is. The program decides where lines go (tier_options.log). */
#ifndef FOREBAY_CACHE_BASE_LOG_H
#define FOREBAY_CACHE_BASE_LOG_H

enum log_level {
    LOG_LEVEL_ERROR,   /* somebody has to act */
    LOG_LEVEL_WARNING, /* something failed and is being retried, or was refused */
    LOG_LEVEL_NOTICE,  /* starts, stops, recoveries */
    LOG_LEVEL_DEBUG,   /* -v and more */
};

#endif
