/* task_test.c - tasks: what returns, raises, waits, and what is ended. */
#include "script.h"
#include "test.h"

static struct reactor reactor;
static struct script_outcome out;
enum { MB = 1024 * 1024 };

static const char *run(const char *text, unsigned deadline_ms)
{
    script_run_private(&reactor, text, deadline_ms, 8 * MB, &out);
    CHECK(reactor.ops == 0);
    return out.text;
}

TEST(a_task_returns)
{
    CHECK_STRING(run("return 1 + 1", 1000), "returned: 2");
}

TEST(a_task_raises)
{
    CHECK_STRING(run("error('x', 0)", 1000), "raised: x");
}

TEST(sleep_waits)
{
    CHECK_STRING(run("local h = import 'hospital.host' local t = h.now() h.sleep('30ms') "
                     "return h.now() - t >= 0.03",
                     1000),
                 "returned: true");
}

TEST(a_sleep_ends_at_the_deadline)
{
    CHECK_STRING(run("import('hospital.host').sleep(5)", 30), "killed: deadline");
    CHECK(out.took_ns < 4500 * NS_PER_MS);
}

TEST(a_loop_ends_at_the_deadline)
{
    CHECK_STRING(run("while true do end", 50), "killed: deadline");
    CHECK_STRING(run("while true do pcall(error) end", 50), "killed: deadline");
}

TEST(memory_is_bounded)
{
    CHECK_STRING(run("local t = {} while true do t[#t + 1] = {} end", 5000), "killed: memory");
    CHECK(out.memory_peak <= 8 * MB);
}

TEST(functions_run_in_parallel)
{
    CHECK_STRING(run("local h = import 'hospital.host' local t = h.now() local n = 0 "
                     "local f = function() h.sleep(0.05) n = n + 1 return n end "
                     "local a, b, c = h.parallel(f, f, f) "
                     "return a + b + c == 6 and h.now() - t < 0.14",
                     1000),
                 "returned: true");
    CHECK_STRING(run("local h = import 'hospital.host' "
                     "h.parallel(function() h.sleep(0.02) error('b', 0) end, "
                     "function() error('a', 0) end)",
                     1000),
                 "raised: a");
    CHECK_STRING(run("local h = import 'hospital.host' "
                     "h.parallel(function() h.sleep(9) end, function() while true do end end)",
                     60),
                 "killed: deadline");
}

static unsigned slices;
static bool in_slice;

static void on_slice(struct reactor *r, const struct task *task)
{
    (void)r;
    slices += task != NULL;
    in_slice = task != NULL;
}

/* What the supervisor cannot see it cannot end: a __close that hangs in C. */
TEST(what_is_closed_at_the_end_is_a_slice_of_its_own)
{
    slices = 0;
    reactor.on_slice = on_slice;
    CHECK_STRING(
        run("local c <close> = setmetatable({}, {__close = function() end}) error('x', 0)", 1000),
        "raised: x");
    CHECK(slices == 2 && !in_slice);
    reactor.on_slice = NULL;
}

/* The child is freed in the middle of its parent's slice, which went on unwatched. */
TEST(a_slice_goes_on_after_one_within_it)
{
    slices = 0;
    reactor.on_slice = on_slice;
    CHECK_STRING(run("local h = import 'hospital.host' pcall(h.parallel, {function() "
                     "local c <close> = setmetatable({}, {__close = function() end}) error('x') "
                     "end}) while true do end",
                     100),
                 "killed: deadline");
    CHECK(!in_slice);
    reactor.on_slice = NULL;
}

int main(void)
{
    if (!script_open(&reactor, NULL))
        return 1;
    RUN(a_task_returns);
    RUN(a_task_raises);
    RUN(sleep_waits);
    RUN(a_sleep_ends_at_the_deadline);
    RUN(a_loop_ends_at_the_deadline);
    RUN(memory_is_bounded);
    RUN(functions_run_in_parallel);
    RUN(what_is_closed_at_the_end_is_a_slice_of_its_own);
    RUN(a_slice_goes_on_after_one_within_it);
    script_close(&reactor);
    return test_report();
}
