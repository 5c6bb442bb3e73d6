/* SPDX-License-Identifier: MIT */
/*
 * Replies are written front to back into room that the caller has reserved. A hit of a get and
 * the fixed words (STORED, END ...) come first and cost a few copies; the meta commands go through the flags
 * as they were sent and answer those that ask for something, in that order.
 *
 * What noreply and the flag q suppress differs by command, as in memcached: noreply everything; q only the
 * plain good news (HD) of ms, md and ma, and only the miss (EN) of mg. Errors of meta commands are always
 * told.
 */
#include "server/protocol/reply.h"
#include "server/protocol/base64.h"
#include <assert.h>

enum { NUMBER_DIGITS = 20 };

/* ---- Pieces ---- */

static inline char *write_bytes(char *out, const char *data, size_t size) {
    memcpy(out, data, size);
    return out + size;
}

static inline char *write_slice(char *out, struct slice slice) {
    return slice.size > 0 ? write_bytes(out, slice.data, slice.size) : out;
}

/* Of a size that the compiler knows, and so without a call. */
static inline void move(char *out, const char *data, size_t size) {
    char bytes[16];
    memcpy(bytes, data, size);
    memcpy(out, bytes, size);
}

/* Keys are short: two moves that overlap instead of a call. */
static inline char *write_short(char *out, struct slice slice) {
    size_t size = slice.size;
    if (size - 8 <= 8) {
        move(out, slice.data, 8);
        move(out + size - 8, slice.data + size - 8, 8);
        return out + size;
    }
    if (size - 16 <= 16) {
        move(out, slice.data, 16);
        move(out + size - 16, slice.data + size - 16, 16);
        return out + size;
    }
    return write_slice(out, slice);
}

#define WRITE(out, literal) write_bytes((out), (literal), sizeof(literal) - 1)

static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243"
    "4445464748495051525354555657585960616263646566676869707172737475767778798081828384858687"
    "888990919293949596979899";

static __attribute__((noinline)) char *write_long_number(char *out, uint64_t number) {
    char digits[NUMBER_DIGITS], *at = digits + NUMBER_DIGITS;
    for (; number >= 100; number /= 100) {
        at -= 2;
        memcpy(at, pairs + number % 100 * 2, 2);
    }
    if (number >= 10) {
        at -= 2;
        memcpy(at, pairs + number * 2, 2);
    } else {
        *--at = (char)('0' + number);
    }
    return write_bytes(out, at, (size_t)(digits + NUMBER_DIGITS - at));
}

static inline char *write_number(char *out, uint64_t number) {
    if (number < 10) {
        *out = (char)('0' + number);
        return out + 1;
    }
    if (__builtin_expect(number >= 1000, 0))
        return write_long_number(out, number);
    uint32_t small = (uint32_t)number, hundreds = small / 100; /* the size of most values */
    *out = (char)('0' + hundreds);
    out += hundreds > 0;
    memcpy(out, pairs + (small - hundreds * 100) * 2, 2);
    return out + 2;
}

static inline char *write_end_of_line(char *out) {
    return WRITE(out, "\r\n");
}

static char *write_line(char *out, const char *text) {
    return write_end_of_line(write_bytes(out, text, strlen(text)));
}

/* The value and its CRLF, or only the place for it when it is not copied. */
static inline char *write_value(char *out, const struct outcome *outcome, char **ret_value_at) {
    if (__builtin_expect(outcome->view.large == NULL, true))
        out = write_slice(out, outcome->view.value);
    else
        *ret_value_at = out;
    return write_end_of_line(out);
}

/* ---- Classic commands ---- */

static inline char *write_hit(char *out, const struct request *request, const struct outcome *outcome,
                              char **ret_value_at) {
    const struct cache_view *view = &outcome->view;
    out = WRITE(out, "VALUE ");
    out = write_short(out, request->key);
    *out++ = ' ';
    out = write_number(out, view->flags);
    *out++ = ' ';
    out = write_number(out, view->value.size);
    if (request->ret_cas) {
        *out++ = ' ';
        out = write_number(out, cache_view_cas(view));
    }
    out = write_end_of_line(out);
    return write_value(out, outcome, ret_value_at);
}

/* get, gets, gat, gats: one key of the line */
static inline char *write_get(char *out, const struct request *request, const struct outcome *outcome,
                              char **ret_value_at) {
    if (__builtin_expect(outcome->status == OUTCOME_HIT, true))
        out = write_hit(out, request, outcome, ret_value_at);
    else if (outcome->status == OUTCOME_ERROR)
        return write_line(out, outcome->error);
    return request->ends_run ? WRITE(out, "END\r\n") : out;
}

static char *write_classic(char *out, const struct request *request, const struct outcome *outcome) {
    if (request->noreply)
        return out;
    switch (outcome->status) {
    case OUTCOME_STORED:
        return WRITE(out, "STORED\r\n");
    case OUTCOME_NOT_STORED:
        return WRITE(out, "NOT_STORED\r\n");
    case OUTCOME_EXISTS:
        return WRITE(out, "EXISTS\r\n");
    case OUTCOME_NOT_FOUND:
        return WRITE(out, "NOT_FOUND\r\n");
    case OUTCOME_DELETED:
        return WRITE(out, "DELETED\r\n");
    case OUTCOME_TOUCHED:
        return WRITE(out, "TOUCHED\r\n");
    case OUTCOME_NUMBER:
        return write_end_of_line(write_number(out, outcome->number));
    case OUTCOME_ERROR:
        return write_line(out, outcome->error);
    case OUTCOME_HIT:
    case OUTCOME_MISS:
        break;
    }
    assert(false && "an outcome that this command does not have");
    return out;
}

/* ---- Meta commands ---- */

static bool is_quiet(const struct request *request) {
    return request_has(request, 'q');
}

static char *write_flag(char *out, char letter, uint64_t number) {
    *out++ = ' ';
    *out++ = letter;
    return write_number(out, number);
}

/* " k<key>", and " b" behind it when the key is base64. */
static char *write_key(char *out, const struct request *request) {
    out = WRITE(out, " k");
    if (!request_has(request, 'b'))
        return write_slice(out, request->key);
    return WRITE(base64_encode(request->key, out), " b");
}

static char *write_ttl(char *out, uint32_t expires_at, uint32_t now) {
    if (expires_at == 0)
        return WRITE(out, " t-1");
    return write_flag(out, 't', expires_at > now ? expires_at - now : 0);
}

/* How many of T and N were sent in front of this flag. */
static unsigned changers_before(const struct request *request, const char *flag) {
    unsigned changers = 0;
    bool starts = true;
    for (const char *at = request->meta_flags.data; at < flag; at++) {
        changers += starts && (*at == 'T' || *at == 'N');
        starts = *at == ' ';
    }
    return changers;
}

/* The expiry as it stood where the t was among the flags: a T or N behind it had not been at work yet. */
static uint32_t expiry_at_flag(const struct request *request, const struct outcome *outcome,
                               const char *flag) {
    unsigned sent = (unsigned)request_has(request, 'T') + request_has(request, 'N');
    unsigned before = sent ? changers_before(request, flag) : 0;
    if (before == sent)
        return outcome->view.expires_at;
    return before ? outcome->expires_between : outcome->expires_before;
}

/* Which of the flags a command answers. */
static const char FLAGS_OF_HIT[] = "stcflhOk", FLAGS_OF_SET[] = "csOk", FLAGS_OF_COUNT[] = "ctOk",
                  FLAGS_OF_REST[] = "Ok";

static char *write_one_flag(char *out, const struct request *request, const struct outcome *outcome,
                            struct slice flag) {
    const struct cache_view *view = &outcome->view;
    switch (*flag.data) {
    case 's':
        return write_flag(out, 's', view->value.size);
    case 't':
        return write_ttl(out, expiry_at_flag(request, outcome, flag.data), outcome->ttl_now);
    case 'c':
        return write_flag(out, 'c', cache_view_cas(view));
    case 'f':
        return write_flag(out, 'f', view->flags);
    case 'l':
        return write_flag(out, 'l', outcome->last_access);
    case 'h':
        return write_flag(out, 'h', outcome->hit_before);
    case 'O':
        *out++ = ' ';
        return write_slice(out, flag);
    default:
        assert(*flag.data == 'k');
        return write_key(out, request);
    }
}

/* Answers those of the flags sent that are among `answered`, in the order of the request. */
static char *write_flags(char *out, const struct request *request, const struct outcome *outcome,
                         const char *answered) {
    const char *at = request->meta_flags.data, *end = at + request->meta_flags.size;
    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        const char *stop = blank ? blank : end;
        if (stop > at && strchr(answered, *at))
            out = write_one_flag(out, request, outcome, slice_of(at, (size_t)(stop - at)));
        at = stop + (stop < end);
    }
    return out;
}

static char *write_status(char *out, const char status[2], const struct request *request,
                          const struct outcome *outcome, const char *answered) {
    out = write_bytes(out, status, 2);
    return write_end_of_line(write_flags(out, request, outcome, answered));
}

/* mg C: a client that knows this CAS has the value already. */
static bool wants_value(const struct request *request, const struct outcome *outcome) {
    bool knows = request_has(request, 'C') && request->cas == cache_view_cas(&outcome->view);
    return request_has(request, 'v') && !knows;
}

static char *write_meta_hit(char *out, const struct request *request, const struct outcome *outcome,
                            char **ret_value_at) {
    bool has_value = wants_value(request, outcome);
    out = has_value ? write_number(WRITE(out, "VA "), outcome->view.value.size) : WRITE(out, "HD");
    out = write_flags(out, request, outcome, FLAGS_OF_HIT);
    if (outcome->lost)
        out = WRITE(out, " Z");
    if (outcome->stale)
        out = WRITE(out, " X");
    if (outcome->won)
        out = WRITE(out, " W");
    out = write_end_of_line(out);
    return has_value ? write_value(out, outcome, ret_value_at) : out;
}

static char *write_meta_get(char *out, const struct request *request, const struct outcome *outcome,
                            char **ret_value_at) {
    if (outcome->status == OUTCOME_HIT)
        return write_meta_hit(out, request, outcome, ret_value_at);
    return is_quiet(request) ? out : write_status(out, "EN", request, outcome, FLAGS_OF_REST);
}

/* What was not stored is answered with no CAS and with the size that was sent. */
static char *write_meta_set(char *out, const struct request *request, const struct outcome *outcome) {
    if (outcome->status == OUTCOME_STORED)
        return is_quiet(request) ? out : write_status(out, "HD", request, outcome, FLAGS_OF_SET);
    struct outcome none = {.view = {.value = request->value}};
    const char *status = outcome->status == OUTCOME_EXISTS      ? "EX"
                         : outcome->status == OUTCOME_NOT_FOUND ? "NF"
                                                                : "NS";
    return write_status(out, status, request, &none, FLAGS_OF_SET);
}

static char *write_meta_delete(char *out, const struct request *request, const struct outcome *outcome) {
    if (outcome->status == OUTCOME_DELETED)
        return is_quiet(request) ? out : write_status(out, "HD", request, outcome, FLAGS_OF_REST);
    const char *status = outcome->status == OUTCOME_EXISTS ? "EX" : "NF";
    return write_status(out, status, request, outcome, FLAGS_OF_REST);
}

static char *write_meta_number(char *out, const struct request *request, const struct outcome *outcome) {
    if (is_quiet(request))
        return out;
    if (!request_has(request, 'v'))
        return write_status(out, "HD", request, outcome, FLAGS_OF_COUNT);
    char digits[NUMBER_DIGITS];
    size_t size = (size_t)(write_number(digits, outcome->number) - digits);
    out = write_number(WRITE(out, "VA "), size);
    out = write_end_of_line(write_flags(out, request, outcome, FLAGS_OF_COUNT));
    return write_end_of_line(write_bytes(out, digits, size));
}

static char *write_meta_arithmetic(char *out, const struct request *request, const struct outcome *outcome) {
    if (outcome->status == OUTCOME_NUMBER)
        return write_meta_number(out, request, outcome);
    const char *status = outcome->status == OUTCOME_EXISTS ? "EX" : "NF";
    return write_status(out, status, request, outcome, FLAGS_OF_REST);
}

/* me. There are no slab classes here: cls is 1; size is what counts against the item limit. */
static char *write_meta_debug(char *out, const struct request *request, const struct outcome *outcome) {
    const struct cache_view *view = &outcome->view;
    if (outcome->status != OUTCOME_HIT)
        return WRITE(out, "EN\r\n");
    out = WRITE(out, "ME ");
    out = request_has(request, 'b') ? base64_encode(request->key, out) : write_slice(out, request->key);
    out = WRITE(out, " exp=");
    if (view->expires_at == 0)
        out = WRITE(out, "-1");
    else
        out =
            write_number(out, view->expires_at > outcome->ttl_now ? view->expires_at - outcome->ttl_now : 0);
    out = write_number(WRITE(out, " la="), outcome->last_access);
    out = write_number(WRITE(out, " cas="), cache_view_cas(view));
    out = outcome->hit_before ? WRITE(out, " fetch=yes") : WRITE(out, " fetch=no");
    out = write_number(WRITE(out, " cls=1 size="),
                       request_item_size(request->key.size, view->flags, view->value.size));
    return write_end_of_line(out);
}

/* A function of its own, so that the path of the classic commands is short enough to be compiled into that of a key. */
static __attribute__((noinline)) char *write_meta(char *out, const struct request *request,
                                                  const struct outcome *outcome, char **ret_value_at) {
    if (outcome->status == OUTCOME_ERROR)
        return write_line(out, outcome->error);
    switch (command_kind(request->command)) {
    case KIND_READ:
        return write_meta_get(out, request, outcome, ret_value_at);
    case KIND_STORE:
        return write_meta_set(out, request, outcome);
    case KIND_DELETE:
        return write_meta_delete(out, request, outcome);
    case KIND_COUNT:
        return write_meta_arithmetic(out, request, outcome);
    case KIND_INSPECT:
        return write_meta_debug(out, request, outcome);
    case KIND_READ_AND_TOUCH:
    case KIND_TOUCH:
    case KIND_TALK:
        break;
    }
    assert(false && "no meta command is of this kind");
    return out;
}

/* ---- All ---- */

/* The two whose answer is in the request itself. */
char *reply_write_without_key(char *out, const struct request *request) {
    if (request->command == COMMAND_META_NOOP)
        return WRITE(out, "MN\r\n");
    assert(request->command == COMMAND_BAD && "the server answers it");
    return request->noreply ? out : write_line(out, request->error);
}

char *reply_write(char *out, const struct request *request, const struct outcome *outcome,
                  char **ret_value_at) {
    *ret_value_at = NULL;
    if (__builtin_expect(request->command == COMMAND_GET, true)) /* ahead of a jump through a table */
        return write_get(out, request, outcome, ret_value_at);
    switch (request->command) {
    case COMMAND_GET:
    case COMMAND_GAT:
        return write_get(out, request, outcome, ret_value_at);
    case COMMAND_SET:
    case COMMAND_ADD:
    case COMMAND_REPLACE:
    case COMMAND_APPEND:
    case COMMAND_PREPEND:
    case COMMAND_CAS:
    case COMMAND_DELETE:
    case COMMAND_INCR:
    case COMMAND_DECR:
    case COMMAND_TOUCH:
        return write_classic(out, request, outcome);
    case COMMAND_META_GET:
    case COMMAND_META_SET:
    case COMMAND_META_DELETE:
    case COMMAND_META_ARITHMETIC:
    case COMMAND_META_DEBUG:
        return write_meta(out, request, outcome, ret_value_at);
        COMMANDS_WITHOUT_KEY(COMMAND_CASE)
        break;
    }
    return reply_write_without_key(out, request);
}
