/* author.h - where in the author's own files something happened.  Frames of the
 * engine (C, embedded Lua) are skipped; nothing here allocates Lua memory, so it
 * works in a state that has none left. */
#ifndef HOSPITAL_VM_AUTHOR_H
#define HOSPITAL_VM_AUTHOR_H

#include <lua.h>
#include <stdbool.h>

struct buffer;

struct author_place {
    char file[256]; /* relative to the checks root, cut at the front if longer */
    int line;
};

/* The innermost frame of L that is the author's; false when there is none. */
bool author_where(lua_State *L, struct author_place *place);

/* The author's frames of L from the innermost on: "shop.lua:12: in function
 * 'login'", one packed string per frame appended to out; returns how many. */
unsigned author_traceback(lua_State *L, struct buffer *out);

#endif
