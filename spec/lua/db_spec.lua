-- Targets, options, statements, parameters and failures, as authors meet them.
package.path = "./spec/support/?.lua;" .. package.path
local fakedriver = require "fakedriver"

local function run(text, prepare, kind)
  local state, driver = fakedriver.state(kind)
  if prepare then prepare(driver, state) end
  return state, driver, table.pack(state:check(text))
end

local function misused(text, pattern, prepare, kind)
  local _, driver, results = run("\n" .. text, prepare, kind)
  assert.is_false(results[1], text)
  assert.equal("string", type(results[2]), text)
  assert.matches("^shop%.lua:2: ", results[2])
  assert.matches(pattern, results[2])
  return results[2], driver
end

local CONN = 'local conn = db.connect("postgres://app:secret@db/shop") '

describe("a target", function()
  it("is known by its scheme", function()
    for target, kind in pairs { ["postgres://db/shop"] = "postgres", ["postgresql://"] = "postgres", ["POSTGRES://db"] = "postgres",
      ["host=db dbname=shop"] = "postgres", [" service = x"] = "postgres", ["service=x"] = "postgres",
      ["host=a:b\nport=1"] = "postgres", ["sqlite:/var/x.db"] = "sqlite", ["sqlite::memory:"] = "sqlite", ["sqlite:x"] = "sqlite",
      ["mysql://db/shop"] = "mysql", ["mariadb://db/shop"] = "mysql" } do
      local _, driver, results = run(("db.connect(%q)"):format(target), nil, kind)
      assert.is_true(results[1], target .. ": " .. tostring(results[2]))
      assert.equal((target:gsub("^sqlite:", "")), driver.target)
    end
    local _, driver = run('db.connect("postgres:")')
    assert.equal("postgres://", driver.target)
  end)

  it("that is none is said to be, and not shown", function()
    misused("db.connect(env.NONE)", "db.connect: the target is nil: is the environment variable set%?")
    misused('db.connect("")', "the target is empty: is the environment variable set%?")
    misused('db.connect(" ")', "the target is empty")
    misused("db.connect({})", "the target must be a string, not a table")
    for _, target in ipairs { "secret", "oracle://u:secret@x", "secret:x", "jdbc:postgresql://u:secret@x", "//secret", "/secret.db" } do
      local why = misused(("db.connect(%q)"):format(target), "the scheme of the target is not known; a target is postgres://…")
      assert.is_nil(why:find("secret", 1, true))
    end
    misused('db.connect("postgresql+asyncpg://u:secret@x")', "leave out what follows the %+")
    misused('db.connect("sqlite:///x.db")', "a SQLite target is sqlite:PATH")
    misused('db.connect("sqlite:")', "lacks the path")
    misused('db.connect("postgres:shop")', "postgres: is followed by //")
    misused('db.connect("mysql:")', "mysql: is followed by //")
    misused('db.connect("postgres://x\\n")', "holds a control character")
    misused('db.connect("host=x\\0")', "holds a control character")
    local _, _, results = run([[local _, why = pcall(db.connect, "postgres://bad") return why.kind, why.message]])
    assert.same({ "syntax", "db.connect: the target has no host" }, { results[2], results[3] })
    misused('db.connect("mysql://x")', "this build has no driver for mysql")
  end)

  it("is reached from a running check only", function()
    local state = fakedriver.state()
    local ok, why = pcall(state.load, state, 'db.connect("postgres://x")')
    assert.is_false(ok)
    assert.matches("db.connect: a check connects when it runs, and this file is still loading", why)
  end)
end)

describe("options", function()
  local function options(text, prepare)
    local _, driver, results = run(('db.connect("postgres://db", %s)'):format(text), prepare)
    assert.is_true(results[1], tostring(results[2]))
    return driver.options
  end

  it("have defaults, and the server is told when the check has to give up", function()
    assert.same({ timeout = 5, write = false, statement_timeout = 10, lock_timeout = 2, idle_timeout = 10, numeric = "string",
      application_name = "hospital/orders can be counted" }, options("nil"))
    local given = options("nil", function(_, state) state.remaining = 1.5 end)
    assert.same({ 1.5, 1.5, 1.5 }, { given.statement_timeout, given.lock_timeout, given.idle_timeout })
    assert.is_true(options("nil", function(_, state) state.remaining = 0 end).statement_timeout > 0)
    given = options("nil", function(_, state) state.remaining, state.title = nil, nil end)
    assert.same({ 60, "hospital" }, { given.statement_timeout, given.application_name })
  end)

  it("are read", function()
    local given = options([[{ write = true, timeout = "1s", statement_timeout = "250ms", lock_timeout = 3, idle_timeout = "1m",
      numeric = "number", application_name = "probe\n\u{e4}", max_rows = 5, max_bytes = 100 }]])
    assert.same({ write = true, timeout = 1, statement_timeout = 0.25, lock_timeout = 3, idle_timeout = 60, numeric = "number",
      application_name = "probe??" }, given)
    assert.equal(2, options("2").timeout)
    assert.equal(63, #options('{ application_name = ("x"):rep(100) }').application_name)
  end)

  it("that are none are refused", function()
    misused('db.connect("postgres://x", { lock_timout = 1 })', 'db.connect has no option "lock_timout"; did you mean "lock_timeout"')
    misused('db.connect("postgres://x", { write = 1 })', "db.connect: write must be true or false, got number")
    misused('db.connect("postgres://x", { timeout = "soon" })', "timeout must be a duration")
    misused('db.connect("postgres://x", { numeric = "float" })', 'numeric must be "string" or "number", got float')
    misused('db.connect("postgres://x", { max_rows = 0 })', "max_rows must be a whole number")
    misused('db.connect("postgres://x", true)', "options must be a table or a timeout")
  end)
end)

describe("a connection that is not made", function()
  it("is a failure with target and phase, and a probe", function()
    local state, _, results = run(CONN, function(driver)
      driver.refuse = { kind = "authentication", message = "password authentication failed", phase = "login", code = "28P01",
        timings = { dns = 0.001, total = 0.012 } }
    end)
    local why = results[2]
    assert.equal("failure", state.host.kind(why))
    assert.equal("postgres app@db:5432/shop: password authentication failed (login phase, after 12 ms)", why.message)
    assert.same({ "authentication", "app@db:5432/shop", "28P01" }, { why.kind, why.target, why.code })
    assert.equal(1, #state.records.probe)
    assert.equal("password authentication failed (login phase)", state.records.probe[1].detail)
  end)
end)

describe("the connection object", function()
  it("is empty and closed to the script", function()
    local _, _, results = run(CONN .. [[
      assert(next(conn) == nil) assert(getmetatable(conn) == false) assert(type(conn) == "table")
      assert(not pcall(setmetatable, conn, {})) assert(conn.raw == nil and conn.state == nil)
      return tostring(conn), pcall(function() conn.x = 1 end)]])
    assert.is_true(results[1], tostring(results[2]))
    assert.equal("postgres app@db:5432/shop", results[2])
    assert.is_false(results[3])
    assert.matches("a connection has no fields to be set", results[4])
  end)

  it("is closed by its block, by close, and by both", function()
    local _, driver = run('do local conn <close> = db.connect("postgres://x") conn:close() end')
    assert.same({ "connect", "close" }, driver.log)
    _, driver = run('do local conn <close> = db.connect("postgres://x") end')
    assert.same({ "connect", "close" }, driver.log)
    misused(CONN .. 'conn:close() conn:query("select 1")', "conn:query: the connection is closed")
    misused(CONN .. 'conn.query("select 1")', "conn:query is called with a colon")
    misused(CONN .. "conn.close()", "conn:close is called with a colon")
  end)

  it("that ended with its check is said to have", function()
    local state, driver = fakedriver.state()
    local _, conn = state:check('return db.connect("postgres://x")')
    driver.opened[1].now = "closed"
    local ok, why = state:check('(...):query("select 1")', conn)
    assert.is_false(ok)
    assert.matches("conn:query: the connection was closed with what opened it", why)
  end)

  it("tells what it is connected to", function()
    local _, _, results = run(CONN .. "local i = conn:info() return i.server, i.version")
    assert.same({ true, "PostgreSQL", "15.8", n = 3 }, results)
  end)
end)

describe("statements", function()
  local function prepare(driver)
    driver.answers.orders = { columns = { "id", "sku" }, { 1, "a" }, { 2, fakedriver.null } }
    driver.answers.one = { columns = { "n" }, { 7 } }
    driver.answers.null = { columns = { "n" }, { fakedriver.null } }
    driver.answers.none = { columns = { "n" } }
    driver.answers.no = { columns = { "n" }, { false } }
    driver.answers.two = { columns = { "n" }, { 7 }, { 8 } }
    driver.answers.update = { affected = 3 }
  end

  it("query gives the rows by column, and nothing else", function()
    local _, driver, results = run(CONN .. 'return conn:query("orders")', prepare)
    assert.same({ true, { { id = 1, sku = "a" }, { id = 2, sku = fakedriver.null } }, n = 2 }, results)
    assert.same({ shape = "named", max_rows = 10000, max_bytes = 8 << 20 }, driver.calls[1].how)
    assert.same({}, select(3, run(CONN .. 'return conn:query("none")', prepare))[2])
  end)

  it("result gives all of it", function()
    local _, _, results = run(CONN .. 'return conn:result("orders")', prepare)
    assert.same({ columns = { "id", "sku" }, rows = { { 1, "a" }, { 2, fakedriver.null } }, count = 2, command = "ORDERS" }, results[2])
  end)

  it("row, value and exec give what they are named for", function()
    local _, _, results = run(CONN .. [[return conn:row("one").n, conn:row("none"), conn:value("one"), conn:value("null"),
      conn:value("none"), conn:value("no"), conn:exec("update"), conn:exec("one")]], prepare)
    assert.same({ true, 7, nil, 7, nil, nil, false, 3, 0, n = 9 }, results)
    misused(CONN .. 'conn:value("orders")', "one column is needed, the statement has 2", prepare)
    for _, what in ipairs { "row", "value" } do
      local state, _, ended = run(CONN .. ('conn:%s("two")'):format(what), prepare)
      assert.equal("failure", state.host.kind(ended[2]))
      assert.matches("conn:" .. what .. ": one row at most was expected, got 2", ended[2].message)
    end
  end)

  it("are texts without NUL", function()
    misused(CONN .. "conn:query()", "conn:query: a statement is needed, got nil")
    misused(CONN .. 'conn:query(" ")', "a statement is needed")
    misused(CONN .. 'conn:query("select 1\\0; drop")', "the statement holds a NUL byte")
  end)

  it("are told as probes, ten of them, and then how many", function()
    local state = run(CONN .. 'for i = 1, 12 do conn:value("one", i) end conn:close()', prepare)
    local probes = state.records.probe
    assert.equal(12, #probes)
    assert.matches("^connected in .*, PostgreSQL 15.8$", probes[1].detail)
    assert.same({ "postgres", "app@db:5432/shop", "one: 1 row" }, { probes[2].kind, probes[2].target, probes[2].detail })
    assert.equal("12 statements in all, 24 ms", probes[12].detail)
  end)
end)

describe("parameters", function()
  local function passed(text, kind)
    local _, driver, results = run(('db.connect("%s:x"):query("q", %s)'):format(kind == "sqlite" and kind or "service=x", text), nil, kind)
    assert.is_true(results[1], tostring(results[2]))
    return driver.calls[1].parameters
  end

  it("count nil, and pass as they are", function()
    assert.same({ n = 3, nil, 5, nil }, passed("nil, 5, nil"))
    assert.same({ n = 6, true, false, 1.5, "x", fakedriver.null, { bytes = "\0" } }, passed('true, false, 1.5, "x", db.null, db.bytes("\\0")'))
    assert.same({ n = 0 }, select(2, run('db.connect("service=x"):query("q")')).calls[1].parameters)
  end)

  it("that no database has are refused", function()
    misused(CONN .. 'conn:query("q", print)', "conn:query: a function cannot be a parameter")
    misused(CONN .. 'conn:query("q", { a = 1 })', "a table as a parameter is a list without holes")
    misused(CONN .. 'conn:query("q", { bytes = "x", y = 1 })', "a list without holes")
    misused(CONN .. 'conn:query("q", "a\\0")', "PostgreSQL has no text with a NUL byte: use db.bytes")
    misused('db.connect("sqlite:x"):query("q", { 1 })', "an array, which SQLite does not have", nil, "sqlite")
    misused('db.connect("sqlite:x"):query("q", {})', "a table as a parameter is db.bytes", nil, "sqlite")
    misused('db.connect("sqlite:x"):query("q", 0/0)', "SQLite has no NaN", nil, "sqlite")
    assert.same({ n = 1, "a\0" }, passed('"a\\0"', "sqlite"))
  end)

  it("that are lists are arrays", function()
    local function array(text) return passed(text)[1] end
    assert.equal("{}", array("{}"))
    assert.equal('{1,-2,1.5,"x"}', array('{ 1, -2, 1.5, "x" }'))
    assert.equal("{NULL,t,f}", array("{ db.null, true, false }"))
    assert.equal([[{"NULL","null","","{}",",","a b"," x "}]], array([[{ "NULL", "null", "", "{}", ",", "a b", " x " }]]))
    assert.equal([[{"a\"b","a\\b","\\","\"","\\\"","'"}]], array([[{ 'a"b', "a\\b", "\\", '"', '\\"', "'" }]]))
    assert.equal('{"a\nb","\195\164"}', array('{ "a\\nb", "\\195\\164" }'))
    assert.equal("{NaN,Infinity,-Infinity,0.10000000000000001,9223372036854775807}", array("{ 0/0, 1/0, -1/0, 0.1, math.maxinteger }"))
    assert.equal([[{"\\x00ff5c"}]], array('{ db.bytes("\\0\\255\\\\") }'))
    misused(CONN .. 'conn:query("q", { {} })', "a list as a parameter holds plain values, not a table")
    misused(CONN .. 'conn:query("q", { 1, 2, print })', "not a function")
    misused(CONN .. 'conn:query("q", { "a\\0" })', "no text with a NUL byte")
    misused(CONN .. 'local t = { 1, 2, 3 } t[5] = 5 conn:query("q", t)', "without holes")
    misused(CONN .. 'local t = { 1, nil, 3 } conn:query("q", t)', "hole")
  end)
end)

describe("a statement that fails", function()
  local function failure(sql, fault)
    local other, driver = fakedriver.state()
    driver.answers[sql] = function() return nil, fault end
    local results = table.pack(other:check(CONN .. "conn:query(...)", sql))
    assert.equal("failure", other.host.kind(results[2]), tostring(results[2]))
    return results[2], other
  end

  it("shows the line, a caret and what the server said", function()
    local why = failure("select skuu from orders", { kind = "syntax", message = 'column "skuu" does not exist', position = 8,
      code = "42703", hint = 'Perhaps you meant to reference the column "orders.sku".', timings = { total = 0.0034 } })
    assert.equal([[
postgres app@db:5432/shop: column "skuu" does not exist (query phase, after 3.4 ms)
  select skuu from orders
         ^
hint: Perhaps you meant to reference the column "orders.sku".
SQLSTATE 42703]], why.message)
    assert.same({ "syntax", "42703", "query", 1 }, { why.kind, why.code, why.phase, why.line })
  end)

  it("shows a statement without a position in brief", function()
    local why, state = failure("insert into\n  orders", { kind = "constraint", message = "duplicate key", code = "23505",
      detail = "Key (id)=(1) already exists.", constraint = "orders_pkey" })
    assert.matches("\n  in: insert into orders\ndetail: Key %(id%)=%(1%) already exists.\nSQLSTATE 23505$", why.message)
    assert.equal("orders_pkey", why.constraint)
    assert.equal("insert into orders: duplicate key", state.records.probe[2].detail)
  end)

  it("shows one line, by characters, and of a long one a part", function()
    local excerpt = fakedriver.state().import("hospital.db_fault").excerpt
    assert.equal("  line 2: \195\164 x\n            ^", excerpt("select\n\195\164 x\nfrom", 10))
    assert.equal("  line 2: a b\n            ^", excerpt("x\r\na\tb\r\n", 6):gsub(" \n", "\n", 1))
    assert.equal("  select\n        ^", excerpt("select", 7))
    assert.equal("  select\n        ^", excerpt("select", 700))
    assert.equal("  select\n  ^", excerpt("select", 0))
    assert.equal("  ?? x", (excerpt("?? x", 1):gsub("\n.*", "")))
    assert.equal("     x\n     ^", excerpt("\255\254 x", 4))
    local long = ("\195\164"):rep(500) .. "x" .. ("\226\130\172"):rep(500)
    local text = excerpt(long, 501)
    local line, caret = text:match("^(.-)\n( *%^)$")
    assert.equal(utf8.len("  …" .. ("a"):rep(60)) + 1, #caret)
    assert.equal(2 + 1 + 60 + 1 + 40 + 1, utf8.len(line) + 1)
    assert.matches("^  …", line)
    assert.matches("…$", line)
    assert.equal("x", line:sub(utf8.offset(line, #caret), utf8.offset(line, #caret)))
  end)

  it("bounds what the server says", function()
    local why = failure("q", { kind = "query", message = "x", detail = ("\195\164"):rep(1000) })
    assert.is_true(#why.message < 700)
    assert.is_truthy(utf8.len(why.message))
  end)
end)

describe("db.epoch", function()
  it("reads dates and times", function()
    for text, wanted in pairs { ["1970-01-01"] = 0, ["1970-01-01T00:00:00Z"] = 0, ["2026-11-21T05:49:00Z"] = 1795240140,
      ["2026-11-21T05:49:00.25Z"] = 1795240140.25, ["2026-11-21 05:49:00+02"] = 1795240140 - 7200,
      ["2026-11-21 05:49:00-03:30"] = 1795240140 + 12600, ["2026-11-21 05:49:00+0530"] = 1795240140 - 19800,
      ["2026-11-21T05:49Z"] = 1795240140, ["2000-02-29"] = 951782400, ["1969-12-31T23:59:59Z"] = -1, ["2026-11-21 05:49:00"] = 1795240140,
      infinity = math.huge, ["-infinity"] = -math.huge, ["1900-03-01"] = -2203891200 } do
      local _, _, results = run(("return db.epoch(%q)"):format(text))
      assert.is_true(results[1], tostring(results[2]))
      assert.equal(wanted, results[2], text)
    end
    assert.equal("integer", math.type(select(3, run('return db.epoch("2026-11-21")'))[2]))
  end)

  it("refuses what is no time", function()
    for _, text in ipairs { "", "x", "2026-13-01", "2026-02-30", "1900-02-29", "2026-11-21T25:00:00Z", "2026-11-21T05:61:00Z",
      "2026-11-21X", "2026-11-21T05:49:00.Z", "2026-11-21T05:49:00 CET", "0044-03-15 BC", "05:49:00" } do
      misused(("db.epoch(%q)"):format(text), 'is no time such as "2026%-11%-21T05:49:00Z"')
    end
    misused("db.epoch(nil)", "db.epoch: nil is no time")
    misused("db.epoch(db.null)", "db.epoch: NULL is no time")
    misused("db.epoch(5)", "a string is needed, got number")
    misused("db.bytes(5)", "db.bytes: a string is needed")
  end)
end)
