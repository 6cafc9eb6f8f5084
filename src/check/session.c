/* session.c - see session.h. */
#include "check/session.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "check/capture.h"
#include "check/discover.h"
#include "check/session_state.h"
#include "loop/reactor.h"
#include "loop/task.h"
#include "vm/chunk.h"
#include "vm/guard.h"
#include "vm/pack.h"

static char *copy_or_null(const char *s)
{
    return s ? memory_copy_string(s) : NULL;
}

static void destroy(struct session *session)
{
    while (session->lanes) {
        struct lane *lane = session->lanes;
        session->lanes = lane->next;
        lane_free(lane);
    }
    for (size_t i = 0; i < session->catalogue.count && session->entries; i++)
        free(session->entries[i].reason);
    free(session->entries);
    scope_close(&session->scope);
    record_fini(&session->record);
    catalogue_fini(&session->catalogue);
    buffer_fini(&session->catalogue_bytes);
    buffer_fini(&session->details);
    if (session->vm)
        vm_close(session->vm);
    free(session->id);
    free(session->path);
    free(session->lib_path);
    free(session);
}

int session_push(struct session *session, const char *list, size_t index)
{
    lua_State *L = session->vm->L;
    session->vm->exempt = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, session->suite);
    lua_pushstring(L, list);
    session->vm->exempt = false;
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (!lua_istable(L, -1))
        return LUA_TNIL;
    int type = lua_rawgeti(L, -1, (lua_Integer)index);
    lua_remove(L, -2);
    return type;
}

/* --- loading ------------------------------------------------------------- */

static void load_failed(struct session *session, const char *message)
{
    struct buffer *out = &session->details;
    pack_table_begin(out);
    pack_table_fields(out);
    pack_text(out, "failures");
    pack_table_begin(out);
    pack_table_begin(out);
    pack_table_fields(out);
    pack_text(out, "kind");
    pack_text(out, "load");
    pack_text(out, "message");
    pack_text(out, message);
    pack_table_end(out);
    pack_table_end(out);
    pack_text(out, "context");
    pack_text(out, message);
    pack_table_end(out);
}

/* --- the loading task: read, parse, run, finish, all under the guard ------ */

/* stack: 1 session, 2 suite */
static int k_finished(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *session = lua_touserdata(L, 1);
    catalogue_write(L, 2, &session->catalogue_bytes);
    lua_pushvalue(L, 2);
    session->suite = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int k_ran(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    lua_getfield(L, 2, "finish");
    lua_callk(L, 0, 0, 0, k_finished);
    return k_finished(L, LUA_OK, 0);
}

/* The chunk's name is '@' and the id, so that messages read "net/dns.lua:12:". */
static void load_chunk(lua_State *L, struct session *session)
{
    struct buffer text = {0};
    struct fault why;
    if (!discover_read(session->options.path, &text, &why)) {
        buffer_fini(&text);
        luaL_error(L, "%s: %s", session->options.id, why.message);
    }
    char name[300];
    snprintf(name, sizeof name, "@%s", session->options.id);
    int status = chunk_load(L, text.data ? text.data : "", text.size, name);
    buffer_fini(&text);
    guard_rethrow(L);
    if (status != LUA_OK)
        lua_error(L);
}

static int l_load_file(lua_State *L)
{
    struct session *session = lua_touserdata(L, 1);
    vm_import(L, "hospital.suite");
    lua_pushstring(L, session->options.id);
    lua_setfield(L, 2, "path");
    load_chunk(L, session);
    lua_callk(L, 0, 0, 0, k_ran);
    return k_ran(L, LUA_OK, 0);
}

static void accept_catalogue(struct session *session)
{
    struct fault why;
    const struct buffer *bytes = &session->catalogue_bytes;
    if (!catalogue_parse(&session->catalogue, bytes->data, bytes->size, &why)) {
        load_failed(session, why.message);
    } else if (session->catalogue.count == 0) {
        load_failed(session, "the file declares no checks: call healthcheck(name, fn) in it, or "
                             "put what is not a check under lib/ or a name that begins with _");
    } else {
        session->loaded = true;
        session->entries = memory_new(session->catalogue.count * sizeof *session->entries);
    }
}

static void on_load_end(struct task *task)
{
    struct session *session = task->owner;
    struct attempt end = {0};
    if (!session->closing)
        capture_end(task, &session->record,
                    &(struct capture_options){"", "load", session->options.timeout_ns}, &end);
    task_free(task);
    session->loading = NULL;
    if (session->closing) {
        destroy(session);
        return;
    }
    if (end.killed || end.raised)
        record_pack(&session->record, &session->details);
    else
        accept_catalogue(session);
    session->events.on_loaded(session, session->events.owner);
}

/* Deferred, so that on_loaded never comes before session_open returned. */
static void start_loading(struct session *session)
{
    lua_State *L = session->vm->L;
    lua_pushcfunction(L, l_load_file);
    lua_pushlightuserdata(L, session);
    session->loading = task_start(session->vm, L, 1,
                                  &(struct task_options){
                                      .deadline_ns = clock_now_ns() + session->options.timeout_ns,
                                      .scope = &session->scope,
                                      .record = &session->record,
                                      .may_wait = false,
                                      .file = session->options.id,
                                      .on_end = on_load_end,
                                      .owner = session,
                                  });
}

struct session *session_open(struct reactor *reactor, struct pace *pace,
                             const struct session_options *options,
                             const struct session_events *events)
{
    struct session *session = memory_new(sizeof *session);
    session->reactor = reactor;
    session->pace = pace;
    session->options = *options;
    session->options.id = session->id = memory_copy_string(options->id);
    session->options.path = session->path = memory_copy_string(options->path);
    session->options.lib_path = session->lib_path = copy_or_null(options->lib_path);
    session->events = *events;
    scope_init(&session->scope);
    record_init(&session->record);
    session->vm = vm_open(reactor, options->memory_limit, session->options.lib_path);
    if (session->vm)
        start_loading(session);
    if (!session->loading)
        load_failed(session, "the memory limit does not even hold an empty sandbox: raise "
                             "--memory-limit");
    return session;
}

bool session_failed_to_open(const struct session *session)
{
    return !session->loading && !session->loaded;
}

static bool has_tasks(const struct session *session)
{
    for (const struct lane *lane = session->lanes; lane; lane = lane->next)
        if (lane->task)
            return true;
    return session->loading != NULL;
}

void session_close(struct session *session)
{
    session->closing = true;
    if (session->loading)
        task_kill(session->loading, KILL_CANCELLED);
    for (struct lane *lane = session->lanes; lane; lane = lane->next)
        lane_stop(lane);
    if (!has_tasks(session))
        destroy(session);
}

const struct catalogue *session_catalogue(const struct session *session,
                                          const struct buffer **details)
{
    *details = &session->details;
    return session->loaded ? &session->catalogue : NULL;
}

const struct buffer *session_catalogue_bytes(const struct session *session)
{
    return &session->catalogue_bytes;
}

void *session_owner(const struct session *session)
{
    return session->events.owner;
}

/* --- running ------------------------------------------------------------- */

static struct lane *lane_for(struct session *session, unsigned number)
{
    struct lane *lane = NULL;
    for (lane = number ? session->lanes : NULL; lane; lane = lane->next)
        if (lane->number == number)
            return lane;
    lane = lane_new(session, number);
    lane->next = session->lanes;
    session->lanes = lane;
    session->lanes_open++;
    return lane;
}

void session_select(struct session *session, size_t index, enum session_go go, const char *reason)
{
    struct entry *entry = &session->entries[index];
    entry->check = &session->catalogue.checks[index];
    entry->index = index;
    entry->state = go == SESSION_GO ? ENTRY_GO : go == SESSION_HOLD ? ENTRY_HELD : ENTRY_SKIP;
    entry->reason = copy_or_null(reason);
    if (entry->check->skip) {
        entry->state = ENTRY_SKIP;
        free(entry->reason);
        entry->reason =
            memory_copy_string(entry->check->skip[0] ? entry->check->skip : "marked skip");
    }
    lane_append(lane_for(session, entry->check->lane), entry);
}

/* Lanes were linked in reverse: they start in order of declaration. */
static void reverse_lanes(struct session *session)
{
    struct lane *reversed = NULL;
    while (session->lanes) {
        struct lane *lane = session->lanes;
        session->lanes = lane->next;
        lane->next = reversed;
        reversed = lane;
    }
    session->lanes = reversed;
}

/* One lane more than there are is counted while they are set going, so that the
 * end cannot come from inside the loop. */
void session_run(struct session *session)
{
    reverse_lanes(session);
    session->lanes_open++;
    for (struct lane *lane = session->lanes; lane; lane = lane->next)
        lane_go(lane);
    session_lane_over(session);
}

void session_lane_over(struct session *session)
{
    if (session->closing) {
        if (!has_tasks(session))
            destroy(session);
        return;
    }
    if (--session->lanes_open == 0)
        session->events.on_done(session, session->events.owner);
}

void session_release(struct session *session, size_t index)
{
    struct entry *entry = &session->entries[index];
    if (!entry->lane || entry->state != ENTRY_HELD)
        return;
    entry->state = ENTRY_GO;
    lane_go(entry->lane);
}

void session_skip(struct session *session, size_t index, const char *reason)
{
    struct entry *entry = &session->entries[index];
    if (!entry->lane || !lane_may_skip(entry))
        return;
    entry->state = ENTRY_SKIP;
    entry->reason = memory_copy_string(reason);
    lane_go(entry->lane);
}

struct session *session_of_task(const struct task *task, enum session_part *part, uint32_t *number)
{
    while (task->parent)
        task = task->parent;
    if (task->orphan)
        return NULL;
    if (task->on_end != on_load_end)
        return lane_of_task(task, part, number)->session;
    *part = SESSION_LOADING;
    *number = 0;
    return task->owner;
}
