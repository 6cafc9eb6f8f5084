/* job.h - one run of one file in one worker, and what it holds.
 *
 * A job has checks; its units (a lone check, or all of a lane) are released one
 * by one.  What a unit, a job and a seat count is changed here alone, and
 * together with what the dispatcher counts.  Frames to a worker are written here.
 *
 * A job is owned by the queue of the dispatcher, then by the slot of its seat.
 * Nothing here chooses a worker or decides what may be released. */
#ifndef HOSPITAL_PROC_JOB_H
#define HOSPITAL_PROC_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "check/plan.h"
#include "check/settle.h"

struct dispatch;
struct pool_worker;

enum job_state { JOB_QUEUED, JOB_LOADING, JOB_RUNNING };

/* What is released together: a lone check, or all of a lane. */
struct unit {
    struct list link; /* on dispatch->ready */
    struct job *job;
    unsigned lane;
    size_t unsettled;
    uint64_t since_ns; /* since when what is running there may run; 0: it was not released */
    struct plan_check *first;
};

struct job {
    struct list link; /* on dispatch->queue */
    struct plan_file *file;
    enum job_state state;
    struct plan_check **checks; /* NULL, count 0: whatever is selected once it has loaded */
    size_t count;
    struct unit *units;
    size_t unit_count;
    bool diagnosis;
    bool alone; /* nothing else may run in its worker */
    struct seat *seat;
    uint32_t slot;
    bool *torn; /* by node: its teardown has ended; NULL when the file has none */
};

/* A worker, as the dispatcher sees it. */
struct seat {
    struct dispatch *dispatch;
    struct pool_worker *worker;
    struct job **slots;
    size_t slot_count;
    size_t jobs;
    unsigned loading, in_flight;
    unsigned sent;           /* checks that it was told to run and has not ended */
    const struct job *alone; /* nothing else is released here; NULL */
};

/* On no list yet, and at no worker. */
struct job *job_new(struct dispatch *d, struct plan_file *file);

/* Takes it off its list or its seat; what of it has not settled belongs to no job then. */
void job_free(struct dispatch *d, struct job *job);

/* Queues a job for just these checks (takes the list): in front, or at the end
 * when it has to be alone. */
void job_queue(struct dispatch *d, struct plan_file *file, struct plan_check **checks, size_t count,
               bool alone, bool diagnosis);

/* Is the check still the job's: neither settled nor taken away? */
bool job_has(const struct job *job, const struct plan_check *check);

/* The place of the check in its file: what frames and the heartbeat call it. */
size_t job_index_of(const struct plan_check *check);

/* Takes the job off the queue and has the seat's worker, which is alive, load it. */
void job_sit(struct job *job, struct seat *seat);

/* All of the file that is to run and that no other job has. */
void job_choose_checks(struct job *job);

/* What was settled since the job was made is none of its business any more. */
void job_drop_settled(struct job *job);

/* Once, after the checks are known: those units that may be released are put on
 * the list for it. */
void job_make_units(struct dispatch *d, struct job *job);

/* The file has loaded: RUN, or DROP when there is nothing to be run. */
void job_send_run(struct job *job);
void job_send_drop(struct job *job);

/* What is left of the job's file cannot be run: details or context say why. */
void job_load_failed(struct dispatch *d, struct job *job, const char *context, const char *details,
                     size_t size);

/* Counts the unit as in flight and lets those of its checks go that may: by GO, or
 * with the RUN that is still to be sent. */
void unit_release(struct unit *unit);

/* The first that has not settled; NULL when all have. */
const struct plan_check *unit_first(const struct unit *unit);

/* May it be released although what its later checks wait for is not settled? */
bool unit_may_start(const struct unit *unit);

/* The check has ended, and what that makes READY or settles is told to the workers. */
void job_settle(struct dispatch *d, struct plan_check *check, const struct settlement *how);
void job_settle_lost(struct dispatch *d, struct plan_check *check, const char *context);

/* Tells workers what the plan has changed by itself. */
void job_take_changes(struct dispatch *d);

/* The check is not to begin any more, and does not settle. */
void job_withdraw(struct dispatch *d, struct plan_check *check, const char *reason);

#endif
