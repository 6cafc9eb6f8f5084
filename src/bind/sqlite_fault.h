/* sqlite_fault.h - what SQLite says when it does not do something, as a fault of ours. */
#ifndef HOSPITAL_BIND_SQLITE_FAULT_H
#define HOSPITAL_BIND_SQLITE_FAULT_H

#include "base/fault.h"
#include "bind/sqlite_api.h"

/* Plain memory. */
struct sqlite_problem {
    struct fault fault; /* kind FAULT_NONE: there is none */
    const char *phase;  /* "policy", "connect", "query" */
    int code;           /* SQLite's extended result code; 0: the word is ours */
    unsigned position;  /* characters into the SQL, from 1; 0: unknown */
    bool again;         /* somebody else is at the file: to be tried again in a while */
    bool closed;        /* the connection is of no more use */
    char constraint[128];
    const char *hint; /* NULL: none */
};

/* "SQLITE_CONSTRAINT_UNIQUE"; the plain code's name when the extended one has none. */
const char *sqlite_code_name(int code);

/* Fills *problem with what db says of code, an extended result code.  sql is what was compiled,
 * offset where in the author's text it began; NULL: nothing was.  Always returns false. */
bool sqlite_problem_set(struct sqlite_problem *problem, const struct sqlite_api *api, sqlite3 *db,
                        int code, const char *sql);

#endif
