/* pack.h - Lua values as bytes, between processes of one host.
 *
 * A worker packs what a check said, the supervisor unpacks it for the reporters.  Packing looks
 * at values raw: no metamethod runs, nothing is allocated in the state.  Unpacking trusts
 * nothing: a compromised worker may send any bytes.
 *
 *     n t f            nil, true, false
 *     i int64          s uint32 bytes
 *     d double         { value... [ | (key value)... ] }
 *
 * in the host's byte order.  Tables carry no counts, so that C can write them as they come and a
 * lying count cannot reserve memory. */
#ifndef HOSPITAL_VM_PACK_H
#define HOSPITAL_VM_PACK_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/redact.h"

/* -- Writing from C ---------------------------------------------------------
 *
 *     pack_table_begin(&b);
 *         pack_text(&b, "first item");
 *     pack_table_fields(&b);
 *         pack_text(&b, "kind"); pack_text(&b, "timeout");
 *     pack_table_end(&b);
 */
void pack_nil(struct buffer *out);
void pack_bool(struct buffer *out, bool value);
void pack_integer(struct buffer *out, int64_t value);
void pack_number(struct buffer *out, double value);
void pack_string(struct buffer *out, const char *data, size_t size);
void pack_text(struct buffer *out, const char *text); /* NULL packs nil */
void pack_table_begin(struct buffer *out);
void pack_table_fields(struct buffer *out); /* from here on: keys and values */
void pack_table_end(struct buffer *out);

/* No more than max bytes of it; then CUT_MARK and how much is missing. */
void pack_string_cut(struct buffer *out, const char *data, size_t size, size_t max);

/* -- From and to Lua -------------------------------------------------------- */

struct pack_limits {
    unsigned depth; /* tables in tables */
    size_t bytes;   /* of the whole value, about */
    size_t string;  /* of one string */
};

extern const struct pack_limits pack_default_limits; /* 8, 64 KB, 16 KB */

/* Appends the value at index; limits NULL: the default.  What is too deep, too long or too much
 * becomes a string that begins with CUT_MARK; functions, threads and userdata become their type's
 * name.  True when nothing was lost.  [-0, +0, -] */
bool pack_value(lua_State *L, int index, struct buffer *out, const struct pack_limits *limits);

enum { UNPACK_DEPTH = 64 };

/* Pushes the value that exactly these bytes pack, its strings redacted (redactor may be NULL), and
 * strings or tables under a secret's name replaced; or returns false and pushes nothing.
 * [-0, +(0|1), m] */
bool unpack_value(lua_State *L, const char *data, size_t size, const struct redactor *redactor);

/* Whether unpack_value would succeed: for a supervisor that refuses early. */
bool pack_is_valid(const char *data, size_t size);

/* How many of these bytes the first packed value takes; 0: they begin with none. */
size_t pack_first_size(const char *data, size_t size);

#endif
