/* SPDX-License-Identifier: MIT */
#include "server/http/health.h"
#include "cache/base/clock.h"
#include "policies/health.h"
#include "server/config/settings.h"
#include "server/maintenance.h"
#include "server/worker/worker_stats.h"
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>

/* What a check finds, a line for each: faults, which make it fail, and what is worth knowing. */
struct findings {
    struct health_judge judge; /* first: who finds something knows it by that */
    struct buffer faults, notes;
};

struct check {
    const char *name;
    void (*run)(struct server *server, struct findings *findings);
};

static void add_finding(struct health_judge *self, bool is_fault, const char *text) {
    struct findings *findings = (struct findings *)self;
    buffer_print(is_fault ? &findings->faults : &findings->notes, "%s\n", text);
}

__attribute__((format(printf, 2, 3))) static void complain(struct findings *findings, const char *format,
                                                           ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_finding(&findings->judge, true, text);
}

/* ---- Live ---- */

static bool has_stalled(const struct server *server, uint64_t since_us, uint64_t now_us) {
    return now_us > since_us && now_us - since_us > (uint64_t)server->settings->stall_timeout * US_PER_MS;
}

/* Finds a thread that stands still. While the disk hangs it may wait for that, or for one that does, and a restart,
 * which has to read the same disk, would mend nothing and lose what memory holds. */
__attribute__((format(printf, 3, 4))) static void
find_stalled(struct server *server, struct findings *findings, const char *format, ...) {
    char text[200], whole[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bool disk_hangs = health_disk_hangs(server->tier, server->settings->stall_timeout);
    snprintf(whole, sizeof whole, "%s%s", text, disk_hangs ? ", and the disk hangs" : "");
    add_finding(&findings->judge, !disk_hangs, whole);
}

/* They turn until a stop has ended them. */
static void check_workers(struct server *server, struct findings *findings) {
    enum server_phase phase = server->phase;
    uint64_t now_us = monotonic_us();
    if (phase != SERVER_LOADING && phase != SERVER_SERVING)
        return;
    for (unsigned i = 0; i < server->worker_count; i++) {
        uint32_t last = worker_last_turn(server->workers[i]);
        if (has_stalled(server, (uint64_t)last * US_PER_SECOND, now_us))
            find_stalled(server, findings, "worker %u has been in one turn for %u s", i,
                         (unsigned)(now_us / US_PER_SECOND - last));
    }
}

static void check_maintenance(struct server *server, struct findings *findings) {
    if (!http_has_tier(server))
        return;
    uint64_t now_us = monotonic_us(), last_us = maintenance_turned_us(server->maintenance);
    if (has_stalled(server, last_us, now_us))
        find_stalled(server, findings, "maintenance has not turned for %u s",
                     (unsigned)((now_us - last_us) / US_PER_SECOND));
}

static void check_writers(struct server *server, struct findings *findings) {
    if (http_has_tier(server))
        health_judge_writers(server->tier, server->settings->stall_timeout, &findings->judge);
}

static const struct check live_checks[] = {
    {"workers", check_workers},
    {"maintenance", check_maintenance},
    {"writers", check_writers},
    {0},
};

/* Without memory to say why, it failed as well. */
static bool has_faults(const struct findings *findings) {
    return findings->faults.size > 0 || findings->faults.failed;
}

static bool passes(struct server *server, const struct check *checks) {
    struct findings findings = {.judge = {add_finding}};
    for (const struct check *check = checks; check->name; check++)
        check->run(server, &findings);
    bool passed = !has_faults(&findings);
    buffer_free(&findings.faults);
    buffer_free(&findings.notes);
    return passed;
}

bool health_is_live(struct server *server) {
    return passes(server, live_checks);
}

/* ---- Started, ready ---- */

static void check_started(struct server *server, struct findings *findings) {
    if (server->phase == SERVER_STARTING)
        complain(findings, "the backends are being opened, and what the journal holds is read");
}

static void check_preload(struct server *server, struct findings *findings) {
    if (server->phase == SERVER_LOADING)
        complain(findings, "a preload that is waited for (preload_wait) has not ended");
}

static void check_not_stopping(struct server *server, struct findings *findings) {
    if (server->phase >= SERVER_STOPPING)
        complain(findings, "the server is stopping, and no client is accepted any more");
}

static void check_readers(struct server *server, struct findings *findings) {
    if (http_has_tier(server))
        health_judge_readers(server->tier, server->settings->stall_timeout, &findings->judge);
}

static void check_journal(struct server *server, struct findings *findings) {
    if (http_has_tier(server))
        health_judge_journal(server->tier, server->settings->stall_timeout, &findings->judge);
}

static void check_backends(struct server *server, struct findings *findings) {
    if (http_has_tier(server))
        health_judge_backends(server->tier, server->settings->stall_timeout, &findings->judge);
}

static void check_room(struct server *server, struct findings *findings) {
    if (http_has_tier(server))
        health_judge_room(server->tier, &findings->judge);
}

static const struct check startup_checks[] = {
    {"started", check_started},
    {"preload", check_preload},
    {0},
};

static const struct check ready_checks[] = {
    {"started", check_started},
    {"preload", check_preload},
    {"not-stopping", check_not_stopping},
    {"journal", check_journal},
    {"backends", check_backends},
    {"readers", check_readers},
    {"room", check_room},
    {0},
};

bool health_is_ready(struct server *server) {
    return passes(server, ready_checks);
}

/* ---- Answering ---- */

/* A report under way. */
struct report {
    const struct http_request *request;
    struct server *server;
    struct buffer lines;
    bool failed;
};

struct exclusion {
    const char *name;
    bool found;
};

static enum MHD_Result look_for_exclusion(void *context, enum MHD_ValueKind kind, const char *name,
                                          const char *value) {
    struct exclusion *exclusion = context;
    (void)kind;
    if (strcmp(name, "exclude") == 0 && value && strcmp(value, exclusion->name) == 0)
        exclusion->found = true;
    return exclusion->found ? MHD_NO : MHD_YES;
}

static bool is_excluded(const struct http_request *request, const struct check *check) {
    struct exclusion exclusion = {.name = check->name};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, look_for_exclusion, &exclusion);
    return exclusion.found;
}

/* Exclusions that exclude nothing, a warning for each, by which a slip is found. */
struct exclusions {
    const struct check *checks;
    struct buffer *lines;
};

static enum MHD_Result warn_of_exclusion(void *context, enum MHD_ValueKind kind, const char *name,
                                         const char *value) {
    struct exclusions *exclusions = context;
    const struct check *check = exclusions->checks;
    (void)kind;
    if (strcmp(name, "exclude") != 0)
        return MHD_YES;
    while (check->name && strcmp(check->name, value ? value : "") != 0)
        check++;
    if (!check->name)
        buffer_print(exclusions->lines,
                     "warn: some health checks cannot be excluded: no matches for \"%.100s\"\n",
                     value ? value : "");
    return MHD_YES;
}

static void warn_of_exclusions(struct report *report, const struct check *checks) {
    struct exclusions exclusions = {checks, &report->lines};
    MHD_get_connection_values(report->request->connection, MHD_GET_ARGUMENT_KIND, warn_of_exclusion,
                              &exclusions);
}

/* A line of the report for each line that was found. */
static void add_lines(struct report *report, const char *name, char sign, struct buffer *found) {
    buffer_append(found, "", 1);
    report->lines.failed |= found->failed;
    for (const char *at = found->failed ? "" : found->data, *end; (end = strchr(at, '\n')); at = end + 1)
        buffer_print(&report->lines, "[%c]%s %s: %.*s\n", sign, name, sign == '+' ? "ok" : "failed",
                     (int)(end - at), at);
}

static void run_check(struct report *report, const struct check *check) {
    struct findings findings = {.judge = {add_finding}};
    if (is_excluded(report->request, check)) {
        buffer_print(&report->lines, "[+]%s excluded: ok\n", check->name);
        return;
    }
    check->run(report->server, &findings);
    bool failed = has_faults(&findings);
    if (!failed && findings.notes.size == 0)
        buffer_print(&report->lines, "[+]%s ok\n", check->name);
    add_lines(report, check->name, '-', &findings.faults);
    add_lines(report, check->name, '+', &findings.notes);
    report->failed |= failed;
    buffer_free(&findings.faults);
    buffer_free(&findings.notes);
}

static void answer(const struct http_request *request, struct server *server, const char *what,
                   const struct check *checks, struct http_reply *reply) {
    struct report report = {.request = request, .server = server};
    struct slice value;
    bool found = !*request->rest;
    for (const struct check *check = checks; check->name; check++) {
        if (*request->rest && strcmp(request->rest, check->name) != 0)
            continue;
        run_check(&report, check);
        found = true;
    }
    warn_of_exclusions(&report, checks);
    if (!found) {
        http_say(reply, MHD_HTTP_NOT_FOUND, "/%s has no check of this name; /%s?verbose lists them", what,
                 what);
    } else if (report.failed || http_argument(request, "verbose", &value)) {
        buffer_append(&reply->body, report.lines.data, report.lines.size);
        buffer_print(&reply->body, "%s check %s\n", what, report.failed ? "failed" : "passed");
        reply->status = report.failed ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    } else {
        buffer_print(&reply->body, "ok\n");
    }
    reply->body.failed |= report.lines.failed;
    buffer_free(&report.lines);
}

void health_answer_live(struct admin_http *http, const struct http_request *request,
                        struct http_reply *reply) {
    answer(request, admin_http_server(http), "livez", live_checks, reply);
}

void health_answer_ready(struct admin_http *http, const struct http_request *request,
                         struct http_reply *reply) {
    answer(request, admin_http_server(http), "readyz", ready_checks, reply);
}

void health_answer_startup(struct admin_http *http, const struct http_request *request,
                           struct http_reply *reply) {
    answer(request, admin_http_server(http), "startupz", startup_checks, reply);
}
