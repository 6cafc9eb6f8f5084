/* extra.c - see extra.h. */
#include "check/extra.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "check/diagnosis.h"

bool extra_is_red(const struct plan *plan, const struct plan_extra *extra)
{
    return status_is_red(extra->status, plan->strict);
}

struct plan_extra *extra_add(struct plan *plan, struct plan_file *file, const char *kind,
                             const char *id, const struct settlement *how)
{
    struct plan_extra *extra = memory_new(sizeof *extra), **last = &file->extras;
    *extra = (struct plan_extra){
        .kind = kind,
        .id = memory_copy_string(id),
        .status = how->status,
        .started_ns = how->started_ns,
        .duration_ns = how->duration_ns,
        .context = how->context ? memory_copy_string(how->context) : NULL,
        .details = how->details_size ? memory_copy(how->details, how->details_size) : NULL,
        .details_size = how->details_size,
    };
    while (*last)
        last = &(*last)->next;
    *last = extra;
    if (extra_is_red(plan, extra)) {
        plan->extras++;
        diagnosis_trigger_all(plan, extra->id);
    }
    return extra;
}

void extra_add_teardown(struct plan *plan, struct plan_file *file, uint32_t node,
                        const struct settlement *how)
{
    const struct node_decl *decl = &file->catalogue.nodes[node];
    char id[600];
    snprintf(id, sizeof id, "%.500s::teardown", decl->id);
    struct plan_extra *extra = extra_add(plan, file, "teardown", id, how);
    extra->line = decl->line;
    extra->node = node;
    extra->node_known = true;
}

static void free_extra(struct plan_extra *extra)
{
    free(extra->id);
    free(extra->context);
    free(extra->details);
    free(extra);
}

void extra_free_all(struct plan_file *file)
{
    while (file->extras) {
        struct plan_extra *extra = file->extras;
        file->extras = extra->next;
        free_extra(extra);
    }
}

/* What was asked for and is not there stays so; the rest will be seen again. */
void extra_forget_seen(struct plan *plan, struct plan_file *file)
{
    for (struct plan_extra **at = &file->extras; *at;) {
        struct plan_extra *extra = *at;
        if (file->state != FILE_BROKEN && !extra->node_known) {
            at = &extra->next;
            continue;
        }
        *at = extra->next;
        plan->extras -= extra_is_red(plan, extra);
        free_extra(extra);
    }
}

void extra_result(const struct plan_file *file, const struct plan_extra *extra,
                  struct result *result)
{
    *result = (struct result){
        .id = extra->id,
        .test = extra->id,
        .file = file->source->id,
        .line = extra->line,
        .kind = extra->kind,
        .status = extra->status,
        .started_ns = extra->started_ns,
        .duration_ns = extra->duration_ns,
        .attempts = 1,
        .context = extra->context,
        .details = extra->details,
        .details_size = extra->details_size,
    };
}
