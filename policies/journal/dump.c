/* SPDX-License-Identifier: MIT */
/* A journal for people to read: one line for each file, each record, and whatever is neither. */
#include "cache/base/clock_text.h"
#include "cache/base/own_file.h"
#include "policies/journal/format.h"
#include "policies/journal/listed.h"
#include "policies/journal/low_water_file.h"
#include "policies/journal/names.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static void print_time(FILE *out, uint64_t us) {
    char text[CLOCK_TEXT_MAX];
    fputs(clock_text(us, 6, text), out);
}

static void print_text(FILE *out, struct slice text) {
    putc('"', out);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

static const char *kind_name(unsigned kind) {
    static const char *const names[] = {[JOURNAL_PUT] = "put",
                                        [JOURNAL_TOUCH] = "touch",
                                        [JOURNAL_DELETE] = "delete",
                                        [JOURNAL_TOUCH_WHOLE] = "touch"};
    return names[kind];
}

static void print_record(FILE *out, const struct scan *scan, const struct format_header *header) {
    const struct entry *entry = &scan->record.entry;
    fprintf(out, "  %zu %s version %" PRIu64 " (", scan->at, kind_name(scan->record.kind), entry->version);
    print_time(out, version_us(entry->version));
    fprintf(out, ") namespace ");
    print_text(out, header->spaces[scan->record.space]);
    fprintf(out, " key ");
    print_text(out, entry->key);
    if (journal_kind_is_whole((enum journal_kind)scan->record.kind))
        fprintf(out, " value %zu bytes flags %" PRIu32, entry->value.size, entry->flags);
    if (scan->record.kind != JOURNAL_DELETE && entry->expires_at != 0) {
        fprintf(out, " expires ");
        print_time(out, (uint64_t)entry->expires_at * US_PER_SECOND);
    }
    if (entry->client_cas != 0)
        fprintf(out, " client-cas %" PRIu64, entry->client_cas);
    if (entry->marks != 0)
        fprintf(out, " marks %u", entry->marks);
    fprintf(out, " crc ok\n");
}

/* 1 if anything in it is damaged. */
static int dump_records(FILE *out, const char *data, size_t size, const struct format_header *header) {
    int result = 0;
    size_t records = 0;
    struct scan scan;
    scan_begin(&scan, data, size, header);
    for (;;) {
        switch (scan_next(&scan)) {
        case SCAN_RECORD:
            records++;
            print_record(out, &scan, header);
            continue;
        case SCAN_HOLE:
            result = 1;
            fprintf(out, "  %zu crc bad: %zu bytes are no record\n", scan.at, scan.extent);
            continue;
        case SCAN_MISSING:
            result = 1;
            fprintf(out, "  %zu missing: %" PRIu64 " bytes of records that were synced\n", scan.at,
                    scan.missing);
            continue;
        case SCAN_TORN:
            fprintf(out, "  %zu torn tail: %zu bytes\n", scan.at, scan.extent);
            break;
        case SCAN_END:
            break;
        }
        fprintf(out, "  %zu end, %zu records\n", scan.at, records);
        return result;
    }
}

static void print_header(FILE *out, const struct format_header *header) {
    fprintf(out, " format %d writer %u sequence %" PRIu64 " epoch %016" PRIx64 " created ", FORMAT_VERSION,
            header->series, header->sequence, header->epoch);
    print_time(out, header->created_us);
    fprintf(out, " size %" PRIu64 " synced-to %" PRIu64 " namespaces", header->file_size, header->synced);
    for (size_t i = 0; i < header->space_count; i++) {
        putc(' ', out);
        print_text(out, header->spaces[i]);
    }
    putc('\n', out);
}

static int dump_bytes(FILE *out, const char *data, size_t size) {
    struct format_header header;
    int result = 0;
    switch (format_decode_header(data, size, &header)) {
    case FORMAT_GOOD:
        print_header(out, &header);
        result = dump_records(out, data, size, &header);
        free((void *)(uintptr_t)header.spaces);
        return result;
    case FORMAT_SHORT:
        fprintf(out, " damaged: shorter than its header, %zu bytes\n", size);
        return 1;
    case FORMAT_FOREIGN:
        fprintf(out, " a format that this version does not read\n");
        return 1;
    case FORMAT_BAD:
        break;
    }
    fprintf(out, " crc bad: the header fails its check\n");
    return 1;
}

static int dump_file(const char *folder, const char *name, FILE *out) {
    char path[JOURNAL_PATH_MAX];
    journal_path(folder, name, path);
    fprintf(out, "%s", name);
    int file = own_file_open(path, O_RDONLY);
    off_t size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
    char *data = size < 0 ? NULL : malloc((size_t)size + 1);
    ssize_t n = data ? journal_disk_read(&journal_disk_system, file, data, (size_t)size, 0) : -1;
    int result = 1;
    if (n < 0)
        fprintf(out, " cannot be read: %s\n", own_file_reason(errno).text);
    else
        result = dump_bytes(out, data, (size_t)n);
    if (n >= 0 && result != 0 && !journal_disk_system.is_at(&journal_disk_system, file, path)) {
        fprintf(out, "  it was renamed or removed while it was read: nothing of it was needed\n");
        result = 0;
    }
    free(data);
    if (file >= 0)
        close(file);
    return result;
}

/* By which batch its store has all up to the version; nothing where the store has no such number. */
static void print_mark(FILE *out, uint64_t mark) {
    if (mark == JOURNAL_MARK_OWED)
        fprintf(out, ", which its store may have lost");
    if (mark == 0 || mark == JOURNAL_MARK_OWED)
        return;
    fprintf(out, " as of the batch of ");
    print_time(out, mark);
}

/* 1 if a file is missing that was in use. Beside a server that runs, it may just have been used again. */
static int dump_missing(const char *folder, const struct low_waters *all, FILE *out) {
    char name[JOURNAL_NAME_MAX];
    int result = 0;
    for (size_t i = 0; i < all->file_count; i++) {
        if (!listed_is_missing(folder, &all->files[i], name))
            continue;
        fprintf(out, "%s missing: it was in use\n", name);
        result = 1;
    }
    return result;
}

static int dump_low_waters(const char *folder, FILE *out, bool *ret_absent) {
    struct low_waters all = {0};
    enum low_water_status status = low_water_file_read(&journal_disk_system, folder, &all);
    *ret_absent = status == LOW_WATER_ABSENT;
    if (*ret_absent)
        return 0;
    fprintf(out, "low-water");
    if (status != LOW_WATER_OK) {
        fprintf(out, "%s\n",
                status == LOW_WATER_DAMAGED ? " crc bad: both copies fail their check" : " cannot be read");
        return 1;
    }
    for (size_t i = 0; i < all.count; i++) {
        fprintf(out, "\n  namespace ");
        print_text(out, all.list[i].space);
        fprintf(out, " version %" PRIu64 " (", all.list[i].version);
        print_time(out, version_us(all.list[i].version));
        putc(')', out);
        print_mark(out, all.list[i].mark);
    }
    putc('\n', out);
    int result = dump_missing(folder, &all, out);
    low_waters_free(&all);
    return result;
}

int journal_dump(const char *folder, FILE *out, FILE *complaints) {
    struct journal_name *names = NULL;
    size_t count = 0;
    bool absent;
    if (!journal_list_folder(folder, &names, &count)) {
        fprintf(complaints, "forebay: %s cannot be listed: %s\n", folder, strerror(errno));
        return 1;
    }
    int result = dump_low_waters(folder, out, &absent);
    for (size_t i = 0; i < count; i++)
        result |= dump_file(folder, names[i].name, out);
    free(names);
    if (count == 0 && absent) {
        fprintf(
            complaints,
            "forebay: there is no journal in %s: name the data folder (data) of a server that keeps one\n",
            folder);
        result = 1;
    }
    return result;
}
