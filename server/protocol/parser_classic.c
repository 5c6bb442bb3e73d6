/* SPDX-License-Identifier: MIT */
/* See parser_classic.h. */
#include "server/protocol/parser_classic.h"
#include "policies/number.h"

static const char BAD_DELTA[] = "CLIENT_ERROR invalid numeric delta argument";

static bool read_client_flags(struct slice word, uint32_t *ret_flags) {
    uint64_t number;
    if (!number_read_loose_u64(word, &number))
        return false;
    *ret_flags = (uint32_t)number;
    return true;
}

static bool read_storage_exptime(struct slice word, int64_t *ret_exptime) {
    int64_t number;
    if (!number_read_loose_int64(word, &number))
        return false;
    *ret_exptime = (int32_t)number;
    return true;
}

enum parse_status parse_storage(struct parse_call *call, struct line *line, enum command command) {
    struct request *request = call->request;
    int64_t length;
    line_cut(line);
    if (line->count < 5 || !number_read_int32(line->words[4], &length) || length < 0 ||
        length > PARSE_VALUE_MAX)
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    request_begin(request, command);
    request->noreply = line_ends_with_noreply(line);
    request->has_exptime = true;
    request->key = line->words[1];
    if (request->key.size > ENTRY_KEY_MAX || !read_client_flags(line->words[2], &request->flags) ||
        !read_storage_exptime(line->words[3], &request->exptime) ||
        (command == COMMAND_CAS && (line->count < 6 || !number_read_u64(line->words[5], &request->cas))))
        return parse_refuse_data(call, line->next, (size_t)length, PARSE_BAD_FORMAT);
    return parse_take_data(call, line->next, (size_t)length);
}

enum parse_status parse_simple(struct parse_call *call, struct line *line, enum command command,
                               unsigned words) {
    struct request *request = call->request;
    line_cut(line);
    if (line->count < words)
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    request_begin(request, command);
    request->noreply = line_ends_with_noreply(line);
    request->key = line->words[1];
    if (request->key.size > ENTRY_KEY_MAX)
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    if (command == COMMAND_TOUCH) {
        request->has_exptime = true;
        if (!number_read_int32(line->words[2], &request->exptime))
            return parse_refuse(call, line->next, PARSE_BAD_EXPTIME);
    }
    if ((command == COMMAND_INCR || command == COMMAND_DECR) &&
        !number_read_u64(line->words[2], &request->delta))
        return parse_refuse(call, line->next, BAD_DELTA);
    return parse_done_at(call, line->next);
}

/* ---- Commands without a key ---- */

/* The words behind the command, without a closing "noreply" when that was understood as such. */
static struct slice argument_of(const struct line *line, bool noreply) {
    unsigned count = line->count - noreply;
    if (count <= 1)
        return slice_of(line->end, 0);
    const char *start = line->words[1].data;
    bool is_whole = line->count == LINE_WORDS_MAX && !noreply; /* there may be more words than were cut */
    const char *end = is_whole ? line->end : line->words[count - 1].data + line->words[count - 1].size;
    return slice_of(start, (size_t)(end - start));
}

/* A word that does not begin its line. */
static enum command indented_command(const struct line *line) {
    bool ret_cas;
    enum command command = line->count > 0 ? command_of_word(line->words[0], &ret_cas) : COMMAND_BAD;
    return command_row(command)->may_be_indented ? command : COMMAND_BAD;
}

static enum parse_status refuse_unknown(struct parse_call *call, const struct line *line) {
    if (line->count > 1 && slice_starts_with(line->words[line->count - 1], SLICE("HTTP/")))
        return parser_close(call->parser, call->request, CLOSE_HTTP);
    request_begin(call->request, COMMAND_BAD);
    call->request->noreply = line_ends_with_noreply(line);
    return parse_refuse(call, line->next, "ERROR");
}

enum parse_status parse_talk(struct parse_call *call, struct line *line, enum command command) {
    line_cut(line);
    if (command == COMMAND_BAD)
        command = indented_command(line);
    if (command == COMMAND_BAD)
        return refuse_unknown(call, line);
    bool noreply = command_row(command)->takes_noreply && line_ends_with_noreply(line);
    request_begin(call->request, command);
    call->request->noreply = noreply;
    call->request->argument = argument_of(line, noreply);
    return parse_done_at(call, line->next);
}
