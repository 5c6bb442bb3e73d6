/* SPDX-License-Identifier: MIT */
/*
 * Sessions as web applications keep them, against a store that speaks memcached's text protocol or Redis':
 *
 *     bench_session -P port [-p memcached|redis] [-c connections] [-u users] [-t seconds] [-r requests a second] [-l]
 *                   [-z skew] [-w percent that write] [-o per thousand that log out] [-m least -M most bytes]
 *                   [-T seconds a session lives] [-k prefix] [-L prefix of locks] [-i]
 *
 * A request of a user who is logged in: lock the session (-l: by add, as PHP does), read it, and at its end write it,
 * or touch it, or log out; unlock. A user who is not logged in logs in: a new session under a new name. Users are drawn
 * by Zipf's law, sizes are log-uniform.
 *
 * Every session says whose it is and how often it was changed, so each read is compared with what was acknowledged, to
 * the byte: `lost` are sessions that were gone, `undone` those that were older or otherwise not the same. `late` are
 * requests whose user has logged out in another one meanwhile.
 *
 * With -r, requests have their times, and what is measured begins at that time even if the request begins later. The
 * result is a line of JSON. With -i, "filled" is printed once all users are logged in, and each line on standard input
 * begins a phase, on new connections: "full" (neither -r nor -l), "paced" (-r), "locked" (-l), or "look" at every
 * session. Meanwhile the store may be restarted. A look also counts as `returned` the sessions that are there though
 * their users have logged out.
 *
 *          login                    write (changes + 1), touch
 *     out ------> in (login number) --.
 *      ^          |  ^________________/
 *      |__________|
 *         logout, or found to be lost
 */
#include "tools/bench/entries.h"
#include "tools/bench/latencies.h"
#include "tools/bench/session_options.h"
#include "tools/bench/session_store.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHANGES_DIGITS = 10, KEY_MOST = 200, LOCK_LIFE_S = 30, LOCK_RETRIES = 5000 };

/* Requests of a user may overlap, as those of a browser do. */
struct user {
    pthread_mutex_t changing; /* held by who logs in or out, or writes, unless the session's lock is */
    atomic_uint login;        /* the number of the session; 0: logged out, from before it is deleted on */
    atomic_uint logins;       /* so far */
    atomic_uint ended;        /* the number of the session that the user logged out of last; 0: none */
    atomic_uint changes;      /* of this session, as far as they were acknowledged */
};

/* Of one connection, or of all. */
struct counts {
    uint64_t requests, operations, reads, writes, touches, logins, logouts;
    uint64_t lost, undone, returned, refused, late, lock_waits, lock_timeouts;
    struct latencies latencies;
};

struct bench {
    struct session_options options;
    struct user *users;
    double *up_to; /* of a user: the chance that one is drawn up to it */
    char filler[SESSION_MOST];
    uint64_t start_ns;
    unsigned phases_run;
};

struct worker {
    struct bench *bench;
    unsigned number;
    pthread_t thread;
    struct session_connection *connection;
    uint64_t random;
    char body[SESSION_MOST];
    struct counts counts;
};

struct name {
    char text[KEY_MOST];
    size_t size;
};

/* ---- Time and chance ---- */

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    struct timespec at = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static uint64_t mixed(uint64_t number) {
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
}

/* From 0 to below 1. */
static double chance(struct worker *worker) {
    worker->random += 0x9e3779b97f4a7c15u;
    return (double)(mixed(worker->random) >> 11) / 9007199254740992.0;
}

/* ---- Sessions ---- */

static struct name name_of(const char *prefix, unsigned user, unsigned login) {
    struct name name;
    uint64_t id = mixed((uint64_t)user << 32 | login);
    int size = snprintf(name.text, sizeof name.text, "%s%016llx%016llx", prefix, (unsigned long long)id,
                        (unsigned long long)mixed(id));
    if (size >= KEY_MOST)
        bench_die("a prefix is too long");
    name.size = (size_t)size;
    return name;
}

static struct slice key_of(const struct name *name) {
    return slice_of(name->text, name->size);
}

/* The same at each login of a user: log-uniform from least to most. */
static size_t size_of(const struct session_options *options, unsigned user) {
    double part = (double)(mixed(user + 1) >> 11) / 9007199254740992.0;
    return (size_t)(options->least * pow((double)options->most / options->least, part));
}

static void write_header(char header[SESSION_HEADER + 1], unsigned user, unsigned changes) {
    snprintf(header, SESSION_HEADER + 1, "user %08x changes %010u", user, changes);
}

static struct slice body_of(struct worker *worker, unsigned user, unsigned changes) {
    char header[SESSION_HEADER + 1];
    size_t size = size_of(&worker->bench->options, user);
    write_header(header, user, changes);
    memcpy(worker->body, header, SESSION_HEADER);
    return slice_of(worker->body, size);
}

/* Whether what was read is the user's, to the byte, and has all changes that were acknowledged when the read began
 * (`least`); at most one more is on its way. ret_changes: those that it has. */
static bool is_body(const struct bench *bench, struct slice body, unsigned user, unsigned least,
                    unsigned *ret_changes) {
    char header[SESSION_HEADER + 1] = "", expected[SESSION_HEADER + 1];
    if (body.size != size_of(&bench->options, user))
        return false;
    memcpy(header, body.data, SESSION_HEADER);
    unsigned changes = (unsigned)strtoul(header + SESSION_HEADER - CHANGES_DIGITS, NULL, 10);
    write_header(expected, user, changes);
    *ret_changes = changes;
    return memcmp(header, expected, SESSION_HEADER) == 0 && changes >= least &&
           changes <= atomic_load(&bench->users[user].changes) + 1 &&
           memcmp(body.data + SESSION_HEADER, bench->filler + SESSION_HEADER, body.size - SESSION_HEADER) ==
               0;
}

static enum session_outcome set(struct worker *worker, const struct name *name, unsigned user,
                                unsigned changes) {
    const struct session_options *options = &worker->bench->options;
    worker->counts.operations++;
    enum session_outcome outcome =
        options->store->set(worker->connection, key_of(name), body_of(worker, user, changes), options->ttl);
    worker->counts.refused += outcome != SESSION_DONE;
    return outcome;
}

/* user->changing is held. */
static void log_in(struct worker *worker, unsigned number) {
    struct user *user = &worker->bench->users[number];
    unsigned login = atomic_fetch_add(&user->logins, 1) + 1;
    struct name name = name_of(worker->bench->options.prefix, number, login);
    worker->counts.logins++;
    if (set(worker, &name, number, 1) == SESSION_DONE) {
        atomic_store(&user->changes, 1);
        atomic_store(&user->login, login);
    }
}

static void log_out(struct worker *worker, struct user *user, unsigned login, const struct name *name) {
    atomic_store(&user->login, 0);
    worker->counts.logouts++;
    worker->counts.operations++;
    if (worker->bench->options.store->remove(worker->connection, key_of(name)) != SESSION_REFUSED) {
        atomic_store(&user->ended, login);
    } else {
        worker->counts.refused++;
        atomic_store(&user->login, login);
    }
}

/* changes: those of what is written. */
static void write_session(struct worker *worker, unsigned number, const struct name *name, unsigned changes) {
    worker->counts.writes++;
    if (set(worker, name, number, changes) == SESSION_DONE)
        atomic_fetch_add(&worker->bench->users[number].changes, 1);
}

static void touch(struct worker *worker, struct user *user, unsigned login, const struct name *name) {
    const struct session_options *options = &worker->bench->options;
    worker->counts.touches++;
    worker->counts.operations++;
    if (options->store->touch(worker->connection, key_of(name), options->ttl) != SESSION_DONE)
        worker->counts.refused += atomic_load(&user->login) == login;
}

/* Logs out or writes, unless the user has logged out meanwhile. Under a lock of the session what is written follows
 * from what was read, so that a lock that is none is found; else changes are numbered here, as writes may follow each
 * other. */
static void change(struct worker *worker, unsigned number, unsigned login, const struct name *name,
                   bool leaves, unsigned read) {
    struct user *user = &worker->bench->users[number];
    bool locked = worker->bench->options.locks;
    if (!locked)
        pthread_mutex_lock(&user->changing);
    if (atomic_load(&user->login) != login)
        worker->counts.late++;
    else if (leaves)
        log_out(worker, user, login, name);
    else
        write_session(worker, number, name, (locked ? read : atomic_load(&user->changes)) + 1);
    if (!locked)
        pthread_mutex_unlock(&user->changing);
}

/* What a request does at its end; read: the changes that the session had. */
static void finish(struct worker *worker, unsigned number, unsigned login, const struct name *name,
                   unsigned read) {
    const struct session_options *options = &worker->bench->options;
    bool leaves = chance(worker) < options->logout_permille / 1000.0;
    if (leaves || chance(worker) < options->write_percent / 100.0)
        change(worker, number, login, name, leaves, read);
    else
        touch(worker, &worker->bench->users[number], login, name);
}

/* Nothing is there: the user has to log in, at the next request. */
static void count_absent(struct worker *worker, struct user *user, unsigned login) {
    if (atomic_compare_exchange_strong(&user->login, &login, 0))
        worker->counts.lost++;
    else
        worker->counts.late++; /* logged out meanwhile */
}

/* Reads the session as middleware does, and goes on as the answer says. */
static void serve(struct worker *worker, unsigned number, unsigned login) {
    struct user *user = &worker->bench->users[number];
    struct name name = name_of(worker->bench->options.prefix, number, login);
    struct slice body;
    unsigned least = atomic_load(&user->changes), read = 0;
    if (atomic_load(&user->login) != login) { /* these were not of this session */
        worker->counts.late++;
        return;
    }
    worker->counts.reads++;
    worker->counts.operations++;
    switch (worker->bench->options.store->get(worker->connection, key_of(&name), &body)) {
    case SESSION_DONE:
        if (!is_body(worker->bench, body, number, least, &read))
            worker->counts.undone += atomic_load(&user->login) == login;
        finish(worker, number, login, &name, read);
        break;
    case SESSION_ABSENT:
        count_absent(worker, user, login);
        break;
    case SESSION_REFUSED:
        worker->counts.refused++;
        break;
    }
}

/* ---- Locks ---- */

static bool lock(struct worker *worker, const struct name *name) {
    const struct session_options *options = &worker->bench->options;
    for (unsigned i = 0; i < LOCK_RETRIES; i++) {
        worker->counts.operations++;
        if (options->store->add(worker->connection, key_of(name), SLICE("1"), LOCK_LIFE_S) == SESSION_DONE)
            return true;
        worker->counts.lock_waits++;
        sleep_until(now_ns() + 1000000);
    }
    worker->counts.lock_timeouts++;
    return false;
}

static void serve_locked(struct worker *worker, unsigned number, unsigned login) {
    const struct session_options *options = &worker->bench->options;
    struct name held = name_of(options->lock_prefix, number, login);
    if (!lock(worker, &held))
        return;
    serve(worker, number, login);
    worker->counts.operations++;
    options->store->remove(worker->connection, key_of(&held));
}

/* ---- Requests ---- */

static unsigned draw(struct worker *worker) {
    const double *up_to = worker->bench->up_to;
    double at = chance(worker);
    unsigned low = 0, high = worker->bench->options.users - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (up_to[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The number of the user's session, if there is one; else the user logs in, and 0. */
static unsigned session_of(struct worker *worker, unsigned number) {
    struct user *user = &worker->bench->users[number];
    unsigned login = atomic_load(&user->login);
    if (login != 0)
        return login;
    pthread_mutex_lock(&user->changing);
    login = atomic_load(&user->login);
    if (login == 0)
        log_in(worker, number);
    pthread_mutex_unlock(&user->changing);
    return login;
}

static void request(struct worker *worker, uint64_t from_ns) {
    unsigned number = draw(worker), login = session_of(worker, number);
    if (login != 0 && worker->bench->options.locks)
        serve_locked(worker, number, login);
    else if (login != 0)
        serve(worker, number, login);
    worker->counts.requests++;
    latencies_add(&worker->counts.latencies, now_ns() - from_ns);
}

/* ---- Phases ---- */

static void *fill(void *context) {
    struct worker *worker = context;
    for (unsigned user = worker->number; user < worker->bench->options.users;
         user += worker->bench->options.connections)
        log_in(worker, user);
    return NULL;
}

static void *load(void *context) {
    struct worker *worker = context;
    const struct session_options *options = &worker->bench->options;
    uint64_t end = worker->bench->start_ns + options->seconds * 1000000000ull;
    uint64_t step = options->rate ? 1000000000ull * options->connections / options->rate : 0;
    uint64_t next = worker->bench->start_ns + (uint64_t)(chance(worker) * (double)step);
    for (uint64_t now = now_ns(); now < end; now = now_ns(), next += step) {
        if (step && next >= end)
            break;
        if (step && next > now)
            sleep_until(next);
        request(worker, step ? next : now);
    }
    return NULL;
}

static enum session_outcome look_at(struct worker *worker, unsigned number, unsigned login,
                                    struct slice *body) {
    struct name name = name_of(worker->bench->options.prefix, number, login);
    return worker->bench->options.store->get(worker->connection, key_of(&name), body);
}

/* The session that the user should have; counted as lost, undone or read. */
static void look_at_current(struct worker *worker, unsigned number, unsigned login) {
    struct slice body;
    unsigned read = 0;
    worker->counts.reads++;
    if (look_at(worker, number, login, &body) != SESSION_DONE)
        worker->counts.lost++;
    else
        worker->counts.undone +=
            !is_body(worker->bench, body, number, atomic_load(&worker->bench->users[number].changes), &read);
}

/* The session that the user logged out of last: it should be gone. */
static void look_at_ended(struct worker *worker, unsigned number, unsigned login) {
    struct slice body;
    worker->counts.logouts++;
    worker->counts.returned += look_at(worker, number, login, &body) == SESSION_DONE;
}

static void *look(void *context) {
    struct worker *worker = context;
    const struct session_options *options = &worker->bench->options;
    for (unsigned number = worker->number; number < options->users; number += options->connections) {
        struct user *user = &worker->bench->users[number];
        unsigned login = atomic_load(&user->login), ended = atomic_load(&user->ended);
        if (login != 0)
            look_at_current(worker, number, login);
        if (ended != 0)
            look_at_ended(worker, number, ended);
    }
    return NULL;
}

static void add_counts(struct counts *sum, const struct counts *one) {
    const uint64_t *from = (const uint64_t *)one;
    uint64_t *to = (uint64_t *)sum;
    for (size_t i = 0; i < offsetof(struct counts, latencies) / sizeof *from; i++)
        to[i] += from[i];
    latencies_merge(&sum->latencies, &one->latencies);
}

/* Each phase has new connections. */
static struct counts run(struct bench *bench, void *(*phase)(void *)) {
    unsigned count = bench->options.connections;
    struct worker *workers = calloc(count, sizeof *workers);
    struct counts sum = {0};
    if (!workers)
        bench_die("no memory");
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (struct worker){.bench = bench,
                                     .number = i,
                                     .random = mixed((uint64_t)bench->phases_run << 32 | (i + 1)),
                                     .connection = session_connect(bench->options.port)};
        memcpy(workers[i].body, bench->filler, SESSION_MOST);
    }
    bench->phases_run++; /* the next one draws others */
    bench->start_ns = now_ns();
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&workers[i].thread, NULL, phase, &workers[i]) != 0)
            bench_die("no thread");
    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        session_disconnect(workers[i].connection);
        add_counts(&sum, &workers[i].counts);
    }
    free(workers);
    return sum;
}

static void show_curve(const struct counts *counts) {
    static const double percents[] = {50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100};
    printf("\"curve\": [");
    for (unsigned i = 0; i < sizeof percents / sizeof *percents; i++)
        printf("%s[%g, %.6f]", i ? ", " : "", percents[i],
               latencies_percentile(&counts->latencies, percents[i]));
    printf("]");
}

static void show_number(const char *name, uint64_t number) {
    printf("\"%s\": %llu, ", name, (unsigned long long)number);
}

static void show_load(const struct counts *counts, double seconds) {
    printf("{\"seconds\": %.3f, \"rate\": %.1f, ", seconds, (double)counts->requests / seconds);
    show_number("requests", counts->requests);
    show_number("operations", counts->operations);
    show_number("reads", counts->reads);
    show_number("writes", counts->writes);
    show_number("touches", counts->touches);
    show_number("logins", counts->logins);
    show_number("logouts", counts->logouts);
    show_number("lost", counts->lost);
    show_number("undone", counts->undone);
    show_number("refused", counts->refused);
    show_number("late", counts->late);
    show_number("lock_waits", counts->lock_waits);
    show_number("lock_timeouts", counts->lock_timeouts);
    show_curve(counts);
    printf("}\n");
}

static void show_look(const struct counts *counts) {
    printf("{");
    show_number("sessions", counts->reads);
    show_number("lost", counts->lost);
    show_number("undone", counts->undone);
    show_number("ended", counts->logouts);
    printf("\"returned\": %llu}\n", (unsigned long long)counts->returned);
}

static void run_load(struct bench *bench) {
    struct counts counts = run(bench, load);
    show_load(&counts, (double)(now_ns() - bench->start_ns) / 1e9);
}

static void run_look(struct bench *bench) {
    struct counts counts = run(bench, look);
    show_look(&counts);
}

/* One phase for each line. */
static void run_phases(struct bench *bench) {
    unsigned rate = bench->options.rate;
    char line[16];
    printf("filled\n");
    for (fflush(stdout); fgets(line, sizeof line, stdin); fflush(stdout)) {
        bench->options.locks = strcmp(line, "locked\n") == 0;
        bench->options.rate = strcmp(line, "paced\n") == 0 ? rate : 0;
        if (strcmp(line, "look\n") == 0)
            run_look(bench);
        else if (bench->options.locks || bench->options.rate || strcmp(line, "full\n") == 0)
            run_load(bench);
        else
            bench_die("a phase is full, paced (which needs -r), locked or look");
    }
}

static void run_all(struct bench *bench) {
    if (run(bench, fill).refused)
        bench_die("the store refuses sessions");
    if (bench->options.phases)
        run_phases(bench);
    else
        run_load(bench);
}

/* ---- Setting up ---- */

static void set_up(struct bench *bench) {
    const struct session_options *options = &bench->options;
    double sum = 0;
    bench->users = calloc(options->users, sizeof *bench->users);
    bench->up_to = calloc(options->users, sizeof *bench->up_to);
    if (!bench->users || !bench->up_to)
        bench_die("no memory for the users");
    for (unsigned i = 0; i < options->users; i++)
        pthread_mutex_init(&bench->users[i].changing, NULL);
    for (unsigned i = 0; i < options->users; i++)
        bench->up_to[i] = sum += pow(i + 1, -options->skew);
    for (unsigned i = 0; i < options->users; i++)
        bench->up_to[i] /= sum;
    for (unsigned i = 0; i < SESSION_MOST; i++) /* as hard to compress as what is written in a language */
        bench->filler[i] = (char)('a' + mixed(i) % 26);
}

static void tear_down(struct bench *bench) {
    free(bench->users);
    free(bench->up_to);
}

int main(int count, char **arguments) {
    struct bench bench = {.options = session_options(count, arguments)};
    set_up(&bench);
    run_all(&bench);
    tear_down(&bench);
    return 0;
}
