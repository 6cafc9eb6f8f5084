/* pg_turn.h - turns: so few at once of what is dear to a server or to us.
 *
 * Who asks joins a line.  There is one for logging in, whatever the server (each costs
 * processor time), and one for each server (each session costs it a process, and it has few).
 * A turn ends when it is left, or after a quarter of a second: neither a server that does not
 * answer nor a check that takes its time may keep the others waiting. */
#ifndef HOSPITAL_BIND_PG_TURN_H
#define HOSPITAL_BIND_PG_TURN_H

#include <stdbool.h>

#include "base/list.h"
#include "loop/timer.h"

struct loop;
struct pg_line;

enum { PG_TURNS = 4 }; /* at once, in each line */

/* All lines of a process. */
struct pg_lines {
    struct loop *loop;
    struct list lines;
    struct list called; /* turns whose on_turn is due */
    struct timer call;
};

/* Embedded in whoever waits; zeroed at first, but for on_turn. */
struct pg_turn {
    struct list link; /* while it waits, and until it is called */
    struct timer over;
    struct pg_lines *lines;
    struct pg_line *line; /* NULL: neither waits nor has its turn */
    bool taken;
    void (*on_turn)(struct pg_turn *turn); /* when it did not get it at once */
};

void pg_lines_init(struct pg_lines *lines, struct loop *loop);
void pg_lines_fini(struct pg_lines *lines); /* nobody stands in any */

/* Joins the line of that name ("10.0.0.1:5432", or "" for the common one).  True when it is its
 * turn at once; else on_turn comes later, from the loop. */
bool pg_turn_ask(struct pg_lines *lines, struct pg_turn *turn, const char *name);

void pg_turn_leave(struct pg_turn *turn); /* in whatever state; idempotent */

/* What is left of it goes on in another place, which is unused; on_turn is not moved. */
void pg_turn_move(struct pg_turn *from, struct pg_turn *to);

#endif
