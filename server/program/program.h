/* SPDX-License-Identifier: MIT */
/*
 * The program as a whole, which nothing but the files of this folder knows: main.c has it on its stack, there are no
 * globals.
 *
 * All of it is the main thread's, but for what is said to be the helper's. Signals are blocked in all other threads.
 */
#ifndef FOREBAY_SERVER_PROGRAM_PROGRAM_H
#define FOREBAY_SERVER_PROGRAM_PROGRAM_H

#include "server/activation.h"
#include "server/config/options.h"
#include "server/config/settings.h"
#include "server/sandbox/sandbox.h"
#include "server/server.h"
#include <ev.h>
#include <pthread.h>
#include <stdlib.h>

struct admin_http;
struct config;
struct manager;

enum { ERROR_MAX = 1024, SIGNALS = 4 };

struct program {
    struct server server; /* first: server_stop finds the program by it */
    struct settings settings;
    struct options options;
    struct config *config;
    struct admin_http *http; /* NULL: no admin address */
    struct ev_loop *loop;
    ev_signal signals[SIGNALS];
    ev_async helper_done, stop_asked, reload_done;
    ev_timer ready_timer;
    ev_timer log_timer; /* tells what the log has left out */
    pthread_t helper;
    struct manager *manager;         /* of services; NULL: none wants to be told */
    struct last_resort *last_resort; /* NULL: no stop has begun, or there is no thread for it */
    struct sandbox sandbox;          /* of the whole process */
    struct activation activation;    /* its sockets are the listener's */
    unsigned connections_wanted;     /* before the limit of open files was looked at */
    atomic_uint_fast64_t recovered;  /* records of the journal, as the helper thread reads them */
    bool helper_runs;
    int pid_file;    /* pid_file_write; -1: none yet */
    int ready_fd;    /* of the waiting parent, -1: in the foreground */
    int exit_status; /* of the start; see program_status */
    /* Written by the helper thread, read after its end. */
    struct {
        bool good;
        char error[ERROR_MAX];
    } start;
    struct {
        size_t before; /* dirty entries */
        struct tier_left left;
    } drain;
};

/* With which the process ends, once the loop has. */
static inline int program_status(const struct program *program) {
    return program->server.gave_up ? EXIT_FAILURE : program->exit_status;
}

/* ---- loop.c ---- */

/* The loop with all that it hears: signals, the helper's end, timers. False: no memory, or no descriptor is watched any
 * more. */
bool program_prepare_loop(struct program *program);

/* A thread beside the loop, one at a time, for what may take long: body's last act is program_helper_ends, and what
 * comes after (program_go_on, program_end) runs on the main thread. False: there is no thread. */
bool program_run_helper(struct program *program, void *(*body)(void *));
void program_helper_ends(struct program *program);

/* In the main thread, around the start of another, which inherits it. */
void program_block_signals(bool block);

/* ---- starting.c ---- */

/* Helper: makes the tier. context: the program. */
void *program_start_tier(void *context);

/* The tier is there, or why not: starts the workers, and serves once what is to be preloaded is. */
void program_go_on(struct program *program);

/* Serves if all that is to be preloaded is there; true then. */
bool program_tries_to_serve(struct program *program);

/* ---- stopping.c ---- */

/* Ends serving, drains and ends the loop; asked again, it ends the drain. why: a signal's name, say. */
void program_begin_stop(struct program *program, const char *why);

/* The workers have stopped, and what could be drained is: tells what is left, and ends the loop. */
void program_end(struct program *program);

void program_stop_workers(struct server *server);

/* Of all backends. */
unsigned program_longest_timeout_ms(const struct tier_options *tier);

/* ---- password.c ---- */

/* --hash-password. Returns the exit status. */
int program_hash_password(unsigned cost);

/* ---- told.c ---- */

/* For the service manager: what is going on, and whether every thread goes on. context: the program. */
void program_describe(void *context, char *ret_text, size_t size);
bool program_is_alive(void *context);

#endif
