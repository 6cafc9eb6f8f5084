/* pg_session.h - one session with PostgreSQL: its statement under way, result by result.
 *
 * Rows arrive in libpq's single-row mode, and only while somebody waits for them: a server that
 * never stops fills no memory.  A message that is longer than what a result may hold ends the
 * connection before it has arrived.  What is held counts against the sandbox's memory.
 *
 * A statement: pg_session_begin, then pg_session_take until it says PG_TAKEN_END (for
 * PG_TAKEN_WAIT, pg_session_wait comes between), then pg_session_end.  An op that is waited for
 * many times: idle, it is done.  What is Lua's, rows as tables, is pg_statement.c's. */
#ifndef HOSPITAL_BIND_PG_SESSION_H
#define HOSPITAL_BIND_PG_SESSION_H

#include <lua.h>

#include "bind/pg_fault.h"
#include "bind/pg_login.h"
#include "bind/pg_value.h"
#include "bind/pq.h"
#include "loop/op.h"

enum { PG_SESSION_COST = 48 * 1024 }; /* what libpq holds for one: counted against the sandbox */

enum pg_stage {
    PG_STAGE_IDLE,
    PG_STAGE_RUNNING,   /* a statement is under way */
    PG_STAGE_STREAMING, /* likewise; rows are asked for one by one */
    PG_STAGE_LEFT,      /* nobody wants the rest of it */
};

struct pg_session {
    struct op op;
    const struct pq *pq;
    struct vm *vm; /* charged; NULL in stock Lua */
    PGconn *pg;    /* owned; NULL: closed */
    struct watch *watch;
    struct pq_cancel *cancel; /* NULL unless one is under way */
    struct pg_turn turn;      /* with its server */
    struct db_login_result login;
    bool read_only, numbers;
    uint64_t statement_timeout_ns;
    size_t buffered; /* the most that libpq held of a statement or a message; charged */

    enum pg_stage stage;
    PGresult *row;              /* owned; one row, or NULL */
    uint64_t sent_ns, began_ns; /* began: whoever waits now */
    bool named, in_transaction; /* when it began */
    bool failed;                /* fault says why; what else comes is dropped */
    bool held;                  /* row is the next that a stream gives */
    bool asked_to_cancel;
    bool sent_all, over; /* over: the last result has come */
    lua_Integer rows, most, max_rows;
    size_t bytes, max_bytes, unparsed, dropped; /* unparsed: came since the last whole result */
    enum pg_type *types;                        /* of the columns, once they are known; owned */
    int columns;
    unsigned errors;
    char command[64], affected[24];
    struct db_fault fault;
};

extern const struct op_class pg_session_class;

/* The session at index 1, which is open; or an error.  [-0, +0, v] */
struct pg_session *pg_session_check(lua_State *L);

/* The same, for a statement: nobody else may be at it. */
struct pg_session *pg_session_check_idle(lua_State *L);

/* Watches the connection of a session whose pg was set; false when that cannot be. */
bool pg_session_watch(struct pg_session *s) CHECKED;

/* The next row into s->row, if it is there. */
enum pg_taken { PG_TAKEN_ROW, PG_TAKEN_WAIT, PG_TAKEN_END };
enum pg_taken pg_session_take(struct pg_session *s);

/* Begins a statement that was given to libpq; sent is what libpq said to it. */
void pg_session_begin(struct pg_session *s, enum pg_stage stage, int sent);

/* What a script left is read and dropped first: then the statement may be sent.  PG_TAKEN_END: it
 * may now. */
enum pg_taken pg_session_drop_left(struct pg_session *s);

/* Waits for more, then continues in k: see op_await.  [-?, +?, v] */
int pg_session_wait(lua_State *L, struct pg_session *s, lua_KFunction k);

/* Counts the row in s->row; false when it is one too many, or too large: the statement has failed.
 */
bool pg_session_count_row(struct pg_session *s);

/* The statement fails, unless it has failed; what else comes of it is dropped. */
void pg_session_fail(struct pg_session *s, enum fault_kind kind, const char *message);
void pg_session_cancel(struct pg_session *s); /* asks the server to end it; once */

/* All of it was taken.  A connection of no more use is closed. */
void pg_session_end(struct pg_session *s);

/* libpq's buffers grow with what goes through them, and do not shrink. */
bool pg_session_charge(struct pg_session *s, size_t size) CHECKED;

#endif
