/* mysql_fault.c - see mysql_fault.h. */
#include "bind/mysql_fault.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/fields.h"

enum { PLUGIN_REFUSED = 5010 }; /* by MARIADB_OPT_RESTRICTED_AUTH */

/* --- kinds ----------------------------------------------------------------------- */

static const struct {
    unsigned number;
    enum fault_kind kind;
} kinds[] = {
    {1044, FAULT_AUTHENTICATION}, /* access denied to the database */
    {1045, FAULT_AUTHENTICATION},
    {1129, FAULT_AUTHENTICATION}, /* this host had too many failures */
    {1130, FAULT_AUTHENTICATION}, /* this host may not connect */
    {1251, FAULT_AUTHENTICATION},
    {1275, FAULT_AUTHENTICATION},
    {1524, FAULT_AUTHENTICATION}, /* a plugin that the server has not */
    {1698, FAULT_AUTHENTICATION},
    {1820, FAULT_AUTHENTICATION}, /* the password has expired */
    {1862, FAULT_AUTHENTICATION},
    {3118, FAULT_AUTHENTICATION}, /* the account is locked */
    {4151, FAULT_AUTHENTICATION},
    {1049, FAULT_NO_DATABASE},
    {1040, FAULT_TOO_MANY},
    {1203, FAULT_TOO_MANY},
    {1226, FAULT_TOO_MANY},
    {1053, FAULT_STARTING_UP}, /* it shuts down */
    {3159, FAULT_TLS},         /* no login without */
    {1064, FAULT_SYNTAX},
    {1065, FAULT_SYNTAX}, /* empty */
    {1149, FAULT_SYNTAX},
    {1210, FAULT_SYNTAX},      /* parameters that do not fit */
    {1290, FAULT_IN_RECOVERY}, /* the server is read-only, for all */
    {1836, FAULT_IN_RECOVERY},
    {1792, FAULT_READ_ONLY}, /* the session is */
    {1205, FAULT_LOCK_TIMEOUT},
    {3572, FAULT_LOCK_TIMEOUT}, /* NOWAIT */
    {1213, FAULT_DEADLOCK},
    {1614, FAULT_DEADLOCK},
    {1969, FAULT_STATEMENT_TIMEOUT},
    {3024, FAULT_STATEMENT_TIMEOUT},
    {1317, FAULT_KILLED},
    {1927, FAULT_KILLED},
    {4031, FAULT_KILLED}, /* was idle for too long */
    {4025, FAULT_CONSTRAINT},
    {3819, FAULT_CONSTRAINT},

    /* the library's own */
    {2002, FAULT_CONNECT},
    {2003, FAULT_CONNECT},
    {2004, FAULT_CONNECT},
    {2005, FAULT_CONNECT},
    {2006, FAULT_CLOSED},
    {2013, FAULT_CLOSED},
    {2055, FAULT_CLOSED},
    {2007, FAULT_PROTOCOL},
    {2012, FAULT_PROTOCOL},
    {2014, FAULT_PROTOCOL},
    {2027, FAULT_PROTOCOL},
    {2008, FAULT_INTERNAL}, /* no memory */
    {2020, FAULT_LIMIT},
    {2026, FAULT_TLS},
    {2049, FAULT_AUTHENTICATION},
    {2058, FAULT_AUTHENTICATION},
    {2059, FAULT_AUTHENTICATION},
    {2061, FAULT_AUTHENTICATION},
    {PLUGIN_REFUSED, FAULT_AUTHENTICATION},
};

/* What of it says that the connection is over. */
static const unsigned ends[] = {1053, 1080, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 4031};

static enum fault_kind kind_of(unsigned number, const char *state)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].number == number)
            return kinds[i].kind;
    if (strncmp(state, "23", 2) == 0)
        return FAULT_CONSTRAINT;
    if (strncmp(state, "28", 2) == 0)
        return FAULT_AUTHENTICATION;
    if ((number >= 2000 && number < 3000) || (number >= 5000 && number < 6000) || number == 0)
        return FAULT_PROTOCOL;
    return FAULT_QUERY;
}

static bool is_servers(unsigned number)
{
    return number >= 1000 && (number < 2000 || number >= 3000) && (number < 5000 || number >= 6000);
}

static void begin(struct db_fault *fault, unsigned number, const char *state, const char *phase)
{
    *fault = (struct db_fault){.phase = phase, .number = number};
    if (is_servers(number) && strlen(state) == 5 && strcmp(state, "00000") != 0)
        memcpy(fault->code, state, sizeof fault->code);
}

/* --- words ----------------------------------------------------------------------- */

/* "… (using password: YES)" in words that do not look like a secret. */
static void reword_password(struct db_fault *fault)
{
    static const char with[] = " (using password: YES)", without[] = " (using password: NO)";
    char *message = fault->why.message, *at = strstr(message, with);
    if (at)
        snprintf(at, sizeof fault->why.message - (size_t)(at - message), ", with a password");
    else if ((at = strstr(message, without)))
        snprintf(at, sizeof fault->why.message - (size_t)(at - message), ", without a password");
}

/* A sentence's first letter, made small unless it begins a name of capitals. */
static void tell(struct db_fault *fault, enum fault_kind kind, const char *text)
{
    int size = (int)strcspn(text, "\n");
    if (size < 2)
        fault_set(&fault->why, kind, "no reason is given (error %u)", fault->number);
    else
        fault_set(&fault->why, kind, "%c%.*s",
                  isupper((unsigned char)text[1]) ? text[0] : tolower((unsigned char)text[0]),
                  size - 1, text + 1);
}

/* "Can't connect to server on '10.0.0.1' (111)" -> "connection refused" */
static bool tell_errno(struct db_fault *fault, const char *text)
{
    const char *open = strrchr(text, '(');
    char *end = NULL;
    long code = open ? strtol(open + 1, &end, 10) : 0;
    char reason[128];
    if (code <= 0 || code > 4095 || *end != ')')
        return false;
    tell(fault, FAULT_CONNECT, strerror_r((int)code, reason, sizeof reason));
    return true;
}

/* Behind "TLS/SSL error: ", what OpenSSL says. */
static const char *without_prefix(const char *text)
{
    static const char *const prefixes[] = {"TLS/SSL error: ", "SSL connection error: ", NULL};
    for (const char *const *p = prefixes; *p; p++)
        if (strncmp(text, *p, strlen(*p)) == 0)
            return text + strlen(*p);
    return text;
}

/* "Received error packet before completion of TLS handshake. … cannot be verified: 1040 - Too
 * many connections": it is said nevertheless. */
static const char *unwrap(const char *text, unsigned *number)
{
    static const char before[] = "cannot be verified: ";
    const char *from = strstr(text, before);
    char *end = NULL;
    unsigned long inner = from ? strtoul(from + strlen(before), &end, 10) : 0;
    if (inner < 1000 || inner > 9999 || strncmp(end, " - ", 3) != 0)
        return text;
    *number = (unsigned)inner;
    return end + 3;
}

void mysql_fault_of_login(struct db_fault *fault, unsigned number, const char *state,
                          const char *text, const char *phase)
{
    text = unwrap(text, &number);
    begin(fault, number, state, phase);
    enum fault_kind kind = kind_of(number, state);
    fault->closed = true;
    if (strcmp(phase, "connect") == 0 && kind == FAULT_PROTOCOL)
        kind = FAULT_CONNECT;
    if (strcmp(phase, "tls") == 0 && kind == FAULT_CLOSED)
        kind = FAULT_TLS;
    if (kind == FAULT_CONNECT && tell_errno(fault, text))
        ;
    else if (kind == FAULT_CLOSED)
        fault_set(&fault->why, kind, "the server closed the connection while logging in");
    else if (number == PLUGIN_REFUSED) /* the library's words name another one */
        fault_set(&fault->why, kind,
                  "the server wants to be logged in to by a plugin that is not used here "
                  "(mysql_clear_password only where ssl-mode verifies the certificate)");
    else
        tell(fault, kind, without_prefix(text));
    reword_password(fault);
    fault->elsewhere = kind == FAULT_CONNECT || kind == FAULT_STARTING_UP;
    if (number == 3159)
        snprintf(fault->hint, sizeof fault->hint,
                 "the server takes this login over TLS alone: ssl-mode=REQUIRED");
}

/* --- statements ------------------------------------------------------------------ */

/* What stands between the quotes after `before`. */
static bool copy_quoted(char to[65], const char *text, const char *before, char quote)
{
    const char *from = strstr(text, before);
    if (!from)
        return false;
    from += strlen(before);
    const char *end = strchr(from, quote);
    if (!end || end == from)
        return false;
    snprintf(to, 65, "%.*s", (int)(end - from), from);
    return true;
}

static void find_constraint(struct db_fault *fault, const char *text)
{
    (void)(copy_quoted(fault->constraint, text, "CONSTRAINT `", '`') ||
           copy_quoted(fault->constraint, text, "for key '", '\'') ||
           copy_quoted(fault->constraint, text, "Check constraint '", '\''));
}

/* "… near 'TEXT' at line 2": the server quotes at most 80 bytes of what is left. */
static const char *find_near(const char *text, const char *sql)
{
    const char *near = strstr(text, " near '"), *end = near;
    if (!near)
        return NULL;
    near += 7;
    for (const char *at = near; (at = strstr(at, "' at line ")); at++)
        end = at;
    if (end < near)
        return NULL;
    size_t size = (size_t)(end - near);
    unsigned long line = strtoul(end + 10, NULL, 10);
    size_t whole = strlen(sql);
    if (size <= whole && memcmp(sql + whole - size, near, size) == 0)
        return sql + whole - size;
    for (; line > 1 && (sql = strchr(sql, '\n')); line--)
        sql++;
    if (size > 3 && sql && strncmp(end - 3, "...", 3) == 0)
        size -= 3;
    return sql ? memmem(sql, strlen(sql), near, size) : NULL;
}

static void find_position(struct db_fault *fault, const char *text, const char *sql)
{
    const char *at = find_near(text, sql);
    if (!at)
        return;
    fault->position = 1;
    for (; sql < at; sql++)
        fault->position += (*sql & 0xC0) != 0x80; /* characters */
}

void mysql_fault_of_statement(struct db_fault *fault, unsigned number, const char *state,
                              const char *text, const char *sql, bool read_only)
{
    begin(fault, number, state, "query");
    enum fault_kind kind = kind_of(number, state);
    if (kind == FAULT_READ_ONLY && !read_only)
        kind = FAULT_QUERY;
    if (kind == FAULT_IN_RECOVERY && read_only)
        kind = FAULT_READ_ONLY;
    if (kind == FAULT_IN_RECOVERY && !strstr(text, "read"))
        kind = FAULT_QUERY; /* 1290 names many options */
    if (kind == FAULT_CONSTRAINT)
        find_constraint(fault, text);
    if (kind == FAULT_SYNTAX && sql)
        find_position(fault, text, sql);
    fault->closed = !is_servers(number);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        fault->closed |= ends[i] == number;
    if (kind == FAULT_CLOSED)
        fault_set(&fault->why, kind, "the server closed the connection");
    else if (kind == FAULT_LIMIT)
        fault_set(&fault->why, kind,
                  "the server sends a message longer than a result may be (max_bytes)");
    else
        fault_set(&fault->why, kind, "%s", text[0] ? text : "no reason is given");
}
