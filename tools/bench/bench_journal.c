/* SPDX-License-Identifier: MIT */
/*
 * What a journal record costs: CPU time per record of a 20-byte key and a 300-byte value, of the worker and
 * of the journal's own threads, by mode and by records per turn; and how long a group waits for its sync.
 *
 *     bench_journal [FOLDER [RECORDS]]
 *
 * FOLDER is on the disk to be measured; without it, the working directory is used.
 *
 * The low-water version follows 200,000 records behind, as a flusher would move it, so that files are
 * recycled as in a server at work. The first tenth of the records is not counted (new files are filled
 * meanwhile). For comparison, the same bytes are written into one preallocated file by pwrite, and into a
 * mapping of it, without any journal.
 */
#include "policies/journal/journal.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEY_SIZE = 20, VALUE_SIZE = 300, LAG = 200000, RECORD_SIZE = 352, PLAIN_SIZE = 64 << 20 };

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static atomic_uint_fast64_t durable_position;

static void on_durable(void *context, unsigned series, uint64_t position) {
    (void)context;
    (void)series;
    atomic_store_explicit(&durable_position, position, memory_order_release);
}

static void on_log(void *context, enum log_level level, const char *message) {
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", message);
}

static bool no_records(struct journal_replayer *self, const struct journal_record *records, size_t count) {
    (void)self;
    (void)records;
    (void)count;
    return true;
}

static struct journal *open_journal(const char *folder) {
    static const struct slice spaces[] = {{"bench", 5}};
    struct journal_options options = {.folder = folder,
                                      .series_count = 1,
                                      .spaces = spaces,
                                      .space_count = 1,
                                      .durable = on_durable,
                                      .log = on_log};
    struct journal_replayer replayer = {.records = no_records};
    struct journal_recovery recovery;
    struct journal_error error;
    struct journal *journal = NULL;
    if (journal_open(&options, false, &replayer, &recovery, &journal, &error) != JOURNAL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return journal;
}

struct run {
    enum journal_mode mode;
    unsigned batch;
    uint64_t records;
    struct journal *journal;
    struct journal_series *series;
    uint64_t version;
};

static void turn(struct run *run, struct entry *entry) {
    uint64_t position = 0;
    for (unsigned i = 0; i < run->batch; i++) {
        if (!journal_reserve(run->series, KEY_SIZE + VALUE_SIZE + JOURNAL_RECORD_OVERHEAD)) {
            fprintf(stderr, "refused\n");
            exit(1);
        }
        entry->version = ++run->version;
        journal_append(run->series, run->mode, 0, JOURNAL_PUT, entry);
    }
    if (journal_write(run->series, &position) != JOURNAL_OK)
        exit(1);
    while (position > atomic_load_explicit(&durable_position, memory_order_acquire))
        usleep(20);
}

static void measure(const char *folder, enum journal_mode mode, unsigned batch, uint64_t records) {
    char key[KEY_SIZE], value[VALUE_SIZE];
    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    struct entry entry = {.key = slice_of(key, sizeof key), .value = slice_of(value, sizeof value)};
    struct run run = {.mode = mode, .batch = batch, .records = records, .journal = open_journal(folder)};
    struct journal_stats stats;
    double thread = 0, process = 0, wall = 0;
    uint64_t counted = 0;
    run.series = journal_series(run.journal, 0);
    atomic_store(&durable_position, 0);
    for (uint64_t done = 0; done < records; done += batch) {
        if (counted == 0 && done >= records / 10) {
            counted = records - done;
            thread = seconds(CLOCK_THREAD_CPUTIME_ID);
            process = seconds(CLOCK_PROCESS_CPUTIME_ID);
            wall = seconds(CLOCK_MONOTONIC);
        }
        turn(&run, &entry);
        if (run.version > LAG)
            journal_pass(run.journal, 0, run.version - LAG);
    }
    thread = (seconds(CLOCK_THREAD_CPUTIME_ID) - thread) / (double)counted * 1e9;
    process = (seconds(CLOCK_PROCESS_CPUTIME_ID) - process) / (double)counted * 1e9;
    wall = (seconds(CLOCK_MONOTONIC) - wall) / (double)counted * 1e9;
    journal_get_stats(run.journal, &stats);
    printf("%-9s %5u %9.0f %9.0f %9.0f %8" PRIu64 " %9.0f %8" PRIu64 "\n", journal_mode_names[mode], batch,
           thread, process, wall, stats.fsyncs,
           stats.fsyncs ? (double)stats.fsync_us / (double)stats.fsyncs : 0.0, stats.recycled);
    fflush(stdout);
    journal_pass(run.journal, 0, run.version);
    journal_close(run.journal);
}

/* The floor: the same number of bytes, with nothing around. The second pass over the file counts, as for a
 * recycled one. */
static void measure_plain(const char *folder, bool mapped, unsigned batch) {
    char path[512], *map = NULL;
    size_t size = (size_t)batch * RECORD_SIZE;
    char *bytes = calloc(1, size);
    snprintf(path, sizeof path, "%s/plain", folder);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!bytes || file < 0 || posix_fallocate(file, 0, PLAIN_SIZE) != 0)
        exit(1);
    double spent = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (mapped)
            map = mmap(NULL, PLAIN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        spent = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (size_t at = 0; at + size <= PLAIN_SIZE; at += size) {
            if (mapped)
                memcpy(map + at, bytes, size);
            else if (pwrite(file, bytes, size, (off_t)at) != (ssize_t)size)
                exit(1);
        }
        spent = seconds(CLOCK_THREAD_CPUTIME_ID) - spent;
        if (mapped)
            munmap(map, PLAIN_SIZE);
        fdatasync(file);
    }
    printf("%-9s %5u %9.0f\n", mapped ? "mmap" : "pwrite", batch,
           spent * 1e9 / (double)(PLAIN_SIZE / size * batch));
    close(file);
    unlink(path);
    free(bytes);
}

int main(int count, char **arguments) {
    static const unsigned batches[] = {1, 16, 32, 512};
    char folder[400];
    uint64_t records = count > 2 ? strtoull(arguments[2], NULL, 10) : 2000000;
    snprintf(folder, sizeof folder, "%.300s/bench_journal.%ld", count > 1 ? arguments[1] : ".",
             (long)getpid());
    if (mkdir(folder, 0700) != 0) {
        perror(folder);
        return 1;
    }
    printf("ns per record: CPU of the worker, CPU of the process, passed; then syncs, us per sync, files "
           "recycled\n");
    printf("%-9s %5s %9s %9s %9s %8s %9s %8s\n", "mode", "batch", "worker", "process", "passed", "syncs",
           "us/sync", "recycled");
    for (enum journal_mode mode = JOURNAL_OS; mode <= JOURNAL_ALWAYS; mode++)
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            uint64_t turns = mode == JOURNAL_ALWAYS ? 3000 : records / batches[i];
            uint64_t wanted = turns * batches[i];
            measure(folder, mode, batches[i], wanted < records ? wanted : records);
        }
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        measure_plain(folder, false, batches[i]);
        measure_plain(folder, true, batches[i]);
    }
    char left[420];
    snprintf(left, sizeof left, "%s/low-water", folder);
    unlink(left);
    snprintf(left, sizeof left, "%s/lock", folder);
    unlink(left);
    rmdir(folder);
    return 0;
}
