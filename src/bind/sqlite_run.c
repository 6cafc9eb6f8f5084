/* sqlite_run.c - statements of a check on a thread: compiled, given their parameters, stepped.
 * Rows are collected as bytes until they are worth a way to the loop. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bind/sqlite_session.h"

/* --- the text --------------------------------------------------------------- */

/* Behind blanks, comments and semicolons. */
static const char *skip(const char *at)
{
    for (;;) {
        if (isspace((unsigned char)*at) || *at == ';') {
            at++;
        } else if (at[0] == '-' && at[1] == '-') {
            at += strcspn(at, "\n");
        } else if (at[0] == '/' && at[1] == '*') {
            const char *end = strstr(at + 2, "*/");
            at = end ? end + 2 : at + strlen(at);
        } else {
            return at;
        }
    }
}

static size_t word_length(const char *at)
{
    size_t size = 0;
    while (isalpha((unsigned char)at[size]))
        size++;
    return size;
}

static bool is_word(const char *at, const char *word)
{
    size_t size = word_length(at);
    return size == strlen(word) && strncasecmp(at, word, size) == 0;
}

/* "ROLLBACK", "ROLLBACK TRANSACTION", and not "ROLLBACK TO x". */
static bool is_rollback(const char *at)
{
    if (!is_word(at, "ROLLBACK"))
        return false;
    at = skip(at + word_length(at));
    if (is_word(at, "TRANSACTION"))
        at = skip(at + word_length(at));
    return !is_word(at, "TO");
}

/* WITH says nothing of what is done: the rules have seen that. */
static void set_command(struct sqlite_session *s, const char *at)
{
    size_t size = word_length(at);
    if (is_word(at, "WITH")) {
        at = s->written == SQLITE_INSERT   ? "INSERT"
             : s->written == SQLITE_UPDATE ? "UPDATE"
             : s->written == SQLITE_DELETE ? "DELETE"
                                           : "SELECT";
        size = strlen(at);
    }
    if (size >= sizeof s->command)
        size = sizeof s->command - 1;
    for (size_t i = 0; i < size; i++)
        s->command[i] = (char)toupper((unsigned char)at[i]);
    s->command[size] = '\0';
}

/* --- compiling -------------------------------------------------------------- */

void sqlite_drop_statement(struct sqlite_session *s)
{
    s->api->finalize(s->statement);
    s->statement = NULL;
    s->over = true;
}

/* The statement at `at`, which is within s->sql; what follows it is in *tail. */
static bool compile(struct sqlite_session *s, const char *at, const char **tail)
{
    s->written = 0;
    int code = s->api->prepare_v3(s->db, at, -1, 0, &s->statement, tail);
    if (code == SQLITE_OK)
        return s->statement || sqlite_refuse(s, FAULT_SYNTAX, "there is no statement in it");
    sqlite_fail(s, code, at);
    for (const char *before = s->sql; s->problem.position && before < at; before++)
        s->problem.position += (*before & 0xc0) != 0x80;
    return false;
}

static bool compile_only(struct sqlite_session *s)
{
    const char *at = skip(s->sql), *tail = "";
    if (!*at)
        return sqlite_refuse(s, FAULT_SYNTAX, "there is no statement in it");
    if (!compile(s, at, &tail))
        return false;
    if (*skip(tail))
        return sqlite_refuse(s, FAULT_SYNTAX,
                             "this is more than one statement: run them one by one");
    set_command(s, at);
    return true;
}

/* --- parameters ------------------------------------------------------------- */

/* Which of the values parameter i of the statement is: 1 or more; 0 and a problem. */
static int number_of(struct sqlite_session *s, int i, bool *dollar)
{
    const char *name = s->api->bind_parameter_name(s->statement, i);
    if (!name || name[0] == '?')
        return i;
    char *end = NULL;
    long number =
        name[0] == '$' && name[1] >= '1' && name[1] <= '9' ? strtol(name + 1, &end, 10) : 0;
    *dollar = true;
    if (number > 0 && *end == '\0' && number <= INT_MAX)
        return (int)number;
    if (number > 0)
        sqlite_refuse(s, FAULT_SYNTAX, "the parameter %.60s: a cast is written cast($%ld as type)",
                      name, number);
    else
        sqlite_refuse(s, FAULT_SYNTAX,
                      "the parameter %.60s has a name: write $1, $2 and so on, or ?", name);
    return 0;
}

/* Where each value begins.  Returns owned. */
static const char **find_values(const struct sqlite_session *s)
{
    const char **values = memory_new((size_t)(s->parameter_count + 1) * sizeof *values);
    const char *at = s->parameters.data;
    for (int i = 0; i < s->parameter_count; i++) {
        uint64_t size = 0;
        values[i] = at;
        char tag = *at++;
        if (tag == SQLITE_TAG_NULL || tag == SQLITE_TAG_FALSE || tag == SQLITE_TAG_TRUE)
            continue;
        if (tag == SQLITE_TAG_TEXT || tag == SQLITE_TAG_BLOB)
            memcpy(&size, at, sizeof size);
        at += sizeof size + size;
    }
    return values;
}

static int bind_value(struct sqlite_session *s, int i, const char *value)
{
    const struct sqlite_api *api = s->api;
    uint64_t size = 0;
    int64_t integer = 0;
    double real = 0;
    switch ((enum sqlite_tag)value[0]) {
    case SQLITE_TAG_NULL: return api->bind_null(s->statement, i);
    case SQLITE_TAG_FALSE: return api->bind_int64(s->statement, i, 0);
    case SQLITE_TAG_TRUE: return api->bind_int64(s->statement, i, 1);
    case SQLITE_TAG_INTEGER:
        memcpy(&integer, value + 1, sizeof integer);
        return api->bind_int64(s->statement, i, integer);
    case SQLITE_TAG_REAL:
        memcpy(&real, value + 1, sizeof real);
        return api->bind_double(s->statement, i, real);
    case SQLITE_TAG_TEXT:
        memcpy(&size, value + 1, sizeof size);
        return api->bind_text64(s->statement, i, value + 1 + sizeof size, size, SQLITE_TRANSIENT,
                                SQLITE_UTF8);
    case SQLITE_TAG_BLOB:
        memcpy(&size, value + 1, sizeof size);
        return api->bind_blob64(s->statement, i, value + 1 + sizeof size, size, SQLITE_TRANSIENT);
    }
    return SQLITE_MISUSE;
}

/* How many values the statement wants; -1 and a problem. */
static int count_wanted(struct sqlite_session *s, int count)
{
    int wanted = 0, dollars = 0;
    for (int i = 1; i <= count; i++) {
        bool dollar = false;
        int number = number_of(s, i, &dollar);
        if (number == 0)
            return -1;
        if (number > wanted)
            wanted = number;
        dollars += dollar;
    }
    if (dollars == 0 || dollars == count)
        return wanted;
    sqlite_refuse(s, FAULT_SYNTAX, "it has parameters of two kinds: write either $1 or ?");
    return -1;
}

static bool bind_all(struct sqlite_session *s)
{
    int count = s->api->bind_parameter_count(s->statement);
    int wanted = count_wanted(s, count);
    if (wanted < 0)
        return false;
    if (wanted != s->parameter_count)
        return sqlite_refuse(s, FAULT_SYNTAX, "the SQL has %d parameter%s, and %d %s given", wanted,
                             wanted == 1 ? "" : "s", s->parameter_count,
                             s->parameter_count == 1 ? "was" : "were");
    const char **values = find_values(s);
    int code = SQLITE_OK;
    for (int i = 1; i <= count && code == SQLITE_OK; i++) {
        bool dollar;
        code = bind_value(s, i, values[number_of(s, i, &dollar) - 1]);
    }
    free(values);
    return code == SQLITE_OK || sqlite_fail(s, code, NULL);
}

/* --- columns ---------------------------------------------------------------- */

static bool is_known(const struct sqlite_session *s, const char *name)
{
    for (size_t at = 0; at < s->columns.size; at += strlen(s->columns.data + at) + 1)
        if (strcmp(s->columns.data + at, name) == 0)
            return true;
    return false;
}

static bool read_columns(struct sqlite_session *s)
{
    const struct sqlite_api *api = s->api;
    s->column_count = api->column_count(s->statement);
    s->is_boolean = memory_resize(s->is_boolean, (size_t)s->column_count + 1);
    buffer_clear(&s->columns);
    for (int i = 0; i < s->column_count; i++) {
        const char *name = api->column_name(s->statement, i);
        const char *type = api->column_decltype(s->statement, i);
        name = name ? name : "";
        s->is_boolean[i] =
            type && (strcasecmp(type, "BOOLEAN") == 0 || strcasecmp(type, "BOOL") == 0);
        if (s->named && is_known(s, name))
            return sqlite_refuse(s, FAULT_SYNTAX,
                                 "two columns of the result are called \"%.80s\": name one of them "
                                 "with AS",
                                 name);
        buffer_add(&s->columns, name, strlen(name) + 1);
    }
    return true;
}

/* --- rows ------------------------------------------------------------------- */

static bool add(struct sqlite_session *s, enum sqlite_tag tag, const void *data, size_t size)
{
    char byte = (char)tag;
    uint64_t length = size;
    if (s->kept_bytes + size > s->max_bytes)
        return sqlite_refuse(
            s, FAULT_LIMIT,
            "the rows have more than %llu bytes: ask for fewer rows or columns, or "
            "raise max_bytes",
            (unsigned long long)s->max_bytes);
    s->kept_bytes += size;
    buffer_add(&s->rows, &byte, 1);
    if (tag == SQLITE_TAG_TEXT)
        buffer_add(&s->rows, &length, sizeof length);
    if (size > 0 && tag != SQLITE_TAG_NULL && tag != SQLITE_TAG_TRUE && tag != SQLITE_TAG_FALSE)
        buffer_add(&s->rows, data, size);
    return true;
}

static bool add_text(struct sqlite_session *s, const void *data, int size)
{
    if (!data && size > 0)
        return sqlite_fail(s, SQLITE_NOMEM, NULL);
    return add(s, SQLITE_TAG_TEXT, data, (size_t)size);
}

static bool add_integer(struct sqlite_session *s, int i)
{
    int64_t integer = s->api->column_int64(s->statement, i);
    if (s->is_boolean[i] && (integer == 0 || integer == 1))
        return add(s, integer ? SQLITE_TAG_TRUE : SQLITE_TAG_FALSE, NULL, 1);
    return add(s, SQLITE_TAG_INTEGER, &integer, sizeof integer);
}

static bool add_column(struct sqlite_session *s, int i)
{
    const struct sqlite_api *api = s->api;
    double real;
    const void *data;
    switch (api->column_type(s->statement, i)) {
    case SQLITE_INTEGER: return add_integer(s, i);
    case SQLITE_FLOAT:
        real = api->column_double(s->statement, i);
        return add(s, SQLITE_TAG_REAL, &real, sizeof real);
    case SQLITE_TEXT:
        data = api->column_text(s->statement, i);
        return add_text(s, data, api->column_bytes(s->statement, i));
    case SQLITE_BLOB:
        data = api->column_blob(s->statement, i);
        return add_text(s, data, api->column_bytes(s->statement, i));
    default: return add(s, SQLITE_TAG_NULL, NULL, 1);
    }
}

static bool add_row(struct sqlite_session *s)
{
    if (s->seen_rows == s->max_rows)
        return sqlite_refuse(s, FAULT_LIMIT,
                             "there are more than %llu rows: ask for fewer (LIMIT, count(*)), or "
                             "raise max_rows",
                             (unsigned long long)s->max_rows);
    s->seen_rows++;
    if (s->kept_rows == s->most)
        return true;
    for (int i = 0; i < s->column_count; i++)
        if (!add_column(s, i))
            return false;
    s->kept_rows++;
    s->row_count++;
    return true;
}

/* --- one after the other ---------------------------------------------------- */

/* The file was opened as one that holds still, and did not: what was read may be of two minds. */
static void tell_change(struct sqlite_session *s)
{
    s->problem.code = 0;
    s->problem.again = s->job == SQLITE_RUN && !s->in_transaction;
    sqlite_refuse(s, s->problem.again ? FAULT_LOCK_TIMEOUT : FAULT_DEADLOCK,
                  "the file was written while it was read");
}

static void finish(struct sqlite_session *s)
{
    s->has_affected = s->written && !s->api->stmt_isexplain(s->statement);
    s->affected = s->has_affected ? s->api->changes64(s->db) : 0;
    sqlite_drop_statement(s);
    if (!s->in_transaction && !s->api->get_autocommit(s->db) && !sqlite_keep_off_file(s))
        (void)sqlite_tell(s, "ROLLBACK");
}

static void step(struct sqlite_session *s)
{
    int code;
    while ((code = s->api->step(s->statement)) == SQLITE_ROW) {
        if (!add_row(s))
            return;
        if (s->rows.size >= s->room)
            return;
    }
    if (code == SQLITE_DONE)
        finish(s);
    else
        sqlite_fail(s, code, NULL);
}

void sqlite_run_on(struct sqlite_session *s)
{
    buffer_clear(&s->rows);
    s->row_count = 0;
    step(s);
    if (s->job == SQLITE_MORE)
        s->problem.again = false; /* some rows are gone to the loop already */
    if ((s->over || s->problem.fault.kind != FAULT_NONE) && sqlite_file_changed(s))
        tell_change(s);
    if (s->problem.fault.kind != FAULT_NONE)
        sqlite_drop_statement(s);
}

/* A file that nobody had open when it was opened here may have got a writer. */
static bool look_again(struct sqlite_session *s)
{
    if (s->ready && !sqlite_file_changed(s))
        return true;
    if (s->in_transaction) {
        tell_change(s);
        return false;
    }
    sqlite_close_file(s);
    if (sqlite_open_file(s))
        return true;
    s->problem.closed = !s->problem.again;
    return false;
}

static bool is_lost(struct sqlite_session *s)
{
    return s->lost && !sqlite_refuse(s, FAULT_QUERY,
                                     "SQLite rolled the transaction back when a statement failed: "
                                     "nothing runs in it any more");
}

void sqlite_run(struct sqlite_session *s)
{
    sqlite_drop_statement(s);
    s->seen_rows = s->kept_rows = s->kept_bytes = 0;
    if (is_lost(s) || !look_again(s))
        return;
    s->over = false;
    if (compile_only(s) && read_columns(s) && bind_all(s))
        sqlite_run_on(s);
    else
        sqlite_drop_statement(s);
}

/* --- control ---------------------------------------------------------------- */

static bool control_one(struct sqlite_session *s, const char *at, const char **tail)
{
    bool was_open = !s->api->get_autocommit(s->db);
    if (!compile(s, at, tail))
        return false;
    int code;
    do
        code = s->lost ? SQLITE_DONE : s->api->step(s->statement);
    while (code == SQLITE_ROW);
    if (code != SQLITE_DONE)
        sqlite_fail(s, code, NULL);
    sqlite_drop_statement(s);
    if (code != SQLITE_DONE)
        return false;
    s->lost = false;
    if (was_open || s->api->get_autocommit(s->db) || sqlite_keep_off_file(s))
        return true;
    struct sqlite_problem problem = s->problem;
    (void)sqlite_tell(s, "ROLLBACK");
    s->problem = problem;
    return false;
}

/* What was done stays done when a lock is waited for: it goes on at control_at. */
void sqlite_control(struct sqlite_session *s)
{
    const char *at, *tail = "";
    sqlite_drop_statement(s);
    if (!s->in_transaction && !look_again(s))
        return;
    while (*(at = skip(s->sql + s->control_at))) {
        if (!is_rollback(at) && is_lost(s))
            return;
        if (!control_one(s, at, &tail))
            return;
        s->control_at = (size_t)(tail - s->sql);
    }
}
