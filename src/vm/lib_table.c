/* lib_table.c - the table library.  Lua's own trusts #t and the ranges it is
 * given; here every loop over them that nothing else bounds is a guard_step. */
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>

#include "vm/guard.h"
#include "vm/lib.h"
#include "vm/text.h"

enum { READS = 1, WRITES = 2, MEASURES = 4 };

static bool has_metamethod(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    bool has = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 1);
    return has;
}

/* A table, or a value whose metatable makes it act as one for this use. */
static void check_table(lua_State *L, int index, int use)
{
    if (lua_istable(L, index))
        return;
    if (lua_getmetatable(L, index)) {
        bool fit = (!(use & READS) || has_metamethod(L, "__index")) &&
                   (!(use & WRITES) || has_metamethod(L, "__newindex")) &&
                   (!(use & MEASURES) || has_metamethod(L, "__len"));
        lua_pop(L, 1);
        if (fit)
            return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
}

static lua_Integer check_length(lua_State *L, int use)
{
    check_table(L, 1, use | MEASURES);
    return luaL_len(L, 1);
}

/* t[to] = t[from], for the tables at these indices.  [-0, +0, e] */
static void copy(lua_State *L, int source, lua_Integer from, int target, lua_Integer to)
{
    guard_step(L);
    lua_geti(L, source, from);
    lua_seti(L, target, to);
}

static int l_insert(lua_State *L)
{
    lua_Integer end = (lua_Integer)((lua_Unsigned)check_length(L, READS | WRITES) + 1);
    lua_Integer position = end;
    switch (lua_gettop(L)) {
    case 2: break;
    case 3:
        position = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)position - 1 < (lua_Unsigned)end, 2,
                      "position out of bounds");
        for (lua_Integer i = end; i > position; i--)
            copy(L, 1, i - 1, 1, i);
        break;
    default: return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, position);
    return 0;
}

static int l_remove(lua_State *L)
{
    lua_Integer size = check_length(L, READS | WRITES);
    lua_Integer position = luaL_optinteger(L, 2, size);
    if (position != size)
        luaL_argcheck(L, (lua_Unsigned)position - 1 <= (lua_Unsigned)size, 2,
                      "position out of bounds");
    lua_geti(L, 1, position);
    for (; position < size; position++)
        copy(L, 1, position + 1, 1, position);
    lua_pushnil(L);
    lua_seti(L, 1, position);
    return 1;
}

static int l_move(lua_State *L)
{
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    lua_Integer to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    check_table(L, 1, READS);
    check_table(L, target, WRITES);
    if (last >= first) {
        luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3,
                      "too many elements to move");
        lua_Integer count = last - first + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
        bool overlaps =
            to > first && to <= last && (target == 1 || lua_compare(L, 1, target, LUA_OPEQ));
        for (lua_Integer i = 0; i < count; i++) {
            lua_Integer offset = overlaps ? count - 1 - i : i;
            copy(L, 1, first + offset, target, to + offset);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

static void add_item(lua_State *L, struct text *out, lua_Integer i)
{
    guard_step(L);
    lua_geti(L, 1, i);
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1),
                   (LUAI_UACINT)i);
    text_add_value(out);
}

static int l_concat(lua_State *L)
{
    size_t size;
    lua_Integer last = check_length(L, READS);
    const char *separator = luaL_optlstring(L, 2, "", &size);
    lua_Integer i = luaL_optinteger(L, 3, 1);
    last = luaL_optinteger(L, 4, last);
    struct text out;
    text_init(&out, L);
    for (; i < last; i++) {
        add_item(L, &out, i);
        text_add(&out, separator, size);
    }
    if (i == last)
        add_item(L, &out, i);
    text_push(&out);
    return 1;
}

static int l_pack(lua_State *L)
{
    int count = lua_gettop(L);
    lua_createtable(L, count, 1);
    lua_insert(L, 1);
    for (int i = count; i >= 1; i--)
        lua_rawseti(L, 1, i);
    lua_pushinteger(L, count);
    lua_setfield(L, 1, "n");
    return 1;
}

static int l_unpack(lua_State *L)
{
    lua_Integer first = luaL_optinteger(L, 2, 1);
    lua_Integer last = luaL_opt(L, luaL_checkinteger, 3, luaL_len(L, 1));
    if (first > last)
        return 0;
    lua_Unsigned more = (lua_Unsigned)last - (lua_Unsigned)first;
    if (more >= INT_MAX || !lua_checkstack(L, (int)more + 1))
        return luaL_error(L, "too many results to unpack");
    for (lua_Unsigned i = 0; i <= more; i++) /* short: the results fit the stack */
        lua_geti(L, 1, (lua_Integer)((lua_Unsigned)first + i));
    return (int)more + 1;
}

/* --- sort ------------------------------------------------------------------------
 *
 * Quicksort around the median of three, the smaller side by recursion, short
 * stretches by insertion.  A comparator that contradicts itself could lead a
 * scan out of its stretch: that is noticed and raised, never followed. */

enum { SHORT = 8 };

/* Is the value at index a less than the one at b?  The comparator, or nil, is at
 * index 2.  [-0, +0, e] */
static bool is_less(lua_State *L, int a, int b)
{
    guard_step(L);
    if (lua_isnil(L, 2))
        return lua_compare(L, a, b, LUA_OPLT);
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* Swaps t[i] and t[j], whose values are on top, t[j]'s uppermost.  [-2, +0, e] */
static void set_swapped(lua_State *L, lua_Integer i, lua_Integer j)
{
    lua_seti(L, 1, i);
    lua_seti(L, 1, j);
}

/* Puts t[i] and t[j] in order.  [-0, +0, e] */
static void order(lua_State *L, lua_Integer i, lua_Integer j)
{
    lua_geti(L, 1, i);
    lua_geti(L, 1, j);
    if (is_less(L, -1, -2))
        set_swapped(L, i, j);
    else
        lua_pop(L, 2);
}

static void sort_short(lua_State *L, lua_Integer low, lua_Integer high)
{
    for (lua_Integer i = low + 1; i <= high; i++) {
        lua_Integer j = i;
        lua_geti(L, 1, i);
        for (; j > low; j--) {
            lua_geti(L, 1, j - 1);
            if (!is_less(L, -2, -1)) {
                lua_pop(L, 1);
                break;
            }
            lua_seti(L, 1, j);
        }
        lua_seti(L, 1, j);
    }
}

static void refuse_order(lua_State *L)
{
    luaL_error(L, "invalid order function for sorting");
}

/* Parts t[low..high] around its median of three; returns the pivot's place. */
static lua_Integer part(lua_State *L, lua_Integer low, lua_Integer high)
{
    lua_Integer middle = low + (high - low) / 2, i = low, j = high - 1;
    order(L, low, middle);
    order(L, middle, high);
    order(L, low, middle);
    lua_geti(L, 1, middle);
    lua_pushvalue(L, -1);
    lua_geti(L, 1, high - 1);
    set_swapped(L, middle, high - 1);
    for (;;) { /* the pivot is on top; t[low] <= it <= t[high - 1] */
        while (lua_geti(L, 1, ++i), is_less(L, -1, -2)) {
            if (i == high - 1)
                refuse_order(L);
            lua_pop(L, 1);
        }
        while (lua_geti(L, 1, --j), is_less(L, -3, -1)) {
            if (j < i)
                refuse_order(L);
            lua_pop(L, 1);
        }
        if (j < i)
            break;
        set_swapped(L, i, j);
    }
    lua_pop(L, 1);
    lua_geti(L, 1, high - 1);
    set_swapped(L, i, high - 1);
    lua_pop(L, 1);
    return i;
}

static void sort(lua_State *L, lua_Integer low, lua_Integer high)
{
    while (high - low >= SHORT) {
        lua_Integer pivot = part(L, low, high);
        if (pivot - low < high - pivot) {
            sort(L, low, pivot - 1);
            low = pivot + 1;
        } else {
            sort(L, pivot + 1, high);
            high = pivot - 1;
        }
    }
    sort_short(L, low, high);
}

static int l_sort(lua_State *L)
{
    lua_Integer count = check_length(L, READS | WRITES);
    if (count > 1) {
        luaL_argcheck(L, count < INT_MAX, 1, "array too big");
        if (!lua_isnoneornil(L, 2))
            luaL_checktype(L, 2, LUA_TFUNCTION);
        lua_settop(L, 2);
        luaL_checkstack(L, 40, "");
        sort(L, 1, count);
    }
    return 0;
}

/*** The table library of Lua, as in chapter 6.6 of its manual.
 * `table.sort` calls its comparator where nothing can wait.
 * @table table
 */
void lib_table_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"concat", l_concat}, {"insert", l_insert}, {"move", l_move},     {"pack", l_pack},
        {"remove", l_remove}, {"sort", l_sort},     {"unpack", l_unpack}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
