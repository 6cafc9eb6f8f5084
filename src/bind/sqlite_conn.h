/* sqlite_conn.h - a connection as a script holds it: the op, its clocks, its faults.
 *
 * An op that is waited for many times.  What it stands on (sqlite_session.h) works on threads and
 * outlives it.  Nobody waits for a lock on a thread: the job is tried again by a timer; and a
 * statement that takes too long is interrupted. */
#ifndef HOSPITAL_BIND_SQLITE_CONN_H
#define HOSPITAL_BIND_SQLITE_CONN_H

#include <lua.h>

#include "bind/sqlite_session.h"
#include "loop/op.h"

struct vm;

struct sqlite_conn {
    struct op op;
    struct sqlite_session *session; /* NULL: closed */
    struct vm *vm;                  /* charged for what is held; NULL in stock Lua */
    size_t charged;
    struct timer retry;
    enum sqlite_job job; /* what is waited for */
    lua_Integer call;    /* which that is: see await */
    bool timed_out;      /* and was interrupted for it */
    uint64_t timeout_ns, statement_timeout_ns, lock_timeout_ns;
    uint64_t began_ns, locked_ns, retry_ns; /* of the call under way; 0: not locked so far */
    uint64_t connect_ns, total_ns;
    struct sqlite_problem problem;
    bool streaming; /* between start and the last row */
    bool named;
    size_t read_at; /* in the session's rows */
    uint64_t rows_left;
    char label[SQLITE_LABEL_MAX];
};

extern const struct op_class sqlite_conn_class;

/* The connection at 1, which must be free for a call.  [-0, +0, v] */
struct sqlite_conn *sqlite_conn_check(lua_State *L);

/* What is held for it counts against the sandbox. */
bool sqlite_conn_charge(struct sqlite_conn *c, size_t size) CHECKED;
void sqlite_conn_uncharge(struct sqlite_conn *c); /* all of it */

/* Takes the session, and starts to open its file. */
void sqlite_conn_open(struct sqlite_conn *c, struct sqlite_session *session);

/* Starts a job; timeout_ns of 0: it may take as long as the check may. */
void sqlite_conn_begin(struct sqlite_conn *c, enum sqlite_job job, uint64_t timeout_ns);

/* Waits for the call under way; its number is in slot 2.  [-?, +?, v] */
int sqlite_conn_await(lua_State *L, struct sqlite_conn *c, lua_KContext context, lua_KFunction k);

/* Did the wait end badly?  Before this function was resumed another one may have closed the
 * connection, or started a call of its own.  [-0, +0, v] */
bool sqlite_conn_failed(lua_State *L, struct sqlite_conn *c);

/* nil and the fault.  [-0, +2, m] */
int sqlite_conn_push_fault(lua_State *L, struct sqlite_conn *c);

/* The same with a fault of the driver's own.  [-0, +2, m] */
int sqlite_conn_refuse(lua_State *L, struct sqlite_conn *c, enum fault_kind kind,
                       const char *message);
int sqlite_conn_refuse_memory(lua_State *L, struct sqlite_conn *c);

/* Sets a field of the table on top, unless text is NULL or empty.  [-0, +0, m] */
void sqlite_conn_field(lua_State *L, const char *name, const char *text);

/* Its methods.  sqlite_statement.c. */
int l_sqlite_run(lua_State *L);
int l_sqlite_start(lua_State *L);
int l_sqlite_next(lua_State *L);
int l_sqlite_stop(lua_State *L);
int l_sqlite_control(lua_State *L);

#endif
