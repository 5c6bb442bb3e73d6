/* SPDX-License-Identifier: MIT */
/* What the program says of itself: all there is, and each form with its own marks. */
#include "server/config/internal.h"
#include "server/config/manual.h"
#include "server/config/manual_form.h"
#include "server/config/options.h"
#include "tests/support/check.h"
#include <stdlib.h>

static char *printed(const char *topic) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_true(manual_has(topic));
    manual_print(topic, file);
    fclose(file);
    return text;
}

static void check_described(const char *name, const char *about) {
    if (!about || !*about)
        fail_msg("%s is not described", name);
    size_t ticks = 0;
    for (const char *at = about; *at; at++)
        ticks += *at == '`';
    if (ticks % 2 != 0)
        fail_msg("%s: a ` is not closed", name);
}

static void check_table(const struct setting *setting) {
    for (; setting && setting->name; setting++)
        check_described(setting->name, setting->about);
}

TEST(every_setting_and_option_is_described) {
    const struct setting *setting;
    struct option_description option;
    const struct backend_type *type;
    for (enum section_kind kind = SECTION_ROOT; kind < SECTION_KINDS; kind++)
        for (size_t i = 0; (setting = config_common_at(kind, i)); i++)
            check_described(setting->name, setting->about);
    for (size_t i = 0; (type = backend_kind(i)); i++) {
        check_table(type->options.settings);
        check_table(type->table_options.settings);
    }
    for (size_t i = 0; options_describe(i, &option); i++)
        check_described(option.name, option.about);
    for (size_t i = 0; options_describe_extended(i, &option); i++)
        check_described(option.name, option.about);
}

/* Every name of the grammar is in the table of its section. */
TEST(every_setting_is_in_its_table) {
    static const char *const topics[] = {"mdoc:top", "mdoc:backend", "mdoc:namespace", "mdoc:user"};
    const char *names[CONFIG_NAMES_MAX];
    char item[80];
    for (enum section_kind kind = SECTION_ROOT; kind < SECTION_KINDS; kind++) {
        char *text = printed(topics[kind]);
        config_list_names(kind, names);
        for (const char *const *name = names; *name; name++) {
            snprintf(item, sizeof item, "\n.It Cm %s\n", *name);
            if (!strstr(text, item))
                fail_msg("%s is not in %s", *name, topics[kind]);
        }
        free(text);
    }
}

TEST(topics_that_are_none_are_known) {
    assert_true(manual_has("settings") && manual_has("markdown:top"));
    assert_false(manual_has("") || manual_has("markdown") || manual_has("markdown:") ||
                 manual_has("html:top"));
}

static char *written(const struct manual_form *form, const struct manual_row *row) {
    char *text = NULL;
    size_t size = 0;
    struct manual_writer writer = {
        .out = open_memstream(&text, &size), .form = form, .head = "setting", .has_values = true};
    form->begin(&writer);
    form->row(&writer, row);
    form->end(&writer);
    fclose(writer.out);
    return text;
}

static void check_written(const struct manual_form *form, const struct manual_row *row,
                          const char *expected) {
    char *text = written(form, row);
    assert_string_equal(text, expected);
    free(text);
}

TEST(marks_are_rendered_in_each_form) {
    const struct manual_row row = {.kind = TERM_OPTION,
                                   .letter = 'B',
                                   .name = "a-b",
                                   .placeholder = "N",
                                   .values = "`on|off`",
                                   .standard = "on",
                                   .about = "uses `-x` or [a page](there.md#so). 'Ends' with a \\ sign"};
    check_written(&manual_text, &row,
                  "  -B, --a-b=N               uses -x or a page. 'Ends' with a \\ sign (on|off;\n"
                  "                            default on)\n");
    check_written(&manual_markdown, &row,
                  "| setting | values | default | |\n| --- | --- | --- | --- |\n"
                  "| `-B`, `--a-b=N` | `on\\|off` | on | uses `-x` or [a page](there.md#so). "
                  "'Ends' with a \\ sign |\n");
    check_written(
        &manual_mdoc, &row,
        ".Bl -tag -width Ds\n.It Fl B , Fl \\-a\\-b Ns = Ns Ar N\n"
        "uses \\fB\\-x\\fP or a page.\n\\&'Ends' with a \\e sign (\\fBon|off\\fP; default on)\n.El\n");
}

TEST(a_link_named_after_its_page_names_it_elsewhere) {
    const struct manual_row row = {
        .kind = TERM_SETTING, .name = "x", .about = "more ([pages](pages.md#one))"};
    check_written(&manual_text, &row, "  x                         more (docs/pages.md)\n");
    check_written(&manual_mdoc, &row, ".Bl -tag -width Ds\n.It Cm x\nmore (docs/pages.md)\n.El\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_and_option_is_described),
        cmocka_unit_test(every_setting_is_in_its_table),
        cmocka_unit_test(topics_that_are_none_are_known),
        cmocka_unit_test(marks_are_rendered_in_each_form),
        cmocka_unit_test(a_link_named_after_its_page_names_it_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
