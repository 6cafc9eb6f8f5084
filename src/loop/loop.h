/* loop.h - the one place where a process waits.
 *
 * A thin face on libuv: descriptors to watch, timers, and a defer queue that
 * runs once every callback of the turn has returned.  Nothing here knows Lua.
 *
 * Ownership: a watch belongs to the loop from loop_watch to loop_unwatch; the
 * caller unwatches before it closes the descriptor.  Timers belong to whoever
 * embeds them.  The loop is opened and closed by its one owner. */
#ifndef HOSPITAL_LOOP_LOOP_H
#define HOSPITAL_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "loop/timer.h"

enum { LOOP_READ = UV_READABLE, LOOP_WRITE = UV_WRITABLE };

struct watch;
typedef void watch_fn(void *owner, int status, int events);

/* Work to do after the callbacks of this turn; embedded in its owner, queued
 * at most once. */
struct deferred {
    struct list link;
    void (*run)(struct deferred *);
};

struct loop {
    uv_loop_t uv;
    uv_timer_t clock; /* drives the heap */
    struct timer_heap timers;
    struct list deferred;
    unsigned watches; /* open ones: zero at the end, or something leaked */
    unsigned works;   /* under way on threads, see loop/work.h */
    uint64_t now_ns;  /* when this turn's callbacks began */
    uint64_t lag_ns;  /* how late the latest timers were run; decays */
    uint64_t lag_max_ns;
};

bool loop_open(struct loop *loop) __attribute__((warn_unused_result));

/* Closes the loop; every watch must have been unwatched, every timer disarmed. */
void loop_close(struct loop *loop);

/* One turn: waits for at most wait_ns (UINT64_MAX: until something happens;
 * 0: does not wait), runs callbacks and due timers, then the deferred work. */
void loop_turn(struct loop *loop, uint64_t wait_ns);

/* Calls on_ready(owner, status, events) whenever fd is ready for one of events
 * (LOOP_READ | LOOP_WRITE).  status is 0 or a negative errno.  One watch per
 * descriptor.  NULL when the descriptor cannot be watched. */
struct watch *loop_watch(struct loop *loop, int fd, int events, watch_fn *on_ready, void *owner);
void loop_watch_change(struct watch *watch, int events);
void loop_unwatch(struct watch *watch); /* NULL is harmless; no callback comes after it */

/* timer->on_due is called at or after at_ns (clock_now_ns's time). */
void loop_timer_arm(struct loop *loop, struct timer *timer, uint64_t at_ns);
void loop_timer_disarm(struct loop *loop, struct timer *timer);

void loop_defer(struct loop *loop, struct deferred *work);
void loop_undefer(struct deferred *work); /* harmless when not queued */

#endif
