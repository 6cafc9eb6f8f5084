/* confine_test.c - a confined process tries each forbidden thing.
 *
 * Every attempt runs twice, in a child of its own: once with the layer that
 * should stop it, where it must be refused, and once without, where it must
 * not be: so a test that would pass anyway is found out.  A third word on each
 * layer comes from confine_apply's own report. */
#include "base/sanitizer.h"
#include "proc/confine.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/policy.h"
#include "base/sanitizer.h"
#include "test.h"

enum { ALL = (1 << CONFINE_LAYERS) - 1, NONE = 0, KILLED = 1000 };
enum {
    FILES = 1 << CONFINE_FILES | 1 << CONFINE_PRIVILEGES,
    SYSCALLS = 1 << CONFINE_SYSCALLS | 1 << CONFINE_PRIVILEGES,
};

static char directory[] = "/tmp/confine-XXXXXX";
static int skipped;

static void skip(const char *what, const char *why)
{
    printf("skipped: %s: %s\n", what, why);
    skipped++;
}

static const char *in_directory(const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* 0 when the attempt succeeded, its errno, or KILLED + signal.  The children
 * leave by _exit: a leak checker at exit would need what is forbidden here. */
static int attempt_as(unsigned layers, const struct policy *policy, const char *root,
                      int (*try)(void))
{
    const char *const roots[] = {root, NULL};
    struct confine_options options = {.off = ALL & ~layers, .policy = policy, .roots = roots};
    struct confine *c = confine_new(&options);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        struct confinement report;
        confine_apply(c, parent, &report);
        errno = 0;
        _exit(try() & 0xff);
    }
    int status;
    waitpid(pid, &status, 0);
    confine_free(c);
    return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int attempt(unsigned layers, int (*try)(void))
{
    return attempt_as(layers, NULL, directory, try);
}

static int result(long r)
{
    return r == -1 ? errno : 0;
}

/* Not already confined by a container or a service manager: then an attempt
 * without our layer may be refused by theirs, and says nothing. */
static bool is_free(void)
{
    return prctl(PR_GET_SECCOMP) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
}

/* May do what only root may. */
static bool is_mighty(void)
{
    return is_free() && geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 1;
}

static bool has_layer(enum confine_layer layer)
{
    struct confine_options options = {0};
    struct confine *c = confine_new(&options);
    struct confinement *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        confine_apply(c, parent, report);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    confine_free(c);
    bool on = report->layers[layer].state == CONFINE_ON;
    if (!on)
        skip(confine_layer_name(layer), report->layers[layer].reason);
    munmap(report, sizeof *report);
    return on;
}

#define REFUSED(layers, try, code)                                                                 \
    do {                                                                                           \
        int with_ = attempt(layers, try), without_ = attempt(NONE, try);                           \
        CHECK(with_ == (code) || (printf("%s: %d with the layer\n", #try, with_), false));         \
        CHECK(without_ == 0 || !is_free() ||                                                       \
              (printf("%s: %d without the layer\n", #try, without_), false));                      \
    } while (0)

/* ---- seccomp ---- */

/* Each is called with arguments that the kernel refuses in another way before
 * it does anything. */
/* clang-format off */
static const struct call {
    const char *name;
    long number;
} calls[] = {
#define CALL(name) {#name, SYS_##name}
    CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev), CALL(kcmp),
    CALL(pidfd_send_signal), CALL(pidfd_getfd), CALL(process_madvise), CALL(mount), CALL(umount2),
    CALL(pivot_root), CALL(chroot), CALL(open_tree), CALL(move_mount), CALL(fsopen), CALL(fsconfig),
    CALL(fsmount), CALL(fspick), CALL(mount_setattr), CALL(swapon), CALL(swapoff), CALL(quotactl),
    CALL(acct), CALL(name_to_handle_at), CALL(open_by_handle_at), CALL(fanotify_init),
    CALL(unshare), CALL(setns), CALL(setuid), CALL(setgid), CALL(setresuid), CALL(setresgid),
    CALL(setgroups), CALL(capset), CALL(bpf), CALL(io_uring_setup), CALL(io_uring_enter),
    CALL(io_uring_register), CALL(perf_event_open), CALL(userfaultfd), CALL(add_key), CALL(keyctl),
    CALL(request_key), CALL(personality), CALL(kexec_load), CALL(init_module), CALL(finit_module),
    CALL(delete_module), CALL(reboot), CALL(syslog), CALL(settimeofday), CALL(clock_settime),
    CALL(clock_adjtime), CALL(adjtimex), CALL(sethostname), CALL(setdomainname), CALL(execve),
    CALL(execveat), CALL(fchmod), CALL(fchmodat), CALL(fchown), CALL(fchownat), CALL(setxattr),
    CALL(fsetxattr), CALL(removexattr), CALL(utimensat), CALL(mknodat), CALL(linkat),
    CALL(symlinkat), CALL(renameat2), CALL(unlinkat), CALL(mkdirat), CALL(truncate),
    {"fchmodat2", 452}, {"setxattrat", 463}, {"removexattrat", 466}, {"open_tree_attr", 467},
    {"file_setattr", 469},
#ifdef __x86_64__
    CALL(iopl), CALL(ioperm), CALL(modify_ldt), CALL(chmod), CALL(chown), CALL(lchown), CALL(utime),
    CALL(utimes), CALL(mknod), CALL(link), CALL(symlink), CALL(rename), CALL(unlink), CALL(rmdir),
    CALL(mkdir), CALL(creat),
#endif
};
/* clang-format on */

static const struct call *current;

static int try_call(void)
{
    return result(syscall(current->number, -1L, -1L, -1L, -1L, -1L, -1L));
}

TEST(system_calls_are_refused)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        current = &calls[i];
        int with = attempt(SYSCALLS, try_call), without = attempt(NONE, try_call);
        CHECK(with == EPERM || (printf("%s: %d\n", calls[i].name, with), false));
        if (is_mighty()) /* others are refused by the kernel anyway */
            CHECK(without != EPERM || (printf("%s: refused anyway\n", calls[i].name), false));
    }
}

static int end_child(long pid)
{
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return errno;
    waitpid((pid_t)pid, NULL, 0);
    return 0;
}

static int try_fork(void)
{
    return end_child(fork());
}

static int try_raw_clone(void)
{
    return end_child(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

#ifdef __x86_64__
static int try_raw_fork(void)
{
    return end_child(syscall(SYS_fork));
}
#endif

/* Large enough for every kernel; nothing set but the exit signal. */
static int try_clone3(void)
{
    unsigned long arguments[8] = {[4] = SIGCHLD};
    return end_child(syscall(SYS_clone3, arguments, sizeof arguments));
}

TEST(processes_are_not_made)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    REFUSED(SYSCALLS, try_fork, EPERM);
    REFUSED(SYSCALLS, try_raw_clone, EPERM);
#ifdef __x86_64__
    REFUSED(SYSCALLS, try_raw_fork, EPERM);
#endif
    REFUSED(SYSCALLS, try_clone3, ENOSYS);
}

static int try_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return errno;
}

TEST(programs_are_not_run)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    REFUSED(SYSCALLS, try_program, EPERM);
}

static int try_signal_parent(void)
{
    return result(kill(getppid(), SIGCONT));
}

static int try_signal_group(void)
{
    return result(kill(0, SIGCONT));
}

/* The kernel sees 32 bits of the pid: the others must not help. */
static int try_signal_padded(void)
{
    return result(syscall(SYS_kill, (1L << 32) | getppid(), SIGCONT));
}

static int try_own_sigio(void)
{
    int pair[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? errno
                                                     : result(fcntl(pair[0], F_SETOWN, getppid()));
}

static int try_own_sigio_by_kind(void)
{
    struct f_owner_ex owner = {F_OWNER_PID, getppid()};
    int pair[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? errno
                                                     : result(fcntl(pair[0], F_SETOWN_EX, &owner));
}

static int try_abort(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

TEST(signals_go_only_to_itself)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    REFUSED(SYSCALLS, try_signal_parent, EPERM);
    REFUSED(SYSCALLS, try_signal_group, EPERM);
    REFUSED(SYSCALLS, try_signal_padded, EPERM);
    REFUSED(SYSCALLS, try_own_sigio, EPERM);
    REFUSED(SYSCALLS, try_own_sigio_by_kind, EPERM);
    CHECK(attempt(ALL, try_abort) == KILLED + SIGABRT);
}

static int try_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int try_outlive(void)
{
    return result(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

static int try_padded_outlive(void)
{
    return result(syscall(SYS_prctl, (1L << 32) | PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

static int try_limit_of_parent(void)
{
    struct rlimit limit;
    return result(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

/* Without the layer there may be no terminal: any other answer will do. */
static int try_type(void)
{
    char c = ' ';
    int r = result(ioctl(0, TIOCSTI, &c));
    return r == EPERM ? EPERM : 0;
}

TEST(layers_are_not_undone)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    REFUSED(SYSCALLS, try_dumpable, EPERM);
    REFUSED(SYSCALLS, try_outlive, EPERM);
    REFUSED(SYSCALLS, try_padded_outlive, EPERM);
    REFUSED(SYSCALLS, try_limit_of_parent, EPERM);
    CHECK(attempt(SYSCALLS, try_type) == EPERM);
}

static int try_packet(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    return fd >= 0 ? 0 : errno;
}

static int try_inet(void)
{
    return result(socket(AF_INET6, SOCK_STREAM, 0)) ? errno
                                                    : result(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_unix(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

TEST(socket_families_are_those_of_probes)
{
    struct policy deaf;
    struct fault why;

    if (!has_layer(CONFINE_SYSCALLS))
        return;
    policy_init(&deaf);
    CHECK(policy_deny(&deaf, "net", &why));
    CHECK(attempt(SYSCALLS, try_packet) == EPERM);
    if (is_mighty())
        CHECK(attempt(NONE, try_packet) != EPERM);
    CHECK(attempt(SYSCALLS, try_inet) == 0);
    CHECK(attempt_as(SYSCALLS, &deaf, NULL, try_inet) == EPERM);
    CHECK(attempt_as(SYSCALLS, &deaf, NULL, try_unix) == 0);
    policy_fini(&deaf);
}

#ifdef __x86_64__
static int try_32bit(void)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); /* getpid */
    return 0;
}

static int try_x32(void)
{
    syscall(0x40000000 | SYS_getpid);
    return 0;
}

TEST(foreign_system_calls_kill)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    CHECK(attempt(SYSCALLS, try_32bit) == KILLED + SIGSYS);
    CHECK(attempt(SYSCALLS, try_x32) == KILLED + SIGSYS);
    CHECK(attempt(NONE, try_x32) == 0 || !is_free());
}
#endif

/* ---- Landlock, and writes under seccomp ---- */

static int try_create(void)
{
    return result(open(in_directory("new"), O_CREAT | O_WRONLY, 0600));
}

static int try_create_unwritable(void)
{
    return result(open(in_directory("new"), O_CREAT | O_RDONLY, 0600));
}

static int try_write(void)
{
    return result(open(in_directory("old"), O_WRONLY));
}

static int try_update(void)
{
    return result(open(in_directory("old"), O_RDWR));
}

static int try_truncate(void)
{
    return result(open(in_directory("old"), O_RDONLY | O_TRUNC));
}

static int try_mkdir(void)
{
    rmdir(in_directory("made"));
    errno = 0;
    return result(mkdir(in_directory("made"), 0700));
}

static int try_unlink(void)
{
    int fd = open(in_directory("victim"), O_CREAT | O_WRONLY, 0600);
    (void)fd;
    return result(unlink(in_directory("victim")));
}

static int try_bind_file(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unlink(in_directory("socket"));
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_directory("socket"));
    return result(
        bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}

static int try_chmod(void)
{
    return result(chmod(in_directory("old"), 0600));
}

static int try_read(void)
{
    char byte;
    int fd = open(in_directory("old"), O_RDONLY);
    return fd < 0 ? errno : result(read(fd, &byte, 1));
}

static int try_null(void)
{
    return result(open("/dev/null", O_RDONLY));
}

static void make_files(void)
{
    static const char *const names[] = {"old", "victim"};
    for (size_t i = 0; i < 2; i++) {
        int fd = open(in_directory(names[i]), O_CREAT | O_WRONLY, 0600);
        CHECK(write(fd, "x", 1) == 1);
        close(fd);
    }
}

TEST(landlock_holds_writes)
{
    if (!has_layer(CONFINE_FILES))
        return;
    make_files();
    REFUSED(FILES, try_create, EACCES);
    REFUSED(FILES, try_write, EACCES);
    REFUSED(FILES, try_mkdir, EACCES);
    REFUSED(FILES, try_unlink, EACCES);
    make_files();
    REFUSED(FILES, try_bind_file, EACCES);
    REFUSED(FILES, try_program, EACCES);
    CHECK(attempt(FILES, try_null) == 0);
    CHECK(attempt(FILES, try_read) == 0);
    CHECK(attempt(FILES, try_truncate) == EACCES);
    make_files();
}

static int try_ioctl_device(void)
{
    int size, fd = open("/dev/null", O_RDONLY), r = result(ioctl(fd, FIONREAD, &size));
    return r == EACCES ? EACCES : 0; /* the null device has no controls of its own */
}

TEST(landlock_holds_devices_and_signals)
{
    long abi = syscall(444, NULL, 0, 1);
    if (!has_layer(CONFINE_FILES))
        return;
    if (abi >= 5)
        REFUSED(FILES, try_ioctl_device, EACCES);
    else
        skip("device controls", "Landlock before ABI 5");
    if (abi >= 6)
        REFUSED(FILES, try_signal_parent, EPERM);
    else
        skip("signals by Landlock", "before ABI 6");
}

/* Refused or not, nobody listens on port 1: only EACCES tells. */
static int try_connect(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int r = result(connect(fd, (struct sockaddr *)&address, sizeof address));
    return r == EACCES ? EACCES : 0;
}

TEST(landlock_holds_the_network_where_net_is_off)
{
    struct policy deaf;
    struct fault why;
    policy_init(&deaf);
    CHECK(policy_deny(&deaf, "net", &why));
    CHECK(attempt(FILES, try_connect) == 0);
    if (syscall(444, NULL, 0, 1) >= 4)
        CHECK(attempt_as(FILES, &deaf, NULL, try_connect) == EACCES);
    else
        skip("connections by Landlock", "before ABI 4");
    policy_fini(&deaf);
}

TEST(seccomp_holds_writes)
{
    if (!has_layer(CONFINE_SYSCALLS))
        return;
    make_files();
    REFUSED(SYSCALLS, try_create, EPERM);
    REFUSED(SYSCALLS, try_create_unwritable, EPERM);
    REFUSED(SYSCALLS, try_write, EPERM);
    REFUSED(SYSCALLS, try_update, EPERM);
    REFUSED(SYSCALLS, try_mkdir, EPERM);
    REFUSED(SYSCALLS, try_unlink, EPERM);
    make_files();
    REFUSED(SYSCALLS, try_chmod, EPERM);
    REFUSED(SYSCALLS, try_truncate, EPERM);
    make_files();
    CHECK(attempt(SYSCALLS, try_read) == 0);
}

static int try_password_file(void)
{
    return result(open("/etc/passwd", O_RDONLY));
}

static int try_list_root(void)
{
    return result(open("/", O_RDONLY | O_DIRECTORY));
}

/* What a worker does late: libcurl with its TLS, names, the CA bundle. */
static int try_libraries(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW);
    if (!library)
        printf("%s\n", dlerror());
    FILE *hosts = fopen("/etc/hosts", "r"), *resolver = fopen("/etc/resolv.conf", "r");
    FILE *random = fopen("/dev/urandom", "r");
    bool had_bundle = access("/etc/ssl/certs/ca-certificates.crt", F_OK) == 0;
    FILE *bundle = fopen("/etc/ssl/certs/ca-certificates.crt", "r");
    return library && hosts && resolver && random && (bundle || !had_bundle) ? 0 : 99;
}

TEST(a_narrowed_read_is_held)
{
    struct policy narrow, none;
    struct fault why;

    if (!has_layer(CONFINE_FILES))
        return;
    policy_init(&narrow);
    policy_init(&none);
    CHECK(policy_allow(&narrow, "read=/etc/passwd", &why));
    CHECK(policy_deny(&none, "read", &why));
    make_files();
    CHECK(attempt_as(FILES, &narrow, NULL, try_password_file) == 0);
    CHECK(attempt_as(FILES, &none, NULL, try_password_file) == EACCES);
    CHECK(attempt_as(FILES, &narrow, NULL, try_list_root) == EACCES);
    CHECK(attempt_as(FILES, &narrow, NULL, try_read) == EACCES);
    CHECK(attempt_as(FILES, &narrow, directory, try_read) == 0); /* a check root */
    CHECK(attempt(FILES, try_list_root) == 0);
    if (attempt(NONE, try_libraries) == 0) {
        CHECK(attempt_as(ALL, &none, NULL, try_libraries) == 0);
        CHECK(attempt(ALL, try_libraries) == 0);
    } else
        skip("late libraries", "libcurl.so.4 is not installed");
    policy_fini(&narrow);
    policy_fini(&none);
}

TEST(write_and_exec_can_be_opened)
{
    struct policy open_;
    struct fault why;
    char flag[280];
    policy_init(&open_);
    snprintf(flag, sizeof flag, "write=%s", directory);
    CHECK(policy_allow(&open_, flag, &why));
    CHECK(policy_allow(&open_, "exec", &why));
    make_files();
    CHECK(attempt_as(ALL, &open_, NULL, try_write) == 0);
    CHECK(attempt_as(ALL, &open_, NULL, try_create) == 0);
    CHECK(attempt_as(ALL, &open_, NULL, try_program) == 0);
    CHECK(attempt_as(ALL, &open_, NULL, try_fork) == 0);
    if (has_layer(CONFINE_FILES))
        CHECK(attempt_as(ALL, &open_, NULL, try_ioctl_device) != 0 || syscall(444, NULL, 0, 1) < 5);
    policy_fini(&open_);
}

/* ---- the small layers ---- */

static int try_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 1 : 0;
}

TEST(no_new_privileges)
{
    CHECK(attempt(1 << CONFINE_PRIVILEGES, try_new_privileges) == 1);
    CHECK(attempt(ALL, try_new_privileges) == 1);
    CHECK(attempt(NONE, try_new_privileges) == 0 || !is_free());
}

static int try_limits(void)
{
    struct rlimit core, files, data;
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_DATA, &data);
    return core.rlim_max == 0 && files.rlim_cur == files.rlim_max ? 1 : 0;
}

#if !SANITIZES_ADDRESSES
static int try_memory(void)
{
    size_t size = (size_t)5 << 30;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? errno : 0;
}
#endif

TEST(limits)
{
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &low);
    CHECK(attempt(1 << CONFINE_LIMITS, try_limits) == 1);
    CHECK(attempt(NONE, try_limits) == 0);
    setrlimit(RLIMIT_NOFILE, &before);
#if SANITIZES_ADDRESSES
    skip("the memory limit", "not set under a sanitizer");
#else
    REFUSED(1 << CONFINE_LIMITS, try_memory, ENOMEM);
#endif
}

static int try_system_capability(void)
{
    return result(syscall(SYS_sethostname, NULL, -1L)) == EPERM ? EPERM : 0;
}

static int try_raw_socket(void)
{
    return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

TEST(capabilities)
{
    if (!is_mighty()) {
        skip("capabilities", "not root, or already confined");
        return;
    }
    REFUSED(1 << CONFINE_CAPABILITIES, try_system_capability, EPERM);
    CHECK(attempt(ALL, try_raw_socket) == attempt(NONE, try_raw_socket));
}

static int try_dump(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

TEST(not_dumpable)
{
    CHECK(attempt(1 << CONFINE_DUMP, try_dump) == 0);
    CHECK(attempt(NONE, try_dump) == 1);
}

/* A parent makes a worker and goes away; the pipe tells whether the worker
 * lives on.  early: the parent is gone before the worker asks for the signal. */
static bool worker_outlives_parent(unsigned layers, bool early)
{
    int alive[2];
    char byte;
    CHECK(pipe(alive) == 0);
    struct confine_options options = {.off = ALL & ~layers};
    struct confine *c = confine_new(&options);
    pid_t middle = fork();
    if (middle == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            struct confinement report;
            struct timespec nap = {0, 1000000};
            close(alive[0]);
            while (early && getppid() == parent)
                nanosleep(&nap, NULL);
            confine_apply(c, parent, &report);
            (void)!write(alive[1], "r", 1);
            nanosleep(&(struct timespec){0, 300000000}, NULL);
            (void)!write(alive[1], "x", 1);
            _exit(0);
        }
        close(alive[1]);
        if (!early)
            (void)!read(alive[0], &byte, 1);
        _exit(0);
    }
    close(alive[1]);
    waitpid(middle, NULL, 0);
    bool outlived = false;
    while (read(alive[0], &byte, 1) == 1)
        outlived = outlived || byte == 'x';
    close(alive[0]);
    confine_free(c);
    return outlived;
}

TEST(it_dies_with_its_parent)
{
    unsigned layer = 1 << CONFINE_PARENT;
    CHECK(!worker_outlives_parent(layer, false));
    CHECK(!worker_outlives_parent(layer, true));
    CHECK(!worker_outlives_parent(ALL, false));
    CHECK(worker_outlives_parent(NONE, false));
    CHECK(worker_outlives_parent(NONE, true));
}

/* ---- what must go on working ---- */

static void *set_flag(void *flag)
{
    *(int *)flag = 1;
    return NULL;
}

static int try_thread(void)
{
    pthread_t thread;
    int flag = 0;
    int r = pthread_create(&thread, NULL, set_flag, &flag);
    if (r == 0)
        pthread_join(thread, NULL);
    return r ? r : flag ? 0 : 99;
}

static int try_abstract_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0confine-test"};
    return result(
        connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}

TEST(probes_go_on_working)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0confine-test"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(server, (struct sockaddr *)&address, sizeof address) == 0 && listen(server, 9) == 0);
    CHECK(attempt(ALL, try_thread) == 0);
    CHECK(attempt(ALL, try_abstract_socket) == 0);
    CHECK(attempt(ALL, try_inet) == 0);
    CHECK(attempt(ALL, try_read) == 0);
    close(server);
}

TEST(each_layer_is_reported)
{
    for (int layer = 0; layer < CONFINE_LAYERS; layer++) {
        struct confine_options options = {.off = 1u << layer};
        struct confine *c = confine_new(&options);
        struct confinement *r =
            mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) {
            confine_apply(c, parent, r);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        for (int i = 0; i < CONFINE_LAYERS; i++) {
            CHECK(r->layers[i].reason[0] != '\0');
            CHECK((r->layers[i].state == CONFINE_OFF) == (i == layer));
        }
        confine_free(c);
        munmap(r, sizeof *r);
    }
}

TEST(layers_are_read_by_name)
{
    unsigned layers = 0;
    struct fault why;
    CHECK(confine_read_layers("seccomp,landlock", &layers, &why));
    CHECK(layers == (1u << CONFINE_SYSCALLS | 1u << CONFINE_FILES));
    CHECK(confine_read_layers("all", &layers, &why) && layers == ALL);
    CHECK(!confine_read_layers("seccomp,", &layers, &why) && strstr(why.message, "they are"));
    CHECK(!confine_read_layers("secc", &layers, &why) && strstr(why.message, "'secc'"));
}

int main(void)
{
    if (!mkdtemp(directory))
        return 1;
    if (!is_mighty())
        skip("what root could do without the layers", "not root, or already confined");
    RUN(system_calls_are_refused);
    RUN(processes_are_not_made);
    RUN(programs_are_not_run);
    RUN(signals_go_only_to_itself);
    RUN(layers_are_not_undone);
    RUN(socket_families_are_those_of_probes);
#ifdef __x86_64__
    RUN(foreign_system_calls_kill);
#endif
    RUN(landlock_holds_writes);
    RUN(landlock_holds_devices_and_signals);
    RUN(landlock_holds_the_network_where_net_is_off);
    RUN(seccomp_holds_writes);
    RUN(a_narrowed_read_is_held);
    RUN(write_and_exec_can_be_opened);
    RUN(no_new_privileges);
    RUN(limits);
    RUN(capabilities);
    RUN(not_dumpable);
    RUN(it_dies_with_its_parent);
    RUN(probes_go_on_working);
    RUN(each_layer_is_reported);
    RUN(layers_are_read_by_name);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    if (system(command) != 0)
        printf("%s is left behind\n", directory);
    if (skipped)
        printf("%d skipped\n", skipped);
    return test_report();
}
