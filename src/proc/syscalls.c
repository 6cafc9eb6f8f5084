/* syscalls.c - see syscalls.h. */
#include "proc/syscalls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_SECCOMP

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/policy.h"

/* Stands in the program where the worker's pid belongs, which nobody knows
 * when it is built.  No pid is that large (the kernel's limit is 2^22), no
 * other constant of the program the same. */
static const unsigned own_pid = 0x7ead0fab;

static const int always[] = {
    /* other processes */
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_mrelease),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(pidfd_getfd),
    /* the tree of files and what it stands on */
    SCMP_SYS(mount),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(acct),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(fanotify_init),
    /* namespaces, users */
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(setuid32),
    SCMP_SYS(setgid32),
    SCMP_SYS(setreuid32),
    SCMP_SYS(setregid32),
    SCMP_SYS(setresuid32),
    SCMP_SYS(setresgid32),
    SCMP_SYS(setfsuid32),
    SCMP_SYS(setfsgid32),
    SCMP_SYS(setgroups32),
    SCMP_SYS(capset),
    /* large and often broken parts of the kernel */
    SCMP_SYS(bpf),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    SCMP_SYS(personality),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(vmsplice),
    /* the machine */
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(reboot),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(syslog),
    SCMP_SYS(vhangup),
    SCMP_SYS(settimeofday),
    SCMP_SYS(stime),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
};

/* Without `exec`. */
static const int programs[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork),
                               SCMP_SYS(vfork)};

/* Without `write`.  Landlock covers neither modes, owners, times nor extended
 * attributes. */
static const int writes[] = {
    SCMP_SYS(chmod),     SCMP_SYS(fchmod),      SCMP_SYS(fchmodat),     SCMP_SYS(chown),
    SCMP_SYS(fchown),    SCMP_SYS(lchown),      SCMP_SYS(fchownat),     SCMP_SYS(chown32),
    SCMP_SYS(fchown32),  SCMP_SYS(lchown32),    SCMP_SYS(setxattr),     SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr), SCMP_SYS(removexattr), SCMP_SYS(lremovexattr), SCMP_SYS(fremovexattr),
    SCMP_SYS(utime),     SCMP_SYS(utimes),      SCMP_SYS(utimensat),    SCMP_SYS(futimesat),
    SCMP_SYS(mknod),     SCMP_SYS(mknodat),     SCMP_SYS(link),         SCMP_SYS(linkat),
    SCMP_SYS(symlink),   SCMP_SYS(symlinkat),   SCMP_SYS(rename),       SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(unlink),      SCMP_SYS(unlinkat),     SCMP_SYS(rmdir),
    SCMP_SYS(mkdir),     SCMP_SYS(mkdirat),     SCMP_SYS(truncate),     SCMP_SYS(truncate64),
    SCMP_SYS(creat),
};

/* Younger than the library: by number, which is one on every architecture. */
enum {
    FCHMODAT2 = 452,
    SETXATTRAT = 463,
    REMOVEXATTRAT = 466,
    OPEN_TREE_ATTR = 467,
    FILE_SETATTR = 469
};

static const int young_always[] = {OPEN_TREE_ATTR};
static const int young_writes[] = {FCHMODAT2, SETXATTRAT, REMOVEXATTRAT, FILE_SETATTR};

/* Signals to anyone but itself: abort() and raise() must go on working. */
static const int signals[] = {SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(tgkill),
                              SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo)};

static bool refuse_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0) < 0)
            return false;
    return true;
}
#define REFUSE_ALL(filter, list) refuse_all(filter, list, sizeof(list) / sizeof(list)[0])

/* When argument n is value under mask.  The mask is always given and within 32
 * bits: the kernel looks only at those, so that a caller could otherwise slip
 * past an equality with the others. */
static bool refuse_when(scmp_filter_ctx filter, int call, unsigned n, uint64_t mask, uint64_t value)
{
    struct scmp_arg_cmp when = {n, SCMP_CMP_MASKED_EQ, mask, value};
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &when) >= 0;
}

static const uint64_t whole = 0xffffffff;

static bool refuse_signals(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp when = {0, SCMP_CMP_NE, own_pid, 0};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), signals[i], 1, &when) < 0)
            return false;
    /* SIGIO from a descriptor that somebody else owns. */
    return refuse_when(filter, SCMP_SYS(fcntl), 1, whole, F_SETOWN) &&
           refuse_when(filter, SCMP_SYS(fcntl), 1, whole, F_SETOWN_EX) &&
           refuse_when(filter, SCMP_SYS(ioctl), 1, whole, FIOSETOWN) &&
           refuse_when(filter, SCMP_SYS(ioctl), 1, whole, SIOCSPGRP);
}

/* Threads stay (a resolver, a library's own); processes go.  clone3 hides its
 * flags behind a pointer: "no such call" makes libc fall back to clone. */
static bool refuse_programs(scmp_filter_ctx filter)
{
    return REFUSE_ALL(filter, programs) &&
           refuse_when(filter, SCMP_SYS(clone), 0, CLONE_THREAD, 0) &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) >= 0;
}

static bool refuse_open_for(scmp_filter_ctx filter, uint64_t mask, uint64_t value)
{
    return refuse_when(filter, SCMP_SYS(open), 1, mask, value) &&
           refuse_when(filter, SCMP_SYS(openat), 2, mask, value);
}

static bool refuse_writes(scmp_filter_ctx filter)
{
    return REFUSE_ALL(filter, writes) && REFUSE_ALL(filter, young_writes) &&
           refuse_open_for(filter, O_ACCMODE, O_WRONLY) &&
           refuse_open_for(filter, O_ACCMODE, O_RDWR) &&
           refuse_open_for(filter, O_CREAT, O_CREAT) && refuse_open_for(filter, O_TRUNC, O_TRUNC) &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0) >= 0;
}

/* The families that probes speak, and netlink, which getaddrinfo asks for the
 * host's own addresses. */
static bool refuse_families(scmp_filter_ctx filter, bool net)
{
    struct scmp_arg_cmp beyond = {0, SCMP_CMP_GT, AF_NETLINK, 0};
    for (int family = AF_UNSPEC; family < AF_NETLINK; family++) {
        bool wanted = family == AF_UNIX || (net && (family == AF_INET || family == AF_INET6));
        if (!wanted && !refuse_when(filter, SCMP_SYS(socket), 0, whole, (uint64_t)family))
            return false;
    }
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, &beyond) >= 0;
}

/* What would undo the other layers, or type into the operator's terminal. */
static bool refuse_undoing(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp not_self = {0, SCMP_CMP_NE, 0, 0};
    return refuse_when(filter, SCMP_SYS(prctl), 0, whole, PR_SET_DUMPABLE) &&
           refuse_when(filter, SCMP_SYS(prctl), 0, whole, PR_SET_PDEATHSIG) &&
           refuse_when(filter, SCMP_SYS(prctl), 0, whole, PR_SET_PTRACER) &&
           refuse_when(filter, SCMP_SYS(prctl), 0, whole, PR_SET_MM) &&
           refuse_when(filter, SCMP_SYS(ioctl), 1, whole, TIOCSTI) &&
           refuse_when(filter, SCMP_SYS(ioctl), 1, whole, 0x541C /* TIOCLINUX */) &&
           seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                                  &not_self) >= 0;
}

static bool fill(scmp_filter_ctx filter, const struct policy *policy)
{
    return seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) >= 0 &&
           seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) >= 0 &&
           REFUSE_ALL(filter, always) && REFUSE_ALL(filter, young_always) &&
           (policy_has(policy, CAPABILITY_EXEC) || refuse_programs(filter)) &&
           (policy_has(policy, CAPABILITY_WRITE) || refuse_writes(filter)) &&
           refuse_families(filter, policy_has(policy, CAPABILITY_NET)) && refuse_signals(filter) &&
           refuse_undoing(filter);
}

/* The library writes to a descriptor only. */
static bool export(scmp_filter_ctx filter, struct syscalls *s)
{
    struct stat status;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    bool ok = fd >= 0 && seccomp_export_bpf(filter, fd) == 0 && fstat(fd, &status) == 0 &&
              status.st_size > 0;
    if (ok) {
        size_t size = (size_t)status.st_size;
        s->code = memory_new(size);
        s->count = size / sizeof s->code[0];
        ok = pread(fd, s->code, size, 0) == (ssize_t)size;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

void syscalls_init(struct syscalls *s, const struct policy *policy)
{
    memset(s, 0, sizeof *s);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter || !fill(filter, policy) || !export(filter, s)) {
        syscalls_fini(s);
        s->problem = "libseccomp could not build the filter";
    }
    if (filter)
        seccomp_release(filter);
}

static bool name_self(struct syscalls *s)
{
    bool found = false;
    for (size_t i = 0; i < s->count; i++)
        if (BPF_CLASS(s->code[i].code) == BPF_JMP && s->code[i].k == own_pid) {
            s->code[i].k = (unsigned)getpid();
            found = true;
        }
    return found;
}

const char *syscalls_apply(struct syscalls *s)
{
    if (!s->code)
        return s->problem ? s->problem : "no filter";
    if (!name_self(s))
        return "the filter has no place for the process's id";
    struct sock_fprog program = {.len = (unsigned short)s->count, .filter = s->code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        return NULL;
    return errno == EINVAL ? "this kernel has no seccomp filters" : strerror(errno);
}

#else

void syscalls_init(struct syscalls *s, const struct policy *policy)
{
    (void)policy;
    memset(s, 0, sizeof *s);
    s->problem = "built without libseccomp";
}

const char *syscalls_apply(struct syscalls *s)
{
    return s->problem;
}

#endif

void syscalls_fini(struct syscalls *s)
{
    free(s->code);
    s->code = NULL;
    s->count = 0;
}
