/* mysql_absent.c - what mysql.c is in a build without libmariadb's headers: targets are read,
 * and every connection is a fault that says why. */
#include <lauxlib.h>

#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/mysql_target.h"

static int push_fault(lua_State *L, const struct fault *why, const char *phase)
{
    lua_pushnil(L);
    field_push_fault(L, why, phase);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "closed");
    return 2;
}

static int l_label(lua_State *L)
{
    struct fault why;
    char label[200];
    struct mysql_target *target = mysql_target_read(luaL_checkstring(L, 1), &why);
    if (!target)
        return push_fault(L, &why, "target");
    mysql_target_label(target, label, sizeof label);
    mysql_target_drop(target);
    lua_pushstring(L, label);
    return 1;
}

static int l_connect(lua_State *L)
{
    struct fault why;
    luaL_checkstring(L, 1);
    fault_set(&why, FAULT_INTERNAL,
              "this build has no MySQL: build it anew where the package libmariadb-dev is");
    return push_fault(L, &why, "connect");
}

int bind_mysql_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"connect", l_connect},
        {"label", l_label},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
