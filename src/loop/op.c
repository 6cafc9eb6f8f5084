/* op.c - see op.h. */
#include "loop/op.h"

#include <lauxlib.h>
#include <string.h>

#include "loop/reactor.h"
#include "loop/task.h"
#include "vm/failure.h"
#include "vm/guard.h"

void scope_init(struct scope *scope)
{
    list_init(&scope->ops);
}

void scope_close(struct scope *scope)
{
    while (!list_empty(&scope->ops))
        op_close(list_entry(scope->ops.next, struct op, link));
}

static int m_op_close(lua_State *L)
{
    struct op *op = lua_touserdata(L, 1);
    op_close(op);
    return 0;
}

static int m_op_tostring(lua_State *L)
{
    const struct op *op = lua_touserdata(L, 1);
    lua_pushfstring(L, "%s (%s)", op->class->name, op->open ? "open" : "closed");
    return 1;
}

static void push_metatable(lua_State *L, const struct op_class *class,
                           const struct luaL_Reg *methods)
{
    if (!luaL_newmetatable(L, class->name))
        return;
    static const luaL_Reg metamethods[] = {
        {"__gc", m_op_close}, {"__close", m_op_close}, {"__tostring", m_op_tostring}, {NULL, NULL}};
    luaL_setfuncs(L, metamethods, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    if (methods) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
    }
}

/* The metatable comes first: once the op is open, nothing may raise before its
 * __gc is in place. */
void *op_new_object(lua_State *L, size_t size, const struct op_class *class,
                    const struct luaL_Reg *methods)
{
    push_metatable(L, class, methods);
    struct op *op = lua_newuserdatauv(L, size, 0);
    memset(op, 0, size);
    op->class = class;
    op->reactor = reactor_of(L);
    list_init(&op->link);
    lua_insert(L, -2);
    lua_setmetatable(L, -2);
    struct task *task = op->reactor->current;
    if (task)
        list_append(&task->scope->ops, &op->link);
    op->open = true;
    op->reactor->ops++;
    return op;
}

void *op_new(lua_State *L, size_t size, const struct op_class *class)
{
    return op_new_object(L, size, class, NULL);
}

void *op_check(lua_State *L, int index, const struct op_class *class)
{
    return luaL_checkudata(L, index, class->name);
}

void op_begin(struct op *op)
{
    op->done = false;
    op->fault.kind = FAULT_NONE;
}

void op_complete(struct op *op, const struct fault *why)
{
    if (op->done)
        return;
    op->done = true;
    loop_timer_disarm(&op->reactor->loop, &op->timeout);
    if (why)
        op->fault = *why;
    else
        op->fault.kind = FAULT_NONE;
    if (op->waiter)
        task_wake(op->waiter);
}

void op_close(struct op *op)
{
    if (!op->open)
        return;
    op->open = false;
    op->reactor->ops--;
    list_remove(&op->link);
    loop_timer_disarm(&op->reactor->loop, &op->timeout);
    op->class->release(op);
    struct fault cancelled;
    fault_set(&cancelled, FAULT_CANCELLED, "%s was closed", op->class->name);
    op_complete(op, &cancelled);
}

void op_check_may_wait(lua_State *L, const struct op *op)
{
    const struct task *task = op->reactor->current;
    if (task && !task->may_wait)
        luaL_error(L,
                   "%s cannot be used while the file loads: call it inside a "
                   "healthcheck, a hook or a function that one of them calls",
                   op->class->name);
    if (task && !guard_can_yield(L))
        luaL_error(L,
                   "%s cannot wait here: inside a table.sort comparator, a string.gsub "
                   "callback, a __close handler or the body of a required module",
                   op->class->name);
}

int op_await(lua_State *L, struct op *op, lua_KContext context, lua_KFunction k)
{
    struct task *task = op->reactor->current;
    op_check_may_wait(L, op);
    if (!task)
        while (!op->done)
            reactor_turn(op->reactor, UINT64_MAX);
    if (op->done)
        return k(L, LUA_OK, context);
    op->waiter = task;
    task->waiting_for = op;
    task->pass = PASS_AWAIT;
    return lua_yieldk(L, 0, context, k);
}

int op_raise(lua_State *L, struct op *op)
{
    failure_push(L, &op->fault);
    return lua_error(L);
}
