/* SPDX-License-Identifier: MIT */
/* The parser: what each line becomes, what each malformed one is answered, and how pieces of lines are waited
 * for. */
#include "server/protocol/parser.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

enum { ITEM_MAX = 1 << 20, LINE_ROOM = 200 << 10 };

#define K50        "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define KEY_250    K50 K50 K50 K50 K50
#define BAD_FORMAT "CLIENT_ERROR bad command line format"
#define BAD_CHUNK  "CLIENT_ERROR bad data chunk"
#define TOO_LARGE  "SERVER_ERROR object too large for cache"

struct parsed {
    struct parser parser;
    enum parse_status status;
    struct request request;
    size_t consumed, wanted;
    char key_buffer[ENTRY_KEY_MAX + 2];
};

/* Room for a long line. */
static int set_up(void **state) {
    *state = malloc(LINE_ROOM);
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

/* Parses one request of a copy that is exactly as long as the text, so that the sanitizer sees every step
 * beyond. The copy lives until the next call. */
static struct parsed *parse_with(struct parser parser, const char *text, size_t size) {
    static char *copy;
    static struct parsed parsed;
    free(copy);
    copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, text, size);
    memset(&parsed, 0xA5, sizeof parsed); /* fields that a command uses are written by the parser */
    parsed.parser = parser;
    parsed.consumed = parsed.wanted = 0;
    parsed.status = parse(&parsed.parser, copy, size, parsed.key_buffer, &parsed.request, &parsed.consumed,
                          &parsed.wanted);
    return &parsed;
}

static struct parser new_parser(void) {
    struct parser parser;
    parser_init(&parser, ITEM_MAX);
    return parser;
}

static struct parsed *parse_text(const char *text) {
    return parse_with(new_parser(), text, strlen(text));
}

/* The whole text is one request of this command. */
static const struct request *request_of(const char *text, enum command command) {
    struct parsed *parsed = parse_text(text);
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->consumed, strlen(text));
    if (command != COMMAND_BAD && parsed->request.command == COMMAND_BAD)
        fail_msg("%s: %s", text, parsed->request.error);
    assert_int_equal(parsed->request.command, command);
    if (command_has_key(command) &&
        command_kind(command) != KIND_STORE) /* kept with the request, so: defined */
        assert_int_equal(parsed->request.value.size, 0);
    return &parsed->request;
}

static void assert_slice(struct slice slice, const char *text) {
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.data, text, slice.size);
}

static void assert_bad(const char *text, const char *error, bool noreply) {
    const struct request *request = request_of(text, COMMAND_BAD);
    assert_string_equal(request->error, error);
    assert_int_equal(request->noreply, noreply);
}

/* ---- Reading ---- */

TEST(a_get_has_one_key) {
    static const char *lines[] = {"get foo\r\n", "get foo\n", "get  foo\r\n", "get foo  \r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct request *request = request_of(lines[i], COMMAND_GET);
        assert_slice(request->key, "foo");
        assert_true(request->ends_run);
        assert_false(request->ret_cas);
        assert_false(request->noreply);
        assert_int_equal(request->meta, 0);
    }
    assert_true(request_of("gets foo\r\n", COMMAND_GET)->ret_cas);
    assert_slice(request_of("get " KEY_250 "\r\n", COMMAND_GET)->key, KEY_250);
    assert_slice(request_of("get a\tb\rc\r\n", COMMAND_GET)->key, "a\tb\rc");
}

TEST(keys_of_a_line_come_one_by_one) {
    static const char line[] = "gets  a bb   ccc  \r\nget next\r\n";
    static const char *keys[] = {"a", "bb", "ccc", "next"};
    struct parser parser = new_parser();
    size_t at = 0;
    for (size_t i = 0; i < 4; i++) {
        struct parsed *parsed = parse_with(parser, line + at, sizeof line - 1 - at);
        assert_int_equal(parsed->status, PARSE_OK);
        assert_slice(parsed->request.key, keys[i]);
        assert_int_equal(parsed->request.ret_cas, i < 3);
        assert_int_equal(parsed->request.ends_run, i >= 2);
        assert_int_equal(parsed->parser.in_run, i < 2);
        at += parsed->consumed;
        parser = parsed->parser;
    }
    assert_int_equal(at, sizeof line - 1);
}

TEST(a_copy_of_the_parser_is_a_position) {
    static const char line[] = "get a b c\r\n";
    struct parsed *first = parse_with(new_parser(), line, sizeof line - 1);
    struct parser position = first->parser;
    size_t at = first->consumed;
    for (int again = 0; again < 3; again++)
        assert_slice(parse_with(position, line + at, sizeof line - 1 - at)->request.key, "b");
}

TEST(a_gat_has_an_exptime) {
    const struct request *request = request_of("gat -1 foo\r\n", COMMAND_GAT);
    assert_int_equal(request->exptime, -1);
    assert_slice(request->key, "foo");
    assert_true(request->ends_run);
    assert_true(request_of("gats 100 foo\r\n", COMMAND_GAT)->ret_cas);
    struct parsed *parsed = parse_text("gat 77 foo bar\r\n");
    assert_int_equal(parsed->request.exptime, 77);
    parsed = parse_with(parsed->parser, " bar\r\n", 6);
    assert_int_equal(parsed->request.exptime, 77);
    assert_int_equal(parsed->consumed, 6);
    assert_bad("gat foo\r\n", BAD_FORMAT, false);
    assert_bad("gat x foo\r\n", "CLIENT_ERROR invalid exptime argument", false);
    assert_bad("gat 2147483648 foo\r\n", "CLIENT_ERROR invalid exptime argument", false);
}

TEST(one_bad_key_spoils_the_line) {
    assert_bad("get a b " KEY_250 "k c\r\n", BAD_FORMAT, false);
    assert_bad("gat 0 a " KEY_250 "k\r\n", BAD_FORMAT, false);
    assert_bad("get " KEY_250 "k noreply\r\n", BAD_FORMAT, false);
    assert_bad("get\r\n", BAD_FORMAT, false);
    assert_bad("get  \r\n", BAD_FORMAT, false);
}

TEST(a_get_line_may_be_long) {
    char *line = *state;
    size_t size = (size_t)sprintf(line, "get");
    unsigned keys = 0;
    for (; size < 187000; keys++)
        size += (size_t)sprintf(line + size, " " KEY_250);
    struct parsed *part = parse_with(new_parser(), line, size);
    assert_int_equal(part->status, PARSE_MORE);
    assert_int_equal(part->wanted, size + 1);
    size += (size_t)sprintf(line + size, "\r\n");
    struct parser parser = new_parser();
    for (size_t at = 0; at < size; keys--) {
        struct parsed *parsed = parse_with(parser, line + at, size - at);
        assert_int_equal(parsed->status, PARSE_OK);
        assert_int_equal(parsed->request.key.size, 250);
        assert_int_equal(parsed->request.ends_run, keys == 1);
        at += parsed->consumed;
        parser = parsed->parser;
    }
    assert_int_equal(keys, 0);
}

/* ---- Storing ---- */

TEST(a_set_is_read_in_its_usual_form) {
    const struct request *request = request_of("set foo 42 300 5\r\nhello\r\n", COMMAND_SET);
    assert_slice(request->key, "foo");
    assert_slice(request->value, "hello");
    assert_int_equal(request->flags, 42);
    assert_int_equal(request->exptime, 300);
    assert_true(request->has_exptime);
    assert_false(request->noreply);
    assert_false(request->too_large);
    assert_true(request_of("set foo 0 0 5 noreply\r\nhello\r\n", COMMAND_SET)->noreply);
    assert_slice(request_of("set foo 0 0 0\r\n\r\n", COMMAND_SET)->value, "");
    assert_slice(request_of("set foo 0 0 5\n\r\n\r\nx\r\n", COMMAND_SET)->value, "\r\n\r\nx");
}

TEST(a_set_is_read_in_its_odd_forms) {
    assert_int_equal(request_of("set  foo  4294967295 -1 1 \r\nx\r\n", COMMAND_SET)->flags, UINT32_MAX);
    assert_int_equal(request_of("set foo 0 -1 1\r\nx\r\n", COMMAND_SET)->exptime, -1);
    assert_int_equal(request_of("set foo +7 0 1\r\nx\r\n", COMMAND_SET)->flags, 7);
    assert_int_equal(request_of("set foo 4294967296 0 1\r\nx\r\n", COMMAND_SET)->flags, 0);
    assert_int_equal(request_of("set foo 0 4294967296 1\r\nx\r\n", COMMAND_SET)->exptime, 0);
    assert_int_equal(request_of("set foo 0 2147483648 1\r\nx\r\n", COMMAND_SET)->exptime, INT32_MIN);
    assert_int_equal(request_of("set foo 0 1900000000 1\r\nx\r\n", COMMAND_SET)->exptime, 1900000000);
    assert_slice(request_of("set foo 0 0 00001\r\nx\r\n", COMMAND_SET)->value, "x");
    assert_slice(request_of("set foo 0 0 1 more words\nx\r\n", COMMAND_SET)->value, "x");
    assert_true(request_of("set foo 0 0 1 more noreply\r\nx\r\n", COMMAND_SET)->noreply);
}

TEST(each_storage_command_is_read) {
    static const struct {
        const char *word;
        enum command command;
    } commands[] = {{"set", COMMAND_SET},       {"add", COMMAND_ADD},         {"replace", COMMAND_REPLACE},
                    {"append", COMMAND_APPEND}, {"prepend", COMMAND_PREPEND}, {"cas", COMMAND_CAS}};
    for (size_t i = 0; i < 6; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s k 1 2 3 99\r\nabc\r\n", commands[i].word);
        const struct request *request = request_of(text, commands[i].command);
        assert_slice(request->value, "abc");
        assert_int_equal(request->flags, 1);
        assert_int_equal(request->exptime, 2);
        if (request->command == COMMAND_CAS)
            assert_int_equal(request->cas, 99);
    }
    assert_int_equal(request_of("cas k 0 0 1 18446744073709551615 noreply\r\nx\r\n", COMMAND_CAS)->cas,
                     UINT64_MAX);
}

/* Lines refused so that what follows is a command again. */
TEST(a_malformed_storage_line_has_no_data) {
    static const char *lines[] = {
        "set k 0 0\r\n",    "set k 0 0 x\r\n",          "set k 0 0 -1\r\n",          "set\r\n",
        "set k 0 0 1x\r\n", "set k 0 0 2147483646\r\n", "set k 0 0 99999999999\r\n", "set k 0 0 noreply\r\n",
        "cas k 0 0\r\n",    "set k 0 0 -1 noreply\r\n", "append k 0 0 \r\n",         "add k\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_bad(lines[i], BAD_FORMAT, false);
}

/* Lines refused together with their data block. */
TEST(refused_data_is_skipped) {
    assert_bad("set k x 0 3\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("set k -1 0 3\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("set k 0 x 3\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("set k 0 99999999999999999999 3\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("set " KEY_250 "k 0 0 3\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("set " KEY_250 "k 0 0 3 noreply\r\nabc\r\n", BAD_FORMAT, true);
    assert_bad("cas k 0 0 3\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("cas k 0 0 3 x\r\nabc\r\n", BAD_FORMAT, false);
    assert_bad("cas k 0 0 3 noreply\r\nabc\r\n", BAD_FORMAT, true);
    assert_bad("ms k 3 z\r\nabc\r\n", "CLIENT_ERROR invalid flag", false);
}

TEST(a_bad_data_chunk_ends_where_it_was_announced) {
    struct parsed *parsed = parse_text("set k 0 0 3\r\nabcdefg\r\n");
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->request.command, COMMAND_BAD);
    assert_string_equal(parsed->request.error, BAD_CHUNK);
    assert_int_equal(parsed->consumed, strlen("set k 0 0 3\r\nabcde"));
    assert_bad("set k 0 0 3 noreply\r\nabcde", BAD_CHUNK, true);
    assert_bad("ms k 3 q\r\nabcde", BAD_CHUNK, false);
}

/* memcached's item limit: 59 bytes beside key and value, 63 with client flags. */
TEST(the_item_limit_is_memcacheds) {
    struct parser parser;
    parser_init(&parser, 1024);
    char text[2000], data[1001];
    memset(data, 'x', 1000);
    for (size_t flags = 0; flags < 2; flags++) {
        size_t largest = 1024 - 59 - 1 - 4 * flags;
        for (size_t size = largest; size <= largest + 1; size++) {
            int length =
                snprintf(text, sizeof text, "set k %zu 0 %zu\r\n%.*s\r\n", flags, size, (int)size, data);
            struct parsed *parsed = parse_with(parser, text, (size_t)length);
            assert_int_equal(parsed->status, PARSE_OK);
            assert_int_equal(parsed->consumed, length);
            assert_int_equal(parsed->request.command, COMMAND_SET);
            assert_int_equal(parsed->request.too_large, size > largest);
            assert_int_equal(parsed->request.value.size, size > largest ? 0 : size);
        }
    }
    static const char *others[] = {"add", "replace", "append", "prepend", "cas"};
    for (size_t i = 0; i < 5; i++) {
        int length = snprintf(text, sizeof text, "%s k 0 0 1000 5\r\n%.*s\r\n", others[i], 1000, data);
        struct parsed *parsed = parse_with(parser, text, (size_t)length);
        assert_int_equal(parsed->request.command, COMMAND_BAD);
        assert_string_equal(parsed->request.error, TOO_LARGE);
        assert_int_equal(parsed->consumed, length);
    }
}

TEST(a_large_refused_value_is_swallowed_as_it_comes) {
    struct parsed *parsed = parse_text("set k 0 0 2000000\r\nabc");
    assert_int_equal(parsed->status, PARSE_OK);
    assert_true(parsed->request.too_large);
    assert_int_equal(parsed->consumed, strlen("set k 0 0 2000000\r\nabc"));
    assert_int_equal(parsed->parser.swallow, 2000000 - 3 + 2);
    parsed = parse_with(parsed->parser, "xyz", 3);
    assert_int_equal(parsed->status, PARSE_MORE);
    assert_int_equal(parsed->consumed, 3);
    struct parser nearly = parsed->parser;
    nearly.swallow = 4;
    parsed = parse_with(nearly, "yz\r\nmn\r\n", 8);
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->request.command, COMMAND_META_NOOP);
    assert_int_equal(parsed->consumed, 8);
    assert_int_equal(parsed->parser.swallow, 0);
}

/* ---- Other commands on a key ---- */

TEST(delete_incr_decr_and_touch_are_read) {
    assert_slice(request_of("delete k\r\n", COMMAND_DELETE)->key, "k");
    assert_slice(request_of("delete k 0\r\n", COMMAND_DELETE)->key, "k");
    assert_true(request_of("delete k 0 noreply\r\n", COMMAND_DELETE)->noreply);
    assert_int_equal(request_of("incr k 18446744073709551615\r\n", COMMAND_INCR)->delta, UINT64_MAX);
    assert_int_equal(request_of("decr k 007 noreply\r\n", COMMAND_DECR)->delta, 7);
    const struct request *touch = request_of("touch k -5\r\n", COMMAND_TOUCH);
    assert_int_equal(touch->exptime, -5);
    assert_true(touch->has_exptime);
    assert_bad("delete\r\n", BAD_FORMAT, false);
    assert_bad("delete " KEY_250 "k noreply\r\n", BAD_FORMAT, true);
    assert_bad("incr k\r\n", BAD_FORMAT, false);
    assert_bad("incr k x\r\n", "CLIENT_ERROR invalid numeric delta argument", false);
    assert_bad("incr k -1\r\n", "CLIENT_ERROR invalid numeric delta argument", false);
    assert_bad("decr k 18446744073709551616\r\n", "CLIENT_ERROR invalid numeric delta argument", false);
    assert_bad("incr k x noreply\r\n", "CLIENT_ERROR invalid numeric delta argument", true);
    assert_bad("touch k\r\n", BAD_FORMAT, false);
    assert_bad("touch k x\r\n", "CLIENT_ERROR invalid exptime argument", false);
}

/* ---- Meta commands ---- */

TEST(the_flags_of_mg_are_read) {
    const struct request *request =
        request_of("mg foo s v T300 N30 R-5 C7 E18446744073709551615 Oab q \r\n", COMMAND_META_GET);
    assert_slice(request->key, "foo");
    assert_slice(request->raw_key, "foo");
    static const char given[] = "svTNRCEOq";
    uint64_t bits = 0;
    for (const char *flag = given; *flag; flag++)
        bits |= meta_bit(*flag);
    assert_int_equal(request->meta, bits);
    assert_true(request->has_exptime);
    assert_int_equal(request->exptime, 300);
    assert_int_equal(request->vivify_ttl, 30);
    assert_int_equal(request->recache_ttl, -5);
    assert_int_equal(request->cas, 7);
    assert_int_equal(request->new_cas, UINT64_MAX);
    assert_int_equal(request->meta_flags.data[0], 's');
    const struct request *bare = request_of("mg foo\r\n", COMMAND_META_GET);
    assert_int_equal(bare->meta, 0);
    assert_int_equal(bare->meta_flags.size, 0);
    assert_false(bare->has_exptime);
}

TEST(a_meta_key_may_be_base64) {
    assert_slice(request_of("mg Zm9v b k\r\n", COMMAND_META_GET)->key, "foo");
    assert_slice(request_of("mg Zm9vYg== b\r\n", COMMAND_META_GET)->key, "foob");
    assert_slice(request_of("mg Zm9vYmE= b\r\n", COMMAND_META_GET)->raw_key, "Zm9vYmE=");
    assert_slice(request_of("me Zm9v b\r\n", COMMAND_META_DEBUG)->key, "foo");
    assert_slice(request_of("ms Zm9v 1 b\r\nx\r\n", COMMAND_META_SET)->key, "foo");
    assert_bad("mg Zm9 b\r\n", "CLIENT_ERROR error decoding key", false);
    assert_bad("mg !!!! b\r\n", "CLIENT_ERROR error decoding key", false);
    assert_bad("me Zm9 b\r\n", BAD_FORMAT, false);
    assert_bad("ma Zm9 b\r\n", "CLIENT_ERROR invalid or duplicate flag", false);
}

TEST(ms_is_read_with_its_flags_and_data) {
    const struct request *request = request_of("ms foo 3 T60 F5 MA N9 I q\r\nabc\r\n", COMMAND_META_SET);
    assert_slice(request->value, "abc");
    assert_int_equal(request->flags, 5);
    assert_int_equal(request->mode, 'A');
    assert_int_equal(request->vivify_ttl, 9);
    assert_slice(request->meta_flags, "T60 F5 MA N9 I q");
    assert_int_equal(request_of("ms foo 0\r\n\r\n", COMMAND_META_SET)->mode, 0);
    assert_bad("ms foo\r\n", BAD_FORMAT, false);
    assert_bad("ms foo x\r\n", BAD_FORMAT, false);
    assert_bad("ms foo -1\r\n", BAD_FORMAT, false);
    assert_bad("ms foo 3 Mx\r\nabc\r\n", "CLIENT_ERROR invalid mode for ms M token", false);
    assert_bad("ms foo 3 M\r\nabc\r\n", "CLIENT_ERROR invalid mode for ms M token", false);
    assert_bad("ms foo 3 F4294967296\r\nabc\r\n", BAD_FORMAT, false);
    struct parsed *parsed = parse_text("ms foo 2000000 k\r\n");
    assert_int_equal(parsed->request.command, COMMAND_META_SET);
    assert_true(parsed->request.too_large);
}

TEST(ma_is_read_with_its_defaults) {
    const struct request *request = request_of("ma n D5 J7 N0 M-\r\n", COMMAND_META_ARITHMETIC);
    assert_int_equal(request->delta, 5);
    assert_int_equal(request->initial, 7);
    assert_int_equal(request->mode, 'D');
    request = request_of("ma n\r\n", COMMAND_META_ARITHMETIC);
    assert_int_equal(request->delta, 1);
    assert_int_equal(request->initial, 0);
    assert_int_equal(request->mode, 'I');
    assert_int_equal(request_of("ma n M+\r\n", COMMAND_META_ARITHMETIC)->mode, 'I');
    assert_int_equal(request_of("ma n MD\r\n", COMMAND_META_ARITHMETIC)->mode, 'D');
    assert_bad("ma n Mx\r\n", "CLIENT_ERROR invalid mode for ma M token", false);
    assert_bad("ma n Dx\r\n", "CLIENT_ERROR invalid or duplicate flag", false);
    assert_bad("ma n v v\r\n", "CLIENT_ERROR invalid or duplicate flag", false);
}

TEST(malformed_meta_lines_are_refused) {
    assert_bad("mg\r\n", BAD_FORMAT, false);
    assert_bad("mg k !\r\n", BAD_FORMAT, false);
    assert_bad("mg " KEY_250 "k v\r\n", BAD_FORMAT, false);
    assert_bad("mg k v v\r\n", "CLIENT_ERROR duplicate flag", false);
    assert_bad("mg k z\r\n", "CLIENT_ERROR invalid flag", false);
    assert_bad("mg k 1\r\n", "CLIENT_ERROR invalid flag", false);
    assert_bad("mg k T\r\n", "CLIENT_ERROR bad token in command line format", false);
    assert_bad("mg k Cx\r\n", "CLIENT_ERROR bad token in command line format", false);
    assert_bad("mg k Tx q\r\n", "CLIENT_ERROR bad token in command line format", false);
    assert_bad("mg k a b c d e f g h i j k l m n o p q r s\r\n", "CLIENT_ERROR options flags are too long",
               false);
    request_of("md k O1234567890123456789012345678901\r\n", COMMAND_META_DELETE);
    assert_bad("md k O12345678901234567890123456789012\r\n", "CLIENT_ERROR opaque token too long", false);
    request_of("mn\r\n", COMMAND_META_NOOP);
    request_of("mn whatever\r\n", COMMAND_META_NOOP);
    request_of("mz k\r\n", COMMAND_BAD);
}

/* ---- Without a key ---- */

TEST(commands_without_a_key_have_an_argument) {
    static const struct {
        const char *line, *argument;
        enum command command;
        bool noreply;
    } lines[] = {
        {"version\r\n", "", COMMAND_VERSION, false},
        {"stats\r\n", "", COMMAND_STATS, false},
        {"stats items  now \r\n", "items  now", COMMAND_STATS, false},
        {"stats noreply\r\n", "noreply", COMMAND_STATS, false},
        {"quit\r\n", "", COMMAND_QUIT, false},
        {"flush_all\r\n", "", COMMAND_FLUSH_ALL, false},
        {"flush_all 10 noreply\r\n", "10", COMMAND_FLUSH_ALL, true},
        {" flush_all noreply\r\n", "", COMMAND_FLUSH_ALL, true},
        {"verbosity 1\r\n", "1", COMMAND_VERBOSITY, false},
        {"cache_memlimit 64\r\n", "64", COMMAND_CACHE_MEMLIMIT, false},
        {"shutdown graceful\r\n", "graceful", COMMAND_SHUTDOWN, false},
        {"shutdown noreply\r\n", "noreply", COMMAND_SHUTDOWN, false},
        {"sync\r\n", "", COMMAND_SYNC, false},
        {"sync sessions\r\n", "sessions", COMMAND_SYNC, false},
        {"quarantine list sessions\r\n", "list sessions", COMMAND_QUARANTINE, false},
        {"forget key\r\n", "key", COMMAND_FORGET, false},
        {"forget noreply\r\n", "noreply", COMMAND_FORGET, false},
        {"slabs automove 1\r\n", "automove 1", COMMAND_SLABS, false},
        {"lru_crawler metadump all\r\n", "metadump all", COMMAND_LRU_CRAWLER, false},
        {"lru mode flat noreply\r\n", "mode flat", COMMAND_LRU, true},
        {"watch fetchers\r\n", "fetchers", COMMAND_WATCH, false},
        {"extstore\r\n", "", COMMAND_EXTSTORE, false},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct request *request = request_of(lines[i].line, lines[i].command);
        assert_slice(request->argument, lines[i].argument);
        assert_int_equal(request->noreply, lines[i].noreply);
    }
}

TEST(unknown_words_are_refused) {
    assert_bad("bogus\r\n", "ERROR", false);
    assert_bad("bogus noreply\r\n", "ERROR", true);
    assert_bad("GET foo\r\n", "ERROR", false);
    assert_bad(" get foo\r\n", "ERROR", false);
    assert_bad("get\tfoo\r\n", "ERROR", false);
    assert_bad("HTTP/1.1\r\n", "ERROR", false);
    assert_bad("\r\n", BAD_FORMAT, false);
    assert_bad("\n", BAD_FORMAT, false);
    assert_bad("a\r\n", BAD_FORMAT, false);
    assert_bad("mn\n", BAD_FORMAT, false);
}

TEST(another_protocol_closes_the_connection) {
    struct parsed *parsed;
    static const char *requests[] = {"GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "DELETE HTTP/1.1\r\n"};
    for (size_t i = 0; i < 3; i++) {
        parsed = parse_text(requests[i]);
        assert_int_equal(parsed->status, PARSE_CLOSE);
        assert_int_equal(parsed->parser.close_reason, CLOSE_HTTP);
    }
}

TEST(an_endless_line_closes_the_connection) {
    char *bytes = *state;
    memset(bytes, 'a', LINE_ROOM);
    assert_int_equal(parse_with(new_parser(), bytes, PARSER_LINE_MAX)->status, PARSE_MORE);
    bytes[PARSER_LINE_MAX] = '\n';
    assert_int_equal(parse_with(new_parser(), bytes, PARSER_LINE_MAX + 1)->status, PARSE_OK);
    bytes[PARSER_LINE_MAX] = 'a';
    struct parsed *parsed = parse_with(new_parser(), bytes, PARSER_LINE_MAX + 1);
    assert_int_equal(parsed->status, PARSE_CLOSE);
    assert_int_equal(parsed->parser.close_reason, CLOSE_ENDLESS_LINE);
    memcpy(bytes, "get ", 4);
    assert_int_equal(parse_with(new_parser(), bytes, PARSER_GET_LINE_MAX)->status, PARSE_MORE);
    parsed =
        parse_with(new_parser(), bytes, PARSER_GET_LINE_MAX + 1); /* of keys, a line may have any length */
    assert_int_equal(parsed->status, PARSE_OK);
    assert_string_equal(parsed->request.error, BAD_FORMAT);
    memset(bytes + 4, ' ', PARSER_GET_LINE_MAX);
    assert_int_equal(parse_with(new_parser(), bytes, PARSER_GET_LINE_MAX + 1)->status, PARSE_CLOSE);
}

TEST(a_line_of_many_keys_is_endless_too_where_lines_are_short) {
    char *bytes = *state;
    struct parser parser = new_parser();
    parser.short_lines = true;
    memset(bytes, 'a', LINE_ROOM);
    memcpy(bytes, "get ", 4);
    assert_int_equal(parse_with(parser, bytes, PARSER_LINE_MAX)->status, PARSE_MORE);
    struct parsed *parsed = parse_with(parser, bytes, PARSER_LINE_MAX + 1);
    assert_int_equal(parsed->status, PARSE_CLOSE);
    assert_int_equal(parsed->parser.close_reason, CLOSE_ENDLESS_LINE);
}

/* ---- Lines of any length ---- */

/* A line of that many keys, all of them "kNNNNNN" and a blank behind each but the last; returns its end. */
static char *write_keys(char *at, size_t count) {
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "k%06zu%s", i % 1000000, i + 1 < count ? " " : "");
    return at;
}

/* Parses as a server does: what is left over from one piece is put before the next. Writes what came of it as
 * text: "command key" or an error a line. */
static size_t play(const char *bytes, size_t size, size_t piece, char *ret_text) {
    struct parser parser = new_parser();
    struct request request = {0};
    size_t at = 0, there = 0, written = 0, consumed, wanted;
    char key_buffer[ENTRY_KEY_MAX + 2];
    while (there < size) {
        there = there + piece < size ? there + piece : size;
        for (;;) {
            enum parse_status status =
                parse(&parser, bytes + at, there - at, key_buffer, &request, &consumed, &wanted);
            at += consumed;
            if (status != PARSE_OK)
                break;
            if (request.command == COMMAND_BAD)
                written += (size_t)sprintf(ret_text + written, "%s\n", request.error);
            else
                written += (size_t)sprintf(ret_text + written, "%d %.*s %d%d\n", request.command,
                                           (int)request.key.size, request.key.data, request.ret_cas,
                                           request.ends_run);
        }
    }
    assert_int_equal(at, size);
    return written;
}

static const char *const long_heads[] = {"get ", "gets ", "gat 7 ", "gats 7 ", "get    "};
static const char *const long_ends[] = {"\r\n", "\n", "  \r\n", " " KEY_250 "\r\n", " \r\r\n"};

TEST(a_line_of_keys_may_have_any_length) {
    enum { KEYS = 30000 };
    char *bytes = malloc(2 * LINE_ROOM), *text = malloc(64 * KEYS), *again = malloc(64 * KEYS);
    for (size_t i = 0; i < 5; i++) {
        char *end = write_keys(bytes + sprintf(bytes, "%s", long_heads[i]), KEYS);
        end += sprintf(end, "%sget next\r\n", long_ends[i]);
        size_t size = play(bytes, (size_t)(end - bytes), 2 * LINE_ROOM, text);
        char *last = strstr(text, "k029999");
        assert_non_null(last);
        assert_int_equal(i < 3, last[9] == '1'); /* ends_run, unless one more key stands behind it */
        assert_non_null(strstr(last, " next "));
        assert_null(strstr(text, "ERROR"));
        assert_int_equal(play(bytes, (size_t)(end - bytes), 16 << 10, again), size);
        assert_memory_equal(text, again, size);
    }
    free(bytes);
    free(text);
    free(again);
}

TEST(of_a_long_line_each_key_is_answered_before_a_bad_one) {
    enum { KEYS = 30000 };
    static const char *const bad[] = {" " KEY_250 "k", " " KEY_250 "k" KEY_250};
    char *bytes = malloc(2 * LINE_ROOM), *text = malloc(64 * KEYS), *again = malloc(64 * KEYS);
    for (size_t i = 0; i < 2; i++) {
        char *end = write_keys(bytes + sprintf(bytes, "get "), KEYS);
        end += sprintf(end, "%s more %s\r\nget next\r\n", bad[i], KEY_250);
        size_t size = play(bytes, (size_t)(end - bytes), 2 * LINE_ROOM, text);
        char *error = strstr(text, BAD_FORMAT);
        assert_non_null(error);
        assert_non_null(strstr(text, "k029999"));
        assert_null(strstr(error, "more"));
        assert_non_null(strstr(error, " next "));
        for (size_t piece = 1000; piece < 1003; piece++) {
            assert_int_equal(play(bytes, (size_t)(end - bytes), piece, again), size);
            assert_memory_equal(text, again, size);
        }
    }
    free(bytes);
    free(text);
    free(again);
}

TEST(a_long_line_with_a_bad_expiry_is_one_error) {
    char *bytes = malloc(2 * LINE_ROOM), text[1000];
    char *end = write_keys(bytes + sprintf(bytes, "gat x "), 30000);
    end += sprintf(end, "\r\nget next\r\n");
    play(bytes, (size_t)(end - bytes), 16 << 10, text);
    assert_non_null(strstr(text, "CLIENT_ERROR invalid exptime argument\n"));
    assert_non_null(strstr(text, " next "));
    free(bytes);
}

/* ---- Without memory ---- */

TEST(a_starved_parser_refuses_what_it_cannot_wait_for) {
    static const char value[] = "set k 0 0 10\r\n01234", quiet[] = "ms k 10\r\n01234";
    struct parser starved = new_parser();
    starved.starved = true;
    struct parsed *parsed = parse_with(starved, value, sizeof value - 1);
    assert_int_equal(parsed->status, PARSE_OK);
    assert_int_equal(parsed->consumed, sizeof value - 1);
    assert_string_equal(parsed->request.error, "SERVER_ERROR out of memory storing object");
    assert_int_equal(parsed->parser.swallow, 7);
    parsed = parse_with(starved, quiet, sizeof quiet - 1);
    assert_int_equal(parsed->request.command, COMMAND_BAD);
    assert_int_equal(parsed->parser.swallow, 7);
    parsed = parse_with(starved, "set k 0 0 1\r\nx\r\n", 16);
    assert_int_equal(parsed->request.command, COMMAND_SET);
    parsed = parse_with(starved, "get a", 5);
    assert_int_equal(parsed->status, PARSE_MORE);
}

TEST(a_starved_parser_hands_out_the_keys_of_a_long_line) {
    char *bytes = *state;
    char *end = write_keys(bytes + sprintf(bytes, "get "), 400);
    struct parser starved = new_parser();
    assert_int_equal(parse_with(starved, bytes, (size_t)(end - bytes))->status, PARSE_MORE);
    starved.starved = true;
    struct parsed *parsed = parse_with(starved, bytes, (size_t)(end - bytes));
    assert_int_equal(parsed->status, PARSE_OK);
    assert_slice(parsed->request.key, "k000000");
    assert_true(parsed->parser.in_run);
}

/* ---- Pieces ---- */

TEST(more_is_wanted_until_all_is_there) {
    static const char text[] = "set foo 0 0 10\r\n0123456789\r\n";
    for (size_t size = 0; size < sizeof text - 1; size++) {
        struct parsed *parsed = parse_with(new_parser(), text, size);
        assert_int_equal(parsed->status, PARSE_MORE);
        assert_int_equal(parsed->consumed, 0);
        assert_in_range(parsed->wanted, size + 1, sizeof text - 1);
        if (size >= strlen("set foo 0 0 10\r\n"))
            assert_int_equal(parsed->wanted, sizeof text - 1);
    }
    assert_int_equal(parse_text(text)->status, PARSE_OK);
}

TEST(requests_follow_each_other) {
    static const char text[] = "get a\r\nset b 0 0 3\r\nget\r\nms c 1\r\nx\r\nmg d v\r\nfoo\r\n";
    static const enum command commands[] = {COMMAND_GET, COMMAND_SET, COMMAND_META_SET, COMMAND_META_GET,
                                            COMMAND_BAD};
    struct parser parser = new_parser();
    size_t at = 0;
    for (size_t i = 0; i < 5; i++) {
        struct parsed *parsed = parse_with(parser, text + at, sizeof text - 1 - at);
        assert_int_equal(parsed->request.command, commands[i]);
        at += parsed->consumed;
        parser = parsed->parser;
    }
    assert_int_equal(at, sizeof text - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_has_one_key),
        cmocka_unit_test(keys_of_a_line_come_one_by_one),
        cmocka_unit_test(a_copy_of_the_parser_is_a_position),
        cmocka_unit_test(a_gat_has_an_exptime),
        cmocka_unit_test(one_bad_key_spoils_the_line),
        CASE(a_get_line_may_be_long),
        cmocka_unit_test(a_set_is_read_in_its_usual_form),
        cmocka_unit_test(a_set_is_read_in_its_odd_forms),
        cmocka_unit_test(each_storage_command_is_read),
        cmocka_unit_test(a_malformed_storage_line_has_no_data),
        cmocka_unit_test(refused_data_is_skipped),
        cmocka_unit_test(a_bad_data_chunk_ends_where_it_was_announced),
        cmocka_unit_test(the_item_limit_is_memcacheds),
        cmocka_unit_test(a_large_refused_value_is_swallowed_as_it_comes),
        cmocka_unit_test(delete_incr_decr_and_touch_are_read),
        cmocka_unit_test(the_flags_of_mg_are_read),
        cmocka_unit_test(a_meta_key_may_be_base64),
        cmocka_unit_test(ms_is_read_with_its_flags_and_data),
        cmocka_unit_test(ma_is_read_with_its_defaults),
        cmocka_unit_test(malformed_meta_lines_are_refused),
        cmocka_unit_test(commands_without_a_key_have_an_argument),
        cmocka_unit_test(unknown_words_are_refused),
        cmocka_unit_test(another_protocol_closes_the_connection),
        CASE(an_endless_line_closes_the_connection),
        CASE(a_line_of_many_keys_is_endless_too_where_lines_are_short),
        CASE(a_line_of_keys_may_have_any_length),
        CASE(of_a_long_line_each_key_is_answered_before_a_bad_one),
        CASE(a_long_line_with_a_bad_expiry_is_one_error),
        CASE(a_starved_parser_refuses_what_it_cannot_wait_for),
        CASE(a_starved_parser_hands_out_the_keys_of_a_long_line),
        cmocka_unit_test(more_is_wanted_until_all_is_there),
        cmocka_unit_test(requests_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
