-- Values as text, and what differs between two: readable, bounded, cycle-safe.
package.path = "./spec/support/?.lua;" .. package.path
local fakehost = require "fakehost"

local state = fakehost.new()
local inspect, diff = state.import("hospital.inspect"), state.import("hospital.diff")
local show = inspect.show

describe("inspect", function()
  it("shows scalars", function()
    for _, case in ipairs {
      { 1, "1" }, { 1.0, "1.0" }, { 0.1, "0.1" }, { 0.1 + 0.2, "0.30000000000000004" }, { 1e100, "1e+100" },
      { -0.0, "-0.0" }, { 1 / 0, "inf" }, { -1 / 0, "-inf" }, { 0 / 0, "nan" },
      { math.mininteger, "-9223372036854775808" },
      { true, "true" }, { "a", '"a"' }, { 'a"b\\\n\t\0\127', '"a\\"b\\\\\\n\\t\\x00\\x7F"' },
      { "größe", '"größe"' }, { "a\xffß", '"a\\xFF\\xC3\\x9F"' }, { print, "<function>" },
      { coroutine.create(print), "<thread>" }, { {}, "{}" },
    } do
      assert.equal(case[2], show(case[1]))
    end
    assert.equal("nil", show(nil))
    assert.equal("<userdata>", show(io.stdout))
  end)

  it("shows tables with sorted keys, lists first", function()
    assert.equal('{ 1, 2, [10] = 5, a = 1, b = 2, ["odd key"] = 3, [true] = 4 }',
      show({ 1, 2, b = 2, a = 1, ["odd key"] = 3, [10] = 5, [true] = 4 }))
    assert.equal("{ [1.5] = true, [3] = true }", show({ [3] = true, [1.5] = true }))
  end)

  it("is the same every time", function()
    local function make(order)
      local t = {}
      for _, k in ipairs(order) do t[k] = { k } end
      return t
    end
    assert.equal(show(make { "x", "y", "z", 5 }), show(make { 5, "z", "y", "x" }))
    assert.equal("{ [<table>] = 1 }", show({ [{}] = 1 }))
  end)

  it("breaks long tables into lines", function()
    local text = show({ name = ("n"):rep(40), other = { ("o"):rep(50) } })
    assert.equal('{\n  name = "' .. ("n"):rep(40) .. '",\n  other = { "' .. ("o"):rep(50) .. '" }\n}', text)
  end)

  it("stops at cycles and depth", function()
    local t = { 1 }
    t.self = t
    assert.equal("{ 1, self = <cycle> }", show(t))
    local shared = { 1 }
    assert.equal("{ { 1 }, { 1 } }", show({ shared, shared }))
    local deep = {}
    for _ = 1, 1000 do deep = { deep } end
    assert.equal(("{ "):rep(8) .. "{…}" .. (" }"):rep(8), show(deep))
  end)

  it("bounds strings, at a whole character", function()
    local text = show(("x"):rep(100000))
    assert.truthy(#text < 2100)
    assert.matches('x"… %(100000 bytes%)$', text)
    assert.equal('"aß"… (7 bytes)', inspect.quote("aßßß", 4))
  end)

  it("bounds tables, wide and many", function()
    local wide = {}
    for i = 1, 100000 do wide[i] = i end
    local text = show(wide)
    assert.truthy(#text < 2500)
    assert.matches("50,\n  … %(99950 more%)\n}$", text)
    local keyed = {}
    for i = 1, 20000 do keyed["k" .. i] = ("v"):rep(100) end
    text = show(keyed)
    assert.truthy(#text < 4000)
    assert.matches("… %(over %d+ more%)", text)
    local bush = {}
    for i = 1, 40 do
      bush[i] = {}
      for j = 1, 40 do bush[i][j] = { a = ("y"):rep(20), b = {} } end
    end
    assert.truthy(#show(bush) < 6000)
  end)

  it("runs no metamethod", function()
    local function no() error("called") end
    local t = setmetatable({ a = 1 }, { __index = no, __tostring = no, __pairs = no, __len = no, __name = 5 })
    assert.equal("{ a = 1 }", show(t))
  end)
end)

describe("diff", function()
  it("names the paths that differ", function()
    assert.equal(table.concat({
      ".gone: missing, expected true",
      '.items[3].sku: expected "a", got "b"',
      ".items[4]: missing, expected 4",
      ".new: not expected, got { 1 }",
      '["odd key"]: expected 1, got "1"',
    }, "\n"), diff(
      { items = { 1, 2, { sku = "a" }, 4 }, gone = true, ["odd key"] = 1, same = { 1 } },
      { items = { 1, 2, { sku = "b" } }, new = { 1 }, ["odd key"] = "1", same = { 1.0 } }))
  end)

  -- What is redacted is the value behind such a name, and a difference has two.
  it("shows no value whose name is a secret's", function()
    local text = diff({ password = "a1", a = { api_Token = "b2" }, ["my-secret"] = "c3" }, { password = "d4", a = {}, Cookie = "e5" })
    assert.equal(4, select(2, text:gsub(": %[redacted%]", "")), text)
    assert.is_nil(text:find("%d"), text)
    assert.matches('expected "x"', diff({ password = { user = "x" } }, { password = { user = "y" } }))
  end)

  it("is silent about scalars and short strings", function()
    assert.is_nil(diff(1, 2))
    assert.is_nil(diff("a", "b"))
    assert.is_nil(diff({}, 1))
    assert.is_nil(diff(nil, {}))
  end)

  it("aligns lines", function()
    assert.equal("- expected, + got:\n  …\n  b\n  c\n- d\n+ D\n  e\n+ f", diff("a\nb\nc\nd\ne", "a\nb\nc\nD\ne\nf"))
    assert.matches("%- two\n", diff("one\ntwo\nthree", "one\nthree") .. "\n")
    assert.matches('%+ "b\\r"', diff("a\nb", "a\nb\r"))
  end)

  it("shows where long strings part", function()
    local text = diff(("x"):rep(500) .. "left" .. ("y"):rep(500), ("x"):rep(500) .. "right" .. ("y"):rep(500))
    assert.matches("^differ from byte 501 on:\n", text)
    assert.matches('expected …"x+left', text)
    assert.matches('got      …"x+right', text)
    assert.truthy(#text < 300)
  end)

  it("is safe with cycles", function()
    local a, b = { 1 }, { 1 }
    a.self, b.self = a, b
    a.x = 1
    assert.equal(".x: missing, expected 1", diff(a, b))
  end)

  it("tells what looks alike but is not", function()
    assert.equal("[1]: two different functions", diff({ print }, { error }))
    assert.equal("[1]: NaN equals nothing, itself included", diff({ 0 / 0 }, { 0 / 0 }))
  end)

  it("is bounded in size and time", function()
    local a, b = {}, {}
    for i = 1, 100000 do a[i], b[i] = i, -i end
    local started = os.clock()
    local text = diff(a, b)
    assert.truthy(#text < 2000)
    assert.matches("… %(and more%)$", text)
    local lines, others = {}, {}
    for i = 1, 50000 do lines[i], others[i] = "line " .. i, "other " .. i end
    text = diff(table.concat(lines, "\n"), table.concat(others, "\n"))
    assert.truthy(#text < 5000)
    assert.truthy(diff(("x"):rep(1000000) .. "a", ("x"):rep(1000000) .. "b"))
    assert.truthy(os.clock() - started < 2)
  end)

  it("aligns no more lines than fit into a sandbox", function()
    local lines, others = {}, {}
    for i = 1, 1500 do lines[i], others[i] = "line " .. i, "other " .. i end
    local a, b = table.concat(lines, "\n"), table.concat(others, "\n")
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    diff(a, b)
    local used = collectgarbage("count") - before
    collectgarbage("restart")
    assert.truthy(used < 4096, used .. " KB")
  end)

  it("bounds a chain that never ends", function()
    local a, b = {}, {}
    local x, y = a, b
    for _ = 1, 5000 do
      x.next, y.next = {}, {}
      x, y = x.next, y.next
    end
    x.v, y.v = 1, 2
    assert.equal("… (and more)", diff(a, b))
  end)
end)
