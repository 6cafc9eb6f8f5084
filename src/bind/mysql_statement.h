/* mysql_statement.h - one statement after the other on a connection, through the calls of
 * libmariadb that do not block.  Knows no Lua and waits for nothing itself.
 *
 * A call that cannot go on says what it waits for; its owner watches the socket and has it
 * resumed.  Prepared statements carry everything that the server can prepare; what it cannot
 * (error 1295) goes as text, if it has no parameters.
 *
 * A row's cells are valid until the next one is taken. */
#ifndef HOSPITAL_BIND_MYSQL_STATEMENT_H
#define HOSPITAL_BIND_MYSQL_STATEMENT_H

#include "bind/mysql_link.h"
#include "bind/mysql_value.h"

enum mysql_call {
    MYSQL_CALL_NONE,
    MYSQL_CALL_PREPARE,
    MYSQL_CALL_EXECUTE,
    MYSQL_CALL_FETCH,
    MYSQL_CALL_NEXT, /* result of the statement: a procedure has several */
    MYSQL_CALL_CLOSE,
    MYSQL_CALL_TEXT, /* and its rows and results: */
    MYSQL_CALL_TEXT_ROW,
    MYSQL_CALL_TEXT_NEXT,
};

enum mysql_taken { MYSQL_TAKEN_ROW, MYSQL_TAKEN_WAIT, MYSQL_TAKEN_END };

/* Zeroed at first, with link, read_only and numbers set. */
struct mysql_statement {
    struct mysql_link *link;
    bool read_only, numbers;

    enum mysql_call call; /* the last one */
    bool calling;         /* it cannot go on until the socket is ready */
    int wanted;           /* for what: MYSQL_WAIT_… */
    int ret;              /* what it returned */
    my_bool closed;
    MYSQL_ROW text_row;
    MYSQL_STMT *prepared; /* owned */
    MYSQL_RES *result;    /* owned; of prepared ones the columns alone */

    char *sql; /* owned */
    struct mysql_parameters parameters;
    size_t allowance;   /* what one call may read */
    bool binary, extra; /* extra: rows of a result after the first */
    bool resting;       /* it could go on, but others are to have their turn */
    unsigned in_a_row;
    size_t bytes_in_a_row;

    bool over, failed;            /* failed: fault says why; what else comes is to be dropped */
    bool rolled_back;             /* the transaction with it */
    struct mysql_column *columns; /* owned; of the first result */
    struct mysql_cell *cells;     /* owned */
    unsigned count;               /* of columns; 0: there is no result */
    bool broken;                  /* a row was none */
    unsigned long long affected;
    struct db_fault fault;
};

/* parameters are taken; NULL: as text, in one go.  One row may have allowance bytes. */
void mysql_statement_begin(struct mysql_statement *s, const char *sql,
                           const struct mysql_parameters *parameters, size_t allowance);

/* The next row.  WAIT: `resting` says that nothing but a breath is waited for. */
enum mysql_taken mysql_statement_take(struct mysql_statement *s);

/* The socket is ready for events (LOOP_READ | LOOP_WRITE); true when the call has ended. */
bool mysql_statement_resume(struct mysql_statement *s, int events);
int mysql_statement_wants(const struct mysql_statement *s); /* LOOP_READ | LOOP_WRITE */

/* The statement fails by our own decision; what still comes of it is to be dropped. */
void mysql_statement_fail(struct mysql_statement *s, enum fault_kind kind, const char *message);

/* Before the link is freed, in whatever state: cuts it unless it is between statements. */
void mysql_statement_fini(struct mysql_statement *s);

#endif
