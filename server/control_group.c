/* SPDX-License-Identifier: MIT */
#include "server/control_group.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

static FILE *open_file(const char *path, bool *ret_unknown) {
    FILE *file = fopen(path, "re");
    *ret_unknown = !file && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    return file;
}

/* The path of this process in the hierarchy of version 2: the line "0::/system.slice/forebay.service". */
static bool find_group(const char *groups, char *ret_path, int size, bool *ret_unknown) {
    FILE *file = open_file(groups, ret_unknown);
    bool found = false;
    while (file && !found && fgets(ret_path, size, file))
        found = strncmp(ret_path, "0::/", 4) == 0;
    if (file)
        fclose(file);
    if (!found)
        return false;
    ret_path[strcspn(ret_path, "\n")] = '\0';
    memmove(ret_path, ret_path + 3, strlen(ret_path + 3) + 1);
    return true;
}

void control_group_walk(const char *groups, const char *mount, const char *name, control_group_visit *visit,
                        void *context) {
    char group[PATH_MAX], path[3 * PATH_MAX];
    bool unknown;
    if (!find_group(groups, group, sizeof group, &unknown)) {
        visit(context, NULL, unknown);
        return;
    }
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = '\0';
        snprintf(path, sizeof path, "%s%s/%s", mount, group, name);
        FILE *file = open_file(path, &unknown);
        visit(context, file, unknown);
        if (file)
            fclose(file);
    }
}
