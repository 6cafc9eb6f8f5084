/* channel.c - see channel.h. */
#include "proc/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 128 * 1024,
    READS_PER_TURN = 8,          /* then others get their turn */
    KEPT_ROOM = 4 * 1024 * 1024, /* a buffer that grew beyond this is given back */
};

struct channel {
    struct loop *loop;
    int fd; /* -1 once ended */
    struct watch *watch;
    const struct channel_events *events;
    void *owner;
    struct deferred flush;
    struct buffer in, out;
    size_t out_at;   /* sent so far of out */
    size_t mark;     /* of the frame being written */
    bool waiting;    /* for the socket to become writable */
    bool deaf;       /* the peer reads no more: what we send is forgotten */
    bool ended;      /* why is set; on_closed was called or, by flush, is about to be */
    bool busy, gone; /* inside a callback; freed meanwhile */
    struct fault why;
};

static void dispose(struct channel *c)
{
    buffer_fini(&c->in);
    buffer_fini(&c->out);
    free(c);
}

/* Stops all traffic; the callback, if any, is the caller's affair. */
static void shut(struct channel *c)
{
    loop_unwatch(c->watch);
    c->watch = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->out_at = 0;
    buffer_clear(&c->out);
}

void channel_fail(struct channel *c, const struct fault *why)
{
    if (c->ended)
        return;
    c->ended = true;
    c->why = *why;
    shut(c);
    loop_defer(c->loop, &c->flush);
}

/* ---- out ---- */

static void hear(struct channel *c, bool writable)
{
    if (c->waiting == writable)
        return;
    c->waiting = writable;
    loop_watch_change(c->watch, writable ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void out_forget(struct channel *c)
{
    c->out_at = 0;
    if (c->out.room > KEPT_ROOM)
        buffer_fini(&c->out);
    buffer_clear(&c->out);
}

/* Writes what the socket takes.  True when nothing is left to wait for. */
static bool write_out(struct channel *c)
{
    while (c->out_at < c->out.size && !c->deaf) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.size - c->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            c->out_at += (size_t)n;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            if (c->out_at > c->out.size / 2) { /* seldom enough to stay linear */
                buffer_drop_front(&c->out, c->out_at);
                c->out_at = 0;
            }
            return false;
        } else if (errno != EINTR) {
            c->deaf = true; /* what it sent may still be unread: the end comes by reading */
        }
    }
    out_forget(c);
    return true;
}

static void on_flush(struct deferred *work)
{
    struct channel *c = list_entry(work, struct channel, flush);
    struct fault why = c->why;
    if (c->ended)
        c->events->on_closed(c->owner, &why); /* may free c */
    else
        hear(c, !write_out(c));
}

struct buffer *channel_begin(struct channel *c, enum wire_type type)
{
    c->mark = wire_begin(&c->out, type);
    return &c->out;
}

void channel_end(struct channel *c)
{
    if (!wire_end(&c->out, c->mark)) {
        struct fault why;
        fault_set(&why, FAULT_LIMIT, "a frame to be sent is larger than %d bytes",
                  WIRE_PAYLOAD_MAX);
        channel_fail(c, &why);
    } else if (c->ended || c->deaf) {
        out_forget(c);
    } else if (!c->waiting) {
        loop_defer(c->loop, &c->flush);
    }
}

size_t channel_pending(const struct channel *c)
{
    return c->out.size - c->out_at;
}

/* ---- in ---- */

/* Hands on every whole frame in c->in.  False when the channel ended. */
static bool dispatch(struct channel *c)
{
    size_t at = 0, size = 0;
    enum wire_found found = WIRE_MORE;
    struct wire_reader reader;
    struct fault why;
    while (!c->gone && !c->ended) {
        found = wire_next(c->in.data + at, c->in.size - at, &reader, &size, &why);
        if (found != WIRE_FRAME)
            break;
        at += size;
        c->events->on_frame(c->owner, reader.type, &reader);
    }
    if (c->gone || c->ended)
        return false;
    if (found == WIRE_BROKEN) {
        channel_fail(c, &why);
        return false;
    }
    if (at == c->in.size && c->in.room > KEPT_ROOM)
        buffer_fini(&c->in);
    else if (at)
        buffer_drop_front(&c->in, at);
    return true;
}

static void fail_closed(struct channel *c, int error)
{
    struct fault why;
    if (c->in.size)
        fault_set(&why, FAULT_CLOSED, "closed in the middle of a frame, %zu bytes into it",
                  c->in.size);
    else if (error && error != ECONNRESET)
        fault_set(&why, FAULT_CLOSED, "cannot read: %s", strerror(error));
    else
        fault_set(&why, FAULT_CLOSED, "closed by the other side");
    channel_fail(c, &why);
}

/* One read and its frames.  True when there may be more to read at once. */
static bool read_in(struct channel *c, bool hung_up)
{
    char *room = buffer_reserve(&c->in, READ_SIZE);
    size_t size = c->in.room - c->in.size;
    ssize_t n = recv(c->fd, room, size, MSG_DONTWAIT);
    if (n > 0) {
        c->in.size += (size_t)n;
        return dispatch(c) && (hung_up || (size_t)n == size);
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (n == 0 || hung_up || errno != EAGAIN)
        fail_closed(c, n == 0 ? 0 : errno);
    return false;
}

/* When the peer dies with something of ours unread the kernel reports an error
 * and libuv stops watching: what the peer had sent must be read here and now. */
static void on_ready(void *owner, int status, int events)
{
    struct channel *c = owner;
    c->busy = true;
    if (status == 0 && (events & LOOP_WRITE))
        hear(c, !write_out(c));
    if (status != 0 || (events & ~LOOP_WRITE)) {
        bool hung_up = status != 0;
        for (int reads = 0; read_in(c, hung_up); reads++)
            if (reads >= READS_PER_TURN && !hung_up)
                break;
    }
    c->busy = false;
    if (c->gone)
        dispose(c);
}

struct channel *channel_new(struct loop *loop, int fd, const struct channel_events *events,
                            void *owner, struct fault *why)
{
    struct channel *c = memory_new(sizeof *c);
    *c = (struct channel){.loop = loop, .fd = fd, .events = events, .owner = owner};
    list_init(&c->flush.link);
    c->flush.run = on_flush;
    c->watch = loop_watch(loop, fd, LOOP_READ, on_ready, c);
    if (c->watch)
        return c;
    fault_set(why, FAULT_INTERNAL, "cannot watch descriptor %d", fd);
    close(fd);
    dispose(c);
    return NULL;
}

void channel_free(struct channel *c)
{
    if (!c || c->gone)
        return;
    shut(c);
    loop_undefer(&c->flush);
    c->gone = true;
    if (!c->busy)
        dispose(c);
}
