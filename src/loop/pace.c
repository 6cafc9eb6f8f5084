/* pace.c - see pace.h. */
#include "loop/pace.h"

#include "base/clock.h"
#include "loop/reactor.h"

static const uint64_t start_budget_ns = 1 * NS_PER_MS;
static const uint64_t late_ns = 20 * NS_PER_MS;

void pace_init(struct pace *pace)
{
    list_init(&pace->waiting);
}

void pace_add(struct pace *pace, struct starter *starter)
{
    list_append(&pace->waiting, &starter->link);
}

void pace_remove(struct starter *starter)
{
    if (starter->link.next)
        list_remove(&starter->link);
}

bool pace_has_work(const struct pace *pace)
{
    return !list_empty(&pace->waiting);
}

void pace_turn(struct pace *pace, struct reactor *reactor)
{
    uint64_t until_ns = clock_now_ns() + start_budget_ns;
    if (reactor->loop.lag_ns > late_ns)
        until_ns = 0;
    struct list *link;
    while ((link = list_shift(&pace->waiting))) {
        struct starter *starter = list_entry(link, struct starter, link);
        struct task *task = starter->start(starter);
        if (task)
            reactor_run_one(reactor, task);
        if (clock_now_ns() >= until_ns)
            break;
    }
}
