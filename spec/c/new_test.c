/* new_test.c - the starter lands where it should, is Lua, and overwrites nothing. */
#include "cli/new.h"

#include <stdlib.h>
#include <unistd.h>

#include <lauxlib.h>

#include "test.h"

static struct fault why;

static bool make(const char *name, const char *wanted)
{
    struct buffer path = {0};
    bool ok = new_check(name, &path, &why);
    if (ok)
        CHECK_STRING(path.data, wanted);
    buffer_fini(&path);
    return ok;
}

TEST(names_become_paths)
{
    CHECK(make("shop", "checks/shop.lua"));
    CHECK(make("checks/net/dns", "checks/net/dns.lua"));
    CHECK(make("here.lua", "here.lua"));
    CHECK(make("./there.lua", "./there.lua"));
    CHECK(access("checks/shop.lua", F_OK) == 0 && access("checks/net/dns.lua", F_OK) == 0);
}

TEST(the_starter_is_lua)
{
    CHECK(make("lua", "checks/lua.lua"));
    lua_State *L = luaL_newstate();
    CHECK(luaL_loadfilex(L, "checks/lua.lua", "t") == LUA_OK);
    lua_close(L);
}

TEST(nothing_is_overwritten)
{
    FILE *f = fopen("mine.lua", "w");
    fputs("mine", f);
    fclose(f);
    CHECK(!make("mine.lua", ""));
    CHECK(strstr(why.message, "mine.lua exists"));
    CHECK(symlink("nowhere", "link.lua") == 0);
    CHECK(!make("link.lua", ""));
    CHECK(access("nowhere", F_OK) != 0);
    char text[8] = "";
    f = fopen("mine.lua", "r");
    CHECK(fgets(text, sizeof text, f) && strcmp(text, "mine") == 0);
    fclose(f);
}

TEST(bad_names_are_refused)
{
    const char *bad[] = {"", "_x", ".x", "a/", "a::b", "a\nb", "a\xff", "checks/_x.lua"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!make(bad[i], ""));
    CHECK(!make("/proc/none/x.lua", ""));
    CHECK(strstr(why.message, "/proc/none cannot be made"));
}

int main(void)
{
    char tree[] = "/tmp/hospital-new-XXXXXX", command[64];
    if (!mkdtemp(tree) || chdir(tree) != 0)
        abort();
    RUN(names_become_paths);
    RUN(the_starter_is_lua);
    RUN(nothing_is_overwritten);
    RUN(bad_names_are_refused);
    snprintf(command, sizeof command, "rm -rf %s", tree);
    if (system(command) != 0)
        abort();
    return test_report();
}
