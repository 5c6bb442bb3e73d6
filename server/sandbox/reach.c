/* SPDX-License-Identifier: MIT */
#include "server/sandbox/reach.h"
#include "server/config/address.h"
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What libraries read of the system in the midst of it: how many processors there are and how much of them is
 * left to the process, libraries of their own, random numbers. */
static const char *const systems_files[] = {"/proc",
                                            "/sys/devices/system/cpu/online",
                                            "/sys/fs/cgroup",
                                            "/dev/urandom",
                                            "/dev/null",
                                            "/usr/lib",
                                            "/usr/lib64",
                                            "/lib",
                                            "/lib64",
                                            "/etc/ld.so.cache",
                                            "/etc/ssl/openssl.cnf"};

/* How names are looked up, which the C library reads anew when it changes: as other files are renamed to these names,
 * it takes the folder. */
static const char *const names_files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};

enum { PORT_OF_NAMES = 53 };

/* ---- The list ---- */

static bool has(const struct reach *reach, const char *path, enum landlock_use use) {
    for (size_t i = 0; i < reach->count; i++)
        if (reach->list[i].use == use && strcmp(reach->list[i].path, path) == 0)
            return true;
    return false;
}

static bool make_room(struct reach *reach) {
    if (reach->count < reach->room)
        return true;
    size_t room = reach->room ? 2 * reach->room : 16;
    struct place *list = realloc(reach->list, room * sizeof *list);
    if (!list)
        return false;
    reach->list = list;
    reach->room = room;
    return true;
}

static void add(struct reach *reach, const char *path, enum landlock_use use, bool is_systems) {
    if (has(reach, path, use))
        return;
    char *copy = make_room(reach) ? strdup(path) : NULL;
    if (copy)
        reach->list[reach->count++] = (struct place){copy, use, is_systems};
    else
        reach->failed = true;
}

/* The folder of a path; none if the path is NULL. */
static void add_folder_of(struct reach *reach, const char *path, enum landlock_use use, bool is_systems) {
    char *copy = path ? strdup(path) : NULL;
    if (copy)
        add(reach, dirname(copy), use, is_systems);
    reach->failed |= path && !copy;
    free(copy);
}

static void add_around(struct reach *reach, const char *path, enum landlock_use use, bool is_systems) {
    char *target = path ? realpath(path, NULL) : NULL;
    add_folder_of(reach, path, use, is_systems);
    add_folder_of(reach, target, use, is_systems);
    free(target);
}

/* ---- What settings name ---- */

static void add_files_read(struct reach *reach, const struct settings *settings) {
    const char *const files[] = {settings->config_file,     settings->auth_file, settings->admin_token_file,
                                 settings->tls_certificate, settings->tls_key,   settings->tls_ca};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        add_around(reach, files[i], LANDLOCK_READ, false);
    for (size_t i = 0; i < settings->user_count; i++)
        add_around(reach, settings->users[i].password_file, LANDLOCK_READ, false);
}

/* A socket file goes when it is not served any more. */
static void add_sockets(struct reach *reach, const struct settings *settings) {
    struct listen_address address;
    char why[300];
    add_folder_of(reach, settings->unix_socket, LANDLOCK_REMOVE, false);
    for (size_t i = 0; i < settings->listen_count; i++)
        if (address_parse(settings->listen[i], &address, why, sizeof why) && address.is_unix)
            add_folder_of(reach, address.host, LANDLOCK_REMOVE, false);
}

static void add_port(struct reach *reach, int port) {
    for (size_t i = 0; i < reach->port_count; i++)
        if (reach->ports[i] == port)
            return;
    reach->ports[reach->port_count++] = port;
}

static void add_backend(struct reach *reach, const struct backend_options *store) {
    const struct backend_type *type = backend_find(store->uri);
    struct backend_needs needs = {0};
    if (type)
        type->needs(store, &needs);
    for (size_t i = 0; i < sizeof needs.folders / sizeof *needs.folders; i++) {
        if (needs.folders[i])
            add(reach, needs.folders[i], LANDLOCK_CHANGE, false);
        free(needs.folders[i]);
    }
    reach->looks_up |= needs.looks_up;
    reach->any_port |= needs.port < 0;
    if (needs.port > 0)
        add_port(reach, needs.port);
}

static void add_backends(struct reach *reach, const struct tier_options *tier) {
    reach->ports = calloc(tier->backend_count + 1, sizeof *reach->ports); /* and that of names */
    reach->failed |= !reach->ports;
    for (size_t i = 0; !reach->failed && i < tier->backend_count; i++)
        add_backend(reach, &tier->backends[i].store);
    if (!reach->failed && reach->looks_up)
        add_port(reach, PORT_OF_NAMES);
}

/* SQLite's own choice would be TMPDIR or /var/tmp, which are everybody's. Whoever has named one for it alone means
 * that. */
static void add_temporary(struct reach *reach) {
    const char *folder = getenv("SQLITE_TMPDIR");
    if (folder) {
        add(reach, folder, LANDLOCK_CHANGE, false);
        return;
    }
    for (size_t i = 0; i < reach->count; i++)
        if (reach->list[i].use == LANDLOCK_CHANGE) {
            reach->failed |= setenv("SQLITE_TMPDIR", reach->list[i].path, 1) != 0;
            return;
        }
}

/* ---- What options name ---- */

/* Where the system puts a core file; into a program's hands otherwise. Older kernels, 6.1 among them, open it to be
 * read as well, by the rights of the process. */
static void add_cores(struct reach *reach) {
    char pattern[PATH_MAX] = "";
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
    bool told = file && fgets(pattern, sizeof pattern, file);
    if (file)
        fclose(file);
    if (told && *pattern != '|')
        add_folder_of(reach, pattern, LANDLOCK_CHANGE, false);
}

static void add_system(struct reach *reach) {
    for (size_t i = 0; i < sizeof systems_files / sizeof *systems_files; i++)
        add(reach, systems_files[i], LANDLOCK_READ, true);
    add(reach, "/dev/null", LANDLOCK_PUBLISH, true);
    for (size_t i = 0; reach->looks_up && i < sizeof names_files / sizeof *names_files; i++)
        add_around(reach, names_files[i], LANDLOCK_READ, false);
}

/* ---- The whole ---- */

bool reach_find(const struct settings *settings, const struct options *options, struct reach *ret_reach) {
    struct reach *reach = ret_reach;
    *reach = (struct reach){0};
    if (settings->data)
        add(reach, settings->data, LANDLOCK_CHANGE, false);
    add_backends(reach, &settings->tier);
    add_temporary(reach);
    add_files_read(reach, settings);
    add_folder_of(reach, options->pid_file, LANDLOCK_PUBLISH, false);
    add_folder_of(reach, getenv("MEMCACHED_PORT_FILENAME"), LANDLOCK_PUBLISH, false);
    add_sockets(reach, settings);
    if (options->core_dumps)
        add_cores(reach);
    add_system(reach);
    return !reach->failed;
}

void reach_free(struct reach *reach) {
    for (size_t i = 0; i < reach->count; i++)
        free(reach->list[i].path);
    free(reach->list);
    free(reach->ports);
    *reach = (struct reach){0};
}

static bool are_one_folder(const char *a, const char *b) {
    struct stat one, other;
    return strcmp(a, b) == 0 || (stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_ino == other.st_ino &&
                                 one.st_dev == other.st_dev);
}

static bool includes(enum landlock_use use, enum landlock_use other) {
    return use == other || use == LANDLOCK_CHANGE || (use == LANDLOCK_PUBLISH && other == LANDLOCK_REMOVE);
}

/* By another place, which may have the same folder by another path, and lets more be done in it. */
static bool is_told(const struct reach *reach, size_t number) {
    const struct place *place = &reach->list[number];
    for (size_t i = 0; i < reach->count; i++) {
        const struct place *other = &reach->list[i];
        if (i != number && !other->is_systems && includes(other->use, place->use) &&
            (other->use != place->use || i < number) && are_one_folder(other->path, place->path))
            return true;
    }
    return false;
}

static void describe_use(const struct reach *reach, enum landlock_use use, const char *what,
                         struct buffer *text) {
    bool any = false;
    for (size_t i = 0; i < reach->count; i++) {
        const struct place *place = &reach->list[i];
        if (place->use != use || place->is_systems || is_told(reach, i))
            continue;
        buffer_print(text, "%s%s%s", any ? ", " : text->size ? "; " : "", any ? "" : what, place->path);
        any = true;
    }
}

void reach_describe(const struct reach *reach, struct buffer *text) {
    describe_use(reach, LANDLOCK_CHANGE, "changed in ", text);
    describe_use(reach, LANDLOCK_PUBLISH, "written in ", text);
    describe_use(reach, LANDLOCK_REMOVE, "removed in ", text);
    describe_use(reach, LANDLOCK_READ, "read in ", text);
}
