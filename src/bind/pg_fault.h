/* pg_fault.h - why PostgreSQL, or the way to it, said no: one kind out of SQLSTATEs and libpq's
 * prose, and a message that holds no secret.
 *
 * Source of the codes: PostgreSQL 15, appendix A. */
#ifndef HOSPITAL_BIND_PG_FAULT_H
#define HOSPITAL_BIND_PG_FAULT_H

#include <lua.h>

#include "base/fault.h"
#include "bind/pq.h"

struct pg_fault {
    struct fault why;
    const char *phase; /* "policy", "dns", "connect", "tls", "login", "query" */
    char code[6];      /* SQLSTATE; empty: not from the server */
    int position;      /* in the statement, in characters from 1; 0: none */
    bool closed;       /* the connection is of no more use */
    bool elsewhere;    /* another server of the target may do what this one could not */
    char detail[600], hint[400], constraint[64];
};

/* What is known of the session when a statement fails. */
struct pg_context {
    bool read_only; /* by our own wish */
    bool timed_out; /* it ran as long as statement_timeout */
};

/* libpq's words about a login that failed (in PQERRORS_VERBOSE); phase is how far it came. */
void pg_fault_of_login(struct pg_fault *fault, const char *text, const char *phase, bool encrypted);

/* The same for a target that libpq cannot read: nothing of it is quoted. */
void pg_fault_of_target(struct pg_fault *fault, const char *text);

/* A result of PGRES_FATAL_ERROR. */
void pg_fault_of_result(struct pg_fault *fault, const struct pq *pq, PGconn *pg,
                        const PGresult *result, const struct pg_context *context);

/* The connection broke: libpq's words about it. */
void pg_fault_of_connection(struct pg_fault *fault, const char *text);

/* Pushes the fault as a table (contract: src/README.md).  [-0, +1, m] */
void pg_fault_push(lua_State *L, const struct pg_fault *fault);

#endif
