/* pg_target.c - see pg_target.h. */
#include "bind/pg_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/redact.h"

static const char *value_of(const PQconninfoOption *settings, const char *keyword)
{
    for (const PQconninfoOption *o = settings; o && o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val ? o->val : "";
    return "";
}

const char *pg_target_get(const struct pg_target *target, const char *keyword)
{
    return value_of(target->settings, keyword);
}

static bool refuse(struct db_fault *why, const char *text)
{
    pg_fault_of_target(why, text);
    return false;
}

/* --- hosts ----------------------------------------------------------------------- */

/* Item i of a list with commas, owned; NULL when there is none or it is empty. */
static char *item_of(const char *list, unsigned i)
{
    for (; i > 0; i--) {
        list += strcspn(list, ",");
        if (*list++ == '\0')
            return NULL;
    }
    size_t size = strcspn(list, ",");
    return size ? memory_copy(list, size) : NULL;
}

static unsigned count_items(const char *list)
{
    unsigned count = 1;
    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* What libpq is built with on Debian; elsewhere it is /tmp. */
static char *default_socket(void)
{
    static const char debian[] = "/var/run/postgresql";
    return memory_copy_string(access(debian, F_OK) == 0 ? debian : "/tmp");
}

static bool read_port(struct pg_host *host, const char *ports, unsigned i, unsigned count)
{
    char *text = item_of(ports, count_items(ports) == count ? i : 0), *end = NULL;
    unsigned long port = text ? strtoul(text, &end, 10) : 5432;
    bool ok = !text || (*end == '\0' && port >= 1 && port <= 65535);
    host->port = (uint16_t)port;
    free(text);
    return ok;
}

static bool read_hosts(struct pg_target *t, struct db_fault *why)
{
    const char *names = pg_target_get(t, "host"), *addresses = pg_target_get(t, "hostaddr");
    const char *ports = pg_target_get(t, "port");
    unsigned count = count_items(*addresses ? addresses : names);
    if (count > PG_HOSTS_MAX)
        return refuse(why, "more than 16 hosts");
    if (count_items(ports) != count && count_items(ports) != 1)
        return refuse(why, "there are more ports than hosts, or fewer");
    for (unsigned i = 0; i < count; i++) {
        struct pg_host *host = &t->hosts[t->count++];
        host->name = item_of(names, i);
        host->address = item_of(addresses, i);
        if (!host->name && !host->address)
            host->name = default_socket();
        host->is_unix = !host->address && (host->name[0] == '/' || host->name[0] == '@');
        if (!read_port(host, ports, i, count))
            return refuse(why, "a port is a number from 1 to 65535");
    }
    return true;
}

/* --- mistakes ------------------------------------------------------------------------
 *
 * libpq reads some targets otherwise than they were meant, and takes a part of a password for a
 * name, which everybody may see. */

/* "postgres://app:p@ss/word@db/shop", "app:secret@db/shop". */
static bool has_stray_at(const char *text)
{
    static const char *const schemes[] = {"postgres://", "postgresql://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strncmp(text, schemes[i], strlen(schemes[i])) != 0)
            continue;
        text += strlen(schemes[i]);
        text += strcspn(text, "@/");
        return *text && memchr(text + 1, '@', strcspn(text + 1, "?"));
    }
    return !strchr(text, '=') && strpbrk(text, "@:");
}

/* "host=db;password=secret", "dbname=postgres://app:secret@db/shop". */
static bool holds_a_target(const char *value)
{
    return strstr(value, "://") ||
           (strchr(value, '=') && (strcasestr(value, "pass") || strcasestr(value, "pwd")));
}

static bool is_mistaken(const struct pg_target *t, const char *text, struct db_fault *why)
{
    static const char *const seen[] = {"user", "host", "hostaddr", "port", "dbname"};
    if (has_stray_at(text))
        return !refuse(why, "there is an @ or : where none can be; in a user name or a password "
                            "they are written %40 and %3A, and a slash %2F");
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        if (holds_a_target(pg_target_get(t, seen[i])))
            return !refuse(why, "one of its values holds other settings; it is written "
                                "host=… dbname=…, with spaces between, or as a URI");
    return false;
}

/* --- reading ----------------------------------------------------------------------- */

bool pg_target_read(struct pg_target *target, const struct pq *pq, const char *text,
                    struct db_fault *why)
{
    static const char *const keywords[] = {"dbname", "gssencmode", NULL};
    const char *values[] = {text, "not yet", NULL};
    *target = (struct pg_target){.pq = pq};
    PGconn *pg = pq->connectStartParams(keywords, values, 1);
    const char *message = pg ? pq->errorMessage(pg) : "out of memory";
    bool read = pg && strstr(message, "gssencmode");
    if (read)
        target->settings = pq->conninfo(pg);
    else
        refuse(why, message);
    pq->finish(pg);
    if (read && !is_mistaken(target, text, why) && read_hosts(target, why))
        return true;
    pg_target_fini(target);
    return false;
}

void pg_target_fini(struct pg_target *target)
{
    for (unsigned i = 0; i < target->count; i++) {
        free(target->hosts[i].name);
        free(target->hosts[i].address);
    }
    if (target->settings)
        target->pq->conninfoFree(target->settings);
    *target = (struct pg_target){0};
}

/* --- telling ------------------------------------------------------------------------ */

void pg_target_label(const struct pg_target *target, char *label, size_t size)
{
    struct buffer text = {0};
    buffer_addf(&text, "%s@", pg_target_get(target, "user"));
    for (unsigned i = 0; i < target->count; i++) {
        const struct pg_host *host = &target->hosts[i];
        const char *name = host->name ? host->name : host->address;
        bool bare = strchr(name, ':'); /* an IPv6 address */
        buffer_addf(&text, "%s%s%s%s:%u", i ? "," : "", bare ? "[" : "", name, bare ? "]" : "",
                    host->port);
    }
    buffer_addf(&text, "/%s", pg_target_get(target, "dbname"));
    buffer_add(&text, "", 1);
    char *clean = pg_target_redact(target, NULL, text.data);
    snprintf(label, size, "%s", clean);
    free(clean);
    buffer_fini(&text);
}

/* Takes text, returns owned. */
static char *redact_one(const char *secret, char *text)
{
    size_t length = strlen(secret);
    if (length < 3) /* would tear every word apart, and hide nothing */
        return text;
    struct buffer clean = {0};
    const char *from = text;
    for (const char *at; (at = strstr(from, secret)); from = at + length) {
        buffer_add(&clean, from, (size_t)(at - from));
        buffer_add_string(&clean, REDACTED);
    }
    buffer_add(&clean, from, strlen(from) + 1);
    free(text);
    return clean.data;
}

char *pg_target_redact(const struct pg_target *target, const char *password, const char *text)
{
    char *clean = redact_one(password ? password : "", memory_copy_string(text));
    clean = redact_one(pg_target_get(target, "password"), clean);
    return redact_one(pg_target_get(target, "sslpassword"), clean);
}
