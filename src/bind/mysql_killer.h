/* mysql_killer.h - asks the server over a connection of its own, on a thread, to end what another
 * connection is doing. */
#ifndef HOSPITAL_BIND_MYSQL_KILLER_H
#define HOSPITAL_BIND_MYSQL_KILLER_H

#include "bind/mysql_link.h"

struct mysql_killer;
struct reactor;

/* all: the session as well, and what was sent over it and has not begun.  on_done(owner) comes
 * from the loop when the server has taken note, or when that took too long; NULL when nobody
 * waits for it.  NULL is returned, and nothing sent, where too many such requests hang already. */
typedef void mysql_killed_fn(void *owner);
struct mysql_killer *mysql_killer_start(struct reactor *reactor, const struct mysql_link *link,
                                        bool all, mysql_killed_fn *on_done, void *owner);
void mysql_killer_forget(struct mysql_killer *killer); /* no on_done; NULL is harmless */

#endif
