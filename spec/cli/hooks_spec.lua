-- What hooks say, and what becomes of it, through the real binary.
local run = require("spec.support.outcome").run
local tree = require "spec.support.tree"

describe("what a setup that holds says", function()
  after_each(tree.clean)

  -- All of it was dropped.
  it("is with the checks that it was for: warnings with the first, output with the red", function()
    local checks = run { ["a.lua"] = [[
      describe("outer", function()
        setup(function() log("outer") warn("about outer") metric("m", 1, "s") end)
        describe("inner", function()
          setup(function() log("one") end)
          setup(function() log("two") end)
          healthcheck("good", function() log("good") assert_true(true) end)
          healthcheck("bad", function() log("bad") assert_true(false) end)
          healthcheck("good too", function() assert_true(true) end)
        end)
      end)]] }
    local good, bad = checks["a.lua::outer::inner::good"], checks["a.lua::outer::inner::bad"]
    assert.equal("warn", good.status)
    assert.same({ "about outer" }, good.warnings)
    assert.equal("m", good.metrics[1].name)
    assert.same({ "good" }, good.output)
    assert.same({ "outer", "one", "two", "bad" }, bad.output)
    assert.is_nil(bad.warnings)
    assert.equal("pass", checks["a.lua::outer::inner::good too"].status)
  end)

  it("survives a retry of the first check", function()
    local checks = run { ["a.lua"] = [[
      setup(function() warn("about it") log("said") end)
      healthcheck("bad", { retries = 1 }, function() assert_true(false) end)]] }
    assert.same({ "about it" }, checks["a.lua::bad"].warnings)
    assert.same({ "said" }, checks["a.lua::bad"].output)
  end)

  it("makes no check out of one that probes nothing", function()
    local checks = run { ["a.lua"] = [[
      setup(function() pcall(assert_tcp, "127.0.0.1", 1) end)
      healthcheck("empty", function() end)]] }
    assert.equal("warn", checks["a.lua::empty"].status)
    assert.matches("nothing", checks["a.lua::empty"].context)
  end)

  it("is told with a later setup that does not hold", function()
    local checks = run { ["a.lua"] = [[
      setup(function() log("first") warn("hm") end)
      setup(function() log("second") assert_true(false) end)
      healthcheck("one", function() assert_true(true) end)]] }
    local one = checks["a.lua::one"]
    assert.equal("fail", one.status)
    assert.same({ "first", "second" }, one.output)
    assert.same({ "hm" }, one.warnings)
  end)
end)

describe("what a teardown warns of", function()
  after_each(tree.clean)

  it("is a warning of its own, and red with --strict", function()
    local files = { ["a.lua"] = [[
      teardown(function() warn("left something") end)
      healthcheck("one", function() assert_true(true) end)]] }
    local checks, code = run(files)
    assert.equal(0, code)
    assert.equal("warn", checks["a.lua::teardown"].status)
    assert.same({ "left something" }, checks["a.lua::teardown"].warnings)
    local _, strict = run(files, "--strict")
    assert.equal(1, strict)
  end)
end)

describe("a diagnosis", function()
  after_each(tree.clean)

  local function of(checks, id) return checks[id].diagnoses and checks[id].diagnoses[1].check.id end

  it("runs for a teardown that failed", function()
    for _, name in ipairs { "orders", "a.lua" } do
      local checks, code = run { ["a.lua"] = ([[
        describe("orders", function()
          teardown(function() error("boom") end)
          healthcheck("one", function() assert_true(true) end)
        end)
        diagnosis("why", { of = %q }, function() assert_true(true) end)]]):format(name) }
      assert.equal(1, code)
      assert.equal("pass", checks["a.lua::orders::one"].status)
      assert.equal("a.lua::why", of(checks, "a.lua::orders::teardown"))
    end
  end)

  it("of another file runs when that one does not load, whichever comes first", function()
    for _, name in ipairs { "a.lua", "c.lua" } do
      local checks = run({ [name] = "error('broken')", ["b.lua"] = ([[
        healthcheck("one", function() assert_true(true) end)
        diagnosis("why", { of = %q }, function() assert_true(true) end)]]):format(name) }, "-j", "1")
      assert.equal("b.lua::why", of(checks, name))
    end
  end)

  it("does not run for a teardown that only warned", function()
    local _, _, report = run { ["a.lua"] = [[
      teardown(function() warn("hm") end)
      healthcheck("one", function() assert_true(true) end)
      diagnosis("why", { of = "a.lua" }, function() assert_true(true) end)]] }
    for _, check in ipairs(report.details) do assert.is_nil(check.diagnoses) end
  end)
end)
