/* events.c - see events.h. */
#include "cli/events.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "vm/embedded.h"
#include "vm/pack.h"

#define FORMAT_PREFIX "hospital.report."
#define REDRAW_NS (100 * NS_PER_MS)

enum { STDERR_PATIENCE_MS = 1000 };

struct reporter {
    char *name;
    struct output *output; /* NULL: the status line's */
    int object;            /* reference; LUA_NOREF once dropped */
};

struct events {
    lua_State *L;
    const struct redactor *redactor;
    struct buffer scratch;
    struct reporter *reporters;
    size_t count;
    int shape; /* reference to the function that copies trusted fields from details */
    bool strict;
    struct summary summary;
    struct fault first;     /* failure; FAULT_NONE: none yet */
    struct buffer problems; /* each ends with NUL: notes for the reports still to be written */
    /* The status line: what it should say, and what stands on the terminal. */
    struct buffer line, shown;
    bool redraw;
    unsigned shown_under; /* the column of stdout's text above it */
    uint64_t drawn_ns;
};

/* -- Stderr and the status line ----------------------------------------------- */

static void write_stderr(const char *data, size_t size)
{
    while (size > 0) {
        struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
        ssize_t n = poll(&p, 1, STDERR_PATIENCE_MS) > 0 ? write(STDERR_FILENO, data, size) : -1;
        if (n <= 0)
            return; /* there is nowhere left to complain */
        data += n;
        size -= (size_t)n;
    }
}

static unsigned terminal_column(const struct events *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct output *o = e->reporters[i].output;
        if (o && o->tty && o->fd == STDOUT_FILENO)
            return o->column % o->width;
    }
    return 0;
}

static void erase_line(struct events *e)
{
    if (!e->shown.size)
        return;
    char back[48];
    int n = snprintf(back, sizeof back, "\r\033[K");
    if (e->shown_under)
        n += snprintf(back + n, sizeof back - (size_t)n, "\033[A\033[%uC", e->shown_under);
    write_stderr(back, (size_t)n);
    buffer_clear(&e->shown);
    e->redraw = true;
}

static void draw_line(struct events *e)
{
    if (!e->redraw || !e->line.size)
        return;
    e->redraw = false;
    e->shown_under = terminal_column(e);
    if (e->shown_under)
        buffer_add_string(&e->shown, "\n");
    buffer_add(&e->shown, e->line.data, e->line.size);
    write_stderr(e->shown.data, e->shown.size);
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
    if (!redact(e->redactor, text, length, &line))
        buffer_add(&line, text, length);
    for (size_t i = 0; i < line.size; i++)
        if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f)
            line.data[i] = line.data[i] == '\n' || line.data[i] == '\t' ? ' ' : '?';
    buffer_add_string(&line, "\n");
    erase_line(e);
    if (terminal_column(e))
        write_stderr("\n", 1);
    write_stderr(line.data, line.size);
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
        erase_line(e);
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

/* -- Building the tables ------------------------------------------------------- */

static void push_text(struct events *e, const char *text)
{
    size_t size = strlen(text);
    buffer_clear(&e->scratch);
    if (redact(e->redactor, text, size, &e->scratch))
        lua_pushlstring(e->L, e->scratch.data, e->scratch.size);
    else
        lua_pushlstring(e->L, text, size);
}

static void set_text(struct events *e, const char *key, const char *text)
{
    if (!text)
        return;
    push_text(e, text);
    lua_setfield(e->L, -2, key);
}

static void set_integer(struct events *e, const char *key, size_t value)
{
    lua_pushinteger(e->L, (lua_Integer)value);
    lua_setfield(e->L, -2, key);
}

static void set_bool(struct events *e, const char *key, bool value)
{
    lua_pushboolean(e->L, value);
    lua_setfield(e->L, -2, key);
}

static void set_duration(struct events *e, const char *key, uint64_t ns)
{
    lua_pushnumber(e->L, (double)ns / 1e9);
    lua_setfield(e->L, -2, key);
}

/* A double holds microseconds since 1970, not nanoseconds. */
static void set_epoch(struct events *e, const char *key, uint64_t ns)
{
    uint64_t us = ns / 1000;
    lua_pushnumber(e->L, (double)us / 1e6);
    lua_setfield(e->L, -2, key);
}

static void set_tags(struct events *e, const struct result *r)
{
    if (!r->tag_count)
        return;
    lua_createtable(e->L, (int)r->tag_count, 0);
    for (size_t i = 0; i < r->tag_count; i++) {
        push_text(e, r->tags[i]);
        lua_rawseti(e->L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(e->L, -2, "tags");
}

/* Adds what the worker said to the check on top of the stack. */
static void add_details(struct events *e, const struct result *r)
{
    lua_State *L = e->L;
    if (!r->details_size)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->shape);
    lua_pushvalue(L, -2);
    if (!unpack_value(L, r->details, r->details_size, e->redactor)) {
        lua_newtable(L);
        lua_pushliteral(L, "the worker's account of this check could not be read");
        lua_setfield(L, -2, "context");
    }
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        struct fault why;
        (void)fault_set(&why, FAULT_INTERNAL, "%s", luaL_tolstring(L, -1, NULL));
        note_problem(e, &why);
        lua_pop(L, 2);
    }
}

static void push_check(struct events *e, const struct result *r)
{
    lua_createtable(e->L, 0, 16);
    set_text(e, "id", r->id ? r->id : "?");
    set_text(e, "test", r->test ? r->test : r->id ? r->id : "?");
    set_text(e, "file", r->file);
    if (r->line > 0)
        set_integer(e, "line", (size_t)r->line);
    set_text(e, "kind", r->kind);
    lua_pushstring(e->L, status_name(r->status));
    lua_setfield(e->L, -2, "status");
    set_epoch(e, "started", r->started_ns);
    set_duration(e, "duration", r->duration_ns);
    set_integer(e, "attempts", r->attempts);
    set_tags(e, r);
    set_text(e, "description", r->description);
    set_text(e, "owner", r->owner);
    set_text(e, "runbook", r->runbook);
    set_text(e, "severity", r->severity);
    set_text(e, "context", r->context);
    add_details(e, r);
}

/* -- The events ---------------------------------------------------------------- */

void events_run_started(struct events *e, const struct run_start *start)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    lua_newtable(e->L);
    set_epoch(e, "started", start->started_ns);
    set_text(e, "host", host);
    set_text(e, "version", HOSPITAL_VERSION);
    set_integer(e, "files", start->files);
    set_integer(e, "workers", start->workers);
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
    set_text(e, "of", of);
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
    set_integer(e, "done", progress->done);
    set_integer(e, "total", progress->total);
    set_integer(e, "red", progress->red);
    set_integer(e, "running", progress->running);
    if (progress->longest_id) {
        lua_newtable(e->L);
        set_text(e, "id", progress->longest_id);
        set_duration(e, "seconds", progress->longest_ns);
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
            erase_line(e);
        flush_one(e, &e->reporters[i]);
    }
    if (e->redraw) {
        erase_line(e);
        draw_line(e);
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
    set_integer(e, "total", e->summary.total);
    for (int i = 0; i < STATUS_COUNT; i++)
        set_integer(e, status_name((enum status)i), e->summary.of[i]);
    lua_setfield(e->L, -2, "summary");
}

static void set_notes(struct events *e, const struct run_end *end)
{
    lua_Integer n = 0;
    lua_newtable(e->L);
    for (size_t i = 0; i < end->note_count; i++) {
        push_text(e, end->notes[i]);
        lua_rawseti(e->L, -2, ++n);
    }
    for (size_t at = 0; at < e->problems.size; at += strlen(e->problems.data + at) + 1) {
        push_text(e, e->problems.data + at);
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
    set_text(e, "status", green ? "pass" : "fail");
    set_summary(e);
    set_epoch(e, "started", end->started_ns);
    set_duration(e, "duration", end->duration_ns);
    set_integer(e, "exit_code", (size_t)end->exit_code);
    set_bool(e, "interrupted", end->interrupted);
    set_integer(e, "not_run", end->not_run);
    lua_newtable(e->L);
    set_integer(e, "slow", end->left_out_slow);
    set_integer(e, "other", end->left_out);
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
    erase_line(e);
    buffer_clear(&e->line);
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
    buffer_clear(&e->line);
    buffer_add(&e->line, text, size);
    e->redraw = true;
    lua_settop(L, 1);
    return 1;
}

static int l_search_embedded(lua_State *L)
{
    const struct embedded_module *m = embedded_find(luaL_checkstring(L, 1));
    if (!m) {
        lua_pushfstring(L, "no embedded module '%s'", lua_tostring(L, 1));
        return 1;
    }
    if (luaL_loadbufferx(L, m->chunk, m->size, m->name, "b") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, m->name);
    return 2;
}

static int l_prepare(lua_State *L)
{
    luaL_openlibs(L);
    lua_gc(L, LUA_GCINC, 400, 0,
           0); /* a document of 100,000 checks is not to be walked too often */
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "insert");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_remove(L, -2);
    lua_pushinteger(L, 2);
    lua_pushcfunction(L, l_search_embedded);
    lua_call(L, 3, 0);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "hospital.reportkit.shape");
    lua_call(L, 1, 1);
    return 1;
}

static lua_State *new_state(void)
{
    lua_State *L = luaL_newstate();
    if (!L)
        memory_die(0);
    return L;
}

static bool is_format(const char *module)
{
    return strncmp(module, FORMAT_PREFIX, strlen(FORMAT_PREFIX)) == 0;
}

/* Runs the chunk on top; leaves the reporter's constructor and its summary.  [-1, +2, -] or
 * [-1, +1, -] with the message. */
static bool run_chunk(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    return lua_pcall(L, 1, 2, 0) == LUA_OK;
}

static bool load_format(lua_State *L, const char *format, struct fault *why)
{
    size_t size = strlen(format);
    int status;
    if (strchr(format, '/') || (size > 4 && strcmp(format + size - 4, ".lua") == 0)) {
        status = luaL_loadfilex(L, format, "t");
    } else {
        struct buffer name = {0};
        buffer_addf(&name, FORMAT_PREFIX "%s%c", format, 0);
        const struct embedded_module *m = embedded_find(name.data);
        buffer_fini(&name);
        if (!m) {
            struct buffer known = {0};
            for (m = embedded_modules; m->name; m++)
                if (is_format(m->name))
                    buffer_addf(&known, "%s%s", known.size ? ", " : "",
                                m->name + strlen(FORMAT_PREFIX));
            (void)fault_set(why, FAULT_INTERNAL,
                            "no such format: %s (there are %.*s, or a path to a .lua file)", format,
                            (int)known.size, known.data ? known.data : "");
            buffer_fini(&known);
            return false;
        }
        status = luaL_loadbufferx(L, m->chunk, m->size, m->name, "b");
    }
    if (status == LUA_OK && run_chunk(L, format) && lua_isfunction(L, -2)) {
        lua_pop(L, 1);
        return true;
    }
    if (lua_type(L, -1) == LUA_TSTRING && status != LUA_OK)
        return fault_set(why, FAULT_INTERNAL, "cannot load the reporter %s", lua_tostring(L, -1));
    return fault_set(why, FAULT_INTERNAL, "the reporter %s failed to load: %s", format,
                     lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                    : "it must return function(out, options)");
}

static void push_out(struct events *e, struct output *o)
{
    lua_State *L = e->L;
    lua_newtable(L);
    lua_pushlightuserdata(L, o ? (void *)o : (void *)e);
    lua_pushcclosure(L, o ? l_out_write : l_line_write, 1);
    lua_setfield(L, -2, "write");
    set_bool(e, "tty", o ? o->tty : true);
    set_bool(e, "color", o && o->color);
    set_integer(e, "width", o ? o->width : output_terminal_width(STDERR_FILENO));
}

static void push_options(struct events *e, const struct events_options *options)
{
    lua_newtable(e->L);
    set_bool(e, "verbose", options->verbose);
    set_bool(e, "quiet", options->quiet);
    set_bool(e, "strict", options->strict);
    set_integer(e, "durations", options->durations);
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
    if (!load_format(e->L, target->format, why))
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
    e->redactor = options->redactor;
    e->strict = options->strict;
    e->reporters = memory_new((options->target_count + 1) * sizeof *e->reporters);
    e->L = new_state();
    lua_pushcfunction(e->L, l_prepare);
    bool ok = lua_pcall(e->L, 0, 1, 0) == LUA_OK;
    if (ok)
        e->shape = luaL_ref(e->L, LUA_REGISTRYINDEX);
    else
        (void)fault_set(why, FAULT_INTERNAL, "%s", lua_tostring(e->L, -1));
    for (size_t i = 0; ok && i < options->target_count; i++)
        ok = add_reporter(e, &options->targets[i], options, why);
    if (ok && options->status_line && output_is_terminal(STDERR_FILENO))
        ok = add_status_line(e, options, why);
    lua_settop(e->L, 0);
    if (ok)
        return e;
    events_close(e);
    return NULL;
}

void events_close(struct events *e)
{
    if (!e)
        return;
    erase_line(e);
    lua_close(e->L);
    for (size_t i = 0; i < e->count; i++) {
        output_close(e->reporters[i].output);
        free(e->reporters[i].name);
    }
    free(e->reporters);
    buffer_fini(&e->scratch);
    buffer_fini(&e->problems);
    buffer_fini(&e->line);
    buffer_fini(&e->shown);
    free(e);
}

void events_list_formats(struct buffer *out)
{
    lua_State *L = new_state();
    lua_pushcfunction(L, l_prepare);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) {
        for (const struct embedded_module *m = embedded_modules; m->name; m++) {
            if (!is_format(m->name))
                continue;
            const char *summary = "";
            if (luaL_loadbufferx(L, m->chunk, m->size, m->name, "b") == LUA_OK &&
                run_chunk(L, m->name) && lua_isstring(L, -1))
                summary = lua_tostring(L, -1);
            buffer_addf(out, "%-12s%s\n", m->name + strlen(FORMAT_PREFIX), summary);
            lua_settop(L, 0);
        }
    }
    lua_close(L);
}
