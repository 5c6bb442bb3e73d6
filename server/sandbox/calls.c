/* SPDX-License-Identifier: MIT */
#include "server/sandbox/calls.h"
#include "server/sandbox/sanitized.h"
#include <asm/ioctls.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whatever their arguments are. Which files they get at is Landlock's to say. Numbers below 0 are of another
 * processor. */
static const int plain_calls[] = {
    /* files */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
    SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(lseek),
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(close),
    SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(fcntl), SCMP_SYS(flock),
    SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(getdents64), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(rename),
    SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(unlink),
    SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(chmod),
    SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(umask), SCMP_SYS(getcwd),
    SCMP_SYS(utimensat), SCMP_SYS(copy_file_range), SCMP_SYS(sendfile),
    /* memory */
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mlock), SCMP_SYS(mlock2),
    SCMP_SYS(munlock), SCMP_SYS(mlockall), SCMP_SYS(munlockall), SCMP_SYS(msync), SCMP_SYS(mincore),
    SCMP_SYS(membarrier),
    /* time */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    /* threads and the process */
    SCMP_SYS(clone3), SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(gettid), SCMP_SYS(getpid),
    SCMP_SYS(getppid), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu),
    SCMP_SYS(arch_prctl), SCMP_SYS(getrandom), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage), SCMP_SYS(times), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(capget),
    SCMP_SYS(seccomp), /* a further filter only takes away */
    /* signals */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
    /* sockets: those to listen at are bound before */
    SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown),
    /* waiting */
    SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
    SCMP_SYS(pselect6), SCMP_SYS(eventfd2), SCMP_SYS(pipe), SCMP_SYS(pipe2)};

static const int ring_calls[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
                                 SCMP_SYS(io_uring_register)};

/* LeakSanitizer stops all threads from a process of its own, and traces them. */
static const int sanitizer_calls[] = {SCMP_SYS(getdents), SCMP_SYS(clone),  SCMP_SYS(ptrace),
                                      SCMP_SYS(wait4),    SCMP_SYS(tgkill), SCMP_SYS(kill),
                                      SCMP_SYS(prctl),    SCMP_SYS(mmap),   SCMP_SYS(mprotect)};

/* ---- Rules ---- */

/* A filter that is being made; the first that goes wrong is kept. */
struct filter {
    scmp_filter_ctx rules;
    int result; /* 0, or below it an errno */
};

static void take(struct filter *filter, int result) {
    if (filter->result == 0)
        filter->result = result;
}

static void allow(struct filter *filter, int call) {
    if (call >= 0)
        take(filter, seccomp_rule_add(filter->rules, SCMP_ACT_ALLOW, call, 0));
}

static void allow_all(struct filter *filter, const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++)
        allow(filter, calls[i]);
}

/* If that argument is so in the bits of the mask. */
static void allow_if(struct filter *filter, int call, unsigned argument, uint64_t mask, uint64_t value) {
    struct scmp_arg_cmp wanted = {argument, SCMP_CMP_MASKED_EQ, mask, value};
    if (call >= 0)
        take(filter, seccomp_rule_add_array(filter->rules, SCMP_ACT_ALLOW, call, 1, &wanted));
}

static void allow_if_equal(struct filter *filter, int call, unsigned argument, uint64_t value) {
    allow_if(filter, call, argument, UINT32_MAX, value);
}

/* Nothing is written that can be executed. Libraries may be loaded: the C library does to look up names. */
static void allow_memory(struct filter *filter) {
    const uint64_t both = PROT_WRITE | PROT_EXEC;
    allow_if(filter, SCMP_SYS(mmap), 2, both, 0);
    allow_if(filter, SCMP_SYS(mmap), 2, both, PROT_WRITE);
    allow_if(filter, SCMP_SYS(mmap), 2, both, PROT_EXEC);
    allow_if(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

static void allow_process(struct filter *filter) {
    const int options[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_CAPBSET_READ};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        allow_if_equal(filter, SCMP_SYS(prctl), 0, (unsigned)options[i]);
    allow_if(filter, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD); /* and no process */
    allow_if_equal(filter, SCMP_SYS(prlimit64), 0, 0);                /* its own */
    allow_if_equal(filter, SCMP_SYS(tgkill), 0, (unsigned)getpid());
    allow_if_equal(filter, SCMP_SYS(kill), 0, (unsigned)getpid());
    allow_if_equal(filter, SCMP_SYS(kill), 1, 0); /* whether a process is there */
}

static void allow_sockets(struct filter *filter) {
    const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            struct scmp_arg_cmp wanted[] = {{0, SCMP_CMP_MASKED_EQ, UINT32_MAX, families[i]},
                                            {1, SCMP_CMP_MASKED_EQ, 0xf, types[j]}};
            take(filter, seccomp_rule_add_array(filter->rules, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, wanted));
        }
    allow_if_equal(filter, SCMP_SYS(socketpair), 0, AF_UNIX);
}

/* SQLite makes its files so where it finds none. */
static void allow_files(struct filter *filter) {
    const unsigned questions[] = {TCGETS, FIONBIO, FIONREAD};
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        allow_if_equal(filter, SCMP_SYS(ioctl), 1, questions[i]);
    allow_if(filter, SCMP_SYS(mknod), 1, S_IFMT, S_IFREG);
    allow_if(filter, SCMP_SYS(mknodat), 2, S_IFMT, S_IFREG);
}

/* ---- The filters ---- */

static struct filter begin(uint32_t otherwise, bool is_logged, bool all_threads) {
    struct filter filter = {.rules = seccomp_init(otherwise)};
    if (!filter.rules) {
        filter.result = -ENOMEM;
        return filter;
    }
    take(&filter, seccomp_attr_set(filter.rules, SCMP_FLTATR_CTL_NNP, 0)); /* the process has it */
    take(&filter, seccomp_attr_set(filter.rules, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    seccomp_attr_set(filter.rules, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list */
    if (is_logged)                                               /* where the kernel can */
        seccomp_attr_set(filter.rules, SCMP_FLTATR_CTL_LOG, 1);
    if (all_threads)
        take(&filter, seccomp_attr_set(filter.rules, SCMP_FLTATR_CTL_TSYNC, 1));
    return filter;
}

static bool end(struct filter *filter) {
    if (filter->result == 0)
        filter->result = seccomp_load(filter->rules);
    if (filter->rules)
        seccomp_release(filter->rules);
    errno = -filter->result;
    return filter->result == 0;
}

/* What a C library tries first, and does without: calls that did not exist when the list was made; the one by which
 * threads are made, whose arguments are in memory, where a filter sees nothing; and a socket to ask the kernel for its
 * addresses. */
static bool hide_tries(void) {
    enum { NEWER = 450, NEWER_END = 512 };
    struct filter filter = begin(SCMP_ACT_ALLOW, false, false);
    for (int call = NEWER; filter.result == 0 && call < NEWER_END; call++)
        take(&filter, seccomp_rule_add(filter.rules, SCMP_ACT_ERRNO(ENOSYS), call, 0));
    if (filter.result == 0)
        take(&filter, seccomp_rule_add(filter.rules, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
    struct scmp_arg_cmp netlink = {0, SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_NETLINK};
    if (filter.result == 0)
        take(&filter,
             seccomp_rule_add_array(filter.rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, &netlink));
    return end(&filter);
}

#define COUNT(calls) (sizeof(calls) / sizeof *(calls))

bool calls_filter(bool rings) {
    struct filter filter = begin(SCMP_ACT_ERRNO(EPERM), true, false);
    if (filter.result == 0) {
        if (IS_SANITIZED) /* first: what a call may do at all is not asked for its arguments */
            allow_all(&filter, sanitizer_calls, COUNT(sanitizer_calls));
        allow_all(&filter, plain_calls, COUNT(plain_calls));
        if (rings)
            allow_all(&filter, ring_calls, COUNT(ring_calls));
        allow_memory(&filter);
        allow_process(&filter);
        allow_sockets(&filter);
        allow_files(&filter);
    }
    return end(&filter) && hide_tries(); /* of two that refuse, the later one says how */
}

bool calls_close_rings(void) {
    struct filter filter = begin(SCMP_ACT_ALLOW, true, true);
    if (filter.result == 0)
        take(&filter, seccomp_rule_add(filter.rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0));
    return end(&filter);
}
