/* cycle.c - see cycle.h. */
#include "check/cycle.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "check/settle.h"

struct step {
    struct plan_check *check;
    size_t edge; /* the next to look at */
};

struct trail {
    struct step *steps;
    size_t count;
};

static void push_step(struct plan *plan, struct trail *trail, struct plan_check *check)
{
    if ((trail->count & (trail->count - 1)) == 0)
        trail->steps = memory_resize(trail->steps,
                                     (trail->count ? trail->count * 2 : 1) * sizeof *trail->steps);
    trail->steps[trail->count++] = (struct step){check, 0};
    check->visit = plan->visit;
    check->on_trail = true;
}

/* Within its lane the next check waits as well. */
static struct plan_check *next_in_lane(struct plan_check *check)
{
    do
        check = check->next_in_lane;
    while (check && check->state == CHECK_SETTLED);
    return check;
}

/* What cannot start before the check at the end of the trail has ended; NULL when
 * all of it was looked at. */
static struct plan_check *next_edge(struct step *step)
{
    const struct plan_check *check = step->check;
    while (step->edge < check->waiter_count) {
        struct plan_check *waiter = check->waiters[step->edge++];
        if (waiter->state == CHECK_HELD)
            return waiter;
    }
    return step->edge++ == check->waiter_count ? next_in_lane(step->check) : NULL;
}

static void name_cycle(const struct trail *trail, size_t first, char *text, size_t room)
{
    int size = snprintf(text, room, "requires itself in a circle: %.150s",
                        trail->steps[first].check->decl->id);
    for (size_t i = trail->count; i-- > first && size > 0 && (size_t)size < room;)
        size += snprintf(text + size, room - (size_t)size, " -> %.150s",
                         trail->steps[i].check->decl->id);
}

/* Every check of the cycle becomes an error, and none of them a mere skip because
 * another one was first. */
static void refuse_cycle(struct plan *plan, const struct trail *trail,
                         const struct plan_check *again)
{
    char text[900];
    size_t first = trail->count - 1;
    while (trail->steps[first].check != again)
        first--;
    name_cycle(trail, first, text, sizeof text);
    for (size_t i = first; i < trail->count; i++)
        trail->steps[i].check->state = CHECK_READY;
    for (size_t i = first; i < trail->count; i++)
        settle_refuse(plan, trail->steps[i].check, text);
}

/* Those on the trail are looked at again: only what was left behind is free of cycles. */
static void leave_trail(struct trail *trail)
{
    for (; trail->count > 0; trail->count--) {
        trail->steps[trail->count - 1].check->on_trail = false;
        trail->steps[trail->count - 1].check->visit = 0;
    }
}

/* True when there was one; then there may be another. */
static bool find_cycle(struct plan *plan, struct trail *trail, struct plan_check *check)
{
    push_step(plan, trail, check);
    while (trail->count > 0) {
        struct step *step = &trail->steps[trail->count - 1];
        struct plan_check *next = next_edge(step);
        if (!next) {
            step->check->on_trail = false;
            trail->count--;
        } else if (next->on_trail) {
            refuse_cycle(plan, trail, next);
            leave_trail(trail);
            return true;
        } else if (next->visit != plan->visit) {
            push_step(plan, trail, next);
        }
    }
    return false;
}

/* Every cycle that the file closed goes through one of its checks that wait. */
void cycle_refuse_all(struct plan *plan, struct plan_file *file)
{
    struct trail trail = {0};
    plan->visit++;
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *check = &file->checks[i];
        while (check->state == CHECK_HELD && check->visit != plan->visit &&
               find_cycle(plan, &trail, check))
            ;
    }
    free(trail.steps);
}
