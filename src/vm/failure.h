/* failure.h - the objects a check raises on purpose.
 *
 * A *failure* says that the target is sick (an assertion or a probe), a *skip*
 * that the check chose not to run.  Both are tables with a metatable of ours
 * (kind, message, ..., __tostring), so pcall and error handle them as any
 * value; anything else that a check raises means that the check is broken. */
#ifndef HOSPITAL_VM_FAILURE_H
#define HOSPITAL_VM_FAILURE_H

#include <lua.h>
#include <stdbool.h>

#include "base/fault.h"

enum raised { RAISED_ERROR, RAISED_FAILURE, RAISED_SKIP };

/* Pushes a failure object for a probe's fault: {kind=, message=}; more fields
 * (target, phase, timings, expected, actual) may be set on it before lua_error.
 * fault_is_ours(kind) makes it an error and not a failure.  [-0, +1, m] */
void failure_push(lua_State *L, const struct fault *why);

/* What the value at index is. */
enum raised failure_kind(lua_State *L, int index);

/* True for a failure table whose kind is one of ours (see fault_is_ours): the
 * verdict is then `error`.  [-0, +0, -] */
bool failure_is_ours(lua_State *L, int index);

/* Makes the table at index a failure or a skip: sets its metatable.  [-0, +0, m] */
void failure_mark(lua_State *L, int index, enum raised what);

#endif
