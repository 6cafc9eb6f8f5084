/* ping.c - some echoes to one host, for our own Lua: lua/hospital/ping.lua has
 * checked what the author wrote.
 *
 * Ends when every echo is answered, at the first "unreachable" while nothing has
 * answered, or at the timeout: what is missing then is lost.  An echo that this
 * host could not even send is never a loss. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/policy.h"
#include "bind/bind.h"
#include "bind/dial.h"
#include "bind/fields.h"
#include "bind/icmp.h"
#include "loop/op.h"
#include "loop/reactor.h"

enum { COUNT_MAX = 1000 };

struct shot {
    struct icmp_echo echo;
    uint64_t rtt_ns;
    bool answered;
};

struct ping {
    struct op op;
    struct dns_query query;
    struct timer next; /* sends another */
    union dns_address to;
    uint64_t interval_ns, timeout_ns;
    uint64_t began_ns, resolved_ns, ended_ns;
    unsigned count, started, answered, over;
    uint16_t size;
    int family;
    bool refused;     /* by the policy */
    const char *host; /* on the Lua stack while the ping lasts */
    struct shot shots[];
};

static void ping_release(struct op *op)
{
    struct ping *p = (struct ping *)op;
    dns_cancel(op->reactor, &p->query);
    loop_timer_disarm(&op->reactor->loop, &p->next);
    for (unsigned i = 0; i < p->started; i++)
        icmp_cancel(&p->shots[i].echo);
}

static const struct op_class ping_class = {"ping", ping_release};

/* --- echoes --------------------------------------------------------------------- */

static void finish(struct ping *p, const struct fault *why)
{
    if (!p->op.done)
        p->ended_ns = clock_now_ns();
    loop_timer_disarm(&p->op.reactor->loop, &p->next);
    op_complete(&p->op, why);
}

static void on_echo(struct icmp_echo *echo, const struct fault *why, uint64_t rtt_ns)
{
    struct ping *p = echo->owner;
    struct shot *shot = list_entry(echo, struct shot, echo);
    p->over++;
    shot->answered = !why;
    shot->rtt_ns = rtt_ns;
    p->answered += shot->answered;
    if (why && (p->answered == 0 || fault_is_ours(why->kind)))
        finish(p, why);
    else if (p->over == p->count)
        finish(p, NULL);
}

static void send_next(struct ping *p)
{
    struct shot *shot = &p->shots[p->started++];
    shot->echo.on_done = on_echo;
    shot->echo.owner = p;
    shot->echo.to = p->to;
    shot->echo.size = p->size;
    if (p->started < p->count)
        loop_timer_arm(&p->op.reactor->loop, &p->next, clock_now_ns() + p->interval_ns);
    icmp_send(p->op.reactor, &shot->echo);
}

static void on_next_due(struct timer *timer)
{
    send_next(list_entry(timer, struct ping, next));
}

static unsigned count_sent(const struct ping *p)
{
    unsigned sent = 0;
    for (unsigned i = 0; i < p->started; i++)
        sent += p->shots[i].echo.sent_ns != 0;
    return sent;
}

static void on_timeout(struct timer *timer)
{
    struct ping *p = list_entry(list_entry(timer, struct op, timeout), struct ping, op);
    double seconds = (double)p->timeout_ns / (double)NS_PER_S;
    unsigned sent = count_sent(p);
    struct fault why = {.kind = FAULT_NONE};
    if (!p->resolved_ns)
        fault_set(&why, FAULT_DNS, "no address within %.4g s", seconds);
    else if (sent < p->started)
        fault_set(&why, FAULT_INTERNAL,
                  "this host did not send %u of %u echoes within %.4g s: its send buffer was full",
                  p->started - sent, p->started, seconds);
    finish(p, why.kind == FAULT_NONE ? NULL : &why);
}

/* --- names ------------------------------------------------------------------------ */

static void deny(struct ping *p, const char *what, const char *reason)
{
    struct fault why;
    p->refused = true;
    fault_set(&why, FAULT_DENIED, "pinging %s is not allowed: %s", what, reason);
    finish(p, &why);
}

static void on_resolved(void *owner, const struct fault *why, const union dns_address *addresses,
                        unsigned count)
{
    struct ping *p = owner;
    char text[64], reason[POLICY_REASON_MAX];
    if (why) {
        finish(p, why);
        return;
    }
    p->resolved_ns = clock_now_ns();
    for (unsigned i = 0; i < count; i++) {
        if (!policy_allows_address(p->op.reactor->policy, &addresses[i].any, p->host))
            continue;
        p->to = addresses[i];
        send_next(p);
        return;
    }
    deny(p, dns_format_address(&addresses[0].any, text),
         policy_why_address(p->op.reactor->policy, &addresses[0].any, p->host, reason));
}

static void start(struct ping *p)
{
    char reason[POLICY_REASON_MAX];
    uint64_t lookup_ns = p->timeout_ns / 10 * 9;
    p->began_ns = clock_now_ns();
    p->next.on_due = on_next_due;
    p->op.timeout.on_due = on_timeout;
    loop_timer_arm(&p->op.reactor->loop, &p->op.timeout, p->began_ns + p->timeout_ns);
    if (policy_allows_host(p->op.reactor->policy, p->host, 0))
        dns_resolve(p->op.reactor, &p->query, p->host, p->family,
                    lookup_ns < 5 * NS_PER_S ? lookup_ns : 5 * NS_PER_S, on_resolved, p);
    else
        deny(p, "it", policy_why_host(p->op.reactor->policy, p->host, 0, reason));
}

/* --- what came of it ----------------------------------------------------------------- */

static void push_timings(lua_State *L, const struct ping *p)
{
    uint64_t dns_ns = (p->resolved_ns ? p->resolved_ns : p->ended_ns) - p->began_ns;
    lua_createtable(L, 0, 2);
    field_seconds(L, "dns", dns_ns);
    field_seconds(L, "total", p->ended_ns - p->began_ns);
    lua_setfield(L, -2, "timings");
}

static void push_remote(lua_State *L, const struct ping *p)
{
    char text[64];
    if (!p->resolved_ns || p->to.any.sa_family == AF_UNSPEC)
        return;
    lua_pushstring(L, dns_format_address(&p->to.any, text));
    lua_setfield(L, -2, "remote_ip");
}

/* Sets rtts, the list, and rtt, what it comes to; no rtt without an answer. */
static void push_times(lua_State *L, const struct ping *p)
{
    uint64_t least_ns = UINT64_MAX, most_ns = 0;
    double sum = 0, squares = 0;
    lua_Integer n = 0;
    lua_createtable(L, (int)p->answered, 0);
    for (unsigned i = 0; i < p->started; i++) {
        uint64_t rtt_ns = p->shots[i].rtt_ns;
        if (!p->shots[i].answered)
            continue;
        least_ns = rtt_ns < least_ns ? rtt_ns : least_ns;
        most_ns = rtt_ns > most_ns ? rtt_ns : most_ns;
        sum += (double)rtt_ns;
        squares += (double)rtt_ns * (double)rtt_ns;
        lua_pushnumber(L, (lua_Number)rtt_ns / (lua_Number)NS_PER_S);
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "rtts");
    if (n == 0)
        return;
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    lua_createtable(L, 0, 4);
    field_seconds(L, "min", least_ns);
    field_seconds(L, "max", most_ns);
    field_seconds(L, "avg", (uint64_t)mean);
    field_seconds(L, "mdev", variance > 0 ? (uint64_t)sqrt(variance) : 0);
    lua_setfield(L, -2, "rtt");
}

static int push_result(lua_State *L, const struct ping *p)
{
    unsigned sent = count_sent(p);
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, sent);
    lua_setfield(L, -2, "sent");
    lua_pushinteger(L, p->answered);
    lua_setfield(L, -2, "received");
    lua_pushnumber(L, sent ? (lua_Number)(sent - p->answered) / sent : 1);
    lua_setfield(L, -2, "loss");
    const char *mode = icmp_mode(p->op.reactor, p->to.any.sa_family);
    if (mode) {
        lua_pushstring(L, mode);
        lua_setfield(L, -2, "socket");
    }
    push_times(L, p);
    push_remote(L, p);
    push_timings(L, p);
    return 1;
}

static int k_ping(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct ping *p = lua_touserdata(L, 3);
    if (p->op.fault.kind == FAULT_NONE)
        return push_result(L, p);
    lua_pushnil(L);
    field_push_fault(L, &p->op.fault, p->refused ? "policy" : p->resolved_ns ? "echo" : "dns");
    push_remote(L, p);
    push_timings(L, p);
    return 2;
}

static lua_Integer check_integer(lua_State *L, const char *name, lua_Integer least,
                                 lua_Integer most)
{
    lua_getfield(L, 2, name);
    lua_Integer value = luaL_checkinteger(L, -1);
    if (value < least || value > most)
        luaL_error(L, "%s must be from %I to %I", name, least, most);
    lua_pop(L, 1);
    return value;
}

/* ping(host, { count, interval, timeout, size, family = 4, 6 or 0 }) -> { sent,
 * received, loss, rtt, rtts, remote_ip, socket, timings }; or nil and { kind,
 * message, phase, timings }. */
static int l_ping(lua_State *L)
{
    const char *host = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    unsigned count = (unsigned)check_integer(L, "count", 1, COUNT_MAX);
    uint16_t size = (uint16_t)check_integer(L, "size", ICMP_SIZE_MIN, ICMP_SIZE_MAX);
    lua_Integer family = check_integer(L, "family", 0, 6);
    uint64_t interval_ns = field_check_seconds(L, 2, "interval");
    uint64_t timeout_ns = field_check_seconds(L, 2, "timeout");
    struct ping *p = op_new(L, sizeof *p + count * sizeof p->shots[0], &ping_class);
    lua_toclose(L, 3);
    p->host = host;
    p->count = count;
    p->size = size;
    p->family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    p->interval_ns = interval_ns;
    p->timeout_ns = timeout_ns;
    start(p);
    return op_await(L, &p->op, 0, k_ping);
}

int bind_ping_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"ping", l_ping},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
