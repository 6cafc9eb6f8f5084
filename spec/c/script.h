/* script.h - runs a piece of Lua as a check would run, for tests in C: a fresh
 * vm, one task with a deadline, the real reactor. */
#ifndef HOSPITAL_SPEC_SCRIPT_H
#define HOSPITAL_SPEC_SCRIPT_H

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "check/record.h"
#include "loop/reactor.h"
#include "loop/task.h"
#include "vm/guard.h"
#include "vm/vm.h"

struct script_outcome {
    char text[8192]; /* "returned: VALUE", "raised: MESSAGE", "killed: deadline" ... */
    uint64_t took_ns;
    size_t memory_peak;
    bool ended;
};

/* What scripts say goes here, unless it is NULL. */
static struct record *script_record;

/* Called when a script has ended, before what it left open is closed; may be NULL. */
static void (*script_before_close)(void);

static const char *script_kill_names[] = {"", "deadline", "memory", "stuck", "cancelled"};

static inline void script_on_end(struct task *task)
{
    struct script_outcome *out = task->owner;
    out->ended = true;
    if (task->killed) {
        snprintf(out->text, sizeof out->text, "killed: %s", script_kill_names[task->killed]);
    } else {
        const char *value = luaL_tolstring(task->co, -1, NULL);
        snprintf(out->text, sizeof out->text, "%s: %s",
                 task->status == LUA_OK ? "returned" : "raised", value);
    }
    task_free(task);
}

static inline void script_run_as(struct reactor *reactor, const char *text, unsigned deadline_ms,
                                 size_t memory_limit, bool private, struct script_outcome *out)
{
    memset(out, 0, sizeof *out);
    struct vm *vm = vm_open(reactor, memory_limit, NULL);
    if (!vm) {
        snprintf(out->text, sizeof out->text, "no vm");
        return;
    }
    if (luaL_loadbufferx(vm->L, text, strlen(text), "@script.lua", "t") != LUA_OK) {
        snprintf(out->text, sizeof out->text, "load: %s", lua_tostring(vm->L, -1));
        vm_close(vm);
        return;
    }
    if (private) {
        vm_push_private(vm->L);
        lua_setupvalue(vm->L, -2, 1);
    }
    struct scope scope;
    scope_init(&scope);
    uint64_t began_ns = clock_now_ns();
    struct task *task = task_start(vm, vm->L, 0,
                                   &(struct task_options){
                                       .deadline_ns = began_ns + deadline_ms * NS_PER_MS,
                                       .scope = &scope,
                                       .record = script_record,
                                       .may_wait = true,
                                       .on_end = script_on_end,
                                       .owner = out,
                                   });
    if (!task)
        snprintf(out->text, sizeof out->text, "no task");
    while (task && !out->ended)
        reactor_turn(reactor, UINT64_MAX);
    out->took_ns = clock_now_ns() - began_ns;
    if (script_before_close)
        script_before_close();
    scope_close(&scope);
    out->memory_peak = vm->memory_peak;
    /* children that were cancelled with their parent end in the next turn */
    while (reactor->tasks > 0)
        reactor_turn(reactor, 0);
    vm_close(vm);
}

/* Runs text as a script of the author's; its outcome is in *out. */
static inline void script_run(struct reactor *reactor, const char *text, unsigned deadline_ms,
                              size_t memory_limit, struct script_outcome *out)
{
    script_run_as(reactor, text, deadline_ms, memory_limit, false, out);
}

/* The same in the private environment: `import` is there. */
static inline void script_run_private(struct reactor *reactor, const char *text,
                                      unsigned deadline_ms, size_t memory_limit,
                                      struct script_outcome *out)
{
    script_run_as(reactor, text, deadline_ms, memory_limit, true, out);
}

/* The same with a prelude before text, in its line.  Returns what came of it. */
static inline const char *script_run_after(struct reactor *reactor, const char *prelude,
                                           const char *text, unsigned deadline_ms,
                                           size_t memory_limit, struct script_outcome *out)
{
    char *whole = NULL;
    if (asprintf(&whole, "%s %s", prelude, text) < 0)
        return "no memory";
    script_run_private(reactor, whole, deadline_ms, memory_limit, out);
    free(whole);
    return out->text;
}

/* For all scripts of a test, and what they say into record, which may be NULL. */
static inline bool script_open(struct reactor *reactor, struct record *record)
{
    if (!reactor_open(reactor) || !guard_open())
        return false;
    if (record)
        record_init(record);
    script_record = record;
    return true;
}

static inline void script_close(struct reactor *reactor)
{
    guard_close();
    if (script_record)
        record_fini(script_record);
    reactor_close(reactor); /* asserts that no watch is left */
}

#endif
