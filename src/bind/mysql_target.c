/* mysql_target.c - see mysql_target.h. */
#include "bind/mysql_target.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/redact.h"

/* --- pieces ---------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX as bytes.  Returns owned; NULL: a % that is none, or a zero byte. */
static char *decode(const char *text, size_t size)
{
    char *copy = memory_copy(text, size), *to = copy;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            c = low < 0 ? '\0' : (char)(high * 16 + low);
            if (c == '\0') {
                free(copy);
                return NULL;
            }
            i += 2;
        }
        *to++ = c;
    }
    *to = '\0';
    return copy;
}

static bool take(char **into, const char *text, size_t size, const char *what, struct fault *why)
{
    free(*into);
    *into = decode(text, size);
    if (*into)
        return true;
    return fault_set(why, FAULT_SYNTAX,
                     "the %s of the target holds a %% without two hexadecimal digits after it "
                     "(%% itself is written %%25)",
                     what);
}

/* --- options --------------------------------------------------------------------- */

static bool is_name(const char *text, size_t size, const char *name)
{
    for (size_t i = 0; i < size; i++)
        if ((text[i] == '_' ? '-' : tolower((unsigned char)text[i])) != name[i])
            return false;
    return name[size] == '\0';
}

static bool read_mode(struct mysql_target *t, const char *text, size_t size, struct fault *why)
{
    static const char *const names[] = {"disabled", "preferred", "required", "verify-ca",
                                        "verify-identity"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_name(text, size, names[i])) {
            t->tls = (enum mysql_tls)i;
            return true;
        }
    }
    return fault_set(why, FAULT_SYNTAX,
                     "the target's ssl-mode is DISABLED, PREFERRED, REQUIRED, VERIFY_CA or "
                     "VERIFY_IDENTITY");
}

static bool read_option(struct mysql_target *t, const char *text, size_t size, struct fault *why)
{
    struct {
        const char *name;
        char **into;
    } const options[] = {
        {"ssl-ca", &t->ca},   {"ssl-capath", &t->capath}, {"ssl-cert", &t->cert},
        {"ssl-key", &t->key}, {"socket", &t->socket},
    };
    const char *equals = memchr(text, '=', size);
    size_t name = equals ? (size_t)(equals - text) : size;
    const char *value = equals ? equals + 1 : text + size;
    size_t value_size = (size_t)(text + size - value);
    if (size == 0)
        return true;
    if (is_name(text, name, "ssl-mode"))
        return read_mode(t, value, value_size, why);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (is_name(text, name, options[i].name))
            return take(options[i].into, value, value_size, options[i].name, why);
    return fault_set(why, FAULT_SYNTAX,
                     "an option of the target is not known; behind the ? may stand ssl-mode, "
                     "ssl-ca, ssl-capath, ssl-cert, ssl-key and socket");
}

static bool read_options(struct mysql_target *t, const char *text, struct fault *why)
{
    while (*text) {
        size_t size = strcspn(text, "&");
        if (!read_option(t, text, size, why))
            return false;
        text += size;
        text += *text == '&';
    }
    return true;
}

static bool check_options(struct mysql_target *t, struct fault *why)
{
    if (t->socket && t->socket[0] == '\0') {
        free(t->socket);
        t->socket = NULL;
    }
    if (t->socket && (t->socket[0] != '/' || strlen(t->socket) > 100))
        return fault_set(why, FAULT_SYNTAX,
                         "the target's socket is an absolute path of at most 100 bytes");
    if ((t->ca || t->capath) && t->tls < MYSQL_TLS_VERIFY_CA)
        t->tls = MYSQL_TLS_VERIFY_CA; /* what else would they be there for */
    if (t->cert && t->tls < MYSQL_TLS_REQUIRED)
        t->tls = MYSQL_TLS_REQUIRED;
    return true;
}

/* --- user, host and port --------------------------------------------------------- */

static bool read_credentials(struct mysql_target *t, const char *text, size_t size,
                             struct fault *why)
{
    const char *colon = memchr(text, ':', size);
    size_t user = colon ? (size_t)(colon - text) : size;
    if (!take(&t->user, text, user, "user", why))
        return false;
    return !colon || take(&t->password, colon + 1, size - user - 1, "password", why);
}

static bool read_port(struct mysql_target *t, const char *text, size_t size, struct fault *why)
{
    unsigned long port = 0;
    if (size == 0)
        return true;
    for (size_t i = 0; i < size && port <= 65535; i++)
        port = isdigit((unsigned char)text[i]) ? port * 10 + (unsigned long)(text[i] - '0') : 65536;
    if (port < 1 || port > 65535)
        return fault_set(why, FAULT_SYNTAX,
                         "the target's port is a number from 1 to 65535 (an @, / or : of a "
                         "password is written %%40, %%2F, %%3A)");
    t->port = (uint16_t)port;
    return true;
}

static bool read_host(struct mysql_target *t, const char *text, size_t size, struct fault *why)
{
    const char *end = text + size, *host = text, *host_end;
    if (size && *text == '[') {
        host = text + 1;
        host_end = memchr(text, ']', size);
        if (!host_end)
            return fault_set(why, FAULT_SYNTAX, "the target's host lacks its ]");
        text = host_end + 1;
    } else {
        host_end = memchr(text, ':', size);
        host_end = host_end ? host_end : end;
        text = host_end;
    }
    if (memchr(host, ',', (size_t)(host_end - host)))
        return fault_set(why, FAULT_SYNTAX, "the target names several hosts: one is possible");
    if (!take(&t->host, host, (size_t)(host_end - host), "host", why))
        return false;
    if (t->host[0] == '\0')
        return take(&t->host, "localhost", 9, "host", why);
    if (text < end && *text != ':')
        return fault_set(why, FAULT_SYNTAX, "behind the ] of the target's host a : may follow");
    return read_port(t, text + 1, text < end ? (size_t)(end - text - 1) : 0, why);
}

/* --- the whole ------------------------------------------------------------------- */

static bool read_all(struct mysql_target *t, const char *text, struct fault *why)
{
    if (strncasecmp(text, "mysql://", 8) != 0 && strncasecmp(text, "mariadb://", 10) != 0)
        return fault_set(why, FAULT_SYNTAX,
                         "a target is mysql://user:password@host:port/database or mariadb://…");
    text = strstr(text, "://") + 3;
    size_t size = strcspn(text, "/?#");
    const char *at = memrchr(text, '@', size);
    if (at && !read_credentials(t, text, (size_t)(at - text), why))
        return false;
    const char *host = at ? at + 1 : text;
    if (!read_host(t, host, size - (size_t)(host - text), why))
        return false;
    text += size;
    if (*text == '/') {
        size = strcspn(++text, "?#");
        if (!take(&t->database, text, size, "database", why))
            return false;
        text += size;
    }
    if (*text == '#')
        return fault_set(why, FAULT_SYNTAX, "a # in a target is written %%23");
    return (*text != '?' || read_options(t, text + 1, why)) && check_options(t, why);
}

struct mysql_target *mysql_target_read(const char *text, struct fault *why)
{
    struct mysql_target *t = memory_new(sizeof *t);
    atomic_init(&t->owners, 1);
    t->port = 3306;
    t->tls = MYSQL_TLS_PREFERRED;
    t->user = memory_copy_string("");
    t->password = memory_copy_string("");
    t->host = memory_copy_string("");
    t->database = memory_copy_string("");
    if (read_all(t, text, why))
        return t;
    mysql_target_drop(t);
    return NULL;
}

struct mysql_target *mysql_target_share(struct mysql_target *target)
{
    atomic_fetch_add(&target->owners, 1);
    return target;
}

void mysql_target_drop(struct mysql_target *target)
{
    if (!target || atomic_fetch_sub(&target->owners, 1) != 1)
        return;
    char *const strings[] = {target->user,     target->password, target->host,
                             target->database, target->socket,   target->ca,
                             target->capath,   target->cert,     target->key};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        free(strings[i]);
    free(target);
}

void mysql_target_label(const struct mysql_target *t, char *label, size_t size)
{
    struct buffer text = {0};
    if (t->user[0])
        buffer_addf(&text, "%s@", t->user);
    if (t->socket)
        buffer_addf(&text, "%s", t->socket);
    else if (strchr(t->host, ':'))
        buffer_addf(&text, "[%s]:%u", t->host, t->port);
    else
        buffer_addf(&text, "%s:%u", t->host, t->port);
    buffer_addf(&text, "/%s", t->database);
    snprintf(label, size, "%.*s", (int)text.size, text.data);
    buffer_fini(&text);
}

void mysql_target_redact(const struct mysql_target *target, char *text, size_t size)
{
    size_t length = strlen(target->password);
    if (length < 3) /* would tear every word apart, and hide nothing */
        return;
    struct buffer clean = {0};
    const char *from = text;
    for (const char *at; (at = strstr(from, target->password)); from = at + length) {
        buffer_add(&clean, from, (size_t)(at - from));
        buffer_add_string(&clean, REDACTED);
    }
    buffer_add_string(&clean, from);
    snprintf(text, size, "%.*s", (int)clean.size, clean.data);
    buffer_fini(&clean);
}
