/* SPDX-License-Identifier: MIT */
/* See parser_meta.h. */
#include "server/protocol/parser_meta.h"
#include "policies/number.h"
#include "server/protocol/base64.h"

enum {
    META_WORDS_MAX = 20, /* command, key and flags of a meta command */
    OPAQUE_MAX = 32,     /* the flag O with its letter */
};

static const char LONG_OPAQUE[] = "CLIENT_ERROR opaque token too long";

static const char *decode_key(struct request *request, char *key_buffer) {
    size_t size = base64_decode(request->raw_key, key_buffer);
    request->key = slice_of(key_buffer, size);
    return size > 0 ? NULL : "CLIENT_ERROR error decoding key";
}

/* The number behind the letter of a flag. False: there is none, or it is malformed. */
static bool read_flag_ttl(struct slice word, int64_t *ret_ttl) {
    return word.size > 1 && number_read_int32(slice_of(word.data + 1, word.size - 1), ret_ttl);
}

static bool read_flag_number(struct slice word, uint64_t *ret_number) {
    return word.size > 1 && number_read_u64(slice_of(word.data + 1, word.size - 1), ret_number);
}

static bool read_flag_client_flags(struct slice word, uint32_t *ret_flags) {
    return word.size > 1 && number_read_u32(slice_of(word.data + 1, word.size - 1), ret_flags);
}

/* Takes one flag into the request. Returns an error line, or NULL; *ret_fatal: what follows is not read. */
static const char *take_flag(struct request *request, struct slice word, char *key_buffer, bool *ret_fatal) {
    static const char bad_token[] = "CLIENT_ERROR bad token in command line format";
    *ret_fatal = false;
    switch (word.data[0]) {
    case 'b':
        return decode_key(request, key_buffer);
    case 'N':
        return read_flag_ttl(word, &request->vivify_ttl) ? NULL : bad_token;
    case 'R':
        return read_flag_ttl(word, &request->recache_ttl) ? NULL : bad_token;
    case 'T':
        request->has_exptime = true;
        return read_flag_ttl(word, &request->exptime) ? NULL : bad_token;
    case 'C':
        return read_flag_number(word, &request->cas) ? NULL : bad_token;
    case 'E':
        return read_flag_number(word, &request->new_cas) ? NULL : bad_token;
    case 'F':
        return read_flag_client_flags(word, &request->flags) ? NULL : PARSE_BAD_FORMAT;
    case 'J':
        return read_flag_number(word, &request->initial) ? NULL
                                                         : "CLIENT_ERROR invalid numeric initial value";
    case 'D':
        return read_flag_number(word, &request->delta) ? NULL : "CLIENT_ERROR invalid numeric delta value";
    case 'M':
        request->mode = word.size > 1 ? word.data[1] : ' '; /* ' ': none of the modes */
        return NULL;
    case 'O':
        return word.size <= OPAQUE_MAX ? NULL : LONG_OPAQUE;
    case 'c':
    case 'f':
    case 'h':
    case 'I':
    case 'k':
    case 'L':
    case 'l':
    case 'P':
    case 'q':
    case 's':
    case 't':
    case 'u':
    case 'v':
    case 'x':
        return NULL;
    default:
        *ret_fatal = true;
        return "CLIENT_ERROR invalid flag";
    }
}

/* A line with a word that cannot be a flag is malformed before any flag is looked at. */
static bool are_flags_letters(const struct line *line, unsigned first) {
    for (unsigned i = first; i < line->count; i++) {
        char c = line->words[i].data[0];
        if (!(c >= 'A' && c <= 'z') && !is_digit(c))
            return false;
    }
    return true;
}

static void set_meta(struct request *request, enum command command, const struct line *line, unsigned first) {
    request_begin_meta(request, command, line->words[1]);
    request->meta_flags =
        first < line->count ? slice_of(line->words[first].data, (size_t)(line->end - line->words[first].data))
                            : slice_of(line->end, 0);
}

/* Reads the flags from word first on. Returns an error line, or NULL. Of several errors the last one counts,
 * unless one ends the reading. */
static const char *read_flags(struct request *request, const struct line *line, unsigned first,
                              char *key_buffer) {
    const char *error = NULL;
    if (request->key.size > ENTRY_KEY_MAX)
        return PARSE_BAD_FORMAT;
    if (line->count > META_WORDS_MAX)
        return "CLIENT_ERROR options flags are too long";
    for (unsigned i = first; i < line->count; i++) {
        char letter = line->words[i].data[0];
        bool is_letter = (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z');
        if (is_letter && request_has(request, letter))
            return "CLIENT_ERROR duplicate flag";
        if (is_letter)
            request->meta |= meta_bit(letter);
        bool fatal;
        const char *flaw = take_flag(request, line->words[i], key_buffer, &fatal);
        if (fatal)
            return flaw;
        if (flaw)
            error = letter == 'F' && error ? error : flaw;
    }
    return error;
}

enum parse_status parse_meta(struct parse_call *call, struct line *line, enum command command) {
    line_cut(line);
    if (line->count < 2 || !are_flags_letters(line, 2))
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    set_meta(call->request, command, line, 2);
    const char *error = read_flags(call->request, line, 2, call->key_buffer);
    return error ? parse_refuse(call, line->next, error) : parse_done_at(call, line->next);
}

enum parse_status parse_meta_arithmetic(struct parse_call *call, struct line *line) {
    struct request *request = call->request;
    line_cut(line);
    if (line->count < 2 || !are_flags_letters(line, 2))
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    set_meta(request, COMMAND_META_ARITHMETIC, line, 2);
    const char *error = read_flags(request, line, 2, call->key_buffer);
    if (error) /* of ma, memcached tells no other error apart */
        return parse_refuse(call, line->next,
                            error == LONG_OPAQUE ? error : "CLIENT_ERROR invalid or duplicate flag");
    if (request->mode == 0 || request->mode == '+')
        request->mode = 'I';
    if (request->mode == '-')
        request->mode = 'D';
    if (request->mode != 'I' && request->mode != 'D')
        return parse_refuse(call, line->next, "CLIENT_ERROR invalid mode for ma M token");
    return parse_done_at(call, line->next);
}

enum parse_status parse_meta_set(struct parse_call *call, struct line *line) {
    struct request *request = call->request;
    int64_t length;
    line_cut(line);
    if (line->count < 3 || !are_flags_letters(line, 3) || !number_read_int32(line->words[2], &length) ||
        length < 0 || length > PARSE_VALUE_MAX)
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    set_meta(request, COMMAND_META_SET, line, 3);
    const char *error = read_flags(request, line, 3, call->key_buffer);
    if (!error && request->mode && !strchr("EAPRS", request->mode))
        error = "CLIENT_ERROR invalid mode for ms M token";
    if (error)
        return parse_refuse_data(call, line->next, (size_t)length, error);
    return parse_take_data(call, line->next, (size_t)length);
}

enum parse_status parse_meta_debug(struct parse_call *call, struct line *line) {
    struct request *request = call->request;
    line_cut(line);
    if (line->count < 2 || line->words[1].size > ENTRY_KEY_MAX || !are_flags_letters(line, 2))
        return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    set_meta(request, COMMAND_META_DEBUG, line, 2);
    for (unsigned i = 2; i < line->count; i++) {
        if (!slice_equal(line->words[i], SLICE("b")))
            continue;
        request->meta = meta_bit('b');
        if (decode_key(request, call->key_buffer))
            return parse_refuse(call, line->next, PARSE_BAD_FORMAT);
    }
    return parse_done_at(call, line->next);
}
