/* op.h - an operation or resource that a script can wait for: a request, a
 * lookup, a sleep, a connection.
 *
 * An op is the head of a Lua userdata.  It is born CLOSED and linked into its
 * scope before it acquires anything, so whatever raises, kills or ends the
 * check, op_close reaches it exactly once.  Event callbacks only fill the
 * operation and call op_complete; they never touch Lua.
 *
 *     struct nap { struct op op; struct timer timer; };
 *     static void nap_release(struct op *op) { disarm the timer }
 *     static const struct op_class nap_class = {"sleep", nap_release};
 *
 *     static int k_sleep(lua_State *L, int status, lua_KContext at)
 *     { ... turn the C data into Lua values ... }
 *
 *     static int l_sleep(lua_State *L)
 *     {
 *         check every argument;                         nothing is owned yet
 *         struct nap *nap = op_new(L, sizeof *nap, &nap_class);
 *         lua_toclose(L, -1);                           closes when l_sleep returns
 *         start it;                                     may complete at once
 *         return op_await(L, &nap->op, lua_gettop(L), k_sleep);
 *     }
 *
 * Lifetime: from op_new to op_close (the slot's __close, __gc, or the end of
 * its scope, whichever is first).  The memory is Lua's: a library that may call
 * back later must be told to forget the op in class->release. */
#ifndef HOSPITAL_LOOP_OP_H
#define HOSPITAL_LOOP_OP_H

#include <lua.h>
#include <stdbool.h>

#include "base/fault.h"
#include "base/list.h"
#include "loop/timer.h"

struct reactor;
struct task;
struct op;

struct op_class {
    const char *name;             /* as the author knows it: "http.request" */
    void (*release)(struct op *); /* gives back everything; called once, may not raise */
};

/* What lives as long as a check's attempt, a describe or a file: closing it
 * closes every op that was made inside. */
struct scope {
    struct list ops;
};

struct op {
    struct list link; /* in its scope */
    const struct op_class *class;
    struct reactor *reactor;
    struct task *waiter;  /* NULL unless a task waits */
    struct timer timeout; /* for the class to arm; completion disarms it */
    bool open;            /* acquired something that release must give back */
    bool done;            /* nothing to wait for */
    struct fault fault;   /* kind FAULT_NONE when it succeeded */
};

void scope_init(struct scope *scope);
void scope_close(struct scope *scope); /* closes every op in it; may be called again */

/* Pushes a zeroed userdata of size bytes that begins with an op, with
 * metatable (__gc, __close, __name) and linked into the running task's scope;
 * `done` is false, `open` true.  [-0, +1, m] */
void *op_new(lua_State *L, size_t size, const struct op_class *class);

/* The same with Lua methods: __index is a table made of them.  [-0, +1, m] */
struct luaL_Reg;
void *op_new_object(lua_State *L, size_t size, const struct op_class *class,
                    const struct luaL_Reg *methods);

/* The op at a stack index, or an argument error that names the class.  */
void *op_check(lua_State *L, int index, const struct op_class *class);

/* The operation is over: why is NULL (success) or the fault, which is copied.
 * Harmless when it is over already.  Wakes the task that waits. */
void op_complete(struct op *op, const struct fault *why);

/* For a resource that is waited for many times: the next wait begins. */
void op_begin(struct op *op);

/* Gives everything back; an unfinished op completes as cancelled. Idempotent. */
void op_close(struct op *op);

/* Raises what op_await would raise in this place: for what must not even start
 * where nothing can wait for it.  [-0, +0, v] */
void op_check_may_wait(lua_State *L, const struct op *op);

/* Waits until the op is done and continues in k(L, status, context) on the same
 * stack; inside the host by yielding, in stock Lua by turning the loop.  Raises
 * an error that names op->class when this place cannot wait (a table.sort
 * comparator, a string.gsub callback, a required module's body, a file that is
 * still loading).  [-?, +?, v] */
int op_await(lua_State *L, struct op *op, lua_KContext context, lua_KFunction k);

/* Raises the op's fault as a fault object (see vm/failure.h).  [-0, +0, v] */
int op_raise(lua_State *L, struct op *op);

#endif
