/* SPDX-License-Identifier: MIT */
#include "tests/faults/injected.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    FRAMES = 48,    /* looked at */
    DEPTH = 8,      /* callers that make a place */
    PLACES = 16384, /* a power of two */
    PARTS_MAX = 64,
};

struct place {
    atomic_uint_least64_t hash; /* 0: none */
    atomic_uint_least64_t first, calls;
    atomic_uint_least64_t kind; /* + 1, once the rest is there */
};

/* ORDER, COUNTS and PLACE there have the same form. */
struct control {
    atomic_int_least32_t kind;  /* -1: nothing fails */
    atomic_int_least32_t error; /* an errno; 0: the call is given half of what it wants; or INJECTED_LOST */
    atomic_uint_least64_t at, times, met;
    atomic_uint_least64_t from;  /* the place of the first call that fails; 0: that is one of a number */
    atomic_uint_least64_t notes; /* not 0: places are noted */
    atomic_uint_least64_t calls[KIND_COUNT];
    _Alignas(4096) struct place places[PLACES];
};

/* A part of a program or a library that is executed. */
struct part {
    uintptr_t begin, end, base;
    uint64_t name;
    bool confuse, events, hiredis, openssl, program, sanitizer, own;
};

struct way {
    void *frames[FRAMES];
    int count;
    bool program, sanitizer; /* these are on it */
};

static struct control *control;
static int where = -1, noted = -1; /* files */
static struct part parts[PARTS_MAX];
static int part_count;
static pthread_mutex_t noting = PTHREAD_MUTEX_INITIALIZER;
/* This thread is in one of the functions below, which must not fail themselves. */
static _Thread_local bool inside;

void *injected_beyond(const char *name) {
    bool was = inside;
    inside = true;
    void *found = dlsym(RTLD_NEXT, name);
    inside = was;
    return found;
}

/* ---- Who calls ---- */

static uint64_t mixed(uint64_t hash, uint64_t number) {
    hash = (hash ^ number) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static int note_parts(struct dl_phdr_info *object, size_t size, void *context) {
    const char *name = strrchr(object->dlpi_name, '/');
    uint64_t hash = 1;
    (void)size, (void)context;
    for (const char *at = name ? name : object->dlpi_name; *at; at++)
        hash = mixed(hash, (unsigned char)*at);
    for (int i = 0; i < object->dlpi_phnum && part_count < PARTS_MAX; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        uintptr_t begin = object->dlpi_addr + header->p_vaddr, end = begin + header->p_memsz;
        parts[part_count++] = (struct part){
            .begin = begin,
            .end = end,
            .base = object->dlpi_addr,
            .name = hash,
            .confuse = strstr(object->dlpi_name, "libconfuse.so"),
            .events = strstr(object->dlpi_name, "libev.so"),
            .hiredis = strstr(object->dlpi_name, "libhiredis.so"),
            .openssl = strstr(object->dlpi_name, "libssl.so") || strstr(object->dlpi_name, "libcrypto.so"),
            .program = !*object->dlpi_name,
            .sanitizer = strstr(object->dlpi_name, "libasan.so"),
            .own = (uintptr_t)&note_parts >= begin && (uintptr_t)&note_parts < end,
        };
    }
    return 0;
}

static const struct part *part_of(const void *address) {
    static const struct part unknown;
    for (int i = 0; i < part_count; i++)
        if ((uintptr_t)address >= parts[i].begin && (uintptr_t)address < parts[i].end)
            return &parts[i];
    return &unknown;
}

bool injected_is_hiredis(const void *caller) {
    return control && part_of(caller)->hiredis;
}

bool injected_is_openssl(const void *caller) {
    return control && part_of(caller)->openssl;
}

/* The frames of the callers; those of this library and of a sanitizer are left out. */
static void look(struct way *way) {
    int all = backtrace(way->frames, FRAMES);
    way->count = 0;
    way->program = way->sanitizer = false;
    for (int i = 0; i < all; i++) {
        const struct part *part = part_of(way->frames[i]);
        way->program |= part->program;
        way->sanitizer |= part->sanitizer && i > 1; /* backtrace itself may be its */
        if (!part->own && !part->sanitizer)
            way->frames[way->count++] = way->frames[i];
    }
}

static uint64_t place_of(enum injected_kind kind, const struct way *way) {
    uint64_t hash = mixed(1, (uint64_t)kind);
    for (int i = 0; i < way->count && i < DEPTH; i++) {
        const struct part *part = part_of(way->frames[i]);
        hash = mixed(hash, part->name);
        hash = mixed(hash, part->name ? (uintptr_t)way->frames[i] - part->base : 0);
    }
    return hash ? hash : 1;
}

/* Allocations alone: libev ends the process by itself where it is refused something else. What a sanitizer needs for a
 * thread that begins is not the program's. */
static bool is_spared(enum injected_kind kind, const struct way *way) {
    if (kind != ALLOCATION)
        return false;
    for (int i = 0; i < way->count; i++)
        if (part_of(way->frames[i])->confuse)
            return true;
    return (way->count > 0 && part_of(way->frames[0])->events) || (way->sanitizer && !way->program);
}

/* ---- Places ---- */

static void describe(enum injected_kind kind, uint64_t hash, const struct way *way) {
    char line[64];
    int size = snprintf(line, sizeof line, "place %016llx %d\n", (unsigned long long)hash, (int)kind);
    if (noted >= 0 && write(noted, line, (size_t)size) == size)
        backtrace_symbols_fd(way->frames, way->count < 2 * DEPTH ? way->count : 2 * DEPTH, noted);
}

static void note(enum injected_kind kind, uint64_t call, const struct way *way) {
    uint64_t hash = place_of(kind, way);
    pthread_mutex_lock(&noting);
    for (uint64_t i = 0; i < PLACES; i++) {
        struct place *place = &control->places[(hash + i) % PLACES];
        if (atomic_load(&place->hash) == 0) {
            atomic_store(&place->hash, hash);
            atomic_store(&place->first, call);
            atomic_store(&place->calls, 0);
            atomic_store(&place->kind, (uint64_t)kind + 1);
            describe(kind, hash, way);
        }
        if (atomic_load(&place->hash) == hash) {
            atomic_fetch_add(&place->calls, 1);
            break;
        }
    }
    pthread_mutex_unlock(&noting);
}

/* ---- What fails ---- */

/* Whether it is the turn of a call that is of the kind that fails. */
static bool is_due(uint64_t call) {
    uint64_t at = atomic_load(&control->at);
    return atomic_load(&control->from) ? atomic_load(&control->met) < atomic_load(&control->times)
                                       : call >= at && call - at < atomic_load(&control->times);
}

static bool meets(enum injected_kind kind, const struct way *way) {
    uint64_t from = atomic_load(&control->from), met = atomic_load(&control->met);
    if (is_spared(kind, way) || (from && met == 0 && place_of(kind, way) != from))
        return false;
    met = atomic_fetch_add(&control->met, 1);
    if (from && met >= atomic_load(&control->times))
        return false; /* another thread was there first */
    if (met == 0 && where >= 0)
        backtrace_symbols_fd(way->frames, way->count, where);
    return true;
}

bool injected_counts(void) {
    return control && !inside;
}

bool injected_fails(enum injected_kind kind) {
    if (!injected_counts())
        return false;
    uint64_t call = atomic_fetch_add(&control->calls[kind], 1) + 1;
    bool notes = atomic_load(&control->notes) != 0;
    bool due = atomic_load(&control->kind) == (int)kind && is_due(call);
    if (!notes && !due)
        return false;
    int before = errno;
    struct way way;
    inside = true;
    look(&way);
    if (notes && !is_spared(kind, &way))
        note(kind, call, &way);
    bool failed = due && meets(kind, &way);
    inside = false;
    errno = failed ? atomic_load(&control->error) : before;
    return failed;
}

/* ---- The beginning and the end ---- */

/* What a sanitizer looks for when the program has ended is not the program's. */
static void end(void) {
    atomic_store(&control->kind, -1);
}

static int open_beside(const char *path, const char *ending) {
    char beside[4096];
    snprintf(beside, sizeof beside, "%s%s", path, ending);
    return open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("INJECTED_FAULTS");
    void *frames[1];
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    where = open_beside(path, ".where");
    backtrace(frames, 1); /* it loads a library when it is called first */
    dl_iterate_phdr(note_parts, NULL);
    void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        return;
    control = shared;
    if (atomic_load(&control->notes))
        noted = open_beside(path, ".places");
    atexit(end);
}
