/* host.c - what our own Lua asks of the host: recording, time, environment, and
 * running functions side by side.
 *
 * In stock Lua there is no record: what is recorded is dropped there, what is
 * raised is raised all the same. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/policy.h"
#include "bind/bind.h"
#include "check/record.h"
#include "loop/op.h"
#include "loop/reactor.h"
#include "loop/task.h"
#include "vm/author.h"
#include "vm/failure.h"

static struct task *current_task(lua_State *L)
{
    return reactor_of(L)->current;
}

static struct record *current_record(lua_State *L)
{
    struct task *task = current_task(L);
    return task ? task->record : NULL;
}

/* --- what a check says --------------------------------------------------- */

/* Where the author is, or else where he declared what runs. */
static void find_place(lua_State *L, struct author_place *place)
{
    const struct task *task = current_task(L);
    if (author_where(L, place))
        return;
    snprintf(place->file, sizeof place->file, "%s", task && task->file ? task->file : "?");
    place->line = task ? task->line : 0;
}

/* Sets file and line of the failure at index, unless it has them.  [-0, +0, m] */
static void set_place(lua_State *L, int index)
{
    struct author_place place;
    lua_pushliteral(L, "line");
    bool has = lua_rawget(L, index) != LUA_TNIL;
    lua_pop(L, 1);
    if (has)
        return;
    find_place(L, &place);
    lua_pushliteral(L, "file");
    lua_pushstring(L, place.file);
    lua_rawset(L, index);
    lua_pushliteral(L, "line");
    lua_pushinteger(L, place.line);
    lua_rawset(L, index);
}

static int l_record(lua_State *L)
{
    static const char *const lists[] = {"failure", "warning", "metric", "probe", "output", NULL};
    int list = luaL_checkoption(L, 1, NULL, lists);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (list == RECORD_FAILURE) {
        luaL_checktype(L, 2, LUA_TTABLE);
        set_place(L, 2);
    }
    struct record *record = current_record(L);
    if (record)
        record_add(record, (enum record_list)list, L, 2);
    return 0;
}

static int l_assertion(lua_State *L)
{
    struct record *record = current_record(L);
    if (record)
        record->assertions++;
    return 0;
}

static int l_mark(lua_State *L)
{
    struct record *record = current_record(L);
    struct record_mark *mark = lua_newuserdatauv(L, sizeof *mark, 0);
    if (record)
        *mark = record_here(record);
    return 1;
}

static int l_rewind(lua_State *L)
{
    struct record *record = current_record(L);
    luaL_checktype(L, 1, LUA_TUSERDATA);
    if (record)
        record_rewind(record, lua_touserdata(L, 1));
    return 0;
}

static int l_failed(lua_State *L)
{
    const struct record *record = current_record(L);
    luaL_checktype(L, 1, LUA_TUSERDATA);
    lua_pushboolean(L, record && record_failed_since(record, lua_touserdata(L, 1)));
    return 1;
}

static int l_raise(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    set_place(L, 1);
    failure_mark(L, 1, RAISED_FAILURE);
    return lua_error(L);
}

static int l_skip(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "message");
    failure_mark(L, -1, RAISED_SKIP);
    return lua_error(L);
}

static int l_kind(lua_State *L)
{
    lua_settop(L, 1);
    switch (failure_kind(L, 1)) {
    case RAISED_FAILURE: lua_pushliteral(L, "failure"); return 1;
    case RAISED_SKIP: lua_pushliteral(L, "skip"); return 1;
    case RAISED_ERROR: break;
    }
    return 0;
}

static int l_where(lua_State *L)
{
    struct author_place place;
    find_place(L, &place);
    lua_pushfstring(L, "%s:%d", place.file, place.line);
    lua_pushinteger(L, place.line);
    return 2;
}

static int l_loading(lua_State *L)
{
    struct task *task = current_task(L);
    lua_pushboolean(L, task && !task->may_wait);
    return 1;
}

static int l_title(lua_State *L)
{
    const struct task *task = current_task(L);
    lua_pushstring(L, task ? task->title : NULL);
    return 1;
}

/* Tells one attempt of a check (or its setup) from another that runs beside it. */
static int l_scope(lua_State *L)
{
    const struct task *task = current_task(L);
    lua_pushlightuserdata(L, task ? task->scope : NULL);
    return 1;
}

/* --- time ---------------------------------------------------------------- */

static bool to_duration(lua_State *L, int index, uint64_t *ns)
{
    if (lua_type(L, index) == LUA_TNUMBER)
        return duration_from_seconds(lua_tonumber(L, index), ns);
    if (lua_type(L, index) == LUA_TSTRING)
        return duration_parse(lua_tostring(L, index), ns);
    return false;
}

static int l_duration(lua_State *L)
{
    uint64_t ns;
    luaL_checkany(L, 1);
    if (!to_duration(L, 1, &ns))
        return 0;
    lua_pushnumber(L, (lua_Number)ns / (lua_Number)NS_PER_S);
    return 1;
}

/* What the running task has left; nil outside one. */
static int l_remaining(lua_State *L)
{
    const struct task *task = current_task(L);
    if (!task)
        return 0;
    uint64_t now_ns = clock_now_ns(), at_ns = task->deadline.at_ns;
    lua_pushnumber(L, at_ns > now_ns ? (lua_Number)(at_ns - now_ns) / (lua_Number)NS_PER_S : 0);
    return 1;
}

static int l_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_now_ns() / (lua_Number)NS_PER_S);
    return 1;
}

struct nap {
    struct op op;
    struct timer timer;
};

static void nap_release(struct op *op)
{
    struct nap *nap = (struct nap *)op;
    loop_timer_disarm(&op->reactor->loop, &nap->timer);
}

static const struct op_class nap_class = {"sleep", nap_release};

static void on_nap_over(struct timer *timer)
{
    op_complete(&list_entry(timer, struct nap, timer)->op, NULL);
}

static int k_sleep(lua_State *L, int status, lua_KContext context)
{
    (void)L, (void)status, (void)context;
    return 0;
}

static int l_sleep(lua_State *L)
{
    uint64_t ns;
    luaL_checkany(L, 1);
    if (!to_duration(L, 1, &ns))
        return luaL_argerror(L, 1, "a duration expected: seconds, or a string such as \"250ms\"");
    struct nap *nap = op_new(L, sizeof *nap, &nap_class);
    lua_toclose(L, -1);
    nap->timer.on_due = on_nap_over;
    loop_timer_arm(&nap->op.reactor->loop, &nap->timer, clock_now_ns() + ns);
    return op_await(L, &nap->op, 0, k_sleep);
}

/* --- environment --------------------------------------------------------- */

static int l_env(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (!policy_allows_env(reactor_of(L)->policy, name))
        return 0;
    lua_pushstring(L, getenv(name));
    return 1;
}

int bind_host_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"record", l_record},   {"assertion", l_assertion}, {"mark", l_mark},
        {"rewind", l_rewind},   {"raise", l_raise},         {"skip", l_skip},
        {"failed", l_failed},   {"kind", l_kind},           {"where", l_where},
        {"loading", l_loading}, {"remaining", l_remaining}, {"title", l_title},
        {"scope", l_scope},     {"duration", l_duration},   {"now", l_now},
        {"sleep", l_sleep},     {"parallel", l_parallel},   {"env", l_env},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
