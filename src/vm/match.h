/* match.h - Lua patterns (manual 6.4.1), in steps that the guard can count.
 *
 * A match borrows subject and pattern, which must stay on the Lua stack.  Both
 * are NUL-terminated as Lua strings are: one byte past the end may be read. */
#ifndef HOSPITAL_VM_MATCH_H
#define HOSPITAL_VM_MATCH_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum { MATCH_CAPTURES = 32 };

enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 }; /* instead of a size */

struct capture {
    const char *at;
    ptrdiff_t size;
};

struct match {
    lua_State *L;
    const char *subject, *subject_end;
    const char *pattern, *pattern_end; /* without the anchor */
    bool anchored;
    int depth; /* of recursion, bounded */
    int count; /* of captures begun */
    struct capture captures[MATCH_CAPTURES];
};

/* anchors: does a leading '^' mean the beginning? (not so in gmatch) */
void match_init(struct match *m, lua_State *L, const char *subject, size_t subject_size,
                const char *pattern, size_t pattern_size, bool anchors);

/* Where a match that begins exactly at `at` ends; NULL when there is none.
 * Raises on a malformed pattern.  [-0, +0, v] */
const char *match_at(struct match *m, const char *at);

/* Pushes capture i, which for i == 0 is the whole match (from, to) when the
 * pattern has none.  [-0, +1, v] */
void match_push(struct match *m, int i, const char *from, const char *to);

/* Pushes every capture, or the whole match if there is none and from is not
 * NULL; returns how many.  [-0, +n, v] */
int match_push_all(struct match *m, const char *from, const char *to);

#endif
