/* pg_settings.h - what libpq is given to connect with: what the target says, and what we set for
 * every session.
 *
 * Every session is bounded by the server too (statement_timeout, lock_timeout,
 * idle_in_transaction_session_timeout, client_connection_check_interval), its texts are UTF-8, ISO
 * and UTC, and it is read-only unless asked otherwise. */
#ifndef HOSPITAL_BIND_PG_SETTINGS_H
#define HOSPITAL_BIND_PG_SETTINGS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "bind/pg_login.h"
#include "bind/pg_target.h"

enum { PG_SETTINGS_MAX = 64 };

/* For PQconnectStartParams; borrows what it was filled from. */
struct pg_settings {
    const char *keywords[PG_SETTINGS_MAX + 1], *values[PG_SETTINGS_MAX + 1];
    unsigned count;
    struct buffer options;
    char port[8];
};

/* address: NULL for a Unix socket.  old: the server knows no client_connection_check_interval. */
void pg_settings_fill(struct pg_settings *settings, const struct pg_target *target,
                      const struct pg_login_options *options, const struct pg_host *host,
                      const char *address, bool old);
void pg_settings_fini(struct pg_settings *settings);

#endif
