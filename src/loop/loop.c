/* loop.c - see loop.h. */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"

struct watch {
    uv_poll_t poll; /* first: freed from its close callback through this */
    struct loop *loop;
    watch_fn *on_ready;
    void *owner;
};

static void note_lag(struct loop *loop, uint64_t late_ns)
{
    if (late_ns > loop->lag_ns)
        loop->lag_ns = late_ns;
    if (late_ns > loop->lag_max_ns)
        loop->lag_max_ns = late_ns;
}

/* The uv timer only wakes the poll; run_timers does the work, so that due
 * timers run even in a turn that did not wait.  uv_run looks at its timers before
 * it polls as well: who loses the processor for a moment in between finds this one
 * fired and nothing left to wake the poll, which must not wait then. */
static void on_clock(uv_timer_t *clock)
{
    uv_stop(clock->loop);
}

static void run_timers(struct loop *loop)
{
    uint64_t now_ns = loop->now_ns;
    struct timer *timer = timer_heap_first(&loop->timers);
    loop->lag_ns -= loop->lag_ns / 4;
    if (timer && timer->at_ns <= now_ns)
        note_lag(loop, now_ns - timer->at_ns);
    /* now_ns is fixed: a timer re-armed for "at once" waits for the next turn. */
    for (; timer && timer->at_ns <= now_ns; timer = timer_heap_first(&loop->timers)) {
        timer_heap_disarm(&loop->timers, timer);
        timer->on_due(timer);
    }
}

static void run_deferred(struct loop *loop)
{
    struct list *link;
    while ((link = list_shift(&loop->deferred))) {
        struct deferred *work = list_entry(link, struct deferred, link);
        work->run(work);
    }
}

bool loop_open(struct loop *loop)
{
    *loop = (struct loop){0};
    list_init(&loop->deferred);
    int code = uv_loop_init(&loop->uv);
    if (code == 0 && (code = uv_timer_init(&loop->uv, &loop->clock)) != 0)
        uv_loop_close(&loop->uv);
    if (code != 0) {
        errno = -code;
        return false;
    }
    loop->now_ns = clock_now_ns();
    return true;
}

void loop_close(struct loop *loop)
{
    run_deferred(loop);
    assert(loop->watches == 0);
    timer_heap_fini(&loop->timers);
    uv_close((uv_handle_t *)&loop->clock, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* only close callbacks are left */
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)rc;
}

void loop_turn(struct loop *loop, uint64_t wait_ns)
{
    if (!list_empty(&loop->deferred)) { /* it may make something ready */
        run_deferred(loop);
        wait_ns = 0;
    }
    uint64_t now_ns = clock_now_ns();
    const struct timer *first = timer_heap_first(&loop->timers);
    if (first && wait_ns) {
        uint64_t until_ns = first->at_ns > now_ns ? first->at_ns - now_ns : 0;
        if (until_ns < wait_ns)
            wait_ns = until_ns;
    }
    if (wait_ns == 0) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    } else {
        if (wait_ns != UINT64_MAX) { /* rounded up: waking early would spin */
            uv_update_time(&loop->uv);
            uv_timer_start(&loop->clock, on_clock, (wait_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
        }
        uv_run(&loop->uv, UV_RUN_ONCE);
        uv_timer_stop(&loop->clock);
    }
    loop->now_ns = clock_now_ns();
    run_timers(loop);
    run_deferred(loop);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll;
    watch->loop->now_ns = clock_now_ns();
    watch->on_ready(watch->owner, status, events);
}

struct watch *loop_watch(struct loop *loop, int fd, int events, watch_fn *on_ready, void *owner)
{
    struct watch *watch = memory_new(sizeof *watch);
    watch->loop = loop;
    watch->on_ready = on_ready;
    watch->owner = owner;
    if (uv_poll_init(&loop->uv, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    loop->watches++;
    loop_watch_change(watch, events);
    return watch;
}

void loop_watch_change(struct watch *watch, int events)
{
    if (events)
        uv_poll_start(&watch->poll, events, on_poll);
    else
        uv_poll_stop(&watch->poll);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

void loop_unwatch(struct watch *watch)
{
    if (!watch)
        return;
    watch->loop->watches--;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_poll_closed);
}

void loop_timer_arm(struct loop *loop, struct timer *timer, uint64_t at_ns)
{
    timer_heap_arm(&loop->timers, timer, at_ns);
}

void loop_timer_disarm(struct loop *loop, struct timer *timer)
{
    timer_heap_disarm(&loop->timers, timer);
}

void loop_defer(struct loop *loop, struct deferred *work)
{
    if (work->link.next && !list_empty(&work->link))
        return;
    list_append(&loop->deferred, &work->link);
}

void loop_undefer(struct deferred *work)
{
    if (work->link.next)
        list_remove(&work->link);
}
