-- What becomes of a check, in JSON and in the exit code; hooks and their order.
local json = require "cjson"
local process = require "spec.support.process"
local tree = require "spec.support.tree"

local function run(text, ...)
  local ended = process.hospital(
    { "run", tree.make { ["a.lua"] = text }, "-f", "json", ... }, { seconds = 20 })
  local report, by_id = json.decode(ended.stdout), {}
  for _, check in ipairs(report.details) do by_id[check.id:gsub("^a.lua::", "")] = check end
  return by_id, ended.code, report, ended
end

local function check(options, body)
  return ("healthcheck('c', %s, function() %s end)"):format(options, body)
end

describe("verdict", function()
  after_each(tree.clean)

  local HOLDS, SICK, BROKEN = "assert_true(true)", "assert_true(false)", "error('broken')"
  local SLOW = "sleep(5)"
  for _, case in ipairs {
    { "pass", 0, "{}", HOLDS },
    { "warn", 0, "{}", "warn('soon') " .. HOLDS },
    { "warn", 1, "{}", "warn('soon') " .. HOLDS, "--strict" },
    { "warn", 0, "{}", "" },
    { "warn", 1, "{}", "", "--strict" },
    { "fail", 1, "{}", SICK },
    { "fail", 1, "{}", "expect_true(false)" },
    { "fail", 1, "{}", "pcall(expect_true, false)" },
    { "error", 1, "{}", BROKEN },
    { "error", 1, "{}", "error({})" },
    { "error", 1, "{}", "local t; t.x = 1" },
    { "timeout", 1, "{ timeout = '50ms' }", SLOW },
    { "timeout", 1, "{ timeout = '50ms' }", "while true do end" },
    { "timeout", 1, "{ timeout = '50ms' }", "while true do pcall(function() while true do end end) end" },
    { "skip", 0, "{}", "skip('not here')" },
    { "fail", 1, "{}", "expect_true(false) skip('not here')" },
    { "skip", 0, "{ skip = 'later' }", SICK },
    { "skip", 0, "{ skip = true }", SICK },
    { "expected_failure", 0, "{ expected_failure = true }", SICK },
    { "expected_failure", 0, "{ expected_failure = 'bug 7', timeout = '50ms' }", SLOW },
    { "error", 1, "{ expected_failure = true }", BROKEN },
    { "unexpected_success", 1, "{ expected_failure = 'bug 7' }", HOLDS },
    { "skip", 0, "{ expected_failure = true }", "skip('not here')" },
    { "error", 1, "{}", "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end" },
    { "fail", 1, "{ retries = 2 }", SICK },
  } do
    it(("%s: %s %s %s"):format(case[1], case[3], case[4], case[5] or ""), function()
      local checks, code, report = run(check(case[3], case[4]), case[5])
      assert.equal(case[1], checks.c.status, checks.c.context)
      assert.equal(case[2], code)
      assert.equal(code == 0 and "pass" or "fail", report.status)
      assert.equal(1, report.summary.total)
      assert.equal(1, report.summary[case[1]])
    end)
  end

  it("counts attempts, and a pass after a retry is a warning that says why", function()
    local checks, code = run([[
      local n = 0
      healthcheck("c", { retries = 2, retry_delay = "1ms" }, function()
        n = n + 1
        assert_equal(2, n)
      end)]])
    assert.equal(0, code)
    assert.equal("warn", checks.c.status)
    assert.equal(2, checks.c.attempts)
    assert.matches("attempt 2", checks.c.warnings[1])
  end)

  it("keeps floods within bounds and says what it left out", function()
    local checks, code, _, ended = run([[
      healthcheck("c", { timeout = "20s" }, function()
        for i = 1, 200000 do log("line", i) end
        for i = 1, 20000 do metric("m" .. i, i, "s") end
        log(("x"):rep(5000000))
        expect_true(false)
      end)]])
    assert.equal(1, code)
    assert.equal("fail", checks.c.status)
    assert.is_true(#ended.stdout < 1024 * 1024)
    assert.is_truthy(ended.stdout:find("(dropped: 199001 more of its output)", 1, true))
  end)

  it("writes valid JSON whatever bytes a check prints", function()
    local checks = run([[
      local all = {}
      for i = 0, 255 do all[#all + 1] = string.char(i) end
      healthcheck("c", function() log(table.concat(all)) error(table.concat(all), 0) end)]])
    assert.equal("error", checks.c.status)
  end)
end)

describe("hooks", function()
  after_each(tree.clean)

  local AROUND = [[
    setup(function() log("never shown") order = "S" end)
    before_each(function() order = order .. "b" end)
    after_each(function() order = order .. "a" end)
    describe("in", function()
      setup(function() order = order .. "s" end)
      before_each(function() order = order .. "B" end)
      after_each(function() order = order .. "A" end)
      teardown(function() order = order .. "t" end)
      healthcheck("1", { timeout = "100ms" }, function() order = order .. "1" BODY end)
      healthcheck("2", function() order = order .. "2" assert_true(true) end)
    end)
    healthcheck("last", function() assert_equal("SsbB1AabB2Aatb", order) end)]]
  for _, body in ipairs { "assert_true(true)", "assert_true(false)", "error('x')", "skip('x')",
    "sleep(5)", "while true do end" } do
    it("run in order, whatever becomes of the check: " .. body, function()
      local checks = run((AROUND:gsub("BODY", body)))
      assert.equal("pass", checks.last.status, checks.last.context)
      assert.equal("pass", checks["in::2"].status)
    end)
  end

  for _, case in ipairs { { "fail", "assert_true(false)" }, { "error", "error('x')" },
    { "timeout", "sleep(5)" }, { "timeout", "while true do end" }, { "skip", "skip('no')" } } do
    it("a setup that ends with " .. case[1] .. " is each check's: " .. case[2], function()
      local checks, code = run(([[
        describe("d", { timeout = "100ms" }, function()
          setup(function() %s end)
          healthcheck("1", function() assert_true(true) end)
          healthcheck("2", { expected_failure = true }, function() assert_true(false) end)
        end)
        healthcheck("other", function() assert_true(true) end)]]):format(case[2]))
      assert.equal(case[1] == "skip" and 0 or 1, code)
      assert.equal(case[1], checks["d::1"].status)
      assert.equal(case[1], checks["d::2"].status)
      assert.equal("pass", checks.other.status)
    end)
  end

  for _, body in ipairs { "assert_true(false)", "error('x')", "expect_true(false)" } do
    it("a teardown that does not hold is seen and red: " .. body, function()
      local checks, code = run(([[
        describe("d", function()
          teardown(function() %s end)
          healthcheck("1", function() assert_true(true) end)
        end)]]):format(body))
      assert.equal(1, code)
      assert.equal("pass", checks["d::1"].status)
      assert.equal("error", checks["d::teardown"].status)
      assert.equal("teardown", checks["d::teardown"].kind)
    end)

    -- expected_failure took the failure of the clean-up for the one that it expected.
    it("an after_each that does not hold is red even where a failure is expected: " .. body,
      function()
        local checks, code = run(([[
          describe("d", function()
            after_each(function() %s end)
            healthcheck("1", function() assert_true(true) end)
            healthcheck("2", { expected_failure = true }, function() assert_true(false) end)
          end)]]):format(body))
        assert.equal(1, code)
        assert.equal("error", checks["d::1"].status)
        assert.equal("error", checks["d::2"].status)
      end)
  end
end)
