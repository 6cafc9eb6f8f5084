/* mysql.c - sessions with MySQL and MariaDB, for our own Lua: the driver's face that
 * src/README.md describes.
 *
 * Rows become Lua's values as they come, only while a script waits for them: a server that never
 * stops fills no memory.  A message that is longer than what a result may hold ends the
 * connection before it has arrived.
 *
 * What the server still does when a connection is given up would go on: it is told to end it
 * over another one (KILL). */
#include <ctype.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/bind.h"
#include "bind/fields.h"
#include "bind/mysql_killer.h"
#include "bind/mysql_login.h"
#include "bind/mysql_statement.h"
#include "loop/op.h"
#include "loop/reactor.h"
#include "vm/charge.h"

enum {
    SESSION_COST = 96 * 1024,    /* what libmariadb holds for one: counted against the sandbox */
    MESSAGE_SLACK = 1024 * 1024, /* above what a result may hold: a message on its way */
    LEFT_MAX = 64 * 1024 * 1024, /* read and dropped of what a script left, for its transaction */
};
static const uint64_t grace_ns = 1 * NS_PER_S; /* for the server to keep its own time limit */

enum stage {
    STAGE_IDLE,
    STAGE_RUNNING,   /* a statement is under way */
    STAGE_STREAMING, /* likewise; rows are asked for one by one */
    STAGE_LEFT,      /* nobody wants the rest of it */
};

struct session {
    struct op op;
    struct vm *vm;           /* charged; NULL in stock Lua */
    struct mysql_link *link; /* owned; NULL: closed */
    struct mysql_statement st;
    struct watch *watch;
    struct pg_turn turn;         /* with its server */
    struct mysql_killer *killer; /* NULL unless one is under way */
    struct db_login_result login;
    uint64_t statement_timeout_ns;
    struct timer breath;

    enum stage stage;
    uint64_t began_ns;
    bool named, in_transaction; /* when it began */
    bool held;                  /* the row at hand is the next that a stream gives */
    bool learned;               /* columns were looked at */
    bool rolled_back;           /* by the server, which says so in no other way */
    lua_Integer rows, most, max_rows;
    size_t bytes, max_bytes, dropped;
    char command[32];
    const char *rest; /* of several statements: those still to come, in Lua's string */
};

/* --- what is given back ---------------------------------------------------------- */

/* The connection is of no more use. */
static void disconnect(struct session *s)
{
    if (!s->link)
        return;
    if (!s->st.over)
        mysql_killer_start(s->op.reactor, s->link, true, NULL, NULL);
    mysql_killer_forget(s->killer);
    s->killer = NULL;
    loop_timer_disarm(&s->op.reactor->loop, &s->breath);
    loop_unwatch(s->watch);
    s->watch = NULL;
    mysql_statement_fini(&s->st);
    mysql_link_free(s->link);
    s->link = NULL;
    pg_turn_leave(&s->turn);
    s->stage = STAGE_IDLE;
    vm_uncharge(s->vm, SESSION_COST);
}

static void session_release(struct op *op)
{
    disconnect((struct session *)op);
}

static const struct op_class session_class = {"db connection", session_release};

/* --- the loop's side ------------------------------------------------------------- */

static void on_silence(struct timer *timer)
{
    char message[120];
    struct session *s = list_entry(timer, struct session, op.timeout);
    snprintf(message, sizeof message,
             "no answer within %.4g s, nor did the server end it by itself",
             (double)s->statement_timeout_ns / (double)NS_PER_S);
    mysql_statement_fail(&s->st, FAULT_TIMEOUT, message);
    s->st.fault.closed = true;
    op_complete(&s->op, NULL);
}

static void on_breath(struct timer *timer)
{
    struct session *s = list_entry(timer, struct session, breath);
    op_complete(&s->op, NULL);
}

static void on_killed(void *owner)
{
    struct session *s = owner;
    s->killer = NULL;
    if (s->st.over)
        op_complete(&s->op, NULL);
}

static void ask_to_kill(struct session *s)
{
    if (!s->killer && !s->st.over)
        s->killer = mysql_killer_start(s->op.reactor, s->link, false, on_killed, s);
}

static void on_ready(void *owner, int status, int events)
{
    struct session *s = owner;
    bool ended = mysql_statement_resume(&s->st, status < 0 ? LOOP_READ : events);
    loop_watch_change(s->watch, ended ? 0 : mysql_statement_wants(&s->st));
    if (ended)
        op_complete(&s->op, NULL);
}

/* --- a statement, row by row ----------------------------------------------------- */

/* What nobody wants.  A transaction would not survive a kill: so it is read, as long as it is not
 * much; nor does every server obey. */
static void drop_row(struct session *s)
{
    for (unsigned i = 0; i < s->st.count; i++)
        s->dropped += s->st.cells[i].size;
    if (s->dropped > LEFT_MAX)
        ask_to_kill(s);
    if (s->dropped > 2 * LEFT_MAX) {
        mysql_statement_fail(&s->st, FAULT_LIMIT, "the server does not stop sending rows");
        s->st.fault.closed = true;
    }
}

/* The next row that somebody wants. */
static enum mysql_taken take(struct session *s)
{
    enum mysql_taken taken;
    while ((taken = s->st.failed && s->st.fault.closed
                        ? MYSQL_TAKEN_END
                        : mysql_statement_take(&s->st)) == MYSQL_TAKEN_ROW) {
        if (s->stage != STAGE_LEFT && !s->st.failed)
            return MYSQL_TAKEN_ROW;
        drop_row(s);
    }
    if (s->st.over)
        s->rolled_back = s->st.failed && s->st.rolled_back;
    /* who asked for a kill must know that it does not hit the next statement */
    bool closed = s->st.failed && s->st.fault.closed;
    return taken == MYSQL_TAKEN_END && s->killer && !closed ? MYSQL_TAKEN_WAIT : taken;
}

static void end_statement(struct session *s)
{
    s->stage = STAGE_IDLE;
    if (s->st.failed && s->st.fault.closed)
        disconnect(s);
}

static int wait(lua_State *L, struct session *s, lua_KFunction k)
{
    struct loop *loop = &s->op.reactor->loop;
    op_begin(&s->op);
    if (s->st.resting) {
        s->breath.on_due = on_breath;
        loop_timer_arm(loop, &s->breath, clock_now_ns());
    } else if (s->st.calling) {
        loop_watch_change(s->watch, mysql_statement_wants(&s->st));
    }
    s->op.timeout.on_due = on_silence;
    loop_timer_arm(loop, &s->op.timeout, s->began_ns + s->statement_timeout_ns + grace_ns);
    return op_await(L, &s->op, 0, k);
}

/* --- columns and rows ------------------------------------------------------------ */

static bool has_name_twice(lua_State *L, const struct session *s)
{
    bool twice = false;
    lua_createtable(L, 0, (int)s->st.count);
    for (unsigned i = 0; i < s->st.count && !twice; i++) {
        lua_pushstring(L, s->st.columns[i].name);
        lua_pushvalue(L, -1);
        twice = lua_rawget(L, -3) != LUA_TNIL;
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
    return twice;
}

/* True the first time that the columns of the statement's result are known.  [-0, +0, m] */
static bool learn_columns(lua_State *L, struct session *s)
{
    if (s->learned || s->st.count == 0)
        return false;
    s->learned = true;
    if (s->named && has_name_twice(L, s)) {
        mysql_statement_fail(&s->st, FAULT_SYNTAX,
                             "two columns of the result have one name, so one would be lost: give "
                             "each a name of its own (select a.id as a_id, …)");
        ask_to_kill(s);
    }
    return true;
}

static void push_columns(lua_State *L, const struct session *s)
{
    lua_createtable(L, (int)s->st.count, 0);
    for (unsigned i = 0; i < s->st.count; i++) {
        lua_pushstring(L, s->st.columns[i].name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_row(lua_State *L, const struct session *s)
{
    int count = (int)s->st.count;
    luaL_checkstack(L, 12, "a row");
    lua_createtable(L, s->named ? 0 : count, s->named ? count : 0);
    for (int i = 0; i < count; i++) {
        if (s->named)
            lua_pushstring(L, s->st.columns[i].name);
        mysql_cell_push(L, &s->st.columns[i], &s->st.cells[i], s->st.binary);
        if (s->named)
            lua_rawset(L, -3);
        else
            lua_rawseti(L, -2, i + 1);
    }
}

/* Counts the row; false when it is one too many, or too large. */
static bool count_row(struct session *s)
{
    char message[160];
    s->rows++;
    for (unsigned i = 0; i < s->st.count; i++)
        s->bytes += s->st.cells[i].size;
    if (s->rows <= s->max_rows && s->bytes <= s->max_bytes)
        return true;
    if (s->rows > s->max_rows)
        snprintf(message, sizeof message,
                 "the result has more than %lld rows: ask for fewer (limit), or set max_rows",
                 (long long)s->max_rows);
    else
        snprintf(message, sizeof message,
                 "the result has more than %zu bytes: ask for less, or set max_bytes",
                 s->max_bytes);
    mysql_statement_fail(&s->st, FAULT_LIMIT, message);
    ask_to_kill(s);
    return false;
}

/* --- beginning ------------------------------------------------------------------- */

static struct session *check_session(lua_State *L)
{
    struct session *s = op_check(L, 1, &session_class);
    if (!s->link)
        luaL_error(L, "the connection is closed");
    return s;
}

/* The same, for a statement: nobody else may be at it. */
static struct session *check_idle(lua_State *L)
{
    struct session *s = check_session(L);
    op_check_may_wait(L, &s->op);
    if (!s->op.done || s->stage == STAGE_RUNNING || s->stage == STAGE_STREAMING)
        luaL_error(L, "the connection is busy with another statement");
    return s;
}

static void read_how(lua_State *L, int index, struct session *s)
{
    struct db_how how;
    db_read_how(L, index, &how);
    s->named = how.named;
    s->most = how.most;
    s->max_rows = how.max_rows;
    s->max_bytes = how.max_bytes;
}

/* The first word of a statement, behind blanks, comments and brackets. */
static const char *first_word(const char *sql)
{
    for (;;) {
        sql += strspn(sql, " \t\r\n\f\v(");
        if (strncmp(sql, "/*", 2) == 0 && sql[2] != '!' && strstr(sql + 2, "*/"))
            sql = strstr(sql + 2, "*/") + 2;
        else if (*sql == '#' || strncmp(sql, "-- ", 3) == 0)
            sql += strcspn(sql, "\n");
        else
            return sql;
    }
}

static void note_command(struct session *s, const char *sql)
{
    size_t n = 0;
    for (sql = first_word(sql); n < sizeof s->command - 1 && isalpha((unsigned char)sql[n]); n++)
        s->command[n] = (char)toupper((unsigned char)sql[n]);
    s->command[n] = '\0';
}

static bool is_in_transaction(const struct session *s)
{
    return s->link->my.server_status & SERVER_STATUS_IN_TRANS && !s->rolled_back;
}

static void begin_statement(struct session *s, enum stage stage, const char *sql,
                            const struct mysql_parameters *parameters)
{
    s->in_transaction = is_in_transaction(s);
    s->stage = stage;
    s->held = s->learned = false;
    s->rows = 0;
    s->bytes = s->dropped = 0;
    s->began_ns = clock_now_ns();
    s->st.rolled_back = false;
    note_command(s, sql);
    mysql_statement_begin(&s->st, sql, parameters, s->max_bytes + MESSAGE_SLACK);
}

static void send_statement(lua_State *L, struct session *s, enum stage stage)
{
    struct mysql_parameters p;
    lua_getfield(L, 3, "n");
    int count = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    mysql_parameters_read(L, 3, count, &p);
    begin_statement(s, stage, lua_tostring(L, 2), &p);
}

/* What a script left is read and dropped first: then the statement may be sent.  END: it may
 * now. */
static enum mysql_taken drop_left(struct session *s)
{
    return s->stage == STAGE_LEFT ? take(s) : MYSQL_TAKEN_END;
}

/* --- run ------------------------------------------------------------------------- */

/* Stack: the connection, the statement, its parameters, how, the rows, the columns. */

static int push_fault(lua_State *L, struct session *s)
{
    db_push_statement_fault(L, &s->st.fault, s->login.label, s->began_ns);
    end_statement(s);
    return 2;
}

static int push_result(lua_State *L, struct session *s)
{
    db_push_result(L, 5, 6, s->rows, s->command);
    if (!s->learned) {
        lua_pushinteger(L, (lua_Integer)s->st.affected);
        lua_setfield(L, -2, "affected");
    }
    end_statement(s);
    return 1;
}

static void look_at_columns(lua_State *L, struct session *s)
{
    if (!learn_columns(L, s))
        return;
    push_columns(L, s);
    lua_replace(L, 6);
}

static void keep_row(lua_State *L, struct session *s)
{
    look_at_columns(L, s);
    if (s->st.failed || !count_row(s) || s->rows > s->most)
        return;
    push_row(L, s);
    lua_rawseti(L, 5, s->rows);
}

static int k_run(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    enum mysql_taken taken;
    while ((taken = take(s)) == MYSQL_TAKEN_ROW)
        keep_row(L, s);
    if (!s->st.failed)
        look_at_columns(L, s); /* of a result without rows */
    if (taken == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_run);
    return s->st.failed ? push_fault(L, s) : push_result(L, s);
}

static int k_before_run(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (drop_left(s) == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_before_run);
    if (s->st.failed && s->st.fault.closed)
        return push_fault(L, s);
    send_statement(L, s, STAGE_RUNNING);
    return k_run(L, LUA_OK, 0);
}

/* Reads the arguments of run and start: (conn, statement, parameters, how). */
static struct session *check_statement(lua_State *L)
{
    size_t size;
    struct session *s = check_idle(L);
    const char *text = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, strlen(text) == size, 2, "a statement holds no zero byte");
    mysql_parameters_check(L, 3);
    read_how(L, 4, s);
    lua_settop(L, 4);
    s->began_ns = clock_now_ns();
    return s;
}

static int l_run(lua_State *L)
{
    check_statement(L);
    lua_newtable(L);
    lua_newtable(L);
    return k_before_run(L, LUA_OK, 0);
}

/* --- control --------------------------------------------------------------------- */

/* Where the statement ends: at a ; that stands in no quotes. */
static size_t statement_size(const char *sql)
{
    char quote = '\0';
    size_t i = 0;
    for (; sql[i] && (quote || sql[i] != ';'); i++) {
        if (quote)
            quote = sql[i] == quote ? '\0' : quote;
        else if (strchr("'\"`", sql[i]))
            quote = sql[i];
    }
    return i;
}

/* The first of what is left; false: nothing is. */
static bool send_next(struct session *s)
{
    s->rest += strspn(s->rest, "; \t\r\n");
    if (*s->rest == '\0')
        return false;
    size_t size = statement_size(s->rest);
    char *sql = memory_copy(s->rest, size);
    s->rest += size;
    begin_statement(s, STAGE_RUNNING, sql, NULL);
    free(sql);
    return true;
}

static int k_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    enum mysql_taken taken;
    do
        while ((taken = take(s)) == MYSQL_TAKEN_ROW) {
        }
    while (taken == MYSQL_TAKEN_END && !s->st.failed && send_next(s));
    if (taken == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_control);
    if (s->st.failed)
        return push_fault(L, s);
    end_statement(s);
    lua_pushboolean(L, 1);
    return 1;
}

static int k_before_control(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (drop_left(s) == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_before_control);
    if (s->st.failed && s->st.fault.closed)
        return push_fault(L, s);
    s->st.failed = false;
    s->rest = lua_tostring(L, 2);
    if (!send_next(s)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    return k_control(L, LUA_OK, 0);
}

static int l_control(lua_State *L)
{
    struct session *s = check_idle(L);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    s->began_ns = clock_now_ns();
    return k_before_control(L, LUA_OK, 0);
}

/* --- row by row ------------------------------------------------------------------ */

/* Holds the next row, if there is one. */
static enum mysql_taken take_held(lua_State *L, struct session *s)
{
    enum mysql_taken taken = MYSQL_TAKEN_ROW;
    while (!s->held && (taken = take(s)) == MYSQL_TAKEN_ROW) {
        learn_columns(L, s);
        s->held = !s->st.failed && count_row(s);
    }
    if (!s->st.failed)
        learn_columns(L, s);
    return taken;
}

static int k_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (take_held(L, s) == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_start);
    if (s->st.failed)
        return push_fault(L, s);
    lua_pushboolean(L, 1);
    return 1;
}

static int k_before_start(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (drop_left(s) == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_before_start);
    if (s->st.failed && s->st.fault.closed)
        return push_fault(L, s);
    send_statement(L, s, STAGE_STREAMING);
    return k_start(L, LUA_OK, 0);
}

static int l_start(lua_State *L)
{
    check_statement(L);
    return k_before_start(L, LUA_OK, 0);
}

static int k_next(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct session *s = lua_touserdata(L, 1);
    if (take_held(L, s) == MYSQL_TAKEN_WAIT)
        return wait(L, s, k_next);
    if (s->held) {
        s->held = false;
        push_row(L, s);
        return 1;
    }
    if (s->st.failed)
        return push_fault(L, s);
    end_statement(s);
    return 0;
}

static int l_next(lua_State *L)
{
    struct session *s = check_session(L);
    op_check_may_wait(L, &s->op);
    if (s->stage != STAGE_STREAMING || !s->op.done)
        luaL_error(L, "no rows are being read");
    lua_settop(L, 1);
    s->began_ns = clock_now_ns();
    return k_next(L, LUA_OK, 0);
}

static int l_stop(lua_State *L)
{
    struct session *s = op_check(L, 1, &session_class);
    if (!s->link || s->stage != STAGE_STREAMING)
        return 0;
    s->held = false;
    if (s->st.over) {
        end_statement(s);
        return 0;
    }
    s->stage = STAGE_LEFT;
    if (!s->in_transaction)
        ask_to_kill(s);
    return 0;
}

/* --- what is known, closing ------------------------------------------------------ */

static int l_state(lua_State *L)
{
    const struct session *s = op_check(L, 1, &session_class);
    lua_pushstring(L, !s->link                 ? "closed"
                      : s->stage != STAGE_IDLE ? "busy"
                      : is_in_transaction(s)   ? "transaction"
                                               : "idle");
    return 1;
}

/* [-0, +1, m] */
static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* "10.11.19" of "10.11.19-MariaDB-0+deb12u1". */
static void set_version(lua_State *L, const struct session *s)
{
    const struct mysql_api *api = s->link->api;
    const char *version = api->mysql_get_server_info(&s->link->my);
    version = version ? version : "";
    lua_pushlstring(L, version, strspn(version, "0123456789."));
    lua_setfield(L, -2, "version");
    lua_pushinteger(L, (lua_Integer)api->mysql_get_server_version(&s->link->my));
    lua_setfield(L, -2, "version_number");
}

static int l_info(lua_State *L)
{
    const struct session *s = check_session(L);
    const struct mysql_target *target = s->link->target;
    bool is_mariadb = s->link->api->mariadb_connection(&s->link->my);
    lua_createtable(L, 0, 10);
    set_text(L, "label", s->login.label);
    set_text(L, "server", is_mariadb ? "MariaDB" : "MySQL");
    set_version(L, s);
    set_text(L, "user", target->user);
    set_text(L, "database", s->link->my.db ? s->link->my.db : "");
    set_text(L, "remote_ip", s->login.remote);
    lua_pushboolean(L, mysql_link_is_encrypted(s->link));
    lua_setfield(L, -2, "tls");
    db_push_timings(L, &s->login);
    lua_setfield(L, -2, "timings");
    return 1;
}

static int l_close(lua_State *L)
{
    struct session *s = op_check(L, 1, &session_class);
    op_close(&s->op);
    return 0;
}

/* --- connecting ------------------------------------------------------------------ */

struct connect {
    struct op op;
    struct mysql_login *login;
    struct mysql_login_options options;
    bool numbers;
    struct db_fault fault;
};

static void connect_release(struct op *op)
{
    mysql_login_free(((struct connect *)op)->login);
}

static const struct op_class connect_class = {"db.connect", connect_release};

static void on_logged_in(void *owner, const struct db_fault *why)
{
    struct connect *c = owner;
    if (why)
        c->fault = *why;
    op_complete(&c->op, why ? &why->why : NULL);
}

/* The session, made of what the login brought.  [-0, +1, v] */
static void push_session(lua_State *L, const struct connect *c)
{
    static const luaL_Reg methods[] = {
        {"run", l_run},   {"control", l_control}, {"start", l_start},
        {"next", l_next}, {"stop", l_stop},       {"state", l_state},
        {"info", l_info}, {"close", l_close},     {NULL, NULL},
    };
    struct session *s = op_new_object(L, sizeof *s, &session_class, methods);
    op_complete(&s->op, NULL); /* idle */
    struct vm *vm = vm_of(L);
    if (!vm_charge_live(L, vm, SESSION_COST))
        luaL_error(L, "not enough memory for another connection (--memory-limit)");
    s->vm = vm;
    s->login = *mysql_login_result(c->login);
    s->statement_timeout_ns = c->options.statement_timeout_ns;
    s->max_bytes = 8 << 20;
    s->link = mysql_login_take(c->login, &s->turn);
    s->st = (struct mysql_statement){
        .link = s->link, .read_only = !c->options.write, .numbers = c->numbers, .over = true};
    s->watch = loop_watch(&s->op.reactor->loop, s->link->api->mysql_get_socket(&s->link->my), 0,
                          on_ready, s);
    if (!s->watch)
        luaL_error(L, "the connection cannot be watched");
}

static int k_connect(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    const struct connect *c = lua_touserdata(L, 3);
    if (c->op.fault.kind != FAULT_NONE)
        return db_push_login_fault(L, &c->fault, mysql_login_result(c->login));
    push_session(L, c);
    return 1;
}

static void read_options(lua_State *L, struct mysql_login_options *options, bool *numbers)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    options->timeout_ns = field_check_seconds(L, 2, "timeout");
    options->statement_timeout_ns = field_check_seconds(L, 2, "statement_timeout");
    options->lock_timeout_ns = field_check_seconds(L, 2, "lock_timeout");
    options->idle_timeout_ns = field_check_seconds(L, 2, "idle_timeout");
    lua_getfield(L, 2, "write");
    options->write = lua_toboolean(L, -1);
    lua_getfield(L, 2, "numeric");
    *numbers = strcmp(luaL_optstring(L, -1, "string"), "number") == 0;
    lua_getfield(L, 2, "application_name");
    options->application_name = luaL_optstring(L, -1, "hospital");
    lua_pop(L, 3); /* the table holds the text */
}

static int l_connect(lua_State *L)
{
    struct mysql_login_options options = {.target = luaL_checkstring(L, 1)};
    struct db_fault fault = {.phase = "connect", .closed = true};
    bool numbers;
    read_options(L, &options, &numbers);
    lua_settop(L, 2);
    struct mysql_api *api = mysql_load(reactor_of(L), &fault.why);
    if (!api) { /* a fault like any other */
        lua_pushnil(L);
        db_fault_push(L, &fault);
        return 2;
    }
    struct connect *c = op_new(L, sizeof *c, &connect_class);
    lua_toclose(L, 3);
    op_check_may_wait(L, &c->op);
    c->options = options;
    c->numbers = numbers;
    c->login = mysql_login_new(c->op.reactor, api, &options, on_logged_in, c);
    mysql_login_start(c->login);
    return op_await(L, &c->op, 0, k_connect);
}

static int l_label(lua_State *L)
{
    struct db_fault fault = {.phase = "target", .closed = true};
    char label[200];
    struct mysql_target *target = mysql_target_read(luaL_checkstring(L, 1), &fault.why);
    if (!target) {
        lua_pushnil(L);
        db_fault_push(L, &fault);
        return 2;
    }
    mysql_target_label(target, label, sizeof label);
    mysql_target_drop(target);
    lua_pushstring(L, label);
    return 1;
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
