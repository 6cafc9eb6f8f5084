/* json.c - json.encode and json.decode.
 *
 * Written by hand although lua-cjson is at hand: that one loses integers beyond
 * 2^53, has its buffers outside of the sandbox's memory, ends the process when
 * malloc fails, and cannot be interrupted.  Here every byte is Lua's own and every
 * value ticks the guard. */
#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "vm/guard.h"

enum { DEPTH_MAX = 128 };

static const char array_key = 0; /* registry: the metatable that marks arrays */

/* [-0, +1, m] */
static void push_array_mark(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "json.array");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}

static bool is_marked_array(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* --- decoding ------------------------------------------------------------- */

struct reader {
    lua_State *L;
    const char *text, *at, *end; /* *end is NUL */
    int depth;
};

static void read_value(struct reader *r);

static void refuse(const struct reader *r, const char *what)
{
    int line = 1, column = 1;
    for (const char *c = r->text; c < r->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    luaL_error(r->L, "not JSON: %s at line %d, column %d", what, line, column);
}

static void skip_space(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')
        r->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_digits(struct reader *r)
{
    if (!is_digit(*r->at))
        refuse(r, "a digit expected");
    while (is_digit(*r->at))
        r->at++;
}

/* Whole numbers that fit are integers; "1.0" and "1e3" stay floats. */
static void read_number(struct reader *r)
{
    const char *from = r->at;
    bool whole = true;
    if (*r->at == '-')
        r->at++;
    if (*r->at == '0')
        r->at++;
    else
        skip_digits(r);
    if (*r->at == '.') {
        whole = false;
        r->at++;
        skip_digits(r);
    }
    if (*r->at == 'e' || *r->at == 'E') {
        whole = false;
        r->at++;
        if (*r->at == '+' || *r->at == '-')
            r->at++;
        skip_digits(r);
    }
    errno = 0;
    long long integer = whole ? strtoll(from, NULL, 10) : 0;
    if (whole && errno == 0) {
        lua_pushinteger(r->L, integer);
        return;
    }
    double number = strtod(from, NULL);
    if (!isfinite(number))
        refuse(r, "a number too large");
    lua_pushnumber(r->L, number);
}

static unsigned read_hex4(struct reader *r)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = *r->at;
        if (is_digit(c))
            value = value << 4 | (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            value = value << 4 | (unsigned)((c | 32) - 'a' + 10);
        else
            refuse(r, "four hex digits expected");
    }
    return value;
}

static void add_utf8(luaL_Buffer *b, unsigned c)
{
    if (c < 0x80) {
        luaL_addchar(b, (char)c);
    } else if (c < 0x800) {
        luaL_addchar(b, (char)(0xc0 | c >> 6));
        luaL_addchar(b, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        luaL_addchar(b, (char)(0xe0 | c >> 12));
        luaL_addchar(b, (char)(0x80 | (c >> 6 & 63)));
        luaL_addchar(b, (char)(0x80 | (c & 63)));
    } else {
        luaL_addchar(b, (char)(0xf0 | c >> 18));
        luaL_addchar(b, (char)(0x80 | (c >> 12 & 63)));
        luaL_addchar(b, (char)(0x80 | (c >> 6 & 63)));
        luaL_addchar(b, (char)(0x80 | (c & 63)));
    }
}

/* Behind the u of an escape. */
static unsigned read_code_point(struct reader *r)
{
    unsigned high = read_hex4(r);
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high < 0xdc00 && r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        unsigned low = read_hex4(r);
        if (low >= 0xdc00 && low <= 0xdfff)
            return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    }
    refuse(r, "half a surrogate pair");
    return 0;
}

static void read_escape(struct reader *r, luaL_Buffer *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = *r->at ? strchr(from, *r->at) : NULL;
    if (found) {
        luaL_addchar(b, to[found - from]);
        r->at++;
    } else if (*r->at == 'u') {
        r->at++;
        add_utf8(b, read_code_point(r));
    } else {
        refuse(r, "an unknown escape");
    }
}

/* Up to a quote, a backslash or a control character (the final NUL is one). */
static size_t plain_run(const char *at)
{
    const unsigned char *c = (const unsigned char *)at;
    while (*c >= 0x20 && *c != '"' && *c != '\\')
        c++;
    return (size_t)((const char *)c - at);
}

static void read_string(struct reader *r)
{
    r->at++;
    size_t run = plain_run(r->at);
    if (r->at[run] == '"') {
        lua_pushlstring(r->L, r->at, run);
        r->at += run + 1;
        return;
    }
    luaL_Buffer b;
    luaL_buffinit(r->L, &b);
    for (;; run = plain_run(r->at)) {
        guard_step(r->L);
        luaL_addlstring(&b, r->at, run);
        r->at += run;
        if (*r->at == '"')
            break;
        if (*r->at != '\\')
            refuse(r, r->at == r->end ? "the text ends in a string" : "a control character");
        r->at++;
        read_escape(r, &b);
    }
    r->at++;
    luaL_pushresult(&b);
}

static void enter(struct reader *r)
{
    if (++r->depth > DEPTH_MAX)
        refuse(r, "nested deeper than 128");
    luaL_checkstack(r->L, 6, "JSON");
    r->at++;
    skip_space(r);
}

static void read_array(struct reader *r)
{
    lua_State *L = r->L;
    enter(r);
    lua_newtable(L);
    if (*r->at == ']') { /* or nobody could tell it from {} */
        push_array_mark(L);
        lua_setmetatable(L, -2);
    }
    for (lua_Integer n = 1; *r->at != ']'; n++) {
        read_value(r);
        lua_rawseti(L, -2, n);
        skip_space(r);
        if (*r->at == ']')
            break;
        if (*r->at != ',')
            refuse(r, "',' or ']' expected");
        r->at++;
        skip_space(r);
        if (*r->at == ']')
            refuse(r, "a value expected");
    }
    r->at++;
    r->depth--;
}

static void read_object(struct reader *r)
{
    lua_State *L = r->L;
    enter(r);
    lua_newtable(L);
    while (*r->at != '}') {
        if (*r->at != '"')
            refuse(r, "a key in double quotes expected");
        read_string(r);
        skip_space(r);
        if (*r->at != ':')
            refuse(r, "':' expected");
        r->at++;
        skip_space(r);
        read_value(r);
        lua_rawset(L, -3);
        skip_space(r);
        if (*r->at == '}')
            break;
        if (*r->at != ',')
            refuse(r, "',' or '}' expected");
        r->at++;
        skip_space(r);
        if (*r->at == '}')
            refuse(r, "a key in double quotes expected");
    }
    r->at++;
    r->depth--;
}

static bool read_word(struct reader *r, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(r->at, word, size) != 0)
        return false;
    r->at += size;
    return true;
}

static void read_value(struct reader *r)
{
    guard_step(r->L);
    switch (*r->at) {
    case '{': read_object(r); return;
    case '[': read_array(r); return;
    case '"': read_string(r); return;
    case '-': read_number(r); return;
    default: break;
    }
    if (is_digit(*r->at))
        read_number(r);
    else if (read_word(r, "true"))
        lua_pushboolean(r->L, 1);
    else if (read_word(r, "false"))
        lua_pushboolean(r->L, 0);
    else if (read_word(r, "null"))
        lua_pushlightuserdata(r->L, NULL);
    else
        refuse(r, r->at == r->end ? "the text ends early" : "a value expected");
}

/*** JSON, read and written exactly: `json.decode`, `json.encode`, `json.array`, and
 * `json.null`, which stands for null in what was read and in what is to be written.
 * @table json
 * @usage
 * local text = json.encode({ name = "shop", tags = json.array({}), owner = json.null })
 */

/*** Reads JSON.
 * Whole numbers become integers, exactly, as long as they fit 64 bits; numbers
 * with a point or an exponent become floats. `null` becomes `json.null`, an empty
 * array stays an array when it is encoded again.
 * @function json.decode
 * @param text string UTF-8, one value
 * @return the value
 * @raise what was expected, with line and column; also for NaN, infinities,
 *   trailing text and nesting deeper than 128
 * @usage local cart = json.decode('{"items": [{"id": 9007199254740993}]}')
 */
int bind_json_decode(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_settop(L, 1);
    struct reader r = {.L = L, .text = text, .at = text, .end = text + size};
    luaL_checkstack(L, 8, "JSON");
    skip_space(&r);
    read_value(&r);
    skip_space(&r);
    if (r.at != r.end)
        refuse(&r, "text after the value");
    return 1;
}

/* --- encoding ------------------------------------------------------------- */

/* The text so far is a userdata in slot 2, so it is Lua's to charge and free. */
struct writer {
    lua_State *L;
    char *data;
    size_t size, room;
    int depth;
};

static void write_value(struct writer *w, int index);

static void grow(struct writer *w, size_t size)
{
    size_t room = w->room ? w->room * 2 : 256;
    while (room - w->size < size)
        room *= 2;
    luaL_checkstack(w->L, 1, "JSON");
    char *data = lua_newuserdatauv(w->L, room, 0);
    if (w->size)
        memcpy(data, w->data, w->size);
    lua_replace(w->L, 2);
    w->data = data;
    w->room = room;
}

static void put(struct writer *w, const char *text, size_t size)
{
    if (w->room - w->size < size)
        grow(w, size);
    memcpy(w->data + w->size, text, size); /* NOLINT(*-core.NonNullParamChecker): it has grown */
    w->size += size;
}

static void write_string(struct writer *w, const char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    put(w, "\"", 1);
    for (size_t i = 0; i < size;) {
        size_t run = i;
        unsigned char c = 0;
        while (run < size && (c = (unsigned char)text[run]) >= 0x20 && c != '"' && c != '\\')
            run++;
        put(w, text + i, run - i);
        i = run;
        if (i == size)
            break;
        guard_step(w->L);
        const char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c == '"' || c == '\\') {
            put(w, "\\", 1);
            put(w, text + i, 1);
        } else if (c == '\n') {
            put(w, "\\n", 2);
        } else {
            put(w, escape, 6);
        }
        i++;
    }
    put(w, "\"", 1);
}

/* As short as reads back the same; a float keeps a point or an exponent. */
static void write_number(struct writer *w, int index)
{
    char text[48];
    int size;
    if (lua_isinteger(w->L, index)) {
        size = snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(w->L, index));
    } else {
        double number = lua_tonumber(w->L, index);
        if (!isfinite(number))
            luaL_error(w->L, "cannot encode %s as JSON",
                       number > 0   ? "inf"
                       : number < 0 ? "-inf"
                                    : "nan");
        size = snprintf(text, sizeof text, "%.15g", number);
        if (strtod(text, NULL) != number) /* the text is what is compared */
            size = snprintf(text, sizeof text, "%.17g", number);
        if (!strpbrk(text, ".e"))
            size += snprintf(text + size, sizeof text - (size_t)size, ".0");
    }
    put(w, text, (size_t)size);
}

/* The length of a list, or -1: some keys are not 1..n. */
static lua_Integer list_length(struct writer *w, int index)
{
    lua_State *L = w->L;
    lua_Integer length = (lua_Integer)lua_rawlen(L, index), count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        guard_step(L);
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > length) {
            lua_pop(L, 2);
            return -1;
        }
        count++;
    }
    return count == length ? count : -1;
}

static void write_list(struct writer *w, int index, lua_Integer length)
{
    put(w, "[", 1);
    for (lua_Integer i = 1; i <= length; i++) {
        if (i > 1)
            put(w, ",", 1);
        lua_rawgeti(w->L, index, i);
        write_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
    put(w, "]", 1);
}

static void write_object(struct writer *w, int index)
{
    lua_State *L = w->L;
    bool first = true;
    put(w, "{", 1);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L,
                       "cannot encode as JSON: a table is either a list without holes or has "
                       "strings as keys; this one has a key of type %s",
                       luaL_typename(L, -2));
        size_t size;
        const char *key = lua_tolstring(L, -2, &size);
        if (!first)
            put(w, ",", 1);
        first = false;
        write_string(w, key, size);
        put(w, ":", 1);
        write_value(w, lua_gettop(L));
    }
    put(w, "}", 1);
}

static void write_table(struct writer *w, int index)
{
    if (++w->depth > DEPTH_MAX)
        luaL_error(w->L, "cannot encode as JSON: nested deeper than 128 (or a cycle)");
    luaL_checkstack(w->L, 6, "JSON");
    lua_Integer length = list_length(w, index);
    if (length > 0 || (length == 0 && is_marked_array(w->L, index)))
        write_list(w, index, length);
    else
        write_object(w, index);
    w->depth--;
}

static void write_value(struct writer *w, int index)
{
    lua_State *L = w->L;
    size_t size;
    const char *text;
    guard_step(L);
    switch (lua_type(L, index)) {
    case LUA_TTABLE: write_table(w, index); return;
    case LUA_TNUMBER: write_number(w, index); return;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &size);
        write_string(w, text, size);
        return;
    case LUA_TBOOLEAN:
        text = lua_toboolean(L, index) ? "true" : "false";
        put(w, text, strlen(text));
        return;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) {
            put(w, "null", 4);
            return;
        }
        break;
    default: break;
    }
    luaL_error(L, "cannot encode a %s as JSON", luaL_typename(L, index));
}

/*** Writes JSON.
 * A table with the keys 1 to n is an array, any other an object, whose keys must
 * be strings; the empty table is an object unless it was made by `json.array` or
 * decoded from `[]`. Integers stay exact, `1.0` is written with its point.
 * @function json.encode
 * @param value a table, string, number, boolean or `json.null`
 * @return string JSON without white space
 * @raise for NaN, infinities, functions, holes in lists, mixed keys, cycles
 * @usage json.encode({ sku = "x-1", tags = json.array() })  --> {"sku":"x-1","tags":[]}
 */
static int l_json_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    lua_pushnil(L);
    struct writer w = {.L = L};
    luaL_checkstack(L, 8, "JSON");
    write_value(&w, 1);
    lua_pushlstring(L, w.data, w.size);
    return 1;
}

/*** Marks a list, so that it is an array in JSON even while it is empty.
 * @function json.array
 * @param[opt] list table marked in place; a new one by default
 * @return table list
 */
static int l_json_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (!is_marked_array(L, 1) && lua_getmetatable(L, 1))
        return luaL_argerror(L, 1, "a table without a metatable expected");
    push_array_mark(L);
    lua_setmetatable(L, 1);
    return 1;
}

int bind_json_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"encode", l_json_encode},
                                         {"decode", bind_json_decode},
                                         {"array", l_json_array},
                                         {NULL, NULL}};
    lua_createtable(L, 0, 1);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_setfield(L, -2, "json");
    return 1;
}
