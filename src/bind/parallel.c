/* parallel.c - several functions of one check, side by side.
 *
 * Each becomes a task with the parent's deadline and scope, and a record of its
 * own, so that `eventually` in one forgets nothing of another's; the records are
 * added to the parent's in the order of the functions, however it ends.
 *
 * The brood lives on the heap because children may outlast the operation by a
 * turn: when the parent is killed they are cancelled, and their ends arrive
 * later.  From then on they reach nothing that is the parent's. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "bind/bind.h"
#include "check/record.h"
#include "loop/op.h"
#include "loop/reactor.h"
#include "loop/task.h"
#include "vm/charge.h"
#include "vm/vm.h"

enum { FUNCTIONS_MAX = 10000, NESTING_MAX = 16 };

struct brood {
    struct parallel *op; /* NULL once it was released */
    struct task *first;  /* the child that raised first */
    struct vm *vm;       /* charged with the memory of it all */
    size_t charged;
    int alive, count;
    struct scope scope; /* of those that outlast the operation */
    struct child {
        struct task *task;
        struct record record;
    } children[];
};

struct parallel {
    struct op op;
    struct task *parent;
    struct brood *brood;
};

static void free_brood(struct brood *brood)
{
    for (int i = 0; i < brood->count; i++) {
        task_free(brood->children[i].task);
        record_fini(&brood->children[i].record);
    }
    scope_close(&brood->scope);
    vm_uncharge(brood->vm, brood->charged);
    free(brood);
}

static void on_child_end(struct task *child)
{
    struct brood *brood = child->owner;
    brood->alive--;
    if (!brood->op) {
        if (brood->alive == 0)
            free_brood(brood);
        return;
    }
    if (!brood->first && child->status != LUA_OK)
        brood->first = child;
    if (child->killed && child->killed != KILL_CANCELLED) {
        task_kill(brood->op->parent, child->killed); /* releases the op */
        return;
    }
    if (brood->alive == 0)
        op_complete(&brood->op->op, NULL);
}

/* The parent is there for the last time: it gets what was said. */
static void take_leave(struct brood *brood)
{
    for (int i = 0; i < brood->count; i++) {
        struct child *child = &brood->children[i];
        if (child->task->record)
            record_merge(&child->record);
        child->task->record = NULL;
        child->task->scope = &brood->scope;
        child->task->parent = NULL;
        child->task->orphan = true;
    }
}

/* Killed first: what a child has children for is merged into its own record. */
static void parallel_release(struct op *op)
{
    struct brood *brood = ((struct parallel *)op)->brood;
    if (!brood)
        return;
    ((struct parallel *)op)->brood = NULL;
    brood->op = NULL;
    for (int i = 0; i < brood->count; i++)
        task_kill(brood->children[i].task, KILL_CANCELLED);
    take_leave(brood);
    if (brood->alive == 0)
        free_brood(brood);
}

static const struct op_class parallel_class = {"parallel", parallel_release};

/* The first result of each, in order; or the first error, once all have ended. */
static int k_parallel(lua_State *L, int status, lua_KContext index)
{
    (void)status;
    struct parallel *op = lua_touserdata(L, (int)index);
    struct brood *brood = op->brood;
    if (brood->first) {
        lua_State *co = brood->first->co;
        luaL_checkstack(L, 2, NULL);
        lua_pushvalue(co, -1);
        lua_xmove(co, L, 1);
        return lua_error(L);
    }
    luaL_checkstack(L, brood->count, "too many functions");
    for (int i = 0; i < brood->count; i++) {
        const struct task *child = brood->children[i].task;
        if (child->results > 0) {
            lua_pushvalue(child->co, -child->results);
            lua_xmove(child->co, L, 1);
        } else {
            lua_pushnil(L);
        }
    }
    return brood->count;
}

/* The functions are at the indices from 1 on. */
static void start_children(lua_State *L, struct parallel *op, int count)
{
    const struct task *parent = op->parent;
    struct brood *brood = op->brood;
    for (int i = 0; i < count; i++) {
        struct child *child = &brood->children[i];
        record_init_within(&child->record, parent->record);
        lua_pushvalue(L, i + 1);
        child->task = task_start(parent->vm, L, 0,
                                 &(struct task_options){
                                     .parent = parent,
                                     .deadline_ns = parent->deadline.at_ns,
                                     .scope = parent->scope,
                                     .record = parent->record ? &child->record : NULL,
                                     .may_wait = true,
                                     .title = parent->title,
                                     .file = parent->file,
                                     .line = parent->line,
                                     .on_end = on_child_end,
                                     .owner = brood,
                                 });
        if (!child->task)
            luaL_error(L, "not enough memory for %d functions in parallel", count);
        brood->count++;
        brood->alive++;
    }
}

static int run_in_turn(lua_State *L, int count)
{
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(L, i);
        lua_call(L, 0, 1);
        lua_replace(L, i);
    }
    lua_settop(L, count);
    return count;
}

static int check_functions(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_argcheck(L, count <= FUNCTIONS_MAX, FUNCTIONS_MAX + 1, "too many functions");
    for (int i = 1; i <= count; i++)
        luaL_checktype(L, i, LUA_TFUNCTION);
    luaL_checkstack(L, 8, "too many functions");
    return count;
}

/* How many parallels the task is in.  A kill reaches the innermost by recursion. */
static int nesting_of(const struct task *task)
{
    int nesting = 0;
    for (; task->parent; task = task->parent)
        nesting++;
    return nesting;
}

static struct brood *new_brood(lua_State *L, struct parallel *op, int count)
{
    struct vm *vm = op->parent->vm;
    size_t size = sizeof(struct brood) + (size_t)count * sizeof(struct child);
    size_t charged = size + (size_t)count * sizeof(struct task);
    if (!vm_charge_live(L, vm, charged))
        luaL_error(L, "not enough memory for %d functions in parallel", count);
    struct brood *brood = memory_new(size);
    brood->op = op;
    brood->vm = vm;
    brood->charged = charged;
    scope_init(&brood->scope);
    return brood;
}

/* Nothing starts where nothing could wait for it. */
int l_parallel(lua_State *L)
{
    int count = check_functions(L);
    struct task *parent = reactor_of(L)->current;
    if (!parent) /* stock Lua has no tasks */
        return run_in_turn(L, count);
    if (nesting_of(parent) >= NESTING_MAX)
        return luaL_error(L, "more than %d parallels within each other", NESTING_MAX);
    struct parallel *op = op_new(L, sizeof *op, &parallel_class);
    lua_toclose(L, -1);
    op_check_may_wait(L, &op->op);
    op->parent = parent;
    op->brood = new_brood(L, op, count);
    if (count == 0)
        op_complete(&op->op, NULL);
    else
        start_children(L, op, count);
    return op_await(L, &op->op, count + 1, k_parallel);
}
