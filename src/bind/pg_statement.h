/* pg_statement.h - the methods of a connection to PostgreSQL that send statements, for the
 * driver's face (src/README.md): rows become Lua's values as they come.
 *
 * Statements travel in the extended protocol, which takes one at a time: no text of a check's
 * can smuggle in a second one. */
#ifndef HOSPITAL_BIND_PG_STATEMENT_H
#define HOSPITAL_BIND_PG_STATEMENT_H

#include <lua.h>

int l_pg_run(lua_State *L);
int l_pg_control(lua_State *L);
int l_pg_start(lua_State *L);
int l_pg_next(lua_State *L);
int l_pg_stop(lua_State *L);

#endif
