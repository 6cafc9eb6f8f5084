/* mysql_value.c - see mysql_value.h. */
#include "bind/mysql_value.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "bind/bind.h"
#include "bind/db_face.h"

enum { PARAMETERS_MAX = 65535, LEFT_OPEN = 39 /* decimals that no column fixes */ };

/* --- columns --------------------------------------------------------------------- */

/* MariaDB's JSON is text with a note. */
static bool is_json(const struct mysql_api *api, const MYSQL_FIELD *field)
{
    MARIADB_CONST_STRING format = {NULL, 0};
    return field->type == MYSQL_TYPE_JSON ||
           (api->mariadb_field_attr(&format, field, MARIADB_FIELD_ATTR_FORMAT_NAME) == 0 &&
            format.length == 4 && memcmp(format.str, "json", 4) == 0);
}

static enum mysql_type type_of(const struct mysql_api *api, const MYSQL_FIELD *field, bool numbers)
{
    switch (field->type) {
    case MYSQL_TYPE_TINY:
        return field->length == 1 && !(field->flags & UNSIGNED_FLAG) ? MYSQL_AS_BOOLEAN
                                                                     : MYSQL_AS_INTEGER;
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_YEAR: return MYSQL_AS_INTEGER;
    case MYSQL_TYPE_FLOAT:
    case MYSQL_TYPE_DOUBLE: return MYSQL_AS_FLOAT;
    case MYSQL_TYPE_DECIMAL:
    case MYSQL_TYPE_NEWDECIMAL: return numbers ? MYSQL_AS_DECIMAL : MYSQL_AS_TEXT;
    case MYSQL_TYPE_BIT: return MYSQL_AS_BITS;
    case MYSQL_TYPE_TIMESTAMP: return MYSQL_AS_TIME_STAMP;
    case MYSQL_TYPE_DATETIME: return MYSQL_AS_DATE_TIME;
    case MYSQL_TYPE_DATE: return MYSQL_AS_DATE;
    case MYSQL_TYPE_TIME: return MYSQL_AS_TIME;
    default: return is_json(api, field) ? MYSQL_AS_JSON : MYSQL_AS_TEXT;
    }
}

struct mysql_column mysql_column_of(const struct mysql_api *api, const MYSQL_FIELD *field,
                                    bool numbers)
{
    return (struct mysql_column){
        .name = memory_copy_string(field->name),
        .type = type_of(api, field, numbers),
        .wire = field->type,
        .is_unsigned = field->flags & UNSIGNED_FLAG || field->type == MYSQL_TYPE_YEAR,
        .decimals = field->decimals <= 6 ? field->decimals : LEFT_OPEN,
    };
}

/* --- where a value is ------------------------------------------------------------ */

/* 0: the length stands before the value. */
static size_t fixed_size(enum enum_field_types type)
{
    switch (type) {
    case MYSQL_TYPE_TINY: return 1;
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_YEAR: return 2;
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_FLOAT: return 4;
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_DOUBLE: return 8;
    default: return 0;
    }
}

static uint64_t little_endian(const unsigned char *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

/* One byte, or a mark of how many follow. */
static bool read_length(unsigned char **row, const unsigned char *end, size_t *size)
{
    size_t left = (size_t)(end - *row);
    if (left < 1)
        return false;
    unsigned char mark = **row;
    size_t more = mark == 252 ? 2 : mark == 253 ? 3 : mark == 254 ? 8 : 0;
    if (left < 1 + more || mark == 251 || mark == 255)
        return false;
    *size = more ? little_endian(*row + 1, more) : mark;
    *row += 1 + more;
    return true;
}

bool mysql_cell_read(const struct mysql_column *column, unsigned char **row,
                     const unsigned char *end, struct mysql_cell *cell)
{
    size_t size = fixed_size(column->wire);
    if (*row > end || (size == 0 && !read_length(row, end, &size)) || size > (size_t)(end - *row))
        return false;
    *cell = (struct mysql_cell){.at = *row, .size = size};
    *row += size;
    return true;
}

/* --- from the server ------------------------------------------------------------- */

/* Each of these is false, and has pushed nothing, when the value is not of the type. */

static bool push_unsigned(lua_State *L, uint64_t value)
{
    char digits[24];
    if (value <= INT64_MAX) {
        lua_pushinteger(L, (lua_Integer)value);
    } else {
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
        lua_pushstring(L, digits);
    }
    return true;
}

static bool push_digits(lua_State *L, const struct mysql_cell *cell)
{
    char digits[24], *end;
    if (cell->size == 0 || cell->size >= sizeof digits)
        return false;
    memcpy(digits, cell->at, cell->size);
    digits[cell->size] = '\0';
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (*end || errno)
        return false;
    lua_pushinteger(L, value);
    return true;
}

static bool push_integer(lua_State *L, const struct mysql_column *column,
                         const struct mysql_cell *cell, bool binary)
{
    if (!binary)
        return push_digits(L, cell);
    if (cell->size < 1 || cell->size > 8)
        return false;
    uint64_t value = little_endian(cell->at, cell->size);
    if (column->is_unsigned)
        return push_unsigned(L, value);
    unsigned unused = 64 - 8 * (unsigned)cell->size;
    lua_pushinteger(L, (int64_t)(value << unused) >> unused);
    return true;
}

static bool push_boolean(lua_State *L, const struct mysql_column *column,
                         const struct mysql_cell *cell, bool binary)
{
    if (!push_integer(L, column, cell, binary))
        return false;
    lua_Integer value = lua_tointeger(L, -1);
    if (value == 0 || value == 1) {
        lua_pop(L, 1);
        lua_pushboolean(L, value == 1);
    }
    return true;
}

static bool push_number_text(lua_State *L, const struct mysql_cell *cell)
{
    char digits[512], *end;
    if (cell->size == 0 || cell->size >= sizeof digits)
        return false;
    memcpy(digits, cell->at, cell->size);
    digits[cell->size] = '\0';
    double value = strtod(digits, &end);
    if (*end)
        return false;
    lua_pushnumber(L, value);
    return true;
}

/* The number that a person would write for it: 0.1 and not 0.10000000149. */
static double shortest(float value)
{
    char digits[40];
    for (int places = 6; places < 9; places++) {
        snprintf(digits, sizeof digits, "%.*g", places, (double)value);
        if (strtof(digits, NULL) == value)
            return strtod(digits, NULL);
    }
    return (double)value;
}

static bool push_float(lua_State *L, const struct mysql_cell *cell, bool binary)
{
    float small;
    double value;
    if (!binary)
        return push_number_text(L, cell);
    if (cell->size == sizeof small) {
        memcpy(&small, cell->at, sizeof small);
        value = shortest(small);
    } else {
        memcpy(&value, cell->at, sizeof value);
    }
    lua_pushnumber(L, value);
    return true;
}

static bool push_decimal(lua_State *L, const struct mysql_cell *cell)
{
    return (!memchr(cell->at, '.', cell->size) && push_digits(L, cell)) ||
           push_number_text(L, cell);
}

/* BIT(n): the highest byte first, in both protocols. */
static bool push_bits(lua_State *L, const struct mysql_cell *cell)
{
    uint64_t value = 0;
    if (cell->size > sizeof value)
        return false;
    for (size_t i = 0; i < cell->size; i++)
        value = value << 8 | cell->at[i];
    return push_unsigned(L, value);
}

/* JSON that our decoder does not take (MariaDB checks less) stays text. */
static bool push_json(lua_State *L, const struct mysql_cell *cell)
{
    lua_pushcfunction(L, bind_json_decode);
    lua_pushlstring(L, (const char *)cell->at, cell->size);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK)
        return true;
    if (status != LUA_ERRRUN)
        lua_error(L);
    lua_pop(L, 1);
    return false;
}

/* --- times ----------------------------------------------------------------------- */

/* ".500000" cut to the column's places; where it fixes none, all or nothing. */
static void add_fraction(char *text, size_t size, unsigned decimals, unsigned micros)
{
    size_t used = strlen(text);
    if (decimals == LEFT_OPEN)
        decimals = micros ? 6 : 0;
    if (decimals == 0)
        return;
    snprintf(text + used, size - used, ".%06u", micros % 1000000);
    text[used + 1 + decimals] = '\0';
}

/* Year (2), month, day, hour, minute, second, microseconds (4); what is 0 at its end is left
 * out. */
static bool write_date_time(char *text, size_t size, const struct mysql_column *column,
                            const struct mysql_cell *cell)
{
    unsigned char all[11] = {0};
    if (cell->size > sizeof all)
        return false;
    memcpy(all, cell->at, cell->size);
    unsigned year = (unsigned)(all[0] | all[1] << 8);
    if (column->type == MYSQL_AS_DATE) {
        snprintf(text, size, "%04u-%02u-%02u", year, all[2], all[3]);
        return true;
    }
    snprintf(text, size, "%04u-%02u-%02uT%02u:%02u:%02u", year, all[2], all[3], all[4], all[5],
             all[6]);
    add_fraction(text, size, column->decimals, (unsigned)little_endian(all + 7, 4));
    return true;
}

/* Whether it is negative, days (4), hour, minute, second, microseconds (4). */
static bool write_time(char *text, size_t size, const struct mysql_column *column,
                       const struct mysql_cell *cell)
{
    unsigned char all[12] = {0};
    if (cell->size > sizeof all)
        return false;
    memcpy(all, cell->at, cell->size);
    unsigned long long hours = little_endian(all + 1, 4) * 24 + all[5];
    snprintf(text, size, "%s%02llu:%02u:%02u", all[0] ? "-" : "", hours, all[6], all[7]);
    add_fraction(text, size, column->decimals, (unsigned)little_endian(all + 8, 4));
    return true;
}

static bool push_time(lua_State *L, const struct mysql_column *column,
                      const struct mysql_cell *cell, bool binary)
{
    char text[80];
    if (!binary) {
        if (cell->size >= sizeof text - 1)
            return false;
        memcpy(text, cell->at, cell->size);
        text[cell->size] = '\0';
        char *space = column->type == MYSQL_AS_TIME ? NULL : strchr(text, ' ');
        if (space)
            *space = 'T';
    } else if (!(column->type == MYSQL_AS_TIME ? write_time : write_date_time)(text, sizeof text,
                                                                               column, cell)) {
        return false;
    }
    lua_pushfstring(L, "%s%s", text, column->type == MYSQL_AS_TIME_STAMP ? "Z" : "");
    return true;
}

static bool push_typed(lua_State *L, const struct mysql_column *column,
                       const struct mysql_cell *cell, bool binary)
{
    switch (column->type) {
    case MYSQL_AS_INTEGER: return push_integer(L, column, cell, binary);
    case MYSQL_AS_BOOLEAN: return push_boolean(L, column, cell, binary);
    case MYSQL_AS_FLOAT: return push_float(L, cell, binary);
    case MYSQL_AS_DECIMAL: return push_decimal(L, cell);
    case MYSQL_AS_BITS: return push_bits(L, cell);
    case MYSQL_AS_TIME_STAMP:
    case MYSQL_AS_DATE_TIME:
    case MYSQL_AS_DATE:
    case MYSQL_AS_TIME: return push_time(L, column, cell, binary);
    case MYSQL_AS_JSON: return push_json(L, cell);
    case MYSQL_AS_TEXT: break;
    }
    return false;
}

void mysql_cell_push(lua_State *L, const struct mysql_column *column, const struct mysql_cell *cell,
                     bool binary)
{
    if (!cell->at)
        lua_pushlightuserdata(L, NULL);
    else if (!push_typed(L, column, cell, binary))
        lua_pushlstring(L, (const char *)cell->at, cell->size);
}

/* --- to the server --------------------------------------------------------------- */

static void check_parameter(lua_State *L, int argument, int number)
{
    if (db_is_null(L, -1) || lua_isboolean(L, -1) || lua_type(L, -1) == LUA_TSTRING)
        return;
    if (lua_type(L, -1) == LUA_TNUMBER) {
        if (!isfinite(lua_tonumber(L, -1)))
            luaL_argerror(L, argument,
                          lua_pushfstring(L, "parameter %d is %f, which MySQL has not", number,
                                          lua_tonumber(L, -1)));
        return;
    }
    char name[16];
    snprintf(name, sizeof name, "%d", number);
    db_check_bytes(L, -1, argument, name);
    lua_pop(L, 1);
}

int mysql_parameters_check(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "n");
    lua_Integer count = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    luaL_argcheck(L, count >= 0 && count <= PARAMETERS_MAX, index, "at most 65535 parameters");
    for (int i = 1; i <= (int)count; i++) {
        lua_rawgeti(L, index, i);
        check_parameter(L, index, i);
        lua_pop(L, 1);
    }
    return (int)count;
}

static void bind_text(MYSQL_BIND *bind, unsigned long *size, enum enum_field_types type,
                      const char *text, size_t length)
{
    bind->buffer_type = type;
    bind->buffer = memory_copy(text, length);
    bind->buffer_length = *size = length;
    bind->length = size;
}

static void bind_integer(MYSQL_BIND *bind, union mysql_number *number, long long value)
{
    number->integer = value;
    bind->buffer_type = MYSQL_TYPE_LONGLONG;
    bind->buffer = &number->integer;
}

static void read_parameter(lua_State *L, struct mysql_parameters *p, int i)
{
    size_t size;
    MYSQL_BIND *bind = &p->binds[i];
    bind->buffer_type = MYSQL_TYPE_NULL;
    if (db_is_null(L, -1))
        return;
    if (lua_isboolean(L, -1)) {
        bind_integer(bind, &p->numbers[i], lua_toboolean(L, -1));
    } else if (lua_isinteger(L, -1)) {
        bind_integer(bind, &p->numbers[i], lua_tointeger(L, -1));
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        p->numbers[i].number = lua_tonumber(L, -1);
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = &p->numbers[i].number;
    } else if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &size);
        bind_text(bind, &p->sizes[i], MYSQL_TYPE_STRING, text, size);
    } else {
        db_push_bytes_of(L, -1);
        const char *text = lua_tolstring(L, -1, &size);
        bind_text(bind, &p->sizes[i], MYSQL_TYPE_BLOB, text, size);
        lua_pop(L, 1);
    }
}

void mysql_parameters_read(lua_State *L, int index, int count, struct mysql_parameters *p)
{
    size_t n = (size_t)count;
    *p = (struct mysql_parameters){.count = count};
    if (count == 0)
        return;
    p->binds = memory_new(n * sizeof *p->binds);
    p->numbers = memory_new(n * sizeof *p->numbers);
    p->sizes = memory_new(n * sizeof *p->sizes);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        read_parameter(L, p, i);
        lua_pop(L, 1);
    }
}

void mysql_parameters_fini(struct mysql_parameters *p)
{
    for (int i = 0; i < p->count; i++)
        if (p->binds[i].length)
            free(p->binds[i].buffer);
    free(p->binds);
    free(p->numbers);
    free(p->sizes);
    *p = (struct mysql_parameters){0};
}
