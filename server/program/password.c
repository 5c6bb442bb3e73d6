/* SPDX-License-Identifier: MIT */
/* --hash-password: from what somebody types to a line of a password file. Never from an argument, which all users of
 * the machine can read. */
#include "server/program/program.h"
#include "server/worker/auth/prover.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = PROOF_PASSWORD_MAX + 3 }; /* with a byte too many, the end of the line and a zero */

static int complain(const char *reason) {
    fprintf(stderr, "forebay: --hash-password: %s\n", reason);
    return EXIT_FAILURE;
}

/* Reads a line of standard input without its end. False: there is none. */
static bool read_line(char line[LINE_MAX_BYTES]) {
    if (!fgets(line, LINE_MAX_BYTES, stdin))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

/* Waits for a line, or one of these signals, which are blocked. False: a signal waits now. */
static bool await_line(const sigset_t *signals) {
    int waiting = signalfd(-1, signals, SFD_CLOEXEC);
    struct pollfd sources[] = {{STDIN_FILENO, POLLIN, 0}, {waiting, POLLIN, 0}};
    while (poll(sources, 2, -1) < 0 && errno == EINTR)
        continue;
    if (waiting >= 0)
        close(waiting);
    return sources[1].revents == 0;
}

/* The same at a terminal, which does not show it. What would end the process does so once the terminal is as it was. */
static bool ask(const char *question, char line[LINE_MAX_BYTES]) {
    struct termios shown, hidden;
    sigset_t ending, before;
    bool hides = tcgetattr(STDIN_FILENO, &shown) == 0;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGQUIT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, &before);
    if (hides)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    fputs(question, stderr); /* once what is typed is not shown, nor thrown away */
    bool good = await_line(&ending) && read_line(line);
    if (hides)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return good;
}

/* What is wrong, or NULL. */
static const char *read_password(char password[LINE_MAX_BYTES]) {
    char again[LINE_MAX_BYTES] = "";
    bool asks = isatty(STDIN_FILENO), good = true;
    if (asks)
        good = ask("Password: ", password) && ask("The same again: ", again);
    else
        good = read_line(password);
    bool same = !asks || strcmp(password, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!good || !*password)
        return "there is no password on standard input: type one, or write it there as one line";
    if (strlen(password) > PROOF_PASSWORD_MAX)
        return "the password is longer than 511 bytes: take a shorter one";
    return same ? NULL : "the two are not the same: try again";
}

int program_hash_password(unsigned cost) {
    char password[LINE_MAX_BYTES] = "", hash[USERS_HASH_MAX];
    const char *flaw = read_password(password);
    if (!flaw && !users_hash(password, cost, hash))
        flaw = "libcrypt makes no hash: is there memory, and is it Debian's libcrypt1?";
    explicit_bzero(password, sizeof password);
    if (flaw)
        return complain(flaw);
    puts(hash);
    return EXIT_SUCCESS;
}
