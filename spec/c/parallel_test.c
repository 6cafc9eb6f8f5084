/* parallel_test.c - functions side by side: what each says is kept, in order, and
 * one forgets nothing of another's. */
#include "check/record.h"
#include "script.h"
#include "test.h"
#include "vm/pack.h"

enum { MB = 1024 * 1024 };

static struct reactor reactor;
static struct record record;
static struct script_outcome out;

#define PRELUDE                                                                                    \
    "local h = import 'hospital.host' local c = import 'hospital.control' "                        \
    "local function say(...) h.record('output', ...) end "                                         \
    "local function expect() h.record('failure', {kind = 'assertion', message = 'no'}) end "

static const char *run(const char *text, unsigned deadline_ms)
{
    record_clear(&record);
    script_run_after(&reactor, PRELUDE, text, deadline_ms, 8 * MB, &out);
    CHECK(reactor.ops == 0 && reactor.tasks == 0);
    return out.text;
}

/* What was said, as "a b c". */
static const char *said(enum record_list list)
{
    static char words[512];
    const struct buffer *packed = &record.lists[list].packed;
    lua_State *L = luaL_newstate();
    size_t used = 0;
    words[0] = '\0';
    for (size_t at = 0, size; at < packed->size; at += size) {
        size = pack_first_size(packed->data + at, packed->size - at);
        if (size == 0 || !unpack_value(L, packed->data + at, size, NULL))
            break;
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", used ? " " : "",
                                 luaL_tolstring(L, -1, NULL));
        lua_settop(L, 0);
    }
    lua_close(L);
    return words;
}

/* Story: the module that authors see handed a list to a binding that wanted
 * functions one by one, so that no check could use parallel at all. */
TEST(authors_call_it_with_functions)
{
    CHECK_STRING(run("local a, b = c.parallel(function() return 1 end, function() return 2 end) "
                     "return a + b",
                     1000),
                 "returned: 3");
}

TEST(the_sayings_are_in_the_order_of_the_functions)
{
    run("say('first') h.parallel(function() say('a1') h.sleep(0.02) say('a2') end, "
        "function() say('b1') h.sleep(0.001) say('b2') end) say('last')",
        1000);
    CHECK_STRING(said(RECORD_OUTPUT), "first a1 a2 b1 b2 last");
}

/* Story: the places to rewind to were those of the whole check, so that a branch
 * that tried again took back what its siblings had said and failed meanwhile. */
TEST(eventually_forgets_only_what_its_own_branch_said)
{
    CHECK_STRING(run("local n = 0 h.parallel(function() c.eventually(1, function() n = n + 1 "
                     "say('try') if n < 3 then error('x') end end) end, "
                     "function() h.sleep(0.01) say('sibling') expect() h.assertion() end) "
                     "return n",
                     2000),
                 "returned: 3");
    CHECK_STRING(said(RECORD_OUTPUT), "try sibling");
    CHECK(record.lists[RECORD_FAILURE].count == 1);
    CHECK(record.assertions == 1);
    CHECK_STRING(record.message, "no");
}

TEST(a_sibling_that_fails_does_not_make_eventually_try_again)
{
    CHECK_STRING(run("local n = 0 h.parallel(function() c.eventually(1, function() n = n + 1 "
                     "h.sleep(0.02) end) end, function() h.sleep(0.01) expect() end) return n",
                     2000),
                 "returned: 1");
    CHECK(record.lists[RECORD_FAILURE].count == 1);
}

TEST(eventually_around_parallel_sees_and_forgets_what_the_branches_said)
{
    CHECK_STRING(run("local n = 0 c.eventually(1, function() n = n + 1 h.parallel(function() "
                     "say('n' .. n) if n < 3 then expect() end end) end) return n",
                     2000),
                 "returned: 3");
    CHECK_STRING(said(RECORD_OUTPUT), "n3");
    CHECK(record.lists[RECORD_FAILURE].count == 0);
}

TEST(what_was_said_before_an_error_or_a_kill_is_kept)
{
    CHECK_STRING(run("h.parallel(function() say('a') error('e', 0) end, "
                     "function() h.sleep(0.01) say('b') end)",
                     1000),
                 "raised: e");
    CHECK_STRING(said(RECORD_OUTPUT), "a b");
    CHECK_STRING(run("h.parallel(function() say('a') h.parallel(function() say('deep') "
                     "h.sleep(9) end) end, function() say('b') while true do end end)",
                     60),
                 "killed: deadline");
    CHECK_STRING(said(RECORD_OUTPUT), "a deep b");
    CHECK_STRING(run("h.parallel(function() say('a') h.sleep(9) end, "
                     "function() say('b') local t = {} while true do t[#t + 1] = {} end end)",
                     1000),
                 "killed: memory");
    CHECK_STRING(said(RECORD_OUTPUT), "a b");
}

TEST(a_mark_that_no_longer_holds_forgets_nothing)
{
    run("local early = h.mark() say('one') local mark = h.mark() say('a long line') "
        "h.rewind(early) say('x') say('y') h.rewind(mark)",
        1000);
    CHECK_STRING(said(RECORD_OUTPUT), "x y");
    run("local mark say('one') h.parallel(function() mark = h.mark() end) say('two') "
        "h.rewind(mark)",
        1000);
    CHECK_STRING(said(RECORD_OUTPUT), "one two");
}

TEST(a_branch_has_no_more_room_than_the_check)
{
    run("local f = function() for i = 1, 70 do expect() end end h.parallel(f, f, f)", 1000);
    CHECK(record.lists[RECORD_FAILURE].count == 100);
    CHECK(record.lists[RECORD_FAILURE].dropped == 110);
}

/* Story: where nothing can wait the functions were started and only then refused,
 * so their first slices ran all the same. */
TEST(parallels_within_each_other_are_bounded)
{
    CHECK_STRING(run("local n, f = 0 f = function() n = n + 1 say(n) local ok, why = "
                     "pcall(h.parallel, f) if not ok then expect() end return why end f() "
                     "return n",
                     1000),
                 "returned: 17");
    CHECK(record.lists[RECORD_OUTPUT].count == 17);
    CHECK(record.lists[RECORD_FAILURE].count == 1);
    CHECK(record.lists[RECORD_OUTPUT].lent_count == 0);
    CHECK(record.lists[RECORD_OUTPUT].lent_size == 0);
}

TEST(its_memory_is_the_checks_memory)
{
    CHECK_STRING(run("local t = {} for i = 1, 1500 do t[i] = function() end end "
                     "return (pcall(h.parallel, table.unpack(t)))",
                     2000),
                 "returned: true");
    run("local t = {} for i = 1, 5000 do t[i] = function() end end "
        "return (pcall(h.parallel, table.unpack(t)))",
        2000);
    if (strcmp(out.text, "returned: false") != 0)
        CHECK_STRING(out.text, "killed: memory");
}

TEST(where_nothing_can_wait_nothing_is_started)
{
    CHECK_STRING(run("local ran, ok, why = false local f = function() ran = true end "
                     "table.sort({2, 1}, function() ok, why = pcall(h.parallel, f, f) end) "
                     "h.sleep(0.005) "
                     "return tostring(ran) .. ' ' .. tostring(ok) .. ' ' .. why",
                     1000),
                 "returned: false false parallel cannot wait here: inside a table.sort "
                 "comparator, a string.gsub callback, a __close handler or the body of a "
                 "required module");
    CHECK_STRING(run("local ran = false table.sort({2, 1}, function() local t = h.now() "
                     "pcall(h.parallel, function() ran = true end) end) "
                     "return ran",
                     1000),
                 "returned: false");
}

TEST(handlers_that_outlive_their_parent_say_nothing)
{
    CHECK_STRING(run("h.parallel(function() local x <close> = setmetatable({}, {__close = "
                     "function() say('late') h.sleep(1) end}) say('early') h.sleep(9) end)",
                     40),
                 "killed: deadline");
    CHECK_STRING(said(RECORD_OUTPUT), "early");
}

TEST(misuse_is_named)
{
    CHECK_STRING(run("h.parallel(function() end, 1)", 1000),
                 "raised: script.lua:1: bad argument #2 to 'parallel' (function expected, got "
                 "number)");
    CHECK_STRING(run("return select('#', h.parallel())", 1000), "returned: 0");
}

int main(void)
{
    if (!script_open(&reactor, &record))
        return 1;
    RUN(authors_call_it_with_functions);
    RUN(the_sayings_are_in_the_order_of_the_functions);
    RUN(eventually_forgets_only_what_its_own_branch_said);
    RUN(a_sibling_that_fails_does_not_make_eventually_try_again);
    RUN(eventually_around_parallel_sees_and_forgets_what_the_branches_said);
    RUN(what_was_said_before_an_error_or_a_kill_is_kept);
    RUN(a_mark_that_no_longer_holds_forgets_nothing);
    RUN(a_branch_has_no_more_room_than_the_check);
    RUN(parallels_within_each_other_are_bounded);
    RUN(its_memory_is_the_checks_memory);
    RUN(where_nothing_can_wait_nothing_is_started);
    RUN(handlers_that_outlive_their_parent_say_nothing);
    RUN(misuse_is_named);
    script_close(&reactor);
    return test_report();
}
