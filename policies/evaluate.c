/* SPDX-License-Identifier: MIT */
/*
 * One function per command: what the request means for the entry as it stands (base, NULL when there is
 * none). The reference is memcached 1.6.45; where the order of its steps shows in its answers (a t before or
 * behind a T, a CAS of 0), the order here is the same. docs/compatibility.md lists the exceptions.
 *
 * The pieces:
 *   - answer()  fills an outcome that changes nothing
 *   - put()     makes the change of a whole new value and the view that the client is told of
 *   - meta      commands share what C, E, T, N and I mean
 */
#include "policies/evaluate.h"
#include "policies/number.h"
#include <assert.h>

enum {
    RELATIVE_MAX = 60 * 60 * 24 * 30, /* the longest exptime that is relative; beyond it is a date */
    DEAD_AT = 1,                      /* an expiry that is over whenever it is looked at */
    NUMBER_DIGITS = 20,               /* of 2^64 - 1 */
    NUMBER_ITEM_MAX = 512 << 10,      /* memcached takes no entry larger than this for a number */
};

/* ---- What is asked for ---- */

static enum need meta_set_need(const struct request *request) {
    switch (request->mode) {
    case 'E':
        return NEED_EXISTENCE;
    case 'A':
    case 'P':
        return NEED_ENTRY;
    case 'R':
        return request_has(request, 'C') ? NEED_ENTRY : NEED_EXISTENCE;
    default:
        return request_has(request, 'C') ? NEED_ENTRY : NEED_NOTHING;
    }
}

static enum need meta_delete_need(const struct request *request) {
    bool looks = request_has(request, 'C') || request_has(request, 'I') || request_has(request, 'x');
    return looks ? NEED_ENTRY : NEED_EXISTENCE;
}

enum need evaluate_need(const struct request *request) {
    if (request->too_large)
        return NEED_NOTHING;
    const struct command_row *row = command_row(request->command);
    if (row->need != NEED_BY_FLAGS)
        return row->need;
    return row->kind == KIND_STORE ? meta_set_need(request) : meta_delete_need(request);
}

bool evaluate_is_read(const struct request *request) {
    const uint64_t changing = meta_bit('T') | meta_bit('N') | meta_bit('R') | meta_bit('E');
    switch (command_kind(request->command)) {
    case KIND_READ:
    case KIND_INSPECT:
        return (request->meta & changing) == 0;
    case KIND_READ_AND_TOUCH:
    case KIND_STORE:
    case KIND_DELETE:
    case KIND_COUNT:
    case KIND_TOUCH:
    case KIND_TALK:
        break;
    }
    return false;
}

bool evaluate_is_plain_delete(const struct request *request) {
    return command_kind(request->command) == KIND_DELETE && !request_has(request, 'I') &&
           !request_has(request, 'x') && !request_has(request, 'C');
}

struct cache_view view_of_entry(const struct entry *entry, uint32_t now) {
    return (struct cache_view){.key = entry->key,
                               .value = entry->value,
                               .version = entry->version,
                               .client_cas = entry->client_cas,
                               .flags = entry->flags,
                               .expires_at = entry->expires_at,
                               .last_access = now,
                               .state = CACHE_CLEAN,
                               .marks = entry->marks};
}

uint32_t evaluate_expiry(int64_t exptime, uint32_t default_ttl, uint32_t now) {
    if (exptime == 0)
        return default_ttl == 0 ? 0 : now + default_ttl;
    if (exptime < 0)
        return DEAD_AT;
    if (exptime <= RELATIVE_MAX)
        return now + (uint32_t)exptime;
    return exptime > UINT32_MAX ? UINT32_MAX : (uint32_t)exptime;
}

/* ---- Shared by the commands ---- */

/* What an evaluation works on. */
struct evaluation {
    const struct request *request;
    const struct cache_view *base;
    const struct evaluate_context *context;
    struct outcome *outcome;
    struct change *change;
};

static uint32_t expiry(const struct evaluation *e, int64_t exptime) {
    return evaluate_expiry(exptime, e->context->default_ttl, e->context->now.lives_from);
}

/* Whether flag a comes before flag b among those sent. */
static bool comes_before(const struct request *request, char a, char b) {
    const char *at = request->meta_flags.data, *end = at + request->meta_flags.size;
    for (bool starts = true; at < end; at++) {
        if (starts && (*at == a || *at == b))
            return *at == a;
        starts = *at == ' ';
    }
    return false;
}

static uint32_t expiry_by_flag(const struct evaluation *e, char flag, uint32_t before) {
    if (flag == 'T')
        return e->request->has_exptime ? expiry(e, e->request->exptime) : before;
    bool makes = !e->base && request_has(e->request, 'N');
    return makes ? expiry(e, e->request->vivify_ttl) : before;
}

/* mg, ma: T and N both set the expiry, in the order they were sent, but N only of an entry that it makes. */
static uint32_t expiry_by_flags(struct evaluation *e) {
    bool n_first = comes_before(e->request, 'N', 'T');
    uint32_t before = e->base ? e->base->expires_at : 0;
    e->outcome->expires_before = before;
    e->outcome->expires_between = expiry_by_flag(e, n_first ? 'N' : 'T', before);
    return expiry_by_flag(e, n_first ? 'T' : 'N', e->outcome->expires_between);
}

static void answer(struct evaluation *e, enum outcome_status status) {
    e->outcome->status = status;
}

static bool is_too_large(const struct evaluation *e, uint32_t flags, size_t value_size) {
    return request_item_size(e->request->key.size, flags, value_size) > e->context->item_max;
}

/* Answers status, and stores what the arguments say. client_cas 0: the new version is the CAS. */
static void put(struct evaluation *e, enum outcome_status status, struct slice value, uint32_t flags,
                uint32_t expires_at, uint64_t client_cas, uint8_t marks) {
    *e->change = (struct change){.kind = CHANGE_PUT,
                                 .marks = marks,
                                 .flags = flags,
                                 .expires_at = expires_at,
                                 .client_cas = client_cas,
                                 .value = value};
    e->outcome->view = (struct cache_view){.key = e->request->key,
                                           .value = value,
                                           .client_cas = client_cas,
                                           .flags = flags,
                                           .expires_at = expires_at,
                                           .last_access = e->context->now.seconds,
                                           .marks = marks};
    answer(e, status);
}

static struct slice in_scratch(const struct evaluation *e, struct slice first, struct slice second) {
    char *scratch = e->context->scratch;
    if (first.size > 0)
        memcpy(scratch, first.data, first.size);
    if (second.size > 0)
        memcpy(scratch + first.size, second.data, second.size);
    return slice_of(scratch, first.size + second.size);
}

/* The value of base, where it stays when base is gone. */
static struct slice keep_value(const struct evaluation *e) {
    return in_scratch(e, e->base->value, slice_of(NULL, 0));
}

/* ---- Reading ---- */

/* Shows base to the client. */
static void show(struct evaluation *e) {
    struct outcome *outcome = e->outcome;
    outcome->view = *e->base;
    outcome->hit_before = e->base->fetched;
    uint32_t now = e->context->now.seconds;
    outcome->last_access = now > e->base->last_access ? now - e->base->last_access : 0;
    outcome->expires_before = outcome->expires_between = e->base->expires_at;
    answer(e, OUTCOME_HIT);
}

static void evaluate_get(struct evaluation *e) {
    if (!e->base) {
        answer(e, OUTCOME_MISS);
        return;
    }
    show(e);
    e->change->hit = true;
}

static void touch_to(struct evaluation *e, uint32_t expires_at) {
    e->change->kind = CHANGE_TOUCH;
    e->change->hit = true;
    e->change->expires_at = expires_at;
}

static void evaluate_gat(struct evaluation *e) {
    evaluate_get(e);
    if (!e->base)
        return;
    touch_to(e, expiry(e, e->request->exptime));
    e->outcome->view.expires_at = e->change->expires_at;
}

static void evaluate_touch(struct evaluation *e) {
    if (!e->base) {
        answer(e, OUTCOME_NOT_FOUND);
        return;
    }
    touch_to(e, expiry(e, e->request->exptime));
    e->outcome->view.version = e->base->version; /* as far as they are known: existence was asked for */
    e->outcome->view.client_cas = e->base->client_cas;
    e->outcome->view.flags = e->base->flags;
    answer(e, OUTCOME_TOUCHED);
}

/* ---- Storing ---- */

/* The kinds of storing that classic and meta commands share. */
enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND, STORE_CAS };

/* How one store is to be done. */
struct store {
    enum store_mode mode;
    bool has_cas;     /* append, prepend: cas is to be compared */
    bool takes_stale; /* cas: a value older than the entry is stored, but marked (ms I) */
    bool vivifies;    /* append, prepend: a missing entry is made (ms N) */
    uint64_t cas;     /* to compare with */
    uint64_t new_cas; /* 0: the version */
    uint32_t expires_at;
};

static void store_new(struct evaluation *e, const struct store *store) {
    put(e, OUTCOME_STORED, e->request->value, e->request->flags, store->expires_at, store->new_cas, 0);
}

static void store_cas(struct evaluation *e, const struct store *store) {
    uint64_t current = cache_view_cas(e->base);
    if (store->cas != 0 && store->cas == current)
        store_new(e, store);
    else if (store->takes_stale && store->cas != 0 && store->cas < current)
        put(e, OUTCOME_STORED, e->request->value, e->request->flags, e->base->expires_at, store->new_cas,
            ENTRY_STALE | (e->base->marks & ENTRY_TOKEN_SENT));
    else
        answer(e, OUTCOME_EXISTS);
}

static void store_joined(struct evaluation *e, const struct store *store) {
    const struct cache_view *base = e->base;
    struct slice more = e->request->value;
    if (store->has_cas && store->cas != 0 && store->cas != cache_view_cas(base)) {
        answer(e, OUTCOME_EXISTS);
        return;
    }
    if (is_too_large(e, base->flags, base->value.size + more.size)) {
        answer(e, OUTCOME_NOT_STORED);
        return;
    }
    bool is_append = store->mode == STORE_APPEND;
    struct slice value = in_scratch(e, is_append ? base->value : more, is_append ? more : base->value);
    put(e, OUTCOME_STORED, value, base->flags, base->expires_at, store->new_cas, 0);
}

static void store_over(struct evaluation *e, const struct store *store) {
    switch (store->mode) {
    case STORE_SET:
    case STORE_REPLACE:
        store_new(e, store);
        return;
    case STORE_ADD:
        answer(e, OUTCOME_NOT_STORED);
        return;
    case STORE_CAS:
        store_cas(e, store);
        return;
    case STORE_APPEND:
    case STORE_PREPEND:
        store_joined(e, store);
        return;
    }
}

static void store_where_nothing_is(struct evaluation *e, const struct store *store) {
    bool makes = store->mode == STORE_SET || store->mode == STORE_ADD || store->vivifies;
    if (makes)
        store_new(e, store);
    else
        answer(e, store->mode == STORE_CAS ? OUTCOME_NOT_FOUND : OUTCOME_NOT_STORED);
}

static void evaluate_store(struct evaluation *e, const struct store *store) {
    if (e->base)
        store_over(e, store);
    else
        store_where_nothing_is(e, store);
}

static void refuse_too_large(struct evaluation *e) {
    outcome_fail(e->outcome, ERROR_TOO_LARGE, REPLY_TOO_LARGE);
    e->change->kind = CHANGE_DELETE;
}

static void evaluate_classic_store(struct evaluation *e, enum store_mode mode) {
    if (e->request->too_large) {
        refuse_too_large(e);
        return;
    }
    struct store store = {.mode = mode, .expires_at = expiry(e, e->request->exptime)};
    if (mode == STORE_CAS)
        store.cas = e->request->cas;
    evaluate_store(e, &store);
}

static enum store_mode meta_store_mode(const struct request *request) {
    switch (request->mode) {
    case 'E':
        return STORE_ADD;
    case 'A':
        return STORE_APPEND;
    case 'P':
        return STORE_PREPEND;
    case 'R':
        return request_has(request, 'C') ? STORE_CAS : STORE_REPLACE;
    default:
        return request_has(request, 'C') ? STORE_CAS : STORE_SET;
    }
}

static void evaluate_meta_set(struct evaluation *e) {
    const struct request *request = e->request;
    if (request->too_large) {
        refuse_too_large(e);
        return;
    }
    enum store_mode mode = meta_store_mode(request);
    bool joins = mode == STORE_APPEND || mode == STORE_PREPEND;
    bool vivifies = joins && request_has(request, 'N');
    struct store store = {
        .mode = mode,
        .has_cas = request_has(request, 'C'),
        .takes_stale = request_has(request, 'I'),
        .vivifies = vivifies,
        .cas = request->cas,
        .new_cas = request->new_cas,
        .expires_at = expiry(e, vivifies ? request->vivify_ttl : request->exptime),
    };
    evaluate_store(e, &store);
}

/* ---- Deleting ---- */

static void evaluate_delete(struct evaluation *e) {
    if (!e->base) {
        answer(e, OUTCOME_NOT_FOUND);
        return;
    }
    answer(e, OUTCOME_DELETED);
    e->change->kind = CHANGE_DELETE;
}

/* md x: the value and the flags go, the entry stays, with its CAS unless something else bumps it. */
static void clear_value(struct evaluation *e) {
    const struct request *request = e->request;
    bool marks_stale = request_has(request, 'I');
    uint64_t cas = request->new_cas || marks_stale ? request->new_cas : cache_view_cas(e->base);
    put(e, OUTCOME_DELETED, slice_of(e->context->scratch, 0), request->flags, expiry(e, request->exptime),
        cas, marks_stale ? ENTRY_STALE : 0);
}

/* md I: the entry is marked for recaching, under a new CAS. */
static void invalidate(struct evaluation *e) {
    const struct request *request = e->request;
    uint32_t expires_at = request->has_exptime ? expiry(e, request->exptime) : e->base->expires_at;
    put(e, OUTCOME_DELETED, keep_value(e), e->base->flags, expires_at, request->new_cas, ENTRY_STALE);
    e->change->hit = e->base->fetched; /* it stays the same entry */
}

static void evaluate_meta_delete(struct evaluation *e) {
    const struct request *request = e->request;
    if (e->base && request_has(request, 'C') && request->cas != cache_view_cas(e->base))
        answer(e, OUTCOME_EXISTS);
    else if (e->base && request_has(request, 'x'))
        clear_value(e);
    else if (e->base && request_has(request, 'I'))
        invalidate(e);
    else
        evaluate_delete(e);
}

/* ---- Counting ---- */

/* Writes number into the scratch, and blanks behind it up to width. */
static struct slice number_in_scratch(const struct evaluation *e, uint64_t number, size_t width) {
    char digits[NUMBER_DIGITS], *at = digits + NUMBER_DIGITS;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    size_t size = (size_t)(digits + NUMBER_DIGITS - at);
    memcpy(e->context->scratch, at, size);
    if (width > size)
        memset(e->context->scratch + size, ' ', width - size);
    return slice_of(e->context->scratch, width > size ? width : size);
}

static bool base_number(const struct evaluation *e, uint64_t *ret_number) {
    const struct cache_view *base = e->base;
    return base->value.size > 0 &&
           request_item_size(base->key.size, base->flags, base->value.size) <= NUMBER_ITEM_MAX &&
           number_read_loose_u64(base->value, ret_number);
}

/* Changes the number in base. The value keeps its length, padded with blanks, where the result fits into it;
 * then it also keeps its marks, as it is the same entry to memcached. */
static void count(struct evaluation *e, bool up, uint32_t expires_at, uint64_t new_cas) {
    uint64_t number, delta = e->request->delta;
    if (!base_number(e, &number)) {
        outcome_fail(e->outcome, ERROR_NOT_A_NUMBER,
                     "CLIENT_ERROR cannot increment or decrement non-numeric value");
        return;
    }
    number = up ? number + delta : number > delta ? number - delta : 0;
    struct slice value = number_in_scratch(e, number, e->base->value.size);
    bool in_place = value.size == e->base->value.size;
    put(e, OUTCOME_NUMBER, value, e->base->flags, expires_at, new_cas, in_place ? e->base->marks : 0);
    e->change->hit = in_place && e->base->fetched;
    e->outcome->number = number;
}

static void evaluate_count(struct evaluation *e, bool up) {
    if (e->base)
        count(e, up, e->base->expires_at, 0);
    else
        answer(e, OUTCOME_NOT_FOUND);
}

/* ma N on a missing entry. */
static void count_from_initial(struct evaluation *e) {
    const struct request *request = e->request;
    uint32_t expires_at = expiry_by_flags(e);
    put(e, OUTCOME_NUMBER, number_in_scratch(e, request->initial, 0), 0, expires_at, request->new_cas, 0);
    e->outcome->number = request->initial;
}

static void evaluate_meta_count(struct evaluation *e) {
    const struct request *request = e->request;
    if (!e->base && request_has(request, 'N'))
        count_from_initial(e);
    else if (!e->base)
        answer(e, OUTCOME_NOT_FOUND);
    else if (request->cas != 0 && e->base->value.size > 0 && request->cas != cache_view_cas(e->base))
        answer(e, OUTCOME_EXISTS);
    else
        count(e, request->mode != 'D', expiry_by_flags(e), request->new_cas);
}

/* ---- mg, me ---- */

/* mg N on a missing entry: an empty one is made, and whoever made it has won. */
static void vivify(struct evaluation *e) {
    const struct request *request = e->request;
    uint32_t expires_at = expiry_by_flags(e);
    put(e, OUTCOME_HIT, slice_of(e->context->scratch, 0), 0, expires_at, request->new_cas, ENTRY_TOKEN_SENT);
    e->change->kind = CHANGE_VIVIFY;
    e->change->hit = !request_has(request, 'u');
    e->outcome->won = true;
}

/* mg R: the rest of the entry's life is shorter than asked for, and nobody recaches it yet. A T before the R
 * has already lengthened it. */
static bool wins_by_ttl(const struct evaluation *e) {
    const struct request *request = e->request;
    if (!request_has(request, 'R') || e->base->marks & ENTRY_TOKEN_SENT)
        return false;
    bool touched = request->has_exptime && comes_before(request, 'T', 'R');
    uint32_t expires_at = touched ? expiry(e, request->exptime) : e->base->expires_at;
    uint32_t recache_at = evaluate_expiry(request->recache_ttl, 0, e->context->now.seconds);
    return expires_at != 0 && expires_at < recache_at;
}

static void evaluate_meta_get(struct evaluation *e) {
    const struct request *request = e->request;
    if (!e->base && request_has(request, 'N') && !e->context->unknown) {
        vivify(e);
        return;
    }
    if (!e->base) {
        answer(e, OUTCOME_MISS);
        return;
    }
    show(e);
    uint8_t marks = e->base->marks;
    e->outcome->lost = marks & ENTRY_TOKEN_SENT;
    e->outcome->stale = marks & ENTRY_STALE;
    e->outcome->won = wins_by_ttl(e) || (marks & (ENTRY_STALE | ENTRY_TOKEN_SENT)) == ENTRY_STALE;
    if (request->has_exptime) {
        touch_to(e, expiry_by_flags(e));
        e->outcome->view.expires_at = e->change->expires_at;
        e->change->marks = e->outcome->won ? ENTRY_TOKEN_SENT : 0;
    } else if (e->outcome->won) {
        e->change->kind = CHANGE_MARKS;
        e->change->marks = marks | ENTRY_TOKEN_SENT;
    }
    e->change->hit = !request_has(request, 'u');
}

static void evaluate_meta_debug(struct evaluation *e) {
    if (e->base)
        show(e);
    else
        answer(e, OUTCOME_MISS);
}

/* ---- All ---- */

static void evaluate_command(struct evaluation *e) {
    switch (e->request->command) {
    case COMMAND_GET:
        evaluate_get(e);
        return;
    case COMMAND_GAT:
        evaluate_gat(e);
        return;
    case COMMAND_SET:
        evaluate_classic_store(e, STORE_SET);
        return;
    case COMMAND_ADD:
        evaluate_classic_store(e, STORE_ADD);
        return;
    case COMMAND_REPLACE:
        evaluate_classic_store(e, STORE_REPLACE);
        return;
    case COMMAND_APPEND:
        evaluate_classic_store(e, STORE_APPEND);
        return;
    case COMMAND_PREPEND:
        evaluate_classic_store(e, STORE_PREPEND);
        return;
    case COMMAND_CAS:
        evaluate_classic_store(e, STORE_CAS);
        return;
    case COMMAND_DELETE:
        evaluate_delete(e);
        return;
    case COMMAND_INCR:
        evaluate_count(e, true);
        return;
    case COMMAND_DECR:
        evaluate_count(e, false);
        return;
    case COMMAND_TOUCH:
        evaluate_touch(e);
        return;
    case COMMAND_META_GET:
        evaluate_meta_get(e);
        return;
    case COMMAND_META_SET:
        evaluate_meta_set(e);
        return;
    case COMMAND_META_DELETE:
        evaluate_meta_delete(e);
        return;
    case COMMAND_META_ARITHMETIC:
        evaluate_meta_count(e);
        return;
    case COMMAND_META_DEBUG:
        evaluate_meta_debug(e);
        return;
        COMMANDS_WITHOUT_KEY(COMMAND_CASE)
        assert(false && "a command without a key is not evaluated");
    }
}

void evaluate(const struct request *request, const struct cache_view *base,
              const struct evaluate_context *context, struct outcome *ret_outcome,
              struct change *ret_change) {
    struct evaluation e = {request, base, context, ret_outcome, ret_change};
    assert(!base || base->value.size <= context->item_max); /* what is built of it fits into the scratch */
    *ret_change = (struct change){.kind = CHANGE_NONE};
    ret_outcome->won = ret_outcome->stale = ret_outcome->lost = false;
    ret_outcome->hit_before = false;
    ret_outcome->last_access = 0;
    ret_outcome->ttl_now = context->now.seconds;
    ret_outcome->expires_before = ret_outcome->expires_between = 0;
    ret_outcome->number = 0;
    ret_outcome->error = NULL;
    ret_outcome->view = (struct cache_view){.key = request->key};
    evaluate_command(&e);
}
