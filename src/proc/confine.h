/* confine.h - what a worker puts on itself before it meets any user Lua.
 *
 * The second wall: the sandbox of `vm/` keeps a script in its Lua state; this
 * keeps a process whose Lua state was broken out of from running programs,
 * touching other processes and writing to the machine.  What the policy allows
 * (`read`, `write`, `exec`, `net`) is left open.
 *
 * The costly part (the system call filter, the list of readable files) is
 * built once, by confine_new, in the process that forks workers; a worker only
 * puts it on.  Every layer is tried by itself: one that the kernel lacks, or
 * that the operator switched off, is reported and the others still hold. */
#ifndef HOSPITAL_PROC_CONFINE_H
#define HOSPITAL_PROC_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"

struct policy;
struct confine;

enum confine_layer {
    CONFINE_PRIVILEGES,   /* no-new-privileges */
    CONFINE_LIMITS,       /* rlimits: no core, bounded memory, all descriptors */
    CONFINE_CAPABILITIES, /* root keeps raw sockets, low ports and file access */
    CONFINE_DUMP,         /* not dumpable: closed to debuggers of the same user */
    CONFINE_PARENT,       /* dies with its parent */
    CONFINE_FILES,        /* Landlock */
    CONFINE_SYSCALLS,     /* seccomp */
    CONFINE_LAYERS
};

enum confine_state { CONFINE_UNAVAILABLE, CONFINE_OFF, CONFINE_ON };

/* Plain memory: may be sent from process to process as it is. */
struct confinement {
    struct {
        enum confine_state state;
        char reason[112]; /* never empty: what it does, lacks, or why it is not on */
    } layers[CONFINE_LAYERS];
};

struct confine_options {
    unsigned off;                /* bits, 1u << layer: what the operator does not want */
    const struct policy *policy; /* NULL: the defaults */
    const char *const *roots;    /* readable whatever `read` says; ends in NULL; may be NULL */
    uint64_t memory_max;         /* bytes of data per worker; 0: 4 GiB */
};

/* Returns owned; never NULL.  Borrows nothing after it returned.  Holds one
 * descriptor (close-on-exec).  To be called before the forks. */
struct confine *confine_new(const struct confine_options *options);
void confine_free(struct confine *c);

/* The descriptor it holds, which must stay open until confine_apply; -1: none. */
int confine_descriptor(const struct confine *c);

/* In the worker, while it has one thread and before any user Lua; once, there
 * is no way back.  parent is the pid of the process that forked it: when that
 * one is gone already, the call ends the worker as the signal would have.
 * 0: there is no such process. */
void confine_apply(struct confine *c, pid_t parent, struct confinement *report);

/* The layer PARENT alone, for a process that is not to be confined (the
 * nursery).  False: the kernel refused. */
bool confine_die_with(pid_t parent) CHECKED;

/* "seccomp,landlock" or "all": sets their bits in *layers.  The fault names the
 * unknown one and lists those there are. */
bool confine_read_layers(const char *text, unsigned *layers, struct fault *why) CHECKED;

const char *confine_layer_name(enum confine_layer layer);

#endif
