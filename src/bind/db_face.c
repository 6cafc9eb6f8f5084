/* db_face.c - see db_face.h. */
#include "bind/db_face.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "bind/fields.h"

/* --- faults ------------------------------------------------------------------------------ */

enum fault_kind db_silence(const char *phase, uint64_t timeout_ns, char reason[100])
{
    static const struct {
        const char *phase, *what;
        enum fault_kind kind;
    } silent[] = {{"dns", "address", FAULT_DNS},
                  {"connect", "connection", FAULT_TIMEOUT},
                  {"tls", "TLS session", FAULT_TIMEOUT},
                  {"login", "answer to the login", FAULT_TIMEOUT}};
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        if (strcmp(silent[i].phase, phase) != 0)
            continue;
        snprintf(reason, 100, "no %s within %.4g s", silent[i].what,
                 (double)timeout_ns / (double)NS_PER_S);
        return silent[i].kind;
    }
    return FAULT_NONE;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (!text[0])
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

void db_fault_push(lua_State *L, const struct db_fault *fault)
{
    field_push_fault(L, &fault->why, fault->phase);
    set_text(L, "code", fault->code);
    set_text(L, "detail", fault->detail);
    set_text(L, "hint", fault->hint);
    set_text(L, "constraint", fault->constraint);
    if (fault->position > 0) {
        lua_pushinteger(L, fault->position);
        lua_setfield(L, -2, "position");
    }
    if (fault->closed) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "closed");
    }
}

void db_push_timings(lua_State *L, const struct db_login_result *r)
{
    lua_createtable(L, 0, 6);
    field_seconds(L, "dns", r->dns_ns);
    field_seconds(L, "connect", r->connect_ns);
    if (r->tls_ns)
        field_seconds(L, "tls", r->tls_ns);
    if (r->login_ns)
        field_seconds(L, "login", r->login_ns);
    if (r->queued_ns)
        field_seconds(L, "queued", r->queued_ns);
    field_seconds(L, "total", r->total_ns);
}

int db_push_login_fault(lua_State *L, const struct db_fault *fault,
                        const struct db_login_result *result)
{
    lua_pushnil(L);
    db_fault_push(L, fault);
    set_text(L, "target", result->label);
    db_push_timings(L, result);
    lua_setfield(L, -2, "timings");
    return 2;
}

int db_push_statement_fault(lua_State *L, const struct db_fault *fault, const char *label,
                            uint64_t began_ns)
{
    lua_pushnil(L);
    db_fault_push(L, fault);
    lua_pushstring(L, label);
    lua_setfield(L, -2, "target");
    lua_createtable(L, 0, 1);
    field_seconds(L, "total", clock_now_ns() - began_ns);
    lua_setfield(L, -2, "timings");
    return 2;
}

void db_push_result(lua_State *L, int rows, int columns, lua_Integer count, const char *command)
{
    lua_createtable(L, 0, 5);
    lua_pushvalue(L, rows);
    lua_setfield(L, -2, "rows");
    lua_pushvalue(L, columns);
    lua_setfield(L, -2, "columns");
    lua_pushinteger(L, count);
    lua_setfield(L, -2, "count");
    lua_pushstring(L, command);
    lua_setfield(L, -2, "command");
}

/* --- what is asked for ------------------------------------------------------------------- */

static lua_Integer integer_field(lua_State *L, int index, const char *name, lua_Integer missing)
{
    lua_getfield(L, index, name);
    lua_Integer value = luaL_optinteger(L, -1, missing);
    lua_pop(L, 1);
    return value;
}

void db_read_how(lua_State *L, int index, struct db_how *how)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "shape");
    how->named = strcmp(luaL_checkstring(L, -1), "named") == 0;
    lua_pop(L, 1);
    how->most = integer_field(L, index, "most", LUA_MAXINTEGER);
    how->max_rows = integer_field(L, index, "max_rows", LUA_MAXINTEGER);
    how->max_bytes = (size_t)integer_field(L, index, "max_bytes", 8 << 20);
}

bool db_is_null(lua_State *L, int index)
{
    return lua_isnil(L, index) || (lua_islightuserdata(L, index) && !lua_touserdata(L, index));
}

int db_push_bytes_of(lua_State *L, int index)
{
    if (!lua_istable(L, index)) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    lua_pushliteral(L, "bytes");
    return lua_rawget(L, lua_absindex(L, index - (index < 0)));
}

void db_check_bytes(lua_State *L, int index, int argument, const char *name)
{
    index = lua_absindex(L, index);
    if (db_push_bytes_of(L, index) == LUA_TSTRING)
        return;
    luaL_argerror(L, argument,
                  lua_pushfstring(L,
                                  "parameter %s is a %s: nil, a boolean, a number, a string or "
                                  "db.bytes is needed",
                                  name, luaL_typename(L, index)));
}
