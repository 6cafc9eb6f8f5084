/* capture.h - turns the end of a task into what a report can show: one packed
 * failure with message, place and the author's own frames. */
#ifndef HOSPITAL_CHECK_CAPTURE_H
#define HOSPITAL_CHECK_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "check/verdict.h"

struct record;
struct task;

struct capture_options {
    const char *during;     /* "setup", "after_each", ...: begins the sentence; "" for a body */
    const char *error_kind; /* what an ordinary Lua error is called: "error", "load" */
    uint64_t budget_ns;     /* what its deadline allowed */
};

/* Records why the task ended, unless it simply returned, and sets attempt's
 * killed, raised and what.  task->co must be intact. */
void capture_end(struct task *task, struct record *record, const struct capture_options *options,
                 struct attempt *attempt);

#endif
