-- assert.lua - `assert` itself: called as the stock function, or followed by
-- luassert's names, which keep luassert's meaning (`equal` is `==`, `same` is deep).
local host = import "hospital.host"
local claim = import "hospital.claim"
local error, format, import, pcall = error, string.format, import, pcall
local rawequal, rawget, select, setmetatable, tostring, type = rawequal, rawget, select,
  setmetatable, tostring, type
local gmatch, lower = string.gmatch, string.lower

local function show(value) return import("hospital.inspect").show(value) end

-- The last argument is the message here too.
local function equals(expected, actual, message)
  if expected == actual then return true, actual end
  local text = "the values are not equal"
  if type(expected) == "table" and type(actual) == "table" then
    text = "the values are two different tables (same compares their contents)"
  end
  return false, message, text, show(expected), show(actual)
end

local function not_equals(expected, actual, message)
  if expected ~= actual then return true, actual end
  return false, message, "the values are equal", "anything but " .. show(expected), show(actual)
end

-- luassert's true and false are the values themselves.
local function exactly(wanted)
  return function(value, message)
    if rawequal(value, wanted) then return true, value end
    return false, message, format("expected %s", tostring(wanted)), tostring(wanted), show(value)
  end, function(value, message)
    if not rawequal(value, wanted) then return true, value end
    return false, message, format("expected anything but %s", tostring(wanted)),
      "anything but " .. tostring(wanted), show(value)
  end
end

local function no_error(fn, message)
  local ok, raised = pcall(fn)
  if ok then return true end
  if host.kind(raised) == "skip" then error(raised, 0) end
  local text = type(raised) == "table" and rawget(raised, "message") or raised
  return false, message, "an error was raised", "no error", show(text)
end

local function of_type(name)
  return function(value, message)
    if type(value) == name then return true, value end
    return false, message, format("expected a value of type %s", name), name, show(value)
  end, function(value, message)
    if type(value) ~= name then return true, value end
    return false, message, format("expected no value of type %s", name), "no " .. name, show(value)
  end
end

local function near(expected, actual, delta, message)
  return import("hospital.assertions").assert_almost_equal(expected, actual, { delta = delta },
    message)
end

local function not_near(expected, actual, delta, message)
  return import("hospital.assertions").assert_not_almost_equal(expected, actual, { delta = delta },
    message)
end

-- name -> the name of our assertion, and of its opposite
local OURS = {
  same = { "equal", "not_equal" }, truthy = { "true", "false" }, falsy = { "false", "true" },
  ["nil"] = { "nil", "not_nil" }, ["in"] = { "in", "not_in" },
  match = { "match", "not_match" }, matches = { "match", "not_match" },
  greater = { "greater", "less_equal" }, less_equal = { "less_equal", "greater" },
  less = { "less", "greater_equal" }, greater_equal = { "greater_equal", "less" },
  contains = { "contains" }, type = { "type", "not_type" }, error_matches = { "error" },
  almost_equal = { "almost_equal", "not_almost_equal" }, error = { "error" }, errors = { "error" },
}

-- name -> a maker of two tests
local MAKERS = {
  equal = function() return equals, not_equals end,
  ["true"] = function() return exactly(true) end,
  ["false"] = function() return exactly(false) end,
}
MAKERS.equals = MAKERS.equal
for name in gmatch("boolean number string table function thread userdata", "%a+") do
  MAKERS[name] = function() return of_type(name) end
end

local FILLERS = {}
for word in gmatch("are is has have be been was were does do a an the to", "%a+") do
  FILLERS[word] = true
end

-- The assertion called name, or its opposite; nil when there is none.
local function lookup(name, negated)
  if name == "near" then return negated and not_near or near end
  if negated and (name == "error" or name == "errors") then return claim.asserting(no_error) end
  if MAKERS[name] then
    local positive, negative = MAKERS[name]()
    return claim.asserting(negated and negative or positive)
  end
  local ours = OURS[name]
  ours = ours and ours[negated and 2 or 1]
  return ours and import("hospital.assertions")["assert_" .. ours]
end

local chain

-- What follows a `.`: an assertion, or a chain that waits for one.
local function follow(negated, key)
  if type(key) ~= "string" then claim.misuse("assert has no %s", type(key)) end
  local rest
  for word in gmatch(lower(key), "[^_]+") do
    if rest then rest = rest .. "_" .. word
    elseif word == "no" or word == "not" then negated = not negated
    elseif not FILLERS[word] then rest = word end
  end
  if not rest then return chain(negated) end
  return lookup(rest, negated) or claim.misuse('assert has no "%.60s"', key)
end

function chain(negated)
  return setmetatable({}, {
    __index = function(_, key) return follow(negated, key) end,
    __metatable = false,
  })
end

--- Asserts that a value is neither false nor nil, as Lua's own assert does.
-- It raises a failure with the message; a message that is no string is raised as
-- it is. `assert` is also a table of luassert's names, with luassert's meaning:
-- `assert.are.equal`, `assert.same`, `assert.is_true`, `assert.is_not_nil`,
-- `assert.has_error`, `assert.has_no.errors`, `assert.is_string`, …
-- @function assert
-- @param value the value
-- @param[opt] message what was not so
-- @param[opt] ... returned after the message
-- @return all arguments
-- @usage local conn = assert(connect("db"))
-- assert.are.equal(200, response.status)
local function stock(_, ...)
  host.assertion()
  local value, message = ...
  if value then return ... end
  if select("#", ...) == 0 then claim.misuse("assert: a value is needed") end
  if message ~= nil and type(message) ~= "string" and type(message) ~= "number" then
    error(message, 0)
  end
  host.raise({ kind = "assertion", message = message and tostring(message) or "assertion failed!",
    actual = tostring(value) })
end

return {
  assert = setmetatable({}, {
    __call = stock,
    __index = function(_, key) return follow(false, key) end,
    __metatable = false,
    __name = "assert",
  }),
}
