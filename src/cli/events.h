/* events.h - the reporters' host: one stream of events, any number of reporters.
 *
 * Reporters are trusted Lua (src/README.md, "Events and results") in one state that has the whole
 * standard library.  A reporter that raises, or whose output cannot be written, is dropped with a
 * line on stderr; the others go on, and the run cannot be green any more.  The counts and the final
 * verdict are made here, from the results that were really published.
 *
 * Publishing only collects text: call events_flush once a turn of the loop. */
#ifndef HOSPITAL_CLI_EVENTS_H
#define HOSPITAL_CLI_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/redact.h"
#include "check/result.h"
#include "cli/output.h"

struct events;

struct report_target {
    const char *format; /* a module of lua/hospital/report/, or a path to a .lua file */
    const char *path;   /* NULL or "-": stdout */
};

struct events_options {
    const struct report_target *targets;
    size_t target_count;
    bool status_line; /* on stderr, if that is a terminal */
    enum color_mode color;
    bool verbose, quiet, strict;
    unsigned durations;              /* how many of the slowest to list */
    const struct redactor *redactor; /* borrowed; NULL only in tests */
};

struct run_start {
    uint64_t started_ns; /* since 1970 */
    size_t files, workers;
};

struct run_progress {
    size_t done, total, red, running;
    const char *longest_id; /* the check that has been running longest; NULL */
    uint64_t longest_ns;
};

struct run_end {
    int exit_code; /* what the command thinks; a 0 that is not deserved becomes 1 (5: nothing ran)
                    */
    uint64_t started_ns, duration_ns;
    uint64_t patience_ns; /* how long a reader who does not read is waited for; 0: for ever */
    bool interrupted;
    size_t not_run;                 /* planned, but not finished when the run ended */
    size_t left_out_slow, left_out; /* by the selection */
    const char *const *notes;
    size_t note_count;
};

/* Returns owned; NULL when a format does not exist or a file cannot be written: a usage error. */
struct events *events_open(const struct events_options *options, struct fault *why);
void events_close(struct events *events); /* drops reports that run_finished did not finish */

void events_run_started(struct events *events, const struct run_start *start);
void events_check_finished(struct events *events, const struct result *result);
void events_diagnosis_finished(struct events *events, const char *of, const struct result *result);
void events_progress(struct events *events, const struct run_progress *progress); /* throttled */
void events_flush(struct events *events);

/* Ends every report: those to files first, so that the summary on stdout knows of one that could
 * not be written.  Corrects end->exit_code.  False when a reporter or an output failed at any
 * time; *why is the first such failure (it is on stderr already). */
bool events_run_finished(struct events *events, struct run_end *end, struct fault *why) CHECKED;

/* A line on stderr that does not tangle with the status line. */
void events_message(struct events *events, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const struct summary *events_summary(const struct events *events);

#endif
