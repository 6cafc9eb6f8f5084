/* nursery.c - see nursery.h.  This is the supervisor's side; the process
 * itself is nest.c. */
#include "proc/nursery.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/exit.h"
#include "proc/nest.h"

enum { CLOSE_MS = 2000 };

struct request {
    struct nest_message message;
    int fd; /* owned; -1 for none */
};

/* Descriptors 0 to 2 are in use from here on, so that no socket lands there. */
static bool keep_stdio(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

bool nursery_open(struct nursery *n, nursery_prepare_fn *prepare, nursery_main_fn *worker_main,
                  void *context, struct fault *why)
{
    int pair[2];
    *n = (struct nursery){.fd = -1};
    if (!keep_stdio())
        return fault_set(why, FAULT_INTERNAL, "cannot open /dev/null: %s", strerror(errno));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_set(why, FAULT_INTERNAL, "cannot make a socket: %s", strerror(errno));
    pid_t supervisor = getpid();
    n->pid = fork();
    if (n->pid == 0)
        nest_main(pair[1], supervisor, prepare, worker_main, context);
    close(pair[1]);
    if (n->pid < 0) {
        n->pid = 0;
        close(pair[0]);
        return fault_set(why, FAULT_INTERNAL, "cannot fork: %s", strerror(errno));
    }
    n->fd = pair[0];
    return true;
}

/* ---- requests ---- */

static bool send_request(struct nursery *n, const struct request *request)
{
    struct iovec data = {.iov_base = (void *)(uintptr_t)&request->message,
                         .iov_len = sizeof request->message};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (request->fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &request->fd, sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(n->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    /* Any other error than a full socket is the nursery's death, which reading tells. */
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
        return false;
    if (request->fd >= 0)
        close(request->fd);
    return true;
}

static void send_unsent(struct nursery *n)
{
    size_t at = 0;
    struct request request;
    for (; at < n->unsent.size; at += sizeof request) {
        memcpy(&request, n->unsent.data + at, sizeof request);
        if (!send_request(n, &request))
            break;
    }
    if (at)
        buffer_drop_front(&n->unsent, at);
    loop_watch_change(n->watch, n->unsent.size ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void ask(struct nursery *n, enum nest_kind kind, unsigned number, int fd)
{
    struct request request = {.message = {.kind = kind, .number = number}, .fd = fd};
    if (n->unsent.size == 0 && send_request(n, &request))
        return;
    buffer_add(&n->unsent, &request, sizeof request);
    loop_watch_change(n->watch, LOOP_READ | LOOP_WRITE);
}

bool nursery_spawn(struct nursery *n, unsigned number, int fd, struct fault *why)
{
    if (number >= NURSERY_WORKERS || n->in_use[number] || !n->watch) {
        close(fd);
        return fault_set(why, FAULT_INTERNAL, "worker %u cannot be started: %s", number,
                         !n->watch ? "there is no nursery" : "its number is not free");
    }
    n->in_use[number] = true;
    n->asked[number] = false;
    ask(n, NEST_SPAWN, number, fd);
    return true;
}

void nursery_kill(struct nursery *n, unsigned number)
{
    if (number >= NURSERY_WORKERS || !n->in_use[number] || !n->watch)
        return;
    n->asked[number] = true;
    ask(n, NEST_KILL, number, -1);
}

/* ---- answers ---- */

static void forget_unsent(struct nursery *n)
{
    struct request request;
    for (size_t at = 0; at < n->unsent.size; at += sizeof request) {
        memcpy(&request, n->unsent.data + at, sizeof request);
        if (request.fd >= 0)
            close(request.fd);
    }
    buffer_fini(&n->unsent);
}

/* Lets go of the socket and the process. */
static int detach_and_reap(struct nursery *n)
{
    int status = 0;
    loop_unwatch(n->watch);
    n->watch = NULL;
    forget_unsent(n);
    close(n->fd);
    n->fd = -1;
    assert(n->pid > 0);    /* kill(0) would be our own group */
    kill(n->pid, SIGKILL); /* changes nothing if it is ending already */
    while (waitpid(n->pid, &status, 0) < 0 && errno == EINTR)
        ;
    n->pid = 0;
    return status;
}

static void lose(struct nursery *n, const char *protocol)
{
    struct fault why;
    char text[EXIT_TEXT_MAX];
    int status = detach_and_reap(n);
    if (protocol)
        fault_set(&why, FAULT_INTERNAL, "the process that starts workers misbehaves: %s", protocol);
    else
        fault_set(&why, FAULT_INTERNAL, "the process that starts workers was lost: %s",
                  exit_describe(status, text, sizeof text));
    n->events->on_lost(n->owner, &why);
}

static void take_message(struct nursery *n, const struct nest_message *m)
{
    struct fault why;
    if (m->number >= NURSERY_WORKERS || !n->in_use[m->number]) {
        lose(n, "it speaks of a worker that nobody asked for");
    } else if (m->kind == NEST_SPAWNED) {
        if (n->events->on_spawned)
            n->events->on_spawned(n->owner, m->number, m->pid);
    } else if (m->kind == NEST_EXITED) {
        struct nursery_exit exit = {m->number, m->pid, m->value, n->asked[m->number]};
        n->in_use[m->number] = false;
        n->events->on_exited(n->owner, &exit);
    } else if (m->kind == NEST_REFUSED) {
        n->in_use[m->number] = false;
        fault_set(&why, FAULT_INTERNAL, "worker %u cannot be started: %s", m->number,
                  strerror(m->value));
        n->events->on_refused(n->owner, m->number, &why);
    } else {
        lose(n, "it sent an unknown message");
    }
}

static void on_ready(void *owner, int status, int events)
{
    struct nursery *n = owner;
    if (status == 0 && (events & LOOP_WRITE))
        send_unsent(n);
    while (n->watch) { /* a callback may close */
        struct nest_message message;
        ssize_t got = recv(n->fd, &message, sizeof message, MSG_DONTWAIT);
        if (got == (ssize_t)sizeof message)
            take_message(n, &message);
        else if (got > 0)
            lose(n, "it sent half a message");
        else if (got < 0 && errno == EAGAIN && status == 0)
            return;
        else if (got == 0 || errno != EINTR)
            lose(n, NULL);
    }
}

bool nursery_attach(struct nursery *n, struct loop *loop, const struct nursery_events *events,
                    void *owner, struct fault *why)
{
    n->loop = loop;
    n->events = events;
    n->owner = owner;
    n->watch = loop_watch(loop, n->fd, LOOP_READ, on_ready, n);
    return n->watch || fault_set(why, FAULT_INTERNAL, "cannot watch the nursery's socket");
}

void nursery_close(struct nursery *n)
{
    if (n->pid == 0)
        return;
    uint64_t now_ns = clock_now_ns(), until_ns = now_ns + CLOSE_MS * NS_PER_MS;
    loop_unwatch(n->watch);
    n->watch = NULL;
    shutdown(n->fd, SHUT_WR);
    /* Its end of the socket closes when it exits, after its workers. */
    for (; now_ns < until_ns; now_ns = clock_now_ns()) {
        struct pollfd p = {.fd = n->fd, .events = POLLIN};
        struct nest_message message;
        poll(&p, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
        ssize_t got = recv(n->fd, &message, sizeof message, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            break;
    }
    detach_and_reap(n);
    memset(n->in_use, 0, sizeof n->in_use);
}
