/* syscalls.h - the system calls that a worker gives up (seccomp).
 *
 * Private to confine.c.  A deny list: what no probe needs and what turns a
 * broken sandbox into a broken machine answers EPERM.  Not an allow list,
 * because the libraries behind the probes may start to use a new call with any
 * security update, and a checker that then dies checks nothing. */
#ifndef HOSPITAL_PROC_SYSCALLS_H
#define HOSPITAL_PROC_SYSCALLS_H

#include <linux/filter.h>
#include <stddef.h>

struct policy;

struct syscalls {
    struct sock_filter *code; /* owned; NULL: none */
    size_t count;
    const char *problem; /* why there is none; static */
};

void syscalls_init(struct syscalls *s, const struct policy *policy);
void syscalls_fini(struct syscalls *s);

/* NULL, or why it is not on.  Writes the process's own pid into its copy of
 * the program.  Asks for no-new-privileges. */
const char *syscalls_apply(struct syscalls *s);

#endif
