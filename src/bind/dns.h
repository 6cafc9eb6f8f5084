/* dns.h - names into addresses, for every binding that connects.
 *
 * One c-ares channel a process, on the loop: no threads, a handful of
 * descriptors, however many names.  Equal lookups in flight are one lookup.
 * Answers are kept for their TTL, but for no less than a second (one burst of
 * checks is one question) and no more than ten (a check must see a change);
 * failures are never kept.
 *
 * Addresses (also in brackets, scoped, or in the old spellings of inet_aton) and
 * localhost are answered without asking anyone; /etc/hosts is honoured.
 *
 * HOSPITAL_NAMESERVER ("192.0.2.1:53,...") replaces the nameservers of
 * /etc/resolv.conf, for the whole process.
 *
 * Whether an address may be reached is not asked here: that is the caller's. */
#ifndef HOSPITAL_BIND_DNS_H
#define HOSPITAL_BIND_DNS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/fault.h"
#include "base/list.h"
#include "loop/timer.h"

struct reactor;
struct dns_lookup;

enum { DNS_ADDRESSES_MAX = 16, DNS_NAME_MAX = 255 };

union dns_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Told once: why is NULL and addresses[0..count) are the caller's to copy, the
 * preferred one first; or why says what went wrong and count is 0.  The query may
 * be reused or freed from here on. */
typedef void dns_done_fn(void *owner, const struct fault *why, const union dns_address *addresses,
                         unsigned count);

/* One who waits; embedded in its owner, zeroed at first. */
struct dns_query {
    struct list link;
    struct dns_lookup *lookup; /* NULL unless waiting */
    struct timer timeout;
    uint64_t timeout_ns;
    dns_done_fn *on_done;
    void *owner;
};

/* Asks for the addresses of name; family is AF_INET, AF_INET6 or AF_UNSPEC,
 * timeout_ns 0 means 5 s.  on_done may be called before this returns (an
 * address, a cached answer); it is never called inside c-ares. */
void dns_resolve(struct reactor *reactor, struct dns_query *query, const char *name, int family,
                 uint64_t timeout_ns, dns_done_fn *on_done, void *owner);

/* on_done will not be called any more; harmless when not waiting. */
void dns_cancel(struct reactor *reactor, struct dns_query *query);

/* Replaces the nameservers ("127.0.0.1:5353,[::1]:53") and forgets what is
 * cached.  False when they are not understood, or while a lookup is in flight. */
bool dns_set_servers(struct reactor *reactor, const char *servers, struct fault *why) CHECKED;

/* The address that text spells, if it spells one; port 0. */
bool dns_parse_address(const char *text, union dns_address *address);

/* "10.0.0.1" or "2001:db8::1" (no brackets, no port) into text. */
const char *dns_format_address(const struct sockaddr *address, char text[64]);

#endif
