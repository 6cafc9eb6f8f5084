/* sqlite_api.h - libsqlite3 as a table of functions, opened when a check first needs it
 * (bind/library.h), and what holds for all of a process.
 *
 * What SQLite allocates counts against the connection that it works for: a thread says whose
 * memory it uses (sqlite_heap_use) before it calls anything, so one statement that takes too
 * much fails, and nobody else's does.  Behind that stands a limit for the process. */
#ifndef HOSPITAL_BIND_SQLITE_API_H
#define HOSPITAL_BIND_SQLITE_API_H

#include <sqlite3.h>

#include "base/fault.h"

struct reactor;

/* clang-format off */
#define SQLITE_FUNCTIONS(X) \
    X(config) X(initialize) X(hard_heap_limit64) X(libversion) X(libversion_number) \
    X(open_v2) X(close_v2) X(db_config) X(db_readonly) X(limit) X(set_authorizer) X(interrupt) \
    X(busy_timeout) X(progress_handler) X(commit_hook) X(get_autocommit) X(file_control) \
    X(errmsg) X(system_errno) X(errstr) X(error_offset) X(changes64) \
    X(prepare_v3) X(step) X(finalize) X(stmt_isexplain) \
    X(bind_parameter_count) X(bind_parameter_name) X(bind_null) X(bind_int64) X(bind_double) \
    X(bind_text64) X(bind_blob64) \
    X(column_count) X(column_name) X(column_decltype) X(column_type) X(column_int64) \
    X(column_double) X(column_text) X(column_blob) X(column_bytes)
/* clang-format on */

/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define SQLITE_POINTER(name) __typeof__(sqlite3_##name) *name;
struct sqlite_api {
    SQLITE_FUNCTIONS(SQLITE_POINTER)
};
#undef SQLITE_POINTER

/* The library, loaded if need be; NULL and *why when it cannot be. */
const struct sqlite_api *sqlite_load(struct reactor *reactor, struct fault *why);

/* What SQLite holds for one connection.  Lives until nothing of it is left, which may be after
 * the connection: connections to one file share a little. */
struct sqlite_heap;

enum {
    SQLITE_HEAP_MAX = 64 << 20, /* of one connection */
    SQLITE_HEAPS_MAX = 256 << 20,
};

struct sqlite_heap *sqlite_heap_new(void);
void sqlite_heap_drop(struct sqlite_heap *heap); /* its owner is done with it; NULL is harmless */

/* Whose memory this thread allocates from now on; NULL: nobody's. */
void sqlite_heap_use(struct sqlite_heap *heap);

#endif
