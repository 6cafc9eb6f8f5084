/* confine.c - see confine.h. */
#include "proc/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/policy.h"
#include "base/sanitizer.h"
#include "proc/landlock.h"
#include "proc/syscalls.h"

#if SANITIZES_ADDRESSES || defined(__SANITIZE_THREAD__)
#define SHADOWED 1 /* the sanitizer reserves terabytes */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHADOWED 1
#endif
#endif
#ifndef SHADOWED
#define SHADOWED 0
#endif

static const uint64_t default_memory_max = UINT64_C(4) << 30;

struct confine {
    unsigned off;
    uint64_t memory_max;
    struct syscalls syscalls;
    struct landlock landlock;
};

struct confine *confine_new(const struct confine_options *options)
{
    struct confine *c = memory_new(sizeof *c);
    c->off = options->off;
    c->memory_max = options->memory_max ? options->memory_max : default_memory_max;
    c->landlock.ruleset = -1;
    if (!(c->off & 1u << CONFINE_SYSCALLS))
        syscalls_init(&c->syscalls, options->policy);
    if (!(c->off & 1u << CONFINE_FILES))
        landlock_init(&c->landlock, options->policy, options->roots);
    return c;
}

void confine_free(struct confine *c)
{
    if (!c)
        return;
    syscalls_fini(&c->syscalls);
    landlock_fini(&c->landlock);
    free(c);
}

/* ---- the small layers: each returns NULL, or why it is not on ---- */

static const char *apply_privileges(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? NULL : strerror(errno);
}

static bool lower_limit(int which, rlim_t value)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)which, &now) != 0)
        return false;
    if (now.rlim_max == RLIM_INFINITY || value < now.rlim_max)
        now.rlim_max = value;
    now.rlim_cur = now.rlim_max;
    return setrlimit((__rlimit_resource_t)which, &now) == 0;
}

/* Data and not address space: what is mapped from files or only reserved costs
 * nothing, and sanitizers and threads reserve much. */
static const char *apply_limits(const struct confine *c)
{
    struct rlimit files;
    if (!lower_limit(RLIMIT_CORE, 0))
        return strerror(errno);
    if (!SHADOWED && !lower_limit(RLIMIT_DATA, c->memory_max))
        return strerror(errno);
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return strerror(errno);
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) == 0 ? NULL : strerror(errno);
}

/* Ping needs raw sockets where datagram ones are closed; a low source port is
 * part of some probes; and reading as root is what a check of root's expects:
 * that files are not written is Landlock's part. */
static const char *apply_capabilities(void)
{
    static const unsigned keep = 1u << CAP_NET_RAW | 1u << CAP_NET_BIND_SERVICE |
                                 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0)
        return strerror(errno);
    data[0].effective &= keep;
    data[0].permitted &= keep;
    data[1].effective = data[1].permitted = 0;
    data[0].inheritable = data[1].inheritable = 0;
    return syscall(SYS_capset, &header, data) == 0 ? NULL : strerror(errno);
}

static const char *apply_dump(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? NULL : strerror(errno);
}

/* The parent may have gone between the fork and the call; then nobody sends
 * the signal. */
bool confine_die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return false;
    if (getppid() != parent)
        kill(getpid(), SIGKILL);
    return true;
}

static const char *apply_parent(pid_t parent)
{
    if (parent == 0)
        return "no parent to die with";
    return confine_die_with(parent) ? NULL : strerror(errno);
}

/* ---- all of them ---- */

static void describe(struct confinement *report, enum confine_layer layer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void describe(struct confinement *report, enum confine_layer layer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(report->layers[layer].reason, sizeof report->layers[layer].reason, format, args);
    va_end(args);
}

static const char *apply_layer(struct confine *c, enum confine_layer layer, pid_t parent)
{
    switch (layer) {
    case CONFINE_PRIVILEGES: return apply_privileges();
    case CONFINE_LIMITS: return apply_limits(c);
    case CONFINE_CAPABILITIES: return apply_capabilities();
    case CONFINE_DUMP: return apply_dump();
    case CONFINE_PARENT: return apply_parent(parent);
    case CONFINE_FILES: return landlock_apply(&c->landlock);
    case CONFINE_SYSCALLS: return syscalls_apply(&c->syscalls);
    case CONFINE_LAYERS: break;
    }
    return "no such layer";
}

static void describe_on(struct confine *c, struct confinement *report, enum confine_layer layer)
{
    static const char *const what[CONFINE_LAYERS] = {
        [CONFINE_PRIVILEGES] = "set-user-id programs and file capabilities give nothing",
        [CONFINE_CAPABILITIES] = "only raw sockets, low ports and file access are left of root's",
        [CONFINE_DUMP] = "no core, no debugger of the same user",
        [CONFINE_PARENT] = "ends when its parent ends",
        [CONFINE_SYSCALLS] = "no programs, processes, mounts, tracing, keys, bpf or io_uring",
    };
    if (layer == CONFINE_FILES)
        describe(report, layer, "Landlock ABI %d: %s", c->landlock.abi,
                 landlock_lacks(&c->landlock));
    else if (layer == CONFINE_LIMITS)
        describe(report, layer, "no core, %s, all descriptors that the host grants",
                 SHADOWED ? "memory unbounded under a sanitizer" : "bounded memory");
    else
        describe(report, layer, "%s", what[layer]);
}

/* The order matters: the filter is last because it forbids what the others
 * need, no-new-privileges first because Landlock and seccomp ask for it. */
int confine_descriptor(const struct confine *c)
{
    return c->landlock.ruleset;
}

void confine_apply(struct confine *c, pid_t parent, struct confinement *report)
{
    memset(report, 0, sizeof *report);
    for (int i = 0; i < CONFINE_LAYERS; i++) {
        enum confine_layer layer = (enum confine_layer)i;
        if (c->off & 1u << i) {
            report->layers[i].state = CONFINE_OFF;
            describe(report, layer, "switched off");
            continue;
        }
        const char *problem = apply_layer(c, layer, parent);
        report->layers[i].state = problem ? CONFINE_UNAVAILABLE : CONFINE_ON;
        if (problem)
            describe(report, layer, "%s", problem);
        else
            describe_on(c, report, layer);
    }
}

const char *confine_layer_name(enum confine_layer layer)
{
    static const char *const names[CONFINE_LAYERS] = {
        [CONFINE_PRIVILEGES] = "no-new-privileges",
        [CONFINE_LIMITS] = "limits",
        [CONFINE_CAPABILITIES] = "capabilities",
        [CONFINE_DUMP] = "not-dumpable",
        [CONFINE_PARENT] = "dies-with-parent",
        [CONFINE_FILES] = "landlock",
        [CONFINE_SYSCALLS] = "seccomp",
    };
    return names[layer];
}

static bool read_layer(const char *name, size_t size, unsigned *layers)
{
    for (int i = 0; i < CONFINE_LAYERS; i++) {
        const char *known = confine_layer_name((enum confine_layer)i);
        if (strlen(known) == size && strncmp(known, name, size) == 0) {
            *layers |= 1u << i;
            return true;
        }
    }
    return false;
}

bool confine_read_layers(const char *text, unsigned *layers, struct fault *why)
{
    if (strcmp(text, "all") == 0) {
        *layers |= (1u << CONFINE_LAYERS) - 1;
        return true;
    }
    for (;;) {
        size_t size = strcspn(text, ",");
        if (!read_layer(text, size, layers))
            return fault_set(why, FAULT_INTERNAL,
                             "there is no layer '%.*s'; they are no-new-privileges, limits, "
                             "capabilities, not-dumpable, dies-with-parent, landlock, seccomp, "
                             "and all",
                             (int)(size < 100 ? size : 100), text);
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}
