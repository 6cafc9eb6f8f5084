/* wire.h - what supervisor and worker say to each other, as bytes.
 *
 * A stream of frames: a header {u32 length, u16 type, u16 magic}, then length
 * bytes of payload.  Both ends are forks of one binary on one machine, so
 * numbers travel in the machine's order; the magic carries the version all the
 * same, because a worker whose memory a crashing library overwrote must be
 * found out rather than believed.
 *
 * Writing appends to one struct buffer and copies nothing twice.  Reading goes
 * through a struct wire_reader over the bytes as they arrived: bounds are
 * checked on every read, the first bad read makes the reader bad for good, and
 * from then on every read gives zero or the empty string.  So a decoder reads
 * a whole payload without looking and asks once, with wire_finish.  Nothing
 * here reads or writes a descriptor. */
#ifndef HOSPITAL_PROC_WIRE_H
#define HOSPITAL_PROC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/fault.h"

enum {
    WIRE_MAGIC = 0x4801, /* 'H', and the version in the low byte */
    WIRE_HEADER_SIZE = 8,
    WIRE_PAYLOAD_MAX = 64 * 1024 * 1024,
};

/* Zero is no type, so that a zeroed header is never a frame. */
enum wire_type {
    /* supervisor to worker */
    WIRE_LOAD = 1, /* open a state for a file and say what is in it */
    WIRE_RUN,      /* these checks of a file */
    WIRE_GO,       /* one that waited for others may start */
    WIRE_SKIP,     /* one that waited will not run, and why */
    WIRE_DROP,     /* close the state of a file */
    /* worker to supervisor */
    WIRE_READY,  /* once, first; what confinement holds */
    WIRE_LOADED, /* the catalogue of a file, or why there is none */
    WIRE_RESULT, /* a check ended */
    WIRE_DONE,   /* a file ended: nothing of it is left */
    WIRE_TYPES,  /* how many there are, plus one */
};

const char *wire_type_name(unsigned type); /* "LOAD", ...; "unknown" */
static inline bool wire_type_is_workers(enum wire_type type)
{
    return type >= WIRE_READY && type < WIRE_TYPES;
}

/* Begins a frame at the end of b and returns its mark.  Frames do not nest. */
size_t wire_begin(struct buffer *b, enum wire_type type);

/* Ends the frame begun at mark.  False, and the frame taken back out of b,
 * when its payload is larger than WIRE_PAYLOAD_MAX. */
bool wire_end(struct buffer *b, size_t mark) CHECKED;

void wire_put_u8(struct buffer *b, uint8_t value);
void wire_put_u64(struct buffer *b, uint64_t value);
void wire_put_varint(struct buffer *b, uint64_t value); /* 1 byte up to 127, 10 at most */
void wire_put_bool(struct buffer *b, bool value);
void wire_put_string(struct buffer *b, const char *s); /* NULL stays NULL: see the reader */
void wire_put_bytes(struct buffer *b, const void *data, size_t size);

struct wire_reader {
    const char *at, *end;
    enum wire_type type;
    bool bad;        /* sticky */
    const char *why; /* of the first bad read: a literal */
};

/* A reader over payload bytes, which it borrows. */
struct wire_reader wire_reader_of(enum wire_type type, const void *payload, size_t size);

/* Strings and bytes point into the payload: copy what must outlive it.  A
 * string is terminated and has no NUL within. */
uint8_t wire_get_u8(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
uint64_t wire_get_varint(struct wire_reader *r);
bool wire_get_bool(struct wire_reader *r);
const char *wire_get_string(struct wire_reader *r);          /* never NULL: NULL there is bad */
const char *wire_get_optional_string(struct wire_reader *r); /* NULL if NULL was written, or bad */
const char *wire_get_bytes(struct wire_reader *r, size_t *size); /* never NULL */

/* A varint below limit, such as an enum or an index; 0 when bad. */
uint32_t wire_get_index(struct wire_reader *r, uint32_t limit);

/* How many items follow, each of at least one byte: a count that the payload
 * cannot hold is bad, so it is safe to allocate by. */
size_t wire_get_count(struct wire_reader *r);

/* Makes the reader bad by the decoder's own judgement; why is a literal. */
void wire_refuse(struct wire_reader *r, const char *why);

/* True when everything was read and nothing was bad; else the fault says
 * which frame and what was wrong with it. */
bool wire_finish(const struct wire_reader *r, struct fault *why) CHECKED;

enum wire_found {
    WIRE_FRAME,  /* *reader is over its payload, *size is header and payload */
    WIRE_MORE,   /* it is not whole yet; *size is what it will take, 0 if unknown */
    WIRE_BROKEN, /* this stream cannot be believed any more; *why says why */
};

/* Looks at the frame that begins at data. */
enum wire_found wire_next(const char *data, size_t have, struct wire_reader *reader, size_t *size,
                          struct fault *why);

#endif
