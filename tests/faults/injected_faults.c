/* SPDX-License-Identifier: MIT */
/*
 * Calls of a whole server that fail, each in its turn: a library to preload (LD_PRELOAD). injected.h says what makes
 * them fail; what goes by stdio is in injected_streams.c, io_uring in injected_ring.c. What is written to standard
 * error is not counted: it tells what happened.
 */
#include "tests/faults/injected.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- Memory ---- */

/* What is behind these is called by name: dlsym may need memory itself, and of ASan not be ready yet. */
#define MEMORY(name, beyond_it) (__interceptor_##name ? __interceptor_##name : (beyond_it))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
__attribute__((weak)) void *__interceptor_malloc(size_t size);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t size);
__attribute__((weak)) void *__interceptor_realloc(void *block, size_t size);
__attribute__((weak)) void *__interceptor_aligned_alloc(size_t alignment, size_t size);

/* OpenSSL asks the functions that the server has given it, which ask here. */
struct openssl_memory {
    void *(*give)(size_t size, const char *file, int line);
    void *(*give_more)(void *block, size_t size, const char *file, int line);
};

static struct openssl_memory openssl_memory;
static _Thread_local enum { OTHERS_ASK, OPENSSL_GETS, OPENSSL_LACKS } asks;

static void openssl_asks(void) {
    asks = injected_fails(TLS_MEMORY) ? OPENSSL_LACKS : OPENSSL_GETS;
}

static void *openssl_give(size_t size, const char *file, int line) {
    openssl_asks();
    void *block = openssl_memory.give(size, file, line);
    asks = OTHERS_ASK;
    return block;
}

static void *openssl_give_more(void *block, size_t size, const char *file, int line) {
    openssl_asks();
    void *more = openssl_memory.give_more(block, size, file, line);
    asks = OTHERS_ASK;
    return more;
}

int CRYPTO_set_mem_functions(void *(*give)(size_t, const char *, int),
                             void *(*give_more)(void *, size_t, const char *, int),
                             void (*take_back)(void *, const char *, int));

int CRYPTO_set_mem_functions(void *(*give)(size_t, const char *, int),
                             void *(*give_more)(void *, size_t, const char *, int),
                             void (*take_back)(void *, const char *, int)) {
    int set = REAL(CRYPTO_set_mem_functions)(openssl_give, openssl_give_more, take_back);
    if (set)
        openssl_memory = (struct openssl_memory){give, give_more};
    return set;
}

static bool lacks_memory(const void *caller) {
    if (asks != OTHERS_ASK)
        return asks == OPENSSL_LACKS;
    return injected_fails(injected_is_hiredis(caller)   ? REDIS_MEMORY
                          : injected_is_openssl(caller) ? TLS_MEMORY
                                                        : ALLOCATION);
}

void *malloc(size_t size) {
    return lacks_memory(__builtin_return_address(0)) ? NULL : MEMORY(malloc, __libc_malloc)(size);
}

void *calloc(size_t count, size_t size) {
    return lacks_memory(__builtin_return_address(0)) ? NULL : MEMORY(calloc, __libc_calloc)(count, size);
}

void *realloc(void *block, size_t size) {
    return lacks_memory(__builtin_return_address(0)) ? NULL : MEMORY(realloc, __libc_realloc)(block, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return lacks_memory(__builtin_return_address(0))
               ? NULL
               : MEMORY(aligned_alloc, __libc_memalign)(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size) {
    void *block = aligned_alloc(alignment, size);
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t at) {
    return injected_fails(MAPPING) ? MAP_FAILED : REAL(mmap)(address, size, protection, flags, file, at);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t at)
    __attribute__((alias("mmap")));

/* ---- Files ---- */

static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return injected_fails(OPENING) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int openat(int folder, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return injected_fails(OPENING) ? -1 : REAL(openat)(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));

/* What the call returns. The disk of power_loss.c, if it is preloaded behind this library, learns what it does not
 * have; end < 0: it may be of the whole file. */
static int fail_sync(int file, off_t at, off_t end) {
    int error = errno;
    void (*forget)(int, off_t, off_t) =
        (void (*)(int, off_t, off_t))injected_beyond("power_loss_sync_failed");
    if (forget)
        forget(file, at, end);
    errno = error;
    return error == INJECTED_LOST ? 0 : -1;
}

int fsync(int file) {
    return injected_fails(SYNCING) ? fail_sync(file, 0, -1) : REAL(fsync)(file);
}

int fdatasync(int file) {
    return injected_fails(SYNCING) ? fail_sync(file, 0, -1) : REAL(fdatasync)(file);
}

int msync(void *address, size_t size, int flags) {
    return injected_fails(SYNCING) ? -1 : REAL(msync)(address, size, flags);
}

int ftruncate(int file, off_t size) {
    return injected_fails(SPACE) ? -1 : REAL(ftruncate)(file, size);
}

int ftruncate64(int file, off_t size) __attribute__((alias("ftruncate")));

int fallocate(int file, int mode, off_t at, off_t size) {
    return injected_fails(SPACE) ? -1 : REAL(fallocate)(file, mode, at, size);
}

int fallocate64(int file, int mode, off_t at, off_t size) __attribute__((alias("fallocate")));

int posix_fallocate(int file, off_t at, off_t size) {
    return injected_fails(SPACE) ? errno : REAL(posix_fallocate)(file, at, size);
}

int posix_fallocate64(int file, off_t at, off_t size) __attribute__((alias("posix_fallocate")));

int rename(const char *from, const char *to) {
    return injected_fails(NAMING) ? -1 : REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
    return injected_fails(NAMING) ? -1 : REAL(link)(from, to);
}

int unlink(const char *path) {
    return injected_fails(NAMING) ? -1 : REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    return injected_fails(NAMING) ? -1 : REAL(mkdir)(path, mode);
}

/* ---- What goes through files and sockets ---- */

enum verdict { WHOLE, SHORT, FAILED, LOST };

/* What becomes of a call on a descriptor; those that are neither file nor socket are let be. */
static enum verdict judge(int file, enum injected_kind of_file, enum injected_kind of_socket) {
    struct stat about;
    int before = errno;
    if (!injected_counts() || file == STDERR_FILENO || fstat(file, &about) ||
        (!S_ISREG(about.st_mode) && !S_ISSOCK(about.st_mode)))
        return WHOLE;
    errno = before;
    if (!injected_fails(S_ISREG(about.st_mode) ? of_file : of_socket))
        return WHOLE;
    if (errno == INJECTED_LOST)
        return LOST;
    return errno ? FAILED : SHORT;
}

static size_t part(enum verdict verdict, size_t size) {
    return verdict == SHORT && size > 1 ? size / 2 : size;
}

ssize_t read(int file, void *data, size_t size) {
    bool tls = injected_is_openssl(__builtin_return_address(0));
    enum verdict verdict = judge(file, READING, tls ? TLS_RECEIVING : RECEIVING);
    return verdict == FAILED ? -1 : REAL(read)(file, data, part(verdict, size));
}

ssize_t pread(int file, void *data, size_t size, off_t at) {
    enum verdict verdict = judge(file, READING, RECEIVING);
    return verdict == FAILED ? -1 : REAL(pread)(file, data, part(verdict, size), at);
}

ssize_t pread64(int file, void *data, size_t size, off_t at) __attribute__((alias("pread")));

ssize_t recv(int file, void *data, size_t size, int flags) {
    enum verdict verdict = judge(file, READING, RECEIVING);
    return verdict == FAILED ? -1 : REAL(recv)(file, data, part(verdict, size), flags);
}

ssize_t write(int file, const void *data, size_t size) {
    bool tls = injected_is_openssl(__builtin_return_address(0));
    enum verdict verdict = judge(file, WRITING, tls ? TLS_SENDING : SENDING);
    return verdict == FAILED ? -1 : REAL(write)(file, data, part(verdict, size));
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    enum verdict verdict = judge(file, WRITING, SENDING);
    if (verdict == LOST)
        return (ssize_t)size;
    return verdict == FAILED ? -1 : REAL(pwrite)(file, data, part(verdict, size), at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off_t at) __attribute__((alias("pwrite")));

ssize_t send(int file, const void *data, size_t size, int flags) {
    enum verdict verdict = judge(file, WRITING, SENDING);
    return verdict == FAILED ? -1 : REAL(send)(file, data, part(verdict, size), flags);
}

ssize_t sendto(int file, const void *data, size_t size, int flags, const struct sockaddr *to,
               socklen_t to_size) {
    enum verdict verdict = judge(file, WRITING, SENDING);
    return verdict == FAILED ? -1 : REAL(sendto)(file, data, part(verdict, size), flags, to, to_size);
}

ssize_t sendmsg(int file, const struct msghdr *message, int flags) {
    enum verdict verdict = judge(file, WRITING, SENDING);
    if (verdict == SHORT && message->msg_iovlen > 0)
        return REAL(send)(file, message->msg_iov[0].iov_base, part(SHORT, message->msg_iov[0].iov_len),
                          flags);
    return verdict == FAILED ? -1 : REAL(sendmsg)(file, message, flags);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    enum verdict verdict = judge(file, WRITING, SENDING);
    if (verdict == SHORT && count > 0)
        return REAL(write)(file, parts[0].iov_base, part(SHORT, parts[0].iov_len));
    return verdict == FAILED ? -1 : REAL(writev)(file, parts, count);
}

/* It has been written where it can be read, and is not on the disk. */
static ssize_t write_unsynced(int file, const struct iovec *parts, int count, off_t at, int flags) {
    int error = errno;
    ssize_t written = REAL(pwritev2)(file, parts, count, at, flags & ~(RWF_DSYNC | RWF_SYNC));
    errno = error;
    return written <= 0 || fail_sync(file, at, at + written) < 0 ? -1 : written;
}

ssize_t pwritev2(int file, const struct iovec *parts, int count, off_t at, int flags) {
    if ((flags & (RWF_DSYNC | RWF_SYNC)) && injected_fails(SYNCING))
        return write_unsynced(file, parts, count, at, flags);
    enum verdict verdict = judge(file, WRITING, SENDING);
    if (verdict == SHORT && count > 0) {
        struct iovec half = {.iov_base = parts[0].iov_base, .iov_len = part(SHORT, parts[0].iov_len)};
        return REAL(pwritev2)(file, &half, 1, at, flags);
    }
    if (verdict == LOST && count == 1)
        return (ssize_t)parts[0].iov_len;
    return verdict == FAILED ? -1 : REAL(pwritev2)(file, parts, count, at, flags);
}

/* Workers ask the kernel for these past the functions of the C library that are above. A receive is not cut short: of
 * an edge that is left half unread, the kernel does not tell again. */
long syscall(long number, ...) {
    long words[6];
    va_list more;
    va_start(more, number);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        words[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_recvfrom && injected_fails(CLIENT_RECEIVING))
        return -1;
    if (number == SYS_sendto && injected_fails(CLIENT_SENDING)) {
        if (errno)
            return -1;
        words[2] = (long)part(SHORT, (size_t)words[2]);
    }
    if (number == SYS_io_uring_register && injected_fails(RING_SETUP))
        return -1;
    return REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

int connect(int file, const struct sockaddr *to, socklen_t size) {
    return injected_fails(CONNECTING) ? -1 : REAL(connect)(file, to, size);
}

/* ---- Descriptors, threads and what events are waited for with ---- */

int socket(int domain, int type, int protocol) {
    return injected_fails(DESCRIPTOR) ? -1 : REAL(socket)(domain, type, protocol);
}

int accept4(int file, struct sockaddr *ret_from, socklen_t *ret_size, int flags) {
    return injected_fails(DESCRIPTOR) ? -1 : REAL(accept4)(file, ret_from, ret_size, flags);
}

int eventfd(unsigned first, int flags) {
    return injected_fails(DESCRIPTOR) ? -1 : REAL(eventfd)(first, flags);
}

int timerfd_create(clockid_t clock, int flags) {
    return injected_fails(DESCRIPTOR) ? -1 : REAL(timerfd_create)(clock, flags);
}

int epoll_create1(int flags) {
    return injected_fails(DESCRIPTOR) ? -1 : REAL(epoll_create1)(flags);
}

int pipe2(int ret_files[2], int flags) {
    return injected_fails(DESCRIPTOR) ? -1 : REAL(pipe2)(ret_files, flags);
}

int pthread_create(pthread_t *ret_thread, const pthread_attr_t *how, void *(*start)(void *), void *argument) {
    return injected_fails(THREAD) ? errno : REAL(pthread_create)(ret_thread, how, start, argument);
}

int epoll_ctl(int set, int what, int file, struct epoll_event *event) {
    bool takes_memory = what != EPOLL_CTL_DEL;
    return takes_memory && injected_fails(WATCHING) ? -1 : REAL(epoll_ctl)(set, what, file, event);
}

int epoll_wait(int set, struct epoll_event *events_room, int most, int timeout) {
    return injected_fails(WAITING) ? -1 : REAL(epoll_wait)(set, events_room, most, timeout);
}

int poll(struct pollfd *files, nfds_t count, int timeout) {
    return injected_fails(WAITING) ? -1 : REAL(poll)(files, count, timeout);
}
