/* timer.h - many one-shot timers behind one clock.
 *
 * A timer is embedded in its owner and holds no memory of its own: arming,
 * re-arming and disarming are immediate, so it has no second lifetime.  The
 * heap is a binary heap over deadlines, ten thousand of them cost one uv_timer. */
#ifndef HOSPITAL_LOOP_TIMER_H
#define HOSPITAL_LOOP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *);

struct timer {
    uint64_t at_ns;
    timer_fn *on_due; /* called once, already disarmed; may re-arm */
    size_t slot;      /* place in the heap, 1-based; 0 means disarmed */
};

struct timer_heap {
    struct timer **slots;
    size_t count, room;
};

void timer_heap_fini(struct timer_heap *heap); /* every timer must be disarmed */
void timer_heap_arm(struct timer_heap *heap, struct timer *timer, uint64_t at_ns);
void timer_heap_disarm(struct timer_heap *heap, struct timer *timer); /* harmless when disarmed */
struct timer *timer_heap_first(const struct timer_heap *heap);        /* NULL when empty */

static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->slot != 0;
}

#endif
