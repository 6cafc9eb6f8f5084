/* pg_session.c - see pg_session.h. */
#include "bind/pg_session.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/portion.h"
#include "loop/reactor.h"
#include "vm/charge.h"

enum {
    ERRORS_MAX = 8, /* of one statement: there is one, and perhaps the end of the session */
    ROW_COST = 32,  /* of a row without values, on its way */
    MESSAGE_SLACK = 1024 * 1024, /* above what a result may hold: a message on its way */
    LEFT_MAX = 64 * 1024 * 1024, /* read and dropped of what a script left, for its transaction */
};
static const uint64_t grace_ns = 1 * NS_PER_S; /* for the server to keep statement_timeout itself */

/* --- what is given back -------------------------------------------------------------- */

static void forget_statement(struct pg_session *s)
{
    s->pq->clear(s->row);
    s->row = NULL;
    free(s->types);
    s->types = NULL;
    s->columns = 0;
}

/* The connection is of no more use.  What the server still does for it is to end: it notices
 * that nobody is there within client_connection_check_interval, or is told. */
static void disconnect(struct pg_session *s)
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
    s->stage = PG_STAGE_IDLE;
    vm_uncharge(s->vm, PG_SESSION_COST + s->buffered);
}

/* libpq's buffers grow with what goes through them, and do not shrink. */
bool pg_session_charge(struct pg_session *s, size_t size)
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
    struct pg_session *s = (struct pg_session *)op;
    disconnect(s);
    s->failed = true;
    s->fault = (struct db_fault){.phase = "query", .closed = true};
    fault_set(&s->fault.why, FAULT_CANCELLED, "the connection was closed meanwhile");
}

const struct op_class pg_session_class = {"db connection", session_release};

/* --- the loop's side ------------------------------------------------------------------- */

void pg_session_fail(struct pg_session *s, enum fault_kind kind, const char *message)
{
    if (s->failed)
        return;
    s->failed = true;
    s->fault = (struct db_fault){.phase = "query"};
    fault_set(&s->fault.why, kind, "%s", message);
}

/* Ends the wait; the connection is closed by whoever waited.  If the statement had failed before,
 * that is told. */
static void break_off(struct pg_session *s, enum fault_kind kind, const char *message)
{
    pg_session_fail(s, kind, message);
    s->fault.closed = true;
    op_complete(&s->op, NULL);
}

static void give_up(struct pg_session *s)
{
    char message[120];
    snprintf(message, sizeof message,
             "no answer within %.4g s, nor did the server end it by itself",
             (double)s->statement_timeout_ns / (double)NS_PER_S);
    break_off(s, FAULT_TIMEOUT, message);
}

static void on_silence(struct timer *timer)
{
    give_up(list_entry(timer, struct pg_session, op.timeout));
}

static void on_cancelled(void *owner)
{
    struct pg_session *s = owner;
    s->cancel = NULL;
    if (s->over)
        op_complete(&s->op, NULL);
}

void pg_session_cancel(struct pg_session *s)
{
    if (!s->asked_to_cancel)
        s->cancel = pq_cancel_start(s->op.reactor, s->pg, on_cancelled, s);
    s->asked_to_cancel = true;
}

/* False when the connection broke; told at the next getResult. */
static bool send_more(struct pg_session *s)
{
    portion_begin();
    int left = s->pq->flush(s->pg); /* reads as well, while it cannot write */
    s->unparsed += portion_end();
    s->sent_all = left == 0;
    return left >= 0;
}

static void note_fault(struct pg_session *s, const PGresult *result)
{
    if (++s->errors > ERRORS_MAX)
        break_off(s, FAULT_PROTOCOL, "the server reports error after error");
    if (s->failed || s->stage == PG_STAGE_LEFT)
        return;
    struct pg_context context = {
        .read_only = s->read_only,
        .timed_out = clock_now_ns() - s->sent_ns + 50 * NS_PER_MS >= s->statement_timeout_ns,
    };
    s->failed = true;
    pg_fault_of_result(&s->fault, s->pq, s->pg, result, &context);
}

/* What the server said last is a better reason than that it is gone. */
static void note_broken(struct pg_session *s)
{
    if (!s->failed)
        pg_fault_of_connection(&s->fault, s->pq->errorMessage(s->pg));
    s->fault.closed = true;
    s->failed = true;
}

/* Under TLS, libpq 15 may leave a part of a record with OpenSSL, which no descriptor tells of: so
 * it is asked again until OpenSSL finds nothing to read. */
static bool consume(struct pg_session *s)
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
static void hear_last_words(struct pg_session *s)
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

static void read_more(struct pg_session *s)
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
    } else if (!pg_session_charge(s, s->unparsed)) {
        break_off(s, FAULT_LIMIT,
                  "the server sends more than there is memory for (--memory-limit)");
    }
}

static void on_ready(void *owner, int status, int events)
{
    struct pg_session *s = owner;
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
static void note_command(struct pg_session *s, PGresult *result)
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
static void note_dropped(struct pg_session *s, const PGresult *result)
{
    s->dropped += ROW_COST;
    for (int i = 0; i < s->pq->nfields(result); i++)
        s->dropped += (size_t)s->pq->getlength(result, 0, i);
    if (s->dropped > LEFT_MAX)
        pg_session_cancel(s);
    if (s->dropped > 2 * LEFT_MAX)
        break_off(s, FAULT_LIMIT, "the server goes on sending rows though it was asked to stop");
}

/* What the result is; false when it is the row that the caller is to have. */
static bool digest(struct pg_session *s, PGresult *result)
{
    switch (s->pq->resultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        if (s->failed || s->stage == PG_STAGE_LEFT) {
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
    case PGRES_EMPTY_QUERY: pg_session_fail(s, FAULT_SYNTAX, "the statement is empty"); return true;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        pg_session_fail(s, FAULT_SYNTAX, "COPY from or to the client is not possible here");
        s->fault.closed = true;
        s->over = true;
        return true;
    default: note_fault(s, result); return true;
    }
}

/* The next row into s->row, if it is there. */
enum pg_taken pg_session_take(struct pg_session *s)
{
    s->pq->clear(s->row);
    s->row = NULL;
    if (!s->pg)
        return PG_TAKEN_END;
    while (!s->over && !(s->failed && s->fault.closed) && !s->pq->isBusy(s->pg)) {
        PGresult *result = s->pq->getResult(s->pg);
        s->unparsed = 0;
        if (!result) {
            s->over = true;
            break;
        }
        if (!digest(s, result))
            return PG_TAKEN_ROW;
        s->pq->clear(result);
    }
    bool ended = s->over || (s->failed && s->fault.closed);
    /* who asked for a cancel must know that it does not hit the next statement */
    return ended && (!s->cancel || s->fault.closed) ? PG_TAKEN_END : PG_TAKEN_WAIT;
}

void pg_session_end(struct pg_session *s)
{
    forget_statement(s);
    s->stage = PG_STAGE_IDLE;
    if (s->failed && s->fault.closed)
        disconnect(s);
}

int pg_session_wait(lua_State *L, struct pg_session *s, lua_KFunction k)
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

/* sent: what libpq said to the statement. */
void pg_session_begin(struct pg_session *s, enum pg_stage stage, int sent)
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

/* What a script left is read and dropped first: then the statement may be sent.  PG_TAKEN_END: it
 * may now. */
enum pg_taken pg_session_drop_left(struct pg_session *s)
{
    enum pg_taken taken;
    if (s->stage != PG_STAGE_LEFT)
        return PG_TAKEN_END;
    while ((taken = pg_session_take(s)) == PG_TAKEN_ROW) {
    }
    return taken;
}

/* Counts the row; false when it is one too many, or too large. */
bool pg_session_count_row(struct pg_session *s)
{
    char message[160];
    s->rows++;
    if (s->stage == PG_STAGE_STREAMING)
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
    pg_session_fail(s, FAULT_LIMIT, message);
    pg_session_cancel(s);
    return false;
}

/* --- for those who speak Lua ---------------------------------------------------------- */

struct pg_session *pg_session_check(lua_State *L)
{
    struct pg_session *s = op_check(L, 1, &pg_session_class);
    if (!s->pg)
        luaL_error(L, "the connection is closed");
    return s;
}

/* The same, for a statement: nobody else may be at it. */
struct pg_session *pg_session_check_idle(lua_State *L)
{
    struct pg_session *s = pg_session_check(L);
    op_check_may_wait(L, &s->op);
    if (!s->op.done || s->stage == PG_STAGE_RUNNING || s->stage == PG_STAGE_STREAMING)
        luaL_error(L, "the connection is busy with another statement");
    return s;
}

bool pg_session_watch(struct pg_session *s)
{
    s->watch = loop_watch(&s->op.reactor->loop, s->pq->socket(s->pg), 0, on_ready, s);
    return s->watch;
}
