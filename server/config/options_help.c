/* SPDX-License-Identifier: MIT */
#include "server/config/options.h"

static const char help[] =
    "usage: forebay [--config FILE] [options]\n"
    "\n"
    "A caching tier server: memcached's text protocol in front, SQLite or Redis behind.\n"
    "Without --config every key is cache-aside: memory alone, like memcached.\n"
    "\n"
    "Configuration\n"
    "  --config FILE             read namespaces, backends and settings from FILE; options given with it win\n"
    "  --check                   only say whether FILE is good, and what earlier runs have left in its data folder\n"
    "  --recover=skip-damaged    start although a journal or quarantine is damaged, without the damaged records\n"
    "  --recover=flush           write to their backends first what namespaces that were write-behind have left\n"
    "  --recover=discard:NAME    give up what namespace NAME has left in journals and quarantine\n"
    "  --recover=keep:NAME       leave it there although namespace NAME is not configured\n"
    "  --journal-dump DIR        print the journals in DIR readably, and exit\n"
    "\n"
    "Network\n"
    "  -l, --listen=ADDRESSES    addresses: host, host:port, [ipv6]:port, *, unix:/path; separated by commas, or\n"
    "                            several -l (default: all interfaces; with --config 127.0.0.1)\n"
    "  -p, --port=N              TCP port of addresses without one (11211; -1: a free one; 0: no TCP)\n"
    "  -s, --unix-socket=PATH    listen on a Unix socket instead of the network\n"
    "  -a, --unix-mask=OCTAL     its access bits (700)\n"
    "  -c, --conn-limit=N        client connections at a time (1024)\n"
    "  -b, --listen-backlog=N    connections waiting to be accepted (1024)\n"
    "  -R, --max-reqs-per-event=N  requests of one connection before others get their turn\n"
    "                            (not given: what one read brings)\n"
    "  --admin=ADDRESS           answer HTTP there: health, metrics; host:port, [ipv6]:port (port 11280)\n"
    "  -B, --protocol=NAME       auto or ascii; both speak text\n"
    "  -U, --udp-port=0          accepted; UDP is not served\n"
    "\n"
    "Memory\n"
    "  -m, --memory-limit=N      megabytes, a limit of what the cache has resident (64)\n"
    "  -M, --disable-evictions   refuse writes when memory is full\n"
    "  -I, --max-item-size=SIZE  largest item, 1k to 128m (1m)\n"
    "  -k, --lock-memory         lock the memory of the process\n"
    "  -f, -n, -L                accepted and ignored: there are no slab classes\n"
    "\n"
    "Commands\n"
    "  -A, --enable-shutdown     allow the command shutdown\n"
    "  -F, --disable-flush-all   refuse flush_all\n"
    "  -X, --disable-dumping     refuse stats detail, cachedump, metadump, mgdump\n"
    "  -W, --disable-watch       refuse watch\n"
    "  --restrict=LIST           refuse any of cache_memlimit, dump, flush_all, forget, quarantine, shutdown,\n"
    "                            sync, verbosity, watch\n"
    "  -C, --disable-cas         no CAS\n"
    "  -Y, --auth-file=FILE      lines of user:password; clients have to authenticate; SIGHUP reads it again\n"
    "  -D CHAR                   count per prefix (stats detail), which ends at CHAR\n"
    "\n"
    "Process\n"
    "  -t, --threads=N           worker threads (4)\n"
    "  -d, --daemon              run in the background\n"
    "  -P, --pidfile=FILE        write the process number to FILE\n"
    "  -u, --user=NAME           become this user, when started as root\n"
    "  -r, --enable-coredumps    raise the limit of core files\n"
    "  -v, -vv, -vvv             log more\n"
    "  -o, --extended=LIST       key=value, separated by commas: idle_timeout=SECONDS, [no_]maxconns_fast,\n"
    "                            [no_]lru_crawler, watcher_logbuf_size=KB, read_buf_mem_limit=MB;\n"
    "                            memcached's tuning names are accepted and ignored\n"
    "  -V, --version   -i, --license   -h, --help\n"
    "\n"
    "Exit status: 0 stopped as asked; 1 the start failed; 64 bad options; 78 bad configuration.\n"
    "docs/operating.md has every setting.\n";

static const char license[] =
    "forebay " FOREBAY_VERSION ", under the MIT licence (LICENSE).\n"
    "It is linked with libev (BSD-2-Clause or GPL-2.0), SQLite (public domain), hiredis (BSD-3-Clause),\n"
    "libconfuse (ISC), xxHash (BSD-2-Clause) and libmicrohttpd (LGPL-2.1-or-later).\n";

void options_print_help(FILE *out) {
    fputs(help, out);
}

void options_print_license(FILE *out) {
    fputs(license, out);
}
