/* lib.h - the standard library as a script sees it: what is safe of Lua's own,
 * and our replacements for what is not (one lib_*.c each).
 *
 * A state pays for what it uses: the basic functions are there at once, each
 * library table is made when its name is first looked up, separately for the
 * script and for our own Lua. */
#ifndef HOSPITAL_VM_LIB_H
#define HOSPITAL_VM_LIB_H

#include <lua.h>
#include <stdbool.h>

/* Pushes a new table with all of library `name` ("string", "table", ...); false,
 * and nothing pushed, when there is none of that name.  [-0, +(0|1), m] */
bool lib_push(lua_State *L, const char *name);

/* The names that lib_push knows; NULL ends them. */
extern const char *const lib_names[];

/* Pushes the script's own string table, the one that ("x"):rep(2) looks into.
 * [-0, +1, m] */
void lib_push_script_string(lua_State *L);

/* Gives strings their metatable: arithmetic, and the script's string table as
 * __index once it is used.  [-0, +0, m] */
void lib_string_metatable(lua_State *L);

/* Sets Lua's own functions of these names in the table on top.  [-0, +0, m] */
void lib_keep(lua_State *L, const char *library, const char *const *names);

/* Sets the basic functions in the table on top.  [-0, +0, m] */
void lib_base_open(lua_State *L);
int l_require(lua_State *L);

/* Each pushes its library table.  [-0, +1, m] */
void lib_string_open(lua_State *L);
void lib_table_open(lua_State *L);
void lib_coroutine_open(lua_State *L);

#endif
