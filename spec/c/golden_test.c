/* golden_test.c - everything a script can reach, by name and type, is in
 * spec/sandbox/golden.txt and nothing else.  GOLDEN=write makes the file anew. */
#include <stdlib.h>

#include "script.h"
#include "test.h"
#include "vm/lib.h"
#include "vm/surface.h"

static const char path[] = "spec/sandbox/golden.txt";

/* Walks tables and metatables from the globals and the types that have a
 * metatable of their own; `names` forces what is made on first use. */
static const char walker[] =
    "local globals, names, meta = ... local seen, out = {}, {}\n"
    "for _, name in ipairs(names) do if globals[name] == nil then error(name .. ' is nil') end "
    "end\n"
    "local function walk(at, v)\n"
    "  out[#out + 1] = at .. ' ' .. type(v)\n"
    "  if seen[v] then return end\n"
    "  if type(v) == 'table' then seen[v] = true\n"
    "    local keys = {} for k in next, v do keys[#keys + 1] = k end\n"
    "    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)\n"
    "    for _, k in ipairs(keys) do walk(at .. '.' .. tostring(k), v[k]) end end\n"
    "  local m = meta(v)\n"
    "  if m and not seen[m] and (type(v) ~= 'string' or at == 'string') then\n"
    "    walk(at .. '<meta>', m) end\n"
    "end\n"
    "walk('string', '') walk('_G', globals) walk('number', 1) walk('function', next)\n"
    "walk('thread', coroutine.create(next)) walk('nil', nil == 1) \n"
    "table.sort(out) return table.concat(out, '\\n') .. '\\n'";

static int l_meta(lua_State *L)
{
    return lua_getmetatable(L, 1);
}

static void push_names(lua_State *L)
{
    lua_newtable(L);
    lua_Integer n = 0;
    for (size_t i = 0; lib_names[i]; i++) {
        lua_pushstring(L, lib_names[i]);
        lua_rawseti(L, -2, ++n);
    }
    for (size_t i = 0; surface_name(i); i++) {
        lua_pushstring(L, surface_name(i));
        lua_rawseti(L, -2, ++n);
    }
}

static char *read_golden(void)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1024 * 1024);
    if (file && text)
        text[fread(text, 1, 1024 * 1024 - 1, file)] = '\0';
    if (file)
        fclose(file);
    return text;
}

/* Prints the lines of a that are not in b. */
static void print_missing(const char *a, const char *b, char sign)
{
    for (const char *end; (end = strchr(a, '\n')); a = end + 1) {
        char line[512];
        snprintf(line, sizeof line, "\n%.*s\n", (int)(end - a), a);
        if (!strstr(b, line) && strncmp(b, line + 1, strlen(line + 1)) != 0)
            printf("  %c%.*s\n", sign, (int)(end - a), a);
    }
}

static void compare(const char *found)
{
    const char *mode = getenv("GOLDEN");
    if (mode && strcmp(mode, "write") == 0) {
        FILE *file = fopen(path, "w");
        CHECK(file && fputs(found, file) >= 0 && fclose(file) == 0);
        return;
    }
    char *golden = read_golden();
    CHECK(golden && strcmp(golden, found) == 0);
    if (golden && strcmp(golden, found) != 0) {
        print_missing(found, golden, '+');
        print_missing(golden, found, '-');
        printf("what a script can reach has changed; if that is meant: "
               "GOLDEN=write make c-tests\n");
    }
    free(golden);
}

TEST(a_script_reaches_the_golden_list)
{
    static struct reactor reactor;
    CHECK(reactor_open(&reactor));
    struct vm *vm = vm_open(&reactor, 64 * 1024 * 1024, NULL);
    lua_State *L = vm->L;
    CHECK(luaL_loadbufferx(L, walker, strlen(walker), "=walker", "t") == LUA_OK);
    vm_push_private(L);
    lua_setupvalue(L, -2, 1);
    lua_pushglobaltable(L);
    push_names(L);
    lua_pushcfunction(L, l_meta);
    bool ok = lua_pcall(L, 3, 1, 0) == LUA_OK;
    CHECK(ok);
    if (ok)
        compare(lua_tostring(L, -1));
    else
        printf("%s\n", lua_tostring(L, -1));
    vm_close(vm);
    reactor_close(&reactor);
}

int main(void)
{
    RUN(a_script_reaches_the_golden_list);
    return test_report();
}
