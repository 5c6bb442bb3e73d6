/* SPDX-License-Identifier: MIT */
/* All options, in the order of the manuals, group by group. */
#include "server/config/measure.h"
#include "server/config/options_internal.h"
#include <getopt.h>
#include <limits.h>

enum {
    OPTION_CONFIG = OPTIONS_FIRST_WITHOUT_LETTER,
    OPTION_CHECK,
    OPTION_HASH,
    OPTION_JOURNAL_DUMP,
    OPTION_PRINT_CONFIG,
    OPTION_RECOVER,
    OPTION_RESTRICT,
    OPTION_ADMIN,
    OPTION_LOG_FORMAT,
    OPTION_IO,
    OPTION_SANDBOX,
    OPTION_USE_THREADS,
};

#define IN_SETTINGS(member) offsetof(struct settings, member)
#define IN_OPTIONS(member)  offsetof(struct options, member)

const struct option_kind option_kinds[] = {
    {OPTION_CONFIG, "config", required_argument, options_take_text, .offset = IN_SETTINGS(config_file),
     .group = OPTIONS_CONFIGURATION, .placeholder = "FILE",
     .about = "read namespaces, backends and settings from FILE; options given with it override it"},
    {OPTION_CHECK, "check", optional_argument, options_take_check, OPTIONS_CHECK,
     .group = OPTIONS_CONFIGURATION, .placeholder = "offline",
     .about =
         "do all that a start does short of serving, with FILE and with what it names: folders, addresses, user, backends, what earlier runs have left. Say what is wrong and change nothing. `--check=offline` asks no backend"},
    {OPTION_PRINT_CONFIG, "print-config", optional_argument, options_take_print_config, OPTIONS_PRINT_CONFIG,
     .group = OPTIONS_CONFIGURATION, .placeholder = "secrets",
     .about =
         "print the value of every setting, as a configuration file, with where each comes from. Passwords in URIs are hidden, unless `--print-config=secrets` is given"},
    {OPTION_RECOVER, "recover", required_argument, options_take_recover, .group = OPTIONS_CONFIGURATION,
     .placeholder = "WHAT",
     .about =
         "what to do with what earlier runs have left; may be given several times. `skip-damaged`: start even if a journal or a quarantine is damaged, or a file of it is missing; what was there is lost. `flush`: write to their backends what namespaces that are not write-behind any more have left, then start. `discard:NAMESPACE`: give up what this namespace has left in journals and quarantine, then start. `keep:NAMESPACE`: leave it there although this namespace is not configured"},
    {OPTION_JOURNAL_DUMP, "journal-dump", required_argument, options_take_journal_dump, OPTIONS_JOURNAL_DUMP,
     .group = OPTIONS_CONFIGURATION, .placeholder = "DIR",
     .about = "print the journals in DIR, one record a line; the server need not be stopped"},
    {OPTION_HASH, "hash-password", optional_argument, options_take_hash, OPTIONS_HASH,
     .group = OPTIONS_CONFIGURATION, .placeholder = "COST",
     .about = "ask for a password, and print the line of it for the `password_file` of a [user](#users)"},

    {'l', "listen", required_argument, options_take_listen, .group = OPTIONS_NETWORK, .placeholder = "LIST",
     .setting = "listen",
     .about =
         "`host`, `host:port`, `[ipv6]:port`, `*`, `*:port`, `unix:/path`; `tls:` in front [encrypts](#tls); separate several with commas, or repeat -l. Not given: all interfaces, or with a configuration 127.0.0.1"},
    {'p', "port", required_argument, options_take_port, 0, 65535, .group = OPTIONS_NETWORK,
     .placeholder = "N", .standard = "11211", .setting = "listen",
     .about =
         "TCP port of addresses without one; -1: any free port (like `-l host:0`); 0: no TCP at all, whatever -l says"},
    {'s', "unix-socket", required_argument, options_take_text, .offset = IN_SETTINGS(unix_socket),
     .group = OPTIONS_NETWORK, .placeholder = "PATH", .setting = "listen",
     .about =
         "listen on a Unix socket instead of the network; a socket file that no process serves is removed first"},
    {'a', "unix-mask", required_argument, options_take_mask, .group = OPTIONS_NETWORK, .placeholder = "OCTAL",
     .standard = "700", .about = "the access mode of that socket"},
    {OPTION_ADMIN, "admin", required_argument, options_take_admin, .offset = IN_SETTINGS(admin),
     .group = OPTIONS_NETWORK, .placeholder = "ADDRESS", .setting = "admin",
     .about =
         "answer [HTTP](#the-admin-http) there: `host`, `host:port`, `[ipv6]:port`; the port is 11280 where none is given. Off unless given"},
    {'c', "conn-limit", required_argument, options_take_number, 1, 1 << 20, IN_SETTINGS(max_connections),
     .group = OPTIONS_NETWORK, .placeholder = "N", .standard = "1024", .setting = "max_connections",
     .about =
         "client connections at a time; raises the open-files limit. Where that cannot be raised to N and 256 more (or, if that is more: 128, 6 for each thread, and 3 for each reader and for 3 others of each backend), N other than 1024 is refused; 1024, which nobody needs to have asked for, becomes what there is room for (16 at least), with a warning"},
    {'b', "listen-backlog", required_argument, options_take_number, 1, INT_MAX, IN_SETTINGS(backlog),
     .group = OPTIONS_NETWORK, .placeholder = "N", .standard = "1024",
     .about = "connections waiting to be accepted"},
    {'R', "max-reqs-per-event", required_argument, options_take_requests, 1, INT_MAX,
     IN_SETTINGS(requests_per_event), .group = OPTIONS_NETWORK, .placeholder = "N",
     .about =
         "requests served from one connection before others get their turn; in any case 512 keys or 96 KiB of replies at most"},
    {'B', "protocol", required_argument, options_take_protocol, .group = OPTIONS_NETWORK,
     .placeholder = "NAME", .standard = "auto",
     .about =
         "what clients may speak: `ascii` (the text protocol), `binary`, or `auto`, which goes by the first byte of a connection"},
    {'Z', "enable-ssl", no_argument, options_take_on, .offset = IN_SETTINGS(tls), .group = OPTIONS_NETWORK,
     .about = "all addresses of the network are [encrypted](#tls), but those that begin with `notls:`"},
    {'U', "udp-port", required_argument, options_take_udp, .group = OPTIONS_NETWORK, .placeholder = "0",
     .standard = "0", .about = "accepted; UDP is not served"},

    {'m', "memory-limit", required_argument, options_take_memory, 1, 1 << 24, .group = OPTIONS_MEMORY,
     .placeholder = "MB", .standard = "64", .setting = "memory",
     .about =
         "limits what the cache keeps resident. Not included: [connection buffers](#what-a-connection-may-take); with a backend, the backend's own caches (SQLite: up to 8 MiB for the writer); under write-behind, a batch (up to a 32nd of the limit) and the dirty queues (16 bytes an entry)"},
    {'M', "disable-evictions", no_argument, options_take_on, .offset = IN_SETTINGS(tier.cache.no_eviction),
     .group = OPTIONS_MEMORY, .about = "refuse writes when memory is full"},
    {'I', "max-item-size", required_argument, options_take_item_size, SETTINGS_ITEM_MIN, SETTINGS_ITEM_MAX,
     .group = OPTIONS_MEMORY, .placeholder = "SIZE", .standard = "1m", .setting = "item_max",
     .about = "the largest item; at most half of -m"},
    {'k', "lock-memory", no_argument, options_take_launch, .offset = IN_OPTIONS(lock_memory),
     .group = OPTIONS_MEMORY,
     .about = "lock the memory of the process (mlockall); warns if that is not allowed"},

    {'A', "enable-shutdown", no_argument, options_take_on, .offset = IN_SETTINGS(allow_shutdown),
     .group = OPTIONS_COMMANDS, .about = "allow `shutdown`"},
    {'F', "disable-flush-all", no_argument, options_take_off, .offset = IN_SETTINGS(allow_flush_all),
     .group = OPTIONS_COMMANDS, .setting = "restrict", .about = "refuse `flush_all`"},
    {'X', "disable-dumping", no_argument, options_take_off, .offset = IN_SETTINGS(allow_dump),
     .group = OPTIONS_COMMANDS, .setting = "restrict",
     .about = "refuse `stats detail`, `stats cachedump`, `lru_crawler metadump` and `mgdump`"},
    {'W', "disable-watch", no_argument, options_take_off, .offset = IN_SETTINGS(allow_watch),
     .group = OPTIONS_COMMANDS, .setting = "restrict", .about = "refuse `watch`"},
    {OPTION_RESTRICT, "restrict", required_argument, options_take_restrict, .group = OPTIONS_COMMANDS,
     .placeholder = "LIST", .setting = "restrict",
     .about =
         "refuse the [commands of this list](#restricted-commands), separated by commas; may be given several times, and adds to the configuration's list"},
    {'C', "disable-cas", no_argument, options_take_off, .offset = IN_SETTINGS(cas_enabled),
     .group = OPTIONS_COMMANDS,
     .about =
         "`stats settings` tells it, and nothing else changes: each entry has its CAS all the same, as the store's rows need it"},
    {'Y', "auth-file", required_argument, options_take_text, .offset = IN_SETTINGS(auth_file),
     .group = OPTIONS_COMMANDS, .placeholder = "FILE", .setting = "auth_file",
     .about =
         "[clients must authenticate](#authentication); FILE has lines of `user:password`. SIGHUP reads it again"},
    {'S', "enable-sasl", no_argument, options_take_on, .offset = IN_SETTINGS(sasl), .group = OPTIONS_COMMANDS,
     .about =
         "clients must authenticate by SASL, as users of -Y: the same as -B binary. Without it, -Y has clients of both protocols authenticate, each in its own way"},
    {'D', "stats-delimiter", required_argument, options_take_delimiter, .group = OPTIONS_COMMANDS,
     .placeholder = "CHAR", .standard = ":",
     .about = "the character that ends a prefix in `stats detail`; also switches `stats detail` on"},

    {'t', "threads", required_argument, options_take_number, 1, SETTINGS_THREADS_MAX, IN_SETTINGS(threads),
     .group = OPTIONS_PROCESS, .placeholder = "N", .standard = "4", .setting = "threads",
     .about =
         "worker threads; connections go to no more of them than there are [processors](sizing.md#threads-processors-descriptors)"},
    {OPTION_USE_THREADS, "use-threads", required_argument, options_take_use_threads, .group = OPTIONS_PROCESS,
     .placeholder = "NAME", .standard = "processors", .setting = "use_threads",
     .about = "connections go to as many threads as there are `processors`, or to `all`"},
    {OPTION_IO, "io", required_argument, options_take_io, .group = OPTIONS_PROCESS, .placeholder = "NAME",
     .standard = "auto", .setting = "io",
     .about =
         "how the worker threads [talk with the kernel](design.md#io_uring-and-epoll): `io_uring`, `epoll`, or `auto`, which takes io_uring where it may be used"},
    {OPTION_SANDBOX, "sandbox", required_argument, options_take_sandbox, .group = OPTIONS_PROCESS,
     .placeholder = "NAME", .standard = "off", .setting = "sandbox",
     .about =
         "`strict`: once its addresses are bound, the server [closes what it has no use for](#the-sandbox); or `off`"},
    {'d', "daemon", no_argument, options_take_launch, .offset = IN_OPTIONS(daemonize),
     .group = OPTIONS_PROCESS,
     .about =
         "run in the background; the command returns once clients can connect, or with the status of a failed start"},
    {'P', "pidfile", required_argument, options_take_launch_text, .offset = IN_OPTIONS(pid_file),
     .group = OPTIONS_PROCESS, .placeholder = "FILE",
     .about =
         "write the process id to FILE (mode 0644; no link is followed), which is held by a lock and removed at the end; refused if a server that runs holds it"},
    {'u', "user", required_argument, options_take_launch_text, .offset = IN_OPTIONS(user),
     .group = OPTIONS_PROCESS, .placeholder = "NAME",
     .about =
         "when started as root: become this user once the TCP ports are bound. Running as root without -u is allowed, and told"},
    {'r', "enable-coredumps", no_argument, options_take_launch, .offset = IN_OPTIONS(core_dumps),
     .group = OPTIONS_PROCESS, .about = "raise the limit of core files"},
    {'v', "verbose", optional_argument, options_take_verbose, .group = OPTIONS_PROCESS,
     .setting = "verbosity",
     .about = "log lines of level debug; `-vv` and `-vvv` are the same; with -d, keep standard error open"},
    {OPTION_LOG_FORMAT, "log-format", required_argument, options_take_log_format, .group = OPTIONS_PROCESS,
     .placeholder = "FORMAT", .standard = "text", .setting = "log_format",
     .about = "the form of the [log](#log): `text`, `logfmt` or `json`"},
    {'o', "extended", required_argument, options_take_extended, .group = OPTIONS_PROCESS,
     .placeholder = "LIST",
     .about = "[more options](#extended-options), as `name=value` or `name`, separated by commas"},
    {'h', "help", optional_argument, options_take_help, OPTIONS_HELP, .group = OPTIONS_PROCESS,
     .placeholder = "settings",
     .about = "describe the options, or with `--help=settings` those of the configuration file"},
    {'V', "version", no_argument, options_take_action, OPTIONS_VERSION, .group = OPTIONS_PROCESS,
     .about = "print the version"},
    {'i', "license", no_argument, options_take_action, OPTIONS_LICENSE, .group = OPTIONS_PROCESS,
     .about = "print the licence"},

    {'f', "slab-growth-factor", required_argument, options_take_factor, .text = "there are no slab classes",
     .group = OPTIONS_IGNORED, .placeholder = "FACTOR"},
    {'n', "slab-min-size", required_argument, options_take_ignored, 1, INT_MAX,
     .text = "there are no slab classes", .group = OPTIONS_IGNORED, .placeholder = "N"},
    {'L', "enable-largepages", no_argument, options_take_ignored,
     .text = "the kernel's transparent huge pages apply", .group = OPTIONS_IGNORED},

    {'e', "memory-file", required_argument, options_take_refused, .group = OPTIONS_REFUSED,
     .placeholder = "FILE",
     .text = "memory is not kept in a file; a write-behind namespace survives a restart"},
    {'N', "napi-ids", required_argument, options_take_refused,
     .text = "connections are given to the threads in turn", .group = OPTIONS_REFUSED, .placeholder = "N"},
};

_Static_assert(sizeof option_kinds / sizeof *option_kinds <= OPTION_KINDS_MAX, "room for all");

const size_t option_kind_count = sizeof option_kinds / sizeof *option_kinds;

static void describe_values(const struct option_kind *kind, char *ret_text, size_t size) {
    *ret_text = '\0';
    if (kind->maximum && kind->take == options_take_item_size)
        measure_print_range(kind->minimum, kind->maximum, measure_print_size, ret_text, size);
    else if (kind->maximum)
        measure_print_range(kind->minimum, kind->maximum, measure_print_number, ret_text, size);
}

bool options_describe(size_t index, struct option_description *ret_description) {
    if (index >= option_kind_count)
        return false;
    const struct option_kind *kind = &option_kinds[index];
    *ret_description = (struct option_description){
        .group = kind->group,
        .letter = kind->letter < OPTIONS_FIRST_WITHOUT_LETTER ? (char)kind->letter : '\0',
        .name = kind->name,
        .placeholder = kind->placeholder,
        .argument_is_optional = kind->argument == optional_argument,
        .standard = kind->standard,
        .about = kind->about ? kind->about : kind->text};
    describe_values(kind, ret_description->values, sizeof ret_description->values);
    return true;
}
