/* postgres_test.c - the PostgreSQL driver beside a real server (spec/support/with_postgres.lua,
 * which sets PG_TEST_URL): what goes in and comes out, what is said when it cannot, that nothing
 * waits for ever, and that nothing is left, here or on the server. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/policy.h"
#include "loop/work.h"
#include "peer.h"
#include "script.h"
#include "test.h"

enum { MB = 1024 * 1024, MEMORY = 16 * MB };

static struct reactor reactor;
static struct script_outcome out;
static unsigned own_watches; /* of the services */

static const char prelude[] =
    "local pg, host = import 'hospital.core.postgres', import 'hospital.host' "
    "local null = import('hospital.json').json.null "
    "local function with(t, more) for k, v in pairs(more or {}) do t[k] = v end return t end "
    "local function options(more) return with({ timeout = 5, write = false, statement_timeout = "
    "20, "
    "  lock_timeout = 5, idle_timeout = 20, application_name = 'hospital/test', "
    "  numeric = 'string' }, more) end "
    "local function how(more) return with({ shape = 'listed', max_rows = 100000, "
    "  max_bytes = 8 << 20 }, more) end "
    "local function told(f) return f.kind .. ': ' .. f.message end "
    "local function try(target, more) return pg.connect(target, options(more)) end "
    "local function open(target, more) local c, f = try(target or URL, more) "
    "  if not c then error(told(f) .. ' (' .. tostring(f.phase) .. ')', 0) end return c end "
    "local function no(target, more) local c, f = try(target, more) "
    "  return c and 'open' or told(f) end "
    "local function run(c, sql, ...) local r, f = c:run(sql, table.pack(...), how()) "
    "  if not r then error(told(f), 0) end return r end "
    "local function value(c, sql, ...) return run(c, sql, ...).rows[1][1] end "
    "local function fault(c, sql, ...) local r, f = c:run(sql, table.pack(...), how()) "
    "  return r and { kind = 'none', message = 'it succeeded' } or f end "
    "local function why(c, sql, ...) return told(fault(c, sql, ...)) end "
    "local function control(c, sql) local ok, f = c:control(sql) "
    "  if not ok then error(told(f), 0) end end "
    "local function start(c, sql, ...) local ok, f = c:start(sql, table.pack(...), how()) "
    "  if not ok then error(told(f), 0) end end ";

/* --- helpers ---------------------------------------------------------------- */

/* What goes on after a check has ended (threads, requests to cancel) comes to its end. */
static void settle(void)
{
    uint64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    if (!own_watches)
        return;
    while (
        (reactor.loop.works || reactor.loop.timers.count || reactor.loop.watches > own_watches) &&
        clock_now_ns() < until_ns)
        reactor_turn(&reactor, 5 * NS_PER_MS);
    CHECK(reactor.loop.works == 0);
    CHECK(reactor.loop.timers.count == 0);
    CHECK(reactor.loop.watches == own_watches);
}

static const char *run_in(const char *text, unsigned deadline_ms, size_t memory)
{
    char head[sizeof prelude + 2000];
    snprintf(head, sizeof head,
             "local URL, LOGIN, SOCKET, TLS, PORT = '%s', '%s', '%s', '%s', %s %s",
             getenv("PG_TEST_URL"), getenv("PG_TEST_LOGIN_URL"), getenv("PG_TEST_SOCKET_URL"),
             getenv("PG_TEST_TLS_URL"), getenv("PG_TEST_PORT"), prelude);
    script_run_after(&reactor, head, text, deadline_ms, memory, &out);
    CHECK(reactor.ops == 0);
    settle();
    return out.text;
}

static const char *run(const char *text)
{
    return run_in(text, 15000, MEMORY);
}

/* Text is an expression of the connection c. */
static const char *of(const char *text)
{
    char whole[4000];
    snprintf(whole, sizeof whole, "local c = open() return %s", text);
    return run(whole);
}

/* No session of ours is left on the server. */
static void check_server_is_rid_of_us(void)
{
    CHECK_STRING(
        run("local c, n = open(URL, { application_name = 'witness' }) "
            "for _ = 1, 300 do n = value(c, \"select string_agg(coalesce(state, '?') || ' ' "
            "|| query, '; ') from pg_stat_activity where application_name like "
            "'hospital%'\") if n == null then return 'gone' end host.sleep(0.01) end "
            "return n"),
        "returned: gone");
}

/* --- connecting ---------------------------------------------------------------- */

TEST(a_server_is_reached_in_many_ways)
{
    const char *who = "local function who(target) local c = open(target) "
                      "local v = value(c, \"select current_user || ' ' || current_database()\") "
                      "local i = c:info() c:close() return v .. ' ' .. i.remote_ip .. ' ' .. "
                      "tostring(i.tls) end ";
    static const struct {
        const char *target, *wanted;
    } cases[] = {
        {"URL", "postgres postgres 127.0.0.1 false"},
        {"(URL:gsub('postgres://', 'postgresql://'))", "postgres postgres 127.0.0.1 false"},
        {"LOGIN", "shop postgres 127.0.0.1 false"},
        {"TLS", "shop postgres 127.0.0.1 true"},
        {"'host=127.0.0.1 user=postgres dbname=template1 port=' .. PORT",
         "postgres template1 127.0.0.1 true"},
        {"('host=localhost sslmode=disable user=postgres port=' .. PORT)",
         "postgres postgres 127.0.0.1 false"},
        {"('hostaddr=127.0.0.1 host=shop.test user=postgres port=' .. PORT)",
         "postgres postgres 127.0.0.1 true"},
        {"'host=::1 user=postgres port=' .. PORT", "postgres postgres ::1 true"},
        {"'postgres://postgres@[::1]:' .. PORT .. '/template1'", "postgres template1 ::1 true"},
        {"\"host = '127.0.0.1' password='open sesame' user='shop' dbname='postgres' port=\" .. "
         "PORT",
         "shop postgres 127.0.0.1 true"},
        /* the first refuses, so the second is asked */
        {"'postgres://postgres@127.0.0.1:1,127.0.0.1:' .. PORT .. '/?sslmode=disable'",
         "postgres postgres 127.0.0.1 false"},
        {"'host=/nowhere,127.0.0.1 user=postgres sslmode=disable port=' .. PORT",
         "postgres postgres 127.0.0.1 false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000], wanted[100];
        snprintf(text, sizeof text, "%s return who(%s)", who, cases[i].target);
        snprintf(wanted, sizeof wanted, "returned: %s", cases[i].wanted);
        CHECK_STRING(run(text), wanted);
    }
    CHECK(has(run("return open(SOCKET):info().remote_ip"), "returned: /tmp/hospital-server-"));
    check_server_is_rid_of_us();
}

TEST(the_environment_and_a_service_file_are_read)
{
    char path[] = "/tmp/postgres_test.XXXXXX", text[300];
    int fd = mkstemp(path);
    int size = snprintf(text, sizeof text,
                        "[shop]\nhost=127.0.0.1\nport=%s\nuser=shop\npassword=open sesame\n"
                        "dbname=postgres\n",
                        getenv("PG_TEST_PORT"));
    CHECK(write(fd, text, (size_t)size) == size);
    setenv("PGSERVICEFILE", path, 1);
    CHECK_STRING(run("return value(open('service=shop'), 'select current_user')"),
                 "returned: shop");
    CHECK(has(run("return no('service=none')"), "returned: syntax: "));
    setenv("PGSERVICE", "shop", 1);
    CHECK_STRING(run("return value(open(''), 'select current_user')"), "returned: shop");
    CHECK_STRING(run("return value(open('postgres://'), 'select current_user')"), "returned: shop");
    unsetenv("PGSERVICE");
    unsetenv("PGSERVICEFILE");
    unlink(path);
    setenv("PGHOST", "127.0.0.1", 1);
    setenv("PGPORT", getenv("PG_TEST_PORT"), 1);
    setenv("PGUSER", "shop", 1);
    setenv("PGPASSWORD", "open sesame", 1);
    setenv("PGDATABASE", "template1", 1);
    CHECK_STRING(run("return value(open('postgres://'), 'select current_database()')"),
                 "returned: template1");
    CHECK_STRING(run("return value(open('dbname=postgres'), 'select current_database()')"),
                 "returned: postgres");
    setenv("PGOPTIONS", "-c default_transaction_read_only=off -c search_path=elsewhere", 1);
    CHECK_STRING(run("local c = open('') return value(c, 'show search_path') .. ' ' .. "
                     "value(c, 'show transaction_read_only')"),
                 "returned: elsewhere on");
    static const char *const names[] = {"PGHOST",     "PGPORT",     "PGUSER",
                                        "PGPASSWORD", "PGDATABASE", "PGOPTIONS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

TEST(a_session_is_as_we_want_it)
{
    CHECK_STRING(
        run("local c = open(URL, { statement_timeout = 1.5, lock_timeout = 0.25, idle_timeout = 3, "
            "application_name = 'hospital/x' }) local t = {} for i, name in ipairs({ "
            "'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', "
            "'client_connection_check_interval', 'application_name', 'client_encoding', "
            "'TimeZone', "
            "'DateStyle', 'default_transaction_read_only', 'bytea_output' }) do "
            "t[i] = value(c, 'show ' .. name) end return table.concat(t, ' ')"),
        "returned: 1500ms 250ms 3s 500ms hospital/x UTF8 UTC ISO, MDY on hex");
    /* neither "without end" nor more than the server takes */
    CHECK_STRING(run("local c = open(URL, { statement_timeout = 1e9, lock_timeout = 0.0001, "
                     "idle_timeout = 0 }) return value(c, 'show statement_timeout') .. ' ' .. "
                     "value(c, 'show lock_timeout') .. ' ' .. "
                     "value(c, 'show idle_in_transaction_session_timeout')"),
                 "returned: 2147483647ms 1ms 1ms");
    CHECK(
        has(run("local i = open(TLS):info() return i.label .. ' ' .. i.server .. ' ' .. i.version "
                ".. ' ' .. i.version_number .. ' ' .. i.user .. ' ' .. i.database .. ' ' .. "
                "tostring(i.timings.tls > 0 and i.timings.login > 0 and i.timings.connect > 0 "
                "and i.timings.total < 5)"),
            " shop postgres true"));
    CHECK(has(out.text, "returned: shop@127.0.0.1:"));
    CHECK(has(out.text, "/postgres PostgreSQL 15."));
}

TEST(what_is_read_only_stays_so)
{
    CHECK(has(of("why(c, 'create table t (i int)')"),
              "returned: read_only: cannot execute CREATE TABLE in a read-only transaction"));
    CHECK_STRING(run("local c = open(URL, { write = true }) "
                     "return value(c, 'show default_transaction_read_only')"),
                 "returned: off");
    /* whatever the target says */
    CHECK_STRING(run("local c = open(URL .. '&options=-c%20default_transaction_read_only%3Doff') "
                     "return value(c, 'show transaction_read_only')"),
                 "returned: on");
    CHECK(has(run("return no(URL .. '&options=--')"), "returned: protocol: "));
    CHECK(has(run("return no(URL .. '&options=%5C')"), "returned: protocol: "));
    CHECK_STRING(run("local c = open(URL, { write = true }) "
                     "run(c, \"alter role shop set default_transaction_read_only = off\") "
                     "local d = open(LOGIN) local v = value(d, 'show transaction_read_only') "
                     "run(c, 'alter role shop reset all') return v"),
                 "returned: on");
}

/* Our own session is read-only, which is not what the target asks about. */
TEST(a_kind_of_server_can_be_asked_for)
{
    static const struct {
        const char *wish, *wanted;
    } cases[] = {
        {"any", "returned: open"},        {"read-write", "returned: open"},
        {"primary", "returned: open"},    {"prefer-standby", "returned: open"},
        {"standby", "returned: query: "}, {"read-only", "returned: query: "},
        {"wrong", "returned: syntax: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "return no(URL .. '&target_session_attrs=%s')", cases[i].wish);
        CHECK(has(run(text), cases[i].wanted));
    }
}

TEST(faults_of_login_have_kinds)
{
    static const struct {
        const char *expression, *wanted;
    } cases[] = {
        {"no('postgres://shop:wrong@127.0.0.1:' .. PORT .. '/postgres')",
         "authentication: password authentication failed for user \"shop\""},
        {"no('postgres://shop@127.0.0.1:' .. PORT .. '/postgres')", "authentication: "},
        {"no('postgres://nobody:x@127.0.0.1:' .. PORT .. '/postgres')", "authentication: "},
        {"no('postgres://postgres@127.0.0.1:' .. PORT .. '/none')",
         "no_database: database \"none\" does not exist"},
        {"no('postgres://postgres@127.0.0.1:1/x')", "connect: connection refused"},
        {"no('host=/nowhere user=postgres')", "connect: no such file or directory"},
        {"no('postgres://postgres@no.such.host.invalid/x', { timeout = 1 })", "dns: "},
        {"no((TLS:gsub('127.0.0.1', '[::1]')))", "tls: "},
        {"no((TLS:gsub('sslrootcert=[^&]*', 'sslrootcert=/nowhere')))", "tls: "},
        {"no('postgres://postgres@127.0.0.1:' .. PORT .. '/?options=-c%20wrong%3D1')",
         "query: unrecognized configuration parameter"},
        {"no('postgres://postgres@127.0.0.1:99999/')",
         "syntax: this is no target that libpq can read"},
        {"no('host=a,b,c port=1,2')", "syntax: this is no target that libpq can read"},
        {"no('postgres://u@h/?wrong=1')", "syntax: this is no target that libpq can read"},
        {"no('host=h sslmode=wrong')", "syntax: this is no target that libpq can read"},
        {"no('host=h keepalives=wrong hostaddr=127.0.0.1')",
         "syntax: invalid integer value \"wrong\" for connection option \"keepalives\""},
        {"no('hostaddr=h')", "dns: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400], wanted[200];
        snprintf(text, sizeof text, "return (%s)", cases[i].expression);
        snprintf(wanted, sizeof wanted, "returned: %s", cases[i].wanted);
        CHECK(has(run(text), wanted));
    }
    CHECK_STRING(run("local _, f = try('postgres://postgres@127.0.0.1:' .. PORT .. '/none') "
                     "return f.kind .. f.code .. f.phase .. tostring(f.closed) .. f.target"
                     ":gsub(':%d+', '') .. tostring(f.timings.total < 3)"),
                 "returned: no_database3D000logintruepostgres@127.0.0.1/nonetrue");
}

/* Whatever a target's author did wrong: no piece of the password (SeSam, pArole) is said. */
TEST(no_message_holds_a_piece_of_a_password)
{
    static const char *const targets[] = {
        "postgres://u:SeSam@127.0.0.1:1/SeSam",
        "postgres://u:%%53eSam@127.0.0.1:1/x",
        "postgres://u:SeSam%zz@127.0.0.1:1/x",
        "postgres://u:Se\"SeSam\"Sam%zz@127.0.0.1:1/x",
        "postgres://u:%00SeSam@127.0.0.1:1/x",
        "postgres://u:p@SeSam@127.0.0.1:1/x",
        "postgres://u:p@SeSam/pArole@127.0.0.1:1/x",
        "postgres://u:p/SeSam@127.0.0.1:1/x",
        "postgres://u:12/SeSam@127.0.0.1:1/x",
        "postgres://u:p?SeSam@127.0.0.1:1/x",
        "postgres://u:p?SeSam@pArole@127.0.0.1:1/x",
        "postgres://u:p#SeSam@127.0.0.1:1/x",
        "postgres://u:[SeSam@127.0.0.1:1/x",
        "postgres://u:p@[SeSam/x",
        "postgres://u:p@127.0.0.1:SeSam/x",
        "postgres://u:SeSam@127.0.0.1:1/x?wrong=SeSam",
        "postgres://127.0.0.1:1/x?password=SeSam&user",
        "postgres://127.0.0.1:1/x?password=SeSam=pArole",
        "postgres://127.0.0.1:1/x?passwort=SeSam",
        "postgres://127.0.0.1:1/x?user=u&password=SeSam",
        "postgresql+psycopg2://u:SeSam@127.0.0.1:1/x",
        "jdbc:postgresql://u:SeSam@127.0.0.1:1/x",
        "jdbc:postgresql://127.0.0.1:1/x?user=u&password=SeSam",
        "u:SeSam@127.0.0.1:1/x",
        "host=127.0.0.1 port=1 password=SeSam",
        "host=127.0.0.1 port=1 password='SeSam pArole'",
        "host=127.0.0.1 port=1 password=SeSam pArole",
        "host=127.0.0.1 port=1 password='SeSam' pArole",
        "host=127.0.0.1 port=1 password=\"SeSam pArole\"",
        "host=127.0.0.1 port=1 password='SeSam",
        "host=127.0.0.1 port=1 password='Se'SeSam'",
        "host=127.0.0.1 port=1 password=p \";\"SeSam\"pArole",
        "host=127.0.0.1 port=1 password SeSam",
        "host=127.0.0.1 port=1 password : SeSam",
        "host=127.0.0.1 port=1 pass=SeSam",
        "host=127.0.0.1 port=1 password=p SeSam=x",
        "host=127.0.0.1;port=1;password=SeSam",
        "host=127.0.0.1,password=SeSam",
        "host=127.0.0.1&password=SeSam",
        "Host=127.0.0.1;Username=u;Password=SeSam",
        "user=u;pwd=SeSam host=127.0.0.1 port=1",
        "host=127.0.0.1 dbname=postgres://u:SeSam@127.0.0.1:1/x port=1",
        "host=127.0.0.1 port=SeSam",
        "host=127.0.0.1 port=1 sslmode=SeSam",
        "host=127.0.0.1 port=1 sslkey=/nowhere sslpassword=SeSam",
    };
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char text[700];
        snprintf(
            text, sizeof text,
            "local all, f, c = {}, nil, nil local label, g = pg.label([==[%s]==]) "
            "c, f = try([==[%s]==]) all[1] = label or '' for _, t in ipairs { g or {}, f } do "
            "for k, v in pairs(t) do if type(v) == 'string' then all[#all + 1] = k .. '=' .. v "
            "end end end local said = table.concat(all, ' | ') "
            "for _, piece in ipairs { 'SeSam', 'pArole', 'eSam', 'SeSa' } do "
            "if said:find(piece, 1, true) then return said end end return 'kept'",
            targets[i], targets[i]);
        CHECK_STRING(run(text), "returned: kept");
    }
}

/* --- values ---------------------------------------------------------------------- */

TEST(values_become_lua_s)
{
    static const struct {
        const char *sql, *lua;
    } cases[] = {
        {"true", "true"},
        {"9223372036854775807", "9223372036854775807"},
        {"(-9223372036854775808)::int8", "math.mininteger"},
        {"(-32768)::int2", "-32768"},
        {"4294967295::oid", "4294967295"},
        {"0.1::float8", "0.1"},
        {"1e308::float8 * 1", "1e308"},
        {"5e-324::float8", "5e-324"},
        {"'-Infinity'::float8", "-math.huge"},
        {"1.5::float4", "1.5"},
        {"1.10::numeric", "'1.10'"},
        {"repeat('9', 600)::numeric", "('9'):rep(600)"},
        {"'NaN'::numeric", "'NaN'"},
        {"'x\\00y'::text", "'x\\\\00y'"},
        {"''::text", "''"},
        {"null::int", "null"},
        {"'\\x00ff0a'::bytea", "'\\0\\255\\n'"},
        {"''::bytea", "''"},
        {"'2026-11-21 05:49:00.25+01'::timestamptz", "'2026-11-21T04:49:00.25Z'"},
        {"'2026-11-21 05:49:00'::timestamp", "'2026-11-21T05:49:00'"},
        {"'infinity'::timestamptz", "'infinity'"},
        {"'-infinity'::timestamp", "'-infinity'"},
        {"'0044-03-15 12:00:00 BC'::timestamp", "'0044-03-15T12:00:00 BC'"},
        {"'0044-03-15 12:00:00+00 BC'::timestamptz", "'0044-03-15T12:00:00Z BC'"},
        {"'294276-12-31 23:59:59.999999'::timestamp", "'294276-12-31T23:59:59.999999'"},
        {"'2026-11-21'::date", "'2026-11-21'"},
        {"'05:49'::time", "'05:49:00'"},
        {"'1 day 2 hours'::interval", "'1 day 02:00:00'"},
        {"'12.50'::money", "'$12.50'"},
        {"'5f2c1c9e-0000-4000-8000-0123456789ab'::uuid", "'5f2c1c9e-0000-4000-8000-0123456789ab'"},
        {"'10.0.0.1/8'::inet", "'10.0.0.1/8'"},
        {"int4range(1, 5)", "'[1,5)'"},
        {"row(1, 'a b', null)", "'(1,\"a b\",)'"},
        {"point(1, 2)", "'(1,2)'"},
        {"B'101'", "'101'"},
        {"'<a/>'::xml::text", "'<a/>'"},
        {"'1 2'::int2vector", "'1 2'"},
        {"'pg_class'::regclass", "'pg_class'"},
        {"'NULL'::text", "'NULL'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        snprintf(text, sizeof text,
                 "local c = open() local v, w = value(c, [[select %s]]), %s "
                 "return v == w and math.type(v) == math.type(w) and 'same' or v",
                 cases[i].sql, cases[i].lua);
        CHECK_STRING(run(text), "returned: same");
    }
    CHECK_STRING(run("local v = value(open(), \"select 'NaN'::float8\") return v ~= v"),
                 "returned: true");
}

TEST(numeric_may_be_a_number)
{
    CHECK_STRING(run("local c = open(URL, { numeric = 'number' }) local r = run(c, \"select "
                     "1.50::numeric, 12::numeric, 9223372036854775807::numeric, "
                     "9223372036854775808::numeric, 'Infinity'::numeric, "
                     "array[1.5, 2]::numeric[]\").rows[1] "
                     "r[7], r[6] = r[6][2], r[6][1] local t = {} for i, v in ipairs(r) do "
                     "t[i] = math.type(v) .. ' ' .. v end return table.concat(t, ', ')"),
                 "returned: float 1.5, integer 12, integer 9223372036854775807, "
                 "float 9.2233720368548e+18, float inf, float 1.5, integer 2");
}

/* Their text is what inspecting them says. */
TEST(arrays_become_tables)
{
    static const char show[] =
        "local function show(v) if v == null then return 'null' end "
        "if type(v) == 'string' then return '<' .. v .. '>' end "
        "if type(v) ~= 'table' then return tostring(v) end local t = {} "
        "for i = 1, #v do t[i] = show(v[i]) end return '{' .. table.concat(t, ' ') .. '}' end ";
    static const struct {
        const char *sql, *wanted;
    } cases[] = {
        {"array[1, 2, null]", "{1 2 null}"},
        {"'{}'::int[]", "{}"},
        {"array[[1, 2], [3, 4]]", "{{1 2} {3 4}}"},
        {"'[0:2]={7,8,9}'::int[]", "{7 8 9}"},
        {"'[-1:0][2:3]={{1,2},{3,4}}'::int[]", "{{1 2} {3 4}}"},
        {"array['a', 'NULL', null, '', 'x,y', '{z}', 'q\"\\', ' sp ', e'new\\nline']",
         "{<a> <NULL> null <> <x,y> <{z}> <q\"\\> < sp > <new\nline>}"},
        {"array[true, false, null]", "{true false null}"},
        {"array[1.5, 'Infinity']::float8[]", "{1.5 inf}"},
        {"array[1.5]::numeric[]", "{<1.5>}"},
        {"array['\\x00'::bytea, '\\x41']", "{<\\0> <A>}"},
        {"array['{\"a\": [1, null]}', '7']::jsonb[]", "{{} 7}"},
        {"array['2026-11-21 05:49:00']::timestamp[]", "{<2026-11-21T05:49:00>}"},
        {"array['infinity']::timestamptz[]", "{<infinity>}"},
        {"array['2026-11-21']::date[]", "{<2026-11-21>}"},
        {"array['10.0.0.1']::inet[]", "{<10.0.0.1>}"},
        {"array['a']::name[]", "{<a>}"},
        {"array['5f2c1c9e-0000-4000-8000-0123456789ab']::uuid[]",
         "{<5f2c1c9e-0000-4000-8000-0123456789ab>}"},
        {"array[box '(1,1),(0,0)']", "<{(1,1),(0,0)}>"}, /* no type that we know */
        {"'{{{{{{1}}}}}}'::int[]", "{{{{{{1}}}}}}"},
        {"array(select generate_series(1, 1000))::text like '{1,2,3,%,1000}'", "true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[900], wanted[200];
        snprintf(
            text, sizeof text,
            "%s local v = show(value(open(), [==[select %s]==])) return (v:gsub('%%z', '\\\\0'))",
            show, cases[i].sql);
        snprintf(wanted, sizeof wanted, "returned: %s", cases[i].wanted);
        CHECK_STRING(run(text), wanted);
    }
    CHECK_STRING(run("return #value(open(), 'select array(select generate_series(1, 100000))')"),
                 "returned: 100000");
}

TEST(json_is_decoded)
{
    CHECK_STRING(run("local v = value(open(), [[select '{\"a\": [1, 2.5, null, \"x\\u00e9\"], "
                     "\"b\": 9007199254740993}'::jsonb]]) "
                     "return v.a[1] .. v.a[2] .. tostring(v.a[3] == null) .. v.a[4] .. v.b"),
                 "returned: 12.5truexé9007199254740993");
    CHECK_STRING(run("return value(open(), [[select 'null'::json]]) == null"), "returned: true");
    /* what we cannot decode is text, and the connection goes on */
    CHECK_STRING(run("local c = open() local v = value(c, \"select (repeat('[', 200) || "
                     "repeat(']', 200))::json\") return #v .. type(v) .. value(c, 'select 1') .. "
                     "c:state()"),
                 "returned: 400string1idle");
    CHECK_STRING(run("local c = open() local v = value(c, [[select '\"\\u0000\"'::json]]) "
                     "return #v .. c:state()"),
                 "returned: 1idle");
    CHECK_STRING(run("local c = open() local v = value(c, [[select ' [1e400] '::json]]) "
                     "return type(v) .. c:state()"),
                 "returned: stringidle");
}

/* A value of a session whose settings the script has changed is still itself. */
TEST(zones_of_the_script_are_kept)
{
    CHECK_STRING(run("local c = open() run(c, \"set timezone = 'Europe/Paris'\") "
                     "return value(c, \"select '1890-01-01 00:00:00+00'::timestamptz\") .. "
                     "' ' .. value(c, \"select '2026-07-01 00:00:00+00'::timestamptz\")"),
                 "returned: 1890-01-01T00:09:21+00:09:21 2026-07-01T02:00:00+02");
    CHECK_STRING(run("local c = open() run(c, \"set datestyle = 'German'\") "
                     "return value(c, \"select '2026-07-01 10:00:00+00'::timestamptz\")"),
                 "returned: 01.07.2026 10:00:00 UTC");
}

TEST(parameters_arrive_as_they_are)
{
    static const struct {
        const char *type, *lua;
    } cases[] = {
        {"int8", "math.maxinteger"},
        {"int8", "math.mininteger"},
        {"int4", "-7"},
        {"float8", "0.1"},
        {"float8", "1/0"},
        {"float8", "-1/0"},
        {"float8", "5e-324"},
        {"float8", "1.7976931348623157e308"},
        {"text", "'x'"},
        {"text", "''"},
        {"text", "'\\u{e9}\\u{1F600} \\\\ \\' \\\"'"},
        {"bool", "true"},
        {"bool", "false"},
        {"int4", "null"},
        {"jsonb", "12"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "local c = open() local w = %s local v = value(c, 'select $1::%s', w) "
                 "return v == w and math.type(v) == math.type(w) and 'same' or v",
                 cases[i].lua, cases[i].type);
        CHECK_STRING(run(text), "returned: same");
    }
    CHECK_STRING(of("value(c, 'select $1::int is null', nil)"), "returned: true");
    CHECK_STRING(run("local v = value(open(), 'select $1::float8', 0/0) return v ~= v"),
                 "returned: true");
    CHECK_STRING(of("value(c, 'select $1::bytea', { bytes = '\\0\\1\\255' }) == '\\0\\1\\255'"),
                 "returned: true");
    CHECK_STRING(of("value(c, 'select length($1)', { bytes = '' })"), "returned: 0");
    CHECK_STRING(of("#value(c, 'select $1::text', ('x'):rep(1000000))"), "returned: 1000000");
    CHECK_STRING(of("value(c, 'select $2 || $1', 'a', 'b')"), "returned: ba");
    CHECK(has(of("why(c, 'select $1::int', 'x')"), "returned: query: invalid input syntax"));
    CHECK(has(of("why(c, 'select $1::text', '\\xff')"), "returned: query: invalid byte sequence"));
    CHECK(has(of("why(c, 'select $1::int, $2::int', 1)"), "returned: syntax: "));
    CHECK(has(of("why(c, 'select 1', 1)"), "returned: syntax: "));
    static const struct {
        const char *call, *wanted;
    } misuses[] = {
        {"c:run('select $1', { n = 1, {} }, how())", "parameter $1 is a table"},
        {"c:run('select $1', { n = 1, print or open }, how())", "parameter $1 is a function"},
        {"c:run('select $1', { n = 1, 'a\\0b' }, how())", "parameter $1 holds a zero byte"},
        {"c:run('select\\0 1', { n = 0 }, how())", "a statement holds no zero byte"},
        {"c:run('select 1', { n = 65536 }, how())", "at most 65535 parameters"},
        {"c:run('select 1', { n = -1 }, how())", "at most 65535 parameters"},
        {"c:run('select 1', nil, how())", "table expected"},
        {"c:run('select 1', { n = 0 })", "table expected"},
        {"c:run('select 1', {}, how())", "number expected"},
        {"c.run({}, 'select 1', { n = 0 }, how())", "db connection expected"},
        {"c:control()", "string expected"},
        {"pg.connect()", "string expected"},
        {"pg.connect(URL)", "table expected"},
        {"pg.connect(URL, {})", "number expected"},
        {"pg.connect(URL, options { timeout = -1 })", "must be a number of seconds"},
        {"pg.connect(URL, options { timeout = 0/0 })", "must be a number of seconds"},
    };
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        char text[300];
        snprintf(text, sizeof text, "local c = open() %s", misuses[i].call);
        CHECK(has(run(text), "raised: "));
        CHECK(has(out.text, misuses[i].wanted));
    }
}

TEST(many_parameters)
{
    CHECK_STRING(run("local p, q = { n = 65535 }, {} for i = 1, 65535 do p[i] = i "
                     "q[i] = '$' .. i .. '::int' end local c = open() "
                     "local r, f = c:run('select ' .. table.concat(q, '+', 1, 1000), "
                     "{ n = 1000, table.unpack(p, 1, 1000) }, how()) "
                     "local s, g = c:run('select array[' .. table.concat(q, ',') .. ']', p, how()) "
                     "return (r and r.rows[1][1] or told(f)) .. ' ' .. "
                     "(s and #s.rows[1][1] or told(g))"),
                 "returned: 500500 65535");
}

/* --- results ----------------------------------------------------------------------- */

TEST(results_tell_what_they_are)
{
    CHECK_STRING(run("local r = run(open(), 'select 1 as a, 2 as b where false') "
                     "return #r.rows .. table.concat(r.columns, ',') .. r.count .. r.command .. "
                     "tostring(r.affected)"),
                 "returned: 0a,b0SELECT0");
    CHECK_STRING(run("local r = run(open(), 'select from generate_series(1, 3)') "
                     "return #r.rows .. #r.columns .. r.count .. #r.rows[3]"),
                 "returned: 3030");
    CHECK_STRING(run("local t = {} for i = 1, 1600 do t[i] = i .. ' as c' .. i end "
                     "local r = open():run('select ' .. table.concat(t, ','), { n = 0 }, "
                     "how { shape = 'named' }) return #r.columns .. ' ' .. r.rows[1].c1600"),
                 "returned: 1600 1600");
    CHECK_STRING(
        run("local c = open(URL, { write = true }) local t = {} local function say(sql) "
            "local r = run(c, sql) t[#t + 1] = r.command .. ':' .. tostring(r.affected) .. "
            "':' .. #r.rows end say('create temp table t (i int)') "
            "say('insert into t select generate_series(1, 7)') "
            "say('update t set i = i + 1 where i > 2') say('delete from t where i = 1') "
            "say('insert into t values (9) returning i') say('select * from t') "
            "say('begin') say('commit') say('show timezone') say('explain select 1') "
            "say('create table if not exists pg_temp.t (i int)') "
            "say('select * into temp u from t') return table.concat(t, ' ')"),
        "returned: CREATE TABLE:nil:0 INSERT:7:0 UPDATE:5:0 DELETE:1:0 INSERT:1:1 "
        "SELECT:7:7 BEGIN:nil:0 COMMIT:nil:0 SHOW:nil:1 EXPLAIN:nil:1 CREATE TABLE:nil:0 "
        "SELECT:7:0");
    CHECK_STRING(of("#run(c, 'select generate_series(1, 20000)').rows"), "returned: 20000");
    CHECK_STRING(
        run("local r = open():run([[select 1 as \"a b\", null as n, 2 as \"1\"]], { n = 0 }, "
            "how { shape = 'named' }).rows[1] "
            "return r['a b'] .. tostring(r.n == null) .. r['1'] .. tostring(r[1])"),
        "returned: 1true2nil");
}

TEST(two_columns_of_one_name_are_refused)
{
    CHECK_STRING(run("local c = open() local r, f = c:run('select 1 as a, 2 as a from "
                     "generate_series(1, 100000)', { n = 0 }, how { shape = 'named' }) "
                     "return f.kind .. tostring(f.closed) .. c:state() .. value(c, 'select 7')"),
                 "returned: syntaxnilidle7");
    CHECK_STRING(run("local c = open() local r, f = c:run('select 1 as a, 2 as a where false', "
                     "{ n = 0 }, how { shape = 'named' }) return f.kind .. c:state()"),
                 "returned: syntaxidle");
    CHECK_STRING(of("#run(c, 'select 1 as a, 2 as a').rows[1]"), "returned: 2");
}

TEST(results_are_bounded)
{
    CHECK_STRING(
        run("local c = open() local r = c:run('select generate_series(1, 500)', { n = 0 }, "
            "how { most = 3 }) return #r.rows .. ' ' .. r.count .. ' ' .. r.affected"),
        "returned: 3 500 500");
    CHECK_STRING(run("local c = open() local r = c:run('select 1 as a', { n = 0 }, "
                     "how { most = 0 }) return #r.rows .. ' ' .. r.count .. r.columns[1]"),
                 "returned: 0 1a");
    CHECK_STRING(run("local c = open() local t = host.now() local r, f = c:run("
                     "'select generate_series(1, 1000000000)', { n = 0 }, how { max_rows = 10 }) "
                     "return told(f) .. ' ' .. c:state() .. value(c, 'select 5') .. "
                     "tostring(host.now() - t < 15)"),
                 "returned: limit: the result has more than 10 rows: ask for fewer (limit), or set "
                 "max_rows idle5true");
    CHECK_STRING(
        run("local c = open() local ok = c:run('select generate_series(1, 10)', { n = 0 }, "
            "how { max_rows = 10 }) return ok.count"),
        "returned: 10");
    CHECK_STRING(run("local c = open() local r, f = c:run("
                     "\"select repeat('x', 1000) from generate_series(1, 100000)\", { n = 0 }, "
                     "how { max_bytes = 10000 }) return told(f) .. ' ' .. c:state()"),
                 "returned: limit: the result has more than 10000 bytes: ask for less, or set "
                 "max_bytes idle");
    /* one value that is more than all: the connection goes, before it has arrived */
    CHECK_STRING(run("local c = open() local t = host.now() local r, f = c:run("
                     "\"select repeat('x', 50000000)\", { n = 0 }, how { max_bytes = 10000 }) "
                     "return f.kind .. tostring(f.closed) .. c:state()"),
                 "returned: limittrueclosed");
    CHECK_STRING(run("local c = open() local r, f = c:run("
                     "\"do $$ begin raise exception '%', repeat('x', 30000000); end $$\", "
                     "{ n = 0 }, how { max_bytes = 10000 }) return f.kind"),
                 "returned: limit");
    check_server_is_rid_of_us();
}

TEST(control_is_many_statements_and_run_is_one)
{
    CHECK_STRING(run("local c = open() local t = { c:state() } "
                     "control(c, \"begin; set local lock_timeout = '1s'; select 1\") "
                     "t[2] = c:state() t[3] = why(c, 'select 1/0') t[4] = c:state() "
                     "t[5] = why(c, 'select 1') control(c, 'rollback') t[6] = c:state() "
                     "return table.concat(t, ' | ')"),
                 "returned: idle | transaction | query: division by zero | failed | query: current "
                 "transaction is aborted, commands ignored until end of transaction block | idle");
    CHECK(has(of("why(c, 'select 1; select 2')"),
              "returned: syntax: cannot insert multiple commands into a prepared statement"));
    CHECK_STRING(run("local c = open() local ok, f = c:control('begin; wrong; select 1') "
                     "return told(f) .. ' ' .. f.position .. c:state()"),
                 "returned: syntax: syntax error at or near \"wrong\" 8idle");
    CHECK(has(of("why(c, '')"), "returned: syntax: the statement is empty"));
    CHECK(has(of("why(c, '-- nothing')"), "returned: syntax: the statement is empty"));
    CHECK(has(of("why(c, 'copy pg_class to stdout')"), "returned: syntax: COPY from or to"));
    CHECK(has(run("local c = open(URL, { write = true }) run(c, 'create temp table t (i int)') "
                  "local f = fault(c, 'copy t from stdin') return f.kind .. c:state()"),
              "returned: syntaxclosed"));
}

/* --- row by row ---------------------------------------------------------------------- */

TEST(rows_come_one_by_one)
{
    CHECK_STRING(run("local c = open() start(c, 'select generate_series(1, 5)') local t = {} "
                     "for _ = 1, 9 do local r, f = c:next() if not r then t[#t + 1] = tostring(f) "
                     "break end t[#t + 1] = r[1] .. c:state() end "
                     "return table.concat(t, ' ') .. c:state()"),
                 "returned: 1busy 2busy 3busy 4busy 5busy nilidle");
    CHECK_STRING(run("local c = open() start(c, 'select 1 where false') "
                     "local r, f = c:next() return tostring(r) .. tostring(f) .. c:state()"),
                 "returned: nilnilidle");
    CHECK_STRING(
        run("local c = open() start(c, 'select 10 / (3 - i) from generate_series(1, 9) i') "
            "local a, b = c:next(), c:next() local r, f = c:next() "
            "return a[1] .. b[1] .. tostring(r) .. told(f) .. c:state()"),
        "returned: 510nilquery: division by zeroidle");
    CHECK(has(run("local c = open() local ok, f = c:start('wrong', { n = 0 }, how()) "
                  "return told(f) .. c:state()"),
              "returned: syntax: syntax error at or near \"wrong\"idle"));
    CHECK(has(run("local c = open() c:next()"), "no rows are being read"));
    CHECK(has(run("local c = open() start(c, 'select 1') c:next() c:next() c:next()"),
              "no rows are being read"));
    CHECK(has(run("local c = open() start(c, 'select 1') run(c, 'select 2')"),
              "the connection is busy with another statement"));
    CHECK_STRING(run("local c = open() local ok, f = c:start('select generate_series(1, 100)', "
                     "{ n = 0 }, how { max_rows = 3 }) c:next() c:next() c:next() "
                     "local r, g = c:next() return g.kind .. c:state() .. value(c, 'select 1')"),
                 "returned: limitidle1");
    CHECK_STRING(run("local c = open() start(c, 'select generate_series(1, 3000000)') "
                     "for i = 1, 50000 do if c:next()[1] ~= i then return i end end return 'ok'"),
                 "returned: ok");
}

TEST(the_rest_of_the_rows_is_dropped)
{
    /* outside a transaction it is cancelled, which the next statement does not notice */
    CHECK_STRING(run("local c = open() local t = host.now() for i = 1, 8 do "
                     "start(c, 'select generate_series(1, 100000000)') c:next() c:stop() "
                     "if value(c, 'select $1::int', i) ~= i then return 'wrong' end end "
                     "return c:state() .. tostring(host.now() - t < 19)"),
                 "returned: idletrue");
    /* inside one, it is read and dropped, and the transaction lives on */
    CHECK_STRING(run("local c = open() control(c, 'begin') start(c, 'select "
                     "generate_series(1, 200000)') c:next() c:stop() local s = c:state() "
                     "local v = value(c, 'select 5') return s .. v .. c:state()"),
                 "returned: busy5transaction");
    CHECK_STRING(run("local c = open() control(c, 'begin') start(c, 'select "
                     "generate_series(1, 200000)') c:next() c:stop() control(c, 'commit') "
                     "return c:state()"),
                 "returned: idle");
    CHECK_STRING(run("local c = open() control(c, 'begin') start(c, 'select "
                     "generate_series(1, 1000)') c:next() c:stop() "
                     "start(c, 'select 4') local v = c:next()[1] c:stop() c:stop() "
                     "control(c, 'commit') return v .. c:state()"),
                 "returned: 4idle");
    /* unless it is too much */
    CHECK_STRING(run("local c = open() control(c, 'begin') start(c, \"select repeat('x', 10000) "
                     "from generate_series(1, 1000000)\") c:next() c:stop() "
                     "local f = fault(c, 'select 5') return f.kind .. ' ' .. c:state()"),
                 "returned: query failed");
    CHECK_STRING(run("local c = open() start(c, 'select 1') c:stop() c:close() c:stop() "
                     "return c:state()"),
                 "returned: closed");
    check_server_is_rid_of_us();
}

/* --- what goes wrong --------------------------------------------------------------------- */

TEST(faults_of_statements_have_kinds)
{
    CHECK_STRING(
        run("local f = fault(open(), \"select 'é', wrong from pg_class\") return f.kind .. "
            "f.code .. f.phase .. f.position .. tostring(f.closed) .. "
            "tostring(f.timings.total < 3) .. tostring(f.target ~= nil)"),
        "returned: query42703query13niltruetrue");
    CHECK_STRING(run("local f = fault(open(), 'select * form x') return f.kind .. f.position"),
                 "returned: syntax10");
    CHECK_STRING(
        run("local c = open(URL, { write = true }) run(c, 'create temp table t (i int constraint "
            "positive check (i > 0), j int constraint one unique)') run(c, 'insert into t values "
            "(1, 1)') local f, g = fault(c, 'insert into t values (-1, 2)'), "
            "fault(c, 'insert into t values (1, 1)') return f.kind .. f.constraint .. g.kind .. "
            "g.constraint .. g.detail"),
        "returned: constraintpositiveconstraintoneKey (j)=(1) already exists.");
    CHECK_STRING(run("local c = open(URL, { statement_timeout = 0.2 }) local t = host.now() "
                     "local f = fault(c, 'select pg_sleep(9)') return f.kind .. f.code .. "
                     "tostring(host.now() - t < 8) .. c:state() .. value(c, 'select 1')"),
                 "returned: statement_timeout57014trueidle1");
    CHECK_STRING(run("local c = open(URL, { statement_timeout = 0.3 }) start(c, 'select pg_sleep("
                     "0.02), repeat(chr(120), 9000) from generate_series(1, 100)') local r, f "
                     "repeat r, f = c:next() until not r return f.kind .. c:state()"),
                 "returned: statement_timeoutidle");
    CHECK_STRING(
        run("local a, b = open(URL, { write = true }), open(URL, { lock_timeout = 0.1, "
            "write = true }) run(a, 'create table locked (i int)') control(a, 'begin; lock "
            "locked') local f = fault(b, 'select * from locked') control(a, 'rollback') "
            "run(a, 'drop table locked') return f.kind .. f.code .. b:state()"),
        "returned: lock_timeout55P03idle");
    CHECK_STRING(
        run("local a, b = open(), open() local pid = value(a, 'select pg_backend_pid()') "
            "local f = {} host.parallel(function() f = fault(a, 'select pg_sleep(9)') end, "
            "function() host.sleep(0.1) run(b, 'select pg_cancel_backend($1)', pid) end) "
            "return f.kind .. f.code .. tostring(f.closed) .. a:state()"),
        "returned: killed57014nilidle");
}

TEST(a_session_that_is_killed_is_closed)
{
    CHECK_STRING(
        run("local a, b = open(), open() local pid = value(a, 'select pg_backend_pid()') "
            "local f = {} host.parallel(function() f = fault(a, 'select pg_sleep(9)') end, "
            "function() host.sleep(0.1) run(b, 'select pg_terminate_backend($1)', pid) "
            "end) return f.kind .. tostring(f.code) .. tostring(f.closed) .. a:state()"),
        "returned: killed57P01trueclosed");
    /* between two statements */
    CHECK_STRING(run("local a, b = open(), open() local pid = value(a, 'select pg_backend_pid()') "
                     "run(b, 'select pg_terminate_backend($1)', pid) host.sleep(0.1) "
                     "local f = fault(a, 'select 1') "
                     "return f.kind .. tostring(f.code) .. tostring(f.closed) .. a:state()"),
                 "returned: killed57P01trueclosed");
    CHECK_STRING(run("local c = open(URL, { idle_timeout = 0.1 }) control(c, 'begin') "
                     "host.sleep(0.4) local f = fault(c, 'select 1') "
                     "return f.kind .. tostring(f.code) .. tostring(f.closed) .. c:state()"),
                 "returned: killed25P03trueclosed");
    CHECK_STRING(run("local c = open(URL, { idle_timeout = 0.1 }) control(c, 'begin') "
                     "host.sleep(0.4) local ok, f = c:control('commit') "
                     "return tostring(ok) .. f.kind .. c:state()"),
                 "returned: nilkilledclosed");
}

TEST(a_deadlock_is_one)
{
    CHECK_STRING(
        run("local w = { write = true } local a, b = open(URL, w), open(URL, w) "
            "run(a, 'create table dead (i int)') run(a, 'insert into dead values (1), (2)') "
            "local kinds = {} for _, c in ipairs { a, b } do control(c, \"begin; set local "
            "deadlock_timeout = '50ms'\") end run(a, 'update dead set i = i where i = 1') "
            "run(b, 'update dead set i = i where i = 2') host.parallel("
            "function() kinds[1] = fault(a, 'update dead set i = i where i = 2').kind "
            "control(a, 'rollback') end, "
            "function() kinds[2] = fault(b, 'update dead set i = i where i = 1').kind "
            "control(b, 'rollback') end) run(a, 'drop table dead') table.sort(kinds) "
            "return table.concat(kinds, ' ')"),
        "returned: deadlock none");
}

/* --- many at once, and ends ------------------------------------------------------------------ */

TEST(one_connection_serves_one_at_a_time)
{
    CHECK(has(run("local c, t = open(), {} host.parallel("
                  "function() t[1] = value(c, 'select pg_sleep(0.1), 1') end, "
                  "function() run(c, 'select 2') end) return 'both'"),
              "raised: "));
    CHECK(has(out.text, "the connection is busy with another statement"));
    /* closed by one while the other waits: that is no success */
    CHECK_STRING(run("local c, t = open(), {} host.parallel("
                     "function() t[1] = fault(c, 'select pg_sleep(9)') end, "
                     "function() host.sleep(0.05) c:close() end) "
                     "return t[1].kind .. tostring(t[1].closed) .. c:state()"),
                 "returned: cancelledtrueclosed");
    CHECK_STRING(run("local c, t = open(), {} host.parallel("
                     "function() t[1], t[2] = c:control('begin; select pg_sleep(9)') end, "
                     "function() host.sleep(0.05) c:close() end) "
                     "return tostring(t[1]) .. t[2].kind"),
                 "returned: nilcancelled");
    CHECK_STRING(run("local c, t = open(), {} start(c, 'select pg_sleep(i), "
                     "repeat(chr(120), 9000) from generate_series(0, 9) i') c:next() host.parallel("
                     "function() t[1], t[2] = c:next() end, "
                     "function() host.sleep(0.05) c:close() end) "
                     "return tostring(t[1]) .. t[2].kind"),
                 "returned: nilcancelled");
    CHECK_STRING(run("local c, t = open(), {} host.parallel("
                     "function() t[1], t[2] = c:start('select pg_sleep(9)', { n = 0 }, how()) end, "
                     "function() host.sleep(0.05) c:close() end) "
                     "return tostring(t[1]) .. t[2].kind"),
                 "returned: nilcancelled");
    /* stopped by one while the other waits for a row */
    CHECK_STRING(
        run("local c, t = open(), {} control(c, 'begin') start(c, 'select pg_sleep(0.1 * "
            "i), repeat(chr(120), 9000) from generate_series(0, 2) i') c:next() host.parallel("
            "function() t[1], t[2] = c:next() end, "
            "function() host.sleep(0.05) c:stop() end) "
            "return tostring(t[1]) .. tostring(t[2]) .. c:state() .. value(c, 'select 1')"),
        "returned: nilniltransaction1");
    check_server_is_rid_of_us();
}

TEST(what_is_closed_is_of_no_use)
{
    static const char *const calls[] = {"c:run('select 1', { n = 0 }, how())",
                                        "c:start('select 1', { n = 0 }, how())", "c:next()",
                                        "c:control('begin')", "c:info()"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char text[200];
        snprintf(text, sizeof text, "local c = open() c:close() c:close() %s", calls[i]);
        CHECK(has(run(text), "the connection is closed"));
    }
    CHECK_STRING(run("local c = open() c:close() return c:state() .. tostring(c)"),
                 "returned: closeddb connection (closed)");
}

TEST(nothing_waits_where_nothing_can)
{
    CHECK(has(run("local c = open() table.sort({ 1, 2 }, function() run(c, 'select 1') end)"),
              "cannot wait here"));
    CHECK(has(run("table.sort({ 1, 2 }, function() open() end)"), "cannot wait here"));
    CHECK_STRING(run("local c = open() pcall(table.sort, { 1, 2 }, function() run(c, 'select 1') "
                     "end) return c:state() .. value(c, 'select 3')"),
                 "returned: idle3");
}

TEST(a_deadline_may_fall_anywhere)
{
    static const char *const scripts[] = {
        "open(URL)",
        "open(LOGIN)",
        "open(TLS)",
        "local c = open(SOCKET) while true do run(c, 'select pg_sleep(0.002)') "
        "start(c, 'select generate_series(1, 1000000)') c:next() c:stop() end",
        "local c = open(SOCKET) control(c, 'begin') while true do "
        "start(c, 'select generate_series(1, 3000)') c:next() c:stop() control(c, 'select 1') end",
        "host.parallel(function() open(LOGIN) end, function() run(open(URL), 'select pg_sleep(9)') "
        "end, function() try('host=localhost,::1,127.0.0.1 port=1') end)",
        "local t = {} for i = 1, 12 do t[i] = function() open(LOGIN) host.sleep(1) end end "
        "host.parallel(table.unpack(t))",
    };
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        for (unsigned ms = 0; ms <= 40; ms++) {
            run_in(scripts[i], ms, MEMORY);
            CHECK(strcmp(out.text, "killed: deadline") == 0 || has(out.text, "returned: "));
        }
    check_server_is_rid_of_us();
}

/* Not only the connection goes: the server is told to stop. */
TEST(a_deadline_ends_the_statement_on_the_server)
{
    CHECK_STRING(run_in("run(open(), 'select pg_sleep(30)')", 300, MEMORY), "killed: deadline");
    check_server_is_rid_of_us();
    /* what it had locked is free */
    CHECK_STRING(run("local c = open(URL, { write = true }) run(c, 'create table held (i int)') "
                     "return 'made'"),
                 "returned: made");
    CHECK_STRING(run_in("local c = open(URL, { write = true }) control(c, 'begin; lock held') "
                        "run(c, 'select pg_sleep(30)')",
                        300, MEMORY),
                 "killed: deadline");
    CHECK_STRING(run("local c = open(URL, { write = true, lock_timeout = 1 }) "
                     "run(c, 'drop table held') return 'free'"),
                 "returned: free");
}

TEST(a_timeout_is_kept)
{
    CHECK(has(run("local t = host.now() local c, f = try(LOGIN, { timeout = 0.001 }) "
                  "return (c and 'open ' or f.kind .. ' ') .. tostring(host.now() - t < 4)"),
              " true"));
    check_server_is_rid_of_us();
}

TEST(memory_may_run_out_anywhere)
{
    const char *text =
        "local c = open(LOGIN) local r = c:run('select 1 as a, $1::text as b, array[1,2] as c', "
        "{ n = 1, ('x'):rep(1000) }, how { shape = 'named' }) control(c, 'begin') "
        "start(c, 'select generate_series(1, 3)') while c:next() do end fault(c, 'wrong') "
        "no('host=127.0.0.1 port=1') return c:info().user .. #r.rows[1].c";
    bool enough = false;
    for (size_t limit = 40000; limit < 600000 && !enough; limit += 1500)
        enough = strcmp(run_in(text, 5000, limit), "returned: shop2") == 0;
    CHECK(enough);
    check_server_is_rid_of_us();
}

/* What libpq holds is the sandbox's too. */
TEST(memory_of_libpq_is_counted)
{
    CHECK(has(run_in("local c, s = open(), ('x'):rep(1 << 20) local p = { n = 1000 } "
                     "for i = 1, 1000 do p[i] = s end c:run('select 1', p, how())",
                     5000, 8 * MB),
              "not enough memory for the statement and its parameters"));
    CHECK_STRING(run_in("local c = open() local r, f = c:run(\"select repeat('x', 6000000)\", "
                        "{ n = 0 }, how { most = 0 }) return (r and 'read' or f.kind) .. c:state()",
                        5000, 4 * MB),
                 "returned: limitclosed");
    CHECK(has(run_in("local t = {} for i = 1, 40 do t[i] = open(SOCKET) end", 9000, MB),
              "not enough memory for another connection"));
    check_server_is_rid_of_us();
}

/* --- waiting for a turn ------------------------------------------------------------------------
 */

/* The server takes 50. */
TEST(many_connections)
{
    if (getenv("HOSPITAL_SANITIZED")) /* so slow that turns are over before their time */
        return;
    CHECK_STRING(run_in("local f, most = {}, 0 for i = 1, 200 do f[i] = function() "
                        "local c = open(LOGIN, { timeout = 3 }) local v = value(c, 'select 1') "
                        "local n = value(c, \"select count(*) from pg_stat_activity where "
                        "application_name like 'hospital%'\") most = math.max(most, n) c:close() "
                        "return v end end host.parallel(table.unpack(f)) "
                        "return most <= 30 and 'few' or most",
                        30000, 32 * MB),
                 "returned: few");
}

/* One that does not answer is not waited for until the end when there are others. */
TEST(an_address_has_its_share_of_the_time)
{
    struct peer peer;
    char text[300];
    int fds[4];
    CHECK(peer_start(&peer, PEER_DEAF, "127.0.0.1", 0));
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)peer.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 4; i++) { /* fill the backlog */
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&at, sizeof at);
    }
    snprintf(text, sizeof text,
             "local c = open('host=127.0.0.1,127.0.0.1 user=postgres port=%d,' .. PORT, "
             "{ timeout = 1 }) local t = c:info().timings "
             "return tostring(t.connect > 0.4 and t.total < 0.9)",
             peer.port);
    CHECK_STRING(run(text), "returned: true");
    snprintf(text, sizeof text, "return no('host=127.0.0.1 port=%d', { timeout = 0.2 })",
             peer.port);
    CHECK_STRING(run(text), "returned: timeout: no connection within 0.2 s");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    peer_stop(&peer);
}

/* A socket that nobody accepts from, its backlog full: it refuses at once. */
TEST(a_crowd_may_be_refused_at_once)
{
    char directory[] = "/tmp/postgres_test.XXXXXX", text[600];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), fds[8], count = 0;
    CHECK(mkdtemp(directory) != NULL);
    snprintf(at.sun_path, sizeof at.sun_path, "%s/.s.PGSQL.5432", directory);
    CHECK(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 4) == 0);
    for (; count < 1; count++) {
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK(connect(fds[count], (struct sockaddr *)&at, sizeof at) == 0);
    }
    snprintf(text, sizeof text,
             "local f, kinds = {}, {} for i = 1, 4000 do f[i] = function() "
             "local c, f = try('host=%s', { timeout = 1 }) "
             "kinds[f.kind] = (kinds[f.kind] or 0) + 1 end end "
             "host.parallel(table.unpack(f)) return kinds.timeout .. ' ' .. kinds.connect",
             directory);
    CHECK_STRING(run_in(text, 30000, 64 * MB), "returned: 4 3996");
    while (count > 0)
        close(fds[--count]);
    close(listener);
    unlink(at.sun_path);
    rmdir(directory);
}

/* --- main ------------------------------------------------------------------------------------- */

static void open_services(void)
{
    CHECK(strcmp(run("open() pcall(no, 'host=localhost') return 1"), "returned: 1") == 0);
    own_watches = reactor.loop.watches;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!getenv("PG_TEST_URL") || !script_open(&reactor, NULL))
        return 1;
    test_ok = true;
    open_services();
    RUN(a_server_is_reached_in_many_ways);
    RUN(the_environment_and_a_service_file_are_read);
    RUN(a_session_is_as_we_want_it);
    RUN(what_is_read_only_stays_so);
    RUN(a_kind_of_server_can_be_asked_for);
    RUN(faults_of_login_have_kinds);
    RUN(no_message_holds_a_piece_of_a_password);
    RUN(values_become_lua_s);
    RUN(numeric_may_be_a_number);
    RUN(arrays_become_tables);
    RUN(json_is_decoded);
    RUN(zones_of_the_script_are_kept);
    RUN(parameters_arrive_as_they_are);
    RUN(many_parameters);
    RUN(results_tell_what_they_are);
    RUN(two_columns_of_one_name_are_refused);
    RUN(results_are_bounded);
    RUN(control_is_many_statements_and_run_is_one);
    RUN(rows_come_one_by_one);
    RUN(the_rest_of_the_rows_is_dropped);
    RUN(faults_of_statements_have_kinds);
    RUN(a_session_that_is_killed_is_closed);
    RUN(a_deadlock_is_one);
    RUN(one_connection_serves_one_at_a_time);
    RUN(what_is_closed_is_of_no_use);
    RUN(nothing_waits_where_nothing_can);
    RUN(a_deadline_may_fall_anywhere);
    RUN(a_deadline_ends_the_statement_on_the_server);
    RUN(a_timeout_is_kept);
    RUN(memory_may_run_out_anywhere);
    RUN(memory_of_libpq_is_counted);
    RUN(many_connections);
    RUN(an_address_has_its_share_of_the_time);
    RUN(a_crowd_may_be_refused_at_once);
    script_close(&reactor);
    return test_report();
}
