-- What is found, refused and selected; and that nothing at all is never green.
local json = require "cjson"
local outcome = require "spec.support.outcome"
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local GOOD = 'healthcheck("good", { tags = "smoke" }, function() assert_true(true) end)\n'

local function run(args, options)
  local ended = process.hospital({ "run", "-f", "json", table.unpack(args) }, options)
  if ended.stdout == "" then return {}, ended.code, nil, ended end
  return outcome.read(ended)
end

describe("what is refused", function()
  after_each(tree.clean)

  for name, case in pairs {
    ["a syntax error"] = { "x = = 1", "bad%.lua:1" },
    ["a file that raises"] = { "error('no luck')", "no luck" },
    ["a file over 256 KB"] = { "--" .. ("x"):rep(257 * 1024), "262144" },
    ["bytecode"] = { string.dump(function() end), "" },
    ["a duplicate id"] = { GOOD .. GOOD, "duplicate id" },
    ["an unknown option"] = { 'healthcheck("x", { tagz = 1 }, function() end)', "tags" },
    ["an option of the wrong type"] = { 'healthcheck("x", { timeout = {} }, function() end)',
      "timeout" },
    ["a file without checks"] = { "local x = 1", "no checks" },
    ["a file that burns"] = { "while true do end", "200ms" },
  } do
    it(name .. ": red with a clear line, and the others run", function()
      local checks, code = run { tree.make { ["bad.lua"] = case[1], ["good.lua"] = GOOD },
        "--timeout", "200ms" }
      assert.equal(1, code)
      assert.equal("pass", checks["good.lua::good"].status)
      assert.equal("error", checks["bad.lua"].status)
      assert.matches(case[2], checks["bad.lua"].context or checks["bad.lua"].failures[1].message)
    end)
  end

  it("a missing path, beside one that is there", function()
    local checks, code = run { tree.make { ["good.lua"] = GOOD }, "/nowhere/at/all" }
    assert.equal(1, code)
    assert.equal("pass", checks["good.lua::good"].status)
  end)

  it("a socket, a link out of the tree and a name that is no UTF-8", function()
    local root = tree.make { ["good.lua"] = GOOD, ["b\255.lua"] = GOOD }
    local pipe = uv.new_pipe()
    assert(pipe:bind(root .. "/s.lua"))
    assert(uv.fs_symlink("/etc/passwd", root .. "/link.lua"))
    local checks, code, report = run { root }
    pipe:close()
    uv.run("nowait")
    assert.equal(1, code)
    assert.equal("pass", checks["good.lua::good"].status)
    assert.equal(3, report.summary.error)
  end)

  it("an id that is not there", function()
    local checks, code = run { tree.make { ["good.lua"] = GOOD } .. "/good.lua::nope" }
    assert.equal(1, code)
    assert.equal("error", checks["good.lua::nope"].status)
  end)
end)

describe("what is selected", function()
  after_each(tree.clean)

  local MANY = [[
    for i = 1, 60 do healthcheck("n" .. i, { tags = i % 2 == 0 and "even" or "odd" },
      function() assert_true(true) end) end
    healthcheck("late", { slow = true }, function() assert_true(true) end)]]

  it("nothing is 5, each way", function()
    local root = tree.make { ["a.lua"] = GOOD .. 'healthcheck("s", { slow = true }, function() end)' }
    for _, args in ipairs { { "-t", "nope" }, { "-T", "smoke" }, { "-k", "nope" } } do
      local _, code, report = run { root, table.unpack(args) }
      assert.equal(5, code, args[1])
      assert.equal("fail", report.status)
    end
    assert.equal(5, select(2, run { tree.make {} }))
    assert.equal(5, process.hospital({ "list", root, "-k", "nope" }).code)
  end)

  it("wrong use is 4", function()
    local root = tree.make { ["a.lua"] = GOOD }
    for _, args in ipairs { { "--nope" }, { "--shard", "3/2" }, { "-f", "nope" },
      { "--timeout", "soon" }, { "-c", "0" }, { "--allow", "everything" } } do
      assert.equal(4, process.hospital({ "run", root, table.unpack(args) }).code, args[1])
    end
    assert.equal(4, process.hospital({}).code)
  end)

  it("by tag, filter and slow", function()
    local root = tree.make { ["a.lua"] = MANY }
    assert.equal(30, select(3, run { root, "-t", "even" }).summary.total)
    assert.equal(30, select(3, run { root, "-T", "even" }).summary.total)
    assert.equal(11, select(3, run { root, "-k", "::n1" }).summary.total)
    assert.equal(61, select(3, run { root, "--slow" }).summary.total)
    assert.equal(1, select(3, run { root }).deselected.slow)
  end)

  it("by shards that are disjoint and complete", function()
    local root, seen, total = tree.make { ["a.lua"] = MANY }, {}, 0
    for i = 1, 3 do
      for id in pairs((run { root, "--shard", i .. "/3" })) do
        assert.is_nil(seen[id])
        seen[id] = true
        total = total + 1
      end
    end
    assert.equal(60, total)
  end)

  it("--list runs nothing", function()
    local root = tree.make { ["a.lua"] = 'healthcheck("x", { timeout = "20s" }, function() sleep(20) end)' }
    local ended = process.hospital({ "run", root, "--list" }, { seconds = 5 })
    assert.equal("a.lua::x\n", ended.stdout)
    assert.equal(0, ended.code)
  end)

  it("--failed takes the red ones of the last run", function()
    local root, state = tree.make { ["a.lua"] = GOOD
      .. 'healthcheck("red", function() assert_true(false) end)' }, tree.make {}
    local env = { env = { XDG_STATE_HOME = state } }
    assert.not_equal(0, process.hospital({ "run", root, "--failed" }, env).code)
    run({ root }, { env = { XDG_STATE_HOME = state } })
    local checks = run({ root, "--failed" }, { env = { XDG_STATE_HOME = state } })
    assert.is_truthy(checks["a.lua::red"])
    assert.is_nil(checks["a.lua::good"])
  end)

  it("HEALTHCHECKS, then ./checks, wherever it is started", function()
    local root = tree.make { ["checks/a.lua"] = GOOD, ["other/b.lua"] = GOOD }
    assert.is_truthy(run({}, { cwd = root })["a.lua::good"])
    assert.is_truthy(run({}, { cwd = "/", env = { HEALTHCHECKS = root .. "/other" } })["b.lua::good"])
    for _, path in ipairs { "checks", "./checks", "checks/", "checks/a.lua", root .. "/checks" } do
      assert.is_truthy(run({ path }, { cwd = root })["a.lua::good"], path)
    end
  end)
end)

describe("the same tree", function()
  after_each(tree.clean)

  it("gives the same report in the same order, however it is run", function()
    local files = {}
    for i = 1, 20 do
      files[("f%02d.lua"):format(i)] = ([[
        healthcheck("slow one", function() sleep(%f) assert_true(true) end)
        healthcheck("red", function() assert_equal(1, %d) end)
        describe("lane", { requires = "f%02d.lua::red" }, function()
          before_each(function() end)
          healthcheck("x", function() assert_true(true) end)
          healthcheck("y", function() warn("w") end)
        end)]]):format((20 - i) / 1000, i, i % 20 + 1)
    end
    local root, first = tree.make(files), nil
    for _, args in ipairs { {}, { "-j", "1" }, { "-j", "4" }, { "-c", "1" }, { "-j", "3", "-c", "2" },
      { "-j", "1", "-c", "1" }, { "-j", "20", "-c", "5" } } do
      local _, code, report = run { root, table.unpack(args) }
      assert.equal(1, code)
      local lines = {}
      for i, check in ipairs(report.details) do
        lines[i] = check.id .. " " .. check.status .. " " .. tostring(check.context)
      end
      first = first or lines
      assert.same(first, lines)
      assert.equal(80, #lines)
    end
  end)
end)

describe("a report that cannot be written", function()
  after_each(tree.clean)

  it("is never green", function()
    local root = tree.make { ["a.lua"] = GOOD }
    local function code(command)
      return process.run("/bin/sh", { args = { "-c", command, process.binary, root } }).code
    end
    assert.not_equal(0, code('"$0" run "$1" > /dev/full'))
    assert.not_equal(0, code('"$0" run "$1" -f json > /dev/full'))
    assert.not_equal(0, code('"$0" run "$1" >&-'))
    assert.not_equal(0, code('"$0" list "$1" > /dev/full'))
    assert.not_equal(0, code('"$0" run "$1" --report json=/dev/full'))
    assert.not_equal(0, code('"$0" run "$1" --report json=/nowhere/at/all'))
  end)

  it("several at once are all written", function()
    local root = tree.make { ["a.lua"] = GOOD }
    local ended = process.hospital { "run", root, "--report", "json=" .. root .. "/r.json",
      "--report", "jsonl=" .. root .. "/r.jsonl" }
    assert.equal(0, ended.code)
    local file = io.open(root .. "/r.json")
    assert.equal("pass", json.decode(file:read("a")).status)
    file:close()
    for line in io.lines(root .. "/r.jsonl") do json.decode(line) end
  end)

  it("nor is one by a reporter that raises", function()
    local root = tree.make { ["a.lua"] = GOOD, ["_r.lua"] =
      "return function() return { check_finished = function() error('oops') end } end" }
    local ended = process.hospital { "run", root, "-f", root .. "/_r.lua" }
    assert.equal(1, ended.code)
  end)
end)

describe("secrets", function()
  after_each(tree.clean)

  it("appear in no format and not on stderr", function()
    local root = tree.make { ["a.lua"] = [[
      healthcheck("c " .. env.DB_PASSWORD, function()
        log(env.DB_PASSWORD)
        warn("postgres://me:hunter2secret@db/x")
        error("with " .. env.DB_PASSWORD)
      end)]], ["b.lua"] = "error('loading ' .. env.DB_PASSWORD)" }
    for _, format in ipairs { "dots", "verbose", "json", "jsonl" } do
      for _, command in ipairs { "run", "list", "lint" } do
        local args = { command, root }
        if command == "run" then args[3], args[4] = "-f", format end
        local ended = process.hospital(args, { env = { DB_PASSWORD = "swordfish77" } })
        local all = ended.stdout .. ended.stderr
        assert.is_nil(all:find("swordfish77", 1, true), command .. format)
        assert.is_nil(all:find("hunter2secret", 1, true), command .. format)
      end
    end
  end)
end)
