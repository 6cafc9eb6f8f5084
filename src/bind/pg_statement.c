/* pg_statement.c - see pg_statement.h. */
#include "bind/pg_statement.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/fields.h"
#include "bind/pg_session.h"
#include "bind/pg_value.h"

/* --- columns and rows ------------------------------------------------------------------------ */

static bool has_name_twice(lua_State *L, const struct pg_session *s, const PGresult *result)
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
static void learn_columns(lua_State *L, struct pg_session *s)
{
    if (s->types)
        return;
    s->columns = s->pq->nfields(s->row);
    s->types = memory_new((size_t)s->columns * sizeof *s->types + 1);
    for (int i = 0; i < s->columns; i++)
        s->types[i] = pg_type_of(s->pq->ftype(s->row, i), s->numbers);
    if (s->named && has_name_twice(L, s, s->row)) {
        pg_session_fail(
            s, FAULT_SYNTAX,
            "two columns of the result have one name, so one would be lost: give each a name "
            "of its own (select a.id as a_id, …)");
        pg_session_cancel(s);
    }
}

static void push_columns(lua_State *L, const struct pg_session *s)
{
    lua_createtable(L, s->columns, 0);
    for (int i = 0; i < s->columns; i++) {
        lua_pushstring(L, s->pq->fname(s->row, i));
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_row(lua_State *L, const struct pg_session *s)
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

/* --- beginning ----------------------------------------------------------------------------------
 */

static void read_how(lua_State *L, int index, struct pg_session *s)
{
    struct db_how how;
    db_read_how(L, index, &how);
    s->named = how.named;
    s->most = how.most;
    s->max_rows = how.max_rows;
    s->max_bytes = how.max_bytes;
}

static void send_statement(lua_State *L, struct pg_session *s, enum pg_stage stage)
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
    pg_session_begin(s, stage, sent);
}

/* --- run -----------------------------------------------------------------------------------------
 */

/* Stack: the connection, the statement, its parameters, how, the rows, the columns. */

static int push_fault(lua_State *L, struct pg_session *s)
{
    db_push_statement_fault(L, &s->fault, s->login.label, s->began_ns);
    pg_session_end(s);
    return 2;
}

static int push_result(lua_State *L, struct pg_session *s)
{
    db_push_result(L, 5, 6, s->rows, s->command);
    if (s->affected[0]) {
        lua_pushinteger(L, strtoll(s->affected, NULL, 10));
        lua_setfield(L, -2, "affected");
    }
    pg_session_end(s);
    return 1;
}

static void keep_row(lua_State *L, struct pg_session *s)
{
    bool first = !s->types;
    learn_columns(L, s);
    if (first) {
        push_columns(L, s);
        lua_replace(L, 6);
    }
    if (s->failed || s->pq->ntuples(s->row) == 0 || !pg_session_count_row(s) || s->rows > s->most)
        return;
    push_row(L, s);
    lua_rawseti(L, 5, s->rows);
}

static int k_run(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct pg_session *s = lua_touserdata(L, 1);
    enum pg_taken taken;
    while ((taken = pg_session_take(s)) == PG_TAKEN_ROW)
        keep_row(L, s);
    if (taken == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_run);
    return s->failed ? push_fault(L, s) : push_result(L, s);
}

static int k_before_run(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct pg_session *s = lua_touserdata(L, 1);
    if (pg_session_drop_left(s) == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_before_run);
    if (s->failed && s->fault.closed)
        return push_fault(L, s);
    send_statement(L, s, PG_STAGE_RUNNING);
    return k_run(L, LUA_OK, 0);
}

/* Reads the arguments of run and start: (conn, statement, parameters, how). */
static struct pg_session *check_statement(lua_State *L)
{
    size_t size;
    struct pg_session *s = pg_session_check_idle(L);
    const char *text = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, strlen(text) == size, 2, "a statement holds no zero byte");
    size += pg_parameters_check(L, 3);
    read_how(L, 4, s);
    lua_settop(L, 4);
    if (!pg_session_charge(s, size))
        luaL_error(L, "not enough memory for the statement and its parameters (--memory-limit)");
    s->began_ns = clock_now_ns();
    return s;
}

int l_pg_run(lua_State *L)
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
    struct pg_session *s = lua_touserdata(L, 1);
    enum pg_taken taken;
    while ((taken = pg_session_take(s)) == PG_TAKEN_ROW) {
    }
    if (taken == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_control);
    if (s->failed)
        return push_fault(L, s);
    pg_session_end(s);
    lua_pushboolean(L, 1);
    return 1;
}

static int k_before_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct pg_session *s = lua_touserdata(L, 1);
    if (pg_session_drop_left(s) == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_before_control);
    if (s->failed && s->fault.closed)
        return push_fault(L, s);
    pg_session_begin(s, PG_STAGE_RUNNING, s->pq->sendQuery(s->pg, lua_tostring(L, 2)));
    return k_control(L, LUA_OK, 0);
}

int l_pg_control(lua_State *L)
{
    struct pg_session *s = pg_session_check_idle(L);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    s->began_ns = clock_now_ns();
    return k_before_control(L, LUA_OK, 0);
}

/* --- row by row
 * -------------------------------------------------------------------------------------- */

/* Holds the next row, if there is one. */
static enum pg_taken take_held(lua_State *L, struct pg_session *s)
{
    enum pg_taken taken = PG_TAKEN_ROW;
    while (!s->held && (taken = pg_session_take(s)) == PG_TAKEN_ROW) {
        learn_columns(L, s);
        s->held = !s->failed && s->pq->ntuples(s->row) == 1 && pg_session_count_row(s);
    }
    return taken;
}

static int k_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct pg_session *s = lua_touserdata(L, 1);
    if (take_held(L, s) == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_start);
    if (s->failed)
        return push_fault(L, s);
    lua_pushboolean(L, 1);
    return 1;
}

static int k_before_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct pg_session *s = lua_touserdata(L, 1);
    if (pg_session_drop_left(s) == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_before_start);
    if (s->failed && s->fault.closed)
        return push_fault(L, s);
    send_statement(L, s, PG_STAGE_STREAMING);
    return k_start(L, LUA_OK, 0);
}

int l_pg_start(lua_State *L)
{
    check_statement(L);
    return k_before_start(L, LUA_OK, 0);
}

static int k_next(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct pg_session *s = lua_touserdata(L, 1);
    if (take_held(L, s) == PG_TAKEN_WAIT)
        return pg_session_wait(L, s, k_next);
    if (s->held) {
        s->held = false;
        push_row(L, s);
        return 1;
    }
    if (s->failed)
        return push_fault(L, s);
    pg_session_end(s);
    return 0;
}

int l_pg_next(lua_State *L)
{
    struct pg_session *s = pg_session_check(L);
    op_check_may_wait(L, &s->op);
    if (s->stage != PG_STAGE_STREAMING || !s->op.done)
        luaL_error(L, "no rows are being read");
    lua_settop(L, 1);
    s->began_ns = clock_now_ns();
    return k_next(L, LUA_OK, 0);
}

int l_pg_stop(lua_State *L)
{
    struct pg_session *s = op_check(L, 1, &pg_session_class);
    if (!s->pg || s->stage != PG_STAGE_STREAMING)
        return 0;
    s->held = false;
    if (s->over) {
        pg_session_end(s);
        return 0;
    }
    s->stage = PG_STAGE_LEFT;
    if (!s->in_transaction)
        pg_session_cancel(s);
    return 0;
}
