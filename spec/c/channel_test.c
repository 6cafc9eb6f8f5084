/* channel_test.c - frames arrive whole and in order however the bytes come,
 * the end of a peer comes after its last words, and a channel may be freed
 * from inside its own callbacks. */
#include "proc/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "test.h"

/* One loop, and a channel on one end of a pair; the test holds the other. */
struct end {
    struct loop loop;
    struct channel *channel;
    int peer;
    uint64_t frames, sum, bytes;
    unsigned closed;
    struct fault why;
    bool free_on_frame, free_on_close, fail_on_frame, echo;
    bool out_of_order;
};

static void on_frame(void *owner, enum wire_type type, struct wire_reader *r)
{
    struct end *e = owner;
    struct fault why;
    size_t size;
    CHECK(type == WIRE_RESULT && e->channel);
    uint64_t number = wire_get_varint(r);
    const char *data = wire_get_bytes(r, &size);
    CHECK(wire_finish(r, &why));
    e->out_of_order |= number != e->frames;
    e->frames++;
    e->sum += number;
    e->bytes += size;
    if (e->echo) {
        struct buffer *b = channel_begin(e->channel, WIRE_RESULT);
        wire_put_varint(b, number);
        wire_put_bytes(b, data, size);
        channel_end(e->channel);
    }
    if (e->fail_on_frame) {
        fault_set(&why, FAULT_PROTOCOL, "I do not like it");
        channel_fail(e->channel, &why);
    }
    if (e->free_on_frame) {
        channel_free(e->channel);
        e->channel = NULL;
        CHECK(size == 0 || data[size - 1] == 'x'); /* still there */
    }
}

static void on_closed(void *owner, const struct fault *why)
{
    struct end *e = owner;
    e->closed++;
    e->why = *why;
    if (e->free_on_close) {
        channel_free(e->channel);
        e->channel = NULL;
    }
}

static const struct channel_events events = {on_frame, on_closed};

static void end_open(struct end *e)
{
    int pair[2];
    struct fault why;
    *e = (struct end){0};
    CHECK(loop_open(&e->loop));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    e->peer = pair[1];
    e->channel = channel_new(&e->loop, pair[0], &events, e, &why);
    CHECK(e->channel != NULL);
}

static void end_close(struct end *e)
{
    channel_free(e->channel);
    if (e->peer >= 0)
        close(e->peer);
    CHECK(e->loop.watches == 0);
    loop_close(&e->loop);
}

static void add_frame(struct buffer *b, uint64_t number, size_t size)
{
    size_t mark = wire_begin(b, WIRE_RESULT);
    char *data = malloc(size + 1);
    memset(data, 'x', size);
    wire_put_varint(b, number);
    wire_put_bytes(b, data, size);
    CHECK(wire_end(b, mark));
    free(data);
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0) {
            CHECK(errno == EINTR);
            break;
        }
        data += n;
        size -= (size_t)n;
    }
}

/* That many frames of that size, from the other side. */
static void write_frames(const struct end *e, uint64_t count, size_t size)
{
    struct buffer b = {0};
    for (uint64_t i = 0; i < count; i++)
        add_frame(&b, i, size);
    write_all(e->peer, b.data, b.size);
    buffer_fini(&b);
}

/* Turns the loop until the condition holds, 10 s at most. */
#define TURN_UNTIL(e, condition)                                                                   \
    do {                                                                                           \
        uint64_t until_ = clock_now_ns() + 10 * NS_PER_S;                                          \
        while (!(condition) && clock_now_ns() < until_)                                            \
            loop_turn(&(e)->loop, 100 * NS_PER_MS);                                                \
        CHECK(condition);                                                                          \
    } while (0)

static void send_empty(struct channel *c, enum wire_type type)
{
    channel_begin(c, type);
    channel_end(c);
}

TEST(frames_arrive_byte_by_byte)
{
    struct end e;
    struct buffer b = {0};
    end_open(&e);
    for (uint64_t i = 0; i < 20; i++)
        add_frame(&b, i, i * 3);
    for (size_t i = 0; i < b.size; i++) {
        write_all(e.peer, b.data + i, 1);
        loop_turn(&e.loop, 0);
    }
    TURN_UNTIL(&e, e.frames == 20);
    CHECK(!e.out_of_order && e.bytes == 19 * 20 / 2 * 3 && e.closed == 0);
    buffer_fini(&b);
    end_close(&e);
}

/* A writer of its own, so that both directions fill and drain. */
static pid_t fork_writer(struct end *e, const struct buffer *b)
{
    pid_t pid = fork();
    if (pid == 0) {
        write_all(e->peer, b->data, b->size);
        _exit(0);
    }
    close(e->peer);
    e->peer = -1;
    return pid;
}

TEST(huge_frames_arrive)
{
    struct end e;
    struct buffer b = {0};
    end_open(&e);
    add_frame(&b, 0, 10);
    add_frame(&b, 1, 20 * 1024 * 1024);
    add_frame(&b, 2, 10);
    pid_t pid = fork_writer(&e, &b);
    TURN_UNTIL(&e, e.closed);
    CHECK(e.frames == 3 && !e.out_of_order && e.bytes == 20 * 1024 * 1024 + 20);
    CHECK(e.why.kind == FAULT_CLOSED);
    CHECK(waitpid(pid, NULL, 0) == pid);
    buffer_fini(&b);
    end_close(&e);
}

TEST(a_hundred_thousand_frames_arrive_in_order)
{
    enum { COUNT = 100000 };
    struct end e;
    struct buffer b = {0};
    end_open(&e);
    for (uint64_t i = 0; i < COUNT; i++)
        add_frame(&b, i, 100);
    uint64_t began_ns = clock_now_ns();
    pid_t pid = fork_writer(&e, &b);
    TURN_UNTIL(&e, e.closed);
    printf("  %d frames in %.1f ms\n", COUNT, (double)(clock_now_ns() - began_ns) / 1e6);
    CHECK(e.frames == COUNT && !e.out_of_order);
    CHECK(waitpid(pid, NULL, 0) == pid);
    buffer_fini(&b);
    end_close(&e);
}

/* Two channels on one loop; the sender writes much more than the socket holds. */
TEST(what_does_not_fit_is_sent_when_it_fits)
{
    struct end e;
    struct fault why;
    struct end other = {0};
    end_open(&e);
    other.channel = channel_new(&e.loop, e.peer, &events, &other, &why);
    e.peer = -1;
    enum { COUNT = 3000 };
    char data[2000];
    memset(data, 'x', sizeof data);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct buffer *b = channel_begin(other.channel, WIRE_RESULT);
        wire_put_varint(b, i);
        wire_put_bytes(b, data, sizeof data);
        channel_end(other.channel);
    }
    CHECK(channel_pending(other.channel) > COUNT * sizeof data);
    CHECK(e.frames == 0); /* nothing is sent before the turn ends */
    e.echo = true;
    TURN_UNTIL(&e, other.frames == COUNT);
    CHECK(e.frames == COUNT && !e.out_of_order && !other.out_of_order);
    CHECK(channel_pending(other.channel) == 0 && channel_pending(e.channel) == 0);
    channel_free(other.channel);
    end_close(&e);
}

TEST(one_turn_is_one_write)
{
    struct end e;
    char got[4096];
    end_open(&e);
    for (int i = 0; i < 100; i++)
        send_empty(e.channel, WIRE_GO);
    CHECK(recv(e.peer, got, sizeof got, MSG_DONTWAIT) < 0);
    loop_turn(&e.loop, 0);
    CHECK(recv(e.peer, got, sizeof got, MSG_DONTWAIT) == 100 * WIRE_HEADER_SIZE);
    end_close(&e);
}

TEST(an_end_between_frames_is_plain)
{
    struct end e;
    end_open(&e);
    write_frames(&e, 1, 5);
    close(e.peer);
    e.peer = -1;
    TURN_UNTIL(&e, e.closed);
    CHECK(e.frames == 1 && e.closed == 1 && e.why.kind == FAULT_CLOSED);
    CHECK_STRING(e.why.message, "closed by the other side");
    send_empty(e.channel, WIRE_GO); /* forgotten, harmless */
    CHECK(channel_pending(e.channel) == 0);
    loop_turn(&e.loop, 0);
    CHECK(e.closed == 1);
    end_close(&e);
}

TEST(an_end_in_the_middle_of_a_frame_is_said)
{
    struct end e;
    struct buffer b = {0};
    end_open(&e);
    add_frame(&b, 0, 5);
    add_frame(&b, 1, 50);
    write_all(e.peer, b.data, b.size - 10);
    close(e.peer);
    e.peer = -1;
    TURN_UNTIL(&e, e.closed);
    CHECK(e.frames == 1 && e.why.kind == FAULT_CLOSED);
    CHECK(strstr(e.why.message, "in the middle of a frame") != NULL);
    buffer_fini(&b);
    end_close(&e);
}

/* The story: a worker that crashes with a RUN unread in its socket makes the
 * kernel report an error on ours, and libuv stops the watch at once. */
TEST(last_words_are_heard_when_the_peer_left_something_unread)
{
    struct end e;
    end_open(&e);
    send_empty(e.channel, WIRE_RUN);
    loop_turn(&e.loop, 0);
    write_frames(&e, 1000, 50);
    close(e.peer);
    e.peer = -1;
    send_empty(e.channel, WIRE_RUN);
    TURN_UNTIL(&e, e.closed);
    CHECK(e.frames == 1000 && e.closed == 1 && e.why.kind == FAULT_CLOSED);
    end_close(&e);
}

TEST(garbage_is_a_protocol_fault)
{
    struct end e;
    struct buffer b = {0};
    end_open(&e);
    add_frame(&b, 0, 5);
    buffer_add_string(&b, "GET / HTTP/1.1\r\n");
    write_all(e.peer, b.data, b.size);
    TURN_UNTIL(&e, e.closed);
    CHECK(e.frames == 1 && e.why.kind == FAULT_PROTOCOL);
    buffer_fini(&b);
    end_close(&e);
}

TEST(a_channel_may_be_freed_by_a_frame)
{
    struct end e;
    end_open(&e);
    write_frames(&e, 10, 100);
    e.free_on_frame = e.echo = true;
    for (int i = 0; i < 5; i++)
        loop_turn(&e.loop, 0);
    CHECK(e.frames == 1 && e.closed == 0 && e.channel == NULL && e.loop.watches == 0);
    end_close(&e);
}

TEST(a_channel_may_be_freed_by_its_end)
{
    struct end e;
    end_open(&e);
    e.free_on_close = true;
    close(e.peer);
    e.peer = -1;
    TURN_UNTIL(&e, e.closed);
    CHECK(e.channel == NULL && e.closed == 1);
    end_close(&e);
}

TEST(a_channel_may_be_failed_and_freed_by_the_same_frame)
{
    struct end e;
    end_open(&e);
    write_frames(&e, 1, 100);
    e.free_on_frame = e.fail_on_frame = true;
    for (int i = 0; i < 5; i++)
        loop_turn(&e.loop, 0);
    CHECK(e.frames == 1 && e.closed == 0 && e.channel == NULL);
    end_close(&e);
}

TEST(failing_stops_frames_and_tells_once)
{
    struct end e;
    end_open(&e);
    write_frames(&e, 10, 100);
    e.fail_on_frame = e.free_on_close = true;
    TURN_UNTIL(&e, e.closed);
    loop_turn(&e.loop, 0);
    CHECK(e.frames == 1 && e.closed == 1 && e.why.kind == FAULT_PROTOCOL);
    end_close(&e);
}

TEST(a_frame_over_the_limit_fails_the_channel)
{
    struct end e;
    end_open(&e);
    struct buffer *b = channel_begin(e.channel, WIRE_RESULT);
    buffer_reserve(b, WIRE_PAYLOAD_MAX + 1);
    b->size += WIRE_PAYLOAD_MAX + 1;
    channel_end(e.channel);
    TURN_UNTIL(&e, e.closed);
    CHECK(e.why.kind == FAULT_LIMIT);
    end_close(&e);
}

int main(void)
{
    RUN(frames_arrive_byte_by_byte);
    RUN(huge_frames_arrive);
    RUN(a_hundred_thousand_frames_arrive_in_order);
    RUN(what_does_not_fit_is_sent_when_it_fits);
    RUN(one_turn_is_one_write);
    RUN(an_end_between_frames_is_plain);
    RUN(an_end_in_the_middle_of_a_frame_is_said);
    RUN(last_words_are_heard_when_the_peer_left_something_unread);
    RUN(garbage_is_a_protocol_fault);
    RUN(a_channel_may_be_freed_by_a_frame);
    RUN(a_channel_may_be_freed_by_its_end);
    RUN(a_channel_may_be_failed_and_freed_by_the_same_frame);
    RUN(failing_stops_frames_and_tells_once);
    RUN(a_frame_over_the_limit_fails_the_channel);
    return test_report();
}
