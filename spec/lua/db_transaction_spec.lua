-- Transactions of a check: what is rolled back is rolled back, whatever happens, and
-- what ended behind our back is told.
package.path = "./spec/support/?.lua;" .. package.path
local fakedriver = require "fakedriver"

-- Runs text with `conn`, opened with options; the state, the driver, the check's results.
local function run(text, options, prepare, kind)
  local state, driver = fakedriver.state(kind)
  if prepare then prepare(driver, state) end
  local target = kind == "sqlite" and "sqlite:/x.db" or (kind or "postgres") .. "://db/shop"
  local results = table.pack(state:check(
    ('local conn = db.connect("%s", %s)\n%s'):format(target, options or "nil", text)))
  return state, driver, results
end

-- What reached the server after connecting.
local function log(driver)
  return table.concat(driver.log, " | ", 2)
end

local function misused(text, pattern, options, prepare)
  local state, driver, results = run(text, options, prepare)
  assert.is_false(results[1], text)
  assert.equal("string", type(results[2]), "an error, not a failure: " .. tostring(results[2]))
  assert.matches("^shop%.lua:%d+: ", results[2])
  assert.matches(pattern, results[2])
  return state, driver
end

local function red(text, kind, pattern, options, prepare, dialect)
  local state, driver, results = run(text, options, prepare, dialect)
  assert.is_false(results[1], text)
  assert.equal("failure", state.host.kind(results[2]), tostring(results[2]))
  assert.matches(pattern, results[2].message)
  assert.equal(kind, results[2].kind)
  return state, driver, results[2]
end

local function answer(sql, value)
  return function(driver) driver.answers[sql] = value end
end

local function fault(kind, message, more)
  local made = { kind = kind, message = message or kind }
  for k, v in pairs(more or {}) do made[k] = v end
  return function() return nil, made end
end

local WRITE = "{ write = true }"

describe("conn:transaction", function()
  it("commits when its function returns, and gives what that returned", function()
    local _, driver, results = run('return conn:transaction(function(c) c:exec("insert") return 1, nil, c == conn end)', WRITE)
    assert.same({ true, 1, nil, true, n = 4 }, results)
    assert.equal("BEGIN READ WRITE | insert | COMMIT", log(driver))
  end)

  it("rolls back when it raises, and raises on", function()
    local _, driver, results = run('conn:transaction(function() conn:exec("insert") error("no", 0) end)', WRITE)
    assert.equal("no", results[2])
    assert.equal("BEGIN READ WRITE | insert | ROLLBACK", log(driver))
    local state, other, skipped = run('conn:transaction(function() skip("later") end)', WRITE)
    assert.equal("skip", state.host.kind(skipped[2]))
    assert.equal("BEGIN READ WRITE | ROLLBACK", log(other))
  end)

  it("is one snapshot on a connection that may not write, and leaves nothing", function()
    local _, driver = run('conn:transaction(function() conn:value("select 1") end)')
    assert.equal("BEGIN READ ONLY; SELECT 1 | select 1 | ROLLBACK", log(driver))
  end)

  it("within another one is a savepoint", function()
    local _, driver = run([[conn:transaction(function()
      conn:transaction(function() conn:exec("insert 1") end)
      pcall(function() conn:savepoint(function() conn:exec("insert 2") error("x") end) end)
      conn:rolled_back(function() conn:exec("insert 3") end)
    end)]], WRITE)
    assert.equal("BEGIN READ WRITE | SAVEPOINT hospital_2 | insert 1 | RELEASE SAVEPOINT hospital_2"
      .. " | SAVEPOINT hospital_2 | insert 2 | ROLLBACK TO SAVEPOINT hospital_2 | RELEASE SAVEPOINT hospital_2"
      .. " | SAVEPOINT hospital_2 | insert 3 | ROLLBACK TO SAVEPOINT hospital_2 | RELEASE SAVEPOINT hospital_2 | COMMIT", log(driver))
  end)

  it("does not commit what failed, although its function returned", function()
    local _, driver = red('conn:transaction(function() pcall(conn.exec, conn, "insert") end)', "query",
      "a statement had failed: what the transaction wrote was rolled back, although", WRITE,
      answer("insert", fault("constraint")))
    assert.equal("BEGIN READ WRITE | insert | ROLLBACK", log(driver))
    assert.is_nil(driver.opened[1].committed)
  end)

  it("does not release a savepoint in which something failed", function()
    local _, driver = red([[conn:transaction(function()
      conn:savepoint(function() pcall(conn.exec, conn, "insert") end)
    end)]], "query", "what the savepoint wrote was rolled back", WRITE, answer("insert", fault("constraint")))
    assert.equal("BEGIN READ WRITE | SAVEPOINT hospital_2 | insert | ROLLBACK TO SAVEPOINT hospital_2"
      .. " | RELEASE SAVEPOINT hospital_2 | ROLLBACK", log(driver))
  end)

  it("goes on after a savepoint took back what failed", function()
    local _, driver, results = run([[return conn:transaction(function()
      pcall(conn.savepoint, conn, function() conn:exec("insert") end)
      return conn:value("select 1")
    end)]], WRITE, function(driver)
      driver.answers.insert = fault("constraint")
      driver.answers["select 1"] = { { 1 } }
    end)
    assert.equal(1, results[2])
    assert.matches("COMMIT$", log(driver))
  end)

  it("fails when it cannot be committed", function()
    local _, driver = red('conn:transaction(function() conn:exec("insert") end)', "constraint",
      "deferred.*\n  in: COMMIT", WRITE, answer("COMMIT", fault("constraint", "deferred")))
    assert.equal("idle", driver.opened[1].now == "closed" and "idle" or driver.opened[1].now)
    red('conn:transaction(function() conn:exec("insert") end)', "closed",
      "gone.*whether the transaction was committed is not known", WRITE,
      answer("COMMIT", fault("closed", "gone", { closed = true })))
    red('conn:transaction(function() conn:close() end)', "closed",
      "the connection was closed before the transaction was committed", WRITE)
  end)

  it("fails when it cannot be begun, and the connection goes on", function()
    local tries = 0
    local _, driver, results = run([[local ok, why = pcall(conn.transaction, conn, print)
      return why.kind, conn:transaction(function() return 5 end)]], WRITE, answer("BEGIN READ WRITE", function(conn)
        tries = tries + 1
        if tries == 1 then return nil, { kind = "lock_timeout", message = "locked" } end
        conn.now = "transaction"
      end))
    assert.same({ true, "lock_timeout", 5, n = 3 }, results)
    assert.equal("BEGIN READ WRITE | BEGIN READ WRITE | COMMIT", log(driver))
    red("conn:rolled_back(print)", "statement_timeout", "too late", nil, function(one)
      one.unverifiable = { kind = "statement_timeout", message = "too late" }
    end)
    _, driver = run("pcall(conn.rolled_back, conn, print) conn:exec('x')", nil, function(one)
      one.unverifiable = { kind = "statement_timeout", message = "too late" }
    end)
    assert.equal("BEGIN READ WRITE | ROLLBACK | x", log(driver))
    red("conn:transaction(print)", "query", "no transaction was begun", WRITE, answer("BEGIN READ WRITE", function() end))
  end)

  it("needs a function, and a savepoint a transaction", function()
    misused("conn:transaction()", "conn:transaction: a function is needed, got nil")
    misused("conn:rolled_back(5)", "conn:rolled_back: a function is needed, got number")
    misused("conn:savepoint(print)", "conn:savepoint: a savepoint is within")
  end)
end)

describe("conn:rolled_back", function()
  local INSERT = 'conn:rolled_back(function() conn:exec("insert") %s end)'

  it("rolls back on success, failure, error and skip, also where nothing else may write", function()
    for _, ending in ipairs { "", "assert_equal(1, 2)", 'error("x")', 'skip("x")', "error({})", 'pcall(error) conn.x()' } do
      local _, driver = run(INSERT:format(ending))
      assert.equal("BEGIN READ WRITE | insert | ROLLBACK", log(driver), ending)
      assert.equal(2, driver.verified)
      assert.is_nil(driver.opened[1].committed)
    end
  end)

  it("gives what its function returned, and the connection goes on", function()
    local _, driver, results = run('local x = conn:rolled_back(function(c) return c == conn end) conn:value("select 2") return x')
    assert.same({ true, true, n = 2 }, results)
    assert.equal("BEGIN READ WRITE | ROLLBACK | select 2", log(driver))
  end)

  it("makes savepoints of what is within", function()
    local _, driver = run([[conn:rolled_back(function()
      conn:transaction(function() conn:exec("insert 1") end)
      conn:rolled_back(function() conn:exec("insert 2") end)
    end)]])
    assert.equal("BEGIN READ WRITE | SAVEPOINT hospital_2 | insert 1 | RELEASE SAVEPOINT hospital_2 | SAVEPOINT hospital_2"
      .. " | insert 2 | ROLLBACK TO SAVEPOINT hospital_2 | RELEASE SAVEPOINT hospital_2 | ROLLBACK", log(driver))
  end)

  it("does not commit, whatever the statement hides behind", function()
    for _, text in ipairs { "commit", "/* x */ end", ";;commit", "--x\\ncommit and chain", "prepare transaction 'x'" } do
      local _, driver = misused(INSERT:format(('conn:exec("%s")'):format(text)), " is refused: ")
      assert.equal("BEGIN READ WRITE | insert | ROLLBACK", log(driver))
    end
    misused('conn:rolled_back(function() conn:transaction(function() conn:exec("commit") end) end)',
      "conn:exec: COMMIT is refused: what a rolled back check writes cannot be committed")
  end)

  it("sees a statement that ended its transaction all the same", function()
    for _, how in ipairs { 'conn:exec("call p()")', 'pcall(conn.exec, conn, "call p()")',
      'for _ in conn:each("call p()") do end' } do
      local state, driver, results = run(INSERT:format(how), nil, answer("call p()", function(conn)
        conn.committed, conn.now = 1, "idle"
      end))
      assert.is_false(results[1], how)
      local told = state.records.failure[1] or results[2]
      assert.equal("internal", told.kind)
      assert.matches("the transaction had ended before its end, with: call p%(%): what it wrote may have stayed", told.message)
      assert.matches("close$", log(driver))
      if how:find("^conn") then
        assert.matches("the statement ended the transaction it was in; what it wrote may have stayed", results[2])
      end
    end
  end)

  it("sees one that ended it and began another", function()
    for _, tag in ipairs { "COMMIT", "BEGIN", "START TRANSACTION", "PREPARE TRANSACTION" } do
      local state, driver = misused(INSERT:format('conn:exec("call p()")'), "ended the transaction it was in", nil,
        answer("call p()", function(conn)
          conn.number = conn.number + 1
          return { command = tag }
        end))
      assert.equal("BEGIN READ WRITE | insert | call p() | ROLLBACK | close", log(driver))
      assert.matches("what it wrote may have stayed", state.records.failure[1].message)
    end
  end)

  it("sees at the end that it is another transaction", function()
    local function swap(conn) conn.number = conn.number + 1 end
    local _, driver = red(INSERT:format('conn:exec("call p()")'), "internal",
      "the transaction had ended before it was rolled back: what it wrote may have stayed", nil, answer("call p()", swap))
    assert.equal("BEGIN READ WRITE | insert | call p() | ROLLBACK", log(driver))
    -- whatever else happened
    local state, _, results = run(INSERT:format('conn:exec("call p()") error("mine", 0)'), nil, answer("call p()", swap))
    assert.equal("mine", results[2])
    assert.matches("what it wrote may have stayed", state.records.failure[1].message)
    red(INSERT:format('conn:exec("call p()") skip("x")'), "internal", "may have stayed", nil, answer("call p()", swap))
    -- and in the middle of rows that nobody reads
    red(INSERT:format('conn:exec("call p()") for _ in conn:each("rows") do break end'), "internal", "may have stayed", nil,
      function(d) d.answers["call p()"], d.answers.rows = swap, { { 1 }, { 2 } } end)
  end)

  it("sees by its savepoint that a transaction of SQLite's or MySQL's has ended", function()
    local text = 'conn:rolled_back(function() conn:exec("insert") %s end)'
    for _, kind in ipairs { "sqlite", "mysql" } do
      local _, driver, results = run(text:format(""), WRITE, nil, kind)
      assert.is_true(results[1], tostring(results[2]))
      assert.matches(" | SAVEPOINT hospital_begin | insert | ROLLBACK TO SAVEPOINT hospital_begin | ROLLBACK$", log(driver))
      red(text:format('conn:exec("select p()")'), "internal", "may have stayed", WRITE,
        answer("select p()", function(conn) conn.savepoints = {} end), kind)
    end
  end)

  it("takes a failed transaction for one that was not committed", function()
    local _, driver, results = run(INSERT:format('pcall(conn.exec, conn, "bad")'), nil, answer("bad", fault("syntax")))
    assert.is_true(results[1], tostring(results[2]))
    assert.equal("BEGIN READ WRITE | insert | bad | ROLLBACK", log(driver))
  end)

  it("needs no rollback of a connection that is lost", function()
    local state, driver, failure = red(INSERT:format('conn:exec("x")'), "killed", "admin", nil,
      answer("x", fault("killed", "admin", { closed = true })))
    assert.equal("killed", failure.kind)
    assert.equal("BEGIN READ WRITE | insert | x", log(driver))
    assert.same({}, state.records.failure)
    misused('pcall(conn.exec, conn, "x") conn:exec("y")', "conn:exec: the connection was lost: admin", nil,
      answer("x", fault("killed", "admin", { closed = true })))
    local _, closed, results = run(INSERT:format("conn:close()"))
    assert.is_true(results[1])
    assert.equal("BEGIN READ WRITE | insert | close", log(closed))
  end)

  -- A pcall in the function, or around it, made such a check pass.
  it("fails although its function returned, when the connection was lost or a statement was refused", function()
    local gone = answer("x", fault("killed", "admin", { closed = true }))
    local state = red(INSERT:format('pcall(conn.exec, conn, "x")'), "closed", "lost before the end of the rolled_back.*admin",
      nil, gone)
    assert.equal(1, #state.records.failure)
    red('conn:rolled_back(function() pcall(conn.savepoint, conn, print) end)', "closed", "was lost", nil,
      answer("SAVEPOINT hospital_2", fault("killed", "admin", { closed = true })))
    local _, driver = red(INSERT:format('pcall(conn.exec, conn, "commit")'), "syntax", "COMMIT is refused")
    assert.equal("BEGIN READ WRITE | insert | ROLLBACK", log(driver))
    for _, swallowed in ipairs { 'pcall(conn.exec, conn, "x")', 'pcall(conn.exec, conn, "commit")' } do
      local other, _, results = run("pcall(function() " .. INSERT:format(swallowed) .. " end)", nil, gone)
      assert.is_true(results[1], tostring(results[2]))
      assert.equal(1, #other.records.failure, swallowed)
    end
    -- and is forgotten with its transaction
    local later, _, results = run('pcall(function() conn:rolled_back(function() conn:exec("commit") end) end)'
      .. " conn:rolled_back(function() end)")
    assert.is_true(results[1], tostring(results[2]))
    assert.same({}, later.records.failure)
  end)

  it("tells a rollback that fails, and closes", function()
    local refuse = answer("ROLLBACK", fault("query", "cannot"))
    local _, driver = red(INSERT:format(""), "query", "cannot.*in: ROLLBACK", nil, refuse)
    assert.matches("ROLLBACK | close$", log(driver))
    local state, _, results = run(INSERT:format("assert_equal(1, 2)"), nil, refuse)
    assert.matches("not equal", results[2].message)
    assert.matches("cannot", state.records.failure[1].message)
    red(INSERT:format('skip("x")'), "query", "cannot", nil, refuse)
    red(INSERT:format(""), "query", "ROLLBACK did not end the transaction", nil, answer("ROLLBACK", function() end))
  end)

  it("tells a server that rolled back by itself, and lets nothing follow", function()
    local function dead(conn)
      conn.now = "idle"
      return nil, { kind = "deadlock", message = "Deadlock found" }
    end
    local function prepare(driver)
      driver.answers.dead = dead
      driver.fails = false
    end
    local state, driver = red(INSERT:format('conn:exec("dead")'), "deadlock", "the transaction is over with it", nil, prepare)
    assert.equal("BEGIN READ WRITE | insert | dead | close", log(driver))
    assert.equal(1, #state.records.failure)
    misused(INSERT:format('pcall(conn.exec, conn, "dead") conn:exec("insert")'), "its transaction had ended", nil, prepare)
  end)

  it("asks for { write = true } where a file that is read cannot be written", function()
    local _, driver, results = run("conn:rolled_back(print)", nil, nil, "sqlite")
    assert.matches("a connection to SQLite that is rolled back is opened with { write = true }", results[2])
    assert.equal("", log(driver))
  end)
end)

describe("rolled_back", function()
  local function check(text, prepare, kind)
    local state, driver = fakedriver.state(kind)
    if prepare then prepare(driver) end
    local suite = state:load(("local leaked healthcheck('x', rolled_back(%q, function(conn) leaked = conn\n%s\nend))"
      .. " healthcheck('y', function() leaked:value('select 1') end)"):format(kind == "sqlite" and "sqlite:x" or "postgres://db/shop", text))
    return state, driver, table.pack(pcall(suite.bodies[1])), suite
  end

  it("connects when the check runs, rolls back and closes", function()
    for _, ending in ipairs { "", "assert_equal(1, 2)", 'error("x")', 'skip("x")' } do
      local _, driver, results = check('conn:exec("insert") ' .. ending)
      assert.equal(ending == "", results[1])
      assert.equal("connect | BEGIN READ WRITE | insert | ROLLBACK | close", table.concat(driver.log, " | "))
      assert.is_false(driver.options.write)
      assert.is_true(driver.options.rolled_back)
    end
    local _, driver = check("", nil, "sqlite")
    assert.equal("connect | BEGIN IMMEDIATE | SAVEPOINT hospital_begin | ROLLBACK TO SAVEPOINT hospital_begin | ROLLBACK | close",
      table.concat(driver.log, " | "))
  end)

  it("leaves no connection to be used", function()
    local _, _, _, suite = check("")
    local ok, why = pcall(suite.bodies[2])
    assert.is_false(ok)
    assert.matches("conn:value: it was the connection of a rolled_back, which has ended", why)
  end)

  it("takes options, but not write", function()
    local state, driver = fakedriver.state()
    assert.is_true(state:check('rolled_back("postgres://db", { lock_timeout = "1s" }, function() end)()'))
    assert.equal(1, driver.options.lock_timeout)
    local ok, why = state:check('rolled_back("postgres://db", { write = true }, function() end)')
    assert.is_false(ok)
    assert.matches("write is no question here", why)
    ok, why = state:check('rolled_back("postgres://db")')
    assert.is_false(ok)
    assert.matches("shop.lua:1: rolled_back: the last argument must be a function, got nil", why)
  end)

  it("says at the check, not at its file, that there is no target", function()
    local state = fakedriver.state()
    local suite = state:load("healthcheck('x', rolled_back(env.NONE, function() end))")
    local ok, why = pcall(suite.bodies[1])
    assert.is_false(ok)
    assert.matches("rolled_back: the target is nil: is the environment variable set%?", why)
  end)
end)

describe("a statement outside of a transaction", function()
  it("cannot begin one", function()
    local _, driver = misused('conn:exec("call p()")', "the statement began a transaction, which was rolled back",
      WRITE, answer("call p()", function(conn) conn.now = "transaction" end))
    assert.equal("call p() | ROLLBACK | close", log(driver))
    misused('pcall(conn.exec, conn, "x") conn:value("select 1")', "a statement had begun a transaction", WRITE,
      answer("x", function(conn) conn.now = "transaction" end))
    misused('conn:exec("begin")', "BEGIN is refused: use conn:transaction")
  end)
end)

describe("two functions with one connection", function()
  -- Runs bodies as coroutines that take turns whenever the driver waits.
  local function together(options, waits, ...)
    local state, driver = fakedriver.state()
    local ok, conn = state:check(('return db.connect("postgres://db", %s)'):format(options or "nil"))
    assert(ok, conn)
    driver.waits = waits
    local threads, ends = {}, {}
    for i, text in ipairs { ... } do
      threads[i] = coroutine.create(state:compile("local conn = ... " .. text))
    end
    local alive = true
    while alive do
      alive = false
      for i, thread in ipairs(threads) do
        if coroutine.status(thread) ~= "dead" then
          alive = true
          ends[i] = table.pack(coroutine.resume(thread, conn))
        end
      end
    end
    return state, driver, ends
  end

  it("is told, and does the first no harm", function()
    local _, driver, ends = together(nil, true, 'return conn:value("select 1")', 'conn:value("select 2")')
    assert.is_true(ends[1][1])
    assert.matches("conn:value: the connection is busy: another function", ends[2][2])
    assert.equal("select 1", log(driver))
  end)

  it("is told when a transaction ends under another one's feet", function()
    local state, driver, ends = together(WRITE, false,
      'conn:transaction(function() conn:exec("a") coroutine.yield() end)',
      'conn:transaction(function() conn:exec("b") coroutine.yield() coroutine.yield() conn:exec("b") end)')
    assert.equal("failure", state.host.kind(ends[1][2]))
    assert.matches("the transaction ended while another function of the check used its connection", ends[1][2].message)
    assert.matches("conn:exec: a transaction on it ended while another function", ends[2][2])
    assert.equal("BEGIN READ WRITE | a | SAVEPOINT hospital_2 | b | close", log(driver))
    local _ _, driver, ends = together(WRITE, true, 'pcall(conn.rolled_back, conn, function() conn:exec("a") end)',
      'for _ = 1, 9 do pcall(conn.exec, conn, "b") end')
    assert.is_true(ends[1][1])
    assert.is_nil(driver.opened[1].committed)
  end)
end)

describe("rows that are read one by one", function()
  local ROWS = function(driver) driver.answers.rows = { columns = { "id" }, { 1 }, { 2 }, { 3 } } end

  it("end with their loop, or its break", function()
    local _, driver, results = run('local n = 0 for row in conn:each("rows", 5) do n = n + row.id end return n, conn:value("select 1")', nil, ROWS)
    assert.equal(6, results[2])
    assert.same({ n = 1, 5 }, driver.calls[1].parameters)
    assert.equal("rows | select 1", log(driver))
    _, driver = run('for _ in conn:each("rows") do break end conn:value("select 1")', nil, ROWS)
    assert.equal("rows | stop | select 1", log(driver))
    _, driver, results = run('pcall(function() for _ in conn:each("rows") do error("x") end end) return conn:exec("x")', nil, ROWS)
    assert.equal("rows | stop | x", log(driver))
    assert.is_true(results[1])
  end)

  it("make the connection busy until then", function()
    misused('for _ in conn:each("rows") do conn:query("select 1") end', "busy: the rows of a conn:each", nil, ROWS)
    misused('for _ in conn:each("rows") do conn:transaction(print) end', "conn:transaction: the connection is busy", nil, ROWS)
  end)

  it("may fail at any row", function()
    local state, _, failure = red('for _ in conn:each("rows") do end', "killed", "ended by admin.*in: rows", nil, function(d)
      d.answers.rows = { { 1 }, { kind = "killed", message = "ended by admin", closed = true } }
    end)
    assert.equal("query", failure.phase)
    assert.equal("killed", failure.kind)
    assert.is_truthy(state)
  end)

  it("that are gone do not look like all there were", function()
    misused('for _ in conn:each("rows") do conn:close() end', "conn:each: the connection is closed", nil, ROWS)
    misused('local step = conn:rolled_back(function() return (conn:each("rows")) end) step()',
      "conn:each: its rows were dropped: its loop or transaction ended", nil, ROWS)
    local _, _, results = run('local step = conn:each("rows") step() step() step() return step(), step()', nil, ROWS)
    assert.same({ true, nil, nil, n = 3 }, results)
  end)

  it("are read by one function", function()
    local state, driver = fakedriver.state()
    driver.answers.rows = { { 1 }, { 2 }, { 3 } }
    local _, conn = state:check('return db.connect("postgres://db")')
    local _, step = state:check('return (...):each("rows")', conn)
    driver.waits = true
    assert(coroutine.resume(coroutine.create(state:compile("(...)()")), step))
    local ok, why = coroutine.resume(coroutine.create(state:compile("(...)()")), step)
    assert.is_false(ok)
    assert.matches("conn:each: the connection is busy: another function of this check reads from it", why)
  end)

  it("that are left and fail later keep their transaction from being committed", function()
    local _, driver = red('conn:transaction(function() for _ in conn:each("rows") do break end end)', "query",
      "a statement had failed", WRITE, function(d)
        d.lazy, d.answers.rows = true, { { 1 }, { kind = "query", message = "division by zero" } }
      end)
    assert.equal("BEGIN READ WRITE | rows | stop | ROLLBACK", log(driver):gsub(" | SELECT 1", ""), nil)
    assert.is_nil(driver.opened[1].committed)
    _, driver = run('conn:rolled_back(function() for _ in conn:each("rows") do break end end) conn:exec("x")', nil, function(d)
      d.lazy, d.answers.rows = true, { { 1 }, { 2 } }
    end)
    assert.equal("BEGIN READ WRITE | rows | stop | ROLLBACK | x", log(driver))
  end)

  it("are dropped at the end of a transaction", function()
    local _, driver = run('conn:rolled_back(function() conn:each("rows") end)', nil, ROWS)
    assert.equal("BEGIN READ WRITE | rows | stop | ROLLBACK", log(driver))
  end)
end)
