/* session.h - one run of one file, in a worker: its state, its catalogue, its
 * lanes.
 *
 * session_open loads the file; on_loaded hands over the catalogue or the reason
 * why there is none.  session_run then says which checks; each ends in exactly
 * one on_result, and when all have, and the teardowns, on_done.  The session is
 * the owner's to close: after on_done, or at any time before (everything in it
 * is killed then, and nothing is reported any more).  Callbacks come from
 * reactor_turn; closing the session inside one is allowed. */
#ifndef HOSPITAL_CHECK_SESSION_H
#define HOSPITAL_CHECK_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/fault.h"
#include "check/catalogue.h"
#include "check/result.h"

struct reactor;
struct pace;
struct session;
struct task;

/* What became of one check (index >= 0), or of a describe's teardowns (index -1,
 * node says which): one for each that went wrong or warned, and a pass when all have
 * ended.
 * Borrowed for the call. */
struct outcome {
    int index;
    unsigned node;
    enum status status;
    unsigned attempts;
    uint64_t started_ns;  /* since 1970 */
    uint64_t duration_ns; /* of the last attempt: before_each and body */
    const char *context;  /* why it was skipped, warned or failed, when the details do not say */
    const struct buffer *details; /* packed table, may be empty */
};

struct session_events {
    void (*on_loaded)(struct session *session, void *owner);
    void (*on_result)(struct session *session, void *owner, const struct outcome *outcome);
    void (*on_done)(struct session *session, void *owner);
    void *owner;
};

struct session_options {
    const char *id;       /* "net/dns.lua" */
    const char *path;     /* real and absolute */
    const char *lib_path; /* NULL: none */
    size_t memory_limit;
    uint64_t timeout_ns; /* for checks that declare none, and for loading */
    int retries;         /* likewise */
};

/* Never NULL.  When the file cannot even be begun, session_failed_to_open says so
 * at once and on_loaded does not come; the details are there. */
struct session *session_open(struct reactor *reactor, struct pace *pace,
                             const struct session_options *options,
                             const struct session_events *events);
bool session_failed_to_open(const struct session *session);
void session_close(struct session *session);

/* Valid from on_loaded on.  NULL: the file did not load, and *details (packed)
 * holds its failures. */
const struct catalogue *session_catalogue(const struct session *session,
                                          const struct buffer **details);
const struct buffer *session_catalogue_bytes(const struct session *session);

enum session_go { SESSION_GO, SESSION_HOLD, SESSION_SKIP };

/* Selects one check; called before session_run, in order of declaration. */
void session_select(struct session *session, size_t index, enum session_go go, const char *reason);
void session_run(struct session *session);

/* A held check may go; one that has not begun will not run. */
void session_release(struct session *session, size_t index);
void session_skip(struct session *session, size_t index, const char *reason);

enum session_part { SESSION_LOADING, SESSION_CHECK, SESSION_SETUP, SESSION_TEARDOWN };

/* What a running task belongs to, for the heartbeat: the session, and which part
 * of it: the index of a check, the node of a setup or teardown.  NULL: that has
 * ended before the task did. */
struct session *session_of_task(const struct task *task, enum session_part *part, uint32_t *number);
void *session_owner(const struct session *session);

#endif
