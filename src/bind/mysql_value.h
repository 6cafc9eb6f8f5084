/* mysql_value.h - MySQL's and MariaDB's values as Lua's, and back.
 *
 * Columns of prepared statements travel in the binary protocol, others as text.  The library
 * hands out where each value stands in the row (it does not look whether a length that the
 * server sent fits: we do), and what stands there is read here.
 * Source: https://mariadb.com/kb/en/resultset-row/ */
#ifndef HOSPITAL_BIND_MYSQL_VALUE_H
#define HOSPITAL_BIND_MYSQL_VALUE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "bind/mysql_library.h"

enum mysql_type {
    MYSQL_AS_TEXT, /* and all that have no type of their own in Lua */
    MYSQL_AS_INTEGER,
    MYSQL_AS_BOOLEAN, /* TINYINT(1): 0 and 1; what else stands there is an integer */
    MYSQL_AS_FLOAT,
    MYSQL_AS_DECIMAL, /* as a number */
    MYSQL_AS_BITS,
    MYSQL_AS_TIME_STAMP, /* "2026-11-21T05:49:00Z": sessions are set to UTC */
    MYSQL_AS_DATE_TIME,  /* "2026-11-21T05:49:00" */
    MYSQL_AS_DATE,
    MYSQL_AS_TIME,
    MYSQL_AS_JSON,
};

struct mysql_column {
    char *name; /* owned by whoever keeps the column */
    enum mysql_type type;
    enum enum_field_types wire;
    bool is_unsigned;
    unsigned decimals; /* of a time; 0 to 6 */
};

struct mysql_cell {
    const unsigned char *at; /* NULL: the value is NULL */
    size_t size;
};

/* numbers: DECIMAL becomes a number, exact or not, instead of text. */
struct mysql_column mysql_column_of(const struct mysql_api *api, const MYSQL_FIELD *field,
                                    bool numbers);

/* Where the value of a column is that begins at *row in the binary protocol, and *row behind it;
 * false when it would end after `end`. */
bool mysql_cell_read(const struct mysql_column *column, unsigned char **row,
                     const unsigned char *end, struct mysql_cell *cell) CHECKED;

/* Pushes the value; NULL is json.null.  What does not look like its type is pushed as text.
 * [-0, +1, m] */
void mysql_cell_push(lua_State *L, const struct mysql_column *column, const struct mysql_cell *cell,
                     bool binary);

/* What mysql_stmt_bind_param wants. */
struct mysql_parameters {
    int count;
    MYSQL_BIND *binds;
    union mysql_number {
        long long integer;
        double number;
    } * numbers;
    unsigned long *sizes;
};

/* Checks the parameters of the table at index ({ n = 2, … }): an argument error names the first
 * that cannot be sent.  [-0, +0, v] */
int mysql_parameters_check(lua_State *L, int index);

/* Fills them from a table that was checked; raises nothing.  Copies the table's strings. */
void mysql_parameters_read(lua_State *L, int index, int count, struct mysql_parameters *parameters);
void mysql_parameters_fini(struct mysql_parameters *parameters);

#endif
