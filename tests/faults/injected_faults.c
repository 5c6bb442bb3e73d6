/* SPDX-License-Identifier: MIT */
/*
 * Calls of a whole server that fail, each in its turn: a library to preload (LD_PRELOAD).
 *
 * The file that INJECTED_FAULTS names holds a struct control. tests/support/injected.py writes into it, at any time, which
 * kind of call fails, from which call on, how often and with what; it reads there how many calls of each kind there were.
 * Where the first that failed came from is written to the file of the same name with ".where" behind it.
 *
 * Two libraries do not survive an allocation that fails, whoever uses them, and are spared: libconfuse, which reads the
 * configuration, and what libev itself asks for. What is written to standard error is not counted: it tells what happened.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <liburing.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* In the order of KINDS in tests/support/injected.py. */
enum kind {
    ALLOCATION,
    MAPPING,
    OPENING,
    DESCRIPTOR,
    READING,
    WRITING,
    SYNCING,
    SPACE,
    NAMING,
    RECEIVING,
    SENDING,
    CONNECTING,
    THREAD,
    WATCHING,
    WAITING,
    RING_SETUP,
    RING_CALL,
    REDIS_MEMORY, /* allocations of hiredis, which are few among all */
    KIND_COUNT
};

/* ORDER and COUNTS there have the same form. */
struct control {
    atomic_int_least32_t kind;  /* -1: nothing fails */
    atomic_int_least32_t error; /* an errno; 0: the call is given half of what it wants */
    atomic_uint_least64_t at, times, met;
    atomic_uint_least64_t calls[KIND_COUNT];
};

enum { FRAMES = 48 };

struct range {
    const char *library;
    uintptr_t begin, end;
};

static struct control *control;
static int where = -1; /* a file */
static struct range confuse = {.library = "libconfuse.so"}, events = {.library = "libev.so"},
                    hiredis = {.library = "libhiredis.so"};
/* This thread is in one of the functions below, which must not fail themselves. */
static _Thread_local bool inside;

/* The function behind one of ours. */
#define REAL(name) ((__typeof__(&name))beyond(#name))

static void *beyond(const char *name) {
    bool was = inside;
    inside = true;
    void *found = dlsym(RTLD_NEXT, name);
    inside = was;
    return found;
}

static int find_range(struct dl_phdr_info *object, size_t size, void *context) {
    struct range *range = context;
    (void)size;
    if (!strstr(object->dlpi_name, range->library))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            range->begin = object->dlpi_addr + part->p_vaddr;
            range->end = range->begin + part->p_memsz;
        }
    }
    return 1;
}

/* What a sanitizer looks for when the program has ended is not the program's. */
static void end(void) {
    atomic_store(&control->kind, -1);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("INJECTED_FAULTS");
    char beside[4096];
    void *frames[1];
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    snprintf(beside, sizeof beside, "%s.where", path);
    where = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dl_iterate_phdr(find_range, &confuse);
    dl_iterate_phdr(find_range, &events);
    dl_iterate_phdr(find_range, &hiredis);
    backtrace(frames, 1); /* it loads a library when it is called first */
    void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        return;
    control = shared;
    atexit(end);
}

static bool within(const struct range *range, const void *address) {
    return (uintptr_t)address >= range->begin && (uintptr_t)address < range->end;
}

/* Allocations alone: libev ends the process by itself where it is refused something else. frames[0] is here, and the
 * first two beyond it are of this library as well. */
static bool is_spared(enum kind kind, void *const *frames, int count) {
    for (int i = 0; i < count && kind == ALLOCATION; i++)
        if (within(&confuse, frames[i]) || (i <= 3 && within(&events, frames[i])))
            return true;
    return false;
}

/* A call that is due to fail: whether it does. */
static bool meets(enum kind kind) {
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES);
    if (is_spared(kind, frames, count))
        return false;
    if (atomic_fetch_add(&control->met, 1) == 0 && where >= 0)
        backtrace_symbols_fd(frames, count, where);
    return true;
}

/* Counts a call, and says whether it fails: errno is set then, or 0 where the call is cut short. */
static bool fails(enum kind kind) {
    if (!control || inside)
        return false;
    uint64_t call = atomic_fetch_add(&control->calls[kind], 1) + 1;
    if (atomic_load(&control->kind) != (int)kind)
        return false;
    uint64_t at = atomic_load(&control->at);
    if (call < at || call - at >= atomic_load(&control->times))
        return false;
    inside = true;
    bool failed = meets(kind);
    inside = false;
    if (failed)
        errno = atomic_load(&control->error);
    return failed;
}

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

static bool lacks_memory(const void *caller) {
    return fails(within(&hiredis, caller) ? REDIS_MEMORY : ALLOCATION);
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
    return fails(MAPPING) ? MAP_FAILED : REAL(mmap)(address, size, protection, flags, file, at);
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
    return fails(OPENING) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int openat(int folder, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return fails(OPENING) ? -1 : REAL(openat)(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));

FILE *fopen(const char *path, const char *mode) {
    return fails(OPENING) ? NULL : REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

int fsync(int file) {
    return fails(SYNCING) ? -1 : REAL(fsync)(file);
}

int fdatasync(int file) {
    return fails(SYNCING) ? -1 : REAL(fdatasync)(file);
}

int msync(void *address, size_t size, int flags) {
    return fails(SYNCING) ? -1 : REAL(msync)(address, size, flags);
}

int ftruncate(int file, off_t size) {
    return fails(SPACE) ? -1 : REAL(ftruncate)(file, size);
}

int ftruncate64(int file, off_t size) __attribute__((alias("ftruncate")));

int fallocate(int file, int mode, off_t at, off_t size) {
    return fails(SPACE) ? -1 : REAL(fallocate)(file, mode, at, size);
}

int fallocate64(int file, int mode, off_t at, off_t size) __attribute__((alias("fallocate")));

int posix_fallocate(int file, off_t at, off_t size) {
    return fails(SPACE) ? errno : REAL(posix_fallocate)(file, at, size);
}

int posix_fallocate64(int file, off_t at, off_t size) __attribute__((alias("posix_fallocate")));

int rename(const char *from, const char *to) {
    return fails(NAMING) ? -1 : REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
    return fails(NAMING) ? -1 : REAL(link)(from, to);
}

int unlink(const char *path) {
    return fails(NAMING) ? -1 : REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    return fails(NAMING) ? -1 : REAL(mkdir)(path, mode);
}

/* ---- What goes through files and sockets ---- */

enum verdict { WHOLE, SHORT, FAILED };

/* What becomes of a call on a descriptor; those that are neither file nor socket are let be. */
static enum verdict judge(int file, enum kind of_file, enum kind of_socket) {
    struct stat about;
    int before = errno;
    if (!control || inside || file == STDERR_FILENO || fstat(file, &about) ||
        (!S_ISREG(about.st_mode) && !S_ISSOCK(about.st_mode)))
        return WHOLE;
    errno = before;
    if (!fails(S_ISREG(about.st_mode) ? of_file : of_socket))
        return WHOLE;
    return errno ? FAILED : SHORT;
}

static size_t part(enum verdict verdict, size_t size) {
    return verdict == SHORT && size > 1 ? size / 2 : size;
}

ssize_t read(int file, void *data, size_t size) {
    enum verdict verdict = judge(file, READING, RECEIVING);
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
    enum verdict verdict = judge(file, WRITING, SENDING);
    return verdict == FAILED ? -1 : REAL(write)(file, data, part(verdict, size));
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    enum verdict verdict = judge(file, WRITING, SENDING);
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

ssize_t pwritev2(int file, const struct iovec *parts, int count, off_t at, int flags) {
    enum verdict verdict = judge(file, WRITING, SENDING);
    if (verdict == SHORT && count > 0) {
        struct iovec half = {.iov_base = parts[0].iov_base, .iov_len = part(SHORT, parts[0].iov_len)};
        return REAL(pwritev2)(file, &half, 1, at, flags);
    }
    return verdict == FAILED ? -1 : REAL(pwritev2)(file, parts, count, at, flags);
}

int connect(int file, const struct sockaddr *to, socklen_t size) {
    return fails(CONNECTING) ? -1 : REAL(connect)(file, to, size);
}

/* ---- Descriptors, threads and what events are waited for with ---- */

int socket(int domain, int type, int protocol) {
    return fails(DESCRIPTOR) ? -1 : REAL(socket)(domain, type, protocol);
}

int accept4(int file, struct sockaddr *ret_from, socklen_t *ret_size, int flags) {
    return fails(DESCRIPTOR) ? -1 : REAL(accept4)(file, ret_from, ret_size, flags);
}

int eventfd(unsigned first, int flags) {
    return fails(DESCRIPTOR) ? -1 : REAL(eventfd)(first, flags);
}

int timerfd_create(clockid_t clock, int flags) {
    return fails(DESCRIPTOR) ? -1 : REAL(timerfd_create)(clock, flags);
}

int epoll_create1(int flags) {
    return fails(DESCRIPTOR) ? -1 : REAL(epoll_create1)(flags);
}

int pipe2(int ret_files[2], int flags) {
    return fails(DESCRIPTOR) ? -1 : REAL(pipe2)(ret_files, flags);
}

int pthread_create(pthread_t *ret_thread, const pthread_attr_t *how, void *(*start)(void *), void *argument) {
    return fails(THREAD) ? errno : REAL(pthread_create)(ret_thread, how, start, argument);
}

int epoll_ctl(int set, int what, int file, struct epoll_event *event) {
    bool takes_memory = what != EPOLL_CTL_DEL;
    return takes_memory && fails(WATCHING) ? -1 : REAL(epoll_ctl)(set, what, file, event);
}

int epoll_wait(int set, struct epoll_event *events_room, int most, int timeout) {
    return fails(WAITING) ? -1 : REAL(epoll_wait)(set, events_room, most, timeout);
}

int poll(struct pollfd *files, nfds_t count, int timeout) {
    return fails(WAITING) ? -1 : REAL(poll)(files, count, timeout);
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params) {
    return fails(RING_SETUP) ? -errno : REAL(io_uring_queue_init_params)(entries, ring, params);
}

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *about, unsigned flags) {
    return fails(RING_SETUP) ? -errno : REAL(io_uring_register_buf_ring)(ring, about, flags);
}

int io_uring_register_ring_fd(struct io_uring *ring) {
    return fails(RING_SETUP) ? -errno : REAL(io_uring_register_ring_fd)(ring);
}

int io_uring_submit(struct io_uring *ring) {
    return fails(RING_CALL) ? -errno : REAL(io_uring_submit)(ring);
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
    return fails(RING_CALL) ? -errno : REAL(io_uring_submit_and_get_events)(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
    return fails(RING_CALL) ? -errno : REAL(io_uring_submit_and_wait)(ring, count);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **ret_events, unsigned count,
                                     struct __kernel_timespec *longest, sigset_t *signals) {
    return fails(RING_CALL)
               ? -errno
               : REAL(io_uring_submit_and_wait_timeout)(ring, ret_events, count, longest, signals);
}
