/* SPDX-License-Identifier: MIT */
/*
 * The parser has two storeys. On the lower one, two functions take the lines that nearly all traffic consists
 * of, `get <key>` with one key and `set <key> <flags> <exptime> <bytes> [noreply]` with small plain numbers,
 * in one scan from left to right. Whatever they do not recognise at once (several blanks, signs, long
 * numbers, no end of line yet) they leave alone: the upper storey finds the end of the line, looks its word
 * up in the table of commands and reads the arguments as that command has them. Both make the same requests
 * of the same bytes; the lower one is only faster.
 *
 * Invariants
 *
 *   pieces    Nothing behind bytes + size is looked at, and nothing is remembered except what
 *             struct parser holds: so the pieces in which a request arrives do not matter.
 *   lines     A line is judged whole before anything of it is handed out. A get with one bad key among a
 *             hundred good ones yields an error and no key. Only lines of keys that are too long to be kept
 *             are judged key by key, and handed out while the rest is still under way: they are "open". So is,
 *             though judged, the rest of a line that its caller leaves in the middle (parser_open_run).
 *   numbers   They are read as memcached reads them, in two ways (policies/number.h): the words of most
 *             commands are digits and nothing else; flags and exptime of the storage commands follow the
 *             rules of strtoul (a sign, an end at any white space, truncation to 32 bits).
 */
#include "server/protocol/parser.h"
#include "policies/number.h"
#include "server/protocol/base64.h"
#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    WORDS_MAX = 23,      /* words of a line that are looked at; memcached's tokenizer stops there as well */
    META_WORDS_MAX = 20, /* command, key and flags of a meta command */
    OPAQUE_MAX = 32,     /* the flag O with its letter */
    SHORT_LINE = 4,      /* a line shorter than this, its end included, is no command */
    VALUE_MAX = INT32_MAX - 2,
    QUICK_DIGITS = 9, /* longest number that cannot overflow 32 bits */
};

static const char BAD_FORMAT[] = "CLIENT_ERROR bad command line format";
static const char BAD_CHUNK[] = "CLIENT_ERROR bad data chunk";
static const char BAD_EXPTIME[] = "CLIENT_ERROR invalid exptime argument";
static const char BAD_DELTA[] = "CLIENT_ERROR invalid numeric delta argument";
static const char NO_ROOM[] = "SERVER_ERROR out of memory storing object";
static const char LONG_OPAQUE[] = "CLIENT_ERROR opaque token too long";

/* A line of which the end is known, cut into words at blanks. */
struct line {
    const char *start;
    const char *end;  /* of what it says: before "\r\n" or "\n" */
    const char *next; /* first byte behind it */
    unsigned count;   /* of words */
    struct slice words[WORDS_MAX];
};

/* What a call of parse() works on. */
struct parse_call {
    struct parser *parser;
    const char *bytes, *end;
    char *key_buffer;
    struct request *request;
    size_t *consumed, *wanted;
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

/* ---- Results ---- */

static enum parse_status need_more(struct parse_call *call, size_t wanted) {
    *call->wanted = wanted;
    return PARSE_MORE;
}

/* The request ends at `next`. */
static enum parse_status done_at(struct parse_call *call, const char *next) {
    assert(next > call->bytes && next <= call->end);
    *call->consumed = (size_t)(next - call->bytes);
    return PARSE_OK;
}

static enum parse_status refuse(struct parse_call *call, const char *next, const char *error) {
    call->request->command = COMMAND_BAD;
    call->request->error = error;
    return done_at(call, next);
}

/* The request's data block, of which the line promised length bytes and CRLF, is not wanted. */
static enum parse_status skip_data(struct parse_call *call, const char *next, size_t length) {
    size_t whole = (size_t)(next - call->bytes) + length + 2, there = (size_t)(call->end - call->bytes);
    return done_at(call, call->bytes + parser_refuse(call->parser, whole, there));
}

static enum parse_status refuse_data(struct parse_call *call, const char *next, size_t length,
                                     const char *error) {
    call->request->command = COMMAND_BAD;
    call->request->error = error;
    return skip_data(call, next, length);
}

/* ---- Scanning ---- */

#ifdef __SSE2__
/* A bit for each of 16 bytes that is a blank or '\n'. */
static inline unsigned word_ends(const char *at) {
    const __m128i blank = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i found = _mm_or_si128(_mm_cmpeq_epi8(chunk, blank), _mm_cmpeq_epi8(chunk, newline));
    return (unsigned)_mm_movemask_epi8(found);
}
#endif

/* The first blank or '\n' in [at, end), or end. */
static inline const char *find_word_end(const char *at, const char *end) {
#ifdef __SSE2__
    const char *start = at;
    for (; end - at >= 16; at += 16) {
        unsigned mask = word_ends(at);
        if (mask)
            return at + __builtin_ctz(mask);
    }
    if (at > start) { /* the last ones, once more with some before them */
        unsigned mask = word_ends(end - 16) >> (16 - (end - at));
        return mask ? at + __builtin_ctz(mask) : end;
    }
#endif
    while (at < end && *at != ' ' && *at != '\n')
        at++;
    return at;
}

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && *at == ' ')
        at++;
    return at;
}

static const char *find_blank(const char *at, const char *end) {
    const char *blank = memchr(at, ' ', (size_t)(end - at));
    return blank ? blank : end;
}

/* The end of a line that ends with the '\n' at newline. */
static inline const char *trim_line_end(const char *start, const char *newline) {
    return newline > start && newline[-1] == '\r' ? newline - 1 : newline;
}

static void cut_into_words(struct line *line) {
    line->count = 0;
    const char *at = skip_blanks(line->start, line->end);
    while (at < line->end && line->count < WORDS_MAX) {
        const char *stop = find_blank(at, line->end);
        line->words[line->count++] = slice_of(at, (size_t)(stop - at));
        at = skip_blanks(stop, line->end);
    }
}

static bool ends_with_noreply(const struct line *line) {
    return line->count > 0 && slice_equal(line->words[line->count - 1], SLICE("noreply"));
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

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

/* ---- Data blocks ---- */

/* Not on the path of a value that is there: noinline keeps that short. */
static __attribute__((noinline)) enum parse_status await_data(struct parse_call *call, const char *next,
                                                              size_t length) {
    if (call->parser->starved)
        return refuse_data(call, next, length, NO_ROOM);
    return need_more(call, (size_t)(next - call->bytes) + length + 2);
}

/* A storage command whose line is read whole and ends at next: waits for its data block and takes it. */
static inline enum parse_status take_data(struct parse_call *call, const char *next, size_t length) {
    struct request *request = call->request;
    request->too_large = false;
    if (__builtin_expect(
            request_item_size(request->key.size, request->flags, length) > call->parser->item_max, 0)) {
        if (!command_row(request->command)->overwrites)
            return refuse_data(call, next, length, REPLY_TOO_LARGE);
        request->too_large = true;
        return skip_data(call, next, length);
    }
    if ((size_t)(call->end - next) < length + 2)
        return await_data(call, next, length);
    if (next[length] != '\r' || next[length + 1] != '\n')
        return refuse(call, next + length + 2, BAD_CHUNK);
    request->value = slice_of(next, length);
    return done_at(call, next + length + 2);
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

/* ---- Keys in a run ---- */

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
        return done_at(call, next);
    parser->run.left -= (size_t)(stop - call->bytes);
    return done_at(call, stop);
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
        return refuse(call, line->next, BAD_FORMAT);
    call->parser->run = (struct parser_run){command, ret_cas, false, exptime, (size_t)(line->next - keys)};
    struct parse_call rest = *call;
    rest.bytes = keys;
    enum parse_status status = next_key(&rest);
    *call->consumed += (size_t)(keys - call->bytes);
    return status;
}

static enum parse_status parse_get(struct parse_call *call, const struct line *line, bool ret_cas) {
    return start_run(call, line, line->start + line->words[0].size, COMMAND_GET, ret_cas, 0);
}

static enum parse_status parse_gat(struct parse_call *call, struct line *line, bool ret_cas) {
    cut_into_words(line);
    if (line->count < 3)
        return refuse(call, line->next, BAD_FORMAT);
    int64_t exptime;
    if (!number_read_int32(line->words[1], &exptime))
        return refuse(call, line->next, BAD_EXPTIME);
    return start_run(call, line, line->words[2].data, COMMAND_GAT, ret_cas, exptime);
}

/* ---- Keys in an open run ---- */

/* The line is no good from here on: an error ends its answer, and what is left of it is skipped. */
static enum parse_status refuse_rest(struct parse_call *call, const char *error) {
    const char *newline = memchr(call->bytes, '\n', (size_t)(call->end - call->bytes));
    call->parser->in_run = false;
    call->parser->swallow = newline ? 0 : PARSER_SWALLOW_LINE;
    request_begin(call->request, COMMAND_BAD);
    return refuse(call, newline ? newline + 1 : call->end, error);
}

static enum parse_status await_rest(struct parse_call *call) {
    return need_more(call, (size_t)(call->end - call->bytes) + 1);
}

static enum parse_status end_open_run(struct parse_call *call, const char *next) {
    call->request->ends_run = true;
    call->parser->in_run = false;
    return done_at(call, next);
}

/* Hands out the key in [key, end), with blanks from `stop` to `behind`, once it is known whether it is the last: when
 * something that is no blank stands there. */
static enum parse_status take_open_key(struct parse_call *call, const char *key, const char *end,
                                       const char *stop, const char *behind) {
    bool is_judged = call->parser->run.left > 0;
    if (end == key || end - key > ENTRY_KEY_MAX || (behind - stop > PARSER_LINE_MAX && !is_judged))
        return refuse_rest(call, BAD_FORMAT);
    if (behind == call->end || (*behind == '\r' && behind + 1 == call->end))
        return await_rest(call);
    set_key(call->parser, call->request, key, end);
    if (*behind == '\n')
        return end_open_run(call, behind + 1);
    if (*behind == '\r' && behind[1] == '\n')
        return end_open_run(call, behind + 2);
    call->request->ends_run = false;
    return done_at(call, stop);
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

/* Begins to hand out the keys of a line whose beginning, PARSER_LINE_MAX bytes and more, is there. */
static enum parse_status start_open_run(struct parse_call *call) {
    struct line line = {.start = call->bytes, .end = call->bytes + PARSER_LINE_MAX};
    bool ret_cas;
    cut_into_words(&line);
    enum command command = command_of_word(line.words[0], &ret_cas);
    unsigned first = command == COMMAND_GAT ? 2 : 1;
    if (line.count <= first)
        return parser_close(call->parser, call->request, CLOSE_ENDLESS_LINE);
    int64_t exptime = 0;
    if (command == COMMAND_GAT && !number_read_int32(line.words[1], &exptime))
        return refuse_rest(call, BAD_EXPTIME);
    call->parser->run =
        (struct parser_run){.command = command, .ret_cas = ret_cas, .is_open = true, .exptime = exptime};
    call->parser->in_run = true;
    struct parse_call rest = *call;
    rest.bytes = line.words[first].data;
    enum parse_status status = next_open_key(&rest);
    *call->consumed += (size_t)(rest.bytes - call->bytes);
    return status;
}

/* ---- Classic commands on one key ---- */

/* The storage commands, cas with one word more. */
static enum parse_status parse_storage(struct parse_call *call, struct line *line, enum command command) {
    struct request *request = call->request;
    int64_t length;
    cut_into_words(line);
    if (line->count < 5 || !number_read_int32(line->words[4], &length) || length < 0 || length > VALUE_MAX)
        return refuse(call, line->next, BAD_FORMAT);
    request_begin(request, command);
    request->noreply = ends_with_noreply(line);
    request->has_exptime = true;
    request->key = line->words[1];
    if (request->key.size > ENTRY_KEY_MAX || !read_client_flags(line->words[2], &request->flags) ||
        !read_storage_exptime(line->words[3], &request->exptime) ||
        (command == COMMAND_CAS && (line->count < 6 || !number_read_u64(line->words[5], &request->cas))))
        return refuse_data(call, line->next, (size_t)length, BAD_FORMAT);
    return take_data(call, line->next, (size_t)length);
}

/* delete, incr, decr, touch: words is how many the line must have */
static enum parse_status parse_simple(struct parse_call *call, struct line *line, enum command command,
                                      unsigned words) {
    struct request *request = call->request;
    cut_into_words(line);
    if (line->count < words)
        return refuse(call, line->next, BAD_FORMAT);
    request_begin(request, command);
    request->noreply = ends_with_noreply(line);
    request->key = line->words[1];
    if (request->key.size > ENTRY_KEY_MAX)
        return refuse(call, line->next, BAD_FORMAT);
    if (command == COMMAND_TOUCH) {
        request->has_exptime = true;
        if (!number_read_int32(line->words[2], &request->exptime))
            return refuse(call, line->next, BAD_EXPTIME);
    }
    if ((command == COMMAND_INCR || command == COMMAND_DECR) &&
        !number_read_u64(line->words[2], &request->delta))
        return refuse(call, line->next, BAD_DELTA);
    return done_at(call, line->next);
}

/* ---- Meta commands ---- */

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
        return read_flag_client_flags(word, &request->flags) ? NULL : BAD_FORMAT;
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
        return BAD_FORMAT;
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

/* mg, md */
static enum parse_status parse_meta(struct parse_call *call, struct line *line, enum command command) {
    cut_into_words(line);
    if (line->count < 2 || !are_flags_letters(line, 2))
        return refuse(call, line->next, BAD_FORMAT);
    set_meta(call->request, command, line, 2);
    const char *error = read_flags(call->request, line, 2, call->key_buffer);
    return error ? refuse(call, line->next, error) : done_at(call, line->next);
}

static enum parse_status parse_meta_arithmetic(struct parse_call *call, struct line *line) {
    struct request *request = call->request;
    cut_into_words(line);
    if (line->count < 2 || !are_flags_letters(line, 2))
        return refuse(call, line->next, BAD_FORMAT);
    set_meta(request, COMMAND_META_ARITHMETIC, line, 2);
    const char *error = read_flags(request, line, 2, call->key_buffer);
    if (error) /* of ma, memcached tells no other error apart */
        return refuse(call, line->next,
                      error == LONG_OPAQUE ? error : "CLIENT_ERROR invalid or duplicate flag");
    if (request->mode == 0 || request->mode == '+')
        request->mode = 'I';
    if (request->mode == '-')
        request->mode = 'D';
    if (request->mode != 'I' && request->mode != 'D')
        return refuse(call, line->next, "CLIENT_ERROR invalid mode for ma M token");
    return done_at(call, line->next);
}

static enum parse_status parse_meta_set(struct parse_call *call, struct line *line) {
    struct request *request = call->request;
    int64_t length;
    cut_into_words(line);
    if (line->count < 3 || !are_flags_letters(line, 3) || !number_read_int32(line->words[2], &length) ||
        length < 0 || length > VALUE_MAX)
        return refuse(call, line->next, BAD_FORMAT);
    set_meta(request, COMMAND_META_SET, line, 3);
    const char *error = read_flags(request, line, 3, call->key_buffer);
    if (!error && request->mode && !strchr("EAPRS", request->mode))
        error = "CLIENT_ERROR invalid mode for ms M token";
    if (error)
        return refuse_data(call, line->next, (size_t)length, error);
    return take_data(call, line->next, (size_t)length);
}

/* me: of its flags only b means something, and the rest may be anything. */
static enum parse_status parse_meta_debug(struct parse_call *call, struct line *line) {
    struct request *request = call->request;
    cut_into_words(line);
    if (line->count < 2 || line->words[1].size > ENTRY_KEY_MAX || !are_flags_letters(line, 2))
        return refuse(call, line->next, BAD_FORMAT);
    set_meta(request, COMMAND_META_DEBUG, line, 2);
    for (unsigned i = 2; i < line->count; i++) {
        if (!slice_equal(line->words[i], SLICE("b")))
            continue;
        request->meta = meta_bit('b');
        if (decode_key(request, call->key_buffer))
            return refuse(call, line->next, BAD_FORMAT);
    }
    return done_at(call, line->next);
}

/* ---- Commands without a key ---- */

/* The words behind the command, without a closing "noreply" when that was understood as such. */
static struct slice argument_of(const struct line *line, bool noreply) {
    unsigned count = line->count - noreply;
    if (count <= 1)
        return slice_of(line->end, 0);
    const char *start = line->words[1].data;
    bool is_whole = line->count == WORDS_MAX && !noreply; /* there may be more words than were cut */
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
    call->request->noreply = ends_with_noreply(line);
    return refuse(call, line->next, "ERROR");
}

/* command: that of the word at the beginning of the line, COMMAND_BAD if there is none */
static enum parse_status parse_talk(struct parse_call *call, struct line *line, enum command command) {
    cut_into_words(line);
    if (command == COMMAND_BAD)
        command = indented_command(line);
    if (command == COMMAND_BAD)
        return refuse_unknown(call, line);
    bool noreply = command_row(command)->takes_noreply && ends_with_noreply(line);
    request_begin(call->request, command);
    call->request->noreply = noreply;
    call->request->argument = argument_of(line, noreply);
    return done_at(call, line->next);
}

/* ---- Dispatch ---- */

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
        return refuse(call, line->next, BAD_FORMAT);
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

/* The upper storey: any line. */
static enum parse_status parse_any(struct parse_call *call) {
    size_t size = (size_t)(call->end - call->bytes);
    const char *newline = memchr(call->bytes, '\n', size);
    size_t length = newline ? (size_t)(newline - call->bytes) : size; /* without the '\n' */
    if (length > PARSER_LINE_MAX && (call->parser->short_lines || !may_be_long(call->bytes)))
        return parser_close(call->parser, call->request, CLOSE_ENDLESS_LINE);
    if (length > PARSER_GET_LINE_MAX || (length > PARSER_LINE_MAX && !newline && call->parser->starved))
        return start_open_run(call);
    if (!newline)
        return need_more(call, size + 1);
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
        return parser->run.is_open ? next_open_key(call) : next_key(call);
    if (call->end == call->bytes)
        return need_more(call, 1);
    if (call->end - call->bytes > 4) {
        const char *next;
        size_t length;
        if (memcmp(call->bytes, "set ", 4) == 0 && quick_set(call, &next, &length))
            return take_data(call, next, length);
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
