/* pack_test.c - values come back as they went, bounded, and hostile bytes are refused. */
#include "vm/pack.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "test.h"

static lua_State *L;

/* Evaluates an expression, packs it, and leaves it unpacked in the global `got`. */
static bool round_trip(const char *expression, const struct pack_limits *limits)
{
    struct buffer b = {0};
    lua_settop(L, 0);
    lua_pushfstring(L, "return %s", expression);
    if (luaL_dostring(L, lua_tostring(L, 1)) != LUA_OK)
        printf("%s\n", lua_tostring(L, -1));
    int top = lua_gettop(L);
    bool whole = pack_value(L, -1, &b, limits);
    CHECK(lua_gettop(L) == top);
    CHECK(pack_is_valid(b.data, b.size));
    CHECK(unpack_value(L, b.data, b.size, NULL));
    lua_setglobal(L, "got");
    buffer_fini(&b);
    return whole;
}

static bool holds(const char *condition)
{
    lua_settop(L, 0);
    lua_pushfstring(L, "return %s", condition);
    if (luaL_dostring(L, lua_tostring(L, 1)) != LUA_OK) {
        printf("%s\n", lua_tostring(L, -1));
        return false;
    }
    return lua_toboolean(L, -1);
}

TEST(values_come_back)
{
    CHECK(round_trip("{1, -2, 1.5, 'a\\0b', true, false, math.mininteger, {}}", NULL));
    CHECK(holds("#got == 8 and got[1] == 1 and math.type(got[1]) == 'integer' and got[3] == 1.5"));
    CHECK(holds("got[4] == 'a\\0b' and got[5] == true and got[6] == false"));
    CHECK(holds("got[7] == math.mininteger and next(got[8]) == nil"));
    CHECK(round_trip("{1, 2, x = {y = 'z'}, [true] = 4, [1.5] = 5, [10] = 6}", NULL));
    CHECK(holds(
        "got[2] == 2 and got.x.y == 'z' and got[true] == 4 and got[1.5] == 5 and got[10] == 6"));
    CHECK(round_trip("1/0", NULL) && holds("got == math.huge"));
    CHECK(round_trip("nil", NULL) && holds("got == nil"));
}

TEST(what_is_no_data_becomes_a_name)
{
    CHECK(!round_trip("{print, io.stdout, coroutine.create(print), [print] = 1}", NULL));
    CHECK(holds("got[1] == 'function' and got[2] == 'userdata' and got[3] == 'thread'"));
    CHECK(holds("got['function'] == 1"));
}

TEST(no_metamethod_runs)
{
    CHECK(round_trip("setmetatable({1, 2}, {__index = error, __len = error, __pairs = error})",
                     NULL));
    CHECK(holds("#got == 2"));
}

TEST(limits_leave_a_mark)
{
    struct pack_limits limits = {.depth = 3, .bytes = 1000, .string = 10};
    struct pack_limits roomy = {.depth = 3, .bytes = 1000, .string = 100000};
    CHECK(!round_trip("{('x'):rep(900), ('y'):rep(900)}", &roomy));
    CHECK(holds("#got[1] == 900 and #got[2] < 200 and got[2]:find('more bytes]', 1, true)"));
    CHECK(!round_trip("{{{{}}}}", &limits));
    CHECK(holds("got[1][1][1]:find('cut: nested too deeply', 1, true)"));
    CHECK(!round_trip("('x'):rep(30)", &limits));
    CHECK(holds("got == 'xxxxxxxxxx\xe2\x80\xa6[cut: 20 more bytes]'"));
    CHECK(!round_trip("'xxxxxxxxx\xe2\x82\xac'", &limits));
    CHECK(holds("got == 'xxxxxxxxx\xe2\x80\xa6[cut: 3 more bytes]'"));
    CHECK(!round_trip(
        "(function() local t = {} for i = 1, 1e5 do t[i] = i end return {t, t} end)()", &limits));
    CHECK(holds("#got == 1 and #got[1] < 200 and got[1][#got[1]]:find('cut: too much', 1, true)"));
    CHECK(!round_trip(
        "(function() local t = {} for i = 1, 1e4 do t['k' .. i] = i end return t end)()", &limits));
    CHECK(holds("got['\xe2\x80\xa6']:find('cut: too much', 1, true)"));
    CHECK(!round_trip("(function() local t = {} t.t = t t[1] = t t[2] = t return t end)()", NULL));
}

TEST(written_by_c)
{
    struct buffer b = {0};
    pack_table_begin(&b);
    pack_integer(&b, 42);
    pack_nil(&b);
    pack_bool(&b, true);
    pack_table_fields(&b);
    pack_text(&b, "kind");
    pack_string_cut(&b, "timeout", 7, 4);
    pack_text(&b, "none");
    pack_text(&b, NULL);
    pack_text(&b, "number");
    pack_number(&b, 0.5);
    pack_table_end(&b);
    CHECK(unpack_value(L, b.data, b.size, NULL));
    lua_setglobal(L, "got");
    CHECK(holds("got[1] == 42 and got[2] == nil and got[3] == true and got.number == 0.5"));
    CHECK(holds("got.kind == 'time\xe2\x80\xa6[cut: 3 more bytes]'"));
    buffer_fini(&b);
}

TEST(secrets_do_not_come_back)
{
    char *variables[] = {NULL};
    struct redactor *redactor = redactor_new(variables);
    struct buffer b = {0};
    (void)!luaL_dostring(
        L, "return {'x://u:pw@h', authorization = 'Basic x', cookie = {'a'}, password = 1}");
    CHECK(pack_value(L, -1, &b, NULL));
    CHECK(unpack_value(L, b.data, b.size, redactor));
    lua_setglobal(L, "got");
    CHECK(holds("got[1] == 'x://u:[redacted]@h' and got.authorization == '[redacted]'"));
    CHECK(holds("got.cookie == '[redacted]' and got.password == 1"));
    buffer_fini(&b);
    redactor_free(redactor);
}

/* Bytes in a block of exactly their size, so that the sanitizer sees one too many. */
static bool unpacks(const char *data, size_t size)
{
    char *tight = malloc(size ? size : 1);
    memcpy(tight, data, size);
    int top = lua_gettop(L);
    bool ok = unpack_value(L, tight, size, NULL);
    CHECK(lua_gettop(L) == top + (ok ? 1 : 0));
    CHECK(ok == pack_is_valid(tight, size));
    lua_settop(L, top);
    free(tight);
    return ok;
}

TEST(malformed_bytes_are_refused)
{
    CHECK(!unpacks("", 0));
    CHECK(!unpacks("x", 1));
    CHECK(!unpacks("nn", 2));
    CHECK(!unpacks("{", 1));
    CHECK(!unpacks("}", 1));
    CHECK(!unpacks("{|n", 3));
    CHECK(!unpacks("{|nn}", 5));
    CHECK(!unpacks("{|{}n}", 6));
    CHECK(!unpacks("{|t}", 4));
    CHECK(!unpacks("{||}", 4));
    CHECK(!unpacks("s\xff\xff\xff\xff"
                   "abc",
                   8));
    double nan = 0.0 / 0.0;
    char bytes[14] = "{|d12345678t}";
    CHECK(unpacks(bytes, 13));
    memcpy(bytes + 3, &nan, 8);
    CHECK(!unpacks(bytes, 13));
    struct buffer deep = {0};
    for (int i = 0; i < 100000; i++)
        buffer_add(&deep, "{", 1);
    CHECK(!unpacks(deep.data, deep.size));
    deep.size = UNPACK_DEPTH;
    for (int i = 0; i < UNPACK_DEPTH; i++)
        buffer_add(&deep, "}", 1);
    CHECK(unpacks(deep.data, deep.size));
    buffer_fini(&deep);
}

TEST(truncated_and_mutated_bytes_do_no_harm)
{
    struct buffer b = {0};
    (void)!luaL_dostring(
        L, "return {1, 'two', {3, four = 4.5, five = {}}, output = {'a', 'b'}, [true] = false}");
    CHECK(pack_value(L, -1, &b, NULL));
    for (size_t n = 0; n < b.size; n++)
        CHECK(!unpacks(b.data, n));
    srand(3);
    char *copy = malloc(b.size);
    for (int round = 0; round < 50000; round++) {
        memcpy(copy, b.data, b.size);
        for (int n = rand() % 4; n >= 0; n--)
            copy[(size_t)rand() % b.size] = rand() % 2 ? "nftids{|}"[rand() % 9] : (char)rand();
        unpacks(copy, b.size - (size_t)(rand() % 3));
    }
    free(copy);
    buffer_fini(&b);
}

int main(void)
{
    L = luaL_newstate();
    luaL_openlibs(L);
    RUN(values_come_back);
    RUN(what_is_no_data_becomes_a_name);
    RUN(no_metamethod_runs);
    RUN(limits_leave_a_mark);
    RUN(written_by_c);
    RUN(secrets_do_not_come_back);
    RUN(malformed_bytes_are_refused);
    RUN(truncated_and_mutated_bytes_do_no_harm);
    lua_close(L);
    return test_report();
}
