/* SPDX-License-Identifier: MIT */
/* Lines for the operator, on standard error. */
#ifndef FOREBAY_SERVER_LOG_H
#define FOREBAY_SERVER_LOG_H

#include "cache/base/log.h"

struct server;

/* One line with time and level, if the verbosity asks for it. Any thread. */
void server_log(struct server *server, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
