/* SPDX-License-Identifier: MIT */
#include "server/tls/files.h"
#include "cache/base/byte_order_mark.h"
#include "cache/base/fit.h"
#include "cache/base/given_file.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_MOST = 1 << 20 };

/* As much as there is, but not more than the room. False: errno. */
static bool read_all(int file, struct tls_file *ret_file) {
    while (ret_file->size < FILE_MOST) {
        ssize_t got = read(file, ret_file->data + ret_file->size, FILE_MOST - ret_file->size);
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR)
            return false;
        ret_file->size += got > 0 ? (size_t)got : 0;
    }
    errno = EFBIG;
    return false;
}

static bool read_open(int file, struct tls_file *ret_file) {
    struct stat status;
    if (fstat(file, &status) != 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = ENXIO;
        return false;
    }
    ret_file->mode = status.st_mode;
    ret_file->data = malloc(FILE_MOST);
    if (!ret_file->data || !read_all(file, ret_file))
        return false;
    ret_file->size = byte_order_mark_remove(ret_file->data, ret_file->size);
    return true;
}

bool tls_file_read(const char *setting, const char *path, struct tls_file *ret_file, char *ret_error,
                   size_t error_size) {
    *ret_file = (struct tls_file){.path = path};
    if (!path)
        return true;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    bool good = file >= 0 && read_open(file, ret_file);
    char why[GIVEN_FILE_REASON_MAX];
    given_file_reason(errno, why);
    if (file >= 0)
        close(file);
    if (!good)
        fit_print(ret_error, error_size, "%s: cannot read %s: %s", setting, path, why);
    return good;
}

void tls_file_free(struct tls_file *file) {
    if (file->data)
        explicit_bzero(file->data, file->size);
    free(file->data);
    *file = (struct tls_file){0};
}
