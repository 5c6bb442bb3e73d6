/* SPDX-License-Identifier: MIT */
/* See metrics_table.h. Rows that belong together stand together; docs/metrics.md has them in the same order. */
#include "server/admin/metrics_table.h"
#include "cache/base/clock.h"
#include <stdio.h>

/* ---- Buckets ---- */

/* Powers of two of microseconds, where the times are. Each is a line for every namespace: where these are many, there
 * is every other one or less, as each is a series to whoever keeps them. All powers are in `stats forebay`. */
static const unsigned char hit_bounds[] = {4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 0};
static const unsigned char hit_bounds_few[] = {4, 6, 8, 10, 12, 0};
static const unsigned char wait_bounds[] = {7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 0};
static const unsigned char wait_bounds_few[] = {8, 10, 12, 14, 17, 20, 0};
/* What there is one of, or one a backend. */
static const unsigned char turn_bounds[] = {4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 0};
static const unsigned char call_bounds[] = {6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 0};

/* ---- Samples with labels of their own ---- */

static void write_build(struct metric_page *page, const void *measures) {
    (void)measures;
    metric_sample(page, "version=\"" FOREBAY_VERSION "\"", 1);
}

static void write_cpu(struct metric_page *page, const void *measures) {
    const struct metrics_snapshot *snapshot = measures;
    metric_sample(page, "mode=\"user\"", snapshot->process.user_us);
    metric_sample(page, "mode=\"system\"", snapshot->process.system_us);
}

static void write_resident(struct metric_page *page, const void *measures) {
    const struct metrics_snapshot *snapshot = measures;
    if (snapshot->process.resident_bytes)
        metric_sample(page, "", snapshot->process.resident_bytes);
}

static void write_descriptors(struct metric_page *page, const void *measures) {
    const struct metrics_snapshot *snapshot = measures;
    if (snapshot->process.descriptors)
        metric_sample(page, "", snapshot->process.descriptors);
}

static void write_descriptors_max(struct metric_page *page, const void *measures) {
    const struct metrics_snapshot *snapshot = measures;
    if (snapshot->process.descriptors_max != UINT64_MAX)
        metric_sample(page, "", snapshot->process.descriptors_max);
}

static void write_space_info(struct metric_page *page, const void *measures) {
    const struct space_measures *space = measures;
    char labels[200];
    snprintf(labels, sizeof labels, "policy=\"%s\",backend=\"%.64s\",journal=\"%s\"", space->policy,
             space->backend ? space->backend : "", space->journal);
    metric_sample(page, labels, 1);
}

/* A meta command that has two rows of the counters is one to users. */
static void add_operations(const struct usage_sum *usage,
                           uint64_t ret_answers[static COMMANDS_WITH_KEY_COUNT][OUTCOMES]) {
    for (int i = 0; i < OPERATIONS; i++)
        for (int outcome = 0; outcome < OUTCOMES; outcome++)
            ret_answers[usage_command((enum operation)i)][outcome] += usage->operations[i][outcome];
}

static void write_answers(struct metric_page *page, enum command command,
                          const uint64_t answers[static OUTCOMES]) {
    const struct slice word = command_row(command)->word;
    char labels[100];
    for (int outcome = 0; outcome < OUTCOMES; outcome++) {
        if (answers[outcome] == 0)
            continue;
        snprintf(labels, sizeof labels, "command=\"%.*s\",result=\"%s\"", (int)word.size, word.data,
                 usage_outcome_name((enum outcome_status)outcome));
        metric_sample(page, labels, answers[outcome]);
    }
}

static void write_operations(struct metric_page *page, const void *measures) {
    const struct space_measures *space = measures;
    uint64_t answers[COMMANDS_WITH_KEY_COUNT][OUTCOMES] = {{0}};
    add_operations(&space->usage, answers);
    for (int command = 0; command < COMMANDS_WITH_KEY_COUNT; command++)
        write_answers(page, (enum command)command, answers[command]);
}

/* Those that clients cannot be blamed for, as far as the namespace can meet with them. */
static bool may_befall(const struct space_measures *space, enum outcome_error error) {
    switch (error) {
    case ERROR_NO_MEMORY:
        return true;
    case ERROR_TOO_BUSY:
    case ERROR_BACKEND_DOWN:
    case ERROR_ROW_UNFIT:
        return space->backend != NULL;
    case ERROR_BACKEND_REFUSES:
        return space->backend && !space->holds_back;
    case ERROR_FULL:
    case ERROR_JOURNAL_FULL:
    case ERROR_UNCONFIRMED:
        return space->holds_back;
    case ERROR_TOO_LARGE:
    case ERROR_NOT_A_NUMBER:
    case ERROR_KEY_UNFIT:
    case ERROR_NO_NAMESPACE:
    case ERROR_FORBIDDEN:
        break;
    }
    return false;
}

/* What may befall it is there from the start, so that an alarm sees the first one as well. */
static void write_errors(struct metric_page *page, const void *measures) {
    const struct space_measures *space = measures;
    char labels[100];
    for (int error = 0; error < OUTCOME_ERRORS; error++) {
        if (space->usage.errors[error] == 0 && !may_befall(space, (enum outcome_error)error))
            continue;
        snprintf(labels, sizeof labels, "reason=\"%s\"", usage_error_name((enum outcome_error)error));
        metric_sample(page, labels, space->usage.errors[error]);
    }
}

static void write_time(struct metric_page *page, const struct space_measures *space, enum usage_kind kind) {
    if (histogram_count(&space->usage.latency[kind]) > 0)
        metric_histogram(page, "", &space->usage.latency[kind]);
}

static void write_hits(struct metric_page *page, const void *measures) {
    write_time(page, measures, USAGE_HIT);
}

static void write_loads(struct metric_page *page, const void *measures) {
    write_time(page, measures, USAGE_LOAD);
}

static void write_writes(struct metric_page *page, const void *measures) {
    write_time(page, measures, USAGE_WRITE);
}

static void write_backend_info(struct metric_page *page, const void *measures) {
    const struct backend_measures *backend = measures;
    char labels[100];
    snprintf(labels, sizeof labels, "kind=\"%.64s\"", backend->kind);
    metric_sample(page, labels, 1);
}

static void write_calls(struct metric_page *page, const void *measures) {
    const struct backend_measures *backend = measures;
    for (int call = 0; call < BACKEND_CALLS; call++)
        for (int status = 0; status < BACKEND_STATUSES; status++) {
            char labels[100];
            snprintf(labels, sizeof labels, "call=\"%s\",result=\"%s\"",
                     backend_call_name((enum backend_call)call),
                     backend_status_name((enum backend_status)status));
            if (backend->calls.endings[call][status] > 0)
                metric_sample(page, labels, backend->calls.endings[call][status]);
        }
}

/* There from the start, unlike the results of calls, so that an alarm sees the first one as well. */
static void write_failures(struct metric_page *page, const void *measures) {
    const struct backend_measures *backend = measures;
    for (int status = 0; status < BACKEND_STATUSES; status++) {
        uint64_t failures = 0;
        char labels[100];
        if (status == BACKEND_OK)
            continue;
        for (int call = 0; call < BACKEND_CALLS; call++)
            failures += backend->calls.endings[call][status];
        snprintf(labels, sizeof labels, "result=\"%s\"", backend_status_name((enum backend_status)status));
        metric_sample(page, labels, failures);
    }
}

static void write_call_times(struct metric_page *page, const void *measures) {
    const struct backend_measures *backend = measures;
    for (int call = 0; call < BACKEND_CALLS; call++) {
        char labels[100];
        snprintf(labels, sizeof labels, "call=\"%s\"", backend_call_name((enum backend_call)call));
        if (histogram_count(&backend->calls.times[call]) > 0)
            metric_histogram(page, labels, &backend->calls.times[call]);
    }
}

/* A sample for the reading side of a backend and one for the writing side. */
static void write_sides(struct metric_page *page, const uint64_t values[static BACKEND_ROLES]) {
    for (int role = BACKEND_ROLES; role-- > 0;) {
        char labels[100];
        snprintf(labels, sizeof labels, "side=\"%s\"", backend_role_name((enum backend_role)role));
        metric_sample(page, labels, values[role]);
    }
}

static void write_breakers(struct metric_page *page, const void *measures) {
    write_sides(page, ((const struct backend_measures *)measures)->breaker);
}

static void write_breakers_opened(struct metric_page *page, const void *measures) {
    write_sides(page, ((const struct backend_measures *)measures)->breaker_opened);
}

static void write_reconnects(struct metric_page *page, const void *measures) {
    write_sides(page, ((const struct backend_measures *)measures)->calls.reconnects);
}

/* ---- Nodes of a store that has several ---- */

typedef uint64_t (*of_node)(const struct backend_node *node);

static uint64_t node_up(const struct backend_node *node) {
    return !node->away;
}

static uint64_t node_heard(const struct backend_node *node) {
    return node->heard;
}

static uint64_t node_slots(const struct backend_node *node) {
    return node->slots;
}

static uint64_t node_commands(const struct backend_node *node) {
    return node->commands;
}

static uint64_t node_errors(const struct backend_node *node) {
    return node->errors;
}

static uint64_t node_redirections(const struct backend_node *node) {
    return node->redirections;
}

static uint64_t node_replica_waits(const struct backend_node *node) {
    return node->replica_waits;
}

static uint64_t node_replica_short(const struct backend_node *node) {
    return node->replica_short;
}

static uint64_t node_exchanges(const struct backend_node *node) {
    return node->exchanges;
}

static uint64_t node_exchange_us(const struct backend_node *node) {
    return node->exchange_us;
}

static void write_nodes(struct metric_page *page, const void *measures, of_node value) {
    const struct backend_nodes_copy *nodes = &((const struct backend_measures *)measures)->nodes;
    for (size_t i = 0; i < nodes->count; i++) {
        char labels[BACKEND_NODE_NAME + 16];
        snprintf(labels, sizeof labels, "node=\"%s\"", nodes->list[i].name);
        metric_sample(page, labels, value(&nodes->list[i]));
    }
}

#define WRITE_NODES(name)                                                                                    \
    static void write_##name(struct metric_page *page, const void *measures) {                               \
        write_nodes(page, measures, name);                                                                   \
    }
WRITE_NODES(node_up)
WRITE_NODES(node_heard)
WRITE_NODES(node_slots)
WRITE_NODES(node_commands)
WRITE_NODES(node_errors)
WRITE_NODES(node_redirections)
WRITE_NODES(node_replica_waits)
WRITE_NODES(node_replica_short)
WRITE_NODES(node_exchanges)
WRITE_NODES(node_exchange_us)
#undef WRITE_NODES

static void write_map_age(struct metric_page *page, const void *measures) {
    uint64_t map_us = ((const struct backend_measures *)measures)->nodes.map_us;
    if (map_us)
        metric_sample(page, "", monotonic_us() - map_us);
}

/* ---- The table ---- */

/* Members of what the scope names. */
#define SERVER(member)   METRIC_OF_SERVER, .offset = offsetof(struct metrics_snapshot, member)
#define JOURNAL(member)  METRIC_OF_JOURNAL, .offset = offsetof(struct metrics_snapshot, journal.member)
#define SPACE(member)    METRIC_OF_SPACE, .offset = offsetof(struct space_measures, member)
#define BACKED(member)   METRIC_OF_BACKED_SPACE, .offset = offsetof(struct space_measures, member)
#define BEHIND(member)   METRIC_OF_WRITE_BEHIND, .offset = offsetof(struct space_measures, member)
#define FILTER(member)   METRIC_OF_FILTER, .offset = offsetof(struct space_measures, member)
#define COPY(member)     METRIC_OF_COPY, .offset = offsetof(struct space_measures, member)
#define BACKEND(member)  METRIC_OF_BACKEND, .offset = offsetof(struct backend_measures, member)
#define COHERENT(member) METRIC_OF_COHERENT, .offset = offsetof(struct backend_measures, member)

/* clang-format off */
static const struct metric metrics[] = {
    /* the process */
    {"forebay_build_info", METRIC_INFO, "", "The version that runs", METRIC_OF_SERVER, .write = write_build},
    {"forebay_live", METRIC_GAUGE, "", "1 while /livez says so: every thread goes on", SERVER(health.live)},
    {"forebay_ready", METRIC_GAUGE, "", "1 while /readyz says so: requests can be sent here", SERVER(health.ready)},
    {"forebay_start_time_seconds", METRIC_GAUGE, "seconds", "When the process started, in Unix time", SERVER(process.started_us)},
    {"forebay_cpu_seconds_total", METRIC_COUNTER, "seconds", "CPU time of all threads, in user and in system mode", METRIC_OF_SERVER, .write = write_cpu},
    {"forebay_resident_memory_bytes", METRIC_GAUGE, "bytes", "Memory of the process that is resident", METRIC_OF_SERVER, .write = write_resident},
    {"forebay_open_descriptors", METRIC_GAUGE, "", "File descriptors that are open", METRIC_OF_SERVER, .write = write_descriptors},
    {"forebay_max_descriptors", METRIC_GAUGE, "", "File descriptors that may be open", METRIC_OF_SERVER, .write = write_descriptors_max},
    {"forebay_workers", METRIC_GAUGE, "", "Worker threads", SERVER(process.threads)},
    {"forebay_workers_in_rotation", METRIC_GAUGE, "", "Worker threads that new connections are given to: no more than there are processors, or all (use_threads)", SERVER(process.threads_in_rotation)},
    {"forebay_reloads_total", METRIC_COUNTER, "", "Times that the configuration was read again, and taken", SERVER(process.reloads)},
    {"forebay_reload_failures_total", METRIC_COUNTER, "", "Times that the configuration was read again and refused, so that nothing has changed", SERVER(process.reload_failures)},
    {"forebay_last_reload_time_seconds", METRIC_GAUGE, "seconds", "When it was taken last, in Unix time; 0: not since the start", SERVER(process.reloaded_us)},
    /* connections and turns */
    {"forebay_connections", METRIC_GAUGE, "", "Client connections that are open", SERVER(process.connections)},
    {"forebay_max_connections", METRIC_GAUGE, "", "Client connections that may be open", SERVER(process.connections_max)},
    {"forebay_accepting", METRIC_GAUGE, "", "1 while connections are accepted, 0 while there are too many", SERVER(process.accepting)},
    {"forebay_connections_accepted_total", METRIC_COUNTER, "", "Client connections that were accepted", SERVER(process.accepted)},
    {"forebay_connections_rejected_total", METRIC_COUNTER, "", "Client connections that were refused, as there were too many", SERVER(process.rejected)},
    {"forebay_handover", METRIC_GAUGE, "", "1 while write-behind namespaces answer changes once their backends have them, as keys are handed over", SERVER(process.hands_over)},
    {"forebay_accept_pauses_total", METRIC_COUNTER, "", "Times that accepting was stopped, as there were too many connections", SERVER(process.paused)},
    {"forebay_idle_closes_total", METRIC_COUNTER, "", "Client connections that were closed for want of progress", SERVER(workers.idle_kicks)},
    {"forebay_authentications_total", METRIC_COUNTER, "", "Attempts of clients to authenticate", SERVER(workers.auth_commands)},
    {"forebay_authentication_failures_total", METRIC_COUNTER, "", "Attempts of clients to authenticate that failed", SERVER(workers.auth_errors)},
    {"forebay_authentication_timeouts_total", METRIC_COUNTER, "", "Connections closed as their client had not authenticated in time", SERVER(workers.auth_timeouts)},
    {"forebay_requests_forbidden_total", METRIC_COUNTER, "", "Requests refused as their user may not make them", SERVER(workers.forbidden)},
    {"forebay_tls_handshakes_total", METRIC_COUNTER, "", "TLS handshakes that were done", SERVER(workers.tls_handshakes)},
    {"forebay_tls_resumed_total", METRIC_COUNTER, "", "TLS handshakes that went on with an earlier session", SERVER(workers.tls_resumed)},
    {"forebay_tls_handshake_failures_total", METRIC_COUNTER, "", "TLS handshakes that failed, or took too long", SERVER(workers.tls_handshake_errors)},
    {"forebay_tls_errors_total", METRIC_COUNTER, "", "Encrypted connections that failed after their handshake", SERVER(workers.tls_errors)},
    {"forebay_received_bytes_total", METRIC_COUNTER, "bytes", "Bytes that clients have sent", SERVER(workers.bytes_read)},
    {"forebay_sent_bytes_total", METRIC_COUNTER, "bytes", "Bytes that were sent to clients", SERVER(workers.bytes_written)},
    {"forebay_request_memory_bytes", METRIC_GAUGE, "bytes", "Memory that unfinished requests take", SERVER(process.request_bytes)},
    {"forebay_requests_starved_total", METRIC_COUNTER, "", "Requests that found no room to wait in until they are complete", SERVER(workers.requests_starved)},
    {"forebay_unsent_bytes", METRIC_GAUGE, "bytes", "Bytes of replies that wait for their clients to read, for the journal, or for a later turn", SERVER(workers.unsent_bytes)},
    {"forebay_slow_readers", METRIC_GAUGE, "", "Client connections that have such replies", SERVER(workers.slow_readers)},
    {"forebay_yields_total", METRIC_COUNTER, "", "Turns in which a connection had more than its share", SERVER(workers.yields)},
    {"forebay_full_turns_total", METRIC_COUNTER, "", "Turns that had as much to do as one takes, so that shares were smaller or large values waited", SERVER(workers.full_turns)},
    {"forebay_aside_bytes", METRIC_GAUGE, "bytes", "Bytes that came over io_uring and could not be read yet", SERVER(workers.aside_bytes)},
    {"forebay_aside_strains_total", METRIC_COUNTER, "", "Times that a worker had so many of these that it received one by one", SERVER(workers.aside_strains)},
    {"forebay_replies_refused_total", METRIC_COUNTER, "", "Replies that found no room", SERVER(workers.replies_refused)},
    {"forebay_requests_parked_total", METRIC_COUNTER, "", "Requests that had to wait for a backend, for room or for a barrier", SERVER(counters.parked)},
    {"forebay_closed_reads_total", METRIC_COUNTER, "", "Reads that were answered by closing their connection, as the backend was away", SERVER(counters.closed_reads)},
    {"forebay_flush_all_total", METRIC_COUNTER, "", "Times that flush_all was asked for", SERVER(counters.cmd_flush)},
    {"forebay_turn_seconds", METRIC_HISTOGRAM, "seconds", "Time that a turn of a worker took, from reading to sending", SERVER(workers.turn_times), .bounds = turn_bounds, .few_bounds = turn_bounds},
    /* memory */
    {"forebay_memory_limit_bytes", METRIC_GAUGE, "bytes", "Memory that the cache may take", SERVER(cache.memory_limit)},
    {"forebay_memory_used_bytes", METRIC_GAUGE, "bytes", "Memory that the cache takes, with its index", SERVER(cache.memory_used)},
    {"forebay_index_bytes", METRIC_GAUGE, "bytes", "Memory that the index takes", SERVER(cache.index_bytes)},
    {"forebay_dead_bytes", METRIC_GAUGE, "bytes", "Holes in the segments of the cache", SERVER(cache.dead_bytes)},
    {"forebay_cleaned_bytes_total", METRIC_COUNTER, "bytes", "Bytes that were moved to close holes", SERVER(cache.cleaned_bytes)},
    /* namespaces: requests */
    {"forebay_namespace_info", METRIC_INFO, "", "Policy, backend and journal of the namespace", METRIC_OF_SPACE, .write = write_space_info},
    {"forebay_operations_total", METRIC_COUNTER, "", "Requests by command and by what became of them", METRIC_OF_SPACE, .write = write_operations},
    {"forebay_errors_total", METRIC_COUNTER, "", "Requests that were answered with an error, by reason", METRIC_OF_SPACE, .write = write_errors},
    {"forebay_hit_seconds", METRIC_HISTOGRAM, "seconds", "Time of reads that memory answered alone, hits and misses", METRIC_OF_SPACE, .bounds = hit_bounds, .few_bounds = hit_bounds_few, .write = write_hits},
    {"forebay_load_seconds", METRIC_HISTOGRAM, "seconds", "Time of reads that waited for the backend", METRIC_OF_SPACE, .bounds = wait_bounds, .few_bounds = wait_bounds_few, .write = write_loads},
    {"forebay_write_seconds", METRIC_HISTOGRAM, "seconds", "Time of changes, with what they had to wait for", METRIC_OF_SPACE, .bounds = wait_bounds, .few_bounds = wait_bounds_few, .write = write_writes},
    /* namespaces: memory */
    {"forebay_entries", METRIC_GAUGE, "", "Live entries", SPACE(cache.entries)},
    {"forebay_entry_bytes", METRIC_GAUGE, "bytes", "Keys, values and headers of live entries", SPACE(cache.bytes)},
    {"forebay_namespace_memory_bytes", METRIC_GAUGE, "bytes", "Memory that the namespace takes, without the index", SPACE(cache.memory_used)},
    {"forebay_evictions_total", METRIC_COUNTER, "", "Clean live entries that were dropped for room", SPACE(cache.evictions)},
    {"forebay_expirations_total", METRIC_COUNTER, "", "Entries whose memory was taken back as their life was over", SPACE(cache.expired)},
    /* namespaces: loads */
    {"forebay_loads_total", METRIC_COUNTER, "", "Keys that were looked up in the backend", BACKED(loads)},
    {"forebay_load_hits_total", METRIC_COUNTER, "", "Keys that were looked up and found", BACKED(load_hits)},
    {"forebay_load_errors_total", METRIC_COUNTER, "", "Keys that could not be looked up", BACKED(load_errors)},
    {"forebay_bad_rows_total", METRIC_COUNTER, "", "Rows that the backend could not read, or memory could not take", BACKED(bad_rows)},
    {"forebay_remembered_absences", METRIC_GAUGE, "", "Keys of which memory knows that the backend has no row (negative_ttl)", BACKED(cache.negatives)},
    {"forebay_table_breaker_state", METRIC_GAUGE, "", "Whether the table of the namespace is asked: 0 yes, 1 not now, as it failed by itself, 2 it is tried again", BACKED(table_breaker)},
    {"forebay_filter_keys", METRIC_GAUGE, "", "Keys in the absent filter", FILTER(filter_keys)},
    {"forebay_filter_bytes", METRIC_GAUGE, "bytes", "Memory that the absent filter takes", FILTER(filter_bytes)},
    {"forebay_filter_answered_total", METRIC_COUNTER, "", "Reads that the absent filter answered", FILTER(filter_answered)},
    {"forebay_filter_asked_total", METRIC_COUNTER, "", "Keys that were looked up in vain beside the absent filter", FILTER(filter_asked)},
    /* namespaces: write-behind */
    {"forebay_dirty_entries", METRIC_GAUGE, "", "Entries that the backend has yet to get", BEHIND(cache.dirty_entries)},
    {"forebay_dirty_bytes", METRIC_GAUGE, "bytes", "Bytes of entries that the backend has yet to get", BEHIND(cache.dirty_bytes)},
    {"forebay_dirty_limit_bytes", METRIC_GAUGE, "bytes", "Bytes of entries that the backend may have yet to get", BEHIND(dirty_limit)},
    {"forebay_oldest_dirty_seconds", METRIC_GAUGE, "seconds", "Age of the oldest change that the backend has yet to get", BEHIND(oldest_dirty_us)},
    {"forebay_flush_delay_seconds", METRIC_GAUGE, "seconds", "The longest that a change waits while the backend takes them (flush_delay)", BEHIND(flush_delay_us)},
    {"forebay_changes_total", METRIC_COUNTER, "", "Changes that were accepted", BEHIND(changes)},
    {"forebay_coalesced_total", METRIC_COUNTER, "", "Changes of entries that were waiting to be written already", BEHIND(coalesced)},
    {"forebay_flush_batches_total", METRIC_COUNTER, "", "Batches that were written", BEHIND(batches)},
    {"forebay_flush_rows_total", METRIC_COUNTER, "", "Rows that were written", BEHIND(rows)},
    {"forebay_flush_seconds_total", METRIC_COUNTER, "seconds", "Time that writing batches took", BEHIND(flush_us)},
    {"forebay_flush_retries_total", METRIC_COUNTER, "", "Batches that have to be written again, as the backend failed", BEHIND(retries)},
    {"forebay_full", METRIC_GAUGE, "", "1 while the namespace is full", BEHIND(full)},
    {"forebay_full_waits_total", METRIC_COUNTER, "", "Requests that had to wait for room", BEHIND(full_waits)},
    {"forebay_full_rejects_total", METRIC_COUNTER, "", "Requests that were refused, as the namespace was full", BEHIND(full_rejects)},
    {"forebay_full_write_throughs_total", METRIC_COUNTER, "", "Changes that were answered once the backend had them, as the namespace was full", BEHIND(full_throughs)},
    {"forebay_quarantine_entries", METRIC_GAUGE, "", "Changes that the backend refuses for good", BEHIND(quarantine_entries)},
    {"forebay_quarantine_bytes", METRIC_GAUGE, "bytes", "Memory of changes that the backend refuses for good", BEHIND(quarantine_bytes)},
    {"forebay_quarantine_limit_bytes", METRIC_GAUGE, "bytes", "Memory of such changes from which on the namespace is full (quarantine_limit)", BEHIND(quarantine_limit)},
    {"forebay_quarantined_total", METRIC_COUNTER, "", "Changes that were put into quarantine", BEHIND(quarantined)},
    /* namespaces: copies */
    {"forebay_copy_state", METRIC_GAUGE, "", "How far the copy to another backend is (copy_to): 0 counting, 1 clearing, 2 copying, 3 complete, 4 halted", COPY(copy_stage)},
    {"forebay_copy_rows", METRIC_GAUGE, "", "Rows that this walk of the copy has copied", COPY(copy_rows)},
    {"forebay_copy_expected_rows", METRIC_GAUGE, "", "Rows that there were when the walk of the copy began", COPY(copy_total)},
    {"forebay_copy_changes_total", METRIC_COUNTER, "", "Changes that were brought to the other backend beside the walk", COPY(copy_changes)},
    {"forebay_copy_refused_total", METRIC_COUNTER, "", "Rows and changes that the other backend has refused for good", COPY(copy_refused)},
    {"forebay_copy_unreadable_rows", METRIC_GAUGE, "", "Rows that could not be read and are not in the copy", COPY(copy_unreadable)},
    /* backends */
    {"forebay_backend_info", METRIC_INFO, "", "Kind of the backend", METRIC_OF_BACKEND, .write = write_backend_info},
    {"forebay_backend_calls_total", METRIC_COUNTER, "", "Calls of the backend by kind and by how they ended", METRIC_OF_BACKEND, .write = write_calls},
    {"forebay_backend_failures_total", METRIC_COUNTER, "", "Calls of the backend that failed, by how", METRIC_OF_BACKEND, .write = write_failures},
    {"forebay_backend_call_seconds", METRIC_HISTOGRAM, "seconds", "Time that calls of the backend took, by kind", METRIC_OF_BACKEND, .bounds = call_bounds, .few_bounds = call_bounds, .write = write_call_times},
    {"forebay_backend_breaker_state", METRIC_GAUGE, "", "Whether the backend is asked: 0 yes, 1 it is not, as it failed, 2 it is tried again", METRIC_OF_BACKEND, .write = write_breakers},
    {"forebay_backend_breaker_opened_total", METRIC_COUNTER, "", "Times that the backend was given up for a while", METRIC_OF_BACKEND, .write = write_breakers_opened},
    {"forebay_backend_reconnects_total", METRIC_COUNTER, "", "Connections that took the place of one that was lost", METRIC_OF_BACKEND, .write = write_reconnects},
    {"forebay_backend_loads_shared_total", METRIC_COUNTER, "", "Misses that joined a lookup under way", BACKEND(loads_shared)},
    {"forebay_backend_loads_waiting", METRIC_GAUGE, "", "Keys that wait to be looked up, or are being looked up", BACKEND(loads_waiting)},
    {"forebay_backend_commits_total", METRIC_COUNTER, "", "Commits of write-through changes", BACKEND(commits)},
    {"forebay_backend_changes_total", METRIC_COUNTER, "", "Write-through changes that were committed", BACKEND(changes)},
    {"forebay_backend_changes_refused_total", METRIC_COUNTER, "", "Write-through changes that the backend refused", BACKEND(refused)},
    {"forebay_backend_changes_again_total", METRIC_COUNTER, "", "Write-through changes that were made anew, as another server had changed the row", BACKEND(changes_again)},
    {"forebay_backend_background_touches_total", METRIC_COUNTER, "", "Touches of rows that memory did not hold", BACKEND(background_touches)},
    {"forebay_backend_barriers_total", METRIC_COUNTER, "", "Times that somebody waited until all was written", BACKEND(barriers)},
    {"forebay_backend_confirmed_rows_total", METRIC_COUNTER, "", "Recovered entries that were written early, as a client asked for them", BACKEND(confirmed_rows)},
    {"forebay_backend_superseded_unexplained_total", METRIC_COUNTER, "", "Changes that gave way to newer rows which this node should have made and has not", BACKEND(superseded)},
    {"forebay_backend_other_nodes", METRIC_GAUGE, "", "Other servers that write to the same store, or may (Redis)", BACKEND(other_nodes)},
    {"forebay_backend_rival", METRIC_GAUGE, "", "1 while another server uses the node number of this one, or that cannot be seen (Redis), or writes to the same database (SQLite)", BACKEND(rival)},
    {"forebay_backend_clock_ahead_seconds", METRIC_GAUGE, "seconds", "By how much versions are drawn ahead of the clock of this machine, as that of the store is ahead (Redis)", BACKEND(clock_ahead_us)},
    {"forebay_backend_clock_off_seconds", METRIC_GAUGE, "seconds", "By how much the clock of the store is off that of this machine, at the least, ahead or behind (Redis)", BACKEND(clock_off_us)},
    {"forebay_backend_map_age_seconds", METRIC_GAUGE, "seconds", "Time since it was learnt which node of a cluster has which slots", METRIC_OF_BACKEND, .write = write_map_age},
    {"forebay_backend_node_up", METRIC_GAUGE, "", "Whether the node of a cluster served when it was asked last", METRIC_OF_BACKEND, .write = write_node_up},
    {"forebay_backend_node_heard", METRIC_GAUGE, "", "Whether changes at the node of a cluster are heard of (coherent)", METRIC_OF_COHERENT, .write = write_node_heard},
    {"forebay_backend_node_slots", METRIC_GAUGE, "", "Slots of which the node is the master", METRIC_OF_BACKEND, .write = write_node_slots},
    {"forebay_backend_node_commands_total", METRIC_COUNTER, "", "Commands that were sent to the node", METRIC_OF_BACKEND, .write = write_node_commands},
    {"forebay_backend_node_errors_total", METRIC_COUNTER, "", "Errors that the node answered, and links to it that were lost", METRIC_OF_BACKEND, .write = write_node_errors},
    {"forebay_backend_node_redirections_total", METRIC_COUNTER, "", "Commands that the node sent to another one", METRIC_OF_BACKEND, .write = write_node_redirections},
    {"forebay_backend_node_replica_waits_total", METRIC_COUNTER, "", "Batches that waited for replicas of the node to have them (replicas)", METRIC_OF_BACKEND, .write = write_node_replica_waits},
    {"forebay_backend_node_replica_short_total", METRIC_COUNTER, "", "Batches that too few replicas of the node had in time, which are held and repeated", METRIC_OF_BACKEND, .write = write_node_replica_short},
    {"forebay_backend_node_exchanges_total", METRIC_COUNTER, "", "Exchanges with the node: commands sent together, until all were answered", METRIC_OF_BACKEND, .write = write_node_exchanges},
    {"forebay_backend_node_exchange_seconds_total", METRIC_COUNTER, "seconds", "Time that these took", METRIC_OF_BACKEND, .write = write_node_exchange_us},
    {"forebay_backend_failovers_total", METRIC_COUNTER, "", "Times that the store, or a part of it, was found at another address, as a replica was promoted", BACKEND(failovers)},
    {"forebay_backend_store_regressions_total", METRIC_COUNTER, "", "Times that the store had lost what it had acknowledged, or was another one", BACKEND(store_regressions)},
    {"forebay_backend_replica_waits_total", METRIC_COUNTER, "", "Batches that waited for replicas to have them (replicas)", BACKEND(replica_waits)},
    {"forebay_backend_replica_short_total", METRIC_COUNTER, "", "Batches that too few replicas had in time, which are held and repeated", BACKEND(replica_short)},
    {"forebay_backend_wal_bytes", METRIC_GAUGE, "bytes", "Length of the write-ahead log (SQLite)", BACKEND(calls.log_bytes)},
    /* coherent backends */
    {"forebay_coherent_believes", METRIC_GAUGE, "", "1 while memory is believed, 0 while it is not certain that changes by others are heard", COHERENT(believes)},
    {"forebay_coherent_heard_total", METRIC_COUNTER, "", "Changes in the store that were heard of, this server's own included", COHERENT(heard)},
    {"forebay_coherent_compared_total", METRIC_COUNTER, "", "Entries that were compared with the store, as it has changed", COHERENT(compared)},
    {"forebay_coherent_dropped_total", METRIC_COUNTER, "", "Entries that were forgotten, as the store had another value", COHERENT(dropped)},
    {"forebay_coherent_losses_total", METRIC_COUNTER, "", "Times that all clean entries were forgotten, as changes may have been missed", COHERENT(losses)},
    {"forebay_coherent_reconnects_total", METRIC_COUNTER, "", "Connections on which changes are heard that took the place of one that was lost", COHERENT(watcher_reconnects)},
    {"forebay_coherent_blinds_total", METRIC_COUNTER, "", "Times that memory was not believed, the start included", COHERENT(blinds)},
    {"forebay_coherent_blind_seconds_total", METRIC_COUNTER, "seconds", "Time in which memory was not believed", COHERENT(blind_us)},
    /* the journal */
    {"forebay_journal_files", METRIC_GAUGE, "", "Files of the journal in use", JOURNAL(files)},
    {"forebay_journal_bytes", METRIC_GAUGE, "bytes", "Length of the files of the journal in use", JOURNAL(bytes)},
    {"forebay_journal_kept_files", METRIC_GAUGE, "", "Files that the backends have all of, kept in case one of them loses something (journal_keep)", JOURNAL(kept_files)},
    {"forebay_journal_kept_bytes", METRIC_GAUGE, "bytes", "Length of these files", JOURNAL(kept_bytes)},
    {"forebay_journal_records_total", METRIC_COUNTER, "", "Records that were written", JOURNAL(records)},
    {"forebay_journal_written_bytes_total", METRIC_COUNTER, "bytes", "Bytes of records that were written", JOURNAL(written_bytes)},
    {"forebay_journal_fsync_seconds", METRIC_HISTOGRAM, "seconds", "Time that syncs of the journal's files took", JOURNAL(fsync_times), .bounds = call_bounds, .few_bounds = call_bounds},
    {"forebay_journal_recycled_files_total", METRIC_COUNTER, "", "Files that nothing needed any more", JOURNAL(recycled)},
    {"forebay_journal_compactions_total", METRIC_COUNTER, "", "Times that files were copied into fewer", JOURNAL(compactions)},
    {"forebay_journal_failures_total", METRIC_COUNTER, "", "Writes and syncs of the journal that failed", JOURNAL(failures)},
    {"forebay_journal_low_water_lag_seconds", METRIC_GAUGE, "seconds", "Age of what the journal has to keep: up to then, all is in the backends", JOURNAL(low_water_lag_us)},
    {"forebay_journal_replayed_records", METRIC_GAUGE, "", "Records that the start restored", JOURNAL(replayed)},
    {"forebay_journal_replay_seconds", METRIC_GAUGE, "seconds", "Time that the start took to restore them", JOURNAL(replay_us)},
};
/* clang-format on */

const struct metric *metrics_table(size_t *ret_count) {
    *ret_count = sizeof metrics / sizeof *metrics;
    return metrics;
}
