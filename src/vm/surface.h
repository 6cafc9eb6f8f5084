/* surface.h - the public surface: every global that a check file can use beyond
 * Lua's own, and the module it comes from. */
#ifndef HOSPITAL_VM_SURFACE_H
#define HOSPITAL_VM_SURFACE_H

#include <lua.h>
#include <stddef.h>

/* Gives the script's globals their __index: a name of the surface, or a library
 * of Lua's own, is there when it is first used, so a file pays for what it uses.  [-0, +0, m] */
void surface_open(lua_State *L);

/* The name of the surface's i-th global; NULL behind the last. */
const char *surface_name(size_t i);

/* The C module of that name; NULL when it is none. */
lua_CFunction surface_module(const char *name);

#endif
