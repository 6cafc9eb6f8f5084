/* requires.h - what waits for what.
 *
 * A requirement is a link from the required check to those that wait; one into a
 * file that has not loaded is kept with that file until it has.  A link stays when
 * it holds nothing back any more: in another round it may again.  That links form
 * no circle is seen to by cycle.h. */
#ifndef HOSPITAL_CHECK_REQUIRES_H
#define HOSPITAL_CHECK_REQUIRES_H

#include "check/plan.h"

/* Links the checks of a file that has loaded to what they require.  True when
 * anything of it requires anything. */
bool requires_link(struct plan *plan, struct plan_file *file);

/* The file has loaded, or turned out to be broken: those that waited for that. */
void requires_resolve(struct plan *plan, struct plan_file *file);

/* Another round: those that wait for something that is to be run again wait
 * again; those that require what can never hold are skipped again. */
void requires_hold_again(struct plan *plan);

void requires_forget(struct plan_file *file);

#endif
