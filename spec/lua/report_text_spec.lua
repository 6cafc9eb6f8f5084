package.path = "./spec/lua/?.lua;" .. package.path
local support = require "report_support"
local style = require "hospital.reportkit.style"
local shape = require "hospital.reportkit.shape"
local block = require "hospital.reportkit.block"

local function has(text, part)
  assert(text:find(part, 1, true), ("no %q in:\n%s"):format(part, text))
end

local function has_not(text, part)
  assert(not text:find(part, 1, true), ("%q in:\n%s"):format(part, text))
end

local check, run = support.check, support.run

describe("dots", function()
  it("writes a character a check and the verdict", function()
    local text = run("dots", {
      check(), check { status = "warn", context = "late" },
      check { status = "skip", context = "no db" }, check { status = "expected_failure" },
    })
    has(text, ".wsx\n")
    has(text, "warning shop.lua::orders::can be counted: late")
    has(text, "skipped 1: no db")
    has(text, "Ran 4 checks in 0.123s\n\nOK (warnings=1, skipped=1, expected failures=1)\n")
  end)

  it("ends red with the counts", function()
    local text = run("dots", {
      check { status = "fail" }, check { status = "error" }, check { status = "error" },
      check { status = "timeout" }, check { status = "unexpected_success" },
    })
    has(text, "FEETu\n")
    has(text, "FAILED (failures=1, errors=2, timeouts=1, unexpected successes=1)\n")
  end)

  it("has a block with everything about a red check", function()
    local text = run("dots", { check {
      status = "fail", attempts = 2, description = "counts", owner = "shop", runbook = "http://r",
      severity = "high", context = "expected 200",
      failures = { { kind = "assertion", message = "expected 200", file = "shop.lua", line = 14,
        expected = 200, actual = { 5, 0 }, diff = "- 200\n+ 503", target = "http://h",
        phase = "connect", timings = { dns = 0.001, total = 0.002 },
        traceback = { "shop.lua:14: in function 'f'" } } },
      probes = {
        { kind = "http", target = "http://h", detail = "503", timings = { total = 0.5 } },
      },
      metrics = { { name = "rows", value = 3, unit = "1" } }, output = { "one", "two\nthree" },
      warnings = { "slow" },
    } }, { diagnoses = {
      { of = "shop.lua::orders",
        check = check { test = "why", status = "fail", context = "port shut" } },
    } })
    for _, part in ipairs {
      "FAIL: can be counted\n", "shop.lua::orders::can be counted\n",
      "shop.lua:12  0.002s  2 attempts\n",
      "description: counts\n", "owner: shop\n", "runbook: http://r\n", "severity: high\n",
      "assertion: expected 200 (shop.lua:14)\n", "  expected: 200\n", "  actual: [5,0]\n",
      "  diff:\n    - 200\n    + 503\n", "  target: http://h\n", "  phase: connect\n",
      "  timings: dns 1.0ms, total 2.0ms\n", "  traceback:\n    shop.lua:14: in function 'f'\n",
      "probed:\n  http http://h: 503 (total 500.0ms)\n", "metric: rows=3 1\n",
      "output:\n  one\n  two\n  three\n", "warning: slow\n", "diagnosis: why: FAIL\n  port shut\n",
    } do has(text, part) end
    assert.equal(1, select(2, text:gsub("expected 200", "")))
  end)

  it("is never OK without checks, whatever it is told", function()
    local text = run("dots", {}, {}, { status = "pass", exit_code = 0 })
    has(text, "FAILED (nothing was run)")
    has_not(text, "OK")
  end)

  it("is never OK over a red check or a lost result", function()
    has_not(run("dots", { check { status = "fail" } }, {}, { status = "pass" }), "OK")
    local lie = { status = "pass", summary = { total = 1, pass = 1 } }
    has_not(run("dots", { check { status = "fail" } }, {}, lie), "OK")
    local text = run("dots", { check() }, {}, { summary = { total = 3, pass = 3 } })
    has(text, "FAILED (results missing=2)")
    has_not(run("dots", { check() }, {}, { status = "fail" }), "OK")
  end)

  it("takes warnings for red when it is strict", function()
    local text = run("dots", { check { status = "warn" } }, { strict = true }, { status = "fail" })
    has(text, "WARN: can be counted")
    has(text, "FAILED (warnings=1)")
  end)

  it("tells what was not run", function()
    local text = run("dots", { check() }, {}, { status = "fail", interrupted = true, not_run = 12,
      deselected = { slow = 3, other = 1 }, notes = { "a note\27" } })
    has(text, "3 slow checks left out (--slow runs them)\n1 check left out by the selection\n" ..
      "interrupted: 12 checks not run\na note\\x1b\n\nFAILED (interrupted)\n")
  end)

  it("lists the slowest", function()
    local text = run("dots", { check { id = "a", duration = 1 }, check { id = "b", duration = 3 },
      check { id = "c", duration = 2 } }, { durations = 2 })
    has(text, "slowest 2 checks:\n     3.000s  b\n     2.000s  c\n")
    has_not(text, " a\n")
  end)

  it("breaks its line on a terminal, and is silent with -q", function()
    local checks = {}
    for i = 1, 25 do checks[i] = check() end
    local out = { tty = true, width = 21 }
    has(run("dots", checks, { out = out }), ("."):rep(20) .. "\n.....\n")
    assert.are.equal("", run("dots", checks, { quiet = true }))
    checks[26] = check { status = "fail" }
    has(run("dots", checks, { quiet = true }), "FAILED (failures=1)")
  end)

  it("colours only where colours are wanted", function()
    has_not(run("dots", { check { status = "fail" } }), "\27")
    has(run("dots", { check { status = "fail" } }, { out = { color = true } }), "\27[31mF\27[0m")
  end)
end)

describe("verbose", function()
  it("writes a line a check", function()
    local text = run("verbose", {
      check { metrics = { { name = "rows", value = 3, unit = "rows" } } },
      check { status = "fail", attempts = 3, context = "no\nhope" },
      check { status = "skip", context = "no db" },
      check { status = "warn", warnings = { "one", "two" } },
    }, { verbose = true })
    has(text, "pass     shop.lua::orders::can be counted  0.002s  rows=3 rows\n")
    has(text, "FAIL     shop.lua::orders::can be counted  0.002s  attempts=3  no\\nhope\n")
    has(text, "skip     shop.lua::orders::can be counted  0.002s  no db\n")
    has(text, "0.002s  one\n         warning: two\n")
  end)
end)

describe("what a check says", function()
  local nasty = "a\27[2J\r\b\0\127\xc2\x9b\u{202E}\u{2066}\u{200F}\xff\u{2028}é"

  it("cannot steer a terminal in any format for people", function()
    local red = check {
      test = nasty, id = nasty, file = nasty, status = "fail", context = nasty, owner = nasty,
      description = nasty, runbook = nasty, severity = nasty, kind = nasty, output = { nasty },
      failures = { { kind = nasty, message = nasty, expected = nasty, actual = { nasty },
        diff = nasty, target = nasty, phase = nasty, file = nasty, line = 1,
        timings = { [nasty] = 1 }, traceback = { nasty } } },
      probes = { { kind = nasty, target = nasty, detail = nasty, timings = { [nasty] = 1 } } },
      metrics = { { name = nasty, value = 1, unit = nasty } }, warnings = { nasty },
    }
    local checks = { red, check { id = nasty, status = "warn", context = nasty },
      check { id = nasty, status = "skip", context = nasty } }
    for _, format in ipairs { "dots", "verbose" } do
      local text = run(format, checks, { durations = 3, diagnoses = {
        { of = nasty, check = red }, { of = "z" .. nasty, check = red },
      } }, { notes = { nasty } })
      assert.is_nil(text:find("[%z\1-\9\11-\31\127]"))
      assert.truthy(utf8.len(text))
      for _, rune in ipairs { "\xc2\x9b", "\u{202E}", "\u{2066}", "\u{200F}", "\u{2028}" } do
        has_not(text, rune)
      end
      has(text, "a\\x1b[2J\\x0d\\x08\\x00\\x7f\\u{9b}\\u{202e}\\u{2066}\\u{200f}\\xff\\u{2028}é")
    end
  end)

  it("stays as it is when it is plain", function()
    assert.equal("a\tb\nc é", style.clean("a\tb\nc é"))
    assert.equal("a\\tb\\nc", style.line("a\tb\nc"))
  end)
end)

describe("the status line", function()
  it("says how far, how red and what runs longest, on one line", function()
    local out = support.out { width = 40, tty = true }
    local status = require "hospital.reportkit.status"(out)
    status:progress { done = 3, total = 10, red = 1, running = 4 }
    assert.equal("3/10  1 red  4 running", table.concat(out.parts))
    out.parts = {}
    status:progress { done = 3, total = 10, red = 1, running = 4,
      longest = { id = "é\n" .. ("x"):rep(100), seconds = 2.25 } }
    local line = table.concat(out.parts)
    assert.equal(39, utf8.len(line))
    has(line, "2.2s é\\nxx")
    has(line, "…")
  end)
end)

describe("shape", function()
  it("takes over what it knows and nothing else", function()
    local c = check { status = "fail" }
    shape(c, { status = "pass", id = "other", context = 5, output = { "a", {}, 1 },
      failures = { "plain", { message = {}, line = "x", timings = { a = "b", c = 1 } } },
      metrics = { { name = "n" }, { name = 1, value = 2 } }, probes = "no", warnings = "one" })
    assert.equal("fail", c.status)
    assert.equal("shop.lua::orders::can be counted", c.id)
    assert.equal("5", c.context)
    assert.same({ "a", "1" }, c.output)
    assert.same({ { kind = "error", message = "plain" },
      { kind = "error", message = "(no message)", timings = { c = 1 } } }, c.failures)
    assert.same({ { name = "1", value = 2 } }, c.metrics)
    assert.same({ "one" }, c.warnings)
    assert.is_nil(c.probes)
  end)

  it("finds the context in the first failure", function()
    local c = check()
    shape(c, { failures = { { message = "first" } } })
    assert.equal("first", c.context)
  end)
end)

describe("diagnoses", function()
  it("go to their check, else to the first red one below", function()
    local a, b = check { id = "f.lua::d::a" }, check { id = "f.lua::d::b" }
    local of, loose = block.assign({ a, b }, {
      { of = "f.lua::d::b", check = 1 }, { of = "f.lua", check = 2 }, { of = "g.lua", check = 3 },
    })
    assert.same({ 2 }, of[a])
    assert.same({ 1 }, of[b])
    assert.equal(3, loose[1].check)
  end)
end)
