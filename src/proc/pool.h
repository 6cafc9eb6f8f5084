/* pool.h - the workers: started, heard, watched, ended.
 *
 * The pool knows processes and channels and nothing of checks.  A worker is
 * `lost` once its channel has ended and its process is reaped: everything that it
 * sent before has been handed on by then. */
#ifndef HOSPITAL_PROC_POOL_H
#define HOSPITAL_PROC_POOL_H

#include <stdbool.h>
#include <sys/types.h>

#include "loop/loop.h"
#include "proc/channel.h"
#include "proc/confine.h"
#include "proc/heartbeat.h"
#include "proc/nursery.h"

struct pool;

struct pool_worker {
    struct pool *pool;
    unsigned number;
    bool alive; /* asked for, and not lost yet */
    bool exited, closed;
    bool stuck; /* killed for it */
    pid_t pid;  /* 0 until it is known */
    int wait_status;
    struct fault closed_why;
    struct channel *channel;
    struct stuck_watch watch;
    void *owner; /* the dispatcher's */
};

struct pool_loss {
    char reason[200]; /* "killed by SIGSEGV", ... */
    struct beat beat; /* what it ran at the end */
};

struct pool_events {
    void (*on_frame)(struct pool_worker *worker, enum wire_type type, struct wire_reader *r);
    void (*on_lost)(struct pool_worker *worker, const struct pool_loss *loss);
    /* No worker can be had any more: the run is over. */
    void (*on_fatal)(struct pool *pool, const struct fault *why);
};

struct pool {
    struct loop *loop;
    struct nursery *nursery;
    struct heartbeat *heartbeat;
    const struct pool_events *events;
    void *owner;
    struct timer tick;
    struct pool_worker *workers;
    unsigned count;
    bool have_confinement;
    struct confinement confinement; /* of the first worker that told */
};

bool pool_open(struct pool *pool, struct loop *loop, struct nursery *nursery,
               struct heartbeat *heartbeat, unsigned count, const struct pool_events *events,
               void *owner, struct fault *why) CHECKED;
void pool_close(struct pool *pool); /* ends every worker at once */

/* Starts the worker of that number, which must not be alive. */
bool pool_start(struct pool_worker *worker, struct fault *why) CHECKED;

#endif
