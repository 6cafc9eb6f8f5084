/* postgres.c - connecting to PostgreSQL, for our own Lua: the driver's face that src/README.md
 * describes.  What a connection does with statements is pg_statement.c's. */
#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/pg_fault.h"
#include "bind/pg_login.h"
#include "bind/pg_session.h"
#include "bind/pg_statement.h"
#include "loop/op.h"
#include "loop/reactor.h"
#include "vm/charge.h"

/* --- what is known, closing
 * ------------------------------------------------------------------------------ */

static int l_state(lua_State *L)
{
    const struct pg_session *s = op_check(L, 1, &pg_session_class);
    const char *state = "closed";
    if (s->pg && s->stage != PG_STAGE_IDLE)
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

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* "15.8" of "15.8 (Debian 15.8-1)". */
static void set_version(lua_State *L, const struct pg_session *s)
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
    const struct pg_session *s = pg_session_check(L);
    lua_createtable(L, 0, 10);
    set_text(L, "label", s->login.label);
    set_text(L, "server", "PostgreSQL");
    set_version(L, s);
    set_text(L, "user", s->pq->user(s->pg));
    set_text(L, "database", s->pq->db(s->pg));
    set_text(L, "remote_ip", s->login.remote);
    lua_pushboolean(L, s->pq->sslInUse(s->pg));
    lua_setfield(L, -2, "tls");
    db_push_timings(L, &s->login);
    lua_setfield(L, -2, "timings");
    return 1;
}

static int l_close(lua_State *L)
{
    struct pg_session *s = op_check(L, 1, &pg_session_class);
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
    struct db_fault fault;
};

static void connect_release(struct op *op)
{
    pg_login_free(((struct connect *)op)->login);
}

static const struct op_class connect_class = {"db.connect", connect_release};

static void on_logged_in(void *owner, const struct db_fault *why)
{
    struct connect *c = owner;
    if (why)
        c->fault = *why;
    op_complete(&c->op, why ? &why->why : NULL);
}

/* The session, made of what the login brought.  [-0, +1, v] */
static void push_session(lua_State *L, const struct connect *c)
{
    static const luaL_Reg methods[] = {
        {"run", l_pg_run},   {"control", l_pg_control}, {"start", l_pg_start},
        {"next", l_pg_next}, {"stop", l_pg_stop},       {"state", l_state},
        {"info", l_info},    {"close", l_close},        {NULL, NULL},
    };
    struct pg_session *s = op_new_object(L, sizeof *s, &pg_session_class, methods);
    op_complete(&s->op, NULL); /* idle */
    struct vm *vm = vm_of(L);
    if (!vm_charge_live(L, vm, PG_SESSION_COST))
        luaL_error(L, "not enough memory for another connection (--memory-limit)");
    s->vm = vm;
    s->pq = c->pq;
    s->login = *pg_login_result(c->login);
    s->read_only = !c->options.write;
    s->numbers = c->numbers;
    s->statement_timeout_ns = c->options.statement_timeout_ns;
    s->max_bytes = 8 << 20;
    s->pg = pg_login_take(c->login, &s->turn);
    if (!pg_session_watch(s))
        luaL_error(L, "the connection cannot be watched");
}

static int k_connect(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    const struct connect *c = lua_touserdata(L, 3);
    if (c->op.fault.kind != FAULT_NONE)
        return db_push_login_fault(L, &c->fault, pg_login_result(c->login));
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
static const struct pq *load(lua_State *L, struct db_fault *fault)
{
    *fault = (struct db_fault){.phase = "connect", .closed = true};
    return pq_load(reactor_of(L), &fault->why);
}

static int l_connect(lua_State *L)
{
    struct pg_login_options options = {.target = luaL_checkstring(L, 1)};
    struct db_fault fault;
    bool numbers;
    read_options(L, &options, &numbers);
    lua_settop(L, 2);
    const struct pq *pq = load(L, &fault);
    if (!pq) {
        lua_pushnil(L);
        db_fault_push(L, &fault);
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
    struct db_fault fault;
    char label[200];
    const struct pq *pq = load(L, &fault);
    if (pq && pg_login_label(pq, luaL_checkstring(L, 1), label, &fault)) {
        lua_pushstring(L, label);
        return 1;
    }
    lua_pushnil(L);
    db_fault_push(L, &fault);
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
