/* http_result.c - what an exchange brought, as Lua values. */
#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "bind/certificate.h"
#include "bind/http.h"
#include "vm/guard.h"

static lua_Number seconds(uint64_t ns)
{
    return (lua_Number)ns / (lua_Number)NS_PER_S;
}

static lua_Number moment(const struct exchange *x, CURLINFO when)
{
    curl_off_t us = 0;
    x->api->easy_getinfo(x->transfer.easy, when, &us);
    return (lua_Number)us / 1e6;
}

static void set_number(lua_State *L, const char *key, lua_Number value)
{
    lua_pushnumber(L, value > 0 ? value : 0);
    lua_setfield(L, -2, key);
}

/* How long each phase took; a phase that was not reached is absent.  libcurl
 * counts from its own start.  [-0, +1, m] */
static void push_timings(lua_State *L, const struct exchange *x)
{
    lua_createtable(L, 0, 5);
    set_number(L, "total", seconds(x->ended_ns - x->began_ns));
    if (!x->resolved_ns || !x->transfer.easy)
        return;
    set_number(L, "dns", seconds(x->resolved_ns - x->began_ns));
    lua_Number connect = moment(x, CURLINFO_CONNECT_TIME_T);
    lua_Number tls = moment(x, CURLINFO_APPCONNECT_TIME_T);
    lua_Number first = moment(x, CURLINFO_STARTTRANSFER_TIME_T);
    if (connect > 0)
        set_number(L, "connect", connect - moment(x, CURLINFO_NAMELOOKUP_TIME_T));
    if (tls > 0)
        set_number(L, "tls", tls - connect);
    if (first > 0)
        set_number(L, "first_byte", first - (tls > connect ? tls : connect));
}

/* { name, value, name, value, ... } as they came, folded lines joined.  [-0, +1, m] */
static void push_headers(lua_State *L, const struct exchange *x)
{
    const char *at = x->head.data, *end = at ? at + x->head.size : at;
    lua_Integer n = 0;
    lua_newtable(L);
    while (at < end) {
        guard_step(L);
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *next = line_end ? line_end + 1 : end;
        const char *stop = line_end ? line_end : end;
        while (stop > at && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (n > 0 && (*at == ' ' || *at == '\t')) {
            while (at < stop && (*at == ' ' || *at == '\t'))
                at++;
            lua_rawgeti(L, -1, n);
            lua_pushliteral(L, " ");
            lua_pushlstring(L, at, (size_t)(stop - at));
            lua_concat(L, 3);
            lua_rawseti(L, -2, n);
        } else if (colon) {
            lua_pushlstring(L, at, (size_t)(colon - at));
            lua_rawseti(L, -2, ++n);
            for (colon++; colon < stop && (*colon == ' ' || *colon == '\t');)
                colon++;
            lua_pushlstring(L, colon, (size_t)(stop - colon));
            lua_rawseti(L, -2, ++n);
        }
        at = next;
    }
}

static const char *version_name(long version)
{
    switch (version) {
    case CURL_HTTP_VERSION_1_0: return "1.0";
    case CURL_HTTP_VERSION_1_1: return "1.1";
    case CURL_HTTP_VERSION_2_0: return "2";
    case CURL_HTTP_VERSION_3: return "3";
    default: return "unknown";
    }
}

static void set_status(lua_State *L, const struct exchange *x)
{
    long status = 0, version = 0;
    char *ip = NULL;
    x->api->easy_getinfo(x->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    x->api->easy_getinfo(x->transfer.easy, CURLINFO_HTTP_VERSION, &version);
    x->api->easy_getinfo(x->transfer.easy, CURLINFO_PRIMARY_IP, &ip);
    lua_pushinteger(L, status);
    lua_setfield(L, -2, "status");
    lua_pushstring(L, version_name(version));
    lua_setfield(L, -2, "http_version");
    if (ip && *ip) {
        lua_pushstring(L, ip);
        lua_setfield(L, -2, "remote_ip");
    }
}

void http_push_answer(lua_State *L, const struct exchange *x)
{
    lua_createtable(L, 0, 12);
    set_status(L, x);
    push_headers(L, x);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, x->body.size ? x->body.data : "", x->body.size);
    lua_setfield(L, -2, "body");
    lua_pushboolean(L, x->stop == STOP_BODY_FULL);
    lua_setfield(L, -2, "truncated");
    push_timings(L, x);
    lua_setfield(L, -2, "timings");
    if (x->https) {
        certificate_push(L, x->api, x->transfer.easy);
        lua_setfield(L, -2, "certificate");
    }
}

static const char *phase_name(enum http_phase phase)
{
    switch (phase) {
    case PHASE_POLICY: return "policy";
    case PHASE_SETUP: return "setup";
    case PHASE_DNS: return "dns";
    case PHASE_CONNECT: return "connect";
    case PHASE_TLS: return "tls";
    case PHASE_FIRST_BYTE: return "first byte";
    case PHASE_HEADERS: return "headers";
    case PHASE_BODY: return "body";
    }
    return "unknown";
}

void http_push_fault(lua_State *L, const struct exchange *x)
{
    lua_pushnil(L);
    lua_createtable(L, 0, 6);
    lua_pushstring(L, fault_kind_name(x->op.fault.kind));
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, x->op.fault.message);
    lua_setfield(L, -2, "message");
    lua_pushstring(L, phase_name(x->phase));
    lua_setfield(L, -2, "phase");
    push_timings(L, x);
    lua_setfield(L, -2, "timings");
}
