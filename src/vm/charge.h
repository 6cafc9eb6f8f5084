/* charge.h - memory that a script causes but Lua does not hold: what a binding
 * keeps for it (a body while it arrives) counts against the sandbox as well. */
#ifndef HOSPITAL_VM_CHARGE_H
#define HOSPITAL_VM_CHARGE_H

#include "vm/vm.h"

/* False, and nothing charged, when the sandbox has no room for size bytes.  A
 * vm of NULL (stock Lua) has room for everything. */
static inline bool vm_charge(struct vm *vm, size_t size)
{
    if (!vm)
        return true;
    if (vm->memory_used > vm->memory_limit || size > vm->memory_limit - vm->memory_used)
        return false;
    vm->memory_used += size;
    if (vm->memory_used > vm->memory_peak)
        vm->memory_peak = vm->memory_used;
    return true;
}

/* The same where Lua runs: what is garbage by now takes no room.  [-0, +0, -] */
static inline bool vm_charge_live(lua_State *L, struct vm *vm, size_t size)
{
    if (vm_charge(vm, size))
        return true;
    lua_gc(L, LUA_GCCOLLECT);
    return vm_charge(vm, size);
}

static inline void vm_uncharge(struct vm *vm, size_t size)
{
    if (vm)
        vm->memory_used -= size;
}

#endif
