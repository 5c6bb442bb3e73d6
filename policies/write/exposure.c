/* SPDX-License-Identifier: MIT */
/* See exposure.h. */
#include "policies/write/exposure.h"
#include "cache/base/count_text.h"
#include "cache/base/own_file.h"
#include <dirent.h>

/* What begins so in the data folder is the server's; whatever else lies there is not looked at. */
static const char *const own_names[] = {"journal-",  "blank-", "damaged-", "lock",
                                        "low-water", "places", "backend-", "quarantine-"};

static bool is_own(const char *name) {
    for (size_t i = 0; i < sizeof own_names / sizeof *own_names; i++)
        if (strncmp(name, own_names[i], strlen(own_names[i])) == 0)
            return true;
    return false;
}

/* Its owner and root may do anything; those of its group what the mode says. */
static void tell_of_folder(const struct service *service, const char *data) {
    struct stat status;
    if (stat(data, &status) != 0)
        return;
    if (status.st_uid != geteuid() && status.st_uid != 0)
        service_log(
            service, LOG_LEVEL_WARNING,
            "the data folder %s belongs to user %u, who can change all that is in it; this server runs as user %u: chown it, or use -u",
            data, (unsigned)status.st_uid, (unsigned)geteuid());
    if (status.st_mode & S_IWGRP)
        service_log(
            service, LOG_LEVEL_WARNING,
            "the group %u can write into the data folder %s (mode %04o), and so decide what a start recovers: chmod g-w it, unless this is meant",
            (unsigned)status.st_gid, data, (unsigned)status.st_mode & 07777);
}

struct exposed {
    size_t count;
    mode_t mode; /* of the first */
    char path[4096];
};

static void look_at(const char *data, const char *name, struct exposed *exposed) {
    char path[4096];
    mode_t mode;
    if (!is_own(name) || snprintf(path, sizeof path, "%s/%s", data, name) >= (int)sizeof path ||
        !own_file_is_exposed(data, path, &mode))
        return;
    if (exposed->count++ > 0)
        return;
    exposed->mode = mode;
    memcpy(exposed->path, path, sizeof path);
}

static void tell_of_files(const struct service *service, const char *data) {
    DIR *folder = opendir(data);
    struct exposed exposed = {0};
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        look_at(data, entry->d_name, &exposed);
    if (folder)
        closedir(folder);
    if (exposed.count > 0)
        service_log(
            service, LOG_LEVEL_WARNING,
            "every user of this machine can read or write %s of the data folder, among them %s (mode %04o): chmod go-rwx them",
            count_text(exposed.count, "file", "files").text, exposed.path, (unsigned)exposed.mode);
}

static void tell_of_store(const struct service *service, const struct backend_options *store) {
    char how[SERVICE_MESSAGE_SIZE];
    const struct backend_type *type = store->type ? store->type : backend_find(store->uri);
    if (type->exposed(store, how, sizeof how))
        service_log(service, LOG_LEVEL_WARNING,
                    "backend %s: %s: chmod o-rwx it, unless other programs are to use the store so",
                    store->name, how);
}

void exposure_tell(const struct service *service, const struct tier_options *options) {
    if (options->data) {
        tell_of_folder(service, options->data);
        tell_of_files(service, options->data);
    }
    for (size_t i = 0; i < options->backend_count; i++)
        tell_of_store(service, &options->backends[i].store);
}
