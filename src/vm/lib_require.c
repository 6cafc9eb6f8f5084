/* lib_require.c - require: Lua files from the lib/ folder and nowhere else.
 *
 * Each module runs once per state, in the script's globals, in a place where
 * nothing can wait; what it returned is kept.  Names are dotted words, so no
 * name leads out of the folder, and no symlink does either. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/chunk.h"
#include "vm/guard.h"
#include "vm/lib.h"
#include "vm/vm.h"

static const char loaded_key = 0;  /* registry: name -> what the module returned */
static const char loading_key = 0; /* registry: names whose bodies run, outermost first */

enum { NAME_MAX_LENGTH = 200 };

static void push_registry_table(lua_State *L, const void *key)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* Words of letters, digits, _ and -, joined by single dots. */
static bool is_module_name(const char *name, size_t size)
{
    bool word = false;
    if (size > NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '.' && !word)
            return false;
        if (c != '.' && !isalnum(c) && c != '_' && c != '-')
            return false;
        word = c != '.';
    }
    return word;
}

/* "a.b" -> "a/b.lua"; name is a valid module name. */
static void file_of(char *file, size_t room, const char *name)
{
    snprintf(file, room, "%s.lua", name);
    for (size_t i = 0, dots = strlen(name); i < dots; i++)
        if (file[i] == '.')
            file[i] = '/';
}

/* Opens the file if, all links followed, it lies in the folder; else says why. */
static int open_inside(const char *folder, const char *file, const char **why)
{
    char path[PATH_MAX], root[PATH_MAX], real[PATH_MAX];
    *why = "there is no such file";
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, file) >= sizeof path)
        return -1;
    if (!realpath(folder, root) || !realpath(path, real))
        return -1;
    size_t size = strlen(root);
    *why = "it is a link that leads out of lib/";
    if (strncmp(real, root, size) != 0 || real[size] != '/')
        return -1;
    *why = "it cannot be read";
    return open(real, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
}

/* Reads all of fd, a file of `size` bytes, into text. */
static bool read_whole(int fd, char *text, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, text + done, size - done);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        if (n > 0)
            done += (size_t)n;
    }
    return true;
}

/* The descriptor and size of a module's file; raises when it is not fit.  Owns
 * nothing when it raises.  [-0, +0, v] */
static int open_module(lua_State *L, const char *name, const char *file, size_t *size)
{
    const struct vm *vm = vm_of(L);
    const char *why;
    struct stat about;
    if (!vm || !vm->lib_path)
        return luaL_error(L, "module '%s' not found: there is no lib/ folder", name);
    int fd = open_inside(vm->lib_path, file, &why);
    if (fd < 0)
        return luaL_error(L, "module '%s' not found: lib/%s: %s", name, file, why);
    bool regular = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    if (regular && about.st_size <= CHUNK_FILE_MAX) {
        *size = (size_t)about.st_size;
        return fd;
    }
    close(fd);
    return luaL_error(L, "module '%s': lib/%s %s", name, file,
                      regular ? "is larger than 256 KB" : "is not a file");
}

/* Pushes the module's body.  [-0, +1, v] */
static void push_body(lua_State *L, const char *name)
{
    char file[NAME_MAX_LENGTH + 8], source[NAME_MAX_LENGTH + 16];
    size_t size = 0;
    file_of(file, sizeof file, name);
    snprintf(source, sizeof source, "@lib/%s", file);
    char *text = lua_newuserdatauv(L, CHUNK_FILE_MAX, 0);
    int fd = open_module(L, name, file, &size);
    bool whole = read_whole(fd, text, size);
    close(fd);
    if (!whole)
        luaL_error(L, "module '%s': lib/%s cannot be read", name, file);
    int status = chunk_load(L, text, size, source);
    guard_rethrow(L);
    if (status != LUA_OK)
        luaL_error(L, "module '%s': %s", name, lua_tostring(L, -1));
    lua_remove(L, -2);
}

/* Raises when the module's body is running already, and names the circle.  The
 * list of those that run is at index.  [-0, +0, v] */
static void refuse_circle(lua_State *L, int index, const char *name)
{
    int count = (int)lua_rawlen(L, index), first = 1;
    for (; first <= count; first++) {
        lua_rawgeti(L, index, first);
        bool same = strcmp(lua_tostring(L, -1), name) == 0;
        lua_pop(L, 1);
        if (same)
            break;
    }
    if (first > count)
        return;
    luaL_Buffer circle;
    luaL_buffinit(L, &circle);
    for (; first <= count; first++) {
        lua_rawgeti(L, index, first);
        luaL_addvalue(&circle);
        luaL_addstring(&circle, " -> ");
    }
    luaL_addstring(&circle, name);
    luaL_pushresult(&circle);
    luaL_error(L, "modules require each other in a circle: %s", lua_tostring(L, -1));
}

/* Adds to the message on top where the module was required, if it is text. */
static int raise_from_body(lua_State *L, const char *name)
{
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_pushfstring(L, "%s\n\tin module '%s', required at %s", lua_tostring(L, -2), name,
                        lua_tostring(L, -1));
        size_t size;
        const char *text = lua_tolstring(L, -1, &size);
        if (size > 2 && strcmp(text + size - 2, ": ") == 0)
            lua_pushlstring(L, text, size - 2);
    }
    return lua_error(L);
}

/*** Runs `lib/NAME.lua` of the checks' folder when it is first asked for, and returns what
 * it returned; true when that was nothing. A dot in the name is a folder. Each run of a file
 * has modules of its own, and nothing can wait in a module's body.
 * @function require
 * @param name string words of letters, digits, `_` and `-`, joined by dots
 * @return what the module returned
 * @raise an error that names the module: no such file, a link out of lib/, larger than
 *   256 KB, not a file, a syntax error, a circle of modules, or the body's own error
 * @usage local shop = require("shop.client") -- lib/shop/client.lua
 */
int l_require(lua_State *L)
{
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    lua_settop(L, 1);
    if (!is_module_name(name, size))
        return luaL_error(L, "'%s' is not a module name: words joined by dots, from lib/", name);
    push_registry_table(L, &loaded_key);
    if (lua_getfield(L, 2, name) != LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    push_registry_table(L, &loading_key);
    refuse_circle(L, 3, name);
    push_body(L, name);
    lua_Integer depth = (lua_Integer)lua_rawlen(L, 3) + 1;
    lua_pushvalue(L, 1);
    lua_rawseti(L, 3, depth);
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    lua_pushnil(L);
    lua_rawseti(L, 3, depth);
    guard_rethrow(L);
    if (status != LUA_OK)
        return raise_from_body(L, name);
    if (lua_isnil(L, -1))
        lua_pushboolean(L, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}
