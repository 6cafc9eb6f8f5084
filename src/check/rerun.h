/* rerun.h - another round of --wait: what is red is to be run again.
 *
 * With it goes whatever was skipped for its sake, and the describe whose teardown
 * failed; but nothing that no running can mend. */
#ifndef HOSPITAL_CHECK_RERUN_H
#define HOSPITAL_CHECK_RERUN_H

#include "check/plan.h"

/* Returns how many checks and files are to be run again. */
size_t rerun_red(struct plan *plan);

#endif
