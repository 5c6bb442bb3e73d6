/* SPDX-License-Identifier: MIT */
#include "server/http/token.h"
#include "cache/base/byte_order_mark.h"
#include "cache/base/fit.h"
#include "cache/base/given_file.h"
#include "cache/base/secret.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who must not can do what with the file; NULL: nobody. */
static const char *exposure(mode_t mode) {
    if (mode & S_IROTH)
        return "read by all users of this machine";
    if (mode & S_IWOTH)
        return "written by all users of this machine";
    return mode & S_IWGRP ? "written by its group" : NULL;
}

/* What is wrong with the text, or NULL. */
static const char *flaw_of(const char *text, size_t size) {
    if (size > TOKEN_MOST)
        return "is longer than 512 characters";
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return "has a space, another line or a character that no client can send: one line of visible ASCII is the token";
    return size < TOKEN_LEAST ? "has less than 16 characters: openssl rand -hex 32 makes a good one" : NULL;
}

/* Behind the last visible character. */
static size_t trimmed(const char *text, size_t size) {
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    return size;
}

static bool cannot_read(const char *path, int failure, char *ret_error, size_t error_size) {
    char why[GIVEN_FILE_REASON_MAX];
    given_file_reason(failure, why);
    fit_print(ret_error, error_size, "admin_token_file: cannot read %s: %s", path, why);
    return false;
}

static bool read_token(int file, const char *path, struct token *ret_token, char *ret_error,
                       size_t error_size) {
    char text[TOKEN_MOST + 6]; /* with a byte order mark, the end of its line, and one that is too many */
    ssize_t got = read(file, text, sizeof text);
    if (got < 0)
        return cannot_read(path, errno, ret_error, error_size);
    size_t size = trimmed(text, byte_order_mark_remove(text, (size_t)got));
    const char *flaw = flaw_of(text, size);
    if (flaw) {
        fit_print(ret_error, error_size, "admin_token_file: %s %s", path, flaw);
        return false;
    }
    memcpy(ret_token->text, text, size);
    ret_token->text[size] = '\0';
    ret_token->size = size;
    return true;
}

static bool check_mode(int file, const char *path, char *ret_error, size_t error_size) {
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return cannot_read(path, ENXIO, ret_error, error_size);
    const char *how = exposure(status.st_mode);
    if (how)
        fit_print(ret_error, error_size,
                  "admin_token_file: %s can be %s: chmod 0600 (or 0640) %s, and change the token", path, how,
                  path);
    return !how;
}

bool token_load(const char *path, struct token *ret_token, char *ret_error, size_t error_size) {
    int file =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* which waits for no pipe's other end */
    if (file < 0)
        return cannot_read(path, errno, ret_error, error_size);
    bool good = check_mode(file, path, ret_error, error_size) &&
                read_token(file, path, ret_token, ret_error, error_size);
    close(file);
    return good;
}

bool token_fits(const struct token *token, const char *authorization) {
    static const char scheme[] = "Bearer ";
    size_t length = sizeof scheme - 1;
    if (!authorization || strncasecmp(authorization, scheme, length) != 0)
        return false;
    const char *given = authorization + length + strspn(authorization + length, " ");
    return secret_difference(slice_string(given), slice_of(token->text, token->size)) == 0;
}
