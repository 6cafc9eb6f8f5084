-- Checks of PostgreSQL by the real binary against real servers: what a check is told when
-- something is wrong, what is left on the server, and that no password is ever printed.
local accept = require "spec.support.accept"
local postgres = require "spec.support.postgres"
local process = require "spec.support.process"
local tree = require "spec.support.tree"

local SCHEMA = [[
create table orders (id serial primary key, sku text unique, quantity int check (quantity > 0));
insert into orders (sku, quantity) values ('tea', 2), ('milk', 1);
]]

local function url_of(server, ...) return ("%q"):format(server:url(...)) end

describe("a check of PostgreSQL", function()
  local server

  setup(function()
    server = postgres.start({
      tls = true, schema = SCHEMA, users = { shop = "open sesame", secure = "open sesame", many = "open sesame" },
      hba = { "hostnossl all secure 127.0.0.1/32 reject" },
    })
    server:sql("alter role many connection limit 0")
  end)
  teardown(postgres.clean)
  after_each(function()
    tree.clean()
    server:wait("select count(*) from pg_stat_activity where application_name like 'hospital/%'", "0", 5)
  end)

  local function run(body, options)
    return accept.run(accept.fill("local DB = @url@\n" .. body, { url = url_of(server) }), options)
  end

  it("reads values as Lua's", function()
    local done = run [[
healthcheck("values", function()
  local conn <close> = db.connect(DB)
  assert_equal({ { sku = "milk", quantity = 1 }, { sku = "tea", quantity = 2 } },
    conn:query("select sku, quantity from orders order by sku"))
  assert_equal({ sku = "tea" }, conn:row("select sku from orders where quantity = $1", 2))
  assert_nil(conn:row("select sku from orders where quantity = $1", 99))
  assert_equal(9007199254740993, conn:value("select 9007199254740993"))
  assert_equal({ nothing = db.null }, conn:row("select null as nothing"))
  assert_nil(conn:value("select null"))
  assert_equal("12345678901234567890.5", conn:value("select 12345678901234567890.5"))
  assert_equal({ 1, 2, db.null }, conn:value("select array[1, 2, null]"))
  assert_equal({ up = true }, conn:value("select '{\"up\": true}'::jsonb"))
  assert_equal("2026-11-21T05:49:00Z", conn:value("select timestamptz '2026-11-21 06:49:00+01'"))
  assert_equal("\0\255", conn:value("select $1::bytea", db.bytes("\0\255")))
  assert_equal({ "a,b", 'c"d' }, conn:value("select $1::text[]", { "a,b", 'c"d' }))
  local sum = 0
  for row in conn:each("select g from generate_series(1, 50000) g") do sum = sum + row.g end
  assert_equal(1250025000, sum)
  for row in conn:each("select g from generate_series(1, 10000000) g") do if row.g == 3 then break end end
  assert_equal(2, conn:value("select count(*) from orders"))
end)]]
    assert.are.equal("pass", done.check("values").status, done.stdout)
  end)

  it("is told its own session: bounded, named, read-only, and gone with the check", function()
    local done = run [[
healthcheck("the session", { timeout = "20s" }, function()
  local conn = db.connect(DB)
  local function setting(name) return conn:value("select setting::int from pg_settings where name = $1", name) end
  assert_equal("hospital/the session", conn:value("show application_name"))
  assert_equal("on", conn:value("show default_transaction_read_only"))
  assert_equal("on", conn:value("show transaction_read_only"))
  for _, name in ipairs({ "statement_timeout", "idle_in_transaction_session_timeout" }) do
    assert_greater(setting(name), 10000, name)
    assert_less(setting(name), 30000, name)
  end
  assert_equal(2000, setting("lock_timeout"))
  assert_equal(500, setting("client_connection_check_interval"))
  assert_true(conn:info().tls)
end)]]
    assert.are.equal("pass", done.check("the session").status, done.stdout)
  end)

  it("writes only when it says so", function()
    local done = run [[
local INSERT = "insert into orders (sku, quantity) values ('coffee', 1)"
healthcheck("reads", function() db.connect(DB):exec(INSERT) end)
healthcheck("tries to", function()
  local conn = db.connect(DB)
  expect_error(function() conn:exec("begin read write") end)
  expect_error(function()
    conn:transaction(function() conn:exec("set transaction read write") end)
  end, "before any query")
end)
healthcheck("says so", function()
  local conn = db.connect(DB, { write = true })
  assert_equal(1, conn:exec(INSERT))
  conn:transaction(function() conn:exec("update orders set quantity = 7 where sku = 'coffee'") end)
  expect_error(function() conn:transaction(function() conn:exec("delete from orders") error("back") end) end)
  assert_equal(7, conn:value("select quantity from orders where sku = 'coffee'"))
  conn:exec("delete from orders where sku = 'coffee'")
end)]]
    accept.told(done.check("reads"), "error read_only/query", "cannot execute INSERT in a read-only transaction")
    assert.are.equal("pass", done.check("tries to").status, done.stdout)
    assert.are.equal("pass", done.check("says so").status, done.stdout)
    assert.are.equal("2", server:sql("select count(*) from orders"))
  end)

  it("fails with a kind that says what is wrong", function()
    local closed = server:url():gsub(":%d+/", ":1/")
    local cases = {
      { "refused", closed, "fail connect/connect", "connection refused" },
      { "unknown host", "postgres://u@no.such.host.invalid/x", "fail dns/dns", "no.such.host.invalid" },
      { "wrong password", server:url({ user = "shop", password = "hunter2" }), "fail authentication/login",
        "password authentication failed" },
      { "no password", server:url({ user = "shop", password = false }), "fail authentication/login", "no password" },
      { "no database", server:url({ database = "nowhere" }), "fail no_database/login", "nowhere" },
      { "too many", server:url({ user = "many" }), "fail too_many_connections/login", "too many connections" },
      { "TLS required", server:url({ user = "secure", params = { sslmode = "disable" } }), "fail tls/login", "no encryption" },
      { "TLS untrusted", server:url({ params = { sslmode = "verify-full", sslrootcert = "/etc/ssl/certs/ca-certificates.crt" } }),
        "fail tls/tls", "certificate verify failed" },
      { "no target", "postgres://u:hunter2@127.0.0.1:port/x", "error syntax/target", "a port is a number" },
    }
    local body = {}
    for _, case in ipairs(cases) do
      body[#body + 1] = ("healthcheck(%q, function() db.connect(%q) end)"):format(case[1], case[2])
    end
    local done = run(table.concat(body, "\n"))
    for _, case in ipairs(cases) do accept.told(done.check(case[1]), case[3], case[4]) end
    accept.has_not(done.stdout, "hunter2")
    accept.has_not(done.stdout, "open sesame")
  end)

  it("trusts the server's certificate when it was told whom to trust", function()
    local done = accept.run(accept.fill("healthcheck('tls', function() assert_true(db.connect(@url@):info().tls) end)",
      { url = url_of(server, { params = { sslmode = "verify-full", sslrootcert = server.ca } }) }))
    assert.are.equal("pass", done.check("tls").status, done.stdout)
  end)

  it("fails in a statement with a kind, and with the place in the SQL", function()
    local holder = server:session()
    holder:ask("begin; lock table orders")
    local done = run [[
local function connect(options) return db.connect(DB, options) end
healthcheck("syntax", function() connect():query("select *\nfrom orders wher id = 1") end)
healthcheck("no table", function() connect():query("select 'äöü' from order_s") end)
healthcheck("lock", function() connect({ lock_timeout = "100ms" }):query("select * from orders") end)
healthcheck("slow", function() connect({ statement_timeout = "200ms" }):query("select pg_sleep(20)") end)
healthcheck("parameters", function() connect():query("select $1::int, $2::int", 1) end)
healthcheck("rows", function() connect():query("select generate_series(1, 20000)") end)
healthcheck("fewer rows", function() connect({ max_rows = 5 }):query("select generate_series(1, 6)") end)
healthcheck("bytes", function() connect():query("select repeat('x', 1000000) from generate_series(1, 9)") end)
healthcheck("copy", function() connect():query("copy (select 1) to stdout") end)
healthcheck("two names", function() connect():query("select 1 as a, 2 as a") end)
healthcheck("killed", function()
  local conn = connect()
  conn:query("select pg_terminate_backend(pg_backend_pid())")
end)]]
    holder:close()
    accept.told(done.check("syntax"), "error syntax/query", 'syntax error at or near "id"', "from orders wher id = 1",
      "\n                           ^")
    accept.told(done.check("no table"), "fail query/query", "order_s", "42P01")
    accept.told(done.check("lock"), "fail lock_timeout/query")
    accept.told(done.check("slow"), "fail statement_timeout/query")
    accept.told(done.check("parameters"), "error syntax/query", "2")
    accept.told(done.check("rows"), "error limit/query", "more than 10000 rows", "max_rows")
    accept.told(done.check("fewer rows"), "error limit/query", "more than 5 rows")
    accept.told(done.check("bytes"), "error limit/query", "max_bytes")
    accept.told(done.check("copy"), "error syntax/query", "COPY")
    accept.told(done.check("two names"), "error syntax/query", "one name")
    accept.told(done.check("killed"), "fail killed/query")
  end)

  it("fails by constraints and deadlocks, and may look at the kind", function()
    local done = run [[
healthcheck("constraint", rolled_back(DB, function(conn)
  local why = assert_error(function()
    conn:savepoint(function() conn:exec("insert into orders (sku, quantity) values ('tea', 1)") end)
  end)
  assert_equal({ "constraint", "orders_sku_key", "23505" }, { why.kind, why.constraint, why.code })
  conn:exec("insert into orders (sku, quantity) values ('x', 0)")
end))
healthcheck("deadlock", { timeout = "20s" }, function()
  local function one(first, second)
    return function()
      db.connect(DB, { lock_timeout = "15s" }):rolled_back(function(conn)
        conn:exec("update orders set quantity = 9 where sku = $1", first)
        sleep(0.2)
        conn:exec("update orders set quantity = 9 where sku = $1", second)
      end)
    end
  end
  local why = assert_error(function() parallel(one("tea", "milk"), one("milk", "tea")) end)
  assert_equal("deadlock", why.kind)
end)]]
    accept.told(done.check("constraint"), "fail constraint/query", "orders_quantity_check")
    assert.are.equal("pass", done.check("deadlock").status, done.stdout)
  end)

  it("is cancelled on the server when its deadline has passed", function()
    local root = accept.tree(accept.fill([[
healthcheck("late", { timeout = "500ms" }, function()
  db.connect(@url@, { statement_timeout = "60s" }):query("select pg_sleep(60), 'here i am'")
end)
healthcheck("goes on", { timeout = "20s" }, function() sleep(8) end)]], { url = url_of(server) }))
    local hospital = process.start(process.binary, { args = { "run", root } })
    local mine = "select count(*) from pg_stat_activity where application_name = 'hospital/late' and state = 'active'"
    server:wait(mine, "1")
    server:wait(mine, "0", 3)
    assert.is_nil(hospital.code) -- it was not the end of the process that did it
    hospital:kill("sigint")
    hospital:join()
  end)

  it("asks again on a connection of its own, and reuses one for the assertions of a check", function()
    local done = run [[
local function pid() return assert_query(DB, "select pg_backend_pid()", function() return true end) end
healthcheck("one", function()
  for i = 1, 5 do assert_query(DB, "select 1", 1) end
  assert_database(DB)
  assert_query(DB, "select count(*) from pg_stat_activity where application_name = 'hospital/one'", 1)
end)
healthcheck("two", function()
  local a, b = db.connect(DB), db.connect(DB)
  assert_not_equal(a:value("select pg_backend_pid()"), b:value("select pg_backend_pid()"))
end)]]
    assert.are.equal("pass", done.check("one").status, done.stdout)
    assert.are.equal("pass", done.check("two").status, done.stdout)
  end)

  it("never prints a password, in whatever form the target was written", function()
    local port = server.port
    local forms = {
      ("postgres://shop:hunter%%322@127.0.0.1:%d/postgres"):format(port),
      ("postgresql://127.0.0.1:%d/postgres?user=shop&password=hunter22"):format(port),
      ("host=127.0.0.1 port=%d user=shop password=hunter22 dbname=postgres"):format(port),
      ("host=127.0.0.1 port=%d user=shop password = 'hunter22' dbname=postgres"):format(port),
      ("host=127.0.0.1 port=%d user=shop password=hun ter22 dbname=postgres"):format(port),
      ("host=127.0.0.1 port=%d user=shop dbname=postgres password='hunter22"):format(port),
      ("postgres://shop:hunter22@127.0.0.1:%dx/postgres"):format(port),
      ("postgres://shop:hunter22@[::1/postgres"):format(port),
      ("postgres://shop:hunter22%%zz@127.0.0.1:%d/postgres"):format(port),
      ("postgres://shop:hunter22@127.0.0.1:%d/postgres?nonsense=1"):format(port),
      "postgres:/shop:hunter22@127.0.0.1/postgres",
      "shop:hunter22@127.0.0.1/postgres",
      "mysql:hunter22",
    }
    local body = {}
    for i, form in ipairs(forms) do
      body[#body + 1] = ("healthcheck('%d', function() db.connect(%q):value('selec 1') end)"):format(i, form)
    end
    for _, format in ipairs({ "json", "verbose" }) do
      local root = accept.tree(table.concat(body, "\n"))
      local done = process.hospital({ "run", "-v", "-f", format, root })
      assert.are.equal(1, done.code)
      for _, text in ipairs({ done.stdout, done.stderr }) do
        accept.has_not(text, "hunter")
        accept.has_not(text, "ter22")
      end
    end
  end)

  it("takes its target from keywords, a service and the environment as well", function()
    local file = tree.make({ ["services.conf"] = ("[shop]\nhost=127.0.0.1\nport=%d\nuser=postgres\ndbname=postgres\n")
      :format(server.port) }) .. "/services.conf"
    local done = accept.run([[
healthcheck("keywords", function() assert_query("host=127.0.0.1 port=" .. env.PGPORT .. " user=postgres", "select 1", 1) end)
healthcheck("service", function() assert_query("service=shop", "select 1", 1) end)
healthcheck("environment", function() assert_query("postgres://", "select 1", 1) end)]],
      { env = { PGSERVICEFILE = file, PGHOST = "127.0.0.1", PGPORT = tostring(server.port), PGUSER = "postgres",
        PGDATABASE = "postgres" } })
    assert.are.equal(3, done.document.summary.pass, done.stdout)
  end)

  it("asks the policy before it connects or reads", function()
    local done = accept.run(accept.fill([[
healthcheck("net", function() db.connect(@url@) end)
healthcheck("file", function() db.connect("host=localhost port=@port@ user=postgres sslrootcert=/etc/shadow") end)]],
      { url = url_of(server), port = server.port }),
      { args = { "--deny", "net=127.0.0.1:" .. server.port, "--deny", "read=/etc/shadow" } })
    accept.told(done.check("net"), "error denied/policy", "--deny")
    accept.told(done.check("file"), "error denied/policy", "sslrootcert")
  end)
end)

describe("a PostgreSQL that goes away", function()
  local server

  before_each(function() server = postgres.start({ schema = SCHEMA }) end)
  after_each(function()
    postgres.clean()
    tree.clean()
  end)

  -- Starts a check that waits in a statement, does what is to happen, and tells how it ended.
  local function under_a_query(happen)
    local root = accept.tree(accept.fill([[
healthcheck("asks", { timeout = "20s" }, function() db.connect(@url@):query("select pg_sleep(15)") end)]],
      { url = url_of(server) }))
    local hospital = process.start(process.binary, { args = { "run", "-f", "json", root } })
    server:wait("select count(*) from pg_stat_activity where application_name = 'hospital/asks' and state = 'active'", "1")
    happen()
    return accept.read(hospital:join(30)).check("asks")
  end

  it("by being stopped", function()
    accept.told(under_a_query(function() server:stop() end), "fail killed/query", "terminating connection")
  end)

  it("by being killed", function()
    accept.told(under_a_query(function() server:kill() end), "fail closed/query")
  end)

  it("by being restarted", function()
    accept.told(under_a_query(function() server:restart() end), "fail killed/query")
  end)

  it("by standing still: the check ends by its deadline, others are not held up", function()
    server:freeze()
    local done = accept.run(accept.fill([[
for i = 1, 6 do
  healthcheck("asks " .. i, { timeout = "1s" }, function() db.connect(@url@) end)
end
healthcheck("other", { timeout = "10s" }, function() for i = 1, 20 do sleep(0.05) end assert_true(true) end)]],
      { url = url_of(server) }))
    for i = 1, 6 do assert.are.equal("timeout", done.check("asks " .. i).status) end
    assert.are.equal("pass", done.check("other").status)
  end)

  it("by starting up, and by being full", function()
    server:stop()
    server:start_held()
    local done = accept.run(accept.fill("healthcheck('starting', function() db.connect(@url@) end)", { url = url_of(server) }))
    accept.told(done.check("starting"), "fail starting_up/login", "starting up")
    server:release()
    local small = postgres.start({ settings = { max_connections = 5, superuser_reserved_connections = 1,
      max_wal_senders = 0 }, users = { shop = true }, hba = { "host all shop 127.0.0.1/32 trust" } })
    local held = {}
    for i = 1, 4 do held[i] = small:session("postgres", "shop") held[i]:ask("select 1") end
    local full = accept.run(accept.fill("healthcheck('full', function() db.connect(@url@) end)",
      { url = url_of(small, { user = "shop" }) }))
    accept.told(full.check("full"), "fail too_many_connections/login")
    for _, session in ipairs(held) do session:close() end
  end)
end)

describe("a standby", function()
  local server, standby

  setup(function()
    server = postgres.start({ schema = SCHEMA })
    standby = server:replica()
  end)
  teardown(postgres.clean)
  after_each(tree.clean)

  it("is read, and cannot be written", function()
    local done = accept.run(accept.fill([[
local DB = @url@
healthcheck("reads", function() assert_query(DB, "select count(*) from orders", 2) end)
healthcheck("writes", function() db.connect(DB, { write = true }):exec("delete from orders") end)
healthcheck("rolls back", rolled_back(DB, function(conn) conn:exec("delete from orders") end))
healthcheck("wants a primary", function() db.connect(DB .. "?target_session_attrs=read-write") end)
healthcheck("finds the primary", function()
  db.connect("postgres://postgres@127.0.0.1:@standby@,127.0.0.1:@primary@/postgres?target_session_attrs=read-write")
    :rolled_back(function(conn) conn:exec("delete from orders") end)
end)]], { url = url_of(standby), standby = standby.port, primary = server.port }))
    assert.are.equal("pass", done.check("reads").status, done.stdout)
    accept.told(done.check("writes"), "fail in_recovery/query")
    accept.told(done.check("rolls back"), "fail in_recovery/query")
    accept.told(done.check("wants a primary"), "fail in_recovery/login", "hot standby")
    assert.are.equal("pass", done.check("finds the primary").status, done.stdout)
  end)

  it("is judged by how far it is behind", function()
    local body = accept.fill([[
healthcheck("standby", function() assert_replication(@standby@, { max_lag = "30s" }) end)
healthcheck("primary", function() assert_replication(@primary@, { max_lag = "30s", replicas = 1 }) end)
healthcheck("two", function() assert_replication(@primary@, { replicas = 2 }) end)
healthcheck("bytes", function() assert_replication(@standby@, { max_lag_bytes = 1000 }) end)]],
      { standby = url_of(standby), primary = url_of(server) })
    standby:catch_up()
    local done = accept.run(body)
    for _, name in ipairs({ "standby", "primary", "bytes" }) do
      assert.are.equal("pass", done.check(name).status, done.stdout)
    end
    assert.are.equal("fail", done.check("two").status)
    standby:pause_replay()
    server:sql("insert into orders (sku, quantity) select 'x' || g, 1 from generate_series(1, 5000) g")
    server:wait("select pg_current_wal_lsn() = replay_lsn from pg_stat_replication", "f")
    assert.are.equal("fail", accept.run(body).check("bytes").status)
    standby:resume_replay()
  end)

  -- With its one standby dead, a primary was followed as long as a backup ran.
  it("is what follows a primary, and a program that takes the WAL away is not", function()
    local alone = postgres.start()
    local taker = process.start(postgres.bin .. "/pg_receivewal", { args = { "-h", alone.dir, "-p", tostring(alone.port),
      "-U", "postgres", "-D", alone.dir, "--no-sync" } })
    alone:wait("select state from pg_stat_replication", "streaming")
    local done = accept.run(accept.fill("healthcheck('followed', function() assert_replication(@url@) end)",
      { url = url_of(alone) }))
    taker:kill("sigint")
    taker:join()
    accept.told(done.check("followed"), "fail assertion", "0 replicas are streaming, 1 expected",
      "pg_receivewal: streaming, no standby")
  end)

  it("that refuses to be read says so", function()
    local cold = server:replica({ settings = { hot_standby = "off" } })
    local done = accept.run(accept.fill("healthcheck('cold', function() db.connect(@url@) end)", { url = url_of(cold) }))
    accept.told(done.check("cold"), "fail in_recovery/login")
  end)
end)
