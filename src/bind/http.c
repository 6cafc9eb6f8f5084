/* http.c - the life of an exchange: resolve, connect, answer.
 *
 * libcurl never resolves a name: c-ares does, and the addresses are handed over
 * with the transfer.  Every address is asked of the policy, once when it was
 * resolved (for a good message) and again when its socket is made (for sure). */
#include "bind/http.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bind/bind.h"
#include "loop/reactor.h"
#include "vm/charge.h"

static void exchange_release(struct op *op)
{
    struct exchange *x = (struct exchange *)op;
    dns_cancel(op->reactor, &x->query);
    curl_transfer_close(op->reactor, &x->transfer);
    if (x->api) {
        x->api->slist_free_all(x->headers);
        x->api->slist_free_all(x->hosts);
    }
    buffer_fini(&x->head);
    buffer_fini(&x->body);
    vm_uncharge(x->vm, x->charged);
    x->charged = 0;
}

static const struct op_class exchange_class = {"http.request", exchange_release};

static void fail(struct exchange *x, const struct fault *why)
{
    if (x->op.done)
        return;
    x->ended_ns = clock_now_ns();
    x->phase = http_phase_now(x);
    op_complete(&x->op, why);
}

/* --- what arrives --------------------------------------------------------- */

/* Room is charged before it is taken. */
static bool keep(struct exchange *x, struct buffer *b, const char *data, size_t size)
{
    size_t room = b->room;
    if (b->room - b->size < size) {
        room = room ? room : 256;
        while (room - b->size < size)
            room *= 2;
    }
    if (!vm_charge(x->vm, room - b->room)) {
        x->stop = STOP_NO_MEMORY;
        return false;
    }
    x->charged += room - b->room;
    buffer_add(b, data, size);
    return true;
}

static size_t on_header(char *data, size_t one, size_t size, void *owner)
{
    (void)one;
    struct exchange *x = owner;
    x->head_seen += size;
    if (x->head_seen > HTTP_HEAD_MAX) {
        x->stop = STOP_HEAD_TOO_LONG;
        return 0;
    }
    if (x->body.size > 0) /* trailers are not headers */
        return size;
    if (size > 5 && memcmp(data, "HTTP/", 5) == 0)
        buffer_clear(&x->head); /* what came before was a 1xx, or a proxy's answer */
    x->head_whole = size <= 2;
    return keep(x, &x->head, data, size) ? size : 0;
}

static size_t on_body(char *data, size_t one, size_t size, void *owner)
{
    (void)one;
    struct exchange *x = owner;
    size_t room = x->max_body - x->body.size;
    if (!keep(x, &x->body, data, size < room ? size : room))
        return 0;
    if (size <= room)
        return size;
    x->stop = STOP_BODY_FULL;
    return 0;
}

/* --- how it ends ---------------------------------------------------------- */

static void on_transfer_done(struct curl_transfer *transfer, CURLcode code)
{
    struct exchange *x = list_entry(transfer, struct exchange, transfer);
    if (x->op.done)
        return;
    if (code == CURLE_OK || x->stop == STOP_BODY_FULL) {
        x->ended_ns = clock_now_ns();
        op_complete(&x->op, NULL);
        return;
    }
    struct fault why;
    http_explain(x, code, &why);
    fail(x, &why);
}

static void on_timeout(struct timer *timer)
{
    struct exchange *x = list_entry(list_entry(timer, struct op, timeout), struct exchange, op);
    struct fault why;
    fault_set(&why, FAULT_TIMEOUT, "no complete answer within %.4g s",
              (double)x->timeout_ns / (double)NS_PER_S);
    fail(x, &why);
}

/* --- how it begins -------------------------------------------------------- */

static void note_refusal(struct exchange *x, const struct sockaddr *address, const char *name)
{
    if (!x->denied)
        policy_why_address(x->op.reactor->policy, address, name, x->refusal);
    x->denied = true;
}

/* Called for every connection that libcurl opens. */
static curl_socket_t on_open_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *to)
{
    (void)purpose;
    struct exchange *x = owner;
    const char *name = to->family == AF_UNIX ? NULL : x->host;
    if (!policy_allows_address(x->op.reactor->policy, &to->addr, name)) {
        note_refusal(x, &to->addr, name);
        return CURL_SOCKET_BAD;
    }
    int fd = socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
    if (fd < 0)
        x->open_error = errno;
    return fd;
}

/* Called when libcurl wants to look a name up: it has no business to. */
static int on_lookup_by_curl(void *state, void *reserved, void *owner)
{
    (void)state, (void)reserved;
    return ((struct exchange *)owner)->lookup_by_curl ? 0 : 1;
}

static void start_transfer(struct exchange *x)
{
    struct fault why;
    if (!curl_transfer_start(x->op.reactor, &x->transfer, &why))
        fail(x, &why);
}

/* "+host:port:address,address": in libcurl's cache for a minute at most, and
 * replaced by the next exchange with that host. */
static bool hand_over(struct exchange *x, const union dns_address *addresses, unsigned count)
{
    struct buffer entry = {0};
    char text[64];
    unsigned allowed = 0;
    buffer_addf(&entry, "+%s:%u:", x->host, x->port);
    for (unsigned i = 0; i < count; i++) {
        union dns_address address = addresses[i];
        if (address.any.sa_family == AF_INET6)
            address.v6.sin6_port = htons(x->port);
        else
            address.v4.sin_port = htons(x->port);
        if (!policy_allows_address(x->op.reactor->policy, &address.any, x->host)) {
            note_refusal(x, &address.any, x->host);
            continue;
        }
        dns_format_address(&address.any, text);
        buffer_addf(&entry, address.any.sa_family == AF_INET6 ? "%s[%s]" : "%s%s",
                    allowed++ ? "," : "", text);
    }
    buffer_add(&entry, "", 1);
    if (allowed && !x->lookup_by_curl) {
        x->hosts = x->api->slist_append(NULL, entry.data);
        x->api->easy_setopt(x->transfer.easy, CURLOPT_RESOLVE, x->hosts);
    }
    buffer_fini(&entry);
    return allowed > 0;
}

static void on_resolved(void *owner, const struct fault *why, const union dns_address *addresses,
                        unsigned count)
{
    struct exchange *x = owner;
    if (why) {
        fail(x, why);
        return;
    }
    x->resolved_ns = clock_now_ns();
    if (hand_over(x, addresses, count)) {
        start_transfer(x);
        return;
    }
    struct fault denied;
    char text[64], what[200];
    dns_format_address(&addresses[0].any, text);
    if (strcmp(x->host, text) == 0)
        snprintf(what, sizeof what, "connecting to %s port %u", text, x->port);
    else
        snprintf(what, sizeof what, "connecting to %.100s (%s) port %u", x->host, text, x->port);
    http_refuse(x, what, x->refusal, &denied);
    fail(x, &denied);
}

/* The resolver's own message is the better one, so it gets to speak first. */
static uint64_t lookup_timeout(const struct exchange *x)
{
    uint64_t most_ns = 5 * NS_PER_S, own_ns = x->timeout_ns / 10 * 9;
    return own_ns < most_ns ? own_ns : most_ns;
}

static void set_callbacks(struct exchange *x)
{
    CURL *easy = x->transfer.easy;
    const struct curl_api *api = x->api;
    api->easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    api->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    api->easy_setopt(easy, CURLOPT_HEADERDATA, x);
    api->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    api->easy_setopt(easy, CURLOPT_WRITEDATA, x);
    api->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    api->easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
    api->easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup_by_curl);
    api->easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, x);
}

static void start(lua_State *L, struct exchange *x)
{
    struct fault why;
    if (!curl_transfer_open(x->op.reactor, &x->transfer, &why)) {
        fail(x, &why);
        return;
    }
    set_callbacks(x);
    if (!http_apply_options(L, x, &why)) {
        fail(x, &why);
        return;
    }
    x->op.timeout.on_due = on_timeout;
    loop_timer_arm(&x->op.reactor->loop, &x->op.timeout, x->began_ns + x->timeout_ns);
    if (x->no_lookup) {
        x->resolved_ns = x->began_ns;
        start_transfer(x);
        return;
    }
    if (!policy_allows_host(x->op.reactor->policy, x->host, x->port)) {
        char what[200], reason[POLICY_REASON_MAX];
        snprintf(what, sizeof what, "connecting to %.150s port %u", x->host, x->port);
        policy_why_host(x->op.reactor->policy, x->host, x->port, reason);
        http_refuse(x, what, reason, &why);
        fail(x, &why);
        return;
    }
    union dns_address literal; /* libcurl's entries cannot name an IPv6 address */
    x->lookup_by_curl = dns_parse_address(x->host, &literal) && literal.any.sa_family == AF_INET6;
    lua_getfield(L, 1, "address");
    const char *instead = lua_tostring(L, -1);
    dns_resolve(x->op.reactor, &x->query, instead ? instead : x->host, x->family, lookup_timeout(x),
                on_resolved, x);
    lua_pop(L, 1);
}

static int k_request(lua_State *L, int status, lua_KContext index)
{
    (void)status;
    struct exchange *x = lua_touserdata(L, (int)index);
    if (x->op.fault.kind != FAULT_NONE) {
        http_push_fault(L, x);
        return 2;
    }
    if (x->charged >= 1024) /* so that the collector keeps pace with what it cannot see */
        lua_gc(L, LUA_GCSTEP, (int)(x->charged / 1024));
    http_push_answer(L, x);
    return 1;
}

/* One exchange.  The table at 1 is our own Lua's (lua/hospital/http.lua lists its
 * fields) and stays on the stack: libcurl reads the request's body from it. */
static int l_request(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    http_check_options(L);
    lua_getfield(L, 1, "host");
    const char *host = luaL_checkstring(L, -1);
    size_t length = strlen(host);
    struct exchange *x = op_new(L, sizeof *x + length + 1, &exchange_class);
    lua_toclose(L, -1);
    memcpy(x->host, host, length + 1);
    x->began_ns = clock_now_ns();
    x->vm = vm_of(L);
    x->transfer.on_done = on_transfer_done;
    struct fault why;
    x->api = curl_load(x->op.reactor, &why);
    if (!x->api)
        fail(x, &why);
    else
        start(L, x);
    return op_await(L, &x->op, 3, k_request);
}

int bind_http_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"request", l_request},
        {"parse", l_url_parse},
        {"join", l_url_join},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_pushliteral(L, HOSPITAL_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
