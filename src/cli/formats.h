/* formats.h - the modules of lua/hospital/report/, and reporters in files of one's own.
 *
 * Reporters are trusted: their state has the whole standard library, and `require`
 * finds what the binary carries. */
#ifndef HOSPITAL_CLI_FORMATS_H
#define HOSPITAL_CLI_FORMATS_H

#include <lua.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/fault.h"

/* Returns owned: a state for reporters; NULL when it cannot be prepared. */
lua_State *formats_open(struct fault *why) CHECKED;

/* Leaves the reporter's constructor on the stack: of the format of that name, or of
 * the .lua file.  [-0, +1, -], or anything when it fails */
bool formats_load(lua_State *L, const char *format, struct fault *why) CHECKED;

/* "dots      one character a check" and so on, one line each. */
void formats_list(struct buffer *out);

#endif
