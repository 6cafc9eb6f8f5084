/* select.h - which checks of those that were found are to run.
 *
 * Pure functions: nothing is kept, nothing is looked up.  A check runs when it
 * passes every kind of selection that was asked for; within one kind, one hit
 * is enough (two --tag: either).  Diagnoses are not selected: they follow their checks. */
#ifndef HOSPITAL_CHECK_SELECT_H
#define HOSPITAL_CHECK_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strings.h"
#include "check/lastrun.h"

/* The reason that is named is the first in this order.  So OUT_SLOW counts
 * exactly the checks that --slow would add. */
enum selection {
    SELECTED,
    OUT_ID,     /* not below an id given as an argument */
    OUT_TAG,    /* lacks the tags asked for, or has an excluded one */
    OUT_FILTER, /* its id does not match --filter */
    OUT_FAILED, /* was not red in the last run */
    OUT_SHARD,  /* belongs to another shard */
    OUT_SLOW,   /* slow, and slow checks were not asked for */
};

/* What was asked for.  All borrowed; empty lists and NULL select everything. */
struct selector {
    const struct strings *tags, *exclude_tags, *filters;
    const struct lastrun *failed; /* with --failed */
    bool slow;
    unsigned shard, shards; /* 1 <= shard <= shards; shards 0: all */
};

/* A check.  All borrowed. */
struct candidate {
    const char *id;
    const struct strings *tags; /* or NULL */
    const struct strings *only; /* of its file (struct check_file), or NULL */
    bool slow;                  /* declared slow; the tag "slow" means the same */
};

/* A slow check is asked for by --slow, by `--tag slow`, by its whole id as an
 * argument, and by --failed when it is among the red ones. */
enum selection select_check(const struct selector *by, const struct candidate *check);

/* True when id is wanted itself, or lies below it ("shop.lua::orders" holds
 * "shop.lua::orders::x", not "shop.lua::orders2").  A wanted id that holds
 * no check of a file that did load is the user's mistake: say so, and not green. */
bool select_id_holds(const char *wanted, const char *id);

/* pattern is part of id or, when it has one of *?[, a glob for the whole id
 * ('*' and '?' match '/' and ':' too). */
bool select_filter_matches(const char *pattern, const char *id);

/* 1 to shards, from the id alone (FNV-1a), so that shards need not know of
 * each other, are disjoint, and together are everything. */
unsigned select_shard_of(const char *id, unsigned shards);

#endif
