/* capture.c - see capture.h.  Runs outside protected Lua, so it reads raw, calls
 * nothing of the script's and lets the host's margin of memory hold. */
#include "check/capture.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "check/record.h"
#include "vm/author.h"
#include "vm/pack.h"
#include "vm/vm.h"

static void pack_field(struct buffer *out, const char *name, const char *value)
{
    pack_text(out, name);
    pack_text(out, value);
}

/* Where it stopped; after a tail call, where it was declared. */
static void pack_place(const struct task *task, struct buffer *out)
{
    struct author_place place;
    bool known = author_where(task->co, &place);
    if (!known && !task->file)
        return;
    pack_field(out, "file", known ? place.file : task->file);
    int line = known ? place.line : task->line;
    if (line == 0) /* a file that is not Lua: the message says where */
        return;
    pack_text(out, "line");
    pack_integer(out, line);
}

static void pack_traceback(lua_State *co, struct buffer *out)
{
    pack_text(out, "traceback");
    pack_table_begin(out);
    author_traceback(co, out);
    pack_table_end(out);
}

/* Every field of the failure table on top of co. */
static bool pack_fields(lua_State *co, struct buffer *out)
{
    bool placed = false;
    for (lua_pushnil(co); lua_next(co, -2); lua_pop(co, 1)) {
        if (lua_type(co, -2) != LUA_TSTRING)
            continue;
        placed |= strcmp(lua_tostring(co, -2), "line") == 0;
        pack_value(co, -2, out, NULL);
        pack_value(co, -1, out, NULL);
    }
    return placed;
}

/* It was recorded before it was raised, so that nothing could swallow it. */
static bool is_told(lua_State *co, const struct record *record)
{
    lua_pushliteral(co, "told");
    bool told = lua_rawget(co, -2) == LUA_TBOOLEAN;
    lua_pop(co, 1);
    return told && record->lists[RECORD_FAILURE].count + record->lists[RECORD_FAILURE].dropped > 0;
}

static void record_raised_failure(struct task *task, struct record *record)
{
    lua_State *co = task->co;
    if (is_told(co, record))
        return;
    record_note_failure(record, co, -1);
    if (!record_has_room(record, RECORD_FAILURE))
        return;
    struct buffer *out = &record->lists[RECORD_FAILURE].packed;
    pack_table_begin(out);
    pack_table_fields(out);
    if (!pack_fields(co, out))
        pack_place(task, out);
    pack_traceback(co, out);
    pack_table_end(out);
    record->lists[RECORD_FAILURE].count++;
}

static void record_host_failure(const struct task *task, struct record *record, const char *kind,
                                const char *message)
{
    record_note_message(record, message);
    if (!record_has_room(record, RECORD_FAILURE))
        return;
    struct buffer *out = &record->lists[RECORD_FAILURE].packed;
    pack_table_begin(out);
    pack_table_fields(out);
    pack_field(out, "kind", kind);
    pack_field(out, "message", message);
    pack_place(task, out);
    pack_traceback(task->co, out);
    pack_table_end(out);
    record->lists[RECORD_FAILURE].count++;
}

static void describe_kill(const struct task *task, const struct capture_options *options,
                          char *text, size_t room)
{
    char budget[32];
    const char *during = options->during, *colon = *during ? ": " : "";
    switch (task->killed) {
    case KILL_DEADLINE:
        snprintf(text, room, "%s%snot finished within %s%s%s", during, colon,
                 duration_format(options->budget_ns, budget, sizeof budget),
                 task->stopped_in ? ", while waiting for " : "",
                 task->stopped_in ? task->stopped_in : "");
        break;
    case KILL_MEMORY:
        snprintf(text, room, "%s%smemory limit of %zu KB reached", during, colon,
                 task->vm->memory_limit / 1024);
        break;
    case KILL_STUCK:
        snprintf(text, room,
                 "%s%sran too long without a break where it cannot be interrupted (a table.sort "
                 "comparator, a string.gsub callback, one very long string operation)",
                 during, colon);
        break;
    default: snprintf(text, room, "%s%scancelled", during, colon); break;
    }
}

static void record_kill(struct task *task, struct record *record,
                        const struct capture_options *options)
{
    char text[320];
    describe_kill(task, options, text, sizeof text);
    record_host_failure(task, record, task->killed == KILL_DEADLINE ? "timeout" : "limit", text);
}

/* The message of the error on top of co: itself, or the field of an error object.
 * Raw, so that nothing of the script's runs.  [-0, +1, -] */
static const char *push_message(lua_State *co)
{
    if (lua_istable(co, -1)) {
        lua_pushliteral(co, "message");
        lua_rawget(co, -2);
    } else {
        lua_pushvalue(co, -1);
    }
    return lua_type(co, -1) == LUA_TSTRING ? lua_tostring(co, -1) : NULL;
}

static void record_error(const struct task *task, struct record *record,
                         const struct capture_options *options)
{
    lua_State *co = task->co;
    char text[2048];
    const char *message = push_message(co);
    const char *during = options->during, *colon = *during ? ": " : "";
    if (message)
        snprintf(text, sizeof text, "%s%s%s", during, colon, message);
    else
        snprintf(text, sizeof text, "%s%serror object is a %s value without a message", during,
                 colon, luaL_typename(co, -2));
    lua_pop(co, 1);
    record_host_failure(task, record, options->error_kind, text);
}

void capture_end(struct task *task, struct record *record, const struct capture_options *options,
                 struct attempt *attempt)
{
    attempt->killed = task->killed;
    attempt->raised = !task->killed && task->status != LUA_OK;
    attempt->what = RAISED_ERROR;
    if (!task->killed && !attempt->raised)
        return;
    task->vm->exempt = true;
    lua_checkstack(task->co, 8);
    if (task->killed) {
        record_kill(task, record, options);
    } else {
        attempt->what = failure_kind(task->co, -1);
        if (attempt->what == RAISED_FAILURE)
            record_raised_failure(task, record);
        else if (attempt->what == RAISED_SKIP)
            record_note_failure(record, task->co, -1);
        else
            record_error(task, record, options);
    }
    task->vm->exempt = false;
}
