/* db_face.h - what the drivers of databases with a server have in common on their way to our Lua:
 * the fault of a login or a statement, what is known of a login, how rows are asked for, and
 * what a parameter may be.  The face itself stands in src/README.md. */
#ifndef HOSPITAL_BIND_DB_FACE_H
#define HOSPITAL_BIND_DB_FACE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

struct db_fault {
    struct fault why;
    const char *phase; /* "target", "policy", "dns", "connect", "tls", "login", "query" */
    char code[6];      /* SQLSTATE; empty: not from the server */
    unsigned number;   /* of the error, where servers number them; 0: none */
    int position;      /* in the statement, in characters from 1; 0: none */
    bool closed;       /* the connection is of no more use */
    bool elsewhere;    /* another address of the target may do what this one could not */
    char detail[600], hint[400], constraint[65];
};

struct db_login_result {
    char label[200];  /* "app@db:5432/shop" */
    char remote[108]; /* "10.0.0.1", or the path of a Unix socket */
    uint64_t dns_ns, connect_ns, tls_ns, login_ns, total_ns, queued_ns; /* total without queued */
};

/* Rows by column name or by position, and how much of them. */
struct db_how {
    bool named;
    lua_Integer most, max_rows;
    size_t max_bytes;
};

/* What a login that came as far as phase did not get within the time, and the kind of that. */
enum fault_kind db_silence(const char *phase, uint64_t timeout_ns, char reason[100]);

/* Pushes the fault as a table (contract: src/README.md).  [-0, +1, m] */
void db_fault_push(lua_State *L, const struct db_fault *fault);

/* Pushes nil and the fault of a login, with its target and timings.  [-0, +2, m] */
int db_push_login_fault(lua_State *L, const struct db_fault *fault,
                        const struct db_login_result *result);

/* The same of a statement that began at began_ns.  [-0, +2, m] */
int db_push_statement_fault(lua_State *L, const struct db_fault *fault, const char *label,
                            uint64_t began_ns);

/* Pushes the result of a statement, without `affected`; rows and columns are the indices of those
 * tables.  [-0, +1, m] */
void db_push_result(lua_State *L, int rows, int columns, lua_Integer count, const char *command);

/* Pushes the timings of a login.  [-0, +1, m] */
void db_push_timings(lua_State *L, const struct db_login_result *result);

/* Reads the table at index.  [-0, +0, v] */
void db_read_how(lua_State *L, int index, struct db_how *how);

/* Is the value at index NULL: nil, or json.null? */
bool db_is_null(lua_State *L, int index);

/* Pushes the `bytes` of a db.bytes marker at index, nil for anything else; its type.  [-0, +1, -]
 */
int db_push_bytes_of(lua_State *L, int index);

/* The same, or an argument error that calls the parameter name ("$2").  [-0, +1, v] */
void db_check_bytes(lua_State *L, int index, int argument, const char *name);

#endif
