/* dns_lua.c - dns.resolve for our own Lua: names into lists of addresses. */
#include <lauxlib.h>
#include <string.h>

#include "base/duration.h"
#include "bind/bind.h"
#include "bind/dns.h"
#include "loop/op.h"
#include "loop/reactor.h"

struct resolve {
    struct op op;
    struct dns_query query;
    unsigned count;
    union dns_address addresses[DNS_ADDRESSES_MAX];
};

static void resolve_release(struct op *op)
{
    dns_cancel(op->reactor, &((struct resolve *)op)->query);
}

static const struct op_class resolve_class = {"dns.resolve", resolve_release};

static void on_resolved(void *owner, const struct fault *why, const union dns_address *addresses,
                        unsigned count)
{
    struct resolve *r = owner;
    r->count = count;
    if (count)
        memcpy(r->addresses, addresses, count * sizeof *addresses);
    op_complete(&r->op, why);
}

static int k_resolve(lua_State *L, int status, lua_KContext index)
{
    (void)status;
    struct resolve *r = lua_touserdata(L, (int)index);
    if (r->op.fault.kind != FAULT_NONE)
        return op_raise(L, &r->op);
    lua_createtable(L, (int)r->count, 0);
    for (unsigned i = 0; i < r->count; i++) {
        char text[64];
        lua_pushstring(L, dns_format_address(&r->addresses[i].any, text));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static lua_Number optional_number(lua_State *L, const char *name)
{
    if (lua_type(L, 2) != LUA_TTABLE)
        return 0;
    lua_getfield(L, 2, name);
    lua_Number number = luaL_optnumber(L, -1, 0);
    lua_pop(L, 1);
    return number;
}

/* resolve(name, { family = 4 or 6, timeout = seconds }) -> list of addresses, the
 * preferred one first; raises a failure of kind "dns". */
static int l_resolve(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_Number family = optional_number(L, "family");
    uint64_t timeout_ns;
    if (!duration_from_seconds(optional_number(L, "timeout"), &timeout_ns))
        return luaL_argerror(L, 2, "timeout must be a number of seconds");
    struct resolve *r = op_new(L, sizeof *r, &resolve_class);
    lua_toclose(L, -1);
    int index = lua_gettop(L);
    dns_resolve(r->op.reactor, &r->query, name,
                family == 4   ? AF_INET
                : family == 6 ? AF_INET6
                              : AF_UNSPEC,
                timeout_ns, on_resolved, r);
    return op_await(L, &r->op, index, k_resolve);
}

int bind_dns_open(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_resolve);
    lua_setfield(L, -2, "resolve");
    return 1;
}
