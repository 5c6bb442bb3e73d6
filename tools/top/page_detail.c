/* SPDX-License-Identifier: MIT */
/* One namespace: all that there is about it. What it does not have (a backend, changes that wait) is left out. */
#include "tools/top/canvas.h"
#include <math.h>
#include <string.h>

/* A line of figures that come from the statistics as they are. */
struct named {
    const char *label, *name;
    enum unit unit; /* UNIT_RATE: of the interval */
};

static void draw_named(struct canvas *canvas, const struct picture *picture, enum report report,
                       const char *owner, const struct named *named, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double value = named[i].unit == UNIT_RATE ? model_rate(picture, report, owner, named[i].name)
                                                  : sample_number(picture->now, report, owner, named[i].name);
        canvas_figure(canvas, named[i].label, named[i].unit, value, LOOK_PLAIN);
    }
    canvas_end_line(canvas);
}

#define DRAW(canvas, picture, report, owner, ...)                                                            \
    draw_named(canvas, picture, report, owner, (const struct named[]){__VA_ARGS__},                          \
               sizeof((const struct named[]){__VA_ARGS__}) / sizeof(struct named))

static const char *text_of(const struct picture *picture, enum report report, const char *owner,
                           const char *name) {
    const char *text = sample_text(picture->now, report, owner, name);
    return text ? text : "-";
}

static void draw_head(struct canvas *canvas, const struct picture *picture, const struct namespace_row *row) {
    canvas_print(canvas, LOOK_HEADING, "%s", row->name);
    canvas_print(canvas, LOOK_PLAIN, "  keys \"%s*\"  %s%s%s",
                 text_of(picture, REPORT_NAMESPACES, row->name, "prefix"), row->policy,
                 *row->backend ? " to " : "", row->backend);
    if (!isnan(row->dirty_entries))
        canvas_print(canvas, LOOK_PLAIN, "  journal %s",
                     text_of(picture, REPORT_WRITE_BEHIND, row->name, "journal"));
    canvas_end_line(canvas);
    canvas_end_line(canvas);
}

/* ---- How long requests take ---- */

/* of_all: since the start or the last reset, as the server has worked it out. */
static void draw_kind(struct canvas *canvas, const char *label, const struct quantiles *quantiles,
                      const double of_all[3]) {
    char text[7][FIGURE_MAX];
    canvas_print(canvas, LOOK_PLAIN, "%-6s %6s  %6s %6s %6s    %6s %6s %6s", label,
                 figure(UNIT_RATE, quantiles->rate, text[0]), figure(UNIT_US, quantiles->p50_us, text[1]),
                 figure(UNIT_US, quantiles->p99_us, text[2]), figure(UNIT_US, quantiles->p999_us, text[3]),
                 figure(UNIT_US, of_all[0], text[4]), figure(UNIT_US, of_all[1], text[5]),
                 figure(UNIT_US, of_all[2], text[6]));
    canvas_end_line(canvas);
}

static void draw_latency(struct canvas *canvas, const struct picture *picture,
                         const struct namespace_row *row) {
    static const char *const kinds[] = {"hit", "load", "write"}, *const ranks[] = {"p50", "p99", "p999"};
    const struct quantiles *const quantiles[] = {&row->hit, &row->load, &row->write};
    char name[32];
    double of_all[3];
    canvas_print(canvas, LOOK_FAINT, "%-6s %6s  %-20s    %s", "", "", "in the last interval",
                 "since the start or a reset");
    canvas_end_line(canvas);
    canvas_print(canvas, LOOK_HEADING, "%-6s %6s  %6s %6s %6s    %6s %6s %6s", "", "/S", "P50", "P99",
                 "P99.9", "P50", "P99", "P99.9");
    canvas_end_line(canvas);
    for (int kind = 0; kind < 3; kind++) {
        for (int rank = 0; rank < 3; rank++) {
            snprintf(name, sizeof name, "%s_%s_us", kinds[kind], ranks[rank]);
            of_all[rank] = sample_number(picture->now, REPORT_FOREBAY, row->name, name);
        }
        draw_kind(canvas, kinds[kind], quantiles[kind], of_all);
    }
    canvas_end_line(canvas);
}

/* ---- The rest ---- */

static void draw_memory(struct canvas *canvas, const struct picture *picture,
                        const struct namespace_row *row) {
    canvas_print(canvas, LOOK_HEADING, "memory  ");
    DRAW(canvas, picture, REPORT_NAMESPACES, row->name, {"entries", "entries", UNIT_COUNT},
         {"bytes", "bytes", UNIT_BYTES}, {"in use", "memory_used", UNIT_BYTES},
         {"evict/s", "evictions", UNIT_RATE}, {"expire/s", "expired", UNIT_RATE},
         {"refused", "refused_no_memory", UNIT_COUNT});
}

static void draw_reads(struct canvas *canvas, const struct picture *picture,
                       const struct namespace_row *row) {
    canvas_print(canvas, LOOK_HEADING, "reads   ");
    canvas_figure(canvas, "hit%", UNIT_PERCENT, row->hit_ratio, LOOK_PLAIN);
    DRAW(canvas, picture, REPORT_NAMESPACES, row->name, {"hits/s", "get_hits", UNIT_RATE},
         {"misses/s", "get_misses", UNIT_RATE}, {"absences", "remembered_absences", UNIT_COUNT});
    if (!*row->backend)
        return;
    canvas_print(canvas, LOOK_HEADING, "loads   ");
    DRAW(canvas, picture, REPORT_NAMESPACES, row->name, {"loads/s", "loads", UNIT_RATE},
         {"found/s", "load_hits", UNIT_RATE}, {"errors/s", "load_errors", UNIT_RATE},
         {"errors", "load_errors", UNIT_COUNT}, {"unfit", "load_unfit", UNIT_COUNT},
         {"unreadable", "rows_unreadable", UNIT_COUNT});
    canvas_print(canvas, LOOK_HEADING, "table   ");
    canvas_print(canvas, LOOK_PLAIN, "read breaker %s  write breaker %s",
                 text_of(picture, REPORT_NAMESPACES, row->name, "read_breaker"),
                 text_of(picture, REPORT_NAMESPACES, row->name, "write_breaker"));
    canvas_end_line(canvas);
}

static void draw_dirty(struct canvas *canvas, const struct picture *picture,
                       const struct namespace_row *row) {
    double limit = sample_number(picture->now, REPORT_WRITE_BEHIND, row->name, "dirty_limit");
    enum look look = row->full > 0 ? LOOK_ALARM : LOOK_PLAIN;
    canvas_print(canvas, LOOK_HEADING, "dirty   ");
    canvas_figure(canvas, "entries", UNIT_COUNT, row->dirty_entries, look);
    canvas_figure(canvas, "bytes", UNIT_BYTES, row->dirty_bytes, look);
    canvas_figure(canvas, "of", UNIT_BYTES, limit, look);
    canvas_figure(canvas, "oldest", UNIT_MS, row->oldest_dirty_ms, LOOK_PLAIN);
    if (row->full > 0)
        canvas_print(canvas, LOOK_ALARM, "FULL");
    canvas_end_line(canvas);
    canvas_print(canvas, LOOK_HEADING, "        ");
    DRAW(canvas, picture, REPORT_WRITE_BEHIND, row->name, {"changes/s", "changes", UNIT_RATE},
         {"coalesced/s", "coalesced", UNIT_RATE}, {"waiting", "waiting_requests", UNIT_COUNT},
         {"refused", "full_rejects", UNIT_COUNT});
}

static void draw_flushes(struct canvas *canvas, const struct picture *picture,
                         const struct namespace_row *row) {
    canvas_print(canvas, LOOK_HEADING, "flushes ");
    DRAW(canvas, picture, REPORT_WRITE_BEHIND, row->name, {"batches/s", "batches", UNIT_RATE},
         {"rows/s", "rows", UNIT_RATE}, {"deleted/s", "rows_deleted", UNIT_RATE},
         {"touched/s", "rows_touched", UNIT_RATE}, {"retries", "retries", UNIT_COUNT});
    canvas_print(canvas, LOOK_HEADING, "refused ");
    canvas_figure(canvas, "quarantine", UNIT_COUNT, row->quarantine,
                  row->quarantine > 0 ? LOOK_ALARM : LOOK_PLAIN);
    DRAW(canvas, picture, REPORT_WRITE_BEHIND, row->name, {"bytes", "quarantine_bytes", UNIT_BYTES},
         {"of", "quarantine_limit", UNIT_BYTES}, {"bisections", "bisections", UNIT_COUNT});
}

/* ---- Of its backend ---- */

static enum look state_look(const char *text, const char *bad) {
    return strcmp(text, bad) == 0 ? LOOK_ALARM : LOOK_PLAIN;
}

static void draw_copy(struct canvas *canvas, const struct picture *picture, const struct namespace_row *row) {
    double refused = sample_number(picture->now, REPORT_NAMESPACES, row->name, "copy_refused");
    canvas_print(canvas, LOOK_HEADING, "copy    ");
    canvas_print(canvas, LOOK_PLAIN, "to %s  ", text_of(picture, REPORT_NAMESPACES, row->name, "copy_to"));
    canvas_print(canvas, state_look(row->copy, "halted"), "%s  ", row->copy);
    canvas_figure(canvas, "refused", UNIT_COUNT, refused, refused > 0 ? LOOK_ALARM : LOOK_PLAIN);
    DRAW(canvas, picture, REPORT_NAMESPACES, row->name, {"rows", "copy_rows", UNIT_COUNT},
         {"of", "copy_rows_total", UNIT_COUNT}, {"rows/s", "copy_rows_per_second", UNIT_COUNT},
         {"unreadable", "copy_unreadable", UNIT_COUNT});
}

static void draw_coherence(struct canvas *canvas, const struct picture *picture,
                           const struct backend_row *backend) {
    canvas_print(canvas, LOOK_HEADING, "others  ");
    canvas_figure(canvas, "servers", UNIT_COUNT, backend->other_nodes, LOOK_PLAIN);
    if (*backend->coherent) {
        canvas_print(canvas, LOOK_PLAIN, "coherent ");
        canvas_print(canvas, state_look(backend->coherent, "blind"), "%s  ", backend->coherent);
        DRAW(canvas, picture, REPORT_BACKENDS, backend->name, {"heard/s", "coherent_heard", UNIT_RATE},
             {"compared/s", "coherent_compared", UNIT_RATE}, {"forgotten/s", "coherent_dropped", UNIT_RATE},
             {"losses", "coherent_losses", UNIT_COUNT});
    } else {
        canvas_end_line(canvas);
    }
}

static void draw_node(struct canvas *canvas, const struct picture *picture, const char *backend,
                      const char *place) {
    static const struct named named[] = {{"slots", "slots", UNIT_COUNT},
                                         {"commands/s", "commands", UNIT_RATE},
                                         {"errors", "errors", UNIT_COUNT},
                                         {"redirections", "redirections", UNIT_COUNT}};
    struct named full[sizeof named / sizeof *named];
    char names[sizeof named / sizeof *named][SAMPLE_PLACE_MAX + 32], breaker[SAMPLE_PLACE_MAX + 32];
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        snprintf(names[i], sizeof names[i], "node:%s:%s", place, named[i].name);
        full[i] = (struct named){named[i].label, names[i], named[i].unit};
    }
    snprintf(breaker, sizeof breaker, "node:%s:breaker", place);
    const char *state = text_of(picture, REPORT_BACKENDS, backend, breaker);
    canvas_print(canvas, LOOK_HEADING, "node    ");
    canvas_print(canvas, state_look(state, "open"), "%s %s  ", place, state);
    draw_named(canvas, picture, REPORT_BACKENDS, backend, full, sizeof named / sizeof *named);
}

static void draw_backend(struct canvas *canvas, const struct picture *picture,
                         const struct namespace_row *row) {
    char place[SAMPLE_PLACE_MAX];
    size_t i = 0;
    while (i < picture->backend_count && strcmp(picture->backends[i].name, row->backend) != 0)
        i++;
    if (i == picture->backend_count)
        return;
    const struct backend_row *backend = &picture->backends[i];
    if (*backend->coherent || backend->other_nodes > 0)
        draw_coherence(canvas, picture, backend);
    for (size_t at = 0; sample_next_node(picture->now, backend->name, &at, place);)
        draw_node(canvas, picture, backend->name, place);
}

void page_detail(struct canvas *canvas, const struct picture *picture, const struct namespace_row *row,
                 int line) {
    canvas_go(canvas, line);
    draw_head(canvas, picture, row);
    draw_latency(canvas, picture, row);
    draw_memory(canvas, picture, row);
    draw_reads(canvas, picture, row);
    if (!isnan(row->dirty_entries)) {
        draw_dirty(canvas, picture, row);
        draw_flushes(canvas, picture, row);
    }
    if (*row->copy)
        draw_copy(canvas, picture, row);
    draw_backend(canvas, picture, row);
}
