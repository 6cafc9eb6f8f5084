/* chunk.h - compiling Lua text that others wrote.
 *
 * Only text: bytecode can break the machine.  The compiler has loops that are
 * quadratic in what it reads (a chain of `or`, many labels), so it is fed in
 * small pieces with a guard_step between them. */
#ifndef HOSPITAL_VM_CHUNK_H
#define HOSPITAL_VM_CHUNK_H

#include <lua.h>
#include <stddef.h>

enum { CHUNK_SOURCE_MAX = 1024 * 1024, CHUNK_FILE_MAX = 256 * 1024 };

/* Pushes the function or the error message and returns Lua's status.  Stopped by
 * the guard when a task runs; call guard_rethrow afterwards.  [-0, +1, -] */
int chunk_load(lua_State *L, const char *text, size_t size, const char *name);

/* load([chunk [, name [, mode [, env]]]]) as scripts have it. */
int l_load(lua_State *L);

#endif
