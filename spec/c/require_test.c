/* require_test.c - require reads lib/ and nothing else. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script.h"
#include "test.h"

static struct reactor reactor;
static char root[] = "/tmp/hospital-require-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static const char *run(const char *text)
{
    static char out[512];
    char lib[256];
    snprintf(lib, sizeof lib, "%s/lib", root);
    struct vm *vm = vm_open(&reactor, 8 * 1024 * 1024, lib);
    bool ok = luaL_loadbufferx(vm->L, text, strlen(text), "@shop.lua", "t") == LUA_OK &&
              lua_pcall(vm->L, 0, 1, 0) == LUA_OK;
    snprintf(out, sizeof out, "%s%s", ok ? "" : "raised: ", luaL_tolstring(vm->L, -1, NULL));
    vm_close(vm);
    return out;
}

static void raises(const char *name, const char *part)
{
    char text[256];
    snprintf(text, sizeof text, "require '%s'", name);
    const char *out = run(text);
    CHECK(strncmp(out, "raised: shop.lua:1: ", 20) == 0 || strncmp(out, "raised: lib/", 12) == 0);
    if (!strstr(out, part)) {
        printf("%s: %s\n", name, out);
        CHECK(false);
    }
}

TEST(modules_are_found_once)
{
    CHECK_STRING(
        run("local a = require 'a' return a.x + require('sub.b') + (a == require 'a' and 0 or 9)"),
        "3");
    CHECK_STRING(run("return require 'nothing'"), "true");
}

TEST(everything_else_is_refused)
{
    raises("missing", "lib/missing.lua: there is no such file");
    raises("..a", "is not a module name");
    raises("../a", "is not a module name");
    raises("/etc/passwd", "is not a module name");
    raises("a.", "is not a module name");
    raises("sub..b", "is not a module name");
    raises("sub/b", "is not a module name");
    raises("", "is not a module name");
    raises("a\\0b", "is not a module name");
    raises("out", "link that leads out of lib/");
    raises("bytes", "binary chunk");
    raises("big", "larger than 256 KB");
    raises("folder", "is not a file");
    raises("pipe", "is not a file");
    raises("broken", "lib/broken.lua:2:");
    raises("raises", "lib/raises.lua:1: boom");
    raises("raises", "required at shop.lua:1");
    raises("c1", "c1 -> c2 -> c1");
}

/* A name of 200 bytes is the longest; the rest of the path must fit as well. */
TEST(long_names_are_refused)
{
    char name[300], text[400];
    memset(name, 'n', sizeof name);
    name[200] = '\0';
    snprintf(text, sizeof text, "require '%s'", name);
    CHECK(strstr(run(text), ": there is no such file"));
    name[200] = 'n';
    name[201] = '\0';
    snprintf(text, sizeof text, "require '%s'", name);
    CHECK(strstr(run(text), "is not a module name"));
    CHECK(strstr(run("require {}"), "string expected, got table"));
}

TEST(without_a_folder_there_is_nothing_to_find)
{
    struct vm *vm = vm_open(&reactor, 8 * 1024 * 1024, NULL);
    CHECK(luaL_dostring(vm->L, "require 'a'") != LUA_OK);
    CHECK(strstr(lua_tostring(vm->L, -1), "module 'a' not found: there is no lib/ folder"));
    vm_close(vm);
}

TEST(a_module_that_raised_may_be_asked_for_again)
{
    CHECK(strstr(run("pcall(require, 'raises') require 'raises'"), "boom"));
    CHECK(strstr(run("pcall(require, 'c1') return require 'a'.x"), "1"));
}

int main(void)
{
    char path[256], big[300 * 1024];
    if (!mkdtemp(root) || chdir(root) != 0 || !reactor_open(&reactor))
        return 1;
    mkdir("lib", 0700);
    mkdir("lib/sub", 0700);
    mkdir("lib/folder.lua", 0700);
    mkfifo("lib/pipe.lua", 0600);
    memset(big, ' ', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    put("outside.lua", "return 1");
    put("lib/a.lua", "return {x = 1}");
    put("lib/sub/b.lua", "return 2");
    put("lib/nothing.lua", "local x = 1");
    put("lib/big.lua", big);
    put("lib/bytes.lua", "\033Lua");
    put("lib/broken.lua", "local x\nx = =");
    put("lib/raises.lua", "error('boom')");
    put("lib/c1.lua", "require 'c2'");
    put("lib/c2.lua", "require 'c1'");
    snprintf(path, sizeof path, "%s/outside.lua", root);
    if (symlink(path, "lib/out.lua") != 0)
        return 1;
    RUN(modules_are_found_once);
    RUN(everything_else_is_refused);
    RUN(long_names_are_refused);
    RUN(without_a_folder_there_is_nothing_to_find);
    RUN(a_module_that_raised_may_be_asked_for_again);
    reactor_close(&reactor);
    snprintf(path, sizeof path, "rm -r %s", root);
    return system(path) + test_report();
}
