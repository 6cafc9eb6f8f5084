-- How assertions about PostgreSQL judge what a server says; that the servers say it
-- is for specs with a real one.
package.path = "./spec/support/?.lua;" .. package.path
local fakedriver = require "fakedriver"
local null = fakedriver.null

-- Rows by name as the driver has them.
local function rows(...)
  local columns, list = {}, {}
  for name in pairs((...) or {}) do columns[#columns + 1] = name end
  for i, row in ipairs { ... } do
    list[i] = {}
    for k, name in ipairs(columns) do list[i][k] = row[name] end
  end
  return { columns = columns, rows = list }
end

-- Runs text against answers: pattern -> rows, or a list of them, one after the other.
local function run(text, answers, kind)
  local state, driver = fakedriver.state(kind)
  for pattern, answer in pairs(answers or {}) do
    local n = 0
    driver.answers["^.*" .. pattern] = function()
      n = n + 1
      local one = answer.columns and answer or answer[math.min(n, #answer)]
      return { columns = one.columns, rows = { table.unpack(one.rows) } }
    end
  end
  return state, driver, table.pack(state:check(text))
end

local function holds(text, answers)
  local state, driver, results = run(text, answers)
  assert.is_true(results[1], type(results[2]) == "table" and results[2].message or results[2])
  return results[2], state, driver
end

local function fails(text, wanted, answers, kind)
  local state, _, results = run(text, answers)
  assert.is_false(results[1], text)
  assert.equal("failure", state.host.kind(results[2]), tostring(results[2]))
  assert.equal(kind or "assertion", results[2].kind)
  assert.is_truthy(results[2].message:find(wanted, 1, true), results[2].message)
  return results[2]
end

describe("connections of assertions", function()
  it("are one for each target and options in one attempt, and never another's", function()
    local state, driver = fakedriver.state()
    driver.answers["^select"] = rows { n = 1 }
    local function check(text) assert.is_true(state:check(text)) end
    check [[for _ = 1, 3 do assert_query("service=a", "select 1", 1) end assert_database("service=a")]]
    assert.equal(1, #driver.opened)
    check [[assert_query("service=b", "select 1", 1) assert_query("service=a", "select 1", 1, { numeric = "number" })]]
    assert.equal(3, #driver.opened)
    assert.is_false(driver.options.write)
    state.scope = 2
    check [[assert_query("service=a", "select 1", 1)]]
    assert.equal(4, #driver.opened)
    for _, conn in ipairs(driver.opened) do conn.now = "closed" end -- the attempts ended
    state.scope = 1
    check [[assert_query("service=a", "select 1", 1)]]
    assert.equal(5, #driver.opened)
  end)

  it("are not used by two at once", function()
    local state, driver = fakedriver.state()
    driver.answers["^select"] = rows { n = 1 }
    driver.waits, state.loading = true, false
    local threads = {}
    for i = 1, 2 do threads[i] = coroutine.create(state:compile('assert_query("service=a", "select 1", 1)')) end
    for _ = 1, 2 do
      for _, thread in ipairs(threads) do assert(coroutine.resume(thread)) end
    end
    assert.equal(2, #driver.opened)
  end)

  it("that the server closed meanwhile are opened again, once", function()
    local state, driver = fakedriver.state()
    local broken = false
    driver.answers["select 1"] = function()
      if broken then
        broken = false
        return nil, { kind = "killed", message = "terminated by an administrator", closed = true }
      end
      return rows { n = 1 }
    end
    assert.is_true(state:check('assert_query("service=a", "select 1", 1)'))
    broken = true
    assert.is_true(state:check('assert_query("service=a", "select 1", 1)'))
    assert.equal(2, #driver.opened)
    state.scope, broken = 2, true
    local ok, why = state:check('assert_query("service=a", "select 1", 1)')
    assert.is_false(ok)
    assert.equal("killed", why.kind)
    assert.equal(3, #driver.opened)
  end)

  it("are given back after a failure, and not after what left them unfit", function()
    local state, driver = fakedriver.state()
    driver.answers.bad = function() return nil, { kind = "syntax", message = "bad" } end
    driver.answers.odd = function(conn) conn.now = "transaction" end
    state:check('assert_query("service=a", "bad", 1)')
    state:check('assert_query("service=a", "bad", 1)')
    assert.equal(1, #driver.opened)
    state:check('assert_query("service=a", "odd", 1)')
    assert.equal("closed", driver.opened[1].now)
  end)

  it("that cannot be made are a failure, which expect_ records", function()
    local state, driver = fakedriver.state()
    driver.refuse = { kind = "connect", message = "refused", phase = "connect", timings = { total = 0.001 } }
    local ok, why = state:check('assert_database("service=a", "the shop\'s")')
    assert.is_false(ok)
    assert.equal("the shop's: postgres app@db:5432/shop: refused (connect phase, after 1.0 ms)", why.message)
    assert.is_true(state:check('expect_database("service=a") expect_database("service=a", 1, "x")'))
    assert.equal(2, #state.records.failure)
    assert.equal(3, state.assertions)
  end)
end)

describe("the probes of assertions", function()
  it("name the assertion, or the author's statement", function()
    local state, driver = fakedriver.state()
    driver.answers["^select"] = rows { n = 1 }
    assert.is_true(state:check('assert_query("service=a", "select 1", 1) assert_database("service=a")'))
    local probes = state.records.probe
    assert.equal(3, #probes)
    assert.equal("select 1: 1 row", probes[2].detail)
    assert.equal("assert_database: 1 row", probes[3].detail)
  end)
end)

describe("assert_query", function()
  it("lets a failure of its function be recorded by its twin", function()
    local state, _, results = run([[expect_query("service=a", "select n", function(n) assert_equal(2, n) end) return 1]],
      { ["select n"] = rows { n = 1 } })
    assert.is_true(results[1])
    assert.matches("not equal", state.records.failure[1].message)
    fails([[assert_query("service=a", "select n", function(_, list) return list[1].n end)]], "the result is not as expected",
      { ["select n"] = rows { n = null } })
    local _, _, broken = run([[expect_query("service=a", "select n", function(n) return n.x.y end)]], { ["select n"] = rows { n = 1 } })
    assert.is_false(broken[1])
  end)
end)

-- A statement that can bring nothing, such as SET, had no rows, as was expected with {}.
describe("assert_query of a statement without columns", function()
  it("is a mistake", function()
    for _, expected in ipairs { "{}", "0", "function(n) return n == nil end" } do
      local _, _, results = run(('assert_query("service=a", "set x = 1", %s)'):format(expected),
        { ["set x"] = { columns = {}, rows = {} } })
      assert.is_false(results[1])
      assert.matches("^shop%.lua:1: assert_query: the statement brings no columns.*: set x = 1$", results[2])
    end
  end)
end)

describe("assert_connections", function()
  local function server(used, most) return { max_connections = rows { used = used, most = most } } end

  it("counts", function()
    local result = holds('return assert_connections("service=a")', server(80, 100))
    assert.same({ used = 80, max = 100, percent = 80 }, result)
    fails('assert_connections("service=a")', "81 of 100 connections are in use (81 %), at most 80 % expected", server(81, 100))
    holds('assert_connections("service=a", { max_percent = "95%" })', server(95, 100))
    fails('assert_connections("service=a", { max_percent = 50 })', "at most 50 %", server(51, 100))
    fails('assert_connections("service=a")', "(100 %)", server(0, 0))
  end)

  it("takes a share", function()
    for _, bad in ipairs { '"x"', "0", "101", "{}", '"101%"' } do
      local _, _, results = run(('assert_connections("service=a", { max_percent = %s })'):format(bad))
      assert.matches("max_percent must be a number above 0 and up to 100", results[2])
    end
  end)
end)

describe("assert_no_long_transactions", function()
  local function server(ages, prepared, hidden)
    local list, gids = {}, {}
    for i, age in ipairs(ages) do list[i] = { pid = 100 + i, user = "app", database = "shop", state = "idle in transaction", age = age } end
    for i, age in ipairs(prepared or {}) do gids[i] = { prepared = "g" .. i, user = "app", database = "shop", age = age } end
    return { ["order by xact_start"] = rows(table.unpack(list)), pg_prepared_xacts = rows(table.unpack(gids)),
      ["insufficient privilege"] = rows { n = hidden or 0 } }
  end

  it("names the oldest", function()
    assert.equal(200, holds('return assert_no_long_transactions("service=a")', server({ 200, 3 })).oldest)
    holds('assert_no_long_transactions("service=a")', server({}))
    fails('assert_no_long_transactions("service=a", { max_age = "1m" })',
      "2 transactions are older than 1 min 0 s; the oldest: pid 101 of app in shop, idle in transaction, 1 h 1 min old",
      server({ 3700, 61, 5 }))
    fails('assert_no_long_transactions("service=a")', 'the oldest: prepared transaction "g1" of app in shop, 6 min 40 s old',
      server({ 310 }, { 400 }))
  end)

  it("is not green where it cannot see", function()
    fails('assert_no_long_transactions("service=a")', "how old the transactions of 3 sessions of others are is not shown to this "
      .. "role: grant pg_monitor to it", server({ 3 }, {}, 3), "denied")
    fails('assert_no_long_transactions("service=a")', "older than", server({ 3000 }, {}, 3))
    -- Of a session without track_activities nothing is shown to anybody, and it was passed over.
    local blind = server({ 3 })
    blind["insufficient privilege"] = rows { n = 0, untracked = 1 }
    fails('assert_no_long_transactions("service=a")', "of 1 sessions are is not known: track_activities is off", blind, "denied")
  end)
end)

describe("assert_index_valid", function()
  local function index(changes)
    local one = { schema = "public", table = "orders", name = "orders_sku", valid = true, ready = true, standby = false,
      building = false, hidden = false }
    for key, value in pairs(changes or {}) do one[key] = value end
    return one
  end
  local function server(...) return { ["pg_catalog.pg_index"] = rows(...) } end

  it("tells those that are not", function()
    holds('assert_index_valid("service=a")', server())
    holds('assert_index_valid("service=a", { table = "orders" })', server(index()))
    fails('assert_index_valid("service=a")', "1 index is not valid, so no query uses it: public.orders_sku on orders. REINDEX",
      server(index { valid = false }))
    fails('assert_index_valid("service=a")', "public.orders_sku on orders (not ready)", server(index { ready = false }))
    fails('assert_index_valid("service=a", { index = "x" })', "there is no index x", server())
    fails('assert_index_valid("service=a", { table = "x" })', "there is no index on a table x", server())
    -- A schema that is not there had no invalid index.
    fails('assert_index_valid("service=a", { schema = "x" })', "there is no schema x", server())
    holds('assert_index_valid("service=a", { schema = "x" })', { ["pg_catalog.pg_index"] = rows(), ["select from pg_catalog.pg_namespace"] = rows { x = 1 } })
  end)

  it("excuses one that is being built, and warns where that cannot be seen", function()
    local _, state = holds('assert_index_valid("service=a")', server(index { valid = false, building = true }))
    assert.same({}, state.records.warning)
    _, state = holds('assert_index_valid("service=a")', server(index { valid = false, hidden = true }))
    assert.matches("or is being built by a session that this role cannot see", state.records.warning[1])
    _, state = holds('assert_index_valid("service=a")', server(index { valid = false, standby = true }))
    assert.matches("this is a standby", state.records.warning[1])
  end)

  it("asks an old server what it knows", function()
    local state, driver = fakedriver.state()
    driver.answers["^.*pg_index"] = rows()
    assert.is_true(state:check('assert_index_valid("service=a")'))
    assert.matches("pg_stat_progress_create_index", driver.log[2])
  end)
end)

describe("assert_replication on a standby", function()
  local function server(changes, replayed)
    local one = { receivers = 1, status = "streaming", paused = false, received = "0/5000", behind = 0, age = 3600 }
    for key, value in pairs(changes or {}) do one[key] = value end
    return { ["pg_is_in_recovery%(%) as standby"] = rows { standby = true, user = "app" }, pg_is_wal_replay_paused = rows(one),
      ["as done"] = replayed or rows { done = false } }
  end

  it("holds when it follows, however long nothing was written", function()
    assert.same({ role = "standby", lag = 0, lag_bytes = 0 }, holds('return assert_replication("service=a")', server()))
    holds('assert_replication("service=a")', server { behind = 500, age = 29 })
    holds('assert_replication("service=a")', server { behind = null, age = null })
    assert.equal(0, holds('return assert_replication("service=a")', server { behind = -500 }).lag_bytes)
  end)

  it("holds when what came after a pause is replayed at once", function()
    local _, state = holds('assert_replication("service=a")', server({ behind = 500 }, { rows { done = false }, rows { done = true } }))
    assert.same({ 0.25, 0.25 }, state.slept)
  end)

  it("fails when it does not follow", function()
    fails('assert_replication("service=a")', "this standby has no WAL receiver", server { receivers = 0, status = null })
    fails('assert_replication("service=a")', "the WAL receiver of this standby is waiting", server { status = "waiting" })
    fails('assert_replication("service=a")', "this standby is 1 h 0 min behind, at most 30.00 s expected", server { behind = 500 })
    fails('assert_replication("service=a")', "this standby, whose replay is paused, is", server { behind = 500, paused = true })
    -- One that had replayed nothing since it was started had no lag, however much it had received.
    fails('assert_replication("service=a")', "this standby, whose replay is paused, has replayed no transaction since it was "
      .. "started, and is 500 bytes behind", server { behind = 500, age = null, paused = true })
    fails('assert_replication("service=a", { max_lag_bytes = 100 })', "this standby is 500 bytes behind, at most 100 bytes", server { behind = 500, age = 1 })
    fails('assert_replication("service=a", { replicas = 1 })', "a primary with replicas (1) is expected, but this is a standby", server())
    fails('assert_replication("service=a")', "the state of the WAL receiver is not shown to app: grant pg_monitor", server { status = null }, "denied")
  end)
end)

describe("assert_replication on a primary", function()
  local function replica(changes)
    local one = { pid = 5, name = "b", address = "10.0.0.2", state = "streaming", sync_state = "async", behind = 0, lag = null }
    for key, value in pairs(changes or {}) do one[key] = value end
    return one
  end
  local function server(replicas, slots)
    return { ["pg_is_in_recovery%(%) as standby"] = rows { standby = false, user = "app" },
      ["as replays"] = rows(table.unpack(replicas)), ["where not active"] = rows(table.unpack(slots or {})) }
  end

  it("holds when enough are streaming, and an idle one has no lag", function()
    local result = holds('return assert_replication("service=a", { replicas = 2 })', server { replica(), replica { lag = 2.5 } })
    assert.same({ 0, 2.5 }, { result.replicas[1].lag, result.replicas[2].lag })
    holds('assert_replication("service=a", { replicas = 0 })', server {})
  end)

  it("fails when too few are, or too far behind, or a slot is left alone", function()
    fails('assert_replication("service=a")', "0 replicas are streaming, 1 expected", server {})
    fails('assert_replication("service=a", { replicas = 2 })', "1 replica is streaming, 2 expected (b: streaming, c: backup)",
      server { replica(), replica { name = "c", state = "backup" } })
    fails('assert_replication("service=a")', "replica b is 31.00 s behind, at most 30.00 s expected", server { replica { lag = 31 } })
    fails('assert_replication("service=a", { max_lag_bytes = 1000 })', "replica b is 19.5 KB behind, at most 1000 bytes", server { replica { behind = 20000 } })
    -- A backup that runs was taken for a replica.
    fails('assert_replication("service=a")', "0 replicas are streaming, 1 expected (pg_basebackup: streaming, no standby)",
      server { replica { name = "pg_basebackup", replays = false } })
    fails('assert_replication("service=a")', "replica cdc is 31.00 s behind",
      server { replica(), replica { name = "cdc", replays = false, lag = 31 } })
    local slot = { name = "gone", type = "physical", held = 50 << 20 }
    fails('assert_replication("service=a")', "1 replication slot is inactive, and the server keeps its WAL for it: gone (holds back 50.0 MB)",
      server({ replica() }, { slot }))
    holds('assert_replication("service=a", { slots = false })', server({ replica() }, { slot }))
    fails('assert_replication("service=a")', "the state of the replicas is not shown to app", server { replica { state = null } }, "denied")
  end)
end)

describe("identifiers", function()
  it("are quoted, as each dialect does", function()
    local state = fakedriver.state()
    local quote = state.import("hospital.db_schema").quote
    assert.equal([["a""b; drop"]], quote({}, [[a"b; drop]]))
    assert.equal("`a``b`", quote({ quotes = "`" }, "a`b"))
    assert.equal('"a%1"', quote({}, "a%1"))
  end)
end)
