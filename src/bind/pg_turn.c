/* pg_turn.c - see pg_turn.h. */
#include "bind/pg_turn.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "loop/loop.h"

static const uint64_t turn_ns = 250 * NS_PER_MS;

struct pg_line {
    struct list link, waiting;
    unsigned taken;
    char *name;
};

/* Not from inside pg_turn_leave: whoever is called may fail and leave at once, and so may thousands
 * behind. */
static void on_call(struct timer *timer)
{
    struct pg_lines *lines = list_entry(timer, struct pg_lines, call);
    struct list called, *link;
    list_init(&called);
    while ((link = list_shift(&lines->called)))
        list_append(&called, link);
    while ((link = list_shift(&called))) {
        struct pg_turn *turn = list_entry(link, struct pg_turn, link);
        turn->on_turn(turn);
    }
}

void pg_lines_init(struct pg_lines *lines, struct loop *loop)
{
    *lines = (struct pg_lines){.loop = loop, .call = {.on_due = on_call}};
    list_init(&lines->lines);
    list_init(&lines->called);
}

void pg_lines_fini(struct pg_lines *lines)
{
    loop_timer_disarm(lines->loop, &lines->call);
}

static struct pg_line *find(struct pg_lines *lines, const char *name)
{
    for (struct list *l = lines->lines.next; l != &lines->lines; l = l->next)
        if (strcmp(list_entry(l, struct pg_line, link)->name, name) == 0)
            return list_entry(l, struct pg_line, link);
    struct pg_line *line = memory_new(sizeof *line);
    line->name = memory_copy_string(name);
    list_init(&line->waiting);
    list_append(&lines->lines, &line->link);
    return line;
}

/* A line that nobody stands in is gone. */
static void tidy(struct pg_line *line)
{
    if (line->taken > 0 || !list_empty(&line->waiting))
        return;
    list_remove(&line->link);
    free(line->name);
    free(line);
}

static void take(struct pg_turn *turn)
{
    turn->taken = true;
    turn->line->taken++;
    loop_timer_arm(turn->lines->loop, &turn->over, clock_now_ns() + turn_ns);
}

static void on_over(struct timer *timer)
{
    pg_turn_leave(list_entry(timer, struct pg_turn, over));
}

bool pg_turn_ask(struct pg_lines *lines, struct pg_turn *turn, const char *name)
{
    turn->lines = lines;
    turn->line = find(lines, name);
    turn->over.on_due = on_over;
    list_init(&turn->link);
    if (turn->line->taken < PG_TURNS)
        take(turn);
    else
        list_append(&turn->line->waiting, &turn->link);
    return turn->taken;
}

void pg_turn_leave(struct pg_turn *turn)
{
    struct pg_line *line = turn->line;
    struct list *link = NULL;
    if (!line)
        return;
    turn->line = NULL;
    list_remove(&turn->link);
    if (turn->taken) {
        turn->taken = false;
        loop_timer_disarm(turn->lines->loop, &turn->over);
        line->taken--;
        link = list_shift(&line->waiting);
    }
    if (!link) {
        tidy(line);
        return;
    }
    struct pg_turn *next = list_entry(link, struct pg_turn, link);
    take(next);
    list_append(&next->lines->called, &next->link);
    loop_timer_arm(next->lines->loop, &next->lines->call, clock_now_ns());
}

void pg_turn_move(struct pg_turn *from, struct pg_turn *to)
{
    *to = (struct pg_turn){.lines = from->lines, .over = {.on_due = on_over}};
    list_init(&to->link);
    if (!from->taken)
        return;
    to->line = from->line;
    to->taken = true;
    loop_timer_arm(to->lines->loop, &to->over, from->over.at_ns);
    loop_timer_disarm(from->lines->loop, &from->over);
    from->taken = false;
    from->line = NULL;
}
