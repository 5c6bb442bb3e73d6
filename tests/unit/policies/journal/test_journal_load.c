/* SPDX-License-Identifier: MIT */
/*
 * The journal under load, several workers and a flusher at once, against a model: whatever was written and is
 * above the low-water version is found again, with the contents that it had. Once within this process, closed
 * in the end (for the thread sanitizer), and many times in a process that is killed at a random moment, each
 * time on what the last one left.
 */
#include "tests/support/check.h"
#include "tests/support/journal_rig.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 3, VERSIONS_MAX = RIG_RECORDS_MAX, ROUNDS = 25, VALUE_MAX = 900, TURN_MAX = 40 };
enum { LAG_MIN = 2 * WORKERS * TURN_MAX }; /* more than the workers can have under way */

/* Shared with the process that is killed. */
struct model {
    atomic_uint_fast64_t limit;              /* of versions: there they wait to be killed */
    atomic_uint_fast64_t next;               /* version */
    atomic_uint_fast64_t in_flight[WORKERS]; /* no version below is still to be written by that worker */
    atomic_uint_fast64_t low_water;          /* never lower than what the journal was told */
    atomic_bool stop, broken;
    atomic_uchar written[VERSIONS_MAX];
};

struct worker {
    struct journal_rig *rig;
    struct model *model;
    unsigned index;
    uint64_t versions; /* to write; 0: until stopped */
    unsigned seed;
    pthread_t thread;
};

struct fixture {
    struct journal_rig rig;
    struct model *model; /* in memory that processes share */
};

static int set_up(void **state) {
    struct fixture *fixture = journal_rig_make_fixture(sizeof *fixture);
    fixture->rig.options.series_count = WORKERS;
    fixture->rig.options.fsync_interval_ms = 3;
    fixture->model =
        mmap(NULL, sizeof *fixture->model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(fixture->model != MAP_FAILED);
    atomic_store(&fixture->model->next, 1);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    munmap(fixture->model, sizeof *fixture->model);
    journal_rig_end_fixture(&fixture->rig, NULL, NULL);
    return 0;
}

/* Length and contents follow from the version. */
static size_t value_of(uint64_t version, char to[VALUE_MAX]) {
    size_t size = (size_t)(version * 2654435761u % VALUE_MAX);
    memset(to, 'a' + (int)(version % 26), size);
    return size;
}

static uint64_t take_version(struct worker *worker) {
    struct model *model = worker->model;
    return atomic_fetch_add(&model->next, 1);
}

static bool append_one(struct worker *worker, uint64_t version) {
    static const enum journal_mode modes[WORKERS] = {JOURNAL_OS, JOURNAL_INTERVAL, JOURNAL_ALWAYS};
    char value[VALUE_MAX], key[32];
    int length = snprintf(key, sizeof key, "key %u", (unsigned)(version % 100));
    struct entry entry = {
        .key = slice_of(key, (size_t)length), .version = version, .flags = (uint32_t)version};
    entry.value = slice_of(value, value_of(version, value));
    return journal_rig_append(worker->rig, worker->index, modes[worker->index], version % 2, JOURNAL_PUT,
                              &entry);
}

static void turn(struct worker *worker) {
    struct model *model = worker->model;
    uint64_t versions[TURN_MAX], position;
    unsigned count = 1 + (unsigned)rand_r(&worker->seed) % TURN_MAX;
    atomic_store(&model->in_flight[worker->index], atomic_load(&model->next));
    for (unsigned i = 0; i < count; i++) {
        versions[i] = take_version(worker);
        if (versions[i] >= VERSIONS_MAX || !append_one(worker, versions[i]))
            atomic_store(&model->broken, true);
    }
    if (journal_write(journal_series(worker->rig->journal, worker->index), &position) != JOURNAL_OK)
        atomic_store(&model->broken, true);
    for (unsigned i = 0; i < count; i++)
        atomic_store(&model->written[versions[i]], 1);
    atomic_store(&model->in_flight[worker->index], atomic_load(&model->next));
    if (worker->versions != 0 && position != 0 && rand_r(&worker->seed) % 8 == 0)
        journal_rig_wait_durable(worker->rig, worker->index, position);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct model *model = worker->model;
    while (!atomic_load(&model->stop) && !atomic_load(&model->broken) &&
           (worker->versions == 0 || atomic_load(&model->next) < worker->versions)) {
        if (worker->versions == 0 && atomic_load(&model->next) >= atomic_load(&model->limit))
            usleep(1000);
        else
            turn(worker);
    }
    atomic_store(&model->in_flight[worker->index], UINT64_MAX);
    return NULL;
}

/* Everything up to some version that nobody is writing any more has been flushed, says the flusher. It never catches
 * up, however long it runs on behind workers that wait or have ended: a check finds something that has to be there. */
static void flush_some(struct worker *worker) {
    struct model *model = worker->model;
    uint64_t low = atomic_load(&model->next);
    for (unsigned i = 0; i < WORKERS; i++)
        if (atomic_load(&model->in_flight[i]) < low)
            low = atomic_load(&model->in_flight[i]);
    uint64_t lag = LAG_MIN + (uint64_t)rand_r(&worker->seed) % 1000;
    if (low <= lag + 1 || low - 1 - lag <= atomic_load(&model->low_water))
        return;
    atomic_store(&model->low_water, low - 1 - lag);
    journal_rig_pass(worker->rig, low - 1 - lag);
}

static void *flush(void *argument) {
    struct worker *worker = argument;
    while (!atomic_load(&worker->model->stop)) {
        flush_some(worker);
        journal_rig_stats(worker->rig);
        usleep(500);
    }
    return NULL;
}

static void run_load(struct journal_rig *rig, struct model *model, uint64_t versions, unsigned seed) {
    struct worker workers[WORKERS + 1];
    for (unsigned i = 0; i <= WORKERS; i++) {
        workers[i] = (struct worker){
            .rig = rig, .model = model, .index = i, .versions = versions, .seed = seed * 10 + i};
        if (i < WORKERS)
            atomic_store(&model->in_flight[i], atomic_load(&model->next));
    }
    for (unsigned i = 0; i <= WORKERS; i++)
        if (pthread_create(&workers[i].thread, NULL, i < WORKERS ? work : flush, &workers[i]) != 0)
            abort();
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    atomic_store(&model->stop, true);
    pthread_join(workers[WORKERS].thread, NULL);
    flush_some(&workers[WORKERS]); /* it may have had no time before */
}

/* Returns how many of the versions had to be there. */
static size_t check(struct journal_rig *rig, struct model *model) {
    size_t required = 0;
    static unsigned char found[VERSIONS_MAX];
    memset(found, 0, sizeof found);
    for (size_t i = 0; i < rig->count; i++) {
        const struct journal_rig_record *record = &rig->records[i];
        uint64_t version = record->entry.version;
        char value[VALUE_MAX];
        assert_true(version > 0 && version < atomic_load(&model->next));
        assert_int_equal(found[version], 0); /* each once */
        found[version] = 1;
        assert_int_equal(record->entry.flags, version);
        assert_int_equal(record->entry.value.size, value_of(version, value));
        assert_memory_equal(record->value, value, record->entry.value.size);
    }
    for (uint64_t version = atomic_load(&model->low_water) + 1; version < atomic_load(&model->next);
         version++)
        if (atomic_load(&model->written[version])) {
            assert_int_equal(found[version], 1);
            required++;
        }
    return required;
}

TEST(load_loses_nothing) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    struct model *model = fixture->model;
    for (unsigned round = 1; round <= 3; round++) {
        journal_rig_open(rig);
        if (round > 1)
            assert_true(check(rig, model) > 0);
        atomic_store(&model->stop, false);
        run_load(rig, model, round * 15000, round);
        assert_false(atomic_load(&model->broken));
        eventually(journal_rig_stats(rig).recycled > 0);
        journal_rig_close(rig);
    }
    journal_rig_open(rig);
    check(rig, model);
}

static void child(struct journal_rig *rig, struct model *model, unsigned seed) {
    journal_rig_open(rig);
    atomic_store(&model->stop, false);
    run_load(rig, model, 0, seed);
    _exit(1); /* not killed: something is broken */
}

TEST(a_kill_under_load_loses_nothing) {
    struct fixture *fixture = *state;
    struct journal_rig *rig = &fixture->rig;
    struct model *model = fixture->model;
    unsigned seed = 7;
    size_t required = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t before = atomic_load(&model->next), wanted = before + 200 + (unsigned)rand_r(&seed) % 6000;
        int status = 0;
        atomic_store(&model->limit, wanted + 500);
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            child(rig, model, round);
        while (atomic_load(&model->next) < wanted && waitpid(pid, &status, WNOHANG) == 0)
            usleep(50);
        kill(pid, SIGKILL);
        assert_true(waitpid(pid, &status, 0) == pid);
        assert_true(WIFSIGNALED(status) && !atomic_load(&model->broken));
        journal_rig_open(rig);
        required += check(rig, model);
        journal_rig_close(rig);
    }
    assert_true(required > ROUNDS * 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(load_loses_nothing),
        CASE(a_kill_under_load_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
