/* sqlite_value.c - see sqlite_value.h. */
#include "bind/sqlite_value.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "vm/guard.h"

enum { PARAMETERS_MAX = 32766 };

static void add_bytes(lua_State *L, struct buffer *out, int index, enum sqlite_tag tag)
{
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    uint64_t length = size;
    char byte = (char)tag;
    buffer_add(out, &byte, 1);
    buffer_add(out, &length, sizeof length);
    buffer_add(out, text, size);
}

static void add_number(lua_State *L, struct buffer *out, int index)
{
    char byte = lua_isinteger(L, index) ? SQLITE_TAG_INTEGER : SQLITE_TAG_REAL;
    int64_t integer = lua_tointeger(L, index);
    double real = lua_tonumber(L, index);
    buffer_add(out, &byte, 1);
    if (byte == SQLITE_TAG_INTEGER)
        buffer_add(out, &integer, sizeof integer);
    else
        buffer_add(out, &real, sizeof real);
}

/* The value on top, which check_value has seen.  [-0, +0, m] */
static void add_value(lua_State *L, struct buffer *out)
{
    char byte = SQLITE_TAG_NULL;
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        byte = lua_toboolean(L, -1) ? SQLITE_TAG_TRUE : SQLITE_TAG_FALSE;
        buffer_add(out, &byte, 1);
        break;
    case LUA_TNUMBER: add_number(L, out, -1); break;
    case LUA_TSTRING: add_bytes(L, out, -1, SQLITE_TAG_TEXT); break;
    case LUA_TTABLE:
        lua_pushliteral(L, "bytes");
        lua_rawget(L, -2);
        add_bytes(L, out, -1, SQLITE_TAG_BLOB);
        lua_pop(L, 1);
        break;
    default: buffer_add(out, &byte, 1);
    }
}

/* How much room the value on top takes; raises when it is none of those that can be sent.
 * [-0, +0, v] */
static size_t check_value(lua_State *L, lua_Integer number)
{
    const size_t head = 1 + sizeof(uint64_t);
    bool good = true;
    size_t size = 0;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN: break;
    case LUA_TNUMBER: good = !isnan(lua_tonumber(L, -1)); break;
    case LUA_TSTRING: size = lua_rawlen(L, -1); break;
    case LUA_TLIGHTUSERDATA: good = !lua_touserdata(L, -1); break;
    case LUA_TTABLE:
        lua_pushliteral(L, "bytes");
        good = lua_rawget(L, -2) == LUA_TSTRING;
        size = good ? lua_rawlen(L, -1) : 0;
        lua_pop(L, 1);
        break;
    default: good = false;
    }
    if (!good)
        luaL_argerror(L, 3,
                      lua_pushfstring(L,
                                      "parameter %d cannot be sent (%s): a string, a number, a "
                                      "boolean, nil or { bytes = text } expected",
                                      (int)number,
                                      lua_type(L, -1) == LUA_TNUMBER ? "not a number"
                                                                     : luaL_typename(L, -1)));
    return head + size;
}

int sqlite_parameters_count(lua_State *L)
{
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_getfield(L, 3, "n");
    lua_Integer count = luaL_optinteger(L, -1, (lua_Integer)lua_rawlen(L, 3));
    luaL_argcheck(L, count >= 0 && count <= PARAMETERS_MAX, 3, "0 to 32766 parameters");
    lua_pop(L, 1);
    return (int)count;
}

size_t sqlite_parameters_check(lua_State *L, int count)
{
    size_t size = 0;
    for (int i = 1; i <= count; i++) {
        guard_step(L);
        lua_rawgeti(L, 3, i);
        size += check_value(L, i);
        lua_pop(L, 1);
    }
    return size;
}

void sqlite_parameters_take(lua_State *L, struct sqlite_session *s, int count)
{
    buffer_clear(&s->parameters);
    s->parameter_count = count;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 3, i);
        add_value(L, &s->parameters);
        lua_pop(L, 1);
    }
}

const char *sqlite_value_push(lua_State *L, const char *at)
{
    int64_t integer;
    double real;
    uint64_t size;
    switch ((enum sqlite_tag) * at++) {
    case SQLITE_TAG_INTEGER:
        memcpy(&integer, at, sizeof integer);
        lua_pushinteger(L, integer);
        return at + sizeof integer;
    case SQLITE_TAG_REAL:
        memcpy(&real, at, sizeof real);
        lua_pushnumber(L, real);
        return at + sizeof real;
    case SQLITE_TAG_TEXT:
    case SQLITE_TAG_BLOB:
        memcpy(&size, at, sizeof size);
        lua_pushlstring(L, at + sizeof size, size);
        return at + sizeof size + size;
    case SQLITE_TAG_TRUE: lua_pushboolean(L, 1); return at;
    case SQLITE_TAG_FALSE: lua_pushboolean(L, 0); return at;
    case SQLITE_TAG_NULL: break;
    }
    lua_pushlightuserdata(L, NULL);
    return at;
}
