/* SPDX-License-Identifier: MIT */
/* What a reload would change: every setting of every table, one by one, and sections that come and go. */
#include "backends/redis/options.h"
#include "backends/sqlite/options.h"
#include "policies/policy.h"
#include "server/config/change.h"
#include "server/config/internal.h"
#include "tests/support/check.h"
#include <stdio.h>

enum { SPACES = 2, BACKENDS = 2 };

/* A configuration of two backends, one of each kind, and a namespace over each. */
struct sides {
    struct settings settings;
    struct tier_backend_options backends[BACKENDS];
    struct space_options spaces[SPACES];
    struct sqlite_options sqlite;
    struct redis_options redis;
    struct sqlite_table_options sqlite_table;
    struct redis_table_options redis_table;
};

static void take(const char *uri, enum section_kind kind, struct backend_specific *ret_specific) {
    const struct backend_type *type = backend_find(uri);
    assert_true(backend_take_specific(type, config_table_of(type, kind), NULL, ret_specific));
}

static void make(struct sides *sides) {
    *sides = (struct sides){0};
    settings_defaults(&sides->settings);
    take("sqlite:a", SECTION_BACKEND, &sides->sqlite.base);
    take("redis://a", SECTION_BACKEND, &sides->redis.base);
    take("sqlite:a", SECTION_NAMESPACE, &sides->sqlite_table.base);
    take("redis://a", SECTION_NAMESPACE, &sides->redis_table.base);
    sides->backends[0].store = (struct backend_options){"near", "sqlite:a", .specific = &sides->sqlite.base};
    sides->backends[1].store = (struct backend_options){"far", "redis://a", .specific = &sides->redis.base};
    for (int i = 0; i < SPACES; i++) {
        tier_backend_options_complete(&sides->backends[i]);
        space_options_set_defaults(&sides->spaces[i]);
        sides->spaces[i].backend = i;
        sides->spaces[i].policy = &policy_write_behind;
    }
    sides->spaces[0].name = "sessions";
    sides->spaces[0].prefix = "s:";
    sides->spaces[0].table.specific = &sides->sqlite_table.base;
    sides->spaces[1].name = "carts";
    sides->spaces[1].prefix = "c:";
    sides->spaces[1].table.specific = &sides->redis_table.base;
    sides->settings.auth_file = sides->settings.admin_token_file = "/a";
    sides->settings.tier.spaces = sides->spaces;
    sides->settings.tier.space_count = SPACES;
    sides->settings.tier.backends = sides->backends;
    sides->settings.tier.backend_count = BACKENDS;
}

static struct config_changes find(const struct sides *a, const struct sides *b) {
    struct config_changes changes;
    assert_true(config_find_changes(&a->settings, &b->settings, &changes));
    return changes;
}

/* The one change between the two. */
static void expect(const struct sides *a, const struct sides *b, enum config_change_kind kind,
                   const char *text) {
    struct config_changes changes = find(a, b);
    if (changes.count != 1 || changes.list[0].kind != kind || strcmp(changes.list[0].text, text) != 0)
        fail_msg("expected \"%s\", and of %zu changes the first is %d \"%s\"", text, changes.count,
                 changes.count ? (int)changes.list[0].kind : -1, changes.count ? changes.list[0].text : "");
    config_changes_free(&changes);
}

static void expect_none(const struct sides *a, const struct sides *b) {
    struct config_changes changes = find(a, b);
    assert_int_equal(changes.count, 0);
    config_changes_free(&changes);
}

/* Gives the member another value than it has. */
static void alter(const struct setting *setting, void *target) {
    char *at = (char *)target + setting->offset;
    switch (setting->type) {
    case SETTING_TEXT:
        *(const char **)at = "/altered";
        break;
    case SETTING_NAME:
        *(const char **)at = setting->words[strcmp(*(const char **)at, setting->words[0]) == 0];
        break;
    case SETTING_WORD:
        *(int *)at = *(int *)at == 0;
        break;
    case SETTING_SWITCH:
        *(bool *)at ^= true;
        break;
    case SETTING_SIZE:
        *(size_t *)at += 1;
        break;
    case SETTING_COUNT:
    case SETTING_MILLISECONDS:
    case SETTING_SECONDS:
        *(uint32_t *)at += 1;
        break;
    case SETTING_LIST:
        break;
    }
}

/* ---- Every setting ---- */

static void check_classified(const struct setting *setting, const char *where) {
    if (setting->change != SETTING_LIVE && setting->change != SETTING_FIXED)
        fail_msg("%s: %s says not whether a reload can change it: give its row .change", where,
                 setting->name);
}

static void every_setting_says_whether_it_can_change(void **state) {
    (void)state;
    static const char *const sections[] = {"top level", "backend", "namespace", "user"};
    for (enum section_kind kind = SECTION_ROOT; kind < SECTION_KINDS; kind++) {
        const char *names[CONFIG_NAMES_MAX];
        const struct backend_type *type;
        size_t seen = 0;
        config_list_names(kind, names);
        for (size_t i = 0; names[i]; i++) {
            const struct setting *setting = config_common_setting(kind, names[i]);
            if (setting)
                check_classified(setting, sections[kind]);
            seen++;
        }
        assert_true(seen > 2);
        for (size_t i = 0; kind != SECTION_ROOT && (type = backend_kind(i)); i++)
            for (const struct setting *setting = config_table_of(type, kind)->settings;
                 setting && setting->name; setting++)
                check_classified(setting, type->title);
    }
}

/* Alters each setting of a table in b alone, where offset says its struct is, and expects it to be found as its row
 * says. */
static void check_table(const struct setting *settings, size_t offset, const char *owner) {
    struct sides a, b;
    for (const struct setting *setting = settings; setting && setting->name; setting++) {
        char text[200];
        if (setting->type == SETTING_LIST)
            continue;
        make(&a);
        make(&b);
        expect_none(&a, &b);
        alter(setting, (char *)&b + offset);
        struct config_changes changes = find(&a, &b);
        assert_int_equal(changes.count, 1);
        assert_string_equal(changes.list[0].name, setting->name);
        snprintf(text, sizeof text, "%s%s%s", owner, setting->name,
                 setting->change == SETTING_LIVE ? " from " : "");
        assert_int_equal(strncmp(changes.list[0].text, text, strlen(text)), 0);
        assert_int_equal(changes.list[0].kind,
                         setting->change == SETTING_LIVE ? CONFIG_SETTING_LIVE : CONFIG_SETTING_FIXED);
        config_changes_free(&changes);
    }
}

static void every_setting_is_compared(void **state) {
    (void)state;
    struct sides sides;
    make(&sides);
    check_table(root_settings, offsetof(struct sides, settings), "");
    check_table(tier_backend_settings, offsetof(struct sides, backends[1]), "backend \"far\": ");
    check_table(space_settings, offsetof(struct sides, spaces[1]), "namespace \"carts\": ");
    check_table(sides.sqlite.base.type->options.settings, offsetof(struct sides, sqlite),
                "backend \"near\": ");
    check_table(sides.redis.base.type->options.settings, offsetof(struct sides, redis), "backend \"far\": ");
    check_table(sides.sqlite.base.type->table_options.settings, offsetof(struct sides, sqlite_table),
                "namespace \"sessions\": ");
    check_table(sides.redis.base.type->table_options.settings, offsetof(struct sides, redis_table),
                "namespace \"carts\": ");
}

/* What is taken over is what may change, and nothing else. */
static void what_may_change_is_taken_over(void **state) {
    (void)state;
    struct sides a, b;
    make(&a);
    make(&b);
    for (const struct setting *setting = root_settings; setting->name; setting++)
        alter(setting, &b.settings);
    settings_restrict(&b.settings, "sync");
    config_take_live(&a.settings, &b.settings);
    for (const struct setting *setting = root_settings; setting->name; setting++)
        if (setting->type != SETTING_LIST)
            assert_int_equal(setting_is_equal(setting, &a.settings, &b.settings),
                             setting->change == SETTING_LIVE);
    assert_false(a.settings.allow_sync);
    make(&b);
    config_take_live(&a.settings, &b.settings);
    assert_true(a.settings.allow_sync);
}

/* ---- The others ---- */

static void values_are_shown_as_they_are_written(void **state) {
    (void)state;
    struct sides a, b;
    make(&a);
    make(&b);
    b.settings.idle_timeout = 90;
    expect(&a, &b, CONFIG_SETTING_LIVE, "idle_timeout from 0 to 90s");
    make(&b);
    b.spaces[0].flush_delay = 1500;
    expect(&a, &b, CONFIG_SETTING_LIVE, "namespace \"sessions\": flush_delay from 1s to 1500ms");
    make(&b);
    b.spaces[0].on_full = FULL_REJECT;
    expect(&a, &b, CONFIG_SETTING_LIVE, "namespace \"sessions\": on_full from wait to reject");
    make(&b);
    b.settings.tier.cache.memory_limit = 96 << 20;
    expect(&a, &b, CONFIG_SETTING_LIVE, "memory from 64mb to 96mb");
    make(&b);
    b.settings.auth_file = "/b";
    expect(&a, &b, CONFIG_SETTING_LIVE, "auth_file from \"/a\" to \"/b\"");
}

/* An address may hold a password. */
static void what_needs_a_restart_is_named_alone(void **state) {
    (void)state;
    struct sides a, b;
    make(&a);
    make(&b);
    b.backends[1].store.uri = "redis://:secret@b";
    expect(&a, &b, CONFIG_SETTING_FIXED, "backend \"far\": uri");
    make(&b);
    b.spaces[1].policy = &policy_write_through;
    expect(&a, &b, CONFIG_SETTING_FIXED, "namespace \"carts\": policy");
    make(&b);
    b.settings.auth_file = NULL;
    expect(&a, &b, CONFIG_SETTING_FIXED, "auth_file (whether there is one)");
    make(&b);
    b.settings.admin_token_file = NULL;
    expect(&a, &b, CONFIG_SETTING_FIXED, "admin_token_file (whether there is one)");
}

static void lists_are_compared(void **state) {
    (void)state;
    static const char *const one[] = {"127.0.0.1"}, *const other[] = {"127.0.0.2"},
                             *const same[] = {"127.0.0.1"};
    struct sides a, b;
    make(&a);
    make(&b);
    a.settings.listen = one;
    b.settings.listen = same;
    a.settings.listen_count = b.settings.listen_count = 1;
    expect_none(&a, &b);
    b.settings.listen = other;
    expect(&a, &b, CONFIG_SETTING_FIXED, "listen");
    b.settings.listen = one;
    b.settings.listen_count = 0;
    expect(&a, &b, CONFIG_SETTING_FIXED, "listen");
    make(&a);
    make(&b);
    settings_restrict(&a.settings, "sync");
    settings_restrict(&b.settings, "sync");
    expect_none(&a, &b);
    settings_restrict(&b.settings, "dump");
    expect(&a, &b, CONFIG_SETTING_LIVE, "restrict from {sync} to {dump, sync}");
}

static void sections_come_and_go_by_name(void **state) {
    (void)state;
    struct sides a, b;
    make(&a);
    make(&b);
    b.settings.tier.space_count = 1;
    expect(&a, &b, CONFIG_NAMESPACE_REMOVED, "namespace \"carts\" removed");
    expect(&b, &a, CONFIG_NAMESPACE_ADDED, "namespace \"carts\" added");
    make(&b);
    a.settings.tier.space_count = b.settings.tier.space_count = 0;
    b.settings.tier.backend_count = 1;
    expect(&a, &b, CONFIG_SETTING_FIXED, "backend \"far\" (removed)");
    expect(&b, &a, CONFIG_SETTING_FIXED, "backend \"far\" (added)");
}

/* The order in the file means nothing, neither of namespaces nor of backends. */
static void the_order_of_sections_is_no_change(void **state) {
    (void)state;
    struct sides a, b;
    make(&a);
    make(&b);
    struct space_options space = b.spaces[0];
    b.spaces[0] = b.spaces[1];
    b.spaces[1] = space;
    struct tier_backend_options backend = b.backends[0];
    b.backends[0] = b.backends[1];
    b.backends[1] = backend;
    b.spaces[0].backend = 0;
    b.spaces[1].backend = 1;
    expect_none(&a, &b);
    b.spaces[1].backend = 0;
    expect(&a, &b, CONFIG_SETTING_FIXED, "namespace \"sessions\": backend");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_says_whether_it_can_change),
        cmocka_unit_test(every_setting_is_compared),
        cmocka_unit_test(what_may_change_is_taken_over),
        cmocka_unit_test(values_are_shown_as_they_are_written),
        cmocka_unit_test(what_needs_a_restart_is_named_alone),
        cmocka_unit_test(lists_are_compared),
        cmocka_unit_test(sections_come_and_go_by_name),
        cmocka_unit_test(the_order_of_sections_is_no_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
