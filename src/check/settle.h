/* settle.h - a check ends, and what waited for it may run or never will.
 *
 * What becomes READY or SETTLED because of others is put on plan->changed, which
 * is the queue of this as well: a chain of requirements may be 100,000 long, so
 * nothing here recurses.  A check settles once until rerun.h unsettles it. */
#ifndef HOSPITAL_CHECK_SETTLE_H
#define HOSPITAL_CHECK_SETTLE_H

#include "check/plan.h"

/* How something ended; all borrowed. */
struct settlement {
    enum status status;
    unsigned attempts;
    uint64_t started_ns, duration_ns;
    const char *context, *details;
    size_t details_size;
};

/* The check has ended.  Those that waited for it become READY, or SETTLED as
 * skipped when it was red. */
void settle_check(struct plan *plan, struct plan_check *check, const struct settlement *how);

/* For the plan's own files: */

/* Skips the check because `required` is red, or the file could not be loaded. */
void settle_skip(struct plan *plan, struct plan_check *check, const struct plan_check *required);
void settle_skip_for_file(struct plan *plan, struct plan_check *check,
                          const struct plan_file *file);

/* The check cannot be run as it is declared, now or in a later round. */
void settle_refuse(struct plan *plan, struct plan_check *check, const char *context);

/* Nothing holds the check any more. */
void settle_ready(struct plan *plan, struct plan_check *check);

void settle_note_red(struct plan *plan, struct plan_check *check);

/* Tells on what was settled since `changed` had that many entries, and what that settles. */
void settle_spread(struct plan *plan, size_t from);

#endif
