/* mysql_fault.h - why MySQL, MariaDB or the way to them said no: one kind out of error numbers,
 * and a message that holds no secret.
 *
 * Source of the numbers: https://mariadb.com/kb/en/mariadb-error-codes/ and
 * https://dev.mysql.com/doc/mysql-errors/8.0/en/ */
#ifndef HOSPITAL_BIND_MYSQL_FAULT_H
#define HOSPITAL_BIND_MYSQL_FAULT_H

#include <lua.h>

#include "base/fault.h"

struct mysql_fault {
    struct fault why;
    const char *phase; /* "target", "policy", "dns", "connect", "tls", "login", "query" */
    char code[6];      /* SQLSTATE; empty: not from the server */
    unsigned number;   /* of the error; 0: none */
    int position;      /* in the statement, in characters from 1; 0: none */
    bool closed;       /* the connection is of no more use */
    bool elsewhere;    /* another address of the host may do what this one could not */
    char hint[200], constraint[65];
};

/* What the library says of a login that failed; phase is how far it came. */
void mysql_fault_of_login(struct mysql_fault *fault, unsigned number, const char *state,
                          const char *text, const char *phase);

/* The same of a statement.  read_only: the session is so by our own wish. */
void mysql_fault_of_statement(struct mysql_fault *fault, unsigned number, const char *state,
                              const char *text, const char *sql, bool read_only);

/* Pushes the fault as a table (contract: src/README.md).  [-0, +1, m] */
void mysql_fault_push(lua_State *L, const struct mysql_fault *fault);

#endif
