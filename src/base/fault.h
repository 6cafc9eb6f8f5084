/* fault.h - why an operation did not succeed.
 *
 * A fault is filled once, where it happened.  Its kind is what code decides
 * on; its message is what a person reads and names the thing and the place. */
#ifndef HOSPITAL_BASE_FAULT_H
#define HOSPITAL_BASE_FAULT_H

#include <stdbool.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_DNS,       /* the name did not resolve */
    FAULT_CONNECT,   /* refused, unreachable, reset while connecting */
    FAULT_TLS,       /* handshake or certificate */
    FAULT_TIMEOUT,   /* the operation's own timeout, not the check's deadline */
    FAULT_PROTOCOL,  /* the peer answered something that is not the protocol */
    FAULT_CLOSED,    /* the peer closed or reset in the middle */
    FAULT_LIMIT,     /* one of our own limits: size, redirects, memory */
    FAULT_DENIED,    /* a capability or the host's configuration forbids it */
    FAULT_CANCELLED, /* the check ended first */
    FAULT_INTERNAL,  /* ours: out of descriptors, a library that misbehaves */

    /* what servers that people log in to, and databases, have besides */
    FAULT_AUTHENTICATION,    /* who we are, or that we may */
    FAULT_NO_DATABASE,       /* there is none of that name */
    FAULT_TOO_MANY,          /* its connections are all in use */
    FAULT_STARTING_UP,       /* or shutting down: it takes no logins now */
    FAULT_IN_RECOVERY,       /* a standby cannot do that */
    FAULT_KILLED,            /* the server or its administrator ended the session or statement */
    FAULT_LOCK_TIMEOUT,      /* somebody else holds the lock */
    FAULT_STATEMENT_TIMEOUT, /* the server gave up by the time limit that we set */
    FAULT_DEADLOCK,          /* or could not be serialized: trying again may help */
    FAULT_CONSTRAINT,        /* the data does not allow it */
    FAULT_QUERY,             /* whatever else the server refused */
    FAULT_SYNTAX,            /* the check's own: what it wrote is no SQL */
    FAULT_READ_ONLY,         /* the check's own: it wrote without asking for it */
};

enum { FAULT_MESSAGE_MAX = 480 };

struct fault {
    enum fault_kind kind;
    char message[FAULT_MESSAGE_MAX]; /* cut, never overrun; always terminated */
};

/* Fills *why; always returns false so that a caller can `return fault_set(...)`. */
bool fault_set(struct fault *why, enum fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "dns", "connect", ... : the word used in results and in Lua. */
const char *fault_kind_name(enum fault_kind kind);

/* The kind of that name; FAULT_NONE when there is none. */
enum fault_kind fault_kind_of(const char *name);

/* True when the check or its host is at fault and not the target: the verdict
 * is then `error` and not `fail`. */
bool fault_is_ours(enum fault_kind kind);

#define CHECKED __attribute__((warn_unused_result))

#endif
