/* sqlite_fault.c - see sqlite_fault.h. */
#include "bind/sqlite_fault.h"

#include <stdio.h>
#include <string.h>

/* --- names ------------------------------------------------------------------ */

/* clang-format off */
#define CODES(X) \
    X(ERROR) X(INTERNAL) X(PERM) X(ABORT) X(BUSY) X(LOCKED) X(NOMEM) X(READONLY) X(INTERRUPT) \
    X(IOERR) X(CORRUPT) X(NOTFOUND) X(FULL) X(CANTOPEN) X(PROTOCOL) X(EMPTY) X(SCHEMA) X(TOOBIG) \
    X(CONSTRAINT) X(MISMATCH) X(MISUSE) X(NOLFS) X(AUTH) X(FORMAT) X(RANGE) X(NOTADB) \
    X(ERROR_MISSING_COLLSEQ) X(ERROR_SNAPSHOT) X(IOERR_READ) X(IOERR_SHORT_READ) X(IOERR_WRITE) \
    X(IOERR_FSYNC) X(IOERR_DIR_FSYNC) X(IOERR_TRUNCATE) X(IOERR_FSTAT) X(IOERR_UNLOCK) \
    X(IOERR_RDLOCK) X(IOERR_DELETE) X(IOERR_BLOCKED) X(IOERR_NOMEM) X(IOERR_ACCESS) \
    X(IOERR_CHECKRESERVEDLOCK) X(IOERR_LOCK) X(IOERR_CLOSE) X(IOERR_DIR_CLOSE) X(IOERR_SHMOPEN) \
    X(IOERR_SHMSIZE) X(IOERR_SHMLOCK) X(IOERR_SHMMAP) X(IOERR_SEEK) X(IOERR_DELETE_NOENT) \
    X(IOERR_MMAP) X(IOERR_GETTEMPPATH) X(IOERR_CONVPATH) X(IOERR_VNODE) X(IOERR_AUTH) \
    X(IOERR_BEGIN_ATOMIC) X(IOERR_COMMIT_ATOMIC) X(IOERR_ROLLBACK_ATOMIC) X(IOERR_DATA) \
    X(IOERR_CORRUPTFS) X(LOCKED_SHAREDCACHE) X(LOCKED_VTAB) X(BUSY_RECOVERY) X(BUSY_SNAPSHOT) \
    X(BUSY_TIMEOUT) X(CANTOPEN_NOTEMPDIR) X(CANTOPEN_ISDIR) X(CANTOPEN_FULLPATH) \
    X(CANTOPEN_CONVPATH) X(CANTOPEN_DIRTYWAL) X(CANTOPEN_SYMLINK) X(CORRUPT_VTAB) \
    X(CORRUPT_SEQUENCE) X(CORRUPT_INDEX) X(READONLY_RECOVERY) X(READONLY_CANTLOCK) \
    X(READONLY_ROLLBACK) X(READONLY_DBMOVED) X(READONLY_CANTINIT) X(READONLY_DIRECTORY) \
    X(ABORT_ROLLBACK) X(CONSTRAINT_CHECK) X(CONSTRAINT_COMMITHOOK) X(CONSTRAINT_FOREIGNKEY) \
    X(CONSTRAINT_FUNCTION) X(CONSTRAINT_NOTNULL) X(CONSTRAINT_PRIMARYKEY) X(CONSTRAINT_TRIGGER) \
    X(CONSTRAINT_UNIQUE) X(CONSTRAINT_VTAB) X(CONSTRAINT_ROWID) X(CONSTRAINT_PINNED) \
    X(CONSTRAINT_DATATYPE) X(AUTH_USER)
/* clang-format on */

static const char *name_of(int code)
{
#define CASE(name)                                                                                 \
    case SQLITE_##name: return "SQLITE_" #name;
    switch (code) {
        CODES(CASE)
    default: return NULL;
    }
#undef CASE
}

const char *sqlite_code_name(int code)
{
    const char *name = name_of(code);
    if (!name)
        name = name_of(code & 0xff);
    return name ? name : "SQLITE_ERROR";
}

/* --- kinds ------------------------------------------------------------------ */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* SQLITE_ERROR is whatever has no code of its own.  What cannot be read as SQL is the check's
 * fault; a table that is not there is the database's. */
static enum fault_kind kind_of_error(const char *message)
{
    return begins_with(message, "near \"") || begins_with(message, "unrecognized token") ||
                   begins_with(message, "incomplete input")
               ? FAULT_SYNTAX
               : FAULT_QUERY;
}

static enum fault_kind kind_of_read_only(int code)
{
    switch (code) {
    case SQLITE_READONLY_DIRECTORY: return FAULT_DENIED;
    case SQLITE_READONLY_ROLLBACK:
    case SQLITE_READONLY_RECOVERY:
    case SQLITE_READONLY_CANTINIT:
    case SQLITE_READONLY_CANTLOCK:
    case SQLITE_READONLY_DBMOVED: return FAULT_CONNECT;
    default: return FAULT_READ_ONLY;
    }
}

static enum fault_kind kind_of(int code, const char *message)
{
    switch (code) {
    case SQLITE_BUSY_SNAPSHOT: return FAULT_DEADLOCK;
    case SQLITE_CONSTRAINT_COMMITHOOK: return FAULT_READ_ONLY;
    case SQLITE_IOERR_NOMEM: return FAULT_LIMIT;
    default: break;
    }
    switch (code & 0xff) {
    case SQLITE_ERROR: return kind_of_error(message);
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL: return FAULT_LOCK_TIMEOUT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH: return FAULT_CONSTRAINT;
    case SQLITE_READONLY: return kind_of_read_only(code);
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG: return FAULT_LIMIT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return FAULT_PROTOCOL;
    case SQLITE_AUTH:
    case SQLITE_PERM: return FAULT_DENIED;
    case SQLITE_INTERRUPT: return FAULT_CANCELLED;
    case SQLITE_INTERNAL:
    case SQLITE_MISUSE:
    case SQLITE_RANGE: return FAULT_INTERNAL;
    default: return FAULT_QUERY;
    }
}

/* --- words ------------------------------------------------------------------ */

/* What to say where SQLite's own message leaves people alone; NULL: it is good as it is.  A "%s"
 * is its message. */
static const char *words_for(int code)
{
    switch (code) {
    case SQLITE_NOTADB: return "this is no SQLite database, or an encrypted one (%s)";
    case SQLITE_READONLY_ROLLBACK:
        return "a writer died and left its journal: the next one that may write rolls it back; "
               "until then the file cannot be read (%s)";
    case SQLITE_READONLY_CANTINIT:
    case SQLITE_READONLY_RECOVERY:
        return "a writer died and left its write-ahead log: the next one that may write recovers "
               "it; until then the file cannot be read (%s)";
    case SQLITE_READONLY_DBMOVED: return "the file was moved or replaced meanwhile (%s)";
    case SQLITE_READONLY_DIRECTORY:
        return "its journal cannot be made: the directory may not be written (%s)";
    case SQLITE_CONSTRAINT_COMMITHOOK:
        return "nothing is committed here: all that this session does is rolled back (%s)";
    case SQLITE_BUSY_SNAPSHOT:
        return "somebody else wrote since this transaction began to read (%s)";
    default: break;
    }
    switch (code & 0xff) {
    case SQLITE_CORRUPT: return "the file is damaged: %s";
    case SQLITE_NOMEM:
        return "SQLite needs more memory than it may have: 64 MB for a connection, 256 MB in all "
               "(%s)";
    case SQLITE_TOOBIG: return "a value of more than 16 MB, or SQL of more than 1 MB (%s)";
    case SQLITE_CANTOPEN:
        return "the file, or the journal that goes with it, cannot be opened (%s)";
    default: return NULL;
    }
}

static const char *hint_for(int code)
{
    switch (code) {
    case SQLITE_BUSY_SNAPSHOT: return "roll back and try again, or begin with BEGIN IMMEDIATE";
    case SQLITE_CANTOPEN: return "writing needs a directory in which files can be made";
    default: return NULL;
    }
}

static void set_constraint(struct sqlite_problem *problem, const char *message)
{
    const char *what = strstr(message, "failed: ");
    if (what)
        snprintf(problem->constraint, sizeof problem->constraint, "%s", what + strlen("failed: "));
}

/* From bytes to characters, and from 1. */
static unsigned position_of(const char *sql, int offset)
{
    unsigned position = 1;
    for (int i = 0; i < offset && sql[i]; i++)
        position += (sql[i] & 0xc0) != 0x80;
    return position;
}

static void set_words(struct sqlite_problem *problem, int code, const char *message)
{
    struct fault *fault = &problem->fault;
    const char *words = words_for(code), *rest = words ? strstr(words, "%s") : NULL;
    fault->kind = kind_of(code, message);
    if (rest)
        snprintf(fault->message, sizeof fault->message, "%.*s%.300s%s", (int)(rest - words), words,
                 message, rest + 2);
    else if ((code & 0xff) == SQLITE_IOERR)
        snprintf(fault->message, sizeof fault->message, "%.300s (%s)", message,
                 sqlite_code_name(code));
    else
        snprintf(fault->message, sizeof fault->message, "%s", message);
}

bool sqlite_problem_set(struct sqlite_problem *problem, const struct sqlite_api *api, sqlite3 *db,
                        int code, const char *sql)
{
    const char *message = db ? api->errmsg(db) : api->errstr(code);
    problem->code = code;
    problem->again = (code & 0xff) == SQLITE_BUSY && code != SQLITE_BUSY_SNAPSHOT;
    problem->hint = hint_for(code);
    set_words(problem, code, message);
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        set_constraint(problem, message);
    int offset = db && sql ? api->error_offset(db) : -1;
    if (offset >= 0)
        problem->position = position_of(sql, offset);
    return false;
}
