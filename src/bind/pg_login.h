/* pg_login.h - from a target to a session with PostgreSQL that is logged in and set as we want
 * it.
 *
 * A target is what libpq reads: a URI, keywords, a service, the PG variables of the environment.
 * Its names are resolved by us (bind/dns.h), its addresses and files asked of the policy, and
 * tried one after the other.  What a login costs processor time for (TLS, SCRAM) happens on
 * threads; few logins are under way at once (bind/pg_turn.h).
 *
 * Every session is bounded by the server too: statement_timeout, lock_timeout,
 * idle_in_transaction_session_timeout, client_connection_check_interval; its texts are UTF-8,
 * ISO and UTC; it is read-only unless asked otherwise, and that it is so is verified.
 *
 * Lives on the heap; it may be freed at any time, also while a thread works for it. */
#ifndef HOSPITAL_BIND_PG_LOGIN_H
#define HOSPITAL_BIND_PG_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "bind/pg_fault.h"
#include "bind/pg_turn.h"
#include "bind/pq.h"

struct reactor;
struct pg_login;

struct pg_login_options {
    const char *target, *application_name; /* copied */
    uint64_t timeout_ns;                   /* for all of it, but not for waiting for turns */
    uint64_t statement_timeout_ns, lock_timeout_ns, idle_timeout_ns;
    bool write;
};

/* Told once, from the loop or from inside pg_login_start; the login may not be freed from inside.
 * why is NULL when pg_login_take has something to give. */
typedef void pg_login_done_fn(void *owner, const struct db_fault *why);

/* Returns owned. */
struct pg_login *pg_login_new(struct reactor *reactor, const struct pq *pq,
                              const struct pg_login_options *options, pg_login_done_fn *on_done,
                              void *owner);
void pg_login_start(struct pg_login *login);
void pg_login_free(struct pg_login *login); /* NULL is harmless */

const struct db_login_result *pg_login_result(const struct pg_login *login);
/* Returns owned; what is left of its turn goes into turn. */
PGconn *pg_login_take(struct pg_login *login, struct pg_turn *turn);

/* The label of a target without connecting; false and *why when it cannot be read. */
bool pg_login_label(const struct pq *pq, const char *target, char label[200], struct db_fault *why);

#endif
