/* task.c - see task.h. */
#include "loop/task.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "loop/reactor.h"
#include "vm/guard.h"
#include "vm/vm.h"

/* What the __close handlers of an ended coroutine may use in all. */
static const uint64_t close_budget_ns = 50 * NS_PER_MS;

static void end(struct task *task, int status)
{
    loop_timer_disarm(&task->reactor->loop, &task->deadline);
    task->status = status;
    task->state = TASK_ENDED;
    list_append(&task->reactor->ended, &task->link);
}

static void on_deadline(struct timer *timer)
{
    task_kill(list_entry(timer, struct task, deadline), KILL_DEADLINE);
}

static int new_coroutine(lua_State *L)
{
    lua_State *co = lua_newthread(L);
    luaL_checkstack(co, (int)lua_tointeger(L, 1) + 1, "too many arguments");
    lua_pushvalue(L, -1);
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    return 2;
}

struct task *task_start(struct vm *vm, lua_State *from, int arguments,
                        const struct task_options *options)
{
    lua_pushcfunction(from, new_coroutine);
    lua_pushinteger(from, arguments);
    if (lua_pcall(from, 1, 2, 0) != LUA_OK) {
        lua_pop(from, arguments + 2);
        return NULL;
    }
    struct task *task = memory_new(sizeof *task);
    task->reactor = vm->reactor;
    task->vm = vm;
    task->parent = options->parent;
    task->co = lua_tothread(from, -2);
    *(void **)lua_getextraspace(task->co) = task; /* for good: nobody else may resume it */
    task->anchor = (int)lua_tointeger(from, -1);
    lua_pop(from, 2);
    lua_xmove(from, task->co, arguments + 1);
    task->arguments = arguments;
    task->scope = options->scope;
    task->record = options->record;
    task->may_wait = options->may_wait;
    task->title = options->title;
    task->file = options->file;
    task->line = options->line;
    task->on_end = options->on_end;
    task->owner = options->owner;
    task->deadline.on_due = on_deadline;
    task->reactor->tasks++;
    list_init(&task->link);
    loop_timer_arm(&task->reactor->loop, &task->deadline, options->deadline_ns);
    task->state = TASK_READY;
    list_append(&task->reactor->ready, &task->link);
    return task;
}

void task_wake(struct task *task)
{
    if (task->state != TASK_WAITING)
        return;
    task->waiting_for->waiter = NULL;
    task->waiting_for = NULL;
    task->state = TASK_READY;
    list_append(&task->reactor->ready, &task->link);
}

/* The operation is closed and not merely left: a connection in the middle of an
 * exchange is of no use to anyone. */
static void stop_waiting(struct task *task)
{
    struct op *op = task->waiting_for;
    task->waiting_for = NULL;
    task->stopped_in = op->class->name;
    op->waiter = NULL;
    op_close(op);
}

void task_kill(struct task *task, enum task_kill reason)
{
    if (task->state == TASK_ENDED || task->killed)
        return;
    task->killed = reason;
    switch (task->state) {
    case TASK_RUNNING: guard_arm(); return; /* task_run ends it */
    case TASK_WAITING: stop_waiting(task); break;
    case TASK_READY: list_remove(&task->link); break;
    case TASK_ENDED: return;
    }
    end(task, LUA_YIELD);
}

static void wait_or_go_on(struct task *task)
{
    enum task_pass pass = task->pass;
    task->pass = PASS_NONE;
    if (pass == PASS_AWAIT && !task->waiting_for->done) {
        task->state = TASK_WAITING;
        return;
    }
    if (pass == PASS_AWAIT) {
        task->waiting_for->waiter = NULL;
        task->waiting_for = NULL;
    }
    task->state = TASK_READY;
    list_append(&task->reactor->ready, &task->link);
}

static void tell_slice(struct reactor *reactor, const struct task *task)
{
    if (reactor->on_slice)
        reactor->on_slice(reactor, task);
}

static void begin_slice(struct task *task)
{
    task->reactor->current = task;
    tell_slice(task->reactor, task);
    guard_enter(task);
}

void task_run(struct task *task)
{
    assert(task->state == TASK_READY);
    int arguments = task->arguments;
    task->arguments = 0;
    task->state = TASK_RUNNING;
    if (!task->began_ns)
        task->began_ns = clock_now_ns();
    begin_slice(task);
    int status = lua_resume(task->co, NULL, arguments, &task->results);
    guard_leave();
    vm_after_slice(task->vm);
    tell_slice(task->reactor, NULL);
    task->reactor->current = NULL;
    if (status == LUA_YIELD && !task->killed) {
        assert(task->pass != PASS_NONE); /* our coroutine.yield refuses strays */
        lua_pop(task->co, task->results);
        wait_or_go_on(task);
        return;
    }
    if (task->waiting_for)
        stop_waiting(task);
    end(task, status);
}

/* Runs what the ended coroutine left to be closed, as a last short slice in
 * which nothing can wait.  After a kill by memory nothing may run, and nothing
 * can be stopped on a deaf coroutine; its operations are closed by their scope.
 * It may come in the middle of a slice of the task's parent, which then goes on. */
static void close_pending(struct task *task)
{
    enum task_kill killed = task->killed;
    struct task *outer = task->reactor->current;
    lua_State *running = outer ? guard_switch(task->co) : NULL;
    if (killed == KILL_MEMORY || killed == KILL_STUCK || task->deaf)
        return;
    task->killed = KILL_NONE;
    task->blocked = 1;
    task->deadline.at_ns = clock_now_ns() + close_budget_ns;
    begin_slice(task);
    lua_resetthread(task->co);
    guard_leave();
    tell_slice(task->reactor, NULL);
    task->reactor->current = NULL;
    task->killed = killed;
    if (!outer)
        return;
    begin_slice(outer);
    guard_switch(running);
}

void task_free(struct task *task)
{
    assert(task->state == TASK_ENDED);
    if (task->status != LUA_OK)
        close_pending(task);
    if (task->killed == KILL_MEMORY && !task->parent) /* once, not for every child */
        lua_gc(task->vm->L, LUA_GCCOLLECT);
    luaL_unref(task->vm->L, LUA_REGISTRYINDEX, task->anchor);
    task->reactor->tasks--;
    list_remove(&task->link);
    free(task);
}
