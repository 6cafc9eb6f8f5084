/* mysql_link.h - one connection of libmariadb's, and what watches over it: opened by calls that
 * block, on a thread, and handed to the loop when it is logged in.
 *
 * The library is told of every wait (MARIADB_OPT_IO_WAIT) and of every byte
 * (ma_pvio_register_callback).  So a wait on a thread ends when it is interrupted, one on the
 * loop at once; a server may not send without end; TLS that is required is required before a
 * word of the login was said; and the certificate is compared with the name that the target was
 * written with though it is an address that is connected to. */
#ifndef HOSPITAL_BIND_MYSQL_LINK_H
#define HOSPITAL_BIND_MYSQL_LINK_H

#include <stdint.h>

#include "bind/mysql_fault.h"
#include "bind/mysql_library.h"
#include "bind/mysql_target.h"

enum mysql_phase { MYSQL_CONNECT, MYSQL_TLS, MYSQL_LOGIN, MYSQL_PHASES };

struct mysql_link {
    MYSQL my; /* first */
    struct mysql_api *api;
    struct mysql_target *target;
    char address[64];  /* "10.0.0.1"; empty: the target's socket */
    char program[128]; /* what the server is told that we are */

    /* of opening it */
    int interrupt;             /* readable: give up now */
    bool plain;                /* without TLS, where the target leaves that open */
    uint64_t connect_until_ns; /* and connected by then; 0: no matter */
    _Atomic enum mysql_phase phase;
    uint64_t phase_ns, spent_ns[MYSQL_PHASES];
    bool greeted, alien; /* alien: what came first is no greeting */
    bool spoke, late, tls_missing, detached;

    size_t allowance; /* what may still come */
    bool flooded;     /* more came */
};

/* Returns owned.  interrupt is borrowed until mysql_link_detach. */
struct mysql_link *mysql_link_new(struct mysql_api *api, struct mysql_target *target,
                                  const char *address, const char *program, int interrupt);

/* On a thread. */
bool mysql_link_open(struct mysql_link *link, struct db_fault *why) CHECKED;

/* On the same thread: one statement; the first row's first two values as text, if room is not
 * NULL ("" when there is none). */
bool mysql_link_ask(struct mysql_link *link, const char *sql, char room[2][64],
                    struct db_fault *why) CHECKED;

/* Logged in, it leaves the thread: from here on only the calls that do not block. */
bool mysql_link_detach(struct mysql_link *link);

/* Whatever the library waits for now ends with an error. */
void mysql_link_cut(struct mysql_link *link);

/* On any thread; none of its calls may be under way.  Waits for nobody.  NULL is harmless. */
void mysql_link_free(struct mysql_link *link);

/* Whether the library took part in TLS. */
bool mysql_link_is_encrypted(struct mysql_link *link);

const char *mysql_phase_name(enum mysql_phase phase);

void mysql_link_on_bytes(int mode, MYSQL *my, const unsigned char *data, size_t length);

#endif
