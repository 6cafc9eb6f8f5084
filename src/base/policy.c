/* policy.c - see policy.h. */
#include "base/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/pattern.h"

static const struct {
    const char *name;
    bool on;
    bool (*parse)(struct pattern *, const char *, struct fault *);
} capabilities[CAPABILITIES] = {
    [CAPABILITY_NET] = {"net", true, pattern_parse_net},
    [CAPABILITY_READ] = {"read", true, pattern_parse_path},
    [CAPABILITY_ENV] = {"env", true, pattern_parse_env},
    [CAPABILITY_WRITE] = {"write", false, pattern_parse_path},
    [CAPABILITY_EXEC] = {"exec", false, pattern_parse_path},
};

static const struct policy defaults;

void policy_init(struct policy *p)
{
    memset(p, 0, sizeof *p);
}

static void list_free(struct pattern_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        pattern_fini(&list->items[i]);
    free(list->items);
}

void policy_fini(struct policy *p)
{
    for (int c = 0; c < CAPABILITIES; c++) {
        list_free(&p->of[c].allow);
        list_free(&p->of[c].deny);
    }
    policy_init(p);
}

const char *capability_name(enum capability c)
{
    return capabilities[c].name;
}

/* ---- reading flags ---- */

static bool find_capability(const char *name, size_t size, enum capability *out)
{
    for (int c = 0; c < CAPABILITIES; c++)
        if (strlen(capabilities[c].name) == size &&
            strncmp(capabilities[c].name, name, size) == 0) {
            *out = (enum capability)c;
            return true;
        }
    return false;
}

static bool add_pattern(struct pattern_list *list, enum capability c, const char *flag,
                        const char *text, struct fault *why)
{
    struct pattern one = {0};
    struct fault inner = {0};
    if (text[0] == '\0')
        return fault_set(why, FAULT_INTERNAL,
                         "%s %s=: a pattern is empty; leave the comma away, or write %s %s for all "
                         "of it",
                         flag, capabilities[c].name, flag, capabilities[c].name);
    if (!capabilities[c].parse(&one, text, &inner))
        return fault_set(why, FAULT_INTERNAL, "%s %s=%.100s: %s", flag, capabilities[c].name, text,
                         inner.message);
    list->items = memory_resize(list->items, (list->count + 1) * sizeof *list->items);
    one.source = memory_copy(text, strlen(text));
    one.origin = flag;
    list->items[list->count++] = one;
    return true;
}

static bool add_patterns(struct pattern_list *list, enum capability c, const char *flag,
                         const char *text, struct fault *why)
{
    bool ok = true, more = true;
    while (ok && more) {
        size_t size = strcspn(text, ",");
        char *one = memory_copy(text, size);
        ok = add_pattern(list, c, flag, one, why);
        free(one);
        more = text[size] == ',';
        text += size + more;
    }
    return ok;
}

bool policy_read(struct policy *p, bool allow, const char *flag, const char *text,
                 struct fault *why)
{
    enum capability c;
    size_t size = strcspn(text, "=");
    if (!find_capability(text, size, &c))
        return fault_set(why, FAULT_INTERNAL,
                         "%s %.100s: there is no such capability; they are net, read, env, write "
                         "and exec",
                         flag, text);
    if (text[size] == '=')
        return add_patterns(allow ? &p->of[c].allow : &p->of[c].deny, c, flag, text + size + 1,
                            why);
    *(allow ? &p->of[c].allow_all : &p->of[c].deny_all) = flag;
    return true;
}

bool policy_allow(struct policy *p, const char *text, struct fault *why)
{
    return policy_read(p, true, "--allow", text, why);
}

bool policy_deny(struct policy *p, const char *text, struct fault *why)
{
    return policy_read(p, false, "--deny", text, why);
}

/* ---- what is on ---- */

bool policy_has(const struct policy *p, enum capability c)
{
    p = p ? p : &defaults;
    return !p->of[c].deny_all && (p->of[c].allow_all || p->of[c].allow.count || capabilities[c].on);
}

/* Only asked when no deny matched. */
static bool allows_everything(const struct policy *p, enum capability c)
{
    return p->of[c].allow_all || (p->of[c].allow.count == 0 && capabilities[c].on);
}

bool policy_is_narrowed(const struct policy *p, enum capability c)
{
    p = p ? p : &defaults;
    return policy_has(p, c) && (!allows_everything(p, c) || p->of[c].deny.count);
}

const char *policy_allowed_path(const struct policy *p, enum capability c, size_t i)
{
    p = p ? p : &defaults;
    if (!policy_has(p, c))
        return NULL;
    if (allows_everything(p, c))
        return i == 0 ? "/" : NULL;
    return i < p->of[c].allow.count ? p->of[c].allow.items[i].text : NULL;
}

/* ---- the network ---- */

static const struct pattern *name_listed(const struct pattern_list *list, const char *name,
                                         uint16_t port)
{
    for (size_t i = 0; i < list->count; i++)
        if (pattern_covers_port(&list->items[i], port) &&
            pattern_matches_name(&list->items[i], name))
            return &list->items[i];
    return NULL;
}

static const struct pattern *address_listed(const struct pattern_list *list,
                                            const struct address *address, uint16_t port)
{
    for (size_t i = 0; i < list->count; i++)
        if (pattern_covers_port(&list->items[i], port) &&
            pattern_matches_address(&list->items[i], address))
            return &list->items[i];
    return NULL;
}

/* Might a name that no pattern names resolve to something allowed? */
static bool some_address_listed(const struct pattern_list *list, uint16_t port)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind == PATTERN_ADDRESS && pattern_covers_port(&list->items[i], port))
            return true;
    return false;
}

static bool decide_address(const struct policy *p, const struct address *address, uint16_t port,
                           const char *name)
{
    const struct pattern_list *allow = &p->of[CAPABILITY_NET].allow;
    const struct pattern_list *deny = &p->of[CAPABILITY_NET].deny;
    if (!policy_has(p, CAPABILITY_NET) || address_listed(deny, address, port) ||
        (name && name_listed(deny, name, port)))
        return false;
    return allows_everything(p, CAPABILITY_NET) || address_listed(allow, address, port) ||
           (name && name_listed(allow, name, port));
}

bool policy_allows_host(const struct policy *p, const char *name, uint16_t port)
{
    p = p ? p : &defaults;
    const struct pattern_list *allow = &p->of[CAPABILITY_NET].allow;
    struct address address;
    if (address_from_text(&address, name))
        return decide_address(p, &address, port, NULL);
    if (!policy_has(p, CAPABILITY_NET) || name_listed(&p->of[CAPABILITY_NET].deny, name, port))
        return false;
    return allows_everything(p, CAPABILITY_NET) || name_listed(allow, name, port) ||
           some_address_listed(allow, port);
}

static const struct pattern *unix_listed(const struct pattern_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct pattern *one = &list->items[i];
        if (one->kind != PATTERN_UNIX)
            continue;
        if (one->text[0] == '@' ? strcmp(one->text, path) == 0 : pattern_matches_path(one, path))
            return one;
    }
    return NULL;
}

static bool path_resolve(const char *path, char out[PATH_MAX]);

/* The resolved path; abstract names are compared as "@name" to their first NUL. */
static bool unix_path(const struct sockaddr *address, char real[PATH_MAX])
{
    struct sockaddr_un un;
    char path[sizeof un.sun_path + 1] = {0};
    memcpy(&un, address, sizeof un);
    memcpy(path, un.sun_path, sizeof un.sun_path);
    if (path[0] != '\0')
        return path_resolve(path, real);
    path[0] = '@';
    snprintf(real, PATH_MAX, "%s", path);
    return true;
}

static bool decide_unix(const struct policy *p, const struct sockaddr *address)
{
    char real[PATH_MAX];
    if (!unix_path(address, real))
        return false;
    return policy_has(p, CAPABILITY_NET) && !unix_listed(&p->of[CAPABILITY_NET].deny, real) &&
           (allows_everything(p, CAPABILITY_NET) ||
            unix_listed(&p->of[CAPABILITY_NET].allow, real));
}

bool policy_allows_address(const struct policy *p, const struct sockaddr *address, const char *name)
{
    p = p ? p : &defaults;
    struct address number;
    uint16_t port;
    if (address->sa_family == AF_UNIX)
        return decide_unix(p, address);
    return address_from_sockaddr(&number, address, &port) && decide_address(p, &number, port, name);
}

/* ---- paths ---- */

/* Splits the last component off in place; NULL when there is none. */
static char *cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || strcmp(path, "/") == 0)
        return NULL;
    *slash = '\0';
    return slash + 1;
}

/* realpath, but the end of the path need not exist.  False for a link that
 * leads nowhere (what would be made behind it is unknown) and for '..' behind
 * what does not exist. */
static bool path_resolve(const char *path, char out[PATH_MAX])
{
    char head[PATH_MAX], tail[PATH_MAX] = "", joined[PATH_MAX];
    struct stat status;
    if (snprintf(head, sizeof head, "%s%s", path[0] == '/' ? "" : "./", path) >= PATH_MAX)
        return false;
    while (!realpath(head[0] ? head : "/", out)) {
        if (errno != ENOENT || lstat(head, &status) == 0)
            return false;
        char *name = cut_last(head);
        if (!name || strcmp(name, "..") == 0 ||
            snprintf(joined, sizeof joined, "/%s%s", name, tail) >= PATH_MAX)
            return false;
        memcpy(tail, joined, strlen(joined) + 1);
    }
    size_t size = strcmp(out, "/") == 0 ? 0 : strlen(out);
    if (size + strlen(tail) >= PATH_MAX)
        return false;
    if (tail[0])
        memcpy(out + size, tail, strlen(tail) + 1);
    return true;
}

static const struct pattern *path_listed(const struct pattern_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++)
        if (pattern_matches_path(&list->items[i], path))
            return &list->items[i];
    return NULL;
}

bool policy_allows_path(const struct policy *p, enum capability c, const char *path,
                        char real[PATH_MAX])
{
    char own[PATH_MAX];
    p = p ? p : &defaults;
    real = real ? real : own;
    if (!policy_has(p, c) || strlen(path) >= PATH_MAX)
        return false;
    if (!path_resolve(path, real)) {
        /* Nothing to protect: let the caller meet the true error of opening it. */
        memcpy(real, path, strlen(path) + 1);
        return allows_everything(p, c) && p->of[c].deny.count == 0;
    }
    return !path_listed(&p->of[c].deny, real) &&
           (allows_everything(p, c) || path_listed(&p->of[c].allow, real));
}

/* ---- the environment ---- */

static bool glob_listed(const struct pattern_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (fnmatch(list->items[i].text, name, 0) == 0)
            return true;
    return false;
}

bool policy_allows_env(const struct policy *p, const char *name)
{
    p = p ? p : &defaults;
    return policy_has(p, CAPABILITY_ENV) && !glob_listed(&p->of[CAPABILITY_ENV].deny, name) &&
           (allows_everything(p, CAPABILITY_ENV) ||
            glob_listed(&p->of[CAPABILITY_ENV].allow, name));
}

/* ---- why not ---- */

/* True when a deny is the reason: the whole capability's, or pattern. */
static bool tell_deny(const struct policy *p, enum capability c, const struct pattern *pattern,
                      char reason[POLICY_REASON_MAX])
{
    const char *name = capabilities[c].name;
    if (p->of[c].deny_all)
        snprintf(reason, POLICY_REASON_MAX, "denied by %s %s", p->of[c].deny_all, name);
    else if (pattern)
        snprintf(reason, POLICY_REASON_MAX, "denied by %s %s=%.160s", pattern->origin, name,
                 pattern->source);
    return p->of[c].deny_all || pattern;
}

static void tell_allow(enum capability c, const char *what, char reason[POLICY_REASON_MAX])
{
    snprintf(reason, POLICY_REASON_MAX, "--allow %s=%.180s would allow it", capabilities[c].name,
             what);
}

/* host:port as a pattern has it, with brackets around IPv6 and without its zone. */
static void tell_allow_host(const char *name, uint16_t port, char reason[POLICY_REASON_MAX])
{
    char what[180], tail[8] = "";
    bool brackets = name[0] == '[';
    const char *host = name + brackets;
    size_t size = strcspn(host, brackets ? "]%" : "%");
    bool v6 = memchr(host, ':', size);
    if (port)
        snprintf(tail, sizeof tail, ":%u", port);
    snprintf(what, sizeof what, "%s%.*s%s%s", v6 && port ? "[" : "", (int)(size < 160 ? size : 160),
             host, v6 && port ? "]" : "", tail);
    tell_allow(CAPABILITY_NET, what, reason);
}

const char *policy_why_host(const struct policy *p, const char *name, uint16_t port,
                            char reason[POLICY_REASON_MAX])
{
    p = p ? p : &defaults;
    const struct pattern_list *deny = &p->of[CAPABILITY_NET].deny;
    struct address address;
    const struct pattern *pattern = address_from_text(&address, name)
                                        ? address_listed(deny, &address, port)
                                        : name_listed(deny, name, port);
    if (!tell_deny(p, CAPABILITY_NET, pattern, reason))
        tell_allow_host(name, port, reason);
    return reason;
}

static void why_unix(const struct policy *p, const struct sockaddr *address,
                     char reason[POLICY_REASON_MAX])
{
    char real[PATH_MAX], what[PATH_MAX + 8];
    bool known = unix_path(address, real);
    const struct pattern *deny = known ? unix_listed(&p->of[CAPABILITY_NET].deny, real) : NULL;
    if (tell_deny(p, CAPABILITY_NET, deny, reason))
        return;
    if (!known) {
        snprintf(reason, POLICY_REASON_MAX, "its path leads nowhere");
        return;
    }
    snprintf(what, sizeof what, "unix:%s", real);
    tell_allow(CAPABILITY_NET, what, reason);
}

const char *policy_why_address(const struct policy *p, const struct sockaddr *address,
                               const char *name, char reason[POLICY_REASON_MAX])
{
    p = p ? p : &defaults;
    const struct pattern_list *deny = &p->of[CAPABILITY_NET].deny;
    struct address number;
    uint16_t port;
    char text[INET6_ADDRSTRLEN] = "";
    if (!address_from_sockaddr(&number, address, &port)) {
        why_unix(p, address, reason);
        return reason;
    }
    const struct pattern *pattern = address_listed(deny, &number, port);
    if (!pattern && name)
        pattern = name_listed(deny, name, port);
    if (tell_deny(p, CAPABILITY_NET, pattern, reason))
        return reason;
    inet_ntop(number.bits == 32 ? AF_INET : AF_INET6, number.bytes, text, sizeof text);
    tell_allow_host(name ? name : text, port, reason);
    return reason;
}

const char *policy_why_path(const struct policy *p, enum capability c, const char *path,
                            char reason[POLICY_REASON_MAX])
{
    char real[PATH_MAX];
    p = p ? p : &defaults;
    bool known = strlen(path) < PATH_MAX && path_resolve(path, real);
    if (tell_deny(p, c, known ? path_listed(&p->of[c].deny, real) : NULL, reason))
        return reason;
    if (known)
        tell_allow(c, real, reason);
    else
        snprintf(reason, POLICY_REASON_MAX, "its path leads nowhere");
    return reason;
}
