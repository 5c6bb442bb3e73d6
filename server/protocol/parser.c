/* SPDX-License-Identifier: MIT */
/*
 * The parser has two storeys. On the lower one, two functions take the lines that nearly all traffic consists
 * of, `get <key>` with one key and `set <key> <flags> <exptime> <bytes> [noreply]` with small plain numbers,
 * in one scan from left to right. Whatever they do not recognise at once (several blanks, signs, long
 * numbers, no end of line yet) they leave alone: the upper storey finds the end of the line, cuts it into
 * words and goes through the commands one by one. Both give the same requests for the same bytes; the lower
 * one is only faster.
 *
 * Invariants
 *   - Nothing behind bytes + size is looked at, and nothing is remembered but swallow, run and started: so it
 * does not matter in which pieces a request arrives.
 *   - A line is judged whole before anything of it is handed out. A get with one bad key among a hundred good
 * ones yields an error and no key.
 *   - Numbers are read as memcached reads them, in two ways: the words of most commands are digits and
 * nothing else (read_unsigned, read_int32); flags and exptime of the storage commands go through the rules of
 * strtoul (a sign, an end at any white space, truncation to 32 bits).
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
static const char TOO_LARGE[] = "SERVER_ERROR object too large for cache";

/* A line of which the end is known, cut into words at blanks. */
struct line {
    const char *start;
    const char *end;  /* of what it says: before "\r\n" or "\n" */
    const char *next; /* first byte behind it */
    unsigned count;   /* of words */
    struct slice words[WORDS_MAX];
};

/* What a call of parse() carries about. */
struct turn {
    struct parser *parser;
    const char *bytes, *end;
    char *key_buffer;
    struct request *request;
    size_t *consumed, *wanted;
};

void parser_init(struct parser *parser, size_t item_max) {
    *parser = (struct parser){.item_max = item_max};
}

/* ---- Results ---- */

static enum parse_status need_more(struct turn *turn, size_t wanted) {
    *turn->wanted = wanted;
    return PARSE_MORE;
}

static enum parse_status close_for(struct turn *turn, enum parse_close_reason reason) {
    turn->parser->close_reason = reason;
    turn->request->command = COMMAND_BAD;
    turn->request->error = NULL;
    return PARSE_CLOSE;
}

/* The request ends at `next`. */
static enum parse_status done_at(struct turn *turn, const char *next) {
    assert(next > turn->bytes && next <= turn->end);
    *turn->consumed = (size_t)(next - turn->bytes);
    return PARSE_OK;
}

static enum parse_status refuse(struct turn *turn, const char *next, const char *error) {
    turn->request->command = COMMAND_BAD;
    turn->request->error = error;
    return done_at(turn, next);
}

/* The request's data block, of which the line promised length bytes and CRLF, is not wanted. */
static enum parse_status skip_data(struct turn *turn, const char *next, size_t length) {
    size_t there = (size_t)(turn->end - next), skip = length + 2;
    turn->parser->swallow = skip > there ? skip - there : 0;
    return done_at(turn, skip > there ? turn->end : next + skip);
}

static enum parse_status refuse_data(struct turn *turn, const char *next, size_t length, const char *error) {
    turn->request->command = COMMAND_BAD;
    turn->request->error = error;
    return skip_data(turn, next, length);
}

/* ---- Scanning ---- */

/* The first blank or '\n' in [at, end), or end. */
static inline const char *find_word_end(const char *at, const char *end) {
#ifdef __SSE2__
    const __m128i blank = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    for (; end - at >= 16; at += 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(chunk, blank), _mm_cmpeq_epi8(chunk, newline));
        unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask)
            return at + __builtin_ctz(mask);
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

static bool is_word(struct slice word, const char *text) {
    return slice_equal(word, slice_string(text));
}

static bool ends_with_noreply(const struct line *line) {
    return line->count > 0 && is_word(line->words[line->count - 1], "noreply");
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

/* A storage command whose line is read whole and ends at next: waits for its data block and takes it. */
static inline enum parse_status take_data(struct turn *turn, const char *next, size_t length) {
    struct request *request = turn->request;
    request->too_large = false;
    if (__builtin_expect(
            request_item_size(request->key.size, request->flags, length) > turn->parser->item_max, 0)) {
        if (request->command != COMMAND_SET && request->command != COMMAND_META_SET)
            return refuse_data(turn, next, length, TOO_LARGE);
        request->too_large = true;
        return skip_data(turn, next, length);
    }
    if ((size_t)(turn->end - next) < length + 2)
        return need_more(turn, (size_t)(next - turn->bytes) + length + 2);
    if (next[length] != '\r' || next[length + 1] != '\n')
        return refuse(turn, next + length + 2, BAD_CHUNK);
    request->value = slice_of(next, length);
    return done_at(turn, next + length + 2);
}

/* ---- The quick storey ---- */

static inline void set_plain(struct request *request, enum command command) {
    request->command = command;
    request->noreply = false;
    request->ret_cas = false;
    request->ends_run = false;
    request->has_exptime = false;
    request->mode = 0;
    request->too_large = false;
    request->value = slice_of(NULL, 0);
    request->meta = 0;
}

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
    set_plain(request, COMMAND_GET);
    request->ends_run = true;
    request->key = slice_of(key, size);
    *ret_consumed = (size_t)(stop + 1 - bytes);
    return true;
}

/* A number of at most QUICK_DIGITS digits; *at moves behind it. */
static inline bool quick_number(const char **at, const char *end, uint32_t *ret_number) {
    const char *start = *at, *p = start;
    uint32_t number = 0;
    for (; p < end && is_digit(*p) && p - start < QUICK_DIGITS; p++)
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
static inline bool quick_set(struct turn *turn, const char **ret_next, size_t *ret_length) {
    const char *key = turn->bytes + 4, *end = turn->end;
    const char *at = find_word_end(key, end);
    size_t size = (size_t)(at - key);
    uint32_t flags, exptime, length;
    bool noreply;
    if (size - 1 >= ENTRY_KEY_MAX || !quick_blank(&at, end) || !quick_number(&at, end, &flags) ||
        !quick_blank(&at, end) || !quick_number(&at, end, &exptime) || !quick_blank(&at, end) ||
        !quick_number(&at, end, &length) || !quick_end(&at, end, &noreply))
        return false;
    struct request *request = turn->request;
    set_plain(request, COMMAND_SET);
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

/* The next key of the line that is being handed out. */
static enum parse_status next_key(struct turn *turn) {
    struct parser *parser = turn->parser;
    struct request *request = turn->request;
    const char *next = turn->bytes + parser->run.left;
    assert(next <= turn->end && next[-1] == '\n');
    const char *end = trim_line_end(turn->bytes, next - 1);
    const char *key = skip_blanks(turn->bytes, end), *stop = find_blank(key, end);
    assert(stop > key);

    set_plain(request, parser->run.command);
    request->ret_cas = parser->run.ret_cas;
    request->has_exptime = parser->run.command == COMMAND_GAT;
    request->exptime = parser->run.exptime;
    request->key = slice_of(key, (size_t)(stop - key));
    request->ends_run = skip_blanks(stop, end) == end;
    parser->in_run = !request->ends_run;
    if (request->ends_run)
        return done_at(turn, next);
    parser->run.left -= (size_t)(stop - turn->bytes);
    return done_at(turn, stop);
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
static enum parse_status start_run(struct turn *turn, const struct line *line, const char *keys,
                                   enum command command, bool ret_cas, int64_t exptime) {
    if (!are_keys_good(keys, line->end))
        return refuse(turn, line->next, BAD_FORMAT);
    turn->parser->run = (struct parser_run){command, ret_cas, exptime, (size_t)(line->next - keys)};
    struct turn rest = *turn;
    rest.bytes = keys;
    enum parse_status status = next_key(&rest);
    *turn->consumed += (size_t)(keys - turn->bytes);
    return status;
}

static enum parse_status parse_get(struct turn *turn, const struct line *line, bool ret_cas) {
    return start_run(turn, line, line->start + line->words[0].size, COMMAND_GET, ret_cas, 0);
}

static enum parse_status parse_gat(struct turn *turn, struct line *line, bool ret_cas) {
    cut_into_words(line);
    if (line->count < 3)
        return refuse(turn, line->next, BAD_FORMAT);
    int64_t exptime;
    if (!number_read_int32(line->words[1], &exptime))
        return refuse(turn, line->next, BAD_EXPTIME);
    return start_run(turn, line, line->words[2].data, COMMAND_GAT, ret_cas, exptime);
}

/* ---- Classic commands on one key ---- */

/* set, add, replace, append, prepend, cas */
static enum parse_status parse_storage(struct turn *turn, struct line *line, enum command command) {
    struct request *request = turn->request;
    int64_t length;
    cut_into_words(line);
    if (line->count < 5 || !number_read_int32(line->words[4], &length) || length < 0 || length > VALUE_MAX)
        return refuse(turn, line->next, BAD_FORMAT);
    set_plain(request, command);
    request->noreply = ends_with_noreply(line);
    request->has_exptime = true;
    request->key = line->words[1];
    if (request->key.size > ENTRY_KEY_MAX || !read_client_flags(line->words[2], &request->flags) ||
        !read_storage_exptime(line->words[3], &request->exptime) ||
        (command == COMMAND_CAS && (line->count < 6 || !number_read_u64(line->words[5], &request->cas))))
        return refuse_data(turn, line->next, (size_t)length, BAD_FORMAT);
    return take_data(turn, line->next, (size_t)length);
}

/* delete, incr, decr, touch: words is how many the line must have */
static enum parse_status parse_simple(struct turn *turn, struct line *line, enum command command,
                                      unsigned words) {
    struct request *request = turn->request;
    cut_into_words(line);
    if (line->count < words)
        return refuse(turn, line->next, BAD_FORMAT);
    set_plain(request, command);
    request->noreply = ends_with_noreply(line);
    request->key = line->words[1];
    if (request->key.size > ENTRY_KEY_MAX)
        return refuse(turn, line->next, BAD_FORMAT);
    if (command == COMMAND_TOUCH) {
        request->has_exptime = true;
        if (!number_read_int32(line->words[2], &request->exptime))
            return refuse(turn, line->next, BAD_EXPTIME);
    }
    if ((command == COMMAND_INCR || command == COMMAND_DECR) &&
        !number_read_u64(line->words[2], &request->delta))
        return refuse(turn, line->next, BAD_DELTA);
    return done_at(turn, line->next);
}

/* ---- Meta commands ---- */

static const char *decode_key(struct request *request, char *key_buffer) {
    size_t size = base64_decode(request->raw_key, key_buffer);
    request->key = slice_of(key_buffer, size);
    return size > 0 ? NULL : "CLIENT_ERROR error decoding key";
}

/* The number behind the letter of a flag; a flag without one is an error. */
static bool read_flag_ttl(struct slice word, int64_t *ret_ttl) {
    return word.size > 1 && number_read_int32(slice_of(word.data + 1, word.size - 1), ret_ttl);
}

static bool read_flag_number(struct slice word, uint64_t *ret_number) {
    return word.size > 1 && number_read_u64(slice_of(word.data + 1, word.size - 1), ret_number);
}

static bool read_flag_client_flags(struct slice word, uint32_t *ret_flags) {
    return word.size > 1 && number_read_u32(slice_of(word.data + 1, word.size - 1), ret_flags);
}

/* Takes one flag into the request. Returns an error line, or NULL; *ret_fatal: nothing behind it is looked
 * at. */
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
        return word.size <= OPAQUE_MAX ? NULL : "CLIENT_ERROR opaque token too long";
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
    set_plain(request, command);
    request->flags = 0;
    request->exptime = 0;
    request->cas = 0;
    request->delta = 1;
    request->new_cas = 0;
    request->initial = 0;
    request->vivify_ttl = 0;
    request->recache_ttl = 0;
    request->key = request->raw_key = line->words[1];
    request->meta_flags =
        first < line->count ? slice_of(line->words[first].data, (size_t)(line->end - line->words[first].data))
                            : slice_of(line->end, 0);
}

/* Reads the flags from word first on. Returns an error line, or NULL. Of several errors the last one counts,
 * but for those that end the reading. */
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
static enum parse_status parse_meta(struct turn *turn, struct line *line, enum command command) {
    cut_into_words(line);
    if (line->count < 2 || !are_flags_letters(line, 2))
        return refuse(turn, line->next, BAD_FORMAT);
    set_meta(turn->request, command, line, 2);
    const char *error = read_flags(turn->request, line, 2, turn->key_buffer);
    return error ? refuse(turn, line->next, error) : done_at(turn, line->next);
}

static bool is_opaque_error(const char *error) {
    return strstr(error, "opaque") != NULL;
}

static enum parse_status parse_meta_arithmetic(struct turn *turn, struct line *line) {
    struct request *request = turn->request;
    cut_into_words(line);
    if (line->count < 2 || !are_flags_letters(line, 2))
        return refuse(turn, line->next, BAD_FORMAT);
    set_meta(request, COMMAND_META_ARITHMETIC, line, 2);
    const char *error = read_flags(request, line, 2, turn->key_buffer);
    if (error)
        return refuse(turn, line->next,
                      is_opaque_error(error) ? error : "CLIENT_ERROR invalid or duplicate flag");
    if (request->mode == 0 || request->mode == '+')
        request->mode = 'I';
    if (request->mode == '-')
        request->mode = 'D';
    if (request->mode != 'I' && request->mode != 'D')
        return refuse(turn, line->next, "CLIENT_ERROR invalid mode for ma M token");
    return done_at(turn, line->next);
}

static enum parse_status parse_meta_set(struct turn *turn, struct line *line) {
    struct request *request = turn->request;
    int64_t length;
    cut_into_words(line);
    if (line->count < 3 || !are_flags_letters(line, 3) || !number_read_int32(line->words[2], &length) ||
        length < 0 || length > VALUE_MAX)
        return refuse(turn, line->next, BAD_FORMAT);
    set_meta(request, COMMAND_META_SET, line, 3);
    const char *error = read_flags(request, line, 3, turn->key_buffer);
    if (!error && request->mode && !strchr("EAPRS", request->mode))
        error = "CLIENT_ERROR invalid mode for ms M token";
    if (error)
        return refuse_data(turn, line->next, (size_t)length, error);
    return take_data(turn, line->next, (size_t)length);
}

/* me: of its flags only b means something, and the rest may be anything. */
static enum parse_status parse_meta_debug(struct turn *turn, struct line *line) {
    struct request *request = turn->request;
    cut_into_words(line);
    if (line->count < 2 || line->words[1].size > ENTRY_KEY_MAX || !are_flags_letters(line, 2))
        return refuse(turn, line->next, BAD_FORMAT);
    set_meta(request, COMMAND_META_DEBUG, line, 2);
    for (unsigned i = 2; i < line->count; i++) {
        if (!is_word(line->words[i], "b"))
            continue;
        request->meta = meta_bit('b');
        if (decode_key(request, turn->key_buffer))
            return refuse(turn, line->next, BAD_FORMAT);
    }
    return done_at(turn, line->next);
}

/* ---- Commands without a key ---- */

/* The words from `first` on, without a closing "noreply" when that was understood as such. */
static struct slice argument_of(const struct line *line, unsigned first, bool noreply) {
    unsigned count = line->count - noreply;
    if (first >= count)
        return slice_of(line->end, 0);
    const char *start = line->words[first].data;
    bool is_whole = line->count == WORDS_MAX && !noreply; /* there may be more words than were cut */
    const char *end = is_whole ? line->end : line->words[count - 1].data + line->words[count - 1].size;
    return slice_of(start, (size_t)(end - start));
}

static enum parse_status parse_plain(struct turn *turn, struct line *line, enum command command,
                                     bool noreply) {
    set_plain(turn->request, command);
    turn->request->noreply = noreply;
    turn->request->argument = argument_of(line, command == COMMAND_OTHER ? 0 : 1, noreply);
    return done_at(turn, line->next);
}

/* Words that may have blanks before them and "noreply" at their end, as memcached's late table of commands.
 */
static enum command find_late_command(struct slice word) {
    static const struct {
        const char *word;
        enum command command;
    } table[] = {
        {"flush_all", COMMAND_FLUSH_ALL},
        {"verbosity", COMMAND_VERBOSITY},
        {"cache_memlimit", COMMAND_CACHE_MEMLIMIT},
        {"shutdown", COMMAND_SHUTDOWN},
        {"slabs", COMMAND_OTHER},
        {"lru", COMMAND_OTHER},
        {"lru_crawler", COMMAND_OTHER},
        {"extstore", COMMAND_OTHER},
        {"sync", COMMAND_SYNC},
        {"quarantine", COMMAND_QUARANTINE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is_word(word, table[i].word))
            return table[i].command;
    return COMMAND_BAD;
}

/* No command that has its own function: the late ones, HTTP, or nothing known. */
static enum parse_status parse_rest(struct turn *turn, struct line *line) {
    cut_into_words(line);
    enum command command = line->count > 0 ? find_late_command(line->words[0]) : COMMAND_BAD;
    bool noreply = ends_with_noreply(line);
    if (command == COMMAND_SHUTDOWN)
        return parse_plain(turn, line, command, false); /* "shutdown noreply" is a mode that does not exist */
    if (command != COMMAND_BAD)
        return parse_plain(turn, line, command, noreply);
    if (line->count > 1 && slice_starts_with(line->words[line->count - 1], SLICE("HTTP/")))
        return close_for(turn, CLOSE_HTTP);
    set_plain(turn->request, COMMAND_BAD);
    turn->request->noreply = noreply;
    return refuse(turn, line->next, "ERROR");
}

/* stats, version, quit, watch: the word begins the line, and "noreply" is an argument like others. */
static enum parse_status parse_talk(struct turn *turn, struct line *line, enum command command) {
    cut_into_words(line);
    return parse_plain(turn, line, command, false);
}

/* ---- Dispatch ---- */

static enum parse_status parse_meta_line(struct turn *turn, struct line *line) {
    switch (line->start[1]) {
    case 'g':
        return parse_meta(turn, line, COMMAND_META_GET);
    case 's':
        return parse_meta_set(turn, line);
    case 'd':
        return parse_meta(turn, line, COMMAND_META_DELETE);
    case 'a':
        return parse_meta_arithmetic(turn, line);
    case 'e':
        return parse_meta_debug(turn, line);
    case 'n':
        set_plain(turn->request, COMMAND_META_NOOP);
        return done_at(turn, line->next);
    default:
        return parse_rest(turn, line);
    }
}

static enum parse_status parse_three(struct turn *turn, struct line *line) {
    if (is_word(line->words[0], "get"))
        return parse_get(turn, line, false);
    if (is_word(line->words[0], "set"))
        return parse_storage(turn, line, COMMAND_SET);
    if (is_word(line->words[0], "add"))
        return parse_storage(turn, line, COMMAND_ADD);
    if (is_word(line->words[0], "cas"))
        return parse_storage(turn, line, COMMAND_CAS);
    if (is_word(line->words[0], "gat"))
        return parse_gat(turn, line, false);
    return parse_rest(turn, line);
}

static enum parse_status parse_four(struct turn *turn, struct line *line) {
    if (is_word(line->words[0], "gets"))
        return parse_get(turn, line, true);
    if (is_word(line->words[0], "incr"))
        return parse_simple(turn, line, COMMAND_INCR, 3);
    if (is_word(line->words[0], "decr"))
        return parse_simple(turn, line, COMMAND_DECR, 3);
    if (is_word(line->words[0], "gats"))
        return parse_gat(turn, line, true);
    if (is_word(line->words[0], "quit"))
        return parse_talk(turn, line, COMMAND_QUIT);
    return parse_rest(turn, line);
}

static enum parse_status parse_longer(struct turn *turn, struct line *line) {
    struct slice word = line->words[0];
    if (is_word(word, "delete"))
        return parse_simple(turn, line, COMMAND_DELETE, 2);
    if (is_word(word, "touch"))
        return parse_simple(turn, line, COMMAND_TOUCH, 3);
    if (is_word(word, "replace"))
        return parse_storage(turn, line, COMMAND_REPLACE);
    if (is_word(word, "append"))
        return parse_storage(turn, line, COMMAND_APPEND);
    if (is_word(word, "prepend"))
        return parse_storage(turn, line, COMMAND_PREPEND);
    if (is_word(word, "version"))
        return parse_talk(turn, line, COMMAND_VERSION);
    if (is_word(word, "stats"))
        return parse_talk(turn, line, COMMAND_STATS);
    if (is_word(word, "watch"))
        return parse_talk(turn, line, COMMAND_OTHER);
    return parse_rest(turn, line);
}

static enum parse_status parse_line(struct turn *turn, struct line *line) {
    turn->request->noreply = false; /* errors of the line's form are answered in any case */
    if (line->next - line->start < SHORT_LINE)
        return refuse(turn, line->next, BAD_FORMAT);
    line->words[0] = slice_of(line->start, (size_t)(find_blank(line->start, line->end) - line->start));
    switch (line->words[0].size) {
    case 0:
    case 1:
        return parse_rest(turn, line);
    case 2:
        return line->start[0] == 'm' ? parse_meta_line(turn, line) : parse_rest(turn, line);
    case 3:
        return parse_three(turn, line);
    case 4:
        return parse_four(turn, line);
    default:
        return parse_longer(turn, line);
    }
}

static bool may_be_long(const char *bytes) {
    return memcmp(bytes, "get ", 4) == 0 || memcmp(bytes, "gets ", 5) == 0 || memcmp(bytes, "gat ", 4) == 0 ||
           memcmp(bytes, "gats ", 5) == 0;
}

/* The upper storey: any line. */
static enum parse_status parse_any(struct turn *turn) {
    size_t size = (size_t)(turn->end - turn->bytes);
    const char *newline = memchr(turn->bytes, '\n', size);
    size_t length = newline ? (size_t)(newline - turn->bytes) : size; /* without the '\n' */
    if (length > PARSER_LINE_MAX && (length > PARSER_GET_LINE_MAX || !may_be_long(turn->bytes)))
        return close_for(turn, CLOSE_ENDLESS_LINE);
    if (!newline)
        return need_more(turn, size + 1);
    struct line line; /* its words are not worth clearing */
    line.start = turn->bytes;
    line.end = trim_line_end(turn->bytes, newline);
    line.next = newline + 1;
    return parse_line(turn, &line);
}

/* Skips what is there of a refused data block. */
static void swallow(struct turn *turn) {
    size_t there = (size_t)(turn->end - turn->bytes);
    size_t skip = turn->parser->swallow < there ? (size_t)turn->parser->swallow : there;
    turn->parser->swallow -= skip;
    turn->bytes += skip;
}

static enum parse_status parse_request(struct turn *turn) {
    struct parser *parser = turn->parser;
    if (parser->in_run)
        return next_key(turn);
    if (turn->end == turn->bytes)
        return need_more(turn, 1);
    if (!parser->started) {
        parser->started = true;
        if ((unsigned char)turn->bytes[0] == 0x80)
            return close_for(turn, CLOSE_BINARY);
    }
    if (turn->end - turn->bytes > 4) {
        const char *next;
        size_t length;
        if (memcmp(turn->bytes, "set ", 4) == 0 && quick_set(turn, &next, &length))
            return take_data(turn, next, length);
    }
    return parse_any(turn);
}

enum parse_status parse(struct parser *parser, const char *bytes, size_t size,
                        char key_buffer[ENTRY_KEY_MAX + 2], struct request *ret_request, size_t *ret_consumed,
                        size_t *ret_wanted) {
    if (parser->swallow == 0 && !parser->in_run &&
        quick_get(bytes, bytes + size, ret_request, ret_consumed)) {
        parser->started = true;
        return PARSE_OK;
    }
    struct turn turn = {parser, bytes, bytes + size, key_buffer, ret_request, ret_consumed, ret_wanted};
    *ret_consumed = 0;
    if (__builtin_expect(parser->swallow == 0, 1))
        return parse_request(&turn);
    swallow(&turn);
    enum parse_status status = parse_request(&turn);
    *ret_consumed += (size_t)(turn.bytes - bytes);
    return status;
}
