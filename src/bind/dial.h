/* dial.h - from a host and a port to a connected descriptor: what every binding
 * that speaks over a byte stream begins with.
 *
 * Several addresses are tried as in RFC 8305: families alternate, the next one
 * starts when the last one failed or has not answered for 250 ms, the first that
 * connects wins.  One deadline covers lookup and connecting.  The policy is asked
 * for the name before the lookup and for each address before it is connected to.
 *
 * A host of "unix:/path" (or "unix:@name") is a Unix socket.
 *
 * Lives on the heap only while connecting: its owner frees it when it was told,
 * or before that to give up. */
#ifndef HOSPITAL_BIND_DIAL_H
#define HOSPITAL_BIND_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "bind/dns.h"

struct reactor;
struct dial;

struct dial_options {
    const char *host; /* a name, an address in any spelling, or unix:… */
    uint16_t port;    /* ignored for a Unix socket */
    int family;       /* AF_UNSPEC, AF_INET or AF_INET6 */
    uint64_t timeout_ns;
    union dns_address source; /* family AF_UNSPEC: the kernel chooses */
};

/* What is known of a connection, or of how far it came. */
struct dial_result {
    union dns_address remote;              /* family AF_UNIX for a Unix socket */
    uint64_t dns_ns, connect_ns, total_ns; /* durations; 0 when it did not come to that */
    const char *phase;                     /* "policy", "dns" or "connect": where it ended */
};

/* Told once, from the loop or from inside dial_start; the dial may not be freed
 * from inside.  why is NULL when dial_take_fd has something to give. */
typedef void dial_done_fn(void *owner, const struct fault *why);

/* Returns owned. */
struct dial *dial_new(struct reactor *reactor, const struct dial_options *options,
                      dial_done_fn *on_done, void *owner);
void dial_start(struct dial *dial);
void dial_free(struct dial *dial); /* closes all that was not taken; NULL is harmless */

const struct dial_result *dial_result(const struct dial *dial);
int dial_take_fd(struct dial *dial); /* returns owned: nonblocking, close-on-exec */

/* Whose fault it is that connecting failed: the target's, or this host's (what its
 * firewall forbids, what it has run out of). */
enum fault_kind dial_error_kind(int error);

/* "connection refused": errno in the operator's words. */
const char *dial_error_text(int error, char text[96]);

/* The same for an address of a network: EPERM and EACCES are this host's own firewall or route. */
const char *dial_network_error_text(int error, char text[96]);

#endif
