/* SPDX-License-Identifier: MIT */
/* The slots of a Redis Cluster (backends/redis/slots.h): where a name is, and what nodes say of it. */
#include "backends/redis/internal.h"
#include "backends/redis/slots.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <stdlib.h>

static const struct redis_place asked = {.host = "10.0.0.9", .port = 7000};

TEST(crc_is_that_of_the_specification) {
    assert_int_equal(redis_crc16(SLICE("123456789")), 0x31c3);
    assert_int_equal(redis_crc16(SLICE("")), 0);
}

TEST(a_name_is_in_the_slot_that_redis_says) {
    static const struct {
        const char *name;
        unsigned slot;
    } cases[] = {
        {"foo", 12182},
        {"somekey", 11058},
        {"", 0},
        {"{user1000}.following", 3443},
        {"{user1000}.followers", 3443},
        {"user1000", 3443},
        {"foo{}{bar}", 8363},
        {"foo{{bar}}zap", 4015},
        {"{bar", 4015},
        {"foo{bar}{zap}", 5061},
        {"bar", 5061},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (redis_slot_of(slice_string(cases[i].name)) != cases[i].slot)
            fail_msg("%s: %u, not %u", cases[i].name, redis_slot_of(slice_string(cases[i].name)),
                     cases[i].slot);
}

TEST(each_slot_has_a_tag_that_leads_to_it) {
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        char name[40], tag[REDIS_TAG_SIZE];
        redis_slot_tag(slot, tag);
        snprintf(name, sizeof name, "forebay:x:{%.*s}a{b}", REDIS_TAG_SIZE, tag);
        assert_int_equal(redis_slot_of(slice_string(name)), slot);
    }
}

/* What a node says, as the reader of hiredis makes it. */
static redisReply *reply_of(const char *text) {
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    redisReaderFree(reader);
    assert_non_null(reply);
    return reply;
}

#define NODE(host, port, id) "*3\r\n" host "\r\n:" port "\r\n$2\r\n" id "\r\n"

TEST(a_map_is_made_of_what_a_node_says) {
    static struct redis_slot_map map;
    redisReply *reply = reply_of(
        "*4\r\n"
        "*4\r\n:0\r\n:99\r\n" NODE("$3\r\n::1", "7001", "aa")
            NODE("$1\r\nb", "7009", "bb") "*3\r\n:100\r\n:100\r\n" NODE(
                "$-1", "7002",
                "cc") "*3\r\n:200\r\n:16383\r\n" NODE("$3\r\n::1", "7001",
                                                      "aa") "*3\r\n:150\r\n:160\r\n" NODE("$1\r\n?", "7003",
                                                                                          "dd"));
    assert_true(redis_slots_read(reply, &asked, &map));
    freeReplyObject(reply);
    assert_int_equal(map.master_count, 2);
    assert_string_equal(map.masters[map.owner[99]].host, "::1");
    assert_string_equal(map.masters[map.owner[100]].host, "10.0.0.9"); /* where it was asked */
    assert_int_equal(map.masters[map.owner[100]].port, 7002);
    assert_int_equal(map.owner[101], REDIS_NOBODY);
    assert_int_equal(map.owner[155], REDIS_NOBODY); /* it is not known where its master is */
    assert_int_equal(map.owner[16383], map.owner[0]);
}

/* cluster-preferred-endpoint-type hostname, and none is announced. */
TEST(a_node_without_a_name_is_where_its_address_says) {
    static struct redis_slot_map map;
    redisReply *reply =
        reply_of("*1\r\n*3\r\n:0\r\n:16383\r\n"
                 "*4\r\n$1\r\n?\r\n:7003\r\n$2\r\naa\r\n*2\r\n$2\r\nip\r\n$8\r\n10.0.0.7\r\n");
    assert_true(redis_slots_read(reply, &asked, &map));
    freeReplyObject(reply);
    assert_int_equal(map.master_count, 1);
    assert_string_equal(map.masters[map.owner[7]].host, "10.0.0.7");
}

TEST(what_is_no_map_is_refused) {
    static const char *const texts[] = {
        "-ERR This instance has cluster support disabled\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("$1\r\na", "7001", "aa"),
        "*1\r\n*3\r\n:-1\r\n:1\r\n" NODE("$1\r\na", "7001", "aa"),
        "*1\r\n*3\r\n:2\r\n:1\r\n" NODE("$1\r\na", "7001", "aa"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        static struct redis_slot_map map;
        redisReply *reply = reply_of(texts[i]);
        assert_false(redis_slots_read(reply, &asked, &map));
        freeReplyObject(reply);
    }
}

#define WORD(size, word) "$" size "\r\n" word "\r\n"
#define MEMBER(port, role, health)                                                                           \
    "*10\r\n" WORD("2", "id") WORD("1", "x") WORD("4", "port") ":" port "\r\n" WORD("8", "endpoint")         \
        WORD("1", "h") role health
#define MASTER  WORD("4", "role") WORD("6", "master")
#define REPLICA WORD("4", "role") WORD("7", "replica")
#define FINE    WORD("6", "health") WORD("6", "online")
#define DEAD    WORD("6", "health") WORD("4", "fail")
#define SHARD(slots, count, members)                                                                         \
    "*4\r\n" WORD("5", "slots") slots WORD("5", "nodes") "*" count "\r\n" members

/* Where the slots of a shard are other's already (Redis 7.2 lists both masters), and where a dead one has none. */
TEST(a_node_knows_masters_with_and_without_slots) {
    static struct redis_known known;
    redisReply *reply = reply_of(
        "*5\r\n" SHARD("*4\r\n:0\r\n:8\r\n:10\r\n:10\r\n", "2",
                       MEMBER("1", MASTER, FINE) MEMBER("2", REPLICA, FINE))
            SHARD("*0\r\n", "1", MEMBER("3", MASTER, FINE)) SHARD("*0\r\n", "1", MEMBER("4", MASTER, DEAD))
                SHARD("*2\r\n:20\r\n:20\r\n", "1", MEMBER("5", MASTER, DEAD)) SHARD(
                    "*2\r\n:16383\r\n:16383\r\n", "2", MEMBER("6", MASTER, DEAD) MEMBER("7", MASTER, FINE)));
    assert_true(redis_shards_read(reply, &asked, &known));
    freeReplyObject(reply);
    const int ports[] = {1, 3, 5, 7};
    assert_int_equal(known.count, 4);
    for (size_t i = 0; i < known.count; i++)
        assert_int_equal(known.masters[i].port, ports[i]);
    assert_string_equal(known.masters[0].host, "h");
    assert_int_equal(known.owner[8], 0);
    assert_int_equal(known.owner[9], REDIS_NOBODY);
    assert_int_equal(known.owner[10], 0);
    assert_int_equal(known.owner[20], 2);
    assert_int_equal(known.owner[16383], 3);
}

TEST(what_tells_no_masters_is_refused) {
    static const char *const texts[] = {
        "-ERR unknown subcommand\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n" WORD("5", "slots") "*0\r\n",
        "*1\r\n" SHARD("*1\r\n:1\r\n", "1", MEMBER("1", MASTER, FINE)),
        "*1\r\n" SHARD("*2\r\n:1\r\n:16384\r\n", "1", MEMBER("1", MASTER, FINE)),
        "*1\r\n" SHARD("*2\r\n:-1\r\n:1\r\n", "1", MEMBER("1", MASTER, FINE)),
        "*1\r\n" SHARD("*0\r\n", "1", MEMBER("0", MASTER, FINE)), /* it is not known where it is */
        "*1\r\n" SHARD("*2\r\n:1\r\n:1\r\n", "1", MEMBER("1", REPLICA, FINE)), /* whose slot it is */
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        static struct redis_known known;
        redisReply *reply = reply_of(texts[i]);
        assert_false(redis_shards_read(reply, &asked, &known));
        freeReplyObject(reply);
    }
}

static bool assignments_in(const char *text, uint64_t *ret_assigned) {
    redisReply reply = {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)text, .len = strlen(text)};
    return redis_assignments_read(&reply, ret_assigned);
}

TEST(assignments_are_all_that_give_or_take_slots) {
    uint64_t assigned = 1;
    assert_true(assignments_in("# Commandstats\r\n", &assigned));
    assert_int_equal(assigned, 0);
    assert_true(assignments_in("# Commandstats\r\ncmdstat_cluster|addslots:calls=5,usec=9\r\n"
                               "cmdstat_cluster|setslot:calls=100,usec=9\r\n"
                               "cmdstat_cluster|delslotsrange:calls=20,usec=9\r\n"
                               "cmdstat_cluster|delslots:calls=1,usec=9,usec_per_call=9.00\r\n",
                               &assigned));
    assert_int_equal(assigned, 26);
    assert_false(assignments_in("# Server\r\ncmdstat_cluster|addslots:calls=5", &assigned));
    redisReply nil = {.type = REDIS_REPLY_NIL};
    assert_false(redis_assignments_read(&nil, &assigned));
}

TEST(answers_of_one_cluster_share_a_node) {
    redisReply *first =
        reply_of("*1\r\n*4\r\n:0\r\n:99\r\n" NODE("$1\r\na", "1", "aa") NODE("$1\r\na", "2", "bb"));
    redisReply *promoted = reply_of("*1\r\n*3\r\n:0\r\n:99\r\n" NODE("$1\r\na", "2", "bb"));
    redisReply *other = reply_of("*1\r\n*3\r\n:0\r\n:99\r\n" NODE("$1\r\na", "2", "cc"));
    assert_true(redis_slots_share_node(first, promoted));
    assert_true(redis_slots_share_node(promoted, first));
    assert_false(redis_slots_share_node(first, other));
    freeReplyObject(first);
    freeReplyObject(promoted);
    freeReplyObject(other);
}

/* wire.c: whatever is announced, no memory is asked for more values than a store has reason to send. */
TEST(an_array_of_a_billion_is_refused_before_it_comes) {
    static const char *const answers[] = {"*1048577\r\n", "*1000000000\r\n", "*2147483647\r\n",
                                          "*1\r\n*1000000000\r\n"};
    void *reply = NULL;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        redisReader *reader = redisReaderCreate();
        redis_bound_arrays(reader);
        redis_bound_arrays(reader);
        assert_int_equal(redisReaderFeed(reader, answers[i], strlen(answers[i])), REDIS_OK);
        assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_ERR);
        assert_null(reply);
        redisReaderFree(reader);
    }
    redisReader *reader = redisReaderCreate();
    redis_bound_arrays(reader);
    assert_int_equal(redisReaderFeed(reader, "*2\r\n*0\r\n:7\r\n", 12), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_int_equal(((redisReply *)reply)->element[1]->integer, 7);
    freeReplyObject(reply);
    redisReaderFree(reader);
}

TEST(a_redirection_is_taken_apart) {
    unsigned slot;
    struct redis_place place;
    assert_true(redis_redirection_read(SLICE("MOVED 3999 127.0.0.1:6381"), &asked, &slot, &place));
    assert_int_equal(slot, 3999);
    assert_string_equal(place.host, "127.0.0.1");
    assert_int_equal(place.port, 6381);
    assert_true(redis_redirection_read(SLICE("ASK 0 ::1:6381"), &asked, &slot, &place));
    assert_string_equal(place.host, "::1");
    assert_true(redis_redirection_read(SLICE("MOVED 1 :6382"), &asked, &slot, &place));
    assert_string_equal(place.host, "10.0.0.9");
    static const char *const others[] = {"",
                                         "MOVED ",
                                         "MOVED 1",
                                         "MOVED 1 ",
                                         "MOVED 1 a",
                                         "MOVED 1 a:",
                                         "MOVED 1 a:0",
                                         "MOVED 1 a:65536",
                                         "MOVED 1 a:1x",
                                         "MOVED 16384 a:1",
                                         "MOVED -1 a:1",
                                         "MOVED 1 ?:1",
                                         "ERR 1 a:1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(redis_redirection_read(slice_string(others[i]), &asked, &slot, &place));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_that_of_the_specification),
        cmocka_unit_test(a_name_is_in_the_slot_that_redis_says),
        cmocka_unit_test(each_slot_has_a_tag_that_leads_to_it),
        cmocka_unit_test(a_map_is_made_of_what_a_node_says),
        cmocka_unit_test(a_node_without_a_name_is_where_its_address_says),
        cmocka_unit_test(what_is_no_map_is_refused),
        cmocka_unit_test(a_node_knows_masters_with_and_without_slots),
        cmocka_unit_test(what_tells_no_masters_is_refused),
        cmocka_unit_test(assignments_are_all_that_give_or_take_slots),
        cmocka_unit_test(answers_of_one_cluster_share_a_node),
        cmocka_unit_test(an_array_of_a_billion_is_refused_before_it_comes),
        cmocka_unit_test(a_redirection_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
