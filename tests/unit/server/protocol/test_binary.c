/* SPDX-License-Identifier: MIT */
/* The parser of the binary protocol: what each packet becomes, what those that do not add up are answered, and how
 * pieces are waited for. */
#include "server/protocol/binary.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

enum { ITEM_MAX = 1 << 20, PACKET_ROOM = 8 << 10 };

#define K50         "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define KEY_250     K50 K50 K50 K50 K50
#define OPAQUE      "\x01\x02\x03\x04"
#define BYTES(text) slice_of(text, sizeof(text) - 1)

/* Numbers as they are sent. */
#define FLAGS_7   "\0\0\0\x07"
#define TTL_100   "\0\0\0\x64"
#define TTL_NEVER "\xff\xff\xff\xff"
#define STORE     FLAGS_7 TTL_100
#define COUNT                                                                                                \
    "\0\0\0\0\0\0\x01\x02" /* delta */                                                                       \
    "\x80\0\0\0\0\0\0\x05" /* initial value */ TTL_100

/* A packet, by its parts. A size of 0 is that of the part. */
struct parts {
    uint8_t opcode;
    struct slice extras, key, value;
    uint64_t cas;
    uint64_t extras_size, key_size, body_size;
};

#define PARTS(...) (&(struct parts){.opcode = __VA_ARGS__})

struct parsed {
    struct parser parser;
    enum parse_status status;
    struct request request;
    struct binary_head head;
    size_t consumed, wanted;
    char key_buffer[ENTRY_KEY_MAX + 2];
};

static char *put(char *at, uint64_t number, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0; number >>= 8)
        at[i] = (char)(number & 0xff);
    return at + bytes;
}

static char *put_slice(char *at, struct slice slice) {
    if (slice.size > 0)
        memcpy(at, slice.data, slice.size);
    return at + slice.size;
}

static size_t make(char *out, const struct parts *parts) {
    size_t body = parts->extras.size + parts->key.size + parts->value.size;
    char *at = put(put(out, BINARY_REQUEST, 1), parts->opcode, 1);
    at = put(at, parts->key_size ? parts->key_size : parts->key.size, 2);
    at = put(at, parts->extras_size ? parts->extras_size : parts->extras.size, 1);
    at = put(put(at, 9, 1), 0x0807, 2); /* data type and bucket: not looked at */
    at = put(at, parts->body_size ? parts->body_size : body, 4);
    at = put(put_slice(at, BYTES(OPAQUE)), parts->cas, 8);
    return (size_t)(put_slice(put_slice(put_slice(at, parts->extras), parts->key), parts->value) - out);
}

static struct parser new_parser(void) {
    struct parser parser;
    parser_init(&parser, ITEM_MAX);
    return parser;
}

/* Parses the front of a copy that is exactly as long as the bytes, so that the sanitizer sees every step beyond. The
 * copy lives until the next call. */
static struct parsed *parse_with(struct parser parser, const char *bytes, size_t size) {
    static char *copy;
    static struct parsed parsed;
    free(copy);
    copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    memset(&parsed, 0xA5, sizeof parsed); /* fields that a command uses are written by the parser */
    parsed.head.closes = true;            /* as a packet before may have left it */
    parsed.parser = parser;
    parsed.wanted = 0;
    parsed.status = binary_parse(&parsed.parser, copy, size, parsed.key_buffer, &parsed.request, &parsed.head,
                                 &parsed.consumed, &parsed.wanted);
    return &parsed;
}

static struct parsed *parse_parts(const struct parts *parts) {
    static char packet[PACKET_ROOM];
    return parse_with(new_parser(), packet, make(packet, parts));
}

static size_t size_of(const struct parts *parts) {
    return BINARY_HEADER + parts->extras.size + parts->key.size + parts->value.size;
}

static void assert_head(const struct parsed *parsed, uint8_t opcode) {
    assert_int_equal(parsed->head.opcode, opcode);
    assert_memory_equal(&parsed->head.opaque, OPAQUE, 4);
}

/* The whole packet is one request of this command. */
static struct parsed *taken(const struct parts *parts, enum command command) {
    struct parsed *parsed = parse_parts(parts);
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->consumed, size_of(parts));
    assert_int_equal(parsed->request.command, command);
    assert_int_equal(parsed->parser.swallow, 0);
    assert_false(parsed->request.noreply || parsed->request.too_large || parsed->head.closes);
    assert_head(parsed, parts->opcode);
    return parsed;
}

static void assert_slice(struct slice slice, const char *text) {
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.data, text, slice.size);
}

/* ---- Opcodes ---- */

TEST(reads_have_a_key) {
    static const struct {
        uint8_t opcode;
        bool quiet, ret_key;
    } rows[] = {{0x00, false, false}, {0x09, true, false}, {0x0c, false, true}, {0x0d, true, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed *parsed = taken(PARTS(rows[i].opcode, .key = SLICE("foo"), .cas = 9), COMMAND_GET);
        assert_slice(parsed->request.key, "foo");
        assert_true(parsed->request.ends_run);
        assert_int_equal(parsed->request.meta, 0);
        assert_int_equal(parsed->request.value.size, 0);
        assert_int_equal(parsed->head.quiet, rows[i].quiet);
        assert_int_equal(parsed->head.ret_key, rows[i].ret_key);
    }
    assert_slice(taken(PARTS(0x00, .key = SLICE(KEY_250)), COMMAND_GET)->request.key, KEY_250);
    assert_slice(taken(PARTS(0x04, .key = SLICE(KEY_250)), COMMAND_DELETE)->request.key, KEY_250);
    struct parsed *parsed = taken(PARTS(0x00, .key = BYTES("a \0\r\nb")), COMMAND_GET);
    assert_int_equal(parsed->request.key.size, 6);
}

TEST(reads_that_touch_have_an_expiry_too) {
    static const struct {
        uint8_t opcode;
        enum command command;
        bool quiet, ret_key;
    } rows[] = {{0x1c, COMMAND_TOUCH, false, false},
                {0x1d, COMMAND_GAT, false, false},
                {0x1e, COMMAND_GAT, true, false},
                {0x23, COMMAND_GAT, false, true},
                {0x24, COMMAND_GAT, true, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct parts *parts = PARTS(rows[i].opcode, .extras = BYTES(TTL_100), .key = SLICE("foo"));
        struct parsed *parsed = taken(parts, rows[i].command);
        assert_slice(parsed->request.key, "foo");
        assert_true(parsed->request.has_exptime);
        assert_int_equal(parsed->request.exptime, 100);
        assert_true(parsed->request.ends_run);
        assert_int_equal(parsed->head.quiet, rows[i].quiet);
        assert_int_equal(parsed->head.ret_key, rows[i].ret_key);
    }
}

TEST(an_expiry_is_never_negative) {
    struct parsed *parsed =
        taken(PARTS(0x1c, .extras = BYTES(TTL_NEVER), .key = SLICE("foo")), COMMAND_TOUCH);
    assert_int_equal(parsed->request.exptime, 0xffffffff);
    parsed = taken(PARTS(0x01, .extras = BYTES(FLAGS_7 TTL_NEVER), .key = SLICE("foo")), COMMAND_SET);
    assert_int_equal(parsed->request.exptime, 0xffffffff);
}

TEST(stores_have_flags_an_expiry_a_key_and_a_value) {
    static const struct {
        uint8_t opcode;
        enum command command;
        bool quiet;
    } rows[] = {{0x01, COMMAND_SET, false}, {0x02, COMMAND_ADD, false}, {0x03, COMMAND_REPLACE, false},
                {0x11, COMMAND_SET, true},  {0x12, COMMAND_ADD, true},  {0x13, COMMAND_REPLACE, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parts *parts =
            PARTS(rows[i].opcode, .extras = BYTES(STORE), .key = SLICE("foo"), .value = SLICE("value"));
        for (parts->cas = 0; parts->cas < 0x900000000ull; parts->cas += 0x800000001ull) {
            struct parsed *parsed = taken(parts, parts->cas ? COMMAND_CAS : rows[i].command);
            assert_slice(parsed->request.key, "foo");
            assert_slice(parsed->request.value, "value");
            assert_int_equal(parsed->request.flags, 7);
            assert_true(parsed->request.has_exptime);
            assert_int_equal(parsed->request.exptime, 100);
            assert_int_equal(parsed->request.cas, parts->cas);
            assert_int_equal(parsed->head.quiet, rows[i].quiet);
        }
    }
    assert_int_equal(
        taken(PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo")), COMMAND_SET)->request.value.size, 0);
}

TEST(joins_have_a_key_and_a_value) {
    static const struct {
        uint8_t opcode;
        enum command command;
        bool quiet;
    } rows[] = {{0x0e, COMMAND_APPEND, false},
                {0x0f, COMMAND_PREPEND, false},
                {0x19, COMMAND_APPEND, true},
                {0x1a, COMMAND_PREPEND, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parts *parts = PARTS(rows[i].opcode, .key = SLICE("foo"), .value = SLICE("value"));
        struct parsed *parsed = taken(parts, rows[i].command);
        assert_slice(parsed->request.key, "foo");
        assert_slice(parsed->request.value, "value");
        assert_int_equal(parsed->request.flags, 0);
        assert_true(parsed->request.has_exptime);
        assert_int_equal(parsed->request.exptime, 0);
        assert_int_equal(parsed->head.quiet, rows[i].quiet);
        parts->cas = 5;
        parsed = taken(parts, COMMAND_META_SET);
        assert_int_equal(parsed->request.meta, meta_bit('C') | meta_bit('M'));
        assert_int_equal(parsed->request.mode, rows[i].command == COMMAND_APPEND ? 'A' : 'P');
        assert_int_equal(parsed->request.cas, 5);
        assert_slice(parsed->request.key, "foo");
        assert_slice(parsed->request.value, "value");
        assert_int_equal(parsed->request.new_cas, 0);
    }
}

TEST(deletes_have_a_key) {
    for (int quiet = 0; quiet < 2; quiet++) {
        struct parts *parts = PARTS(quiet ? 0x14 : 0x04, .key = SLICE("foo"));
        struct parsed *parsed = taken(parts, COMMAND_DELETE);
        assert_slice(parsed->request.key, "foo");
        assert_int_equal(parsed->head.quiet, quiet);
        parts->cas = 5;
        parsed = taken(parts, COMMAND_META_DELETE);
        assert_int_equal(parsed->request.meta, meta_bit('C'));
        assert_int_equal(parsed->request.cas, 5);
        assert_slice(parsed->request.key, "foo");
    }
}

TEST(counts_have_a_delta_an_initial_value_and_its_expiry) {
    static const struct {
        uint8_t opcode;
        char mode;
        bool quiet;
    } rows[] = {{0x05, 'I', false}, {0x06, 'D', false}, {0x15, 'I', true}, {0x16, 'D', true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parts *parts = PARTS(rows[i].opcode, .extras = BYTES(COUNT), .key = SLICE("foo"));
        struct parsed *parsed = taken(parts, COMMAND_META_ARITHMETIC);
        assert_slice(parsed->request.key, "foo");
        assert_int_equal(parsed->request.mode, rows[i].mode);
        assert_int_equal(parsed->request.delta, 0x102);
        assert_int_equal(parsed->request.initial, 0x8000000000000005ull);
        assert_int_equal(parsed->request.vivify_ttl, 100);
        assert_int_equal(parsed->request.meta, meta_bit('M') | meta_bit('N'));
        assert_int_equal(parsed->head.quiet, rows[i].quiet);
        parts->cas = 5;
        parsed = taken(parts, COMMAND_META_ARITHMETIC);
        assert_int_equal(parsed->request.meta, meta_bit('M') | meta_bit('N') | meta_bit('C'));
        assert_int_equal(parsed->request.cas, 5);
    }
}

TEST(an_expiry_of_all_ones_makes_no_number) {
    static const char extras[] = "\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x05" TTL_NEVER;
    struct parts *parts = PARTS(0x05, .extras = BYTES(extras), .key = SLICE("foo"));
    assert_int_equal(taken(parts, COMMAND_META_ARITHMETIC)->request.meta, meta_bit('M'));
    parts->cas = 5;
    assert_int_equal(taken(parts, COMMAND_META_ARITHMETIC)->request.meta, meta_bit('M') | meta_bit('C'));
}

TEST(packets_without_a_key) {
    static const struct {
        uint8_t opcode;
        enum command command;
        bool quiet;
    } rows[] = {{0x07, COMMAND_QUIT, false},      {0x17, COMMAND_QUIT, true},
                {0x08, COMMAND_FLUSH_ALL, false}, {0x18, COMMAND_FLUSH_ALL, true},
                {0x0a, COMMAND_META_NOOP, false}, {0x0b, COMMAND_VERSION, false},
                {0x10, COMMAND_STATS, false},     {0x20, COMMAND_SASL, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct parsed *parsed = taken(PARTS(rows[i].opcode), rows[i].command);
        assert_int_equal(parsed->request.argument.size, 0);
        assert_int_equal(parsed->head.quiet, rows[i].quiet);
    }
}

TEST(numbers_become_the_words_of_the_text_protocol) {
    assert_slice(taken(PARTS(0x08, .extras = BYTES(TTL_100)), COMMAND_FLUSH_ALL)->request.argument, "100");
    assert_slice(taken(PARTS(0x18, .extras = BYTES(TTL_NEVER)), COMMAND_FLUSH_ALL)->request.argument,
                 "4294967295");
    assert_slice(taken(PARTS(0x1b, .extras = BYTES("\0\0\0\0")), COMMAND_VERBOSITY)->request.argument, "0");
}

TEST(statistics_are_asked_for_by_a_key) {
    assert_slice(taken(PARTS(0x10, .key = SLICE("detail on")), COMMAND_STATS)->request.argument, "detail on");
}

TEST(sasl_has_a_mechanism_and_what_is_said_to_it) {
    for (int step = BINARY_SASL_AUTH; step <= BINARY_SASL_STEP; step++) {
        uint8_t opcode = (uint8_t)step;
        struct parsed *parsed =
            taken(PARTS(opcode, .key = SLICE("PLAIN"), .value = BYTES("\0user\0word")), COMMAND_SASL);
        assert_slice(parsed->request.key, "PLAIN");
        assert_int_equal(parsed->request.value.size, 10);
        assert_int_equal(taken(PARTS(opcode, .key = SLICE("PLAIN")), COMMAND_SASL)->request.value.size, 0);
    }
}

/* ---- What does not add up ---- */

/* Answered with the status, and nothing behind it is looked at. */
static void assert_closes(const struct parts *parts, enum binary_status status) {
    struct parsed *parsed = parse_parts(parts);
    if (parsed->status != PARSE_OK || parsed->request.command != COMMAND_BAD || !parsed->head.closes)
        fail_msg("opcode %02x is not refused", parts->opcode);
    assert_int_equal(parsed->head.status, status);
    assert_null(parsed->request.error);
    assert_int_equal(parsed->consumed, size_of(parts));
    assert_int_equal(parsed->parser.swallow, 0);
    assert_head(parsed, parts->opcode);
}

static bool is_known(unsigned opcode) {
    return opcode <= 0x1e || (opcode >= 0x20 && opcode <= 0x24);
}

/* What each opcode takes: sizes of extras, whether a key, whether a value. */
static bool fits(unsigned opcode, size_t extras, bool key, bool value) {
    switch (opcode) {
    case 0x01:
    case 0x02:
    case 0x03:
    case 0x11:
    case 0x12:
    case 0x13:
        return extras == 8 && key;
    case 0x05:
    case 0x06:
    case 0x15:
    case 0x16:
        return extras == 20 && key && !value;
    case 0x1c:
    case 0x1d:
    case 0x1e:
    case 0x23:
    case 0x24:
        return extras == 4 && key && !value;
    case 0x0e:
    case 0x0f:
    case 0x19:
    case 0x1a:
    case 0x21:
    case 0x22:
        return extras == 0 && key;
    case 0x00:
    case 0x04:
    case 0x09:
    case 0x0c:
    case 0x0d:
    case 0x14:
        return extras == 0 && key && !value;
    case 0x08:
    case 0x18:
        return (extras == 0 || extras == 4) && !key && !value;
    case 0x1b:
        return extras == 4 && !key && !value;
    case 0x10:
        return extras == 0 && !value;
    default:
        return extras == 0 && !key && !value;
    }
}

TEST(every_opcode_with_every_set_of_parts) {
    static const char extras[32];
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (size_t size = 0; size <= sizeof extras; size++)
            for (unsigned parts = 0; parts < 4; parts++) {
                struct slice key = parts & 1 ? SLICE("foo") : slice_of("", 0);
                struct slice value = parts & 2 ? SLICE("value") : slice_of("", 0);
                const struct parts *packet =
                    PARTS((uint8_t)opcode, .extras = slice_of(extras, size), .key = key, .value = value);
                if (is_known(opcode) && !fits(opcode, size, parts & 1, parts & 2)) {
                    assert_closes(packet, BINARY_INVALID);
                    continue;
                }
                struct parsed *parsed = parse_parts(packet);
                assert_int_equal(parsed->status, PARSE_OK);
                assert_int_equal(parsed->consumed, size_of(packet));
                assert_int_equal(parsed->request.command == COMMAND_BAD, !is_known(opcode));
            }
}

TEST(parts_that_are_larger_than_the_body) {
    assert_closes(PARTS(0x00, .key = SLICE("foo"), .body_size = 2), BINARY_UNKNOWN_COMMAND);
    assert_closes(PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .body_size = 10),
                  BINARY_UNKNOWN_COMMAND);
    assert_closes(PARTS(0x0a, .extras_size = 1), BINARY_UNKNOWN_COMMAND);
    assert_closes(PARTS(0xee, .key_size = 0xffff), BINARY_UNKNOWN_COMMAND);
}

TEST(keys_and_bodies_that_are_too_long) {
    assert_closes(PARTS(0x00, .key = SLICE(KEY_250 "k")), BINARY_INVALID);
    assert_closes(PARTS(0x01, .extras = BYTES(STORE), .key = SLICE(KEY_250 "k"), .value = SLICE("v")),
                  BINARY_INVALID);
    assert_closes(PARTS(0x00, .key_size = 0xffff, .body_size = 0xffff), BINARY_INVALID);
    assert_closes(PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .body_size = (1 << 30) + 1),
                  BINARY_INVALID);
    assert_closes(PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .body_size = 0xffffffff),
                  BINARY_INVALID);
}

TEST(the_longest_body_is_skipped_like_any_that_is_too_large) {
    struct parsed *parsed = parse_parts(
        PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .value = SLICE("v"), .body_size = 1 << 30));
    assert_true(parsed->request.too_large);
    assert_false(parsed->head.closes);
    assert_int_equal(parsed->parser.swallow, (1 << 30) - 12);
}

TEST(an_unknown_opcode_is_answered_and_its_body_skipped) {
    struct parts *parts = PARTS(0x42, .extras = SLICE("xxxx"), .key = SLICE("foo"), .value = SLICE("value"));
    struct parsed *parsed = parse_parts(parts);
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->request.command, COMMAND_BAD);
    assert_int_equal(parsed->head.status, BINARY_UNKNOWN_COMMAND);
    assert_false(parsed->head.closes);
    assert_int_equal(parsed->consumed, size_of(parts));
    parts->body_size = 1 << 20; /* of which 12 bytes are there */
    parsed = parse_parts(parts);
    assert_int_equal(parsed->consumed, size_of(parts));
    assert_int_equal(parsed->parser.swallow, (1 << 20) - 12);
}

TEST(what_is_no_packet_closes_at_its_first_byte) {
    static const char *const beginnings[] = {"get foo\r\n", "\x81", "\x7f", "\r\n"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        struct parsed *parsed = parse_with(new_parser(), beginnings[i], strlen(beginnings[i]));
        assert_int_equal(parsed->status, PARSE_CLOSE);
        assert_int_equal(parsed->parser.close_reason, CLOSE_BAD_MAGIC);
        assert_null(parsed->request.error);
    }
}

/* ---- Sizes ---- */

/* What becomes of the front of a packet with a value of this size, of which nothing is there. */
static struct parsed *parse_large(uint8_t opcode, struct slice extras, uint64_t cas, size_t value_size) {
    struct slice key = SLICE("foo");
    return parse_parts(PARTS(opcode, .extras = extras, .key = key, .cas = cas,
                             .body_size = extras.size + key.size + value_size));
}

static void assert_waits(const struct parsed *parsed, size_t extras, size_t value_size) {
    assert_int_equal(parsed->status, PARSE_MORE);
    assert_int_equal(parsed->consumed, 0);
    assert_int_equal(parsed->wanted, BINARY_HEADER + extras + 3 + value_size);
}

static void assert_skips(const struct parsed *parsed, size_t extras, size_t value_size) {
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->consumed, BINARY_HEADER + extras + 3);
    assert_int_equal(parsed->parser.swallow, value_size);
    assert_false(parsed->head.closes);
}

TEST(a_set_that_is_too_large_comes_without_its_value) {
    size_t largest = ITEM_MAX - request_item_size(3, 0, 0);
    struct slice plain = BYTES("\0\0\0\0" TTL_100), flagged = BYTES(STORE);
    assert_waits(parse_large(0x01, plain, 0, largest), 8, largest);
    assert_waits(parse_large(0x01, flagged, 0, largest - 4), 8, largest - 4);
    for (int is_quiet = 0; is_quiet < 2; is_quiet++)
        for (int has_flags = 0; has_flags < 2; has_flags++) {
            size_t size = has_flags ? largest - 3 : largest + 1;
            struct parsed *parsed = parse_large(is_quiet ? 0x11 : 0x01, has_flags ? flagged : plain, 0, size);
            assert_skips(parsed, 8, size);
            assert_int_equal(parsed->request.command, COMMAND_SET);
            assert_true(parsed->request.too_large);
            assert_slice(parsed->request.key, "foo");
            assert_int_equal(parsed->request.value.size, 0);
            assert_int_equal(parsed->head.quiet, is_quiet);
        }
    assert_int_equal(parse_large(0x01, plain, 5, largest + 1)->request.command, COMMAND_SET);
}

TEST(another_request_that_is_too_large_is_refused) {
    static const uint8_t stores[] = {0x02, 0x03, 0x12, 0x13}, joins[] = {0x0e, 0x0f, 0x19, 0x1a, 0x21, 0x22};
    size_t largest = ITEM_MAX - request_item_size(3, 0, 0);
    for (size_t i = 0; i < sizeof stores; i++) {
        assert_waits(parse_large(stores[i], BYTES(STORE), 0, largest - 4), 8, largest - 4);
        struct parsed *parsed = parse_large(stores[i], BYTES(STORE), 0, largest - 3);
        assert_skips(parsed, 8, largest - 3);
        assert_int_equal(parsed->request.command, COMMAND_BAD);
        assert_int_equal(parsed->head.status, BINARY_TOO_LARGE);
    }
    for (size_t i = 0; i < sizeof joins; i++) {
        assert_waits(parse_large(joins[i], slice_of("", 0), 0, largest), 0, largest);
        struct parsed *parsed = parse_large(joins[i], slice_of("", 0), 0, largest + 1);
        assert_skips(parsed, 0, largest + 1);
        assert_int_equal(parsed->request.command, COMMAND_BAD);
        assert_int_equal(parsed->head.status, BINARY_TOO_LARGE);
    }
}

TEST(whether_it_is_too_large_is_known_when_the_flags_are) {
    static char packet[PACKET_ROOM];
    size_t size =
        make(packet, PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .body_size = 2 << 20));
    for (size_t there = BINARY_HEADER; there < size; there++) {
        struct parsed *parsed = parse_with(new_parser(), packet, there);
        assert_int_equal(parsed->status, PARSE_MORE);
        assert_int_equal(parsed->wanted, size);
    }
}

TEST(where_there_is_no_memory_to_wait_the_body_is_skipped) {
    static char packet[PACKET_ROOM];
    size_t size = make(packet, PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .body_size = 1011));
    struct parser parser = new_parser();
    parser.starved = true;
    struct parsed *parsed = parse_with(parser, packet, size);
    assert_skips(parsed, 8, 1000);
    assert_int_equal(parsed->request.command, COMMAND_BAD);
    assert_int_equal(parsed->head.status, BINARY_NO_MEMORY);
}

TEST(a_value_that_is_there_needs_no_memory_to_wait) {
    static char packet[PACKET_ROOM];
    struct parser parser = new_parser();
    parser.starved = true;
    size_t size = make(packet, PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .value = SLICE("v")));
    assert_int_equal(parse_with(parser, packet, size)->request.command, COMMAND_SET);
}

/* ---- Pieces ---- */

/* One packet of each opcode, some that are refused without being closed, and some that are skipped. */
static size_t make_stream(char *out, size_t *ret_count) {
    const struct parts *packets[] = {
        PARTS(0x00, .key = SLICE("foo")),
        PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .value = SLICE("value")),
        PARTS(0x02, .extras = BYTES(STORE), .key = SLICE("foo"), .cas = 5),
        PARTS(0x03, .extras = BYTES(STORE), .key = SLICE("foo"), .value = SLICE("\x80\x80")),
        PARTS(0x04, .key = SLICE("foo"), .cas = 7),
        PARTS(0x05, .extras = BYTES(COUNT), .key = SLICE("foo")),
        PARTS(0x42, .extras = SLICE("xx"), .key = SLICE("foo"), .value = SLICE("skipped")),
        PARTS(0x08, .extras = BYTES(TTL_100)),
        PARTS(0x0a),
        PARTS(0x0d, .key = SLICE("k")),
        PARTS(0x0e, .key = SLICE("foo"), .value = SLICE("value")),
        PARTS(0x0f, .key = SLICE("foo"), .value = SLICE("value"), .cas = 5),
        PARTS(0x10, .key = SLICE("items")),
        PARTS(0x1b, .extras = BYTES("\0\0\0\1")),
        PARTS(0x1c, .extras = BYTES(TTL_100), .key = SLICE("foo")),
        PARTS(0x21, .key = SLICE("PLAIN"), .value = BYTES("\0user\0word")),
        PARTS(0xff),
        PARTS(0x24, .extras = BYTES(TTL_100), .key = SLICE("foo")),
        PARTS(0x17),
    };
    size_t size = 0;
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++)
        size += make(out + size, packets[i]);
    *ret_count = sizeof packets / sizeof *packets;
    return size;
}

/* What a request is, in words: of a stream in any pieces the same. */
static void describe(char *out, size_t room, const struct parsed *parsed) {
    const struct request *request = &parsed->request;
    bool bad = request->command == COMMAND_BAD, has_key = command_has_key(request->command);
    struct slice text = has_key ? request->key : bad ? slice_of("", 0) : request->argument;
    snprintf(out, room, "%d %d %d %.*s %zu", parsed->head.opcode, (int)request->command,
             bad ? parsed->head.status : 0, (int)text.size, text.data, request->value.size);
}

/* Feeds the stream so that at most `piece` more bytes are there each time; the words of each request. */
static size_t parse_in_pieces(const char *stream, size_t size, size_t piece, char (*words)[80], size_t room) {
    struct parser parser = new_parser();
    size_t at = 0, there = 0, count = 0;
    while (at < size) {
        struct parsed *parsed = parse_with(parser, stream + at, there - at);
        parser = parsed->parser;
        at += parsed->consumed;
        if (parsed->status == PARSE_MORE) {
            assert_true(parsed->wanted > there - at || there == at);
            assert_true(there < size || at == size);
            there = there + piece < size ? there + piece : size;
            continue;
        }
        assert_int_equal(parsed->status, PARSE_OK);
        assert_true(count < room);
        describe(words[count++], sizeof *words, parsed);
    }
    return count;
}

TEST(requests_are_the_same_in_whatever_pieces_they_come) {
    static char stream[PACKET_ROOM], whole[32][80], pieces[32][80];
    size_t count, size = make_stream(stream, &count);
    assert_int_equal(parse_in_pieces(stream, size, size, whole, 32), count);
    for (size_t piece = 1; piece < size; piece++) {
        assert_int_equal(parse_in_pieces(stream, size, piece, pieces, 32), count);
        for (size_t i = 0; i < count; i++)
            assert_string_equal(pieces[i], whole[i]);
    }
}

TEST(a_packet_is_taken_when_its_last_byte_is_there) {
    static char packet[PACKET_ROOM];
    const struct parts *packets[] = {
        PARTS(0x00, .key = SLICE("foo")),
        PARTS(0x01, .extras = BYTES(STORE), .key = SLICE("foo"), .value = SLICE("value")),
        PARTS(0x05, .extras = BYTES(COUNT), .key = SLICE("foo")),
        PARTS(0x0a),
        PARTS(0x21, .key = SLICE("PLAIN"), .value = BYTES("\0user\0word")),
    };
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        size_t size = make(packet, packets[i]);
        for (size_t there = 1; there < size; there++) {
            struct parsed *parsed = parse_with(new_parser(), packet, there);
            assert_int_equal(parsed->status, PARSE_MORE);
            assert_int_equal(parsed->consumed, 0);
            assert_int_equal(parsed->wanted, there < BINARY_HEADER ? BINARY_HEADER : size);
        }
    }
}

TEST(what_is_skipped_is_no_part_of_the_next_request) {
    static char stream[PACKET_ROOM];
    memset(stream, 'x', 100);
    size_t size = 100 + make(stream + 100, PARTS(0x00, .key = SLICE("foo")));
    for (size_t there = 0; there <= size; there++) {
        struct parser parser = new_parser();
        parser.swallow = 100;
        struct parsed *parsed = parse_with(parser, stream, there);
        size_t skipped = there < 100 ? there : 100;
        assert_int_equal(parsed->parser.swallow, 100 - skipped);
        assert_int_equal(parsed->parser.skipped, skipped);
        assert_int_equal(parsed->status, there == size ? PARSE_OK : PARSE_MORE);
        assert_int_equal(parsed->consumed, there == size ? size : skipped);
        if (there == size)
            assert_slice(parsed->request.key, "foo");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_have_a_key),
        cmocka_unit_test(reads_that_touch_have_an_expiry_too),
        cmocka_unit_test(an_expiry_is_never_negative),
        cmocka_unit_test(stores_have_flags_an_expiry_a_key_and_a_value),
        cmocka_unit_test(joins_have_a_key_and_a_value),
        cmocka_unit_test(deletes_have_a_key),
        cmocka_unit_test(counts_have_a_delta_an_initial_value_and_its_expiry),
        cmocka_unit_test(an_expiry_of_all_ones_makes_no_number),
        cmocka_unit_test(packets_without_a_key),
        cmocka_unit_test(numbers_become_the_words_of_the_text_protocol),
        cmocka_unit_test(statistics_are_asked_for_by_a_key),
        cmocka_unit_test(sasl_has_a_mechanism_and_what_is_said_to_it),
        cmocka_unit_test(every_opcode_with_every_set_of_parts),
        cmocka_unit_test(parts_that_are_larger_than_the_body),
        cmocka_unit_test(keys_and_bodies_that_are_too_long),
        cmocka_unit_test(the_longest_body_is_skipped_like_any_that_is_too_large),
        cmocka_unit_test(an_unknown_opcode_is_answered_and_its_body_skipped),
        cmocka_unit_test(what_is_no_packet_closes_at_its_first_byte),
        cmocka_unit_test(a_set_that_is_too_large_comes_without_its_value),
        cmocka_unit_test(another_request_that_is_too_large_is_refused),
        cmocka_unit_test(whether_it_is_too_large_is_known_when_the_flags_are),
        cmocka_unit_test(where_there_is_no_memory_to_wait_the_body_is_skipped),
        cmocka_unit_test(a_value_that_is_there_needs_no_memory_to_wait),
        cmocka_unit_test(requests_are_the_same_in_whatever_pieces_they_come),
        cmocka_unit_test(a_packet_is_taken_when_its_last_byte_is_there),
        cmocka_unit_test(what_is_skipped_is_no_part_of_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
