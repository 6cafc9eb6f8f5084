/* guard.h - what stops a script that does not stop by itself.
 *
 * A timer on the thread's processor time ticks every 10 ms while something
 * runs.  Its signal handler sets a flag and arms a count hook on the running
 * coroutine; the hook then, in Lua's own time, preempts a slice that is too
 * long, ends a task past its deadline, or does nothing.  C functions that may
 * run long call guard_step, which looks at the flag.  Code that never ticks
 * costs nothing.  Limits on time at a stretch are counted in ticks.
 *
 * How a script can still stall its worker: a single C call that neither loops
 * through guard_step nor allocates past the limit (a comparison of two strings
 * of megabytes, say).  The supervisor's slice limit is behind that. */
#ifndef HOSPITAL_VM_GUARD_H
#define HOSPITAL_VM_GUARD_H

#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

/* Installs the timer for this thread.  False when the kernel refuses. */
bool guard_open(void) __attribute__((warn_unused_result));
void guard_close(void);

/* A slice of task begins and ends.  One at a time per process. */
void guard_enter(struct task *task);
void guard_leave(void);

/* The coroutine that runs within the slice, for nested resumes: returns the
 * former one, to be handed back afterwards.  A tick that is still due goes with
 * whoever runs next. */
lua_State *guard_switch(lua_State *co);

/* Set by the tick; cleared by guard_check. */
extern volatile sig_atomic_t guard_ticked;

/* Raises (or yields for good) when the task is past its deadline, has been
 * killed, or has held the worker for the hog limit; else returns.  [-0, +0, v] */
void guard_check(lua_State *L);

/* To be called in every C loop whose length a script decides. */
static inline void guard_step(lua_State *L)
{
    if (__builtin_expect(guard_ticked != 0, 0))
        guard_check(L);
}

/* After any protected inner call: goes on unwinding when the task was killed
 * meanwhile.  [-0, +0, v] */
void guard_rethrow(lua_State *L);

/* The task whose slice this is; NULL in callbacks and in stock Lua. */
struct task *guard_task(void);

/* Has it been killed?  Then nothing of the script's may run on its behalf. */
bool guard_killed(void);

/* Can the running task give up control at this point of L? */
bool guard_can_yield(lua_State *L);

/* Arms the hook on the running coroutine at once: a kill from C. */
void guard_arm(void);

#endif
