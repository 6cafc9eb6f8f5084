/* verdict.h - the one place where a status is decided, from what the host saw. */
#ifndef HOSPITAL_CHECK_VERDICT_H
#define HOSPITAL_CHECK_VERDICT_H

#include <stdbool.h>

#include "check/result.h"
#include "loop/task.h"
#include "vm/failure.h"

struct check_decl;
struct record;

/* How one attempt went. */
struct attempt {
    enum task_kill killed;
    bool raised; /* the body or a hook around it raised `what` */
    enum raised what;
    bool cleanup_broken; /* an after_each raised, was killed or failed */
    unsigned number;     /* 1 for the first */
};

/* A recorded failure always counts, whatever the body went on to do; a kill
 * counts above all; expected_failure turns what it may turn at the end: a sick
 * target, never a broken check. */
enum status verdict_of(const struct attempt *attempt, const struct record *record,
                       const struct check_decl *check);

/* Why a check that held is a warning all the same; NULL when nothing is known
 * beyond what the check said. */
const char *verdict_doubt(const struct attempt *attempt, const struct record *record);

#endif
