/* reactor.c - see reactor.h. */
#include "loop/reactor.h"

#include <assert.h>

#include "base/clock.h"
#include "loop/task.h"
#include "loop/work.h"
#include "vm/vm.h"

/* Tasks run for at most this long before descriptors are looked at again, so
 * that a crowd of ready tasks does not falsify what the others measure. */
static const uint64_t turn_budget_ns = 5 * NS_PER_MS;

static const char reactor_key = 0;

bool reactor_open(struct reactor *reactor)
{
    *reactor = (struct reactor){0};
    list_init(&reactor->ready);
    list_init(&reactor->ended);
    list_init(&reactor->turn);
    return loop_open(&reactor->loop);
}

bool reactor_close(struct reactor *reactor)
{
    if (!work_finish_all(&reactor->loop))
        return false;
    for (int i = 0; i < SERVICE_COUNT; i++)
        if (reactor->services[i].self)
            reactor->services[i].close(reactor->services[i].self);
    assert(reactor->tasks == 0 && reactor->ops == 0);
    loop_close(&reactor->loop);
    return true;
}

void reactor_attach(lua_State *L, struct reactor *reactor)
{
    lua_pushlightuserdata(L, reactor);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &reactor_key);
}

struct reactor *reactor_of(lua_State *L)
{
    struct vm *vm = vm_of(L);
    if (vm)
        return vm->reactor;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &reactor_key);
    struct reactor *reactor = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return reactor;
}

static void finish_tasks(struct reactor *reactor)
{
    struct list *link;
    while ((link = list_shift(&reactor->ended))) {
        struct task *task = list_entry(link, struct task, link);
        task->on_end(task);
    }
}

/* Those that become ready meanwhile wait behind the mark for the next turn. */
void reactor_run_ready(struct reactor *reactor)
{
    uint64_t until_ns = clock_now_ns() + turn_budget_ns;
    list_append(&reactor->ready, &reactor->turn);
    for (struct list *link; (link = list_shift(&reactor->ready)) != &reactor->turn;) {
        task_run(list_entry(link, struct task, link));
        finish_tasks(reactor);
        if (clock_now_ns() >= until_ns)
            break;
    }
    list_remove(&reactor->turn);
}

void reactor_run_one(struct reactor *reactor, struct task *task)
{
    list_remove(&task->link);
    task_run(task);
    finish_tasks(reactor);
}

void reactor_turn(struct reactor *reactor, uint64_t wait_ns)
{
    if (!list_empty(&reactor->ready) || !list_empty(&reactor->ended))
        wait_ns = 0;
    loop_turn(&reactor->loop, wait_ns);
    finish_tasks(reactor);
    if (!list_empty(&reactor->ready))
        reactor_run_ready(reactor);
}
