/* fields.h - what bindings say in the same way: durations as seconds, and a
 * fault as the plain table that our own Lua completes and raises. */
#ifndef HOSPITAL_BIND_FIELDS_H
#define HOSPITAL_BIND_FIELDS_H

#include <lauxlib.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/fault.h"

/* Sets a field of the table on top, in seconds.  [-0, +0, m] */
static inline void field_seconds(lua_State *L, const char *name, uint64_t ns)
{
    lua_pushnumber(L, (lua_Number)ns / (lua_Number)NS_PER_S);
    lua_setfield(L, -2, name);
}

/* Reads the field, seconds, of the plain table at index; it must be there.
 * [-0, +0, v] */
static inline uint64_t field_check_seconds(lua_State *L, int index, const char *name)
{
    uint64_t ns;
    lua_getfield(L, index, name);
    if (!duration_from_seconds(luaL_checknumber(L, -1), &ns))
        luaL_error(L, "%s must be a number of seconds", name);
    lua_pop(L, 1);
    return ns;
}

/* Pushes { kind, message, phase }.  [-0, +1, m] */
static inline void field_push_fault(lua_State *L, const struct fault *why, const char *phase)
{
    lua_createtable(L, 0, 5);
    lua_pushstring(L, fault_kind_name(why->kind));
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, why->message);
    lua_setfield(L, -2, "message");
    lua_pushstring(L, phase);
    lua_setfield(L, -2, "phase");
}

#endif
