/* SPDX-License-Identifier: MIT */
/*
 * Calls of stdio on files, as the rest of them in injected_faults.c. Those on memory are left out, as what they need is
 * an allocation, and so are the standard streams. A program that is hardened calls the names that end with _chk.
 */
#include "tests/faults/injected.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

size_t __fread_chk(void *data, size_t room, size_t size, size_t count, FILE *file);
char *__fgets_chk(char *line, size_t room, int size, FILE *file);
int __fprintf_chk(FILE *file, int flag, const char *format, ...);

static bool stream_fails(FILE *file, enum injected_kind kind) {
    struct stat about;
    int before = errno, descriptor = injected_counts() ? fileno(file) : -1;
    bool counts = descriptor > STDERR_FILENO && fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode);
    errno = before;
    if (!counts || !injected_fails(kind))
        return false;
    file->_flags |= _IO_ERR_SEEN; /* what ferror asks */
    return true;
}

FILE *fopen(const char *path, const char *mode) {
    return injected_fails(OPENING) ? NULL : REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

size_t fread(void *data, size_t size, size_t count, FILE *file) {
    return stream_fails(file, STREAM_READING) ? 0 : REAL(fread)(data, size, count, file);
}

size_t __fread_chk(void *data, size_t room, size_t size, size_t count, FILE *file) {
    return stream_fails(file, STREAM_READING) ? 0 : REAL(__fread_chk)(data, room, size, count, file);
}

char *fgets(char *line, int size, FILE *file) {
    return stream_fails(file, STREAM_READING) ? NULL : REAL(fgets)(line, size, file);
}

char *__fgets_chk(char *line, size_t room, int size, FILE *file) {
    return stream_fails(file, STREAM_READING) ? NULL : REAL(__fgets_chk)(line, room, size, file);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    return stream_fails(file, STREAM_WRITING) ? 0 : REAL(fwrite)(data, size, count, file);
}

int fprintf(FILE *file, const char *format, ...) {
    va_list more;
    va_start(more, format);
    int size = stream_fails(file, STREAM_WRITING) ? -1 : vfprintf(file, format, more);
    va_end(more);
    return size;
}

int __fprintf_chk(FILE *file, int flag, const char *format, ...) {
    va_list more;
    (void)flag;
    va_start(more, format);
    int size = stream_fails(file, STREAM_WRITING) ? -1 : vfprintf(file, format, more);
    va_end(more);
    return size;
}

int fflush(FILE *file) {
    return file && stream_fails(file, STREAM_WRITING) ? EOF : REAL(fflush)(file);
}

/* A stream that could not be written is closed all the same. Of one that was read, the end cannot fail. */
int fclose(FILE *file) {
    bool failed = __fwriting(file) && stream_fails(file, STREAM_WRITING);
    int error = errno, result = REAL(fclose)(file);
    errno = failed ? error : errno;
    return failed ? EOF : result;
}
