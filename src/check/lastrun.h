/* lastrun.h - remembers which checks were red, for --failed.
 *
 * One small text file for each list of roots (struct discovery's), whatever
 * part of them was run: $XDG_STATE_HOME/hospital/failed-HASH, or
 * ~/.local/state/hospital/failed-HASH.  It names its roots, so that a
 * hash shared by chance is noticed, and says at its end how many ids it
 * holds, so that a cut file is.  It is replaced in one step (rename), with
 * mode 0600: ids are written as they are, since redacted ones would match
 * nothing, so nobody else may read them.  The newest 100 files are kept.  The caller writes after
 * a run that ran checks to its end, and not after --list or lint; an empty list
 * is written too, because "nothing was red" is worth knowing. */
#ifndef HOSPITAL_CHECK_LASTRUN_H
#define HOSPITAL_CHECK_LASTRUN_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/strings.h"

struct lastrun {
    struct strings ids; /* sorted */
};

/* Ids may hold any bytes but NUL.  False, and the old file untouched, when it
 * cannot be written: worth a note, not a red run. */
bool lastrun_write(const struct strings *roots, const struct strings *ids,
                   struct fault *why) CHECKED;

/* False when nothing is remembered for these roots, or what is cannot be
 * read whole: --failed must then stop with why, since running nothing is not green. */
bool lastrun_read(struct lastrun *last, const struct strings *roots, struct fault *why) CHECKED;

bool lastrun_has(const struct lastrun *last, const char *id);
void lastrun_fini(struct lastrun *last);

#endif
