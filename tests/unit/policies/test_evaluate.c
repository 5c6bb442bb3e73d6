/* SPDX-License-Identifier: MIT */
/*
 * What each command means. Requests are parsed from text, which is shorter to read than structs; the entry
 * they meet and the change they make are looked at as they are.
 */
#include "policies/evaluate.h"
#include "server/protocol/parser.h"
#include "tests/support/check.h"

enum { NOW = 1700000000, ITEM_MAX = 1 << 20, DAY = 86400 };

#define NON_NUMERIC "CLIENT_ERROR cannot increment or decrement non-numeric value"

static struct request request;
static struct outcome outcome;
static struct change change;
static char scratch[ITEM_MAX + 32];
static uint32_t default_ttl;

static int reset_default_ttl(void **state __attribute__((unused))) {
    default_ttl = 0;
    return 0;
}

/* An entry as a cache would show it. */
static struct cache_view entry(const char *value) {
    return (struct cache_view){.key = SLICE("k"),
                               .value = slice_string(value),
                               .version = 1000,
                               .flags = 5,
                               .expires_at = NOW + 100,
                               .last_access = NOW - 7};
}

static void evaluate_on(const char *text, const struct cache_view *base) {
    static char key_buffer[ENTRY_KEY_MAX + 2];
    struct parser parser;
    size_t consumed, wanted;
    parser_init(&parser, ITEM_MAX);
    assert_int_equal(parse(&parser, text, strlen(text), key_buffer, &request, &consumed, &wanted), PARSE_OK);
    struct evaluate_context context = {.now = cache_time_from_us(NOW * 1000000ull),
                                       .default_ttl = default_ttl,
                                       .item_max = ITEM_MAX,
                                       .scratch = scratch};
    memset(&outcome, 0xA5, sizeof outcome);
    memset(&change, 0xA5, sizeof change);
    evaluate(&request, base, &context, &outcome, &change);
}

static void on_nothing(const char *text, enum outcome_status status, enum change_kind kind) {
    evaluate_on(text, NULL);
    assert_int_equal(outcome.status, status);
    assert_int_equal(change.kind, kind);
}

static void on_value(const char *text, const char *value, enum outcome_status status, enum change_kind kind) {
    static struct cache_view base;
    base = entry(value);
    evaluate_on(text, &base);
    assert_int_equal(outcome.status, status);
    assert_int_equal(change.kind, kind);
}

static void on_marked(const char *text, uint8_t marks, enum outcome_status status, enum change_kind kind) {
    static struct cache_view base;
    base = entry("value");
    base.marks = marks;
    evaluate_on(text, &base);
    assert_int_equal(outcome.status, status);
    assert_int_equal(change.kind, kind);
}

static void assert_value(struct slice slice, const char *text) {
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.data, text, slice.size);
}

/* The change puts this, and the outcome tells the same. */
static void assert_put(const char *value, uint32_t flags, uint32_t expires_at, uint64_t client_cas,
                       uint8_t marks) {
    assert_int_equal(change.kind, CHANGE_PUT);
    assert_value(change.value, value);
    assert_int_equal(change.flags, flags);
    assert_int_equal(change.expires_at, expires_at);
    assert_int_equal(change.client_cas, client_cas);
    assert_int_equal(change.marks, marks);
    assert_int_equal(outcome.view.value.size, strlen(value));
    assert_int_equal(outcome.view.flags, flags);
    assert_int_equal(outcome.view.expires_at, expires_at);
    assert_int_equal(outcome.view.client_cas, client_cas);
}

/* ---- Expiry and needs ---- */

TEST(an_expiry_is_reckoned_as_memcached_does) {
    assert_int_equal(evaluate_expiry(0, 0, NOW), 0);
    assert_int_equal(evaluate_expiry(0, 60, NOW), NOW + 60);
    assert_int_equal(evaluate_expiry(1, 60, NOW), NOW + 1);
    assert_int_equal(evaluate_expiry(30 * DAY, 0, NOW), NOW + 30 * DAY);
    assert_int_equal(evaluate_expiry(30 * DAY + 1, 0, NOW), 30 * DAY + 1);
    assert_int_equal(evaluate_expiry(NOW + 5, 0, NOW), NOW + 5);
    assert_int_equal(evaluate_expiry(-1, 60, NOW), 1);
    assert_int_equal(evaluate_expiry(INT64_MIN, 0, NOW), 1);
    assert_int_equal(evaluate_expiry(INT64_MAX, 0, NOW), UINT32_MAX);
}

TEST(commands_need_what_their_answer_hangs_on) {
    static const struct {
        const char *text;
        enum need need;
        bool is_read;
    } commands[] = {
        {"get k\r\n", NEED_ENTRY, true},
        {"gat 0 k\r\n", NEED_ENTRY, false},
        {"set k 0 0 1\r\nx\r\n", NEED_NOTHING, false},
        {"set k 0 0 2000000\r\n", NEED_NOTHING, false},
        {"add k 0 0 1\r\nx\r\n", NEED_EXISTENCE, false},
        {"replace k 0 0 1\r\nx\r\n", NEED_EXISTENCE, false},
        {"append k 0 0 1\r\nx\r\n", NEED_ENTRY, false},
        {"cas k 0 0 1 1\r\nx\r\n", NEED_ENTRY, false},
        {"delete k\r\n", NEED_EXISTENCE, false},
        {"touch k 0\r\n", NEED_EXISTENCE, false},
        {"incr k 1\r\n", NEED_ENTRY, false},
        {"mg k v c t f h l s k O1 q u C5\r\n", NEED_ENTRY, true},
        {"mg k T1\r\n", NEED_ENTRY, false},
        {"mg k N1\r\n", NEED_ENTRY, false},
        {"mg k R1\r\n", NEED_ENTRY, false},
        {"mg k E1\r\n", NEED_ENTRY, false},
        {"me k\r\n", NEED_ENTRY, true},
        {"ms k 1\r\nx\r\n", NEED_NOTHING, false},
        {"ms k 1 MS E5 I\r\nx\r\n", NEED_NOTHING, false},
        {"ms k 1 C1\r\nx\r\n", NEED_ENTRY, false},
        {"ms k 1 ME C1\r\nx\r\n", NEED_EXISTENCE, false},
        {"ms k 1 MR\r\nx\r\n", NEED_EXISTENCE, false},
        {"ms k 1 MR C1\r\nx\r\n", NEED_ENTRY, false},
        {"ms k 1 MA\r\nx\r\n", NEED_ENTRY, false},
        {"ms k 2000000 MA\r\n", NEED_NOTHING, false},
        {"md k\r\n", NEED_EXISTENCE, false},
        {"md k I\r\n", NEED_ENTRY, false},
        {"md k x\r\n", NEED_ENTRY, false},
        {"md k C1\r\n", NEED_ENTRY, false},
        {"ma k\r\n", NEED_ENTRY, false},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        evaluate_on(commands[i].text, NULL);
        assert_int_equal(evaluate_need(&request), commands[i].need);
        assert_int_equal(evaluate_is_read(&request), commands[i].is_read);
    }
}

/* ---- Classic ---- */

TEST(a_get_shows_the_entry_and_a_gat_touches_it) {
    on_nothing("get k\r\n", OUTCOME_MISS, CHANGE_NONE);
    on_value("get k\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    assert_value(outcome.view.value, "value");
    assert_int_equal(outcome.view.version, 1000);
    assert_true(change.hit);
    assert_int_equal(outcome.last_access, 7);
    assert_int_equal(outcome.ttl_now, NOW);
    on_nothing("gat 50 k\r\n", OUTCOME_MISS, CHANGE_NONE);
    on_value("gat 50 k\r\n", "value", OUTCOME_HIT, CHANGE_TOUCH);
    assert_int_equal(change.expires_at, NOW + 50);
    assert_int_equal(change.marks, 0);
    assert_true(change.hit);
    assert_value(outcome.view.value, "value");
}

TEST(a_touch_and_a_delete_change_what_exists) {
    on_nothing("touch k 5\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_value("touch k 5\r\n", "v", OUTCOME_TOUCHED, CHANGE_TOUCH);
    assert_int_equal(change.expires_at, NOW + 5);
    on_value("touch k -1\r\n", "v", OUTCOME_TOUCHED, CHANGE_TOUCH);
    assert_int_equal(change.expires_at, 1);
    on_nothing("delete k\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_value("delete k\r\n", "v", OUTCOME_DELETED, CHANGE_DELETE);
}

TEST(each_store_has_its_condition) {
    on_nothing("set k 7 60 3\r\nnew\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_put("new", 7, NOW + 60, 0, 0);
    on_nothing("add k 7 60 3\r\nnew\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_put("new", 7, NOW + 60, 0, 0);
    on_value("add k 7 60 3\r\nnew\r\n", "old", OUTCOME_NOT_STORED, CHANGE_NONE);
    on_nothing("replace k 7 60 3\r\nnew\r\n", OUTCOME_NOT_STORED, CHANGE_NONE);
    on_value("replace k 7 60 3\r\nnew\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("new", 7, NOW + 60, 0, 0);
    on_nothing("append k 7 60 3\r\nnew\r\n", OUTCOME_NOT_STORED, CHANGE_NONE);
    on_value("append k 7 60 3\r\nnew\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("oldnew", 5, NOW + 100, 0, 0);
    on_value("prepend k 7 60 3\r\nnew\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("newold", 5, NOW + 100, 0, 0);
}

TEST(an_exptime_of_zero_is_the_default_ttl) {
    default_ttl = 600;
    on_nothing("set k 0 0 1\r\nx\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.expires_at, NOW + 600);
    on_nothing("ms k 1\r\nx\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.expires_at, NOW + 600);
    on_value("touch k 0\r\n", "v", OUTCOME_TOUCHED, CHANGE_TOUCH);
    assert_int_equal(change.expires_at, NOW + 600);
    default_ttl = 0;
    on_nothing("set k 0 0 1\r\nx\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.expires_at, 0);
}

TEST(a_cas_stores_over_the_version_it_names) {
    on_nothing("cas k 0 0 1 1000\r\nx\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_value("cas k 0 0 1 1000\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("x", 0, 0, 0, 0);
    on_value("cas k 0 0 1 999\r\nx\r\n", "old", OUTCOME_EXISTS, CHANGE_NONE);
    on_value("cas k 0 0 1 0\r\nx\r\n", "old", OUTCOME_EXISTS, CHANGE_NONE);
    struct cache_view dictated = entry("old");
    dictated.client_cas = 77;
    evaluate_on("cas k 0 0 1 77\r\nx\r\n", &dictated);
    assert_int_equal(outcome.status, OUTCOME_STORED);
    evaluate_on("cas k 0 0 1 1000\r\nx\r\n", &dictated);
    assert_int_equal(outcome.status, OUTCOME_EXISTS);
}

TEST(what_is_too_large_is_refused) {
    on_nothing("set k 0 0 2000000\r\n", OUTCOME_ERROR, CHANGE_DELETE);
    assert_string_equal(outcome.error, "SERVER_ERROR object too large for cache");
    assert_int_equal(outcome.error_kind, ERROR_TOO_LARGE);
    on_nothing("ms k 2000000 ME\r\n", OUTCOME_ERROR, CHANGE_DELETE);
    static char large[ITEM_MAX];
    memset(large, 'x', sizeof large);
    struct cache_view base = entry("");
    base.value = slice_of(large, ITEM_MAX - request_item_size(1, 5, 0) - 2);
    evaluate_on("append k 0 0 2\r\nab\r\n", &base);
    assert_int_equal(outcome.status, OUTCOME_STORED);
    assert_int_equal(change.value.size, base.value.size + 2);
    evaluate_on("append k 0 0 3\r\nabc\r\n", &base);
    assert_int_equal(outcome.status, OUTCOME_NOT_STORED);
    assert_int_equal(change.kind, CHANGE_NONE);
}

/* ---- Counting ---- */

TEST(a_number_is_counted_in_its_place) {
    static const struct {
        const char *text, *value, *result;
        uint64_t number;
    } cases[] = {
        {"incr k 1\r\n", "9", "10", 10},
        {"incr k 5\r\n", "10", "15", 15},
        {"decr k 1\r\n", "10", "9 ", 9},
        {"decr k 100\r\n", "10", "0 ", 0},
        {"incr k 1\r\n", "18446744073709551615", "0                   ", 0},
        {"incr k 18446744073709551615\r\n", "1", "0", 0},
        {"incr k 1\r\n", "12 abc", "13    ", 13},
        {"incr k 1\r\n", "+12", "13 ", 13},
        {"incr k 1\r\n", " 7", "8 ", 8},
        {"incr k 1\r\n", "-0", "1 ", 1},
        {"incr k 0\r\n", "007", "7  ", 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        on_value(cases[i].text, cases[i].value, OUTCOME_NUMBER, CHANGE_PUT);
        assert_int_equal(outcome.number, cases[i].number);
        assert_put(cases[i].result, 5, NOW + 100, 0, 0);
    }
    on_nothing("incr k 1\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
}

TEST(what_is_no_number_is_not_counted) {
    static const char *values[] = {"", " ", "abc", "1x", "-1", "18446744073709551616", "+", "0x10", "1.5"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        on_value("incr k 1\r\n", values[i], OUTCOME_ERROR, CHANGE_NONE);
        assert_string_equal(outcome.error, NON_NUMERIC);
        assert_int_equal(outcome.error_kind, ERROR_NOT_A_NUMBER);
    }
}

TEST(counting_in_place_keeps_marks_and_fetched) {
    struct cache_view base = entry("10");
    base.marks = ENTRY_STALE;
    base.fetched = true;
    evaluate_on("incr k 1\r\n", &base);
    assert_int_equal(change.marks, ENTRY_STALE);
    assert_true(change.hit);
    evaluate_on("incr k 90\r\n", &base);
    assert_int_equal(change.marks, 0);
    assert_false(change.hit);
}

TEST(ma_counts_as_its_flags_say) {
    on_nothing("ma k\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_nothing("ma k N60 J7 E5\r\n", OUTCOME_NUMBER, CHANGE_PUT);
    assert_put("7", 0, NOW + 60, 5, 0);
    assert_int_equal(outcome.number, 7);
    on_nothing("ma k N60 T90\r\n", OUTCOME_NUMBER, CHANGE_PUT);
    assert_put("0", 0, NOW + 90, 0, 0);
    on_nothing("ma k T90 N60\r\n", OUTCOME_NUMBER, CHANGE_PUT);
    assert_put("0", 0, NOW + 60, 0, 0);
    on_value("ma k D5 N60 T10 E9\r\n", "10", OUTCOME_NUMBER, CHANGE_PUT);
    assert_put("15", 5, NOW + 10, 9, 0);
    assert_int_equal(outcome.expires_before, NOW + 100);
    on_value("ma k MD D5\r\n", "3", OUTCOME_NUMBER, CHANGE_PUT);
    assert_put("0", 5, NOW + 100, 0, 0);
    on_value("ma k C1000\r\n", "3", OUTCOME_NUMBER, CHANGE_PUT);
    on_value("ma k C0\r\n", "3", OUTCOME_NUMBER, CHANGE_PUT);
    on_value("ma k C7\r\n", "3", OUTCOME_EXISTS, CHANGE_NONE);
    on_value("ma k C7\r\n", "", OUTCOME_ERROR, CHANGE_NONE);
    on_value("ma k\r\n", "x", OUTCOME_ERROR, CHANGE_NONE);
}

/* ---- mg ---- */

TEST(mg_shows_and_touches_as_its_flags_say) {
    on_nothing("mg k v\r\n", OUTCOME_MISS, CHANGE_NONE);
    on_value("mg k v\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    assert_true(change.hit);
    assert_false(outcome.won || outcome.stale || outcome.lost || outcome.hit_before);
    on_value("mg k v u\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    assert_false(change.hit);
    on_value("mg k T30 t\r\n", "value", OUTCOME_HIT, CHANGE_TOUCH);
    assert_int_equal(change.expires_at, NOW + 30);
    assert_int_equal(outcome.view.expires_at, NOW + 30);
    assert_int_equal(outcome.expires_before, NOW + 100);
    on_value("me k\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    assert_false(change.hit);
}

TEST(mg_N_makes_what_is_missing_and_wins_it) {
    on_nothing("mg k N30 E5 t\r\n", OUTCOME_HIT, CHANGE_VIVIFY);
    assert_int_equal(change.expires_at, NOW + 30);
    assert_int_equal(change.marks, ENTRY_TOKEN_SENT);
    assert_int_equal(change.client_cas, 5);
    assert_int_equal(change.value.size, 0);
    assert_true(outcome.won);
    assert_false(outcome.lost);
    assert_int_equal(outcome.view.value.size, 0);
    assert_int_equal(outcome.expires_before, 0);
    on_value("mg k N30\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    assert_false(outcome.won);
}

TEST(mg_R_wins_what_expires_soon) {
    on_value("mg k R101\r\n", "value", OUTCOME_HIT, CHANGE_MARKS);
    assert_true(outcome.won);
    assert_int_equal(change.marks, ENTRY_TOKEN_SENT);
    on_value("mg k R100\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    on_value("mg k R0\r\n", "value", OUTCOME_HIT, CHANGE_NONE);
    on_marked("mg k R101\r\n", ENTRY_TOKEN_SENT, OUTCOME_HIT, CHANGE_NONE);
    assert_true(outcome.lost);
    assert_false(outcome.won);
    on_value("mg k T300 R200\r\n", "value", OUTCOME_HIT, CHANGE_TOUCH);
    assert_false(outcome.won);
    assert_int_equal(change.marks, 0);
    on_value("mg k R200 T300\r\n", "value", OUTCOME_HIT, CHANGE_TOUCH);
    assert_true(outcome.won);
    assert_int_equal(change.marks, ENTRY_TOKEN_SENT);
    struct cache_view immortal = entry("value");
    immortal.expires_at = 0;
    evaluate_on("mg k R1000\r\n", &immortal);
    assert_false(outcome.won);
}

TEST(a_stale_entry_is_won_once) {
    on_marked("mg k v\r\n", ENTRY_STALE, OUTCOME_HIT, CHANGE_MARKS);
    assert_true(outcome.stale && outcome.won && !outcome.lost);
    assert_int_equal(change.marks, ENTRY_STALE | ENTRY_TOKEN_SENT);
    on_marked("mg k v\r\n", ENTRY_STALE | ENTRY_TOKEN_SENT, OUTCOME_HIT, CHANGE_NONE);
    assert_true(outcome.stale && !outcome.won && outcome.lost);
    on_marked("get k\r\n", ENTRY_STALE, OUTCOME_HIT, CHANGE_NONE);
    on_marked("set k 0 0 1\r\nx\r\n", ENTRY_STALE, OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.marks, 0);
    on_marked("append k 0 0 1\r\nx\r\n", ENTRY_STALE, OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.marks, 0);
}

/* ---- ms ---- */

TEST(ms_stores_by_its_mode) {
    on_nothing("ms k 1 T60 F7 E5\r\nx\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_put("x", 7, NOW + 60, 5, 0);
    on_value("ms k 1 ME\r\nx\r\n", "old", OUTCOME_NOT_STORED, CHANGE_NONE);
    on_nothing("ms k 1 ME C9\r\nx\r\n", OUTCOME_STORED, CHANGE_PUT);
    on_nothing("ms k 1 MR\r\nx\r\n", OUTCOME_NOT_STORED, CHANGE_NONE);
    on_value("ms k 1 MR\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    on_value("ms k 1 MS\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    on_nothing("ms k 1 MA\r\nx\r\n", OUTCOME_NOT_STORED, CHANGE_NONE);
    on_value("ms k 1 MA T5 F9 E8\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("oldx", 5, NOW + 100, 8, 0);
    on_value("ms k 1 MP\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("xold", 5, NOW + 100, 0, 0);
    on_nothing("ms k 1 MA N30 T5 F9\r\nx\r\n", OUTCOME_STORED, CHANGE_PUT);
    assert_put("x", 9, NOW + 30, 0, 0);
}

TEST(ms_C_compares) {
    on_nothing("ms k 1 C1000\r\nx\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_nothing("ms k 1 C1000 MR\r\nx\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_value("ms k 1 C1000 E1001\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    assert_put("x", 0, 0, 1001, 0);
    on_value("ms k 1 C999\r\nx\r\n", "old", OUTCOME_EXISTS, CHANGE_NONE);
    on_value("ms k 1 C0\r\nx\r\n", "old", OUTCOME_EXISTS, CHANGE_NONE);
    on_value("ms k 1 C999 MA\r\nx\r\n", "old", OUTCOME_EXISTS, CHANGE_NONE);
    on_value("ms k 1 C0 MA\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
    on_value("ms k 1 C1000 MA\r\nx\r\n", "old", OUTCOME_STORED, CHANGE_PUT);
}

TEST(ms_I_stores_an_older_value_as_stale) {
    on_marked("ms k 1 C999 I T5\r\nx\r\n", 0, OUTCOME_STORED, CHANGE_PUT);
    assert_put("x", 0, NOW + 100, 0, ENTRY_STALE);
    on_marked("ms k 1 C999 I\r\nx\r\n", ENTRY_TOKEN_SENT, OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.marks, ENTRY_STALE | ENTRY_TOKEN_SENT);
    on_marked("ms k 1 C1001 I\r\nx\r\n", 0, OUTCOME_EXISTS, CHANGE_NONE);
    on_marked("ms k 1 C0 I\r\nx\r\n", 0, OUTCOME_EXISTS, CHANGE_NONE);
    on_marked("ms k 1 C1000 I\r\nx\r\n", ENTRY_STALE, OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.marks, 0);
    on_marked("ms k 1 I\r\nx\r\n", 0, OUTCOME_STORED, CHANGE_PUT);
    assert_int_equal(change.marks, 0);
}

/* ---- md ---- */

TEST(md_deletes_what_its_C_names) {
    on_nothing("md k\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_nothing("md k I x C5\r\n", OUTCOME_NOT_FOUND, CHANGE_NONE);
    on_value("md k\r\n", "v", OUTCOME_DELETED, CHANGE_DELETE);
    on_value("md k C1000\r\n", "v", OUTCOME_DELETED, CHANGE_DELETE);
    on_value("md k C999\r\n", "v", OUTCOME_EXISTS, CHANGE_NONE);
    on_value("md k C0\r\n", "v", OUTCOME_EXISTS, CHANGE_NONE);
}

TEST(md_I_marks_the_entry_stale) {
    on_marked("md k I\r\n", ENTRY_TOKEN_SENT, OUTCOME_DELETED, CHANGE_PUT);
    assert_put("value", 5, NOW + 100, 0, ENTRY_STALE);
    on_value("md k I T30 E7\r\n", "v", OUTCOME_DELETED, CHANGE_PUT);
    assert_put("v", 5, NOW + 30, 7, ENTRY_STALE);
    assert_ptr_equal(change.value.data, scratch);
}

TEST(md_x_clears_the_value) {
    on_value("md k x\r\n", "v", OUTCOME_DELETED, CHANGE_PUT);
    assert_put("", 0, 0, 1000, 0);
    on_value("md k x E7 T30\r\n", "v", OUTCOME_DELETED, CHANGE_PUT);
    assert_put("", 0, NOW + 30, 7, 0);
    on_value("md k x I\r\n", "v", OUTCOME_DELETED, CHANGE_PUT);
    assert_put("", 0, 0, 0, ENTRY_STALE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expiry_is_reckoned_as_memcached_does),
        cmocka_unit_test(commands_need_what_their_answer_hangs_on),
        cmocka_unit_test(a_get_shows_the_entry_and_a_gat_touches_it),
        cmocka_unit_test(a_touch_and_a_delete_change_what_exists),
        cmocka_unit_test(each_store_has_its_condition),
        cmocka_unit_test_teardown(an_exptime_of_zero_is_the_default_ttl, reset_default_ttl),
        cmocka_unit_test(a_cas_stores_over_the_version_it_names),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(a_number_is_counted_in_its_place),
        cmocka_unit_test(what_is_no_number_is_not_counted),
        cmocka_unit_test(counting_in_place_keeps_marks_and_fetched),
        cmocka_unit_test(ma_counts_as_its_flags_say),
        cmocka_unit_test(mg_shows_and_touches_as_its_flags_say),
        cmocka_unit_test(mg_N_makes_what_is_missing_and_wins_it),
        cmocka_unit_test(mg_R_wins_what_expires_soon),
        cmocka_unit_test(a_stale_entry_is_won_once),
        cmocka_unit_test(ms_stores_by_its_mode),
        cmocka_unit_test(ms_C_compares),
        cmocka_unit_test(ms_I_stores_an_older_value_as_stale),
        cmocka_unit_test(md_deletes_what_its_C_names),
        cmocka_unit_test(md_I_marks_the_entry_stale),
        cmocka_unit_test(md_x_clears_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
