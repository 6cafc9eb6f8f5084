/* formats.c - see formats.h. */
#include "cli/formats.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "vm/embedded.h"

#define FORMAT_PREFIX "hospital.report."

static int l_search_embedded(lua_State *L)
{
    const struct embedded_module *m = embedded_find(luaL_checkstring(L, 1));
    if (!m) {
        lua_pushfstring(L, "no embedded module '%s'", lua_tostring(L, 1));
        return 1;
    }
    if (luaL_loadbufferx(L, m->chunk, m->size, m->name, "b") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, m->name);
    return 2;
}

static int l_prepare(lua_State *L)
{
    luaL_openlibs(L);
    /* a document of 100,000 checks is not to be walked too often */
    lua_gc(L, LUA_GCINC, 400, 0, 0);
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "insert");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_remove(L, -2);
    lua_pushinteger(L, 2);
    lua_pushcfunction(L, l_search_embedded);
    lua_call(L, 3, 0);
    return 0;
}

lua_State *formats_open(struct fault *why)
{
    lua_State *L = luaL_newstate();
    if (!L)
        memory_die(0);
    lua_pushcfunction(L, l_prepare);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK)
        return L;
    (void)fault_set(why, FAULT_INTERNAL, "%s", lua_tostring(L, -1));
    lua_close(L);
    return NULL;
}

static bool is_format(const char *module)
{
    return strncmp(module, FORMAT_PREFIX, strlen(FORMAT_PREFIX)) == 0;
}

/* Runs the chunk on top; leaves the reporter's constructor and its summary.  [-1, +2, -] or
 * [-1, +1, -] with the message. */
static bool run_chunk(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    return lua_pcall(L, 1, 2, 0) == LUA_OK;
}

bool formats_load(lua_State *L, const char *format, struct fault *why)
{
    size_t size = strlen(format);
    int status;
    if (strchr(format, '/') || (size > 4 && strcmp(format + size - 4, ".lua") == 0)) {
        status = luaL_loadfilex(L, format, "t");
    } else {
        struct buffer name = {0};
        buffer_addf(&name, FORMAT_PREFIX "%s%c", format, 0);
        const struct embedded_module *m = embedded_find(name.data);
        buffer_fini(&name);
        if (!m) {
            struct buffer known = {0};
            for (m = embedded_modules; m->name; m++)
                if (is_format(m->name))
                    buffer_addf(&known, "%s%s", known.size ? ", " : "",
                                m->name + strlen(FORMAT_PREFIX));
            (void)fault_set(why, FAULT_INTERNAL,
                            "no such format: %s (there are %.*s, or a path to a .lua file)", format,
                            (int)known.size, known.data ? known.data : "");
            buffer_fini(&known);
            return false;
        }
        status = luaL_loadbufferx(L, m->chunk, m->size, m->name, "b");
    }
    if (status == LUA_OK && run_chunk(L, format) && lua_isfunction(L, -2)) {
        lua_pop(L, 1);
        return true;
    }
    if (lua_type(L, -1) == LUA_TSTRING && status != LUA_OK)
        return fault_set(why, FAULT_INTERNAL, "cannot load the reporter %s", lua_tostring(L, -1));
    return fault_set(why, FAULT_INTERNAL, "the reporter %s failed to load: %s", format,
                     lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                    : "it must return function(out, options)");
}

void formats_list(struct buffer *out)
{
    struct fault why;
    lua_State *L = formats_open(&why);
    for (const struct embedded_module *m = embedded_modules; L && m->name; m++) {
        if (!is_format(m->name))
            continue;
        const char *summary = "";
        if (luaL_loadbufferx(L, m->chunk, m->size, m->name, "b") == LUA_OK &&
            run_chunk(L, m->name) && lua_isstring(L, -1))
            summary = lua_tostring(L, -1);
        buffer_addf(out, "%-12s%s\n", m->name + strlen(FORMAT_PREFIX), summary);
        lua_settop(L, 0);
    }
    if (L)
        lua_close(L);
}
