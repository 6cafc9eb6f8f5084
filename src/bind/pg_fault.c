/* pg_fault.c - see pg_fault.h. */
#include "bind/pg_fault.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/fields.h"

/* --- kinds ------------------------------------------------------------------ */

/* By SQLSTATE, or by its class of two characters; the first that fits. */
static const struct {
    const char *code;
    enum fault_kind kind;
} kinds[] = {
    {"28", FAULT_AUTHENTICATION}, {"3D000", FAULT_NO_DATABASE},  {"53300", FAULT_TOO_MANY},
    {"57P03", FAULT_STARTING_UP}, {"57014", FAULT_KILLED}, /* cancelled; a time limit is told apart
                                                              by the time it took */
    {"57P", FAULT_KILLED},        {"25P03", FAULT_KILLED}, /* idle_in_transaction_session_timeout */
    {"25006", FAULT_READ_ONLY},   {"55P03", FAULT_LOCK_TIMEOUT}, {"40001", FAULT_DEADLOCK},
    {"40P01", FAULT_DEADLOCK},    {"23", FAULT_CONSTRAINT},      {"44000", FAULT_CONSTRAINT},
    {"42601", FAULT_SYNTAX},      {"42P02", FAULT_SYNTAX}, /* there is no parameter $2 */
    {"42P18", FAULT_SYNTAX},                               /* no place tells the type of $1 */
    {"08P01", FAULT_SYNTAX}, /* of a statement: as many parameters as it has places */
};

static enum fault_kind kind_of(const char *code)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(code, kinds[i].code, strlen(kinds[i].code)) == 0)
            return kinds[i].kind;
    return FAULT_QUERY;
}

/* --- libpq's prose ------------------------------------------------------------ */

static bool has(const char *text, const char *part)
{
    return strstr(text, part);
}

/* "connection to server at "10.0.0.1", port 5432 failed: Connection refused\n\tIs the ..."
 * -> "connection refused" */
static void tell_first_line(struct db_fault *fault, enum fault_kind kind, const char *text)
{
    static const char failed[] = " failed: ";
    const char *from = strncmp(text, "connection to server", 20) == 0 ? strstr(text, failed) : NULL;
    from = from ? from + strlen(failed) : text;
    int size = (int)strcspn(from, "\n");
    if (size == 0)
        fault_set(&fault->why, kind, "no reason is given");
    else
        fault_set(&fault->why, kind, "%c%.*s",
                  isupper((unsigned char)from[1]) ? from[0] : tolower((unsigned char)from[0]),
                  size - 1, from + 1);
}

/* "FATAL:  28P01: password authentication failed": severities are translated, codes are not.
 * The text behind the code; NULL when there is none. */
static const char *find_code(const char *text, char code[6])
{
    for (const char *at = text; (at = strstr(at, ":  ")); at++) {
        const char *from = at + 3;
        if (strspn(from, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && from[5] == ':') {
            memcpy(code, from, 5);
            code[5] = '\0';
            return from + 6 + strspn(from + 6, " ");
        }
    }
    return NULL;
}

/* The line "DETAIL:  ..." of a verbose message. */
static void copy_line(char *to, size_t room, const char *text, const char *name)
{
    const char *line = strstr(text, name);
    if (!line)
        return;
    line += strlen(name);
    line += strspn(line, " ");
    snprintf(to, room, "%.*s", (int)strcspn(line, "\n"), line);
}

static enum fault_kind login_kind(const struct db_fault *fault, const char *text, bool encrypted)
{
    if (strncmp(fault->code, "28", 2) == 0 && !encrypted && has(text, "no encryption"))
        return FAULT_TLS;
    if (strcmp(fault->code, "57P03") == 0 && has(text, "ot standby"))
        return FAULT_IN_RECOVERY;
    enum fault_kind kind = kind_of(fault->code);
    return kind == FAULT_SYNTAX ? FAULT_PROTOCOL : kind;
}

static void tell_server_refusal(struct db_fault *fault, const char *message, const char *text,
                                bool encrypted)
{
    enum fault_kind kind = login_kind(fault, text, encrypted);
    fault_set(&fault->why, kind, "%.*s", (int)strcspn(message, "\n"), message);
    copy_line(fault->detail, sizeof fault->detail, text, "DETAIL:");
    copy_line(fault->hint, sizeof fault->hint, text, "HINT:");
    if (kind == FAULT_TLS && !fault->hint[0])
        snprintf(fault->hint, sizeof fault->hint,
                 "the server may take this login over TLS alone: sslmode=require");
    if (strcmp(fault->code, "08P01") == 0 && has(text, "startup"))
        snprintf(fault->hint, sizeof fault->hint,
                 "a pooler that takes no start options cannot keep a session read-only or bounded "
                 "in time: name the server itself");
}

/* target_session_attrs asks for another kind of server. */
static bool is_other_role(const char *text)
{
    return has(text, "session is ") || has(text, "hot standby mode");
}

/* What libpq itself found wrong, before or without a word of the server. */
static enum fault_kind own_kind(const char *text, const char *phase)
{
    if (has(text, "closed the connection unexpectedly"))
        return FAULT_CLOSED;
    if (has(text, "invalid ") && has(text, " value") && strcmp(phase, "connect") == 0)
        return FAULT_SYNTAX; /* of a setting that is looked at late */
    if (strcmp(phase, "connect") == 0)
        return has(text, "timed out") ? FAULT_TIMEOUT : FAULT_CONNECT;
    if (has(text, "no password supplied") || has(text, "authentication method") ||
        has(text, "SCRAM") || has(text, "server signature") || has(text, "GSSAPI") ||
        has(text, "channel binding"))
        return FAULT_AUTHENTICATION;
    if (has(text, "SSL") || has(text, "certificate") || strcmp(phase, "tls") == 0)
        return FAULT_TLS;
    if (is_other_role(text))
        return has(text, "not in hot") || has(text, "not read-only") ? FAULT_QUERY
                                                                     : FAULT_IN_RECOVERY;
    if (has(text, "out of memory") || has(text, "could not create socket"))
        return FAULT_INTERNAL;
    return FAULT_PROTOCOL;
}

void pg_fault_of_login(struct db_fault *fault, const char *text, const char *phase, bool encrypted)
{
    *fault = (struct db_fault){.phase = phase, .closed = true};
    const char *message = find_code(text, fault->code);
    if (message)
        tell_server_refusal(fault, message, text, encrypted);
    else
        tell_first_line(fault, own_kind(text, phase), text);
    fault->elsewhere = strcmp(phase, "connect") == 0 || is_other_role(text) ||
                       fault->why.kind == FAULT_STARTING_UP || fault->why.kind == FAULT_IN_RECOVERY;
}

/* Whatever stands in quotes may be a piece of a password, which may hold quotes: all from the first
 * to the last is left out. */
void pg_fault_of_target(struct db_fault *fault, const char *text)
{
    static const char missing[] = "missing \"=\" after ";
    size_t known = strncmp(text, missing, strlen(missing)) == 0 ? strlen(missing) : 0;
    size_t size = known + strcspn(text + known, "\"\n");
    const char *last = strrchr(text + size, '"');
    const char *rest = "";
    if (last)
        rest = last + 1;
    *fault = (struct db_fault){.phase = "target", .closed = true};
    fault_set(&fault->why, FAULT_SYNTAX, "this is no target that libpq can read: %.*s%s%.*s",
              (int)size, text, last ? "\"…\"" : "", (int)strcspn(rest, "\n"), rest);
}

void pg_fault_of_connection(struct db_fault *fault, const char *text)
{
    char line[200]; /* what came first; libpq adds to it whatever it is asked afterwards */
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    *fault = (struct db_fault){.phase = "query", .closed = true};
    const char *message = find_code(text, fault->code);
    if (message)
        fault_set(&fault->why, kind_of(fault->code), "%.*s", (int)strcspn(message, "\n"), message);
    else if (has(text, "cannot allocate memory"))
        fault_set(&fault->why, FAULT_LIMIT,
                  "the server sent a message too long for this process's memory");
    else if (has(line, "lost synchronization") || has(line, "invalid") || has(line, "unexpected "))
        tell_first_line(fault, FAULT_PROTOCOL, text);
    else
        tell_first_line(fault, FAULT_CLOSED, text);
}

/* --- statements ----------------------------------------------------------------- */

static void copy_field(char *to, size_t room, const struct pq *pq, const PGresult *result, int name)
{
    const char *value = pq->resultErrorField(result, name);
    snprintf(to, room, "%s", value ? value : "");
}

static bool is_standby(const struct pq *pq, const PGconn *pg)
{
    const char *standby = pq->parameterStatus(pg, "in_hot_standby");
    return standby && strcmp(standby, "on") == 0;
}

static enum fault_kind statement_kind(const struct db_fault *fault, const struct pq *pq,
                                      const PGconn *pg, const struct pg_context *context)
{
    enum fault_kind kind = kind_of(fault->code);
    if (kind == FAULT_READ_ONLY && !context->read_only)
        return is_standby(pq, pg) ? FAULT_IN_RECOVERY : FAULT_QUERY;
    if (kind == FAULT_QUERY && strcmp(fault->code, "0A000") == 0 && is_standby(pq, pg))
        return FAULT_IN_RECOVERY;
    if (strcmp(fault->code, "57014") == 0 &&
        (context->timed_out || has(fault->why.message, "statement timeout")))
        return FAULT_STATEMENT_TIMEOUT;
    return kind;
}

void pg_fault_of_result(struct db_fault *fault, const struct pq *pq, PGconn *pg,
                        const PGresult *result, const struct pg_context *context)
{
    const char *primary = pq->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!primary) { /* libpq's own: the connection broke, say */
        pg_fault_of_connection(fault, pq->resultErrorMessage(result));
        fault->closed = pq->status(pg) != CONNECTION_OK;
        return;
    }
    *fault = (struct db_fault){.phase = "query"};
    copy_field(fault->code, sizeof fault->code, pq, result, PG_DIAG_SQLSTATE);
    copy_field(fault->detail, sizeof fault->detail, pq, result, PG_DIAG_MESSAGE_DETAIL);
    copy_field(fault->hint, sizeof fault->hint, pq, result, PG_DIAG_MESSAGE_HINT);
    copy_field(fault->constraint, sizeof fault->constraint, pq, result, PG_DIAG_CONSTRAINT_NAME);
    const char *position = pq->resultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    fault->position = position ? atoi(position) : 0; /* NOLINT(cert-err34-c): 0 is "none" */
    fault_set(&fault->why, FAULT_QUERY, "%s", primary);
    fault->why.kind = statement_kind(fault, pq, pg, context);
}
