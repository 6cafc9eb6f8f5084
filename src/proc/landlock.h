/* landlock.h - which files a worker may read, and that it writes none.
 *
 * Private to confine.c.  The rules are made in the parent and hang from one
 * descriptor, so that a worker pays one system call.  Landlock names files by
 * what they are now: a path that does not exist when the rules are made stays
 * closed to a narrowed `read`. */
#ifndef HOSPITAL_PROC_LANDLOCK_H
#define HOSPITAL_PROC_LANDLOCK_H

struct policy;

struct landlock {
    int ruleset;         /* -1: none */
    int abi;             /* what the kernel speaks; 0: nothing */
    const char *problem; /* why there is no ruleset; static */
};

void landlock_init(struct landlock *l, const struct policy *policy, const char *const *roots);
void landlock_fini(struct landlock *l);

/* NULL, or why it is not on (static or errno's text).  Asks for
 * no-new-privileges. */
const char *landlock_apply(const struct landlock *l);

/* What this kernel's version of it cannot do, in words. */
const char *landlock_lacks(const struct landlock *l);

#endif
