-- What waits for what, through the real binary.
local process = require "spec.support.process"
local run = require("spec.support.outcome").run
local tree = require "spec.support.tree"

local HOLDS = "function() assert_true(true) end"
local SICK = "function() assert_true(false) end"

describe("requires", function()
  after_each(tree.clean)

  for _, concurrency in ipairs { "1", "256" } do
    it("skips what requires a red check, and what requires that, -c " .. concurrency, function()
      local checks, code = run({
        ["a.lua"] = 'healthcheck("a", { requires = "b.lua::b" }, ' .. HOLDS .. ")",
        ["b.lua"] = 'healthcheck("b", { requires = "c.lua" }, ' .. HOLDS .. ")",
        ["c.lua"] = 'healthcheck("c", ' .. SICK .. ")",
      }, "-c", concurrency)
      assert.equal(1, code)
      assert.equal("skip", checks["a.lua::a"].status)
      assert.equal('because "c.lua::c" failed', checks["a.lua::a"].context)
      assert.equal("skip", checks["b.lua::b"].status)
    end)

    -- Two describes with hooks, each with a check that waits for one of the other: neither
    -- may start as a whole, and the run never ended.
    it("does not deadlock between two lanes that wait for each other, -c " .. concurrency,
      function()
        local checks, code = run({ ["x.lua"] = ([[
          describe("A", function()
            before_each(function() end)
            healthcheck("a1", HOLDS)
            healthcheck("a2", { requires = "B::b1" }, HOLDS)
          end)
          describe("B", function()
            before_each(function() end)
            healthcheck("b1", { requires = "A::a1" }, HOLDS)
          end)]]):gsub("HOLDS", HOLDS) }, "-c", concurrency)
        assert.equal(0, code)
        assert.equal("pass", checks["x.lua::A::a2"].status)
        assert.equal("pass", checks["x.lua::B::b1"].status)
      end)
  end

  -- A describe with hooks of which every check was skipped was released all the same, kept its
  -- place for ever, and with -c 1 nothing else started.
  it("gives back the place of a lane that was skipped whole", function()
    local files = {}
    files["a.lua"] = ([[
      healthcheck("red", { timeout = "5s" }, function() sleep(0.05) assert_true(false) end)
      for i = 1, 4 do
        describe("d" .. i, { requires = "red" }, function()
          before_each(function() end)
          healthcheck("one", HOLDS)
          healthcheck("two", HOLDS)
        end)
      end
      healthcheck("last", HOLDS)]]):gsub("HOLDS", HOLDS)
    local checks, code = run(files, "-c", "1")
    assert.equal(1, code)
    assert.equal("skip", checks["a.lua::d4::two"].status)
    assert.equal("pass", checks["a.lua::last"].status)
  end)

  it("makes every check of a cycle an error, across files, and skips what hangs on it", function()
    local checks, code = run {
      ["a.lua"] = 'healthcheck("a", { requires = "b.lua::b" }, ' .. HOLDS .. ")",
      ["b.lua"] = 'healthcheck("b", { requires = "c.lua::c" }, ' .. HOLDS .. ")",
      ["c.lua"] = 'healthcheck("c", { requires = "a.lua::a" }, ' .. HOLDS .. ")",
      ["d.lua"] = 'healthcheck("d", { requires = "b.lua::b" }, ' .. HOLDS .. ")",
    }
    assert.equal(1, code)
    for _, id in ipairs { "a.lua::a", "b.lua::b", "c.lua::c" } do
      assert.equal("error", checks[id].status, id)
      assert.matches("in a circle", checks[id].context)
    end
    assert.equal("skip", checks["d.lua::d"].status)
  end)

  it("finds a cycle through the order of a lane", function()
    local checks, code = run { ["a.lua"] = ([[
      before_each(function() end)
      healthcheck("first", { requires = "second" }, HOLDS)
      healthcheck("second", HOLDS)]]):gsub("HOLDS", HOLDS) }
    assert.equal(1, code)
    assert.equal("error", checks["a.lua::first"].status)
    assert.equal("error", checks["a.lua::second"].status)
  end)

  -- The first requirement made it an error, the second put it back among those that wait.
  for _, others in ipairs { "b.lua", "0.lua" } do
    it("an id that is not there is an error, beside others that are: " .. others, function()
      local checks, code = run {
        ["a.lua"] = ('healthcheck("a", { requires = { "%s::nope", "c.lua::c" } }, %s)')
          :format(others, HOLDS),
        [others] = 'healthcheck("b", ' .. HOLDS .. ")",
        ["c.lua"] = 'healthcheck("c", ' .. HOLDS .. ")",
      }
      assert.equal(1, code)
      assert.equal("error", checks["a.lua::a"].status)
      assert.matches("declares no such check", checks["a.lua::a"].context)
    end)
  end

  -- What required something that is an error of its own declaration waited for ever.
  it("skips what requires a check that cannot be run", function()
    local checks = run {
      ["a.lua"] = 'healthcheck("a", { requires = "b.lua::b" }, ' .. HOLDS .. ")",
      ["b.lua"] = 'healthcheck("b", { requires = "c.lua::nope" }, ' .. HOLDS .. ")",
      ["c.lua"] = 'healthcheck("c", ' .. HOLDS .. ")",
    }
    assert.equal("error", checks["b.lua::b"].status)
    assert.equal("skip", checks["a.lua::a"].status)
  end)

  for _, name in ipairs { "0.lua", "z.lua" } do
    it("skips what requires a file that did not load: " .. name, function()
      local checks, code = run {
        ["a.lua"] = ('healthcheck("a", { requires = "%s::x" }, %s)'):format(name, HOLDS),
        [name] = "x = = 1",
      }
      assert.equal(1, code)
      assert.equal("skip", checks["a.lua::a"].status)
      assert.equal("because " .. name .. " could not be loaded", checks["a.lua::a"].context)
      assert.equal("error", checks[name].status)
    end)
  end

  it("ignores a requirement that is not selected", function()
    local checks, code = run({ ["a.lua"] = ([[
      healthcheck("red", SICK)
      healthcheck("a", { requires = "red" }, HOLDS)]]):gsub("SICK", SICK):gsub("HOLDS", HOLDS) },
      "-k", "::a")
    assert.equal(0, code)
    assert.equal("pass", checks["a.lua::a"].status)
  end)

  -- Skipping was recursive, a stack frame for each link.
  it("follows a chain of 20,000 checks", function()
    local ended = process.hospital({ "run", tree.make { ["a.lua"] = [[
      healthcheck("0", function() assert_true(false) end)
      for i = 1, 20000 do
        healthcheck(tostring(i), { requires = "a.lua::" .. i - 1 }, function() end)
      end]] }, "--memory-limit", "256M" })
    assert.equal(1, ended.code)
    assert.is_truthy(ended.stdout:find('skipped 20000: because "a.lua::0" failed', 1, true))
  end)
end)

describe("diagnosis", function()
  after_each(tree.clean)

  it("runs once, only for what is red, and is reported under each", function()
    local checks, code, report = run {
      ["a.lua"] = ([[
        describe("d", function()
          healthcheck("one", SICK)
          healthcheck("two", SICK)
          healthcheck("good", HOLDS)
        end)
        diagnosis("why", { of = "d" }, function() log("looked") assert_true(true) end)
        diagnosis("never", { of = "d::good" }, function() log("looked") end)]])
        :gsub("SICK", SICK):gsub("HOLDS", HOLDS),
      ["b.lua"] = 'diagnosis("from afar", { of = "a.lua::d::one" }, ' .. SICK .. ")\n"
        .. 'healthcheck("b", ' .. HOLDS .. ")",
    }
    assert.equal(1, code)
    assert.equal(4, report.summary.total)
    assert.equal(2, #checks["a.lua::d::one"].diagnoses)
    assert.equal(1, #checks["a.lua::d::two"].diagnoses)
    assert.is_nil(checks["a.lua::d::good"].diagnoses)
  end)

  -- The teardown that failed after a diagnosis was reported to nobody.
  it("does not hide the teardown around it", function()
    local _, code, report = run { ["a.lua"] = [[
      healthcheck("red", function() assert_true(false) end)
      describe("fix", function()
        teardown(function() error("broken teardown") end)
        diagnosis("why", { of = "red" }, function() assert_true(true) end)
      end)]] }
    assert.equal(1, code)
    assert.equal(1, report.summary.error)
  end)

  it("of what lint refuses does not keep lint from ending", function()
    local root = tree.make { ["a.lua"] = [[
      healthcheck("a", { requires = "b.lua::nope" }, function() end)
      diagnosis("why", { of = "a" }, function() end)]],
      ["b.lua"] = 'healthcheck("b", function() end)' }
    local ended = process.hospital({ "lint", root }, { seconds = 5 })
    assert.equal(1, ended.code)
    assert.matches("no such check", ended.stderr)
  end)
end)
