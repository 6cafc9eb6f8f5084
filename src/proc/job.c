/* job.c - see job.h. */
#include "proc/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "check/session.h"
#include "proc/dispatch.h"

/* --- jobs ---------------------------------------------------------------- */

struct job *job_new(struct dispatch *d, struct plan_file *file)
{
    struct job *job = memory_new(sizeof *job);
    list_init(&job->link);
    job->file = file;
    file->jobs++;
    d->jobs++;
    return job;
}

bool job_has(const struct job *job, const struct plan_check *check)
{
    return check->unit && check->unit->job == job;
}

/* A check that is SENT is counted: where nothing is, nothing moves. */
static void mark_sent(struct plan_check *check)
{
    check->state = CHECK_SENT;
    check->unit->job->seat->sent++;
    check->unit->job->seat->dispatch->sent++;
}

static void unsend(struct plan_check *check)
{
    if (check->state != CHECK_SENT)
        return;
    check->state = CHECK_READY;
    check->unit->job->seat->sent--;
    check->unit->job->seat->dispatch->sent--;
}

void job_free(struct dispatch *d, struct job *job)
{
    list_remove(&job->link);
    for (size_t i = 0; i < job->unit_count; i++) {
        struct unit *unit = &job->units[i];
        list_remove(&unit->link);
        if (unit->since_ns && unit->unsettled) {
            d->in_flight--;
            job->seat->in_flight--;
        }
    }
    for (size_t i = 0; i < job->count; i++)
        if (job_has(job, job->checks[i])) {
            unsend(job->checks[i]);
            job->checks[i]->unit = NULL;
        }
    if (job->seat) {
        job->seat->slots[job->slot] = NULL;
        job->seat->jobs--;
        if (job->state == JOB_LOADING) {
            job->seat->loading--;
            d->loading--;
        }
        if (job->seat->alone == job)
            job->seat->alone = NULL;
    }
    job->file->jobs--;
    free(job->checks);
    free(job->units);
    free(job->torn);
    free(job);
    d->jobs--;
}

void job_queue(struct dispatch *d, struct plan_file *file, struct plan_check **checks, size_t count,
               bool alone, bool diagnosis)
{
    struct job *job = job_new(d, file);
    job->checks = checks;
    job->count = count;
    job->alone = alone;
    job->diagnosis = diagnosis;
    if (alone)
        list_append(&d->queue, &job->link);
    else
        list_append(d->queue.next, &job->link); /* in front */
}

/* --- frames out ---------------------------------------------------------- */

static void send_load(struct job *job)
{
    const struct check_file *source = job->file->source;
    struct channel *channel = job->seat->worker->channel;
    struct buffer *out = channel_begin(channel, WIRE_LOAD);
    wire_put_varint(out, job->slot);
    wire_put_string(out, source->id);
    wire_put_string(out, source->path);
    wire_put_string(out, source->root->lib);
    channel_end(channel);
}

void job_send_drop(struct job *job)
{
    struct channel *channel = job->seat->worker->channel;
    wire_put_varint(channel_begin(channel, WIRE_DROP), job->slot);
    channel_end(channel);
}

size_t job_index_of(const struct plan_check *check)
{
    return (size_t)(check - check->file->checks);
}

static void send_check(struct plan_check *check, enum wire_type type, const char *reason)
{
    struct job *job = check->unit->job;
    struct channel *channel = job->seat->worker->channel;
    struct buffer *out = channel_begin(channel, type);
    wire_put_varint(out, job->slot);
    wire_put_varint(out, job_index_of(check));
    if (type == WIRE_SKIP)
        wire_put_string(out, reason ? reason : "it will not run");
    channel_end(channel);
}

void job_send_run(struct job *job)
{
    struct channel *channel = job->seat->worker->channel;
    struct buffer *out = channel_begin(channel, WIRE_RUN);
    wire_put_varint(out, job->slot);
    wire_put_varint(out, job->count);
    for (size_t i = 0; i < job->count; i++) {
        const struct plan_check *check = job->checks[i];
        wire_put_varint(out, job_index_of(check));
        wire_put_u8(out, check->state == CHECK_SENT ? SESSION_GO : SESSION_HOLD);
        wire_put_string(out, NULL);
    }
    channel_end(channel);
    job->state = JOB_RUNNING;
    job->seat->loading--;
    job->seat->dispatch->loading--;
}

/* --- units --------------------------------------------------------------- */

static bool may_go(const struct plan_check *check)
{
    return check->state == CHECK_READY;
}

void unit_release(struct unit *unit)
{
    struct job *job = unit->job;
    struct dispatch *d = job->seat->dispatch;
    list_remove(&unit->link);
    unit->since_ns = clock_now_ns();
    d->in_flight++;
    job->seat->in_flight++;
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = unit->lane ? job->checks[i] : unit->first;
        if (check->unit == unit && may_go(check)) {
            mark_sent(check);
            if (job->state == JOB_RUNNING)
                send_check(check, WIRE_GO, NULL);
        }
        if (!unit->lane)
            return;
    }
}

static struct unit *unit_for(struct job *job, const struct plan_check *check)
{
    /* The checks of a lane stand together. */
    struct unit *last = job->unit_count ? &job->units[job->unit_count - 1] : NULL;
    if (last && check->decl->lane && last->lane == check->decl->lane)
        return last;
    struct unit *unit = &job->units[job->unit_count++];
    list_init(&unit->link);
    unit->job = job;
    unit->lane = check->decl->lane;
    return unit;
}

/* A unit may be released when nothing outside can make it wait half way: else a
 * lane would hold a place that what it waits for may need. */
static bool is_ready(const struct unit *unit)
{
    const struct job *job = unit->job;
    size_t waits = 0, inside = 0;
    if (!unit->lane)
        return may_go(unit->first);
    for (size_t i = 0; i < job->count; i++) {
        const struct plan_check *check = job->checks[i];
        if (check->unit != unit)
            continue;
        if (check->state == CHECK_HELD)
            waits += check->waits;
        for (size_t k = 0; k < check->waiter_count; k++)
            inside += check->waiters[k]->unit == unit && check->waiters[k]->state == CHECK_HELD;
    }
    return waits <= inside;
}

static void queue_unit(struct dispatch *d, struct unit *unit)
{
    if (unit->unsettled > 0 && list_empty(&unit->link) && !unit->since_ns && is_ready(unit))
        list_append(&d->ready, &unit->link);
}

void job_make_units(struct dispatch *d, struct job *job)
{
    job->units = memory_new((job->count + 1) * sizeof *job->units);
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = job->checks[i];
        struct unit *unit = unit_for(job, check);
        check->unit = unit;
        unit->unsettled++;
        if (!unit->first)
            unit->first = check;
    }
    for (size_t i = 0; i < job->unit_count; i++)
        queue_unit(d, &job->units[i]);
}

const struct plan_check *unit_first(const struct unit *unit)
{
    if (!unit->lane)
        return unit->unsettled ? unit->first : NULL;
    for (size_t i = 0; i < unit->job->count; i++)
        if (unit->job->checks[i]->unit == unit)
            return unit->job->checks[i];
    return NULL;
}

bool unit_may_start(const struct unit *unit)
{
    const struct plan_check *first = unit->since_ns ? NULL : unit_first(unit);
    return first && may_go(first);
}

/* --- at a worker --------------------------------------------------------- */

void job_choose_checks(struct job *job)
{
    struct plan_file *file = job->file;
    job->checks = memory_new((file->unsettled + 1) * sizeof(struct plan_check *));
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *check = &file->checks[i];
        if ((check->state == CHECK_READY || check->state == CHECK_HELD) && !check->unit)
            job->checks[job->count++] = check;
    }
}

static uint32_t free_slot(struct seat *seat)
{
    for (uint32_t i = 0; i < seat->slot_count; i++)
        if (!seat->slots[i])
            return i;
    size_t count = seat->slot_count ? seat->slot_count * 2 : 16;
    seat->slots = memory_resize(seat->slots, count * sizeof(struct job *));
    memset(seat->slots + seat->slot_count, 0, (count - seat->slot_count) * sizeof(struct job *));
    uint32_t slot = (uint32_t)seat->slot_count;
    seat->slot_count = count;
    return slot;
}

void job_sit(struct job *job, struct seat *seat)
{
    list_remove(&job->link);
    job->seat = seat;
    job->slot = free_slot(seat);
    seat->slots[job->slot] = job;
    seat->jobs++;
    seat->loading++;
    seat->dispatch->loading++;
    if (job->alone)
        seat->alone = job;
    job->state = JOB_LOADING;
    if (job->file->state == FILE_WAITING)
        job->file->state = FILE_LOADING;
    else if (!job->checks && job->file->state == FILE_LOADED)
        job_choose_checks(job);
    send_load(job);
}

void job_drop_settled(struct job *job)
{
    size_t kept = 0;
    for (size_t i = 0; i < job->count; i++)
        if (job->checks[i]->state != CHECK_SETTLED)
            job->checks[kept++] = job->checks[i];
    job->count = kept;
}

/* --- settling ------------------------------------------------------------ */

static void leave_unit(struct dispatch *d, struct plan_check *check)
{
    struct unit *unit = check->unit;
    unsend(check);
    check->unit = NULL;
    if (--unit->unsettled > 0) {
        if (unit->since_ns)
            unit->since_ns = clock_now_ns();
        return;
    }
    list_remove(&unit->link);
    if (!unit->since_ns)
        return;
    d->in_flight--;
    unit->job->seat->in_flight--;
}

/* Not while the loss of its worker is being settled. */
static bool has_worker(const struct job *job)
{
    return job->seat->worker->channel != NULL;
}

/* What became READY or SETTLED because of others: workers that hold it on their
 * list are told. */
void job_take_changes(struct dispatch *d)
{
    for (size_t i = 0; i < d->plan->changed_count; i++) {
        struct plan_check *check = d->plan->changed[i];
        struct unit *unit = check->unit;
        if (!unit || unit->job->state != JOB_RUNNING)
            continue;
        if (check->state == CHECK_SETTLED) {
            if (has_worker(unit->job))
                send_check(check, WIRE_SKIP, check->context);
            leave_unit(d, check);
        } else if (check->state == CHECK_READY && unit->since_ns && has_worker(unit->job)) {
            mark_sent(check);
            send_check(check, WIRE_GO, NULL);
        }
        queue_unit(d, unit);
    }
    d->plan->changed_count = 0;
}

void job_settle(struct dispatch *d, struct plan_check *check, const struct settlement *how)
{
    if (check->unit)
        leave_unit(d, check);
    settle_check(d->plan, check, how);
    d->idle_losses = 0;
    job_take_changes(d);
    dispatch_wake(d);
}

void job_settle_lost(struct dispatch *d, struct plan_check *check, const char *context)
{
    job_settle(d, check,
               &(struct settlement){.status = STATUS_ERROR,
                                    .attempts = check->lost ? check->lost : 1,
                                    .started_ns = clock_epoch_ns(),
                                    .context = context});
}

void job_withdraw(struct dispatch *d, struct plan_check *check, const char *reason)
{
    send_check(check, WIRE_SKIP, reason);
    leave_unit(d, check);
}

void job_load_failed(struct dispatch *d, struct job *job, const char *context, const char *details,
                     size_t size)
{
    for (size_t i = 0; i < job->count; i++) /* it had loaded before */
        if (job->checks[i]->state != CHECK_SETTLED)
            job_settle_lost(d, job->checks[i],
                            context ? context : "the file loaded before, and now it does not");
    if (job->file->state != FILE_LOADED)
        plan_file_broken(d->plan, job->file, context, details, size);
    job_take_changes(d);
}
