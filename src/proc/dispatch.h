/* dispatch.h - what runs where: jobs, workers, and how much at once.
 *
 * A job (job.h) is one run of one file: LOAD, then RUN with the checks that were
 * selected, most of them on hold; units (a lone check, or a lane) are released
 * one by one so that no more than `concurrency` are in flight.  A worker that is
 * lost costs the check it was running; what else was in flight becomes a new job
 * (loss.h). */
#ifndef HOSPITAL_PROC_DISPATCH_H
#define HOSPITAL_PROC_DISPATCH_H

#include <stdbool.h>

#include "base/list.h"
#include "check/plan.h"
#include "proc/pool.h"

struct seat;

struct dispatch {
    struct plan *plan;
    struct pool pool;
    struct loop *loop;
    struct deferred pump; /* once per turn, whatever happened in it */
    struct list queue;    /* jobs that have no worker yet */
    struct list ready;    /* units that may be released */
    struct seat *seats;   /* one per worker */
    size_t next_file;     /* files before it have their job */
    size_t jobs;          /* queued or at a worker */
    unsigned in_flight, concurrency;
    unsigned loading;      /* jobs at workers that have not answered */
    unsigned sent;         /* checks at workers that may run */
    struct seat *emptying; /* nothing more is released there: a job is to be alone; NULL */
    unsigned idle_losses;  /* workers lost in a row without any answer between */
    uint64_t lag_max_ns;   /* how late the loop of any worker was */
    bool only_load;        /* list, lint: nothing is run */
    /* After the first red result nothing more is begun, but diagnoses; what has begun goes
     * on to its end, hooks and teardowns included. */
    bool fail_fast;
    bool draining; /* that is so now */
    bool stopped;  /* nothing more is sent */
    /* Something was settled, loaded or ended; called once per turn. */
    void (*on_progress)(void *owner);
    void (*on_fatal)(void *owner, const struct fault *why);
    void *owner;
};

bool dispatch_open(struct dispatch *d, struct plan *plan, struct loop *loop,
                   struct nursery *nursery, struct heartbeat *heartbeat, unsigned workers,
                   struct fault *why) CHECKED;
void dispatch_close(struct dispatch *d);

/* The dispatcher looks again at what may start, at the end of this turn of the loop. */
void dispatch_wake(struct dispatch *d);

/* Makes jobs for whatever is not run yet: at the start, and for each round of --wait. */
void dispatch_fill(struct dispatch *d);

/* True when nothing is queued, in flight or still to be torn down. */
bool dispatch_is_idle(const struct dispatch *d);

struct running {
    const struct plan_check *check;
    uint64_t since_ns;
};

/* The checks that have been running longest, at most `most` of them, longest
 * first.  Returns how many. */
size_t dispatch_running(const struct dispatch *d, struct running *list, size_t most);

#endif
