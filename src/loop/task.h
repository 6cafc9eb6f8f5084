/* task.h - one coroutine of a check, with a deadline that holds.
 *
 * A task is started with a function and ends once: it returned, it raised, or
 * it was killed.  A kill is sticky and decided here, never by the script: once
 * task->killed is set no result of the task is ever asked for.
 *
 * Ownership: task_start returns a task owned by the caller, who frees it from
 * on_end or later.  on_end is called from reactor_turn, never from inside Lua or
 * a library's callback; task->co is still intact there. */
#ifndef HOSPITAL_LOOP_TASK_H
#define HOSPITAL_LOOP_TASK_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/op.h"
#include "loop/timer.h"

struct vm;
struct record;

enum task_state {
    TASK_READY,   /* on reactor->ready */
    TASK_RUNNING, /* reactor->current */
    TASK_WAITING, /* for task->waiting_for */
    TASK_ENDED,   /* on reactor->ended, or handed to on_end */
};

enum task_kill {
    KILL_NONE,
    KILL_DEADLINE,
    KILL_MEMORY,
    KILL_STUCK,     /* ran for the hog limit in a place that cannot be preempted */
    KILL_CANCELLED, /* by its parent, fail-fast or the end of the run */
};

/* Why the coroutine gave up control; read and cleared by whoever resumed it. */
enum task_pass { PASS_NONE, PASS_AWAIT, PASS_PREEMPT };

struct task {
    struct list link;
    struct reactor *reactor;
    struct vm *vm;
    const struct task *parent; /* of a function in parallel; NULL */
    bool orphan;               /* it had a parent, which is gone: owner is no more than on_end's */
    lua_State *co;             /* anchored in the registry of vm->L by anchor */
    int anchor;
    int arguments; /* for the first resume */
    enum task_state state;
    enum task_kill killed;
    enum task_pass pass;
    int status;       /* LUA_OK when it returned, else the error status; valid when ENDED */
    int results;      /* on co's stack when it returned */
    unsigned blocked; /* >0: inside a call that cannot be yielded across */
    bool deaf;        /* co died inside the hook: no hook would stop its __close */
    bool may_wait;    /* false while a file loads: ops refuse */
    struct op *waiting_for;
    struct timer deadline;
    struct scope *scope;    /* new ops go here; borrowed */
    struct record *record;  /* what the check says goes here; borrowed, may be NULL */
    const char *stopped_in; /* what it was waiting for when it was killed; NULL */
    uint64_t began_ns;      /* when it first ran; 0 before */
    const char *title;      /* the check's name, for its peers to see; borrowed, may be NULL */
    const char *file;       /* where the function was declared: for messages when no frame of */
    int line;               /* the author's is left, after a tail call; borrowed */
    void (*on_end)(struct task *task);
    void *owner; /* for on_end */
};

struct task_options {
    const struct task *parent;
    uint64_t deadline_ns; /* absolute; required */
    struct scope *scope;
    struct record *record;
    bool may_wait;
    const char *title; /* may be NULL, as may file */
    const char *file;
    int line;
    void (*on_end)(struct task *task);
    void *owner;
};

/* Starts the function (and its arguments above it) on top of from's stack as a
 * task: it is ready, and first runs in the next turn.  Pops them.  NULL when the
 * sandbox's memory did not allow a coroutine.  [-(arguments+1), +0, -] */
struct task *task_start(struct vm *vm, lua_State *from, int arguments,
                        const struct task_options *options);

/* Ends the task for a reason that sticks; harmless when it has ended. */
void task_kill(struct task *task, enum task_kill reason);

/* Makes a waiting task ready; harmless otherwise. */
void task_wake(struct task *task);

/* Resets the coroutine (its pending __close run under a budget of their own) and
 * frees the task, which must have ended. */
void task_free(struct task *task);

/* Resumes a ready task until it waits, is preempted, or ends. */
void task_run(struct task *task);

#endif
