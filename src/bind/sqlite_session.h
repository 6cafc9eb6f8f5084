/* sqlite_session.h - one connection to one SQLite file: what is done for it on threads.
 *
 * SQLite reads and writes files while it is called, so all of it happens on the pool
 * (loop/work.h), one job after the other.  A session is no Lua object and no op: it lives until
 * its thread has come back, however its owner ended.
 *
 * Whose is what: while a job is under way everything below "the thread's" belongs to the thread,
 * and the loop may only ask it to stop (sqlite_session_stop).  Otherwise all of it is the loop's.
 */
#ifndef HOSPITAL_BIND_SQLITE_SESSION_H
#define HOSPITAL_BIND_SQLITE_SESSION_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "bind/sqlite_api.h"
#include "bind/sqlite_fault.h"
#include "loop/work.h"

struct policy;
struct reactor;

enum sqlite_job {
    SQLITE_OPEN_FILE,
    SQLITE_RUN,     /* the statement `sql` with `parameters`: its first rows */
    SQLITE_MORE,    /* the next ones */
    SQLITE_CONTROL, /* the statements of `sql`, from `control_at` on; no rows */
    SQLITE_STOP,    /* drops what is left of a statement; nobody is told */
    SQLITE_CLOSE,
};

enum {
    SQLITE_ROOM = 64 * 1024,     /* rows collected on a thread before they are handed over */
    SQLITE_VALUE_MAX = 16 << 20, /* bytes of one value */
    SQLITE_TEXT_MAX = 1 << 20,   /* bytes of SQL */
    SQLITE_LABEL_MAX = 200,
};

/* How values travel between Lua and threads: a byte of these, then 8 bytes of a number, or 8 of a
 * size and so many more.  Rows are that and nothing between. */
enum sqlite_tag {
    SQLITE_TAG_NULL = 'n',
    SQLITE_TAG_FALSE = 'f',
    SQLITE_TAG_TRUE = 't',
    SQLITE_TAG_INTEGER = 'i',
    SQLITE_TAG_REAL = 'd',
    SQLITE_TAG_TEXT = 's',
    SQLITE_TAG_BLOB = 'b', /* only in parameters */
};

struct sqlite_session {
    struct work work;
    struct reactor *reactor;
    const struct sqlite_api *api;
    const struct policy *policy;
    void (*on_done)(void *owner); /* a job is over: see problem */
    void *owner;                  /* NULL: nobody's; closes when the thread is back */
    enum sqlite_job job, next;
    bool has_next; /* a job waits for SQLITE_STOP to end */

    /* Asked for; not touched by SQLITE_STOP. */
    char *target;     /* a path, or ":memory:"; owned */
    bool write;       /* may change the file */
    bool rolled_back; /* may change it until its transaction ends, never for good */
    char *sql;        /* owned; ends in NUL */
    struct buffer parameters;
    int parameter_count;
    bool named; /* two columns of one name are a fault */
    uint64_t most, max_rows, max_bytes;
    size_t room; /* bytes of rows after which a job ends */

    /* The thread may be asked at any time. */
    atomic_bool stop;
    pthread_mutex_t lock;
    sqlite3 *running; /* under lock: db while it may be interrupted */

    /* The thread's. */
    struct sqlite_heap *heap;
    sqlite3 *db;
    bool ready; /* db was opened and set up */
    sqlite3_stmt *statement;
    char real[PATH_MAX];
    bool in_memory;
    bool immutable; /* opened as a file that nobody changes; seen is what it was then */
    struct stat seen;
    bool ours;            /* the statement is the driver's own: the rules do not hold */
    struct fault refused; /* why the rules refused; kind FAULT_NONE: they did not */
    int written;          /* SQLITE_INSERT, _UPDATE or _DELETE: what the statement does */
    size_t control_at;

    struct sqlite_problem problem;
    bool in_transaction;
    bool lost; /* there was a transaction, and SQLite ended it by itself */
    bool over; /* the statement has no more rows */
    int column_count;
    struct buffer columns; /* names, each with its NUL */
    unsigned char *is_boolean;
    struct buffer rows;
    uint64_t row_count;                        /* in rows */
    uint64_t seen_rows, kept_rows, kept_bytes; /* of the statement so far */
    bool has_affected;
    int64_t affected;
    char command[16];
};

/* Takes target.  Owner and on_done are set by the caller. */
struct sqlite_session *sqlite_session_new(struct reactor *reactor, const struct sqlite_api *api,
                                          const char *target);

/* Starts a job, or has it wait for a SQLITE_STOP under way; on_done(owner) comes later. */
void sqlite_session_start(struct sqlite_session *s, enum sqlite_job job);

/* The job under way ends as soon as SQLite looks; its problem is SQLITE_INTERRUPT then, unless it
 * was over before. */
void sqlite_session_stop(struct sqlite_session *s);

/* Takes it away from its owner: what is under way is stopped, then it is closed and freed. */
void sqlite_session_abandon(struct sqlite_session *s);

static inline bool sqlite_session_is_busy(const struct sqlite_session *s)
{
    return work_is_under_way(&s->work);
}

/* --- on threads, each in a file of its own ---------------------------------- */

/* sqlite_open.c.  False, and a problem. */
bool sqlite_open_file(struct sqlite_session *s) CHECKED;
void sqlite_close_file(struct sqlite_session *s);
bool sqlite_tell(struct sqlite_session *s, const char *sql); /* a statement of the driver's own */
/* Has somebody written the file that was opened as one that nobody changes? */
bool sqlite_file_changed(const struct sqlite_session *s);
/* A transaction has begun: sees to it that nothing of it can reach the file, if that was asked
 * for. */
bool sqlite_keep_off_file(struct sqlite_session *s) CHECKED;

/* sqlite_rules.c: what statements may do. */
bool sqlite_rules_apply(struct sqlite_session *s) CHECKED;

/* sqlite_run.c. */
void sqlite_run(struct sqlite_session *s);
void sqlite_run_on(struct sqlite_session *s);
void sqlite_control(struct sqlite_session *s);
void sqlite_drop_statement(struct sqlite_session *s);

/* Fills the problem with what SQLite says of code; false. */
bool sqlite_fail(struct sqlite_session *s, int code, const char *sql);
/* With a word of ours; false. */
bool sqlite_refuse(struct sqlite_session *s, enum fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
