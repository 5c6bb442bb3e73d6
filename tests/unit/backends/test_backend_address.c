/* SPDX-License-Identifier: MIT */
/* URIs: which kind of store serves them (backends/registry.c), what a Redis URI says (backends/redis/address.h). */
#include "backends/kinds.h"
#include "backends/redis/address.h"
#include "tests/support/check.h"
#include <stdio.h>

TEST(a_scheme_finds_its_kind) {
    assert_ptr_equal(backend_find("sqlite:store.db"), &sqlite_backend);
    assert_ptr_equal(backend_find("redis://host"), &redis_backend);
    assert_ptr_equal(backend_find("redis+unix:///run/redis.sock"), &redis_backend);
    const char *unknown[] = {"",        "sqlite",    "redis", "mysql://host",
                             "sqlit:x", "sqlite3:x", ":",     "rediss://host"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_null(backend_find(unknown[i]));
    char schemes[80];
    backend_list_schemes(schemes, sizeof schemes);
    assert_string_equal(schemes, "sqlite, redis, redis+unix, redis+sentinel, redis+cluster");
}

TEST(every_part_of_an_address_is_found) {
    static const struct {
        const char *uri, *host, *path;
        int port;
        unsigned database;
        const char *user, *password, *shown;
    } cases[] = {
        {"redis://h", "h", "", 6379, 0, "", "", "h:6379/0"},
        {"redis://h/", "h", "", 6379, 0, "", "", "h:6379/0"},
        {"redis://h:1/15", "h", "", 1, 15, "", "", "h:1/15"},
        {"redis://:pw@h:65535", "h", "", 65535, 0, "", "pw", "h:65535/0"},
        {"redis://u:p%40%2F%3a@h/2", "h", "", 6379, 2, "u", "p@/:", "h:6379/2"},
        {"redis://u:p@w:d@h", "h", "", 6379, 0, "u", "p@w:d", "h:6379/0"},
        {"redis://[::1]:7/3", "::1", "", 7, 3, "", "", "[::1]:7/3"},
        {"redis://[fe80::1]", "fe80::1", "", 6379, 0, "", "", "[fe80::1]:6379/0"},
        {"redis+unix:///run/r.sock", "", "/run/r.sock", 6379, 0, "", "", "/run/r.sock?db=0"},
        {"redis+unix:///r?db=4", "", "/r", 6379, 4, "", "", "/r?db=4"},
        {"redis://:a%2Fb@h", "h", "", 6379, 0, "", "a/b", "h:6379/0"},
        {"redis://cache_1.example-2.org.", "cache_1.example-2.org.", "", 6379, 0, "", "",
         "cache_1.example-2.org.:6379/0"},
        {"redis://[fe80::1%25eth0]", "fe80::1%eth0", "", 6379, 0, "", "", "[fe80::1%eth0]:6379/0"},
        {"redis+unix://u:a%2fb@/run/r", "", "/run/r", 6379, 0, "u", "a/b", "/run/r?db=0"},
        {"redis+unix://u:p@/r@x", "", "/r@x", 6379, 0, "u", "p", "/r@x?db=0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_address address;
        const char *problem = "";
        if (!redis_address_parse(cases[i].uri, &address, &problem))
            fail_msg("%s: %s", cases[i].uri, problem);
        assert_string_equal(address.place.host, cases[i].host);
        assert_string_equal(address.path, cases[i].path);
        assert_int_equal(address.place.port, cases[i].port);
        assert_int_equal(address.database, cases[i].database);
        assert_string_equal(address.user, cases[i].user);
        assert_string_equal(address.password, cases[i].password);
        assert_string_equal(address.shown, cases[i].shown);
    }
}

TEST(sentinels_and_the_name_of_their_master_are_found) {
    struct redis_address address;
    const char *problem = "";
    if (!redis_address_parse("redis+sentinel://u:p%2Fw@a,[::1]:7,b.c.:8/my-master.1_x?db=4", &address,
                             &problem))
        fail_msg("%s", problem);
    assert_string_equal(address.user, "u");
    assert_string_equal(address.password, "p/w");
    assert_string_equal(address.master, "my-master.1_x");
    assert_int_equal(address.database, 4);
    assert_int_equal(address.sentinel_count, 3);
    assert_string_equal(address.sentinels[0].host, "a");
    assert_int_equal(address.sentinels[0].port, 26379);
    assert_string_equal(address.sentinels[1].host, "::1");
    assert_int_equal(address.sentinels[1].port, 7);
    assert_string_equal(address.sentinels[2].host, "b.c.");
    assert_int_equal(address.sentinels[2].port, 8);
    assert_string_equal(address.shown, "the address of master \"my-master.1_x\"");
    redis_address_take_master(&address, &(struct redis_place){"::2", 9});
    assert_string_equal(address.place.host, "::2");
    assert_string_equal(address.shown, "[::2]:9/4 (master \"my-master.1_x\")");
    assert_true(redis_address_parse("redis+sentinel://h:1/m", &address, &problem));
    assert_int_equal(address.database, 0);
    assert_string_equal(address.place.host, "");
}

TEST(nodes_of_a_cluster_are_found) {
    struct redis_address address;
    const char *problem = "";
    if (!redis_address_parse("redis+cluster://u:p@a:7000,[::1]:7001,b", &address, &problem))
        fail_msg("%s", problem);
    assert_string_equal(address.user, "u");
    assert_int_equal(address.seed_count, 3);
    assert_int_equal(address.seeds[0].port, 7000);
    assert_string_equal(address.seeds[1].host, "::1");
    assert_int_equal(address.seeds[2].port, 6379);
    redis_address_take_node(&address, &address.seeds[1]);
    assert_string_equal(address.shown, "[::1]:7001");
    assert_true(redis_address_parse("redis+cluster://h/0", &address, &problem));
    assert_true(redis_address_parse("redis+cluster://h?db=0", &address, &problem));
    assert_false(redis_address_parse("redis+cluster://h/1", &address, &problem));
    assert_non_null(strstr(problem, "no database but 0"));
}

TEST(bad_addresses_have_a_problem_without_secrets) {
    static const char *const uris[] = {
        "",
        "redis:",
        "redis://",
        "redis://:x@",
        "redis://h:",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:x",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h/-1",
        "redis://secret@h",
        "redis://u:%zz@h",
        "redis://u:%0@h",
        "redis://u:%00@h",
        "redis://u:secret%@h",
        "redis://[::1",
        "redis://[::1]x",
        "redis://[]",
        "redis://h/99999999999",
        "redis+unix://path",
        "redis+unix://",
        "redis+unix:///r?x=1",
        "redis+unix:///r?db=",
        "REDIS://h",
        /* as an operator may write them */
        "redis://:secret@host:99999/0",
        "redis://secret@host",
        "redis://:secret%zz@h:1",
        "redis:secret@host",
        "redis://h:1/x@",
        "redis://h:1/0?x=1",
        "redis://h?db=1",
        "redis://h#1",
        "redis://h h",
        "redis://h,g:1",
        "redis://http://h",
        "redis://[h]:",
        "redis+cluster://",
        "redis+cluster://h,",
        "redis+cluster://h:0",
        "redis+cluster://h?db=3",
        "redis+cluster://secret@h",
        "redis+cluster://:se/cret@h",
        "redis+sentinel://",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h/?db=1",
        "redis+sentinel:///m",
        "redis+sentinel://h,/m",
        "redis+sentinel://,h/m",
        "redis+sentinel://h:0/m",
        "redis+sentinel://h;g/m",
        "redis+sentinel://h/m/1",
        "redis+sentinel://h/m?x=1",
        "redis+sentinel://h/m?db=x",
        "redis+sentinel://h/my master",
        "redis+sentinel://secret@h/m",
        "redis+sentinel://:se/cret@h/m",
        "redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/m",
    };
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct redis_address address = {.place.port = 77};
        const char *problem = NULL;
        if (redis_address_parse(uris[i], &address, &problem))
            fail_msg("%s was taken", uris[i]);
        assert_non_null(problem);
        assert_null(strstr(problem, "secret"));
        assert_int_equal(address.place.port, 77); /* untouched */
    }
}

/* A password with a '/' is what makes an address hard to understand: its end looks like a database. */
TEST(a_slash_in_a_password_is_named_with_its_remedy) {
    static const char *const cases[][2] = {
        {"redis://:a/b@h", "%2F"},    {"redis://u:1/b@h:1/0", "%2F"},
        {"redis://u:a@b/c@h", "%2F"}, {"redis+unix://:a/b@/run/r.sock", "%2F"},
        {"redis://:a%zz@h", "%25"},   {"redis://:100%@h", "%25"},
        {"redis+unix:///r?x", "%3F"}, {"redis://fe80::1", "[ ]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_address address;
        const char *problem = "";
        if (redis_address_parse(cases[i][0], &address, &problem) || !strstr(problem, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], problem);
    }
}

TEST(parts_that_are_too_long_are_refused) {
    static char uri[2000];
    struct redis_address address;
    const char *problem;
    for (int size = 1; size < 600; size++) {
        snprintf(uri, sizeof uri, "redis://%0*d", size, 0);
        assert_int_equal(redis_address_parse(uri, &address, &problem), size < (int)sizeof address.place.host);
        snprintf(uri, sizeof uri, "redis://:%0*d@h", size, 0);
        assert_int_equal(redis_address_parse(uri, &address, &problem), size < (int)sizeof address.password);
        snprintf(uri, sizeof uri, "redis+unix:///%0*d", size, 0);
        assert_int_equal(redis_address_parse(uri, &address, &problem), size + 1 < (int)sizeof address.path);
        snprintf(uri, sizeof uri, "redis+sentinel://h/%0*d", size, 0);
        assert_int_equal(redis_address_parse(uri, &address, &problem), size < (int)sizeof address.master);
    }
}

TEST(a_uri_is_shown_without_user_and_password) {
    static const char *const cases[][2] = {
        {"redis://host:1/2", "redis://host:1/2"},
        {"redis://user:secret@host:1/2", "redis://***@host:1/2"},
        {"redis://:secret@host", "redis://***@host"},
        {"redis://user:sec@ret@host", "redis://***@host"},
        {"redis://user:sec/ret@host", "redis://***@host"},
        {"redis+unix://user:secret@/run/r.sock?db=1", "redis+unix://***@/run/r.sock?db=1"},
        {"redis+sentinel://user:secret@a,b/m", "redis+sentinel://***@a,b/m"},
        {"rediss://user:secret@host", "rediss://***@host"},
        {"mysql:user:secret@host", "mysql:***@host"},
        {"secret@host", "***@host"},
        {"user:secret@host", "user:***@host"},
        {"sqlite:/srv/a@b.db", "sqlite:/srv/a@b.db"},
        {"", ""},
    };
    char shown[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        backend_show_uri(cases[i][0], shown, sizeof shown);
        assert_string_equal(shown, cases[i][1]);
    }
    backend_show_uri("redis://user:secret@host", shown, 14);
    assert_string_equal(shown, "redi ... host");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheme_finds_its_kind),
        cmocka_unit_test(a_uri_is_shown_without_user_and_password),
        cmocka_unit_test(every_part_of_an_address_is_found),
        cmocka_unit_test(sentinels_and_the_name_of_their_master_are_found),
        cmocka_unit_test(nodes_of_a_cluster_are_found),
        cmocka_unit_test(bad_addresses_have_a_problem_without_secrets),
        cmocka_unit_test(a_slash_in_a_password_is_named_with_its_remedy),
        cmocka_unit_test(parts_that_are_too_long_are_refused),
    };
    return cmocka_run_group_tests_name("backend address", tests, NULL, NULL);
}
