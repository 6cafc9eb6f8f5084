/* supervisor.h - one run from its first worker to its verdict.
 *
 * Owns the loop, the signals and the clocks of the run (deadline, --wait) and
 * decides when it is over.  It runs no user Lua.  The nursery must have been opened
 * before; the caller opens and ends the reports. */
#ifndef HOSPITAL_PROC_SUPERVISOR_H
#define HOSPITAL_PROC_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "check/plan.h"
#include "cli/events.h"
#include "proc/heartbeat.h"
#include "proc/nursery.h"

struct supervisor_options {
    struct plan *plan;
    struct events *events; /* NULL when nothing is run */
    struct nursery *nursery;
    struct heartbeat *heartbeat;
    unsigned workers, concurrency;
    uint64_t deadline_ns, wait_ns; /* 0: none */
    bool fail_fast;
    bool only_load;   /* list and lint */
    bool never_green; /* discovery refused something: waiting until green is in vain */
};

enum run_end_kind {
    RUN_OVER,
    RUN_STOPPED,     /* by fail-fast */
    RUN_INTERRUPTED, /* by a signal */
    RUN_LATE,        /* --deadline */
    RUN_WAITED,      /* --wait ran out and it is not green */
    RUN_BROKEN,      /* no workers can be had; *why says it */
};

/* Runs the plan to its end and publishes every result.  *not_run is how many
 * selected checks have none. */
enum run_end_kind supervisor_run(const struct supervisor_options *options, size_t *not_run,
                                 struct fault *why);

#endif
