/* sqlite_test.c - the SQLite driver on real files: what it says when they are no databases, that a
 * reader writes nothing, that what is to be rolled back never reaches the file, that nothing waits
 * for ever, and that nothing is left. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/policy.h"
#include "bind/sqlite_api.h"
#include "loop/work.h"
#include "script.h"
#include "test.h"

enum { MB = 1024 * 1024, MEMORY = 8 * MB };

static struct reactor reactor;
static struct script_outcome out;
static struct policy writing;
static const struct sqlite_api *api;
static char directory[64];

static const char prelude[] =
    "local db, host = import 'hospital.core.sqlite', import 'hospital.host' "
    "local null = (import 'hospital.json').json.null "
    "local function options(more) local o = { timeout = 5, write = false, statement_timeout = 20, "
    "  lock_timeout = 5, idle_timeout = 5, application_name = 'hospital', numeric = 'string' } "
    "  for k, v in pairs(more or {}) do o[k] = v end return o end "
    "local function how(more) local h = { shape = 'listed', max_rows = 1000000, max_bytes = 1 << "
    "22 } "
    "  for k, v in pairs(more or {}) do h[k] = v end return h end "
    "local function try(name, more) return db.connect(DIR .. name, options(more)) end "
    "local function told(f) return f.kind .. ': ' .. f.message end "
    "local function open(name, more) local c, f = try(name, more) "
    "  if not c then error(told(f), 0) end return c end "
    "local function memory(more) return assert(db.connect(':memory:', options(more))) end "
    "local function run(c, sql, ...) return c:run(sql, table.pack(...), how()) end "
    "local function value(c, sql, ...) local r, f = c:run(sql, table.pack(...), how()) "
    "  if not r then return told(f) end return r.rows[1] and r.rows[1][1] end "
    "local function why(c, sql, ...) local r, f = c:run(sql, table.pack(...), how()) "
    "  return r and 'done' or told(f) end "
    "local function no(name, more) local c, f = try(name, more) return c and 'open' or told(f) end "
    "local function control(c, sql) local ok, f = c:control(sql) return ok or told(f) end "
    "local LONG = 'with recursive c(x) as (select 1 union all select x + 1 from c) "
    "select count(*) from c' ";

/* --- what tests use ---------------------------------------------------------------- */

static void settle(void)
{
    work_finish_all(&reactor.loop);
}

static const char *run_in(const char *text, unsigned deadline_ms, size_t memory)
{
    char *whole = NULL;
    if (asprintf(&whole, "local DIR = '%s/' %s %s", directory, prelude, text) < 0)
        return "no memory";
    script_run_private(&reactor, whole, deadline_ms, memory, &out);
    free(whole);
    CHECK(reactor.ops == 0);
    settle();
    return out.text;
}

static const char *run(const char *text)
{
    return run_in(text, 20000, MEMORY);
}

static const char *path_of(const char *name)
{
    static char path[4][128];
    static unsigned next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", directory, name);
    return path[next];
}

static bool is_there(const char *name)
{
    struct stat status;
    return lstat(path_of(name), &status) == 0;
}

static void write_file(const char *name, const char *data, size_t size)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* The file's bytes as one number; 0 when it is not there. */
static uint64_t print_of(const char *name)
{
    unsigned char block[4096];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    int fd = open(path_of(name), O_RDONLY);
    if (fd < 0)
        return 0;
    for (ssize_t size; (size = read(fd, block, sizeof block)) > 0;)
        for (ssize_t i = 0; i < size; i++)
            hash = (hash ^ block[i]) * UINT64_C(0x100000001b3);
    close(fd);
    return hash;
}

static void execute(sqlite3 *connection, const char *sql)
{
    while (*sql) {
        sqlite3_stmt *statement = NULL;
        int code = api->prepare_v3(connection, sql, -1, 0, &statement, &sql);
        while (code == SQLITE_OK || code == SQLITE_ROW)
            code = statement ? api->step(statement) : SQLITE_DONE;
        if (code != SQLITE_DONE) {
            printf("    %s\n", api->errmsg(connection));
            CHECK(code == SQLITE_DONE);
            sql = "";
        }
        api->finalize(statement);
    }
}

/* A connection that is not the driver's; the file is made when it is not there. */
static sqlite3 *connect_to(const char *name)
{
    sqlite3 *connection = NULL;
    CHECK(api->open_v2(path_of(name), &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                       NULL) == SQLITE_OK);
    return connection;
}

static void make(const char *name, const char *sql)
{
    sqlite3 *connection = connect_to(name);
    execute(connection, sql);
    api->close_v2(connection);
}

static void remove_database(const char *name)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    char path[160];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", path_of(name), suffixes[i]);
        unlink(path);
    }
}

/* Another process that has done something with the file and stays. */
struct neighbour {
    pid_t pid;
    int fd;
};

static void neighbour_start(struct neighbour *n, const char *name, const char *sql)
{
    int up[2], down[2];
    char byte = 0;
    CHECK(pipe(up) == 0 && pipe(down) == 0);
    n->pid = fork();
    if (n->pid == 0) {
        close(down[1]);
        execute(connect_to(name), sql);
        (void)!write(up[1], "x", 1);
        (void)!read(down[0], &byte, 1);
        _exit(0); /* as if killed: closes nothing */
    }
    close(up[1]);
    close(down[0]);
    CHECK(read(up[0], &byte, 1) == 1);
    close(up[0]);
    n->fd = down[1];
}

static void neighbour_kill(struct neighbour *n)
{
    kill(n->pid, SIGKILL);
    waitpid(n->pid, NULL, 0);
    close(n->fd);
}

/* --- values ----------------------------------------------------------------- */

TEST(values_come_as_they_are)
{
    CHECK_STRING(
        run("local c = memory() assert(c:control('create table t (i integer, r real, s text, "
            "b blob, n text, yes boolean, no bool, two boolean)')) "
            "assert(run(c, 'insert into t values ($1, $2, $3, $4, $5, $6, $7, 2)', "
            "  math.mininteger, 0.1, 'a\\0b\\xff', { bytes = '\\0\\1' }, nil, true, false)) "
            "local r = assert(c:run('select * from t', { n = 0 }, how { shape = 'named' })) "
            "local t = r.rows[1] "
            "return tostring(t.i == math.mininteger and math.type(t.i) == 'integer' and t.r == 0.1 "
            "and t.s == 'a\\0b\\xff' and t.b == '\\0\\1' and t.n == null and t.yes == true and "
            "t.no == false and t.two == 2) .. table.concat(r.columns, ',') .. r.count .. "
            "r.command"),
        "returned: truei,r,s,b,n,yes,no,two1SELECT");
    CHECK_STRING(
        run("local c = memory() local r = run(c, 'select 1, null, 1.0, 9223372036854775807, "
            "typeof($1), typeof($2), typeof($3), typeof(?4), typeof(?5)', 1)"
            "return tostring(r)"),
        "returned: nil");
    CHECK_STRING(run("local c = memory() local t = run(c, 'select 1, null, 1.0, "
                     "9223372036854775807, typeof($1), typeof($2), typeof($3), typeof($4)', "
                     "'1', { bytes = '1' }, null, 1.0).rows[1] "
                     "return table.concat({ t[1], tostring(t[2] == null), t[3], t[4], t[5], t[6], "
                     "t[7], t[8] }, ' ')"),
                 "returned: 1 true 1.0 9223372036854775807 text blob null real");
}

TEST(parameters_are_numbered)
{
    CHECK_STRING(
        run("local c = memory() return value(c, 'select $2 || $1 || $2', 'a', 'b') .. "
            "value(c, 'select ? || ?', 'c', 'd') .. value(c, 'select ?2 || ?1', 'e', 'f')"),
        "returned: babcdfe");
    static const struct {
        const char *call, *wanted;
    } cases[] = {
        {"'select $1'", "syntax: the SQL has 1 parameter, and 0 were given"},
        {"'select 1', 1", "syntax: the SQL has 0 parameters, and 1 was given"},
        {"'select $3', 1, 2", "syntax: the SQL has 3 parameters, and 2 were given"},
        {"'select ?5', 1", "syntax: the SQL has 5 parameters, and 1 was given"},
        {"'select :name', 1", "syntax: the parameter :name has a name: write $1"},
        {"'select @name', 1", "syntax: the parameter @name has a name"},
        {"'select $name', 1", "syntax: the parameter $name has a name"},
        {"'select $0', 1", "syntax: the parameter $0 has a name"},
        {"'select $1::int', 1", "syntax: the parameter $1::int: a cast is written cast($1 as"},
        {"'select $1, ?', 1, 2", "syntax: it has parameters of two kinds"},
        {"'select $99999999999999999999', 1", "syntax: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "return why(memory(), %s)", cases[i].call);
        CHECK(has(run(text), cases[i].wanted));
    }
}

TEST(what_cannot_be_sent_is_the_author_s_error)
{
    CHECK(has(run("run(memory(), 'select $1', math.floor)"),
              "parameter 1 cannot be sent (function)"));
    CHECK(has(run("run(memory(), 'select $1, $2', 1, {})"), "parameter 2 cannot be sent (table)"));
    CHECK(has(run("run(memory(), 'select $1', 0/0)"), "parameter 1 cannot be sent (not a number)"));
    CHECK(has(run("memory():run('select 1', { n = 1e6 }, how())"), "0 to 32766 parameters"));
    CHECK(has(run("memory():run('select 1', { n = -1 }, how())"), "0 to 32766 parameters"));
    CHECK(has(run("memory():run('select 1', {}, { shape = 'round' })"),
              "shape must be \"named\" or"));
    CHECK(has(run("memory():run('select 1', {}, { shape = 'named', max_rows = 1 })"),
              "max_bytes must be a count"));
    CHECK(has(run("db.connect('', options())"), "the path of a file, or :memory:"));
    CHECK(has(run("db.connect('a\\0b', options())"), "the path of a file, or :memory:"));
    CHECK(has(run("db.connect('x', {})"), "number"));
    CHECK(has(run("local c = memory() c:close() c:close() run(c, 'select 1')"),
              "was closed by this check"));
    CHECK(has(run("table.sort({ 1, 2 }, function() memory() end)"), "cannot wait here"));
    CHECK(has(run("local c = memory() table.sort({ 1, 2 }, function() run(c, 'select 1') end)"),
              "cannot wait here"));
}

TEST(labels_name_the_file)
{
    CHECK_STRING(run("return db.label('/var/lib/shop.db') .. db.label(':memory:') .. "
                     "tostring(db.label('')) .. #db.label(('x'):rep(300)) .. "
                     "db.label(('y'):rep(300) .. '.db'):sub(-4)"),
                 "returned: /var/lib/shop.db:memory:nil199y.db");
    CHECK_STRING(run("local i = memory():info() return i.label .. i.server .. i.database .. "
                     "tostring(i.version:find('^3%.') and i.version_number > 3000000 and "
                     "i.timings.connect >= 0 and not i.tls)"),
                 "returned: :memory:SQLite:memory:true");
}

/* --- statements ------------------------------------------------------------- */

TEST(one_statement_at_a_time)
{
    static const struct {
        const char *sql, *wanted;
    } cases[] = {
        {"select 1; select 2", "syntax: this is more than one statement"},
        {"select 1;;  -- end\n /* and */ ;", "done"},
        {" ; -- x\n/* y */ select 1 /* open", "done"},
        {"", "syntax: there is no statement in it"},
        {"-- nothing", "syntax: there is no statement in it"},
        {"selec 1", "syntax: near \"selec\": syntax error"},
        {"select 'x", "syntax: unrecognized token"},
        {"select (1", "syntax: incomplete input"},
        {"select * from nowhere", "query: no such table: nowhere"},
        {"select a.b", "query: no such column: a.b"},
        {"select nofunction(1)", "query: no such function: nofunction"},
        {"select 1\\0; select 2", "syntax: the SQL has a NUL byte in it"},
        {"select abs(-9223372036854775807 - 1)", "query: integer overflow"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        if (asprintf(&text, "return why(memory(), [==[%s]==])", cases[i].sql) < 0)
            return;
        if (strstr(cases[i].sql, "\\0")) /* long brackets know no escapes */
            text[strlen(text) - 1] = ' ',
                                strcpy(text, "return why(memory(), 'select 1\\0; select 2')");
        CHECK(has(run(text), cases[i].wanted));
        free(text);
    }
}

TEST(faults_say_where)
{
    CHECK_STRING(
        run("local r, f = run(memory(), '  -- \xc3\xa4\\n select \"\xc3\xa4\xc3\xb6\" fro t') "
            "return f.kind .. f.position .. f.code .. f.phase .. f.target .. "
            "tostring(f.closed) .. tostring(f.timings.total >= 0)"),
        "returned: syntax25SQLITE_ERRORquery:memory:niltrue");
}

TEST(commands_and_counts)
{
    CHECK_STRING(
        run("local c = memory() local said = {} local function say(...) local r = assert(run(c, "
            "...)) "
            "said[#said + 1] = r.command .. tostring(r.affected) .. r.count end "
            "say('create table t (a integer primary key, b)') "
            "say('insert into t (b) values (1), (2), (3)') say('/* x */ update t set b = 0 where a "
            "> 1') "
            "say('create table u as select * from t') say('replace into t values (1, 1)') "
            "say('with x as (select 1) insert into t (b) select * from x returning a') "
            "say('with x as (select 1) select * from x') say('delete from t') say('delete from t') "
            "say('values (1), (2)') "
            "assert(run(c, 'explain delete from t').affected == nil) return table.concat(said, ' "
            "', 1, 10)"),
        "returned: CREATEnil0 INSERT30 UPDATE20 CREATEnil0 REPLACE10 INSERT11 SELECTnil1 DELETE40 "
        "DELETE00 VALUESnil2");
}

TEST(names_of_columns_must_differ_when_rows_are_named)
{
    CHECK(has(run("local r, f = memory():run('select 1 as a, 2 as a', {}, how { shape = 'named' }) "
                  "return told(f)"),
              "syntax: two columns of the result are called \"a\": name one of them with AS"));
    CHECK_STRING(run("return value(memory(), 'select 1 as a, 2 as a')"), "returned: 1");
}

TEST(constraints_are_told)
{
    make("constraints.db", "create table t (a integer primary key, b text unique not null, "
                           "c check (c > 0), d references t (a)) ");
    reactor.policy = &writing;
    CHECK_STRING(
        run("local c = open('constraints.db', { write = true }) "
            "assert(run(c, \"insert into t values (1, 'x', 1, 1)\")) "
            "assert(run(c, 'pragma foreign_keys = on')) "
            "local said = {} for _, v in ipairs { \"(1, 'y', 1, 1)\", \"(2, 'x', 1, 1)\", "
            "'(2, null, 1, 1)', \"(2, 'y', 0, 1)\", \"(2, 'y', 1, 9)\", \"('z', 'y', 1, 1)\" } do "
            "local r, f = run(c, 'insert into t values ' .. v) said[#said + 1] = f.kind .. ' ' .. "
            "f.code:gsub('SQLITE_', '') .. ' ' .. tostring(f.constraint) end "
            "return table.concat(said, '; ')"),
        "returned: constraint CONSTRAINT_PRIMARYKEY t.a; constraint CONSTRAINT_UNIQUE t.b; "
        "constraint CONSTRAINT_NOTNULL t.b; constraint CONSTRAINT_CHECK c > 0; constraint "
        "CONSTRAINT_FOREIGNKEY nil; constraint MISMATCH nil");
    reactor.policy = NULL;
    remove_database("constraints.db");
}

/* --- limits ----------------------------------------------------------------- */

TEST(rows_are_bounded)
{
    static const char many[] =
        "local SQL = 'with recursive c(x) as (select 1 union all select x + 1 "
        "from c where x < 5000) select x, x || \\'-------\\' from c' ";
    char text[600];
    static const struct {
        const char *call, *wanted;
    } cases[] = {
        {"local r = memory():run(SQL, {}, how()) return r.count .. ' ' .. #r.rows .. "
         "r.rows[5000][2]",
         "returned: 5000 50005000-------"},
        {"local r = memory():run(SQL, {}, how { most = 3 }) return r.count .. ' ' .. #r.rows",
         "returned: 5000 3"},
        {"local r, f = memory():run(SQL, {}, how { max_rows = 4999 }) return told(f)",
         "limit: there are more than 4999 rows"},
        {"local r, f = memory():run(SQL, {}, how { most = 1, max_rows = 4999 }) return told(f)",
         "limit: there are more than 4999 rows"},
        {"local r, f = memory():run(SQL, {}, how { max_rows = 5000 }) return r.count", "5000"},
        {"local r, f = memory():run(SQL, {}, how { max_bytes = 90000 }) return told(f)",
         "limit: the rows have more than 90000 bytes"},
        {"local r, f = memory():run('select zeroblob(5000)', {}, how { max_bytes = 4999 }) "
         "return told(f)",
         "limit: the rows have more than 4999 bytes"},
        {"local r, f = memory():run('select zeroblob(17 << 20)', {}, how { max_bytes = 1 << 30 }) "
         "return told(f) .. f.code",
         "limit: a value of more than 16 MB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s %s", many, cases[i].call);
        CHECK(has(run(text), cases[i].wanted));
    }
}

TEST(memory_is_the_sandbox_s)
{
    CHECK(has(run("local r, f = memory():run('select zeroblob(9 << 20)', {}, "
                  "how { max_bytes = 1 << 30 }) return told(f)"),
              "limit: the statement and its rows do not fit into the sandbox's memory"));
    CHECK(out.memory_peak <= MEMORY);
    CHECK(has(
        run("local s = ('x'):rep(3 << 20) return why(memory(), 'select length($1 || $2)', s, s)"),
        "limit: the statement and its rows do not fit into the sandbox's memory"));
    CHECK(has(run("memory():run('with recursive c(x) as (select 1 union all select x + 1 from c) "
                  "select x, zeroblob(1000) from c', {}, how { max_bytes = 1 << 40 })"),
              "killed: memory"));
}

/* One connection's memory ends that connection's statement, and nobody else's. */
TEST(memory_of_sqlite_is_the_connection_s)
{
    CHECK(has(
        run("local c, d = memory(), memory() "
            "local hungry = 'with recursive c(x) as (select 1 union all select x + 1 from c "
            "where x < 40) select count(*) from (select zeroblob(1 << 20) as b, x from c "
            "order by hex(b))' "
            "local a, b = host.parallel(function() return why(c, hungry) end, function() "
            "local ok = 0 for i = 1, 50 do ok = ok + (value(d, 'select length(hex(zeroblob(1 << "
            "20)))') == 2 << 20 and 1 or 0) end return ok end) "
            "return a .. ' ' .. b .. ' ' .. why(c, 'select 1')"),
        "returned: limit: SQLite needs more memory than it may have: 64 MB"));
    CHECK(has(out.text, " 50 done"));
}

TEST(memory_may_run_out_anywhere)
{
    make("small.db", "create table t (a, b); insert into t values (1, 'one'), (2, 'two')");
    bool enough = false;
    for (size_t limit = 40000; limit < 600000 && !enough; limit += 2000) {
        run_in(
            "local c = open('small.db') local r = c:run('select * from t where a < $1', { n = 1, 9 "
            "}, "
            "how { shape = 'named' }) if not r then return 'limit' end "
            "local ok = c:start('select a from t', {}, how()) "
            "if not ok then return 'limit' end local n = 0 for row in c.next, c do n = n + row[1] "
            "end c:control('begin; rollback') c:info() return r.rows[2].b .. n",
            5000, limit);
        enough = strcmp(out.text, "returned: two3") == 0;
    }
    CHECK(enough);
    remove_database("small.db");
}

/* --- streams ---------------------------------------------------------------- */

TEST(rows_come_one_by_one)
{
    CHECK_STRING(run("local c = memory() local SQL = 'with recursive c(x) as (select 1 union all "
                     "select x + 1 "
                     "from c where x < 30000) select x, zeroblob(50) as b from c' "
                     "assert(c:start(SQL, {}, how { shape = 'named' })) local n, sum = 0, 0 local "
                     "s = c:state() "
                     "for row in c.next, c do n, sum = n + 1, sum + row.x end "
                     "return n .. ' ' .. sum .. s .. c:state() .. tostring(c:next())"),
                 "returned: 30000 450015000busyidlenil");
    CHECK_STRING(run("local c = memory() assert(c:start('select 1', {}, how())) c:stop() c:stop() "
                     "return tostring(c:next()) .. value(c, 'select 2')"),
                 "returned: nil2");
    CHECK(has(run("local c = memory() assert(c:start('select 1', {}, how())) run(c, 'select 2')"),
              "there are rows left of the statement before: conn:stop() drops them"));
    CHECK(
        has(run("local c = memory() local ok, f = c:start('select 1 x', {}, how { max_rows = 0 }) "
                "return told(f) .. c:state()"),
            "limit: there are more than 0 rows"));
    CHECK(has(
        run("local c = memory() assert(c:start('with recursive c(x) as (select 1 union all "
            "select x + 1 from c) select x, zeroblob(100) from c', {}, how { max_rows = 5000 })) "
            "local n = 0 while true do local row, f = c:next() if not row then "
            "return n .. told(f) .. c:state() end n = n + 1 end"),
        "limit: there are more than 5000 rows"));
}

/* A reader that stops must not keep writers out. */
TEST(a_stopped_stream_lets_go_of_its_lock)
{
    make("stream.db",
         "create table t (a); insert into t with recursive c(x) as (select 1 union all "
         "select x + 1 from c where x < 50000) select x from c");
    reactor.policy = &writing;
    CHECK_STRING(
        run("local c, d = open('stream.db'), open('stream.db', { write = true, "
            "lock_timeout = 0.05 }) assert(c:start('select a from t', {}, how())) c:next() "
            "local before = why(d, 'delete from t where a = 1') c:stop() "
            "local after = why(d, 'delete from t where a = 1') "
            "return before:match('^%S+') .. after .. value(c, 'select count(*) from t')"),
        "returned: lock_timeout:done49999");
    reactor.policy = NULL;
    remove_database("stream.db");
}

/* --- transactions ----------------------------------------------------------- */

TEST(transactions_have_states)
{
    CHECK_STRING(
        run("local c = memory() local s = { c:state() } "
            "c:control('create table t (a unique); begin; insert into t values (1)') "
            "s[2] = c:state() c:control('savepoint x; insert into t values (2); rollback to x') "
            "s[3] = value(c, 'select count(*) from t') c:control('release x; rollback') "
            "s[4] = c:state() s[5] = value(c, 'select count(*) from t') c:close() "
            "s[6] = c:state() return table.concat(s, ' ')"),
        "returned: idle transaction 1 idle 0 closed");
    CHECK(has(run("return control(memory(), 'commit')"), "query: cannot commit - no transaction"));
    CHECK(has(run("return control(memory(), 'begin; begin')"),
              "query: cannot start a transaction within a transaction"));
}

/* SQLite ends some transactions by itself; what follows must not go on outside of one. */
TEST(a_transaction_that_sqlite_gave_up_is_failed)
{
    CHECK_STRING(
        run("local c = memory() c:control('create table t (a unique); begin; "
            "insert into t values (1)') local s = { why(c, 'insert or rollback into t values "
            "(1)'):match('^%a+') } s[2] = c:state() s[3] = why(c, 'insert into t values (2)') "
            "s[4] = control(c, 'rollback to x') == control(c, 'commit') and 'no' "
            "s[5] = tostring(control(c, 'ROLLBACK TRANSACTION')) s[6] = c:state() "
            "s[7] = value(c, 'select count(*) from t') return table.concat(s, '|')"),
        "returned: constraint|failed|query: SQLite rolled the transaction back when a "
        "statement failed: nothing runs in it any more|no|true|idle|0");
}

/* An interrupted write ends the whole transaction. */
TEST(a_write_that_takes_too_long_fails_its_transaction)
{
    CHECK_STRING(
        run("local c = memory { statement_timeout = 0.05 } "
            "c:control('create table t (a); begin; insert into t values (1)') "
            "local r, f = run(c, 'insert into t with recursive c(x) as (select 1 union all "
            "select 1 from c) select 1 from c where x > 1') "
            "local s = f.kind .. f.code .. c:state() .. why(c, 'select 1'):match('^%a+') "
            "return s .. tostring(control(c, 'rollback')) .. c:state() .. "
            "value(c, 'select count(*) from t')"),
        "returned: statement_timeoutSQLITE_INTERRUPTfailedquerytrueidle0");
}

/* --- files that are no databases -------------------------------------------- */

TEST(what_is_no_database_is_told)
{
    char garbage[8192];
    memset(garbage, 'x', sizeof garbage);
    write_file("garbage.db", garbage, sizeof garbage);
    write_file("empty.db", "", 0);
    write_file("short.db", "SQLite format 3", 16);
    mkdir(path_of("folder.db"), 0755);
    CHECK(mkfifo(path_of("fifo.db"), 0644) == 0);
    CHECK(symlink("/nowhere/at/all", path_of("dangling.db")) == 0);
    CHECK(has(run("return no('missing.db')"), "no_database: there is no such file"));
    CHECK(has(run("return no('missing/too.db')"), "no_database: there is no such file"));
    CHECK(has(run("return no('garbage.db/x')"), "no_database: there is no such file"));
    CHECK(has(run("return no('folder.db')"), "no_database: this is a directory and no file"));
    CHECK(has(run("return no('fifo.db')"), "no_database: this is a FIFO and no file"));
    CHECK(has(run("return no('dangling.db')"), "no_database: there is no such file"));
    CHECK(has(run("return no('../../../dev/null')"), "no_database: this is a device and no file"));
    CHECK(
        has(run("return no('garbage.db')"),
            "protocol: this is no SQLite database, or an encrypted one (file is not a database)"));
    CHECK(has(run("return no('short.db')"), "protocol: "));
    CHECK_STRING(run("return value(open('empty.db'), 'select count(*) from sqlite_schema')"),
                 "returned: 0");
    CHECK(!is_there("missing.db"));
    make("a?b#c%41.db", "create table t (a); insert into t values (41)");
    CHECK_STRING(run("return value(open('a?b#c%41.db'), 'select a from t')"), "returned: 41");
    remove_database("a?b#c%41.db");
    reactor.policy = &writing;
    CHECK(has(run("return no('missing.db', { write = true })"), "no_database: there is no such"));
    CHECK(!is_there("missing.db"));
    reactor.policy = NULL;
    CHECK(has(run("local c, f = try('garbage.db') return f.phase .. f.code .. f.target .. "
                  "tostring(f.timings.total > 0)"),
              "returned: connectSQLITE_NOTADB/"));
    rmdir(path_of("folder.db"));
}

TEST(damage_is_told)
{
    char block[4096];
    struct stat status;
    make("damaged.db",
         "create table t (a); insert into t with recursive c(x) as (select 1 union all "
         "select x + 1 from c where x < 5000) select zeroblob(50) from c");
    CHECK(stat(path_of("damaged.db"), &status) == 0);
    CHECK(truncate(path_of("damaged.db"), status.st_size / 2) == 0);
    CHECK(
        has(run("return no('damaged.db')"), "protocol: the file is damaged: database disk image"));
    remove_database("damaged.db");
    make("damaged.db",
         "create table t (a); insert into t with recursive c(x) as (select 1 union all "
         "select x + 1 from c where x < 5000) select zeroblob(50) from c");
    memset(block, 0x5a, sizeof block);
    int fd = open(path_of("damaged.db"), O_RDWR);
    for (off_t at = 8192; at < status.st_size; at += 4096)
        CHECK(pwrite(fd, block, sizeof block, at) == sizeof block);
    close(fd);
    CHECK(has(run("return why(open('damaged.db'), 'select count(*) from t')"),
              "protocol: the file is damaged: database disk image is malformed"));
    remove_database("damaged.db");
    make("damaged.db", "create table t (a); pragma writable_schema = on; "
                       "update sqlite_schema set sql = 'create tabel'");
    CHECK(has(run("return no('damaged.db')"), "protocol: the file is damaged: malformed database"));
    remove_database("damaged.db");
}

TEST(the_policy_is_asked)
{
    struct policy policy;
    struct fault why;
    char text[200];
    make("policy.db", "create table t (a)");
    CHECK(symlink(path_of("policy.db"), path_of("link.db")) == 0);
    CHECK(has(run("local c, f = try('policy.db', { write = true }) return told(f) .. f.phase"),
              "denied: writing it is not allowed: --allow write=/"));
    CHECK(has(run("return no('policy.db', { rolled_back = true })"), "denied: writing it is not"));
    policy_init(&policy);
    snprintf(text, sizeof text, "read=%s", path_of("policy.db"));
    CHECK(policy_deny(&policy, text, &why));
    reactor.policy = &policy;
    CHECK(has(run("local c, f = try('policy.db') return told(f) .. ' ' .. f.phase"),
              "denied: reading it is not allowed: denied by --deny read=/"));
    CHECK(has(out.text, " policy"));
    CHECK(has(run("return no('link.db')"), "denied: reading it is not allowed"));
    policy_fini(&policy);
    policy_init(&policy);
    snprintf(text, sizeof text, "write=%s", path_of("policy.db"));
    CHECK(policy_allow(&policy, text, &why));
    CHECK(has(run("return no('policy.db', { write = true })"),
              "denied: writing it is not allowed: --allow write=/"));
    snprintf(text, sizeof text, "write=%s would allow it", directory);
    CHECK(has(out.text, text));
    CHECK_STRING(
        run("return control(open('policy.db', { rolled_back = true }), 'begin; insert into t "
            "values (1); rollback')"),
        "returned: true");
    CHECK_STRING(run("return no('link.db', { rolled_back = true })"), "returned: open");
    reactor.policy = NULL;
    policy_fini(&policy);
    unlink(path_of("link.db"));
    remove_database("policy.db");
}

/* As a user who is not root, in a process of its own. */
TEST(permissions_are_told)
{
    if (geteuid() != 0) {
        printf("    left out: this is not root\n");
        return;
    }
    make("mine.db", "create table t (a)");
    chmod(path_of("mine.db"), 0600);
    make("read.db", "create table t (a)");
    chmod(path_of("read.db"), 0644);
    chmod(directory, 0755);
    pid_t pid = fork();
    if (pid == 0) {
        test_ok = true;
        struct reactor own = {0};
        (void)!setresuid(65534, 65534, 65534);
        reactor = own;
        CHECK(reactor_open(&reactor));
        CHECK(has(run("return no('mine.db')"), "denied: permission denied: it may not be read"));
        reactor.policy = &writing;
        CHECK(has(run("return no('read.db', { write = true })"),
                  "denied: it may not be written: Permission denied"));
        _exit(test_ok ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    remove_database("mine.db");
    remove_database("read.db");
}

/* --- reading only ----------------------------------------------------------- */

TEST(a_reader_writes_nothing)
{
    make("reader.db", "create table t (a, b); create view v as select a from t; "
                      "create index i on t (a); insert into t values (1, 2)");
    static const char *const statements[] = {
        "insert into t values (1, 2)",
        "update t set a = 2",
        "delete from t",
        "drop table t",
        "create table u (a)",
        "create temp table u (a)",
        "create index j on t (b)",
        "create view w as select 1",
        "alter table t add column c",
        "reindex",
        "analyze",
        "replace into t values (1, 2)",
        "with x as (select 1) insert into t select 1, 2",
        "create virtual table f using fts5(a)",
        "explain insert into t values (1, 2)",
    };
    uint64_t before = print_of("reader.db");
    reactor.policy = &writing; /* that it could is no excuse */
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "local r, f = run(open('reader.db'), '%s') return told(f) .. f.code",
                 statements[i]);
        CHECK(has(run(text), "read_only: attempt to write a readonly database"));
        CHECK(has(out.text, "SQLITE_READONLY"));
    }
    CHECK(has(run("return why(open('reader.db'), 'vacuum')"), "denied: checks may not ATTACH"));
    CHECK(has(run("return why(open('reader.db'), 'begin immediate')"), "read_only: "));
    CHECK(has(run("return control(open('reader.db'), 'begin immediate')"), "read_only: "));
    CHECK_STRING(
        run("local c = open('reader.db') c:control('begin') local v = value(c, 'select b from t')"
            "c:control('commit') return v"),
        "returned: 2");
    CHECK(print_of("reader.db") == before);
    reactor.policy = NULL;
    CHECK(!is_there("reader.db-journal"));
    remove_database("reader.db");
}

TEST(dangerous_things_are_refused)
{
    make("rules.db", "create table t (a)");
    static const struct {
        const char *sql, *wanted;
    } cases[] = {
        {"attach ':memory:' as x", "denied: checks may not ATTACH"},
        {"attach '/etc/passwd' as x", "denied: checks may not ATTACH"},
        {"detach main", "denied: checks may not ATTACH"},
        {"vacuum", "denied: checks may not ATTACH"},
        {"vacuum into '/tmp/hospital-vacuum'", "denied: checks may not ATTACH"},
        {"select load_extension('x')", "load_extension"},
        {"select fts3_tokenizer('x')", "denied: checks may not call fts3_tokenizer"},
        {"pragma writable_schema = on", "denied: checks may not do that: PRAGMA writable_schema"},
        {"pragma temp_store_directory = '/tmp'", "denied: "},
        {"update sqlite_master set sql = 'x'", "query: table sqlite_master may not be modified"},
        {"pragma query_only = off", "denied: checks may not do that: PRAGMA query_only"},
        {"pragma mmap_size = 1000000", "denied: "},
        {"pragma cache_spill = on", "denied: "},
        {"pragma cache_size = 100000", "denied: "},
        {"pragma locking_mode = exclusive", "denied: "},
        {"pragma busy_timeout = 60000", "denied: "},
        {"pragma key = 'x'", "denied: "},
        {"pragma hard_heap_limit = 0", "denied: "},
        {"pragma trusted_schema = on", "denied: "},
        {"pragma temp_store = file", "denied: "},
        {"pragma synchronous = off", "denied: "},
        {"pragma main.WRITABLE_SCHEMA = on", "denied: "},
        {"select * from pragma_user_version", "done"},
        {"select * from pragma_table_info('t')", "done"},
        {"pragma integrity_check", "done"},
        {"pragma quick_check(5)", "done"},
        {"pragma table_info(t)", "done"},
        {"pragma journal_mode", "done"},
        {"pragma user_version", "done"},
        {"pragma foreign_keys", "done"},
        {"pragma data_version", "done"},
        {"select json_extract('{\"a\":1}', '$.a')", "done"},
    };
    reactor.policy = &writing;
    for (int write = 0; write < 2; write++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char text[300];
            snprintf(text, sizeof text, "return why(open('rules.db', { write = %s }), [[%s]])",
                     write ? "true" : "false", cases[i].sql);
            CHECK(has(run(text), cases[i].wanted));
        }
    static const struct {
        const char *sql;
        bool reader, writer, rolled_back;
    } settings[] = {
        {"pragma user_version = 7", false, true, true},
        {"pragma foreign_keys = on", false, true, true},
        {"pragma journal_mode = delete", false, true, false},
        {"pragma journal_mode = off", false, true, false},
        {"pragma wal_checkpoint", false, true, false},
        {"pragma optimize", false, true, false},
        {"pragma incremental_vacuum", false, true, false},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char text[300];
        snprintf(
            text, sizeof text,
            "local s = '' for _, o in ipairs { {}, { write = true }, { rolled_back = true } } do "
            "local c = open('rules.db', o) c:control('begin') "
            "s = s .. (why(c, '%s') == 'done' and 'y' or 'n') c:close() end return s",
            settings[i].sql);
        char wanted[32];
        snprintf(wanted, sizeof wanted, "returned: %c%c%c", settings[i].reader ? 'y' : 'n',
                 settings[i].writer ? 'y' : 'n', settings[i].rolled_back ? 'y' : 'n');
        CHECK_STRING(run(text), wanted);
    }
    reactor.policy = NULL;
    CHECK(access("/tmp/hospital-vacuum", F_OK) != 0);
    remove_database("rules.db");
}

/* What SQLite itself was told, behind the rules. */
TEST(every_connection_is_set_up)
{
    make("setup.db", "create table t (a); create view v as select * from dbstat; "
                     "create virtual table f using fts5 (a)");
    reactor.policy = &writing;
    CHECK_STRING(
        run("local said = {} for _, o in ipairs { {}, { write = true }, { rolled_back = true } } "
            "do "
            "local c = open('setup.db', o) for _, p in ipairs { 'query_only', 'temp_store', "
            "'mmap_size', "
            "'hard_heap_limit', 'busy_timeout', 'trusted_schema' } do "
            "said[#said + 1] = value(c, 'pragma ' .. p) end "
            "said[#said + 1] = value(c, 'pragma cache_spill') == 0 and 'off' or 'on' "
            "said[#said + 1] = ';' c:close() end "
            "return table.concat(said, ' ')"),
        "returned: 1 2 0 268435456 0 0 on ; 0 2 0 268435456 0 0 on ; 0 2 0 268435456 0 0 off ;");
    CHECK(has(run("return why(open('setup.db'), 'select * from v')"),
              "query: unsafe use of virtual table \"dbstat\""));
    CHECK(has(run("return why(open('setup.db', { write = true }), 'delete from f_data')"),
              "query: table f_data may not be modified"));
    CHECK(has(run("return why(memory(), ('x'):rep(1 << 20 | 1))"), "limit: "));
    reactor.policy = NULL;
    remove_database("setup.db");
}

/* A reader does not even leave the files that SQLite makes for one. */
TEST(a_write_ahead_log_without_a_writer)
{
    make("wal.db", "pragma journal_mode = wal; create table t (a); insert into t values (1)");
    CHECK(!is_there("wal.db-wal"));
    CHECK_STRING(run("local c = open('wal.db') return value(c, 'select a from t') .. "
                     "why(c, 'delete from t')"),
                 "returned: 1read_only: attempt to write a readonly database: DELETE from t");
    CHECK(!is_there("wal.db-wal") && !is_there("wal.db-shm"));
    CHECK_STRING(
        run("local c = open('wal.db') c:control('begin') local r = value(c, 'select a from t') "
            "c:control('rollback') return r"),
        "returned: 1");
    remove_database("wal.db");
}

TEST(a_write_ahead_log_with_a_writer)
{
    struct neighbour n;
    make("wal.db", "pragma journal_mode = wal; create table t (a); insert into t values (1)");
    neighbour_start(&n, "wal.db",
                    "insert into t values (2); begin immediate; insert into t values (3)");
    CHECK_STRING(run("return value(open('wal.db'), 'select sum(a) from t')"), "returned: 3");
    uint64_t before = print_of("wal.db-wal");
    reactor.policy = &writing;
    CHECK(has(run("return why(open('wal.db', { write = true, lock_timeout = 0.05 }), "
                  "'insert into t values (4)')"),
              "lock_timeout: the database is locked, and was not free within 0.05"));
    reactor.policy = NULL;
    CHECK(print_of("wal.db-wal") == before);
    neighbour_kill(&n);
    /* Its log is there, and nobody who has it open. */
    CHECK(is_there("wal.db-wal"));
    CHECK_STRING(run("return value(open('wal.db'), 'select sum(a) from t')"), "returned: 3");
    unlink(path_of("wal.db-shm"));
    CHECK(has(run("return no('wal.db')"),
              "connect: there is a write-ahead log but no readable -shm"));
    CHECK(!is_there("wal.db-shm"));
    remove_database("wal.db");
}

/* Opened while nobody wrote, and then somebody does. */
TEST(a_file_that_held_still_and_then_did_not)
{
    make("still.db", "pragma journal_mode = wal; create table t (a); insert into t values (1)");
    reactor.policy = &writing;
    CHECK_STRING(
        run("local c = open('still.db') local s = { value(c, 'select sum(a) from t') } "
            "local d = open('still.db', { write = true }) run(d, 'insert into t values (2)') "
            "s[2] = value(c, 'select sum(a) from t') c:close() value(d, 'select 1') d:close() "
            "return table.concat(s, ' ')"),
        "returned: 1 3");
    CHECK(!is_there("still.db-wal"));
    CHECK_STRING(run("local c = open('still.db') local s = { value(c, 'select sum(a) from t') } "
                     "c:control('begin') local d = open('still.db', { write = true }) "
                     "run(d, 'insert into t values (4)') s[2] = why(c, 'select sum(a) from t') "
                     "c:control('rollback') s[3] = value(c, 'select sum(a) from t') return "
                     "table.concat(s, ' ')"),
                 "returned: 3 deadlock: the file was written while it was read 7");
    reactor.policy = NULL;
    remove_database("still.db");
}

TEST(a_hot_journal_cannot_be_read_over)
{
    struct neighbour n;
    make("hot.db", "create table t (a); insert into t values (1)");
    neighbour_start(&n, "hot.db",
                    "pragma cache_size = 1; pragma cache_spill = 1; begin; insert into t with "
                    "recursive c(x) as (select 1 union all select x + 1 from c where x < 20000) "
                    "select zeroblob(100) from c");
    neighbour_kill(&n);
    CHECK(is_there("hot.db-journal"));
    uint64_t before = print_of("hot.db");
    CHECK(has(run("local c, f = try('hot.db') return told(f) .. f.code"),
              "connect: a writer died and left its journal"));
    CHECK(has(out.text, "SQLITE_READONLY_ROLLBACK"));
    CHECK(print_of("hot.db") == before && is_there("hot.db-journal"));
    reactor.policy = &writing;
    CHECK_STRING(run("return value(open('hot.db', { write = true }), 'select count(*) from t')"),
                 "returned: 1");
    reactor.policy = NULL;
    CHECK(!is_there("hot.db-journal"));
    remove_database("hot.db");
}

/* --- locks ------------------------------------------------------------------ */

TEST(locks_are_waited_for_and_not_for_ever)
{
    struct neighbour n;
    make("lock.db", "create table t (a); insert into t values (1)");
    neighbour_start(&n, "lock.db", "begin exclusive");
    CHECK(has(run("local c, f = try('lock.db', { lock_timeout = 0.05 }) return told(f) .. f.code "
                  ".. f.phase"),
              "lock_timeout: the database is locked, and was not free within 0.05"));
    CHECK(has(out.text, "sSQLITE_BUSYconnect"));
    CHECK(has(run("return no('lock.db', { timeout = 0.05 })"),
              "lock_timeout: the database is locked"));
    neighbour_kill(&n);
    reactor.policy = &writing;
    neighbour_start(&n, "lock.db", "begin immediate");
    CHECK(has(run("local c = open('lock.db', { write = true, lock_timeout = 0.03 }) "
                  "local s = { value(c, 'select a from t'), why(c, 'insert into t values (2)'), "
                  "c:state(), "
                  "control(c, 'begin; insert into t values (3)'), c:state(), "
                  "tostring(control(c, 'rollback')), c:state() } return table.concat(s, '|')"),
              "returned: 1|lock_timeout: the database is locked"));
    CHECK(has(out.text, "|transaction|true|idle"));
    CHECK(has(run("local c = open('lock.db', { write = true, statement_timeout = 0.03 }) "
                  "return why(c, 'insert into t values (2)')"),
              "statement_timeout: not done within 0.03 s: the database is locked"));
    neighbour_kill(&n);
    reactor.policy = NULL;
    remove_database("lock.db");
}

TEST(a_lock_that_is_let_go_is_taken)
{
    make("go.db", "create table t (a)");
    reactor.policy = &writing;
    CHECK_STRING(
        run("local c, d = open('go.db', { write = true }), open('go.db', { write = true }) "
            "assert(c:control('begin immediate; insert into t values (1)')) "
            "local a, b = host.parallel(function() return why(d, 'insert into t values (2)') end, "
            "function() host.sleep(0.03) return control(c, 'commit') end) "
            "return a .. tostring(b) .. value(c, 'select sum(a) from t')"),
        "returned: donetrue3");
    /* A commit that is kept waiting by a reader goes on, and is not begun anew. */
    CHECK_STRING(
        run("local c, d = open('go.db', { write = true }), open('go.db') "
            "assert(d:control('begin')) value(d, 'select * from t') "
            "local a, b = host.parallel(function() return control(c, 'begin; insert into t values "
            "(4); commit') end, function() host.sleep(0.03) return control(d, 'rollback') end) "
            "return tostring(a) .. tostring(b) .. value(d, 'select sum(a) from t')"),
        "returned: truetrue7");
    reactor.policy = NULL;
    remove_database("go.db");
}

TEST(a_snapshot_that_is_too_old_to_write)
{
    make("snap.db", "pragma journal_mode = wal; create table t (a)");
    reactor.policy = &writing;
    CHECK_STRING(
        run("local c, d = open('snap.db', { write = true }), open('snap.db', { write = true }) "
            "c:control('begin') value(c, 'select * from t') run(d, 'insert into t values (1)') "
            "local r, f = run(c, 'insert into t values (2)') "
            "return f.kind .. f.code .. tostring(f.hint ~= nil) .. c:state()"),
        "returned: deadlockSQLITE_BUSY_SNAPSHOTtruetransaction");
    reactor.policy = NULL;
    remove_database("snap.db");
}

TEST(many_connections)
{
    make("many.db", "create table t (a); insert into t values (1)");
    CHECK_STRING(
        run("local f = {} for i = 1, 100 do f[i] = function() local c = open('many.db') "
            "local n = 0 for j = 1, 5 do n = n + value(c, 'select a from t') end return n end end "
            "local all, n = { host.parallel(table.unpack(f)) }, 0 for _, v in ipairs(all) do "
            "n = n + v end return n"),
        "returned: 500");
    remove_database("many.db");
}

TEST(one_statement_of_a_connection_at_a_time)
{
    CHECK(has(run("local c = memory { statement_timeout = 0.1 } host.parallel(function() why(c, "
                  "LONG) end, function() "
                  "host.sleep(0.01) run(c, 'select 1') end)"),
              "another function of this check is using the connection"));
    CHECK(has(run("local c = memory() local a = host.parallel(function() return why(c, LONG) end, "
                  "function() host.sleep(0.01) c:close() end) return a .. c:state()"),
              "returned: cancelled: sqlite connection was closedclosed"));
}

/* --- time ------------------------------------------------------------------- */

TEST(long_statements_are_interrupted)
{
    CHECK(has(run("local c = memory { statement_timeout = 0.05 } local r, f = run(c, LONG) "
                  "return told(f) .. tostring(f.closed) .. value(c, 'select 7') .. c:state()"),
              "returned: statement_timeout: not done within 0.05 snil7idle"));
    CHECK_STRING(run_in("run(memory(), LONG)", 50, MEMORY), "killed: deadline");
    CHECK_STRING(run_in("memory():start(LONG, {}, how())", 50, MEMORY), "killed: deadline");
    CHECK(reactor.loop.works == 0);
}

/* The pool has four threads: more statements than that must not keep any from its end. */
TEST(a_crowd_of_long_statements_ends)
{
    CHECK(has(
        run("local f = {} for i = 1, 12 do f[i] = function() "
            "return why(memory { statement_timeout = 0.1 }, LONG) end end "
            "local all = { host.parallel(table.unpack(f)) } local n = 0 for _, v in ipairs(all) "
            "do if v:find('^statement_timeout') then n = n + 1 end end return n"),
        "returned: 12"));
    CHECK_STRING(
        run_in("local f = {} for i = 1, 12 do f[i] = function() run(memory(), LONG) end end "
               "host.parallel(table.unpack(f))",
               100, MEMORY),
        "killed: deadline");
}

TEST(a_deadline_may_fall_anywhere)
{
    make("any.db", "create table t (a); insert into t values (1), (2)");
    reactor.policy = &writing;
    for (unsigned ms = 0; ms < 40; ms++) {
        run_in("while true do local c = open('any.db', { write = true, lock_timeout = 0.002 }) "
               "local d = open('any.db', { rolled_back = true, lock_timeout = 0.002 }) "
               "c:control('begin immediate') run(d, 'insert into t values (3)') "
               "c:start('select * from t', {}, how()) c:next() c:stop() d:control('begin') "
               "run(d, 'insert into t values (4)') if ms == 3 then run(c, LONG) end c:close() end",
               ms, MEMORY);
        CHECK_STRING(out.text, "killed: deadline");
    }
    CHECK_STRING(run("return value(open('any.db'), 'select count(*) from t')"), "returned: 2");
    reactor.policy = NULL;
    remove_database("any.db");
}

/* --- what is to be rolled back ---------------------------------------------- */

TEST(what_is_rolled_back_is_never_committed)
{
    static const char *const modes[] = {"delete", "wal", "persist", "truncate"};
    reactor.policy = &writing;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char sql[200];
        snprintf(sql, sizeof sql,
                 "pragma journal_mode = %s; create table t (a); insert into t values (1)",
                 modes[i]);
        make("back.db", sql);
        uint64_t before = print_of("back.db");
        CHECK(has(
            run("local c = open('back.db', { rolled_back = true }) "
                "assert(c:control('begin; insert into t values (2)')) "
                "local s = { value(c, 'select sum(a) from t') } "
                "local ok, f = c:control('commit') s[2] = f.kind .. f.code s[3] = c:state() "
                "s[4] = tostring(control(c, 'rollback')) s[5] = value(c, 'select sum(a) from t') "
                "s[6] = why(c, 'insert into t values (3)') s[7] = c:state() "
                "s[8] = control(c, 'savepoint x; insert into t values (4); release x') "
                "control(c, 'rollback') s[9] = control(c, 'create table u (a)') "
                "s[10] = value(c, 'select sum(a) from t') return table.concat(s, '|')"),
            "returned: 3|read_onlySQLITE_CONSTRAINT_COMMITHOOK|failed|true|1|read_only: nothing "
            "is committed here"));
        CHECK(has(out.text, "|1"));
        CHECK(print_of("back.db") == before);
        CHECK(i == 2 || i == 3 || !is_there("back.db-journal"));
        CHECK(!is_there("back.db-wal") && !is_there("back.db-shm"));
        remove_database("back.db");
    }
    reactor.policy = NULL;
}

/* The last one to close a write-ahead log moves what is in it to the file: here that is the next
 * one's who may write. */
TEST(what_is_rolled_back_leaves_the_log_of_others_alone)
{
    struct neighbour n;
    make("log.db", "pragma journal_mode = wal; create table t (a)");
    neighbour_start(&n, "log.db", "insert into t values (1)");
    neighbour_kill(&n);
    uint64_t file = print_of("log.db"), log = print_of("log.db-wal");
    reactor.policy = &writing;
    CHECK_STRING(run("local c = open('log.db', { rolled_back = true }) "
                     "assert(c:control('begin; insert into t values (2)')) "
                     "return value(c, 'select sum(a) from t')"),
                 "returned: 3");
    reactor.policy = NULL;
    CHECK(print_of("log.db") == file && print_of("log.db-wal") == log);
    remove_database("log.db");
}

/* More changes than SQLite's cache holds, and the process dies in the midst of them: without
 * cache_spill=OFF they would be in the file by then, without a journal in memory there would be a
 * hot one. */
static void die_if_changed(void)
{
    if (strcmp(out.text, "returned: changed") == 0)
        kill(getpid(), SIGKILL);
    printf("    %s\n", out.text);
}

static void check_killed(const char *mode)
{
    char sql[300];
    snprintf(
        sql, sizeof sql,
        "pragma journal_mode = %s; create table t (a); insert into t with recursive c(x) as "
        "(select 1 union all select x + 1 from c where x < 200) select zeroblob(100000) from c",
        mode);
    make("killed.db", sql);
    uint64_t before = print_of("killed.db");
    pid_t pid = fork();
    if (pid == 0) {
        reactor = (struct reactor){0};
        if (!reactor_open(&reactor))
            _exit(1);
        reactor.policy = &writing;
        script_before_close = die_if_changed;
        run_in("local c = open('killed.db', { rolled_back = true }) assert(c:control('begin')) "
               "assert(run(c, 'update t set a = randomblob(100000)')) "
               "assert(run(c, 'create table marker (a)')) return 'changed'",
               30000, MEMORY);
        _exit(2);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK(print_of("killed.db") == before);
    CHECK(!is_there("killed.db-journal"));
    CHECK_STRING(run("return value(open('killed.db'), 'select sum(length(a)) from t')"),
                 "returned: 20000000");
    remove_database("killed.db");
}

TEST(what_is_rolled_back_survives_no_kill)
{
    check_killed("delete");
    check_killed("wal");
}

int main(void)
{
    struct fault why;
    if (!reactor_open(&reactor) || !guard_open())
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    strcpy(directory, "/tmp/hospital-sqlite-XXXXXX");
    policy_init(&writing);
    api = sqlite_load(&reactor, &why);
    if (!api || !mkdtemp(directory) || !policy_allow(&writing, "write", &why)) {
        printf("%s\n", why.message);
        return 1;
    }
    RUN(values_come_as_they_are);
    RUN(parameters_are_numbered);
    RUN(what_cannot_be_sent_is_the_author_s_error);
    RUN(labels_name_the_file);
    RUN(one_statement_at_a_time);
    RUN(faults_say_where);
    RUN(commands_and_counts);
    RUN(names_of_columns_must_differ_when_rows_are_named);
    RUN(constraints_are_told);
    RUN(rows_are_bounded);
    RUN(memory_is_the_sandbox_s);
    RUN(memory_of_sqlite_is_the_connection_s);
    RUN(memory_may_run_out_anywhere);
    RUN(rows_come_one_by_one);
    RUN(a_stopped_stream_lets_go_of_its_lock);
    RUN(transactions_have_states);
    RUN(a_transaction_that_sqlite_gave_up_is_failed);
    RUN(a_write_that_takes_too_long_fails_its_transaction);
    RUN(what_is_no_database_is_told);
    RUN(damage_is_told);
    RUN(the_policy_is_asked);
    RUN(permissions_are_told);
    RUN(a_reader_writes_nothing);
    RUN(dangerous_things_are_refused);
    RUN(every_connection_is_set_up);
    RUN(a_write_ahead_log_without_a_writer);
    RUN(a_write_ahead_log_with_a_writer);
    RUN(a_file_that_held_still_and_then_did_not);
    RUN(a_hot_journal_cannot_be_read_over);
    RUN(locks_are_waited_for_and_not_for_ever);
    RUN(a_lock_that_is_let_go_is_taken);
    RUN(a_snapshot_that_is_too_old_to_write);
    RUN(many_connections);
    RUN(one_statement_of_a_connection_at_a_time);
    RUN(long_statements_are_interrupted);
    RUN(a_crowd_of_long_statements_ends);
    RUN(a_deadline_may_fall_anywhere);
    RUN(what_is_rolled_back_is_never_committed);
    RUN(what_is_rolled_back_leaves_the_log_of_others_alone);
    RUN(what_is_rolled_back_survives_no_kill);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    CHECK(system(command) == 0);
    guard_close();
    reactor_close(&reactor);
    policy_fini(&writing);
    return test_report();
}
