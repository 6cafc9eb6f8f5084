/* sqlite_open.c - from a path to a connection that keeps what was promised of it.
 *
 * No file is ever made, no link followed that the policy has not seen, and a session that only
 * reads leaves nothing beside the file either: SQLite itself would make the -wal and -shm of a
 * database with a write-ahead log even for a reader, where it may. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/policy.h"
#include "bind/sqlite_session.h"

enum { CACHE_KB = 4096, HEADER_SIZE = 20, HEADER_READS = 19, HEADER_WAL = 2 };

/* --- may it be opened? ------------------------------------------------------ */

static bool deny(struct sqlite_session *s, const char *what, const char *reason)
{
    s->problem.phase = "policy";
    return sqlite_refuse(s, FAULT_DENIED, "%s it is not allowed: %s", what, reason);
}

/* A journal is made beside a file that is written, so the directory is what to allow; but for what
 * is rolled back, see sqlite_keep_off_file. */
static bool deny_writing(struct sqlite_session *s, const char *path)
{
    char reason[POLICY_REASON_MAX], directory[PATH_MAX];
    policy_why_path(s->policy, CAPABILITY_WRITE, path, reason);
    if (!s->rolled_back && strncmp(reason, "denied", strlen("denied")) != 0) {
        memcpy(directory, s->real, strlen(s->real) + 1);
        char *end = strrchr(directory, '/');
        if (end && end > directory)
            *end = '\0';
        policy_why_path(s->policy, CAPABILITY_WRITE, directory, reason);
    }
    return deny(s, "writing", reason);
}

static bool is_allowed(struct sqlite_session *s)
{
    char reason[POLICY_REASON_MAX], journal[PATH_MAX + sizeof "-journal"];
    if (!policy_allows_read(s->policy, s->target, s->real))
        return deny(s, "reading", policy_why_path(s->policy, CAPABILITY_READ, s->target, reason));
    if (!s->write)
        return true;
    if (!policy_allows_path(s->policy, CAPABILITY_WRITE, s->real, NULL))
        return deny_writing(s, s->real);
    snprintf(journal, sizeof journal, "%s-journal", s->real);
    return s->rolled_back || policy_allows_path(s->policy, CAPABILITY_WRITE, journal, NULL) ||
           deny_writing(s, journal);
}

static bool refuse_errno(struct sqlite_session *s, int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR: return sqlite_refuse(s, FAULT_NO_DATABASE, "there is no such file");
    case EACCES:
    case EPERM: return sqlite_refuse(s, FAULT_DENIED, "permission denied");
    default: return sqlite_refuse(s, FAULT_CONNECT, "%s", strerror(code));
    }
}

/* Opening a FIFO would wait for its writer. */
static bool is_file(struct sqlite_session *s)
{
    struct stat status;
    if (stat(s->real, &status) != 0)
        return refuse_errno(s, errno);
    if (S_ISDIR(status.st_mode))
        return sqlite_refuse(s, FAULT_NO_DATABASE, "this is a directory and no file");
    if (!S_ISREG(status.st_mode))
        return sqlite_refuse(s, FAULT_NO_DATABASE, "this is a %s and no file",
                             S_ISFIFO(status.st_mode)   ? "FIFO"
                             : S_ISSOCK(status.st_mode) ? "socket"
                                                        : "device");
    if (access(s->real, R_OK) != 0)
        return sqlite_refuse(s, FAULT_DENIED, "permission denied: it may not be read");
    if (s->write && access(s->real, W_OK) != 0)
        return sqlite_refuse(s, FAULT_DENIED, "it may not be written: %s", strerror(errno));
    return true;
}

/* --- opening ---------------------------------------------------------------- */

static void set_running(struct sqlite_session *s, sqlite3 *db)
{
    pthread_mutex_lock(&s->lock);
    s->running = db;
    pthread_mutex_unlock(&s->lock);
}

/* Interrupting a connection that runs nothing yet is forgotten; the flag is not. */
static int on_progress(void *owner)
{
    return atomic_load(&((struct sqlite_session *)owner)->stop);
}

/* "file:/var/lib/shop.db?immutable=1".  Returns owned. */
static char *uri_of(const char *path, const char *query)
{
    struct buffer uri = {0};
    buffer_add_string(&uri, "file:");
    for (; *path; path++) {
        if (strchr("%?#", *path))
            buffer_addf(&uri, "%%%02X", (unsigned char)*path);
        else
            buffer_add(&uri, path, 1);
    }
    buffer_add_string(&uri, query);
    buffer_add(&uri, "", 1);
    return uri.data;
}

static bool open_as(struct sqlite_session *s, const char *name, int flags)
{
    int code = s->api->open_v2(name, &s->db,
                               flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                                   SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                               NULL);
    if (code == SQLITE_OK) {
        set_running(s, s->db);
        s->api->busy_timeout(s->db, 0);
        s->api->progress_handler(s->db, 1000, on_progress, s);
        return true;
    }
    int reason = s->db ? s->api->system_errno(s->db) : 0;
    sqlite_fail(s, code, NULL);
    if (s->problem.fault.kind == FAULT_QUERY)
        s->problem.fault.kind = FAULT_CONNECT;
    if ((code & 0xff) == SQLITE_CANTOPEN && reason)
        refuse_errno(s, reason);
    return false;
}

static bool open_reader(struct sqlite_session *s, const char *query)
{
    char *uri = uri_of(s->real, query);
    bool ok = open_as(s, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    free(uri);
    return ok;
}

/* Through SQLite's descriptor: closing one of our own would drop every lock that this process has
 * on the file (POSIX wants it so). */
static bool has_write_ahead_log(const struct sqlite_session *s)
{
    sqlite3_file *file = NULL;
    unsigned char header[HEADER_SIZE] = {0};
    return s->api->file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK &&
           file && file->pMethods &&
           file->pMethods->xRead(file, header, HEADER_SIZE, 0) == SQLITE_OK &&
           header[HEADER_READS] == HEADER_WAL;
}

/* Bytes of the file beside it; -1: there is none. */
static int64_t size_beside(const struct sqlite_session *s, const char *suffix)
{
    char path[PATH_MAX + 16];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", s->real, suffix);
    return stat(path, &status) == 0 ? (int64_t)status.st_size : -1;
}

bool sqlite_file_changed(const struct sqlite_session *s)
{
    struct stat now;
    if (!s->immutable)
        return false;
    return size_beside(s, "-wal") > 0 || stat(s->real, &now) != 0 || now.st_ino != s->seen.st_ino ||
           now.st_dev != s->seen.st_dev || now.st_size != s->seen.st_size ||
           now.st_mtim.tv_sec != s->seen.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != s->seen.st_mtim.tv_nsec;
}

/* A database with a write-ahead log and nobody who has it open: there is no log, and to make one
 * is not ours.  Then all is in the file, and it holds still until somebody comes, which
 * sqlite_file_changed finds out. */
static bool open_for_reading(struct sqlite_session *s)
{
    s->immutable = false;
    if (!open_reader(s, "?readonly_shm=1"))
        return false;
    int64_t log = size_beside(s, "-wal");
    if (!has_write_ahead_log(s) || log > 0 || (log == 0 && size_beside(s, "-shm") >= 0))
        return true;
    sqlite_close_file(s);
    if (stat(s->real, &s->seen) != 0)
        return refuse_errno(s, errno);
    s->immutable = true;
    return open_reader(s, "?immutable=1");
}

static bool open_database(struct sqlite_session *s)
{
    if (s->in_memory)
        return open_as(s, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY);
    if (!is_allowed(s) || !is_file(s))
        return false;
    return s->write ? open_as(s, s->real, SQLITE_OPEN_READWRITE) : open_for_reading(s);
}

/* --- our own statements ----------------------------------------------------- */

/* One statement of the driver's; what its first row begins with is in answer, which is empty when
 * there is no row. */
static bool ask(struct sqlite_session *s, const char *sql, char answer[32])
{
    const struct sqlite_api *api = s->api;
    sqlite3_stmt *statement = NULL;
    answer[0] = '\0';
    s->ours = true;
    int code = api->prepare_v3(s->db, sql, -1, 0, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = api->step(statement);
        const void *text = code == SQLITE_ROW ? api->column_text(statement, 0) : NULL;
        if (text && !answer[0])
            snprintf(answer, 32, "%s", (const char *)text);
    }
    if (code != SQLITE_DONE)
        sqlite_fail(s, code, NULL);
    api->finalize(statement);
    s->ours = false;
    return code == SQLITE_DONE;
}

bool sqlite_tell(struct sqlite_session *s, const char *sql)
{
    char answer[32];
    return ask(s, sql, answer);
}

static bool verify(struct sqlite_session *s, const char *sql, const char *wanted)
{
    char answer[32];
    if (!ask(s, sql, answer))
        return false;
    return strcmp(answer, wanted) == 0 ||
           sqlite_refuse(s, FAULT_INTERNAL, "SQLite answers \"%s\" with \"%s\", and not \"%s\"",
                         sql, answer, wanted);
}

/* --- what is to be rolled back ---------------------------------------------- */

/* Why it holds, wherever the process is killed: before a commit SQLite writes to a file for two
 * reasons only.  Pages that do not fit into its cache: cache_spill=OFF keeps them there (and the
 * connection's memory ends the statement instead).  The journal of what was there before: it is
 * kept in memory, so that no hot one is left for others to stumble on; a write-ahead log needs
 * none, and its frames come with the commit.  A commit there never is: on_commit makes each a
 * rollback before the first byte of it is written.
 *
 * The journal's mode is the file's affair as well: asked to leave WAL, SQLite would rewrite the
 * file.  Within a transaction it does not, and nobody else can change the mode meanwhile. */
bool sqlite_keep_off_file(struct sqlite_session *s)
{
    char mode[32];
    if (!s->rolled_back || s->in_memory)
        return true;
    if (!sqlite_tell(s, "SELECT 1 FROM sqlite_schema LIMIT 1") ||
        !ask(s, "PRAGMA journal_mode", mode))
        return false;
    if (strcmp(mode, "wal") == 0 || strcmp(mode, "memory") == 0)
        return true;
    return verify(s, "PRAGMA journal_mode=MEMORY", "memory");
}

static int on_commit(void *owner)
{
    (void)owner;
    return 1;
}

static bool keep_from_committing(struct sqlite_session *s)
{
    if (!s->rolled_back)
        return true;
    s->api->commit_hook(s->db, on_commit, s);
    if (!sqlite_tell(s, "PRAGMA cache_spill=OFF") || !verify(s, "PRAGMA cache_spill", "0"))
        return false;
    bool ok = sqlite_tell(s, "BEGIN") && sqlite_keep_off_file(s);
    struct sqlite_problem problem = s->problem;
    bool ended = sqlite_tell(s, "ROLLBACK");
    if (!ok)
        s->problem = problem;
    return ok && ended;
}

/* --- what holds for every connection ---------------------------------------- */

static bool set_up(struct sqlite_session *s)
{
    char text[64];
    snprintf(text, sizeof text, "PRAGMA cache_size=-%d", CACHE_KB);
    return sqlite_tell(s, "PRAGMA temp_store=MEMORY") && sqlite_tell(s, "PRAGMA mmap_size=0") &&
           sqlite_tell(s, text);
}

static bool keep_from_writing(struct sqlite_session *s)
{
    if (s->write || s->in_memory)
        return true;
    if (s->api->db_readonly(s->db, "main") != 1)
        return sqlite_refuse(s, FAULT_INTERNAL, "SQLite opened the file for writing, unasked");
    return sqlite_tell(s, "PRAGMA query_only=ON") && verify(s, "PRAGMA query_only", "1");
}

/* SQLite falls back to reading by itself. */
static bool can_write(struct sqlite_session *s)
{
    return !s->write || s->in_memory || s->api->db_readonly(s->db, "main") == 0 ||
           sqlite_refuse(s, FAULT_DENIED, "it may not be written: permission denied");
}

/* A first look: is it a database, and whole, as far as one sees without reading all of it?
 * SQLite looks at the file only now. */
static bool look(struct sqlite_session *s)
{
    if (sqlite_tell(s, "SELECT 1 FROM sqlite_schema LIMIT 1"))
        return true;
    struct fault *why = &s->problem.fault;
    if ((s->problem.code & 0xff) == SQLITE_CANTOPEN && !s->write && size_beside(s, "-wal") >= 0)
        sqlite_refuse(
            s, FAULT_CONNECT,
            "there is a write-ahead log but no readable -shm beside it: who may write the "
            "database must open it once, to recover the log");
    else if (why->kind == FAULT_QUERY || why->kind == FAULT_SYNTAX)
        why->kind = FAULT_CONNECT;
    return false;
}

bool sqlite_open_file(struct sqlite_session *s)
{
    if (!s->db && !open_database(s))
        return false;
    s->ready = sqlite_rules_apply(s) && look(s) && set_up(s) && keep_from_writing(s) &&
               can_write(s) && keep_from_committing(s);
    return s->ready;
}

/* The last one to close a write-ahead log moves what is in it to the file: for a session that
 * must not write, that is the next one's. */
void sqlite_close_file(struct sqlite_session *s)
{
    if (!s->db)
        return;
    if (s->rolled_back && size_beside(s, "-wal") > 0)
        s->api->db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    set_running(s, NULL);
    s->api->close_v2(s->db);
    s->db = NULL;
    s->ready = false;
}
