/* slowserver.c - an HTTP server on loopback that answers late, for benchmarks.
 *
 *     slowserver [--silent] [DELAY_MS [LIFE_S]]
 *
 * Prints its port, answers every request DELAY_MS (100) after its last byte has come, never with
 * --silent, and ends when its standard input closes, at the latest after LIFE_S (300) seconds.  Its
 * last line counts what it served and how late its answers left, so that a benchmark can tell a
 * slow client from a slow server.
 *
 * One thread and one epoll.  The delay is the same for all, so what is due is a queue in order of
 * arrival: no timers, no heap. A request is what ends in an empty line; bodies are not for this
 * server. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    LISTENERS = 4, /* the kernel caps each accept queue at net.core.somaxconn: several on one port
                      take a burst of 10,000 */
    EVENTS = 512,
    DUE = 1 << 16, /* answers that can be owed at once; a power of two */
};

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

struct connection {
    uint32_t generation; /* changes when the descriptor is closed: an answer owed to an earlier
                            owner is dropped */
    uint8_t matched;     /* how much of "\r\n\r\n" the input ends with */
};

struct owed {
    uint64_t at_ns;
    int fd;
    uint32_t generation;
};

struct server {
    int epoll;
    int listeners[LISTENERS];
    struct connection *connections; /* by descriptor */
    int limit;                      /* of descriptors */
    struct owed due[DUE];           /* a ring from head to tail, both ever growing */
    uint64_t head, tail;
    uint64_t delay_ns;
    bool silent;
    uint64_t accepted, requests, answered, late_max_ns, late_sum_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct server *s, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    /* A standard input that is a file never closes: then only the life time ends the server. */
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0 && fd != STDIN_FILENO)
        die("epoll_ctl");
}

static void drop(struct server *s, int fd)
{
    s->connections[fd].generation++;
    close(fd);
}

static void owe_answer(struct server *s, int fd)
{
    s->requests++;
    if (s->silent)
        return;
    if (s->tail - s->head == DUE) {
        drop(s, fd);
        return;
    }
    struct owed *owed = &s->due[s->tail++ % DUE];
    *owed = (struct owed){now_ns() + s->delay_ns, fd, s->connections[fd].generation};
}

static void read_requests(struct server *s, int fd)
{
    char buffer[4096];
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(s, fd);
        return;
    }
    struct connection *c = &s->connections[fd];
    uint32_t generation = c->generation;
    for (ssize_t i = 0; i < n && c->generation == generation; i++) {
        if (buffer[i] == "\r\n\r\n"[c->matched])
            c->matched++;
        else
            c->matched = buffer[i] == '\r';
        if (c->matched == 4) {
            c->matched = 0;
            owe_answer(s, fd);
        }
    }
}

static void accept_all(struct server *s, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        s->accepted++;
        s->connections[fd].matched = 0;
        watch(s, fd);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        die("accept");
}

/* Sends what is due; returns the time until the next, or UINT64_MAX. */
static uint64_t answer_due(struct server *s)
{
    uint64_t now = now_ns();
    while (s->head != s->tail) {
        struct owed *owed = &s->due[s->head % DUE];
        if (owed->at_ns > now && owed->at_ns > (now = now_ns()))
            return owed->at_ns - now;
        s->head++;
        if (s->connections[owed->fd].generation != owed->generation)
            continue;
        now = now_ns();
        uint64_t late = now - owed->at_ns;
        s->late_sum_ns += late;
        if (late > s->late_max_ns)
            s->late_max_ns = late;
        if (send(owed->fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL) ==
            sizeof answer - 1)
            s->answered++;
        else
            drop(s, owed->fd);
    }
    return UINT64_MAX;
}

static int listen_on(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, 65535) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    *port = ntohs(address.sin_port);
    return fd;
}

static bool is_listener(const struct server *s, int fd)
{
    for (int i = 0; i < LISTENERS; i++)
        if (s->listeners[i] == fd)
            return true;
    return false;
}

static void serve(struct server *s, uint64_t end_ns)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        uint64_t wait_ns = answer_due(s), now = now_ns();
        if (now >= end_ns)
            return;
        if (wait_ns > end_ns - now)
            wait_ns = end_ns - now;
        struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        int n = epoll_pwait2(s->epoll, events, EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char ignored[64];
            if (is_listener(s, fd))
                accept_all(s, fd);
            else if (fd != STDIN_FILENO)
                read_requests(s, fd);
            else if (read(fd, ignored, sizeof ignored) <= 0)
                return;
        }
    }
}

int main(int argc, char **argv)
{
    static struct server s;
    s.silent = argc > 1 && strcmp(argv[1], "--silent") == 0;
    argv += s.silent;
    argc -= s.silent;
    double delay_ms = argc > 1 ? atof(argv[1]) : 100, life_s = argc > 2 ? atof(argv[2]) : 300;
    s.delay_ns = (uint64_t)(delay_ms * 1e6);

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    s.limit = files.rlim_max < 1 << 20 ? (int)files.rlim_max : 1 << 20;
    s.connections = calloc((size_t)s.limit, sizeof *s.connections);
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!s.connections || s.epoll < 0)
        die("slowserver");

    uint16_t port = 0;
    for (int i = 0; i < LISTENERS; i++) {
        s.listeners[i] = listen_on(&port);
        watch(&s, s.listeners[i]);
    }
    watch(&s, STDIN_FILENO);
    printf("%u\n", port);
    fflush(stdout);
    serve(&s, now_ns() + (uint64_t)(life_s * 1e9));
    printf("{\"accepted\": %llu, \"requests\": %llu, \"answered\": %llu, \"late_mean_ms\": %.3f, "
           "\"late_max_ms\": %.3f}\n",
           (unsigned long long)s.accepted, (unsigned long long)s.requests,
           (unsigned long long)s.answered,
           s.answered ? (double)s.late_sum_ns / (double)s.answered / 1e6 : 0.0,
           (double)s.late_max_ns / 1e6);
    return 0;
}
