/* redact.h - secrets never appear in any output.
 *
 * What counts as one:
 * - the password of a URL (scheme://user:password@host);
 * - the value of a name such as password, pwd, sslpassword, api_key, access_token, client_secret,
 *   X-Amz-Signature in connection strings, queries, headers and renderings of tables (`password=x`,
 *   `"password": "x"`, `["pwd"] = 'x'`), and of SQL's `password 'x'` and `identified by 'x'`;
 * - the value of Authorization, Proxy-Authorization, Cookie and Set-Cookie, as a header line or in
 *   a rendering, and whatever follows `Bearer `;
 * - the values (4 bytes and more) of environment variables whose names say secret, token, password,
 *   passwd, key or credential, and the passwords of URLs in any variable: as they are, URL-encoded,
 *   and with quotes escaped; of a value of several lines, each line.
 * When in doubt it takes away too much.  Text that holds none costs about a nanosecond a byte. */
#ifndef HOSPITAL_BASE_REDACT_H
#define HOSPITAL_BASE_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/* How a text that was cut short goes on; here because half a secret may stand before it. */
#define CUT_MARK "\xe2\x80\xa6[cut: "
#define REDACTED "[redacted]"

struct redactor;

/* Returns owned.  Borrows the variables only for the call; NULL: none. */
struct redactor *redactor_new(char **variables);
void redactor_free(struct redactor *redactor); /* NULL is fine */

/* True, and the clean text appended to out, when text held a secret; false, and out untouched, when
 * it can be used as it is.  A NULL redactor knows no secrets at all. */
bool redact(const struct redactor *redactor, const char *text, size_t size, struct buffer *out);

/* Whether the value under this name is a secret whatever it looks like: "authorization". */
bool redact_is_secret_name(const char *name, size_t size);

#endif
