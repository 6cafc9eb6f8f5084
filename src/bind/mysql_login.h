/* mysql_login.h - from a target to a session with MySQL or MariaDB that is logged in and set as
 * we want it.
 *
 * The target's name is resolved by us (bind/dns.h), its addresses, socket and files are asked of
 * the policy, and the addresses tried one after the other, each on a thread (loop/errand.h); few
 * at once with one server (bind/pg_turn.h).
 *
 * Every session is bounded by the server too: max_statement_time (MySQL: max_execution_time,
 * which binds queries alone), lock_wait_timeout and innodb_lock_wait_timeout, wait_timeout; its
 * texts are UTF-8 and UTC, its sql_mode strict, autocommit is on; it is read-only unless asked
 * otherwise, and that it is so is verified.
 *
 * Lives on the heap; it may be freed at any time, also while a thread works for it. */
#ifndef HOSPITAL_BIND_MYSQL_LOGIN_H
#define HOSPITAL_BIND_MYSQL_LOGIN_H

#include "bind/mysql_link.h"
#include "bind/pg_turn.h"

struct reactor;
struct mysql_login;

struct mysql_login_options {
    const char *target, *application_name; /* copied */
    uint64_t timeout_ns;                   /* for all of it, but not for waiting for a turn */
    uint64_t statement_timeout_ns, lock_timeout_ns, idle_timeout_ns;
    bool write;
};

/* Told once, from the loop or from inside mysql_login_start; the login may not be freed from
 * inside.  why is NULL when mysql_login_take has something to give. */
typedef void mysql_login_done_fn(void *owner, const struct db_fault *why);

/* Returns owned. */
struct mysql_login *mysql_login_new(struct reactor *reactor, struct mysql_api *api,
                                    const struct mysql_login_options *options,
                                    mysql_login_done_fn *on_done, void *owner);
void mysql_login_start(struct mysql_login *login);
void mysql_login_free(struct mysql_login *login); /* NULL is harmless */

const struct db_login_result *mysql_login_result(const struct mysql_login *login);

/* Returns owned; what is left of its turn with the server goes into turn. */
struct mysql_link *mysql_login_take(struct mysql_login *login, struct pg_turn *turn);

#endif
