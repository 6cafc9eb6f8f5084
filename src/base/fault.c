/* fault.c - see fault.h. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fault_set(struct fault *why, enum fault_kind kind, const char *format, ...)
{
    why->kind = kind;
    va_list args;
    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    return false;
}

const char *fault_kind_name(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_NONE: return "none";
    case FAULT_DNS: return "dns";
    case FAULT_CONNECT: return "connect";
    case FAULT_TLS: return "tls";
    case FAULT_TIMEOUT: return "timeout";
    case FAULT_PROTOCOL: return "protocol";
    case FAULT_CLOSED: return "closed";
    case FAULT_LIMIT: return "limit";
    case FAULT_DENIED: return "denied";
    case FAULT_CANCELLED: return "cancelled";
    case FAULT_INTERNAL: return "internal";
    case FAULT_AUTHENTICATION: return "authentication";
    case FAULT_NO_DATABASE: return "no_database";
    case FAULT_TOO_MANY: return "too_many_connections";
    case FAULT_STARTING_UP: return "starting_up";
    case FAULT_IN_RECOVERY: return "in_recovery";
    case FAULT_KILLED: return "killed";
    case FAULT_LOCK_TIMEOUT: return "lock_timeout";
    case FAULT_STATEMENT_TIMEOUT: return "statement_timeout";
    case FAULT_DEADLOCK: return "deadlock";
    case FAULT_CONSTRAINT: return "constraint";
    case FAULT_QUERY: return "query";
    case FAULT_SYNTAX: return "syntax";
    case FAULT_READ_ONLY: return "read_only";
    }
    return "unknown";
}

enum fault_kind fault_kind_of(const char *name)
{
    for (int kind = FAULT_NONE + 1; kind <= FAULT_READ_ONLY; kind++)
        if (strcmp(fault_kind_name((enum fault_kind)kind), name) == 0)
            return (enum fault_kind)kind;
    return FAULT_NONE;
}

bool fault_is_ours(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_DENIED:
    case FAULT_INTERNAL:
    case FAULT_LIMIT:
    case FAULT_SYNTAX:
    case FAULT_READ_ONLY: return true;
    default: return false;
    }
}
