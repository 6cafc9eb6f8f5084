/* guard_test.c - one test for each defence that could be taken out of the guard,
 * the coroutines and the state without a program of hostile.inc going on. */
#include <stdlib.h>
#include <time.h>

#include "base/sanitizer.h"
#include "check/record.h"
#include "script.h"
#include "test.h"

enum { MB = 1024 * 1024 };

static struct reactor reactor;
static struct record record;
static struct script_outcome out;

#define PRELUDE                                                                                    \
    "local h = import 'hospital.host' local co, M = coroutine, setmetatable "                      \
    "local function say(...) h.record('output', ...) end "                                         \
    "local function closing(f) return M({}, {__close = f}) end "                                   \
    "local function spin() while true do end end "

static const char *run(const char *text, unsigned deadline_ms)
{
    record_clear(&record);
    script_run_after(&reactor, PRELUDE, text, deadline_ms, 8 * MB, &out);
    CHECK(reactor.ops == 0 && reactor.tasks == 0);
    return out.text;
}

static unsigned lines(void)
{
    return record.lists[RECORD_OUTPUT].count;
}

/* Story: a pcall that let its caller go on after a kill gave the hook a second
 * error to raise, and of an error in a hook a coroutine dies deaf: what it had to
 * close was left to its scope, and its own __close handlers never ran. */
TEST(a_kill_inside_pcall_goes_on_there)
{
    CHECK_STRING(run("local x <close> = closing(function() say('closed') end) "
                     "table.sort({2, 1}, function() pcall(spin) end)",
                     60),
                 "killed: deadline");
    CHECK(lines() == 1);
    CHECK_STRING(run("local x <close> = closing(function() say('closed') end) "
                     "table.sort({2, 1}, function() xpcall(spin, function() say('handler') end) "
                     "end)",
                     60),
                 "killed: deadline");
    CHECK(lines() == 1);
}

TEST(a_kill_inside_load_goes_on_there)
{
    CHECK_STRING(run("local x <close> = closing(function() say('closed') end) "
                     "table.sort({2, 1}, function() load(spin) end)",
                     60),
                 "killed: deadline");
    CHECK(lines() == 1);
}

/* A coroutine that died deaf would run its handlers without any hook. */
TEST(handlers_of_a_deaf_coroutine_do_not_run)
{
    CHECK_STRING(run("local x <close> = closing(function() say('closed') spin() end) "
                     "table.sort({2, 1}, spin)",
                     60),
                 "killed: deadline");
    CHECK(lines() == 0);
}

TEST(handlers_share_a_budget_of_their_own)
{
    uint64_t began_ns = clock_now_ns();
    CHECK_STRING(run("local a <close> = closing(function() say('a') end) "
                     "local b <close> = closing(function() say('b') spin() end) spin()",
                     60),
                 "killed: deadline");
    CHECK(lines() >= 1);
    CHECK(clock_now_ns() - began_ns < 20 * NS_PER_S);
}

/* The nested coroutine could yield, but not the sort around it. */
TEST(what_cannot_be_yielded_across_is_known_inside_a_coroutine)
{
    CHECK_STRING(run("local ok, why table.sort({2, 1}, function() co.wrap(function() "
                     "ok, why = pcall(h.sleep, 0.001) end)() end) "
                     "return tostring(ok) .. ' ' .. tostring(why):match('cannot wait here')",
                     1000),
                 "returned: false cannot wait here");
    CHECK_STRING(run("local ok, why local x = co.create(function() "
                     "local c <close> = closing(function() co.wrap(function() "
                     "ok, why = pcall(h.sleep, 0.001) end)() end) co.yield() end) "
                     "co.resume(x) co.close(x) "
                     "return tostring(ok) .. ' ' .. tostring(why):match('cannot wait here')",
                     1000),
                 "returned: false cannot wait here");
    CHECK_STRING(run("table.sort({3, 2, 1}, function() co.wrap(function() local t = h.now() "
                     "while h.now() - t < 0.03 do end end)() return false end) return 'sorted'",
                     1000),
                 "returned: sorted");
}

TEST(one_that_waits_in_a_task_is_resumed_by_no_other)
{
    CHECK_STRING(run("local c = co.create(function() h.sleep(0.03) return 'own' end) "
                     "local mine, ok, why, status "
                     "h.parallel(function() mine = select(2, co.resume(c)) end, "
                     "function() h.sleep(0.005) status = co.status(c) ok, why = co.resume(c) end) "
                     "return table.concat({mine, tostring(ok), why, status}, ', ')",
                     1000),
                 "returned: own, false, cannot resume non-suspended coroutine, normal");
    CHECK_STRING(run("local c = co.wrap(function() h.sleep(0.03) return 'own' end) local mine, ok "
                     "h.parallel(function() mine = c() end, "
                     "function() h.sleep(0.005) ok = pcall(c) end) "
                     "return tostring(mine) .. ' ' .. tostring(ok)",
                     1000),
                 "returned: own false");
    CHECK_STRING(
        run("local c = co.create(function() h.sleep(0.03) return 'own' end) local mine, ok "
            "h.parallel(function() mine = select(2, co.resume(c)) end, "
            "function() h.sleep(0.005) ok = pcall(co.close, c) end) "
            "return tostring(mine) .. ' ' .. tostring(ok)",
            1000),
        "returned: own false");
}

TEST(the_base_of_a_task_is_nobodys_to_resume)
{
    CHECK_STRING(run("local base, main = co.running() local r = {type(base), tostring(main)} "
                     "h.parallel(function() local mine = co.running() "
                     "r[#r + 1] = tostring(mine ~= base) "
                     "r[#r + 1] = co.status(base) "
                     "r[#r + 1] = tostring(select(2, co.resume(base))) "
                     "r[#r + 1] = tostring(pcall(co.close, base)) end) "
                     "return table.concat(r, ', ')",
                     1000),
                 "returned: thread, true, true, normal, cannot resume non-suspended coroutine, "
                 "false");
}

/* Closing does not count in Lua's own limit, and would end in a crash. */
TEST(closes_within_each_other_are_bounded)
{
    CHECK_STRING(run("local why local all = {} for i = 1, 400 do all[i] = co.create(function() "
                     "local x <close> = closing(function() if all[i + 1] then local ok, e = "
                     "co.close(all[i + 1]) why = why or e end end) co.yield() end) "
                     "co.resume(all[i]) end co.close(all[1]) return tostring(why):match('C stack "
                     "overflow$')",
                     2000),
                 "returned: C stack overflow");
}

TEST(no_finalizer_is_accepted)
{
    CHECK_STRING(run("return tostring(select(2, pcall(M, {}, {__gc = function() end})))", 1000),
                 "returned: __gc is not available to checks: use <close> or teardown");
    CHECK_STRING(run("local ran = false local m = {} local x = M({}, m) "
                     "m.__gc = function() ran = true end x = nil "
                     "for i = 1, 30000 do local t = {i} end return ran",
                     2000),
                 "returned: false");
}

/* Lua makes these two messages where nothing protects: a worker would end in a
 * panic if there were no memory for them.  vm.c keeps them; without that, these
 * limits have not met the moment yet, so they only prove that it is survived. */
static void try_limits_around(const char *text, size_t margin)
{
    script_run_private(&reactor, text, 3000, 64 * MB, &out);
    size_t peak = out.memory_peak;
    unsigned killed = 0;
    for (size_t limit = peak - margin; limit <= peak + 64; limit += 8) {
        script_run_private(&reactor, text, 3000, limit, &out);
        CHECK(out.ended && reactor.ops == 0 && reactor.tasks == 0);
        killed += strcmp(out.text, "killed: memory") == 0;
    }
    CHECK(killed > 0);
}

/* Which of Lua's two places notices depends on whether the depth is odd. */
TEST(an_overflow_of_the_c_stack_at_the_limit_of_memory)
{
#define NEST                                                                                       \
    "local co, keep, n = coroutine, {}, 0 local function f() n = n + 1 "                           \
    "local c = co.create(f) keep[n] = c local ok = co.resume(c) return ok end "                    \
    "for i = 1, 256 do keep[i] = false end "
    try_limits_around(NEST "f() return n", 4096);
    try_limits_around(NEST "table.sort({2, 1}, function() f() end) return n", 4096);
    try_limits_around(NEST "pcall(table.sort, {2, 1}, function() f() end) return n", 4096);
    try_limits_around(
        NEST "('x'):gsub('.', function() table.sort({2, 1}, function() f() end) end) return n",
        4096);
}

TEST(a_second_overflow_of_the_stack_at_the_limit_of_memory)
{
    const char *text = "local co = coroutine local function deep() return 1 + deep() end "
                       "local c = co.create(function() local x <close> = setmetatable({}, "
                       "{__close = deep}) deep() end) co.resume(c) return tostring(co.close(c))";
    script_run_private(&reactor, text, 60000, 256 * MB, &out);
    CHECK(out.ended && reactor.ops == 0 && reactor.tasks == 0);
    if (strcmp(out.text, "killed: stuck") == 0)
        return; /* on a slow machine, or under a sanitizer: nothing can preempt it */
    CHECK_STRING(out.text, "returned: false");
    for (size_t limit = out.memory_peak - 400; limit <= out.memory_peak; limit += 16) {
        script_run_private(&reactor, text, 60000, limit, &out);
        CHECK(out.ended && reactor.ops == 0 && reactor.tasks == 0);
    }
}

/* The default deadline is long; who cannot be preempted gets far less. */
TEST(who_holds_the_worker_is_stuck)
{
    uint64_t began_ns = clock_now_ns();
    CHECK_STRING(run("table.sort({2, 1}, spin)", 10000), "killed: stuck");
    CHECK_STRING(run("('x'):gsub('.', function() pcall(spin) end)", 10000), "killed: stuck");
    CHECK_STRING(run("local t = {} for i = 1, 2^16 do t[i] = 'a' end while true do "
                     "table.concat(t) table.sort(t) end",
                     600),
                 "killed: deadline"); /* may be preempted between the calls */
    CHECK(clock_now_ns() - began_ns < 29 * NS_PER_S);
}

int main(void)
{
    if (!script_open(&reactor, &record))
        return 1;
    RUN(a_kill_inside_pcall_goes_on_there);
    RUN(a_kill_inside_load_goes_on_there);
    RUN(handlers_of_a_deaf_coroutine_do_not_run);
    RUN(handlers_share_a_budget_of_their_own);
    RUN(what_cannot_be_yielded_across_is_known_inside_a_coroutine);
    RUN(one_that_waits_in_a_task_is_resumed_by_no_other);
    RUN(the_base_of_a_task_is_nobodys_to_resume);
    RUN(closes_within_each_other_are_bounded);
    RUN(no_finalizer_is_accepted);
    RUN(an_overflow_of_the_c_stack_at_the_limit_of_memory);
    RUN(a_second_overflow_of_the_stack_at_the_limit_of_memory);
    RUN(who_holds_the_worker_is_stuck);
    script_close(&reactor);
    return test_report();
}
