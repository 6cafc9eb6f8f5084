/* peer.h - servers on loopback for tests in C, each a thread of its own, that
 * misbehave on command.  peer_stop ends them; every wait of theirs is bounded. */
#ifndef HOSPITAL_SPEC_PEER_H
#define HOSPITAL_SPEC_PEER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum peer_manner {
    PEER_SILENT, /* accepts and says nothing */
    PEER_HELLO,  /* says "hello\r\nworld\n" and waits */
    PEER_ECHO,   /* gives back what it gets, until the end, then "bye" */
    PEER_STUMP,  /* says "abc" and closes */
    PEER_RESET,  /* says "abc" and resets */
    PEER_DRIP,   /* says "x" every 10 ms */
    PEER_FLOOD,  /* never stops talking */
    PEER_HOLD,   /* accepts any number and says nothing */
    PEER_DEAF,   /* never accepts */
};

struct peer {
    enum peer_manner manner;
    int fd, stop[2];
    int port;
    bool started;
    pthread_t thread;
};

/* Waits for fd; false when the peer is to stop, or after 30 s. */
static inline bool peer_wait(const struct peer *p, int fd, short events, int ms)
{
    struct pollfd polls[] = {{.fd = p->stop[0], .events = POLLIN}, {.fd = fd, .events = events}};
    return poll(polls, fd < 0 ? 1 : 2, ms) >= 0 && !polls[0].revents;
}

static inline void peer_echo(const struct peer *p, int fd)
{
    char data[4096];
    ssize_t size;
    while (peer_wait(p, fd, POLLIN, 30000) && (size = recv(fd, data, sizeof data, 0)) > 0)
        if (send(fd, data, (size_t)size, MSG_NOSIGNAL) < 0)
            return;
    send(fd, "bye", 3, MSG_NOSIGNAL);
}

static inline void peer_serve(const struct peer *p, int fd)
{
    static const char flood[4096];
    struct linger now = {1, 0};
    char byte;
    switch (p->manner) {
    case PEER_HELLO:
        send(fd, "hello\r\nworld\n", 13, MSG_NOSIGNAL);
        peer_wait(p, fd, POLLIN, 30000);
        break;
    case PEER_ECHO: peer_echo(p, fd); break;
    case PEER_STUMP: send(fd, "abc", 3, MSG_NOSIGNAL); break;
    case PEER_RESET:
        send(fd, "abc", 3, MSG_NOSIGNAL);
        if (peer_wait(p, fd, POLLIN, 30000) && recv(fd, &byte, 1, 0) == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        break;
    case PEER_DRIP:
        while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && peer_wait(p, -1, 0, 10))
            ;
        break;
    case PEER_FLOOD:
        while (peer_wait(p, fd, POLLOUT, 30000) && send(fd, flood, sizeof flood, MSG_NOSIGNAL) > 0)
            ;
        break;
    case PEER_SILENT: peer_wait(p, -1, 0, 30000); break;
    case PEER_HOLD:
    case PEER_DEAF: break;
    }
    close(fd);
}

static inline void peer_hold(const struct peer *p)
{
    static int held[6000];
    unsigned count = 0;
    while (count < sizeof held / sizeof *held && peer_wait(p, p->fd, POLLIN, 60000)) {
        held[count] = accept(p->fd, NULL, NULL);
        count += held[count] >= 0;
    }
    while (count > 0)
        close(held[--count]);
}

static inline void *peer_main(void *self)
{
    struct peer *p = self;
    if (p->manner == PEER_HOLD)
        peer_hold(p);
    if (p->manner == PEER_DEAF || p->manner == PEER_HOLD)
        return NULL;
    while (peer_wait(p, p->fd, POLLIN, 60000)) {
        int fd = accept(p->fd, NULL, NULL);
        if (fd >= 0)
            peer_serve(p, fd);
    }
    return NULL;
}

/* address is "127.0.0.1", "::1", or a path; false when that is not to be had. */
static inline bool peer_start(struct peer *p, enum peer_manner manner, const char *address,
                              int backlog)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } at = {0};
    socklen_t size = sizeof at.v6;
    *p = (struct peer){.manner = manner};
    if (address[0] == '/') {
        at.un.sun_family = AF_UNIX;
        strncpy(at.un.sun_path, address, sizeof at.un.sun_path - 1);
        size = sizeof at.un;
        unlink(address);
    } else if (inet_pton(AF_INET, address, &at.v4.sin_addr) == 1) {
        at.v4.sin_family = AF_INET;
    } else {
        at.v6.sin6_family = AF_INET6;
        inet_pton(AF_INET6, address, &at.v6.sin6_addr);
    }
    p->fd = socket(at.any.sa_family, SOCK_STREAM, 0);
    if (p->fd < 0 || bind(p->fd, &at.any, size) != 0 || listen(p->fd, backlog) != 0 ||
        pipe(p->stop) != 0)
        return false;
    getsockname(p->fd, &at.any, &size);
    p->port = ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
    p->started = pthread_create(&p->thread, NULL, peer_main, p) == 0;
    return p->started;
}

static inline void peer_stop(struct peer *p)
{
    if (!p->started)
        return;
    (void)!write(p->stop[1], "", 1);
    pthread_join(p->thread, NULL);
    close(p->fd);
    close(p->stop[0]);
    close(p->stop[1]);
    p->started = false;
}

#endif
