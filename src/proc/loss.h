/* loss.h - what becomes of the work of a worker that was lost.
 *
 * The check that it ran is to blame and becomes an error, its teardowns are
 * reported as not run, and everything else runs again.  When nobody knows what it
 * ran, suspects are run alone, until one is left: what is innocent is never
 * reported for it, and what loses workers loses only so many of them. */
#ifndef HOSPITAL_PROC_LOSS_H
#define HOSPITAL_PROC_LOSS_H

#include "proc/pool.h"

/* For pool_events: worker->owner is its seat. */
void loss_of_worker(struct pool_worker *worker, const struct pool_loss *loss);

#endif
