/* dns.c - see dns.h.
 *
 * A lookup is in flight (its waiters on a list), then answered (kept until it
 * expires) or failed (told and forgotten).  c-ares only marks it; waiters are
 * told from the defer queue, so whatever they do happens outside of c-ares. */
#include "bind/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/duration.h"
#include "loop/reactor.h"

enum { BUCKETS = 1024, KEPT_MAX = 1024, SOCKETS_MAX = 64, TTL_MIN_S = 1, TTL_MAX_S = 10 };
enum { TRY_MS = 1500, TRIES = 3 }; /* 1.5 s, 3 s, 6 s for each nameserver */

static const uint64_t default_timeout_ns = 5 * NS_PER_S;

struct resolver;

struct dns_lookup {
    struct list bucket; /* in resolver->buckets; on no list once forgotten */
    struct list age;    /* in resolver->kept while answered: oldest first */
    struct list waiting;
    struct deferred tell;
    struct resolver *resolver;
    bool in_flight;
    int status; /* c-ares's; valid when not in flight */
    uint64_t expires_ns;
    unsigned count;
    union dns_address *addresses;
    int family;
    char name[]; /* lower case */
};

struct dns_socket {
    struct resolver *resolver;
    struct watch *watch; /* NULL: a free place */
    ares_socket_t fd;
};

struct resolver {
    struct reactor *reactor;
    ares_channel channel;
    bool several;       /* nameservers */
    struct timer timer; /* c-ares's retries */
    struct deferred rearm;
    struct list buckets[BUCKETS];
    struct list kept;
    unsigned kept_count;
    struct dns_socket sockets[SOCKETS_MAX];
};

/* --- addresses ----------------------------------------------------------- */

static bool parse_v6(const char *text, size_t length, union dns_address *address)
{
    char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *scope = strchr(copy, '%');
    if (scope)
        *scope++ = '\0';
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET6, copy, &address->v6.sin6_addr) != 1)
        return false;
    address->v6.sin6_family = AF_INET6;
    if (scope) {
        unsigned number = if_nametoindex(scope);
        address->v6.sin6_scope_id = number ? number : (unsigned)strtoul(scope, NULL, 10);
        if (address->v6.sin6_scope_id == 0)
            return false;
    }
    return true;
}

bool dns_parse_address(const char *text, union dns_address *address)
{
    size_t length = strlen(text);
    if (length > 2 && text[0] == '[' && text[length - 1] == ']')
        return parse_v6(text + 1, length - 2, address);
    if (strchr(text, ':'))
        return parse_v6(text, length, address);
    if (length == 0 || strspn(text, "0123456789abcdefABCDEFxX.") != length)
        return false;
    memset(address, 0, sizeof *address);
    if (!isdigit((unsigned char)text[0]) || inet_aton(text, &address->v4.sin_addr) == 0)
        return false;
    address->v4.sin_family = AF_INET;
    return true;
}

const char *dns_format_address(const struct sockaddr *address, char text[64])
{
    text[0] = '\0';
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text,
                  64);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text,
                  64);
    return text;
}

/* RFC 6761: localhost and all below it are loopback, whatever a resolver says. */
static bool is_localhost(const char *name)
{
    size_t length = strlen(name);
    if (length && name[length - 1] == '.')
        length--;
    static const char suffix[] = "localhost";
    size_t size = sizeof suffix - 1;
    return length >= size && strncasecmp(name + length - size, suffix, size) == 0 &&
           (length == size || name[length - size - 1] == '.');
}

static unsigned loopback(int family, union dns_address addresses[2])
{
    unsigned count = 0;
    if (family != AF_INET6)
        addresses[count++].v4 =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (family != AF_INET)
        addresses[count++].v6 =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return count;
}

static const char *family_name(int family)
{
    return family == AF_INET ? "IPv4 address" : family == AF_INET6 ? "IPv6 address" : "address";
}

static bool is_host_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= DNS_NAME_MAX || name[0] == '.')
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
            return false;
    return !strstr(name, "..");
}

static bool is_ascii(const char *name)
{
    while ((signed char)*name > 0)
        name++;
    return *name == '\0';
}

/* --- what went wrong ------------------------------------------------------ */

/* The first nameserver, for messages: "nameserver 10.0.0.2". */
static void describe_server(struct resolver *resolver, char text[96])
{
    struct ares_addr_port_node *servers = NULL;
    text[0] = '\0';
    if (ares_get_servers_ports(resolver->channel, &servers) == ARES_SUCCESS && servers) {
        char address[64] = "";
        inet_ntop(servers->family, &servers->addr, address, sizeof address);
        if (servers->udp_port && servers->udp_port != 53)
            snprintf(text, 96, "nameserver %s port %d", address, servers->udp_port);
        else
            snprintf(text, 96, "nameserver %s", address);
    }
    ares_free_data(servers);
}

static void explain(struct resolver *resolver, const struct dns_lookup *lookup, struct fault *why)
{
    char server[96];
    describe_server(resolver, server);
    const char *name = lookup->name;
    switch (lookup->status) {
    case ARES_ENOTFOUND:
        fault_set(why, FAULT_DNS, "cannot resolve %s: no such host (%s)", name, server);
        return;
    case ARES_ENODATA:
        fault_set(why, FAULT_DNS, "cannot resolve %s: it has no %s (%s)", name,
                  family_name(lookup->family), server);
        return;
    case ARES_ETIMEOUT:
        fault_set(why, FAULT_DNS, "cannot resolve %s: the resolver did not answer (%s)", name,
                  server);
        return;
    case ARES_ESERVFAIL:
        fault_set(why, FAULT_DNS, "cannot resolve %s: the resolver failed, SERVFAIL (%s)", name,
                  server);
        return;
    case ARES_EREFUSED:
        fault_set(why, FAULT_DNS, "cannot resolve %s: the resolver refused to answer (%s)", name,
                  server);
        return;
    case ARES_ECONNREFUSED: /* of several, c-ares does not tell why it went on to the next */
        fault_set(why, FAULT_DNS, "cannot resolve %s: %s (%s)", name,
                  lookup->resolver->several ? "every resolver is away, fails or refuses to answer"
                                            : "nothing answers at the resolver",
                  server);
        return;
    case ARES_EBADRESP:
    case ARES_EFORMERR:
        fault_set(why, FAULT_DNS, "cannot resolve %s: the resolver's answer is garbled (%s)", name,
                  server);
        return;
    default:
        fault_set(why, FAULT_DNS, "cannot resolve %s: %s (%s)", name, ares_strerror(lookup->status),
                  server);
    }
}

/* --- lookups -------------------------------------------------------------- */

static unsigned bucket_of(const char *name, int family)
{
    uint32_t hash = 2166136261u ^ (uint32_t)family;
    for (; *name; name++) /* NOLINT(clang-analyzer-core.uninitialized.Branch): it ends in a NUL */
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash % BUCKETS;
}

/* Not found by anyone any more. */
static void lookup_forget(struct dns_lookup *lookup)
{
    list_remove(&lookup->bucket);
    if (!list_empty(&lookup->age)) {
        list_remove(&lookup->age);
        lookup->resolver->kept_count--;
    }
}

static void lookup_free(struct dns_lookup *lookup)
{
    lookup_forget(lookup);
    loop_undefer(&lookup->tell);
    free(lookup->addresses);
    free(lookup);
}

static void query_finish(struct reactor *reactor, struct dns_query *query, const struct fault *why,
                         const union dns_address *addresses, unsigned count)
{
    loop_timer_disarm(&reactor->loop, &query->timeout);
    if (query->lookup)
        list_remove(&query->link);
    query->lookup = NULL;
    query->on_done(query->owner, why, addresses, count);
}

/* Deferred: tells those who wait.  One of them may cancel another or ask again
 * for the same name meanwhile: an answer is in the table, a failure is not. */
static void lookup_tell(struct deferred *work)
{
    struct dns_lookup *lookup = list_entry(work, struct dns_lookup, tell);
    struct resolver *resolver = lookup->resolver;
    struct fault why;
    bool failed = lookup->status != ARES_SUCCESS;
    if (failed) {
        explain(resolver, lookup, &why);
        lookup_forget(lookup);
    }
    while (!list_empty(&lookup->waiting)) {
        struct dns_query *query = list_entry(lookup->waiting.next, struct dns_query, link);
        query_finish(resolver->reactor, query, failed ? &why : NULL, lookup->addresses,
                     lookup->count);
    }
    if (list_empty(&lookup->bucket)) /* forgotten: a failure, or too many answers */
        lookup_free(lookup);
}

static void keep(struct dns_lookup *lookup, unsigned ttl_s)
{
    struct resolver *resolver = lookup->resolver;
    ttl_s = ttl_s < TTL_MIN_S ? TTL_MIN_S : ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s;
    lookup->expires_ns = clock_now_ns() + ttl_s * NS_PER_S;
    list_append(&resolver->kept, &lookup->age);
    resolver->kept_count++;
}

static void copy_addresses(struct dns_lookup *lookup, const struct ares_addrinfo *info)
{
    unsigned ttl_s = TTL_MAX_S;
    lookup->addresses = memory_new(DNS_ADDRESSES_MAX * sizeof *lookup->addresses);
    for (const struct ares_addrinfo_node *node = info->nodes;
         node && lookup->count < DNS_ADDRESSES_MAX; node = node->ai_next) {
        if ((size_t)node->ai_addrlen > sizeof *lookup->addresses)
            continue;
        memcpy(&lookup->addresses[lookup->count++], node->ai_addr, (size_t)node->ai_addrlen);
        if (node->ai_ttl >= 0 && (unsigned)node->ai_ttl < ttl_s)
            ttl_s = (unsigned)node->ai_ttl;
    }
    if (lookup->count == 0) {
        lookup->status = ARES_ENODATA;
        return;
    }
    lookup->addresses = memory_resize(lookup->addresses, lookup->count * sizeof *lookup->addresses);
    keep(lookup, ttl_s);
}

static void on_addrinfo(void *owner, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct dns_lookup *lookup = owner;
    if (status == ARES_EDESTRUCTION) { /* the resolver closes: it frees the lookup */
        ares_freeaddrinfo(info);
        return;
    }
    lookup->in_flight = false;
    lookup->status = status;
    if (status == ARES_SUCCESS)
        copy_addresses(lookup, info);
    ares_freeaddrinfo(info);
    lookup->tell.run = lookup_tell;
    loop_defer(&lookup->resolver->reactor->loop, &lookup->tell);
}

static void forget_oldest(struct resolver *resolver)
{
    struct dns_lookup *oldest = list_entry(resolver->kept.next, struct dns_lookup, age);
    if (list_empty(&oldest->waiting))
        lookup_free(oldest);
    else
        lookup_forget(oldest); /* lookup_tell frees it */
}

static struct dns_lookup *find(struct resolver *resolver, const char *name, int family)
{
    struct list *bucket = &resolver->buckets[bucket_of(name, family)];
    for (struct list *at = bucket->next; at != bucket; at = at->next) {
        struct dns_lookup *lookup = list_entry(at, struct dns_lookup, bucket);
        if (lookup->family != family || strcmp(lookup->name, name) != 0)
            continue;
        bool told = !lookup->in_flight && list_empty(&lookup->waiting);
        if (told && lookup->expires_ns <= clock_now_ns()) {
            lookup_free(lookup);
            return NULL;
        }
        return lookup;
    }
    return NULL;
}

static struct dns_lookup *start(struct resolver *resolver, const char *name, int family)
{
    while (resolver->kept_count >= KEPT_MAX)
        forget_oldest(resolver);
    struct dns_lookup *lookup = memory_new(sizeof *lookup + strlen(name) + 1);
    lookup->resolver = resolver;
    lookup->family = family;
    strcpy(lookup->name, name);
    list_init(&lookup->age);
    list_init(&lookup->waiting);
    list_append(&resolver->buckets[bucket_of(name, family)], &lookup->bucket);
    lookup->in_flight = true;
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_addrinfo, lookup);
    loop_defer(&resolver->reactor->loop, &resolver->rearm);
    return lookup;
}

/* --- c-ares on the loop --------------------------------------------------- */

static void on_retry_due(struct timer *timer)
{
    struct resolver *resolver = list_entry(timer, struct resolver, timer);
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    loop_defer(&resolver->reactor->loop, &resolver->rearm);
}

/* Deferred, because asking c-ares costs a walk over all that is in flight. */
static void rearm(struct deferred *work)
{
    struct resolver *resolver = list_entry(work, struct resolver, rearm);
    struct loop *loop = &resolver->reactor->loop;
    struct timeval wait;
    if (!ares_timeout(resolver->channel, NULL, &wait)) {
        loop_timer_disarm(loop, &resolver->timer);
        return;
    }
    uint64_t wait_ns = (uint64_t)wait.tv_sec * NS_PER_S + (uint64_t)wait.tv_usec * 1000;
    loop_timer_arm(loop, &resolver->timer, clock_now_ns() + wait_ns);
}

static void on_socket_ready(void *owner, int status, int events)
{
    struct dns_socket *place = owner;
    struct resolver *resolver = place->resolver;
    bool readable = status < 0 || (events & LOOP_READ), writable = events & LOOP_WRITE;
    ares_process_fd(resolver->channel, readable ? place->fd : ARES_SOCKET_BAD,
                    writable ? place->fd : ARES_SOCKET_BAD);
    loop_defer(&resolver->reactor->loop, &resolver->rearm);
}

static struct dns_socket *socket_place(struct resolver *resolver, ares_socket_t fd)
{
    struct dns_socket *free_place = NULL;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        struct dns_socket *place = &resolver->sockets[i];
        if (place->watch && place->fd == fd)
            return place;
        if (!place->watch && !free_place)
            free_place = place;
    }
    return free_place; /* NULL: that socket is left to c-ares's timeouts */
}

/* c-ares says so before it closes a socket, with nothing to wait for. */
static void on_socket_state(void *owner, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = owner;
    struct dns_socket *place = socket_place(resolver, fd);
    int events = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);
    if (!place)
        return;
    if (!events) {
        loop_unwatch(place->watch);
        place->watch = NULL;
    } else if (place->watch) {
        loop_watch_change(place->watch, events);
    } else {
        place->resolver = resolver;
        place->fd = fd;
        place->watch = loop_watch(&resolver->reactor->loop, fd, events, on_socket_ready, place);
    }
}

/* --- the service ---------------------------------------------------------- */

static void forget_all(struct resolver *resolver)
{
    for (int i = 0; i < BUCKETS; i++) {
        struct list *bucket = &resolver->buckets[i];
        for (struct list *at = bucket->next, *next; at != bucket; at = next) {
            next = at->next;
            struct dns_lookup *lookup = list_entry(at, struct dns_lookup, bucket);
            if (!lookup->in_flight && list_empty(&lookup->waiting))
                lookup_free(lookup);
        }
    }
}

/* Nobody may wait any more; what is in flight is given up. */
static void resolver_close(void *self)
{
    struct resolver *resolver = self;
    if (resolver->channel)
        ares_destroy(resolver->channel);
    for (int i = 0; i < BUCKETS; i++)
        while (!list_empty(&resolver->buckets[i]))
            lookup_free(list_entry(resolver->buckets[i].next, struct dns_lookup, bucket));
    for (int i = 0; i < SOCKETS_MAX; i++)
        loop_unwatch(resolver->sockets[i].watch);
    loop_timer_disarm(&resolver->reactor->loop, &resolver->timer);
    loop_undefer(&resolver->rearm);
    ares_library_cleanup();
    free(resolver);
}

static bool set_servers(struct resolver *resolver, const char *servers, struct fault *why)
{
    int status = ares_set_servers_ports_csv(resolver->channel, servers);
    if (status != ARES_SUCCESS)
        return fault_set(why, FAULT_INTERNAL, "nameservers \"%s\" are not understood: %s", servers,
                         ares_strerror(status));
    return true;
}

static bool has_several(struct resolver *resolver)
{
    struct ares_addr_port_node *servers = NULL;
    bool several = ares_get_servers_ports(resolver->channel, &servers) == ARES_SUCCESS && servers &&
                   servers->next;
    ares_free_data(servers);
    return several;
}

static bool open_channel(struct resolver *resolver, struct fault *why)
{
    struct ares_options options = {
        .timeout = TRY_MS,
        .tries = TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int chosen = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    const char *servers = getenv("HOSPITAL_NAMESERVER");
    int status = ares_init_options(&resolver->channel, &options, chosen);
    if (status == ARES_SUCCESS) {
        resolver->several =
            servers && *servers ? strchr(servers, ',') != NULL : has_several(resolver);
        /* Where there is no other to ask, its refusal or failure is the answer. */
        if (!resolver->several) {
            ares_destroy(resolver->channel);
            options.flags = ARES_FLAG_NOCHECKRESP;
            status = ares_init_options(&resolver->channel, &options, chosen | ARES_OPT_FLAGS);
        }
    }
    if (status != ARES_SUCCESS) {
        resolver->channel = NULL;
        return fault_set(why, FAULT_INTERNAL, "the resolver cannot be opened: %s",
                         ares_strerror(status));
    }
    return !servers || !*servers || set_servers(resolver, servers, why);
}

static struct resolver *resolver_of(struct reactor *reactor, struct fault *why)
{
    struct service *service = &reactor->services[SERVICE_DNS];
    if (service->self)
        return service->self;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        fault_set(why, FAULT_INTERNAL, "the resolver cannot be opened");
        return NULL;
    }
    struct resolver *resolver = memory_new(sizeof *resolver);
    resolver->reactor = reactor;
    resolver->timer.on_due = on_retry_due;
    resolver->rearm.run = rearm;
    list_init(&resolver->kept);
    for (int i = 0; i < BUCKETS; i++)
        list_init(&resolver->buckets[i]);
    if (!open_channel(resolver, why)) {
        resolver_close(resolver);
        return NULL;
    }
    *service = (struct service){.self = resolver, .close = resolver_close};
    return resolver;
}

bool dns_set_servers(struct reactor *reactor, const char *servers, struct fault *why)
{
    struct resolver *resolver = resolver_of(reactor, why);
    if (!resolver || !set_servers(resolver, servers, why))
        return false;
    forget_all(resolver);
    return true;
}

/* --- asking --------------------------------------------------------------- */

static void on_query_timeout(struct timer *timer)
{
    struct dns_query *query = list_entry(timer, struct dns_query, timeout);
    struct dns_lookup *lookup = query->lookup;
    struct resolver *resolver = lookup->resolver;
    char server[96], waited[32];
    struct fault why;
    describe_server(resolver, server);
    fault_set(&why, FAULT_DNS, "cannot resolve %s: the resolver did not answer within %s (%s)",
              lookup->name, duration_format(query->timeout_ns, waited, sizeof waited), server);
    query_finish(resolver->reactor, query, &why, NULL, 0);
}

/* What needs no resolver: addresses, localhost, and what is no name at all. */
static bool answer_at_once(struct reactor *reactor, struct dns_query *query, const char *name,
                           int family)
{
    union dns_address own[2];
    struct fault why;
    if (dns_parse_address(name, &own[0])) {
        if (family == AF_UNSPEC || family == own[0].any.sa_family)
            query_finish(reactor, query, NULL, own, 1);
        else {
            fault_set(&why, FAULT_DNS, "%s is not an %s", name, family_name(family));
            query_finish(reactor, query, &why, NULL, 0);
        }
        return true;
    }
    if (is_localhost(name)) {
        query_finish(reactor, query, NULL, own, loopback(family, own));
        return true;
    }
    if (is_host_name(name))
        return false;
    fault_set(&why, FAULT_DNS, "\"%.80s\" is not a host name%s", name,
              is_ascii(name) ? "" : ": write it in Punycode, xn--...");
    query_finish(reactor, query, &why, NULL, 0);
    return true;
}

static void wait_for(struct resolver *resolver, struct dns_query *query, const char *name,
                     int family)
{
    char lower[DNS_NAME_MAX];
    size_t length = strlen(name);
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    struct dns_lookup *lookup = find(resolver, lower, family);
    if (!lookup)
        lookup = start(resolver, lower, family);
    if (!lookup->in_flight && lookup->status == ARES_SUCCESS && list_empty(&lookup->waiting)) {
        query_finish(resolver->reactor, query, NULL, lookup->addresses, lookup->count);
        return;
    }
    query->lookup = lookup;
    list_append(&lookup->waiting, &query->link);
    query->timeout.on_due = on_query_timeout;
    loop_timer_arm(&resolver->reactor->loop, &query->timeout, clock_now_ns() + query->timeout_ns);
}

void dns_resolve(struct reactor *reactor, struct dns_query *query, const char *name, int family,
                 uint64_t timeout_ns, dns_done_fn *on_done, void *owner)
{
    query->on_done = on_done;
    query->owner = owner;
    query->timeout_ns = timeout_ns ? timeout_ns : default_timeout_ns;
    query->lookup = NULL;
    if (answer_at_once(reactor, query, name, family))
        return;
    struct fault why;
    struct resolver *resolver = resolver_of(reactor, &why);
    if (resolver)
        wait_for(resolver, query, name, family);
    else
        query_finish(reactor, query, &why, NULL, 0);
}

void dns_cancel(struct reactor *reactor, struct dns_query *query)
{
    loop_timer_disarm(&reactor->loop, &query->timeout);
    if (!query->lookup)
        return;
    list_remove(&query->link);
    query->lookup = NULL;
}
