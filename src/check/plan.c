/* plan.c - see plan.h. */
#include "check/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

/* check `check` requires `id`, which is in a file that has not loaded yet */
struct plan_link {
    struct plan_link *next;
    struct plan_check *check;
    const char *id;
};

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

static void free_extra(struct plan_extra *extra)
{
    free(extra->id);
    free(extra->context);
    free(extra->details);
    free(extra);
}

static void free_extras(struct plan_file *file)
{
    while (file->extras) {
        struct plan_extra *extra = file->extras;
        file->extras = extra->next;
        free_extra(extra);
    }
}

static void free_links(struct plan_file *file)
{
    while (file->links) {
        struct plan_link *link = file->links;
        file->links = link->next;
        free(link);
    }
}

void plan_fini(struct plan *plan)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        struct plan_file *file = &plan->files[i];
        for (size_t j = 0; j < file->catalogue.count; j++)
            free_check(&file->checks[j]);
        free(file->checks);
        free_extras(file);
        free_links(file);
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

static void append_check(struct plan_check ***list, size_t *count, struct plan_check *check)
{
    if ((*count & (*count - 1)) == 0)
        *list = memory_resize(*list, (*count ? *count * 2 : 1) * sizeof **list);
    (*list)[(*count)++] = check;
}

static bool in_run(const struct plan_check *check)
{
    return check->state != CHECK_OUT;
}

static bool is_pending(const struct plan_check *check)
{
    return check->state == CHECK_READY || check->state == CHECK_HELD;
}

/* What requires it will not run. */
static bool is_bad(const struct plan *plan, const struct plan_check *check)
{
    return check->state == CHECK_SETTLED &&
           (check->blocked || status_is_red(check->status, plan->strict));
}

/* --- settling ------------------------------------------------------------ */

static void make_ready(struct plan *plan, struct plan_check *check)
{
    check->state = CHECK_READY;
    append_check(&plan->changed, &plan->changed_count, check);
}

static void trigger_all(struct plan *plan, const char *red_id)
{
    for (size_t i = 0; i < plan->diagnosis_count; i++)
        if (!plan->diagnoses[i]->triggered)
            plan->diagnoses[i]->triggered = plan_is_of(plan->diagnoses[i], red_id);
}

static void note_red(struct plan *plan, struct plan_check *check)
{
    append_check(&plan->reds, &plan->red_count, check);
    trigger_all(plan, check->decl->id);
}

static void settle_one(struct plan *plan, struct plan_check *check,
                       const struct plan_settlement *how)
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
    append_check(&plan->changed, &plan->changed_count, check);
    if (status_is_red(check->status, plan->strict))
        note_red(plan, check);
}

static void skip_one(struct plan *plan, struct plan_check *check, const char *context)
{
    check->blocked = true;
    settle_one(plan, check, &(struct plan_settlement){.status = STATUS_SKIP, .context = context});
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
            make_ready(plan, waiter);
        }
    }
}

/* Tells on what was settled since `changed` had that many entries, and what that
 * settles: the list is the queue, because such a chain may be 100,000 checks long. */
static void spread(struct plan *plan, size_t from)
{
    for (; from < plan->changed_count; from++)
        if (plan->changed[from]->state == CHECK_SETTLED)
            tell_waiters(plan, plan->changed[from]);
}

static void skip_now(struct plan *plan, struct plan_check *check, const struct plan_check *required)
{
    size_t from = plan->changed_count;
    skip_for(plan, check, required);
    spread(plan, from);
}

static void skip_for_file(struct plan *plan, struct plan_check *check, const struct plan_file *file)
{
    char text[600];
    size_t from = plan->changed_count;
    if (!is_pending(check))
        return;
    snprintf(text, sizeof text, "because %.300s could not be loaded", file->source->id);
    skip_one(plan, check, text);
    spread(plan, from);
}

void plan_settle(struct plan *plan, struct plan_check *check, const struct plan_settlement *how)
{
    size_t from = plan->changed_count;
    settle_one(plan, check, how);
    spread(plan, from);
}

/* --- what waits for what ------------------------------------------------- */

static void hold(struct plan_check *check)
{
    check->waits++;
    if (check->state == CHECK_READY)
        check->state = CHECK_HELD;
}

/* `check` waits for `required`, if that is part of the run.  The link is kept
 * even when there is nothing to wait for any more: with --wait there may be again. */
static void add_requirement(struct plan *plan, struct plan_check *check,
                            struct plan_check *required)
{
    if (required == check || !in_run(required))
        return;
    append_check(&required->waiters, &required->waiter_count, check);
    if (!is_pending(check))
        return;
    if (required->state != CHECK_SETTLED)
        hold(check);
    else if (is_bad(plan, required))
        skip_now(plan, check, required);
}

/* The check cannot be run as it is declared, now or in a later round. */
static void refuse_check(struct plan *plan, struct plan_check *check, const char *context)
{
    if (!is_pending(check))
        return;
    check->refused = true;
    plan_settle(plan, check, &(struct plan_settlement){.status = STATUS_ERROR, .context = context});
}

/* The one check that id names; NULL when it names several, or nothing. */
static struct plan_check *check_named(struct plan_file *file, const char *id)
{
    if (file->checks_by_id.count == 0) {
        for (size_t i = 0; i < file->catalogue.count; i++)
            map_put(&file->checks_by_id, file->checks[i].decl->id, &file->checks[i]);
        for (size_t i = 0; i < file->catalogue.node_count; i++)
            map_put(&file->nodes_by_id, file->catalogue.nodes[i].id, &file->catalogue.nodes[i]);
    }
    return map_get(&file->nodes_by_id, id) ? NULL : map_get(&file->checks_by_id, id);
}

/* Links check to everything at or below id in a loaded file. */
static bool link_within(struct plan *plan, struct plan_check *check, struct plan_file *file,
                        const char *id)
{
    bool found = false;
    struct plan_check *one = check_named(file, id);
    if (one && !one->decl->diagnosis) {
        add_requirement(plan, check, one);
        return true;
    }
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *required = &file->checks[i];
        if (required->decl->diagnosis || !select_id_holds(id, required->decl->id))
            continue;
        found = true;
        add_requirement(plan, check, required);
    }
    return found;
}

static struct plan_file *file_of_id(const struct plan *plan, const char *id)
{
    const char *end = strstr(id, "::");
    char *name = end ? memory_copy(id, (size_t)(end - id)) : memory_copy_string(id);
    struct plan_file *file = map_get(&plan->files_by_id, name);
    free(name);
    return file;
}

static void no_such_requirement(struct plan *plan, struct plan_check *check, const char *id)
{
    char text[600];
    snprintf(text, sizeof text,
             "requires \"%.200s\", but that file declares no such check: correct the id", id);
    refuse_check(plan, check, text);
}

static void await_file(struct plan *plan, struct plan_check *check, struct plan_file *file,
                       const char *id)
{
    struct plan_link *link = memory_new(sizeof *link);
    *link = (struct plan_link){file->links, check, id};
    file->links = link;
    file->urgent = plan->has_urgent = true;
    hold(check);
}

static void link_requirement(struct plan *plan, struct plan_check *check, const char *id)
{
    struct plan_file *file = file_of_id(plan, id);
    if (!file) {
        char text[600];
        snprintf(text, sizeof text, "%.200s requires %.200s, which is not part of this run",
                 check->decl->id, id);
        strings_add(&plan->notes, text);
    } else if (file->state == FILE_LOADED) {
        if (!link_within(plan, check, file, id))
            no_such_requirement(plan, check, id);
    } else if (file->state == FILE_BROKEN) {
        skip_for_file(plan, check, file);
    } else {
        await_file(plan, check, file, id);
    }
}

static void stop_waiting_for_file(struct plan *plan, struct plan_check *check)
{
    if (--check->waits == 0 && check->state == CHECK_HELD)
        make_ready(plan, check);
}

/* The file has loaded, or turned out to be broken. */
static void resolve_links(struct plan *plan, struct plan_file *file)
{
    while (file->links) {
        struct plan_link *link = file->links;
        file->links = link->next;
        stop_waiting_for_file(plan, link->check);
        link_requirement(plan, link->check, link->id);
        free(link);
    }
}

/* --- cycles: a walk along "what waits for this", without recursion --------- */

struct step {
    struct plan_check *check;
    size_t edge; /* the next to look at */
};

struct trail {
    struct step *steps;
    size_t count;
};

static void push_step(struct plan *plan, struct trail *trail, struct plan_check *check)
{
    if ((trail->count & (trail->count - 1)) == 0)
        trail->steps = memory_resize(trail->steps,
                                     (trail->count ? trail->count * 2 : 1) * sizeof *trail->steps);
    trail->steps[trail->count++] = (struct step){check, 0};
    check->visit = plan->visit;
    check->on_trail = true;
}

/* Within its lane the next check waits as well. */
static struct plan_check *next_in_lane(struct plan_check *check)
{
    do
        check = check->next_in_lane;
    while (check && check->state == CHECK_SETTLED);
    return check;
}

/* What cannot start before the check at the end of the trail has ended; NULL when
 * all of it was looked at. */
static struct plan_check *next_edge(struct step *step)
{
    const struct plan_check *check = step->check;
    while (step->edge < check->waiter_count) {
        struct plan_check *waiter = check->waiters[step->edge++];
        if (waiter->state == CHECK_HELD)
            return waiter;
    }
    return step->edge++ == check->waiter_count ? next_in_lane(step->check) : NULL;
}

static void name_cycle(const struct trail *trail, size_t first, char *text, size_t room)
{
    int size = snprintf(text, room, "requires itself in a circle: %.150s",
                        trail->steps[first].check->decl->id);
    for (size_t i = trail->count; i-- > first && size > 0 && (size_t)size < room;)
        size += snprintf(text + size, room - (size_t)size, " -> %.150s",
                         trail->steps[i].check->decl->id);
}

/* Every check of the cycle becomes an error, and none of them a mere skip because
 * another one was first. */
static void refuse_cycle(struct plan *plan, const struct trail *trail,
                         const struct plan_check *again)
{
    char text[900];
    size_t first = trail->count - 1;
    while (trail->steps[first].check != again)
        first--;
    name_cycle(trail, first, text, sizeof text);
    for (size_t i = first; i < trail->count; i++)
        trail->steps[i].check->state = CHECK_READY;
    for (size_t i = first; i < trail->count; i++)
        refuse_check(plan, trail->steps[i].check, text);
}

/* Those on the trail are looked at again: only what was left behind is free of cycles. */
static void leave_trail(struct trail *trail)
{
    for (; trail->count > 0; trail->count--) {
        trail->steps[trail->count - 1].check->on_trail = false;
        trail->steps[trail->count - 1].check->visit = 0;
    }
}

/* True when there was one; then there may be another. */
static bool find_cycle(struct plan *plan, struct trail *trail, struct plan_check *check)
{
    push_step(plan, trail, check);
    while (trail->count > 0) {
        struct step *step = &trail->steps[trail->count - 1];
        struct plan_check *next = next_edge(step);
        if (!next) {
            step->check->on_trail = false;
            trail->count--;
        } else if (next->on_trail) {
            refuse_cycle(plan, trail, next);
            leave_trail(trail);
            return true;
        } else if (next->visit != plan->visit) {
            push_step(plan, trail, next);
        }
    }
    return false;
}

/* Every cycle that the file closed goes through one of its checks that wait. */
static void find_cycles(struct plan *plan, struct plan_file *file)
{
    struct trail trail = {0};
    plan->visit++;
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *check = &file->checks[i];
        while (check->state == CHECK_HELD && check->visit != plan->visit &&
               find_cycle(plan, &trail, check))
            ;
    }
    free(trail.steps);
}

/* --- results that are no check's ------------------------------------------ */

static bool is_red(const struct plan *plan, const struct plan_extra *extra)
{
    return status_is_red(extra->status, plan->strict);
}

static struct plan_extra *add_extra(struct plan *plan, struct plan_file *file, const char *kind,
                                    const char *id, const struct plan_settlement *how)
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
    if (is_red(plan, extra)) {
        plan->extras++;
        trigger_all(plan, extra->id);
    }
    return extra;
}

void plan_teardown_said(struct plan *plan, struct plan_file *file, uint32_t node,
                        const struct plan_settlement *how)
{
    const struct node_decl *decl = &file->catalogue.nodes[node];
    char id[600];
    snprintf(id, sizeof id, "%.500s::teardown", decl->id);
    struct plan_extra *extra = add_extra(plan, file, "teardown", id, how);
    extra->line = decl->line;
    extra->node = node;
    extra->node_known = true;
}

/* --- loading ------------------------------------------------------------- */

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
        append_check(&plan->diagnoses, &plan->diagnosis_count, check);
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

static void trigger(const struct plan *plan, struct plan_check *diagnosis)
{
    for (size_t i = 0; i < plan->red_count && !diagnosis->triggered; i++)
        diagnosis->triggered = plan_is_of(diagnosis, plan->reds[i]->decl->id);
    for (size_t i = 0; i < plan->file_count && plan->extras > 0 && !diagnosis->triggered; i++)
        for (const struct plan_extra *extra = plan->files[i].extras; extra; extra = extra->next)
            diagnosis->triggered |= is_red(plan, extra) && plan_is_of(diagnosis, extra->id);
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
        add_extra(plan, file, "load", only->items[i],
                  &(struct plan_settlement){.status = STATUS_ERROR, .context = text});
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
        if (check->decl->lane == 0 || !in_run(check))
            continue;
        check->next_in_lane = next[check->decl->lane];
        next[check->decl->lane] = check;
    }
    free(next);
}

/* True when anything of the file requires anything. */
static bool link_all(struct plan *plan, struct plan_file *file)
{
    bool any = false;
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *check = &file->checks[i];
        for (size_t j = 0; in_run(check) && j < check->decl->requires.count; j++) {
            link_requirement(plan, check, check->decl->requires.items[j]);
            any = true;
        }
    }
    return any;
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
    bool linked = link_all(plan, file) || file->links;
    resolve_links(plan, file);
    if (linked)
        find_cycles(plan, file);
    for (size_t i = 0; i < plan->diagnosis_count; i++)
        if (plan->diagnoses[i]->file == file)
            trigger(plan, plan->diagnoses[i]);
    return true;
}

void plan_file_broken(struct plan *plan, struct plan_file *file, const char *context,
                      const char *details, size_t size)
{
    if (file->state == FILE_WAITING || file->state == FILE_LOADING)
        plan->loading--;
    file->state = FILE_BROKEN;
    add_extra(
        plan, file, "load", file->source->id,
        &(struct plan_settlement){
            .status = STATUS_ERROR, .context = context, .details = details, .details_size = size});
    resolve_links(plan, file);
}

bool plan_is_over(const struct plan *plan)
{
    return plan->loading == 0 && plan->settled == plan->checks;
}

bool plan_is_red(const struct plan *plan)
{
    return plan->red_count > 0 || plan->extras > 0;
}

/* --- waiting until green ------------------------------------------------- */

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
        for (size_t i = 0; extra->node_known && is_red(plan, extra) && i < check->decl->node_count;
             i++)
            if (check->decl->nodes[i] == extra->node)
                return true;
    return false;
}

static bool runs_again(const struct plan *plan, const struct plan_check *check)
{
    return check->state == CHECK_SETTLED && !check->decl->diagnosis && !check->refused &&
           (is_bad(plan, check) || is_torn(plan, check));
}

/* What was asked for and is not there stays so; the rest will be seen again. */
static void forget_extras(struct plan *plan, struct plan_file *file)
{
    for (struct plan_extra **at = &file->extras; *at;) {
        struct plan_extra *extra = *at;
        if (file->state != FILE_BROKEN && !extra->node_known) {
            at = &extra->next;
            continue;
        }
        *at = extra->next;
        plan->extras -= is_red(plan, extra);
        free_extra(extra);
    }
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
    forget_extras(plan, file);
    if (file->state == FILE_BROKEN) {
        file->state = FILE_WAITING;
        file->lost = 0;
        plan->loading++;
        count++;
    }
    return count;
}

static void hold_waiters(const struct plan_check *check)
{
    for (size_t i = 0; i < check->waiter_count; i++)
        if (is_pending(check->waiters[i]))
            hold(check->waiters[i]);
}

static void await_broken_files(struct plan *plan, struct plan_check *check)
{
    for (size_t i = 0; i < check->decl->requires.count; i++) {
        const char *id = check->decl->requires.items[i];
        struct plan_file *file = file_of_id(plan, id);
        if (file && file->state == FILE_WAITING)
            await_file(plan, check, file, id);
    }
}

/* Those that wait for something that is to be run again wait again; those that
 * require what can never hold are skipped again. */
static void hold_again(struct plan *plan)
{
    size_t from = plan->changed_count;
    for (size_t i = 0; i < plan->file_count; i++)
        for (size_t j = 0; j < plan->files[i].catalogue.count; j++)
            plan->files[i].checks[j].waits = 0;
    for (size_t i = 0; i < plan->file_count; i++) {
        for (size_t j = 0; j < plan->files[i].catalogue.count; j++) {
            struct plan_check *check = &plan->files[i].checks[j];
            if (is_pending(check)) {
                hold_waiters(check);
                await_broken_files(plan, check);
            } else if (check->refused) {
                hold_waiters(check);
                note_red(plan, check);
                append_check(&plan->changed, &plan->changed_count, check);
            }
        }
    }
    spread(plan, from);
}

size_t plan_reset_red(struct plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->file_count; i++)
        count += reset_file(plan, &plan->files[i]);
    plan->red_count = 0;
    for (size_t i = 0; i < plan->diagnosis_count; i++) {
        struct plan_check *diagnosis = plan->diagnoses[i];
        free(diagnosis->context);
        free(diagnosis->details);
        diagnosis->context = diagnosis->details = NULL;
        diagnosis->details_size = 0;
        diagnosis->triggered = false;
        diagnosis->state = CHECK_OUT;
    }
    hold_again(plan);
    return count;
}

/* --- diagnoses and results ----------------------------------------------- */

bool plan_is_of(const struct plan_check *diagnosis, const char *id)
{
    for (size_t i = 0; i < diagnosis->decl->of.count; i++)
        if (select_id_holds(diagnosis->decl->of.items[i], id))
            return true;
    return false;
}

struct plan_check *plan_next_diagnosis(struct plan *plan)
{
    for (size_t i = 0; i < plan->diagnosis_count; i++)
        if (plan->diagnoses[i]->triggered && plan->diagnoses[i]->state == CHECK_OUT)
            return plan->diagnoses[i];
    return NULL;
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

void plan_extra_result(const struct plan_file *file, const struct plan_extra *extra,
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
