/* SPDX-License-Identifier: MIT */
/* Sections that describe users. What their password files hold is looked at by whoever lets clients in. */
#include "server/config/internal.h"
#include <ctype.h>
#include <stdio.h>

enum { USER_NAME_MAX = 255 };

#define IN(member) offsetof(struct user_options, member)

const struct setting user_settings[] = {
    {"password_file", SETTING_TEXT, IN(password_file), .minimum = 1, .change = SETTING_LIVE,
     .about =
         "a file with lines that `forebay --hash-password` has made, each of a password that lets the user in; must be given"},
    {"namespaces", SETTING_LIST, .change = SETTING_LIVE,
     .about =
         "the namespaces that the user reads and writes, by their names; `*`: all; `default`: all keys that no namespace has"},
    {"reads", SETTING_LIST, .change = SETTING_LIVE,
     .about = "the namespaces that the user reads, beside those, and does not write"},
    {"operator", SETTING_SWITCH, IN(is_operator), .standard = false, .change = SETTING_LIVE,
     .about =
         "whether the user may give [commands of operation](#users), which are about the whole server: `flush_all`, `sync`, dumps and the like"},
    {0},
};

static bool name_is_fit(const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (isspace((unsigned char)name[i]) || iscntrl((unsigned char)name[i]))
            return false;
    return size > 0 && size <= USER_NAME_MAX;
}

/* Of the tier's own namespace there is no section; it is there unless one of the file's has all keys. */
static bool has_space(const struct config_loading *loading, const char *name) {
    bool has_all = false;
    for (size_t i = 0; i < loading->space_count; i++) {
        if (strcmp(loading->spaces[i].options.name, name) == 0)
            return true;
        has_all |= !*loading->spaces[i].options.prefix;
    }
    return strcmp(name, USER_ALL) == 0 || (!has_all && strcmp(name, SPACE_DEFAULT_NAME) == 0);
}

/* The values of a list; NULL with an error in the report. */
static const char *const *read_list(struct config_loading *loading, const struct config_section *section,
                                    const char *name) {
    size_t count = 0;
    const char **list = arena_take(loading->memory, (section->count + 1) * sizeof *list);
    if (!list) {
        config_fail(&loading->report, section->line, "no memory");
        return NULL;
    }
    for (size_t i = 0; i < section->count; i++) {
        const struct config_value *value = &section->values[i];
        if (strcmp(value->name, name) != 0)
            continue;
        if (!has_space(loading, value->text)) {
            config_fail(&loading->report, value->line,
                        "user \"%s\": %s: there is no namespace \"%s\"; name one of this file, or \"" USER_ALL
                        "\" for all",
                        section->title, name, value->text);
            return NULL;
        }
        list[count++] = value->text;
    }
    list[count] = NULL;
    return list;
}

static bool check_user(struct config_loading *loading, const struct config_section *section,
                       const struct user_options *user) {
    if (!name_is_fit(user->name))
        return config_fail(
            &loading->report, section->line,
            "user \"%s\": a name of 1 to %d characters without spaces is expected, as no client can send another",
            user->name, USER_NAME_MAX);
    if (!user->password_file)
        return config_fail(
            &loading->report, section->line,
            "user \"%s\" has no password_file: write password_file = \"FILE\", with what forebay --hash-password prints in it",
            user->name);
    if (!*user->namespaces && !*user->reads && !user->is_operator)
        return config_fail(
            &loading->report, section->line,
            "user \"%s\" may do nothing: give namespaces = {\"name\"}, reads = {\"name\"} or operator = true",
            user->name);
    return true;
}

static bool read_user(struct config_loading *loading, const struct config_section *section,
                      struct user_options *user) {
    setting_set_defaults(user_settings, user);
    user->name = section->title;
    for (size_t i = 0; i < section->count; i++) {
        if (!config_read_value(&loading->report, setting_find(user_settings, section->values[i].name),
                               &section->values[i], user))
            return false;
        if (strcmp(section->values[i].name, "password_file") == 0)
            user->password_line = section->values[i].line;
    }
    user->namespaces = read_list(loading, section, "namespaces");
    user->reads = user->namespaces ? read_list(loading, section, "reads") : NULL;
    return user->reads && check_user(loading, section, user);
}

bool config_read_users(struct config_loading *loading) {
    const struct config_document *document = loading->document;
    struct user_options *users = arena_take(loading->memory, document->count * sizeof *users);
    size_t count = 0;
    if (!users)
        return config_fail(&loading->report, 1, "no memory");
    for (size_t i = 0; i < document->count; i++)
        if (document->sections[i].kind == SECTION_USER &&
            !read_user(loading, &document->sections[i], &users[count++]))
            return false;
    loading->settings->users = users;
    loading->settings->user_count = count;
    return true;
}
