/* sqlite_value.h - values between Lua and the bytes that travel to threads and back: see enum
 * sqlite_tag. */
#ifndef HOSPITAL_BIND_SQLITE_VALUE_H
#define HOSPITAL_BIND_SQLITE_VALUE_H

#include <lua.h>

#include "bind/sqlite_session.h"

/* How many parameters the table at 3 has.  [-0, +0, v] */
int sqlite_parameters_count(lua_State *L);

/* The bytes that they will take; raises when one cannot be sent.  [-0, +0, v] */
size_t sqlite_parameters_check(lua_State *L, int count);

/* Gives those that were checked to the session.  [-0, +0, m] */
void sqlite_parameters_take(lua_State *L, struct sqlite_session *s, int count);

/* Pushes the value at `at` and returns where the next one is.  [-0, +1, m] */
const char *sqlite_value_push(lua_State *L, const char *at);

#endif
