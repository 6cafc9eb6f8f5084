-- Every assertion: what passes, what fails and how it says so, its expect_ twin,
-- the author's message, and misuse.
package.path = "./spec/support/?.lua;" .. package.path
local fakehost = require "fakehost"


local NAN = 0 / 0

-- name -> { passing calls }, { failing call, pattern of the message, expected, actual }…
local CASES = {
  equal = {
    pass = { "1, 1", "1, 1.0", '"a", "a"', "nil, nil", "{}, {}", "{ 1, { a = 2 } }, { 1, { a = 2.0 } }",
      "cyclic(), cyclic()", "alike(1), alike(2)", "print, print" },
    fail = {
      { "1, 2", "the values are not equal", "1", "2" },
      { '1, "1"', "the values are not equal", "1", '"1"' },
      { "1, nil", "expected a value, got nil", "1", "nil" },
      { "nan, nan", "NaN equals nothing", "nan", "nan" },
      { "{ 1 }, { 1, 2 }", "not equal", "{ 1 }", "{ 1, 2 }" },
      { "{ 1, 2 }, { 1 }", "not equal", "{ 1, 2 }", "{ 1 }" },
      { "{ a = { b = 1 } }, { a = { b = 2 } }", "not equal", "{ a = { b = 1 } }", "{ a = { b = 2 } }" },
      { "{ nan }, { nan }", "not equal", "{ nan }", "{ nan }" },
      { "alike(1), 5", "not equal", "{ id = 1 }", "5" },
      { "unlike(), unlike()", "not equal", "{}", "{}" },
    },
  },
  not_equal = {
    pass = { "1, 2", "nan, nan", "{}, { 1 }", "1, nil", '1, "1"' },
    fail = { { "1, 1.0", "the values are equal", "anything but 1", "1.0" },
      { "{ 1 }, { 1 }", "the values are equal", "anything but { 1 }", "{ 1 }" } },
  },
  is = {
    pass = { "1, 1", "print, print", "shared, shared", "nil, nil" },
    fail = { { "{}, {}", "equal, but not the same table", "{}", "{}" },
      { "1, 2", "the values are not the same", "1", "2" },
      { "alike(1), alike(1)", "equal, but not the same table", "{ id = 1 }", "{ id = 1 }" } },
  },
  is_not = {
    pass = { "{}, {}", "1, 2" },
    fail = { { "shared, shared", "the values are the same", "anything but {}", "{}" } },
  },
  ["true"] = {
    pass = { "true", "1", '""', "{}" },
    fail = { { "false", "expected a true value, got false", "true", "false" },
      { "nil", "expected a true value, got nil", "true", "nil" } },
  },
  ["false"] = {
    pass = { "false", "nil" },
    fail = { { "true", "expected false or nil, got true", "false", "true" },
      { "0", "got 0", "false", "0" } },
  },
  ["nil"] = { pass = { "nil" }, fail = { { "false", "expected nil, got false", "nil", "false" } } },
  not_nil = { pass = { "false", "0" }, fail = { { "nil", "expected a value, got nil", "anything but nil", "nil" } } },
  ["in"] = {
    pass = { "2, { 1, 2 }", '"a", { a = 1 }', '"b", "abc"', "{ 1 }, { { 1 } }", '"%d", "a%db"', '5, "a5"',
      "10, { [10] = true }" },
    fail = {
      { "1, { 10, 20 }", "1 is not in { 10, 20 }", "something that holds 1", "{ 10, 20 }" },
      { '"d", "abc"', '"d" is not in "abc"', 'something that holds "d"', '"abc"' },
      { "nan, { nan }", "not in", "something that holds nan", "{ nan }" },
      { "1, nil", "expected a table or a string to look in, got nil", "a table or a string", "nil" },
    },
    misuse = { { "nil, {}", "nil is in nothing" }, { '{}, "abc"', "only a string is looked for" } },
  },
  not_in = {
    pass = { "1, { 10, 20 }", '"d", "abc"', '"a", {}' },
    fail = { { "2, { 1, 2 }", "2 is in { 1, 2 }", "something without 2", "{ 1, 2 }" },
      { "1, 5", "look in, got 5", "a table or a string", "5" } },
    misuse = { { "nil, {}", "nil is in nothing" } },
  },
  type = {
    pass = { '"number", 1', '"integer", 1', '"float", 1.5', '"nil", nil', '"table", {}' },
    fail = { { '"string", 1', "expected a value of type string, got 1", "string", "integer" },
      { '"integer", 1.5', "expected a value of type integer", "integer", "float" } },
    misuse = { { '1, "string"', "1 is not a type" }, { '"text", 1', '"text" is not a type' },
      { "nil, 1", "nil is not a type" } },
  },
  not_type = {
    pass = { '"string", 1', '"nil", 1' },
    fail = { { '"number", 1', "expected no value of type number, got 1", "any type but number", "integer" } },
    misuse = { { '"text", 1', "is not a type" } },
  },
  error = {
    pass = { 'function() error("x") end', 'function() error("boom") end, "^shop.lua:1: b.om$"',
      "function() error({ message = \"inner\" }) end, \"inner\"", "function() error() end",
      'function() assert_equal(1, 2) end, "not equal"' },
    fail = { { "function() end", "expected an error, but none was raised", "an error", "no error" },
      { 'function() error("a", 0) end, "b"', "another error was raised", 'an error that matches "b"', '"a"' } },
    misuse = { { "5", "a function is needed, not number" }, { 'error, "["', "malformed pattern" },
      { "error, 5", "the pattern must be a string" } },
  },
  almost_equal = {
    pass = { "0.3, 0.1 + 0.2", "1, 1.004, 2", "1, 1.4, { delta = 0.4 }", "1/0, 1/0", "1, 1.4, 0",
      "1, 1.04, { places = 1 }", "1, 1",
      "0, 0.5, { delta = 0.5 }" },
    fail = {
      { "1, 1.1", "1.1 is not 1 to 7 places: the difference is 0.1", "1", "1.1" },
      { "1, 1.5, { delta = 0.4 }", "1.5 is not 1 within 0.4", "1", "1.5" },
      { "nan, nan", "nan is not nan", "nan", "nan" },
      { "1, nil", "expected a number, got nil", "1", "nil" },
      { '1, "1"', 'expected a number, got "1"', "1", '"1"' },
    },
    misuse = { { "nil, 1", "the expected value must be a number" }, { "1, 1, { delta = -1 }", "delta must be" },
      { "1, 1, { delta = 1, places = 2 }", "not both" }, { "1, 1, { place = 2 }", "unknown option \"place\"" },
      { "1, 1, true", "places must be a whole number" }, { "1, 1, 1.5", "places must be a whole number" },
      { "1, 1, { delta = nan }", "delta must be" } },
  },
  not_almost_equal = {
    pass = { "1, 1.1", "nan, nan", "1, 1.5, { delta = 0.4 }" },
    fail = { { "0.3, 0.1 + 0.2", "is 0.3 to 7 places", "anything but 0.3", "0.30000000000000004" },
      { "1, nil", "expected a number, got nil", "a number", "nil" } },
    misuse = { { '"a", 1', "the expected value must be a number" } },
  },
  greater = {
    pass = { "2, 1", '"b", "a"', "1.5, 1", "ranked(2), ranked(1)" },
    fail = { { "1, 1", "1 is not greater than 1", "greater than 1", "1" },
      { "nan, 1", "nan is not greater than 1", "greater than 1", "nan" },
      { '"a", "b"', '"a" is not greater than "b"', 'greater than "b"', '"a"' } },
    misuse = { { "nil, 1", "two numbers or two strings are needed, not nil and 1" },
      { '1, "1"', "two numbers or two strings" }, { "{}, {}", "two numbers or two strings" } },
  },
  greater_equal = {
    pass = { "2, 1", "1, 1.0" },
    fail = { { "1, 2", "1 is not greater than or equal to 2", "greater than or equal to 2", "1" } },
    misuse = { { "nil, 1", "two numbers" } },
  },
  less = {
    pass = { "1, 2" },
    fail = { { "2, 2", "2 is not less than 2", "less than 2", "2" } },
    misuse = { { "1, nil", "two numbers" } },
  },
  less_equal = {
    pass = { "1, 2", "2, 2" },
    fail = { { "3, 2", "3 is not less than or equal to 2", "less than or equal to 2", "3" } },
    misuse = { { "{}, 1", "two numbers" } },
  },
  match = {
    pass = { '"%d+", "a12"', '"^$", ""', '"5", 15' },
    fail = { { '"x", "abc"', "the pattern does not match", 'a match of "x"', '"abc"' },
      { '"x", nil', "expected a string, got nil", 'a match of "x"', "nil" } },
    misuse = { { '5, "a"', "the pattern must be a string" }, { '"[a", "a"', "malformed pattern" },
      { '"%", nil', "malformed pattern" } },
  },
  not_match = {
    pass = { '"x", "abc"' },
    fail = { { '"b", "abc"', 'the pattern matches "b"', 'no match of "b"', '"abc"' },
      { '"b", {}', "expected a string, got {}", 'no match of "b"', "{}" } },
    misuse = { { 'nil, "a"', "the pattern must be a string" } },
  },
  contains = {
    pass = { "2, { 1, 2 }", '"b", "abc"', "{ a = 1 }, { a = 1, b = 2 }", "{ 3, 1 }, { 1, 2, 3 }",
      "{ a = { b = 1 } }, { a = { b = 1, c = 2 } }", "{ 1 }, { { 1 } }", "{}, { 1 }",
      "{ { id = 2 } }, { { id = 1, x = 1 }, { id = 2, x = 2 } }", "1, { a = 1 }" },
    fail = { { "3, { 1, 2 }", "3 is not contained", "something that contains 3", "{ 1, 2 }" },
      { "{ a = 2 }, { a = 1 }", "not contained", "something that contains { a = 2 }", "{ a = 1 }" },
      { '"d", "abc"', '"d" is not contained', 'something that contains "d"', '"abc"' },
      { "{ 1, 4 }, { 1, 2 }", "not contained", "something that contains { 1, 4 }", "{ 1, 2 }" },
      { "1, nil", "look in, got nil", "a table or a string", "nil" } },
    misuse = { { "nil, {}", "nothing contains nil" }, { '{}, "a"', "only a string is looked for" } },
  },
}

local HELPERS = {
  nan = NAN, shared = {},
  cyclic = function()
    local t = { 1 }
    t.self, t.deep = t, { up = t }
    return t
  end,
  alike = function(id) return setmetatable({ id = id }, { __eq = function() return true end }) end,
  unlike = function() return setmetatable({}, { __eq = function() return false end }) end,
  ranked = function(n) return setmetatable({ n = n }, { __lt = function(a, b) return a.n < b.n end }) end,
}

-- Runs text in a check with the helpers as globals; returns the state and pcall's results.
local function try(text)
  local state = fakehost.new()
  for name, value in pairs(HELPERS) do state.globals[name] = value end
  return state, table.pack(state:check(text))
end

for name, case in pairs(CASES) do
  describe("assert_" .. name, function()
    for _, arguments in ipairs(case.pass) do
      it("passes: " .. arguments, function()
        local state, result = try("assert_" .. name .. "(" .. arguments .. ")")
        assert.is_true(result[1], tostring(result[2]))
        assert.equal(1, math.min(1, state.assertions))
        state, result = try("expect_" .. name .. "(" .. arguments .. ")")
        assert.is_true(result[1], tostring(result[2]))
        assert.same({}, state.records.failure)
      end)
    end
    for _, fail in ipairs(case.fail) do
      it("fails: " .. fail[1], function()
        local state, result = try("\nassert_" .. name .. "(" .. fail[1] .. ")")
        local why = result[2]
        assert.is_false(result[1])
        assert.equal("failure", state.host.kind(why), tostring(why))
        assert.same({ "assertion", fail[3], fail[4], 2 }, { why.kind, why.expected, why.actual, why.line })
        assert.truthy(why.message:find(fail[2], 1, true), why.message)
        state, result = try("\nlocal r = expect_" .. name .. "(" .. fail[1] .. ")\nreturn 'went on', r")
        assert.same({ true, "went on" }, { result[1], result[2] })
        assert.is_nil(result[3])
        assert.equal(1, #state.records.failure)
        local recorded = state.records.failure[1]
        assert.same({ why.kind, why.message, why.expected, why.actual, why.diff, 2 },
          { recorded.kind, recorded.message, recorded.expected, recorded.actual, recorded.diff, recorded.line })
      end)
      it("puts the message before it: " .. fail[1], function()
        local arguments = fail[1]
        if name == "error" and not arguments:find('"b"$') then arguments = arguments .. ", nil" end
        local _, result = try("assert_" .. name .. "(" .. arguments .. ', "the shop")')
        assert.matches("^the shop: ", result[2].message)
        assert.truthy(result[2].message:find(fail[2], 1, true), result[2].message)
      end)
    end
    for _, misuse in ipairs(case.misuse or {}) do
      it("is misused: " .. misuse[1], function()
        for _, prefix in ipairs { "assert_", "expect_" } do
          local state, result = try("\n" .. prefix .. name .. "(" .. misuse[1] .. ")")
          assert.is_false(result[1])
          assert.equal("string", type(result[2]))
          assert.matches("^shop%.lua:2: assert_" .. name .. ": ", result[2])
          assert.truthy(result[2]:find(misuse[2], 1, true), result[2])
          assert.same({}, state.records.failure)
        end
      end)
    end
  end)
end

describe("assertions", function()
  it("are all tried here", function()
    for name, module in pairs(fakehost.surface) do
      local bare = module ~= "db_assertions" and name:match("^assert_(.+)$") -- those have a spec of their own
      assert.truthy(not bare or bare == "version" or CASES[bare], name)
    end
  end)

  it("return what is of use", function()
    local _, r = try([[
      local t = { 5 }
      local a, b = assert_match("(%a)(%d)", "-x1")
      local caught = assert_error(function() error("e", 0) end)
      return assert_equal({ 5 }, t) == t, assert_not_nil(7), a, b, caught, assert_greater(3, 2),
        assert_in(5, t), assert_almost_equal(1, 1.0), assert_match("%d", "a4"), expect_equal(1, 1),
        assert_contains(5, t) == t, assert_true("x"), assert_type("number", 2)]])
    assert.same({ true, true, 7, "x", "1", "e", 3, 5, 1.0, "4", 1, true, "x", 2, n = 14 }, r)
  end)

  it("carry a diff where it helps", function()
    local _, result = try('assert_equal({ items = { { sku = "a" } } }, { items = { { sku = "b" } } })')
    assert.equal('.items[1].sku: expected "a", got "b"', result[2].diff)
    _, result = try("assert_equal(1, 2)")
    assert.is_nil(result[2].diff)
  end)

  it("take a message of another type, and ignore it while they pass", function()
    local _, result = try("assert_true(true, {}) assert_true(false, { a = 1 })")
    assert.equal("{ a = 1 }: expected a true value, got false", result[2].message)
    _, result = try("assert_true(false, 12)")
    assert.equal("12: expected a true value, got false", result[2].message)
  end)

  -- bool_and(ok) of an empty table is NULL, which is not false to Lua: such a check passed.
  it("take null for no value", function()
    for _, call in ipairs { "assert_true(db.null)", "assert_not_nil(db.null)", "expect_true(db.null)" } do
      local state = fakehost.new()
      state.imported["hospital.json"] = { json = { null = io.stdout } }
      state.imported["hospital.db"] = { db = { null = io.stdout } }
      local ok, why = state:check(call)
      why = state.records.failure[1] or not ok and why
      assert.matches("expected a t?r?u?e? ?value, got ", why.message, call)
    end
    local state = fakehost.new()
    state.imported["hospital.json"] = { json = { null = io.stdout } }
    state.imported["hospital.db"] = { db = { null = io.stderr } }
    assert.is_true((state:check("assert_true(db.null) assert_not_nil(db.null)")))
  end)

  -- A database's numeric arrives as text, and as texts 9.5 was greater than 10.
  it("refuse to order numbers in texts that stand in another order", function()
    for _, name in ipairs { "greater", "greater_equal", "less", "less_equal" } do
      for _, pair in ipairs { '"9.5", "10"', '"10", "9.5"', '"10", "10.0"' } do
        local _, result = try(("assert_%s(%s)"):format(name, pair))
        assert.is_false(result[1])
        assert.matches("texts, which do not stand in the order of their numbers", result[2])
      end
    end
    local _, result = try('assert_greater("12", "10") assert_less("2026-01-02", "2026-01-10") assert_greater("b", "10")')
    assert.is_true(result[1], tostring(result[2]))
  end)

  it("let a skip through assert_error", function()
    local state, result = try('assert_error(function() skip("later") end)')
    assert.equal("skip", state.host.kind(result[2]))
  end)

  it("raise even from expect_ while the file loads", function()
    local state = fakehost.new()
    local ok, why = pcall(state.load, state, "expect_equal(1, 2)")
    assert.is_false(ok)
    assert.equal("failure", state.host.kind(why))
  end)

  it("do not look through the script's string methods", function()
    local meta = getmetatable("")
    local saved = meta.__index
    meta.__index = function() error("no methods here") end
    local ok, why = pcall(function()
      local _, result = try('return pcall(assert_equal, "a\\nb", "a\\nc")')
      return result
    end)
    meta.__index = saved
    assert.is_true(ok, tostring(why))
    assert.is_false(why[2])
  end)

  it("survive very deep values with an error", function()
    local _, result = try([[
      local function deep() local t = {} for _ = 1, 20000 do t = { t } end return t end
      assert_equal(deep(), deep())]])
    assert.is_false(result[1])
    assert.matches("nested too deeply", tostring(result[2]))
  end)
end)

describe("assert", function()
  it("is called as the stock one", function()
    local _, r = try('return assert(1, "m", 3)')
    assert.same({ true, 1, "m", 3, n = 4 }, r)
    local state
    state, r = try('\nassert(nil, "no connection")')
    assert.equal("failure", state.host.kind(r[2]))
    assert.same({ "no connection", 2 }, { r[2].message, r[2].line })
    _, r = try("assert(false)")
    assert.equal("assertion failed!", r[2].message)
    _, r = try("assert(nil, shared)")
    assert.equal(HELPERS.shared, r[2])
    _, r = try("assert()")
    assert.equal("shop.lua:1: assert: a value is needed", r[2])
  end)

  for _, text in ipairs { "are.equal(1, 1)", "are_equal(1, 1)", "equal(1, 1)", "equals(1, 1)",
    "are.same({ 1 }, { 1 })", "same({ 1 }, { 1 })", "is.equal(1, 1)", "is_true(true)", "True(true)",
    "is_false(false)", "is_nil(nil)", "is_not_nil(1)", "is_not.equal(1, 2)", "are_not.equal({}, {})",
    "is.Not.equal(1, 2)", "not_same({ 1 }, { 2 })", "has_error(function() error('x') end)",
    "has.error(function() error('x') end)", "has_no.errors(function() end)", "has_no_error(function() end)",
    "truthy(1)", "falsy(nil)", "is_falsy(nil)", "is_not_true(1)", "is_string('x')", "is_table({})",
    "is_not_table(1)", "is_function(print)", "is.number(1)", "is_boolean(false)", "matches('a', 'cat')",
    "near(1, 1.1, 0.2)", "is_not.near(1, 2, 0.2)", "error_matches(function() error('abc') end, 'b')",
    "is_not_false(nil)", "no.match('x', 'abc')", "is_not_number('1')", "Falsy(false)",
    "not_not_equal(1, 1)" } do
    it("knows " .. text, function()
      local state, result = try("assert." .. text)
      assert.is_true(result[1], tostring(result[2]))
      assert.truthy(state.assertions > 0)
    end)
  end

  for _, text in ipairs { "are.equal(1, 2)", "equal({}, {})", "same({ 1 }, { 2 })", "is_true(1)",
    "is_true(nil)", "is_false(nil)", "is_nil(1)", "is_not_nil(nil)", "is_not.equal(1, 1)",
    "are_not.same({}, {})", "has_error(function() end)", "has_no.errors(function() error('x') end)",
    "truthy(nil)", "falsy(0)", "is_string(1)", "is_not_string('')", "matches('x', 'cat')",
    "near(1, 2, 0.2)", "is_not.near(1, 1.1, 0.2)", "is_not_true(true)" } do
    it("fails: " .. text, function()
      local state, result = try("assert." .. text)
      assert.is_false(result[1])
      assert.equal("failure", state.host.kind(result[2]), tostring(result[2]))
    end)
  end

  it("names what it does not know", function()
    local _, result = try("\nassert.is_purple(1)")
    assert.equal('shop.lua:2: assert has no "is_purple"', result[2])
  end)
end)
