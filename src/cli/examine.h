/* examine.h - one question each about this host, answered by trying.
 *
 * The tries run in a child that is confined as a worker is, so that the answer
 * is the one that a check would get, and a library that crashes costs a line. */
#ifndef HOSPITAL_CLI_EXAMINE_H
#define HOSPITAL_CLI_EXAMINE_H

#include <stddef.h>

#include "proc/confine.h"

enum finding_state {
    FINDING_OK,
    FINDING_LIMITED, /* some checks, or one wall of several, are missing */
    FINDING_MISSING  /* checks in general cannot work */
};

struct finding {
    const char *name; /* static */
    enum finding_state state;
    char detail[240];
    char mend[240]; /* empty: nothing to mend, or nothing that a line mends */
};

enum { EXAMINED = 13 + CONFINE_LAYERS }; /* how many findings there are at most */

/* Fills findings; returns how many.  concurrency: the checks in flight that
 * descriptors must do for.  layers_off: the layers that the tries do without. */
size_t examine_host(struct finding findings[EXAMINED], unsigned concurrency, unsigned layers_off);

#endif
