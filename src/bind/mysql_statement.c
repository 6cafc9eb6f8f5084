/* mysql_statement.c - see mysql_statement.h. */
#include "bind/mysql_statement.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "loop/loop.h"

enum { ROWS_IN_A_ROW = 256, BYTES_IN_A_ROW = 1024 * 1024, RESUMES_MAX = 100000 };
/* The library makes room for a message when it is announced, in pieces of 16 MB; what counts is
 * what has come. */
enum { AHEAD_MAX = 32 * 1024 * 1024 };
enum { NOT_PREPARABLE = 1295, DEADLOCK = 1213, NO_MEMORY = 2008 };

/* --- how it fails ---------------------------------------------------------------- */

void mysql_statement_fail(struct mysql_statement *s, enum fault_kind kind, const char *message)
{
    if (s->failed)
        return;
    s->failed = true;
    s->fault = (struct db_fault){.phase = "query"};
    fault_set(&s->fault.why, kind, "%s", message);
}

/* The connection is of no more use. */
static void give_up(struct mysql_statement *s)
{
    s->fault.closed = true;
    s->over = true;
}

static void note_fault(struct mysql_statement *s, unsigned number, const char *state,
                       const char *text)
{
    if (s->link->flooded)
        number = 2020;
    s->rolled_back |= number == DEADLOCK;
    if (!s->failed) {
        s->failed = true;
        mysql_fault_of_statement(&s->fault, number, state, text, s->sql, s->read_only);
        mysql_target_redact(s->link->target, s->fault.why.message, sizeof s->fault.why.message);
        s->over |= s->fault.closed;
    } else {
        struct db_fault second;
        mysql_fault_of_statement(&second, number, state, text, s->sql, s->read_only);
        if (second.closed)
            give_up(s);
    }
}

static void note_text_fault(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    MYSQL *my = &s->link->my;
    note_fault(s, api->mysql_errno(my), api->mysql_sqlstate(my), api->mysql_error(my));
}

/* Of rows the library tells it in the other place. */
static void note_prepared_fault(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    unsigned number = api->mysql_stmt_errno(s->prepared);
    if (number)
        note_fault(s, number, api->mysql_stmt_sqlstate(s->prepared),
                   api->mysql_stmt_error(s->prepared));
    else
        note_text_fault(s);
}

/* --- calls ----------------------------------------------------------------------- */

static int start_call(struct mysql_statement *s, enum mysql_call call)
{
    const struct mysql_api *api = s->link->api;
    MYSQL *my = &s->link->my;
    switch (call) {
    case MYSQL_CALL_PREPARE:
        return api->mysql_stmt_prepare_start(&s->ret, s->prepared, s->sql, strlen(s->sql));
    case MYSQL_CALL_EXECUTE: return api->mysql_stmt_execute_start(&s->ret, s->prepared);
    case MYSQL_CALL_FETCH: return api->mysql_stmt_fetch_start(&s->ret, s->prepared);
    case MYSQL_CALL_NEXT: return api->mysql_stmt_next_result_start(&s->ret, s->prepared);
    case MYSQL_CALL_CLOSE: return api->mysql_stmt_close_start(&s->closed, s->prepared);
    case MYSQL_CALL_TEXT: return api->mysql_real_query_start(&s->ret, my, s->sql, strlen(s->sql));
    case MYSQL_CALL_TEXT_ROW: return api->mysql_fetch_row_start(&s->text_row, s->result);
    case MYSQL_CALL_TEXT_NEXT: return api->mysql_next_result_start(&s->ret, my);
    case MYSQL_CALL_NONE: break;
    }
    return 0;
}

static int continue_call(struct mysql_statement *s, int ready)
{
    const struct mysql_api *api = s->link->api;
    MYSQL *my = &s->link->my;
    switch (s->call) {
    case MYSQL_CALL_PREPARE: return api->mysql_stmt_prepare_cont(&s->ret, s->prepared, ready);
    case MYSQL_CALL_EXECUTE: return api->mysql_stmt_execute_cont(&s->ret, s->prepared, ready);
    case MYSQL_CALL_FETCH: return api->mysql_stmt_fetch_cont(&s->ret, s->prepared, ready);
    case MYSQL_CALL_NEXT: return api->mysql_stmt_next_result_cont(&s->ret, s->prepared, ready);
    case MYSQL_CALL_CLOSE: return api->mysql_stmt_close_cont(&s->closed, s->prepared, ready);
    case MYSQL_CALL_TEXT: return api->mysql_real_query_cont(&s->ret, my, ready);
    case MYSQL_CALL_TEXT_ROW: return api->mysql_fetch_row_cont(&s->text_row, s->result, ready);
    case MYSQL_CALL_TEXT_NEXT: return api->mysql_next_result_cont(&s->ret, my, ready);
    case MYSQL_CALL_NONE: break;
    }
    return 0;
}

static void note_wanted(struct mysql_statement *s, int wanted)
{
    s->wanted = wanted;
    s->calling = wanted != 0;
}

static void call(struct mysql_statement *s, enum mysql_call call)
{
    s->call = call;
    s->link->allowance = s->allowance;
    note_wanted(s, start_call(s, call));
}

bool mysql_statement_resume(struct mysql_statement *s, int events)
{
    int ready =
        (events & LOOP_READ ? MYSQL_WAIT_READ : 0) | (events & LOOP_WRITE ? MYSQL_WAIT_WRITE : 0);
    if (!s->calling)
        return true;
    s->in_a_row = 0;
    s->bytes_in_a_row = 0;
    note_wanted(s, continue_call(s, ready ? ready : MYSQL_WAIT_READ));
    return !s->calling;
}

int mysql_statement_wants(const struct mysql_statement *s)
{
    int events = (s->wanted & (MYSQL_WAIT_READ | MYSQL_WAIT_EXCEPT) ? LOOP_READ : 0) |
                 (s->wanted & MYSQL_WAIT_WRITE ? LOOP_WRITE : 0);
    return events ? events : LOOP_READ;
}

/* --- columns and cells ----------------------------------------------------------- */

static void forget_columns(struct mysql_statement *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free(s->columns[i].name);
    free(s->columns);
    free(s->cells);
    s->columns = NULL;
    s->cells = NULL;
    s->count = 0;
    s->link->api->mysql_free_result(s->result);
    s->result = NULL;
}

/* Of the result that begins. */
static bool learn_columns(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    forget_columns(s);
    s->result = s->binary ? api->mysql_stmt_result_metadata(s->prepared)
                          : api->mysql_use_result(&s->link->my);
    if (!s->result) {
        note_fault(s, NO_MEMORY, "", "the library has no memory for the result");
        give_up(s);
        return false;
    }
    const MYSQL_FIELD *fields = api->mysql_fetch_fields(s->result);
    s->count = api->mysql_num_fields(s->result);
    s->columns = memory_new(s->count * sizeof *s->columns);
    s->cells = memory_new(s->count * sizeof *s->cells);
    for (unsigned i = 0; i < s->count; i++)
        s->columns[i] = mysql_column_of(api, &fields[i], s->numbers);
    return true;
}

/* The library's, for each column of a row in the binary protocol; row NULL: the value is. */
static void on_cell(void *data, unsigned column, unsigned char **row)
{
    struct mysql_statement *s = data;
    if (s->extra || column >= s->count)
        return;
    s->cells[column] = (struct mysql_cell){0};
    if (row && !s->broken &&
        !mysql_cell_read(&s->columns[column], row, s->link->my.net.buff_end, &s->cells[column]))
        s->broken = true;
}

static void take_text_cells(struct mysql_statement *s)
{
    const unsigned long *sizes = s->link->api->mysql_fetch_lengths(s->result);
    for (unsigned i = 0; i < s->count; i++)
        s->cells[i] = (struct mysql_cell){.at = (const unsigned char *)s->text_row[i],
                                          .size = s->text_row[i] ? sizes[i] : 0};
}

/* A row has come; false when it is to be dropped. */
static bool accept_row(struct mysql_statement *s)
{
    s->in_a_row++;
    for (unsigned i = 0; i < s->count; i++)
        s->bytes_in_a_row += s->cells[i].size;
    s->call = MYSQL_CALL_NONE;
    if (s->broken) {
        mysql_statement_fail(s, FAULT_PROTOCOL, "the server sent a row that is none");
        give_up(s);
    }
    return !s->extra && !s->broken;
}

/* --- what follows a call --------------------------------------------------------- */

static void close_prepared(struct mysql_statement *s)
{
    if (!s->over)
        call(s, MYSQL_CALL_CLOSE);
}

/* A result has ended, or there was none. */
static void end_result(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    s->extra = true;
    if (s->binary && api->mysql_stmt_more_results(s->prepared))
        call(s, MYSQL_CALL_NEXT);
    else if (s->binary)
        close_prepared(s);
    else if (api->mysql_more_results(&s->link->my))
        call(s, MYSQL_CALL_TEXT_NEXT);
    else
        s->over = true;
}

static void fail_prepared(struct mysql_statement *s)
{
    note_prepared_fault(s);
    close_prepared(s);
}

static void bind_and_execute(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    char message[120];
    unsigned long places = api->mysql_stmt_param_count(s->prepared);
    if (places != (unsigned long)s->parameters.count) {
        snprintf(message, sizeof message, "the statement has %lu places (?) for %d parameters",
                 places, s->parameters.count);
        mysql_statement_fail(s, FAULT_SYNTAX, message);
        close_prepared(s);
    } else if (places && api->mysql_stmt_bind_param(s->prepared, s->parameters.binds)) {
        fail_prepared(s);
    } else {
        call(s, MYSQL_CALL_EXECUTE);
    }
}

static void after_prepare(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    if (s->ret == 0) {
        bind_and_execute(s);
    } else if (api->mysql_stmt_errno(s->prepared) == NOT_PREPARABLE && s->parameters.count == 0) {
        api->mysql_stmt_close(s->prepared); /* the server has none: nothing is sent */
        s->prepared = NULL;
        s->binary = false;
        call(s, MYSQL_CALL_TEXT);
    } else {
        fail_prepared(s);
    }
}

static void after_execute(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    if (s->ret) {
        fail_prepared(s);
    } else if (api->mysql_stmt_field_count(s->prepared)) {
        if (s->extra || learn_columns(s))
            call(s, MYSQL_CALL_FETCH);
    } else {
        if (!s->extra)
            s->affected = api->mysql_stmt_affected_rows(s->prepared);
        end_result(s);
    }
}

static bool after_fetch(struct mysql_statement *s)
{
    if (s->ret == 0 || s->ret == MYSQL_DATA_TRUNCATED)
        return accept_row(s);
    if (s->ret == MYSQL_NO_DATA)
        end_result(s);
    else
        fail_prepared(s);
    return false;
}

static void after_text(struct mysql_statement *s)
{
    const struct mysql_api *api = s->link->api;
    if (s->ret > 0 || (s->ret && s->call == MYSQL_CALL_TEXT)) {
        note_text_fault(s);
        s->over = true;
    } else if (s->ret == 0 && api->mysql_field_count(&s->link->my)) {
        if (learn_columns(s))
            call(s, MYSQL_CALL_TEXT_ROW);
    } else {
        if (!s->extra)
            s->affected = api->mysql_affected_rows(&s->link->my);
        end_result(s);
    }
}

static bool after_text_row(struct mysql_statement *s)
{
    if (s->text_row) {
        take_text_cells(s);
        return accept_row(s);
    }
    if (s->link->api->mysql_errno(&s->link->my)) {
        note_text_fault(s);
        s->over = true;
    } else {
        end_result(s);
    }
    return false;
}

/* True when there is a row. */
static bool follow(struct mysql_statement *s)
{
    switch (s->call) {
    case MYSQL_CALL_PREPARE: after_prepare(s); break;
    case MYSQL_CALL_EXECUTE: after_execute(s); break;
    case MYSQL_CALL_FETCH: return after_fetch(s);
    case MYSQL_CALL_NEXT: after_execute(s); break;
    case MYSQL_CALL_CLOSE:
        s->prepared = NULL;
        s->over = true;
        break;
    case MYSQL_CALL_TEXT:
    case MYSQL_CALL_TEXT_NEXT: after_text(s); break;
    case MYSQL_CALL_TEXT_ROW: return after_text_row(s);
    case MYSQL_CALL_NONE: call(s, s->binary ? MYSQL_CALL_FETCH : MYSQL_CALL_TEXT_ROW); break;
    }
    return false;
}

enum mysql_taken mysql_statement_take(struct mysql_statement *s)
{
    s->resting = false;
    while (!s->over && !s->calling) {
        if (s->in_a_row >= ROWS_IN_A_ROW || s->bytes_in_a_row >= BYTES_IN_A_ROW) {
            s->in_a_row = 0;
            s->bytes_in_a_row = 0;
            s->resting = true;
            return MYSQL_TAKEN_WAIT;
        }
        if (follow(s))
            return MYSQL_TAKEN_ROW;
    }
    return s->over ? MYSQL_TAKEN_END : MYSQL_TAKEN_WAIT;
}

/* --- beginning and ending -------------------------------------------------------- */

/* Nothing of it is on its way any more, or the link was cut. */
static void forget(struct mysql_statement *s)
{
    if (s->prepared)
        s->link->api->mysql_stmt_close(s->prepared);
    s->prepared = NULL;
    forget_columns(s);
    mysql_parameters_fini(&s->parameters);
    free(s->sql);
    s->sql = NULL;
    s->call = MYSQL_CALL_NONE;
}

void mysql_statement_begin(struct mysql_statement *s, const char *sql,
                           const struct mysql_parameters *parameters, size_t allowance)
{
    static const struct mysql_parameters none;
    const struct mysql_api *api = s->link->api;
    forget(s);
    s->sql = memory_copy_string(sql);
    s->parameters = parameters ? *parameters : none;
    s->allowance = allowance;
    s->link->my.net.max_packet_size = allowance + AHEAD_MAX;
    s->binary = parameters;
    s->extra = s->over = s->failed = s->broken = s->resting = false;
    s->affected = 0;
    s->in_a_row = 0;
    s->bytes_in_a_row = 0;
    if (!parameters) {
        call(s, MYSQL_CALL_TEXT);
        return;
    }
    s->prepared = api->mysql_stmt_init(&s->link->my);
    if (!s->prepared) {
        note_fault(s, NO_MEMORY, "", "the library has no memory for a statement");
        give_up(s);
        return;
    }
    api->mysql_stmt_attr_set(s->prepared, STMT_ATTR_CB_USER_DATA, s);
    api->mysql_stmt_attr_set(s->prepared, STMT_ATTR_CB_RESULT, (const void *)on_cell);
    call(s, MYSQL_CALL_PREPARE);
}

/* A call that was left where it waits would keep what it has allocated: so its socket is shut
 * and it comes to its end. */
void mysql_statement_fini(struct mysql_statement *s)
{
    if (!s->over || s->fault.closed)
        mysql_link_cut(s->link);
    for (int i = 0; s->calling && i < RESUMES_MAX; i++)
        note_wanted(s, continue_call(s, MYSQL_WAIT_READ | MYSQL_WAIT_WRITE));
    if (s->call == MYSQL_CALL_CLOSE)
        s->prepared = NULL;
    forget(s);
}
