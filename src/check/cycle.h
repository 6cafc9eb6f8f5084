/* cycle.h - checks that require themselves in a circle, or wait for one behind
 * them in their own lane.
 *
 * A walk along "what waits for this", without recursion.  Every check of a circle
 * becomes an error, and none of them a mere skip because another one was first. */
#ifndef HOSPITAL_CHECK_CYCLE_H
#define HOSPITAL_CHECK_CYCLE_H

#include "check/plan.h"

/* Refuses all circles that this file has closed: each goes through one of its
 * checks that wait. */
void cycle_refuse_all(struct plan *plan, struct plan_file *file);

#endif
