/* pg_target.h - what a target of PostgreSQL's says, as libpq reads it: URI or keywords, with the
 * service file and the environment behind.
 *
 * libpq fills in all of it only on its way to connecting.  So it is sent that way with one value
 * that it refuses after everything was read and before anything is connected (gssencmode, which
 * is ours to set anyway), and asked what it has (PQconninfo). */
#ifndef HOSPITAL_BIND_PG_TARGET_H
#define HOSPITAL_BIND_PG_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "bind/pg_fault.h"
#include "bind/pq.h"

enum { PG_HOSTS_MAX = 16 };

struct pg_host {
    char *name;    /* as written; NULL: only an address, or the default socket */
    char *address; /* hostaddr; NULL: the name is to be resolved, or a Unix socket */
    uint16_t port;
    bool is_unix; /* name is a directory, or "@abstract" */
};

struct pg_target {
    PQconninfoOption *settings; /* libpq's; all that was said or is the default */
    const struct pq *pq;
    struct pg_host hosts[PG_HOSTS_MAX];
    unsigned count;
};

bool pg_target_read(struct pg_target *target, const struct pq *pq, const char *text,
                    struct db_fault *why) CHECKED;
void pg_target_fini(struct pg_target *target); /* zeroed is harmless */

/* The value of a setting; "" when there is none. */
const char *pg_target_get(const struct pg_target *target, const char *keyword);

/* "app@db:5432/shop": for messages; several hosts as they were written. */
void pg_target_label(const struct pg_target *target, char *label, size_t size);

/* Text without the target's passwords, and without password (of a password file, say), which may
 * be NULL.  Returns owned. */
char *pg_target_redact(const struct pg_target *target, const char *password, const char *text);

#endif
