/* certificate.c - see certificate.h.  libcurl gives lines "Name:value". */
#include "bind/certificate.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sha256.h"

static const char *value_of(const struct curl_slist *lines, const char *name)
{
    size_t size = strlen(name);
    for (; lines; lines = lines->next)
        if (strncmp(lines->data, name, size) == 0 && lines->data[size] == ':')
            return lines->data + size + 1;
    return NULL;
}

static void set_text(lua_State *L, const char *key, const char *value)
{
    if (!value)
        return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

/* "Nov 21 03:00:00 2026 GMT".  [-0, +0, m] */
static bool set_time(lua_State *L, const struct curl_api *api, const char *key, const char *text,
                     time_t *when)
{
    *when = text ? api->getdate(text, NULL) : -1;
    if (*when == -1)
        return false;
    lua_pushinteger(L, *when);
    lua_setfield(L, -2, key);
    return true;
}

/* "DNS:localhost, IP Address:127.0.0.1" as a list of names and addresses. */
static void set_sans(lua_State *L, const char *text)
{
    lua_newtable(L);
    for (lua_Integer n = 1; text && *text;) {
        size_t size = strcspn(text, ",");
        const char *colon = memchr(text, ':', size);
        const char *from = colon ? colon + 1 : text;
        lua_pushlstring(L, from, (size_t)(text + size - from));
        lua_rawseti(L, -2, n++);
        text += size;
        text += strspn(text, ", ");
    }
    lua_setfield(L, -2, "sans");
}

static int sextet(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* The DER inside a PEM text into bytes; how many. */
static size_t decode_pem(const char *pem, uint8_t *bytes, size_t room)
{
    const char *from = strchr(pem, '\n');
    size_t size = 0;
    uint32_t bits = 0;
    int have = 0;
    for (; from && *from && *from != '-' && *from != '='; from++) {
        int six = sextet(*from);
        if (six < 0)
            continue;
        bits = bits << 6 | (uint32_t)six;
        have += 6;
        if (have >= 8 && size < room) {
            have -= 8;
            bytes[size++] = (uint8_t)(bits >> have);
        }
    }
    return size;
}

static void set_fingerprint(lua_State *L, const char *pem)
{
    if (!pem)
        return;
    size_t room = strlen(pem);
    uint8_t digest[32];
    char hex[65];
    uint8_t *der = lua_newuserdatauv(L, room + 1, 0);
    sha256(der, decode_pem(pem, der, room), digest);
    lua_pop(L, 1);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    lua_pushlstring(L, hex, 64);
    lua_setfield(L, -2, "fingerprint");
}

void certificate_push(lua_State *L, const struct curl_api *api, CURL *easy)
{
    struct curl_certinfo *info = NULL;
    time_t when;
    if (api->easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info ||
        info->num_of_certs < 1) {
        lua_pushnil(L);
        return;
    }
    const struct curl_slist *lines = info->certinfo[0];
    lua_createtable(L, 0, 8);
    set_text(L, "subject", value_of(lines, "Subject"));
    set_text(L, "issuer", value_of(lines, "Issuer"));
    set_text(L, "serial", value_of(lines, "Serial Number"));
    set_time(L, api, "not_before", value_of(lines, "Start date"), &when);
    if (set_time(L, api, "not_after", value_of(lines, "Expire date"), &when)) {
        lua_pushnumber(L, (lua_Number)(when - (time_t)(clock_epoch_ns() / NS_PER_S)) / 86400);
        lua_setfield(L, -2, "days_left");
    }
    set_sans(L, value_of(lines, "X509v3 Subject Alternative Name"));
    set_fingerprint(L, value_of(lines, "Cert"));
}
