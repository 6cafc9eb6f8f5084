/* sqlite.c - SQLite for our own Lua: src/README.md, "Database drivers", says what is promised. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/sqlite_conn.h"
#include "loop/reactor.h"
#include "vm/vm.h"

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
    struct sqlite_conn *c = lua_touserdata(L, 3);
    c->connect_ns = c->total_ns;
    if (sqlite_conn_failed(L, c)) {
        op_close(&c->op);
        return sqlite_conn_push_fault(L, c);
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
    struct sqlite_conn *c = op_new_object(L, sizeof *c, &sqlite_conn_class, methods);
    op_check_may_wait(L, &c->op);
    c->vm = vm_of(L);
    c->timeout_ns = timeout_ns;
    c->statement_timeout_ns = statement_ns;
    c->lock_timeout_ns = lock_ns;
    write_label(c->label, target);
    const struct sqlite_api *api = sqlite_load(c->op.reactor, &why);
    if (!api) {
        op_close(&c->op);
        c->problem = (struct sqlite_problem){.fault = why, .phase = "connect"};
        return sqlite_conn_push_fault(L, c);
    }
    struct sqlite_session *session = sqlite_session_new(c->op.reactor, api, target);
    session->write = write || rolled_back;
    session->rolled_back = rolled_back;
    sqlite_conn_open(c, session);
    return sqlite_conn_await(L, c, 0, k_connect);
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

/* --- the rest --------------------------------------------------------------- */

/* conn:state() -> "idle", "transaction", "failed", "busy" or "closed". */
static int l_state(lua_State *L)
{
    const struct sqlite_conn *c = op_check(L, 1, &sqlite_conn_class);
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
    const struct sqlite_conn *c = op_check(L, 1, &sqlite_conn_class);
    struct fault why;
    const struct sqlite_api *api = sqlite_load(c->op.reactor, &why);
    lua_createtable(L, 0, 7);
    sqlite_conn_field(L, "label", c->label);
    sqlite_conn_field(L, "server", "SQLite");
    if (api) {
        sqlite_conn_field(L, "version", api->libversion());
        lua_pushinteger(L, api->libversion_number());
        lua_setfield(L, -2, "version_number");
    }
    sqlite_conn_field(L, "database", c->label);
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
    op_close(op_check(L, 1, &sqlite_conn_class));
    return 0;
}

static const luaL_Reg methods[] = {
    {"run", l_sqlite_run},
    {"start", l_sqlite_start},
    {"next", l_sqlite_next},
    {"stop", l_sqlite_stop},
    {"control", l_sqlite_control},
    {"state", l_state},
    {"info", l_info},
    {"close", l_close},
    {NULL, NULL},
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
