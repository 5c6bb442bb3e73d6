/* SPDX-License-Identifier: MIT */
/*
 * forebay-top: shows live what a Forebay does, over its memcached port.
 *
 *     options -> wire -> sample -> model -> view -> screen (a terminal)
 *                                       \-> print (--once)
 *
 * Everything but the screen is plain C without curses, and what needs neither a server nor a terminal is pure. It is
 * not part of the server, and shares with it only what lies in cache/base, how times are written, and what finds slips
 * on a command line.
 */
#include "cache/base/standard_files.h"
#include "tools/top/live.h"
#include "tools/top/once.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64 };

/* What was printed may have gone into a file on a full disk, and is not taken for the whole then. */
static int end_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "forebay-top: standard output cannot be written: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

int main(int count, char **arguments) {
    struct options options;
    int status = EXIT_SUCCESS;
    standard_files_hold();
    switch (options_read(count, arguments, &options)) {
    case OPTIONS_GOOD:
        status = options.once ? end_output(once_run(&options)) : live_run(&options);
        break;
    case OPTIONS_WRONG:
        status = EXIT_USAGE;
        break;
    case OPTIONS_ANSWERED:
        status = end_output(status);
        break;
    }
    explicit_bzero(&options, sizeof options);
    return status;
}
