/* SPDX-License-Identifier: MIT */
/* See history.h. A row lies where its second leaves it, second % rows, and says which second it is of. */
#include "server/http/history.h"
#include "cache/base/clock.h"
#include "server/http/figures.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#define NAME(name) #name,
static const char *const space_figures[] = {SPACE_FIGURES(NAME)};
static const char *const backend_figures[] = {BACKEND_FIGURES(NAME)};
static const char *const node_figures[] = {NODE_FIGURES(NAME)};
static const char *const server_figures[] = {SERVER_FIGURES(NAME)};
#undef NAME

static const struct figure_names {
    const char *const *names;
    size_t count;
    size_t rows; /* that a track has */
} figures_of[TRACK_KINDS] = {
    [TRACK_SERVER] = {server_figures, SERVER_FIGURES_COUNT, HISTORY_SECONDS},
    [TRACK_ALL] = {space_figures, SPACE_FIGURES_COUNT, HISTORY_SECONDS},
    [TRACK_SPACE] = {space_figures, SPACE_FIGURES_COUNT, HISTORY_SECONDS},
    [TRACK_BACKEND] = {backend_figures, BACKEND_FIGURES_COUNT, HISTORY_SECONDS},
    [TRACK_NODE] = {node_figures, NODE_FIGURES_COUNT, 1},
};

struct track {
    STAILQ_ENTRY(track) others;
    enum track_kind kind;
    char *name, *type, *backend;
    uint32_t newest;
    uint32_t seconds[HISTORY_SECONDS];
    float rows[]; /* as many as its kind has */
};

STAILQ_HEAD(track_list, track);

struct history {
    pthread_mutex_t lock;     /* a leaf */
    struct track_list tracks; /* in the order in which they came */
    uint32_t newest;          /* 0: nothing yet */
    uint32_t putting;
};

/* ---- Tracks ---- */

static void free_track(struct track *track) {
    free(track->name);
    free(track->type);
    free(track->backend);
    free(track);
}

static struct track *make_track(enum track_kind kind, const struct track_label *label) {
    struct track *track =
        calloc(1, sizeof *track + figures_of[kind].rows * figures_of[kind].count * sizeof *track->rows);
    if (!track)
        return NULL;
    track->kind = kind;
    track->name = strdup(label->name);
    track->type = strdup(label->kind);
    track->backend = strdup(label->backend);
    if (track->name && track->type && track->backend)
        return track;
    free_track(track);
    return NULL;
}

/* A namespace that has another policy or backend now is another one. */
static bool is_of(const struct track *track, enum track_kind kind, const struct track_label *label) {
    return track->kind == kind && strcmp(track->name, label->name) == 0 &&
           strcmp(track->type, label->kind) == 0 && strcmp(track->backend, label->backend) == 0;
}

static struct track *find_track(struct history *history, enum track_kind kind,
                                const struct track_label *label) {
    struct track *track;
    STAILQ_FOREACH(track, &history->tracks, others) {
        if (is_of(track, kind, label))
            return track;
    }
    if ((track = make_track(kind, label)))
        STAILQ_INSERT_TAIL(&history->tracks, track, others);
    return track;
}

/* ---- The whole ---- */

struct history *history_create(void) {
    struct history *history = calloc(1, sizeof *history);
    if (!history)
        return NULL;
    pthread_mutex_init(&history->lock, NULL);
    STAILQ_INIT(&history->tracks);
    return history;
}

void history_free(struct history *history) {
    if (!history)
        return;
    for (struct track *track; (track = STAILQ_FIRST(&history->tracks));) {
        STAILQ_REMOVE_HEAD(&history->tracks, others);
        free_track(track);
    }
    pthread_mutex_destroy(&history->lock);
    free(history);
}

/* ---- Putting ---- */

void history_begin(struct history *history, uint32_t second) {
    pthread_mutex_lock(&history->lock);
    history->putting = second;
}

void history_put(struct history *history, enum track_kind kind, const struct track_label *label,
                 const float *figures) {
    struct track *track = find_track(history, kind, label);
    size_t at = history->putting % figures_of[kind].rows, count = figures_of[kind].count;
    if (!track)
        return;
    track->newest = track->seconds[at] = history->putting;
    memcpy(&track->rows[at * count], figures, count * sizeof *figures);
}

static void drop_gone(struct history *history) {
    for (struct track *track = STAILQ_FIRST(&history->tracks), *next; track; track = next) {
        next = STAILQ_NEXT(track, others);
        if (track->newest == history->putting)
            continue;
        STAILQ_REMOVE(&history->tracks, track, track, others);
        free_track(track);
    }
}

void history_end(struct history *history) {
    drop_gone(history);
    history->newest = history->putting;
    pthread_mutex_unlock(&history->lock);
}

/* ---- Reading ---- */

struct window {
    uint32_t first, count;
};

static struct window window_of(const struct history *history, uint32_t since) {
    uint32_t newest = history->newest;
    uint32_t oldest = newest > HISTORY_SECONDS ? newest - HISTORY_SECONDS + 1 : 1;
    uint32_t first = since >= oldest && since <= newest + 1 ? since : oldest;
    return (struct window){first, newest + 1 - first};
}

/* Names are letters, digits, "_" and "-"; whatever they become one day, they end no string. */
static void write_text(struct buffer *out, const char *text) {
    buffer_append_text(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\' || (unsigned char)*text < ' ')
            buffer_print(out, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            buffer_append(out, text, 1);
    }
    buffer_append_text(out, "\"");
}

static void write_whole(struct buffer *out, uint64_t number) {
    char text[20];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + number % 10);
    while (number /= 10);
    buffer_append(out, text + at, sizeof text - at);
}

/* There are tens of thousands in an answer, and most are whole: printf would take most of its time. */
static void write_number(struct buffer *out, float number) {
    static const float whole_below = 1e18F;
    if (isnan(number))
        buffer_append_text(out, "null");
    else if (number >= 0 && number < whole_below && number == floorf(number))
        write_whole(out, (uint64_t)number);
    else
        buffer_print(out, "%.5g", (double)number);
}

static float figure_at(const struct track *track, uint32_t second, size_t figure) {
    size_t at = second % figures_of[track->kind].rows;
    return track->seconds[at] == second ? track->rows[at * figures_of[track->kind].count + figure] : NAN;
}

static void write_series(struct buffer *out, const struct track *track, size_t figure, struct window window) {
    buffer_append_text(out, "[");
    for (uint32_t i = 0; i < window.count; i++) {
        buffer_append_text(out, i ? "," : "");
        write_number(out, figure_at(track, window.first + i, figure));
    }
    buffer_append_text(out, "]");
}

/* {"hits":[...],"misses":[...]} */
static void write_track(struct buffer *out, const struct track *track, struct window window) {
    const struct figure_names *figures = &figures_of[track->kind];
    buffer_append_text(out, "{");
    for (size_t i = 0; i < figures->count; i++) {
        buffer_print(out, "%s\"%s\":", i ? "," : "", figures->names[i]);
        write_series(out, track, i, window);
    }
    buffer_append_text(out, "}");
}

/* A namespace as the list has it: its latest figures, and the series of what is drawn for all at once. */
static void write_space(struct buffer *out, const struct history *history, const struct track *track,
                        struct window window) {
    (void)history;
    buffer_append_text(out, "{\"name\":");
    write_text(out, track->name);
    buffer_append_text(out, ",\"policy\":");
    write_text(out, track->type);
    buffer_append_text(out, ",\"backend\":");
    write_text(out, track->backend);
    buffer_append_text(out, ",\"now\":");
    write_track(out, track, (struct window){track->newest, 1});
    buffer_append_text(out, ",\"memory\":");
    write_series(out, track, SPACE_FIGURE_memory, window);
    buffer_append_text(out, "}");
}

/* {"name":"10.0.0.1:6379","now":{...}},... */
static void write_nodes(struct buffer *out, const struct history *history, const char *backend) {
    const char *comma = "";
    const struct track *track;
    STAILQ_FOREACH(track, &history->tracks, others) {
        if (track->kind != TRACK_NODE || strcmp(track->backend, backend) != 0)
            continue;
        buffer_print(out, "%s{\"name\":", comma);
        write_text(out, track->name);
        buffer_append_text(out, ",\"now\":");
        write_track(out, track, (struct window){track->newest, 1});
        buffer_append_text(out, "}");
        comma = ",";
    }
}

static void write_backend(struct buffer *out, const struct history *history, const struct track *track,
                          struct window window) {
    buffer_append_text(out, "{\"name\":");
    write_text(out, track->name);
    buffer_append_text(out, ",\"kind\":");
    write_text(out, track->type);
    buffer_append_text(out, ",\"series\":");
    write_track(out, track, window);
    buffer_append_text(out, ",\"nodes\":[");
    write_nodes(out, history, track->name);
    buffer_append_text(out, "]}");
}

static void write_list(struct buffer *out, const struct history *history, enum track_kind kind,
                       void (*write)(struct buffer *out, const struct history *history,
                                     const struct track *track, struct window window),
                       struct window window) {
    const char *comma = "";
    const struct track *track;
    STAILQ_FOREACH(track, &history->tracks, others) {
        if (track->kind != kind)
            continue;
        buffer_append_text(out, comma);
        write(out, history, track, window);
        comma = ",";
    }
}

static const struct track *find_named(const struct history *history, enum track_kind kind,
                                      struct slice name) {
    const struct track *track;
    STAILQ_FOREACH(track, &history->tracks, others) {
        if (track->kind == kind && slice_equal(slice_string(track->name), name))
            return track;
    }
    return NULL;
}

/* Unix time of second 0, whatever the wall clock was when it passed. */
static double epoch_of(const struct history_question *question) {
    double then_us = (double)question->now_us - (double)question->running_us;
    return round(then_us / US_PER_SECOND);
}

static void write_head(struct buffer *out, const struct history_question *question, struct window window) {
    buffer_append_text(out, "{\"version\":");
    write_text(out, question->version);
    buffer_print(out, ",\"life\":%llu,\"epoch\":%.0f,\"running\":%llu,\"first\":%u,\"count\":%u",
                 (unsigned long long)question->started_us, epoch_of(question),
                 (unsigned long long)question->running_us / US_PER_SECOND, window.first, window.count);
}

static void write_part(struct buffer *out, const char *name, const struct track *track,
                       struct window window) {
    buffer_print(out, ",\"%s\":", name);
    if (track)
        write_track(out, track, window);
    else
        buffer_append_text(out, "{}");
}

static bool write_all(const struct history *history, const struct history_question *question,
                      struct buffer *out) {
    struct window window = window_of(history, question->since);
    enum track_kind kind = question->space.size ? TRACK_SPACE : TRACK_ALL;
    const struct track *chosen = find_named(history, kind, question->space);
    if (question->space.size && !chosen)
        return false;
    write_head(out, question, window);
    write_part(out, "chosen", chosen, window);
    write_part(out, "all", find_named(history, TRACK_ALL, slice_of("", 0)),
               (struct window){history->newest, 1});
    write_part(out, "server", find_named(history, TRACK_SERVER, slice_of("", 0)), window);
    buffer_append_text(out, ",\"backends\":[");
    write_list(out, history, TRACK_BACKEND, write_backend, window);
    buffer_append_text(out, "],\"namespaces\":[");
    write_list(out, history, TRACK_SPACE, write_space, window);
    buffer_append_text(out, "]}\n");
    return true;
}

bool history_write(struct history *history, const struct history_question *question, struct buffer *out) {
    pthread_mutex_lock(&history->lock);
    bool found = write_all(history, question, out);
    pthread_mutex_unlock(&history->lock);
    return found;
}
