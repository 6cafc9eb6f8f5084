/* vm.h - one sandboxed Lua state: the unit of isolation, one per run of a file.
 *
 * Every byte of the state is charged against a limit.  A first refusal (after
 * Lua's own emergency collection) kills the running task for good.  What a
 * script can reach is installed by vm_open and nothing else; the golden list in
 * spec/sandbox is the proof.
 *
 * Two environments: `_G` is the script's, with copies of the library tables it
 * may change; the private one belongs to our own Lua and holds the originals. */
#ifndef HOSPITAL_VM_VM_H
#define HOSPITAL_VM_VM_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "vm/arena.h"

struct reactor;

struct vm {
    lua_State *L;
    struct reactor *reactor;
    struct arena arena;
    size_t memory_used, memory_limit, memory_peak;
    const void *refused_block; /* the allocation Lua is about to try again */
    size_t refused_size;
    bool refused;    /* a refusal is pending its emergency collection */
    bool collecting; /* the collector runs: see vm_after_slice */
    bool exempt;     /* the host allocates for itself: a margin over the limit holds */
    char *lib_path;  /* where require looks; owned; NULL: nowhere */
};

/* Opens a state with the sandbox in place and reactor attached.  NULL when not
 * even that fits into memory_limit bytes. */
struct vm *vm_open(struct reactor *reactor, size_t memory_limit, const char *lib_path);
void vm_close(struct vm *vm); /* every task on it must have been freed */

/* To be called when a slice ends.  A young state does not collect at all: most
 * files are over before that would free anything; past a few hundred KB the
 * collector is switched on for good.  (At the limit Lua collects in any case.) */
void vm_after_slice(struct vm *vm);

struct vm *vm_of(lua_State *L); /* NULL in stock Lua */

/* Pushes what the embedded module returned, loading it when it is first asked
 * for; for our own Lua and C.  [-0, +1, e] */
int vm_import(lua_State *L, const char *module);

/* Pushes the environment of our own Lua.  [-0, +1, -] */
void vm_push_private(lua_State *L);

/* Pushes the embedded, trusted Lua chunk `module` as a function whose
 * environment is the private one.  [-0, +1, e] */
void vm_load_embedded(lua_State *L, const char *module);

#endif
