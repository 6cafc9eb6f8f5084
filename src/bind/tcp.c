/* tcp.c - connecting, for our own Lua: lua/hospital/tcp.lua has checked what the
 * author wrote; what comes out is a stream, or why there is none. */
#include <lauxlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/stream.h"

struct connect {
    struct op op;
    struct dial *dial;
    uint64_t timeout_ns;
    uint16_t port;
};

static void connect_release(struct op *op)
{
    dial_free(((struct connect *)op)->dial);
}

static const struct op_class connect_class = {"tcp.connect", connect_release};

static void on_dialled(void *owner, const struct fault *why)
{
    op_complete(&((struct connect *)owner)->op, why);
}

/* { kind, message, phase, timings }: as hospital.core.http tells it. */
static void push_fault(lua_State *L, const struct fault *why, const struct dial_result *result)
{
    field_push_fault(L, why, result->phase);
    lua_createtable(L, 0, 3);
    field_seconds(L, "dns", result->dns_ns);
    if (strcmp(result->phase, "connect") == 0)
        field_seconds(L, "connect", result->connect_ns);
    field_seconds(L, "total", result->total_ns);
    lua_setfield(L, -2, "timings");
}

static int k_connect(lua_State *L, int status, lua_KContext index)
{
    (void)status;
    struct connect *c = lua_touserdata(L, (int)index);
    if (c->op.fault.kind != FAULT_NONE) {
        lua_pushnil(L);
        push_fault(L, &c->op.fault, dial_result(c->dial));
        return 2;
    }
    stream_push(L, c->dial, lua_tostring(L, 4), c->port, c->timeout_ns);
    return 1;
}

static void read_options(lua_State *L, struct dial_options *options)
{
    luaL_checktype(L, 3, LUA_TTABLE);
    options->timeout_ns = field_check_seconds(L, 3, "timeout");
    lua_getfield(L, 3, "family");
    lua_Integer family = luaL_optinteger(L, -1, 0);
    options->family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    lua_getfield(L, 3, "source");
    const char *source = luaL_optstring(L, -1, NULL);
    if (source && !dns_parse_address(source, &options->source))
        luaL_argerror(L, 3, "source must be an address of this host");
    lua_pop(L, 2);
}

/* connect(host, port, { timeout = seconds, family = 4 or 6, source = address },
 * target) -> a connection; or nil and { kind, message, phase, timings }. */
static int l_connect(lua_State *L)
{
    struct dial_options options = {.host = luaL_checkstring(L, 1)};
    lua_Integer port = luaL_checkinteger(L, 2);
    luaL_argcheck(L, port >= 0 && port <= 65535, 2, "a port is from 1 to 65535");
    options.port = (uint16_t)port;
    read_options(L, &options);
    luaL_checkstring(L, 4);
    lua_settop(L, 4);
    struct connect *c = op_new(L, sizeof *c, &connect_class);
    lua_toclose(L, 5);
    c->timeout_ns = options.timeout_ns;
    c->port = options.port;
    c->dial = dial_new(c->op.reactor, &options, on_dialled, c);
    dial_start(c->dial);
    return op_await(L, &c->op, 5, k_connect);
}

/* family_of(text): 4 or 6 when it is an address, else nil. */
static int l_family_of(lua_State *L)
{
    union dns_address address;
    if (!dns_parse_address(luaL_checkstring(L, 1), &address))
        return 0;
    lua_pushinteger(L, address.any.sa_family == AF_INET6 ? 6 : 4);
    return 1;
}

int bind_tcp_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"connect", l_connect},
        {"family_of", l_family_of},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
