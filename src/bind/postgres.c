/* postgres.c - sessions with PostgreSQL, for our own Lua: the driver's face that src/README.md
 * describes.
 *
 * Rows arrive in libpq's single-row mode and become Lua's values as they come, only while a
 * script waits for them: a server that never stops fills no memory.  A message that is longer
 * than what a result may hold ends the connection before it has arrived.
 *
 * Statements travel in the extended protocol, which takes one at a time: no text of a check's
 * can smuggle in a second one. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/pg_fault.h"
#include "bind/pg_login.h"
#include "bind/pg_value.h"
#include "bind/portion.h"
#include "loop/op.h"
#include "loop/reactor.h"
#include "vm/charge.h"

enum {
    ERRORS_MAX = 8, /* of one statement: there is one, and perhaps the end of the session */
    ROW_COST = 32,  /* of a row without values, on its way */
    SESSION_COST = 48 * 1024,    /* what libpq holds for one: counted against the sandbox */
    MESSAGE_SLACK = 1024 * 1024, /* above what a result may hold: a message on its way */
    LEFT_MAX = 64 * 1024 * 1024, /* read and dropped of what a script left, for its transaction */
};
static const uint64_t grace_ns = 1 * NS_PER_S; /* for the server to keep statement_timeout itself */

enum stage {
    STAGE_IDLE,
    STAGE_RUNNING,   /* a statement is under way */
    STAGE_STREAMING, /* likewise; rows are asked for one by one */
    STAGE_LEFT,      /* nobody wants the rest of it */
};

struct session {
    struct op op;
    const struct pq *pq;
    struct vm *vm; /* charged; NULL in stock Lua */
    PGconn *pg;    /* owned; NULL: closed */
    struct watch *watch;
    struct pq_cancel *cancel; /* NULL unless one is under way */
    struct pg_turn turn;      /* with its server */
    struct pg_login_result login;
    bool read_only, numbers;
    uint64_t statement_timeout_ns;
    size_t buffered; /* the most that libpq held of a statement or a message; charged */

    enum stage stage;
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
    struct pg_fault fault;
};

/* --- what is given back -------------------------------------------------------------- */

static void forget_statement(struct session *s)
{
    s->pq->clear(s->row);
    s->row = NULL;
    free(s->types);
    s->types = NULL;
    s->columns = 0;
}

/* The connection is of no more use.  What the server still does for it is to end: it notices
 * that nobody is there within client_connection_check_interval, or is told. */
static void disconnect(struct session *s)
{
    if (!s->pg)
        return;
    if (s->pq->transactionStatus(s->pg) == PQTRANS_ACTIVE)
        pq_cancel_start(s->op.reactor, s->pg, NULL, NULL);
    pq_cancel_forget(s->cancel);
    s->cancel = NULL;
    loop_unwatch(s->watch);
    s->watch = NULL;
    forget_statement(s);
    s->held = false;
    s->pq->finish(s->pg);
    s->pg = NULL;
    pg_turn_leave(&s->turn);
    s->stage = STAGE_IDLE;
    vm_uncharge(s->vm, SESSION_COST + s->buffered);
}

/* libpq's buffers grow with what goes through them, and do not shrink. */
static bool charge_buffers(struct session *s, size_t size)
{
    if (size <= s->buffered)
        return true;
    if (!vm_charge(s->vm, size - s->buffered))
        return false;
    s->buffered = size;
    return true;
}

/* Another task may be waiting for it: what it waits for has failed. */
static void session_release(struct op *op)
{
    struct session *s = (struct session *)op;
    disconnect(s);
    s->failed = true;
    s->fault = (struct pg_fault){.phase = "query", .closed = true};
    fault_set(&s->fault.why, FAULT_CANCELLED, "the connection was closed meanwhile");
}

static const struct op_class session_class = {"db connection", session_release};

/* --- the loop's side ------------------------------------------------------------------- */

static void fail_with(struct session *s, enum fault_kind kind, const char *message)
{
    if (s->failed)
        return;
    s->failed = true;
    s->fault = (struct pg_fault){.phase = "query"};
    fault_set(&s->fault.why, kind, "%s", message);
}

/* Ends the wait; the connection is closed by whoever waited.  If the statement had failed before,
 * that is told. */
static void break_off(struct session *s, enum fault_kind kind, const char *message)
{
    fail_with(s, kind, message);
    s->fault.closed = true;
    op_complete(&s->op, NULL);
}

static void give_up(struct session *s)
{
    char message[120];
    snprintf(message, sizeof message,
             "no answer within %.4g s, nor did the server end it by itself",
             (double)s->statement_timeout_ns / (double)NS_PER_S);
    break_off(s, FAULT_TIMEOUT, message);
}

static void on_silence(struct timer *timer)
{
    give_up(list_entry(timer, struct session, op.timeout));
}

static void on_cancelled(void *owner)
{
    struct session *s = owner;
    s->cancel = NULL;
    if (s->over)
        op_complete(&s->op, NULL);
}

static void ask_to_cancel(struct session *s)
{
    if (!s->asked_to_cancel)
        s->cancel = pq_cancel_start(s->op.reactor, s->pg, on_cancelled, s);
    s->asked_to_cancel = true;
}

/* False when the connection broke; told at the next getResult. */
static bool send_more(struct session *s)
{
    portion_begin();
    int left = s->pq->flush(s->pg); /* reads as well, while it cannot write */
    s->unparsed += portion_end();
    s->sent_all = left == 0;
    return left >= 0;
}

static void note_fault(struct session *s, const PGresult *result)
{
    if (++s->errors > ERRORS_MAX)
        break_off(s, FAULT_PROTOCOL, "the server reports error after error");
    if (s->failed || s->stage == STAGE_LEFT)
        return;
    struct pg_context context = {
        .read_only = s->read_only,
        .timed_out = clock_now_ns() - s->sent_ns + 50 * NS_PER_MS >= s->statement_timeout_ns,
    };
    s->failed = true;
    pg_fault_of_result(&s->fault, s->pq, s->pg, result, &context);
}

/* What the server said last is a better reason than that it is gone. */
static void note_broken(struct session *s)
{
    if (!s->failed)
        pg_fault_of_connection(&s->fault, s->pq->errorMessage(s->pg));
    s->fault.closed = true;
    s->failed = true;
}

/* Under TLS, libpq 15 may leave a part of a record with OpenSSL, which no descriptor tells of: so
 * it is asked again until OpenSSL finds nothing to read. */
static bool consume(struct session *s)
{
    enum { PIECES_MAX = 2 * PORTION / 8192 };
    bool tls = s->pq->sslInUse(s->pg);
    portion_begin();
    bool ok = s->pq->consumeInput(s->pg);
    for (int i = 0; ok && tls && !portion_is_dry() && i < PIECES_MAX; i++)
        ok = s->pq->consumeInput(s->pg);
    s->unparsed += portion_end();
    return ok;
}

/* A server that ends a session says why, just before the connection ends.  What has no SQLSTATE
 * is libpq's own, which note_broken tells. */
static void hear_last_words(struct session *s)
{
    bool more = true;
    while (more && !s->pq->isBusy(s->pg)) {
        PGresult *result = s->pq->getResult(s->pg);
        bool said = result && s->pq->resultErrorField(result, PG_DIAG_SQLSTATE);
        if (said)
            note_fault(s, result);
        more = result && !said && s->pq->resultStatus(result) != PGRES_FATAL_ERROR;
        s->pq->clear(result);
    }
}

static void read_more(struct session *s)
{
    if (!consume(s)) {
        hear_last_words(s);
        note_broken(s);
        op_complete(&s->op, NULL);
    } else if (!s->pq->isBusy(s->pg)) {
        op_complete(&s->op, NULL);
    } else if (s->unparsed > s->max_bytes + MESSAGE_SLACK) {
        break_off(s, FAULT_LIMIT,
                  "the server sends a message longer than a result may be (max_bytes)");
    } else if (!charge_buffers(s, s->unparsed)) {
        break_off(s, FAULT_LIMIT,
                  "the server sends more than there is memory for (--memory-limit)");
    }
}

static void on_ready(void *owner, int status, int events)
{
    struct session *s = owner;
    if (status < 0) /* libpq finds out why */
        events = LOOP_READ;
    if (!s->sent_all && !send_more(s))
        events |= LOOP_READ;
    if (events & LOOP_READ)
        read_more(s);
    loop_watch_change(s->watch, s->op.done ? 0 : s->sent_all ? LOOP_READ : LOOP_READ | LOOP_WRITE);
}

/* --- a statement, result by result -------------------------------------------------------- */

/* "INSERT 0 1" -> "INSERT" */
static void note_command(struct session *s, PGresult *result)
{
    snprintf(s->command, sizeof s->command, "%s", s->pq->cmdStatus(result));
    snprintf(s->affected, sizeof s->affected, "%s", s->pq->cmdTuples(result));
    size_t size = strlen(s->command);
    while (size > 0 && strchr(" 0123456789", s->command[size - 1]))
        size--;
    s->command[size] = '\0';
}

/* The first counts.  libpq puts all of them into one text, which must not grow for ever. */
/* A transaction would not survive a cancel: so the rest is read, as long as it is not much.  A
 * server that does not stop when it is asked to is left. */
static void note_dropped(struct session *s, const PGresult *result)
{
    s->dropped += ROW_COST;
    for (int i = 0; i < s->pq->nfields(result); i++)
        s->dropped += (size_t)s->pq->getlength(result, 0, i);
    if (s->dropped > LEFT_MAX)
        ask_to_cancel(s);
    if (s->dropped > 2 * LEFT_MAX)
        break_off(s, FAULT_LIMIT, "the server goes on sending rows though it was asked to stop");
}

/* What the result is; false when it is the row that the caller is to have. */
static bool digest(struct session *s, PGresult *result)
{
    switch (s->pq->resultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        if (s->failed || s->stage == STAGE_LEFT) {
            note_dropped(s, result);
            return true;
        }
        s->row = result;
        return false;
    case PGRES_TUPLES_OK:
        if (!s->types && !s->failed)
            s->row = result; /* no rows: for its columns */
        note_command(s, result);
        return !s->row;
    case PGRES_COMMAND_OK: note_command(s, result); return true;
    case PGRES_EMPTY_QUERY: fail_with(s, FAULT_SYNTAX, "the statement is empty"); return true;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        fail_with(s, FAULT_SYNTAX, "COPY from or to the client is not possible here");
        s->fault.closed = true;
        s->over = true;
        return true;
    default: note_fault(s, result); return true;
    }
}

enum taken { TAKEN_ROW, TAKEN_WAIT, TAKEN_END };

/* The next row into s->row, if it is there. */
static enum taken take(struct session *s)
{
    s->pq->clear(s->row);
    s->row = NULL;
    if (!s->pg)
        return TAKEN_END;
    while (!s->over && !(s->failed && s->fault.closed) && !s->pq->isBusy(s->pg)) {
        PGresult *result = s->pq->getResult(s->pg);
        s->unparsed = 0;
        if (!result) {
            s->over = true;
            break;
        }
        if (!digest(s, result))
            return TAKEN_ROW;
        s->pq->clear(result);
    }
    bool ended = s->over || (s->failed && s->fault.closed);
    /* who asked for a cancel must know that it does not hit the next statement */
    return ended && (!s->cancel || s->fault.closed) ? TAKEN_END : TAKEN_WAIT;
}

static void end_statement(struct session *s)
{
    forget_statement(s);
    s->stage = STAGE_IDLE;
    if (s->failed && s->fault.closed)
        disconnect(s);
}

static int wait(lua_State *L, struct session *s, lua_KFunction k)
{
    op_begin(&s->op);
    if (!s->over)
        loop_watch_change(s->watch, s->sent_all ? LOOP_READ : LOOP_READ | LOOP_WRITE);
    uint64_t until_ns = s->began_ns + s->statement_timeout_ns + grace_ns;
    s->op.timeout.on_due = on_silence;
    loop_timer_arm(&s->op.reactor->loop, &s->op.timeout, until_ns);
    if (clock_now_ns() >= until_ns) /* rows that never end leave the timer no turn */
        give_up(s);
    return op_await(L, &s->op, 0, k);
}

/* --- columns and rows ------------------------------------------------------------------------ */

static bool has_name_twice(lua_State *L, const struct session *s, const PGresult *result)
{
    bool twice = false;
    lua_createtable(L, 0, s->columns);
    for (int i = 0; i < s->columns && !twice; i++) {
        lua_pushstring(L, s->pq->fname(result, i));
        lua_pushvalue(L, -1);
        twice = lua_rawget(L, -3) != LUA_TNIL;
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
    return twice;
}

/* With the first row, or with none.  [-0, +0, m] */
static void learn_columns(lua_State *L, struct session *s)
{
    if (s->types)
        return;
    s->columns = s->pq->nfields(s->row);
    s->types = memory_new((size_t)s->columns * sizeof *s->types + 1);
    for (int i = 0; i < s->columns; i++)
        s->types[i] = pg_type_of(s->pq->ftype(s->row, i), s->numbers);
    if (s->named && has_name_twice(L, s, s->row)) {
        fail_with(s, FAULT_SYNTAX,
                  "two columns of the result have one name, so one would be lost: give each a name "
                  "of its own (select a.id as a_id, …)");
        ask_to_cancel(s);
    }
}

static void push_columns(lua_State *L, const struct session *s)
{
    lua_createtable(L, s->columns, 0);
    for (int i = 0; i < s->columns; i++) {
        lua_pushstring(L, s->pq->fname(s->row, i));
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_row(lua_State *L, const struct session *s)
{
    const struct pq *pq = s->pq;
    luaL_checkstack(L, 12, "a row");
    lua_createtable(L, s->named ? 0 : s->columns, s->named ? s->columns : 0);
    for (int i = 0; i < s->columns; i++) {
        if (s->named)
            lua_pushstring(L, pq->fname(s->row, i));
        pg_value_push(L, s->types[i], pq->getvalue(s->row, 0, i),
                      (size_t)pq->getlength(s->row, 0, i), pq->getisnull(s->row, 0, i));
        if (s->named)
            lua_rawset(L, -3);
        else
            lua_rawseti(L, -2, i + 1);
    }
}

/* Counts the row; false when it is one too many, or too large. */
static bool count_row(struct session *s)
{
    char message[160];
    s->rows++;
    if (s->stage == STAGE_STREAMING)
        s->bytes = 0; /* the rows before are gone */
    for (int i = 0; i < s->columns; i++)
        s->bytes += (size_t)s->pq->getlength(s->row, 0, i);
    if (s->rows <= s->max_rows && s->bytes <= s->max_bytes)
        return true;
    if (s->rows > s->max_rows)
        snprintf(message, sizeof message,
                 "the result has more than %lld rows: ask for fewer (limit), or set max_rows",
                 (long long)s->max_rows);
    else
        snprintf(message, sizeof message,
                 "the result has more than %zu bytes: ask for less, or set max_bytes",
                 s->max_bytes);
    fail_with(s, FAULT_LIMIT, message);
    ask_to_cancel(s);
    return false;
}

/* --- beginning ----------------------------------------------------------------------------------
 */

static struct session *check_session(lua_State *L)
{
    struct session *s = op_check(L, 1, &session_class);
    if (!s->pg)
        luaL_error(L, "the connection is closed");
    return s;
}

/* The same, for a statement: nobody else may be at it. */
static struct session *check_idle(lua_State *L)
{
    struct session *s = check_session(L);
    op_check_may_wait(L, &s->op);
    if (!s->op.done || s->stage == STAGE_RUNNING || s->stage == STAGE_STREAMING)
        luaL_error(L, "the connection is busy with another statement");
    return s;
}

static lua_Integer integer_field(lua_State *L, int index, const char *name, lua_Integer missing)
{
    lua_getfield(L, index, name);
    lua_Integer value = luaL_optinteger(L, -1, missing);
    lua_pop(L, 1);
    return value;
}

static void read_how(lua_State *L, int index, struct session *s)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "shape");
    s->named = strcmp(luaL_checkstring(L, -1), "named") == 0;
    lua_pop(L, 1);
    s->most = integer_field(L, index, "most", LUA_MAXINTEGER);
    s->max_rows = integer_field(L, index, "max_rows", LUA_MAXINTEGER);
    s->max_bytes = (size_t)integer_field(L, index, "max_bytes", 8 << 20);
}

/* sent: what libpq said to the statement. */
static void begin_statement(struct session *s, enum stage stage, int sent)
{
    forget_statement(s);
    s->stage = stage;
    s->failed = s->over = s->held = s->asked_to_cancel = false;
    s->rows = 0;
    s->errors = 0;
    s->bytes = s->unparsed = s->dropped = 0;
    s->command[0] = s->affected[0] = '\0';
    s->sent_ns = s->began_ns = clock_now_ns();
    if (!sent || !send_more(s))
        note_broken(s);
}

static void send_statement(lua_State *L, struct session *s, enum stage stage)
{
    struct pg_parameters p;
    lua_getfield(L, 3, "n");
    int count = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    s->in_transaction = s->pq->transactionStatus(s->pg) != PQTRANS_IDLE;
    pg_parameters_read(L, 3, count, &p);
    int sent = s->pq->sendQueryParams(s->pg, lua_tostring(L, 2), p.count, p.types, p.values,
                                      p.sizes, p.formats, 0);
    pg_parameters_fini(&p);
    if (sent)
        s->pq->setSingleRowMode(s->pg);
    begin_statement(s, stage, sent);
}

/* What a script left is read and dropped first: then the statement may be sent.  TAKEN_END: it
 * may now. */
static enum taken drop_left(struct session *s)
{
    enum taken taken;
    if (s->stage != STAGE_LEFT)
        return TAKEN_END;
    while ((taken = take(s)) == TAKEN_ROW) {
    }
    return taken;
}

/* --- run -----------------------------------------------------------------------------------------
 */

/* Stack: the connection, the statement, its parameters, how, the rows, the columns. */

static int push_fault(lua_State *L, struct session *s)
{
    lua_pushnil(L);
    pg_fault_push(L, &s->fault);
    lua_pushstring(L, s->login.label);
    lua_setfield(L, -2, "target");
    lua_createtable(L, 0, 1);
    field_seconds(L, "total", clock_now_ns() - s->began_ns);
    lua_setfield(L, -2, "timings");
    end_statement(s);
    return 2;
}

static int push_result(lua_State *L, struct session *s)
{
    lua_createtable(L, 0, 5);
    lua_pushvalue(L, 5);
    lua_setfield(L, -2, "rows");
    lua_pushvalue(L, 6);
    lua_setfield(L, -2, "columns");
    lua_pushinteger(L, s->rows);
    lua_setfield(L, -2, "count");
    lua_pushstring(L, s->command);
    lua_setfield(L, -2, "command");
    if (s->affected[0]) {
        lua_pushinteger(L, strtoll(s->affected, NULL, 10));
        lua_setfield(L, -2, "affected");
    }
    end_statement(s);
    return 1;
}

static void keep_row(lua_State *L, struct session *s)
{
    bool first = !s->types;
    learn_columns(L, s);
    if (first) {
        push_columns(L, s);
        lua_replace(L, 6);
    }
    if (s->failed || s->pq->ntuples(s->row) == 0 || !count_row(s) || s->rows > s->most)
        return;
    push_row(L, s);
    lua_rawseti(L, 5, s->rows);
}

static int k_run(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    enum taken taken;
    while ((taken = take(s)) == TAKEN_ROW)
        keep_row(L, s);
    if (taken == TAKEN_WAIT)
        return wait(L, s, k_run);
    return s->failed ? push_fault(L, s) : push_result(L, s);
}

static int k_before_run(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (drop_left(s) == TAKEN_WAIT)
        return wait(L, s, k_before_run);
    if (s->failed && s->fault.closed)
        return push_fault(L, s);
    send_statement(L, s, STAGE_RUNNING);
    return k_run(L, LUA_OK, 0);
}

/* Reads the arguments of run and start: (conn, statement, parameters, how). */
static struct session *check_statement(lua_State *L)
{
    size_t size;
    struct session *s = check_idle(L);
    const char *text = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, strlen(text) == size, 2, "a statement holds no zero byte");
    size += pg_parameters_check(L, 3);
    read_how(L, 4, s);
    lua_settop(L, 4);
    if (!charge_buffers(s, size))
        luaL_error(L, "not enough memory for the statement and its parameters (--memory-limit)");
    s->began_ns = clock_now_ns();
    return s;
}

static int l_run(lua_State *L)
{
    check_statement(L);
    lua_newtable(L);
    lua_newtable(L);
    return k_before_run(L, LUA_OK, 0);
}

/* --- control
 * --------------------------------------------------------------------------------------- */

static int k_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    enum taken taken;
    while ((taken = take(s)) == TAKEN_ROW) {
    }
    if (taken == TAKEN_WAIT)
        return wait(L, s, k_control);
    if (s->failed)
        return push_fault(L, s);
    end_statement(s);
    lua_pushboolean(L, 1);
    return 1;
}

static int k_before_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (drop_left(s) == TAKEN_WAIT)
        return wait(L, s, k_before_control);
    if (s->failed && s->fault.closed)
        return push_fault(L, s);
    begin_statement(s, STAGE_RUNNING, s->pq->sendQuery(s->pg, lua_tostring(L, 2)));
    return k_control(L, LUA_OK, 0);
}

static int l_control(lua_State *L)
{
    struct session *s = check_idle(L);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    s->began_ns = clock_now_ns();
    return k_before_control(L, LUA_OK, 0);
}

/* --- row by row
 * -------------------------------------------------------------------------------------- */

/* Holds the next row, if there is one. */
static enum taken take_held(lua_State *L, struct session *s)
{
    enum taken taken = TAKEN_ROW;
    while (!s->held && (taken = take(s)) == TAKEN_ROW) {
        learn_columns(L, s);
        s->held = !s->failed && s->pq->ntuples(s->row) == 1 && count_row(s);
    }
    return taken;
}

static int k_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (take_held(L, s) == TAKEN_WAIT)
        return wait(L, s, k_start);
    if (s->failed)
        return push_fault(L, s);
    lua_pushboolean(L, 1);
    return 1;
}

static int k_before_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (drop_left(s) == TAKEN_WAIT)
        return wait(L, s, k_before_start);
    if (s->failed && s->fault.closed)
        return push_fault(L, s);
    send_statement(L, s, STAGE_STREAMING);
    return k_start(L, LUA_OK, 0);
}

static int l_start(lua_State *L)
{
    check_statement(L);
    return k_before_start(L, LUA_OK, 0);
}

static int k_next(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (take_held(L, s) == TAKEN_WAIT)
        return wait(L, s, k_next);
    if (s->held) {
        s->held = false;
        push_row(L, s);
        return 1;
    }
    if (s->failed)
        return push_fault(L, s);
    end_statement(s);
    return 0;
}

static int l_next(lua_State *L)
{
    struct session *s = check_session(L);
    op_check_may_wait(L, &s->op);
    if (s->stage != STAGE_STREAMING || !s->op.done)
        luaL_error(L, "no rows are being read");
    lua_settop(L, 1);
    s->began_ns = clock_now_ns();
    return k_next(L, LUA_OK, 0);
}

static int l_stop(lua_State *L)
{
    struct session *s = op_check(L, 1, &session_class);
    if (!s->pg || s->stage != STAGE_STREAMING)
        return 0;
    s->held = false;
    if (s->over) {
        end_statement(s);
        return 0;
    }
    s->stage = STAGE_LEFT;
    if (!s->in_transaction)
        ask_to_cancel(s);
    return 0;
}

/* --- what is known, closing
 * ------------------------------------------------------------------------------ */

static int l_state(lua_State *L)
{
    const struct session *s = op_check(L, 1, &session_class);
    const char *state = "closed";
    if (s->pg && s->stage != STAGE_IDLE)
        state = "busy";
    else if (s->pg)
        switch (s->pq->transactionStatus(s->pg)) {
        case PQTRANS_IDLE: state = "idle"; break;
        case PQTRANS_ACTIVE: state = "busy"; break;
        case PQTRANS_INTRANS: state = "transaction"; break;
        case PQTRANS_INERROR: state = "failed"; break;
        case PQTRANS_UNKNOWN: break;
        }
    lua_pushstring(L, state);
    return 1;
}

/* login: total without the wait for a turn, which is `queued`.  [-0, +1, m] */
static void push_timings(lua_State *L, const struct pg_login_result *r)
{
    lua_createtable(L, 0, 6);
    field_seconds(L, "dns", r->dns_ns);
    field_seconds(L, "connect", r->connect_ns);
    if (r->tls_ns)
        field_seconds(L, "tls", r->tls_ns);
    if (r->login_ns)
        field_seconds(L, "login", r->login_ns);
    if (r->queued_ns)
        field_seconds(L, "queued", r->queued_ns);
    field_seconds(L, "total", r->total_ns);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* "15.8" of "15.8 (Debian 15.8-1)". */
static void set_version(lua_State *L, const struct session *s)
{
    const char *version = s->pq->parameterStatus(s->pg, "server_version");
    version = version ? version : "";
    lua_pushlstring(L, version, strcspn(version, " "));
    lua_setfield(L, -2, "version");
    lua_pushinteger(L, s->pq->serverVersion(s->pg));
    lua_setfield(L, -2, "version_number");
}

static int l_info(lua_State *L)
{
    const struct session *s = check_session(L);
    lua_createtable(L, 0, 10);
    set_text(L, "label", s->login.label);
    set_text(L, "server", "PostgreSQL");
    set_version(L, s);
    set_text(L, "user", s->pq->user(s->pg));
    set_text(L, "database", s->pq->db(s->pg));
    set_text(L, "remote_ip", s->login.remote);
    lua_pushboolean(L, s->pq->sslInUse(s->pg));
    lua_setfield(L, -2, "tls");
    push_timings(L, &s->login);
    lua_setfield(L, -2, "timings");
    return 1;
}

static int l_close(lua_State *L)
{
    struct session *s = op_check(L, 1, &session_class);
    op_close(&s->op);
    return 0;
}

/* --- connecting
 * --------------------------------------------------------------------------------------------- */

struct connect {
    struct op op;
    const struct pq *pq;
    struct pg_login *login;
    struct pg_login_options options;
    bool numbers;
    struct pg_fault fault;
};

static void connect_release(struct op *op)
{
    pg_login_free(((struct connect *)op)->login);
}

static const struct op_class connect_class = {"db.connect", connect_release};

static void on_logged_in(void *owner, const struct pg_fault *why)
{
    struct connect *c = owner;
    if (why)
        c->fault = *why;
    op_complete(&c->op, why ? &why->why : NULL);
}

static int push_connect_fault(lua_State *L, const struct connect *c)
{
    const struct pg_login_result *result = pg_login_result(c->login);
    lua_pushnil(L);
    pg_fault_push(L, &c->fault);
    if (result->label[0]) {
        lua_pushstring(L, result->label);
        lua_setfield(L, -2, "target");
    }
    push_timings(L, result);
    lua_setfield(L, -2, "timings");
    return 2;
}

/* The session, made of what the login brought.  [-0, +1, v] */
static void push_session(lua_State *L, const struct connect *c)
{
    static const luaL_Reg methods[] = {
        {"run", l_run},   {"control", l_control}, {"start", l_start},
        {"next", l_next}, {"stop", l_stop},       {"state", l_state},
        {"info", l_info}, {"close", l_close},     {NULL, NULL},
    };
    struct session *s = op_new_object(L, sizeof *s, &session_class, methods);
    op_complete(&s->op, NULL); /* idle */
    struct vm *vm = vm_of(L);
    if (!vm_charge_live(L, vm, SESSION_COST))
        luaL_error(L, "not enough memory for another connection (--memory-limit)");
    s->vm = vm;
    s->pq = c->pq;
    s->login = *pg_login_result(c->login);
    s->read_only = !c->options.write;
    s->numbers = c->numbers;
    s->statement_timeout_ns = c->options.statement_timeout_ns;
    s->max_bytes = 8 << 20;
    s->pg = pg_login_take(c->login, &s->turn);
    s->watch = loop_watch(&s->op.reactor->loop, s->pq->socket(s->pg), 0, on_ready, s);
    if (!s->watch)
        luaL_error(L, "the connection cannot be watched");
}

static int k_connect(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    const struct connect *c = lua_touserdata(L, 3);
    if (c->op.fault.kind != FAULT_NONE)
        return push_connect_fault(L, c);
    push_session(L, c);
    return 1;
}

static void read_options(lua_State *L, struct pg_login_options *options, bool *numbers)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    options->timeout_ns = field_check_seconds(L, 2, "timeout");
    options->statement_timeout_ns = field_check_seconds(L, 2, "statement_timeout");
    options->lock_timeout_ns = field_check_seconds(L, 2, "lock_timeout");
    options->idle_timeout_ns = field_check_seconds(L, 2, "idle_timeout");
    lua_getfield(L, 2, "write");
    options->write = lua_toboolean(L, -1);
    lua_getfield(L, 2, "numeric");
    *numbers = strcmp(luaL_optstring(L, -1, "string"), "number") == 0;
    lua_getfield(L, 2, "application_name");
    options->application_name = luaL_optstring(L, -1, "hospital");
    lua_pop(L, 3); /* the table holds the text */
}

/* libpq not being there is a fault like any other. */
static const struct pq *load(lua_State *L, struct pg_fault *fault)
{
    *fault = (struct pg_fault){.phase = "connect", .closed = true};
    return pq_load(reactor_of(L), &fault->why);
}

static int l_connect(lua_State *L)
{
    struct pg_login_options options = {.target = luaL_checkstring(L, 1)};
    struct pg_fault fault;
    bool numbers;
    read_options(L, &options, &numbers);
    lua_settop(L, 2);
    const struct pq *pq = load(L, &fault);
    if (!pq) {
        lua_pushnil(L);
        pg_fault_push(L, &fault);
        return 2;
    }
    struct connect *c = op_new(L, sizeof *c, &connect_class);
    lua_toclose(L, 3);
    op_check_may_wait(L, &c->op);
    c->pq = pq;
    c->options = options;
    c->numbers = numbers;
    c->login = pg_login_new(c->op.reactor, pq, &options, on_logged_in, c);
    pg_login_start(c->login);
    return op_await(L, &c->op, 0, k_connect);
}

static int l_label(lua_State *L)
{
    struct pg_fault fault;
    char label[200];
    const struct pq *pq = load(L, &fault);
    if (pq && pg_login_label(pq, luaL_checkstring(L, 1), label, &fault)) {
        lua_pushstring(L, label);
        return 1;
    }
    lua_pushnil(L);
    pg_fault_push(L, &fault);
    return 2;
}

int bind_postgres_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"connect", l_connect},
        {"label", l_label},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
