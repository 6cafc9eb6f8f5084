/* catalogue_test.c - what a suite's table says is written, read back, and nothing
 * else is: cut anywhere or mutated, the bytes are refused or believed whole. */
#include "check/catalogue.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "test.h"

static const char suite[] =
    "return { nodes = {{ name = 'a.lua', prefix = 'a.lua::', line = 0 },"
    "{ name = 'd', prefix = 'a.lua::d::', line = 3, setup = {1}, teardown = {1, 2} }},"
    "checks = {{ id = 'a.lua::one', name = 'one', line = 2, lane = 0, nodes = {1}, tags = {'x', "
    "'y'},"
    "timeout = 0.5, retries = 2, expected_failure = true, slow = true },"
    "{ id = 'a.lua::d::two', name = 'two', line = 4, lane = 2, nodes = {1, 2}, skip = 'why',"
    "requires = {'a.lua::one'}, owner = 'me' },"
    "{ id = 'a.lua::why', name = 'why', line = 9, lane = 0, kind = 'diagnosis', of = {'a.lua'} }}}";

static bool write_suite(struct buffer *out)
{
    lua_State *L = luaL_newstate();
    bool ok = luaL_dostring(L, suite) == LUA_OK;
    if (ok)
        catalogue_write(L, -1, out);
    else
        printf("%s\n", lua_tostring(L, -1));
    lua_close(L);
    return ok;
}

TEST(what_is_written_is_read_back)
{
    struct buffer out = {0};
    struct catalogue c;
    struct fault why;
    CHECK(write_suite(&out) && catalogue_parse(&c, out.data, out.size, &why));
    CHECK(c.count == 3 && c.node_count == 2 && c.lane_count == 2);
    CHECK_STRING(c.nodes[1].id, "a.lua::d");
    CHECK(c.nodes[1].setups == 1 && c.nodes[1].teardowns == 2);
    CHECK(c.checks[0].slow && c.checks[0].timeout_ns == 500000000 && c.checks[0].retries == 2);
    CHECK(c.checks[0].tags.count == 2 && c.checks[0].skip == NULL);
    CHECK_STRING(c.checks[0].expected_failure, "");
    CHECK(c.checks[1].lane == 2 && c.checks[1].retries == -1 && c.checks[1].node_count == 2);
    CHECK_STRING(c.checks[1].skip, "why");
    CHECK_STRING(c.checks[1].requires.items[0], "a.lua::one");
    CHECK(c.checks[2].diagnosis && !c.checks[1].diagnosis);
    catalogue_fini(&c);
    buffer_fini(&out);
}

TEST(one_that_is_cut_is_refused)
{
    struct buffer out = {0};
    struct catalogue c;
    struct fault why;
    CHECK(write_suite(&out));
    for (size_t size = 0; size < out.size; size++)
        CHECK(!catalogue_parse(&c, out.data, size, &why));
    buffer_fini(&out);
}

TEST(a_mutated_one_is_never_read_outside)
{
    struct buffer out = {0};
    struct catalogue c;
    struct fault why;
    CHECK(write_suite(&out));
    srand(11);
    for (int round = 0; round < 50000; round++) {
        char *copy = memory_copy(out.data, out.size);
        for (int n = 1 + rand() % 3; n > 0; n--)
            copy[(size_t)rand() % out.size] = (char)rand();
        if (catalogue_parse(&c, copy, out.size, &why)) {
            for (size_t i = 0; i < c.count; i++)
                for (size_t k = 0; k < c.checks[i].node_count; k++)
                    CHECK(c.checks[i].nodes[k] < c.node_count && c.checks[i].lane <= c.lane_count);
            catalogue_fini(&c);
        }
        free(copy);
    }
    buffer_fini(&out);
}

int main(void)
{
    RUN(what_is_written_is_read_back);
    RUN(one_that_is_cut_is_refused);
    RUN(a_mutated_one_is_never_read_outside);
    return test_report();
}
