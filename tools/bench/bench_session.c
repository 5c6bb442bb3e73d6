/* SPDX-License-Identifier: MIT */
/*
 * Sessions as web applications keep them, against a store that speaks memcached's text protocol or Redis':
 *
 *     bench_session -P port [-p memcached|redis] [-c connections] [-u users] [-t seconds] [-r requests a second] [-l]
 *                   [-z skew] [-w percent that write] [-o per thousand that log out] [-m least -M most bytes]
 *                   [-T seconds a session lives] [-k prefix] [-L prefix of locks] [-i]
 *
 * A request of a user who is logged in: lock the session (-l: by add, as PHP does), read it, and at its end write it, or touch
 * it, or log out; unlock. A user who is not logged in logs in: a new session under a new name. Users are drawn by Zipf's law,
 * sizes are log-uniform.
 *
 * Every session says whose it is and how often it was changed, so each read is compared with what was acknowledged: `lost` are
 * sessions that were gone, `undone` those that were older. Without -l, no two requests of one user overlap.
 *
 * With -r, requests have their times, and what is measured begins at that time even if the request begins later. The
 * result is a line of JSON. With -i there are three phases, and a line on standard input begins the next one: logging all
 * users in ("filled" is printed), the load, and a look at every session, on new connections: meanwhile the store may be
 * restarted.
 *
 *          login                    write (changes + 1), touch
 *     out ------> in (login number) --.
 *      ^          |  ^________________/
 *      |__________|
 *         logout, or found to be lost
 */
#include "tools/bench/entries.h"
#include "tools/bench/session_store.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BODY_MOST = 32 * 1024, HEADER = 32, KEY_MOST = 200, LOCK_LIFE_S = 30, LOCK_RETRIES = 5000 };

/* Latencies in classes, a sixteenth of a power of two of nanoseconds each. */
enum { STEPS = 16, CLASSES = 64 * STEPS };

struct options {
    unsigned short port;
    const struct session_store *store;
    unsigned connections, users, seconds, rate, write_percent, logout_permille, least, most, ttl;
    bool locks, phases;
    double skew;
    const char *prefix, *lock_prefix;
};

/* Only who has claimed the user, or holds the lock of the session, changes the others. */
struct user {
    atomic_bool claimed;
    atomic_uint login;   /* the number of the session; 0: logged out */
    atomic_uint logins;  /* so far */
    atomic_uint changes; /* of this session, as far as they were acknowledged */
};

/* Of one connection, or of all. */
struct counts {
    uint64_t requests, operations, reads, writes, touches, logins, logouts;
    uint64_t lost, undone, refused, late, lock_waits, lock_timeouts;
    uint64_t classes[CLASSES];
    uint64_t longest_ns;
};

struct bench {
    struct options options;
    struct user *users;
    double *up_to; /* of a user: the chance that one is drawn up to it */
    char filler[BODY_MOST];
    uint64_t start_ns;
};

struct worker {
    struct bench *bench;
    unsigned number;
    pthread_t thread;
    struct session_connection *connection;
    uint64_t random;
    char body[BODY_MOST];
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

static void count_latency(struct counts *counts, uint64_t ns) {
    unsigned class = (unsigned)(log2((double)(ns > 0 ? ns : 1)) * STEPS);
    counts->classes[class < CLASSES ? class : CLASSES - 1]++;
    counts->longest_ns = ns > counts->longest_ns ? ns : counts->longest_ns;
}

/* Milliseconds, to a sixteenth of a power of two above. */
static double percentile(const struct counts *counts, double percent) {
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < CLASSES; i++)
        all += counts->classes[i];
    uint64_t wanted = (uint64_t)ceil((double)all * percent / 100);
    double longest = (double)counts->longest_ns / 1e6;
    for (unsigned i = 0; i < CLASSES; i++) {
        seen += counts->classes[i];
        if (seen >= wanted && seen > 0)
            return fmin(exp2((double)(i + 1) / STEPS) / 1e6, longest);
    }
    return longest;
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
static size_t size_of(const struct options *options, unsigned user) {
    double part = (double)(mixed(user + 1) >> 11) / 9007199254740992.0;
    return (size_t)(options->least * pow((double)options->most / options->least, part));
}

static struct slice body_of(struct worker *worker, unsigned user, unsigned changes) {
    char header[HEADER + 1];
    size_t size = size_of(&worker->bench->options, user);
    snprintf(header, sizeof header, "user %08x changes %010u", user, changes);
    memcpy(worker->body, header, HEADER);
    return slice_of(worker->body, size);
}

/* Whether a session that was read is that user's; ret_changes: how often it had been changed. */
static bool read_body(struct slice body, unsigned user, unsigned *ret_changes) {
    char header[HEADER + 1] = "";
    unsigned whose = 0;
    if (body.size < HEADER)
        return false;
    memcpy(header, body.data, HEADER);
    return sscanf(header, "user %x changes %u", &whose, ret_changes) == 2 && whose == user;
}

static enum session_outcome set(struct worker *worker, const struct name *name, unsigned user,
                                unsigned changes) {
    const struct options *options = &worker->bench->options;
    worker->counts.operations++;
    enum session_outcome outcome =
        options->store->set(worker->connection, key_of(name), body_of(worker, user, changes), options->ttl);
    worker->counts.refused += outcome != SESSION_DONE;
    return outcome;
}

/* The user is claimed. */
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

static void log_out(struct worker *worker, struct user *user, const struct name *name) {
    worker->counts.logouts++;
    worker->counts.operations++;
    if (worker->bench->options.store->remove(worker->connection, key_of(name)) == SESSION_REFUSED)
        worker->counts.refused++;
    else
        atomic_store(&user->login, 0);
}

static void touch(struct worker *worker, const struct name *name) {
    const struct options *options = &worker->bench->options;
    worker->counts.touches++;
    worker->counts.operations++;
    worker->counts.refused +=
        options->store->touch(worker->connection, key_of(name), options->ttl) != SESSION_DONE;
}

/* What a request does at its end. */
static void finish(struct worker *worker, unsigned number, const struct name *name) {
    const struct options *options = &worker->bench->options;
    struct user *user = &worker->bench->users[number];
    double roll = chance(worker);
    if (roll < options->logout_permille / 1000.0) {
        log_out(worker, user, name);
    } else if (chance(worker) < options->write_percent / 100.0) {
        unsigned changes = atomic_load(&user->changes) + 1;
        worker->counts.writes++;
        if (set(worker, name, number, changes) == SESSION_DONE)
            atomic_store(&user->changes, changes);
    } else {
        touch(worker, name);
    }
}

/* Reads the session as middleware does, and goes on as the answer says. */
static void serve(struct worker *worker, unsigned number, const struct name *name) {
    struct user *user = &worker->bench->users[number];
    struct slice body;
    unsigned changes = 0;
    worker->counts.reads++;
    worker->counts.operations++;
    switch (worker->bench->options.store->get(worker->connection, key_of(name), &body)) {
    case SESSION_DONE:
        worker->counts.undone += !read_body(body, number, &changes) || changes != atomic_load(&user->changes);
        finish(worker, number, name);
        break;
    case SESSION_ABSENT: /* the user has to log in, at the next request */
        worker->counts.lost++;
        atomic_store(&user->login, 0);
        break;
    case SESSION_REFUSED:
        worker->counts.refused++;
        break;
    }
}

/* ---- Locks ---- */

static bool lock(struct worker *worker, const struct name *name) {
    const struct options *options = &worker->bench->options;
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

static void serve_locked(struct worker *worker, unsigned number, unsigned login, const struct name *name) {
    const struct options *options = &worker->bench->options;
    struct name held = name_of(options->lock_prefix, number, login);
    if (!lock(worker, &held))
        return;
    if (atomic_load(&worker->bench->users[number].login) == login)
        serve(worker, number, name);
    else
        worker->counts.late++; /* who held the lock before has logged out */
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

static bool claim(struct user *user) {
    return !atomic_exchange(&user->claimed, true);
}

/* False when another connection has this user: another one is drawn. */
static bool request_of(struct worker *worker, unsigned number) {
    struct user *user = &worker->bench->users[number];
    unsigned login = atomic_load(&user->login);
    struct name name = name_of(worker->bench->options.prefix, number, login);
    if (worker->bench->options.locks && login != 0) {
        serve_locked(worker, number, login, &name);
        return true;
    }
    if (!claim(user))
        return false;
    login = atomic_load(&user->login);
    name = name_of(worker->bench->options.prefix, number, login);
    if (login == 0)
        log_in(worker, number);
    else if (!worker->bench->options.locks)
        serve(worker, number, &name);
    atomic_store(&user->claimed, false);
    return true;
}

static void request(struct worker *worker, uint64_t from_ns) {
    while (!request_of(worker, draw(worker)))
        ;
    worker->counts.requests++;
    count_latency(&worker->counts, now_ns() - from_ns);
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
    const struct options *options = &worker->bench->options;
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

/* Every session that should be there; counted as lost, undone or read. */
static void *look(void *context) {
    struct worker *worker = context;
    const struct options *options = &worker->bench->options;
    for (unsigned number = worker->number; number < options->users; number += options->connections) {
        struct user *user = &worker->bench->users[number];
        struct name name = name_of(options->prefix, number, atomic_load(&user->login));
        struct slice body;
        unsigned changes = 0;
        if (atomic_load(&user->login) == 0)
            continue;
        worker->counts.reads++;
        if (options->store->get(worker->connection, key_of(&name), &body) != SESSION_DONE)
            worker->counts.lost++;
        else if (!read_body(body, number, &changes) || changes != atomic_load(&user->changes))
            worker->counts.undone++;
    }
    return NULL;
}

static void add_counts(struct counts *sum, const struct counts *one) {
    const uint64_t *from = (const uint64_t *)one;
    uint64_t *to = (uint64_t *)sum,
             longest = sum->longest_ns > one->longest_ns ? sum->longest_ns : one->longest_ns;
    for (size_t i = 0; i < sizeof *one / sizeof *from; i++)
        to[i] += from[i];
    sum->longest_ns = longest;
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
                                     .random = mixed(i + 1),
                                     .connection = session_connect(bench->options.port)};
        memcpy(workers[i].body, bench->filler, BODY_MOST);
    }
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
        printf("%s[%g, %.6f]", i ? ", " : "", percents[i], percentile(counts, percents[i]));
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

static void await_line(const struct bench *bench) {
    int byte = 0;
    fflush(stdout);
    while (bench->options.phases && byte != '\n' && byte != EOF)
        byte = getchar();
}

static void run_phases(struct bench *bench) {
    struct counts counts = run(bench, fill);
    if (counts.refused)
        bench_die("the store refuses sessions");
    if (bench->options.phases)
        printf("filled\n");
    await_line(bench);
    counts = run(bench, load);
    show_load(&counts, (double)(now_ns() - bench->start_ns) / 1e9);
    if (!bench->options.phases)
        return;
    await_line(bench);
    counts = run(bench, look);
    printf("{\"sessions\": %llu, \"lost\": %llu, \"undone\": %llu}\n", (unsigned long long)counts.reads,
           (unsigned long long)counts.lost, (unsigned long long)counts.undone);
}

/* ---- Setting up ---- */

static void set_up(struct bench *bench) {
    const struct options *options = &bench->options;
    double sum = 0;
    bench->users = calloc(options->users, sizeof *bench->users);
    bench->up_to = calloc(options->users, sizeof *bench->up_to);
    if (!bench->users || !bench->up_to)
        bench_die("no memory for the users");
    for (unsigned i = 0; i < options->users; i++)
        bench->up_to[i] = sum += pow(i + 1, -options->skew);
    for (unsigned i = 0; i < options->users; i++)
        bench->up_to[i] /= sum;
    for (unsigned i = 0; i < BODY_MOST; i++) /* as hard to compress as what is written in a language */
        bench->filler[i] = (char)('a' + mixed(i) % 26);
}

static void tear_down(struct bench *bench) {
    free(bench->users);
    free(bench->up_to);
}

static void take_option(struct options *options, int option, const char *argument) {
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

static void check_options(const struct options *options) {
    if (options->port == 0 || !options->store)
        bench_die("which port (-P), and which protocol (-p memcached or redis)?");
    if (options->connections == 0 || options->users <= options->connections)
        bench_die("there have to be more users than connections");
    if (options->least < HEADER || options->most < options->least || options->most > BODY_MOST)
        bench_die("sessions have 32 bytes to 32 kB");
}

int main(int count, char **arguments) {
    struct bench bench = {.options = {.store = &session_store_memcached,
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
                                      .lock_prefix = "sess:lock."}};
    for (int option; (option = getopt(count, arguments, "P:p:c:u:t:r:liz:w:o:m:M:T:k:L:")) != -1;)
        take_option(&bench.options, option, optarg);
    check_options(&bench.options);
    set_up(&bench);
    run_phases(&bench);
    tear_down(&bench);
    return 0;
}
