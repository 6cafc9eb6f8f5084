/* plan.c - see plan.h. */
#include "check/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "check/cycle.h"
#include "check/diagnosis.h"
#include "check/extra.h"
#include "check/requires.h"

void plan_init(struct plan *plan, const struct discovery *discovery,
               const struct selector *selector, bool strict)
{
    *plan = (struct plan){.selector = *selector, .strict = strict};
    plan->file_count = discovery->file_count;
    plan->loading = plan->file_count;
    plan->files = memory_new((plan->file_count + 1) * sizeof *plan->files);
    for (size_t i = 0; i < plan->file_count; i++) {
        plan->files[i].source = &discovery->files[i];
        map_put(&plan->files_by_id, discovery->files[i].id, &plan->files[i]);
    }
}

static void free_check(struct plan_check *check)
{
    free(check->waiters);
    free(check->context);
    free(check->details);
}

void plan_fini(struct plan *plan)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        struct plan_file *file = &plan->files[i];
        for (size_t j = 0; j < file->catalogue.count; j++)
            free_check(&file->checks[j]);
        free(file->checks);
        extra_free_all(file);
        requires_forget(file);
        map_fini(&file->checks_by_id);
        map_fini(&file->nodes_by_id);
        catalogue_fini(&file->catalogue);
    }
    map_fini(&plan->files_by_id);
    strings_fini(&plan->notes);
    free(plan->files);
    free(plan->reds);
    free(plan->changed);
    free(plan->diagnoses);
    *plan = (struct plan){0};
}

void plan_append(struct plan_check ***list, size_t *count, struct plan_check *check)
{
    if ((*count & (*count - 1)) == 0)
        *list = memory_resize(*list, (*count ? *count * 2 : 1) * sizeof **list);
    (*list)[(*count)++] = check;
}

bool plan_is_bad(const struct plan *plan, const struct plan_check *check)
{
    return check->state == CHECK_SETTLED &&
           (check->blocked || status_is_red(check->status, plan->strict));
}

static void select_one(struct plan *plan, struct plan_check *check)
{
    const struct candidate candidate = {
        .id = check->decl->id,
        .tags = &check->decl->tags,
        .only = &check->file->source->only,
        .slow = check->decl->slow,
    };
    if (check->decl->diagnosis) {
        check->state = CHECK_OUT;
        plan_append(&plan->diagnoses, &plan->diagnosis_count, check);
        return;
    }
    check->selection = select_check(&plan->selector, &candidate);
    if (check->selection == SELECTED) {
        check->state = CHECK_READY;
        check->file->unsettled++;
        plan->checks++;
    } else if (check->selection == OUT_SLOW) {
        plan->out_slow++;
    } else {
        plan->out_other++;
    }
}

/* An id of this file that was asked for on the command line and is not there. */
static void demand_ids(struct plan *plan, struct plan_file *file)
{
    const struct strings *only = &file->source->only;
    for (size_t i = 0; i < only->count; i++) {
        bool found = false;
        for (size_t j = 0; j < file->catalogue.count && !found; j++)
            found = select_id_holds(only->items[i], file->checks[j].decl->id);
        if (found)
            continue;
        char text[600];
        snprintf(text, sizeof text,
                 "\"%.300s\" was asked for, but the file declares no such check: "
                 "`hospital list` shows the ids",
                 only->items[i]);
        extra_add(plan, file, "load", only->items[i],
                  &(struct settlement){.status = STATUS_ERROR, .context = text});
    }
}

static void select_all(struct plan *plan, struct plan_file *file)
{
    const struct catalogue *c = &file->catalogue;
    file->checks = memory_new((c->count + 1) * sizeof *file->checks);
    struct plan_check **next = memory_new((c->lane_count + 1) * sizeof(struct plan_check *));
    for (size_t i = 0; i < c->count; i++) {
        file->checks[i].decl = &c->checks[i];
        file->checks[i].file = file;
        select_one(plan, &file->checks[i]);
    }
    for (size_t i = c->count; i-- > 0;) {
        struct plan_check *check = &file->checks[i];
        if (check->decl->lane == 0 || !plan_has(check))
            continue;
        check->next_in_lane = next[check->decl->lane];
        next[check->decl->lane] = check;
    }
    free(next);
}

bool plan_file_loaded(struct plan *plan, struct plan_file *file, struct catalogue *catalogue)
{
    if (file->catalogue.bytes) {
        bool same = file->catalogue.digest == catalogue->digest;
        catalogue_fini(catalogue);
        return same;
    }
    file->catalogue = *catalogue;
    *catalogue = (struct catalogue){0};
    file->state = FILE_LOADED;
    plan->loading--;
    select_all(plan, file);
    demand_ids(plan, file);
    bool linked = requires_link(plan, file); /* no circle without */
    requires_resolve(plan, file);
    if (linked)
        cycle_refuse_all(plan, file);
    for (size_t i = 0; i < plan->diagnosis_count; i++)
        if (plan->diagnoses[i]->file == file)
            diagnosis_trigger(plan, plan->diagnoses[i]);
    return true;
}

void plan_file_broken(struct plan *plan, struct plan_file *file, const char *context,
                      const char *details, size_t size)
{
    if (file->state == FILE_WAITING || file->state == FILE_LOADING)
        plan->loading--;
    file->state = FILE_BROKEN;
    extra_add(
        plan, file, "load", file->source->id,
        &(struct settlement){
            .status = STATUS_ERROR, .context = context, .details = details, .details_size = size});
    requires_resolve(plan, file);
}

bool plan_is_over(const struct plan *plan)
{
    return plan->loading == 0 && plan->settled == plan->checks;
}

bool plan_is_red(const struct plan *plan)
{
    return plan->red_count > 0 || plan->extras > 0;
}

void plan_result(const struct plan_check *check, struct result *result)
{
    const struct check_decl *decl = check->decl;
    *result = (struct result){
        .id = decl->id,
        .test = decl->name,
        .file = check->file->source->id,
        .line = decl->line,
        .kind = decl->diagnosis ? "diagnosis" : NULL,
        .status = check->status,
        .started_ns = check->started_ns,
        .duration_ns = check->duration_ns,
        .attempts = check->attempts,
        .tags = (const char *const *)decl->tags.items,
        .tag_count = decl->tags.count,
        .description = decl->description,
        .owner = decl->owner,
        .runbook = decl->runbook,
        .severity = decl->severity,
        .context = check->context,
        .details = check->details,
        .details_size = check->details_size,
    };
}
