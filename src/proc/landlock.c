/* landlock.c - see landlock.h.
 *
 * The kernel's numbers are written out here, because the header that we are
 * built with (6.1) is older than the kernels that we run on. */
#include "proc/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/policy.h"

enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 }; /* on every architecture */
enum { RULE_PATH_BENEATH = 1, CREATE_VERSION = 1 };

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define NET_BIND_TCP (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_SIGNAL (UINT64_C(1) << 1) /* bit 0, abstract sockets: checks probe those */

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

struct path_attr {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

/* What the process needs itself: libraries that load late (libcurl, its TLS,
 * NSS modules), certificates, names, time zones. */
static const char *const system_paths[] = {
    "/lib",
    "/lib64",
    "/lib32",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/ssl",
    "/etc/resolv.conf", /* opened through its link: the rule is on what it leads to */
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
    "/dev/random",
    NULL,
};

static uint64_t rights_of_abi(int abi)
{
    if (abi == 1)
        return (UINT64_C(1) << 13) - 1;
    if (abi == 2)
        return (UINT64_C(1) << 14) - 1;
    if (abi < 5)
        return (UINT64_C(1) << 15) - 1;
    return (UINT64_C(1) << 16) - 1;
}

/* Paths that are not there are no fault. */
static bool allow_below(const struct landlock *l, const char *path, uint64_t rights)
{
    struct stat status;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return true;
    struct path_attr rule = {.allowed = rights & rights_of_abi(l->abi), .parent = fd};
    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode))
        rule.allowed &= FS_OF_FILES;
    bool ok = syscall(ADD_RULE, l->ruleset, RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    return ok;
}

static bool allow_all_of(const struct landlock *l, const char *const *paths, uint64_t rights)
{
    for (; paths && *paths; paths++)
        if (!allow_below(l, *paths, rights))
            return false;
    return true;
}

static bool allow_capability(const struct landlock *l, const struct policy *policy,
                             enum capability c, uint64_t rights)
{
    const char *path;
    for (size_t i = 0; (path = policy_allowed_path(policy, c, i)); i++)
        if (!allow_below(l, path, rights))
            return false;
    return true;
}

/* What a pattern denies cannot be taken out again below an allowed directory:
 * that part is the bindings' (policy_allows_path). */
static bool add_rules(const struct landlock *l, const struct policy *policy,
                      const char *const *roots)
{
    const uint64_t reading = FS_READ_FILE | FS_READ_DIR;
    const uint64_t writing = rights_of_abi(l->abi) & ~(reading | FS_EXECUTE | FS_IOCTL_DEV);
    bool reads_all = policy_has(policy, CAPABILITY_READ) &&
                     policy_allowed_path(policy, CAPABILITY_READ, 0) &&
                     strcmp(policy_allowed_path(policy, CAPABILITY_READ, 0), "/") == 0;
    if (!allow_below(l, "/dev/null", FS_READ_FILE | FS_WRITE_FILE))
        return false;
    if (!reads_all && (!allow_all_of(l, system_paths, reading) || !allow_all_of(l, roots, reading)))
        return false;
    return allow_capability(l, policy, CAPABILITY_READ, reading) &&
           allow_capability(l, policy, CAPABILITY_WRITE, writing) &&
           allow_capability(l, policy, CAPABILITY_EXEC, FS_EXECUTE | FS_READ_FILE);
}

static const char *missing(int code)
{
    if (code == EOPNOTSUPP)
        return "Landlock is built into this kernel but not switched on (boot with "
               "lsm=landlock,...)";
    if (code == ENOSYS)
        return "this kernel has no Landlock (Linux 5.13 and later can have it)";
    return strerror(code);
}

void landlock_init(struct landlock *l, const struct policy *policy, const char *const *roots)
{
    *l = (struct landlock){.ruleset = -1};
    long abi = syscall(CREATE_RULESET, NULL, 0, CREATE_VERSION);
    if (abi <= 0) {
        l->problem = missing(errno);
        return;
    }
    l->abi = (int)abi;
    struct ruleset_attr attr = {.fs = rights_of_abi(l->abi)};
    if (abi >= 4 && !policy_has(policy, CAPABILITY_NET))
        attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (abi >= 6)
        attr.scoped = SCOPE_SIGNAL;
    /* An older kernel takes the longer struct: what it does not know is 0. */
    l->ruleset = (int)syscall(CREATE_RULESET, &attr, sizeof attr, 0);
    if (l->ruleset < 0) {
        l->problem = missing(errno);
    } else if (!add_rules(l, policy, roots)) {
        l->problem = strerror(errno);
        landlock_fini(l);
    }
}

void landlock_fini(struct landlock *l)
{
    if (l->ruleset > 0)
        close(l->ruleset);
    l->ruleset = -1;
}

const char *landlock_apply(const struct landlock *l)
{
    if (l->ruleset < 0)
        return l->problem ? l->problem : "no rules";
    return syscall(RESTRICT_SELF, l->ruleset, 0) == 0 ? NULL : strerror(errno);
}

const char *landlock_lacks(const struct landlock *l)
{
    if (l->abi < 3)
        return "cannot hold truncation, device controls and signals (Linux 6.12 can)";
    if (l->abi < 5)
        return "cannot hold device controls and signals (Linux 6.12 can)";
    if (l->abi < 6)
        return "cannot hold signals (Linux 6.12 can)";
    return "no writes, no programs, no device controls, no signals to others";
}
