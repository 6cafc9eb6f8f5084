/* tables.c - see tables.h. */
#include "cli/tables.h"

#include <lauxlib.h>
#include <string.h>

#include "vm/pack.h"

bool tables_open(struct tables *t, lua_State *L, const struct redactor *redactor, struct fault *why)
{
    *t = (struct tables){.L = L, .redactor = redactor, .shape = LUA_NOREF};
    lua_getglobal(L, "require");
    lua_pushliteral(L, "hospital.reportkit.shape");
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        return fault_set(why, FAULT_INTERNAL, "%s", lua_tostring(L, -1));
    t->shape = luaL_ref(L, LUA_REGISTRYINDEX);
    return true;
}

void tables_close(struct tables *t)
{
    buffer_fini(&t->scratch);
}

void tables_push_text(struct tables *t, const char *text)
{
    size_t size = strlen(text);
    buffer_clear(&t->scratch);
    if (redact(t->redactor, text, size, &t->scratch))
        lua_pushlstring(t->L, t->scratch.data, t->scratch.size);
    else
        lua_pushlstring(t->L, text, size);
}

void tables_set_text(struct tables *t, const char *key, const char *text)
{
    if (!text)
        return;
    tables_push_text(t, text);
    lua_setfield(t->L, -2, key);
}

void tables_set_integer(struct tables *t, const char *key, size_t value)
{
    lua_pushinteger(t->L, (lua_Integer)value);
    lua_setfield(t->L, -2, key);
}

void tables_set_bool(struct tables *t, const char *key, bool value)
{
    lua_pushboolean(t->L, value);
    lua_setfield(t->L, -2, key);
}

void tables_set_duration(struct tables *t, const char *key, uint64_t ns)
{
    lua_pushnumber(t->L, (double)ns / 1e9);
    lua_setfield(t->L, -2, key);
}

/* A double holds microseconds since 1970, not nanoseconds. */
void tables_set_epoch(struct tables *t, const char *key, uint64_t ns)
{
    uint64_t us = ns / 1000;
    lua_pushnumber(t->L, (double)us / 1e6);
    lua_setfield(t->L, -2, key);
}

static void set_tags(struct tables *t, const struct result *r)
{
    if (!r->tag_count)
        return;
    lua_createtable(t->L, (int)r->tag_count, 0);
    for (size_t i = 0; i < r->tag_count; i++) {
        tables_push_text(t, r->tags[i]);
        lua_rawseti(t->L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(t->L, -2, "tags");
}

/* Adds what the worker said to the check on top of the stack.  [-0, +0, e] */
static bool add_details(struct tables *t, const struct result *r, struct fault *why)
{
    lua_State *L = t->L;
    if (!r->details_size)
        return true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->shape);
    lua_pushvalue(L, -2);
    if (!unpack_value(L, r->details, r->details_size, t->redactor)) {
        lua_newtable(L);
        lua_pushliteral(L, "the worker's account of this check could not be read");
        lua_setfield(L, -2, "context");
    }
    if (lua_pcall(L, 2, 0, 0) == LUA_OK)
        return true;
    (void)fault_set(why, FAULT_INTERNAL, "%s", luaL_tolstring(L, -1, NULL));
    lua_pop(L, 2);
    return false;
}

bool tables_push_check(struct tables *t, const struct result *r, struct fault *why)
{
    lua_createtable(t->L, 0, 16);
    tables_set_text(t, "id", r->id ? r->id : "?");
    tables_set_text(t, "test", r->test ? r->test : r->id ? r->id : "?");
    tables_set_text(t, "file", r->file);
    if (r->line > 0)
        tables_set_integer(t, "line", (size_t)r->line);
    tables_set_text(t, "kind", r->kind);
    lua_pushstring(t->L, status_name(r->status));
    lua_setfield(t->L, -2, "status");
    tables_set_epoch(t, "started", r->started_ns);
    tables_set_duration(t, "duration", r->duration_ns);
    tables_set_integer(t, "attempts", r->attempts);
    set_tags(t, r);
    tables_set_text(t, "description", r->description);
    tables_set_text(t, "owner", r->owner);
    tables_set_text(t, "runbook", r->runbook);
    tables_set_text(t, "severity", r->severity);
    tables_set_text(t, "context", r->context);
    return add_details(t, r, why);
}
