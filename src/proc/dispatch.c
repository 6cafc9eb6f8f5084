/* dispatch.c - see dispatch.h. */
#include "proc/dispatch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "check/diagnosis.h"
#include "check/extra.h"
#include "proc/job.h"
#include "proc/loss.h"
#include "proc/worker.h"

enum {
    LOADS_PER_WORKER = 8, /* asked for and not answered */
    READY_ENOUGH = 256,   /* units loaded ahead of what may run */
};

/* --- what may start ------------------------------------------------------ */

void dispatch_wake(struct dispatch *d)
{
    loop_defer(d->loop, &d->pump);
}

static bool must_drain(const struct dispatch *d)
{
    return d->fail_fast && !d->only_load && !d->draining && plan_is_red(d->plan);
}

static void release_ready(struct dispatch *d)
{
    struct list *next;
    if (must_drain(d))
        return;
    for (struct list *link = d->ready.next; link != &d->ready; link = next) {
        struct unit *unit = list_entry(link, struct unit, link);
        const struct seat *seat = unit->job->seat;
        next = link->next;
        if (d->in_flight >= d->concurrency)
            return;
        if (seat != d->emptying && (!seat->alone || seat->alone == unit->job))
            unit_release(unit);
    }
}

static struct unit *find_startable(struct dispatch *d)
{
    for (unsigned i = 0; i < d->pool.count; i++) {
        for (size_t j = 0; j < d->seats[i].slot_count; j++) {
            struct job *job = d->seats[i].slots[j];
            for (size_t k = 0; job && k < job->unit_count; k++)
                if (unit_may_start(&job->units[k]))
                    return &job->units[k];
        }
    }
    return NULL;
}

/* Nothing runs and nothing loads, so what is in flight waits half way down its
 * lane, for something in a lane that would have to wait in turn (a1 -> b1 -> a2),
 * or that finds no place: then one more is let go, whatever the rules say. */
static void break_stall(struct dispatch *d)
{
    if (d->sent > 0 || d->loading > 0 || d->only_load)
        return;
    struct unit *unit =
        list_empty(&d->ready) ? find_startable(d) : list_entry(d->ready.next, struct unit, link);
    if (unit)
        unit_release(unit);
}

/* The job has loaded: what may start at once goes with the RUN itself. */
static void run_job(struct dispatch *d, struct job *job)
{
    if (!job->checks)
        job_choose_checks(job);
    job_drop_settled(job);
    if (job->count == 0) {
        job_send_drop(job);
        job_free(d, job);
        return;
    }
    job_make_units(d, job);
    release_ready(d); /* others' units go by GO; this job's are only marked */
    job_send_run(job);
}

/* --- frames in ----------------------------------------------------------- */

static struct job *job_at(struct seat *seat, struct wire_reader *r)
{
    uint32_t slot = wire_get_index(r, WORKER_SLOTS_MAX);
    struct job *job = slot < seat->slot_count ? seat->slots[slot] : NULL;
    if (!job)
        wire_refuse(r, "there is no job in that slot");
    return job;
}

static void do_loaded(struct dispatch *d, struct job *job, struct wire_reader *r)
{
    bool loaded = wire_get_bool(r);
    size_t size;
    const char *bytes = wire_get_bytes(r, &size);
    if (r->bad || job->state != JOB_LOADING)
        return;
    d->idle_losses = 0;
    struct catalogue catalogue;
    struct fault why;
    bool parsed = loaded && catalogue_parse(&catalogue, bytes, size, &why);
    if (!parsed) {
        job_load_failed(d, job, loaded ? why.message : NULL, loaded ? NULL : bytes,
                        loaded ? 0 : size);
    } else if (!plan_file_loaded(d->plan, job->file, &catalogue)) {
        parsed = false;
        job_load_failed(d, job, "the file declares other checks each time it is loaded", NULL, 0);
    }
    job_take_changes(d);
    dispatch_wake(d);
    if (!parsed || d->only_load || (d->draining && !job->diagnosis)) {
        job_send_drop(job);
        job_free(d, job);
        return;
    }
    run_job(d, job);
}

static void do_teardown(struct dispatch *d, struct job *job, uint32_t node,
                        const struct settlement *how)
{
    if (!job->torn)
        job->torn = memory_new(job->file->catalogue.node_count * sizeof *job->torn);
    job->torn[node] = true;
    if (how->status != STATUS_PASS)
        extra_add_teardown(d->plan, job->file, node, how);
}

static void do_result(struct dispatch *d, struct job *job, struct wire_reader *r)
{
    const struct catalogue *catalogue = &job->file->catalogue;
    uint32_t index = wire_get_index(r, (uint32_t)catalogue->count + 1);
    uint32_t node = wire_get_index(r, (uint32_t)catalogue->node_count + 1);
    struct settlement how = {
        .status = (enum status)wire_get_index(r, STATUS_COUNT),
        .attempts = (unsigned)wire_get_varint(r),
        .started_ns = wire_get_u64(r),
        .duration_ns = wire_get_u64(r),
        .context = wire_get_optional_string(r),
    };
    how.details = wire_get_bytes(r, &how.details_size);
    if (r->bad || job->state != JOB_RUNNING)
        return;
    d->idle_losses = 0;
    if (index == 0) {
        if (node < catalogue->node_count)
            do_teardown(d, job, node, &how);
        return;
    }
    struct plan_check *check = &job->file->checks[index - 1];
    if (!job_has(job, check))
        return; /* skipped for what it requires: the worker only confirms */
    how.attempts += check->lost;
    job_settle(d, check, &how);
}

static void do_done(struct dispatch *d, struct job *job, struct wire_reader *r)
{
    uint64_t lag_ns = wire_get_varint(r);
    if (r->bad)
        return;
    if (lag_ns > d->lag_max_ns)
        d->lag_max_ns = lag_ns;
    for (size_t i = 0; i < job->count; i++)
        if (job_has(job, job->checks[i]))
            job_settle_lost(d, job->checks[i], "its worker ended the file without a result");
    job_free(d, job);
    dispatch_wake(d);
}

static void on_frame(struct pool_worker *worker, enum wire_type type, struct wire_reader *r)
{
    struct seat *seat = worker->owner;
    struct dispatch *d = seat->dispatch;
    struct job *job = d->stopped ? NULL : job_at(seat, r);
    if (d->stopped)
        return;
    if (job) {
        switch (type) {
        case WIRE_LOADED: do_loaded(d, job, r); break;
        case WIRE_RESULT: do_result(d, job, r); break;
        case WIRE_DONE: do_done(d, job, r); break;
        default: wire_refuse(r, "not for the supervisor"); break;
        }
    }
    struct fault why;
    if (!wire_finish(r, &why))
        channel_fail(worker->channel, &why);
}

static void on_pool_fatal(struct pool *pool, const struct fault *why)
{
    struct dispatch *d = pool->owner;
    if (!d->stopped)
        d->on_fatal(d->owner, why);
}

/* --- sending jobs to workers --------------------------------------------- */

static bool start_worker(struct dispatch *d, struct seat *seat)
{
    struct fault why;
    if (pool_start(seat->worker, &why))
        return true;
    d->on_fatal(d->owner, &why);
    return false;
}

static unsigned load_of(const struct seat *seat)
{
    return seat->in_flight + seat->loading;
}

/* The least loaded worker that may take one more; one that is not running yet is
 * preferred to one that has work.  NULL: none for now. */
static struct seat *choose_seat(struct dispatch *d)
{
    struct seat *best = NULL;
    for (unsigned i = 0; i < d->pool.count; i++) {
        struct seat *seat = &d->seats[i];
        if (seat->alone || seat == d->emptying || seat->loading >= LOADS_PER_WORKER)
            continue;
        if (!best || load_of(seat) < load_of(best) ||
            (load_of(seat) == load_of(best) && seat->worker->alive && !best->worker->alive))
            best = seat;
    }
    return best;
}

/* A worker for a job that must be alone: one where nothing runs (what is on hold
 * there would lose nothing); if there is none, the least loaded is emptied. */
static struct seat *choose_lonely_seat(struct dispatch *d)
{
    struct seat *best = NULL;
    for (unsigned i = 0; i < d->pool.count; i++) {
        struct seat *seat = &d->seats[i];
        if (seat->alone)
            continue;
        if (seat->sent == 0 && seat->loading == 0) {
            d->emptying = NULL;
            return seat;
        }
        if (!best || load_of(seat) < load_of(best))
            best = seat;
    }
    if (!d->emptying)
        d->emptying = best;
    return NULL;
}

static bool assign(struct dispatch *d, struct job *job)
{
    struct seat *seat = job->alone ? choose_lonely_seat(d) : choose_seat(d);
    if (!seat || (!seat->worker->alive && !start_worker(d, seat)))
        return false;
    job_sit(job, seat);
    return true;
}

static bool needs_job(const struct plan_file *file)
{
    return file->state == FILE_WAITING || (file->state == FILE_LOADED && file->unsettled > 0);
}

/* Files that others wait for come first. */
static struct plan_file *next_file(struct dispatch *d)
{
    for (size_t i = d->next_file; d->plan->has_urgent && i < d->plan->file_count; i++) {
        struct plan_file *file = &d->plan->files[i];
        if (file->urgent && file->state == FILE_WAITING && !file->queued)
            return file;
    }
    d->plan->has_urgent = false;
    while (d->next_file < d->plan->file_count) {
        struct plan_file *file = &d->plan->files[d->next_file++];
        if (needs_job(file) && !file->queued)
            return file;
    }
    return NULL;
}

static void queue_diagnoses(struct dispatch *d)
{
    struct plan_check *check;
    while (!d->only_load && (check = diagnosis_next(d->plan))) {
        struct plan_check **one = memory_new(sizeof(struct plan_check *));
        one[0] = check;
        check->state = CHECK_READY;
        job_queue(d, check->file, one, 1, false, true);
    }
}

static bool wants_more(const struct dispatch *d)
{
    size_t ready = 0;
    for (const struct list *link = d->ready.next; link != &d->ready; link = link->next)
        if (++ready >= READY_ENOUGH)
            return false;
    return true;
}

/* --- beginning nothing more ---------------------------------------------- */

static void drain_job(struct dispatch *d, struct job *job)
{
    const struct unit *unit = NULL;
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = job->checks[i];
        if (!job_has(job, check))
            continue;
        bool begun = check->unit != unit && check->state == CHECK_SENT;
        unit = check->unit;
        if (begun)
            continue;
        job_withdraw(d, check, "not begun");
    }
}

static void drain(struct dispatch *d)
{
    d->draining = true;
    d->next_file = d->plan->file_count;
    while (!list_empty(&d->queue))
        job_free(d, list_entry(d->queue.next, struct job, link));
    for (unsigned i = 0; i < d->pool.count; i++)
        for (size_t j = 0; j < d->seats[i].slot_count; j++) {
            struct job *job = d->seats[i].slots[j];
            if (job && job->state == JOB_RUNNING && !job->diagnosis)
                drain_job(d, job);
        }
}

/* --- what the supervisor asks for ---------------------------------------- */

static void pump(struct deferred *work)
{
    struct dispatch *d = list_entry(work, struct dispatch, pump);
    if (d->stopped)
        return;
    if (must_drain(d))
        drain(d);
    release_ready(d);
    queue_diagnoses(d);
    while (!d->stopped && wants_more(d)) {
        if (list_empty(&d->queue)) {
            struct plan_file *file = next_file(d);
            if (!file)
                break;
            file->queued = true;
            list_append(&d->queue, &job_new(d, file)->link);
        }
        if (!assign(d, list_entry(d->queue.next, struct job, link)))
            break;
    }
    break_stall(d);
    d->on_progress(d->owner);
}

void dispatch_fill(struct dispatch *d)
{
    d->next_file = 0;
    for (size_t i = 0; i < d->plan->file_count; i++)
        d->plan->files[i].queued = false;
    dispatch_wake(d);
}

bool dispatch_is_idle(const struct dispatch *d)
{
    return d->jobs == 0 && d->next_file >= d->plan->file_count &&
           (d->only_load || diagnosis_next(d->plan) == NULL);
}

/* Keeps the list in order; the last falls out of a full one. */
static size_t insert_running(struct running *list, size_t count, size_t most,
                             const struct running *one)
{
    size_t at = count;
    while (at > 0 && list[at - 1].since_ns > one->since_ns)
        at--;
    if (at == most)
        return count;
    count += count < most;
    memmove(&list[at + 1], &list[at], (count - at - 1) * sizeof *list);
    list[at] = *one;
    return count;
}

size_t dispatch_running(const struct dispatch *d, struct running *list, size_t most)
{
    size_t count = 0;
    for (unsigned i = 0; i < d->pool.count; i++) {
        const struct seat *seat = &d->seats[i];
        for (size_t j = 0; j < seat->slot_count; j++) {
            const struct job *job = seat->slots[j];
            for (size_t k = 0; job && k < job->unit_count; k++) {
                const struct unit *unit = &job->units[k];
                if (!unit->since_ns || !unit->unsettled)
                    continue;
                struct running one = {unit_first(unit), unit->since_ns};
                if (one.check && one.check->state == CHECK_SENT)
                    count = insert_running(list, count, most, &one);
            }
        }
    }
    return count;
}

/* --- life ---------------------------------------------------------------- */

bool dispatch_open(struct dispatch *d, struct plan *plan, struct loop *loop,
                   struct nursery *nursery, struct heartbeat *heartbeat, unsigned workers,
                   struct fault *why)
{
    static const struct pool_events events = {on_frame, loss_of_worker, on_pool_fatal};
    d->plan = plan;
    d->loop = loop;
    d->pump.run = pump;
    list_init(&d->queue);
    list_init(&d->ready);
    if (!pool_open(&d->pool, loop, nursery, heartbeat, workers, &events, d, why))
        return false;
    d->seats = memory_new(workers * sizeof *d->seats);
    for (unsigned i = 0; i < workers; i++) {
        d->seats[i].dispatch = d;
        d->seats[i].worker = &d->pool.workers[i];
        d->pool.workers[i].owner = &d->seats[i];
    }
    return true;
}

void dispatch_close(struct dispatch *d)
{
    d->stopped = true;
    loop_undefer(&d->pump);
    for (unsigned i = 0; d->seats && i < d->pool.count; i++) {
        for (size_t j = 0; j < d->seats[i].slot_count; j++)
            if (d->seats[i].slots[j])
                job_free(d, d->seats[i].slots[j]);
        free(d->seats[i].slots);
    }
    while (!list_empty(&d->queue))
        job_free(d, list_entry(d->queue.next, struct job, link));
    free(d->seats);
    d->seats = NULL;
    pool_close(&d->pool);
}
