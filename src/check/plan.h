/* plan.h - everything that is to be run, and how far it has come.
 *
 * Pure data and decisions: no process, no clock, no output.  The dispatcher asks
 * what may start and says what ended; the plan knows what waits for what
 * (requires.h), what is red (settle.h), and what is left.
 *
 * A check's life: OUT (not selected) or HELD (something it requires is not
 * settled yet) -> READY -> SENT (to a worker) -> SETTLED.  A check whose worker
 * was lost goes back from SENT to READY. */
#ifndef HOSPITAL_CHECK_PLAN_H
#define HOSPITAL_CHECK_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "check/catalogue.h"
#include "check/discover.h"
#include "check/result.h"
#include "check/select.h"

enum check_state { CHECK_OUT, CHECK_HELD, CHECK_READY, CHECK_SENT, CHECK_SETTLED };

struct plan_check {
    const struct check_decl *decl;
    struct plan_file *file;
    enum check_state state;
    enum selection selection;
    bool blocked;       /* skipped because of what it requires: so are those that require it */
    bool refused;       /* an error of its declaration: nothing that is run can change it */
    bool on_trail;      /* of the search for cycles */
    bool triggered;     /* a diagnosis: something that it is of went red */
    unsigned lost;      /* workers that died with it in flight */
    unsigned suspected; /* those of them whose death nothing else explains */
    unsigned waits;     /* requirements not settled */
    unsigned visit;     /* of the search for cycles that saw it last */
    size_t waiter_count;
    struct plan_check **waiters;     /* those that require this one */
    struct plan_check *next_in_lane; /* the next selected one; NULL */
    struct unit *unit;               /* the dispatcher's: what it is sent with; NULL */

    /* once SETTLED: */
    enum status status;
    unsigned attempts;
    uint64_t started_ns, duration_ns;
    char *context, *details; /* owned; freed when they have been reported */
    size_t details_size;
};

/* A result that is no check's: a file that did not load, a teardown.  If it is red
 * the diagnoses of what is around it are triggered, as by a check. */
struct plan_extra {
    struct plan_extra *next;
    const char *kind;
    char *id;
    int line;
    bool node_known; /* a teardown's: */
    uint32_t node;
    bool published; /* the publisher's */
    enum status status;
    uint64_t started_ns, duration_ns;
    char *context, *details;
    size_t details_size;
};

enum file_state { FILE_WAITING, FILE_LOADING, FILE_LOADED, FILE_BROKEN };

struct plan_file {
    const struct check_file *source;
    enum file_state state;
    bool urgent;   /* others wait for it: load it first */
    bool queued;   /* the dispatcher's: it has its job of this round */
    unsigned jobs; /* the dispatcher's: that are not over */
    unsigned lost;
    struct catalogue catalogue;
    struct plan_check *checks;            /* as in the catalogue */
    struct map checks_by_id, nodes_by_id; /* filled when first asked */
    size_t unsettled;                     /* selected checks that are not SETTLED */
    struct plan_extra *extras;
    struct plan_link *links; /* requirements of others that name this file, until it loads */
};

struct plan {
    struct plan_file *files;
    size_t file_count;
    struct map files_by_id;
    struct selector selector;
    bool strict;
    struct plan_check **reds; /* red checks, in the order they settled */
    size_t red_count;
    /* Checks that became READY or SETTLED because of others: the dispatcher takes them off. */
    struct plan_check **changed;
    size_t changed_count;
    struct plan_check **diagnoses;
    size_t diagnosis_count;
    struct strings notes;
    unsigned visit;  /* numbers the searches for cycles */
    bool has_urgent; /* some file became urgent since the dispatcher looked */
    size_t checks;   /* selected ones of loaded files */
    size_t settled;  /* of those */
    size_t extras;   /* results that are no check's and red */
    size_t out_slow, out_other;
    size_t loading; /* files not loaded or broken yet */
};

void plan_init(struct plan *plan, const struct discovery *discovery,
               const struct selector *selector, bool strict);
void plan_fini(struct plan *plan);

/* A worker has loaded the file: takes the catalogue (and empties *catalogue).  On
 * a second load the catalogue must be the same; false when it is not. */
bool plan_file_loaded(struct plan *plan, struct plan_file *file, struct catalogue *catalogue);

/* The file cannot be run; details (packed, copied) or context say why. */
void plan_file_broken(struct plan *plan, struct plan_file *file, const char *context,
                      const char *details, size_t size);

/* True when every file is loaded or broken and every selected check settled. */
bool plan_is_over(const struct plan *plan);

/* True when anything is red so far. */
bool plan_is_red(const struct plan *plan);

/* Fills *result, all borrowed from the plan. */
void plan_result(const struct plan_check *check, struct result *result);

/* For the plan's own files: */

static inline bool plan_has(const struct plan_check *check)
{
    return check->state != CHECK_OUT;
}

/* To be run, and not at a worker yet. */
static inline bool plan_is_pending(const struct plan_check *check)
{
    return check->state == CHECK_READY || check->state == CHECK_HELD;
}

/* It has settled, and what requires it will not run. */
bool plan_is_bad(const struct plan *plan, const struct plan_check *check);

/* Adds to a list of the plan, whose count is changed by nothing but this and by being emptied. */
void plan_append(struct plan_check ***list, size_t *count, struct plan_check *check);

#endif
