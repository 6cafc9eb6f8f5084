/* pace.h - starts things one after the other, so that a burst of starts does not
 * falsify what those already under way measure.
 *
 * In each turn starts may take a millisecond; then descriptors are looked at
 * again.  A loop that is late starts nothing until it has caught up, but never
 * stops for good: one start a turn is always allowed. */
#ifndef HOSPITAL_LOOP_PACE_H
#define HOSPITAL_LOOP_PACE_H

#include <stdbool.h>

#include "base/list.h"

struct reactor;
struct task;

/* Embedded in its owner, queued at most once. */
struct starter {
    struct list link;
    struct task *(*start)(struct starter *); /* makes a task ready; NULL: there is none to run */
};

struct pace {
    struct list waiting;
};

void pace_init(struct pace *pace);
void pace_add(struct pace *pace, struct starter *starter);
void pace_remove(struct starter *starter); /* harmless when it is not queued */

/* True while something waits to be started: the next turn must not wait. */
bool pace_has_work(const struct pace *pace);

/* Starts what fits into this turn, running each new task to its first wait. */
void pace_turn(struct pace *pace, struct reactor *reactor);

#endif
