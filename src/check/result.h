/* result.h - what became of one check, as the supervisor hands it on. */
#ifndef HOSPITAL_CHECK_RESULT_H
#define HOSPITAL_CHECK_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum status {
    STATUS_PASS,
    STATUS_WARN,
    STATUS_FAIL,
    STATUS_ERROR,
    STATUS_TIMEOUT,
    STATUS_SKIP,
    STATUS_EXPECTED_FAILURE,
    STATUS_UNEXPECTED_SUCCESS,
};

enum { STATUS_COUNT = STATUS_UNEXPECTED_SUCCESS + 1 };

/* "pass", "warn", ... ; "error" for a number that is none of them. */
const char *status_name(enum status status);

/* Whether it makes the run red; strict: warnings do too. */
bool status_is_red(enum status status, bool strict);

/* Everything is borrowed, and strings end with NUL.  NULL: not declared. */
struct result {
    const char *id;   /* "shop.lua::orders::can be counted" */
    const char *test; /* the title */
    const char *file;
    int line;         /* 0: none */
    const char *kind; /* "load", "teardown"; NULL for a check */
    enum status status;
    uint64_t started_ns; /* since 1970 */
    uint64_t duration_ns;
    unsigned attempts;
    const char *const *tags;
    size_t tag_count;
    const char *description, *owner, *runbook, *severity;
    const char *context; /* the first message, or why it was skipped; NULL: the details say */
    /* A packed table (vm/pack.h) with any of context, failures, output, metrics, warnings, probes;
     * it comes from a worker and is believed in nothing but that. */
    const char *details;
    size_t details_size;
};

struct summary {
    size_t total;
    size_t of[STATUS_COUNT];
};

void summary_add(struct summary *summary, enum status status);
size_t summary_red(const struct summary *summary, bool strict);

#endif
