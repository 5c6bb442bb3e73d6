/* SPDX-License-Identifier: MIT */
/* See options.h. */
#include "tools/top/options.h"
#include "cache/base/fit.h"
#include "cache/base/given_file.h"
#include "server/config/lookalike.h"
#include "server/config/measure.h"
#include "server/config/nearest.h"
#include "server/config/option_word.h"
#include "tools/top/view.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { OPTION_VERSION = 256, OPTION_USER, OPTION_PASSWORD_FILE, OPTION_ONCE, OPTION_JSON };

static const struct option names[] = {{"interval", required_argument, NULL, 'i'},
                                      {"user", required_argument, NULL, OPTION_USER},
                                      {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
                                      {"once", no_argument, NULL, OPTION_ONCE},
                                      {"json", no_argument, NULL, OPTION_JSON},
                                      {"help", no_argument, NULL, 'h'},
                                      {"version", no_argument, NULL, OPTION_VERSION},
                                      {0}};

static const char help[] =
    "usage: forebay-top [option...] [HOST:PORT | PORT | PATH]\n"
    "\n"
    "Shows live what a Forebay does: its namespaces, backends, journal and process. HOST:PORT is the address that\n"
    "memcached clients use; a PORT alone is of this machine; PATH is that of its Unix socket, with a slash in it.\n"
    "127.0.0.1:11211 if none is given.\n"
    "\n"
    "  -i, --interval=TIME       ask so often: 500ms, 2s, 1m; a number alone is seconds (1s; at least 100ms)\n"
    "      --user=NAME           log in: for a server with an auth_file\n"
    "      --password-file=FILE  its first line is the password of the user; nobody else may read it (chmod 600)\n"
    "      --once                ask twice, an interval apart, print all figures as tables, and end\n"
    "      --json                with --once: print one JSON object instead\n"
    "  -h, --help\n"
    "      --version\n"
    "\n"
    "On the screen, h shows what the keys do, and q ends. NO_COLOR in the environment: no colours.\n"
    "Exit status: 0; 1 if the server cannot be asked, the terminal cannot be used, or nothing can be printed; 64 if an\n"
    "option is wrong.\n";

__attribute__((format(printf, 1, 2))) static bool wrong(const char *format, ...) {
    char message[4096];
    va_list arguments;
    va_start(arguments, format);
    fit_vprint(message, sizeof message, format, arguments);
    va_end(arguments);
    lookalike_tell(message, sizeof message);
    fprintf(stderr, "forebay-top: %s\n", message);
    return false;
}

/* ---- The address ---- */

static bool wrong_place(const char *text, const char *why) {
    return wrong(
        "\"%s\" is not an address (%s): write host, host:port, [ipv6]:port, a port, or the path of a Unix socket",
        text, why);
}

static bool read_path(const char *text, struct place *place) {
    place->is_unix = true;
    if (strlen(text) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return wrong_place(place->text, "a socket's path has at most 107 bytes");
    snprintf(place->host, sizeof place->host, "%s", text);
    return true;
}

/* Where the host ends; *ret_port: what stands behind the colon, or NULL. NULL: a bracket is missing. */
static const char *split(const char **text, const char **ret_port) {
    const char *end, *colon = strchr(*text, ':');
    *ret_port = NULL;
    if (**text == '[') {
        end = strchr(++*text, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return NULL;
        *ret_port = end[1] == ':' ? end + 2 : NULL;
        return end;
    }
    if (!colon || strchr(colon + 1, ':')) /* none, or several: a bare IPv6 address */
        return strchr(*text, '\0');
    *ret_port = colon + 1;
    return colon;
}

static bool read_port(const char *text, struct place *place) {
    uint64_t number;
    if (!measure_number(text, &number) || number == 0 || number > 65535)
        return wrong_place(place->text, "a port is a number from 1 to 65535");
    snprintf(place->port, sizeof place->port, "%u", (unsigned)number);
    return true;
}

static bool begins_with(const char *text, const char *word) {
    return strncmp(text, word, strlen(word)) == 0;
}

/* Written as in the server's own settings. */
static const char *skip_plain(const char *text) {
    static const char plain[] = "notls:";
    return begins_with(text, plain) ? text + strlen(plain) : text;
}

static bool is_encrypted(const char *text) {
    return begins_with(text, "tls:") || begins_with(text, "btls:") || begins_with(text, "mtls:");
}

/* A number alone is a port: as a host it would be an address that nobody means. */
static bool read_place(const char *text, struct place *place) {
    *place = (struct place){.text = text, .host = "127.0.0.1", .port = "11211"};
    if (is_encrypted(text))
        return wrong(
            "%s: forebay-top does not speak TLS: give an address of the server without tls:, or the end of a tunnel to it",
            text);
    text = skip_plain(text);
    if (begins_with(text, "unix:"))
        return read_path(text + strlen("unix:"), place);
    if (strchr(text, '/'))
        return read_path(text, place);
    if (*text && text[strspn(text, "0123456789")] == '\0')
        return read_port(text, place);
    const char *port, *host = text, *end = split(&host, &port);
    if (!end)
        return wrong_place(text, "the ']' is missing, or something but a port follows it");
    if (end == host || (size_t)(end - host) >= sizeof place->host)
        return wrong_place(text, end == host ? "the host is missing" : "too long");
    snprintf(place->host, sizeof place->host, "%.*s", (int)(end - host), host);
    return !port || read_port(port, place);
}

/* ---- The password ---- */

static bool read_line(FILE *file, const char *path, char ret_password[OPTIONS_PASSWORD_MAX + 1]) {
    char line[OPTIONS_PASSWORD_MAX + 2];
    struct stat status;
    if (fstat(fileno(file), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) &&
        S_ISREG(status.st_mode))
        return wrong(
            "the password file %s can be read or written by others: chmod 600 %s, and change the password",
            path, path);
    if (!fgets(line, sizeof line, file))
        return wrong("the password file %s %s", path, ferror(file) ? strerror(errno) : "is empty");
    line[strcspn(line, "\r\n")] = '\0';
    if (!*line || strlen(line) > OPTIONS_PASSWORD_MAX)
        return wrong("the first line of the password file %s has to be the password, of 1 to %d bytes", path,
                     OPTIONS_PASSWORD_MAX);
    memcpy(ret_password, line, strlen(line) + 1);
    return true;
}

static bool read_password(const char *path, struct options *options) {
    FILE *file = fopen(path, "re");
    char why[GIVEN_FILE_REASON_MAX];
    given_file_reason(errno, why);
    if (!file)
        return wrong("the password file %s cannot be read: %s", path, why);
    bool good = read_line(file, path, options->password);
    fclose(file);
    return good;
}

/* ---- Options ---- */

static bool read_interval(const char *text, uint64_t *ret_ms) {
    uint64_t ms;
    double seconds;
    char rest;
    if (!measure_duration(text, &ms)) {
        if (sscanf(text, "%lf%c", &seconds, &rest) != 1 || !(seconds >= 0 && seconds <= VIEW_INTERVAL_MAX_MS))
            return wrong("--interval=%s is not a time: write 500ms, 2s, 1m, or seconds", text);
        ms = (uint64_t)(seconds * 1000);
    }
    if (ms < VIEW_INTERVAL_MIN_MS || ms > VIEW_INTERVAL_MAX_MS)
        return wrong("--interval=%s is out of range: from 100ms to 1h", text);
    *ret_ms = ms;
    return true;
}

static bool check(const struct options *options, const char *password_file) {
    if (options->json && !options->once)
        return wrong("--json is for --once: give both");
    if (options->user && !password_file)
        return wrong("--user needs the password: give --password-file as well");
    if (password_file && !options->user)
        return wrong("--password-file needs to know whose password it is: give --user as well");
    if (options->user && (strchr(options->user, ' ') || !*options->user))
        return wrong("--user=%s is not a user: it is empty, or has a space in it", options->user);
    return true;
}

static enum options_result take(int option, struct options *options, const char **password_file) {
    switch (option) {
    case 'i':
        return read_interval(optarg, &options->interval_ms) ? OPTIONS_GOOD : OPTIONS_WRONG;
    case OPTION_USER:
        options->user = optarg;
        return OPTIONS_GOOD;
    case OPTION_PASSWORD_FILE:
        *password_file = optarg;
        return OPTIONS_GOOD;
    case OPTION_ONCE:
        options->once = true;
        return OPTIONS_GOOD;
    case OPTION_JSON:
        options->json = true;
        return OPTIONS_GOOD;
    case 'h':
        fputs(help, stdout);
        return OPTIONS_ANSWERED;
    case OPTION_VERSION:
        puts("forebay-top " FOREBAY_VERSION);
        return OPTIONS_ANSWERED;
    default:
        return OPTIONS_WRONG;
    }
}

/* A long one that there is not, or which begins as several do. */
static void refuse_long(const char *word) {
    const char *start = word + strspn(word, "-");
    struct slice name = slice_of(start, strcspn(start, "="));
    struct nearest nearest = nearest_to(name);
    size_t beginning = 0;
    for (const struct option *known = names; known->name; known++) {
        nearest_consider(&nearest, known->name);
        beginning += strncmp(known->name, name.data, name.size) == 0;
    }
    if (beginning > 1)
        wrong("%s: several options begin so; write it out (forebay-top --help lists them)", word);
    else if (nearest.found)
        wrong("%s: no such option; did you mean --%s?", word, nearest.found);
    else
        wrong("%s: no such option; forebay-top --help lists those that there are", word);
}

/* What getopt does not take: it has an argument too many or too few, or is none of these. */
static void refuse(int found, char *const *arguments) {
    const char *word = arguments[optind - 1];
    if (found == ':')
        wrong("%s needs an argument; see forebay-top --help", word);
    else if (optopt > UCHAR_MAX || (optopt == 'h' && strncmp(word, "--", 2) == 0))
        wrong("%s: this option takes no argument; see forebay-top --help", word);
    else if (optopt > 0 && optopt <= SCHAR_MAX)
        wrong("-%c: no such option; see forebay-top --help", optopt);
    else
        refuse_long(optopt ? option_word(arguments) : word);
}

static bool take_rest(int count, char **arguments, const char *password_file, struct options *options) {
    const struct lookalike *dash = count ? lookalike_find(slice_string(arguments[0])) : NULL;
    if (dash && dash->kind == LOOKALIKE_DASH && begins_with(arguments[0], dash->bytes))
        return wrong("%s is neither an option nor an address", arguments[0]);
    if (count > 1)
        return wrong("one address is enough, and \"%s\" is a second one", arguments[1]);
    return read_place(count ? arguments[0] : "127.0.0.1:11211", &options->place) &&
           check(options, password_file) && (!password_file || read_password(password_file, options));
}

enum options_result options_read(int count, char **arguments, struct options *ret_options) {
    const char *password_file = NULL;
    int option;
    *ret_options = (struct options){.interval_ms = 1000};
    while ((option = getopt_long(count, arguments, ":hi:", names, NULL)) != -1) {
        if (option == '?' || option == ':')
            refuse(option, arguments);
        enum options_result result = take(option, ret_options, &password_file);
        if (result != OPTIONS_GOOD)
            return result;
    }
    return take_rest(count - optind, arguments + optind, password_file, ret_options) ? OPTIONS_GOOD
                                                                                     : OPTIONS_WRONG;
}
