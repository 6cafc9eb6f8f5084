/* channel.h - frames over one end of a socket pair, without ever waiting.
 *
 * What comes in is read in big pieces and handed on frame by frame, without a
 * copy or an allocation per frame.  What goes out is collected and sent once
 * per turn of the loop, in one write if the socket takes it, and else as it
 * takes it.  A peer that died is heard out: everything that it sent before
 * comes first, the end after it.
 *
 * The channel takes its descriptor.  Its callbacks may send, fail and free it. */
#ifndef HOSPITAL_PROC_CHANNEL_H
#define HOSPITAL_PROC_CHANNEL_H

#include "loop/loop.h"
#include "proc/wire.h"

struct channel;

struct channel_events {
    /* A whole frame; the reader and what it points to last for this call. */
    void (*on_frame)(void *owner, enum wire_type type, struct wire_reader *payload);
    /* The channel has ended, for the reason given: FAULT_CLOSED when the peer
     * closed or died, FAULT_PROTOCOL when it sent what it must not, or what
     * channel_fail was told.  Called once, from the loop, and no frame comes
     * after it; the owner still frees the channel. */
    void (*on_closed)(void *owner, const struct fault *why);
};

/* Takes fd, which is made nonblocking.  On failure fd is closed too. */
struct channel *channel_new(struct loop *loop, int fd, const struct channel_events *events,
                            void *owner, struct fault *why) CHECKED;

/* Closes without a callback; what was not sent is lost.  NULL is harmless. */
void channel_free(struct channel *c);

/* Begins a frame; its payload is written with wire_put_... to the buffer
 * returned, and channel_end completes it.  After the channel has ended frames
 * are taken and forgotten.  A frame over WIRE_PAYLOAD_MAX fails the channel. */
struct buffer *channel_begin(struct channel *c, enum wire_type type);
void channel_end(struct channel *c);

/* Bytes that wait for the peer to read: the measure for backpressure. */
size_t channel_pending(const struct channel *c);

/* Ends the channel because of what a frame said; on_closed follows. */
void channel_fail(struct channel *c, const struct fault *why);

#endif
