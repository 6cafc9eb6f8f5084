-- errors_spec.lua: what a check that breaks looks like.
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local json = require "cjson"

local function failures(text)
  local run = process.hospital({ "run", "-f", "json", tree.make({ ["a.lua"] = text }) })
  assert.equal(1, run.code, run.stderr)
  local list = {}
  for _, check in ipairs(json.decode(run.stdout).details) do
    assert.equal("error", check.status)
    list[#list + 1] = check.failures[1].message
  end
  return list
end

describe("a check that raises", function()
  after_each(tree.clean)

  it("a string shows it, with its place", function()
    assert.same({ "a.lua:1: boom" }, failures('healthcheck("x", function() error("boom") end)'))
  end)

  it("an object shows its message, read raw", function()
    assert.same({ "gone" }, failures('healthcheck("x", function() error({ message = "gone" }) end)'))
    local found = failures([[healthcheck("x", function()
      error(setmetatable({}, { __index = function() while true do end end }))
    end)]])
    assert.same({ "error object is a table value without a message" }, found)
  end)

  it("nothing at all says so", function()
    assert.same({ "error object is a nil value without a message" },
      failures('healthcheck("x", function() error() end)'))
  end)
end)

describe("the block of a failure with a long message", function()
  after_each(tree.clean)

  -- The context is the beginning of the message, cut; it used to be shown once more below.
  it("tells it once", function()
    local run = process.hospital({ "run", tree.make({
      ["a.lua"] = 'healthcheck("x", function() assert_true(false, ("word "):rep(100)) end)' }) })
    assert.equal(1, select(2, run.stdout:gsub("word word.-\n", "")), run.stdout)
  end)
end)
