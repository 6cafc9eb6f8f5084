/* chunk.c - see chunk.h. */
#include "vm/chunk.h"

#include <lauxlib.h>
#include <string.h>

#include "vm/guard.h"

enum { PIECE = 256 };

/* l_load's stack: chunk, name, mode, env, and the string being read. */
enum { CHUNK = 1, NAME, MODE, ENV, READING };

struct source {
    const char *at;
    size_t left;  /* of the string being read */
    size_t total; /* taken from a reader function so far */
};

/* lua_Reader: the next few bytes of a string. */
static const char *next_piece(lua_State *L, void *self, size_t *size)
{
    struct source *source = self;
    guard_step(L);
    const char *at = source->at;
    *size = source->left < PIECE ? source->left : PIECE;
    source->at += *size;
    source->left -= *size;
    return at;
}

int chunk_load(lua_State *L, const char *text, size_t size, const char *name)
{
    struct source source = {text, size, 0};
    return lua_load(L, next_piece, &source, name, "t");
}

/* lua_Reader: calls the script's function for more when the last is used up. */
static const char *next_from_function(lua_State *L, void *self, size_t *size)
{
    struct source *source = self;
    if (source->left > 0)
        return next_piece(L, self, size);
    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, CHUNK);
    lua_call(L, 0, 1);
    if (!lua_isnil(L, -1) && !lua_isstring(L, -1))
        luaL_error(L, "reader function must return a string");
    lua_replace(L, READING);
    source->at = lua_tolstring(L, READING, &source->left);
    source->total += source->left;
    if (source->total > CHUNK_SOURCE_MAX)
        luaL_error(L, "the source is larger than 1 MB");
    return next_piece(L, self, size);
}

static int refuse(lua_State *L, const char *why)
{
    luaL_pushfail(L);
    lua_pushstring(L, why);
    return 2;
}

static int load_string(lua_State *L)
{
    size_t size;
    const char *text = lua_tolstring(L, CHUNK, &size);
    return chunk_load(L, text, size, luaL_optstring(L, NAME, text));
}

static int load_function(lua_State *L)
{
    struct source source = {"", 0, 0};
    luaL_checktype(L, CHUNK, LUA_TFUNCTION);
    return lua_load(L, next_from_function, &source, luaL_optstring(L, NAME, "=(load)"), "t");
}

/*** Compiles Lua source, text only and at most 1 MB of it.
 * @function load
 * @param chunk string|function the source, or a function that returns its next piece until nil
 * @param [name] string for messages and tracebacks
 * @param [mode] string must contain "t": bytecode is refused
 * @param [env] table the globals it sees; the script's own by default
 * @return the function, or nil and a message
 * @usage local answer = assert(load("return 6 * 7"))()
 */
int l_load(lua_State *L)
{
    bool has_env = !lua_isnone(L, ENV);
    bool is_string = lua_isstring(L, CHUNK);
    if (!strchr(luaL_optstring(L, MODE, "t"), 't'))
        return refuse(L, "only text can be loaded: the mode must contain 't'");
    if (is_string && lua_rawlen(L, CHUNK) > CHUNK_SOURCE_MAX)
        return refuse(L, "the source is larger than 1 MB");
    lua_settop(L, READING);
    int status = is_string ? load_string(L) : load_function(L);
    guard_rethrow(L);
    if (status != LUA_OK) {
        luaL_pushfail(L);
        lua_insert(L, -2);
        return 2;
    }
    if (has_env) {
        lua_pushvalue(L, ENV);
        if (!lua_setupvalue(L, -2, 1))
            lua_pop(L, 1);
    }
    return 1;
}
