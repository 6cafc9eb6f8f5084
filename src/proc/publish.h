/* publish.h - puts results into report order: files in their order, a file's
 * checks as declared, whatever order they finished in. */
#ifndef HOSPITAL_PROC_PUBLISH_H
#define HOSPITAL_PROC_PUBLISH_H

#include <stddef.h>

#include "check/plan.h"
#include "cli/events.h"

struct publisher {
    struct plan *plan;
    struct events *events;
    size_t file, check; /* the next to publish */
};

/* Publishes what is settled, up to the first check that is not. */
void publish_settled(struct publisher *p);

/* At the end: all that is settled, over the gaps; then the diagnoses, each once
 * for every red result that it is of. */
void publish_rest(struct publisher *p);

#endif
