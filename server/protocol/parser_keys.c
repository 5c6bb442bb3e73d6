/* SPDX-License-Identifier: MIT */
/* See parser_keys.h. */
#include "server/protocol/parser_keys.h"
#include "policies/number.h"

/* ---- Keys of a line that was judged ---- */

static void set_key(const struct parser *parser, struct request *request, const char *key, const char *stop) {
    request_begin(request, parser->run.command);
    request->ret_cas = parser->run.ret_cas;
    request->has_exptime = parser->run.command == COMMAND_GAT;
    request->exptime = parser->run.exptime;
    request->key = slice_of(key, (size_t)(stop - key));
}

/* The next key of the line that is being handed out. */
static enum parse_status next_key(struct parse_call *call) {
    struct parser *parser = call->parser;
    struct request *request = call->request;
    const char *next = call->bytes + parser->run.left;
    assert(next <= call->end && next[-1] == '\n');
    const char *end = trim_line_end(call->bytes, next - 1);
    const char *key = skip_blanks(call->bytes, end), *stop = find_blank(key, end);
    assert(stop > key);

    set_key(parser, request, key, stop);
    request->ends_run = skip_blanks(stop, end) == end;
    parser->in_run = !request->ends_run;
    if (request->ends_run)
        return parse_done_at(call, next);
    parser->run.left -= (size_t)(stop - call->bytes);
    return parse_done_at(call, stop);
}

/* Whether [keys, end) holds one key or more, and none too long. */
static bool are_keys_good(const char *keys, const char *end) {
    const char *at = skip_blanks(keys, end);
    if (at == end)
        return false;
    while (at < end) {
        const char *stop = find_blank(at, end);
        if (stop - at > ENTRY_KEY_MAX)
            return false;
        at = skip_blanks(stop, end);
    }
    return true;
}

/* Begins to hand out the keys from `keys` to the end of the line. */
static enum parse_status start_run(struct parse_call *call, const struct line *line, const char *keys,
                                   enum command command, bool ret_cas, int64_t exptime) {
    if (!are_keys_good(keys, line->end))
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    call->parser->run = (struct parser_run){command, ret_cas, false, exptime, (size_t)(line->next - keys)};
    struct parse_call rest = *call;
    rest.bytes = keys;
    enum parse_status status = next_key(&rest);
    *call->consumed += (size_t)(keys - call->bytes);
    return status;
}

enum parse_status parse_get(struct parse_call *call, const struct line *line, bool ret_cas) {
    return start_run(call, line, line->start + line->words[0].size, COMMAND_GET, ret_cas, 0);
}

enum parse_status parse_gat(struct parse_call *call, struct line *line, bool ret_cas) {
    line_cut(line);
    if (line->count < 3)
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    int64_t exptime;
    if (!number_read_int32(line->words[1], &exptime))
        return parse_refuse(call, line->next, PARSE_BAD_EXPTIME);
    return start_run(call, line, line->words[2].data, COMMAND_GAT, ret_cas, exptime);
}

/* ---- Keys of an open line ---- */

/* The line is no good from here on: an error ends its answer, and what is left of it is skipped. */
static enum parse_status refuse_rest(struct parse_call *call, const char *error) {
    const char *newline = memchr(call->bytes, '\n', (size_t)(call->end - call->bytes));
    call->parser->in_run = false;
    call->parser->swallow = newline ? 0 : PARSER_SWALLOW_LINE;
    request_begin(call->request, COMMAND_BAD);
    return parse_refuse(call, newline ? newline + 1 : call->end, error);
}

static enum parse_status await_rest(struct parse_call *call) {
    return parse_need_more(call, (size_t)(call->end - call->bytes) + 1);
}

static enum parse_status end_open_run(struct parse_call *call, const char *next) {
    call->request->ends_run = true;
    call->parser->in_run = false;
    return parse_done_at(call, next);
}

/* Hands out the key in [key, end), with blanks from `stop` to `behind`, once it is known whether it is the last: when
 * something that is no blank stands there. */
static enum parse_status take_open_key(struct parse_call *call, const char *key, const char *end,
                                       const char *stop, const char *behind) {
    bool is_judged = call->parser->run.left > 0;
    if (end == key || end - key > ENTRY_KEY_MAX || (behind - stop > PARSER_LINE_MAX && !is_judged))
        return refuse_rest(call, PARSE_BAD_FORMAT);
    if (behind == call->end || (*behind == '\r' && behind + 1 == call->end))
        return await_rest(call);
    set_key(call->parser, call->request, key, end);
    if (*behind == '\n')
        return end_open_run(call, behind + 1);
    if (*behind == '\r' && behind[1] == '\n')
        return end_open_run(call, behind + 2);
    call->request->ends_run = false;
    return parse_done_at(call, stop);
}

/* The next key of an open line. */
static enum parse_status next_open_key(struct parse_call *call) {
    const char *key = skip_blanks(call->bytes, call->end), *stop = find_word_end(key, call->end);
    bool is_whole = stop < call->end;
    if (!is_whole && stop - key <= ENTRY_KEY_MAX + 1) /* one more: it may be the '\r' */
        return await_rest(call);
    const char *end = is_whole && *stop == '\n' ? trim_line_end(key, stop) : stop;
    return take_open_key(call, key, end, stop, skip_blanks(stop, call->end));
}

enum parse_status parse_open_line(struct parse_call *call) {
    struct line line = {.start = call->bytes, .end = call->bytes + PARSER_LINE_MAX};
    bool ret_cas;
    line_cut(&line);
    enum command command = command_of_word(line.words[0], &ret_cas);
    unsigned first = command == COMMAND_GAT ? 2 : 1;
    if (line.count <= first)
        return parser_close(call->parser, call->request, CLOSE_ENDLESS_LINE);
    int64_t exptime = 0;
    if (command == COMMAND_GAT && !number_read_int32(line.words[1], &exptime))
        return refuse_rest(call, PARSE_BAD_EXPTIME);
    call->parser->run =
        (struct parser_run){.command = command, .ret_cas = ret_cas, .is_open = true, .exptime = exptime};
    call->parser->in_run = true;
    struct parse_call rest = *call;
    rest.bytes = line.words[first].data;
    enum parse_status status = next_open_key(&rest);
    *call->consumed += (size_t)(rest.bytes - call->bytes);
    return status;
}

enum parse_status parse_next_key(struct parse_call *call) {
    return call->parser->run.is_open ? next_open_key(call) : next_key(call);
}
