/* SPDX-License-Identifier: MIT */
/* The table of commands: what must hold of every row, so that whoever asks it may rely on it. */
#include "policies/commands.h"
#include "tests/support/check.h"

static bool has_word(enum command command) {
    return command_row(command)->word.size > 0;
}

TEST(every_command_but_BAD_and_SASL_has_a_word) {
    for (unsigned i = 0; i < COMMANDS_COUNT; i++)
        assert_int_equal(has_word(i), i != COMMAND_BAD && i != COMMAND_SASL);
}

TEST(every_word_finds_its_own_command) {
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        bool ret_cas;
        if (has_word(i) && command_of_word(command_row(i)->word, &ret_cas) != i)
            fail_msg("\"%s\" is found to be another command", command_row(i)->word.data);
        assert_false(has_word(i) && ret_cas);
    }
}

TEST(a_word_with_an_s_asks_for_the_cas_where_there_is_such_a_form) {
    bool ret_cas;
    assert_int_equal(command_of_word(SLICE("gets"), &ret_cas), COMMAND_GET);
    assert_true(ret_cas);
    assert_int_equal(command_of_word(SLICE("gats"), &ret_cas), COMMAND_GAT);
    assert_true(ret_cas);
    static const char *const none[] = {"sets", "mgs", "getss", "statss", "s"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(command_of_word(slice_string(none[i]), &ret_cas), COMMAND_BAD);
        assert_false(ret_cas);
    }
}

TEST(what_is_no_whole_word_is_no_command) {
    static const char *const words[] = {"", "g", "ge", "GET", "get ", "getx", "m", "mz", "cache_memlimi"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        bool ret_cas;
        assert_int_equal(command_of_word(slice_string(words[i]), &ret_cas), COMMAND_BAD);
    }
}

static bool is_with_key(enum command command) {
    switch (command) {
        COMMANDS_WITH_KEY(COMMAND_CASE)
        return true;
        COMMANDS_WITHOUT_KEY(COMMAND_CASE)
        return false;
    }
    return false;
}

TEST(the_commands_with_a_key_are_those_that_do_something) {
    for (unsigned i = 0; i < COMMANDS_COUNT; i++)
        assert_int_equal(command_has_key(i), is_with_key(i));
}

TEST(meta_commands_have_two_letters) {
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        struct slice word = command_row(i)->word;
        assert_int_equal(command_is_meta(i), word.size == 2 && word.data[0] == 'm');
    }
}

TEST(what_a_command_needs_is_left_to_its_flags_only_in_meta_stores_and_deletes) {
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        const struct command_row *row = command_row(i);
        bool has_both = row->is_meta && (row->kind == KIND_STORE || row->kind == KIND_DELETE);
        assert_int_equal(row->need == NEED_BY_FLAGS, has_both);
    }
}

TEST(what_is_said_of_a_kind_is_said_of_that_kind_alone) {
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        const struct command_row *row = command_row(i);
        assert_true(command_is_lookup(i) || !(row->comes_in_runs || row->has_cas_form));
        assert_true(row->kind == KIND_STORE || !row->overwrites);
        assert_true(row->kind == KIND_TALK || !(row->may_be_indented || row->takes_noreply));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_but_BAD_and_SASL_has_a_word),
        cmocka_unit_test(every_word_finds_its_own_command),
        cmocka_unit_test(a_word_with_an_s_asks_for_the_cas_where_there_is_such_a_form),
        cmocka_unit_test(what_is_no_whole_word_is_no_command),
        cmocka_unit_test(the_commands_with_a_key_are_those_that_do_something),
        cmocka_unit_test(meta_commands_have_two_letters),
        cmocka_unit_test(what_a_command_needs_is_left_to_its_flags_only_in_meta_stores_and_deletes),
        cmocka_unit_test(what_is_said_of_a_kind_is_said_of_that_kind_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
