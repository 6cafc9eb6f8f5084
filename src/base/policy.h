/* policy.h - what checks may reach: the capabilities and their patterns.
 *
 * Five capabilities: `net`, `read` and `env` are on, `write` and `exec` are off.
 * `--allow CAP` allows all of one; `--allow CAP=pattern,...` allows just what
 * matches; `--deny CAP` and `--deny CAP=pattern,...` take away.  The order of
 * flags never matters:
 *
 *   1. a deny that matches wins over every allow;
 *   2. a bare allow allows all the rest;
 *   3. patterns, if there are any, allow just what matches (they narrow a
 *      capability that is on, and open one that is off);
 *   4. without any of these the default of the capability holds.
 *
 * Patterns of `net`:    10.0.0.0/8   192.0.2.7:443   fd00::/8   [::1]:8000-8099
 *                       db.example.com   *.example.com:443   *:443   unix:/run/app
 *   `*.example.com` is every name below example.com, not that name itself.
 *   `*` is every host; Unix sockets are named by `unix:` alone (prefixes, as for
 *   paths; abstract ones exactly, unix:@name).
 *   A pattern with ports says nothing about what has no port (ping).
 *   Names match the name that the check wrote, addresses what is connected to:
 *   a name allowed by name may resolve to any address that is not denied; any
 *   other name, only to addresses allowed by address.  Addresses are compared
 *   as numbers: ::ffff:127.0.0.1, 0x7f.1, 2130706433 and 0.0.0.0 (which
 *   connects to the host itself) are all 127.0.0.1.
 * Patterns of `read`, `write` and `exec`: absolute path prefixes, compared by
 *   whole components after symlinks are resolved on both sides.
 * Patterns of `env`: globs of names, `PG*`.
 *
 * A policy is filled while options are read and constant from then on.  Where
 * a query takes a policy, NULL means the defaults. */
#ifndef HOSPITAL_BASE_POLICY_H
#define HOSPITAL_BASE_POLICY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/fault.h"

enum capability {
    CAPABILITY_NET,
    CAPABILITY_READ,
    CAPABILITY_ENV,
    CAPABILITY_WRITE,
    CAPABILITY_EXEC,
    CAPABILITIES
};

struct pattern;

struct pattern_list {
    struct pattern *items;
    size_t count;
};

struct policy {
    struct {
        const char *allow_all, *deny_all; /* what said so, "--deny"; NULL: nothing did */
        struct pattern_list allow, deny;
    } of[CAPABILITIES];
};

void policy_init(struct policy *p);
void policy_fini(struct policy *p);

/* The value of one --allow or --deny: "net" or "net=10.0.0.0/8,*.example.com".
 * The fault names the flag, the pattern and how to mend it; what came before
 * the bad pattern has been taken. */
bool policy_allow(struct policy *p, const char *text, struct fault *why) CHECKED;
bool policy_deny(struct policy *p, const char *text, struct fault *why) CHECKED;

/* The same for either, with another name for the flag, which is kept: "HOSPITAL_DENY". */
bool policy_read(struct policy *p, bool allow, const char *origin, const char *text,
                 struct fault *why) CHECKED;

const char *capability_name(enum capability c);

/* Is anything of it allowed?  Is all of it? */
bool policy_has(const struct policy *p, enum capability c);
bool policy_is_narrowed(const struct policy *p, enum capability c);

/* Allowed paths of a narrowed capability, one by one; NULL after the last. */
const char *policy_allowed_path(const struct policy *p, enum capability c, size_t i);

/* Before a name is resolved: false when no address of it could be allowed.
 * name may be an address in any spelling, or in brackets.  Port 0: no port. */
bool policy_allows_host(const struct policy *p, const char *name, uint16_t port);

/* Before an address is connected to or sent to.  name is what the check wrote,
 * or NULL.  The port is the address's own (0: none). */
bool policy_allows_address(const struct policy *p, const struct sockaddr *address,
                           const char *name);

/* c is READ, WRITE or EXEC.  path may be relative and need not exist.  real,
 * unless NULL, gets the path with every symlink resolved: open that one, so
 * that a link changed meanwhile does not count. */
bool policy_allows_path(const struct policy *p, enum capability c, const char *path,
                        char real[PATH_MAX]);

static inline bool policy_allows_read(const struct policy *p, const char *path, char real[PATH_MAX])
{
    return policy_allows_path(p, CAPABILITY_READ, path, real);
}

bool policy_allows_env(const struct policy *p, const char *name);

/* Why the question of the same name was answered with no, for messages: "denied by --deny
 * net=10.0.0.0/8" when a deny matched, else the flag that opens it: "--allow net=shop:80 would
 * allow it".  Each returns reason. */
enum { POLICY_REASON_MAX = 240 };
const char *policy_why_host(const struct policy *p, const char *name, uint16_t port,
                            char reason[POLICY_REASON_MAX]);
const char *policy_why_address(const struct policy *p, const struct sockaddr *address,
                               const char *name, char reason[POLICY_REASON_MAX]);
const char *policy_why_path(const struct policy *p, enum capability c, const char *path,
                            char reason[POLICY_REASON_MAX]);

#endif
