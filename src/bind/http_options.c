/* http_options.c - a table of our own Lua's into an easy handle.
 *
 * Types and forbidden bytes are checked before anything is owned; afterwards
 * only Lua's memory can raise, and the operation is to be closed by then. */
#include <lauxlib.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/policy.h"
#include "bind/http.h"
#include "loop/reactor.h"

/* --- checking ------------------------------------------------------------- */

static bool is_clean(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\r' || text[i] == '\n' || text[i] == '\0')
            return false;
    return true;
}

static void check_clean(lua_State *L, int index, const char *what)
{
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    if (!is_clean(text, size))
        luaL_error(L, "%s must not contain a carriage return, a line feed or a NUL", what);
}

/* The field is a string without line ends, or absent (unless required). */
static void check_string(lua_State *L, const char *name, bool required)
{
    int type = lua_getfield(L, 1, name);
    if (type == LUA_TSTRING)
        check_clean(L, -1, name);
    else if (type != LUA_TNIL || required)
        luaL_error(L, "%s must be a string", name);
    lua_pop(L, 1);
}

static void check_type(lua_State *L, const char *name, int wanted)
{
    int type = lua_getfield(L, 1, name);
    if (type != wanted && type != LUA_TNIL)
        luaL_error(L, "%s must be a %s", name, lua_typename(L, wanted));
    lua_pop(L, 1);
}

static void check_headers(lua_State *L)
{
    check_type(L, "headers", LUA_TTABLE);
    if (lua_getfield(L, 1, "headers") == LUA_TTABLE)
        for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n; i++) {
            if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
                luaL_error(L, "a header must be a string");
            check_clean(L, -1, "a header");
            lua_pop(L, 1);
        }
    lua_pop(L, 1);
}

void http_check_options(lua_State *L)
{
    static const char *const strings[] = {"host", "url", "method", NULL};
    static const char *const optional[] = {"http_version", "user",  "password",    "address",
                                           "unix_socket",  "proxy", "target_host", "ca",
                                           "cert",         "key",   NULL};
    static const char *const numbers[] = {"port",     "target_port", "timeout", "connect_timeout",
                                          "max_body", "family",      NULL};
    luaL_checkstack(L, 8, NULL);
    for (const char *const *name = strings; *name; name++)
        check_string(L, *name, true);
    for (const char *const *name = optional; *name; name++)
        check_string(L, *name, false);
    for (const char *const *name = numbers; *name; name++)
        check_type(L, *name, LUA_TNUMBER);
    check_type(L, "insecure", LUA_TBOOLEAN);
    check_type(L, "body", LUA_TSTRING);
    check_headers(L);
}

/* --- reading: no field below can have a wrong type any more ------------------ */

/* Valid as long as the table holds it: until the exchange ends. */
static const char *string_of(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

static lua_Number number_of(lua_State *L, const char *name, lua_Number otherwise)
{
    lua_getfield(L, 1, name);
    lua_Number number = lua_isnil(L, -1) ? otherwise : lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

static bool flag_of(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static uint64_t duration_of(lua_State *L, const char *name, double otherwise)
{
    uint64_t ns;
    if (!duration_from_seconds(number_of(L, name, otherwise), &ns) || ns < NS_PER_MS)
        ns = NS_PER_MS;
    return ns;
}

/* --- setting -------------------------------------------------------------- */

static long version_of(const char *name, bool https)
{
    if (!name)
        return CURL_HTTP_VERSION_2TLS;
    if (strcmp(name, "1.0") == 0)
        return CURL_HTTP_VERSION_1_0;
    if (strcmp(name, "2") == 0)
        return https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    return CURL_HTTP_VERSION_1_1;
}

static void set_method(lua_State *L, struct exchange *x)
{
    const struct curl_api *api = x->api;
    CURL *easy = x->transfer.easy;
    const char *method = string_of(L, "method");
    size_t size = 0;
    lua_getfield(L, 1, "body");
    const char *body = lua_tolstring(L, -1, &size);
    lua_pop(L, 1);
    bool wants_body =
        strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (body || wants_body) {
        api->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
        api->easy_setopt(easy, CURLOPT_POSTFIELDS, body ? body : "");
    } else if (strcmp(method, "HEAD") == 0) {
        api->easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    api->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static bool set_headers(lua_State *L, struct exchange *x, struct fault *why)
{
    bool ok = true;
    if (lua_getfield(L, 1, "headers") == LUA_TTABLE)
        for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); ok && i <= n; i++) {
            lua_rawgeti(L, -1, i);
            struct curl_slist *list = x->api->slist_append(x->headers, lua_tostring(L, -1));
            ok = list != NULL;
            if (ok)
                x->headers = list;
            lua_pop(L, 1);
        }
    lua_pop(L, 1);
    x->api->easy_setopt(x->transfer.easy, CURLOPT_HTTPHEADER, x->headers);
    return ok || fault_set(why, FAULT_INTERNAL, "no memory for the headers");
}

static bool set_file(lua_State *L, struct exchange *x, const char *name, CURLoption option,
                     struct fault *why)
{
    char real[PATH_MAX], what[200], reason[POLICY_REASON_MAX];
    const char *path = string_of(L, name);
    if (!path)
        return true;
    if (!policy_allows_read(x->op.reactor->policy, path, real)) {
        snprintf(what, sizeof what, "reading tls.%s = \"%.160s\"", name, path);
        policy_why_path(x->op.reactor->policy, CAPABILITY_READ, path, reason);
        return http_refuse(x, what, reason, why);
    }
    if (access(real, R_OK) != 0)
        return fault_set(why, FAULT_INTERNAL, "tls.%s = \"%s\" cannot be read", name, path);
    x->api->easy_setopt(x->transfer.easy, option, real);
    return true;
}

static bool set_tls(lua_State *L, struct exchange *x, struct fault *why)
{
    const struct curl_api *api = x->api;
    CURL *easy = x->transfer.easy;
    if (!x->https)
        return true;
    api->easy_setopt(easy, CURLOPT_CERTINFO, 1L);
    if (flag_of(L, "insecure")) {
        api->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        api->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return set_file(L, x, "ca", CURLOPT_CAINFO, why) &&
           set_file(L, x, "cert", CURLOPT_SSLCERT, why) &&
           set_file(L, x, "key", CURLOPT_SSLKEY, why);
}

static bool check_unix(struct exchange *x, const char *path, struct fault *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct sockaddr *any = (const struct sockaddr *)&address;
    char what[200], reason[POLICY_REASON_MAX];
    if (strlen(path) >= sizeof address.sun_path)
        return fault_set(why, FAULT_INTERNAL, "the path of unix_socket is too long");
    strcpy(address.sun_path, path);
    if (policy_allows_address(x->op.reactor->policy, any, NULL))
        return true;
    snprintf(what, sizeof what, "connecting to unix:%s", path);
    policy_why_address(x->op.reactor->policy, any, NULL, reason);
    return http_refuse(x, what, reason, why);
}

static bool set_route(lua_State *L, struct exchange *x, struct fault *why)
{
    const char *path = string_of(L, "unix_socket"), *proxy = string_of(L, "proxy");
    if (proxy) {
        const char *target = string_of(L, "target_host");
        uint16_t port = (uint16_t)number_of(L, "target_port", 0);
        if (!policy_allows_host(x->op.reactor->policy, target, port)) {
            char what[200], reason[POLICY_REASON_MAX];
            snprintf(what, sizeof what, "connecting to %.150s port %u", target, port);
            policy_why_host(x->op.reactor->policy, target, port, reason);
            return http_refuse(x, what, reason, why);
        }
        x->api->easy_setopt(x->transfer.easy, CURLOPT_PROXY, proxy);
        x->api->easy_setopt(x->transfer.easy, CURLOPT_NOPROXY, "");
        x->api->easy_setopt(x->transfer.easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    }
    if (!path)
        return true;
    if (!check_unix(x, path, why))
        return false;
    x->api->easy_setopt(x->transfer.easy, CURLOPT_UNIX_SOCKET_PATH, path);
    x->no_lookup = true;
    return true;
}

static void set_credentials(lua_State *L, struct exchange *x)
{
    const char *user = string_of(L, "user"), *password = string_of(L, "password");
    if (!user && !password)
        return;
    x->api->easy_setopt(x->transfer.easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    x->api->easy_setopt(x->transfer.easy, CURLOPT_USERNAME, user ? user : "");
    x->api->easy_setopt(x->transfer.easy, CURLOPT_PASSWORD, password ? password : "");
}

static void set_limits(lua_State *L, struct exchange *x)
{
    x->timeout_ns = duration_of(L, "timeout", 5);
    x->max_body = (size_t)number_of(L, "max_body", 1 << 20);
    uint64_t connect_ns = duration_of(L, "connect_timeout", 86400);
    if (connect_ns >= x->timeout_ns)
        connect_ns = x->timeout_ns + NS_PER_S; /* the total is ours to watch */
    x->api->easy_setopt(x->transfer.easy, CURLOPT_CONNECTTIMEOUT_MS,
                        (long)(connect_ns / NS_PER_MS));
    /* what libcurl holds for every transfer in flight */
    x->api->easy_setopt(x->transfer.easy, CURLOPT_BUFFERSIZE, 8192L);
    x->api->easy_setopt(x->transfer.easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
}

bool http_apply_options(lua_State *L, struct exchange *x, struct fault *why)
{
    const struct curl_api *api = x->api;
    CURL *easy = x->transfer.easy;
    const char *url = string_of(L, "url");
    x->https = strncmp(url, "https:", 6) == 0;
    x->port = (uint16_t)number_of(L, "port", x->https ? 443 : 80);
    int family = (int)number_of(L, "family", 0);
    x->family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    api->easy_setopt(easy, CURLOPT_IPRESOLVE,
                     family == 4   ? (long)CURL_IPRESOLVE_V4
                     : family == 6 ? (long)CURL_IPRESOLVE_V6
                                   : (long)CURL_IPRESOLVE_WHATEVER);
    api->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    api->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    api->easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    api->easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     version_of(string_of(L, "http_version"), x->https));
    if (api->easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK)
        return fault_set(why, FAULT_INTERNAL, "no memory for the URL");
    set_limits(L, x);
    set_method(L, x);
    set_credentials(L, x);
    return set_headers(L, x, why) && set_tls(L, x, why) && set_route(L, x, why);
}
