-- What a loading file declares, and what it may not.
package.path = "./spec/support/?.lua;" .. package.path
local fakehost = require "fakehost"

local function loaded(text, path) return fakehost.new(path):load(text) end

local function refusal(text, path)
  local ok, why = pcall(loaded, text, path)
  assert.is_false(ok, "this should not load: " .. text)
  return why
end

describe("healthcheck", function()
  it("declares a check with its id, line and body", function()
    local suite = loaded('\nhealthcheck("a check", function() return 7 end)')
    assert.equal(1, #suite.checks)
    local check = suite.checks[1]
    assert.same({ "a check", "shop.lua::a check", "check", 2, 0 },
      { check.name, check.id, check.kind, check.line, check.lane })
    assert.same({ 1 }, check.nodes)
    assert.same({}, check.tags)
    assert.equal(7, suite.bodies[1]())
    assert.is_false(suite.afters[1])
    assert.equal("shop.lua", suite.nodes[1].name)
    assert.same({}, suite.nodes[1].setup)
    assert.is_nil(check.slow)
  end)

  it("takes the line of the call when the arguments span lines", function()
    local suite = loaded('local name = "x"\nhealthcheck(name, {\n  tags = "a",\n}, function()\nend)')
    assert.equal(2, suite.checks[1].line)
  end)

  it("accepts nil options, and unusual but harmless names", function()
    local suite = loaded([[
      healthcheck("x", nil, function() end)
      healthcheck("größer: 100 % ☃ \"quoted\" [a]", function() end)
      healthcheck("a:b", function() end)]])
    assert.equal(3, #suite.checks)
  end)

  it("returns a handle that is_healthcheck knows", function()
    local state = fakehost.new()
    state:load([[
      local a = healthcheck("a", function() end)
      local b = diagnosis("b", function() end)
      truth = { is_healthcheck(a), is_healthcheck(b), is_healthcheck({}), is_healthcheck(nil),
        is_healthcheck("a"), is_healthcheck(print), is_healthcheck(setmetatable({}, {})) }]])
    assert.same({ true, true, false, false, false, false, false }, state.globals.truth)
  end)

  for what, case in pairs {
    ["an empty name"] = { 'healthcheck("", function() end)', "the name is empty" },
    ["a blank name"] = { 'healthcheck("  ", function() end)', "the name is empty" },
    ["a name that is no string"] = { 'healthcheck(5, function() end)', "must be a string, not number" },
    ["no name"] = { 'healthcheck(function() end)', "must be a string, not function" },
    ["a line break in a name"] = { 'healthcheck("a\\nb", function() end)', "control characters" },
    ["DEL in a name"] = { 'healthcheck("a\\127b", function() end)', "control characters" },
    ["NUL in a name"] = { 'healthcheck("a\\0b", function() end)', "control characters" },
    ["C1 in a name"] = { 'healthcheck("a\\u{85}b", function() end)', "control characters" },
    ["a name that is not UTF-8"] = { 'healthcheck("a\\xff", function() end)', "not valid UTF%-8" },
    ["a separator in a name"] = { 'healthcheck("a::b", function() end)', "separates the parts" },
    ["a colon at the end"] = { 'describe("a:", function() end)', "begins or ends" },
    ["no function"] = { 'healthcheck("a")', "must be a function, not missing" },
    ["no function but options"] = { 'healthcheck("a", { tags = "x" })', "must be a function, not table" },
    ["a string for a function"] = { 'healthcheck("a", {}, "x")', "must be a function, not string" },
    ["options after the function"] = { 'healthcheck("a", function() end, {})', "not table" },
    ["a describe without a function"] = { 'describe("a", {})', "describe \"a\".*must be a function" },
    ["a diagnosis without a function"] = { 'diagnosis("a", { of = "x" })', "must be a function" },
    ["a hook without a function"] = { 'before_each("a")', "before_each: a function is needed, not string" },
    ["a setup without anything"] = { 'setup()', "setup: a function is needed, not nil" },
  } do
    it("refuses " .. what .. ", with the line", function()
      local why = refusal("\n\n" .. case[1])
      assert.matches("^shop%.lua:3: ", why)
      assert.matches(case[2], why)
    end)
  end

  it("refuses a duplicate id and names both lines", function()
    local why = refusal('healthcheck("a", function() end)\n\nhealthcheck("a", function() end)')
    assert.equal("shop.lua:3: duplicate id shop.lua::a: already declared on line 1", why)
  end)

  it("refuses a duplicate id even when pcall hides it", function()
    local why = refusal('healthcheck("a", function() end)\npcall(healthcheck, "a", function() end)')
    assert.matches("duplicate id", why)
  end)

  it("repeats a load error that pcall swallowed", function()
    local why = refusal('pcall(healthcheck, "", function() end)\nhealthcheck("b", function() end)')
    assert.matches("the name is empty", why)
  end)

  it("is refused inside a running check", function()
    for call, text in pairs {
      healthcheck = 'healthcheck("b", function() end)', describe = 'describe("b", function() end)',
      diagnosis = 'diagnosis("b", {of = "a"}, function() end)', setup = "setup(function() end)",
      after_each = "after_each(function() end)",
    } do
      local state = fakehost.new()
      local suite = state:load('healthcheck("a", function()\n' .. text .. '\nend)')
      local ok, why = pcall(suite.bodies[1])
      assert.is_false(ok)
      assert.matches("^shop%.lua:2: " .. call .. "%(%) inside a running check", why)
      assert.equal(1, #suite.checks)
    end
  end)
end)

describe("describe", function()
  it("nests, and its names are part of the ids", function()
    local suite = loaded([[
      describe("orders", function()
        describe("open", function()
          healthcheck("can be counted", function() end)
        end)
        healthcheck("exist", function() end)
      end)
      healthcheck("last", function() end)]], "a/b.lua")
    assert.equal("a/b.lua::orders::open::can be counted", suite.checks[1].id)
    assert.equal("a/b.lua::orders::exist", suite.checks[2].id)
    assert.equal("a/b.lua::last", suite.checks[3].id)
    assert.same({ 1, 2, 3 }, suite.checks[1].nodes)
    assert.same({ 1, 2 }, suite.checks[2].nodes)
    assert.same({ "orders", 1 }, { suite.nodes[2].name, suite.nodes[2].line })
  end)

  it("may stand twice under one name, each with its own hooks", function()
    local suite = loaded([[
      describe("a", function() healthcheck("x", function() end) end)
      describe("a", function() setup(function() end) healthcheck("y", function() end) end)]])
    assert.same({ 0, 3 }, { suite.checks[1].lane, suite.checks[2].lane })
    assert.matches("duplicate id", refusal([[
      describe("a", function() healthcheck("x", function() end) end)
      describe("a", function() healthcheck("x", function() end) end)]]))
  end)

  it("that failed is a load error even when pcall hides it", function()
    assert.matches("boom", refusal('describe("a", function() error("boom") end)'))
    assert.equal('shop.lua:1: describe "a" did not run to its end',
      refusal('pcall(describe, "a", function() error("boom") end)\nhealthcheck("b", function() end)'))
  end)
end)

describe("options", function()
  it("reach the check as plain data", function()
    local suite = loaded([[
      healthcheck("a", { tags = { "x", "y" }, timeout = "250ms", retries = 2, retry_delay = 1,
        expected_failure = "known", skip = true, description = "d", owner = "o", runbook = "r",
        severity = "critical", every = "5m" }, function() end)]])
    local check = suite.checks[1]
    assert.same({ "x", "y" }, check.tags)
    assert.same({ 0.25, 2, 1.0, "known", true, "d", "o", "r", "critical", 300.0 },
      { check.timeout, check.retries, check.retry_delay, check.expected_failure, check.skip,
        check.description, check.owner, check.runbook, check.severity, check.every })
  end)

  it("take slow and the tag slow for the same", function()
    local suite = loaded([[
      healthcheck("a", { slow = true }, function() end)
      healthcheck("b", { tags = "slow" }, function() end)
      healthcheck("c", { slow = false }, function() end)
      describe("d", { slow = true }, function()
        healthcheck("e", { tags = "x" }, function() end)
        healthcheck("f", { slow = false }, function() end)
      end)]])
    local function seen(i) return { suite.checks[i].slow or false, table.unpack(suite.checks[i].tags) } end
    assert.same({ true, "slow" }, seen(1))
    assert.same({ true, "slow" }, seen(2))
    assert.same({ false }, seen(3))
    assert.same({ true, "slow", "x" }, seen(4))
    assert.same({ false }, seen(5))
  end)

  it("are inherited: tags unite, the rest is overridden", function()
    local suite = loaded([[
      describe("a", { tags = { "db", "x" }, timeout = 1, skip = "later", owner = "me" }, function()
        healthcheck("b", function() end)
        describe("c", { tags = "x", timeout = 2 }, function()
          healthcheck("d", { tags = { "y", "db" }, skip = false, retries = 0 }, function() end)
        end)
      end)
      healthcheck("e", function() end)]])
    local b, d, e = table.unpack(suite.checks)
    assert.same({ "db", "x" }, b.tags)
    assert.same({ 1.0, "later", "me" }, { b.timeout, b.skip, b.owner })
    assert.same({ "db", "x", "y" }, d.tags)
    assert.same({ 2.0, "me", 0 }, { d.timeout, d.owner, d.retries })
    assert.is_nil(d.skip)
    assert.same({}, e.tags)
    assert.is_nil(e.owner)
  end)

  for what, case in pairs {
    ["an unknown key"] = { '{ timout = 1 }', 'unknown option "timout": the nearest is "timeout"' },
    ["another unknown key"] = { '{ tag = "x" }', 'unknown option "tag": the nearest is "tags"' },
    ["of on a check"] = { '{ of = "x" }', 'unknown option "of"' },
    ["a list"] = { '{ "smoke" }', "options are named" },
    ["options that are no table"] = { '"smoke"', "options must be a table, not \"smoke\"" },
    ["false for options"] = { 'false', "options must be a table, not boolean" },
    ["a tag of the wrong type"] = { '{ tags = 5 }', "option tags must be a string or a list" },
    ["tags that hold a number"] = { '{ tags = { "a", 5 } }', "option tags must hold strings only, not 5" },
    ["tags with keys"] = { '{ tags = { a = "b" } }', "option tags must be a list without other keys" },
    ["a tag with a space"] = { '{ tags = "a b" }', "a tag has no spaces" },
    ["a tag with a comma"] = { '{ tags = "a,b" }', "several are a list" },
    ["an empty tag"] = { '{ tags = "" }', "empty tag" },
    ["slow as a string"] = { '{ slow = "yes" }', "option slow must be true or false" },
    ["slow = false and the tag"] = { '{ slow = false, tags = "slow" }', "option slow is false, but" },
    ["a timeout of 0"] = { '{ timeout = 0 }', "option timeout must be more than 0" },
    ["a timeout of words"] = { '{ timeout = "soon" }', 'option timeout .*"2s".* not "soon"' },
    ["a negative timeout"] = { '{ timeout = -1 }', "option timeout" },
    ["a table as timeout"] = { '{ timeout = {} }', "option timeout .* not table" },
    ["a fraction of retries"] = { '{ retries = 1.5 }', "option retries must be a whole number" },
    ["negative retries"] = { '{ retries = -1 }', "option retries must be a whole number" },
    ["an empty reason"] = { '{ skip = "" }', "option skip must be true, false or a reason" },
    ["a number as a reason"] = { '{ expected_failure = 1 }', "option expected_failure must be" },
    ["an empty owner"] = { '{ owner = "" }', "option owner must be a string" },
    ["a number as severity"] = { '{ severity = 3 }', "option severity must be a string" },
    ["every of 0"] = { '{ every = 0 }', "option every must be more than 0" },
    ["a number in requires"] = { '{ requires = { 5 } }', "option requires must hold strings" },
    ["an empty name in requires"] = { '{ requires = "" }', "option requires holds an empty name" },
  } do
    it("are refused: " .. what .. ", with the line", function()
      local why = refusal("\nhealthcheck('a', " .. case[1] .. ", function() end)")
      assert.matches("^shop%.lua:2: ", why)
      assert.matches(case[2], why)
      assert.matches("^shop%.lua:3: ", refusal("\n\ndescribe('a', " .. case[1] .. ", function() end)"))
    end)
  end

  it("are read raw, whatever a metatable shows", function()
    local suite = loaded([[
      local fake = setmetatable({ tags = "a" }, { __index = function() return "x" end,
        __pairs = function() error("no") end })
      healthcheck("a", fake, function() end)]])
    assert.is_nil(suite.checks[1].owner)
    assert.same({ "a" }, suite.checks[1].tags)
  end)
end)

describe("requires and of", function()
  it("are resolved from the inside outwards, then anywhere in the file", function()
    local suite = loaded([[
      healthcheck("db", function() end)
      describe("orders", function()
        healthcheck("db", function() end)
        healthcheck("a", { requires = "db" }, function() end)
        healthcheck("b", { requires = { "orders", "x/y.lua::z", "shop.lua::db" } }, function() end)
        diagnosis("why", function() end)
      end)
      healthcheck("c", { requires = "db" }, function() end)
      healthcheck("d", { requires = "orders::a" }, function() end)
      healthcheck("e", { requires = { "a", "d" } }, function() end)
      diagnosis("f", { of = { "orders", "shop.lua", "other.lua" } }, function() end)
      diagnosis("g", function() end)]])
    local by = {}
    for _, check in ipairs(suite.checks) do by[check.name] = check end
    assert.same({ "shop.lua::orders::db" }, by.a.requires)
    assert.same({ "shop.lua::orders", "x/y.lua::z", "shop.lua::db" }, by.b.requires)
    assert.same({ "shop.lua::db" }, by.c.requires)
    assert.same({ "shop.lua::orders::a" }, by.d.requires)
    assert.same({ "shop.lua::orders::a", "shop.lua::d" }, by.e.requires)
    assert.same({ "shop.lua::orders", "shop.lua", "other.lua" }, by.f.of)
    assert.same({ "shop.lua::orders" }, by.why.of)
    assert.same({ "shop.lua" }, by.g.of)
    assert.equal("diagnosis", by.g.kind)
  end)

  it("prefer what is nearer to what merely ends so", function()
    local suite = loaded([[
      healthcheck("n", function() end)
      describe("x", function()
        describe("y", function() healthcheck("a", { requires = "n" }, function() end) end)
        healthcheck("n", function() end)
      end)]])
    assert.same({ "shop.lua::x::n" }, suite.checks[2].requires)
  end)

  it("unite over describes, and spare the check that is required itself", function()
    local suite = loaded([[
      healthcheck("net", function() end)
      describe("a", { requires = "first" }, function()
        healthcheck("first", function() end)
        healthcheck("second", { requires = "net" }, function() end)
      end)]])
    assert.same({}, suite.checks[2].requires)
    assert.same({ "shop.lua::a::first", "shop.lua::net" }, suite.checks[3].requires)
  end)

  it("that lead nowhere are refused, with the line", function()
    assert.equal('shop.lua:2: option requires names "nothing", but this file declares no such check'
      .. " or describe", refusal('\nhealthcheck("a", { requires = "nothing" }, function() end)'))
    assert.matches("option of names", refusal('diagnosis("a", { of = "nothing" }, function() end)'))
    assert.matches("names \"shop.lua::x\"",
      refusal('healthcheck("a", { requires = "shop.lua::x" }, function() end)'))
    assert.matches("cannot name itself", refusal('healthcheck("a", { requires = "a" }, function() end)'))
    assert.matches("2 checks and describes of this file end so", refusal([[
      describe("x", function() healthcheck("n", function() end) end)
      describe("y", function() healthcheck("n", function() end) end)
      healthcheck("a", { requires = "n" }, function() end)]]))
  end)
end)

describe("hooks", function()
  it("surround the checks of their describe and of those below it, in order", function()
    local state = fakehost.new()
    local suite = state:load([[
      local function say(what) return function() trace = (trace or "") .. what .. " " end end
      describe("a", function()
        before_each(say "b1")
        after_each(say "a1")
        describe("b", function()
          healthcheck("x", say "x")
          before_each(say "b2")
          before_each(say "b3")
          after_each(say "a2")
          after_each(say "a3")
        end)
        healthcheck("y", say "y")
      end)
      healthcheck("z", say "z")]])
    for i = 1, 3 do
      suite.bodies[i]()
      for _, after in ipairs(suite.afters[i] or {}) do after() end
    end
    assert.equal("b1 b2 b3 x a3 a2 a1 b1 y a1 z ", state.globals.trace)
    assert.is_false(suite.afters[3])
    assert.same({ 2, 2, 0 }, { suite.checks[1].lane, suite.checks[2].lane, suite.checks[3].lane })
  end)

  it("keep setup in order and teardown in reverse, on their node", function()
    local suite = loaded([[
      describe("a", function()
        setup(function() return 1 end)
        setup(function() return 2 end)
        teardown(function() return 3 end)
        teardown(function() return 4 end)
        healthcheck("x", function() end)
      end)
      healthcheck("y", function() end)]])
    local node = suite.nodes[2]
    assert.same({ 1, 2, 4, 3 }, { node.setup[1](), node.setup[2](), node.teardown[1](), node.teardown[2]() })
    assert.same({}, suite.nodes[1].setup)
    assert.same({ 2, 0 }, { suite.checks[1].lane, suite.checks[2].lane })
  end)

  it("of the file put all of it into one lane, even declared last", function()
    local suite = loaded([[
      healthcheck("x", function() end)
      describe("a", function() setup(function() end) healthcheck("y", function() end) end)
      teardown(function() end)]])
    assert.same({ 1, 1 }, { suite.checks[1].lane, suite.checks[2].lane })
  end)

  it("give describes side by side lanes of their own", function()
    local suite = loaded([[
      describe("a", function()
        describe("b", function() setup(function() end) healthcheck("x", function() end) end)
        describe("c", function() setup(function() end) healthcheck("y", function() end) end)
        healthcheck("z", function() end)
      end)]])
    assert.same({ 3, 4, 0 }, { suite.checks[1].lane, suite.checks[2].lane, suite.checks[3].lane })
  end)
end)

describe("a plain file", function()
  it("needs no module but suite and dsl", function()
    local state = fakehost.new()
    state:load('for i = 1, 10 do healthcheck("empty " .. i, function() end) end')
    local names = {}
    for name in pairs(state.imported) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "hospital.dsl", "hospital.suite" }, names)
  end)
end)
