/* stream.h - a byte stream as a script sees it: send, receive, shutdown, close.
 *
 * What moves the bytes is a struct stream_io (a descriptor's read and write here,
 * a TLS session's elsewhere); how they are framed, bounded and waited for is the
 * same for all.  Bytes are read from the peer only while a script asks for them,
 * so a peer that never stops fills no memory; what is held counts against the
 * sandbox's.
 *
 * An op that is waited for many times: idle, it is done. */
#ifndef HOSPITAL_BIND_STREAM_H
#define HOSPITAL_BIND_STREAM_H

#include <lua.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "bind/dial.h"
#include "loop/op.h"

struct stream;

/* Like recv and send: -1 and errno; EAGAIN when the descriptor must be waited
 * for, to be readable or writable as the call's name says. */
struct stream_io {
    ssize_t (*read)(struct stream *stream, void *data, size_t size);
    ssize_t (*write)(struct stream *stream, const void *data, size_t size);
    int (*shutdown)(struct stream *stream); /* no more will be sent */
    void (*close)(struct stream *stream);   /* all but the descriptor; may be NULL */
};

enum stream_want { WANT_SOME, WANT_COUNT, WANT_UNTIL, WANT_ALL, WANT_SENT };

enum { STREAM_DELIMITER_MAX = 64 };

struct stream {
    struct op op;
    const struct stream_io *io;
    struct watch *watch;
    int fd;        /* owned */
    struct vm *vm; /* charged for what in and out hold; NULL in stock Lua */
    struct buffer in, out;
    size_t charged;
    bool ended; /* the peer sent its last byte, or error says what happened */
    int error;
    enum stream_want want; /* of the wait under way */
    size_t most, scanned;  /* bytes wanted at the most; already searched */
    size_t take, skip;     /* what the answer is: so many bytes, so many left out after it */
    uint64_t timeout_ns, began_ns;
    uint64_t usual_timeout_ns;
    struct dial_result facts;
    uint16_t port;
    unsigned char delimiter_size;
    char delimiter[STREAM_DELIMITER_MAX];
    char target[]; /* "127.0.0.1:5432" */
};

/* Pushes a stream over what the dial connected; usual_timeout_ns is each
 * operation's unless it is given one.  [-0, +1, v] */
struct stream *stream_push(lua_State *L, struct dial *dial, const char *target, uint16_t port,
                           uint64_t usual_timeout_ns);

#endif
