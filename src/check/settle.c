/* settle.c - see settle.h. */
#include "check/settle.h"

#include <stdio.h>

#include "base/buffer.h"
#include "check/diagnosis.h"

void settle_ready(struct plan *plan, struct plan_check *check)
{
    check->state = CHECK_READY;
    plan_append(&plan->changed, &plan->changed_count, check);
}

void settle_note_red(struct plan *plan, struct plan_check *check)
{
    plan_append(&plan->reds, &plan->red_count, check);
    diagnosis_trigger_all(plan, check->decl->id);
}

static void settle_one(struct plan *plan, struct plan_check *check, const struct settlement *how)
{
    check->status = how->status;
    check->attempts = how->attempts;
    check->started_ns = how->started_ns;
    check->duration_ns = how->duration_ns;
    check->context = how->context ? memory_copy_string(how->context) : NULL;
    check->details = how->details_size ? memory_copy(how->details, how->details_size) : NULL;
    check->details_size = how->details_size;
    check->state = CHECK_SETTLED;
    if (check->decl->diagnosis)
        return;
    check->file->unsettled--;
    plan->settled++;
    plan_append(&plan->changed, &plan->changed_count, check);
    if (status_is_red(check->status, plan->strict))
        settle_note_red(plan, check);
}

static void skip_one(struct plan *plan, struct plan_check *check, const char *context)
{
    check->blocked = true;
    settle_one(plan, check, &(struct settlement){.status = STATUS_SKIP, .context = context});
}

static void skip_for(struct plan *plan, struct plan_check *check, const struct plan_check *required)
{
    char text[600];
    if (required->blocked && required->context)
        snprintf(text, sizeof text, "%s", required->context);
    else
        snprintf(text, sizeof text, "because \"%.300s\" failed", required->decl->id);
    skip_one(plan, check, text);
}

static void tell_waiters(struct plan *plan, struct plan_check *check)
{
    bool bad = check->blocked || status_is_red(check->status, plan->strict);
    for (size_t i = 0; i < check->waiter_count; i++) {
        struct plan_check *waiter = check->waiters[i];
        if (waiter->state != CHECK_HELD)
            continue;
        if (bad) {
            skip_for(plan, waiter, check);
        } else if (--waiter->waits == 0) {
            settle_ready(plan, waiter);
        }
    }
}

void settle_spread(struct plan *plan, size_t from)
{
    for (; from < plan->changed_count; from++)
        if (plan->changed[from]->state == CHECK_SETTLED)
            tell_waiters(plan, plan->changed[from]);
}

void settle_skip(struct plan *plan, struct plan_check *check, const struct plan_check *required)
{
    size_t from = plan->changed_count;
    skip_for(plan, check, required);
    settle_spread(plan, from);
}

void settle_skip_for_file(struct plan *plan, struct plan_check *check, const struct plan_file *file)
{
    char text[600];
    size_t from = plan->changed_count;
    if (!plan_is_pending(check))
        return;
    snprintf(text, sizeof text, "because %.300s could not be loaded", file->source->id);
    skip_one(plan, check, text);
    settle_spread(plan, from);
}

void settle_check(struct plan *plan, struct plan_check *check, const struct settlement *how)
{
    size_t from = plan->changed_count;
    settle_one(plan, check, how);
    settle_spread(plan, from);
}

void settle_refuse(struct plan *plan, struct plan_check *check, const char *context)
{
    if (!plan_is_pending(check))
        return;
    check->refused = true;
    settle_check(plan, check, &(struct settlement){.status = STATUS_ERROR, .context = context});
}
