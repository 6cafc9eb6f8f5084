/* nest.h - the nursery's own process, and what it and the supervisor say to
 * each other.  Only nursery.c needs this. */
#ifndef HOSPITAL_PROC_NEST_H
#define HOSPITAL_PROC_NEST_H

#include <stdint.h>
#include <sys/types.h>

#include "proc/nursery.h"

enum nest_kind {
    NEST_SPAWN = 1, /* number, and a descriptor beside it */
    NEST_KILL,      /* number */
    NEST_SPAWNED,   /* number, pid */
    NEST_EXITED,    /* number, pid, value: the wait status */
    NEST_REFUSED,   /* number, value: errno */
};

/* One packet each. */
struct nest_message {
    uint32_t kind, number;
    int32_t pid, value;
};

/* In the child of the fork: serves requests on fd until the supervisor is gone. */
void nest_main(int fd, pid_t supervisor, nursery_prepare_fn *prepare, nursery_main_fn *worker_main,
               void *context) __attribute__((noreturn));

#endif
