/* loss.c - see loss.h. */
#include "proc/loss.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "check/extra.h"
#include "proc/dispatch.h"
#include "proc/job.h"

enum {
    LOSSES_MAX = 3, /* workers that the loading of one file may cost */
    NOTES_MAX = 20, /* about lost workers */
    IDLE_LOSSES_MAX = 5,
};

/* A loading file whose worker was lost: tried again, then alone, then given up. */
static void lose_load(struct dispatch *d, struct job *job, bool culprit, const char *reason)
{
    char text[320];
    struct plan_file *file = job->file;
    if (!culprit && !job->alone) {
        bool alone = ++file->lost >= LOSSES_MAX - 1;
        job_queue(d, file, job->checks, job->count, alone, job->diagnosis);
        job->checks = NULL;
        job->count = 0;
        return;
    }
    d->idle_losses = 0;
    snprintf(text, sizeof text, "while this file was loading: %s", reason);
    job_load_failed(d, job, text, NULL, 0);
}

static void settle_culprit(struct dispatch *d, struct plan_check *check, const char *reason)
{
    char text[320];
    snprintf(text, sizeof text, "while this check ran: %s", reason);
    job_settle_lost(d, check, text);
}

static void give_up(struct dispatch *d, struct plan_check *check, const char *reason)
{
    char text[320];
    snprintf(text, sizeof text, "given up after %u lost workers, the last while it ran alone: %s",
             check->lost, reason);
    job_settle_lost(d, check, text);
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
        if (job_has(job, check) && !check->decl->skip && is_below(check, node))
            job_settle_lost(d, check, text);
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
        if (!job_has(job, check))
            continue;
        bool in_flight = check->unit != unit && check->state == CHECK_SENT;
        unit = check->unit;
        check->lost += in_flight;
        check->suspected += in_flight && !known;
        if (job_index_of(check) == culprit)
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
    job_queue(d, job->file, copy, count, alone, job->diagnosis);
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
        if (!job_has(job, check))
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
            extra_add_teardown(d->plan, job->file, (uint32_t)i,
                               &(struct settlement){.status = STATUS_ERROR,
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
    job_free(d, job);
}

static void note_loss(struct dispatch *d, const struct pool_loss *loss)
{
    char text[320];
    snprintf(text, sizeof text, "a worker was lost (%s); what else was in flight ran again",
             loss->reason);
    if (d->plan->notes.count < NOTES_MAX)
        strings_add(&d->plan->notes, text);
}

void loss_of_worker(struct pool_worker *worker, const struct pool_loss *loss)
{
    struct seat *seat = worker->owner;
    struct dispatch *d = seat->dispatch;
    if (d->stopped)
        return;
    for (size_t i = 0; i < seat->slot_count; i++)
        if (seat->slots[i])
            lose_job(d, seat->slots[i], loss);
    note_loss(d, loss);
    dispatch_wake(d);
    if (++d->idle_losses <= IDLE_LOSSES_MAX)
        return;
    struct fault why;
    fault_set(&why, FAULT_INTERNAL, "workers end as soon as they start; the last: %.200s",
              loss->reason);
    d->on_fatal(d->owner, &why);
}
