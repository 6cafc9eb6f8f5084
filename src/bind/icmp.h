/* icmp.h - ICMP echoes: one socket per family for all pings of the process.
 *
 * A datagram socket where net.ipv4.ping_group_range allows it, else a raw one
 * where CAP_NET_RAW does, else FAULT_DENIED with the line that mends it.  Opened
 * when the first echo is sent.
 *
 * A reply counts when its sequence number is one in flight, it comes from the
 * address that was asked, has the length that was sent and carries that echo's
 * random token: late, doubled and forged ones are dropped.  The time is the
 * kernel's stamp of the reply, so a busy loop does not lengthen it.  What a
 * router or the kernel says of a request ("host unreachable") ends it at once.
 *
 * Bursts are sent in small lots with the replies read in between, and a full
 * send buffer is waited out, so neither loses an echo. */
#ifndef HOSPITAL_BIND_ICMP_H
#define HOSPITAL_BIND_ICMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/list.h"
#include "bind/dns.h"

struct reactor;
struct icmp_echo;
struct icmp_socket;

enum { ICMP_SIZE_MIN = 8, ICMP_SIZE_MAX = 65507 };

/* Told once, from the loop or from inside icmp_send: why is NULL and rtt_ns the
 * time, or why says that there will be no reply.  The echo may be reused or freed
 * from here on; other echoes may be cancelled. */
typedef void icmp_done_fn(struct icmp_echo *echo, const struct fault *why, uint64_t rtt_ns);

/* One request; embedded in its owner, zeroed at first. */
struct icmp_echo {
    struct list link;           /* while it waits to be sent */
    struct icmp_socket *socket; /* NULL unless waiting or in flight */
    icmp_done_fn *on_done;
    void *owner;
    union dns_address to;
    uint64_t token;
    uint64_t sent_ns, sent_epoch_ns; /* by the two clocks; 0: not yet */
    uint16_t size;                   /* bytes after the ICMP header */
    uint16_t sequence;
};

/* Sends echo->size bytes to echo->to as soon as the socket takes them.  It never
 * gives up: the owner cancels when it has waited enough. */
void icmp_send(struct reactor *reactor, struct icmp_echo *echo);

/* on_done will not be called any more; harmless when it is over. */
void icmp_cancel(struct icmp_echo *echo);

/* How the family's echoes are sent: "datagram", "raw", or NULL while no socket is
 * open. */
const char *icmp_mode(struct reactor *reactor, int family);

#endif
