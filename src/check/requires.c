/* requires.c - see requires.h. */
#include "check/requires.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "check/settle.h"

/* check `check` requires `id`, which is in a file that has not loaded yet */
struct plan_link {
    struct plan_link *next;
    struct plan_check *check;
    const char *id;
};

void requires_forget(struct plan_file *file)
{
    while (file->links) {
        struct plan_link *link = file->links;
        file->links = link->next;
        free(link);
    }
}

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
    if (required == check || !plan_has(required))
        return;
    plan_append(&required->waiters, &required->waiter_count, check);
    if (!plan_is_pending(check))
        return;
    if (required->state != CHECK_SETTLED)
        hold(check);
    else if (plan_is_bad(plan, required))
        settle_skip(plan, check, required);
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
    settle_refuse(plan, check, text);
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
        settle_skip_for_file(plan, check, file);
    } else {
        await_file(plan, check, file, id);
    }
}

/* True when anything of the file requires anything. */
bool requires_link(struct plan *plan, struct plan_file *file)
{
    bool any = false;
    for (size_t i = 0; i < file->catalogue.count; i++) {
        struct plan_check *check = &file->checks[i];
        for (size_t j = 0; plan_has(check) && j < check->decl->requires.count; j++) {
            link_requirement(plan, check, check->decl->requires.items[j]);
            any = true;
        }
    }
    return any;
}

static void stop_waiting_for_file(struct plan *plan, struct plan_check *check)
{
    if (--check->waits == 0 && check->state == CHECK_HELD)
        settle_ready(plan, check);
}

/* The file has loaded, or turned out to be broken. */
void requires_resolve(struct plan *plan, struct plan_file *file)
{
    while (file->links) {
        struct plan_link *link = file->links;
        file->links = link->next;
        stop_waiting_for_file(plan, link->check);
        link_requirement(plan, link->check, link->id);
        free(link);
    }
}

static void hold_waiters(const struct plan_check *check)
{
    for (size_t i = 0; i < check->waiter_count; i++)
        if (plan_is_pending(check->waiters[i]))
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
void requires_hold_again(struct plan *plan)
{
    size_t from = plan->changed_count;
    for (size_t i = 0; i < plan->file_count; i++)
        for (size_t j = 0; j < plan->files[i].catalogue.count; j++)
            plan->files[i].checks[j].waits = 0;
    for (size_t i = 0; i < plan->file_count; i++) {
        for (size_t j = 0; j < plan->files[i].catalogue.count; j++) {
            struct plan_check *check = &plan->files[i].checks[j];
            if (plan_is_pending(check)) {
                hold_waiters(check);
                await_broken_files(plan, check);
            } else if (check->refused) {
                hold_waiters(check);
                settle_note_red(plan, check);
                plan_append(&plan->changed, &plan->changed_count, check);
            }
        }
    }
    settle_spread(plan, from);
}
