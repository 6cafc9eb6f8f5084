-- What a running check says and does besides asserting.
package.path = "./spec/support/?.lua;" .. package.path
local fakehost = require "fakehost"

local function run(text)
  local state = fakehost.new()
  return state, table.pack(state:check(text))
end

local function misused(text, pattern)
  local _, result = run("\n" .. text)
  assert.is_false(result[1], text)
  assert.equal("string", type(result[2]), text)
  assert.matches("^shop%.lua:2: ", result[2])
  assert.matches(pattern, result[2])
end

describe("skip, warn and output", function()
  it("skip ends the check with its reason", function()
    local state, result = run('skip("no database") error("not reached")')
    assert.equal("skip", state.host.kind(result[2]))
    assert.equal("no database", result[2].reason)
    result = select(2, run("skip()"))
    assert.equal("skipped", result[2].reason)
    misused("skip({})", "skip: the reason must be a string, not table")
  end)

  it("warn records and goes on", function()
    local state, result = run('warn("old") warn(5) return 1')
    assert.same({ true, 1, n = 2 }, result)
    assert.same({ "old", "5" }, state.records.warning)
    misused("warn()", "warn: the message must be a string, not nil")
  end)

  it("print puts tabs between and splits lines", function()
    local state = run([[
      print("a", 1, nil, true)
      print("x\ny\n")
      print()
      print("\n\nz")
      print(setmetatable({}, { __tostring = function() return "mine" end }))]])
    assert.same({ "a\t1\tnil\ttrue", "x", "y", "", "", "", "z", "mine" }, state.records.output)
  end)

  it("log shows what is in tables", function()
    local state = run('log("got", { a = 1 }, nil)')
    assert.same({ "got\t{ a = 1 }\tnil" }, state.records.output)
  end)

  it("are for running checks", function()
    for _, text in ipairs { 'skip("x")', 'warn("x")', 'metric("x", 1)', "eventually(1, print)",
      "parallel(print)" } do
      local state = fakehost.new()
      local ok, why = pcall(state.load, state, "\n" .. text)
      assert.is_false(ok)
      assert.matches("^shop%.lua:2: %a+%(%) is for a running check", why)
    end
  end)
end)

describe("metric", function()
  it("records name, value and unit", function()
    local state = run('metric("queue.length-1", 5, "messages") metric("x", 0.5)')
    assert.same({ { name = "queue.length-1", value = 5, unit = "messages" }, { name = "x", value = 0.5 } },
      state.records.metric)
  end)

  it("refuses what no report can hold", function()
    misused('metric("a b", 1)', "a name is made of letters")
    misused('metric("1a", 1)', "begins with a letter")
    misused("metric(5, 1)", "a name is made of")
    misused('metric("a\\n", 1)', "a name is made of")
    misused('metric("a", "1")', 'metric "a": the value must be a number, not string')
    misused('metric("a", 0/0)', "must be finite")
    misused('metric("a", -1/0)', "must be finite")
    misused('metric("a", 1, "")', "a unit is a short word")
    misused('metric("a", 1, 5)', "a unit is a short word")
  end)
end)

describe("sleep and now", function()
  it("take durations and tell the time", function()
    local state, result = run('local t = now() sleep("250ms") sleep(2) return now() - t')
    assert.same({ 0.25, 2.0 }, state.slept)
    assert.equal(2.25, result[2])
    misused('sleep("soon")', 'sleep: seconds or a duration .* not "soon"')
    misused("sleep()", "not nil")
    misused("sleep(-1)", "sleep: seconds")
  end)
end)

describe("eventually", function()
  it("returns what fn returns, at once when it holds", function()
    local state, result = run('return eventually("2s", function() return 1, nil, 3 end)')
    assert.same({ true, 1, nil, 3, n = 4 }, result)
    assert.same({}, state.slept)
  end)

  it("tries again, later and later, at most 1 s apart", function()
    local state, result = run([[
      local n = 0
      return eventually(60, function() n = n + 1 assert_equal(14, n) return n end)]])
    assert.same({ true, 14, n = 2 }, result)
    assert.equal(13, #state.slept)
    assert.equal(0.05, state.slept[1])
    for i = 2, 13 do
      assert.truthy(state.slept[i] >= state.slept[i - 1])
      assert.truthy(state.slept[i] <= 1)
    end
    assert.equal(1, state.slept[13])
  end)

  it("raises the last failure, with how long and how often", function()
    local state, result = run('\neventually("200ms", function() assert_equal(1, 2) end)')
    local why = result[2]
    assert.equal("failure", state.host.kind(why))
    assert.equal("not within 200ms, 4 tries: the values are not equal", why.message)
    assert.same({ "1", "2", 2 }, { why.expected, why.actual, why.line })
    local total = 0
    for _, s in ipairs(state.slept) do total = total + s end
    assert.truthy(math.abs(total - 0.2) < 1e-9)
    result = select(2, run("eventually(0, function() assert_true(false) end)"))
    assert.matches("^not within 0s, 1 try: ", result[2].message)
  end)

  it("prefixes a plain error too, and raises other values as they are", function()
    local _, result = run('eventually(0, function() error("boom") end)')
    assert.equal("not within 0s, 1 try: shop.lua:1: boom", result[2])
    _, result = run("eventually(0, function() error({ code = 7 }) end)")
    assert.equal(7, result[2].code)
  end)

  it("forgets what failed tries recorded, and takes a recorded failure for one", function()
    local state, result = run([[
      print("before")
      local n = 0
      eventually(5, function() n = n + 1 print("try " .. n) warn("w") expect_equal(3, n) end)]])
    assert.is_true(result[1])
    assert.same({ "before", "try 3" }, state.records.output)
    assert.same({}, state.records.failure)
    assert.equal(1, #state.records.warning)
  end)

  it("keeps the last try's recorded failures", function()
    local state, result = run("eventually(0.1, function() expect_equal(1, 2) expect_equal(3, 4) end)")
    assert.equal("failure", state.host.kind(result[2]))
    assert.matches("^not within 0.1s, %d tries: an expectation did not hold", result[2].message)
    assert.equal(2, #state.records.failure)
  end)

  it("keeps a failure recorded before it apart", function()
    local state, result = run("expect_equal(1, 2) return eventually(1, function() return 5 end)")
    assert.same({ true, 5, n = 2 }, result)
    assert.equal(1, #state.records.failure)
    assert.same({}, state.slept)
  end)

  it("lets skip pass", function()
    local state, result = run('eventually(5, function() skip("not here") end)')
    assert.equal("skip", state.host.kind(result[2]))
    assert.equal("not here", result[2].reason)
    assert.same({}, state.slept)
  end)

  it("is misused without a duration or a function", function()
    misused("eventually(function() end)", "eventually: seconds or a duration")
    misused('eventually("2s")', "eventually: a function is needed, not nil")
  end)
end)

describe("parallel", function()
  it("hands functions to the host", function()
    local _, result = run("return parallel(function() return 1 end, function() return 2 end)")
    assert.same({ true, 1, 2, n = 3 }, result)
    misused("parallel()", "parallel: a function is needed")
    misused("parallel(print, nil, print)", "argument 2 must be a function, not nil")
    misused("parallel({ print })", "argument 1 must be a function, not table")
  end)
end)

describe("env", function()
  local function with(text)
    local state = fakehost.new()
    state.environment = { A = "1", DB_PASSWORD = "hunter2" }
    return table.pack(state:check(text))
  end

  it("is read by name", function()
    assert.same({ true, "1", nil, n = 3 }, with("return env.A, env.B"))
  end)

  it("is not written to, nor listed, nor unwrapped", function()
    assert.equal("shop.lua:1: env is read-only", with('env.A = "2"')[2])
    assert.equal("shop.lua:1: env cannot be listed, only asked for a name", with("for _ in pairs(env) do end")[2])
    assert.matches("cannot be listed", with("return #env")[2])
    assert.same({ true, nil, n = 2 }, with("return next(env)"))
    assert.same({ true, false, n = 2 }, with("return getmetatable(env)"))
    assert.is_false(with("setmetatable(env, {})")[1])
    assert.equal("shop.lua:1: env takes a name, not number", with("return env[1]")[2])
  end)
end)
