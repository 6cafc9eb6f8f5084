/* extra.h - results that are no check's: a file that did not load, an id that is
 * not there, a teardown.
 *
 * They are counted, published and explained by diagnoses as checks are.  Nothing
 * waits for them. */
#ifndef HOSPITAL_CHECK_EXTRA_H
#define HOSPITAL_CHECK_EXTRA_H

#include "check/plan.h"
#include "check/settle.h"

/* The kind is borrowed for ever; the rest is copied. */
struct plan_extra *extra_add(struct plan *plan, struct plan_file *file, const char *kind,
                             const char *id, const struct settlement *how);

/* A teardown of the node failed, or warned. */
void extra_add_teardown(struct plan *plan, struct plan_file *file, uint32_t node,
                        const struct settlement *how);

bool extra_is_red(const struct plan *plan, const struct plan_extra *extra);

/* Before another round: what was asked for and is not there stays so; the rest
 * will be seen again. */
void extra_forget_seen(struct plan *plan, struct plan_file *file);

void extra_free_all(struct plan_file *file);

/* Fills *result, all borrowed from the plan. */
void extra_result(const struct plan_file *file, const struct plan_extra *extra,
                  struct result *result);

#endif
