/* SPDX-License-Identifier: MIT */
/* A Redis Cluster whose slots move and whose rows others change: watchers, and keys page by page. */
#include "tests/support/heard.h"
#include "tests/support/redis_cluster_fixture.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A slot without rows goes to another master, as all of them know. */
static void give_away(unsigned slot, int to) {
    char name[64];
    snprintf(name, sizeof name, "%s", redis_server_ask(&masters[to], "CLUSTER MYID"));
    for (int i = MASTERS; i-- > 0;)
        assert_string_equal(redis_server_ask(&masters[i], "CLUSTER SETSLOT %u NODE %s", slot, name), "OK");
}

/* ---- Slots that move ---- */

/* The slot of the first master's number, in which are our own keys alone, on its way to the second one. */
struct move {
    int slot;
    char applied[80], high[80], mark[80], from[64], to[64];
};

static void find_number(struct move *move) {
    *move = (struct move){.high = "forebay: high_version:", .mark = "forebay: store:"};
    snprintf(move->applied, sizeof move->applied, "%s",
             redis_server_ask(&masters[0], "KEYS forebay:?applied:*"));
    strcat(move->high, strchr(move->applied, '{'));
    strcat(move->mark, strchr(move->applied, '{'));
    move->slot = atoi(redis_server_ask(&masters[0], "CLUSTER KEYSLOT %s", move->applied));
    snprintf(move->from, sizeof move->from, "%s", redis_server_ask(&masters[0], "CLUSTER MYID"));
    snprintf(move->to, sizeof move->to, "%s", redis_server_ask(&masters[1], "CLUSTER MYID"));
}

static void begin_move(const struct move *move) {
    redis_server_ask(&masters[1], "CLUSTER SETSLOT %d IMPORTING %s", move->slot, move->from);
    redis_server_ask(&masters[0], "CLUSTER SETSLOT %d MIGRATING %s", move->slot, move->to);
}

static void move_key(const char *key) {
    redis_server_ask(&masters[0], "MIGRATE 127.0.0.1 %d %s 0 5000", masters[1].port, key);
}

static void end_move(const struct move *move) {
    assert_string_equal(redis_server_ask(&masters[0], "CLUSTER COUNTKEYSINSLOT %d", move->slot), "0");
    for (int i = MASTERS; i-- > 0;)
        assert_string_equal(redis_server_ask(&masters[i], "CLUSTER SETSLOT %d NODE %s", move->slot, move->to),
                            "OK");
}

/* lost: all but the number. */
static void move_number(bool lost) {
    struct move move;
    find_number(&move);
    begin_move(&move);
    if (lost)
        assert_string_equal(redis_server_ask(&masters[0], "DEL %s", move.applied), "1");
    move_key(move.high);
    move_key(move.applied);
    end_move(&move);
}

TEST(numbers_go_with_their_slots) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    for (uint64_t turn = 1; turn <= 3; turn++) {
        move_number(false);
        assert_ok(fixture, look(fixture, fixture->writer));
        assert_ok(fixture, put_rows(fixture, 1000 + 100 * turn));
    }
    move_number(true);
    eventually(look(fixture, fixture->writer) == BACKEND_REPLACED);
}

/* Then the number is set in another slot, in which the high version has to be raised as well. */
TEST(a_slot_may_begin_to_move_between_the_high_version_of_a_batch_and_its_number) {
    struct fixture *fixture = *state;
    struct move move;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    find_number(&move);
    assert_string_equal(redis_server_ask(&masters[0], "SET %s ours", move.mark),
                        "OK"); /* both keys stay here */
    begin_move(&move);
    move_key(move.applied);
    assert_ok(fixture, put_rows(fixture, 2000));
    move_key(move.high);
    move_key(move.mark);
    end_move(&move);
    assert_ok(fixture, put_rows(fixture, 3000));
    assert_ok(fixture, look(fixture, fixture->writer));
}

/* It cannot be given a number before it has a slot. */
TEST(a_master_without_slots_takes_rows_of_its_first_one) {
    struct fixture *fixture = *state;
    char from[64], to[64];
    int source = 0, slot = atoi(redis_server_ask(&masters[0], "CLUSTER KEYSLOT sess:0"));
    while (strncmp(redis_server_ask(&masters[source], "GET sess:0"), "-MOVED", 6) == 0)
        source++;
    snprintf(from, sizeof from, "%s", redis_server_ask(&masters[source], "CLUSTER MYID"));
    snprintf(to, sizeof to, "%s", redis_server_ask(&fresh, "CLUSTER MYID"));
    eventually(strcmp(redis_server_ask(&fresh, "CLUSTER SETSLOT %d IMPORTING %s", slot, from), "OK") == 0);
    eventually(
        strcmp(redis_server_ask(&masters[source], "CLUSTER SETSLOT %d MIGRATING %s", slot, to), "OK") == 0);
    open_writer(fixture, &fixture->writer);
    enum backend_status status = put_rows(fixture, 1000);
    assert_string_equal(redis_server_ask(&masters[source], "CLUSTER SETSLOT %d STABLE", slot), "OK");
    assert_string_equal(redis_server_ask(&fresh, "DBSIZE"), "1");
    assert_string_equal(redis_server_ask(&fresh, "FLUSHALL"), "OK");
    assert_string_equal(redis_server_ask(&fresh, "CLUSTER SETSLOT %d STABLE", slot), "OK");
    assert_int_equal(status, BACKEND_OK);
}

/* ---- What others change ---- */

static struct heard hear(struct fixture *fixture) {
    if (!fixture->other)
        assert_ok(fixture,
                  redis_backend.open(&fixture->options, BACKEND_WATCHER, &fixture->other, &fixture->error));
    return hear_all(fixture->other);
}

TEST(a_watcher_hears_all_masters) {
    struct fixture *fixture = *state;
    open_writer(fixture, &fixture->writer);
    struct heard heard = hear(fixture);
    assert_int_not_equal(heard.lost, 0); /* those of the map, and then the one without slots */
    assert_int_equal(heard_keys(&heard), 0);
    assert_ok(fixture, put_rows(fixture, 1000));
    heard = hear(fixture);
    assert_int_equal(heard.lost, 0);
    assert_int_equal(heard_keys(&heard), ROWS);
    assert_string_equal(redis_server_ask(&masters[1], "FLUSHALL"), "OK");
    assert_int_equal(hear(fixture).lost, 1);
}

TEST(a_watcher_that_one_master_cuts_off_says_so_and_begins_anew) {
    struct fixture *fixture = *state;
    struct heard heard = hear(fixture);
    assert_string_equal(redis_server_ask(&masters[1], "CLIENT KILL TYPE pubsub"), "1");
    while (hear_once(fixture->other, &heard, &fixture->error) == BACKEND_OK)
        continue;
    heard = hear(fixture);
    assert_int_equal(heard.lost, 1);
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    heard = hear(fixture);
    assert_int_equal(heard.lost, 0);
    assert_int_equal(heard_keys(&heard), ROWS);
}

/* All slots are served again. */
static void await_whole(void) {
    for (int i = 0; i < MASTERS; i++)
        eventually(strstr(redis_server_ask(&masters[i], "CLUSTER INFO"), "cluster_state:ok"));
}

TEST(slots_that_move_or_lose_their_master_are_told) {
    struct fixture *fixture = *state;
    enum { EMPTY = 16383 };
    struct heard heard = hear(fixture);
    assert_int_equal(heard.moved, 0);
    give_away(EMPTY, 0);
    heard = hear(fixture);
    assert_true(heard.moved > 0);
    assert_int_equal(heard.lost, 0);
    give_away(EMPTY, MASTERS - 1);
    assert_true(hear(fixture).moved > 0);
    for (int i = 0; i < MASTERS; i++)
        assert_string_equal(redis_server_ask(&masters[i], "CLUSTER DELSLOTS %d", EMPTY), "OK");
    assert_true(hear(fixture).lost > 0);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "CLUSTER ADDSLOTS %d", EMPTY), "OK");
    assert_true(hear(fixture).lost > 0);
    await_whole();
}

/* Between two looks at the map, in which nothing shows. Only its owner is told: the others go on taking it for that. */
TEST(a_slot_that_is_taken_and_given_back_at_once_is_told) {
    struct fixture *fixture = *state;
    enum { EMPTY = 16383 };
    hear(fixture);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "CLUSTER DELSLOTS %d", EMPTY), "OK");
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "CLUSTER ADDSLOTS %d", EMPTY), "OK");
    assert_true(hear(fixture).lost > 0);
    assert_int_equal(hear(fixture).lost, 0);
    await_whole();
}

/* All masters were heard in time. On a busy machine one may be late, for once. */
static bool hear_in_time(struct fixture *fixture, struct heard *heard) {
    uint64_t now_us = monotonic_us();
    *heard = heard_nothing();
    while (hear_once(fixture->other, heard, &fixture->error) == BACKEND_OK)
        if (heard->proven_us >= now_us)
            return true;
    return false;
}

TEST(one_master_that_hangs_keeps_all_from_being_proven) {
    struct fixture *fixture = *state;
    struct heard heard;
    fixture->options.timeout_ms = 300;
    assert_ok(fixture,
              redis_backend.open(&fixture->options, BACKEND_WATCHER, &fixture->other, &fixture->error));
    eventually(hear_in_time(fixture, &heard));
    redis_server_pause(&masters[2], true);
    uint64_t paused_us = monotonic_us();
    while (hear_once(fixture->other, &heard, &fixture->error) == BACKEND_OK) /* until the timeout */
        assert_true(heard.proven_us < paused_us);
    assert_non_null(strstr(fixture->error.message, "no answer in time"));
    redis_server_pause(&masters[2], false);
    heard = heard_nothing();
    while (hear_once(fixture->other, &heard, &fixture->error) != BACKEND_OK)
        continue;
    assert_true(heard.lost > 0);
}

/* In time to find out that a master is silent. On a busy machine others may be late as well, for once. */
static enum backend_status ask_versions(struct fixture *fixture, const struct slice *keys,
                                        uint64_t *ret_versions, unsigned *ret_unasked) {
    enum { SILENCE_US = 300000 };
    fixture->writer->call_until_us = monotonic_us() + SILENCE_US;
    enum backend_status status =
        redis_backend.versions(fixture->writer, &fixture->table, keys, ROWS, ret_versions, &fixture->error);
    *ret_unasked = 0;
    for (unsigned i = 0; i < ROWS && fixture->writer->partial; i++)
        *ret_unasked += ret_versions[i] == BACKEND_VERSION_UNASKED;
    return status;
}

TEST(versions_are_those_of_all_masters_that_answer) {
    struct fixture *fixture = *state;
    struct slice keys[ROWS];
    char names[ROWS][16];
    uint64_t versions[ROWS];
    unsigned unasked = 0;
    open_writer(fixture, &fixture->writer);
    eventually(put_rows(fixture, 1000) == BACKEND_OK);
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "sess:%u", i);
        keys[i] = slice_string(names[i]);
    }
    eventually(redis_backend.versions(fixture->writer, &fixture->table, keys, ROWS, versions,
                                      &fixture->error) == BACKEND_OK);
    for (unsigned i = 0; i < ROWS; i++)
        assert_int_equal(versions[i], 1000 + i);
    redis_server_pause(&masters[0], true);
    eventually(ask_versions(fixture, keys, versions, &unasked) == BACKEND_TRANSIENT && unasked > 0 &&
               unasked < ROWS);
    redis_server_pause(&masters[0], false);
    for (unsigned i = 0; i < ROWS; i++)
        assert_true(versions[i] == BACKEND_VERSION_UNASKED || versions[i] == 1000 + i);
}

/* ---- Page by page ---- */

struct page_reader {
    struct backend_visitor visitor;
    struct backend_place place;
    bool seen[ROWS];
    unsigned pages;
};

static bool see_key(struct backend_visitor *self, const struct entry *entry) {
    struct page_reader *reader = (struct page_reader *)(void *)self;
    char number[8] = "";
    assert_true(slice_starts_with(entry->key, SLICE("sess:")));
    memcpy(number, entry->key.data + 5, entry->key.size - 5);
    reader->seen[atoi(number)] = true;
    return true;
}

static struct page_reader *begin_pages(struct page_reader *reader) {
    *reader = (struct page_reader){.visitor = {see_key, .keys_only = true, .all_keys = true}};
    reader->visitor.place = &reader->place;
    return reader;
}

static void read_page(struct fixture *fixture, struct page_reader *reader) {
    if (redis_backend.scan(fixture->writer, &fixture->table, SIZE_MAX, 0, &reader->visitor,
                           &fixture->error) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    reader->pages++;
}

static void expect_all_seen(const struct page_reader *reader) {
    for (size_t i = 0; i < ROWS; i++)
        assert_true(reader->seen[i]);
}

TEST(pages_go_over_all_masters) {
    struct fixture *fixture = *state;
    struct page_reader reader;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    for (begin_pages(&reader); !reader.place.end;)
        read_page(fixture, &reader);
    assert_int_equal(reader.pages, MASTERS);
    expect_all_seen(&reader);
}

TEST(pages_begin_anew_where_a_slot_has_moved) {
    struct fixture *fixture = *state;
    enum { EMPTY = 16383 };
    struct page_reader reader;
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    begin_pages(&reader);
    read_page(fixture, &reader);
    read_page(fixture, &reader);
    give_away(EMPTY, 0);
    memset(reader.seen, 0, sizeof reader.seen);
    while (!reader.place.end)
        read_page(fixture, &reader);
    expect_all_seen(&reader);
    assert_int_equal(reader.pages, 2 + MASTERS);
    give_away(EMPTY, MASTERS - 1);
}

TEST(pages_have_no_end_while_a_slot_moves) {
    struct fixture *fixture = *state;
    enum { EMPTY = 16383 };
    struct page_reader reader;
    char name[64];
    open_writer(fixture, &fixture->writer);
    assert_ok(fixture, put_rows(fixture, 1000));
    snprintf(name, sizeof name, "%s", redis_server_ask(&masters[0], "CLUSTER MYID"));
    assert_string_equal(
        redis_server_ask(&masters[MASTERS - 1], "CLUSTER SETSLOT %d MIGRATING %s", EMPTY, name), "OK");
    for (begin_pages(&reader); reader.pages < MASTERS;)
        read_page(fixture, &reader);
    assert_int_equal(reader.place.size, 0); /* the beginning */
    assert_false(reader.place.end);
    assert_string_equal(redis_server_ask(&masters[MASTERS - 1], "CLUSTER SETSLOT %d STABLE", EMPTY), "OK");
    while (!reader.place.end)
        read_page(fixture, &reader);
    assert_int_equal(reader.pages, 2 * MASTERS);
    expect_all_seen(&reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_watcher_hears_all_masters),
        CASE(a_watcher_that_one_master_cuts_off_says_so_and_begins_anew),
        CASE(slots_that_move_or_lose_their_master_are_told),
        CASE(a_slot_that_is_taken_and_given_back_at_once_is_told),
        CASE(one_master_that_hangs_keeps_all_from_being_proven),
        CASE(versions_are_those_of_all_masters_that_answer),
        CASE(numbers_go_with_their_slots),
        CASE(a_slot_may_begin_to_move_between_the_high_version_of_a_batch_and_its_number),
        CASE(a_master_without_slots_takes_rows_of_its_first_one),
        CASE(pages_go_over_all_masters),
        CASE(pages_begin_anew_where_a_slot_has_moved),
        CASE(pages_have_no_end_while_a_slot_moves),
    };
    signal(SIGPIPE, SIG_IGN);
    fresh.cluster = true;
    if (!redis_server_start(&fresh) || !redis_server_start_cluster(masters, MASTERS)) {
        fprintf(stderr, "redis-server (Debian: redis-server) is needed for these tests\n");
        return 1;
    }
    redis_server_join(&fresh, &masters[0]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_stop(&fresh);
    for (int i = 0; i < MASTERS; i++)
        redis_server_stop(&masters[i]);
    return failed;
}
