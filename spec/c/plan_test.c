/* plan_test.c - what may run, what waits for what, what is red and what is run
 * once more: the rules of the plan, without a process. */
#include "check/plan.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "check/diagnosis.h"
#include "check/extra.h"
#include "check/rerun.h"
#include "check/settle.h"
#include "test.h"

enum { FILES = 3 };

static char names[FILES][8] = {"a.lua", "b.lua", "c.lua"};
static struct check_file sources[FILES] = {{.id = names[0]}, {.id = names[1]}, {.id = names[2]}};
static struct plan plan;

/* A plan of the first files. */
static void open_files(size_t count, bool strict)
{
    plan_init(&plan, &(struct discovery){.files = sources, .file_count = count},
              &(struct selector){0}, strict);
}

/* Each file has the nodes 1, itself, and 2, a describe "d" with a teardown.  A check
 * is { name, … } with the fields of the suite; `d = true` puts it into that. */
static const char prelude[] =
    "local file, checks = ... "
    "for i, c in ipairs(checks) do "
    "  c.name, c.line, c.lane = c[1], i, c.lane or 0 "
    "  c.id = file .. (c.d and '::d::' or '::') .. c.name "
    "  c.nodes = c.d and {1, 2} or {1} "
    "end "
    "return { checks = checks, nodes = { { name = file, prefix = file .. '::', line = 0 }, "
    "  { name = 'd', prefix = file .. '::d::', line = 7, setup = {1}, teardown = {1} } } }";

static void push_suite(lua_State *L, const char *file, const char *checks)
{
    CHECK(luaL_loadstring(L, prelude) == LUA_OK);
    lua_pushstring(L, file);
    lua_pushfstring(L, "return {%s}", checks);
    CHECK(luaL_loadstring(L, lua_tostring(L, -1)) == LUA_OK);
    lua_remove(L, -2);
    CHECK(lua_pcall(L, 0, 1, 0) == LUA_OK);
    CHECK(lua_pcall(L, 2, 1, 0) == LUA_OK);
}

/* The file of that name declares these checks. */
static bool load(size_t file, const char *checks)
{
    struct buffer bytes = {0};
    struct catalogue catalogue;
    struct fault why;
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    push_suite(L, sources[file].id, checks);
    catalogue_write(L, -1, &bytes);
    lua_close(L);
    bool parsed = catalogue_parse(&catalogue, bytes.data, bytes.size, &why);
    buffer_fini(&bytes);
    CHECK(parsed);
    return parsed && plan_file_loaded(&plan, &plan.files[file], &catalogue);
}

static void break_file(size_t file, const char *context)
{
    plan_file_broken(&plan, &plan.files[file], context, NULL, 0);
}

static struct plan_check *find(const char *id)
{
    for (size_t i = 0; i < plan.file_count; i++)
        for (size_t j = 0; j < plan.files[i].catalogue.count; j++)
            if (strcmp(plan.files[i].checks[j].decl->id, id) == 0)
                return &plan.files[i].checks[j];
    printf("    there is no %s\n", id);
    abort();
}

static void ends(const char *id, enum status status)
{
    struct plan_check *check = find(id);
    CHECK(check->state == CHECK_READY || check->decl->diagnosis);
    settle_check(&plan, check, &(struct settlement){.status = status, .attempts = 1});
}

static void tears_down(size_t file, enum status status)
{
    extra_add_teardown(&plan, &plan.files[file], 1, &(struct settlement){.status = status});
}

static bool is(const char *id, enum check_state state)
{
    return find(id)->state == state;
}

/* It was skipped, and this is why. */
static bool skipped(const char *id, const char *why)
{
    const struct plan_check *check = find(id);
    if (check->state != CHECK_SETTLED || check->status != STATUS_SKIP || !check->context)
        return false;
    return has(check->context, why);
}

static bool refused(const char *id, const char *why)
{
    const struct plan_check *check = find(id);
    if (check->state != CHECK_SETTLED || check->status != STATUS_ERROR || !check->refused)
        return false;
    return has(check->context, why);
}

static size_t times_changed(const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < plan.changed_count; i++)
        count += plan.changed[i] == find(id);
    return count;
}

/* What the plan counts is what there is. */
static void recount(void)
{
    size_t checks = 0, settled = 0, extras = 0;
    for (size_t i = 0; i < plan.file_count; i++) {
        const struct plan_file *file = &plan.files[i];
        size_t unsettled = 0;
        for (size_t j = 0; j < file->catalogue.count; j++) {
            const struct plan_check *check = &file->checks[j];
            if (check->decl->diagnosis || check->state == CHECK_OUT)
                continue;
            checks++;
            settled += check->state == CHECK_SETTLED;
            unsettled += check->state != CHECK_SETTLED;
        }
        for (const struct plan_extra *extra = file->extras; extra; extra = extra->next)
            extras += extra_is_red(&plan, extra);
        CHECK(file->unsettled == unsettled);
    }
    CHECK(plan.checks == checks && plan.settled == settled && plan.extras == extras);
}

static void close_plan(void)
{
    recount();
    plan_fini(&plan);
}

/* --- requires -------------------------------------------------------------- */

TEST(what_requires_a_red_check_is_skipped_and_says_why)
{
    static const enum status reds[] = {STATUS_FAIL, STATUS_ERROR, STATUS_TIMEOUT,
                                       STATUS_UNEXPECTED_SUCCESS};
    for (size_t i = 0; i < sizeof reds / sizeof *reds; i++) {
        open_files(1, false);
        load(0, "{'b'}, {'a', requires = {'a.lua::b'}}");
        CHECK(is("a.lua::b", CHECK_READY) && is("a.lua::a", CHECK_HELD));
        ends("a.lua::b", reds[i]);
        CHECK(skipped("a.lua::a", "because \"a.lua::b\" failed"));
        CHECK(times_changed("a.lua::a") == 1);
        CHECK(plan_is_over(&plan) && plan_is_red(&plan) && plan.red_count == 1);
        close_plan();
    }
}

TEST(what_requires_a_green_check_may_run)
{
    static const enum status greens[] = {STATUS_PASS, STATUS_WARN, STATUS_SKIP,
                                         STATUS_EXPECTED_FAILURE};
    for (size_t i = 0; i < sizeof greens / sizeof *greens; i++) {
        open_files(1, false);
        load(0, "{'a', requires = {'a.lua::b'}}, {'b'}");
        ends("a.lua::b", greens[i]);
        CHECK(is("a.lua::a", CHECK_READY) && times_changed("a.lua::a") == 1);
        CHECK(!plan_is_over(&plan) && !plan_is_red(&plan));
        close_plan();
    }
}

TEST(a_warning_is_red_when_it_is_strict)
{
    open_files(1, true);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b'}");
    ends("a.lua::b", STATUS_WARN);
    CHECK(skipped("a.lua::a", "because \"a.lua::b\" failed") && plan_is_red(&plan));
    close_plan();
}

TEST(all_that_is_required_is_awaited)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b', 'a.lua::c'}}, {'b'}, {'c'}");
    ends("a.lua::b", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_HELD));
    ends("a.lua::c", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

/* Of two that are red the first is named, and the second skips nothing again. */
TEST(a_check_settles_once)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b', 'a.lua::c', 'a.lua::e'}}, {'b'}, {'c'}, {'e'}");
    ends("a.lua::b", STATUS_FAIL);
    ends("a.lua::c", STATUS_FAIL);
    ends("a.lua::e", STATUS_PASS);
    CHECK(skipped("a.lua::a", "because \"a.lua::b\" failed"));
    CHECK(times_changed("a.lua::a") == 1 && plan_is_over(&plan));
    close_plan();
}

TEST(a_chain_names_what_was_red_at_its_root)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b', requires = {'a.lua::c'}}, {'c'}");
    ends("a.lua::c", STATUS_FAIL);
    CHECK(skipped("a.lua::b", "because \"a.lua::c\" failed"));
    CHECK(skipped("a.lua::a", "because \"a.lua::c\" failed"));
    CHECK(plan.red_count == 1 && plan_is_over(&plan));
    close_plan();
}

TEST(a_chain_goes_on_one_by_one)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b', requires = {'a.lua::c'}}, {'c'}");
    ends("a.lua::c", STATUS_PASS);
    CHECK(is("a.lua::b", CHECK_READY) && is("a.lua::a", CHECK_HELD));
    ends("a.lua::b", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

/* It would overflow the stack of whoever recursed. */
TEST(a_chain_may_be_as_long_as_a_file)
{
    open_files(1, false);
    load(0, "(function() local t = {{'1'}} for i = 2, 60000 do "
            "t[i] = { tostring(i), requires = { 'a.lua::' .. i - 1 } } end "
            "return table.unpack(t) end)()");
    CHECK(plan.checks == 60000 && is("a.lua::60000", CHECK_HELD));
    ends("a.lua::1", STATUS_FAIL);
    CHECK(plan_is_over(&plan) && plan.red_count == 1);
    CHECK(skipped("a.lua::60000", "because \"a.lua::1\" failed"));
    close_plan();
}

TEST(a_describe_is_all_below_it_but_its_diagnoses)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::d'}}, {'b', d = true}, {'c', d = true}, {'d2'}, "
            "{'why', d = true, kind = 'diagnosis', of = {'a.lua::d'}}");
    CHECK(find("a.lua::a")->waits == 2);
    ends("a.lua::d::b", STATUS_PASS);
    ends("a.lua::d::c", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

TEST(an_id_of_a_check_and_of_a_describe_is_both)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::d'}}, {'d'}, {'b', d = true}");
    ends("a.lua::d", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_HELD));
    ends("a.lua::d::b", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

/* Nobody knows whether it will run. */
TEST(a_diagnosis_cannot_be_required)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::d'}}, {'b', requires = {'a.lua::d::why'}}, "
            "{'why', d = true, kind = 'diagnosis', of = {'a.lua'}}");
    CHECK(refused("a.lua::a", "\"a.lua::d\", but that file declares no such check"));
    CHECK(refused("a.lua::b", "\"a.lua::d::why\", but that file declares no such check"));
    close_plan();
}

/* "all of this file" means the others. */
TEST(nothing_waits_for_itself)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua'}}, {'b'}");
    CHECK(is("a.lua::a", CHECK_HELD));
    ends("a.lua::b", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

TEST(what_was_not_selected_is_not_awaited)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b', slow = true}");
    CHECK(is("a.lua::b", CHECK_OUT) && is("a.lua::a", CHECK_READY));
    CHECK(plan.checks == 1 && plan.out_slow == 1 && plan.out_other == 0);
    ends("a.lua::a", STATUS_PASS);
    CHECK(plan_is_over(&plan));
    close_plan();
}

TEST(an_id_that_is_wrong_is_refused)
{
    open_files(2, false);
    load(1, "{'b'}");
    load(0, "{'a', requires = {'b.lua::bb'}}, {'c', requires = {'a.lua::a'}}");
    CHECK(refused("a.lua::a", "requires \"b.lua::bb\", but that file declares no such check"));
    CHECK(skipped("a.lua::c", "because \"a.lua::a\" failed"));
    close_plan();
}

TEST(a_file_that_is_not_part_of_the_run_is_a_note)
{
    open_files(1, false);
    load(0, "{'a', requires = {'elsewhere.lua::b'}}");
    CHECK(is("a.lua::a", CHECK_READY) && plan.notes.count == 1);
    CHECK(has(plan.notes.items[0], "elsewhere.lua::b, which is not part of this run"));
    close_plan();
}

/* --- files that are not there yet ------------------------------------------- */

TEST(a_file_that_others_wait_for_is_urgent)
{
    open_files(2, false);
    load(0, "{'a', requires = {'b.lua::b'}}");
    CHECK(is("a.lua::a", CHECK_HELD) && plan.has_urgent);
    CHECK(plan.files[1].urgent && !plan.files[0].urgent);
    load(1, "{'b'}, {'c'}");
    CHECK(is("a.lua::a", CHECK_HELD));
    ends("b.lua::b", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

TEST(a_run_is_not_over_before_every_file_has_loaded)
{
    open_files(2, false);
    load(0, "{'a'}");
    ends("a.lua::a", STATUS_PASS);
    CHECK(!plan_is_over(&plan));
    load(1, "");
    CHECK(plan_is_over(&plan));
    close_plan();
}

TEST(what_turns_out_to_need_nothing_of_a_file_may_run)
{
    open_files(2, false);
    load(0, "{'a', requires = {'b.lua::b'}}");
    load(1, "{'b', slow = true}");
    CHECK(is("a.lua::a", CHECK_READY) && times_changed("a.lua::a") == 1);
    close_plan();
}

TEST(a_file_that_does_not_load_skips_what_requires_it)
{
    open_files(3, false);
    load(0, "{'a', requires = {'b.lua::b'}}, {'a2', requires = {'a.lua::a'}}");
    break_file(1, "while this file was loading: killed by SIGSEGV");
    CHECK(skipped("a.lua::a", "because b.lua could not be loaded"));
    CHECK(skipped("a.lua::a2", "because b.lua could not be loaded"));
    CHECK(plan_is_red(&plan) && plan.extras == 1 && plan.loading == 1);
    load(2, "{'c', requires = {'b.lua::b'}}");
    CHECK(skipped("c.lua::c", "because b.lua could not be loaded") && plan_is_over(&plan));
    struct result result;
    extra_result(&plan.files[1], plan.files[1].extras, &result);
    CHECK_STRING(result.id, "b.lua");
    CHECK_STRING(result.kind, "load");
    CHECK_STRING(result.context, "while this file was loading: killed by SIGSEGV");
    close_plan();
}

TEST(two_files_that_do_not_load_skip_a_check_once)
{
    open_files(3, false);
    load(0, "{'a', requires = {'b.lua', 'c.lua'}}");
    break_file(1, "no");
    break_file(2, "no");
    CHECK(skipped("a.lua::a", "because b.lua could not be loaded"));
    CHECK(times_changed("a.lua::a") == 1 && plan_is_over(&plan) && plan.extras == 2);
    close_plan();
}

/* The worker that had loaded it was lost: it loads again, and is what it was. */
TEST(a_second_load_must_declare_the_same)
{
    open_files(1, false);
    CHECK(load(0, "{'a'}, {'b', requires = {'a.lua::a'}}"));
    ends("a.lua::a", STATUS_PASS);
    CHECK(load(0, "{'a'}, {'b', requires = {'a.lua::a'}}"));
    CHECK(is("a.lua::a", CHECK_SETTLED) && is("a.lua::b", CHECK_READY));
    CHECK(!load(0, "{'a'}, {'c', requires = {'a.lua::a'}}"));
    CHECK(plan.checks == 2 && plan.loading == 0 && is("a.lua::b", CHECK_READY));
    close_plan();
}

/* --- circles ---------------------------------------------------------------- */

TEST(a_circle_is_an_error_of_all_in_it)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b', requires = {'a.lua::c'}}, "
            "{'c', requires = {'a.lua::a'}}, {'behind', requires = {'a.lua::b'}}, {'free'}");
    CHECK(refused("a.lua::a", "requires itself in a circle"));
    CHECK(refused("a.lua::b", "requires itself in a circle"));
    CHECK(refused("a.lua::c", "a.lua::b -> a.lua::c -> a.lua::a"));
    CHECK(skipped("a.lua::behind", "because \"a.lua::b\" failed"));
    CHECK(is("a.lua::free", CHECK_READY) && plan.red_count == 3);
    close_plan();
}

TEST(a_circle_may_be_closed_by_the_last_file)
{
    open_files(3, false);
    load(0, "{'a', requires = {'b.lua::b'}}");
    load(1, "{'b', requires = {'c.lua::c'}}");
    CHECK(is("a.lua::a", CHECK_HELD) && is("b.lua::b", CHECK_HELD));
    load(2, "{'c', requires = {'a.lua::a'}}");
    CHECK(refused("a.lua::a", "in a circle") && refused("b.lua::b", "in a circle"));
    CHECK(refused("c.lua::c", "in a circle") && plan_is_over(&plan));
    close_plan();
}

TEST(each_of_several_circles_is_found)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b', 'a.lua::c'}}, {'b', requires = {'a.lua::a'}}, "
            "{'c', requires = {'a.lua::e'}}, {'e', requires = {'a.lua::c'}}");
    CHECK(refused("a.lua::a", "a circle") && refused("a.lua::b", "a circle"));
    CHECK(refused("a.lua::c", "a circle") && refused("a.lua::e", "a circle"));
    close_plan();
}

/* What leads to one circle may be part of another. */
TEST(a_circle_in_front_of_a_circle_is_found)
{
    open_files(1, false);
    load(0, "{'x', requires = {'a.lua::q'}}, {'p', requires = {'a.lua::x', 'a.lua::r'}}, "
            "{'r', requires = {'a.lua::p'}}, {'q', requires = {'a.lua::x'}}");
    CHECK(refused("a.lua::p", "a circle") && refused("a.lua::r", "a circle"));
    CHECK(refused("a.lua::x", "a circle") && refused("a.lua::q", "a circle"));
    close_plan();
}

TEST(what_a_circle_waits_for_is_not_part_of_it)
{
    open_files(1, false);
    load(0, "{'x', requires = {'a.lua::y'}}, {'p', requires = {'a.lua::x', 'a.lua::r'}}, "
            "{'r', requires = {'a.lua::p'}}, {'y'}");
    CHECK(refused("a.lua::p", "a circle") && refused("a.lua::r", "a circle"));
    CHECK(is("a.lua::x", CHECK_HELD) && is("a.lua::y", CHECK_READY));
    close_plan();
}

TEST(two_ways_to_one_check_are_no_circle)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b', 'a.lua::c'}}, {'b', requires = {'a.lua::e'}}, "
            "{'c', requires = {'a.lua::e'}}, {'e'}");
    CHECK(plan.settled == 0);
    ends("a.lua::e", STATUS_PASS);
    ends("a.lua::b", STATUS_PASS);
    ends("a.lua::c", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY));
    close_plan();
}

/* The checks of a lane run in order: who waits for one behind it waits for ever. */
TEST(a_lane_is_part_of_a_circle)
{
    open_files(2, false);
    load(0, "{'x1', d = true, lane = 2, requires = {'a.lua::d::x3'}}, {'x2', d = true, lane = 2}, "
            "{'x3', d = true, lane = 2}");
    CHECK(refused("a.lua::d::x1", "in a circle"));
    load(1, "{'x1', d = true, lane = 2}, "
            "{'x2', d = true, lane = 2, requires = {'b.lua::d::x1'}}");
    CHECK(is("b.lua::d::x1", CHECK_READY) && is("b.lua::d::x2", CHECK_HELD));
    close_plan();
}

/* --- diagnoses -------------------------------------------------------------- */

#define WHY(of) "{'why', kind = 'diagnosis', of = {'" of "'}}"

TEST(a_diagnosis_runs_only_for_what_is_red)
{
    open_files(1, false);
    load(0, "{'a', d = true}, {'b', d = true}, {'c'}, {'e'}, " WHY("a.lua::d"));
    CHECK(plan.checks == 4 && is("a.lua::why", CHECK_OUT));
    ends("a.lua::c", STATUS_FAIL);
    ends("a.lua::d::a", STATUS_PASS);
    CHECK(diagnosis_next(&plan) == NULL);
    ends("a.lua::d::b", STATUS_FAIL);
    ends("a.lua::e", STATUS_FAIL); /* takes nothing back */
    CHECK(diagnosis_next(&plan) == find("a.lua::why"));
    CHECK(diagnosis_is_of(find("a.lua::why"), "a.lua::d::b"));
    CHECK(!diagnosis_is_of(find("a.lua::why"), "a.lua::c"));
    close_plan();
}

TEST(what_was_skipped_for_a_red_check_needs_no_diagnosis)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b'}, " WHY("a.lua::a"));
    ends("a.lua::b", STATUS_FAIL);
    CHECK(is("a.lua::a", CHECK_SETTLED) && diagnosis_next(&plan) == NULL);
    close_plan();
}

TEST(a_diagnosis_runs_once_and_counts_for_nothing)
{
    open_files(1, false);
    load(0, "{'a'}, {'b'}, " WHY("a.lua"));
    ends("a.lua::a", STATUS_FAIL);
    struct plan_check *why = diagnosis_next(&plan);
    CHECK(why == find("a.lua::why"));
    why->state = CHECK_READY; /* the dispatcher has taken it */
    CHECK(diagnosis_next(&plan) == NULL);
    ends("a.lua::b", STATUS_FAIL);
    CHECK(plan_is_over(&plan) && plan.red_count == 2);
    ends("a.lua::why", STATUS_FAIL);
    CHECK(plan.red_count == 2 && plan.settled == 2 && diagnosis_next(&plan) == NULL);
    close_plan();
}

TEST(a_diagnosis_that_loads_late_is_triggered_all_the_same)
{
    open_files(3, false);
    load(0, "{'a'}");
    ends("a.lua::a", STATUS_FAIL);
    load(1, WHY("a.lua::a") ", {'other', kind = 'diagnosis', of = {'b.lua'}}");
    CHECK(diagnosis_next(&plan) == find("b.lua::why"));
    CHECK(find("b.lua::why")->triggered && !find("b.lua::other")->triggered);
    break_file(2, "no");
    close_plan();
}

TEST(a_red_teardown_and_a_broken_file_are_diagnosed)
{
    open_files(3, false);
    load(0, "{'a', d = true}, " WHY("a.lua::d"));
    ends("a.lua::d::a", STATUS_PASS);
    tears_down(0, STATUS_WARN);
    CHECK(diagnosis_next(&plan) == NULL && !plan_is_red(&plan));
    break_file(1, "no");
    load(2, WHY("b.lua") ", {'late', kind = 'diagnosis', of = {'a.lua'}}");
    CHECK(diagnosis_next(&plan) == find("c.lua::why"));
    CHECK(!find("c.lua::late")->triggered); /* a warning is not red */
    find("c.lua::why")->state = CHECK_SENT;
    tears_down(0, STATUS_FAIL);
    CHECK(find("c.lua::late")->triggered);
    CHECK(diagnosis_next(&plan) == find("a.lua::why") && plan_is_red(&plan));
    close_plan();
}

/* --- ids that were asked for ------------------------------------------------ */

TEST(an_id_that_was_asked_for_and_is_not_there_is_red)
{
    strings_add(&sources[0].only, "a.lua::a");
    strings_add(&sources[0].only, "a.lua::gone");
    open_files(1, false);
    load(0, "{'a'}, {'b'}");
    CHECK(plan.checks == 1 && is("a.lua::b", CHECK_OUT) && plan.out_other == 1);
    CHECK(plan.extras == 1 && has(plan.files[0].extras->context, "\"a.lua::gone\" was asked for"));
    ends("a.lua::a", STATUS_FAIL);
    CHECK(rerun_red(&plan) == 1);
    CHECK(plan.extras == 1); /* no running can mend it */
    close_plan();
    strings_fini(&sources[0].only);
    sources[0].only = (struct strings){0};
}

/* --- another round ---------------------------------------------------------- */

TEST(what_is_red_and_what_was_skipped_for_it_run_again)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b'}, {'good'}, {'off'}, " WHY("a.lua::b"));
    ends("a.lua::b", STATUS_FAIL);
    ends("a.lua::good", STATUS_PASS);
    ends("a.lua::off", STATUS_SKIP);
    ends("a.lua::why", STATUS_FAIL);
    plan.changed_count = 0;
    CHECK(rerun_red(&plan) == 2);
    CHECK(is("a.lua::b", CHECK_READY) && is("a.lua::a", CHECK_HELD));
    CHECK(is("a.lua::good", CHECK_SETTLED) && is("a.lua::off", CHECK_SETTLED));
    CHECK(!plan_is_red(&plan) && !plan_is_over(&plan) && diagnosis_next(&plan) == NULL);
    CHECK(find("a.lua::a")->context == NULL);
    recount();
    ends("a.lua::b", STATUS_FAIL); /* again */
    CHECK(skipped("a.lua::a", "because \"a.lua::b\" failed"));
    CHECK(diagnosis_next(&plan) == find("a.lua::why"));
    CHECK(rerun_red(&plan) == 2);
    ends("a.lua::b", STATUS_PASS);
    ends("a.lua::a", STATUS_PASS);
    CHECK(plan_is_over(&plan) && !plan_is_red(&plan) && rerun_red(&plan) == 0);
    close_plan();
}

TEST(what_is_refused_stays_so_and_skips_again)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::none'}}, {'b', requires = {'a.lua::a'}}, {'c'}");
    ends("a.lua::c", STATUS_FAIL);
    CHECK(rerun_red(&plan) == 2); /* b and c */
    CHECK(refused("a.lua::a", "declares no such check") && plan_is_red(&plan));
    CHECK(skipped("a.lua::b", "because \"a.lua::a\" failed"));
    CHECK(is("a.lua::c", CHECK_READY));
    close_plan();
}

TEST(a_describe_whose_teardown_was_red_runs_again)
{
    open_files(1, false);
    load(0, "{'a', d = true}, {'b', d = true}, {'c'}");
    ends("a.lua::d::a", STATUS_PASS);
    ends("a.lua::d::b", STATUS_PASS);
    ends("a.lua::c", STATUS_PASS);
    tears_down(0, STATUS_WARN);
    CHECK(rerun_red(&plan) == 0);
    tears_down(0, STATUS_ERROR);
    CHECK(rerun_red(&plan) == 2);
    CHECK(is("a.lua::d::a", CHECK_READY) && is("a.lua::c", CHECK_SETTLED));
    CHECK(!plan_is_red(&plan) && plan.files[0].extras == NULL);
    close_plan();
}

TEST(a_broken_file_is_loaded_again_and_awaited_again)
{
    open_files(2, false);
    load(0, "{'a', requires = {'b.lua::b'}}");
    plan.files[1].lost = 2;
    break_file(1, "while this file was loading: killed by SIGKILL");
    CHECK(plan_is_over(&plan));
    CHECK(rerun_red(&plan) == 2);
    CHECK(plan.files[1].state == FILE_WAITING && plan.files[1].lost == 0 && plan.loading == 1);
    CHECK(is("a.lua::a", CHECK_HELD) && !plan_is_red(&plan));
    load(1, "{'b'}");
    ends("b.lua::b", STATUS_PASS);
    CHECK(is("a.lua::a", CHECK_READY) && plan.loading == 0);
    close_plan();
}

/* Its worker is lost: from SENT to READY, and nothing that waits for it is told. */
TEST(a_lost_check_goes_back_and_is_awaited_all_the_while)
{
    open_files(1, false);
    load(0, "{'a', requires = {'a.lua::b'}}, {'b'}");
    struct plan_check *b = find("a.lua::b");
    b->state = CHECK_SENT; /* to a worker that is lost */
    b->lost = 1;
    CHECK(is("a.lua::a", CHECK_HELD) && !plan_is_over(&plan));
    b->state = CHECK_READY;
    CHECK(is("a.lua::a", CHECK_HELD));
    ends("a.lua::b", STATUS_ERROR);
    CHECK(skipped("a.lua::a", "because \"a.lua::b\" failed"));
    CHECK(rerun_red(&plan) == 2 && b->lost == 0);
    close_plan();
}

int main(void)
{
    RUN(what_requires_a_red_check_is_skipped_and_says_why);
    RUN(what_requires_a_green_check_may_run);
    RUN(a_warning_is_red_when_it_is_strict);
    RUN(all_that_is_required_is_awaited);
    RUN(a_check_settles_once);
    RUN(a_chain_names_what_was_red_at_its_root);
    RUN(a_chain_goes_on_one_by_one);
    RUN(a_chain_may_be_as_long_as_a_file);
    RUN(a_describe_is_all_below_it_but_its_diagnoses);
    RUN(an_id_of_a_check_and_of_a_describe_is_both);
    RUN(a_diagnosis_cannot_be_required);
    RUN(nothing_waits_for_itself);
    RUN(what_was_not_selected_is_not_awaited);
    RUN(an_id_that_is_wrong_is_refused);
    RUN(a_file_that_is_not_part_of_the_run_is_a_note);
    RUN(a_file_that_others_wait_for_is_urgent);
    RUN(a_run_is_not_over_before_every_file_has_loaded);
    RUN(what_turns_out_to_need_nothing_of_a_file_may_run);
    RUN(a_file_that_does_not_load_skips_what_requires_it);
    RUN(two_files_that_do_not_load_skip_a_check_once);
    RUN(a_second_load_must_declare_the_same);
    RUN(a_circle_is_an_error_of_all_in_it);
    RUN(a_circle_may_be_closed_by_the_last_file);
    RUN(each_of_several_circles_is_found);
    RUN(a_circle_in_front_of_a_circle_is_found);
    RUN(what_a_circle_waits_for_is_not_part_of_it);
    RUN(two_ways_to_one_check_are_no_circle);
    RUN(a_lane_is_part_of_a_circle);
    RUN(a_diagnosis_runs_only_for_what_is_red);
    RUN(what_was_skipped_for_a_red_check_needs_no_diagnosis);
    RUN(a_diagnosis_runs_once_and_counts_for_nothing);
    RUN(a_diagnosis_that_loads_late_is_triggered_all_the_same);
    RUN(a_red_teardown_and_a_broken_file_are_diagnosed);
    RUN(an_id_that_was_asked_for_and_is_not_there_is_red);
    RUN(what_is_red_and_what_was_skipped_for_it_run_again);
    RUN(what_is_refused_stays_so_and_skips_again);
    RUN(a_describe_whose_teardown_was_red_runs_again);
    RUN(a_broken_file_is_loaded_again_and_awaited_again);
    RUN(a_lost_check_goes_back_and_is_awaited_all_the_while);
    return test_report();
}
