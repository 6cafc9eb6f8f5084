/* guard.c - see guard.h.
 *
 * What the signal handler touches is the static `slice` below and lua_sethook,
 * which Lua promises is safe there (lua.c does the same on SIGINT).  All the
 * rest runs in the hook, synchronously. */
#include "vm/guard.h"

#include <lauxlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/task.h"
#include "vm/vm.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static const uint64_t slice_ns = 8 * NS_PER_MS; /* then others get their turn */
static const long tick_ns = 10 * 1000 * 1000;
/* Without a place to preempt: killed.  Counted in ticks, which are processor
 * time, so that a machine that was paused or crowded kills nobody. */
static const int hog_ticks = 40;

volatile sig_atomic_t guard_ticked;

static struct {
    struct task *task;
    lua_State *volatile running;
    uint64_t began_ns;
    volatile sig_atomic_t ticks; /* in this slice */
    volatile sig_atomic_t due;   /* a tick that no hook has looked at yet */
    timer_t timer;
    bool open;
} slice;

static void guard_hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *co)
{
    lua_sethook(co, guard_hook, LUA_MASKCOUNT, 1);
}

static void on_tick(int signal)
{
    (void)signal;
    lua_State *running = slice.running;
    if (!running)
        return;
    slice.ticks++;
    slice.due = 1;
    guard_ticked = 1;
    arm(running);
}

bool guard_open(void)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPROF, &action, NULL) != 0)
        return false;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &slice.timer) != 0)
        return false;
    struct itimerspec every = {.it_interval.tv_nsec = tick_ns, .it_value.tv_nsec = tick_ns};
    slice.open = timer_settime(slice.timer, 0, &every, NULL) == 0;
    return slice.open;
}

void guard_close(void)
{
    if (slice.open)
        timer_delete(slice.timer);
    slice.open = false;
}

void guard_enter(struct task *task)
{
    slice.task = task;
    slice.began_ns = clock_now_ns();
    slice.ticks = 0;
    slice.due = 0;
    guard_ticked = 0;
    slice.running = task->co;
}

void guard_leave(void)
{
    slice.running = NULL;
    slice.task = NULL;
    guard_ticked = 0;
}

lua_State *guard_switch(lua_State *co)
{
    lua_State *former = slice.running;
    slice.running = co;
    if (slice.due || guard_killed()) /* the tick fell on one that runs no more */
        arm(co);
    return former;
}

struct task *guard_task(void)
{
    return slice.task;
}

bool guard_killed(void)
{
    return slice.task && slice.task->killed;
}

void guard_arm(void)
{
    guard_ticked = 1;
    slice.due = 1;
    if (slice.running)
        arm(slice.running);
}

bool guard_can_yield(lua_State *L)
{
    return slice.task && slice.task->blocked == 0 && lua_isyieldable(L);
}

/* Decides, once per tick, whether the running task has gone too far. */
static void judge(struct task *task, uint64_t now_ns)
{
    if (task->killed)
        return;
    if (now_ns >= task->deadline.at_ns)
        task->killed = KILL_DEADLINE;
    else if (slice.ticks >= hog_ticks)
        task->killed = KILL_STUCK;
}

/* An error can be caught, a yield cannot; but only an error can leave a call
 * that cannot be yielded across.  The hook stays armed, so whoever catches it
 * dies at the next instruction.  [-0, +0, v] */
static void unwind(lua_State *L)
{
    arm(L);
    if (guard_can_yield(L)) {
        lua_yield(L, 0);
        return; /* from a hook lua_yield returns first */
    }
    lua_pushliteral(L, "the check was ended");
    lua_error(L);
}

/* Lua runs no hook on a coroutine that died of an error raised in its hook, not
 * even in the __close handlers of a reset: such a one is `deaf` for good.  A
 * protected call that catches the error ends that; guard_rethrow comes after it. */
static void unwind_from_hook(lua_State *L, struct task *task)
{
    task->deaf = !guard_can_yield(L);
    unwind(L);
}

/* That it runs at all means that a tick is due: guard_ticked may have been
 * cleared by a C function meanwhile, and the slice is too long all the same. */
static void guard_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct task *task = slice.task;
    if (!task) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    slice.due = 0;
    guard_ticked = 0;
    uint64_t now_ns = clock_now_ns();
    judge(task, now_ns);
    if (task->killed) {
        unwind_from_hook(L, task);
        return;
    }
    lua_sethook(L, NULL, 0, 0);
    if (now_ns - slice.began_ns >= slice_ns && guard_can_yield(L)) {
        task->pass = PASS_PREEMPT;
        lua_yield(L, 0);
    }
}

void guard_check(lua_State *L)
{
    struct task *task = slice.task;
    guard_ticked = 0;
    if (!task)
        return;
    judge(task, clock_now_ns());
    guard_rethrow(L);
}

/* Called from C functions: there lua_yield does not return. */
void guard_rethrow(lua_State *L)
{
    struct task *task = slice.task;
    if (!task || !task->killed)
        return;
    task->deaf = false;
    unwind(L);
}
