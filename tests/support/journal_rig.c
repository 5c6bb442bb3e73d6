/* SPDX-License-Identifier: MIT */
#include "tests/support/journal_rig.h"
#include "policies/journal/names.h"
#include "tests/support/check.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const struct slice spaces[] = {{"plain", 5}, {"session", 7}};

static void keep_line(void *context, enum log_level level, const char *message) {
    struct journal_rig *rig = context;
    pthread_mutex_lock(&rig->lock);
    fprintf(rig->log, "%d %s\n", (int)level, message);
    fflush(rig->log);
    pthread_mutex_unlock(&rig->lock);
}

static void keep_durable(void *context, unsigned series, uint64_t position) {
    struct journal_rig *rig = context;
    if (position < atomic_load(&rig->durable[series]))
        abort(); /* positions only grow */
    atomic_store(&rig->durable[series], position);
}

static char *copy_of(struct slice text) {
    char *copy = malloc(text.size + 1);
    assert_non_null(copy);
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

static void keep_record(struct journal_rig *rig, const struct journal_record *record) {
    assert_true(rig->count < RIG_RECORDS_MAX && record->space < rig->options.space_count);
    struct slice space = rig->options.spaces[record->space];
    assert_true(space.size < sizeof rig->records->space);
    struct journal_rig_record *kept = &rig->records[rig->count++];
    *kept = (struct journal_rig_record){
        .kind = record->kind, .entry = record->entry, .from_earlier_boot = record->from_earlier_boot};
    memcpy(kept->space, space.data, space.size);
    kept->key = copy_of(record->entry.key);
    kept->value = copy_of(record->entry.value);
    kept->entry.key.data = kept->key;
    kept->entry.value.data = kept->value;
}

static bool keep_records(struct journal_replayer *self, const struct journal_record *records, size_t count) {
    struct journal_rig *rig = (struct journal_rig *)self;
    if (!rig->records)
        rig->records = calloc(RIG_RECORDS_MAX, sizeof *rig->records);
    assert_non_null(rig->records);
    assert_in_range(count, 1, JOURNAL_SHOWN_MOST);
    for (size_t i = 0; i < count; i++)
        keep_record(rig, &records[i]);
    return true;
}

void *journal_rig_allocate(struct journal_rig *rig, size_t size) {
    struct journal_rig_memory *memory = calloc(1, sizeof *memory + size);
    assert_non_null(memory);
    memory->next = rig->memory;
    rig->memory = memory;
    return memory->bytes;
}

char *journal_rig_text(struct journal_rig *rig, char character, size_t size) {
    char *text = journal_rig_allocate(rig, size + 1);
    memset(text, character, size);
    return text;
}

void journal_rig_set_up(struct journal_rig *rig) {
    *rig = (struct journal_rig){.replayer = {.records = keep_records}};
    const char *base = getenv("TMPDIR");
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(rig->folder, sizeof rig->folder, "%s/forebay-journal-XXXXXX", base);
    assert_non_null(mkdtemp(rig->folder));
    rig->options = (struct journal_options){.folder = rig->folder,
                                            .series_count = 1,
                                            .file_size = RIG_FILE_SIZE,
                                            .fsync_interval_ms = 1000,
                                            .compact_after_ms = JOURNAL_COMPACT_NEVER,
                                            .spaces = spaces,
                                            .space_count = 2,
                                            .durable = keep_durable,
                                            .log = keep_line,
                                            .context = rig};
    pthread_mutex_init(&rig->lock, NULL);
    rig->log = open_memstream(&rig->lines, &rig->lines_size);
    assert_non_null(rig->log);
}

/* The records of the last recovery. */
static void forget(struct journal_rig *rig) {
    for (size_t i = 0; i < rig->count; i++) {
        free(rig->records[i].key);
        free(rig->records[i].value);
    }
    rig->count = 0;
}

static void free_memory(struct journal_rig *rig) {
    while (rig->memory) {
        struct journal_rig_memory *memory = rig->memory;
        rig->memory = memory->next;
        free(memory);
    }
}

void journal_rig_tear_down(struct journal_rig *rig) {
    if (!rig->log)
        return;
    if (rig->journal)
        journal_rig_close(rig);
    forget(rig);
    free(rig->records);
    journal_rig_remove_files(rig);
    rmdir(rig->folder);
    free_memory(rig);
    fclose(rig->log);
    rig->log = NULL;
    free(rig->lines);
    pthread_mutex_destroy(&rig->lock);
}

void *journal_rig_make_fixture(size_t size) {
    struct journal_rig *fixture = calloc(1, size);
    assert_non_null(fixture);
    journal_rig_set_up(fixture);
    return fixture;
}

void journal_rig_end_fixture(struct journal_rig *fixture, struct journal_rig *other,
                             struct faulty_disk *disk) {
    if (disk)
        faulty_disk_heal(disk);
    if (other)
        journal_rig_tear_down(other);
    journal_rig_tear_down(fixture);
    if (disk)
        faulty_disk_free(disk);
    free(fixture);
}

enum journal_status journal_rig_try_open(struct journal_rig *rig, bool skip_damaged) {
    assert_null(rig->journal);
    forget(rig);
    for (unsigned i = 0; i < RIG_SERIES_MAX; i++)
        atomic_store(&rig->durable[i], 0);
    return journal_open(&rig->options, skip_damaged, &rig->replayer, &rig->recovery, &rig->journal,
                        &rig->error);
}

void journal_rig_open(struct journal_rig *rig) {
    enum journal_status status = journal_rig_try_open(rig, false);
    if (status != JOURNAL_OK)
        print_error("journal_open: %s\n", rig->error.message);
    assert_int_equal(status, JOURNAL_OK);
}

void journal_rig_close(struct journal_rig *rig) {
    journal_close(rig->journal);
    rig->journal = NULL;
}

bool journal_rig_append(struct journal_rig *rig, unsigned series, enum journal_mode mode, unsigned space,
                        enum journal_kind kind, const struct entry *entry) {
    struct journal_series *to = journal_series(rig->journal, series);
    if (!journal_reserve(to, entry->key.size + entry->value.size + JOURNAL_RECORD_OVERHEAD))
        return false;
    journal_append(to, mode, space, kind, entry);
    return true;
}

bool journal_rig_put(struct journal_rig *rig, unsigned series, enum journal_mode mode, uint64_t version,
                     const char *key, const char *value) {
    struct entry entry = {.key = slice_string(key), .value = slice_string(value), .version = version};
    return journal_rig_append(rig, series, mode, 0, JOURNAL_PUT, &entry);
}

uint64_t journal_rig_write(struct journal_rig *rig, unsigned series) {
    uint64_t position = 0;
    assert_int_equal(journal_write(journal_series(rig->journal, series), &position), JOURNAL_OK);
    return position;
}

void journal_rig_pass(const struct journal_rig *rig, uint64_t version) {
    for (unsigned space = 0; space < rig->options.space_count; space++)
        journal_pass(rig->journal, space, version);
}

const struct journal_rig_record *journal_rig_find(const struct journal_rig *rig, uint64_t version) {
    for (size_t i = 0; i < rig->count; i++)
        if (rig->records[i].entry.version == version)
            return &rig->records[i];
    return NULL;
}

size_t journal_rig_count_logged(struct journal_rig *rig, const char *part) {
    size_t count = 0;
    pthread_mutex_lock(&rig->lock);
    for (const char *at = rig->lines; at && (at = strstr(at, part)); at += strlen(part))
        count++;
    pthread_mutex_unlock(&rig->lock);
    return count;
}

bool journal_rig_logged(struct journal_rig *rig, const char *part) {
    return journal_rig_count_logged(rig, part) > 0;
}

void journal_rig_wait_durable(struct journal_rig *rig, unsigned series, uint64_t position) {
    uint64_t until_us = monotonic_us() + (uint64_t)EVENTUALLY_SECONDS * US_PER_SECOND;
    while (atomic_load(&rig->durable[series]) < position) {
        if (monotonic_us() > until_us)
            abort();
        usleep(100);
    }
}

struct journal_stats journal_rig_stats(const struct journal_rig *rig) {
    struct journal_stats stats;
    journal_get_stats(rig->journal, &stats);
    return stats;
}

static void path_of(const struct journal_rig *rig, const char *name, char ret_path[512]) {
    snprintf(ret_path, 512, "%s/%.200s", rig->folder, name);
}

char *journal_rig_read_file(struct journal_rig *rig, const char *name, size_t *ret_size) {
    char path[512];
    path_of(rig, name, path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *ret_size = (size_t)ftell(file);
    rewind(file);
    char *data = journal_rig_allocate(rig, *ret_size + 1);
    size_t size = fread(data, 1, *ret_size, file);
    fclose(file);
    assert_int_equal(size, *ret_size);
    return data;
}

void journal_rig_write_file(const struct journal_rig *rig, const char *name, const char *data, size_t size) {
    char path[512];
    path_of(rig, name, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    size_t written = fwrite(data, 1, size, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(written, size);
}

size_t journal_rig_count_files(const struct journal_rig *rig) {
    struct journal_name *names = NULL;
    size_t count = 0;
    assert_true(journal_list_folder(rig->folder, &names, &count));
    free(names);
    return count;
}

bool journal_rig_file_name(const struct journal_rig *rig, size_t n, char ret_name[64]) {
    struct journal_name *names = NULL;
    size_t count = 0;
    assert_true(journal_list_folder(rig->folder, &names, &count));
    if (n < count)
        memcpy(ret_name, names[n].name, 64);
    free(names);
    return n < count;
}

size_t journal_rig_count_named(const struct journal_rig *rig, const char *prefix) {
    DIR *stream = opendir(rig->folder);
    size_t count = 0;
    assert_non_null(stream);
    for (struct dirent *found; (found = readdir(stream));)
        count += strncmp(found->d_name, prefix, strlen(prefix)) == 0;
    closedir(stream);
    return count;
}

void journal_rig_remove_files(const struct journal_rig *rig) {
    char path[512];
    DIR *stream = opendir(rig->folder);
    assert_non_null(stream);
    for (struct dirent *found; (found = readdir(stream));) {
        path_of(rig, found->d_name, path);
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            unlink(path);
    }
    closedir(stream);
}
