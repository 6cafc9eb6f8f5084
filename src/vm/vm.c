/* vm.c - see vm.h. */
#include "vm/vm.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/sanitizer.h"
#include "loop/reactor.h"
#include "loop/task.h"
#include "vm/embedded.h"
#include "vm/lib.h"
#include "vm/surface.h"

static const size_t collect_from = 384 * 1024;

static const char private_key = 0; /* registry: the private environment */
static const char modules_key = 0; /* registry: name -> what the module returned */

/* True when this growth must be refused for good.  Lua answers a first NULL with
 * an emergency collection and asks again for the very same thing; only then the
 * script really wants more than it may have. */
static bool refuse_for_good(struct vm *vm, const void *block, size_t size)
{
    bool again = vm->refused && vm->refused_block == block && vm->refused_size == size;
    vm->refused = !again;
    vm->refused_block = block;
    vm->refused_size = size;
    return again;
}

static void *vm_alloc(void *self, void *block, size_t old_size, size_t new_size)
{
    struct vm *vm = self;
    if (!block)
        old_size = 0; /* it told the kind of object */
    if (new_size == 0) {
        if (block)
            arena_free(&vm->arena, block, old_size);
        vm->memory_used -= old_size;
        return NULL;
    }
    if (new_size > old_size && !vm->exempt &&
        (new_size > vm->memory_limit || vm->memory_used - old_size > vm->memory_limit - new_size)) {
        if (refuse_for_good(vm, block, new_size) && vm->reactor->current)
            task_kill(vm->reactor->current, KILL_MEMORY);
        return NULL;
    }
    void *p = block ? arena_resize(&vm->arena, block, old_size, new_size)
                    : arena_new(&vm->arena, new_size);
    if (!p)
        return NULL;
    vm->memory_used += new_size - old_size;
    if (vm->memory_used > vm->memory_peak)
        vm->memory_peak = vm->memory_used;
    return p;
}

void vm_after_slice(struct vm *vm)
{
    if (vm->collecting || vm->memory_used < collect_from)
        return;
    vm->collecting = true;
    lua_gc(vm->L, LUA_GCRESTART);
}

struct vm *vm_of(lua_State *L)
{
    void *vm;
    return lua_getallocf(L, &vm) == vm_alloc ? vm : NULL;
}

/* Lua makes these messages outside any protected call; as long as they are
 * alive in the string table that takes no memory and cannot fail. */
static void keep_messages(lua_State *L)
{
    static const char *const messages[] = {"C stack overflow", "error in error handling"};
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        lua_pushstring(L, messages[i]);
        lua_rawsetp(L, LUA_REGISTRYINDEX, messages[i]);
    }
}

/* The script's side.  A table of the right size from the start, in place of the
 * one that Lua made.  [-0, +0, m] */
static void open_globals(lua_State *L)
{
    lua_createtable(L, 0, 32);
    lib_base_open(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

/* __index of the private environment: a library table of its own, when a name is
 * first used. */
static int m_private_index(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_type(L, 2) != LUA_TSTRING || !lib_push(L, lua_tostring(L, 2)))
        return 0;
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, 1);
    return 1;
}

static int l_import(lua_State *L)
{
    return vm_import(L, luaL_checkstring(L, 1));
}

static void open_private(lua_State *L)
{
    static const char *const kept[] = {"assert", NULL};
    lua_createtable(L, 0, 32);
    lib_base_open(L);
    lib_keep(L, "", kept);
    lua_pushcfunction(L, l_import);
    lua_setfield(L, -2, "import");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, m_private_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &private_key);
}

static int open_sandbox(lua_State *L)
{
    struct vm *vm = lua_touserdata(L, 1);
    lua_gc(L, LUA_GCSTOP);
    reactor_attach(L, vm->reactor);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &modules_key);
    keep_messages(L);
    open_private(L);
    open_globals(L);
    lib_string_metatable(L);
    surface_open(L);
    return 0;
}

static int on_panic(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    memory_panic(message ? message : "an error object that is not a string");
}

struct vm *vm_open(struct reactor *reactor, size_t memory_limit, const char *lib_path)
{
    struct vm *vm = memory_new(sizeof *vm);
    vm->reactor = reactor;
    vm->memory_limit = memory_limit;
    vm->lib_path = lib_path ? memory_copy_string(lib_path) : NULL;
    vm->L = lua_newstate(vm_alloc, vm);
    if (vm->L) {
        lua_atpanic(vm->L, on_panic);
        *(void **)lua_getextraspace(vm->L) = NULL;
        lua_pushcfunction(vm->L, open_sandbox);
        lua_pushlightuserdata(vm->L, vm);
        if (lua_pcall(vm->L, 1, 0, 0) == LUA_OK)
            return vm;
    }
    vm_close(vm);
    return NULL;
}

/* What a state holds beyond its own memory is closed with its scopes, before;
 * so giving back the arena is enough, and the pass over every object that
 * lua_close makes is left to the builds that look for leaks. */
void vm_close(struct vm *vm)
{
    if (vm->L && SANITIZES_ADDRESSES)
        lua_close(vm->L);
    arena_fini(&vm->arena);
    free(vm->lib_path);
    free(vm);
}

void vm_push_private(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &private_key);
}

void vm_load_embedded(lua_State *L, const char *module)
{
    const struct embedded_module *found = embedded_find(module);
    if (!found) {
        luaL_error(L, "no module '%s' in the binary", module);
        return; /* never */
    }
    if (luaL_loadbufferx(L, found->chunk, found->size, module, "b") != LUA_OK)
        lua_error(L);
    vm_push_private(L);
    lua_setupvalue(L, -2, 1);
}

int vm_import(lua_State *L, const char *module)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    if (lua_getfield(L, -1, module) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_CFunction open = surface_module(module);
        if (open)
            lua_pushcfunction(L, open);
        else
            vm_load_embedded(L, module);
        lua_call(L, 0, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, module);
    }
    lua_remove(L, -2);
    return 1;
}
