/* SPDX-License-Identifier: MIT */
#include "server/config/manual.h"
#include "server/config/internal.h"
#include "server/config/manual_form.h"
#include "server/config/options.h"

enum { VALUES_SHOWN = 200, STANDARD_SHOWN = 100 };

/* ---- Options ---- */

static const char *const group_titles[OPTIONS_GROUPS] = {
    [OPTIONS_CONFIGURATION] = "Configuration",
    [OPTIONS_NETWORK] = "Network",
    [OPTIONS_MEMORY] = "Memory",
    [OPTIONS_COMMANDS] = "Commands",
    [OPTIONS_PROCESS] = "Process",
    [OPTIONS_IGNORED] = "Ignored, as they have no meaning here",
    [OPTIONS_REFUSED] = "Refused, with the reason",
};

static void print_option(struct manual_writer *writer, enum manual_term kind,
                         const struct option_description *option) {
    struct manual_row row = {.kind = kind,
                             .letter = option->letter,
                             .name = option->name,
                             .placeholder = option->placeholder,
                             .argument_is_optional = option->argument_is_optional,
                             .values = option->values,
                             .standard = option->standard,
                             .about = option->about};
    writer->form->row(writer, &row);
}

static void print_options(struct manual_writer *writer) {
    struct option_description option;
    enum options_group group = OPTIONS_GROUPS;
    for (size_t i = 0; options_describe(i, &option); i++) {
        if (option.group != group)
            writer->form->heading(writer, group_titles[option.group]);
        group = option.group;
        print_option(writer, TERM_OPTION, &option);
    }
}

static void print_extended(struct manual_writer *writer) {
    struct option_description option;
    for (size_t i = 0; options_describe_extended(i, &option); i++)
        print_option(writer, TERM_EXTENDED, &option);
}

/* ---- Settings ---- */

static void print_setting(struct manual_writer *writer, const struct setting *setting) {
    char values[VALUES_SHOWN], room[STANDARD_SHOWN];
    const char *standard = config_show_standard(setting, room, sizeof room);
    config_list_values(setting, values, sizeof values);
    struct manual_row row = {.kind = TERM_SETTING,
                             .name = setting->name,
                             .values = values,
                             .standard = standard ? standard : "none",
                             .reloads = setting->change == SETTING_LIVE,
                             .about = setting->about};
    writer->form->row(writer, &row);
}

static void print_needing(struct manual_writer *writer, enum section_kind kind, unsigned need,
                          const char *title) {
    bool titled = false;
    const struct setting *setting;
    for (size_t i = 0; (setting = config_common_at(kind, i)); i++) {
        if (setting->need != need)
            continue;
        if (title && !titled)
            writer->form->heading(writer, title);
        titled = true;
        print_setting(writer, setting);
    }
}

static void print_kinds(struct manual_writer *writer, enum section_kind kind) {
    const struct backend_type *type;
    char title[80];
    for (size_t i = 0; (type = backend_kind(i)); i++) {
        const struct setting *setting = config_table_of(type, kind)->settings;
        if (setting && setting->name) {
            snprintf(title, sizeof title, kind == SECTION_BACKEND ? "%s" : "Over %s", type->title);
            writer->form->heading(writer, title);
        }
        for (; setting && setting->name; setting++)
            print_setting(writer, setting);
    }
}

static void print_top(struct manual_writer *writer) {
    print_needing(writer, SECTION_ROOT, 0, NULL);
}

static void print_backend(struct manual_writer *writer) {
    print_needing(writer, SECTION_BACKEND, 0, NULL);
    print_kinds(writer, SECTION_BACKEND);
}

static void print_namespace(struct manual_writer *writer) {
    static const char *const titles[] = {[SPACE_NEEDS_NOTHING] = NULL,
                                         [SPACE_NEEDS_BACKEND] = "With a backend",
                                         [SPACE_NEEDS_WRITING] = "Write-through and write-behind",
                                         [SPACE_NEEDS_HOLDING_BACK] = "Write-behind"};
    static const enum space_need order[] = {SPACE_NEEDS_NOTHING, SPACE_NEEDS_BACKEND, SPACE_NEEDS_WRITING,
                                            SPACE_NEEDS_HOLDING_BACK};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        print_needing(writer, SECTION_NAMESPACE, order[i], titles[order[i]]);
    print_kinds(writer, SECTION_NAMESPACE);
}

static void print_user(struct manual_writer *writer) {
    print_needing(writer, SECTION_USER, 0, NULL);
}

/* ---- What is no setting ---- */

struct fact {
    const char *name, *about;
};

static const struct fact exits[] = {
    {"0", "stopped as asked; `--help`, `--version`, `--print-config`; `--check`, if a start would succeed"},
    {"1",
     "the start failed, or would fail (`--check`): address, folder, user, limits, backend, journal, what earlier runs left, authentication file, password file, token file. `--journal-dump`: a file is damaged, or there is none. What is asked for cannot be written to standard output. A server that ran has stopped by itself (an address cannot be watched any more), or its stop hung"},
    {"64", "an option on the command line is wrong"},
    {"78", "the configuration file is wrong"},
    {0},
};

static const struct fact signals[] = {
    {"SIGTERM, SIGINT",
     "stop accepting, finish requests, drain write-behind namespaces for at most `drain_timeout`, exit 0"},
    {"the same again", "end the drain now; what is left stays in the journal"},
    {"SIGHUP",
     "read the configuration, the authentication file or the password files, the admin token file and certificates again ([reload](#reload)); if one of them is bad, nothing is changed"},
    {"SIGUSR1, SIGPIPE", "ignored"},
    {0},
};

static void print_facts(struct manual_writer *writer, const struct fact *facts) {
    for (; facts->name; facts++) {
        struct manual_row row = {.kind = TERM_PLAIN, .name = facts->name, .about = facts->about};
        writer->form->row(writer, &row);
    }
}

static void print_exits(struct manual_writer *writer) {
    print_facts(writer, exits);
}

static void print_signals(struct manual_writer *writer) {
    print_facts(writer, signals);
}

/* ---- The tables ---- */

static const struct table {
    const char *name, *head;
    bool has_values, has_reload;
    void (*print)(struct manual_writer *writer);
} tables[] = {
    {"options", "option", true, false, print_options},
    {"extended", "part of -o", true, false, print_extended},
    {"top", "setting", true, true, print_top},
    {"backend", "setting", true, true, print_backend},
    {"namespace", "setting", true, true, print_namespace},
    {"user", "setting", true, true, print_user},
    {"exit-status", "exit status", false, false, print_exits},
    {"signals", "signal", false, false, print_signals},
};

static const struct table *find_table(const char *name) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(tables[i].name, name) == 0)
            return &tables[i];
    return NULL;
}

static void print_table(const struct manual_form *form, const char *name, FILE *out) {
    const struct table *table = find_table(name);
    struct manual_writer writer = {.out = out,
                                   .form = form,
                                   .head = table->head,
                                   .has_values = table->has_values,
                                   .has_reload = table->has_reload};
    form->begin(&writer);
    table->print(&writer);
    form->end(&writer);
}

/* ---- Topics ---- */

static void print_usage(FILE *out) {
    fputs("usage: forebay [--config FILE] [options]\n"
          "\n"
          "A caching tier server: memcached's protocols in front, SQLite or Redis behind.\n"
          "Without --config every key is cache-aside: memory alone, like memcached.\n",
          out);
    print_table(&manual_text, "options", out);
    fputs("\nParts of -o\n", out);
    print_table(&manual_text, "extended", out);
    fputs("\nExit status\n", out);
    print_table(&manual_text, "exit-status", out);
    fputs("\nforebay --help=" MANUAL_SETTINGS " describes the configuration file; see also forebay(8).\n",
          out);
}

static void print_settings(FILE *out) {
    fputs("At the top of the configuration file\n", out);
    print_table(&manual_text, "top", out);
    fputs("\nbackend \"name\" { ... }\n", out);
    print_table(&manual_text, "backend", out);
    fputs("\nnamespace \"name\" { ... }\n", out);
    print_table(&manual_text, "namespace", out);
    fputs("\nuser \"name\" { ... }\n", out);
    print_table(&manual_text, "user", out);
}

bool manual_has(const char *topic) {
    const char *colon = strchr(topic, ':');
    if (!colon)
        return strcmp(topic, MANUAL_OPTIONS) == 0 || strcmp(topic, MANUAL_SETTINGS) == 0;
    return manual_form_named(topic, (size_t)(colon - topic)) && find_table(colon + 1);
}

void manual_print(const char *topic, FILE *out) {
    const char *colon = strchr(topic, ':');
    if (colon)
        print_table(manual_form_named(topic, (size_t)(colon - topic)), colon + 1, out);
    else if (strcmp(topic, MANUAL_SETTINGS) == 0)
        print_settings(out);
    else
        print_usage(out);
}
