/* SPDX-License-Identifier: MIT */
/* See survey.h. What a file looks like whose server is running is the same as after a kill: its end may be torn. */
#include "policies/journal/survey.h"
#include "cache/base/fit.h"
#include "cache/base/own_file.h"
#include "policies/journal/damage.h"
#include "policies/journal/format.h"
#include "policies/journal/listed.h"
#include "policies/journal/low_water_file.h"
#include "policies/journal/names.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file at a time. */
struct looking {
    const char *folder, *name;
    int handle;
    struct survey *survey;
    struct low_waters low_waters;
    uint8_t boot[JOURNAL_BOOT_SIZE]; /* of the system, now */
};

static struct survey_space *find_space(struct survey *survey, struct slice name) {
    for (size_t i = 0; i < survey->space_count; i++)
        if (slice_equal(slice_string(survey->spaces[i].name), name))
            return &survey->spaces[i];
    struct survey_space *longer = realloc(survey->spaces, (survey->space_count + 1) * sizeof *longer);
    if (!longer)
        return NULL;
    survey->spaces = longer;
    char *copy = strndup(name.data, name.size);
    if (!copy)
        return NULL;
    survey->spaces[survey->space_count] = (struct survey_space){.name = copy, .oldest_us = UINT64_MAX};
    return &survey->spaces[survey->space_count++];
}

/* False: no memory. */
static bool count_record(struct looking *looking, struct slice space, uint64_t version) {
    const struct low_water *low_water = low_waters_find(&looking->low_waters, space);
    if (low_water && version <= low_water->version)
        return true;
    struct survey_space *found = find_space(looking->survey, space);
    if (!found)
        return false;
    found->records++;
    if (version_us(version) < found->oldest_us)
        found->oldest_us = version_us(version);
    return true;
}

/* ---- What is damaged ---- */

/* Renamed or removed while it was read: it held nothing that was needed, and its bytes may be those of its next use. */
static bool has_gone(const struct looking *looking) {
    char path[JOURNAL_PATH_MAX];
    journal_path(looking->folder, looking->name, path);
    return !journal_disk_system.is_at(&journal_disk_system, looking->handle, path);
}

static void note_damage(struct looking *looking, const struct damage *damage) {
    struct survey *survey = looking->survey;
    if (!has_gone(looking) && survey->damaged++ == 0)
        damage_refuses(looking->folder, looking->name, damage, survey->problem, sizeof survey->problem);
}

/* What recovery does not go on behind. what: the file cannot be opened or read, as errno says; NULL: it can, and has
 * another format. */
static void note_failure(struct looking *looking, const char *what) {
    struct survey *survey = looking->survey;
    const struct file_reason reason = own_file_reason(errno);
    const char *folder = looking->folder, *name = looking->name;
    survey->failing++;
    if (survey->damaged++ > 0)
        return;
    if (what)
        fit_print(survey->problem, sizeof survey->problem, "journal: cannot %s %s/%s: %s", what, folder, name,
                  reason.text);
    else
        fit_print(survey->problem, sizeof survey->problem,
                  "journal: %s/%s has a format that this version does not read", folder, name);
}

/* ---- Files ---- */

/* Is it damage, and which? */
static bool is_damage(const struct looking *looking, const struct scan *scan, enum scan_status found,
                      const struct format_header *header, struct damage *ret_damage) {
    bool missing = found == SCAN_MISSING;
    if (!missing && (found != SCAN_HOLE || !scan_hole_is_damage(scan, header, looking->boot)))
        return false;
    *ret_damage = (struct damage){missing ? DAMAGE_MISSING : DAMAGE_NO_RECORD, scan->at,
                                  missing ? scan->missing : scan->extent};
    return true;
}

static bool look_at_records(struct looking *looking, const char *data, size_t size,
                            const struct format_header *header) {
    struct damage first = {0}, damage;
    struct scan scan;
    bool good = true;
    scan_begin(&scan, data, size, header);
    for (enum scan_status found; good && (found = scan_next(&scan)) != SCAN_TORN && found != SCAN_END;) {
        if (found == SCAN_RECORD)
            good = count_record(looking, header->spaces[scan.record.space], scan.record.entry.version);
        else if (!first.what && is_damage(looking, &scan, found, header, &damage))
            first = damage;
    }
    if (first.what)
        note_damage(looking, &first);
    return good;
}

static bool look_at_bytes(struct looking *looking, const char *data, size_t size) {
    struct format_header header;
    bool good = true;
    switch (format_decode_header(data, size, &header)) {
    case FORMAT_GOOD:
        good = look_at_records(looking, data, size, &header);
        free((void *)(uintptr_t)header.spaces);
        break;
    case FORMAT_SHORT:
        note_damage(looking, &(struct damage){DAMAGE_SHORT_HEADER, 0, size});
        break;
    case FORMAT_FOREIGN:
        note_failure(looking, NULL);
        break;
    case FORMAT_BAD:
        note_damage(looking, &(struct damage){DAMAGE_BAD_HEADER, 0, size});
    }
    return good;
}

/* False: no memory. A file that has gone meanwhile held nothing that was needed. */
static bool look_at_file(struct looking *looking) {
    char path[JOURNAL_PATH_MAX];
    journal_path(looking->folder, looking->name, path);
    int file = looking->handle = own_file_open(path, O_RDONLY);
    if (file < 0) {
        if (errno != ENOENT)
            note_failure(looking, "open");
        return true;
    }
    off_t size = lseek(file, 0, SEEK_END);
    char *data = size < 0 ? NULL : malloc((size_t)size + 1);
    ssize_t n = data ? journal_disk_read(&journal_disk_system, file, data, (size_t)size, 0) : -1;
    bool good = size < 0 || data;
    if (n < 0)
        note_failure(looking, "read");
    else
        good = look_at_bytes(looking, data, (size_t)n);
    free(data);
    close(file);
    return good;
}

/* Where there are none to be had, every record counts. */
static void look_at_low_waters(struct looking *looking) {
    struct survey *survey = looking->survey;
    looking->name = "low-water";
    enum low_water_status status =
        low_water_file_read(&journal_disk_system, looking->folder, &looking->low_waters);
    survey->low_water_damaged = status == LOW_WATER_DAMAGED || status == LOW_WATER_FAILED;
    if (status == LOW_WATER_FAILED)
        note_failure(looking, "read");
    if (status == LOW_WATER_DAMAGED && survey->damaged++ == 0)
        damage_of_low_water_refuses(looking->folder, survey->problem, sizeof survey->problem);
}

/* Beside a server that runs: a file leaves its name when it is listed no more. */
static bool is_still_listed(const struct looking *looking, const struct listed_file *listed) {
    struct low_waters now = {0};
    bool still = low_water_file_read(&journal_disk_system, looking->folder, &now) == LOW_WATER_OK &&
                 low_waters_has_file(&now, listed->series, listed->sequence);
    low_waters_free(&now);
    return still;
}

static void look_for_missing(struct looking *looking) {
    struct survey *survey = looking->survey;
    char name[JOURNAL_NAME_MAX];
    for (size_t i = 0; i < looking->low_waters.file_count; i++) {
        const struct listed_file *listed = &looking->low_waters.files[i];
        if (listed_is_missing(looking->folder, listed, name) && is_still_listed(looking, listed) &&
            survey->damaged++ == 0)
            damage_of_missing_refuses(looking->folder, name, survey->problem, sizeof survey->problem);
    }
}

bool survey_folder(const char *folder, struct survey *ret_survey) {
    struct survey survey = {0};
    struct looking looking = {.folder = folder, .survey = &survey};
    struct journal_name *names = NULL;
    bool good = journal_list_folder(folder, &names, &survey.files);
    if (!good && errno == ENOENT)
        good = true;
    if (good) {
        look_at_low_waters(&looking);
        look_for_missing(&looking);
    }
    journal_disk_system.boot(&journal_disk_system, looking.boot);
    for (size_t i = 0; good && i < survey.files; i++) {
        looking.name = names[i].name;
        good = look_at_file(&looking);
    }
    free(names);
    low_waters_free(&looking.low_waters);
    if (good)
        *ret_survey = survey;
    else
        survey_free(&survey);
    return good;
}

void survey_free(struct survey *survey) {
    for (size_t i = 0; i < survey->space_count; i++)
        free(survey->spaces[i].name);
    free(survey->spaces);
    *survey = (struct survey){0};
}

static bool lists_files(const char *folder) {
    struct low_waters all = {0};
    bool lists =
        low_water_file_read(&journal_disk_system, folder, &all) == LOW_WATER_OK && all.file_count > 0;
    low_waters_free(&all);
    return lists;
}

bool survey_finds_files(const char *folder) {
    struct journal_name *names = NULL;
    size_t count = 0;
    bool found = journal_list_folder(folder, &names, &count) && count > 0;
    free(names);
    return found || lists_files(folder);
}
