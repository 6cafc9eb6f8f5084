-- list_spec.lua: `hospital list` for people and for programs, and lint's last line.
local json = require "cjson"
local process = require "spec.support.process"
local tree = require "spec.support.tree"

describe("hospital list", function()
  after_each(tree.clean)

  local TEXT = [[
    healthcheck("a \"quoted\" name", { tags = { "smoke", "shop" }, timeout = "1500ms", owner = "ops" }, function() end)
    healthcheck("slow", { slow = true }, function() end)
    healthcheck("last", { retries = 2, skip = "not today" }, function() end)
  ]]

  it("is one JSON document with what each check declares", function()
    local root = tree.make { ["a.lua"] = TEXT }
    for _, args in ipairs { { "list", "-f", "json", root }, { "run", "--list", "--format=json", root } } do
      local r = process.hospital(args)
      assert.equal(0, r.code, r.stderr)
      local checks = json.decode(r.stdout).checks
      assert.equal(2, #checks)
      assert.equal('a.lua::a "quoted" name', checks[1].id)
      assert.same({ "smoke", "shop" }, checks[1].tags)
      assert.equal(1.5, checks[1].timeout)
      assert.equal("ops", checks[1].owner)
      assert.equal(1, checks[1].line)
      assert.equal("a.lua", checks[1].file)
      assert.equal("not today", checks[2].skip)
      assert.equal(2, checks[2].retries)
    end
    assert.equal(3, #json.decode(process.hospital({ "list", "--slow", "-f", "json", root }).stdout).checks)
    local none = process.hospital { "list", "-f", "json", "-k", "nope", root }
    assert.equal(5, none.code)
    assert.equal(0, #json.decode(none.stdout).checks)
  end)

  it("refuses the formats of reports", function()
    local r = process.hospital { "list", "-f", "dots", tree.make { ["a.lua"] = TEXT } }
    assert.equal(4, r.code)
    assert.is_truthy(r.stderr:find("list: --format is json", 1, true), r.stderr)
  end)

  it("redacts", function()
    local root = tree.make { ["a.lua"] = 'healthcheck("of " .. env.SHOP_TOKEN, { description = env.SHOP_TOKEN }, print)' }
    local r = process.hospital({ "list", "-f", "json", root }, { env = { SHOP_TOKEN = "s3cr3t-word" } })
    assert.is_nil(r.stdout:find("s3cr3t-word", 1, true))
    assert.is_truthy(r.stdout:find("[redacted]", 1, true), r.stdout)
  end)

  it("-v tells the tags; lint counts in good grammar", function()
    local root = tree.make { ["a.lua"] = 'healthcheck("a", { tags = { "x", "y" } }, function() end)' }
    assert.equal("a.lua::a  # x y\n", process.hospital({ "list", "-v", root }).stdout)
    assert.equal("1 check in 1 file, 0 problems\n", process.hospital({ "lint", root }).stdout)
    root = tree.make { ["a.lua"] = TEXT, ["b.lua"] = "(" }
    assert.equal("3 checks in 2 files, 1 problem\n", process.hospital({ "lint", root }).stdout)
  end)
end)
