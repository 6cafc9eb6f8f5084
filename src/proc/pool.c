/* pool.c - see pool.h. */
#include "proc/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "proc/exit.h"

static void forget(struct pool_worker *worker)
{
    channel_free(worker->channel);
    *worker = (struct pool_worker){
        .pool = worker->pool, .number = worker->number, .owner = worker->owner};
}

static void describe_loss(struct pool_worker *worker, struct pool_loss *loss)
{
    char exit[120];
    loss->beat = heartbeat_read(heartbeat_slot(worker->pool->heartbeat, worker->number));
    if (worker->stuck)
        snprintf(loss->reason, sizeof loss->reason,
                 "stuck for more than a second in one operation, so its worker was killed");
    else if (worker->closed_why.kind == FAULT_PROTOCOL)
        snprintf(loss->reason, sizeof loss->reason, "its worker broke the protocol: %.150s",
                 worker->closed_why.message);
    else
        snprintf(loss->reason, sizeof loss->reason, "its worker was %s",
                 exit_describe(worker->wait_status, exit, sizeof exit));
}

static void lost_if_both(struct pool_worker *worker)
{
    if (!worker->exited || !worker->closed)
        return;
    struct pool_loss loss;
    describe_loss(worker, &loss);
    forget(worker);
    worker->pool->events->on_lost(worker, &loss);
}

/* --- the channel --------------------------------------------------------- */

static void on_frame(void *owner, enum wire_type type, struct wire_reader *r)
{
    struct pool_worker *worker = owner;
    struct pool *pool = worker->pool;
    if (type != WIRE_READY) {
        pool->events->on_frame(worker, type, r);
        return;
    }
    size_t size;
    const char *report = wire_get_bytes(r, &size);
    if (size == sizeof pool->confinement && !pool->have_confinement) {
        memcpy(&pool->confinement, report, size);
        pool->have_confinement = true;
    }
}

static void on_closed(void *owner, const struct fault *why)
{
    struct pool_worker *worker = owner;
    worker->closed = true;
    worker->closed_why = *why;
    nursery_kill(worker->pool->nursery, worker->number); /* if it is still there */
    lost_if_both(worker);
}

/* --- the nursery --------------------------------------------------------- */

static void on_spawned(void *owner, unsigned number, pid_t pid)
{
    struct pool *pool = owner;
    pool->workers[number].pid = pid;
}

static void on_exited(void *owner, const struct nursery_exit *exit)
{
    struct pool *pool = owner;
    struct pool_worker *worker = &pool->workers[exit->number];
    worker->exited = true;
    worker->wait_status = exit->wait_status;
    lost_if_both(worker);
}

static void on_refused(void *owner, unsigned number, const struct fault *why)
{
    (void)number;
    struct pool *pool = owner;
    pool->events->on_fatal(pool, why);
}

static void on_nursery_lost(void *owner, const struct fault *why)
{
    struct pool *pool = owner;
    pool->events->on_fatal(pool, why);
}

/* --- stuck --------------------------------------------------------------- */

static void on_tick(struct timer *timer)
{
    struct pool *pool = list_entry(timer, struct pool, tick);
    uint64_t now_ns = clock_now_ns();
    for (unsigned i = 0; i < pool->count; i++) {
        struct pool_worker *worker = &pool->workers[i];
        if (!worker->alive || worker->stuck)
            continue;
        struct beat beat = heartbeat_read(heartbeat_slot(pool->heartbeat, i));
        if (stuck_tick(&worker->watch, &beat, now_ns)) {
            worker->stuck = true;
            nursery_kill(pool->nursery, i);
        }
    }
    loop_timer_arm(pool->loop, timer, now_ns + STUCK_TICK_NS);
}

/* --- life ---------------------------------------------------------------- */

bool pool_open(struct pool *pool, struct loop *loop, struct nursery *nursery,
               struct heartbeat *heartbeat, unsigned count, const struct pool_events *events,
               void *owner, struct fault *why)
{
    static const struct nursery_events nursery_events = {on_spawned, on_exited, on_refused,
                                                         on_nursery_lost};
    *pool = (struct pool){.loop = loop,
                          .nursery = nursery,
                          .heartbeat = heartbeat,
                          .events = events,
                          .owner = owner,
                          .count = count};
    if (!nursery_attach(nursery, loop, &nursery_events, pool, why))
        return false;
    pool->workers = memory_new(count * sizeof *pool->workers);
    for (unsigned i = 0; i < count; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].number = i;
    }
    pool->tick.on_due = on_tick;
    loop_timer_arm(loop, &pool->tick, clock_now_ns() + STUCK_TICK_NS);
    return true;
}

void pool_close(struct pool *pool)
{
    if (!pool->workers)
        return;
    loop_timer_disarm(pool->loop, &pool->tick);
    for (unsigned i = 0; i < pool->count; i++)
        channel_free(pool->workers[i].channel);
    free(pool->workers);
    pool->workers = NULL;
}

bool pool_start(struct pool_worker *worker, struct fault *why)
{
    static const struct channel_events events = {on_frame, on_closed};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return fault_set(why, FAULT_INTERNAL, "cannot make a socket pair for a worker: %s",
                         strerror(errno));
    heartbeat_reset(heartbeat_slot(worker->pool->heartbeat, worker->number));
    worker->channel = channel_new(worker->pool->loop, pair[0], &events, worker, why);
    if (!worker->channel) {
        close(pair[1]);
        return false;
    }
    worker->alive = true;
    if (nursery_spawn(worker->pool->nursery, worker->number, pair[1], why))
        return true;
    forget(worker);
    return false;
}
