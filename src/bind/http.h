/* http.h - one HTTP exchange, shared by the files that make it: http.c (its
 * life), http_options.c (a Lua table into an easy handle), http_fault.c (why it
 * failed), http_result.c (what it brought).
 *
 * An exchange is one request and its answer; it never follows a redirect: that
 * is policy, and in lua/hospital/http.lua. */
#ifndef HOSPITAL_BIND_HTTP_H
#define HOSPITAL_BIND_HTTP_H

#include <lua.h>

#include "base/buffer.h"
#include "base/policy.h"
#include "bind/curl.h"
#include "bind/dns.h"
#include "loop/op.h"

struct vm;

enum { HTTP_HEAD_MAX = 64 * 1024 };

enum http_stop { STOP_NONE, STOP_BODY_FULL, STOP_HEAD_TOO_LONG, STOP_NO_MEMORY };

/* How far it came: "policy" when it was not allowed to begin, "setup", "dns", "connect", "tls",
 * "first byte", "headers", "body". */
enum http_phase {
    PHASE_POLICY,
    PHASE_SETUP,
    PHASE_DNS,
    PHASE_CONNECT,
    PHASE_TLS,
    PHASE_FIRST_BYTE,
    PHASE_HEADERS,
    PHASE_BODY
};

/* The memory is Lua's; a few hundred bytes each, because thousands are in
 * flight. */
struct exchange {
    struct op op;
    struct curl_transfer transfer;
    struct dns_query query;
    const struct curl_api *api;
    struct vm *vm;                      /* that is charged; NULL in stock Lua */
    struct curl_slist *headers, *hosts; /* owned */
    struct buffer head;                 /* header lines of the final answer, as they came */
    struct buffer body;
    size_t charged, max_body;
    size_t head_seen; /* of all answers, 1xx and trailers among them */
    uint64_t began_ns, resolved_ns, ended_ns, timeout_ns;
    enum http_stop stop;
    enum http_phase phase; /* valid when it failed */
    uint16_t port;         /* of what is connected to */
    int family;
    int open_error; /* errno of a socket that could not be made; 0: none */
    bool https, no_lookup, lookup_by_curl, head_whole;
    bool denied;                     /* the policy left some addresses out */
    bool refused;                    /* the policy is why it failed */
    char refusal[POLICY_REASON_MAX]; /* of the first address that was left out */
    char error[CURL_ERROR_SIZE];
    char host[]; /* what is connected to: the target, or the proxy; "" for a Unix socket */
};

/* Sets up the easy handle from the table at index 1; host and port are set.
 * False with a fault for what this host cannot do or forbids.  [-0, +0, -] */
bool http_apply_options(lua_State *L, struct exchange *x, struct fault *why) CHECKED;

/* Raises a usage error for a wrong type or a forbidden byte.  [-0, +0, v] */
void http_check_options(lua_State *L);

/* Fills why with a refusal by the policy: "WHAT is not allowed: REASON".  Returns false. */
bool http_refuse(struct exchange *x, const char *what, const char *reason, struct fault *why);

/* Where the exchange is now. */
enum http_phase http_phase_now(const struct exchange *x);

/* Why libcurl gave up with code. */
void http_explain(struct exchange *x, CURLcode code, struct fault *why);

/* Pushes the answer's table.  [-0, +1, m] */
void http_push_answer(lua_State *L, const struct exchange *x);

/* Pushes nil and { kind, message, phase, timings }.  [-0, +2, m] */
void http_push_fault(lua_State *L, const struct exchange *x);

/* url.parse and url.join.  */
int l_url_parse(lua_State *L);
int l_url_join(lua_State *L);

#endif
