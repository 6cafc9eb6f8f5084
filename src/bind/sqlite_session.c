/* sqlite_session.c - see sqlite_session.h. */
#include "bind/sqlite_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/reactor.h"

bool sqlite_fail(struct sqlite_session *s, int code, const char *sql)
{
    sqlite_problem_set(&s->problem, s->api, s->db, code, sql);
    if (!s->write && (code & 0xff) == SQLITE_CANTOPEN)
        s->problem.hint = NULL;          /* it is about writing */
    if (s->refused.kind != FAULT_NONE) { /* SQLite has several codes and words for it */
        s->problem.fault = s->refused;
        s->problem.code = s->refused.kind == FAULT_READ_ONLY ? SQLITE_READONLY : SQLITE_AUTH;
    }
    return false;
}

bool sqlite_refuse(struct sqlite_session *s, enum fault_kind kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s->problem.fault.kind = kind;
    vsnprintf(s->problem.fault.message, sizeof s->problem.fault.message, format, arguments);
    va_end(arguments);
    return false;
}

/* --- on a thread ------------------------------------------------------------ */

static void do_job(struct sqlite_session *s)
{
    switch (s->job) {
    case SQLITE_OPEN_FILE:
        if (!sqlite_open_file(s) && !s->problem.again)
            sqlite_close_file(s);
        break;
    case SQLITE_RUN: sqlite_run(s); break;
    case SQLITE_MORE: sqlite_run_on(s); break;
    case SQLITE_CONTROL: sqlite_control(s); break;
    case SQLITE_STOP: sqlite_drop_statement(s); break;
    case SQLITE_CLOSE:
        sqlite_drop_statement(s);
        sqlite_close_file(s);
        break;
    }
}

/* What SQLite undoes by itself (a full disk, no memory, an interrupted write) would leave the
 * statements that follow without the transaction that they count on. */
static void look_at_transaction(struct sqlite_session *s)
{
    bool open = s->db && !s->api->get_autocommit(s->db);
    if (s->in_transaction && !open && s->problem.fault.kind != FAULT_NONE)
        s->lost = true;
    s->in_transaction = open;
}

static void set_interrupted(struct sqlite_session *s)
{
    s->problem.code = SQLITE_INTERRUPT;
    sqlite_refuse(s, FAULT_CANCELLED, "interrupted");
}

static void work_out(struct work *work)
{
    struct sqlite_session *s = list_entry(work, struct sqlite_session, work);
    sqlite_heap_use(s->heap);
    s->problem = (struct sqlite_problem){
        .phase = s->job == SQLITE_OPEN_FILE ? "connect" : "query",
    };
    s->refused.kind = FAULT_NONE;
    if (atomic_load(&s->stop) && s->job != SQLITE_CLOSE && s->job != SQLITE_STOP) {
        set_interrupted(s);
    } else {
        do_job(s);
        if (s->job != SQLITE_STOP) /* the loop may be asked for it meanwhile */
            look_at_transaction(s);
    }
    sqlite_heap_use(NULL);
}

/* --- on the loop ------------------------------------------------------------ */

static void start(struct sqlite_session *s, enum sqlite_job job)
{
    s->job = job;
    atomic_store(&s->stop, false);
    work_start(&s->reactor->loop, &s->work);
}

static void session_free(struct sqlite_session *s)
{
    sqlite_heap_drop(s->heap);
    pthread_mutex_destroy(&s->lock);
    free(s->target);
    free(s->sql);
    free(s->is_boolean);
    buffer_fini(&s->parameters);
    buffer_fini(&s->columns);
    buffer_fini(&s->rows);
    free(s);
}

/* The job that waited, unless it was stopped meanwhile. */
static void start_unless_stopped(struct sqlite_session *s)
{
    if (!atomic_load(&s->stop)) {
        start(s, s->next);
        return;
    }
    set_interrupted(s);
    s->on_done(s->owner);
}

static void on_worked_out(struct work *work)
{
    struct sqlite_session *s = list_entry(work, struct sqlite_session, work);
    if (!s->owner) {
        if (s->db)
            start(s, SQLITE_CLOSE);
        else
            session_free(s);
    } else if (s->has_next) {
        s->has_next = false;
        start_unless_stopped(s);
    } else if (s->job != SQLITE_STOP) {
        s->on_done(s->owner);
    }
}

struct sqlite_session *sqlite_session_new(struct reactor *reactor, const struct sqlite_api *api,
                                          const char *target)
{
    struct sqlite_session *s = memory_new(sizeof *s);
    s->work.run = work_out;
    s->work.done = on_worked_out;
    s->reactor = reactor;
    s->policy = reactor->policy;
    s->api = api;
    s->heap = sqlite_heap_new();
    s->target = memory_copy_string(target);
    s->in_memory = strcmp(target, ":memory:") == 0;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void sqlite_session_start(struct sqlite_session *s, enum sqlite_job job)
{
    if (sqlite_session_is_busy(s)) {
        s->next = job;
        s->has_next = true;
    } else {
        start(s, job);
    }
}

void sqlite_session_stop(struct sqlite_session *s)
{
    atomic_store(&s->stop, true); /* for what has not begun: interrupting forgets that */
    pthread_mutex_lock(&s->lock);
    if (s->running)
        s->api->interrupt(s->running);
    pthread_mutex_unlock(&s->lock);
}

void sqlite_session_abandon(struct sqlite_session *s)
{
    s->owner = NULL;
    if (sqlite_session_is_busy(s))
        sqlite_session_stop(s);
    else if (s->db)
        start(s, SQLITE_CLOSE);
    else
        session_free(s);
}
