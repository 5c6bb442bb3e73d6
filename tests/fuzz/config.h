/* SPDX-License-Identifier: MIT */
/*
 * Configuration files and command lines out of any bytes: the bytes themselves, or words of the grammar that the bytes
 * choose, among them every name that a setting or an option has.
 *
 * What must hold: a refusal says why; and a file that is taken, once it was printed (--print-config), is taken again
 * and prints the same.
 */
#ifndef FOREBAY_TESTS_FUZZ_CONFIG_H
#define FOREBAY_TESTS_FUZZ_CONFIG_H

#include "server/config/internal.h"
#include "server/config/options_internal.h"
#include "server/config/print.h"
#include "tests/fuzz/choices.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CONFIG_TEXT_MAX = 8 << 10, CONFIG_ERROR = 1024, OPTION_WORDS_MAX = 24 };

/* A file in memory, and a path to it. One for the whole program. */
static inline const char *config_write(const char *text, size_t size) {
    static int file = -1;
    static char path[32];
    if (file < 0) {
        file = memfd_create("configuration", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, text, size, 0) == (ssize_t)size);
    return path;
}

/* ---- Texts ---- */

static inline char *config_put(char *to, const char *end, const char *word) {
    size_t size = strlen(word), room = (size_t)(end - to);
    size = size < room ? size : room;
    memcpy(to, word, size);
    return to + size;
}

static inline const char *config_choose_name(struct choices *choices, enum section_kind kind) {
    const char *names[CONFIG_NAMES_MAX];
    unsigned count = 0;
    config_list_names(kind, names);
    while (names[count])
        count++;
    return names[choose(choices, count)];
}

static inline const char *config_choose_value(struct choices *choices) {
    static const char *const values[] = {"1",
                                         "0",
                                         "2",
                                         "true",
                                         "false",
                                         "\"\"",
                                         "\"64mb\"",
                                         "\"1mb\"",
                                         "\"2s\"",
                                         "\"1d\"",
                                         "\"500ms\"",
                                         "\"write-behind\"",
                                         "\"write-through\"",
                                         "\"read-through\"",
                                         "\"cache-aside\"",
                                         "\"a\"",
                                         "\"b\"",
                                         "\"sqlite:a.db\"",
                                         "\"redis://u:p@127.0.0.1:1/2\"",
                                         "\"redis+cluster://h:1,g:2\"",
                                         "\"redis+sentinel://h:1,g:2/m\"",
                                         "\"redis+unix:/s\"",
                                         "{\"127.0.0.1:1\", \"unix:/s\"}",
                                         "{\"127.0.0.1:1\", \"[::1]:1\", \"127.0.0.1:1\"}",
                                         "{\"dump\", \"sync\"}",
                                         "\"always\"",
                                         "\"off\"",
                                         "\"hash\"",
                                         "\"string\"",
                                         "\"reject\"",
                                         "\"lru\"",
                                         "\"s3-fifo\"",
                                         "\"json\"",
                                         "18446744073709551616",
                                         "-1",
                                         "\"4096\"",
                                         "\"it's \\\"q\\\" \\\\ $x\"",
                                         "'a\\'b'",
                                         "\"/tmp\"",
                                         "${HOME}",
                                         "\"SELECT value FROM t WHERE key = :key\"",
                                         "\"x\ny\"",
                                         "1.5",
                                         "\"9999999999h\"",
                                         "\"[::1]:5\"",
                                         "\"127.0.0.1:1\"",
                                         "{\"[::]:1\", \"[::1]:1\"}",
                                         "{\"shutdown\"}"};
    return values[choose(choices, sizeof values / sizeof *values)];
}

static inline char *config_put_settings(char *at, const char *end, struct choices *choices,
                                        enum section_kind kind) {
    for (unsigned count = choose(choices, 8); count > 0; count--) {
        at = config_put(at, end, config_choose_name(choices, kind));
        at = config_put(at, end, " = ");
        at = config_put(at, end, config_choose_value(choices));
        at = config_put(at, end, choose(choices, 16) ? "\n" : " # c\n");
    }
    return at;
}

/* How sections may begin, by kind: such as would do, and such as do not go together with others or with themselves. */
static const char *const config_users[] = {"user a { password_file = \"/p\"\noperator = true\n",
                                           "user b { password_file = \"/p\"\nnamespaces = {\"a\"}\n",
                                           "user \"a\" {\n", "user {\n", NULL};
static const char *const config_backends[] = {"backend a { uri = \"sqlite:a.db\"\n",
                                              "backend b { uri = redis://127.0.0.1:1\n",
                                              "backend \"a\" {\n",
                                              "backend {\n",
                                              "backend c { uri = \"sqlite:./a.db\"\n",
                                              "backend d { uri = \"sqlite:d.db\"\ncoherent = true\n",
                                              "backend forebay_d { uri = \"sqlite:e.db\"\n",
                                              NULL};
static const char *const config_spaces[] = {
    "namespace a { prefix = \"a\"\npolicy = write-behind\nbackend = a\n",
    "namespace b { prefix = \"b\"\npolicy = write-through\nbackend = b\n",
    "namespace c { prefix = \"\"\n",
    "namespace \"a\" {\n",
    "namespace A { prefix = \"A\"\npolicy = write-behind\nbackend = a\n",
    "namespace d { prefix = \"a\"\n",
    "namespace e { prefix = e\npolicy = write-through\nbackend = nobody\n",
    "namespace f { prefix = f\npolicy = write-behind\n",
    "namespace g { prefix = g\nbackend = a\n",
    "namespace h { prefix = h\npolicy = cache-aside\nbackend = a\n",
    "namespace i { prefix = i\npolicy = read-through\nbackend = a\nbackend_timeout = \"7s\"\n",
    "namespace j { prefix = j\npolicy = write-behind\nbackend = a\nbackend_timeout = \"8s\"\n",
    "namespace k { prefix = k\npolicy = write-behind\nbackend = a\ndirty_limit = \"900mb\"\n",
    "namespace l { prefix = l\nmemory = \"900mb\"\n",
    "namespace default { prefix = m\n",
    "namespace n { prefix = n\npolicy = read-through\nbackend = a\nabsent_filter = true\n",
    "namespace o { prefix = o\npolicy = read-through\nbackend = a\npreload_wait = true\n",
    "namespace p { prefix = p\nflush_delay = \"1s\"\nttl = \"1h\"\n",
    "namespace q { prefix = q\npolicy = write-behind\nbackend = a\ncopy_to = b\n",
    "namespace r { prefix = r\npolicy = write-through\nbackend = b\ncopy_to = a\n",
    "namespace s { prefix = s\npolicy = write-behind\nbackend = a\ncopy_to = a\n",
    "namespace t { prefix = t\npolicy = write-through\nbackend = a\ncopy_to = nobody\n",
    NULL};

static const char *const *const config_sections[SECTION_KINDS] = {
    [SECTION_BACKEND] = config_backends, [SECTION_NAMESPACE] = config_spaces, [SECTION_USER] = config_users};

static inline const char *config_choose_section(struct choices *choices, enum section_kind kind) {
    unsigned count = 0;
    while (config_sections[kind][count])
        count++;
    return config_sections[kind][choose(choices, count)];
}

/* A file of such sections; and whatever settings they are given beside. */
static inline size_t config_make(char text[CONFIG_TEXT_MAX], struct choices *choices) {
    char *at = text;
    const char *end = text + CONFIG_TEXT_MAX;
    at = config_put_settings(at, end, choices, SECTION_ROOT);
    at = config_put(at, end, choose(choices, 4) ? "data = \"/tmp\"\n" : "");
    while (choices_left(choices) && at < end) {
        enum section_kind kind =
            (enum section_kind)(SECTION_BACKEND + choose(choices, SECTION_KINDS - SECTION_BACKEND));
        at = config_put(at, end, config_choose_section(choices, kind));
        at = config_put_settings(at, end, choices, kind);
        at = config_put(at, end, choose(choices, 32) ? "}\n" : "\n");
    }
    return (size_t)(at - text);
}

/* ---- Files ---- */

/* What --print-config says of the file at path, without the comments that say where a value comes from; NULL: it is
 * refused. For the caller to free. */
static inline char *config_printed(const char *path) {
    struct settings settings;
    struct options options = {.secrets = true};
    char error[CONFIG_ERROR] = "", *text = NULL;
    size_t size = 0;
    settings_defaults(&settings);
    settings.config_file = path;
    struct config *config = config_load(path, &settings, error, sizeof error);
    FUZZ_CHECK((config == NULL) == (*error != '\0') && memchr(error, '\0', sizeof error));
    if (!config)
        return NULL;
    config_derive(config, &settings);
    FUZZ_CHECK(config_warnings(config));
    FILE *out = open_memstream(&text, &size);
    FUZZ_CHECK(out);
    config_print(&settings, config, &options, out);
    fclose(out);
    config_free(config);
    return text;
}

/* Each line up to its last '#'. */
static inline void config_cut_origins(char *text) {
    char *to = text, *next = text;
    for (char *line = text; *line; line = next) {
        next = strchr(line, '\n') ? strchr(line, '\n') + 1 : strchr(line, '\0');
        const char *mark = memrchr(line, '#', (size_t)(next - line));
        size_t size = mark ? (size_t)(mark - line) : (size_t)(next - line);
        memmove(to, line, size);
        to += size;
    }
    *to = '\0';
}

static inline void check_config_text(const char *text, size_t size) {
    char *printed = config_printed(config_write(text, size));
    if (!printed)
        return;
    char *again = config_printed(config_write(printed, strlen(printed)));
    if (again) {
        config_cut_origins(printed);
        config_cut_origins(again);
    }
    if (!again || strcmp(printed, again) != 0) {
        fprintf(stderr,
                "what is printed is not what was read:\n%.*s\n---- printed:\n%s\n---- and again:\n%s\n",
                (int)size, text, printed, again ? again : "(refused)");
        abort();
    }
    free(printed);
    free(again);
}

/* ---- Command lines ---- */

static inline void check_options(char **words, int count) {
    struct options options = {0};
    struct settings settings;
    struct settings_complaint complaint;
    char error[CONFIG_ERROR] = "";
    settings_defaults(&settings);
    bool good = options_read(&options, &settings, count, words, error, sizeof error);
    FUZZ_CHECK(good || *error);
    if (good)
        FUZZ_CHECK(settings_check(&settings, &complaint) || *complaint.text);
    options_free(&options);
}

/* Words that are options, with arguments that may be theirs. */
static inline void check_options_chosen(struct choices *choices) {
    static const char *const arguments[] = {"",
                                            "0",
                                            "1",
                                            "64",
                                            "-1",
                                            "1k",
                                            "1m",
                                            "127.0.0.1",
                                            "127.0.0.1:11211,[::1]:5",
                                            "auto",
                                            "binary",
                                            "ascii",
                                            "modern,idle_timeout=3",
                                            "no_lru_crawler,watcher_logbuf_size=2,hash_algorithm=jenkins",
                                            "770",
                                            "skip-damaged",
                                            "discard:a",
                                            "sync,dump",
                                            "json",
                                            "4294967296",
                                            "99999999999999999999",
                                            "slab_reassign,=,,x=",
                                            "ring",
                                            "epoll",
                                            "unix:/s",
                                            ":",
                                            "no_modern,no_maxconns_fast,maxconns_fast,lru_crawler",
                                            "ssl_chain_cert=/c,ssl_key=/k,ssl_ca_cert=/a",
                                            "ssl_verify_mode=3,ssl_min_version=3,ssl_kernel_tls",
                                            "read_buf_mem_limit=8,ext_path=/e,proxy_config=/p"};
    char rooms[OPTION_WORDS_MAX][64], *words[OPTION_WORDS_MAX + 1] = {(char *)"forebay"};
    int count = 1;
    while (choices_left(choices) && count < OPTION_WORDS_MAX - 1) {
        const struct option_kind *kind = &option_kinds[choose(choices, (unsigned)option_kind_count)];
        const char *argument = arguments[choose(choices, sizeof arguments / sizeof *arguments)];
        bool short_form = kind->letter < OPTIONS_FIRST_WITHOUT_LETTER && choose(choices, 2);
        words[count] = rooms[count];
        if (short_form)
            snprintf(rooms[count], sizeof rooms[count], "-%c%s", kind->letter,
                     kind->argument ? argument : "");
        else
            snprintf(rooms[count], sizeof rooms[count], "--%s%s%s", kind->name ? kind->name : "x",
                     kind->argument ? "=" : "", kind->argument ? argument : "");
        count++;
    }
    words[count] = NULL;
    check_options(words, count);
}

/* Any words: one a line. */
static inline void check_options_text(const char *text, size_t size) {
    char room[CONFIG_TEXT_MAX + 1], *words[OPTION_WORDS_MAX + 1] = {(char *)"forebay"};
    int count = 1;
    memcpy(room, text, size);
    room[size] = '\0';
    for (char *at = room; at && count < OPTION_WORDS_MAX; count++) {
        words[count] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = '\0';
    }
    words[count] = NULL;
    check_options(words, count);
}

/* One input: the first byte says what the rest is. */
static inline void check_config(const uint8_t *data, size_t size) {
    static char text[CONFIG_TEXT_MAX];
    if (size == 0)
        return;
    struct choices choices = choices_of(data + 1, size - 1);
    size_t length = size - 1 < CONFIG_TEXT_MAX ? size - 1 : CONFIG_TEXT_MAX;
    switch (data[0] % 4) {
    case 0:
        check_config_text((const char *)data + 1, length);
        break;
    case 1:
        check_config_text(text, config_make(text, &choices));
        break;
    case 2:
        check_options_text((const char *)data + 1, length);
        break;
    default:
        check_options_chosen(&choices);
    }
}

#endif
