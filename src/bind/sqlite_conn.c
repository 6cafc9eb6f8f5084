/* sqlite_conn.c - see sqlite_conn.h. */
#include "bind/sqlite_conn.h"

#include <lauxlib.h>

#include "bind/fields.h"
#include "loop/reactor.h"
#include "vm/charge.h"

static const uint64_t retry_first_ns = 5 * NS_PER_MS, retry_most_ns = 50 * NS_PER_MS;

/* An interrupted thread is back within this time, or it hangs in the kernel. */
static const uint64_t grace_ns = NS_PER_S;

/* --- what is held ----------------------------------------------------------- */

bool sqlite_conn_charge(struct sqlite_conn *c, size_t size)
{
    if (!vm_charge(c->vm, size))
        return false;
    c->charged += size;
    return true;
}

void sqlite_conn_uncharge(struct sqlite_conn *c)
{
    vm_uncharge(c->vm, c->charged);
    c->charged = 0;
}

/* The session is given up, its thread ends it. */
static void forget_session(struct sqlite_conn *c)
{
    loop_timer_disarm(&c->op.reactor->loop, &c->retry);
    if (c->session)
        sqlite_session_abandon(c->session);
    c->session = NULL;
    c->streaming = false;
    sqlite_conn_uncharge(c);
}

static void conn_release(struct op *op)
{
    forget_session((struct sqlite_conn *)op);
}

const struct op_class sqlite_conn_class = {"sqlite connection", conn_release};

/* --- how a call ends -------------------------------------------------------- */

static void settle(struct sqlite_conn *c)
{
    loop_timer_disarm(&c->op.reactor->loop, &c->retry);
    c->total_ns = clock_now_ns() - c->began_ns;
    bool failed = c->problem.fault.kind != FAULT_NONE;
    if (failed && (c->problem.closed || c->job == SQLITE_OPEN_FILE))
        forget_session(c);
    op_complete(&c->op, failed ? &c->problem.fault : NULL);
}

/* "not done within 0.2 s": a word of ours and the time it took.  The code stays SQLite's. */
static void settle_with(struct sqlite_conn *c, enum fault_kind kind, const char *what, uint64_t ns,
                        const char *reason)
{
    fault_set(&c->problem.fault, kind, "%s within %.4g s%s", what, (double)ns / (double)NS_PER_S,
              reason);
    c->problem.phase = c->job == SQLITE_OPEN_FILE ? "connect" : "query";
    settle(c);
}

static void settle_locked(struct sqlite_conn *c, uint64_t ns)
{
    settle_with(c, FAULT_LOCK_TIMEOUT, "the database is locked, and was not free", ns, "");
}

static void settle_late(struct sqlite_conn *c)
{
    settle_with(c, FAULT_STATEMENT_TIMEOUT, "not done", c->statement_timeout_ns,
                c->problem.again ? ": the database is locked" : "");
}

/* --- waiting for locks ------------------------------------------------------ */

static void on_retry(struct timer *timer)
{
    struct sqlite_conn *c = list_entry(timer, struct sqlite_conn, retry);
    sqlite_session_start(c->session, c->job);
}

/* False: that was long enough. */
static bool wait_for_lock(struct sqlite_conn *c)
{
    uint64_t now_ns = clock_now_ns(), at_ns = now_ns + c->retry_ns;
    if (!c->locked_ns)
        c->locked_ns = now_ns;
    uint64_t until_ns = c->lock_timeout_ns ? c->locked_ns + c->lock_timeout_ns : UINT64_MAX;
    if (now_ns >= until_ns)
        return false;
    c->retry_ns = c->retry_ns * 2 < retry_most_ns ? c->retry_ns * 2 : retry_most_ns;
    loop_timer_arm(&c->op.reactor->loop, &c->retry, at_ns < until_ns ? at_ns : until_ns);
    return true;
}

static void on_session_done(void *owner)
{
    struct sqlite_conn *c = owner;
    c->problem = c->session->problem;
    if (c->timed_out && (c->problem.again || c->problem.fault.kind == FAULT_CANCELLED))
        settle_late(c);
    else if (!c->problem.again)
        settle(c);
    else if (!wait_for_lock(c))
        settle_locked(c, c->lock_timeout_ns);
}

/* --- the time of a call ----------------------------------------------------- */

static void give_up_connecting(struct sqlite_conn *c)
{
    if (c->problem.again)
        settle_locked(c, c->timeout_ns);
    else
        settle_with(c, FAULT_TIMEOUT, "not opened", c->timeout_ns, "");
}

static void on_timeout(struct timer *timer)
{
    struct sqlite_conn *c = (struct sqlite_conn *)list_entry(timer, struct op, timeout);
    if (c->job == SQLITE_OPEN_FILE) {
        give_up_connecting(c);
    } else if (!sqlite_session_is_busy(c->session)) {
        settle_late(c);
    } else if (!c->timed_out) {
        c->timed_out = true;
        sqlite_session_stop(c->session);
        loop_timer_arm(&c->op.reactor->loop, timer, clock_now_ns() + grace_ns);
    } else {
        c->problem = (struct sqlite_problem){.closed = true};
        settle_late(c);
    }
}

void sqlite_conn_begin(struct sqlite_conn *c, enum sqlite_job job, uint64_t timeout_ns)
{
    op_begin(&c->op);
    c->job = job;
    c->call++;
    c->timed_out = false;
    c->problem = (struct sqlite_problem){.phase = "query"};
    c->locked_ns = 0;
    c->retry_ns = retry_first_ns;
    c->began_ns = clock_now_ns();
    c->op.timeout.on_due = on_timeout;
    if (timeout_ns)
        loop_timer_arm(&c->op.reactor->loop, &c->op.timeout, c->began_ns + timeout_ns);
    sqlite_session_start(c->session, job);
}

void sqlite_conn_open(struct sqlite_conn *c, struct sqlite_session *session)
{
    c->retry.on_due = on_retry;
    c->session = session;
    session->owner = c;
    session->on_done = on_session_done;
    sqlite_conn_begin(c, SQLITE_OPEN_FILE, c->timeout_ns);
}

/* --- faults ----------------------------------------------------------------- */

void sqlite_conn_field(lua_State *L, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

int sqlite_conn_push_fault(lua_State *L, struct sqlite_conn *c)
{
    const struct sqlite_problem *problem = &c->problem;
    lua_pushnil(L);
    field_push_fault(L, &problem->fault, problem->phase);
    sqlite_conn_field(L, "target", c->label);
    sqlite_conn_field(L, "code", problem->code ? sqlite_code_name(problem->code) : NULL);
    sqlite_conn_field(L, "constraint", problem->constraint);
    sqlite_conn_field(L, "hint", problem->hint);
    if (problem->position) {
        lua_pushinteger(L, problem->position);
        lua_setfield(L, -2, "position");
    }
    if (!c->session) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "closed");
    }
    lua_createtable(L, 0, 1);
    field_seconds(L, "total", c->total_ns);
    lua_setfield(L, -2, "timings");
    return 2;
}

int sqlite_conn_await(lua_State *L, struct sqlite_conn *c, lua_KContext context, lua_KFunction k)
{
    lua_pushinteger(L, c->call);
    lua_replace(L, 2);
    return op_await(L, &c->op, context, k);
}

bool sqlite_conn_failed(lua_State *L, struct sqlite_conn *c)
{
    if (lua_tointeger(L, 2) != c->call)
        luaL_error(L, "%s: another function of this check is using the connection", c->label);
    if (c->op.fault.kind == FAULT_NONE && c->session)
        return false;
    if (c->op.fault.kind == FAULT_NONE)
        fault_set(&c->op.fault, FAULT_CANCELLED, "the connection was closed");
    if (c->problem.fault.kind == FAULT_NONE)
        c->problem.fault = c->op.fault;
    return true;
}

int sqlite_conn_refuse(lua_State *L, struct sqlite_conn *c, enum fault_kind kind,
                       const char *message)
{
    c->problem = (struct sqlite_problem){.phase = "query"};
    c->total_ns = 0;
    fault_set(&c->problem.fault, kind, "%s", message);
    return sqlite_conn_push_fault(L, c);
}

int sqlite_conn_refuse_memory(lua_State *L, struct sqlite_conn *c)
{
    sqlite_conn_uncharge(c);
    return sqlite_conn_refuse(L, c, FAULT_LIMIT,
                              "the statement and its rows do not fit into the sandbox's memory "
                              "(--memory-limit)");
}

struct sqlite_conn *sqlite_conn_check(lua_State *L)
{
    struct sqlite_conn *c = op_check(L, 1, &sqlite_conn_class);
    if (!c->op.open)
        luaL_error(L, "%s: the connection was closed by this check", c->label);
    if (!c->op.done)
        luaL_error(L, "%s: another function of this check is using the connection", c->label);
    return c;
}
