/* SPDX-License-Identifier: MIT */
/*
 * What a process still can that somebody else has got hold of: a library to preload (LD_PRELOAD) into a server. SIGUSR2
 * has it try, from within, what a sandbox is to refuse, and write a line "name errno" for each to the file
 * SANDBOX_PROBE_OUT, which was opened before; 0: it could. Each is tried so that it does no harm where it is allowed.
 *
 * SANDBOX_PROBE_INSIDE and SANDBOX_PROBE_OUTSIDE are folders with a file `file` each; SANDBOX_PROBE_PORT is served by
 * somebody else.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEXT_MAX = 4096, PATH_SIZE = 1024 };

static struct {
    int out;
    const char *inside, *outside, *port;
    char text[TEXT_MAX];
    size_t used;
} probe;

/* result: of a call that gives below 0, and errno. */
static void tell(const char *name, long result) {
    int failure = result < 0 ? errno : 0;
    probe.used += (size_t)snprintf(probe.text + probe.used, TEXT_MAX - probe.used, "%s %d\n", name, failure);
}

static void tell_and_close(const char *name, int file) {
    tell(name, file);
    if (file >= 0)
        close(file);
}

/* ---- Files ---- */

static const char *path_in(const char *folder, const char *name) {
    static char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void try_files(void) {
    tell_and_close("read_inside", open(path_in(probe.inside, "file"), O_RDWR));
    tell_and_close("read_outside", open(path_in(probe.outside, "file"), O_RDONLY));
    tell_and_close("write_outside", open(path_in(probe.outside, "file"), O_WRONLY));
    tell("truncate_outside", truncate(path_in(probe.outside, "file"), 1));
    tell_and_close("list_outside", open(probe.outside, O_RDONLY | O_DIRECTORY));
    tell_and_close("make_outside", open(path_in(probe.outside, "made"), O_WRONLY | O_CREAT, 0600));
    tell("mkdir_outside", mkdir(path_in(probe.outside, "folder"), 0700));
    tell("symlink_inside", symlink(path_in(probe.outside, "file"), "link"));
    tell("remove_outside", unlink(path_in(probe.outside, "other")));
    tell_and_close("control_groups", open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY));
}

/* Its own memory, by which also what cannot be written is written over: its program. */
static void try_memory(void) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/proc/self/task/%d/mem", (int)gettid());
    tell_and_close("write_memory", open("/proc/self/mem", O_RDWR));
    tell_and_close("write_memory_by_thread", open(path, O_RDWR));
}

/* ---- Programs ---- */

static long fork_by(long call) {
    long child = syscall(call, call == SYS_clone ? SIGCHLD : 0, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child;
}

static void try_programs(void) {
    char name[] = "/nonexistent/program", *const arguments[] = {name, NULL};
    tell("execve", execve(name, arguments, arguments));
    tell("fork", fork_by(SYS_clone));
    tell("ptrace", syscall(SYS_ptrace, PTRACE_SEIZE, (long)getppid(), 0, PTRACE_O_EXITKILL + (1l << 40)));
    tell("process_vm_readv", syscall(SYS_process_vm_readv, (long)getppid(), 0, 0, 0, 0, 0));
    tell_and_close("memfd_create", (int)syscall(SYS_memfd_create, "probe", 1u));
    tell("signal", kill(getppid(), SIGCONT));
    void *both = mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tell("write_and_execute", both == MAP_FAILED ? -1 : 0);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tell("make_executable", mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

/* ---- Sockets ---- */

static long with_port(const char *port, int (*call)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    long result = fd < 0 ? -1 : call(fd, (const struct sockaddr *)&address, sizeof address);
    int failure = errno;
    close(fd);
    errno = failure;
    return result;
}

static void try_sockets(void) {
    tell_and_close("netlink_socket", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    tell_and_close("packet_socket", socket(AF_PACKET, SOCK_DGRAM, 0));
    tell_and_close("raw_socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    tell("bind", with_port("0", bind));
    tell("connect", with_port(probe.port, connect));
}

/* ---- The system: with arguments that come to nothing ---- */

static void try_system(void) {
    struct io_uring_params parameters = {0};
    tell("mount", syscall(SYS_mount, 0, 0, 0, 0, 0));
    tell("unshare", syscall(SYS_unshare, 0));
    tell("setns", syscall(SYS_setns, -1, 0));
    tell("bpf", syscall(SYS_bpf, -1, 0, 0));
    tell("keyctl", syscall(SYS_keyctl, -1, 0, 0, 0, 0));
    tell("kexec_load", syscall(SYS_kexec_load, 0, 1l << 20, 0, 0));
    tell("init_module", syscall(SYS_init_module, 0, 0, ""));
    tell("perf_event_open", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
    tell("userfaultfd", syscall(SYS_userfaultfd, -1));
    tell("personality", syscall(SYS_personality, 0xffffffff));
    tell("settimeofday", syscall(SYS_settimeofday, 0, "x"));
    tell("become_root", syscall(SYS_setuid, 0));
    tell("groups", syscall(SYS_setgroups, 0, 0));
    tell("newer", syscall(500));
    tell_and_close("io_uring_setup", (int)syscall(SYS_io_uring_setup, 2, &parameters));
}

/* ---- The signal ---- */

static void on_signal(int number) {
    (void)number;
    int failure = errno;
    probe.used = 0;
    try_files();
    try_memory();
    try_programs();
    try_sockets();
    try_system();
    tell("done", 0);
    if (write(probe.out, probe.text, probe.used) < 0)
        abort();
    errno = failure;
}

static const char *given(const char *name) {
    const char *text = getenv(name);
    return text ? text : "";
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    probe.out = open(given("SANDBOX_PROBE_OUT"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    probe.inside = given("SANDBOX_PROBE_INSIDE");
    probe.outside = given("SANDBOX_PROBE_OUTSIDE");
    probe.port = given("SANDBOX_PROBE_PORT");
    sigaction(SIGUSR2, &action, NULL);
}
