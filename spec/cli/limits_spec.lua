-- Files that are large, deep, slow to load or never the same.
local json = require "cjson"
local outcome = require "spec.support.outcome"
local process = require "spec.support.process"
local tree = require "spec.support.tree"

local function run(files, ...) return outcome.within(60, files, ...) end

describe("a file", function()
  after_each(tree.clean)

  -- Looking for the longest running one took a walk over all for each: 450 s.
  it("with 50,000 checks runs, in seconds", function()
    local _, code, report = run({ ["a.lua"] = [[
      for i = 1, 50000 do healthcheck("number " .. i, function() assert_true(true) end) end]] },
      "--memory-limit", "128M")
    assert.equal(0, code)
    assert.equal(50000, report.summary.pass)
    assert.is_true(report.duration < 30)
  end)

  it("with 50,000 checks and no room for them says so", function()
    local checks, code = run { ["a.lua"] = [[
      for i = 1, 50000 do healthcheck("number " .. i, function() assert_true(true) end) end]] }
    assert.equal(1, code)
    assert.matches("memory limit", json.encode(checks["a.lua"]))
  end)

  it("with 60 describes in each other runs; deeper than Lua parses is an error", function()
    local function nested(depth)
      return ('describe("d", function() '):rep(depth) ..
        'healthcheck("deep", function() assert_true(true) end)' .. (" end)"):rep(depth)
    end
    local _, code, report = run { ["a.lua"] = nested(60) }
    assert.equal(0, code)
    assert.equal(1, report.summary.pass)
    local checks, red = run { ["a.lua"] = nested(250) }
    assert.equal(1, red)
    assert.equal("error", checks["a.lua"].status)
  end)

  -- Garbage that Lua had not come round to counted: of 2,000 checks that connected at once, some had no room.
  it("has room for what a binding keeps where garbage is in the way", function()
    local checks = run { ["a.lua"] = [[
      local function free() return 16 * 1024 * 1024 - collectgarbage("count") * 1024 end
      healthcheck("one", function()
        local kept = {}
        while free() >= 40 * 1024 do kept[#kept + 1] = ("x"):rep(math.max(free() // 3, 4096) // 1) end
        kept = nil
        local fns = {}
        for i = 1, 60 do fns[i] = function() assert_true(true) end end
        parallel(table.unpack(fns))
      end)]] }
    assert.equal("pass", checks["a.lua::one"].status, json.encode(checks["a.lua::one"]))
  end)

  it("that takes a while to load is loaded", function()
    local checks, code = run { ["a.lua"] = [[
      local began = os.clock()
      while os.clock() - began < 0.6 do end
      healthcheck("one", function() assert_true(true) end)]] }
    assert.equal(0, code)
    assert.equal("pass", checks["a.lua::one"].status)
  end)
end)

describe("--fail-fast", function()
  after_each(tree.clean)

  it("lets a lane that has begun run its teardown", function()
    local checks, code, report = run({ ["a.lua"] = [[
      describe("d", function()
        teardown(function() warn("torn down") end)
        healthcheck("one", function() assert_true(false) end)
        healthcheck("two", function() assert_true(true) end)
      end)
      describe("e", function()
        before_each(function() end)
        healthcheck("three", function() assert_true(true) end)
      end)]] }, "-x", "-c", "1")
    assert.equal(1, code)
    assert.equal("fail", checks["a.lua::d::one"].status)
    assert.is_truthy(checks["a.lua::d::teardown"])
    assert.equal("fail", report.status)
  end)

  -- The run was not remembered, and --failed ran what had been red before it.
  it("is remembered for --failed, with what was red before and has not run", function()
    local root, cache = tree.make { ["a.lua"] = [[
      healthcheck("one", function() assert_true(false) end)
      healthcheck("two", function() sleep(0.05) assert_true(false) end)
      healthcheck("three", function() assert_true(true) end)]] }, tree.make {}
    local function ids(...)
      local ended = process.hospital({ "run", root, "-f", "json", "-c", "1", ... },
        { env = { XDG_CACHE_HOME = cache, XDG_STATE_HOME = cache, HOME = cache } })
      local list = {}
      for _, check in ipairs(json.decode(ended.stdout).details) do list[#list + 1] = check.test end
      return list
    end
    assert.same({ "one" }, ids("-x"))
    assert.same({ "one" }, ids("--failed"))
    assert.same({ "one", "two", "three" }, ids())
    assert.same({ "one" }, ids("--failed", "-x"))
    assert.same({ "one", "two" }, ids("--failed"))
  end)

  it("jsonl: begins, then checks in their order, then ends", function()
    local ended = process.hospital { "run", tree.make { ["b.lua"] =
      'healthcheck("b", function() assert_true(true) end)', ["a.lua"] =
      'healthcheck("a", function() sleep(0.1) assert_true(true) end)' }, "-f", "jsonl" }
    local events = {}
    for line in ended.stdout:gmatch("[^\n]+") do
      local event = json.decode(line)
      events[#events + 1] = event.event .. (event.check and " " .. event.check.id or "")
    end
    assert.same({ "run_started", "check_finished a.lua::a", "check_finished b.lua::b",
      "run_finished" }, events)
  end)
end)
