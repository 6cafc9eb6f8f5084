/* pg_fault.h - why PostgreSQL, or the way to it, said no: one kind out of SQLSTATEs and libpq's
 * prose, and a message that holds no secret.
 *
 * Source of the codes: PostgreSQL 15, appendix A. */
#ifndef HOSPITAL_BIND_PG_FAULT_H
#define HOSPITAL_BIND_PG_FAULT_H

#include "bind/db_face.h"
#include "bind/pq.h"

/* What is known of the session when a statement fails. */
struct pg_context {
    bool read_only; /* by our own wish */
    bool timed_out; /* it ran as long as statement_timeout */
};

/* libpq's words about a login that failed (in PQERRORS_VERBOSE); phase is how far it came. */
void pg_fault_of_login(struct db_fault *fault, const char *text, const char *phase, bool encrypted);

/* The same for a target that libpq cannot read: nothing of it is quoted. */
void pg_fault_of_target(struct db_fault *fault, const char *text);

/* A result of PGRES_FATAL_ERROR. */
void pg_fault_of_result(struct db_fault *fault, const struct pq *pq, PGconn *pg,
                        const PGresult *result, const struct pg_context *context);

/* The connection broke: libpq's words about it. */
void pg_fault_of_connection(struct db_fault *fault, const char *text);

#endif
