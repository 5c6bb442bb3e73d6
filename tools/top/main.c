/* SPDX-License-Identifier: MIT */
/*
 * forebay-top: shows live what a Forebay does, over its memcached port.
 *
 *     options -> wire -> sample -> model -> view -> screen (a terminal)
 *                                       \-> print (--once)
 *
 * Everything but the screen is plain C without curses, and what needs neither a server nor a terminal is pure. It is not
 * part of the server, and shares with it only what lies in cache/base and how times are written.
 */
#include "tools/top/live.h"
#include "tools/top/once.h"
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64 };

int main(int count, char **arguments) {
    struct options options;
    int status = EXIT_SUCCESS;
    switch (options_read(count, arguments, &options)) {
    case OPTIONS_GOOD:
        status = options.once ? once_run(&options) : live_run(&options);
        break;
    case OPTIONS_WRONG:
        status = EXIT_USAGE;
        break;
    case OPTIONS_ANSWERED:
        break;
    }
    explicit_bzero(&options, sizeof options);
    return status;
}
