/* rerun.c - see rerun.h. */
#include "check/rerun.h"

#include <stdlib.h>

#include "check/diagnosis.h"
#include "check/extra.h"
#include "check/requires.h"

static void unsettle(struct plan *plan, struct plan_check *check)
{
    free(check->context);
    free(check->details);
    check->context = check->details = NULL;
    check->details_size = 0;
    check->blocked = false;
    check->lost = 0;
    check->state = CHECK_READY;
    check->file->unsettled++;
    plan->settled--;
}

/* Is the check one of a describe whose teardown failed?  To see that one hold, all
 * of the describe must run again. */
static bool is_torn(const struct plan *plan, const struct plan_check *check)
{
    for (const struct plan_extra *extra = check->file->extras; extra; extra = extra->next)
        for (size_t i = 0;
             extra->node_known && extra_is_red(plan, extra) && i < check->decl->node_count; i++)
            if (check->decl->nodes[i] == extra->node)
                return true;
    return false;
}

static bool runs_again(const struct plan *plan, const struct plan_check *check)
{
    return check->state == CHECK_SETTLED && !check->decl->diagnosis && !check->refused &&
           (plan_is_bad(plan, check) || is_torn(plan, check));
}

static size_t reset_file(struct plan *plan, struct plan_file *file)
{
    size_t count = 0;
    for (size_t i = 0; i < file->catalogue.count; i++) {
        if (!runs_again(plan, &file->checks[i]))
            continue;
        unsettle(plan, &file->checks[i]);
        count++;
    }
    extra_forget_seen(plan, file);
    if (file->state == FILE_BROKEN) {
        file->state = FILE_WAITING;
        file->lost = 0;
        plan->loading++;
        count++;
    }
    return count;
}

size_t rerun_red(struct plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->file_count; i++)
        count += reset_file(plan, &plan->files[i]);
    plan->red_count = 0;
    diagnosis_reset_all(plan);
    requires_hold_again(plan);
    return count;
}
