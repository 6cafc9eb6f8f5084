/* sqlite.c - SQLite for our own Lua: src/README.md, "Database drivers", says what is promised.
 *
 * A connection is an op that is waited for many times; what it stands on (sqlite_session.h) works
 * on threads and outlives it.  Here are the clocks: nobody waits for a lock on a thread, and a
 * statement that takes too long is interrupted. */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/sqlite_session.h"
#include "loop/op.h"
#include "loop/reactor.h"
#include "vm/charge.h"
#include "vm/guard.h"

static const uint64_t retry_first_ns = 5 * NS_PER_MS, retry_most_ns = 50 * NS_PER_MS;

/* An interrupted thread is back within this time, or it hangs in the kernel. */
static const uint64_t grace_ns = NS_PER_S;

enum { ROOM_LEAST = 2048, PARAMETERS_MAX = 32766 };

struct conn {
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

/* --- what is held ----------------------------------------------------------- */

static bool charge(struct conn *c, size_t size)
{
    if (!vm_charge(c->vm, size))
        return false;
    c->charged += size;
    return true;
}

static void uncharge(struct conn *c)
{
    vm_uncharge(c->vm, c->charged);
    c->charged = 0;
}

/* The session is given up, its thread ends it. */
static void forget_session(struct conn *c)
{
    loop_timer_disarm(&c->op.reactor->loop, &c->retry);
    if (c->session)
        sqlite_session_abandon(c->session);
    c->session = NULL;
    c->streaming = false;
    uncharge(c);
}

static void conn_release(struct op *op)
{
    forget_session((struct conn *)op);
}

static const struct op_class conn_class = {"sqlite connection", conn_release};

/* --- how a call ends -------------------------------------------------------- */

static void settle(struct conn *c)
{
    loop_timer_disarm(&c->op.reactor->loop, &c->retry);
    c->total_ns = clock_now_ns() - c->began_ns;
    bool failed = c->problem.fault.kind != FAULT_NONE;
    if (failed && (c->problem.closed || c->job == SQLITE_OPEN_FILE))
        forget_session(c);
    op_complete(&c->op, failed ? &c->problem.fault : NULL);
}

/* "not done within 0.2 s": a word of ours and the time it took.  The code stays SQLite's. */
static void settle_with(struct conn *c, enum fault_kind kind, const char *what, uint64_t ns,
                        const char *reason)
{
    fault_set(&c->problem.fault, kind, "%s within %.4g s%s", what, (double)ns / (double)NS_PER_S,
              reason);
    c->problem.phase = c->job == SQLITE_OPEN_FILE ? "connect" : "query";
    settle(c);
}

static void settle_locked(struct conn *c, uint64_t ns)
{
    settle_with(c, FAULT_LOCK_TIMEOUT, "the database is locked, and was not free", ns, "");
}

static void settle_late(struct conn *c)
{
    settle_with(c, FAULT_STATEMENT_TIMEOUT, "not done", c->statement_timeout_ns,
                c->problem.again ? ": the database is locked" : "");
}

/* --- waiting for locks ------------------------------------------------------ */

static void on_retry(struct timer *timer)
{
    struct conn *c = list_entry(timer, struct conn, retry);
    sqlite_session_start(c->session, c->job);
}

/* False: that was long enough. */
static bool wait_for_lock(struct conn *c)
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
    struct conn *c = owner;
    c->problem = c->session->problem;
    if (c->timed_out && (c->problem.again || c->problem.fault.kind == FAULT_CANCELLED))
        settle_late(c);
    else if (!c->problem.again)
        settle(c);
    else if (!wait_for_lock(c))
        settle_locked(c, c->lock_timeout_ns);
}

/* --- the time of a call ----------------------------------------------------- */

static void give_up_connecting(struct conn *c)
{
    if (c->problem.again)
        settle_locked(c, c->timeout_ns);
    else
        settle_with(c, FAULT_TIMEOUT, "not opened", c->timeout_ns, "");
}

static void on_timeout(struct timer *timer)
{
    struct conn *c = (struct conn *)list_entry(timer, struct op, timeout);
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

static void begin(struct conn *c, enum sqlite_job job, uint64_t timeout_ns)
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

/* --- faults ----------------------------------------------------------------- */

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* nil and the fault.  [-0, +2, m] */
static int push_fault(lua_State *L, struct conn *c)
{
    const struct sqlite_problem *problem = &c->problem;
    lua_pushnil(L);
    field_push_fault(L, &problem->fault, problem->phase);
    set_text(L, "target", c->label);
    set_text(L, "code", problem->code ? sqlite_code_name(problem->code) : NULL);
    set_text(L, "constraint", problem->constraint);
    set_text(L, "hint", problem->hint);
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

/* Waits for the call under way; its number is in slot 2.  [-?, +?, v] */
static int await(lua_State *L, struct conn *c, lua_KContext context, lua_KFunction k)
{
    lua_pushinteger(L, c->call);
    lua_replace(L, 2);
    return op_await(L, &c->op, context, k);
}

/* Did the wait end badly?  Before this function was resumed another one may have closed the
 * connection, or started a call of its own.  [-0, +0, v] */
static bool has_failed(lua_State *L, struct conn *c)
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

/* A fault of the driver's own. [-0, +2, m] */
static int refuse(lua_State *L, struct conn *c, enum fault_kind kind, const char *message)
{
    c->problem = (struct sqlite_problem){.phase = "query"};
    c->total_ns = 0;
    fault_set(&c->problem.fault, kind, "%s", message);
    return push_fault(L, c);
}

static int refuse_memory(lua_State *L, struct conn *c)
{
    uncharge(c);
    return refuse(L, c, FAULT_LIMIT,
                  "the statement and its rows do not fit into the sandbox's memory "
                  "(--memory-limit)");
}

/* --- connecting ------------------------------------------------------------- */

static bool is_target(const char *target, size_t size)
{
    return size > 0 && size < PATH_MAX && strlen(target) == size;
}

/* The end of a long path tells more than its beginning. */
static void write_label(char label[SQLITE_LABEL_MAX], const char *target)
{
    enum { HEAD = sizeof "..." };
    size_t size = strlen(target);
    if (size < SQLITE_LABEL_MAX)
        snprintf(label, SQLITE_LABEL_MAX, "%s", target);
    else
        snprintf(label, SQLITE_LABEL_MAX, "...%s", target + size - (SQLITE_LABEL_MAX - HEAD));
}

static int k_connect(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct conn *c = lua_touserdata(L, 3);
    c->connect_ns = c->total_ns;
    if (has_failed(L, c)) {
        op_close(&c->op);
        return push_fault(L, c);
    }
    lua_pushvalue(L, 3);
    return 1;
}

static bool flag_of(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

static const luaL_Reg methods[];

/* connect(path or ":memory:", options) -> a connection; or nil and a fault. */
static int l_connect(lua_State *L)
{
    size_t size;
    struct fault why;
    const char *target = luaL_checklstring(L, 1, &size);
    luaL_argcheck(L, is_target(target, size), 1, "the path of a file, or :memory:");
    luaL_checktype(L, 2, LUA_TTABLE);
    uint64_t timeout_ns = field_check_seconds(L, 2, "timeout");
    uint64_t statement_ns = field_check_seconds(L, 2, "statement_timeout");
    uint64_t lock_ns = field_check_seconds(L, 2, "lock_timeout");
    bool rolled_back = flag_of(L, 2, "rolled_back"), write = flag_of(L, 2, "write");
    lua_settop(L, 2);
    struct conn *c = op_new_object(L, sizeof *c, &conn_class, methods);
    op_check_may_wait(L, &c->op);
    c->vm = vm_of(L);
    c->retry.on_due = on_retry;
    c->timeout_ns = timeout_ns;
    c->statement_timeout_ns = statement_ns;
    c->lock_timeout_ns = lock_ns;
    write_label(c->label, target);
    const struct sqlite_api *api = sqlite_load(c->op.reactor, &why);
    if (!api) {
        op_close(&c->op);
        c->problem = (struct sqlite_problem){.fault = why, .phase = "connect"};
        return push_fault(L, c);
    }
    c->session = sqlite_session_new(c->op.reactor, api, target);
    c->session->owner = c;
    c->session->on_done = on_session_done;
    c->session->write = write || rolled_back;
    c->session->rolled_back = rolled_back;
    begin(c, SQLITE_OPEN_FILE, timeout_ns);
    return await(L, c, 0, k_connect);
}

/* label(target) -> "/var/lib/shop.db"; nil and a fault when it is none. */
static int l_label(lua_State *L)
{
    size_t size;
    char label[SQLITE_LABEL_MAX];
    const char *target = luaL_checklstring(L, 1, &size);
    if (!is_target(target, size)) {
        struct fault why;
        fault_set(&why, FAULT_SYNTAX,
                  "the path of a file, or :memory:, expected after \"sqlite:\"");
        lua_pushnil(L);
        field_push_fault(L, &why, "target");
        return 2;
    }
    write_label(label, target);
    lua_pushstring(L, label);
    return 1;
}

/* --- parameters ------------------------------------------------------------- */

static void add_bytes(lua_State *L, struct buffer *out, int index, enum sqlite_tag tag)
{
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    uint64_t length = size;
    char byte = (char)tag;
    buffer_add(out, &byte, 1);
    buffer_add(out, &length, sizeof length);
    buffer_add(out, text, size);
}

static void add_number(lua_State *L, struct buffer *out, int index)
{
    char byte = lua_isinteger(L, index) ? SQLITE_TAG_INTEGER : SQLITE_TAG_REAL;
    int64_t integer = lua_tointeger(L, index);
    double real = lua_tonumber(L, index);
    buffer_add(out, &byte, 1);
    if (byte == SQLITE_TAG_INTEGER)
        buffer_add(out, &integer, sizeof integer);
    else
        buffer_add(out, &real, sizeof real);
}

/* The value on top, which check_value has seen.  [-0, +0, m] */
static void add_value(lua_State *L, struct buffer *out)
{
    char byte = SQLITE_TAG_NULL;
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        byte = lua_toboolean(L, -1) ? SQLITE_TAG_TRUE : SQLITE_TAG_FALSE;
        buffer_add(out, &byte, 1);
        break;
    case LUA_TNUMBER: add_number(L, out, -1); break;
    case LUA_TSTRING: add_bytes(L, out, -1, SQLITE_TAG_TEXT); break;
    case LUA_TTABLE:
        lua_pushliteral(L, "bytes");
        lua_rawget(L, -2);
        add_bytes(L, out, -1, SQLITE_TAG_BLOB);
        lua_pop(L, 1);
        break;
    default: buffer_add(out, &byte, 1);
    }
}

/* How much room the value on top takes; raises when it is none of those that can be sent.
 * [-0, +0, v] */
static size_t check_value(lua_State *L, lua_Integer number)
{
    const size_t head = 1 + sizeof(uint64_t);
    bool good = true;
    size_t size = 0;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN: break;
    case LUA_TNUMBER: good = !isnan(lua_tonumber(L, -1)); break;
    case LUA_TSTRING: size = lua_rawlen(L, -1); break;
    case LUA_TLIGHTUSERDATA: good = !lua_touserdata(L, -1); break;
    case LUA_TTABLE:
        lua_pushliteral(L, "bytes");
        good = lua_rawget(L, -2) == LUA_TSTRING;
        size = good ? lua_rawlen(L, -1) : 0;
        lua_pop(L, 1);
        break;
    default: good = false;
    }
    if (!good)
        luaL_argerror(L, 3,
                      lua_pushfstring(L,
                                      "parameter %d cannot be sent (%s): a string, a number, a "
                                      "boolean, nil or { bytes = text } expected",
                                      (int)number,
                                      lua_type(L, -1) == LUA_TNUMBER ? "not a number"
                                                                     : luaL_typename(L, -1)));
    return head + size;
}

static int count_parameters(lua_State *L)
{
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_getfield(L, 3, "n");
    lua_Integer count = luaL_optinteger(L, -1, (lua_Integer)lua_rawlen(L, 3));
    luaL_argcheck(L, count >= 0 && count <= PARAMETERS_MAX, 3, "0 to 32766 parameters");
    lua_pop(L, 1);
    return (int)count;
}

static size_t check_parameters(lua_State *L, int count)
{
    size_t size = 0;
    for (int i = 1; i <= count; i++) {
        guard_step(L);
        lua_rawgeti(L, 3, i);
        size += check_value(L, i);
        lua_pop(L, 1);
    }
    return size;
}

static void take_parameters(lua_State *L, struct sqlite_session *s, int count)
{
    buffer_clear(&s->parameters);
    s->parameter_count = count;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 3, i);
        add_value(L, &s->parameters);
        lua_pop(L, 1);
    }
}

/* --- statements ------------------------------------------------------------- */

/* The connection at 1, which must be free for a call. */
static struct conn *check_conn(lua_State *L)
{
    struct conn *c = op_check(L, 1, &conn_class);
    if (!c->op.open)
        luaL_error(L, "%s: the connection was closed by this check", c->label);
    if (!c->op.done)
        luaL_error(L, "%s: another function of this check is using the connection", c->label);
    return c;
}

static void check_not_streaming(lua_State *L, const struct conn *c)
{
    if (c->streaming)
        luaL_error(L, "%s: there are rows left of the statement before: conn:stop() drops them",
                   c->label);
}

/* A field of the table at 4.  [-0, +0, v] */
static uint64_t count_of(lua_State *L, const char *name, bool needed)
{
    uint64_t count = UINT64_MAX;
    lua_getfield(L, 4, name);
    if (needed || !lua_isnil(L, -1)) {
        int is_integer;
        lua_Integer given = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || given < 0)
            luaL_argerror(L, 4, lua_pushfstring(L, "%s must be a count", name));
        count = (uint64_t)given;
    }
    lua_pop(L, 1);
    return count;
}

static bool is_named(lua_State *L)
{
    luaL_checktype(L, 4, LUA_TTABLE);
    lua_getfield(L, 4, "shape");
    const char *shape = lua_tostring(L, -1);
    bool named = shape && strcmp(shape, "named") == 0;
    luaL_argcheck(L, named || (shape && strcmp(shape, "listed") == 0), 4,
                  "shape must be \"named\" or \"listed\"");
    lua_pop(L, 1);
    return named;
}

static void take_sql(struct sqlite_session *s, const char *sql, size_t size)
{
    s->sql = memory_resize(s->sql, size + 1);
    memcpy(s->sql, sql, size + 1);
    s->control_at = 0;
}

/* As much as fits, so that a small sandbox gets its rows in small pieces. */
static bool charge_room(struct conn *c)
{
    size_t room = SQLITE_ROOM;
    while (room > ROOM_LEAST && !charge(c, room))
        room /= 2;
    c->session->room = room;
    return room > ROOM_LEAST || charge(c, room);
}

/* One row that is larger than the room may have come. */
static bool charge_rest(struct conn *c, const struct sqlite_session *s)
{
    size_t more = s->rows.size > s->room ? s->rows.size - s->room : 0;
    return charge(c, more + s->columns.size);
}

/* What the four arguments of run and start say: true, and the statement is under way; or nil and a
 * fault are on the stack.  [-0, +(0|2), v] */
static bool start(lua_State *L)
{
    struct conn *c = check_conn(L);
    check_not_streaming(L, c);
    size_t size;
    const char *sql = luaL_checklstring(L, 2, &size);
    int count = count_parameters(L);
    size_t parameters = check_parameters(L, count);
    c->named = is_named(L);
    uint64_t most = count_of(L, "most", false), max_rows = count_of(L, "max_rows", true);
    uint64_t max_bytes = count_of(L, "max_bytes", true);
    op_check_may_wait(L, &c->op);
    lua_settop(L, 4);
    if (!c->session) {
        refuse(L, c, FAULT_CLOSED, "the connection was given up when a statement hung");
        return false;
    }
    if (strlen(sql) != size) {
        refuse(L, c, FAULT_SYNTAX, "the SQL has a NUL byte in it");
        return false;
    }
    uncharge(c);
    if (!charge(c, size + parameters) || !charge_room(c)) {
        refuse_memory(L, c);
        return false;
    }
    struct sqlite_session *s = c->session;
    take_sql(s, sql, size);
    take_parameters(L, s, count);
    s->named = c->named;
    s->most = most;
    s->max_rows = max_rows;
    s->max_bytes = max_bytes;
    begin(c, SQLITE_RUN, c->statement_timeout_ns);
    return true;
}

/* --- rows ------------------------------------------------------------------- */

/* Pushes the value at `at` and returns where the next one is.  [-0, +1, m] */
static const char *push_value(lua_State *L, const char *at)
{
    int64_t integer;
    double real;
    uint64_t size;
    switch ((enum sqlite_tag) * at++) {
    case SQLITE_TAG_INTEGER:
        memcpy(&integer, at, sizeof integer);
        lua_pushinteger(L, integer);
        return at + sizeof integer;
    case SQLITE_TAG_REAL:
        memcpy(&real, at, sizeof real);
        lua_pushnumber(L, real);
        return at + sizeof real;
    case SQLITE_TAG_TEXT:
    case SQLITE_TAG_BLOB:
        memcpy(&size, at, sizeof size);
        lua_pushlstring(L, at + sizeof size, size);
        return at + sizeof size + size;
    case SQLITE_TAG_TRUE: lua_pushboolean(L, 1); return at;
    case SQLITE_TAG_FALSE: lua_pushboolean(L, 0); return at;
    case SQLITE_TAG_NULL: break;
    }
    lua_pushlightuserdata(L, NULL);
    return at;
}

/* The next of the rows that are here.  [-0, +1, m] */
static void push_row(lua_State *L, struct conn *c)
{
    const struct sqlite_session *s = c->session;
    const char *name = s->columns.data, *at = s->rows.data + c->read_at;
    lua_createtable(L, c->named ? 0 : s->column_count, c->named ? s->column_count : 0);
    for (int i = 1; i <= s->column_count; i++) {
        at = push_value(L, at);
        if (c->named)
            lua_setfield(L, -2, name);
        else
            lua_rawseti(L, -2, i);
        name += strlen(name) + 1;
    }
    c->read_at = (size_t)(at - s->rows.data);
    c->rows_left--;
}

static void take_rows(struct conn *c)
{
    c->read_at = 0;
    c->rows_left = c->session->row_count;
}

/* Nothing of the statement is needed any more. */
static void end_statement(struct conn *c)
{
    c->streaming = false;
    if (c->session && !c->session->over && !sqlite_session_is_busy(c->session))
        sqlite_session_start(c->session, SQLITE_STOP);
    uncharge(c);
}

static int push_columns(lua_State *L, const struct sqlite_session *s)
{
    const char *name = s->columns.data;
    lua_createtable(L, s->column_count, 0);
    for (int i = 1; i <= s->column_count; i++, name += strlen(name) + 1) {
        lua_pushstring(L, name);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* Fills the result on top.  [-0, +0, m] */
static void describe(lua_State *L, const struct sqlite_session *s)
{
    push_columns(L, s);
    lua_setfield(L, -2, "columns");
    lua_pushinteger(L, (lua_Integer)s->seen_rows);
    lua_setfield(L, -2, "count");
    lua_pushstring(L, s->command);
    lua_setfield(L, -2, "command");
    if (s->has_affected) {
        lua_pushinteger(L, s->affected);
        lua_setfield(L, -2, "affected");
    }
}

/* At 5 the result, at 6 its rows. */
static int k_run(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    struct conn *c = lua_touserdata(L, 1);
    if (has_failed(L, c)) {
        end_statement(c);
        return push_fault(L, c);
    }
    lua_Integer count = (lua_Integer)context;
    if (!charge_rest(c, c->session)) {
        end_statement(c);
        return refuse_memory(L, c);
    }
    for (take_rows(c); c->rows_left > 0;) {
        guard_step(L);
        push_row(L, c);
        lua_rawseti(L, 6, ++count);
    }
    if (!c->session->over) {
        uncharge(c);
        if (!charge_room(c)) {
            end_statement(c);
            return refuse_memory(L, c);
        }
        begin(c, SQLITE_MORE, c->statement_timeout_ns);
        return await(L, c, (lua_KContext)count, k_run);
    }
    end_statement(c);
    lua_settop(L, 6);
    lua_setfield(L, 5, "rows");
    describe(L, c->session);
    return 1;
}

/* conn:run(sql, parameters, how) -> a result; or nil and a fault. */
static int l_run(lua_State *L)
{
    if (!start(L))
        return 2;
    struct conn *c = lua_touserdata(L, 1);
    lua_createtable(L, 0, 5);
    lua_newtable(L);
    return await(L, c, 0, k_run);
}

static int k_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct conn *c = lua_touserdata(L, 1);
    if (has_failed(L, c)) {
        end_statement(c);
        return push_fault(L, c);
    }
    if (!charge_rest(c, c->session)) {
        end_statement(c);
        return refuse_memory(L, c);
    }
    take_rows(c);
    c->streaming = true;
    lua_pushboolean(L, 1);
    return 1;
}

/* conn:start(sql, parameters, how) -> true; or nil and a fault. */
static int l_start(lua_State *L)
{
    if (!start(L))
        return 2;
    struct conn *c = lua_touserdata(L, 1);
    return await(L, c, 0, k_start);
}

static int k_next(lua_State *L, int status, lua_KContext context);

/* A row that is here, or those to come, or the end. */
static int next(lua_State *L, struct conn *c)
{
    if (c->streaming && c->rows_left > 0) {
        push_row(L, c);
        return 1;
    }
    if (!c->streaming || c->session->over) {
        end_statement(c);
        lua_pushnil(L);
        return 1;
    }
    uncharge(c);
    if (!charge_room(c)) {
        end_statement(c);
        return refuse_memory(L, c);
    }
    begin(c, SQLITE_MORE, c->statement_timeout_ns);
    return await(L, c, 0, k_next);
}

static int k_next(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct conn *c = lua_touserdata(L, 1);
    if (has_failed(L, c)) {
        end_statement(c);
        return push_fault(L, c);
    }
    if (!charge_rest(c, c->session)) {
        end_statement(c);
        return refuse_memory(L, c);
    }
    take_rows(c);
    return next(L, c);
}

/* conn:next() -> a row; nil after the last one; or nil and a fault. */
static int l_next(lua_State *L)
{
    struct conn *c = check_conn(L);
    op_check_may_wait(L, &c->op);
    lua_settop(L, 2);
    return next(L, c);
}

/* conn:stop(): the rows that are left are dropped. */
static int l_stop(lua_State *L)
{
    struct conn *c = check_conn(L);
    if (c->streaming)
        end_statement(c);
    return 0;
}

/* --- the rest --------------------------------------------------------------- */

static int k_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct conn *c = lua_touserdata(L, 1);
    uncharge(c);
    if (has_failed(L, c))
        return push_fault(L, c);
    lua_pushboolean(L, 1);
    return 1;
}

/* conn:control(sql) -> true; or nil and a fault. */
static int l_control(lua_State *L)
{
    struct conn *c = check_conn(L);
    check_not_streaming(L, c);
    size_t size;
    const char *sql = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, strlen(sql) == size, 2, "no NUL bytes");
    op_check_may_wait(L, &c->op);
    lua_settop(L, 2);
    if (!c->session)
        return refuse(L, c, FAULT_CLOSED, "the connection was given up when a statement hung");
    uncharge(c);
    if (!charge(c, size))
        return refuse_memory(L, c);
    take_sql(c->session, sql, size);
    begin(c, SQLITE_CONTROL, c->statement_timeout_ns);
    return await(L, c, 0, k_control);
}

/* conn:state() -> "idle", "transaction", "failed", "busy" or "closed". */
static int l_state(lua_State *L)
{
    const struct conn *c = op_check(L, 1, &conn_class);
    lua_pushstring(L, !c->op.open || !c->session    ? "closed"
                      : !c->op.done || c->streaming ? "busy"
                      : c->session->lost            ? "failed"
                      : c->session->in_transaction  ? "transaction"
                                                    : "idle");
    return 1;
}

/* conn:info() -> { label, server, version, version_number, database, tls, timings } */
static int l_info(lua_State *L)
{
    const struct conn *c = op_check(L, 1, &conn_class);
    struct fault why;
    const struct sqlite_api *api = sqlite_load(c->op.reactor, &why);
    lua_createtable(L, 0, 7);
    set_text(L, "label", c->label);
    set_text(L, "server", "SQLite");
    if (api) {
        set_text(L, "version", api->libversion());
        lua_pushinteger(L, api->libversion_number());
        lua_setfield(L, -2, "version_number");
    }
    set_text(L, "database", c->label);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "tls");
    lua_createtable(L, 0, 2);
    field_seconds(L, "connect", c->connect_ns);
    field_seconds(L, "total", c->connect_ns);
    lua_setfield(L, -2, "timings");
    return 1;
}

/* conn:close(): at once; harmless when it is closed. */
static int l_close(lua_State *L)
{
    op_close(op_check(L, 1, &conn_class));
    return 0;
}

static const luaL_Reg methods[] = {
    {"run", l_run},   {"start", l_start},     {"next", l_next},
    {"stop", l_stop}, {"control", l_control}, {"state", l_state},
    {"info", l_info}, {"close", l_close},     {NULL, NULL},
};

int bind_sqlite_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"connect", l_connect},
        {"label", l_label},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
