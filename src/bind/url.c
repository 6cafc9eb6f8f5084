/* url.c - URLs as libcurl reads them, so that what the policy is asked about is
 * what is connected to. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/http.h"
#include "loop/reactor.h"

/* A handle as a userdata, so that nothing leaks whatever raises. */
static int m_url_close(lua_State *L)
{
    CURLU **url = lua_touserdata(L, 1);
    struct fault why;
    const struct curl_api *api = curl_load(reactor_of(L), &why);
    if (*url && api)
        api->url_cleanup(*url);
    *url = NULL;
    return 0;
}

/* [-0, +1, m] */
static CURLU *push_handle(lua_State *L, const struct curl_api *api)
{
    CURLU **url = lua_newuserdatauv(L, sizeof *url, 0);
    *url = NULL;
    if (luaL_newmetatable(L, "hospital.url")) {
        lua_pushcfunction(L, m_url_close);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "__gc");
        lua_setfield(L, -2, "__close");
    }
    lua_setmetatable(L, -2);
    lua_toclose(L, -1);
    *url = api->url();
    if (!*url)
        luaL_error(L, "no memory for a URL");
    return *url;
}

/* Part of url into the table on top; absent ones are left out.  [-0, +0, m] */
static void set_part(lua_State *L, const struct curl_api *api, CURLU *url, CURLUPart part,
                     unsigned flags, const char *key)
{
    char *text = NULL;
    if (api->url_get(url, part, &text, flags) != CURLUE_OK || !text)
        return;
    char copy[8192]; /* so that nothing is owned while Lua may raise */
    size_t size = strlen(text);
    if (size < sizeof copy)
        memcpy(copy, text, size + 1);
    api->free(text);
    if (size >= sizeof copy)
        luaL_error(L, "the URL is longer than 8 kB");
    lua_pushlstring(L, copy, size);
    lua_setfield(L, -2, key);
}

static bool has_host(const struct curl_api *api, CURLU *url)
{
    char *text = NULL;
    bool has = api->url_get(url, CURLUPART_HOST, &text, 0) == CURLUE_OK && text && *text;
    api->free(text);
    return has;
}

static const struct curl_api *load(lua_State *L)
{
    struct fault why;
    const struct curl_api *api = curl_load(reactor_of(L), &why);
    if (!api)
        luaL_error(L, "%s", why.message);
    return api;
}

/* parse(text) -> { scheme, host, port, path, query, user, password, url },
 * or nil and why not.  url has neither credentials nor fragment; host is in
 * ASCII. */
int l_url_parse(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    const struct curl_api *api = load(L);
    CURLU *url = push_handle(L, api);
    CURLUcode code =
        strlen(text) == size ? api->url_set(url, CURLUPART_URL, text, 0) : CURLUE_MALFORMED_INPUT;
    if (code != CURLUE_OK) {
        lua_pushnil(L);
        lua_pushstring(L, code == CURLUE_BAD_SCHEME ? "it must begin with http:// or https://"
                                                    : api->url_strerror(code));
        return 2;
    }
    lua_createtable(L, 0, 8);
    set_part(L, api, url, CURLUPART_SCHEME, 0, "scheme");
    set_part(L, api, url, CURLUPART_HOST, CURLU_PUNYCODE, "host");
    lua_getfield(L, -1, "host");
    if (lua_isnil(L, -1) && has_host(api, url)) { /* libcurl converts in few locales */
        lua_pushnil(L);
        lua_pushliteral(L, "its host is not ASCII: write it in Punycode, xn--...");
        return 2;
    }
    lua_pop(L, 1);
    set_part(L, api, url, CURLUPART_PORT, CURLU_DEFAULT_PORT, "port");
    set_part(L, api, url, CURLUPART_PATH, 0, "path");
    set_part(L, api, url, CURLUPART_QUERY, 0, "query");
    set_part(L, api, url, CURLUPART_USER, CURLU_URLDECODE, "user");
    set_part(L, api, url, CURLUPART_PASSWORD, CURLU_URLDECODE, "password");
    api->url_set(url, CURLUPART_USER, NULL, 0);
    api->url_set(url, CURLUPART_PASSWORD, NULL, 0);
    api->url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    set_part(L, api, url, CURLUPART_URL, 0, "url");
    return 1;
}

/* join(base, reference) -> an absolute URL, or nil and why not. */
int l_url_join(lua_State *L)
{
    const char *base = luaL_checkstring(L, 1);
    size_t size;
    const char *reference = luaL_checklstring(L, 2, &size);
    const struct curl_api *api = load(L);
    CURLU *url = push_handle(L, api);
    CURLUcode code = api->url_set(url, CURLUPART_URL, base, 0);
    if (code == CURLUE_OK)
        code = strlen(reference) == size
                   ? api->url_set(url, CURLUPART_URL, reference, CURLU_URLENCODE)
                   : CURLUE_MALFORMED_INPUT;
    if (code != CURLUE_OK) {
        lua_pushnil(L);
        lua_pushstring(L, api->url_strerror(code));
        return 2;
    }
    lua_createtable(L, 0, 1);
    set_part(L, api, url, CURLUPART_URL, 0, "url");
    lua_getfield(L, -1, "url");
    return 1;
}
