/* diagnosis.c - see diagnosis.h. */
#include "check/diagnosis.h"

#include <stdlib.h>

#include "check/extra.h"

bool diagnosis_is_of(const struct plan_check *diagnosis, const char *id)
{
    for (size_t i = 0; i < diagnosis->decl->of.count; i++)
        if (select_id_holds(diagnosis->decl->of.items[i], id))
            return true;
    return false;
}

void diagnosis_trigger_all(struct plan *plan, const char *red_id)
{
    for (size_t i = 0; i < plan->diagnosis_count; i++)
        if (!plan->diagnoses[i]->triggered)
            plan->diagnoses[i]->triggered = diagnosis_is_of(plan->diagnoses[i], red_id);
}

void diagnosis_trigger(const struct plan *plan, struct plan_check *diagnosis)
{
    for (size_t i = 0; i < plan->red_count && !diagnosis->triggered; i++)
        diagnosis->triggered = diagnosis_is_of(diagnosis, plan->reds[i]->decl->id);
    for (size_t i = 0; i < plan->file_count && plan->extras > 0 && !diagnosis->triggered; i++)
        for (const struct plan_extra *extra = plan->files[i].extras; extra; extra = extra->next)
            diagnosis->triggered |=
                extra_is_red(plan, extra) && diagnosis_is_of(diagnosis, extra->id);
}

struct plan_check *diagnosis_next(struct plan *plan)
{
    for (size_t i = 0; i < plan->diagnosis_count; i++)
        if (plan->diagnoses[i]->triggered && plan->diagnoses[i]->state == CHECK_OUT)
            return plan->diagnoses[i];
    return NULL;
}

void diagnosis_reset_all(struct plan *plan)
{
    for (size_t i = 0; i < plan->diagnosis_count; i++) {
        struct plan_check *diagnosis = plan->diagnoses[i];
        free(diagnosis->context);
        free(diagnosis->details);
        diagnosis->context = diagnosis->details = NULL;
        diagnosis->details_size = 0;
        diagnosis->triggered = false;
        diagnosis->state = CHECK_OUT;
    }
}
