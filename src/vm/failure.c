/* failure.c - see failure.h. */
#include "vm/failure.h"

#include <lauxlib.h>

static const char failure_key = 0; /* registry: metatable of failures */
static const char skip_key = 0;    /* registry: metatable of skips */

static int m_failure_tostring(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushliteral(L, "message");
    if (!lua_istable(L, 1) || lua_rawget(L, 1) != LUA_TSTRING)
        lua_pushliteral(L, "a failure without a message");
    return 1;
}

static void push_metatable(lua_State *L, const void *key, const char *name)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, m_failure_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void failure_mark(lua_State *L, int index, enum raised what)
{
    index = lua_absindex(L, index);
    if (what == RAISED_SKIP)
        push_metatable(L, &skip_key, "skip");
    else
        push_metatable(L, &failure_key, "failure");
    lua_setmetatable(L, index);
}

static bool has_metatable(lua_State *L, int index, const void *key)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    bool same = !lua_isnil(L, -1) && lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

enum raised failure_kind(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (has_metatable(L, index, &failure_key))
        return RAISED_FAILURE;
    return has_metatable(L, index, &skip_key) ? RAISED_SKIP : RAISED_ERROR;
}

/* The key is there already when any failure has a kind: no memory is needed. */
bool failure_is_ours(lua_State *L, int index)
{
    if (!lua_istable(L, index))
        return false;
    index = lua_absindex(L, index);
    lua_pushliteral(L, "kind");
    bool ours = false;
    if (lua_rawget(L, index) == LUA_TSTRING)
        ours = fault_is_ours(fault_kind_of(lua_tostring(L, -1)));
    lua_pop(L, 1);
    return ours;
}

void failure_push(lua_State *L, const struct fault *why)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, fault_kind_name(why->kind));
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, why->message);
    lua_setfield(L, -2, "message");
    failure_mark(L, -1, RAISED_FAILURE);
}
