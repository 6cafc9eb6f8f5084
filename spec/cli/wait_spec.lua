-- --wait, --deadline, -x: when a run ends.
local json = require "cjson"
local process = require "spec.support.process"
local server = require "spec.support.server"
local tree = require "spec.support.tree"

local hospital = require("spec.support.outcome").run

-- /n answers 200 from the n-th request on; counts by path.
local function sick_for()
  local seen = {}
  local http = server.http(function(request)
    seen[request.path] = (seen[request.path] or 0) + 1
    local from = tonumber(request.path:match("%d+")) or 1
    return seen[request.path] >= from and 200 or 503
  end)
  return seen, "http://127.0.0.1:" .. http.port
end

local function get(name, url, options)
  return ('healthcheck(%q, %s function() assert_http_response(%q, 200) end)\n')
    :format(name, options or "", url)
end

describe("--wait", function()
  after_each(function() server.clean() tree.clean() end)

  it("runs again what is red, and nothing else, and reports once", function()
    local seen, url = sick_for()
    local checks, code, report = hospital(tree.make {
      ["a.lua"] = get("late", url .. "/3") .. get("good", url .. "/1")
        .. get("after", url .. "/1?after", '{ requires = "late" },'),
    }, "--wait", "10s")
    assert.equal(0, code)
    assert.equal("pass", checks["a.lua::late"].status)
    assert.equal("pass", checks["a.lua::after"].status)
    assert.equal(3, report.summary.total)
    assert.same({ 3, 1, 1 }, { seen["/3"], seen["/1"], seen["/1?after"] })
  end)

  it("exits 3 when its time is over, with the last results", function()
    local _, url = sick_for()
    local checks, code, report = hospital(tree.make { ["a.lua"] = get("never", url .. "/99") },
      "--wait", "300ms")
    assert.equal(3, code)
    assert.equal("fail", report.status)
    assert.equal("fail", checks["a.lua::never"].status)
  end)

  it("loads a broken file again", function()
    local root = tree.make { ["a.lua"] = "x = = 1",
      ["b.lua"] = 'healthcheck("b", { requires = "a.lua::a" }, function() assert_true(true) end)' }
    local run = process.start(process.binary, { args = { "run", root, "-f", "json", "--wait", "15s" } })
    local mended = os.time() + 1
    process.wait(function()
      local timer = require("luv").new_timer()
      timer:start(50, 0, function() timer:close() end)
      require("luv").run("once")
      return os.time() > mended
    end, 5)
    tree.write(root .. "/a.lua", 'healthcheck("a", function() assert_true(true) end)')
    run:join(20)
    local report = json.decode(run.stdout)
    assert.equal(0, run.code)
    assert.equal(2, report.summary.pass)
  end)

  -- Green on the second round: the line that said so was dropped with the rest of the first.
  it("never forgets an id that is not there", function()
    local checks, code = hospital(
      tree.make { ["a.lua"] = 'healthcheck("a", function() assert_true(true) end)' }
        .. "/a.lua::nope", "--wait", "1200ms")
    assert.is_true(code == 3 or code == 1)
    assert.equal("error", checks["a.lua::nope"].status)
  end)

  -- Likewise: the second round simply ran the check.
  it("never runs what requires an id that is not there, or a cycle", function()
    local checks, code = hospital(tree.make {
      ["a.lua"] = [[
        healthcheck("a", { requires = "b.lua::nope" }, function() assert_true(true) end)
        healthcheck("x", { requires = "y" }, function() assert_true(true) end)
        healthcheck("y", { requires = "x" }, function() assert_true(true) end)
        healthcheck("z", { requires = "x" }, function() assert_true(true) end)]],
      ["b.lua"] = 'healthcheck("b", function() assert_true(true) end)',
    }, "--wait", "1200ms")
    assert.equal(3, code)
    assert.equal("error", checks["a.lua::a"].status)
    assert.equal("error", checks["a.lua::x"].status)
    assert.equal("error", checks["a.lua::y"].status)
    assert.equal("skip", checks["a.lua::z"].status)
  end)

  -- A teardown that failed was forgotten, because no check was red.
  it("runs a describe again whose teardown failed", function()
    local seen, url = sick_for()
    local _, code, report = hospital(tree.make { ["a.lua"] = ([[
      describe("d", function()
        teardown(function() assert_http_response(%q, 200) end)
        healthcheck("good", function() assert_true(true) end)
      end)]]):format(url .. "/2") }, "--wait", "10s")
    assert.equal(0, code)
    assert.equal(2, seen["/2"])
    assert.equal(1, report.summary.total)
  end)

  -- Neither its result nor its end ever came, and the run had no end.
  it("ends when a file that had loaded no longer does", function()
    local _, url = sick_for()
    local root = tree.make { ["a.lua"] = get("never", url .. "/99") }
    local run = process.start(process.binary,
      { args = { "run", root, "-f", "json", "--wait", "2500ms", "-j", "1" } })
    local luv = require "luv"
    process.wait(function() luv.sleep(10) luv.run("nowait") return _["/99"] end, 10, "the first try")
    tree.write(root .. "/a.lua", "x = = 1")
    run:join(15)
    assert.equal(3, run.code)
    assert.equal("error", json.decode(run.stdout).details[1].status)
  end)
end)

describe("--deadline", function()
  after_each(tree.clean)

  it("makes what runs, and what has not started, a timeout", function()
    local checks, code, report = hospital(tree.make { ["a.lua"] = [[
      healthcheck("good", function() assert_true(true) end)
      healthcheck("long", { timeout = "20s" }, function() sleep(20) end)
      healthcheck("held", { requires = "long" }, function() end)]] }, "--deadline", "400ms")
    assert.equal(1, code)
    assert.equal("pass", checks["a.lua::good"].status)
    assert.equal("timeout", checks["a.lua::long"].status)
    assert.equal("timeout", checks["a.lua::held"].status)
    assert.equal(3, report.summary.total)
  end)
end)

describe("--fail-fast", function()
  after_each(function() server.clean() tree.clean() end)

  it("starts nothing after the first red one, and is red", function()
    local checks, code, report = hospital(tree.make { ["a.lua"] = [[
      healthcheck("red", function() assert_true(false) end)
      healthcheck("next", { timeout = "5s" }, function() sleep(5) end)]] }, "-x", "-c", "1")
    assert.equal(1, code)
    assert.equal("fail", checks["a.lua::red"].status)
    assert.is_nil(checks["a.lua::next"])
    assert.equal(1, report.not_run)
  end)

  -- The workers were killed at the first red result, in the middle of after_each and teardown.
  it("ends what has begun, with its hooks and teardown, and runs diagnoses", function()
    local seen, url = sick_for()
    local checks, code, report = hospital(tree.make { ["a.lua"] = ([[
      describe("d", function()
        after_each(function() sleep(0.1) assert_http_response(%q, 200) end)
        teardown(function() sleep(0.1) assert_http_response(%q, 200) end)
        healthcheck("red", function() assert_true(false) end)
        healthcheck("next", function() sleep(0.3) assert_true(true) end)
        healthcheck("third", function() assert_true(true) end)
      end)
      healthcheck("last", { requires = "d" }, function() assert_true(true) end)
      diagnosis("why", { of = "d::red" }, function() assert_true(true) end)]])
      :format(url .. "/1?after", url .. "/1?teardown") }, "-x")
    assert.equal(1, code)
    assert.equal("fail", checks["a.lua::d::red"].status)
    assert.equal("pass", checks["a.lua::d::red"].diagnoses[1].check.status)
    assert.is_nil(checks["a.lua::d::third"])
    assert.equal(1, seen["/1?teardown"])
    assert.is_true(seen["/1?after"] >= 1)
    assert.equal(1, report.not_run)
  end)
end)
