-- lint said of each broken file only that it "did not load": the reason was in the
-- packed details, which only the reporters of run had opened.
local process = require "spec.support.process"
local tree = require "spec.support.tree"

describe("hospital lint", function()
  after_each(tree.clean)

  it("says why a file does not load, and where", function()
    local root = tree.make {
      ["key.lua"] = 'healthcheck("a", { tgas = "x" }, function() end)',
      ["syntax.lua"] = 'healthcheck("a" function() end)',
      ["raises.lua"] = 'local x\nx.y = 1',
      ["good.lua"] = 'healthcheck("a", function() end)',
    }
    for _, command in ipairs { "lint", "list" } do
      local done = process.hospital { command, root }
      assert.are.equal(1, done.code)
      assert.matches('key%.lua:1: unknown option "tgas": the nearest is "tags"', done.stderr)
      assert.matches("syntax%.lua:1: '%)' expected near 'function'", done.stderr)
      assert.matches("raises%.lua:2: attempt to index a nil value", done.stderr)
    end
  end)

  it("has nothing to say of files that are well", function()
    local done = process.hospital { "lint", tree.make { ["good.lua"] = 'healthcheck("a", function() end)' } }
    assert.are.equal(0, done.code)
    assert.are.equal("", done.stderr)
    assert.are.equal("1 check in 1 file, 0 problems\n", done.stdout)
  end)
end)

describe("a syntax error", function()
  after_each(tree.clean)

  -- It was placed at "syntax.lua:0".
  it("has its line in the message and no other", function()
    local done = process.hospital { "run", tree.make { ["syntax.lua"] = "\nhealthcheck(" } }
    assert.are.equal(1, done.code)
    assert.matches("syntax%.lua:2: unexpected symbol", done.stdout)
    assert.is_nil(done.stdout:find(":0", 1, true))
  end)
end)
