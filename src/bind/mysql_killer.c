/* mysql_killer.c - see mysql_killer.h. */
#include "bind/mysql_killer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "loop/errand.h"
#include "loop/reactor.h"

enum { KILLS_OUT_MAX = 16, PATIENCE_S = 1 };

struct mysql_killer {
    struct errand errand;
    struct mysql_link *link; /* owned; the thread's */
    int interrupt;           /* owned: readable when the thread has had its time */
    unsigned long session;
    bool all;
    struct timer patience; /* then on_done comes though the thread goes on */
    struct reactor *reactor;
    mysql_killed_fn *on_done;
    void *owner;
};

static bool send_kill(struct mysql_link *link, const char *sql)
{
    struct db_fault ignored;
    return mysql_link_open(link, &ignored) && mysql_link_ask(link, sql, NULL, &ignored);
}

/* Without TLS first, where the target leaves that open: it takes a tenth of the time, and the
 * process may be about to end. */
static void run_kill(struct errand *errand)
{
    struct mysql_killer *k = (struct mysql_killer *)errand;
    struct mysql_link *first = k->link;
    char sql[64];
    snprintf(sql, sizeof sql, "KILL %s %lu", k->all ? "CONNECTION" : "QUERY", k->session);
    first->plain = true;
    if (send_kill(first, sql) || first->target->tls != MYSQL_TLS_PREFERRED)
        return;
    k->link =
        mysql_link_new(first->api, first->target, first->address, first->program, k->interrupt);
    mysql_link_free(first);
    (void)send_kill(k->link, sql);
}

static void drop_kill(struct errand *errand)
{
    struct mysql_killer *k = (struct mysql_killer *)errand;
    mysql_link_free(k->link);
    close(k->interrupt);
    free(k);
}

/* Tells its owner, once. */
static void tell(struct mysql_killer *k)
{
    mysql_killed_fn *on_done = k->on_done;
    k->on_done = NULL;
    loop_timer_disarm(&k->reactor->loop, &k->patience);
    if (on_done)
        on_done(k->owner);
}

static void on_patience_over(struct timer *timer)
{
    tell(list_entry(timer, struct mysql_killer, patience));
}

static void on_killed(struct errand *errand)
{
    tell((struct mysql_killer *)errand);
    drop_kill(errand);
}

struct mysql_killer *mysql_killer_start(struct reactor *reactor, const struct mysql_link *link,
                                        bool all, mysql_killed_fn *on_done, void *owner)
{
    struct errands *kills = mysql_kills(reactor);
    struct itimerspec until = {.it_value = {.tv_sec = PATIENCE_S}};
    if (errands_out(kills) >= KILLS_OUT_MAX)
        return NULL;
    int interrupt = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (interrupt < 0)
        return NULL;
    timerfd_settime(interrupt, 0, &until, NULL);
    struct mysql_killer *k = memory_new(sizeof *k);
    k->errand = (struct errand){.run = run_kill, .done = on_killed, .drop = drop_kill};
    k->link = mysql_link_new(link->api, link->target, link->address, link->program, interrupt);
    k->interrupt = interrupt;
    k->session = link->my.thread_id;
    k->all = all;
    k->patience.on_due = on_patience_over;
    k->reactor = reactor;
    k->on_done = on_done;
    k->owner = owner;
    if (on_done)
        loop_timer_arm(&reactor->loop, &k->patience, clock_now_ns() + PATIENCE_S * NS_PER_S);
    errand_start(kills, &k->errand);
    return k;
}

void mysql_killer_forget(struct mysql_killer *k)
{
    if (!k)
        return;
    k->on_done = NULL;
    loop_timer_disarm(&k->reactor->loop, &k->patience);
}
