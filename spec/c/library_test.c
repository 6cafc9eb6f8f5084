/* library_test.c - our library functions do what Lua's own do, and cost little
 * more: both live in one stock state here. */
#include <lauxlib.h>
#include <lualib.h>

#include "base/clock.h"
#include "test.h"
#include "vm/lib.h"

enum { ROUNDS = 20000 };

/* {string = ..., table = ...}: Lua's own. */
static void push_stock(lua_State *L)
{
    lua_newtable(L);
    lua_getglobal(L, "string");
    lua_setfield(L, -2, "string");
    lua_getglobal(L, "table");
    lua_setfield(L, -2, "table");
}

static void push_ours(lua_State *L)
{
    lua_newtable(L);
    lib_string_open(L);
    lua_setfield(L, -2, "string");
    lib_table_open(L);
    lua_setfield(L, -2, "table");
}

TEST(the_same_results_as_stock_lua)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadfile(L, "spec/sandbox/differential.lua") == LUA_OK) {
        push_ours(L);
        push_stock(L);
        lua_pushinteger(L, ROUNDS);
        lua_pcall(L, 3, 1, 0);
    }
    if (!lua_isinteger(L, -1))
        printf("%s\n", lua_tostring(L, -1));
    CHECK(lua_isinteger(L, -1) && lua_tointeger(L, -1) > 5 * ROUNDS);
    lua_close(L);
}

int main(void)
{
    RUN(the_same_results_as_stock_lua);
    return test_report();
}
