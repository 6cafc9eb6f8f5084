/* sqlite_statement.c - the statements of a script: run, start, next, stop, control.
 *
 * Threads collect rows as bytes, as much as the sandbox has room for; they become Lua values in
 * the continuations here. */
#include <lauxlib.h>
#include <string.h>

#include "bind/sqlite_conn.h"
#include "bind/sqlite_value.h"
#include "vm/guard.h"

enum { ROOM_LEAST = 2048 };

/* --- statements ------------------------------------------------------------- */

static void check_not_streaming(lua_State *L, const struct sqlite_conn *c)
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
static bool charge_room(struct sqlite_conn *c)
{
    size_t room = SQLITE_ROOM;
    while (room > ROOM_LEAST && !sqlite_conn_charge(c, room))
        room /= 2;
    c->session->room = room;
    return room > ROOM_LEAST || sqlite_conn_charge(c, room);
}

/* One row that is larger than the room may have come. */
static bool charge_rest(struct sqlite_conn *c, const struct sqlite_session *s)
{
    size_t more = s->rows.size > s->room ? s->rows.size - s->room : 0;
    return sqlite_conn_charge(c, more + s->columns.size);
}

/* What the four arguments of run and start say: true, and the statement is under way; or nil and a
 * fault are on the stack.  [-0, +(0|2), v] */
static bool start(lua_State *L)
{
    struct sqlite_conn *c = sqlite_conn_check(L);
    check_not_streaming(L, c);
    size_t size;
    const char *sql = luaL_checklstring(L, 2, &size);
    int count = sqlite_parameters_count(L);
    size_t parameters = sqlite_parameters_check(L, count);
    c->named = is_named(L);
    uint64_t most = count_of(L, "most", false), max_rows = count_of(L, "max_rows", true);
    uint64_t max_bytes = count_of(L, "max_bytes", true);
    op_check_may_wait(L, &c->op);
    lua_settop(L, 4);
    if (!c->session) {
        sqlite_conn_refuse(L, c, FAULT_CLOSED, "the connection was given up when a statement hung");
        return false;
    }
    if (strlen(sql) != size) {
        sqlite_conn_refuse(L, c, FAULT_SYNTAX, "the SQL has a NUL byte in it");
        return false;
    }
    sqlite_conn_uncharge(c);
    if (!sqlite_conn_charge(c, size + parameters) || !charge_room(c)) {
        sqlite_conn_refuse_memory(L, c);
        return false;
    }
    struct sqlite_session *s = c->session;
    take_sql(s, sql, size);
    sqlite_parameters_take(L, s, count);
    s->named = c->named;
    s->most = most;
    s->max_rows = max_rows;
    s->max_bytes = max_bytes;
    sqlite_conn_begin(c, SQLITE_RUN, c->statement_timeout_ns);
    return true;
}

/* --- rows ------------------------------------------------------------------- */

/* The next of the rows that are here.  [-0, +1, m] */
static void push_row(lua_State *L, struct sqlite_conn *c)
{
    const struct sqlite_session *s = c->session;
    const char *name = s->columns.data, *at = s->rows.data + c->read_at;
    lua_createtable(L, c->named ? 0 : s->column_count, c->named ? s->column_count : 0);
    for (int i = 1; i <= s->column_count; i++) {
        at = sqlite_value_push(L, at);
        if (c->named)
            lua_setfield(L, -2, name);
        else
            lua_rawseti(L, -2, i);
        name += strlen(name) + 1;
    }
    c->read_at = (size_t)(at - s->rows.data);
    c->rows_left--;
}

static void take_rows(struct sqlite_conn *c)
{
    c->read_at = 0;
    c->rows_left = c->session->row_count;
}

/* Nothing of the statement is needed any more. */
static void end_statement(struct sqlite_conn *c)
{
    struct sqlite_session *s = c->session;
    c->streaming = false;
    sqlite_conn_uncharge(c);
    if (!s || sqlite_session_is_busy(s))
        return;
    buffer_fini(&s->rows);
    buffer_fini(&s->parameters);
    if (!s->over)
        sqlite_session_start(s, SQLITE_STOP);
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
    struct sqlite_conn *c = lua_touserdata(L, 1);
    if (sqlite_conn_failed(L, c)) {
        end_statement(c);
        return sqlite_conn_push_fault(L, c);
    }
    lua_Integer count = (lua_Integer)context;
    if (!charge_rest(c, c->session)) {
        end_statement(c);
        return sqlite_conn_refuse_memory(L, c);
    }
    for (take_rows(c); c->rows_left > 0;) {
        guard_step(L);
        push_row(L, c);
        lua_rawseti(L, 6, ++count);
    }
    if (!c->session->over) {
        sqlite_conn_uncharge(c);
        if (!charge_room(c)) {
            end_statement(c);
            return sqlite_conn_refuse_memory(L, c);
        }
        sqlite_conn_begin(c, SQLITE_MORE, c->statement_timeout_ns);
        return sqlite_conn_await(L, c, (lua_KContext)count, k_run);
    }
    end_statement(c);
    lua_settop(L, 6);
    lua_setfield(L, 5, "rows");
    describe(L, c->session);
    return 1;
}

/* conn:run(sql, parameters, how) -> a result; or nil and a fault. */
int l_sqlite_run(lua_State *L)
{
    if (!start(L))
        return 2;
    struct sqlite_conn *c = lua_touserdata(L, 1);
    lua_createtable(L, 0, 5);
    lua_newtable(L);
    return sqlite_conn_await(L, c, 0, k_run);
}

/* Takes the rows that a job brought; 0, or how many values say why there are none. */
static int receive(lua_State *L, struct sqlite_conn *c)
{
    if (sqlite_conn_failed(L, c)) {
        end_statement(c);
        return sqlite_conn_push_fault(L, c);
    }
    if (!charge_rest(c, c->session)) {
        end_statement(c);
        return sqlite_conn_refuse_memory(L, c);
    }
    take_rows(c);
    return 0;
}

static int k_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct sqlite_conn *c = lua_touserdata(L, 1);
    int refused = receive(L, c);
    if (refused)
        return refused;
    c->streaming = true;
    lua_pushboolean(L, 1);
    return 1;
}

/* conn:start(sql, parameters, how) -> true; or nil and a fault. */
int l_sqlite_start(lua_State *L)
{
    if (!start(L))
        return 2;
    struct sqlite_conn *c = lua_touserdata(L, 1);
    return sqlite_conn_await(L, c, 0, k_start);
}

static int k_next(lua_State *L, int status, lua_KContext context);

/* A row that is here, or those to come, or the end. */
static int next(lua_State *L, struct sqlite_conn *c)
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
    sqlite_conn_uncharge(c);
    if (!charge_room(c)) {
        end_statement(c);
        return sqlite_conn_refuse_memory(L, c);
    }
    sqlite_conn_begin(c, SQLITE_MORE, c->statement_timeout_ns);
    return sqlite_conn_await(L, c, 0, k_next);
}

static int k_next(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct sqlite_conn *c = lua_touserdata(L, 1);
    int refused = receive(L, c);
    if (refused)
        return refused;
    return next(L, c);
}

/* conn:next() -> a row; nil after the last one; or nil and a fault. */
int l_sqlite_next(lua_State *L)
{
    struct sqlite_conn *c = sqlite_conn_check(L);
    op_check_may_wait(L, &c->op);
    lua_settop(L, 2);
    return next(L, c);
}

/* conn:stop(): the rows that are left are dropped. */
int l_sqlite_stop(lua_State *L)
{
    struct sqlite_conn *c = sqlite_conn_check(L);
    if (c->streaming)
        end_statement(c);
    return 0;
}

/* --- control ---------------------------------------------------------------- */

static int k_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct sqlite_conn *c = lua_touserdata(L, 1);
    sqlite_conn_uncharge(c);
    if (sqlite_conn_failed(L, c))
        return sqlite_conn_push_fault(L, c);
    lua_pushboolean(L, 1);
    return 1;
}

/* conn:control(sql) -> true; or nil and a fault. */
int l_sqlite_control(lua_State *L)
{
    struct sqlite_conn *c = sqlite_conn_check(L);
    check_not_streaming(L, c);
    size_t size;
    const char *sql = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, strlen(sql) == size, 2, "no NUL bytes");
    op_check_may_wait(L, &c->op);
    lua_settop(L, 2);
    if (!c->session)
        return sqlite_conn_refuse(L, c, FAULT_CLOSED,
                                  "the connection was given up when a statement hung");
    sqlite_conn_uncharge(c);
    if (!sqlite_conn_charge(c, size))
        return sqlite_conn_refuse_memory(L, c);
    take_sql(c->session, sql, size);
    sqlite_conn_begin(c, SQLITE_CONTROL, c->statement_timeout_ns);
    return sqlite_conn_await(L, c, 0, k_control);
}
