/* publish.c - see publish.h. */
#include "proc/publish.h"

#include <stdlib.h>

#include "check/diagnosis.h"
#include "check/extra.h"

static void publish_check(struct publisher *p, struct plan_check *check)
{
    struct result result;
    plan_result(check, &result);
    events_check_finished(p->events, &result);
    free(check->details); /* it may be large, and nobody asks for it again */
    check->details = NULL;
    check->details_size = 0;
}

static void publish_extras(struct publisher *p, const struct plan_file *file)
{
    for (struct plan_extra *extra = file->extras; extra; extra = extra->next) {
        struct result result;
        if (extra->published)
            continue;
        extra->published = true;
        extra_result(file, extra, &result);
        events_check_finished(p->events, &result);
    }
}

/* False when it stopped before the end of the file. */
static bool publish_file(struct publisher *p, struct plan_file *file, bool over_gaps)
{
    for (; p->check < file->catalogue.count; p->check++) {
        struct plan_check *check = &file->checks[p->check];
        if (check->state == CHECK_OUT || check->decl->diagnosis)
            continue;
        if (check->state == CHECK_SETTLED)
            publish_check(p, check);
        else if (!over_gaps)
            return false;
    }
    if (!over_gaps && (file->state == FILE_WAITING || file->state == FILE_LOADING || file->jobs))
        return false; /* a teardown may still add to it */
    publish_extras(p, file);
    return true;
}

static void publish(struct publisher *p, bool over_gaps)
{
    while (p->file < p->plan->file_count) {
        if (!publish_file(p, &p->plan->files[p->file], over_gaps))
            return;
        p->file++;
        p->check = 0;
    }
}

void publish_settled(struct publisher *p)
{
    publish(p, false);
}

static void publish_diagnoses(struct publisher *p, const char *red_id)
{
    for (size_t i = 0; i < p->plan->diagnosis_count; i++) {
        const struct plan_check *diagnosis = p->plan->diagnoses[i];
        struct result result;
        if (diagnosis->state != CHECK_SETTLED || !diagnosis_is_of(diagnosis, red_id))
            continue;
        plan_result(diagnosis, &result);
        events_diagnosis_finished(p->events, red_id, &result);
    }
}

void publish_rest(struct publisher *p)
{
    const struct plan *plan = p->plan;
    publish(p, true);
    for (size_t i = 0; i < plan->file_count; i++) /* of teardowns after a diagnosis */
        publish_extras(p, &plan->files[i]);
    for (size_t i = 0; i < plan->red_count; i++)
        publish_diagnoses(p, plan->reds[i]->decl->id);
    for (size_t i = 0; i < plan->file_count; i++)
        for (const struct plan_extra *extra = plan->files[i].extras; extra; extra = extra->next)
            if (status_is_red(extra->status, plan->strict))
                publish_diagnoses(p, extra->id);
}
