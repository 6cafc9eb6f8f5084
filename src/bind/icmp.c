/* icmp.c - see icmp.h.
 *
 * The sequence number is the key: it is what even the shortest ICMP error quotes.
 * So 65,536 echoes of a family are in flight at the most; more wait their turn. */
#include "bind/icmp.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/dial.h"
#include "loop/reactor.h"

enum {
    SEQUENCES = 65536,
    LOT = 32,        /* requests sent before replies are read */
    TURN_LOTS = 16,  /* lots in one turn of the loop */
    UNHEARD = 256,   /* requests ahead of the replies: a receive buffer holds twice as many */
    BUFFER = 4 << 20 /* of the socket; the kernel cuts it to its own limit */
};

static const uint64_t full_ns = 2 * NS_PER_MS;  /* a full send buffer: try again after */
static const uint64_t quiet_ns = 5 * NS_PER_MS; /* nobody answers: go on after */

struct header { /* the same in both families */
    uint8_t type, code;
    uint16_t checksum, id, sequence;
};

struct icmp;

struct icmp_socket {
    struct icmp *icmp;
    int family;
    int fd; /* -1: not open */
    bool raw;
    uint16_t id, next_sequence;
    struct watch *watch;
    struct timer pump; /* goes on sending */
    struct list waiting;
    unsigned in_flight;
    unsigned unheard;          /* sent since, but not answered */
    bool hushed;               /* waits for that to become less */
    struct icmp_echo **echoes; /* by sequence number; SEQUENCES of them */
};

struct icmp {
    struct reactor *reactor;
    struct icmp_socket v4, v6;
    struct {
        struct header header;
        uint64_t token;
        char filler[ICMP_SIZE_MAX - ICMP_SIZE_MIN];
    } request;
    char spill[65536]; /* the part of a packet that nobody looks at */
};

/* --- the socket -------------------------------------------------------------- */

static void go_on_at(struct icmp_socket *s, uint64_t at_ns);
static void drain(struct icmp_socket *s);
static void pump(struct icmp_socket *s);

static void on_readable(void *owner, int status, int events)
{
    (void)status, (void)events;
    drain(owner);
}

static void on_pump_due(struct timer *timer)
{
    struct icmp_socket *s = list_entry(timer, struct icmp_socket, pump);
    s->unheard = s->hushed ? 0 : s->unheard;
    s->hushed = false;
    pump(s);
}

/* What is missing only costs precision or patience. */
static void set_options(struct icmp_socket *s)
{
    int on = 1, room = BUFFER;
    setsockopt(s->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (s->family == AF_INET)
        setsockopt(s->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
    else
        setsockopt(s->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
    if (!s->raw)
        return;
    if (s->family == AF_INET) {
        struct icmp_filter filter = {.data = ~(1u << ICMP_ECHOREPLY)};
        setsockopt(s->fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
    } else {
        struct icmp6_filter filter;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        setsockopt(s->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
    }
}

static bool explain_no_socket(int error, struct fault *why)
{
    char text[96];
    if (error == EACCES || error == EPERM)
        return fault_set(why, FAULT_DENIED,
                         "not permitted on this host; as root: sysctl -w "
                         "net.ipv4.ping_group_range=\"0 2147483647\", or give the program "
                         "CAP_NET_RAW (setcap cap_net_raw+ep FILE)");
    return fault_set(why, error == EAFNOSUPPORT ? FAULT_CONNECT : FAULT_INTERNAL,
                     "no ICMP socket: %s", dial_error_text(error, text));
}

/* The reason of the last attempt tells, but for a host without raw sockets. */
static bool open_socket(struct icmp_socket *s, struct fault *why)
{
    if (s->fd >= 0)
        return true;
    int protocol = s->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    s->raw = false;
    s->fd = socket(s->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (s->fd < 0 && errno != EMFILE && errno != ENFILE) {
        s->raw = true;
        s->fd = socket(s->family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    }
    if (s->fd < 0)
        return explain_no_socket(errno, why);
    set_options(s);
    s->watch = loop_watch(&s->icmp->reactor->loop, s->fd, LOOP_READ, on_readable, s);
    if (s->watch)
        return true;
    close(s->fd);
    s->fd = -1;
    return explain_no_socket(ENOMEM, why);
}

static void init_socket(struct icmp *icmp, struct icmp_socket *s, int family)
{
    s->icmp = icmp;
    s->family = family;
    s->fd = -1;
    s->pump.on_due = on_pump_due;
    list_init(&s->waiting);
    (void)!getrandom(&s->id, sizeof s->id, 0);
    (void)!getrandom(&s->next_sequence, sizeof s->next_sequence, 0);
    s->echoes = memory_new(SEQUENCES * sizeof(struct icmp_echo *));
}

static void fini_socket(struct icmp_socket *s)
{
    loop_timer_disarm(&s->icmp->reactor->loop, &s->pump);
    loop_unwatch(s->watch);
    if (s->fd >= 0)
        close(s->fd);
    free(s->echoes);
}

static void icmp_close(void *self)
{
    struct icmp *icmp = self;
    fini_socket(&icmp->v4);
    fini_socket(&icmp->v6);
    free(icmp);
}

static struct icmp *icmp_of(struct reactor *reactor)
{
    struct service *service = &reactor->services[SERVICE_ICMP];
    if (service->self)
        return service->self;
    struct icmp *icmp = memory_new(sizeof *icmp);
    icmp->reactor = reactor;
    init_socket(icmp, &icmp->v4, AF_INET);
    init_socket(icmp, &icmp->v6, AF_INET6);
    for (size_t i = 0; i < sizeof icmp->request.filler; i++)
        icmp->request.filler[i] = (char)('!' + i % 94);
    *service = (struct service){.self = icmp, .close = icmp_close};
    return icmp;
}

const char *icmp_mode(struct reactor *reactor, int family)
{
    const struct icmp *icmp = reactor->services[SERVICE_ICMP].self;
    if (!icmp)
        return NULL;
    const struct icmp_socket *s = family == AF_INET ? &icmp->v4 : &icmp->v6;
    return s->fd < 0 ? NULL : s->raw ? "raw" : "datagram";
}

/* --- echoes -------------------------------------------------------------------- */

/* Out of every list: from here on nobody finds it. */
static void detach(struct icmp_echo *echo)
{
    struct icmp_socket *s = echo->socket;
    if (!s)
        return;
    if (s->echoes[echo->sequence] == echo) {
        s->echoes[echo->sequence] = NULL;
        s->in_flight--;
    } else {
        list_remove(&echo->link);
    }
    echo->socket = NULL;
}

static void finish(struct icmp_echo *echo, const struct fault *why, uint64_t rtt_ns)
{
    detach(echo);
    echo->on_done(echo, why, rtt_ns);
}

void icmp_cancel(struct icmp_echo *echo)
{
    detach(echo);
}

static bool same_address(const union dns_address *a, const union dns_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
}

/* --- replies --------------------------------------------------------------------- */

struct packet {
    union dns_address from;
    uint64_t stamp_ns;                     /* since 1970, by the kernel; 0: none */
    const struct sock_extended_err *error; /* in the control data; NULL: a reply */
    size_t size;                           /* of the whole */
    unsigned char data[128];               /* headers and token */
    _Alignas(struct cmsghdr) char control[512];
};

static void read_control(struct msghdr *message, struct packet *packet)
{
    packet->stamp_ns = 0;
    packet->error = NULL;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            packet->stamp_ns = (uint64_t)stamp.tv_sec * NS_PER_S + (uint64_t)stamp.tv_nsec;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            packet->error = (const struct sock_extended_err *)(const void *)CMSG_DATA(c);
        }
    }
}

/* False when there is none left.  In the error queue from is whom the request
 * was for.  The whole is read because ICMP sockets do not tell its size else. */
static bool receive(const struct icmp_socket *s, struct packet *packet, int flags)
{
    struct iovec parts[] = {{packet->data, sizeof packet->data},
                            {s->icmp->spill, sizeof s->icmp->spill}};
    struct msghdr message = {.msg_name = &packet->from,
                             .msg_namelen = sizeof packet->from,
                             .msg_iov = parts,
                             .msg_iovlen = 2,
                             .msg_control = packet->control,
                             .msg_controllen = sizeof packet->control};
    ssize_t size = recvmsg(s->fd, &message, flags | MSG_DONTWAIT);
    if (size < 0)
        return false;
    packet->size = (size_t)size;
    read_control(&message, packet);
    return true;
}

/* The echo that the header (and the token, as far as it is there) is about. */
static struct icmp_echo *find(const struct icmp_socket *s, const struct packet *packet,
                              size_t offset)
{
    struct header header;
    size_t held = packet->size < sizeof packet->data ? packet->size : sizeof packet->data;
    if (held < offset + sizeof header)
        return NULL;
    memcpy(&header, packet->data + offset, sizeof header);
    struct icmp_echo *echo = s->echoes[ntohs(header.sequence)];
    if (!echo || !same_address(&echo->to, &packet->from))
        return NULL;
    if (s->raw && header.id != s->id)
        return NULL;
    if (held >= offset + sizeof header + sizeof echo->token &&
        memcmp(packet->data + offset + sizeof header, &echo->token, sizeof echo->token) != 0)
        return NULL;
    return echo;
}

/* The kernel's stamp is by the clock that may be set; it is believed as long as
 * it tells less than the steady one. */
static uint64_t rtt_of(const struct icmp_echo *echo, const struct packet *packet)
{
    uint64_t seen_ns = clock_now_ns() - echo->sent_ns;
    if (packet->stamp_ns <= echo->sent_epoch_ns)
        return seen_ns;
    uint64_t stamped_ns = packet->stamp_ns - echo->sent_epoch_ns;
    return stamped_ns < seen_ns ? stamped_ns : seen_ns;
}

static void take_reply(struct icmp_socket *s, const struct packet *packet)
{
    s->unheard -= s->unheard > 0;
    size_t offset = s->raw && s->family == AF_INET ? (packet->data[0] & 15u) * 4u : 0;
    struct icmp_echo *echo = find(s, packet, offset);
    uint8_t reply = s->family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
    if (echo && packet->data[offset] == reply &&
        packet->size == offset + sizeof(struct header) + echo->size)
        finish(echo, NULL, rtt_of(echo, packet));
}

/* The kernel's errno is coarser than what the router said. */
static const char *what_was_said(const struct sock_extended_err *e, char text[96])
{
    bool v4 = e->ee_origin == SO_EE_ORIGIN_ICMP;
    if (v4 && e->ee_type == ICMP_TIME_EXCEEDED)
        return "time to live exceeded";
    if (v4 && e->ee_type == ICMP_DEST_UNREACH && e->ee_code == ICMP_HOST_UNREACH)
        return "host unreachable";
    if (v4 && e->ee_type == ICMP_DEST_UNREACH && e->ee_code == ICMP_NET_UNREACH)
        return "network unreachable";
    if (v4 && e->ee_type == ICMP_DEST_UNREACH && e->ee_code == ICMP_PKT_FILTERED)
        return "filtered";
    return dial_error_text((int)e->ee_errno, text);
}

static void explain_error(const struct sock_extended_err *e, struct fault *why)
{
    char text[96], by[64] = "";
    const char *said = what_was_said(e, text);
    const struct sockaddr *offender =
        (const struct sockaddr *)(e + 1); /* SO_EE_OFFENDER, but const */
    if (e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_ICMP6)
        dns_format_address(offender, by);
    if (by[0])
        fault_set(why, FAULT_CONNECT, "%s, says %s", said, by);
    else
        fault_set(why, FAULT_CONNECT, "%s", said);
}

/* The queue quotes the request from its ICMP header on. */
static void drain_errors(struct icmp_socket *s)
{
    struct packet packet;
    while (receive(s, &packet, MSG_ERRQUEUE)) {
        if (!packet.error)
            continue;
        struct icmp_echo *echo = find(s, &packet, 0);
        bool redirect =
            packet.error->ee_origin == SO_EE_ORIGIN_ICMP && packet.error->ee_type == ICMP_REDIRECT;
        if (!echo || redirect)
            continue;
        struct fault why;
        explain_error(packet.error, &why);
        finish(echo, &why, 0);
    }
}

/* A failed read may tell of one in the error queue: then there may be more. */
static void drain(struct icmp_socket *s)
{
    struct packet packet;
    for (int attempts = 0; attempts < 64; attempts++) {
        while (receive(s, &packet, 0))
            take_reply(s, &packet);
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
    }
    drain_errors(s);
    if (s->hushed && s->unheard <= UNHEARD / 2)
        go_on_at(s, clock_now_ns());
}

/* --- requests --------------------------------------------------------------------- */

static uint16_t checksum(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint32_t sum = 0;
    for (; size > 1; p += 2, size -= 2)
        sum += (uint32_t)p[0] << 8 | p[1];
    if (size)
        sum += (uint32_t)p[0] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void fill_request(struct icmp_socket *s, const struct icmp_echo *echo)
{
    struct header *header = &s->icmp->request.header;
    *header = (struct header){
        .type = s->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
        .id = s->id,
        .sequence = htons(echo->sequence),
    };
    s->icmp->request.token = echo->token;
    if (s->raw && s->family == AF_INET) /* else the kernel does it */
        header->checksum = checksum(header, sizeof *header + echo->size);
}

/* 0, or the errno that is this request's own: with IP_RECVERR a send may also
 * report what became of an earlier one. */
static int send_request(struct icmp_socket *s, struct icmp_echo *echo)
{
    socklen_t size = s->family == AF_INET ? sizeof echo->to.v4 : sizeof echo->to.v6;
    fill_request(s, echo);
    for (int attempts = 0;; attempts++) {
        echo->sent_ns = clock_now_ns();
        echo->sent_epoch_ns = clock_epoch_ns();
        if (sendto(s->fd, &s->icmp->request, sizeof(struct header) + echo->size, MSG_NOSIGNAL,
                   &echo->to.any, size) >= 0)
            return 0;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || attempts == 8)
            break;
    }
    echo->sent_ns = 0;
    return errno;
}

static void fail_to_send(struct icmp_echo *echo, int error)
{
    char text[96];
    struct fault why;
    enum fault_kind kind = FAULT_CONNECT;
    if (error == EPERM || error == EACCES)
        kind = FAULT_DENIED; /* a local firewall, or a broadcast address */
    else if (error == EMSGSIZE || error == ENOMEM)
        kind = FAULT_INTERNAL;
    fault_set(&why, kind, "cannot be sent: %s", dial_network_error_text(error, text));
    finish(echo, &why, 0);
}

static bool take_sequence(struct icmp_socket *s, struct icmp_echo *echo)
{
    if (s->in_flight == SEQUENCES)
        return false;
    while (s->echoes[s->next_sequence])
        s->next_sequence++;
    echo->sequence = s->next_sequence++;
    s->echoes[echo->sequence] = echo;
    s->in_flight++;
    return true;
}

static void back_to_waiting(struct icmp_socket *s, struct icmp_echo *echo)
{
    s->echoes[echo->sequence] = NULL;
    s->in_flight--;
    echo->link.next = s->waiting.next; /* first again */
    echo->link.prev = &s->waiting;
    s->waiting.next->prev = &echo->link;
    s->waiting.next = &echo->link;
}

/* False when the socket takes no more for now. */
static bool send_first(struct icmp_socket *s)
{
    struct icmp_echo *echo = list_entry(s->waiting.next, struct icmp_echo, link);
    if (s->in_flight == SEQUENCES)
        return false;
    list_remove(&echo->link);
    if (!take_sequence(s, echo))
        return false;
    int error = send_request(s, echo);
    if (error == 0) {
        s->unheard++;
        return true;
    }
    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS) {
        back_to_waiting(s, echo);
        return false;
    }
    fail_to_send(echo, error);
    return true;
}

static void go_on_at(struct icmp_socket *s, uint64_t at_ns)
{
    loop_timer_arm(&s->icmp->reactor->loop, &s->pump, at_ns);
}

/* Lot by lot, but never far ahead of the replies: those of a burst may all come
 * at once and overflow the socket. */
static void pump(struct icmp_socket *s)
{
    for (int lot = 0; !list_empty(&s->waiting); lot++) {
        bool full = false;
        if (lot == TURN_LOTS) {
            go_on_at(s, clock_now_ns());
            return;
        }
        for (int i = 0; i < LOT && !full && !list_empty(&s->waiting); i++)
            full = !send_first(s);
        drain(s);
        s->hushed = !full && s->unheard >= UNHEARD;
        if (full || s->hushed) {
            go_on_at(s, clock_now_ns() + (full ? full_ns : quiet_ns));
            return;
        }
    }
}

/* What connects to this host itself answers from its loopback address; an IPv4
 * address in IPv6's clothes is one. */
static void normalize(union dns_address *a)
{
    if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        memcpy(&v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
        memset(a, 0, sizeof *a);
        a->v4 = v4;
    }
    if (a->any.sa_family == AF_INET && a->v4.sin_addr.s_addr == htonl(INADDR_ANY))
        a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr))
        a->v6.sin6_addr = in6addr_loopback;
}

void icmp_send(struct reactor *reactor, struct icmp_echo *echo)
{
    struct icmp *icmp = icmp_of(reactor);
    normalize(&echo->to);
    struct icmp_socket *s = echo->to.any.sa_family == AF_INET ? &icmp->v4 : &icmp->v6;
    struct fault why;
    echo->sent_ns = 0;
    if (!open_socket(s, &why)) {
        echo->socket = NULL;
        echo->on_done(echo, &why, 0);
        return;
    }
    (void)!getrandom(&echo->token, sizeof echo->token, 0);
    echo->socket = s;
    list_append(&s->waiting, &echo->link);
    if (!timer_is_armed(&s->pump))
        go_on_at(s, clock_now_ns());
}
