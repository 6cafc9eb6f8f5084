/* run_script.c - runs a Lua file as one task and tells how it ended: the first
 * line is the outcome ("returned: ...", "raised: ...", "killed: deadline"), the
 * second what is left over, "ops=0 watches=0 milliseconds=12 peak=40960".
 *
 *     run_script FILE [DEADLINE_MS [MEMORY_LIMIT [ALLOW]]]
 *
 * Outcomes are cut at 8 KB.  Exits with 1 when anything is left open, with 3 when a thread does
 * not come to its end. */
#include <stdlib.h>
#include <unistd.h>

#include "base/policy.h"
#include "loop/work.h"
#include "script.h"

static char text[1 << 20];

int main(int argc, char **argv)
{
    static struct reactor reactor;
    struct policy policy;
    struct fault why;
    struct script_outcome out;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!file || !reactor_open(&reactor) || !guard_open())
        return 2;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    policy_init(&policy);
    if (argc > 4 && !policy_allow(&policy, argv[4], &why))
        return 2;
    reactor.policy = argc > 4 ? &policy : NULL;
    unsigned deadline_ms = argc > 2 ? (unsigned)atoi(argv[2]) : 10000;
    size_t limit = argc > 3 ? (size_t)atoll(argv[3]) : 16u << 20;
    script_run_private(&reactor, text, deadline_ms, limit, &out);
    unsigned ops = reactor.ops;
    guard_close();
    bool ended = work_finish_all(&reactor.loop); /* who works needs the services */
    for (int i = 0; i < SERVICE_COUNT && ended; i++)
        if (reactor.services[i].self) {
            reactor.services[i].close(reactor.services[i].self);
            reactor.services[i].self = NULL;
        }
    unsigned watches = ended ? reactor.loop.watches : 0;
    printf("%s\n", out.text);
    printf("ops=%u watches=%u milliseconds=%llu peak=%zu\n", ops, watches,
           (unsigned long long)(out.took_ns / NS_PER_MS), out.memory_peak);
    fflush(stdout);
    if (!ended)
        _exit(3);
    reactor_close(&reactor);
    policy_fini(&policy);
    return ops || watches;
}
