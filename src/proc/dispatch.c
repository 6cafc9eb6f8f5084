/* dispatch.c - see dispatch.h. */
#include "proc/dispatch.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "check/session.h"
#include "proc/worker.h"

enum {
    LOADS_PER_WORKER = 8, /* asked for and not answered */
    READY_ENOUGH = 256,   /* units loaded ahead of what may run */
    LOSSES_MAX = 3,       /* workers that the loading of one file may cost */
    NOTES_MAX = 20,       /* about lost workers */
    IDLE_LOSSES_MAX = 5,
};

enum job_state { JOB_QUEUED, JOB_LOADING, JOB_RUNNING };

/* What is released together: a lone check, or all of a lane. */
struct unit {
    struct list link; /* on dispatch->ready */
    struct job *job;
    unsigned lane;
    size_t unsettled;
    uint64_t since_ns; /* since when what is running there may run; 0: it was not released */
    struct plan_check *first;
};

struct job {
    struct list link; /* on dispatch->queue */
    struct plan_file *file;
    enum job_state state;
    struct plan_check **checks; /* NULL, count 0: whatever is selected once it has loaded */
    size_t count;
    struct unit *units;
    size_t unit_count;
    bool diagnosis;
    bool alone; /* nothing else may run in its worker */
    struct seat *seat;
    uint32_t slot;
    bool *torn; /* by node: its teardown has ended; NULL when the file has none */
};

struct seat {
    struct dispatch *dispatch;
    struct pool_worker *worker;
    struct job **slots;
    size_t slot_count;
    size_t jobs;
    unsigned loading, in_flight;
    unsigned sent;           /* checks that it was told to run and has not ended */
    const struct job *alone; /* nothing else is released here; NULL */
};

/* --- jobs ---------------------------------------------------------------- */

static struct job *new_job(struct dispatch *d, struct plan_file *file)
{
    struct job *job = memory_new(sizeof *job);
    list_init(&job->link);
    job->file = file;
    file->jobs++;
    d->jobs++;
    return job;
}

static bool is_with(const struct plan_check *check, const struct job *job)
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

static void free_job(struct dispatch *d, struct job *job)
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
        if (is_with(job->checks[i], job)) {
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

static void want_pump(struct dispatch *d)
{
    loop_defer(d->loop, &d->pump);
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

static void send_slot(struct job *job, enum wire_type type)
{
    struct channel *channel = job->seat->worker->channel;
    wire_put_varint(channel_begin(channel, type), job->slot);
    channel_end(channel);
}

static size_t index_of(const struct plan_check *check)
{
    return (size_t)(check - check->file->checks);
}

static void send_check(struct plan_check *check, enum wire_type type, const char *reason)
{
    struct job *job = check->unit->job;
    struct channel *channel = job->seat->worker->channel;
    struct buffer *out = channel_begin(channel, type);
    wire_put_varint(out, job->slot);
    wire_put_varint(out, index_of(check));
    if (type == WIRE_SKIP)
        wire_put_string(out, reason ? reason : "it will not run");
    channel_end(channel);
}

static void send_run(struct job *job)
{
    struct channel *channel = job->seat->worker->channel;
    struct buffer *out = channel_begin(channel, WIRE_RUN);
    wire_put_varint(out, job->slot);
    wire_put_varint(out, job->count);
    for (size_t i = 0; i < job->count; i++) {
        const struct plan_check *check = job->checks[i];
        wire_put_varint(out, index_of(check));
        wire_put_u8(out, check->state == CHECK_SENT ? SESSION_GO : SESSION_HOLD);
        wire_put_string(out, NULL);
    }
    channel_end(channel);
}

/* --- units --------------------------------------------------------------- */

static bool may_go(const struct plan_check *check)
{
    return check->state == CHECK_READY;
}

/* Counts the unit as in flight and marks those of its checks that may go. */
static void release(struct unit *unit)
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

static void make_units(struct dispatch *d, struct job *job)
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

static void choose_checks(struct job *job)
{
    struct plan_file *file = job->file;
    job->checks = memory_new((file->unsettled + 1) * sizeof(struct plan_check *));
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *check = &file->checks[i];
        if ((check->state == CHECK_READY || check->state == CHECK_HELD) && !check->unit)
            job->checks[job->count++] = check;
    }
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
            release(unit);
    }
}

static const struct plan_check *first_unsettled(const struct unit *unit)
{
    if (!unit->lane)
        return unit->unsettled ? unit->first : NULL;
    for (size_t i = 0; i < unit->job->count; i++)
        if (unit->job->checks[i]->unit == unit)
            return unit->job->checks[i];
    return NULL;
}

static bool may_start(const struct unit *unit)
{
    const struct plan_check *first = unit->since_ns ? NULL : first_unsettled(unit);
    return first && may_go(first);
}

static struct unit *find_startable(struct dispatch *d)
{
    for (unsigned i = 0; i < d->pool.count; i++) {
        for (size_t j = 0; j < d->seats[i].slot_count; j++) {
            struct job *job = d->seats[i].slots[j];
            for (size_t k = 0; job && k < job->unit_count; k++)
                if (may_start(&job->units[k]))
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
        release(unit);
}

/* What was settled since the job was made is none of its business any more. */
static void drop_settled(struct job *job)
{
    size_t kept = 0;
    for (size_t i = 0; i < job->count; i++)
        if (job->checks[i]->state != CHECK_SETTLED)
            job->checks[kept++] = job->checks[i];
    job->count = kept;
}

/* The job has loaded: what may start at once goes with the RUN itself. */
static void run_job(struct dispatch *d, struct job *job)
{
    if (!job->checks)
        choose_checks(job);
    drop_settled(job);
    if (job->count == 0) {
        send_slot(job, WIRE_DROP);
        free_job(d, job);
        return;
    }
    make_units(d, job);
    release_ready(d); /* others' units go by GO; this job's are only marked */
    send_run(job);
    job->state = JOB_RUNNING;
    job->seat->loading--;
    d->loading--;
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
static void take_changes(struct dispatch *d)
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

static void settle(struct dispatch *d, struct plan_check *check, const struct plan_settlement *how)
{
    if (check->unit)
        leave_unit(d, check);
    plan_settle(d->plan, check, how);
    d->idle_losses = 0;
    take_changes(d);
    want_pump(d);
}

static void settle_lost(struct dispatch *d, struct plan_check *check, const char *context)
{
    settle(d, check,
           &(struct plan_settlement){.status = STATUS_ERROR,
                                     .attempts = check->lost ? check->lost : 1,
                                     .started_ns = clock_epoch_ns(),
                                     .context = context});
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

static void load_failed(struct dispatch *d, struct job *job, const char *context,
                        const char *details, size_t size)
{
    for (size_t i = 0; i < job->count; i++) /* it had loaded before */
        if (job->checks[i]->state != CHECK_SETTLED)
            settle_lost(d, job->checks[i],
                        context ? context : "the file loaded before, and now it does not");
    if (job->file->state != FILE_LOADED)
        plan_file_broken(d->plan, job->file, context, details, size);
    take_changes(d);
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
        load_failed(d, job, loaded ? why.message : NULL, loaded ? NULL : bytes, loaded ? 0 : size);
    } else if (!plan_file_loaded(d->plan, job->file, &catalogue)) {
        parsed = false;
        load_failed(d, job, "the file declares other checks each time it is loaded", NULL, 0);
    }
    take_changes(d);
    want_pump(d);
    if (!parsed || d->only_load || (d->draining && !job->diagnosis)) {
        send_slot(job, WIRE_DROP);
        free_job(d, job);
        return;
    }
    run_job(d, job);
}

static void do_teardown(struct dispatch *d, struct job *job, uint32_t node,
                        const struct plan_settlement *how)
{
    if (!job->torn)
        job->torn = memory_new(job->file->catalogue.node_count * sizeof *job->torn);
    job->torn[node] = true;
    if (how->status != STATUS_PASS)
        plan_teardown_said(d->plan, job->file, node, how);
}

static void do_result(struct dispatch *d, struct job *job, struct wire_reader *r)
{
    const struct catalogue *catalogue = &job->file->catalogue;
    uint32_t index = wire_get_index(r, (uint32_t)catalogue->count + 1);
    uint32_t node = wire_get_index(r, (uint32_t)catalogue->node_count + 1);
    struct plan_settlement how = {
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
    if (!check->unit || check->unit->job != job)
        return; /* skipped for what it requires: the worker only confirms */
    how.attempts += check->lost;
    settle(d, check, &how);
}

static void do_done(struct dispatch *d, struct job *job, struct wire_reader *r)
{
    uint64_t lag_ns = wire_get_varint(r);
    if (r->bad)
        return;
    if (lag_ns > d->lag_max_ns)
        d->lag_max_ns = lag_ns;
    for (size_t i = 0; i < job->count; i++)
        if (job->checks[i]->unit && job->checks[i]->unit->job == job)
            settle_lost(d, job->checks[i], "its worker ended the file without a result");
    free_job(d, job);
    want_pump(d);
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

/* --- lost workers -------------------------------------------------------- */

static void requeue(struct dispatch *d, struct plan_file *file, struct plan_check **checks,
                    size_t count, bool alone, bool diagnosis)
{
    struct job *job = new_job(d, file);
    job->checks = checks;
    job->count = count;
    job->alone = alone;
    job->diagnosis = diagnosis;
    if (alone)
        list_append(&d->queue, &job->link);
    else
        list_append(d->queue.next, &job->link); /* in front */
}

/* A loading file whose worker was lost: tried again, then alone, then given up. */
static void lose_load(struct dispatch *d, struct job *job, bool culprit, const char *reason)
{
    char text[320];
    struct plan_file *file = job->file;
    if (!culprit && !job->alone) {
        bool alone = ++file->lost >= LOSSES_MAX - 1;
        requeue(d, file, job->checks, job->count, alone, job->diagnosis);
        job->checks = NULL;
        job->count = 0;
        return;
    }
    d->idle_losses = 0;
    snprintf(text, sizeof text, "while this file was loading: %s", reason);
    load_failed(d, job, text, NULL, 0);
}

static void settle_culprit(struct dispatch *d, struct plan_check *check, const char *reason)
{
    char text[320];
    snprintf(text, sizeof text, "while this check ran: %s", reason);
    settle_lost(d, check, text);
}

static void give_up(struct dispatch *d, struct plan_check *check, const char *reason)
{
    char text[320];
    snprintf(text, sizeof text, "given up after %u lost workers, the last while it ran alone: %s",
             check->lost, reason);
    settle_lost(d, check, text);
}

/* As the author called it; a file by its id. */
static const char *node_title(const struct node_decl *node)
{
    const char *title = node->id, *next;
    while ((next = strstr(title, "::")))
        title = next + 2;
    return title;
}

static bool is_below(const struct plan_check *check, uint32_t node)
{
    for (size_t i = 0; i < check->decl->node_count; i++)
        if (check->decl->nodes[i] == node)
            return true;
    return false;
}

/* Without its setup none of a describe's checks can run; those marked `skip` need
 * none. */
static void blame_setup(struct dispatch *d, struct job *job, uint32_t node, const char *reason)
{
    char text[500];
    snprintf(text, sizeof text, "while the setup of \"%.200s\" ran: %s",
             node_title(&job->file->catalogue.nodes[node]), reason);
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = job->checks[i];
        if (is_with(check, job) && !check->decl->skip && is_below(check, node))
            settle_lost(d, check, text);
    }
}

/* Only the first of a lane was running; what stands behind it lost nothing. */
static void blame(struct dispatch *d, struct job *job, uint32_t culprit, const char *reason)
{
    const struct unit *unit = NULL;
    const struct catalogue *catalogue = &job->file->catalogue;
    bool setup = culprit - HEARTBEAT_SETUP < catalogue->node_count;
    bool teardown = culprit - HEARTBEAT_TEARDOWN < catalogue->node_count;
    bool known = culprit < catalogue->count || setup || teardown;
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = job->checks[i];
        if (!is_with(check, job))
            continue;
        bool in_flight = check->unit != unit && check->state == CHECK_SENT;
        unit = check->unit;
        check->lost += in_flight;
        check->suspected += in_flight && !known;
        if (index_of(check) == culprit)
            settle_culprit(d, check, reason);
    }
    if (setup)
        blame_setup(d, job, culprit - HEARTBEAT_SETUP, reason);
}

/* How many units the checks are, in order, from the first on; *end is where the
 * first `most` of them end. */
static size_t count_units(struct plan_check *const *checks, size_t count, size_t most, size_t *end)
{
    size_t units = 0;
    *end = count;
    for (size_t i = 0; i < count; i++) {
        unsigned lane = checks[i]->decl->lane;
        if (i > 0 && lane && lane == checks[i - 1]->decl->lane)
            continue;
        if (units++ == most)
            *end = i;
    }
    return units;
}

static void requeue_copy(struct dispatch *d, const struct job *job,
                         struct plan_check *const *checks, size_t count, bool alone)
{
    if (count == 0)
        return;
    struct plan_check **copy = memory_new(count * sizeof(struct plan_check *));
    memcpy(copy, checks, count * sizeof(struct plan_check *));
    requeue(d, job->file, copy, count, alone, job->diagnosis);
}

/* Twice a worker died under these and nothing says which of them it was: they are
 * halved, in workers of their own, until one is left. */
static void isolate(struct dispatch *d, const struct job *job, struct plan_check **checks,
                    size_t count, const char *reason)
{
    size_t middle, units = count_units(checks, count, SIZE_MAX, &middle);
    if (units == 1 && job->alone) { /* of a lane the first: the others run again */
        give_up(d, checks[0], reason);
        requeue_copy(d, job, checks + 1, count - 1, true);
        return;
    }
    count_units(checks, count, (units + 1) / 2, &middle);
    requeue_copy(d, job, checks, middle, true);
    requeue_copy(d, job, checks + middle, count - middle, true);
}

/* What has not settled runs again: together, but for those under which a worker
 * was lost twice and nobody knows why. */
static void run_again(struct dispatch *d, struct job *job, const char *reason)
{
    struct plan_check **again = memory_new((job->count + 1) * sizeof(struct plan_check *));
    struct plan_check **suspects = memory_new((job->count + 1) * sizeof(struct plan_check *));
    size_t again_count = 0, suspect_count = 0;
    const struct unit *unit = NULL;
    bool suspect = false;
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = job->checks[i];
        if (!is_with(check, job))
            continue;
        if (check->unit != unit) /* of a lane the first was running */
            suspect = check->suspected >= 2;
        unit = check->unit;
        if (suspect)
            suspects[suspect_count++] = check;
        else
            again[again_count++] = check;
    }
    requeue_copy(d, job, again, again_count, false);
    if (suspect_count > 0)
        isolate(d, job, suspects, suspect_count, reason);
    free(again);
    free(suspects);
}

/* Describes that were entered, have nothing left to run, and whose teardown has
 * not been heard of: it never will be. */
static void lose_teardowns(struct dispatch *d, struct job *job, const char *reason)
{
    char text[320];
    const struct catalogue *c = &job->file->catalogue;
    enum { ENTERED = 1, PENDING = 2 };
    unsigned char *seen = memory_new(c->node_count + 1);
    for (size_t i = 0; i < job->count; i++) {
        const struct plan_check *check = job->checks[i];
        bool settled = check->state == CHECK_SETTLED;
        if (!settled || check->attempts > 0)
            for (size_t k = 0; k < check->decl->node_count; k++)
                seen[check->decl->nodes[k]] |= settled ? ENTERED : PENDING;
    }
    snprintf(text, sizeof text, "the teardown did not run to its end: %s", reason);
    for (size_t i = 0; i < c->node_count; i++)
        if (seen[i] == ENTERED && c->nodes[i].teardowns > 0 && !(job->torn && job->torn[i]))
            plan_teardown_said(d->plan, job->file, (uint32_t)i,
                               &(struct plan_settlement){.status = STATUS_ERROR,
                                                         .attempts = 1,
                                                         .started_ns = clock_epoch_ns(),
                                                         .context = text});
    free(seen);
}

static void lose_job(struct dispatch *d, struct job *job, const struct pool_loss *loss)
{
    bool here = loss->beat.running && loss->beat.file == job->slot;
    bool again = !d->draining || job->diagnosis;
    if (job->state == JOB_LOADING && again) {
        lose_load(d, job, here, loss->reason);
    } else if (job->state == JOB_RUNNING) {
        blame(d, job, here ? loss->beat.check : HEARTBEAT_LOADING, loss->reason);
        lose_teardowns(d, job, loss->reason);
        if (again)
            run_again(d, job, loss->reason);
    }
    free_job(d, job);
}

static void note_loss(struct dispatch *d, const struct pool_loss *loss)
{
    char text[320];
    snprintf(text, sizeof text, "a worker was lost (%s); what else was in flight ran again",
             loss->reason);
    if (d->plan->notes.count < NOTES_MAX)
        strings_add(&d->plan->notes, text);
}

static void on_lost(struct pool_worker *worker, const struct pool_loss *loss)
{
    struct seat *seat = worker->owner;
    struct dispatch *d = seat->dispatch;
    if (d->stopped)
        return;
    for (size_t i = 0; i < seat->slot_count; i++)
        if (seat->slots[i])
            lose_job(d, seat->slots[i], loss);
    note_loss(d, loss);
    want_pump(d);
    if (++d->idle_losses <= IDLE_LOSSES_MAX)
        return;
    struct fault why;
    fault_set(&why, FAULT_INTERNAL, "workers end as soon as they start; the last: %.200s",
              loss->reason);
    d->on_fatal(d->owner, &why);
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

static bool assign(struct dispatch *d, struct job *job)
{
    struct seat *seat = job->alone ? choose_lonely_seat(d) : choose_seat(d);
    if (!seat || (!seat->worker->alive && !start_worker(d, seat)))
        return false;
    list_remove(&job->link);
    job->seat = seat;
    job->slot = free_slot(seat);
    seat->slots[job->slot] = job;
    seat->jobs++;
    seat->loading++;
    d->loading++;
    if (job->alone)
        seat->alone = job;
    job->state = JOB_LOADING;
    if (job->file->state == FILE_WAITING)
        job->file->state = FILE_LOADING;
    else if (!job->checks && job->file->state == FILE_LOADED)
        choose_checks(job);
    send_load(job);
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
    while (!d->only_load && (check = plan_next_diagnosis(d->plan))) {
        struct plan_check **one = memory_new(sizeof(struct plan_check *));
        one[0] = check;
        check->state = CHECK_READY;
        requeue(d, check->file, one, 1, false, true);
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

static void drain_job(struct dispatch *d, struct job *job)
{
    const struct unit *unit = NULL;
    for (size_t i = 0; i < job->count; i++) {
        struct plan_check *check = job->checks[i];
        if (!is_with(check, job))
            continue;
        bool begun = check->unit != unit && check->state == CHECK_SENT;
        unit = check->unit;
        if (begun)
            continue;
        send_check(check, WIRE_SKIP, "not begun");
        leave_unit(d, check);
    }
}

static void drain(struct dispatch *d)
{
    d->draining = true;
    d->next_file = d->plan->file_count;
    while (!list_empty(&d->queue))
        free_job(d, list_entry(d->queue.next, struct job, link));
    for (unsigned i = 0; i < d->pool.count; i++)
        for (size_t j = 0; j < d->seats[i].slot_count; j++) {
            struct job *job = d->seats[i].slots[j];
            if (job && job->state == JOB_RUNNING && !job->diagnosis)
                drain_job(d, job);
        }
}

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
            list_append(&d->queue, &new_job(d, file)->link);
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
    want_pump(d);
}

bool dispatch_is_idle(const struct dispatch *d)
{
    return d->jobs == 0 && d->next_file >= d->plan->file_count &&
           (d->only_load || plan_next_diagnosis(d->plan) == NULL);
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
                struct running one = {first_unsettled(unit), unit->since_ns};
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
    static const struct pool_events events = {on_frame, on_lost, on_pool_fatal};
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
                free_job(d, d->seats[i].slots[j]);
        free(d->seats[i].slots);
    }
    while (!list_empty(&d->queue))
        free_job(d, list_entry(d->queue.next, struct job, link));
    free(d->seats);
    d->seats = NULL;
    pool_close(&d->pool);
}
