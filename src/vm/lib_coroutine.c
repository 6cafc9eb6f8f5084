/* lib_coroutine.c - coroutines inside a task.
 *
 * What a coroutine yields goes to whoever resumed it; but an await or a
 * preemption is meant for the reactor, so each resume passes it outward and goes
 * on where it was when it comes back (task->pass tells them apart).  Where a
 * resume cannot itself be yielded across, task->blocked says so to all inside.
 *
 * The extra space of a coroutine is NULL while anyone may resume it.  It is set
 * from a resume until the coroutine yields or ends for its resumer, so that none
 * that waits in one task is resumed by another; a task's own is set for good. */
#include <lauxlib.h>
#include <stdbool.h>

#include "loop/task.h"
#include "vm/guard.h"
#include "vm/lib.h"

/* Of calls that cannot be yielded across, within each other.  Closing does not
 * count in Lua's own limit on C calls. */
enum { NESTING_MAX = 150 };

static bool is_engaged(lua_State *co)
{
    return *(void **)lua_getextraspace(co) != NULL;
}

static void engage(lua_State *co, void *by)
{
    *(void **)lua_getextraspace(co) = by;
}

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

enum state { RUNNING, SUSPENDED, NORMAL, DEAD };
static const char *const state_names[] = {"running", "suspended", "normal", "dead"};

static enum state state_of(lua_State *L, lua_State *co)
{
    lua_Debug frame;
    if (L == co)
        return RUNNING;
    if (is_engaged(co))
        return NORMAL;
    switch (lua_status(co)) {
    case LUA_YIELD: return SUSPENDED;
    case LUA_OK:
        if (lua_getstack(co, 0, &frame))
            return NORMAL;
        return lua_gettop(co) == 0 ? DEAD : SUSPENDED;
    default: return DEAD;
    }
}

/* --- resuming ------------------------------------------------------------------ */

/* Resumes co as part of the running slice.  Raises nothing; whoever calls it
 * must guard_rethrow. */
static int run(lua_State *L, lua_State *co, int arguments, int *results)
{
    struct task *task = guard_task();
    bool blocks = task && !lua_isyieldable(L);
    engage(co, task ? (void *)task : L);
    if (blocks)
        task->blocked++;
    lua_State *former = guard_switch(co);
    int status = lua_resume(co, L, arguments, results);
    guard_switch(former);
    if (blocks)
        task->blocked--;
    return status;
}

/* Moves what co yielded or returned to L; returns how many, or -1 with the error
 * on top. */
static int hand_over(lua_State *L, lua_State *co, int status, int results)
{
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

/* Resumes co until it yields to L or ends; awaits and preemptions pass, and come
 * back through k, which must call this again without arguments. */
static int go_on(lua_State *L, lua_State *co, int arguments, lua_KFunction k)
{
    int results = 0;
    int status = run(L, co, arguments, &results);
    guard_rethrow(L);
    const struct task *task = guard_task();
    if (status == LUA_YIELD && task && task->pass != PASS_NONE)
        return lua_yieldk(L, 0, 0, k);
    engage(co, NULL);
    return hand_over(L, co, status, results);
}

/* The arguments are on top of L.  lua_resume must not find out by itself that co
 * cannot be resumed: it would make the message on co, where nothing protects. */
static int start(lua_State *L, lua_State *co, int arguments, lua_KFunction k)
{
    enum state state = state_of(L, co);
    if (state != SUSPENDED) {
        lua_pushfstring(L, "cannot resume %s coroutine", state == DEAD ? "dead" : "non-suspended");
        return -1;
    }
    if (!lua_checkstack(co, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, arguments);
    return go_on(L, co, arguments, k);
}

static int answer(lua_State *L, int results)
{
    lua_pushboolean(L, results >= 0);
    if (results < 0)
        results = 1;
    lua_insert(L, -(results + 1));
    return results + 1;
}

static int k_resume(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    return answer(L, go_on(L, lua_tothread(L, 1), 0, k_resume));
}

static int l_resume(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    return answer(L, start(L, co, lua_gettop(L) - 1, k_resume));
}

/* --- closing --------------------------------------------------------------------- */

/* Runs the __close handlers that co has left; nothing in them can wait, and the
 * guard reaches them.  [-0, +0, v] */
static int reset(lua_State *L, lua_State *co)
{
    struct task *task = guard_task();
    if (!task)
        return lua_resetthread(co);
    if (task->blocked >= NESTING_MAX)
        return luaL_error(L, "C stack overflow");
    engage(co, task);
    task->blocked++;
    lua_State *former = guard_switch(co);
    int status = lua_resetthread(co);
    guard_switch(former);
    task->blocked--;
    guard_rethrow(L);
    engage(co, NULL);
    return status;
}

static int l_close(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    enum state state = state_of(L, co);
    if (state == RUNNING || state == NORMAL)
        return luaL_error(L, "cannot close a %s coroutine", state_names[state]);
    if (reset(L, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

/* --- wrap -------------------------------------------------------------------------- */

static int raise_wrapped(lua_State *L, lua_State *co)
{
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = reset(L, co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int k_wrapped(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = go_on(L, co, 0, k_wrapped);
    return results < 0 ? raise_wrapped(L, co) : results;
}

static int l_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = start(L, co, lua_gettop(L), k_wrapped);
    return results < 0 ? raise_wrapped(L, co) : results;
}

/* --- the rest ---------------------------------------------------------------------- */

static int l_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L); /* its extra space is NULL, as the main one's */
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int l_wrap(lua_State *L)
{
    l_create(L);
    lua_pushcclosure(L, l_wrapped, 1);
    return 1;
}

/* The base of a task: it has no resumer that a script knows. */
static bool is_base(lua_State *co)
{
    const struct task *task = guard_task();
    return task && co == task->co;
}

static int l_yield(lua_State *L)
{
    if (is_base(L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int l_status(lua_State *L)
{
    lua_pushstring(L, state_names[state_of(L, check_coroutine(L))]);
    return 1;
}

static int l_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    lua_pushboolean(L, !is_base(co) && lua_isyieldable(co));
    return 1;
}

static int l_running(lua_State *L)
{
    bool main = lua_pushthread(L) == 1;
    lua_pushboolean(L, main || is_base(L));
    return 2;
}

/*** The coroutine library of Lua, as in chapter 6.2 of its manual.
 * What waits inside a coroutine waits for the whole check; a coroutine that waits in one branch
 * of `parallel` cannot be resumed by another.
 * @table coroutine
 */
void lib_coroutine_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"close", l_close},   {"create", l_create},   {"isyieldable", l_isyieldable},
        {"resume", l_resume}, {"running", l_running}, {"status", l_status},
        {"wrap", l_wrap},     {"yield", l_yield},     {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
