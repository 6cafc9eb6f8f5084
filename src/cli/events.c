/* events.c - see events.h. */
#include "cli/events.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/formats.h"
#include "cli/status_line.h"
#include "cli/tables.h"

#define REDRAW_NS (100 * NS_PER_MS)

struct reporter {
    char *name;
    struct output *output; /* NULL: the status line's */
    int object;            /* reference; LUA_NOREF once dropped */
};

struct events {
    lua_State *L;
    struct tables tables;
    struct reporter *reporters;
    size_t count;
    bool strict;
    struct summary summary;
    struct fault first;     /* failure; FAULT_NONE: none yet */
    struct buffer problems; /* each ends with NUL: notes for the reports still to be written */
    struct status_line line;
    uint64_t drawn_ns;
};

/* -- Stderr and the status line ----------------------------------------------- */

static unsigned terminal_column(const struct events *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct output *o = e->reporters[i].output;
        if (o && o->tty && o->fd == STDOUT_FILENO)
            return o->column % o->width;
    }
    return 0;
}

void events_message(struct events *e, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    size_t length = size < 0 ? 0 : (size_t)size;
    if (length > sizeof text - 2)
        length = sizeof text - 2;
    struct buffer line = {0};
    if (!redact(e->tables.redactor, text, length, &line))
        buffer_add(&line, text, length);
    for (size_t i = 0; i < line.size; i++)
        if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f)
            line.data[i] = line.data[i] == '\n' || line.data[i] == '\t' ? ' ' : '?';
    buffer_add_string(&line, "\n");
    status_line_erase(&e->line);
    if (terminal_column(e))
        status_line_write_stderr("\n", 1);
    status_line_write_stderr(line.data, line.size);
    buffer_fini(&line);
}

/* -- When a reporter fails ----------------------------------------------------- */

static void note_problem(struct events *e, const struct fault *why)
{
    if (e->first.kind == FAULT_NONE)
        e->first = *why;
    buffer_add(&e->problems, why->message, strlen(why->message) + 1);
    events_message(e, "hospital: %s", why->message);
}

static void drop(struct events *e, struct reporter *r, const struct fault *why)
{
    if (r->object == LUA_NOREF)
        return;
    luaL_unref(e->L, LUA_REGISTRYINDEX, r->object);
    r->object = LUA_NOREF;
    note_problem(e, why);
}

static void flush_one(struct events *e, struct reporter *r)
{
    if (r->output && r->object != LUA_NOREF && !output_flush(r->output))
        drop(e, r, &r->output->why);
}

static void drop_raised(struct events *e, struct reporter *r)
{
    struct fault why;
    if (r->output && r->output->failed) {
        why = r->output->why;
    } else {
        const char *message = luaL_tolstring(e->L, -1, NULL);
        (void)fault_set(&why, FAULT_INTERNAL, "the reporter %s failed: %s", r->name, message);
        lua_pop(e->L, 1);
        status_line_erase(&e->line);
        flush_one(e, r); /* what a person could still read; a file keeps its temporary name */
    }
    lua_pop(e->L, 1);
    drop(e, r, &why);
}

/* Calls reporter:event(table) with the table on top of the stack, if it has such a method.
 * [-0, +0, -] */
static void call(struct events *e, struct reporter *r, const char *event)
{
    lua_State *L = e->L;
    if (r->object == LUA_NOREF)
        return;
    int table = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->object);
    if (lua_getfield(L, -1, event) == LUA_TFUNCTION) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, table);
        if (lua_pcall(L, 2, 0, 0) != LUA_OK)
            drop_raised(e, r);
    }
    lua_settop(L, table);
}

static void publish(struct events *e, const char *event)
{
    for (size_t i = 0; i < e->count; i++)
        call(e, &e->reporters[i], event);
    lua_settop(e->L, 0);
}

/* -- The events ---------------------------------------------------------------- */

static void push_check(struct events *e, const struct result *r)
{
    struct fault why;
    if (!tables_push_check(&e->tables, r, &why))
        note_problem(e, &why);
}

void events_run_started(struct events *e, const struct run_start *start)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    lua_newtable(e->L);
    tables_set_epoch(&e->tables, "started", start->started_ns);
    tables_set_text(&e->tables, "host", host);
    tables_set_text(&e->tables, "version", HOSPITAL_VERSION);
    tables_set_integer(&e->tables, "files", start->files);
    tables_set_integer(&e->tables, "workers", start->workers);
    publish(e, "run_started");
}

void events_check_finished(struct events *e, const struct result *r)
{
    summary_add(&e->summary, r->status);
    lua_createtable(e->L, 0, 1);
    push_check(e, r);
    lua_setfield(e->L, -2, "check");
    publish(e, "check_finished");
}

void events_diagnosis_finished(struct events *e, const char *of, const struct result *r)
{
    lua_newtable(e->L);
    tables_set_text(&e->tables, "of", of);
    push_check(e, r);
    lua_setfield(e->L, -2, "check");
    publish(e, "diagnosis_finished");
}

void events_progress(struct events *e, const struct run_progress *progress)
{
    uint64_t now = clock_now_ns();
    if (now - e->drawn_ns < REDRAW_NS)
        return;
    e->drawn_ns = now;
    lua_newtable(e->L);
    tables_set_integer(&e->tables, "done", progress->done);
    tables_set_integer(&e->tables, "total", progress->total);
    tables_set_integer(&e->tables, "red", progress->red);
    tables_set_integer(&e->tables, "running", progress->running);
    if (progress->longest_id) {
        lua_newtable(e->L);
        tables_set_text(&e->tables, "id", progress->longest_id);
        tables_set_duration(&e->tables, "seconds", progress->longest_ns);
        lua_setfield(e->L, -2, "longest");
    }
    publish(e, "progress");
}

void events_flush(struct events *e)
{
    for (size_t i = 0; i < e->count; i++) {
        struct output *o = e->reporters[i].output;
        if (!o || (!o->pending.size && !o->failed))
            continue;
        if (o->tty)
            status_line_erase(&e->line);
        flush_one(e, &e->reporters[i]);
    }
    if (e->line.redraw) {
        status_line_erase(&e->line);
        status_line_draw(&e->line, terminal_column(e));
    }
}

/* -- The end ------------------------------------------------------------------- */

static bool deserves_green(const struct events *e, const struct run_end *end)
{
    return end->exit_code == 0 && !end->interrupted && !end->not_run &&
           e->first.kind == FAULT_NONE && e->summary.total > 0 &&
           summary_red(&e->summary, e->strict) == 0;
}

static void set_summary(struct events *e)
{
    lua_createtable(e->L, 0, STATUS_COUNT + 1);
    tables_set_integer(&e->tables, "total", e->summary.total);
    for (int i = 0; i < STATUS_COUNT; i++)
        tables_set_integer(&e->tables, status_name((enum status)i), e->summary.of[i]);
    lua_setfield(e->L, -2, "summary");
}

static void set_notes(struct events *e, const struct run_end *end)
{
    lua_Integer n = 0;
    lua_newtable(e->L);
    for (size_t i = 0; i < end->note_count; i++) {
        tables_push_text(&e->tables, end->notes[i]);
        lua_rawseti(e->L, -2, ++n);
    }
    for (size_t at = 0; at < e->problems.size; at += strlen(e->problems.data + at) + 1) {
        tables_push_text(&e->tables, e->problems.data + at);
        lua_rawseti(e->L, -2, ++n);
    }
    lua_setfield(e->L, -2, "notes");
}

static void push_end(struct events *e, struct run_end *end)
{
    bool green = deserves_green(e, end);
    if (!green && end->exit_code == 0)
        end->exit_code = e->summary.total == 0 ? 5 : 1;
    lua_newtable(e->L);
    tables_set_text(&e->tables, "status", green ? "pass" : "fail");
    set_summary(e);
    tables_set_epoch(&e->tables, "started", end->started_ns);
    tables_set_duration(&e->tables, "duration", end->duration_ns);
    tables_set_integer(&e->tables, "exit_code", (size_t)end->exit_code);
    tables_set_bool(&e->tables, "interrupted", end->interrupted);
    tables_set_integer(&e->tables, "not_run", end->not_run);
    lua_newtable(e->L);
    tables_set_integer(&e->tables, "slow", end->left_out_slow);
    tables_set_integer(&e->tables, "other", end->left_out);
    lua_setfield(e->L, -2, "deselected");
    set_notes(e, end);
}

static void finish(struct events *e, struct reporter *r, struct run_end *end)
{
    push_end(e, end);
    call(e, r, "run_finished");
    lua_settop(e->L, 0);
    if (r->output)
        r->output->patience_ns = end->patience_ns;
    if (r->output && r->object != LUA_NOREF && !output_commit(r->output))
        drop(e, r, &r->output->why);
}

bool events_run_finished(struct events *e, struct run_end *end, struct fault *why)
{
    status_line_erase(&e->line);
    status_line_set(&e->line, "", 0);
    for (int to_stdout = 0; to_stdout < 2; to_stdout++)
        for (size_t i = 0; i < e->count; i++) {
            struct output *o = e->reporters[i].output;
            if ((o && o->fd == STDOUT_FILENO) == (to_stdout == 1))
                finish(e, &e->reporters[i], end);
        }
    if (!deserves_green(e, end) && end->exit_code == 0)
        end->exit_code = 1;
    if (e->first.kind == FAULT_NONE)
        return true;
    *why = e->first;
    return false;
}

const struct summary *events_summary(const struct events *e)
{
    return &e->summary;
}

/* -- Opening ------------------------------------------------------------------- */

/*** out:write(text, ...): raises once the output has failed.  Returns out. */
static int l_out_write(lua_State *L)
{
    struct output *o = lua_touserdata(L, lua_upvalueindex(1));
    int count = lua_gettop(L);
    for (int i = 2; i <= count; i++) {
        size_t size;
        const char *text = luaL_checklstring(L, i, &size);
        output_write(o, text, size);
    }
    if (o->failed)
        return luaL_error(L, "%s", o->why.message);
    lua_settop(L, 1);
    return 1;
}

/* The status line's out:write replaces the line. */
static int l_line_write(lua_State *L)
{
    struct events *e = lua_touserdata(L, lua_upvalueindex(1));
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    status_line_set(&e->line, text, size);
    lua_settop(L, 1);
    return 1;
}

static void push_out(struct events *e, struct output *o)
{
    lua_State *L = e->L;
    lua_newtable(L);
    lua_pushlightuserdata(L, o ? (void *)o : (void *)e);
    lua_pushcclosure(L, o ? l_out_write : l_line_write, 1);
    lua_setfield(L, -2, "write");
    tables_set_bool(&e->tables, "tty", o ? o->tty : true);
    tables_set_bool(&e->tables, "color", o && o->color);
    tables_set_integer(&e->tables, "width", o ? o->width : output_terminal_width(STDERR_FILENO));
}

static void push_options(struct events *e, const struct events_options *options)
{
    lua_newtable(e->L);
    tables_set_bool(&e->tables, "verbose", options->verbose);
    tables_set_bool(&e->tables, "quiet", options->quiet);
    tables_set_bool(&e->tables, "strict", options->strict);
    tables_set_integer(&e->tables, "durations", options->durations);
}

/* The constructor is on top. */
static bool construct(struct events *e, struct reporter *r, const struct events_options *options,
                      struct fault *why)
{
    push_out(e, r->output);
    push_options(e, options);
    if (lua_pcall(e->L, 2, 1, 0) != LUA_OK)
        return fault_set(why, FAULT_INTERNAL, "the reporter %s failed: %s", r->name,
                         luaL_tolstring(e->L, -1, NULL));
    if (!lua_istable(e->L, -1))
        return fault_set(why, FAULT_INTERNAL, "the reporter %s gave no table of methods", r->name);
    r->object = luaL_ref(e->L, LUA_REGISTRYINDEX);
    return true;
}

static bool add_reporter(struct events *e, const struct report_target *target,
                         const struct events_options *options, struct fault *why)
{
    struct reporter *r = &e->reporters[e->count];
    *r = (struct reporter){.name = memory_copy_string(target->format), .object = LUA_NOREF};
    e->count++;
    if (!formats_load(e->L, target->format, why))
        return false;
    r->output = output_open(target->path, options->color, why);
    if (!r->output)
        return false;
    for (size_t i = 0; i + 1 < e->count; i++)
        if (strcmp(e->reporters[i].output->path, r->output->path) == 0 &&
            strcmp(r->output->path, "/dev/null") != 0)
            return fault_set(why, FAULT_INTERNAL, "two reports (%s and %s) to %s",
                             e->reporters[i].name, r->name, r->output->path);
    return construct(e, r, options, why);
}

static bool add_status_line(struct events *e, const struct events_options *options,
                            struct fault *why)
{
    struct reporter *r = &e->reporters[e->count];
    *r = (struct reporter){.name = memory_copy_string("status"), .object = LUA_NOREF};
    e->count++;
    lua_getglobal(e->L, "require");
    lua_pushliteral(e->L, "hospital.reportkit.status");
    if (lua_pcall(e->L, 1, 1, 0) != LUA_OK)
        return fault_set(why, FAULT_INTERNAL, "%s", lua_tostring(e->L, -1));
    return construct(e, r, options, why);
}

struct events *events_open(const struct events_options *options, struct fault *why)
{
    struct events *e = memory_new(sizeof *e);
    e->strict = options->strict;
    e->reporters = memory_new((options->target_count + 1) * sizeof *e->reporters);
    e->L = formats_open(why);
    bool ok = e->L && tables_open(&e->tables, e->L, options->redactor, why);
    for (size_t i = 0; ok && i < options->target_count; i++)
        ok = add_reporter(e, &options->targets[i], options, why);
    if (ok && options->status_line && output_is_terminal(STDERR_FILENO))
        ok = add_status_line(e, options, why);
    if (!ok) {
        events_close(e);
        return NULL;
    }
    lua_settop(e->L, 0);
    return e;
}

void events_close(struct events *e)
{
    if (!e)
        return;
    status_line_erase(&e->line);
    if (e->L)
        lua_close(e->L);
    for (size_t i = 0; i < e->count; i++) {
        output_close(e->reporters[i].output);
        free(e->reporters[i].name);
    }
    free(e->reporters);
    buffer_fini(&e->problems);
    status_line_fini(&e->line);
    tables_close(&e->tables);
    free(e);
}
