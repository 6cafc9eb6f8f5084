/* session_state.h - the inside of a session, shared by session.c and lane.c. */
#ifndef HOSPITAL_CHECK_SESSION_STATE_H
#define HOSPITAL_CHECK_SESSION_STATE_H

#include "check/lane.h"
#include "check/record.h"
#include "check/session.h"

struct session {
    struct reactor *reactor;
    struct pace *pace;
    struct session_options options; /* its strings are these: */
    char *id, *path, *lib_path;     /* owned */
    struct session_events events;
    struct vm *vm;
    int suite; /* registry reference */
    struct buffer catalogue_bytes, details;
    struct catalogue catalogue;
    bool loaded, closing;
    struct scope scope;   /* while loading */
    struct record record; /* likewise */
    struct task *loading;
    struct entry *entries; /* one per check of the catalogue; lane is NULL when not selected */
    struct lane *lanes;
    unsigned lanes_open;
};

/* Pushes suite[list][index] on the main stack; nil when there is none.
 * [-0, +1, -] */
int session_push(struct session *session, const char *list, size_t index);

void session_lane_over(struct session *session);

#endif
