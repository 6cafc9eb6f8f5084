/* pg_settings.c - see pg_settings.h. */
#include "bind/pg_settings.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static void set(struct pg_settings *s, const char *keyword, const char *value)
{
    if (s->count == PG_SETTINGS_MAX || !value || !*value)
        return;
    s->keywords[s->count] = keyword;
    s->values[s->count++] = value;
}

/* Our own wish makes every session read-only, so that libpq would take every server for one that
 * cannot write: which kind of server it is, is meant. */
static const char *asked_for(const struct pg_login_options *options, const PQconninfoOption *o)
{
    if (options->write || !o->val || strcmp(o->keyword, "target_session_attrs") != 0)
        return o->val;
    if (strcmp(o->val, "read-write") == 0)
        return "primary";
    return strcmp(o->val, "read-only") == 0 ? "standby" : o->val;
}

static void copy_settings(struct pg_settings *s, const struct pg_target *target,
                          const struct pg_login_options *options)
{
    static const char *const ours[] = {"host",
                                       "hostaddr",
                                       "port",
                                       "gssencmode",
                                       "options",
                                       "application_name",
                                       "fallback_application_name",
                                       "client_encoding",
                                       "connect_timeout",
                                       NULL};
    for (const PQconninfoOption *o = target->settings; o && o->keyword; o++) {
        bool is_ours = false;
        for (const char *const *name = ours; *name; name++)
            is_ours |= strcmp(*name, o->keyword) == 0;
        if (!is_ours)
            set(s, o->keyword, asked_for(options, o));
    }
}

/* 0 would be "without end", and more is no integer of PostgreSQL's. */
static unsigned milliseconds(uint64_t ns)
{
    uint64_t ms = (ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms == 0 ? 1 : ms > INT_MAX ? INT_MAX : (unsigned)ms;
}

/* The author's own options come behind ours and overrule them, but not the last one. */
static void write_options(struct buffer *text, const struct pg_target *target,
                          const struct pg_login_options *o, bool old)
{
    buffer_addf(text,
                "-c statement_timeout=%u -c lock_timeout=%u "
                "-c idle_in_transaction_session_timeout=%u ",
                milliseconds(o->statement_timeout_ns), milliseconds(o->lock_timeout_ns),
                milliseconds(o->idle_timeout_ns));
    if (!old)
        buffer_add_string(text, "-c client_connection_check_interval=500 ");
    buffer_add_string(text, "-c bytea_output=hex -c extra_float_digits=1 ");
    buffer_add_string(text, pg_target_get(target, "options"));
    buffer_add_string(text, " -c TimeZone=UTC -c DateStyle=ISO");
    if (!o->write)
        buffer_add_string(text, " -c default_transaction_read_only=on");
    buffer_add(text, "", 1);
}

void pg_settings_fill(struct pg_settings *s, const struct pg_target *target,
                      const struct pg_login_options *options, const struct pg_host *host,
                      const char *address, bool old)
{
    *s = (struct pg_settings){.count = 0};
    copy_settings(s, target, options);
    write_options(&s->options, target, options, old);
    snprintf(s->port, sizeof s->port, "%u", host->port);
    set(s, "host", host->name);
    set(s, "hostaddr", address);
    set(s, "port", s->port);
    set(s, "gssencmode", "disable");
    set(s, "options", s->options.data);
    set(s, "application_name", options->application_name);
    set(s, "client_encoding", "UTF8");
}

void pg_settings_fini(struct pg_settings *s)
{
    buffer_fini(&s->options);
}
