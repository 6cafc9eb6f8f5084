/* surface.c - see surface.h.  Read the two tables; the rest is plumbing. */
#include "vm/surface.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "bind/bind.h"
#include "vm/lib.h"
#include "vm/vm.h"

/* Global name, and the module whose field of that name it is. */
static const struct {
    const char *name, *module;
} globals[] = {
    {"healthcheck", "hospital.dsl"},
    {"is_healthcheck", "hospital.dsl"},
    {"describe", "hospital.describe"},
    {"diagnosis", "hospital.describe"},
    {"setup", "hospital.describe"},
    {"teardown", "hospital.describe"},
    {"before_each", "hospital.describe"},
    {"after_each", "hospital.describe"},
    {"skip", "hospital.control"},
    {"warn", "hospital.control"},
    {"log", "hospital.control"},
    {"print", "hospital.control"},
    {"metric", "hospital.control"},
    {"sleep", "hospital.control"},
    {"now", "hospital.control"},
    {"eventually", "hospital.control"},
    {"parallel", "hospital.control"},
    {"env", "hospital.env"},
    {"assert", "hospital.assert"},
    {"assert_version", "hospital.versions"},
    {"expect_version", "hospital.versions"},
    {"assert_equal", "hospital.assertions"},
    {"expect_equal", "hospital.assertions"},
    {"assert_not_equal", "hospital.assertions"},
    {"expect_not_equal", "hospital.assertions"},
    {"assert_is", "hospital.assertions"},
    {"expect_is", "hospital.assertions"},
    {"assert_is_not", "hospital.assertions"},
    {"expect_is_not", "hospital.assertions"},
    {"assert_true", "hospital.assertions"},
    {"expect_true", "hospital.assertions"},
    {"assert_false", "hospital.assertions"},
    {"expect_false", "hospital.assertions"},
    {"assert_nil", "hospital.assertions"},
    {"expect_nil", "hospital.assertions"},
    {"assert_not_nil", "hospital.assertions"},
    {"expect_not_nil", "hospital.assertions"},
    {"assert_in", "hospital.assertions"},
    {"expect_in", "hospital.assertions"},
    {"assert_not_in", "hospital.assertions"},
    {"expect_not_in", "hospital.assertions"},
    {"assert_type", "hospital.assertions"},
    {"expect_type", "hospital.assertions"},
    {"assert_not_type", "hospital.assertions"},
    {"expect_not_type", "hospital.assertions"},
    {"assert_error", "hospital.assertions"},
    {"expect_error", "hospital.assertions"},
    {"assert_almost_equal", "hospital.assertions"},
    {"expect_almost_equal", "hospital.assertions"},
    {"assert_not_almost_equal", "hospital.assertions"},
    {"expect_not_almost_equal", "hospital.assertions"},
    {"assert_greater", "hospital.assertions"},
    {"expect_greater", "hospital.assertions"},
    {"assert_greater_equal", "hospital.assertions"},
    {"expect_greater_equal", "hospital.assertions"},
    {"assert_less", "hospital.assertions"},
    {"expect_less", "hospital.assertions"},
    {"assert_less_equal", "hospital.assertions"},
    {"expect_less_equal", "hospital.assertions"},
    {"assert_match", "hospital.assertions"},
    {"expect_match", "hospital.assertions"},
    {"assert_not_match", "hospital.assertions"},
    {"expect_not_match", "hospital.assertions"},
    {"assert_contains", "hospital.assertions"},
    {"expect_contains", "hospital.assertions"},
    {"http", "hospital.http"},
    {"assert_http_response", "hospital.http"},
    {"expect_http_response", "hospital.http"},
    {"json", "hospital.json"},
    {"tcp", "hospital.tcp"},
    {"assert_tcp", "hospital.tcp"},
    {"expect_tcp", "hospital.tcp"},
    {"ping", "hospital.ping"},
    {"assert_ping", "hospital.ping"},
    {"expect_ping", "hospital.ping"},
    {"db", "hospital.db"},
    {"rolled_back", "hospital.db"},
    {"assert_database", "hospital.db_assertions"},
    {"expect_database", "hospital.db_assertions"},
    {"assert_query", "hospital.db_assertions"},
    {"expect_query", "hospital.db_assertions"},
    {"assert_table", "hospital.db_assertions"},
    {"expect_table", "hospital.db_assertions"},
    {"assert_migrated", "hospital.db_assertions"},
    {"expect_migrated", "hospital.db_assertions"},
    {"assert_connections", "hospital.db_assertions"},
    {"expect_connections", "hospital.db_assertions"},
    {"assert_no_long_transactions", "hospital.db_assertions"},
    {"expect_no_long_transactions", "hospital.db_assertions"},
    {"assert_index_valid", "hospital.db_assertions"},
    {"expect_index_valid", "hospital.db_assertions"},
    {"assert_replication", "hospital.db_assertions"},
    {"expect_replication", "hospital.db_assertions"},
    {"assert_integrity", "hospital.db_assertions"},
    {"expect_integrity", "hospital.db_assertions"},
    {NULL, NULL},
};

/* Modules in C, for our own Lua. */
/* clang-format off */
static const luaL_Reg modules[] = {
    {"hospital.host", bind_host_open},
    {"hospital.core.dns", bind_dns_open},
    {"hospital.core.http", bind_http_open},
    {"hospital.json", bind_json_open},
    {"hospital.core.tcp", bind_tcp_open},
    {"hospital.core.ping", bind_ping_open},
    {"hospital.core.postgres", bind_postgres_open},
    {"hospital.core.sqlite", bind_sqlite_open},
    {"hospital.core.mysql", bind_mysql_open},
    {NULL, NULL},
};
/* clang-format on */

lua_CFunction surface_module(const char *name)
{
    for (const luaL_Reg *m = modules; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m->func;
    return NULL;
}

/* Sets the global `name` (and pushes it) from the module.  [-0, +1, e] */
static void publish(lua_State *L, const char *name, const char *module)
{
    vm_import(L, module);
    lua_getfield(L, -1, name);
    lua_pushglobaltable(L);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
    lua_remove(L, -2);
}

/* Pushes the script's copy of a library of Lua's own and keeps it in the table at
 * index 1.  [-0, +(0|1), m] */
static bool add_library(lua_State *L, const char *name)
{
    if (strcmp(name, "string") == 0)
        lib_push_script_string(L);
    else if (!lib_push(L, name))
        return false;
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return true;
}

static int m_globals_index(lua_State *L)
{
    const char *name = lua_tostring(L, 2);
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    if (add_library(L, name))
        return 1;
    for (size_t i = 0; globals[i].name; i++) {
        if (strcmp(globals[i].name, name) != 0)
            continue;
        publish(L, name, globals[i].module);
        return 1;
    }
    return 0;
}

const char *surface_name(size_t i)
{
    return i < sizeof globals / sizeof globals[0] ? globals[i].name : NULL;
}

void surface_open(lua_State *L)
{
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, m_globals_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}
