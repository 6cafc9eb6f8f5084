/* pattern.h - one pattern of a policy: parsing and matching, no decisions.
 *
 * Private to policy.c, which says what the kinds mean. */
#ifndef HOSPITAL_BASE_PATTERN_H
#define HOSPITAL_BASE_PATTERN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* An address as it is compared: 4 or 16 bytes, mapped and unspecified ones
 * turned into what they reach. */
struct address {
    unsigned char bytes[16];
    unsigned bits; /* 32 or 128 */
};

enum pattern_kind {
    PATTERN_ANY,     /* "*": every host */
    PATTERN_ADDRESS, /* an address, or a prefix of one */
    PATTERN_NAME,    /* a host name */
    PATTERN_BELOW,   /* "*.example.com" */
    PATTERN_UNIX,    /* "unix:/path" or "unix:@name" */
    PATTERN_PATH,
    PATTERN_GLOB
};

struct pattern {
    enum pattern_kind kind;
    char *text;             /* owned: the name, path or glob; else NULL */
    char *source;           /* owned: as it was written; the caller sets it, may be NULL */
    const char *origin;     /* "--deny", "HOSPITAL_DENY"; borrowed, the caller sets it */
    struct address address; /* ADDRESS */
    unsigned bits;          /* how many of its bits count */
    uint16_t first, last;   /* ports; 0 and 0: with or without any */
};

/* Each fills *out, which then owns its text.  The message of a fault says what
 * is wrong and what to write instead; the caller adds flag and pattern. */
bool pattern_parse_net(struct pattern *out, const char *text, struct fault *why) CHECKED;
bool pattern_parse_path(struct pattern *out, const char *text, struct fault *why) CHECKED;
bool pattern_parse_env(struct pattern *out, const char *text, struct fault *why) CHECKED;
void pattern_fini(struct pattern *p);

bool pattern_covers_port(const struct pattern *p, uint16_t port);
bool pattern_matches_name(const struct pattern *p, const char *name);
bool pattern_matches_address(const struct pattern *p, const struct address *address);

/* path is resolved already (path_resolve). */
bool pattern_matches_path(const struct pattern *p, const char *path);

/* From a sockaddr of either family; false for any other. */
bool address_from_sockaddr(struct address *out, const struct sockaddr *from, uint16_t *port);

/* From text, in whatever spelling the C library takes: "0x7f.1", "[::1]". */
bool address_from_text(struct address *out, const char *text);

#endif
