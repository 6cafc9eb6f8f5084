/* pg_value.h - PostgreSQL's values as Lua's, and back.
 *
 * Values travel as text (PostgreSQL 15, chapter 8); types are told by their OIDs, which are
 * fixed for all that are built in (src/include/catalog/pg_type.dat). */
#ifndef HOSPITAL_BIND_PG_VALUE_H
#define HOSPITAL_BIND_PG_VALUE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "bind/pq.h"

enum pg_type {
    PG_TEXT, /* and all that have no type of their own in Lua */
    PG_BOOLEAN,
    PG_INTEGER,
    PG_FLOAT,
    PG_NUMERIC,
    PG_BYTES,
    PG_JSON,
    PG_TIME_STAMP, /* "2026-11-21 05:49:00+00" becomes "2026-11-21T05:49:00Z" */
    PG_ARRAY = 16, /* of the type that is added to it */
};

/* numbers: numeric becomes a number, exact or not, instead of text. */
enum pg_type pg_type_of(Oid oid, bool numbers);

/* Pushes the value; NULL is json.null.  What does not look like its type, and JSON that json.decode
 * refuses, is pushed as text.  [-0, +1, m] */
void pg_value_push(lua_State *L, enum pg_type type, const char *text, size_t size, bool is_null);

/* What PQsendQueryParams wants. */
struct pg_parameters {
    int count;
    Oid *types;
    const char **values; /* into Lua's strings or text */
    int *sizes, *formats;
    struct buffer text; /* numbers, written out */
};

/* Checks the parameters of the table at index ({ n = 2, … }): an argument error names the first
 * that cannot be sent.  How many bytes they are, about.  [-0, +0, v] */
size_t pg_parameters_check(lua_State *L, int index);

/* Fills them from a table that was checked; raises nothing.  Borrows the table's strings. */
void pg_parameters_read(lua_State *L, int index, int count, struct pg_parameters *parameters);
void pg_parameters_fini(struct pg_parameters *parameters);

#endif
