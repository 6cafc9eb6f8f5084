/* dial.c - see dial.h.
 *
 * An attempt is one socket on its way.  At most one is started at a time; those
 * that are slow stay in the race while the next ones start.  The message of a
 * failure names each address with its own reason. */
#include "bind/dial.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/policy.h"
#include "loop/reactor.h"

static const uint64_t stagger_ns = 250 * NS_PER_MS;
static const uint64_t full_backlog_ns = 5 * NS_PER_MS; /* a Unix listener: try again after */

struct attempt {
    struct dial *dial;
    struct watch *watch;
    int fd; /* -1: none */
    uint64_t began_ns;
};

struct dial {
    struct reactor *reactor;
    dial_done_fn *on_done;
    void *owner;
    struct dns_query query;
    struct timer deadline, next; /* next: another address, or a Unix socket again */
    struct dial_options options; /* host is the copy below */
    struct dial_result result;
    union dns_address addresses[DNS_ADDRESSES_MAX];
    struct attempt attempts[DNS_ADDRESSES_MAX];
    unsigned count, started, running;
    uint64_t began_ns, resolved_ns;
    int fd;                /* connected; -1: none */
    bool done, denied;     /* some addresses were left out by the policy */
    enum fault_kind worst; /* of the attempts that failed */
    struct buffer reasons; /* one an address */
    char first_reason[POLICY_REASON_MAX];
    char host[];
};

static void start_next(struct dial *dial);
static void start_unix(struct dial *dial);

const char *dial_error_text(int error, char text[96])
{
    snprintf(text, 96, "%s", strerror(error));
    text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}

const char *dial_network_error_text(int error, char text[96])
{
    static const char ours[] = "this host does not permit it (firewall or route): ";
    char reason[96];
    dial_error_text(error, reason);
    snprintf(text, 96, "%s%.40s", error == EPERM || error == EACCES ? ours : "", reason);
    return text;
}

static bool is_unix(const struct dial *dial)
{
    return strncmp(dial->host, "unix:", 5) == 0;
}

/* --- how it ends ---------------------------------------------------------- */

static void close_attempt(struct attempt *attempt)
{
    if (attempt->fd < 0)
        return;
    loop_unwatch(attempt->watch);
    attempt->watch = NULL;
    close(attempt->fd);
    attempt->fd = -1;
    attempt->dial->running--;
}

static void stop(struct dial *dial)
{
    dns_cancel(dial->reactor, &dial->query);
    loop_timer_disarm(&dial->reactor->loop, &dial->deadline);
    loop_timer_disarm(&dial->reactor->loop, &dial->next);
    for (unsigned i = 0; i < dial->started; i++)
        close_attempt(&dial->attempts[i]);
}

static void finish(struct dial *dial, const struct fault *why)
{
    if (dial->done)
        return;
    dial->done = true;
    uint64_t now_ns = clock_now_ns();
    dial->result.total_ns = now_ns - dial->began_ns;
    if (why && !dial->resolved_ns)
        dial->result.dns_ns = dial->result.total_ns;
    else if (why)
        dial->result.connect_ns = now_ns - dial->resolved_ns;
    stop(dial);
    dial->on_done(dial->owner, why);
}

/* address: NULL when the name alone is enough to refuse it. */
static void deny(struct dial *dial, const struct sockaddr *address)
{
    const struct policy *policy = dial->reactor->policy;
    struct fault why;
    char text[64] = "", reason[POLICY_REASON_MAX];
    if (address) {
        dns_format_address(address, text);
        policy_why_address(policy, address, is_unix(dial) ? NULL : dial->host, reason);
    } else
        policy_why_host(policy, dial->host, dial->options.port, reason);
    dial->result.phase = "policy";
    fault_set(&why, FAULT_DENIED, "connecting to %s is not allowed: %s",
              text[0] && strcmp(text, dial->host) != 0 ? text : "it", reason);
    finish(dial, &why);
}

static void succeed(struct attempt *attempt)
{
    struct dial *dial = attempt->dial;
    uint64_t now_ns = clock_now_ns();
    dial->fd = attempt->fd;
    loop_unwatch(attempt->watch);
    attempt->watch = NULL;
    attempt->fd = -1;
    dial->running--;
    dial->result.connect_ns = now_ns - attempt->began_ns;
    dial->result.remote = dial->addresses[attempt - dial->attempts];
    finish(dial, NULL);
}

enum fault_kind dial_error_kind(int error)
{
    switch (error) {
    case ETIMEDOUT: return FAULT_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL: return FAULT_INTERNAL;
    case EPERM:
    case EACCES: return FAULT_DENIED;
    default: return FAULT_CONNECT;
    }
}

/* "10.0.0.1: connection refused, 10.0.0.2: no route to host" */
static void note_reason(struct dial *dial, const char *address, const char *reason)
{
    if (!dial->first_reason[0])
        snprintf(dial->first_reason, sizeof dial->first_reason, "%s", reason);
    buffer_addf(&dial->reasons, "%s%s: %s", dial->reasons.size ? ", " : "", address, reason);
}

/* Addresses are named where the author wrote none, or there were several.  When the
 * policy left some out, those might have answered: nothing is known of the target. */
static void fail_for_good(struct dial *dial)
{
    struct fault why;
    union dns_address literal;
    if (dial->denied)
        dial->worst = FAULT_DENIED;
    if (dial->count > 1 || dial->denied)
        fault_set(&why, dial->worst, "%.*s", (int)dial->reasons.size, dial->reasons.data);
    else if (is_unix(dial) || dns_parse_address(dial->host, &literal))
        fault_set(&why, dial->worst, "%s", dial->first_reason);
    else {
        char text[64];
        fault_set(&why, dial->worst, "%s (%s)", dial->first_reason,
                  dns_format_address(&dial->addresses[0].any, text));
    }
    finish(dial, &why);
}

static void on_deadline(struct timer *timer)
{
    struct dial *dial = list_entry(timer, struct dial, deadline);
    char reason[64], text[64];
    double seconds = (double)dial->options.timeout_ns / (double)NS_PER_S;
    if (!dial->resolved_ns) {
        struct fault why;
        fault_set(&why, FAULT_DNS, "no address within %.4g s", seconds);
        finish(dial, &why);
        return;
    }
    dial->worst = FAULT_TIMEOUT;
    snprintf(reason, sizeof reason, "no connection within %.4g s", seconds);
    if (is_unix(dial))
        note_reason(dial, dial->host, reason);
    for (unsigned i = 0; i < dial->started && !is_unix(dial); i++)
        if (dial->attempts[i].fd >= 0)
            note_reason(dial, dns_format_address(&dial->addresses[i].any, text), reason);
    fail_for_good(dial);
}

/* What is the target's outweighs what is ours: one address refused us. */
static void fail_attempt(struct dial *dial, const char *address, int error)
{
    char text[96];
    enum fault_kind kind = dial_error_kind(error);
    if (dial->worst == FAULT_NONE || fault_is_ours(dial->worst))
        dial->worst = kind;
    note_reason(dial, address,
                is_unix(dial) ? dial_error_text(error, text)
                              : dial_network_error_text(error, text));
}

/* --- addresses ------------------------------------------------------------ */

static bool bind_source(const struct dial *dial, int fd, int family)
{
    const union dns_address *source = &dial->options.source;
    if (source->any.sa_family == AF_UNSPEC)
        return true;
    if (source->any.sa_family != family) {
        errno = EADDRNOTAVAIL;
        return false;
    }
    socklen_t size = family == AF_INET6 ? sizeof source->v6 : sizeof source->v4;
    return bind(fd, &source->any, size) == 0;
}

/* A port of the range for outgoing connections that nobody listens on may get
 * connected to itself: that is no answer. */
static bool is_connected_to_itself(int fd)
{
    union dns_address own = {0}, peer = {0};
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    if (getsockname(fd, &own.any, &own_size) != 0 || getpeername(fd, &peer.any, &peer_size) != 0)
        return false;
    if (own.any.sa_family == AF_INET)
        return own.v4.sin_port == peer.v4.sin_port &&
               own.v4.sin_addr.s_addr == peer.v4.sin_addr.s_addr;
    return own.any.sa_family == AF_INET6 && own.v6.sin6_port == peer.v6.sin6_port &&
           memcmp(&own.v6.sin6_addr, &peer.v6.sin6_addr, sizeof own.v6.sin6_addr) == 0;
}

static int error_of(int fd, int status)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return errno;
    if (error == 0 && status < 0)
        return -status;
    return error == 0 && is_connected_to_itself(fd) ? ECONNREFUSED : error;
}

static void on_writable(void *owner, int status, int events)
{
    (void)events;
    struct attempt *attempt = owner;
    struct dial *dial = attempt->dial;
    int error = error_of(attempt->fd, status);
    if (error == 0) {
        succeed(attempt);
        return;
    }
    char text[64];
    close_attempt(attempt);
    fail_attempt(dial, dns_format_address(&dial->addresses[attempt - dial->attempts].any, text),
                 error);
    start_next(dial);
}

/* False with errno when the attempt failed at once. */
static bool start_attempt(struct dial *dial, struct attempt *attempt,
                          const union dns_address *address)
{
    int family = address->any.sa_family;
    attempt->dial = dial;
    attempt->began_ns = clock_now_ns();
    attempt->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0)
        return false;
    dial->running++;
    socklen_t size = family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
    if (!bind_source(dial, attempt->fd, family) ||
        (connect(attempt->fd, &address->any, size) != 0 && errno != EINPROGRESS)) {
        int error = errno;
        close_attempt(attempt);
        errno = error;
        return false;
    }
    attempt->watch =
        loop_watch(&dial->reactor->loop, attempt->fd, LOOP_WRITE, on_writable, attempt);
    if (!attempt->watch) {
        close_attempt(attempt);
        errno = ENOMEM;
        return false;
    }
    return true;
}

/* Starts the next address that does not fail at once; when there is none left
 * and nothing runs, all is over. */
static void start_next(struct dial *dial)
{
    char text[64];
    loop_timer_disarm(&dial->reactor->loop, &dial->next);
    while (!dial->done && dial->started < dial->count) {
        const union dns_address *address = &dial->addresses[dial->started];
        struct attempt *attempt = &dial->attempts[dial->started++];
        if (start_attempt(dial, attempt, address)) {
            if (dial->started < dial->count)
                loop_timer_arm(&dial->reactor->loop, &dial->next, clock_now_ns() + stagger_ns);
            return;
        }
        fail_attempt(dial, dns_format_address(&address->any, text), errno);
    }
    if (!dial->done && dial->running == 0)
        fail_for_good(dial);
}

static void on_next_due(struct timer *timer)
{
    struct dial *dial = list_entry(timer, struct dial, next);
    if (is_unix(dial))
        start_unix(dial);
    else
        start_next(dial);
}

/* The index of the first address from `from` on whose family is (or is not)
 * `family`; count when there is none. */
static unsigned find_family(const union dns_address *list, const bool *taken, unsigned count,
                            int family, bool same)
{
    for (unsigned i = 0; i < count; i++)
        if (!taken[i] && (list[i].any.sa_family == family) == same)
            return i;
    return count;
}

static void take_address(struct dial *dial, const union dns_address *from)
{
    union dns_address *to = &dial->addresses[dial->count];
    *to = *from;
    if (to->any.sa_family == AF_INET6)
        to->v6.sin6_port = htons(dial->options.port);
    else
        to->v4.sin_port = htons(dial->options.port);
    if (policy_allows_address(dial->reactor->policy, &to->any, dial->host)) {
        dial->count++;
        return;
    }
    char text[64], reason[POLICY_REASON_MAX];
    dial->denied = true;
    policy_why_address(dial->reactor->policy, &to->any, dial->host, reason);
    note_reason(dial, dns_format_address(&to->any, text), reason);
}

/* The allowed ones, families in turn, beginning with the resolver's favourite. */
static void take_addresses(struct dial *dial, const union dns_address *list, unsigned count)
{
    bool taken[DNS_ADDRESSES_MAX] = {false};
    int family = list[0].any.sa_family;
    bool same = true;
    for (unsigned n = 0; n < count; n++, same = !same) {
        unsigned i = find_family(list, taken, count, family, same);
        if (i == count)
            i = find_family(list, taken, count, family, !same);
        taken[i] = true;
        take_address(dial, &list[i]);
    }
}

static void on_resolved(void *owner, const struct fault *why, const union dns_address *addresses,
                        unsigned count)
{
    struct dial *dial = owner;
    if (why) {
        finish(dial, why);
        return;
    }
    dial->resolved_ns = clock_now_ns();
    dial->result.dns_ns = dial->resolved_ns - dial->began_ns;
    dial->result.phase = "connect";
    take_addresses(dial, addresses, count);
    if (dial->count > 0)
        start_next(dial);
    else
        deny(dial, &dial->addresses[0].any); /* the last that was looked at, with its port */
}

/* --- Unix sockets --------------------------------------------------------- */

static bool unix_address(const char *path, struct sockaddr_un *address, socklen_t *size)
{
    size_t length = strlen(path);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof address->sun_path)
        return false;
    memcpy(address->sun_path, path, length);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') { /* an abstract name: its length counts, no NUL ends it */
        address->sun_path[0] = '\0';
        *size -= 1;
    }
    return true;
}

/* Connecting to one is immediate, but for a listener whose backlog is full: that
 * is EAGAIN, and nothing tells when it is over. */
static void start_unix(struct dial *dial)
{
    struct sockaddr_un address;
    socklen_t size = 0;
    struct attempt *attempt = &dial->attempts[0];
    bool named = unix_address(dial->host + 5, &address, &size);
    if (named && !policy_allows_address(dial->reactor->policy, (struct sockaddr *)&address, NULL)) {
        deny(dial, (struct sockaddr *)&address);
        return;
    }
    dial->started = dial->count = 1;
    *attempt = (struct attempt){.dial = dial, .fd = -1, .began_ns = dial->resolved_ns};
    int error = named ? 0 : ENAMETOOLONG;
    if (named) {
        attempt->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        dial->running += attempt->fd >= 0;
        if (attempt->fd < 0 || connect(attempt->fd, (struct sockaddr *)&address, size) != 0)
            error = errno;
    }
    if (error == 0) {
        dial->addresses[0].any.sa_family = AF_UNIX;
        succeed(attempt);
        return;
    }
    close_attempt(attempt);
    if (error == EAGAIN) {
        loop_timer_arm(&dial->reactor->loop, &dial->next, clock_now_ns() + full_backlog_ns);
        return;
    }
    fail_attempt(dial, dial->host, error);
    if (error == EACCES) /* the file's own permissions: for the operator to see to */
        dial->worst = FAULT_CONNECT;
    fail_for_good(dial);
}

/* --- the whole ------------------------------------------------------------- */

struct dial *dial_new(struct reactor *reactor, const struct dial_options *options,
                      dial_done_fn *on_done, void *owner)
{
    size_t length = strlen(options->host);
    struct dial *dial = memory_new(sizeof *dial + length + 1);
    memcpy(dial->host, options->host, length + 1);
    dial->options = *options;
    dial->options.host = dial->host;
    dial->reactor = reactor;
    dial->on_done = on_done;
    dial->owner = owner;
    dial->fd = -1;
    dial->result.phase = "dns";
    dial->deadline.on_due = on_deadline;
    dial->next.on_due = on_next_due;
    return dial;
}

/* The resolver's own message is the better one, so it gets to speak first. */
static uint64_t lookup_timeout(const struct dial *dial)
{
    uint64_t most_ns = 5 * NS_PER_S, own_ns = dial->options.timeout_ns / 10 * 9;
    return own_ns < most_ns ? own_ns : most_ns;
}

void dial_start(struct dial *dial)
{
    dial->began_ns = clock_now_ns();
    loop_timer_arm(&dial->reactor->loop, &dial->deadline,
                   dial->began_ns + dial->options.timeout_ns);
    if (is_unix(dial)) {
        dial->resolved_ns = dial->began_ns;
        dial->result.phase = "connect";
        start_unix(dial);
        return;
    }
    if (!policy_allows_host(dial->reactor->policy, dial->host, dial->options.port)) {
        deny(dial, NULL);
        return;
    }
    dns_resolve(dial->reactor, &dial->query, dial->host, dial->options.family, lookup_timeout(dial),
                on_resolved, dial);
}

void dial_free(struct dial *dial)
{
    if (!dial)
        return;
    stop(dial);
    if (dial->fd >= 0)
        close(dial->fd);
    buffer_fini(&dial->reasons);
    free(dial);
}

const struct dial_result *dial_result(const struct dial *dial)
{
    return &dial->result;
}

int dial_take_fd(struct dial *dial)
{
    int fd = dial->fd;
    dial->fd = -1;
    return fd;
}
