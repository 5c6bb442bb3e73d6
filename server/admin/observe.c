/* SPDX-License-Identifier: MIT */
#include "server/admin/observe.h"
#include "policies/tier.h"
#include "server/admin/stats_detail.h"
#include "server/admin/watch.h"
#include "server/server.h"

bool observe_turn(struct observer *observer) {
    observer->counts_detail = stats_detail_is_on(observer->server);
    observer->watched = watch_wants(observer->server->watch);
    return observer->counts_detail || observer->watched;
}

void observe_before(struct observer *observer, const struct request *request, struct observed *ret_observed) {
    *ret_observed = (struct observed){0};
    if (!(observer->watched & (WATCH_FETCHERS | WATCH_DELETIONS)))
        return;
    struct cache_cursor cursor;
    int space = (int)space_number(request->space);
    if (cache_seek(tier_cache(observer->server->tier), space, request->key, request->hash, observer->now,
                   &cursor) == CACHE_PRESENT)
        *ret_observed = (struct observed){true, cursor.view.value.size};
    cache_release(&cursor);
}

/* A store by memcached's word for it; that of ms is in its flags. */
static const char *name_of_store(const struct request *request) {
    if (request_has(request, 'C'))
        return "cas";
    if (!command_is_meta(request->command))
        return command_row(request->command)->word.data;
    switch (request->mode) {
    case 'E':
        return "add";
    case 'A':
        return "append";
    case 'P':
        return "prepend";
    case 'R':
        return "replace";
    default:
        return "set";
    }
}

static const char *name_of_status(const struct request *request, const struct outcome *outcome) {
    switch (outcome->status) {
    case OUTCOME_STORED:
        return "stored";
    case OUTCOME_EXISTS:
        return "exists";
    case OUTCOME_NOT_FOUND:
        return "not_found";
    case OUTCOME_ERROR:
        return request->too_large || outcome->error_kind == ERROR_TOO_LARGE ? "too_large" : "no_memory";
    default:
        return "not_stored";
    }
}

/* md with I or x leaves an entry. */
static bool deletes(const struct request *request, const struct outcome *outcome) {
    return outcome->status == OUTCOME_DELETED && !request_has(request, 'I') && !request_has(request, 'x');
}

static uint32_t ttl_of(const struct observer *observer, const struct outcome *outcome) {
    uint32_t now = observer->now->seconds, end = outcome->view.expires_at;
    return outcome->status == OUTCOME_STORED && end > now ? end - now : 0;
}

static void log_request(struct observer *observer, int fd, const struct request *request,
                        const struct outcome *outcome, const struct observed *observed) {
    struct watch *watch = observer->server->watch;
    struct watch_item item = {request->key, space_number(request->space), observed->size, fd};
    bool found = observed->found;
    if (command_is_lookup(request->command) && outcome->status == OUTCOME_HIT) { /* perhaps a backend's */
        found = true;
        item.size = outcome->view.value.size;
    }
    if (observer->watched & WATCH_FETCHERS)
        watch_get(watch, &item, found);
    const struct command_row *row = command_row(request->command);
    if (row->kind == KIND_STORE && (observer->watched & WATCH_MUTATIONS)) {
        item.size = request->value.size;
        watch_store(watch, &item, name_of_status(request, outcome), name_of_store(request),
                    ttl_of(observer, outcome));
    } else if ((observer->watched & WATCH_DELETIONS) && deletes(request, outcome)) {
        watch_delete(watch, &item, row->word.data);
    }
}

void observe_after(struct observer *observer, int fd, const struct request *request,
                   const struct outcome *outcome, const struct observed *observed) {
    if (observer->counts_detail)
        stats_detail_count(observer->server->detail, request, outcome->status == OUTCOME_HIT);
    if (observer->watched)
        log_request(observer, fd, request, outcome, observed);
}

void observe_connection(struct server *server, int fd, const struct peer *peer, const char *reason) {
    if (watch_wants(server->watch) & WATCH_CONNEVENTS)
        watch_connection(server->watch, fd, peer, reason);
}
