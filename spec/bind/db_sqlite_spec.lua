-- Databases in the sandbox, from the checks' side, against SQLite: nothing is faked.
local script = require "spec.support.script"
local tree = require "spec.support.tree"

local HEAD = [[
local M, A, host = import "hospital.db", import "hospital.db_assertions", import "hospital.host"
local db, rolled_back = M.db, M.rolled_back
local function why(fn, ...)
  local ok, raised = pcall(fn, ...)
  if ok then return "held" end
  return host.kind(raised) == "failure" and raised.kind .. ": " .. raised.message or "error: " .. tostring(raised)
end
]]

-- What text returns, as text; DB is the path of a database that has orders.
local function run(path, text)
  local outcome = script.run(HEAD .. ("local DB = %q\n"):format("sqlite:" .. path) .. text, { allow = "write" })
  return outcome
end

local SHOP = [[
local conn <close> = db.connect(DB, { write = true })
conn:exec("create table orders (id integer primary key, sku text not null, state text, total real)")
conn:exec("insert into orders (sku, state, total) values ('a', 'paid', 1.5), ('b', null, 2.5)")
conn:exec("create table lines (id integer primary key, order_id integer references orders (id))")
conn:exec('create table "odd ""name" (x)')
]]

local function shop(more)
  local path = tree.make({ ["shop.db"] = "" }) .. "/shop.db"
  assert.equal("returned: done", run(path, SHOP .. (more or "") .. ' return "done"'))
  return path
end

local function holds(path, text)
  assert.equal("returned: held", run(path, "return why(function() " .. text .. " end)"))
end

local function fails(path, text, wanted)
  local got = run(path, "return why(function() " .. text .. " end)")
  assert.is_truthy(got:find("returned: assertion: sqlite " .. path .. ": " .. wanted, 1, true), got)
end

local function misused(path, text, wanted)
  local got = run(path, "return why(function() " .. text .. " end)")
  assert.matches("^returned: error: ", got)
  assert.is_truthy(got:find(wanted, 1, true), got)
end

describe("a connection to SQLite", function()
  after_each(tree.clean)

  it("reads, and does not write unless it was asked to", function()
    local path = shop()
    assert.equal("returned: 2 a NULL", run(path, [[
      local conn <close> = db.connect(DB)
      local rows = conn:query("select * from orders order by id")
      return #rows .. " " .. rows[1].sku .. " " .. (rows[2].state == db.null and "NULL" or "?")]]))
    assert.matches("^returned: read_only: ", run(path, 'return why(function() db.connect(DB):exec("delete from orders") end)'))
    assert.equal("returned: 1.5", run(path, 'return db.connect(DB):value("select total from orders where sku = ?", "a")'))
  end)

  it("rolls back whatever happens", function()
    local path = shop()
    for _, ending in ipairs { "", 'error("x")', 'host.raise({ kind = "assertion", message = "x" })', 'host.skip("x")',
      'pcall(conn.exec, conn, "commit")', 'pcall(conn.exec, conn, "insert or rollback into orders (id, sku) values (1, 1)")',
      'conn:transaction(function() conn:exec("delete from lines") end)', "conn:close()" } do
      assert.equal("returned: 2", run(path, ([[
        pcall(rolled_back(DB, function(conn) conn:exec("delete from orders") %s end))
        local conn <close> = db.connect(DB, { write = true })
        pcall(conn.rolled_back, conn, function() conn:exec("delete from orders") %s end)
        return db.connect(DB):value("select count(*) from orders")]]):format(ending, ending)), ending)
    end
  end)

  it("rolls back what a deadline cut short, wherever", function()
    local path = shop()
    for _, where in ipairs { "host.sleep(10)", 'conn:query("with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n")',
      "while true do end", "pcall(host.sleep, 10) pcall(host.sleep, 10)" } do
      for _, opened in ipairs { 'rolled_back(DB, function(conn) %s end)()',
        'local c = db.connect(DB, { write = true }) c:rolled_back(function(conn) %s end)',
        'local c = db.connect(DB, { write = true }) c:transaction(function(conn) %s end)' } do
        local text = opened:format('conn:exec("delete from orders") ' .. where)
        local outcome = script.run(HEAD .. ("local DB = %q\n"):format("sqlite:" .. path) .. text, { allow = "write", deadline = 150 })
        assert.matches("^killed: deadline", outcome)
        assert.equal("returned: 2", run(path, 'return db.connect(DB):value("select count(*) from orders")'), text)
      end
    end
  end)

  it("keeps what a transaction wrote, and not what it raised for", function()
    local path = shop()
    assert.equal("returned: 3", run(path, [[
      local conn <close> = db.connect(DB, { write = true })
      conn:transaction(function() conn:exec("insert into orders (sku) values ('c')") end)
      pcall(conn.transaction, conn, function() conn:exec("insert into orders (sku) values ('d')") error("x") end)
      return db.connect(DB):value("select count(*) from orders")]]))
  end)

  it("is read by one function of those in parallel", function()
    local got = run(shop(), [[
      local conn <close> = db.connect(DB)
      local told = {}
      host.parallel(
        function() told[1] = why(function() conn:query("with recursive n(x) as (select 1 union all select x + 1 from n "
          .. "where x < 300000) select count(*) from n") end) end,
        function() told[2] = why(function() conn:query("select 1") end) end)
      return told[1] .. "; " .. told[2] ]])
    assert.matches("^returned: held; error: .*conn:query: the connection is busy", got)
  end)

  it("does not end a transaction while another function is in it", function()
    local path = shop()
    local got = run(path, [[
      local conn <close> = db.connect(DB, { write = true })
      local told = {}
      host.parallel(
        function() told[1] = why(function() conn:rolled_back(function() conn:exec("delete from orders") host.sleep(0.05) end) end) end,
        function() host.sleep(0.02) told[2] = why(function() conn:query("with recursive n(x) as (select 1 union all select x + 1 "
          .. "from n) select count(*) from n") end) end)
      return told[1] .. "; " .. told[2] ]])
    assert.matches("^returned: query: .*the rolled_back ended while another function of the check used its connection.*; %a+: ", got)
    assert.equal("returned: 2", run(path, 'return db.connect(DB):value("select count(*) from orders")'))
  end)

  it("in memory is one's own, and may be written", function()
    assert.equal("returned: 1 0", run("x", [[
      local conn <close> = db.connect("sqlite::memory:")
      conn:exec("create table t (x)")
      conn:transaction(function() conn:exec("insert into t values (1)") end)
      local before = conn:value("select count(*) from t")
      local inside = conn:rolled_back(function() conn:exec("delete from t") return conn:value("select count(*) from t") end)
      return before .. " " .. inside]]))
  end)
end)

describe("assertions", function()
  local path
  before_each(function() path = shop() end)
  after_each(tree.clean)

  it("share a connection in one attempt, but not in parallel", function()
    assert.equal("returned: held", run(path, [[
      return why(function()
        for i = 1, 20 do A.assert_query(DB, "select ?", i, { params = { i } }) end
        host.parallel(function() A.assert_query(DB, "select 1", 1) end, function() A.assert_query(DB, "select 2", 2) end)
        A.assert_database(DB)
      end)]]))
  end)

  it("assert_query compares values, rows and what a function says", function()
    holds(path, 'A.assert_query(DB, "select count(*) from orders", 2)')
    holds(path, 'A.assert_query(DB, "select state from orders where id = 2", db.null)')
    holds(path, 'A.assert_query(DB, "select sku, total from orders where id = ?", { sku = "a", total = 1.5 }, { params = { 1 } })')
    holds(path, 'A.assert_query(DB, "select id, state from orders order by id", { { id = 1, state = "paid" }, { id = 2, state = db.null } })')
    holds(path, 'A.assert_query(DB, "select * from orders where id > 5", {})')
    holds(path, 'A.assert_query(DB, "select count(*) n from orders", function(n, rows) return n == 2 and rows[1].n == 2 end)')
    fails(path, 'A.assert_query(DB, "select count(*) from orders", 3)', "3 expected, got 2")
    fails(path, 'A.assert_query(DB, "select id from orders", 3)', "1 row expected, got 2 rows")
    fails(path, 'A.assert_query(DB, "select sku from orders where id = 1", { sku = "b" })', "the row is not the one that was expected")
    fails(path, 'A.assert_query(DB, "select id from orders", {})', "0 rows expected, got 2 rows")
    fails(path, 'A.assert_query(DB, "select id from orders order by id", { { id = 1 }, { id = 3 } })', "the rows are not those")
    fails(path, 'A.assert_query(DB, "select 1", function() return false end)', "the result is not as expected")
    fails(path, [[A.assert_query(DB, "select '5'", 5)]], "5 expected, got \"5\": a numeric arrives as a string")
    misused(path, 'A.assert_query(DB, "select id, sku from orders", 3)', "the statement has 2 columns")
    misused(path, 'A.assert_query(DB, "select 1 as a, 2 as a", { a = 1 })', "two columns are called a")
    misused(path, 'A.assert_query(DB, "select 1")', "what is expected?")
    misused(path, 'A.assert_query(DB, 5, 5)', "the statement must be a string")
    misused(path, 'A.assert_query(DB, "select 1", 1, { parms = {} })', 'has no option "parms"; did you mean "params"?')
    misused(path, 'A.assert_query(DB, "commit", 1)', "assert_query: COMMIT is refused")
    assert.matches("^returned: assertion: mine: sqlite ", run(path, 'return why(A.assert_query, DB, "select 1", 2, "mine")'))
    assert.equal("returned: nil", run(path, 'return tostring(A.expect_query(DB, "select 1", 2))'))
  end)

  it("assert_table looks for columns and rows", function()
    holds(path, 'A.assert_table(DB, "orders", { columns = { "id", "sku" }, min_rows = 2, max_rows = 2 })')
    holds(path, 'A.assert_table(DB, "orders", { columns = { id = "INTEGER", sku = "text" } })')
    holds(path, [[A.assert_table(DB, 'odd "name', { max_rows = 0 })]])
    holds(path, 'A.assert_table(DB, "main.orders")')
    fails(path, 'A.assert_table(DB, "order")', "there is no table order")
    fails(path, 'A.assert_table(DB, "orders", { columns = { "id", "skuu" } })', "table orders has no column skuu")
    fails(path, 'A.assert_table(DB, "orders", { columns = { sku = "integer" } })', "column sku of table orders is of type")
    fails(path, 'A.assert_table(DB, "orders", { min_rows = 3 })', "table orders has 2 rows, at least 3 expected")
    fails(path, 'A.assert_table(DB, "orders", { max_rows = 1 })', "table orders has more than 1 rows")
    misused(path, 'A.assert_table(DB, "orders", { columns = 5 })', "columns must be a list")
    misused(path, "A.assert_table(DB)", "the table must be a name")
  end)

  it("assert_integrity sees what is damaged", function()
    holds(path, "A.assert_integrity(DB) A.assert_integrity(DB, { quick = true })")
    local orphan = shop 'conn:exec("pragma foreign_keys = off") conn:exec("insert into lines (order_id) values (77)")'
    fails(orphan, "A.assert_integrity(DB)", "the database is damaged: row 1 of lines refers to a row of orders that is not there")
    local file = assert(io.open(path, "r+b"))
    file:seek("set", 2 * 4096 - 30) -- where the rows of orders are
    file:write(("\255"):rep(30))
    file:close()
    assert.matches("^returned: %a+: sqlite .*: .+", run(path, "return why(A.assert_integrity, DB)"))
  end)

  -- A file that was cut to nothing is a database without tables to SQLite, and was not damaged.
  it("assert_integrity sees that there is nothing", function()
    local empty = tree.make({ ["shop.db"] = "" }) .. "/shop.db"
    fails(empty, "A.assert_integrity(DB)", "the file is empty: there is no database in it")
    holds(empty, 'A.assert_integrity("sqlite::memory:")')
  end)

  it("that are for others are misuse", function()
    for _, name in ipairs { "replication", "connections", "no_long_transactions", "index_valid" } do
      misused(path, ("A.assert_%s(DB)"):format(name), ("assert_%s is not for SQLite"):format(name))
    end
  end)

  it("tell a file that is not there", function()
    assert.matches("^returned: no_database: sqlite /none/x.db: ", run("/none/x.db", "return why(A.assert_database, DB)"))
  end)
end)

describe("assert_migrated", function()
  after_each(tree.clean)

  local function migrated(sql, options, wanted)
    local path = shop(sql)
    local text = ("A.assert_migrated(DB%s)"):format(options and ", " .. options or "")
    if wanted then fails(path, text, wanted) else holds(path, text) end
  end

  it("knows the tables of tools", function()
    local rails = 'conn:exec("create table schema_migrations (version varchar primary key)") '
    local rows = [[conn:exec("insert into schema_migrations values ('20260101'), ('20260201')")]]
    migrated(rails .. rows)
    migrated(rails .. rows, '{ version = "20260101" }')
    migrated(rails .. rows, "{ version = 20260201 }")
    migrated(rails .. rows, '{ version = "20260301" }', "migration 20260301 (Rails) has not been applied; the latest is 20260201")
    migrated(rails, nil, "no migration has been applied: table schema_migrations (Rails) is empty")

    local golang = 'conn:exec("create table schema_migrations (version uint64, dirty bool)") conn:exec("insert into schema_migrations values (7, %d)")'
    migrated(golang:format(0), "{ version = 6 }")
    migrated(golang:format(0), '{ version = "8" }', "migration 8 (golang-migrate) has not been applied; the latest is 7")
    migrated(golang:format(1), nil, "migration 7 (golang-migrate) has failed, or has not been completed")

    local django = [[conn:exec("create table django_migrations (id integer primary key, app text, name text)")
      conn:exec("insert into django_migrations (app, name) values ('shop', '0001_initial'), ('auth', '0002_x')")]]
    migrated(django, '{ version = "shop.0001_initial" }')
    migrated(django, '{ version = "auth.0001_initial" }', "migration auth.0001_initial (Django) has not been applied; the latest is auth.0002_x")

    local flyway = [[conn:exec("create table flyway_schema_history (installed_rank int, version text, success int)")
      conn:exec("insert into flyway_schema_history values (1, '1', 1), (2, '2.1', %d), (3, null, 1)")]]
    migrated(flyway:format(1), '{ version = "2.1" }')
    migrated(flyway:format(0), nil, "migration 2.1 (Flyway) has failed")

    migrated([[conn:exec("create table alembic_version (version_num text)") conn:exec("insert into alembic_version values ('ae1027')")]],
      '{ version = "ae1027" }')
    migrated([[conn:exec("create table DATABASECHANGELOG (ID text, ORDEREXECUTED int)") conn:exec("insert into DATABASECHANGELOG values ('x-1', 1)")]],
      '{ version = "x-1" }')
    local prisma = [[conn:exec("create table _prisma_migrations (migration_name text, started_at text, finished_at text, rolled_back_at text)")
      conn:exec("insert into _prisma_migrations values ('1_init', '1', '1', null), ('2_gone', '2', null, '3'), ('3_x', '3', %s, null)")]]
    migrated(prisma:format("'3'"), '{ version = "3_x" }')
    migrated(prisma:format("'3'"), '{ version = "2_gone" }', "migration 2_gone (Prisma) has not been applied; the latest is 3_x")
    migrated(prisma:format("null"), nil, "migration 3_x (Prisma) has failed, or has not been completed")
    migrated([[conn:exec("create table _sqlx_migrations (version bigint, success boolean)") conn:exec("insert into _sqlx_migrations values (5, true)")]],
      "{ version = 5 }")
  end)

  -- With its column named, a table of Flyway's was like any other: a migration that had failed was applied.
  it("keeps what it knows of a tool when the column is given", function()
    local flyway = [[conn:exec("create table flyway_schema_history (installed_rank int, version text, success int, script text)")
      conn:exec("insert into flyway_schema_history values (1, '1', 1, 'a.sql'), (2, '2', %d, 'b.sql')")]]
    for column, version in pairs { version = "2", script = "b.sql" } do
      local option = ('{ table = "flyway_schema_history", column = "%s", version = "%s" }'):format(column, version)
      migrated(flyway:format(1), option)
      migrated(flyway:format(0), option, ("migration %s (Flyway) has failed"):format(version))
    end
    migrated([[conn:exec("create table schema_migrations (filename text)") conn:exec("insert into schema_migrations values ('a')")]],
      '{ table = "schema_migrations", column = "filename", version = "a" }')
    misused(shop(), 'A.assert_migrated(DB, { column = "version" })', "column needs a table")
  end)

  it("needs a column for others", function()
    local own = [[conn:exec("create table done (step text)") conn:exec("insert into done values ('a'), ('b')")]]
    migrated(own, '{ table = "done", column = "step", version = "a" }')
    migrated(own, '{ table = "done", column = "step", version = "c" }', "migration c (done) has not been applied; the latest is b")
    migrated(own, '{ table = "none", column = "step" }', "there is no table none")
    migrated(own, '{ table = "done", column = "stp" }', "table done has no column stp")
    migrated("", nil, "there is no table of a migration tool that is known: give table and column")
    misused(shop(own), 'A.assert_migrated(DB, { table = "done" })', "table done is not known: say which column names a migration")
    misused(shop [[conn:exec("create table django_migrations (id integer, app text, name text)") conn:exec("insert into django_migrations values (1, 'a', 'b')")]],
      'A.assert_migrated(DB, { version = "x" })', 'a version of Django is "app.name"')
  end)
end)
