/* SPDX-License-Identifier: MIT */
/*
 * `--check`: all that a start does, short of serving. The configuration has been read by then; what is left is the
 * world around it: authentication file, limits, addresses, user, folders, what earlier runs have left, backends, pid
 * file.
 *
 * All faults are told, not only the first. Nothing outside this process is changed, and a server may be running with
 * the same configuration: what it holds is told, and is no fault. This process itself is: it gives up root as a start
 * does.
 */
#ifndef FOREBAY_SERVER_CHECK_H
#define FOREBAY_SERVER_CHECK_H

#include "server/config/config.h"
#include "server/config/options.h"

/* The exit status. Faults and warnings go to standard error, the rest to standard output. settings->max_connections
 * becomes what there is room for, as at a start. */
int check_start(struct settings *settings, struct config *config, struct options *options);

#endif
