/* lib_base.c - the basic functions: Lua's own where they cannot harm, ours where
 * a script could outlive its kill (pcall, xpcall), leave the sandbox (load,
 * require, collectgarbage) or run code that nobody stops (__gc). */
#include <lauxlib.h>
#include <string.h>

#include "vm/chunk.h"
#include "vm/guard.h"
#include "vm/lib.h"

/* --- protected calls --------------------------------------------------------- */

/* A killed task goes on unwinding here: no pcall outlives it. */
static int k_pcall(lua_State *L, int status, lua_KContext below)
{
    guard_rethrow(L);
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - (int)below;
    lua_pushboolean(L, 0);
    lua_pushvalue(L, -2);
    return 2;
}

/*** Calls a function and catches the errors it raises; no pcall outlives a deadline or the
 * memory limit. Waiting inside is fine.
 * @function pcall
 * @param fn function what to call
 * @param ... its arguments
 * @return true and what it returned, or false and the error
 * @usage local ok, why = pcall(error, "no")
 */
static int l_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, k_pcall);
    return k_pcall(L, status, 0);
}

/* The script's handler runs inside the hook when the error comes from there, and
 * no hook would stop it: so not once the task is killed. */
static int handle(lua_State *L)
{
    lua_settop(L, 1);
    if (guard_killed())
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/*** As pcall, with a handler that is called with the error where it was raised; not once the
 * check was ended.
 * @function xpcall
 * @param fn function what to call
 * @param handler function gets the error; what it returns is the error from there on
 * @param ... arguments of fn
 * @return true and what fn returned, or false and what the handler returned
 * @usage local ok, why = xpcall(error, tostring, { 1 })
 */
static int l_xpcall(lua_State *L)
{
    int arguments = lua_gettop(L) - 2;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, arguments */
    int status = lua_pcallk(L, arguments, LUA_MULTRET, 2, 2, k_pcall);
    return k_pcall(L, status, 2);
}

/* --- metatables and memory ---------------------------------------------------- */

/*** Sets the metatable of a table. `__gc` is refused: use a `<close>` variable or teardown.
 * @function setmetatable
 * @param t table whose metatable it is to be
 * @param metatable table or nil for none
 * @return t
 * @raise when the metatable has `__gc`, or t's own is protected
 * @usage local defaults = setmetatable({}, { __index = { port = 80 } })
 */
/* Lua marks an object for finalization only if its metatable has a __gc at the
 * moment it is set, so refusing it here is enough: one added later is ignored. */
static int l_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "__gc is not available to checks: use <close> or teardown");
        lua_pop(L, 1);
    }
    lua_setmetatable(L, 1);
    return 1;
}

/*** Tells how much memory the file's state uses.
 * @function collectgarbage
 * @param what string "count", the only one there is
 * @return number kilobytes
 * @usage log(collectgarbage("count"))
 */
static int l_collectgarbage(lua_State *L)
{
    if (strcmp(luaL_optstring(L, 1, "collect"), "count") != 0)
        return luaL_error(L, "only collectgarbage(\"count\") is available to checks");
    lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT) + lua_gc(L, LUA_GCCOUNTB) / 1024.0);
    return 1;
}

void lib_base_open(lua_State *L)
{
    static const char *const kept[] = {"error",    "getmetatable", "ipairs", "next",   "pairs",
                                       "rawequal", "rawget",       "rawlen", "rawset", "select",
                                       "tonumber", "tostring",     "type",   NULL};
    static const luaL_Reg functions[] = {
        {"pcall", l_pcall},     {"xpcall", l_xpcall},
        {"load", l_load},       {"setmetatable", l_setmetatable},
        {"require", l_require}, {"collectgarbage", l_collectgarbage},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    lib_keep(L, "", kept);
    lua_pushliteral(L, LUA_VERSION);
    lua_setfield(L, -2, "_VERSION");
}
