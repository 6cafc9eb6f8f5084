/* mysql_target.h - what a target of MySQL's or MariaDB's says:
 *
 *     mysql://user:password@host:3306/database?ssl-mode=VERIFY_CA&ssl-ca=/etc/ssl/db.pem
 *     mariadb:///database?socket=/run/mysqld/mysqld.sock
 *
 * Each part may hold %XX.  Options (in the words of MySQL's own tools, with - or _): ssl-mode,
 * ssl-ca, ssl-capath, ssl-cert, ssl-key, socket.  Needs no library. */
#ifndef HOSPITAL_BIND_MYSQL_TARGET_H
#define HOSPITAL_BIND_MYSQL_TARGET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum mysql_tls {
    MYSQL_TLS_DISABLED,
    MYSQL_TLS_PREFERRED, /* the default: when the server offers it; nothing is verified */
    MYSQL_TLS_REQUIRED,
    MYSQL_TLS_VERIFY_CA,       /* by whom the certificate was made */
    MYSQL_TLS_VERIFY_IDENTITY, /* and for which name: the one that the target was written with */
};

/* Constant once it was read, so threads may share it: the last one frees it. */
struct mysql_target {
    atomic_uint owners;
    char *user, *password, *host, *database; /* never NULL */
    char *socket;                            /* NULL: over TCP */
    char *ca, *capath, *cert, *key;          /* NULL: not said */
    uint16_t port;
    enum mysql_tls tls;
};

/* Returns owned; NULL and *why, which quotes nothing of the text. */
struct mysql_target *mysql_target_read(const char *text, struct fault *why);
struct mysql_target *mysql_target_share(struct mysql_target *target); /* one more owner */
void mysql_target_drop(struct mysql_target *target);                  /* NULL is harmless */

/* "app@db:3306/shop": for messages. */
void mysql_target_label(const struct mysql_target *target, char *label, size_t size);

/* Takes the target's password out of a text of at most size bytes, in place. */
void mysql_target_redact(const struct mysql_target *target, char *text, size_t size);

#endif
