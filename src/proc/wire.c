/* wire.c - see wire.h. */
#include "proc/wire.h"

#include <assert.h>
#include <string.h>

struct header {
    uint32_t length;
    uint16_t type;
    uint16_t magic;
};
_Static_assert(sizeof(struct header) == WIRE_HEADER_SIZE, "the header has no padding");

const char *wire_type_name(unsigned type)
{
    static const char *const names[] = {
        [WIRE_LOAD] = "LOAD",     [WIRE_RUN] = "RUN",       [WIRE_GO] = "GO",
        [WIRE_SKIP] = "SKIP",     [WIRE_DROP] = "DROP",     [WIRE_READY] = "READY",
        [WIRE_LOADED] = "LOADED", [WIRE_RESULT] = "RESULT", [WIRE_DONE] = "DONE",
    };
    _Static_assert(sizeof names / sizeof *names == WIRE_TYPES, "each type has a name");
    return type > 0 && type < WIRE_TYPES ? names[type] : "unknown";
}

/* ---- writing ---- */

size_t wire_begin(struct buffer *b, enum wire_type type)
{
    size_t mark = b->size;
    struct header header = {.type = (uint16_t)type, .magic = WIRE_MAGIC};
    buffer_add(b, &header, sizeof header);
    return mark;
}

bool wire_end(struct buffer *b, size_t mark)
{
    assert(b->size >= mark + WIRE_HEADER_SIZE);
    size_t length = b->size - mark - WIRE_HEADER_SIZE;
    if (length > WIRE_PAYLOAD_MAX) {
        b->size = mark;
        return false;
    }
    uint32_t length32 = (uint32_t)length;
    memcpy(b->data + mark + offsetof(struct header, length), &length32, sizeof length32);
    return true;
}

void wire_put_u8(struct buffer *b, uint8_t value)
{
    *buffer_reserve(b, 1) = (char)value;
    b->size++;
}

void wire_put_u64(struct buffer *b, uint64_t value)
{
    buffer_add(b, &value, sizeof value);
}

void wire_put_varint(struct buffer *b, uint64_t value)
{
    char *at = buffer_reserve(b, 10);
    size_t n = 0;
    for (; value > 0x7f; value >>= 7)
        at[n++] = (char)(value | 0x80);
    at[n++] = (char)value;
    b->size += n;
}

void wire_put_bool(struct buffer *b, bool value)
{
    wire_put_u8(b, value);
}

void wire_put_bytes(struct buffer *b, const void *data, size_t size)
{
    wire_put_varint(b, size);
    buffer_add(b, data, size);
}

/* The terminator travels too, so that the reader need not copy; NULL is then
 * the string without even that. */
void wire_put_string(struct buffer *b, const char *s)
{
    wire_put_bytes(b, s, s ? strlen(s) + 1 : 0);
}

/* ---- reading ---- */

struct wire_reader wire_reader_of(enum wire_type type, const void *payload, size_t size)
{
    const char *at = payload ? payload : "";
    return (struct wire_reader){.at = at, .end = at + (payload ? size : 0), .type = type};
}

void wire_refuse(struct wire_reader *r, const char *why)
{
    if (r->bad)
        return;
    r->bad = true;
    r->why = why;
}

static void take(struct wire_reader *r, void *value, size_t size)
{
    if (!r->bad && (size_t)(r->end - r->at) >= size) {
        memcpy(value, r->at, size);
        r->at += size;
    } else {
        memset(value, 0, size);
        wire_refuse(r, "it is cut short");
    }
}

uint8_t wire_get_u8(struct wire_reader *r)
{
    uint8_t value;
    take(r, &value, sizeof value);
    return value;
}

uint64_t wire_get_u64(struct wire_reader *r)
{
    uint64_t value;
    take(r, &value, sizeof value);
    return value;
}

uint64_t wire_get_varint(struct wire_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = wire_get_u8(r);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return r->bad ? 0 : value;
    }
    wire_refuse(r, "a number is too long");
    return 0;
}

bool wire_get_bool(struct wire_reader *r)
{
    return wire_get_index(r, 2) != 0;
}

uint32_t wire_get_index(struct wire_reader *r, uint32_t limit)
{
    uint64_t value = wire_get_varint(r);
    if (value < limit)
        return (uint32_t)value;
    wire_refuse(r, "a number is out of range");
    return 0;
}

size_t wire_get_count(struct wire_reader *r)
{
    uint64_t count = wire_get_varint(r);
    if (r->bad || count <= (uint64_t)(r->end - r->at))
        return (size_t)count;
    wire_refuse(r, "a count is larger than what follows");
    return 0;
}

const char *wire_get_bytes(struct wire_reader *r, size_t *size)
{
    *size = wire_get_count(r);
    if (r->bad)
        return "";
    const char *data = r->at;
    r->at += *size;
    return data;
}

const char *wire_get_optional_string(struct wire_reader *r)
{
    size_t size;
    const char *s = wire_get_bytes(r, &size);
    if (size == 0)
        return NULL;
    if (memchr(s, 0, size) == s + size - 1)
        return s;
    wire_refuse(r, "a string is not terminated where it ends");
    return NULL;
}

const char *wire_get_string(struct wire_reader *r)
{
    const char *s = wire_get_optional_string(r);
    if (s)
        return s;
    wire_refuse(r, "a string is missing");
    return "";
}

bool wire_finish(const struct wire_reader *r, struct fault *why)
{
    const char *name = wire_type_name(r->type);
    if (r->bad)
        return fault_set(why, FAULT_PROTOCOL, "bad %s frame: %s", name, r->why);
    if (r->at != r->end)
        return fault_set(why, FAULT_PROTOCOL, "bad %s frame: %zu bytes too many", name,
                         (size_t)(r->end - r->at));
    return true;
}

enum wire_found wire_next(const char *data, size_t have, struct wire_reader *reader, size_t *size,
                          struct fault *why)
{
    struct header header;
    *size = 0;
    if (have < sizeof header)
        return WIRE_MORE;
    memcpy(&header, data, sizeof header);
    if (header.magic != WIRE_MAGIC) {
        fault_set(why, FAULT_PROTOCOL, "not a frame of protocol %#x: its mark is %#x", WIRE_MAGIC,
                  header.magic);
        return WIRE_BROKEN;
    }
    if (header.type == 0 || header.type >= WIRE_TYPES) {
        fault_set(why, FAULT_PROTOCOL, "frame of unknown type %u", header.type);
        return WIRE_BROKEN;
    }
    if (header.length > WIRE_PAYLOAD_MAX) {
        fault_set(why, FAULT_PROTOCOL, "%s frame of %u bytes, more than the limit of %d",
                  wire_type_name(header.type), header.length, WIRE_PAYLOAD_MAX);
        return WIRE_BROKEN;
    }
    *size = sizeof header + header.length;
    if (have < *size)
        return WIRE_MORE;
    *reader = wire_reader_of(header.type, data + sizeof header, header.length);
    return WIRE_FRAME;
}
