/* certificate.h - what libcurl tells of a server's certificate, as a Lua table. */
#ifndef HOSPITAL_BIND_CERTIFICATE_H
#define HOSPITAL_BIND_CERTIFICATE_H

#include <lua.h>

#include "bind/curl.h"

/* Pushes { subject, issuer, serial, not_before, not_after, days_left, sans,
 * fingerprint } of the server's own certificate (CURLOPT_CERTINFO must have been
 * set), or nil when there is none.  Times are seconds since 1970, days_left may be
 * negative and has fractions, fingerprint is SHA-256 in lower-case hex.
 * [-0, +1, m] */
void certificate_push(lua_State *L, const struct curl_api *api, CURL *easy);

#endif
