/* pg_value.c - see pg_value.h. */
#include "bind/pg_value.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/db_face.h"
#include "vm/guard.h"

enum { ARRAY_DEPTH_MAX = 6, PARAMETERS_MAX = 65535, NUMBER_ROOM = 40 };
enum { OID_BYTEA = 17 };

enum pg_type pg_type_of(Oid oid, bool numbers)
{
    switch (oid) {
    case 16: return PG_BOOLEAN;
    case 17: return PG_BYTES;
    case 20:                    /* int8 */
    case 21:                    /* int2 */
    case 23:                    /* int4 */
    case 26:                    /* oid */
    case 28: return PG_INTEGER; /* xid */
    case 700:
    case 701: return PG_FLOAT;
    case 1700: return numbers ? PG_NUMERIC : PG_TEXT;
    case 114:
    case 3802: return PG_JSON;
    case 1114:
    case 1184: return PG_TIME_STAMP;
    case 1000: return PG_ARRAY + PG_BOOLEAN;
    case 1001: return PG_ARRAY + PG_BYTES;
    case 1005:
    case 1007:
    case 1016:
    case 1028: return PG_ARRAY + PG_INTEGER;
    case 1021:
    case 1022: return PG_ARRAY + PG_FLOAT;
    case 1231: return numbers ? PG_ARRAY + PG_NUMERIC : PG_ARRAY + PG_TEXT;
    case 199:
    case 3807: return PG_ARRAY + PG_JSON;
    case 1115:
    case 1185: return PG_ARRAY + PG_TIME_STAMP;
    case 1002:                            /* "char" */
    case 1003:                            /* name */
    case 1009:                            /* text */
    case 1014:                            /* char(n) */
    case 1015:                            /* varchar */
    case 1182:                            /* date */
    case 1183:                            /* time */
    case 1187:                            /* interval */
    case 1270:                            /* timetz */
    case 1041:                            /* inet */
    case 651:                             /* cidr */
    case 2951: return PG_ARRAY + PG_TEXT; /* uuid */
    default: return PG_TEXT;
    }
}

/* --- from PostgreSQL ---------------------------------------------------------- */

/* Each of these is false, and has pushed nothing, when the text is not of the type. */

static bool push_boolean(lua_State *L, const char *text, size_t size)
{
    if (size != 1 || (*text != 't' && *text != 'f'))
        return false;
    lua_pushboolean(L, *text == 't');
    return true;
}

static bool push_integer(lua_State *L, const char *text, size_t size)
{
    char digits[24], *end;
    if (size == 0 || size >= sizeof digits)
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (*end || errno)
        return false;
    lua_pushinteger(L, value);
    return true;
}

static bool push_float(lua_State *L, const char *text, size_t size)
{
    char digits[512], *end;
    if (size == 0 || size >= sizeof digits)
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    double value = strtod(digits, &end); /* also "NaN", "Infinity" */
    if (*end)
        return false;
    lua_pushnumber(L, value);
    return true;
}

static bool push_numeric(lua_State *L, const char *text, size_t size)
{
    return (!memchr(text, '.', size) && push_integer(L, text, size)) || push_float(L, text, size);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x0aff": the session sets bytea_output. */
static bool push_bytes(lua_State *L, const char *text, size_t size)
{
    luaL_Buffer b;
    if (size < 2 || size % 2 || text[0] != '\\' || text[1] != 'x')
        return false;
    char *to = luaL_buffinitsize(L, &b, size / 2 - 1);
    for (size_t i = 2; i < size; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            luaL_pushresultsize(&b, 0);
            lua_pop(L, 1);
            return false;
        }
        *to++ = (char)(high << 4 | low);
    }
    luaL_pushresultsize(&b, size / 2 - 1);
    return true;
}

/* PostgreSQL takes what json.decode refuses: deeper nesting, larger numbers. */
static bool push_json(lua_State *L, const char *text, size_t size)
{
    lua_pushcfunction(L, bind_json_decode);
    lua_pushlstring(L, text, size);
    bool ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
    guard_rethrow(L);
    if (!ok)
        lua_pop(L, 1);
    return ok;
}

/* The session's time zone is UTC, its DateStyle ISO: "2026-11-21 05:49:00.5+00", "infinity",
 * "0044-03-15 00:00:00 BC"; unless the script has set others. */
static bool push_time_stamp(lua_State *L, const char *text, size_t size)
{
    char stamp[64];
    const char *space = memchr(text, ' ', size);
    if (!space || size >= sizeof stamp || !memchr(text, '-', (size_t)(space - text)))
        return false;
    memcpy(stamp, text, size);
    stamp[space - text] = 'T';
    stamp[size] = '\0';
    char *zone = strstr(stamp, "+00");
    if (zone && zone[3] != ':') {
        zone[0] = 'Z';
        memmove(zone + 1, zone + 3, strlen(zone + 3) + 1);
    }
    lua_pushstring(L, stamp);
    return true;
}

/* An array's text: {1,NULL,"a \"b\"",{…}}, before which its bounds may stand: [0:2]={…}. */
struct array_reader {
    lua_State *L;
    enum pg_type type; /* of the elements */
    const char *at, *end;
};

/* `"…"` with \ before what would end it: pushes the inside.  [-0, +(0|1), m] */
static bool push_quoted(struct array_reader *r)
{
    luaL_Buffer b;
    luaL_buffinit(r->L, &b);
    for (r->at++; r->at < r->end && *r->at != '"'; r->at++) {
        if (*r->at == '\\' && ++r->at == r->end)
            break;
        luaL_addchar(&b, *r->at);
    }
    luaL_pushresult(&b);
    if (r->at < r->end) {
        r->at++;
        return true;
    }
    lua_pop(r->L, 1);
    return false;
}

static void push_element(struct array_reader *r, const char *text, size_t size, bool is_null)
{
    pg_value_push(r->L, r->type, text, size, is_null);
}

static bool push_word(struct array_reader *r)
{
    size_t size;
    if (*r->at == '"') {
        if (!push_quoted(r))
            return false;
        const char *text = lua_tolstring(r->L, -1, &size);
        push_element(r, text, size, false);
        lua_remove(r->L, -2);
        return true;
    }
    const char *from = r->at;
    while (r->at < r->end && *r->at != ',' && *r->at != '}' && *r->at != '{' && *r->at != '"')
        r->at++;
    size = (size_t)(r->at - from);
    if (size == 0)
        return false;
    push_element(r, from, size, size == 4 && memcmp(from, "NULL", 4) == 0);
    return true;
}

static bool push_braces(struct array_reader *r, int depth)
{
    lua_Integer n = 0;
    if (depth > ARRAY_DEPTH_MAX || r->at == r->end || *r->at != '{')
        return false;
    luaL_checkstack(r->L, 8, "an array");
    lua_newtable(r->L);
    r->at++;
    if (r->at < r->end && *r->at == '}') {
        r->at++;
        return true;
    }
    while (r->at < r->end) {
        if (!(*r->at == '{' ? push_braces(r, depth + 1) : push_word(r)) || r->at == r->end)
            break;
        lua_rawseti(r->L, -2, ++n);
        if (*r->at++ == '}')
            return true;
        if (r->at[-1] != ',')
            break;
    }
    return false;
}

static bool push_array(lua_State *L, enum pg_type type, const char *text, size_t size)
{
    int top = lua_gettop(L);
    struct array_reader r = {.L = L, .type = type, .at = text, .end = text + size};
    const char *bounds = size && *text == '[' ? memchr(text, '=', size) : NULL;
    if (bounds)
        r.at = bounds + 1;
    if (push_braces(&r, 1) && r.at == r.end)
        return true;
    lua_settop(L, top);
    return false;
}

static bool push_typed(lua_State *L, enum pg_type type, const char *text, size_t size)
{
    if (type >= PG_ARRAY)
        return push_array(L, type - PG_ARRAY, text, size);
    switch (type) {
    case PG_BOOLEAN: return push_boolean(L, text, size);
    case PG_INTEGER: return push_integer(L, text, size);
    case PG_FLOAT: return push_float(L, text, size);
    case PG_NUMERIC: return push_numeric(L, text, size);
    case PG_BYTES: return push_bytes(L, text, size);
    case PG_JSON: return push_json(L, text, size);
    case PG_TIME_STAMP: return push_time_stamp(L, text, size);
    default: return false;
    }
}

void pg_value_push(lua_State *L, enum pg_type type, const char *text, size_t size, bool is_null)
{
    if (is_null)
        lua_pushlightuserdata(L, NULL);
    else if (!push_typed(L, type, text, size))
        lua_pushlstring(L, text, size);
}

/* --- to PostgreSQL --------------------------------------------------------------- */

/* How many bytes it is, or an argument error. */
static size_t check_parameter(lua_State *L, int argument, int number)
{
    size_t size;
    if (db_is_null(L, -1) || lua_isboolean(L, -1) || lua_type(L, -1) == LUA_TNUMBER)
        return NUMBER_ROOM;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &size);
        if (memchr(text, '\0', size))
            luaL_argerror(L, argument,
                          lua_pushfstring(L,
                                          "parameter $%d holds a zero byte, which no text of "
                                          "PostgreSQL's can: use db.bytes",
                                          number));
        return size;
    }
    char name[16];
    snprintf(name, sizeof name, "$%d", number);
    db_check_bytes(L, -1, argument, name);
    size = lua_rawlen(L, -1);
    lua_pop(L, 1);
    return size;
}

size_t pg_parameters_check(lua_State *L, int index)
{
    size_t size = 0;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "n");
    lua_Integer count = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    luaL_argcheck(L, count >= 0 && count <= PARAMETERS_MAX, index, "at most 65535 parameters");
    for (int i = 1; i <= (int)count; i++) {
        lua_rawgeti(L, index, i);
        size += check_parameter(L, index, i);
        lua_pop(L, 1);
    }
    return size;
}

static const char *write_number(lua_State *L, struct buffer *text)
{
    char *to = buffer_reserve(text, NUMBER_ROOM);
    lua_Number value = lua_tonumber(L, -1);
    if (lua_isinteger(L, -1))
        snprintf(to, NUMBER_ROOM, LUA_INTEGER_FMT, lua_tointeger(L, -1));
    else if (isnan(value))
        snprintf(to, NUMBER_ROOM, "NaN");
    else if (isinf(value))
        snprintf(to, NUMBER_ROOM, value > 0 ? "Infinity" : "-Infinity");
    else
        snprintf(to, NUMBER_ROOM, "%.17g", value);
    text->size += NUMBER_ROOM;
    return to;
}

static void read_parameter(lua_State *L, struct pg_parameters *p, int i)
{
    size_t size;
    if (db_is_null(L, -1))
        return;
    if (lua_isboolean(L, -1)) {
        p->values[i] = lua_toboolean(L, -1) ? "t" : "f";
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        p->values[i] = write_number(L, &p->text);
    } else if (lua_type(L, -1) == LUA_TSTRING) {
        p->values[i] = lua_tostring(L, -1);
    } else {
        if (db_push_bytes_of(L, -1) == LUA_TSTRING) {
            p->values[i] = lua_tolstring(L, -1, &size);
            p->sizes[i] = (int)size;
            p->formats[i] = 1;
            p->types[i] = OID_BYTEA;
        }
        lua_pop(L, 1); /* the marker holds it */
    }
}

void pg_parameters_read(lua_State *L, int index, int count, struct pg_parameters *p)
{
    size_t n = (size_t)count;
    *p = (struct pg_parameters){.count = count};
    if (count == 0)
        return;
    p->types = memory_new(n * sizeof *p->types);
    p->values = memory_new(n * sizeof *p->values);
    p->sizes = memory_new(n * sizeof *p->sizes);
    p->formats = memory_new(n * sizeof *p->formats);
    buffer_reserve(&p->text, n * NUMBER_ROOM); /* it may not move any more */
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        read_parameter(L, p, i);
        lua_pop(L, 1);
    }
}

void pg_parameters_fini(struct pg_parameters *p)
{
    free(p->types);
    free(p->values);
    free(p->sizes);
    free(p->formats);
    buffer_fini(&p->text);
}
