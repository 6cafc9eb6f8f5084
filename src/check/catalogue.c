/* catalogue.c - see catalogue.h.  write_check and parse_check mirror each other
 * field by field. */
#include "check/catalogue.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "proc/wire.h"

/* The bytes lie outside the sandbox's memory, and one text may be written 100,000 times. */
enum { CHECKS_MAX = 100000, LIST_MAX = 1000, BYTES_MAX = 48 * 1024 * 1024 };

/* --- writing ------------------------------------------------------------- */

/* Pushes the raw field of the table on top.  [-0, +1, m] */
static int push_field(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    return lua_rawget(L, -2);
}

static void write_text(lua_State *L, const char *name, struct buffer *out)
{
    if (push_field(L, name) != LUA_TSTRING)
        luaL_error(L, "a check without %s", name);
    wire_put_string(out, lua_tostring(L, -1));
    lua_pop(L, 1);
}

/* nil and false are absent, true is the empty string. */
static void write_optional(lua_State *L, const char *name, struct buffer *out)
{
    push_field(L, name);
    if (lua_type(L, -1) == LUA_TSTRING)
        wire_put_string(out, lua_tostring(L, -1));
    else
        wire_put_string(out, lua_toboolean(L, -1) ? "" : NULL);
    lua_pop(L, 1);
}

static void write_integer(lua_State *L, const char *name, lua_Integer absent, struct buffer *out)
{
    push_field(L, name);
    lua_Integer value = lua_isnil(L, -1) ? absent : luaL_checkinteger(L, -1);
    wire_put_varint(out, (uint64_t)(value + 1)); /* -1 is 0 */
    lua_pop(L, 1);
}

static void write_duration(lua_State *L, const char *name, struct buffer *out)
{
    uint64_t ns = 0;
    push_field(L, name);
    if (!lua_isnil(L, -1) && !duration_from_seconds(luaL_checknumber(L, -1), &ns))
        luaL_error(L, "%s is not a duration", name);
    wire_put_varint(out, ns);
    lua_pop(L, 1);
}

static void write_bool(lua_State *L, const char *name, struct buffer *out)
{
    push_field(L, name);
    wire_put_bool(out, lua_toboolean(L, -1));
    lua_pop(L, 1);
}

static void write_names(lua_State *L, const char *name, struct buffer *out)
{
    bool any = push_field(L, name) == LUA_TTABLE;
    lua_Unsigned count = any ? lua_rawlen(L, -1) : 0;
    if (count > LIST_MAX)
        luaL_error(L, "more than %d entries in %s", LIST_MAX, name);
    wire_put_varint(out, count);
    for (lua_Unsigned i = 1; i <= count; i++) {
        if (lua_rawgeti(L, -1, (lua_Integer)i) != LUA_TSTRING)
            luaL_error(L, "%s holds something that is not a string", name);
        wire_put_string(out, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void write_nodes_of(lua_State *L, struct buffer *out)
{
    bool any = push_field(L, "nodes") == LUA_TTABLE;
    lua_Unsigned count = any ? lua_rawlen(L, -1) : 0;
    wire_put_varint(out, count);
    for (lua_Unsigned i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        wire_put_varint(out, (uint64_t)(luaL_checkinteger(L, -1) - 1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void write_check(lua_State *L, struct buffer *out)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    write_text(L, "id", out);
    write_text(L, "name", out);
    write_integer(L, "line", 0, out);
    push_field(L, "kind");
    wire_put_bool(out, lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "diagnosis") == 0);
    lua_pop(L, 1);
    write_bool(L, "slow", out);
    write_integer(L, "lane", 0, out);
    write_duration(L, "timeout", out);
    write_duration(L, "retry_delay", out);
    write_duration(L, "every", out);
    write_integer(L, "retries", -1, out);
    write_optional(L, "expected_failure", out);
    write_optional(L, "skip", out);
    write_optional(L, "description", out);
    write_optional(L, "owner", out);
    write_optional(L, "runbook", out);
    write_optional(L, "severity", out);
    write_names(L, "tags", out);
    write_names(L, "requires", out);
    write_names(L, "of", out);
    write_nodes_of(L, out);
}

static void write_count_of(lua_State *L, const char *name, struct buffer *out)
{
    wire_put_varint(out, push_field(L, name) == LUA_TTABLE ? lua_rawlen(L, -1) : 0);
    lua_pop(L, 1);
}

/* A node's id is what its checks' ids begin with, less the "::" at its end. */
static void write_node_id(lua_State *L, struct buffer *out)
{
    size_t size;
    if (push_field(L, "prefix") != LUA_TSTRING) {
        lua_pop(L, 1);
        write_text(L, "name", out);
        return;
    }
    const char *prefix = lua_tolstring(L, -1, &size);
    lua_pushlstring(L, prefix, size > 2 ? size - 2 : 0);
    wire_put_string(out, lua_tostring(L, -1));
    lua_pop(L, 2);
}

static void write_node(lua_State *L, struct buffer *out)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    write_node_id(L, out);
    write_integer(L, "line", 0, out);
    write_count_of(L, "setup", out);
    write_count_of(L, "teardown", out);
}

static void write_all(lua_State *L, int index, const char *list,
                      void (*write)(lua_State *, struct buffer *), struct buffer *out)
{
    lua_pushvalue(L, index);
    if (push_field(L, list) != LUA_TTABLE)
        luaL_error(L, "the suite has no %s", list);
    lua_Unsigned count = lua_rawlen(L, -1);
    if (count > CHECKS_MAX)
        luaL_error(L, "more than %d %s in one file", CHECKS_MAX, list);
    wire_put_varint(out, count);
    for (lua_Unsigned i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        write(L, out);
        if (out->size > BYTES_MAX)
            luaL_error(L, "the %s of this file and their options take more than %d MB", list,
                       BYTES_MAX / 1024 / 1024);
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
}

void catalogue_write(lua_State *L, int index, struct buffer *out)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 8, NULL);
    write_all(L, index, "nodes", write_node, out);
    write_all(L, index, "checks", write_check, out);
}

/* --- parsing ------------------------------------------------------------- */

static void *new_block(struct catalogue *c, size_t size)
{
    if ((c->block_count & (c->block_count - 1)) == 0)
        c->blocks =
            memory_resize(c->blocks, (c->block_count ? c->block_count * 2 : 1) * sizeof(void *));
    return c->blocks[c->block_count++] = memory_new(size);
}

/* The strings lie in c->bytes, which is c's own and writable. */
static struct strings parse_names(struct catalogue *c, struct wire_reader *r)
{
    size_t count = wire_get_count(r);
    if (count == 0)
        return (struct strings){0};
    char **items = new_block(c, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const char *name = wire_get_string(r);
        items[i] = r->bad ? c->bytes : c->bytes + (name - c->bytes);
    }
    return (struct strings){.items = items, .count = count};
}

static void parse_nodes_of(struct catalogue *c, struct check_decl *check, struct wire_reader *r)
{
    size_t count = wire_get_count(r);
    if (count == 0)
        return;
    uint32_t *nodes = new_block(c, count * sizeof *nodes);
    for (size_t i = 0; i < count; i++)
        nodes[i] = wire_get_index(r, (uint32_t)c->node_count);
    check->nodes = nodes;
    check->node_count = count;
}

static int64_t parse_integer(struct wire_reader *r)
{
    return (int64_t)wire_get_varint(r) - 1;
}

/* Written as a number plus one.  A lane has the number of the node that made it. */
static unsigned parse_lane(struct catalogue *c, struct wire_reader *r)
{
    uint32_t lane = wire_get_index(r, (uint32_t)c->node_count + 2);
    if (lane == 0) {
        wire_refuse(r, "a lane has no number");
        return 0;
    }
    if (lane - 1 > c->lane_count)
        c->lane_count = lane - 1;
    return lane - 1;
}

static void parse_check(struct catalogue *c, struct check_decl *check, struct wire_reader *r)
{
    check->id = wire_get_string(r);
    check->name = wire_get_string(r);
    check->line = (int)parse_integer(r);
    check->diagnosis = wire_get_bool(r);
    check->slow = wire_get_bool(r);
    check->lane = parse_lane(c, r);
    check->timeout_ns = wire_get_varint(r);
    check->retry_delay_ns = wire_get_varint(r);
    check->every_ns = wire_get_varint(r);
    check->retries = (int)parse_integer(r);
    check->expected_failure = wire_get_optional_string(r);
    check->skip = wire_get_optional_string(r);
    check->description = wire_get_optional_string(r);
    check->owner = wire_get_optional_string(r);
    check->runbook = wire_get_optional_string(r);
    check->severity = wire_get_optional_string(r);
    check->tags = parse_names(c, r);
    check->requires = parse_names(c, r);
    check->of = parse_names(c, r);
    parse_nodes_of(c, check, r);
}

static void parse_node(struct node_decl *node, struct wire_reader *r)
{
    node->id = wire_get_string(r);
    node->line = (int)parse_integer(r);
    node->setups = (uint32_t)wire_get_varint(r);
    node->teardowns = (uint32_t)wire_get_varint(r);
}

static uint64_t digest_of(const char *data, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

bool catalogue_parse(struct catalogue *c, const char *data, size_t size, struct fault *why)
{
    *c = (struct catalogue){.bytes = memory_copy(data, size), .digest = digest_of(data, size)};
    struct wire_reader r = wire_reader_of(WIRE_LOADED, c->bytes, size);
    c->node_count = wire_get_count(&r);
    c->nodes = new_block(c, (c->node_count + 1) * sizeof *c->nodes);
    for (size_t i = 0; i < c->node_count; i++)
        parse_node(&c->nodes[i], &r);
    c->count = wire_get_count(&r);
    c->checks = new_block(c, (c->count + 1) * sizeof *c->checks);
    for (size_t i = 0; i < c->count; i++)
        parse_check(c, &c->checks[i], &r);
    if (wire_finish(&r, why))
        return true;
    catalogue_fini(c);
    return false;
}

void catalogue_fini(struct catalogue *c)
{
    for (size_t i = 0; i < c->block_count; i++)
        free(c->blocks[i]);
    free(c->blocks);
    free(c->bytes);
    *c = (struct catalogue){0};
}
