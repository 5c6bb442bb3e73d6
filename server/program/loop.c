/* SPDX-License-Identifier: MIT */
/* What the main thread hears: signals, the end of its helper, a worker's `shutdown`, timers. */
#include "server/log.h"
#include "server/manager.h"
#include "server/program/program.h"
#include "server/reload.h"
#include <signal.h>

static const double LOG_SECONDS = 1; /* how often it is told what the log has left out */

/* ---- The helper ---- */

void program_block_signals(bool block) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

bool program_run_helper(struct program *program, void *(*body)(void *)) {
    program_block_signals(true);
    program->helper_runs = pthread_create(&program->helper, NULL, body, program) == 0;
    program_block_signals(false);
    return program->helper_runs;
}

static void join_helper(struct program *program) {
    if (program->helper_runs)
        pthread_join(program->helper, NULL);
    program->helper_runs = false;
}

void program_helper_ends(struct program *program) {
    ev_async_send(program->loop, &program->helper_done);
}

static void on_helper_done(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    struct program *program = async->data;
    join_helper(program);
    if (program->server.phase == SERVER_STARTING)
        program_go_on(program);
    else
        program_end(program);
}

/* ---- Signals ---- */

static void reload_configuration(struct program *program) {
    if (program->server.phase == SERVER_SERVING)
        manager_reloading(program->manager);
    program_block_signals(true);
    reload_ask(program->server.reload);
    program_block_signals(false);
}

/* A stop may have begun meanwhile, and is the last that the manager hears of. */
static void on_reload_done(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    struct program *program = async->data;
    if (program->server.phase == SERVER_SERVING)
        manager_ready(program->manager);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events) {
    (void)loop;
    (void)events;
    struct program *program = watcher->data;
    switch (watcher->signum) {
    case SIGHUP:
        reload_configuration(program);
        break;
    case SIGUSR1:
        server_log_limited(&program->server, LOG_KIND_SIGNAL, LOG_LEVEL_DEBUG, "SIGUSR1: nothing to do");
        break;
    default:
        program_begin_stop(program, watcher->signum == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void on_stop_asked(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    struct program *program = async->data;
    if (program->server.phase != SERVER_STOPPING)
        program_begin_stop(program, "shutdown");
}

/* ---- The loop ---- */

static void on_ready_timer(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)events;
    if (program_tries_to_serve(timer->data))
        ev_timer_stop(loop, timer);
}

static void on_log_timer(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct program *program = timer->data;
    server_log_left_out(&program->server);
    if (program->server.phase == SERVER_SERVING)
        tier_tell_left_out(program->server.tier);
}

static void on_heard(struct ev_loop *loop, ev_async *async, int events) {
    (void)loop;
    (void)events;
    *(bool *)async->data = true;
}

/* libev does not say when the kernel refuses to watch the descriptor by which it hears of signals and threads. The
 * start would then wait for ever, deaf to SIGTERM; a second round makes libev say it, and abort, or tells us. */
static bool loop_hears(struct ev_loop *loop) {
    enum { ROUNDS = 3 };
    bool heard = false;
    ev_async call;
    ev_async_init(&call, on_heard);
    call.data = &heard;
    ev_async_start(loop, &call);
    for (int i = 0; i < ROUNDS && !heard; i++) {
        ev_run(loop, EVRUN_NOWAIT); /* the descriptor is watched from the first round on */
        ev_async_send(loop, &call);
    }
    ev_run(loop, EVRUN_NOWAIT);
    ev_async_stop(loop, &call);
    return heard;
}

bool program_prepare_loop(struct program *program) {
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at the limit of ulimit -f: the write fails, as on a full disk */
    program->loop = ev_default_loop(EVFLAG_AUTO);
    if (!program->loop)
        return false;
    for (int i = 0; i < SIGNALS; i++) {
        ev_signal_init(&program->signals[i], on_signal, numbers[i]);
        program->signals[i].data = program;
        ev_signal_start(program->loop, &program->signals[i]);
    }
    ev_async_init(&program->helper_done, on_helper_done);
    ev_async_init(&program->stop_asked, on_stop_asked);
    ev_async_init(&program->reload_done, on_reload_done);
    program->helper_done.data = program->stop_asked.data = program->reload_done.data = program;
    ev_async_start(program->loop, &program->helper_done);
    ev_async_start(program->loop, &program->stop_asked);
    ev_async_start(program->loop, &program->reload_done);
    ev_init(&program->ready_timer, on_ready_timer);
    program->ready_timer.repeat = 0.02;
    program->ready_timer.data = program;
    ev_init(&program->log_timer, on_log_timer);
    program->log_timer.repeat = LOG_SECONDS;
    program->log_timer.data = program;
    ev_timer_again(program->loop, &program->log_timer);
    return loop_hears(program->loop);
}
