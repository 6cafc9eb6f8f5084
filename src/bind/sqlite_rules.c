/* sqlite_rules.c - what the statements of a check may do, whatever their author wrote: no other
 * files, no code, no settings that undo what the driver promised, and no writing where only
 * reading was asked for.  SQLite asks while it compiles a statement. */
#include <string.h>
#include <strings.h>

#include "bind/sqlite_session.h"

/* --- pragmas ---------------------------------------------------------------- */

/* Those that only tell; an argument says of what. */
static const char *const telling[] = {
    "foreign_key_check", "foreign_key_list", "index_info",   "index_list",    "index_xinfo",
    "integrity_check",   "quick_check",      "table_info",   "table_list",    "table_xinfo",
    "collation_list",    "compile_options",  "data_version", "database_list", "freelist_count",
    "function_list",     "module_list",      "page_count",   "pragma_list",   NULL,
};

/* Those that tell without an argument, and set with one. */
static const char *const settings[] = {
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "cell_size_check",
    "checkpoint_fullfsync",
    "defer_foreign_keys",
    "encoding",
    "foreign_keys",
    "fullfsync",
    "hard_heap_limit",
    "ignore_check_constraints",
    "journal_mode",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "max_page_count",
    "mmap_size",
    "page_size",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "schema_version",
    "secure_delete",
    "soft_heap_limit",
    "synchronous",
    "temp_store",
    "threads",
    "trusted_schema",
    "user_version",
    "wal_autocheckpoint",
    "writable_schema",
    NULL,
};

/* What a session that writes may set of these: it is in the file, or about its data. */
static const char *const data_settings[] = {
    "application_id",     "defer_foreign_keys", "foreign_keys", "ignore_check_constraints",
    "recursive_triggers", "user_version",       NULL,
};

/* What it may do besides, when it is not to be rolled back. */
static const char *const upkeep[] = {"incremental_vacuum", "journal_mode", "optimize",
                                     "wal_checkpoint", NULL};

static bool is_listed(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcasecmp(*list, name) == 0)
            return true;
    return false;
}

static bool allows_pragma(const struct sqlite_session *s, const char *name, const char *argument)
{
    bool writes = s->write || s->in_memory;
    if (is_listed(telling, name) || (!argument && is_listed(settings, name)))
        return true;
    return (writes && argument && is_listed(data_settings, name)) ||
           (writes && !s->rolled_back && is_listed(upkeep, name));
}

/* --- statements ------------------------------------------------------------- */

static int refuse(struct sqlite_session *s, enum fault_kind kind, const char *what,
                  const char *name)
{
    if (s->refused.kind == FAULT_NONE)
        fault_set(&s->refused, kind, "%s%s%.100s", what, name ? " " : "", name ? name : "");
    return SQLITE_DENY;
}

/* Does it write, and how is it called? */
static const char *writing(int action)
{
    switch (action) {
    case SQLITE_INSERT: return "INSERT into";
    case SQLITE_UPDATE: return "UPDATE of";
    case SQLITE_DELETE: return "DELETE from";
    case SQLITE_ALTER_TABLE: return "ALTER";
    case SQLITE_ANALYZE: return "ANALYZE of";
    case SQLITE_REINDEX: return "REINDEX of";
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE: return "CREATE of";
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE: return "DROP of";
    default: return NULL;
    }
}

static int judge_write(struct sqlite_session *s, int action, const char *what, const char *name,
                       const char *trigger)
{
    bool rows = action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    bool schema = name && strncasecmp(name, "sqlite_", strlen("sqlite_")) == 0;
    char text[64];
    /* What SQLite asks when a table-valued function is first used.  An UPDATE of it that somebody
     * wrote is refused for other reasons (SQLITE_DBCONFIG_DEFENSIVE). */
    if (action == SQLITE_UPDATE && name && strcmp(name, "sqlite_master") == 0)
        return SQLITE_OK;
    if (!s->write && !s->in_memory) {
        strcpy(text, "attempt to write a readonly database: ");
        return refuse(s, FAULT_READ_ONLY, strncat(text, what, 20), name);
    }
    if (rows && !schema && !trigger && !s->written)
        s->written = action;
    return SQLITE_OK;
}

static int judge(void *owner, int action, const char *first, const char *second,
                 const char *database, const char *trigger)
{
    struct sqlite_session *s = owner;
    (void)database;
    if (s->ours)
        return SQLITE_OK;
    const char *what = writing(action);
    if (what)
        return judge_write(s, action, what, first, trigger);
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT: return SQLITE_OK;
    case SQLITE_FUNCTION:
        return strcasecmp(second, "load_extension") == 0 ||
                       strcasecmp(second, "fts3_tokenizer") == 0
                   ? refuse(s, FAULT_DENIED, "checks may not call", second)
                   : SQLITE_OK;
    case SQLITE_PRAGMA:
        return allows_pragma(s, first, second)
                   ? SQLITE_OK
                   : refuse(s, FAULT_DENIED, "checks may not do that: PRAGMA", first);
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return refuse(s, FAULT_DENIED,
                      "checks may not ATTACH (or VACUUM): one connection is one file", NULL);
    default: return refuse(s, FAULT_DENIED, "checks may not do that", NULL);
    }
}

/* --- limits ----------------------------------------------------------------- */

static bool switch_to(struct sqlite_session *s, int what, int value)
{
    int now = -1;
    return (s->api->db_config(s->db, what, value, &now) == SQLITE_OK && now == value) ||
           sqlite_refuse(s, FAULT_INTERNAL, "SQLite does not take the setting %d", what);
}

bool sqlite_rules_apply(struct sqlite_session *s)
{
    static const struct {
        int what, most;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, SQLITE_VALUE_MAX},
        {SQLITE_LIMIT_SQL_LENGTH, SQLITE_TEXT_MAX},
        {SQLITE_LIMIT_EXPR_DEPTH, 500},
        {SQLITE_LIMIT_ATTACHED, 0},               /* VACUUM INTO attaches, and VACUUM as well */
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000}, /* matching does not look at interrupts */
        {SQLITE_LIMIT_VARIABLE_NUMBER, 32766},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 100},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        s->api->limit(s->db, limits[i].what, limits[i].most);
    s->api->set_authorizer(s->db, judge, s);
    return switch_to(s, SQLITE_DBCONFIG_DEFENSIVE, 1) &&
           switch_to(s, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0) &&
           switch_to(s, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0) &&
           switch_to(s, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0);
}
