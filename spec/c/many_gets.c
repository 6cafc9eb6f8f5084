/* many_gets.c - how much a GET costs inside the sandbox: COUNT tasks in VMS
 * states, each of them one assert_http_response, all at once.
 *
 *     many_gets URL COUNT [VMS]
 *
 * Prints one line of JSON; compare with bench/baseline.c. */
#include <stdlib.h>
#include <sys/resource.h>

#include "base/buffer.h"
#include "script.h"

struct get {
    struct scope scope;
    bool failed;
};

static unsigned ended, failed;

static void on_get_end(struct task *task)
{
    struct get *get = task->owner;
    ended++;
    if (task->killed || task->status != LUA_OK) {
        if (failed++ == 0)
            fprintf(stderr, "%s\n", task->killed ? "killed" : luaL_tolstring(task->co, -1, NULL));
    }
    task_free(task);
    scope_close(&get->scope);
}

int main(int argc, char **argv)
{
    static struct reactor reactor;
    if (argc < 3 || !reactor_open(&reactor) || !guard_open())
        return 2;
    unsigned count = (unsigned)atoi(argv[2]), vms = argc > 3 ? (unsigned)atoi(argv[3]) : 10;
    struct vm **all = memory_new(vms * sizeof(struct vm *));
    struct get *gets = memory_new(count * sizeof *gets);
    char text[1024];
    snprintf(text, sizeof text,
             "local a = import('hospital.http').assert_http_response "
             "return function() a('%s', 200, nil) end",
             argv[1]);
    uint64_t began_ns = clock_now_ns();
    for (unsigned i = 0; i < vms; i++) {
        all[i] = vm_open(&reactor, 64u << 20, NULL);
        luaL_loadbufferx(all[i]->L, text, strlen(text), "@script.lua", "t");
        vm_push_private(all[i]->L);
        lua_setupvalue(all[i]->L, -2, 1);
        lua_call(all[i]->L, 0, 1);
    }
    for (unsigned i = 0; i < count; i++) {
        struct vm *vm = all[i % vms];
        scope_init(&gets[i].scope);
        lua_pushvalue(vm->L, -1);
        task_start(vm, vm->L, 0,
                   &(struct task_options){.deadline_ns = clock_now_ns() + 60 * NS_PER_S,
                                          .scope = &gets[i].scope,
                                          .may_wait = true,
                                          .on_end = on_get_end,
                                          .owner = &gets[i]});
    }
    while (ended < count)
        reactor_turn(&reactor, UINT64_MAX);
    uint64_t took_ns = clock_now_ns() - began_ns;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"count\": %u, \"failed\": %u, \"seconds\": %.3f, \"cpu\": %.3f, \"rss_mb\": %.1f, "
           "\"lag_max_ms\": %.1f}\n",
           count, failed, (double)took_ns / 1e9,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           (double)usage.ru_maxrss / 1024.0, (double)reactor.loop.lag_max_ns / 1e6);
    for (unsigned i = 0; i < vms; i++)
        vm_close(all[i]);
    guard_close();
    reactor_close(&reactor);
    free(all);
    free(gets);
    return failed ? 1 : 0;
}
