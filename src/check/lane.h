/* lane.h - checks that run one after the other: one alone, or all of a describe
 * with hooks.
 *
 * A lane is a small state machine over tasks.  For each check it leaves the
 * describes that are over (teardown), enters those that begin (setup), then runs
 * the attempt: before_each and body in one task under the check's deadline, each
 * after_each in one of its own under the cleanup budget.  lane_go is the only
 * function that decides what comes next. */
#ifndef HOSPITAL_CHECK_LANE_H
#define HOSPITAL_CHECK_LANE_H

#include "check/record.h"
#include "check/session.h"
#include "check/verdict.h"
#include "loop/op.h"
#include "loop/pace.h"
#include "loop/timer.h"
#include "vm/vm.h"

enum entry_state { ENTRY_HELD, ENTRY_GO, ENTRY_SKIP, ENTRY_SETTLED };

/* A selected check. */
struct entry {
    const struct check_decl *check;
    size_t index;
    enum entry_state state;
    char *reason; /* of a skip; owned */
    struct lane *lane;
    struct entry *next; /* in its lane */
};

/* A describe that was entered. */
struct entered {
    uint32_t node;
    struct record said; /* by its setups, and not handed on to a check yet; output stays */
    bool broken;        /* its setup did not hold: */
    enum status status;
    char message[240];
    struct buffer details;
};

enum lane_step { LANE_IDLE, LANE_SETUP, LANE_BODY, LANE_AFTER, LANE_TEARDOWN, LANE_OVER };

struct lane {
    struct session *session;
    unsigned number; /* 0: a lone check */
    struct lane *next;
    struct entry *current, *last;
    struct entered *path; /* describes around the current check; NULL for a lone one */
    size_t depth, room;

    enum lane_step step;
    uint32_t function; /* which of the hooks of this step */
    struct task *task;
    struct starter starter;
    struct timer retry;
    struct scope lane_scope, attempt_scope;
    struct record record;
    struct attempt attempt;
    struct record_mark before_after; /* what was recorded before this after_each */
    char first_failure[200];         /* why the attempt before this one was not enough */
    uint64_t started_ns, duration_ns, budget_ns;
};

struct lane *lane_new(struct session *session, unsigned number);
void lane_free(struct lane *lane); /* no task may be alive */
void lane_append(struct lane *lane, struct entry *entry);

/* True while nothing of the check has begun, not even a setup for it. */
bool lane_may_skip(const struct entry *entry);

/* Goes on as far as possible without waiting; calls session_lane_over at the end. */
void lane_go(struct lane *lane);

/* The lane that a task belongs to; the others as in session_of_task. */
struct lane *lane_of_task(const struct task *task, enum session_part *part, uint32_t *number);

/* Kills what runs; nothing is reported any more. */
void lane_stop(struct lane *lane);

#endif
