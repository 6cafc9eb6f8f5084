/* lib_string.c - the string library: searching is ours, because it must be
 * stopped (vm/match.c), and so is what builds strings, because it must be
 * charged (vm/text.c); format and pack are Lua's own.  string.dump is absent. */
#include <ctype.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vm/guard.h"
#include "vm/lib.h"
#include "vm/match.h"
#include "vm/text.h"

/* A position from the beginning (1-based) of one that may count from the end;
 * before the beginning is clipped to 1. */
static size_t from_start(lua_Integer position, size_t size)
{
    if (position > 0)
        return (size_t)position;
    if (position == 0 || position < -(lua_Integer)size)
        return 1;
    return size + (size_t)position + 1;
}

/* The last position of a range, clipped to the end; 0 is before the beginning. */
static size_t up_to(lua_Integer position, size_t size)
{
    if (position > (lua_Integer)size)
        return size;
    if (position >= 0)
        return (size_t)position;
    return position < -(lua_Integer)size ? 0 : size + (size_t)position + 1;
}

/* --- searching ------------------------------------------------------------- */

static bool has_specials(const char *pattern, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
            return true;
    return false;
}

static int find_plain(lua_State *L, const char *subject, size_t size, size_t from,
                      const char *wanted, size_t wanted_size)
{
    const char *at = memmem(subject + from, size - from, wanted, wanted_size);
    if (!at) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, at - subject + 1);
    lua_pushinteger(L, at - subject + (lua_Integer)wanted_size);
    return 2;
}

static int find_pattern(lua_State *L, struct match *m, const char *at, bool positions)
{
    do {
        guard_step(L);
        const char *end = match_at(m, at);
        if (!end)
            continue;
        if (!positions)
            return match_push_all(m, at, end);
        lua_pushinteger(L, at - m->subject + 1);
        lua_pushinteger(L, end - m->subject);
        return 2 + match_push_all(m, NULL, NULL);
    } while (at++ < m->subject_end && !m->anchored);
    luaL_pushfail(L);
    return 1;
}

static int find_or_match(lua_State *L, bool positions)
{
    size_t size, pattern_size;
    const char *subject = luaL_checklstring(L, 1, &size);
    const char *pattern = luaL_checklstring(L, 2, &pattern_size);
    size_t from = from_start(luaL_optinteger(L, 3, 1), size) - 1;
    if (from > size) {
        luaL_pushfail(L);
        return 1;
    }
    if (positions && (lua_toboolean(L, 4) || !has_specials(pattern, pattern_size)))
        return find_plain(L, subject, size, from, pattern, pattern_size);
    struct match m;
    match_init(&m, L, subject, size, pattern, pattern_size, true);
    return find_pattern(L, &m, subject + from, positions);
}

static int l_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int l_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Where a gmatch goes on, and where its last match ended: an empty match is not
 * found a second time at the same place. */
struct walk {
    size_t at, last_end;
};

static int k_gmatch(lua_State *L)
{
    size_t size, pattern_size;
    const char *subject = lua_tolstring(L, lua_upvalueindex(1), &size);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &pattern_size);
    struct walk *walk = lua_touserdata(L, lua_upvalueindex(3));
    struct match m;
    match_init(&m, L, subject, size, pattern, pattern_size, false);
    for (; walk->at <= size; walk->at++) {
        guard_step(L);
        const char *from = subject + walk->at, *end = match_at(&m, from);
        if (!end || (size_t)(end - subject) == walk->last_end)
            continue;
        walk->at = walk->last_end = (size_t)(end - subject);
        return match_push_all(&m, from, end);
    }
    return 0;
}

static int l_gmatch(lua_State *L)
{
    size_t size;
    luaL_checklstring(L, 1, &size);
    luaL_checkstring(L, 2);
    size_t from = from_start(luaL_optinteger(L, 3, 1), size) - 1;
    lua_settop(L, 2);
    struct walk *walk = lua_newuserdatauv(L, sizeof *walk, 0);
    *walk = (struct walk){from, SIZE_MAX};
    lua_pushcclosure(L, k_gmatch, 3);
    return 1;
}

/* --- replacing -------------------------------------------------------------- */

/* Appends the replacement string (argument 3), with its %0 to %9 filled in. */
static void add_template(struct match *m, struct text *out, const char *from, const char *to)
{
    size_t size;
    const char *template = lua_tolstring(m->L, 3, &size);
    const char *end = template + size;
    for (;;) {
        const char *percent = memchr(template, '%', (size_t)(end - template));
        text_add(out, template, (size_t)((percent ? percent : end) - template));
        if (!percent)
            return;
        guard_step(m->L);
        template = percent + 2;
        if (percent[1] == '%') {
            text_add_char(out, '%');
        } else if (percent[1] == '0') {
            text_add(out, from, (size_t)(to - from));
        } else if (isdigit((unsigned char)percent[1])) {
            match_push(m, percent[1] - '1', from, to);
            text_add_value(out);
        } else {
            luaL_error(m->L, "invalid use of '%c' in replacement string", '%');
        }
    }
}

/* Appends what argument 3, a function or table, gives for the match; false when
 * that is nothing and the match stays as it is. */
static bool add_looked_up(struct match *m, struct text *out, const char *from, const char *to)
{
    lua_State *L = m->L;
    if (lua_type(L, 3) == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, match_push_all(m, from, to), 1);
    } else {
        match_push(m, 0, from, to);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        text_add(out, from, (size_t)(to - from));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    text_add_value(out);
    return true;
}

static bool add_replacement(struct match *m, struct text *out, const char *from, const char *to)
{
    int type = lua_type(m->L, 3);
    if (type == LUA_TFUNCTION || type == LUA_TTABLE)
        return add_looked_up(m, out, from, to);
    add_template(m, out, from, to);
    return true;
}

/* Replaces up to `most` matches into out; returns how many. */
static lua_Integer replace(struct match *m, struct text *out, lua_Integer most, bool *changed)
{
    const char *at = m->subject, *last_end = NULL;
    lua_Integer count = 0;
    while (count < most) {
        guard_step(m->L);
        const char *end = match_at(m, at);
        if (end && end != last_end) {
            count++;
            *changed |= add_replacement(m, out, at, end);
            at = last_end = end;
        } else if (at < m->subject_end) {
            text_add_char(out, *at++);
        } else {
            break;
        }
        if (m->anchored)
            break;
    }
    text_add(out, at, (size_t)(m->subject_end - at));
    return count;
}

static int l_gsub(lua_State *L)
{
    size_t size, pattern_size;
    const char *subject = luaL_checklstring(L, 1, &size);
    const char *pattern = luaL_checklstring(L, 2, &pattern_size);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)size + 1);
    struct match m;
    struct text out;
    bool changed = false;
    match_init(&m, L, subject, size, pattern, pattern_size, true);
    text_init(&out, L);
    lua_Integer count = replace(&m, &out, most, &changed);
    if (changed)
        text_push(&out);
    else
        lua_pushvalue(L, 1);
    lua_pushinteger(L, count);
    return 2;
}

/* --- building ---------------------------------------------------------------- */

static int push_mapped(lua_State *L, int (*map)(int))
{
    size_t size;
    const char *s = luaL_checklstring(L, 1, &size);
    struct text out;
    text_init(&out, L);
    char *to = text_room(&out, size);
    for (size_t i = 0; i < size; i++)
        to[i] = (char)map((unsigned char)s[i]);
    out.size = size;
    text_push(&out);
    return 1;
}

static int l_lower(lua_State *L)
{
    return push_mapped(L, tolower);
}

static int l_upper(lua_State *L)
{
    return push_mapped(L, toupper);
}

static int l_reverse(lua_State *L)
{
    size_t size;
    const char *s = luaL_checklstring(L, 1, &size);
    struct text out;
    text_init(&out, L);
    char *to = text_room(&out, size);
    for (size_t i = 0; i < size; i++)
        to[i] = s[size - 1 - i];
    out.size = size;
    text_push(&out);
    return 1;
}

/* Repeats the first `period` bytes until there are `size`, doubling. */
static void fill(char *at, size_t period, size_t size)
{
    for (size_t done = period; done < size;) {
        size_t more = done < size - done ? done : size - done;
        memcpy(at + done, at, more);
        done += more;
    }
}

static int l_rep(lua_State *L)
{
    size_t size, separator_size;
    const char *s = luaL_checklstring(L, 1, &size);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &separator_size);
    size_t period = size + separator_size;
    if (n <= 0 || period == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (period > (size_t)PTRDIFF_MAX / 4 / (size_t)n)
        return luaL_error(L, "resulting string too large");
    size_t total = period * (size_t)n - separator_size;
    struct text out;
    text_init(&out, L);
    char *at = text_room(&out, total + separator_size);
    memcpy(at, s, size);
    memcpy(at + size, separator, separator_size);
    fill(at, period, total);
    out.size = total;
    text_push(&out);
    return 1;
}

static int l_char(lua_State *L)
{
    int count = lua_gettop(L);
    struct text out;
    text_init(&out, L);
    char *to = text_room(&out, (size_t)count);
    for (int i = 1; i <= count; i++) {
        lua_Unsigned c = (lua_Unsigned)luaL_checkinteger(L, i);
        luaL_argcheck(L, c <= UCHAR_MAX, i, "value out of range");
        to[i - 1] = (char)(unsigned char)c;
    }
    out.size = (size_t)count;
    text_push(&out);
    return 1;
}

/* --- taking apart -------------------------------------------------------------- */

static int l_len(lua_State *L)
{
    size_t size;
    luaL_checklstring(L, 1, &size);
    lua_pushinteger(L, (lua_Integer)size);
    return 1;
}

static int l_sub(lua_State *L)
{
    size_t size;
    const char *s = luaL_checklstring(L, 1, &size);
    size_t from = from_start(luaL_checkinteger(L, 2), size);
    size_t to = up_to(luaL_optinteger(L, 3, -1), size);
    if (from > to)
        lua_pushliteral(L, "");
    else
        lua_pushlstring(L, s + from - 1, to - from + 1);
    return 1;
}

static int l_byte(lua_State *L)
{
    size_t size;
    const char *s = luaL_checklstring(L, 1, &size);
    lua_Integer first = luaL_optinteger(L, 2, 1);
    size_t from = from_start(first, size);
    size_t to = up_to(luaL_optinteger(L, 3, first), size);
    if (from > to)
        return 0;
    if (to - from >= INT_MAX)
        return luaL_error(L, "string slice too long");
    int count = (int)(to - from) + 1;
    luaL_checkstack(L, count, "string slice too long");
    for (int i = 0; i < count; i++)
        lua_pushinteger(L, (unsigned char)s[from - 1 + (size_t)i]);
    return count;
}

/* --- the table ------------------------------------------------------------------ */

/*** The string library of Lua, as in chapter 6.4 of its manual.
 * `string.dump` is not there; a pattern or a result that would take forever ends with the check.
 * @table string
 */
void lib_string_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"byte", l_byte}, {"char", l_char},       {"find", l_find},   {"gmatch", l_gmatch},
        {"gsub", l_gsub}, {"len", l_len},         {"lower", l_lower}, {"match", l_match},
        {"rep", l_rep},   {"reverse", l_reverse}, {"sub", l_sub},     {"upper", l_upper},
        {NULL, NULL},
    };
    static const char *const kept[] = {"format", "pack", "packsize", "unpack", NULL};
    lua_createtable(L, 0, 16);
    luaL_setfuncs(L, functions, 0);
    lib_keep(L, "string", kept);
}
