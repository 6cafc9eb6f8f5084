/* pack.c - see pack.h. */
#include "vm/pack.h"

#include <math.h>
#include <string.h>

const struct pack_limits pack_default_limits = {.depth = 8, .bytes = 64 << 10, .string = 16 << 10};

static void add_byte(struct buffer *out, char tag)
{
    buffer_add(out, &tag, 1);
}

void pack_nil(struct buffer *out)
{
    add_byte(out, 'n');
}

void pack_bool(struct buffer *out, bool value)
{
    add_byte(out, value ? 't' : 'f');
}

void pack_integer(struct buffer *out, int64_t value)
{
    add_byte(out, 'i');
    buffer_add(out, &value, sizeof value);
}

void pack_number(struct buffer *out, double value)
{
    add_byte(out, 'd');
    buffer_add(out, &value, sizeof value);
}

void pack_string(struct buffer *out, const char *data, size_t size)
{
    uint32_t length = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    add_byte(out, 's');
    buffer_add(out, &length, sizeof length);
    buffer_add(out, data, length);
}

void pack_text(struct buffer *out, const char *text)
{
    if (text)
        pack_string(out, text, strlen(text));
    else
        pack_nil(out);
}

void pack_table_begin(struct buffer *out)
{
    add_byte(out, '{');
}

void pack_table_fields(struct buffer *out)
{
    add_byte(out, '|');
}

void pack_table_end(struct buffer *out)
{
    add_byte(out, '}');
}

void pack_string_cut(struct buffer *out, const char *data, size_t size, size_t max)
{
    if (size <= max) {
        pack_string(out, data, size);
        return;
    }
    size_t keep = max; /* never half a UTF-8 sequence */
    while (keep > 0 && max - keep < 3 && ((unsigned char)data[keep] & 0xC0) == 0x80)
        keep--;
    struct buffer text = {0};
    buffer_add(&text, data, keep);
    buffer_addf(&text, CUT_MARK "%zu more bytes]", size - keep);
    pack_string(out, text.data, text.size);
    buffer_fini(&text);
}

/* -- From Lua --------------------------------------------------------------- */

struct packer {
    lua_State *L;
    struct buffer *out;
    const struct pack_limits *limits;
    size_t start;
    bool whole;
    bool full; /* the marker that says so is written; only closing brackets follow */
};

static void pack_any(struct packer *p, int index, unsigned depth);

static size_t room_left(const struct packer *p)
{
    size_t used = p->out->size - p->start;
    return used < p->limits->bytes ? p->limits->bytes - used : 0;
}

static void pack_cut(struct packer *p, const char *why)
{
    p->whole = false;
    struct buffer text = {0};
    buffer_addf(&text, CUT_MARK "%s]", why);
    pack_string(p->out, text.data, text.size);
    buffer_fini(&text);
}

static void pack_lua_string(struct packer *p, int index)
{
    size_t size, max = p->limits->string;
    const char *data = lua_tolstring(p->L, index, &size);
    if (max > room_left(p))
        max = room_left(p);
    p->whole = p->whole && size <= max;
    pack_string_cut(p->out, data, size, max);
}

static bool is_item(lua_State *L, int index, lua_Unsigned count)
{
    return lua_isinteger(L, index) && (lua_Unsigned)lua_tointeger(L, index) - 1 < count;
}

static void pack_key(struct packer *p, int index)
{
    switch (lua_type(p->L, index)) {
    case LUA_TSTRING:
    case LUA_TNUMBER:
    case LUA_TBOOLEAN: pack_any(p, index, 0); break;
    default: p->whole = false; pack_text(p->out, lua_typename(p->L, lua_type(p->L, index)));
    }
}

static void pack_items(struct packer *p, int index, lua_Unsigned count, unsigned depth)
{
    for (lua_Unsigned i = 1; i <= count && !p->full; i++) {
        if (room_left(p) == 0) {
            pack_cut(p, "too much");
            p->full = true;
            break;
        }
        lua_rawgeti(p->L, index, (lua_Integer)i);
        pack_any(p, lua_gettop(p->L), depth + 1);
        lua_pop(p->L, 1);
    }
}

static void pack_fields(struct packer *p, int index, lua_Unsigned count, unsigned depth)
{
    bool begun = false;
    lua_pushnil(p->L);
    while (lua_next(p->L, index)) {
        int value = lua_gettop(p->L), key = value - 1;
        if (p->full) {
            lua_pop(p->L, 2);
            return;
        }
        if (is_item(p->L, key, count)) {
            lua_pop(p->L, 1);
            continue;
        }
        if (!begun)
            pack_table_fields(p->out);
        begun = true;
        if (room_left(p) == 0) {
            pack_text(p->out, "\xe2\x80\xa6");
            pack_cut(p, "too much");
            p->full = true;
            lua_pop(p->L, 2);
            return;
        }
        pack_key(p, key);
        pack_any(p, value, depth + 1);
        lua_pop(p->L, 1);
    }
}

static void pack_table(struct packer *p, int index, unsigned depth)
{
    if (depth >= p->limits->depth || depth >= UNPACK_DEPTH - 1 || !lua_checkstack(p->L, 6)) {
        pack_cut(p, "nested too deeply");
        return;
    }
    lua_Unsigned count = lua_rawlen(p->L, index);
    pack_table_begin(p->out);
    pack_items(p, index, count, depth);
    if (!p->full)
        pack_fields(p, index, count, depth);
    pack_table_end(p->out);
}

static void pack_any(struct packer *p, int index, unsigned depth)
{
    switch (lua_type(p->L, index)) {
    case LUA_TNIL: pack_nil(p->out); break;
    case LUA_TBOOLEAN: pack_bool(p->out, lua_toboolean(p->L, index)); break;
    case LUA_TNUMBER:
        if (lua_isinteger(p->L, index))
            pack_integer(p->out, lua_tointeger(p->L, index));
        else
            pack_number(p->out, lua_tonumber(p->L, index));
        break;
    case LUA_TSTRING: pack_lua_string(p, index); break;
    case LUA_TTABLE: pack_table(p, index, depth); break;
    default: p->whole = false; pack_text(p->out, lua_typename(p->L, lua_type(p->L, index)));
    }
}

bool pack_value(lua_State *L, int index, struct buffer *out, const struct pack_limits *limits)
{
    struct packer p = {.L = L, .out = out, .start = out->size, .whole = true};
    p.limits = limits ? limits : &pack_default_limits;
    pack_any(&p, lua_absindex(L, index), 0);
    return p.whole;
}

/* -- To Lua ----------------------------------------------------------------- */

struct unpacker {
    lua_State *L; /* NULL: only look whether the bytes are right */
    const char *at, *end;
    const struct redactor *redactor;
    struct buffer *scratch;
};

static bool unpack_any(struct unpacker *u, unsigned depth, bool as_key);

static bool take(struct unpacker *u, void *to, size_t size)
{
    if ((size_t)(u->end - u->at) < size)
        return false;
    memcpy(to, u->at, size);
    u->at += size;
    return true;
}

static bool next_is(struct unpacker *u, char tag)
{
    if (u->at == u->end || *u->at != tag)
        return false;
    u->at++;
    return true;
}

static bool unpack_string(struct unpacker *u)
{
    uint32_t size;
    if (!take(u, &size, sizeof size) || (size_t)(u->end - u->at) < size)
        return false;
    if (u->L) {
        buffer_clear(u->scratch);
        if (redact(u->redactor, u->at, size, u->scratch))
            lua_pushlstring(u->L, u->scratch->data, u->scratch->size);
        else
            lua_pushlstring(u->L, u->at, size);
    }
    u->at += size;
    return true;
}

static bool unpack_number(struct unpacker *u, bool as_key)
{
    double number;
    if (!take(u, &number, sizeof number) || (as_key && isnan(number)))
        return false;
    if (u->L)
        lua_pushnumber(u->L, number);
    return true;
}

static bool unpack_integer(struct unpacker *u)
{
    int64_t integer;
    if (!take(u, &integer, sizeof integer))
        return false;
    if (u->L)
        lua_pushinteger(u->L, integer);
    return true;
}

static bool unpack_bool(struct unpacker *u, bool value)
{
    if (u->L)
        lua_pushboolean(u->L, value);
    return true;
}

static bool unpack_items(struct unpacker *u, unsigned depth)
{
    for (lua_Integer i = 1; u->at < u->end && *u->at != '|' && *u->at != '}'; i++) {
        if (!unpack_any(u, depth + 1, false))
            return false;
        if (u->L)
            lua_rawseti(u->L, -2, i);
    }
    return true;
}

/* Key and value are on the stack. */
static void hide_secret(struct unpacker *u)
{
    int type = lua_type(u->L, -1);
    if (!u->redactor || lua_type(u->L, -2) != LUA_TSTRING ||
        (type != LUA_TSTRING && type != LUA_TTABLE))
        return;
    size_t size;
    const char *name = lua_tolstring(u->L, -2, &size);
    if (redact_is_secret_name(name, size)) {
        lua_pop(u->L, 1);
        lua_pushliteral(u->L, REDACTED);
    }
}

static bool unpack_fields(struct unpacker *u, unsigned depth)
{
    while (u->at < u->end && *u->at != '}') {
        if (!unpack_any(u, depth + 1, true) || !unpack_any(u, depth + 1, false))
            return false;
        if (u->L) {
            hide_secret(u);
            lua_rawset(u->L, -3);
        }
    }
    return true;
}

static bool unpack_table(struct unpacker *u, unsigned depth)
{
    if (depth >= UNPACK_DEPTH || (u->L && !lua_checkstack(u->L, 8)))
        return false;
    if (u->L)
        lua_newtable(u->L);
    if (!unpack_items(u, depth))
        return false;
    if (next_is(u, '|') && !unpack_fields(u, depth))
        return false;
    return next_is(u, '}');
}

static bool unpack_any(struct unpacker *u, unsigned depth, bool as_key)
{
    char tag;
    if (!take(u, &tag, 1))
        return false;
    switch (tag) {
    case 'n':
        if (u->L)
            lua_pushnil(u->L);
        return !as_key;
    case 't': return unpack_bool(u, true);
    case 'f': return unpack_bool(u, false);
    case 'i': return unpack_integer(u);
    case 'd': return unpack_number(u, as_key);
    case 's': return unpack_string(u);
    case '{': return !as_key && unpack_table(u, depth);
    default: return false;
    }
}

bool unpack_value(lua_State *L, const char *data, size_t size, const struct redactor *redactor)
{
    struct buffer scratch = {0};
    struct unpacker u = {L, data, data + size, redactor, &scratch};
    int top = lua_gettop(L);
    bool ok = lua_checkstack(L, 4) && unpack_any(&u, 0, false) && u.at == u.end;
    if (!ok)
        lua_settop(L, top);
    buffer_fini(&scratch);
    return ok;
}

bool pack_is_valid(const char *data, size_t size)
{
    struct unpacker u = {NULL, data, data + size, NULL, NULL};
    return unpack_any(&u, 0, false) && u.at == u.end;
}

size_t pack_first_size(const char *data, size_t size)
{
    struct unpacker u = {NULL, data, data + size, NULL, NULL};
    return size > 0 && unpack_any(&u, 0, false) ? (size_t)(u.at - data) : 0;
}
