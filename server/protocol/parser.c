/* SPDX-License-Identifier: MIT */
/*
 * The parser has two storeys. On the lower one, two functions take the lines that nearly all traffic consists of, `get
 * <key>` with one key and `set <key> <flags> <exptime> <bytes> [noreply]` with small plain numbers, in one scan from
 * left to right. Whatever they do not recognise at once (several blanks, signs, long numbers, no end of line yet) they
 * leave alone: the upper storey finds the end of the line, looks its word up in the table of commands and reads the
 * arguments as that command has them: parser_keys.c those of many keys, parser_classic.c and parser_meta.c the others.
 * Both storeys make the same requests of the same bytes; the lower one is only faster.
 *
 * Invariants
 *
 *   pieces    Nothing behind bytes + size is looked at, and nothing is remembered except what
 *             struct parser holds: so the pieces in which a request arrives do not matter.
 *   lines     A line is judged whole before anything of it is handed out; only lines of keys that are too
 *             long to be kept are not (parser_keys.h).
 */
#include "server/protocol/parser.h"
#include "server/protocol/parser_call.h"
#include "server/protocol/parser_classic.h"
#include "server/protocol/parser_keys.h"
#include "server/protocol/parser_line.h"
#include "server/protocol/parser_meta.h"

enum {
    SHORT_LINE = 4,   /* a line shorter than this, its end included, is no command */
    QUICK_DIGITS = 9, /* longest number that cannot overflow 32 bits */
};

void parser_init(struct parser *parser, size_t item_max) {
    *parser = (struct parser){.item_max = item_max};
}

/* ---- What both protocols do with what they do not want ---- */

enum parse_status parser_close(struct parser *parser, struct request *ret_request,
                               enum parse_close_reason reason) {
    parser->close_reason = reason;
    ret_request->command = COMMAND_BAD;
    ret_request->error = NULL;
    return PARSE_CLOSE;
}

size_t parser_refuse(struct parser *parser, size_t size, size_t there) {
    parser->swallow = size > there ? size - there : 0;
    return size > there ? there : size;
}

static size_t swallow_line(struct parser *parser, const char *bytes, size_t size) {
    const char *newline = memchr(bytes, '\n', size);
    if (!newline)
        return size;
    parser->swallow = 0;
    return (size_t)(newline + 1 - bytes);
}

static size_t swallow_bytes(struct parser *parser, size_t size) {
    size_t skip = parser->swallow < size ? (size_t)parser->swallow : size;
    parser->swallow -= skip;
    return skip;
}

size_t parser_swallow(struct parser *parser, const char *bytes, size_t size) {
    bool is_line = parser->swallow == PARSER_SWALLOW_LINE;
    parser->skipped = is_line ? swallow_line(parser, bytes, size) : swallow_bytes(parser, size);
    return parser->skipped;
}

/* ---- The quick storey ---- */

/* `get <key>\r\n` and nothing else. */
static inline bool quick_get(const char *bytes, const char *end, struct request *request,
                             size_t *ret_consumed) {
    const char *key = bytes + 4;
    if (end - bytes <= 4 || memcmp(bytes, "get ", 4) != 0)
        return false;
    const char *stop = find_word_end(key, end);
    if (stop == end || *stop != '\n')
        return false;
    size_t size = (size_t)(trim_line_end(key, stop) - key);
    if (size - 1 >= ENTRY_KEY_MAX)
        return false;
    request_begin(request, COMMAND_GET);
    request->ends_run = true;
    request->key = slice_of(key, size);
    *ret_consumed = (size_t)(stop + 1 - bytes);
    return true;
}

/* A number of at most QUICK_DIGITS digits; *at moves behind it. */
static inline bool quick_number(const char **at, const char *end, uint32_t *ret_number) {
    const char *start = *at, *p = start, *last = end - start < QUICK_DIGITS ? end : start + QUICK_DIGITS;
    uint32_t number = 0;
    for (; p < last && is_digit(*p); p++)
        number = number * 10 + (uint32_t)(*p - '0');
    *at = p;
    *ret_number = number;
    return p > start;
}

static inline bool quick_blank(const char **at, const char *end) {
    return *at < end && *(*at)++ == ' ';
}

/* `\r\n` or ` noreply\r\n`. */
static inline bool quick_end(const char **at, const char *end, bool *ret_noreply) {
    static const char noreply[] = " noreply";
    size_t size = sizeof noreply - 1;
    *ret_noreply = (size_t)(end - *at) > size && memcmp(*at, noreply, size) == 0;
    const char *p = *at + (*ret_noreply ? size : 0);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return false;
    *at = p + 2;
    return true;
}

/* `set <key> <flags> <exptime> <bytes>[ noreply]\r\n`; *ret_next and *ret_length: where its data block is. */
static inline bool quick_set(struct parse_call *call, const char **ret_next, size_t *ret_length) {
    const char *key = call->bytes + 4, *end = call->end;
    const char *at = find_word_end(key, end);
    size_t size = (size_t)(at - key);
    uint32_t flags, exptime, length;
    bool noreply;
    if (size - 1 >= ENTRY_KEY_MAX || !quick_blank(&at, end) || !quick_number(&at, end, &flags) ||
        !quick_blank(&at, end) || !quick_number(&at, end, &exptime) || !quick_blank(&at, end) ||
        !quick_number(&at, end, &length) || !quick_end(&at, end, &noreply))
        return false;
    struct request *request = call->request;
    request_begin(request, COMMAND_SET);
    request->noreply = noreply;
    request->has_exptime = true;
    request->flags = flags;
    request->key = slice_of(key, size);
    request->exptime = exptime;
    *ret_next = at;
    *ret_length = length;
    return true;
}

/* ---- The upper storey ---- */

static enum parse_status parse_command(struct parse_call *call, struct line *line) {
    bool ret_cas;
    enum command command = command_of_word(line->words[0], &ret_cas);
    switch (command) {
    case COMMAND_GET:
        return parse_get(call, line, ret_cas);
    case COMMAND_GAT:
        return parse_gat(call, line, ret_cas);
    case COMMAND_SET:
    case COMMAND_ADD:
    case COMMAND_REPLACE:
    case COMMAND_APPEND:
    case COMMAND_PREPEND:
    case COMMAND_CAS:
        return parse_storage(call, line, command);
    case COMMAND_DELETE:
        return parse_simple(call, line, command, 2);
    case COMMAND_INCR:
    case COMMAND_DECR:
    case COMMAND_TOUCH:
        return parse_simple(call, line, command, 3);
    case COMMAND_META_GET:
    case COMMAND_META_DELETE:
        return parse_meta(call, line, command);
    case COMMAND_META_SET:
        return parse_meta_set(call, line);
    case COMMAND_META_ARITHMETIC:
        return parse_meta_arithmetic(call, line);
    case COMMAND_META_DEBUG:
        return parse_meta_debug(call, line);
        COMMANDS_WITHOUT_KEY(COMMAND_CASE)
        break;
    }
    return parse_talk(call, line, command);
}

static enum parse_status parse_line(struct parse_call *call, struct line *line) {
    call->request->noreply = false; /* errors of the line's form are answered in any case */
    if (line->next - line->start < SHORT_LINE)
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    line->words[0] = slice_of(line->start, (size_t)(find_blank(line->start, line->end) - line->start));
    return parse_command(call, line);
}

/* bytes: PARSER_LINE_MAX at least, and of a line that is longer */
static bool may_be_long(const char *bytes) {
    bool ret_cas;
    const char *word_end = find_blank(bytes, bytes + PARSER_LINE_MAX);
    enum command command = command_of_word(slice_of(bytes, (size_t)(word_end - bytes)), &ret_cas);
    return command_row(command)->comes_in_runs;
}

/* Any line. */
static enum parse_status parse_any(struct parse_call *call) {
    size_t size = (size_t)(call->end - call->bytes);
    const char *newline = memchr(call->bytes, '\n', size);
    size_t length = newline ? (size_t)(newline - call->bytes) : size; /* without the '\n' */
    if (length > PARSER_LINE_MAX && (call->parser->short_lines || !may_be_long(call->bytes)))
        return parser_close(call->parser, call->request, CLOSE_ENDLESS_LINE);
    if (length > PARSER_GET_LINE_MAX || (length > PARSER_LINE_MAX && !newline && call->parser->starved))
        return parse_open_line(call);
    if (!newline)
        return parse_need_more(call, size + 1);
    struct line line; /* its words are not worth clearing */
    line.start = call->bytes;
    line.end = trim_line_end(call->bytes, newline);
    line.next = newline + 1;
    return parse_line(call, &line);
}

/* Whatever is not one short get. noinline: the path of that is to be compiled into the worker's turn. */
static __attribute__((noinline)) enum parse_status parse_request(struct parse_call *call) {
    struct parser *parser = call->parser;
    if (parser->in_run)
        return parse_next_key(call);
    if (call->end == call->bytes)
        return parse_need_more(call, 1);
    if (call->end - call->bytes > 4) {
        const char *next;
        size_t length;
        if (memcmp(call->bytes, "set ", 4) == 0 && quick_set(call, &next, &length))
            return parse_take_data(call, next, length);
    }
    return parse_any(call);
}

enum parse_status parse(struct parser *parser, const char *bytes, size_t size,
                        char key_buffer[ENTRY_KEY_MAX + 2], struct request *ret_request, size_t *ret_consumed,
                        size_t *ret_wanted) {
    if (parser->swallow == 0 && !parser->in_run && quick_get(bytes, bytes + size, ret_request, ret_consumed))
        return PARSE_OK;
    struct parse_call call = {parser, bytes, bytes + size, key_buffer, ret_request, ret_consumed, ret_wanted};
    *ret_consumed = 0;
    if (__builtin_expect(parser->swallow == 0, 1))
        return parse_request(&call);
    call.bytes += parser_swallow(parser, bytes, size);
    enum parse_status status = parse_request(&call);
    *ret_consumed += (size_t)(call.bytes - bytes);
    return status;
}
