/* diagnosis.h - which diagnoses are to run: those that are `of` something red.
 *
 * A diagnosis is triggered once a round, by whichever comes last of its file and
 * of what is red.  It is no part of what a run counts: it makes nothing red. */
#ifndef HOSPITAL_CHECK_DIAGNOSIS_H
#define HOSPITAL_CHECK_DIAGNOSIS_H

#include "check/plan.h"

/* The next to run: triggered and not sent yet; NULL when there is none. */
struct plan_check *diagnosis_next(struct plan *plan);

/* Does the diagnosis belong to the red result of that id? */
bool diagnosis_is_of(const struct plan_check *diagnosis, const char *id);

/* For the plan's own files: something is red; a file with diagnoses has loaded;
 * another round begins. */
void diagnosis_trigger_all(struct plan *plan, const char *red_id);
void diagnosis_trigger(const struct plan *plan, struct plan_check *diagnosis);
void diagnosis_reset_all(struct plan *plan);

#endif
