/* SPDX-License-Identifier: MIT */
/* The command line: what memcached accepts is accepted, and what is refused is refused with a reason. */
#include "server/config/manual.h"
#include "server/config/options.h"
#include "tests/support/check.h"
#include <stdlib.h>

enum { WORDS_MAX = 32 };

struct command_line {
    char text[512];
    char *argv[WORDS_MAX];
    int argc;
    struct options options;
    struct settings settings;
    char error[512];
    bool good;
};

static int set_up(void **state) {
    *state = calloc(1, sizeof(struct command_line));
    return *state ? 0 : -1;
}

static int tear_down(void **state) {
    struct command_line *line = *state;
    options_free(&line->options);
    free(line);
    return 0;
}

/* Words are parted by spaces; "''" is an empty word. */
static void read_over(struct command_line *line, const char *words) {
    char *rest = NULL;
    options_free(&line->options);
    snprintf(line->text, sizeof line->text, "forebay %s", words);
    line->argc = 0;
    for (char *word = strtok_r(line->text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(line->argc < WORDS_MAX - 1);
        line->argv[line->argc++] = strcmp(word, "''") == 0 ? strchr(word, '\0') : word;
    }
    line->argv[line->argc] = NULL;
    line->error[0] = '\0';
    line->good = options_read(&line->options, &line->settings, line->argc, line->argv, line->error,
                              sizeof line->error);
}

static void read_line(struct command_line *line, const char *words) {
    settings_defaults(&line->settings);
    read_over(line, words);
}

static void read_good(struct command_line *line, const char *words) {
    read_line(line, words);
    if (!line->good)
        fail_msg("refused: %s: %s", words, line->error);
}

static const char *notices(const struct command_line *line) {
    return line->options.notices.data ? line->options.notices.data : "";
}

TEST(without_options_all_is_as_with_memcached) {
    struct command_line *line = *state;
    read_good(line, "");
    const struct settings *settings = &line->settings;
    assert_int_equal(line->options.action, OPTIONS_SERVE);
    assert_int_equal(settings->port, 11211);
    assert_int_equal(settings->listen_count, 0);
    assert_int_equal(settings->tier.cache.memory_limit, 64 << 20);
    assert_int_equal(settings->threads, 4);
    assert_int_equal(settings->use_threads, USE_PROCESSORS);
    assert_int_equal(settings->max_connections, 1024);
    assert_int_equal(settings->item_max, 1 << 20);
    assert_int_equal(settings->requests_per_event, 20);
    assert_int_equal(settings->backlog, 1024);
    assert_int_equal(settings->unix_mask, 0700);
    assert_int_equal(settings->stats_prefix_delimiter, ':');
    assert_true(settings->maxconns_fast && settings->cas_enabled && settings->allow_flush_all);
    assert_true(settings->allow_dump && settings->allow_watch && !settings->allow_shutdown);
    struct settings_complaint complaint;
    assert_true(settings_check(settings, &complaint));
}

TEST(every_letter_arrives) {
    struct command_line *line = *state;
    read_good(line, "-p 11300 -U 0 -a 770 -A -d -r -u nobody -m 128 -M -c 500 -k -vv -P /run/f.pid");
    const struct settings *settings = &line->settings;
    assert_int_equal(settings->port, 11300);
    assert_int_equal(settings->unix_mask, 0770);
    assert_true(settings->allow_shutdown);
    assert_true(line->options.daemonize && line->options.core_dumps && line->options.lock_memory);
    assert_string_equal(line->options.user, "nobody");
    assert_string_equal(line->options.pid_file, "/run/f.pid");
    assert_int_equal(settings->tier.cache.memory_limit, 128 << 20);
    assert_true(settings->tier.cache.no_eviction);
    assert_int_equal(settings->max_connections, 500);
    assert_int_equal(settings->verbosity, 2);
    read_good(
        line,
        "-t 8 -R 40 -C -b 99 -B ascii -I 2m -F -X -W -D / -s /tmp/f.sock -Y /tmp/auth --admin localhost --log-format=logfmt --use-threads all");
    assert_int_equal(settings->threads, 8);
    assert_int_equal(settings->use_threads, USE_ALL);
    assert_int_equal(settings->requests_per_event, 40);
    assert_int_equal(settings->backlog, 99);
    assert_false(settings->cas_enabled || settings->allow_flush_all || settings->allow_dump ||
                 settings->allow_watch);
    assert_true(settings->protocols == PROTOCOLS_ASCII && settings->detail);
    assert_int_equal(settings->item_max, 2 << 20);
    assert_int_equal(settings->stats_prefix_delimiter, '/');
    assert_string_equal(settings->unix_socket, "/tmp/f.sock");
    assert_string_equal(settings->auth_file, "/tmp/auth");
    assert_string_equal(settings->admin, "localhost");
    assert_int_equal(settings->log_format, LOG_FORMAT_LOGFMT);
}

TEST(long_names_mean_the_same) {
    struct command_line *line = *state;
    read_good(line,
              "--port=1 --udp-port=0 --unix-mask=700 --enable-shutdown --memory-limit=65 --disable-evictions "
              "--conn-limit=7 --lock-memory --verbose --verbose --threads=3 --max-reqs-per-event=9 "
              "--disable-cas --listen-backlog=5 --protocol=auto --max-item-size=512k --disable-flush-all");
    assert_int_equal(line->settings.port, 1);
    assert_int_equal(line->settings.max_connections, 7);
    assert_int_equal(line->settings.verbosity, 2);
    assert_int_equal(line->settings.item_max, 512 << 10);
    assert_int_equal(line->settings.protocols, PROTOCOLS_AUTO);
    read_good(line, "--daemon --enable-coredumps --user=u --pidfile=p --disable-dumping --disable-watch "
                    "--auth-file=a --extended=idle_timeout=5 --slab-growth-factor=1.5 --slab-min-size=48 "
                    "--enable-largepages --listen=127.0.0.1 --unix-socket=s");
    assert_int_equal(line->settings.idle_timeout, 5);
    assert_non_null(strstr(notices(line), "-f (--slab-growth-factor) has no meaning here"));
    assert_non_null(strstr(notices(line), "-n (--slab-min-size)"));
    assert_non_null(strstr(notices(line), "-L (--enable-largepages)"));
}

TEST(what_clients_may_ask_can_be_restricted) {
    struct command_line *line = *state;
    read_good(line, "-m 64");
    assert_true(line->settings.allow_quarantine && line->settings.allow_sync &&
                line->settings.allow_verbosity && line->settings.allow_cache_memlimit &&
                line->settings.allow_forget && line->settings.allow_dump);
    read_good(line, "--restrict=quarantine,sync --restrict=verbosity,cache_memlimit,shutdown");
    assert_false(line->settings.allow_quarantine || line->settings.allow_sync ||
                 line->settings.allow_verbosity || line->settings.allow_cache_memlimit);
    assert_true(line->settings.allow_forget && line->settings.allow_dump);
    read_good(line, "--restrict=dump,watch,flush_all,forget");
    assert_false(line->settings.allow_dump || line->settings.allow_watch || line->settings.allow_flush_all ||
                 line->settings.allow_forget);
}

TEST(several_addresses_may_be_given) {
    struct command_line *line = *state;
    read_good(
        line,
        "-l 127.0.0.1:11300,[::1]:11301;localhost -l *:11302 -l 127.0.0.1:11300 -l proto[ascii]:::1 -p 0");
    assert_int_equal(line->settings.listen_count, 5);
    assert_string_equal(line->settings.listen[0], "127.0.0.1:11300");
    assert_string_equal(line->settings.listen[1], "[::1]:11301");
    assert_string_equal(line->settings.listen[2], "localhost");
    assert_string_equal(line->settings.listen[3], "*:11302");
    assert_int_equal(line->settings.port, PORT_NONE);
    assert_false(line->settings.port_overrides);
    read_good(line, "-p -1");
    assert_int_equal(line->settings.port, PORT_FREE);
}

TEST(options_win_over_a_configuration) {
    static const char *const listen[] = {"127.0.0.1:1", "127.0.0.1:2"};
    struct command_line *line = *state;
    settings_defaults(&line->settings);
    line->settings.listen = listen;
    line->settings.listen_count = 2;
    line->settings.verbosity = 1;
    line->settings.threads = 6;
    read_over(line, "--config f.conf");
    assert_true(line->good);
    assert_string_equal(line->settings.config_file, "f.conf");
    assert_ptr_equal(line->settings.listen, listen);
    assert_int_equal(line->settings.verbosity, 1);
    assert_int_equal(line->settings.threads, 6);
    assert_false(line->settings.port_overrides);
    read_over(line, "-p 5 -t 2 -vvv");
    assert_true(line->settings.port_overrides);
    assert_int_equal(line->settings.listen_count, 2);
    assert_int_equal(line->settings.threads, 2);
    assert_int_equal(line->settings.verbosity, 3);
    read_over(line, "-l 127.0.0.9 -p 5");
    assert_int_equal(line->settings.listen_count, 1);
    line->settings.listen = listen;
    line->settings.listen_count = 2;
    read_over(line, "-s /tmp/s");
    assert_int_equal(line->settings.listen_count, 0);
}

TEST(extended_options_arrive_or_are_named_as_ignored) {
    struct command_line *line = *state;
    read_good(line,
              "-o idle_timeout=9,no_maxconns_fast,hashpower=20,slab_automove,lru_crawler,modern,track_sizes "
              "-o slab_automove=2,hash_algorithm=xxh3,hot_max_factor=0.5,slab_chunk_max=16");
    assert_int_equal(line->settings.idle_timeout, 9);
    assert_false(line->settings.maxconns_fast);
    assert_non_null(strstr(notices(line), "-o hashpower has no meaning here and is ignored"));
    assert_null(strstr(notices(line), "idle_timeout"));
    assert_null(strstr(notices(line), "modern"));
    read_good(line, "-o maxconns_fast,no_modern");
    assert_false(line->settings.maxconns_fast); /* as memcached: the 1.4 default */
}

TEST(an_option_may_ask_for_another_action) {
    static const struct {
        const char *words;
        enum options_action action;
    } table[] = {
        {"-h", OPTIONS_HELP},
        {"--help", OPTIONS_HELP},
        {"-V", OPTIONS_VERSION},
        {"--version", OPTIONS_VERSION},
        {"-i", OPTIONS_LICENSE},
        {"-V -h", OPTIONS_VERSION},
        {"--config f --check", OPTIONS_CHECK},
        {"--config f --check=offline", OPTIONS_CHECK},
        {"--print-config", OPTIONS_PRINT_CONFIG},
        {"--print-config=secrets", OPTIONS_PRINT_CONFIG},
        {"--help=settings", OPTIONS_HELP},
        {"--journal-dump /var/lib/forebay", OPTIONS_JOURNAL_DUMP},
        {"--recover=skip-damaged", OPTIONS_SERVE},
        {"--recover=discard:carts --recover=skip-damaged --recover=flush --recover=keep:old --recover=discard:sessions",
         OPTIONS_SERVE},
    };
    struct command_line *line = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        read_good(line, table[i].words);
        assert_int_equal(line->options.action, table[i].action);
        if (table[i].action == OPTIONS_JOURNAL_DUMP)
            assert_string_equal(line->options.journal_folder, "/var/lib/forebay");
        const struct tier_recovery *recovery = &line->settings.tier.recovery;
        assert_int_equal(recovery->skip_damaged, strstr(table[i].words, "skip-damaged") != NULL);
        assert_int_equal(recovery->flush, strstr(table[i].words, "flush") != NULL);
        assert_int_equal(recovery->discard_count, strstr(table[i].words, "discard") ? 2 : 0);
        if (recovery->discard_count) {
            assert_string_equal(recovery->discard[0], "carts");
            assert_string_equal(recovery->discard[1], "sessions");
            assert_int_equal(recovery->keep_count, 1);
            assert_string_equal(recovery->keep[0], "old");
        }
    }
}

static const struct bad {
    const char *words, *says, *also;
} table[] = {
    {"-p 65536", "-p (--port)", "from 0 to 65535"},
    {"-p -2", "-p (--port)", "-1 is any free port"},
    {"-p x", "-p (--port)", "\"x\""},
    {"-p ''", "-p (--port)", ""},
    {"-U 11211", "UDP is not served", "-U 0"},
    {"-U -1", "UDP", ""},
    {"-a 9", "-a (--unix-mask)", "octal"},
    {"-a 1777", "-a (--unix-mask)", "777"},
    {"-m 0", "-m (--memory-limit)", "from 1"},
    {"-m 1g", "-m (--memory-limit)", "\"1g\""},
    {"-c 0", "-c (--conn-limit)", "from 1"},
    {"-c -1", "-c (--conn-limit)", "\"-1\""},
    {"--log-format=JSON", "--log-format takes text, logfmt or json", "\"JSON\""},
    {"-t 0", "-t (--threads)", "from 1 to 256"},
    {"-t 257", "-t (--threads)", "256"},
    {"-R 0", "-R (--max-reqs-per-event)", "from 1"},
    {"-b 0", "-b (--listen-backlog)", "from 1"},
    {"-I 1000", "-I (--max-item-size)", "from 1k to 128m"},
    {"-I 129m", "-I (--max-item-size)", "128m"},
    {"-I 1x", "-I (--max-item-size)", "\"1x\""},
    {"-f 1", "-f (--slab-growth-factor)", "above 1"},
    {"-n 0", "-n (--slab-min-size)", "from 1"},
    {"-D ''", "-D", "-D :"},
    {"-B http", "auto, ascii or binary", "\"http\""},
    {"--use-threads some", "processors or all", "\"some\""},
    {"-l 127.0.0.1:x", "-l: \"127.0.0.1:x\"", "host:port"},
    {"-l 127.0.0.1:99999", "65535", ""},
    {"-l [::1", "']' is missing", ""},
    {"-l proto[binary]:127.0.0.1", "no protocol of its own", "-B"},
    {"-l unix:", "path", ""},
    {"-e /dev/shm/x", "-e (--memory-file) is not supported", "write-behind"},
    {"-N 2", "-N (--napi-ids) is not supported", ""},
    {"-l tls:unix:/run/f.sock", "-l: \"tls:unix:/run/f.sock\"", "a Unix socket"},
    {"-o ssl_min_version=1", "ssl_min_version=1", "at least 2 and at most 3"},
    {"-o ssl_verify_mode=4", "ssl_verify_mode=4", "at most 3"},
    {"-o ssl_keyformat=2", "ssl_keyformat=2", "at most 1"},
    {"-o nonsense", "-o nonsense: no such option", ""},
    {"-o ext_path=/x:1g", "extstore", "backend"},
    {"-o ssl_key", "-o ssl_key needs a value", "ssl_key=VALUE"},
    {"-o ssl_engine=x", "-o ssl_engine=x: no such option", ""},
    {"-o proxy_config=x", "proxy", ""},
    {"-o idle_timeout", "-o idle_timeout needs a value", "idle_timeout=VALUE"},
    {"-o idle_timeout=x", "idle_timeout=x", "at least 0"},
    {"-o hashpower=11", "hashpower=11", "at least 12 and at most 32"},
    {"-o hashpower=33", "hashpower=33", "32"},
    {"-o slab_automove=3", "slab_automove=3", "at most 2"},
    {"-o slab_automove_ratio=0", "slab_automove_ratio=0", "above 0"},
    {"-o slab_automove_window=2", "slab_automove_window=2", "1800"},
    {"-o tail_repair_time=9", "tail_repair_time=9", "at least 10"},
    {"-o hash_algorithm=md5", "hash_algorithm=md5", "murmur3"},
    {"-o hot_lru_pct=80", "hot_lru_pct=80", "79"},
    {"-o warm_max_factor=0", "warm_max_factor=0", "above 0"},
    {"-o slab_chunk_max=1025", "slab_chunk_max=1025", "1024"},
    {"-q", "-q: no such option", "forebay -h"},
    {"--nonsense", "--nonsense: no such option", "forebay -h"},
    {"--therads 4", "--therads: no such option", "did you mean --threads?"},
    {"--pid-file=x", "--pid-file=x: no such option", "did you mean --pidfile?"},
    {"--confg x", "--confg: no such option", "did you mean --config?"},
    {"\u2013t 4", "is not an option", "there is an en dash (U+2013) in it: type -"},
    {"-\u2212threads 4", "-\u2212threads: no such option", "there is a minus sign (U+2212) in it: type -"},
    {"--threads=\u201c4\u201d", "from 1 to 256", "there is a typographic quote (U+201C) in it: type \""},
    {"--=x", "--=x: ", "forebay -h"},
    {"--p=1", "--p=1: several options begin so", "write it out"},
    {"--daemon=1", "--daemon=1: --daemon takes no argument", "forebay -h"},
    {"-o idle_timout=1", "-o idle_timout=1: no such option", "did you mean idle_timeout?"},
    {"-p", "needs an argument", ""},
    {"--config", "needs an argument", ""},
    {"--journal-dump=", "no folder is named: give the data folder", ""},
    {"word", "\"word\" is not an option", "--config FILE"},
    {"-m 1gb", "takes a number of MB", "1gb"},
    {"--check", "--check needs --config", ""},
    {"--check=online", "--check=offline is expected", ""},
    {"--print-config=all", "--print-config=secrets is expected", ""},
    {"--help=everything", "--help=settings is expected", ""},
    {"--recover=hope", "--recover=hope", "skip-damaged"},
    {"--recover=discard:", "--recover=discard:", "NAMESPACE"},
    {"--recover=keep:", "--recover=keep:", "keep:NAMESPACE"},
};

TEST(a_bad_option_is_refused_with_the_reason) {
    struct command_line *line = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        read_line(line, table[i].words);
        if (line->good)
            fail_msg("accepted: %s", table[i].words);
        if (!strstr(line->error, table[i].says) || !strstr(line->error, table[i].also))
            fail_msg("%s: expected \"%s\", \"%s\"; got: %s", table[i].words, table[i].says, table[i].also,
                     line->error);
    }
}

TEST(a_long_argument_leaves_room_for_the_reason) {
    struct command_line *line = *state;
    char words[sizeof line->error];
    snprintf(words, sizeof words, "-p %0480d", 70000);
    read_line(line, words);
    assert_false(line->good);
    assert_non_null(strstr(line->error, "-p (--port)"));
    assert_non_null(strstr(line->error, "70000\"; -1 is any free port"));
}

/* As with memcached. */
TEST(an_item_takes_half_of_the_memory_at_most) {
    struct command_line *line = *state;
    struct settings_complaint complaint;
    read_good(line, "-m 8 -I 4m");
    assert_true(settings_check(&line->settings, &complaint));
    read_good(line, "-m 8 -I 5m");
    assert_false(settings_check(&line->settings, &complaint));
    assert_non_null(strstr(complaint.text, "-m (memory)"));
}

/* Nothing of earlier runs is known without a data folder: whoever says what is to become of it means another one. */
TEST(a_recovery_needs_a_data_folder) {
    static const char *const words[] = {"--recover=skip-damaged", "--recover=flush",
                                        "--recover=discard:sessions"};
    struct command_line *line = *state;
    struct settings_complaint complaint;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        read_good(line, words[i]);
        assert_false(settings_check(&line->settings, &complaint));
        assert_non_null(strstr(complaint.text, "--recover"));
        assert_non_null(strstr(complaint.text, "data"));
        line->settings.data = "/var/lib/forebay";
        assert_true(settings_check(&line->settings, &complaint));
    }
}

/* What the manuals call the default of an option is the same as to leave it out. */
TEST(the_defaults_of_the_manual_are_the_defaults) {
    struct command_line *line = *state;
    struct option_description option;
    struct settings without;
    char words[100];
    size_t defaults = 0;
    read_good(line, "");
    without = line->settings;
    for (size_t i = 0; options_describe(i, &option); i++) {
        if (!option.standard || option.letter == 'D') /* -D switches something on, too */
            continue;
        snprintf(words, sizeof words, "--%s=%s", option.name, option.standard);
        read_good(line, words);
        line->settings.port_overrides = false; /* without a configuration there is nothing to override */
        // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): bytes between members could only make it fail
        if (memcmp(&without, &line->settings, sizeof without) != 0)
            fail_msg("%s is not the default", words);
        defaults++;
    }
    assert_true(defaults >= 8);
}

TEST(what_options_say_about_a_setting_is_known) {
    struct command_line *line = *state;
    read_good(line,
              "-m 100 -F --restrict sync,watch -X -M -a 770 -o idle_timeout=5,no_maxconns_fast,modern -F");
    assert_string_equal(options_origin(&line->options, "memory"), "-m");
    assert_string_equal(options_origin(&line->options, "restrict"), "-F, --restrict, -X");
    assert_string_equal(options_origin(&line->options, "idle_timeout"), "-o idle_timeout=5");
    assert_null(options_origin(&line->options, "threads"));
    assert_int_equal(line->options.others.size, strlen("-M, -a 770, -o no_maxconns_fast"));
    assert_memory_equal(line->options.others.data, "-M, -a 770, -o no_maxconns_fast",
                        line->options.others.size);
}

TEST(the_help_names_every_option) {
    static const char *const names[] = {"--config", "--check", "--recover", "--journal-dump",
                                        "-l,",      "-p,",     "-s,",       "-a,",
                                        "-c,",      "-b,",     "-R,",       "-B,",
                                        "-U,",      "-m,",     "-M,",       "-I,",
                                        "-k,",      "-f,",     "-n,",       "-L,",
                                        "-A,",      "-F,",     "-X,",       "-W,",
                                        "-C,",      "-Y,",     "-D,",       "-t,",
                                        "-d,",      "-P,",     "-u,",       "-r,",
                                        "-v,",      "-o,",     "-V,",       "-i,",
                                        "-h,"};
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    manual_print(MANUAL_OPTIONS, file);
    fclose(file);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strstr(text, names[i]))
            fail_msg("the help lacks %s", names[i]);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(without_options_all_is_as_with_memcached),
        CASE(every_letter_arrives),
        CASE(long_names_mean_the_same),
        CASE(what_clients_may_ask_can_be_restricted),
        CASE(several_addresses_may_be_given),
        CASE(options_win_over_a_configuration),
        CASE(extended_options_arrive_or_are_named_as_ignored),
        CASE(an_option_may_ask_for_another_action),
        CASE(a_bad_option_is_refused_with_the_reason),
        CASE(a_long_argument_leaves_room_for_the_reason),
        CASE(an_item_takes_half_of_the_memory_at_most),
        CASE(a_recovery_needs_a_data_folder),
        CASE(the_defaults_of_the_manual_are_the_defaults),
        CASE(what_options_say_about_a_setting_is_known),
        CASE(the_help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
