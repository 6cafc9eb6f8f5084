/* lib.c - see lib.h. */
#include "vm/lib.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "base/buffer.h"

static const char script_string_key = 0; /* registry: the script's string table */

/* --- Lua's own functions ---------------------------------------------------
 *
 * Their addresses are the same in every state, so they are looked up once, in a
 * state of their own; opening the stock libraries each time costs more than all
 * the rest of a vm.  Only functions without upvalues are here. */

struct stock {
    const char *library, *name; /* library "" is the basic one, "mm" strings' metamethods */
    lua_CFunction function;
};

static struct stock stock[] = {
    {"", "assert", NULL},       {"", "error", NULL},      {"", "getmetatable", NULL},
    {"", "ipairs", NULL},       {"", "next", NULL},       {"", "pairs", NULL},
    {"", "rawequal", NULL},     {"", "rawget", NULL},     {"", "rawlen", NULL},
    {"", "rawset", NULL},       {"", "select", NULL},     {"", "tonumber", NULL},
    {"", "tostring", NULL},     {"", "type", NULL},       {"os", "clock", NULL},
    {"os", "date", NULL},       {"os", "difftime", NULL}, {"os", "time", NULL},
    {"string", "format", NULL}, {"string", "pack", NULL}, {"string", "packsize", NULL},
    {"string", "unpack", NULL}, {"mm", "__add", NULL},    {"mm", "__sub", NULL},
    {"mm", "__mul", NULL},      {"mm", "__div", NULL},    {"mm", "__mod", NULL},
    {"mm", "__pow", NULL},      {"mm", "__unm", NULL},    {"mm", "__idiv", NULL},
};

enum { STOCK_COUNT = sizeof stock / sizeof stock[0] };

/* Pushes the table that holds a stock library in a state with all of them. */
static void push_stock_library(lua_State *L, const char *library)
{
    if (strcmp(library, "mm") == 0) {
        lua_pushliteral(L, "");
        lua_getmetatable(L, -1);
        lua_remove(L, -2);
    } else if (*library) {
        lua_getglobal(L, library);
    } else {
        lua_pushglobaltable(L);
    }
}

/* Runs before the first sandbox exists; what it writes never changes again. */
static void find_stock(void)
{
    if (stock[STOCK_COUNT - 1].function)
        return;
    lua_State *L = luaL_newstate();
    if (!L)
        memory_panic("no memory for Lua");
    luaL_openlibs(L);
    for (int i = 0; i < STOCK_COUNT; i++) {
        push_stock_library(L, stock[i].library);
        lua_getfield(L, -1, stock[i].name);
        stock[i].function = lua_tocfunction(L, -1);
        lua_pop(L, 2);
    }
    lua_close(L);
}

static lua_CFunction stock_function(const char *library, const char *name)
{
    for (int i = 0; i < STOCK_COUNT; i++)
        if (strcmp(stock[i].name, name) == 0 && strcmp(stock[i].library, library) == 0)
            return stock[i].function;
    return NULL;
}

void lib_keep(lua_State *L, const char *library, const char *const *names)
{
    find_stock();
    for (; *names; names++) {
        lua_pushcfunction(L, stock_function(library, *names));
        lua_setfield(L, -2, *names);
    }
}

/* --- libraries --------------------------------------------------------------- */

static void open_os(lua_State *L)
{
    static const char *const kept[] = {"clock", "date", "difftime", "time", NULL};
    lua_createtable(L, 0, 4);
    lib_keep(L, "os", kept);
}

static void open_math(lua_State *L)
{
    lua_pushcfunction(L, luaopen_math);
    lua_call(L, 0, 1);
}

static void open_utf8(lua_State *L)
{
    lua_pushcfunction(L, luaopen_utf8);
    lua_call(L, 0, 1);
}

const char *const lib_names[] = {"coroutine", "math", "os", "string", "table", "utf8", NULL};

bool lib_push(lua_State *L, const char *name)
{
    static void (*const openers[])(lua_State *) = {lib_coroutine_open, open_math,      open_os,
                                                   lib_string_open,    lib_table_open, open_utf8};
    for (int i = 0; lib_names[i]; i++) {
        if (strcmp(lib_names[i], name) != 0)
            continue;
        openers[i](L);
        return true;
    }
    return false;
}

/* --- strings ------------------------------------------------------------------- */

void lib_push_script_string(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &script_string_key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lib_string_open(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &script_string_key);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}

/* Stands in until the first ("x"):method(); then the table itself is there. */
static int m_string_index(lua_State *L)
{
    lua_settop(L, 2);
    lib_push_script_string(L);
    lua_insert(L, 2);
    lua_gettable(L, 2);
    return 1;
}

void lib_string_metatable(lua_State *L)
{
    static const char *const arithmetic[] = {"__add", "__sub", "__mul",  "__div", "__mod",
                                             "__pow", "__unm", "__idiv", NULL};
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 10);
    lib_keep(L, "mm", arithmetic);
    lua_pushcfunction(L, m_string_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}
