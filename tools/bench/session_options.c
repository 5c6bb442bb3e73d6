/* SPDX-License-Identifier: MIT */
#include "tools/bench/session_options.h"
#include "tools/bench/entries.h"
#include <stdlib.h>
#include <unistd.h>

static void take_option(struct session_options *options, int option, const char *argument) {
    switch (option) {
    case 'P':
        options->port = (unsigned short)bench_number(argument);
        break;
    case 'p':
        options->store = session_store_find(argument);
        break;
    case 'c':
        options->connections = bench_number(argument);
        break;
    case 'u':
        options->users = bench_number(argument);
        break;
    case 't':
        options->seconds = bench_number(argument);
        break;
    case 'r':
        options->rate = bench_number(argument);
        break;
    case 'l':
        options->locks = true;
        break;
    case 'i':
        options->phases = true;
        break;
    case 'z':
        options->skew = strtod(argument, NULL);
        break;
    case 'w':
        options->write_percent = bench_number(argument);
        break;
    case 'o':
        options->logout_permille = bench_number(argument);
        break;
    case 'm':
        options->least = bench_number(argument);
        break;
    case 'M':
        options->most = bench_number(argument);
        break;
    case 'T':
        options->ttl = bench_number(argument);
        break;
    case 'k':
        options->prefix = argument;
        break;
    case 'L':
        options->lock_prefix = argument;
        break;
    default:
        bench_die("the head of its source in tools/bench has the options");
    }
}

static void check_options(const struct session_options *options) {
    if (options->port == 0 || !options->store)
        bench_die("which port (-P), and which protocol (-p memcached or redis)?");
    if (options->connections == 0 || options->users <= options->connections)
        bench_die("there have to be more users than connections");
    if (options->least < SESSION_HEADER || options->most < options->least || options->most > SESSION_MOST)
        bench_die("sessions have 32 bytes to 32 kB");
}

struct session_options session_options(int count, char **arguments) {
    struct session_options options = {.store = &session_store_memcached,
                                      .connections = 32,
                                      .users = 20000,
                                      .seconds = 10,
                                      .write_percent = 30,
                                      .logout_permille = 10,
                                      .least = 1024,
                                      .most = 8192,
                                      .ttl = 1800,
                                      .skew = 0.9,
                                      .prefix = "sess:",
                                      .lock_prefix = "sess:lock."};
    for (int option; (option = getopt(count, arguments, "P:p:c:u:t:r:liz:w:o:m:M:T:k:L:")) != -1;)
        take_option(&options, option, optarg);
    check_options(&options);
    return options;
}
