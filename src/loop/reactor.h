/* reactor.h - what a binding stands on: the loop, the running task, and the
 * services that all operations of a process share (resolver, curl, ICMP).
 *
 * A worker has one; in stock Lua the module makes one.  It hangs in the Lua
 * registry of every state that uses it, so a binding needs nothing but L. */
#ifndef HOSPITAL_LOOP_REACTOR_H
#define HOSPITAL_LOOP_REACTOR_H

#include <lua.h>

#include "loop/loop.h"

struct task;
struct policy;

enum service_kind {
    SERVICE_DNS,
    SERVICE_HTTP,
    SERVICE_ICMP,
    SERVICE_POSTGRES,
    SERVICE_SQLITE,
    SERVICE_MYSQL,
    SERVICE_COUNT
};

/* Opened by the binding that needs it first; closed with the reactor. */
struct service {
    void *self;
    void (*close)(void *self);
};

struct reactor {
    struct loop loop;
    struct list ready;           /* tasks to resume, in order */
    struct list turn;            /* on ready: behind it are the next turn's */
    struct list ended;           /* tasks whose on_end is due */
    struct task *current;        /* running now; NULL in callbacks and in stock Lua */
    const struct policy *policy; /* what checks may reach; borrowed; NULL allows all */
    struct service services[SERVICE_COUNT];
    /* A slice of a task begins; NULL: it is over.  For the heartbeat. */
    void (*on_slice)(struct reactor *reactor, const struct task *task);
    void *slice_owner;
    unsigned tasks; /* alive */
    unsigned ops;   /* open operations and resources: zero at the end */
};

bool reactor_open(struct reactor *reactor) __attribute__((warn_unused_result));

/* Every task must have ended.  False, and all is left as it is, while a thread still works with it
 * that does not come to its end: see work_finish_all. */
bool reactor_close(struct reactor *reactor);

/* Puts the reactor where reactor_of finds it.  [-0, +0, m] */
void reactor_attach(lua_State *L, struct reactor *reactor);
struct reactor *reactor_of(lua_State *L);

/* Every task that is ready now, once each, and the ends that come of it. */
void reactor_run_ready(struct reactor *reactor);

/* The ready task alone, and the ends that come of it. */
void reactor_run_one(struct reactor *reactor, struct task *task);

/* One turn of the loop, then every task that became ready, once each. */
void reactor_turn(struct reactor *reactor, uint64_t wait_ns);

#endif
