-- assertions.lua - what a check can demand of values.  Each assertion raises a
-- failure; its expect_ twin records it and goes on.  What the author wrote wrong
-- (a pattern that is none, options of the wrong type) is an error of the check;
-- what the system answered, of whatever type, is a pass or a failure.
local host = import "hospital.host"
local claim = import "hospital.claim"
local error, getmetatable, import, pcall = error, getmetatable, import, pcall
local rawequal, rawget, rawlen = rawequal, rawget, rawlen
local next, tonumber, tostring, type = next, tonumber, tostring, type
local abs, mathtype = math.abs, math.type
local find, format, match = string.find, string.format, string.match
local pack, unpack = table.pack, table.unpack

--- Each raises a failure that says what was expected and what was found. Its twin `expect_…`, with
-- the same arguments, records the failure and lets the check go on; it returns nothing then.
-- @section Assertions
local assertions = {}
local misuse = claim.misuse

local function define(name, test) claim.define(assertions, name, test) end

-- Needed only to tell a failure, or for tables.
local function show(value, limit) return import("hospital.inspect").show(value, limit) end
local function brief(value) return show(value, 80) end

-- NULL of a database, null of JSON: there to be told from what is missing, and no value.
local function is_null(value)
  return type(value) == "userdata" and value == import("hospital.json").json.null
end

local function same(a, b)
  if rawequal(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  return import("hospital.compare").same(a, b)
end

--- Asserts that two values are equal, tables by their contents.
-- 1 equals 1.0; NaN equals nothing; `__eq` is honoured; cycles are fine. A failure
-- shows both values, and for tables and texts where they differ.
-- @function assert_equal
-- @param expected what it should be
-- @param actual what it is
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_equal({ status = "ok" }, response:json())
define("equal", function(expected, actual, message)
  if same(expected, actual) then return true, actual end
  local text = "the values are not equal"
  if actual == nil then text = "expected a value, got nil" end
  if expected ~= expected then text = "NaN equals nothing, itself included" end
  local diff = import("hospital.diff")(expected, actual)
  return false, message, text, show(expected), show(actual), diff
end)

--- Asserts that two values differ, tables by their contents.
-- @function assert_not_equal
-- @param expected what it should not be
-- @param actual what it is
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_not_equal(before, after)
define("not_equal", function(expected, actual, message)
  if not same(expected, actual) then return true, actual end
  return false, message, "the values are equal", "anything but " .. show(expected), show(actual)
end)

--- Asserts that two values are the very same: one table, one function, one number.
-- @function assert_is
-- @param expected what it should be
-- @param actual what it is
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_is(cache, require("cache"))
define("is", function(expected, actual, message)
  if rawequal(expected, actual) then return true, actual end
  local text = "the values are not the same"
  if type(expected) == type(actual) and same(expected, actual) then
    text = format("the values are equal, but not the same %s", type(actual))
  end
  return false, message, text, show(expected), show(actual)
end)

--- Asserts that two values are not the very same.
-- @function assert_is_not
-- @param expected what it should not be
-- @param actual what it is
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_is_not(first_session, second_session)
define("is_not", function(expected, actual, message)
  if not rawequal(expected, actual) then return true, actual end
  return false, message, "the values are the same", "anything but " .. show(expected), show(actual)
end)

--- Asserts that a value is neither false nor nil, nor `json.null` (which is `db.null`).
-- @function assert_true
-- @param value the value
-- @param[opt] message put before the failure's own
-- @return value
-- @usage assert_true(response.body ~= "")
define("true", function(value, message)
  if value and not is_null(value) then return true, value end
  return false, message, "expected a true value, got " .. show(value), "true", show(value)
end)

--- Asserts that a value is false or nil.
-- @function assert_false
-- @param value the value
-- @param[opt] message put before the failure's own
-- @return value
-- @usage assert_false(queue.paused)
define("false", function(value, message)
  if not value then return true, value end
  return false, message, "expected false or nil, got " .. brief(value), "false", show(value)
end)

--- Asserts that a value is nil.
-- @function assert_nil
-- @param value the value
-- @param[opt] message put before the failure's own
-- @usage assert_nil(response.headers["x-powered-by"])
define("nil", function(value, message)
  if value == nil then return true, value end
  return false, message, "expected nil, got " .. brief(value), "nil", show(value)
end)

--- Asserts that a value is not nil, nor `json.null` (which is `db.null`).
-- @function assert_not_nil
-- @param value the value
-- @param[opt] message put before the failure's own
-- @return value
-- @usage local user = assert_not_nil(find_user("alice"))
define("not_nil", function(value, message)
  if value ~= nil and not is_null(value) then return true, value end
  return false, message, "expected a value, got " .. show(value), "anything but " .. show(value), show(value)
end)

-- True when container, a table or a string, holds value; nil when it is neither.
local function holds(name, value, container)
  if value == nil then
    misuse("%s: nil is in nothing; the arguments are (value, container)", name)
  end
  if type(container) == "string" then
    if type(value) ~= "string" and type(value) ~= "number" then
      misuse("%s: only a string is looked for in a string, not a %s", name, type(value))
    end
    return find(container, tostring(value), 1, true) ~= nil
  end
  if type(container) ~= "table" then return nil end
  local n = rawlen(container)
  for i = 1, n do
    if same(value, rawget(container, i)) then return true end
  end
  if mathtype(value) == "integer" and value >= 1 and value <= n then return false end
  return rawget(container, value) ~= nil
end

local function no_container(message, container)
  return false, message, "expected a table or a string to look in, got " .. brief(container),
    "a table or a string", show(container)
end

--- Asserts that a list holds a value, a table a key or a string a piece of text.
-- @function assert_in
-- @param value what to look for
-- @param container a list, a table or a string
-- @param[opt] message put before the failure's own
-- @return value
-- @usage assert_in(response.status, { 200, 204 })
define("in", function(value, container, message)
  local held = holds("assert_in", value, container)
  if held then return true, value end
  if held == nil then return no_container(message, container) end
  return false, message, format("%s is not in %s", brief(value), brief(container)),
    "something that holds " .. show(value), show(container)
end)

--- Asserts that a list does not hold a value, a table a key or a string a piece of text.
-- @function assert_not_in
-- @param value what to look for
-- @param container a list, a table or a string
-- @param[opt] message put before the failure's own
-- @return value
-- @usage assert_not_in("Exception", response.body)
define("not_in", function(value, container, message)
  local held = holds("assert_not_in", value, container)
  if held == false then return true, value end
  if held == nil then return no_container(message, container) end
  return false, message, format("%s is in %s", brief(value), brief(container)),
    "something without " .. show(value), show(container)
end)

local TYPES = {
  ["nil"] = true, boolean = true, number = true, string = true, table = true, ["function"] = true,
  thread = true, userdata = true, integer = true, float = true,
}

local function is_of(name, wanted, value)
  if not TYPES[wanted or false] then
    misuse('%s: %s is not a type; the arguments are (type, value)', name, brief(wanted))
  end
  return type(value) == wanted or mathtype(value) == wanted
end

--- Asserts what type a value is of.
-- @function assert_type
-- @param wanted a type of Lua's, or "integer" or "float"
-- @param value the value
-- @param[opt] message put before the failure's own
-- @return value
-- @usage assert_type("number", response:json().total)
define("type", function(wanted, value, message)
  if is_of("assert_type", wanted, value) then return true, value end
  return false, message, format("expected a value of type %s, got %s", wanted, brief(value)),
    wanted, mathtype(value) or type(value)
end)

--- Asserts what type a value is not of.
-- @function assert_not_type
-- @param unwanted a type of Lua's, or "integer" or "float"
-- @param value the value
-- @param[opt] message put before the failure's own
-- @return value
-- @usage assert_not_type("nil", response:json().next)
define("not_type", function(unwanted, value, message)
  if not is_of("assert_not_type", unwanted, value) then return true, value end
  return false, message, format("expected no value of type %s, got %s", unwanted, brief(value)),
    "any type but " .. unwanted, mathtype(value) or type(value)
end)

-- string.match, or misuse when the pattern is none.
local function matches(name, pattern, subject)
  if type(pattern) ~= "string" then
    misuse("%s: the pattern must be a string, not %s", name, type(pattern))
  end
  local found = pack(pcall(match, subject, pattern))
  if not found[1] then
    if host.kind(found[2]) then error(found[2], 0) end
    misuse("%s: %s", name, tostring(found[2]))
  end
  return found
end

-- An error value as the text that patterns are held against.
local function error_text(value)
  if type(value) == "table" then
    local text = rawget(value, "message")
    if type(text) == "string" then return text end
    local meta = getmetatable(value)
    if type(meta) ~= "table" or not rawget(meta, "__tostring") then return show(value) end
  end
  return tostring(value)
end

--- Asserts that a function raises an error.
-- @function assert_error
-- @param fn called without arguments; a skip passes through
-- @param[opt] pattern a Lua pattern that the error's message must match
-- @param[opt] message put before the failure's own
-- @return the error value
-- @usage assert_error(function() json.decode("{") end, "expected")
define("error", function(fn, pattern, message)
  local meta = getmetatable(fn)
  if type(fn) ~= "function" and not (type(meta) == "table" and rawget(meta, "__call")) then
    misuse("assert_error: a function is needed, not %s", type(fn))
  end
  if pattern ~= nil then matches("assert_error", pattern, "") end
  local ok, raised = pcall(fn)
  if ok then
    return false, message, "expected an error, but none was raised",
      pattern and "an error that matches " .. show(pattern) or "an error", "no error"
  end
  if host.kind(raised) == "skip" then error(raised, 0) end
  if pattern == nil or matches("assert_error", pattern, error_text(raised))[2] ~= nil then
    return true, raised
  end
  return false, message, "another error was raised", "an error that matches " .. show(pattern),
    show(error_text(raised))
end)

-- Reads the third argument of almost_equal: places, a table, or already the message.
local function tolerance(name, options, message)
  if type(options) == "string" and message == nil then options, message = nil, options end
  if options == nil then options = 7 end
  local places, delta = options, nil
  if type(options) == "table" then
    places, delta = rawget(options, "places"), rawget(options, "delta")
    for key in next, options do
      if key ~= "places" and key ~= "delta" then
        misuse("%s: unknown option %s: known are places and delta", name, brief(key))
      end
    end
    if places ~= nil and delta ~= nil then misuse("%s: places or delta, not both", name) end
    if places == nil and delta == nil then places = 7 end
  end
  if delta ~= nil then
    if type(delta) ~= "number" or delta < 0 or delta ~= delta then
      misuse("%s: delta must be a number of at least 0, not %s", name, brief(delta))
    end
    return delta, format("within %.14g", delta), message
  end
  if mathtype(tonumber(places)) ~= "integer" or type(places) ~= "number" then
    misuse("%s: places must be a whole number, not %s", name, brief(places))
  end
  return 0.5 * 10.0 ^ -places, format("to %d places", places), message
end

-- True when near, false when not, nil when actual is no number.
local function near(name, expected, actual, within)
  if type(expected) ~= "number" then
    misuse("%s: the expected value must be a number, not %s", name, type(expected))
  end
  if type(actual) ~= "number" then return nil end
  return expected == actual or abs(expected - actual) <= within
end

--- Asserts that two numbers are equal but for rounding.
-- @function assert_almost_equal
-- @param expected a number
-- @param actual what it is
-- @param[opt] places decimal places (7), or `{ places = n }`, or `{ delta = n }` for the
--   largest difference
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_almost_equal(0.3, 0.1 + 0.2)
-- assert_almost_equal(100, response.timings.total * 1000, { delta = 20 })
define("almost_equal", function(expected, actual, options, message)
  local within, how, text = tolerance("assert_almost_equal", options, message)
  local ok = near("assert_almost_equal", expected, actual, within)
  if ok then return true, actual end
  if ok == nil then
    return false, text, "expected a number, got " .. brief(actual), show(expected), show(actual)
  end
  local text_of, wanted = show(actual), show(expected)
  return false, text, format("%s is not %s %s: the difference is %.14g", text_of, wanted, how,
    abs(expected - actual)), wanted, text_of
end)

--- Asserts that two numbers differ by more than rounding.
-- @function assert_not_almost_equal
-- @param expected a number
-- @param actual what it is
-- @param[opt=7] places as for assert_almost_equal
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_not_almost_equal(0, load_average, { delta = 0.01 })
define("not_almost_equal", function(expected, actual, options, message)
  local within, how, text = tolerance("assert_not_almost_equal", options, message)
  local ok = near("assert_not_almost_equal", expected, actual, within)
  if ok == false then return true, actual end
  if ok == nil then
    return false, text, "expected a number, got " .. brief(actual), "a number", show(actual)
  end
  return false, text, format("%s is %s %s", show(actual), show(expected), how),
    "anything but " .. show(expected), show(actual)
end)

local function ordered(a, b)
  local ta = type(a)
  if ta == type(b) and (ta == "number" or ta == "string") then return true end
  for _, value in next, { a, b } do
    local meta = getmetatable(value)
    if type(value) == "table" and type(meta) == "table" then
      if rawget(meta, "__lt") or rawget(meta, "__le") then return true end
    end
  end
  return false
end

-- "9.5" and "10" are numbers to the author, and stand in another order as texts.
local function in_doubt(a, b)
  local x, y = tonumber(a), tonumber(b)
  return type(a) == "string" and x and y and ((a < b) ~= (x < y) or (a > b) ~= (x > y))
end

local function define_order(name, words, holds_for)
  define(name, function(a, b, message)
    if not ordered(a, b) then
      misuse("assert_%s: two numbers or two strings are needed, not %s and %s", name, brief(a),
        brief(b))
    end
    if in_doubt(a, b) then
      misuse("assert_%s: %s and %s are texts, which do not stand in the order of their numbers: use tonumber, or for "
        .. 'what a database says { numeric = "number" }', name, brief(a), brief(b))
    end
    if holds_for(a, b) then return true, a end
    return false, message, format("%s is not %s %s", brief(a), words, brief(b)),
      words .. " " .. show(b), show(a)
  end)
end

--- Asserts that a > b, of two numbers or two strings.
-- @function assert_greater
-- @param a the value to judge
-- @param b what it must exceed
-- @param[opt] message put before the failure's own
-- @return a
-- @usage assert_greater(queue.consumers, 0)
define_order("greater", "greater than", function(a, b) return a > b end)

--- Asserts that a >= b, of two numbers or two strings.
-- @function assert_greater_equal
-- @param a the value to judge
-- @param b the least it may be
-- @param[opt] message put before the failure's own
-- @return a
-- @usage assert_greater_equal(replicas, 3)
define_order("greater_equal", "greater than or equal to", function(a, b) return a >= b end)

--- Asserts that a < b, of two numbers or two strings.
-- @function assert_less
-- @param a the value to judge
-- @param b what it must stay under
-- @param[opt] message put before the failure's own
-- @return a
-- @usage assert_less(response.timings.total, 0.5)
define_order("less", "less than", function(a, b) return a < b end)

--- Asserts that a <= b, of two numbers or two strings.
-- @function assert_less_equal
-- @param a the value to judge
-- @param b the most it may be
-- @param[opt] message put before the failure's own
-- @return a
-- @usage assert_less_equal(queue.length, 100)
define_order("less_equal", "less than or equal to", function(a, b) return a <= b end)

local function subject_of(actual)
  if type(actual) == "number" then return tostring(actual) end
  return type(actual) == "string" and actual or nil
end

--- Asserts that a Lua pattern matches somewhere in a string.
-- @function assert_match
-- @param pattern a Lua pattern
-- @param actual the string
-- @param[opt] message put before the failure's own
-- @return the captures, or the whole match when the pattern has none
-- @usage local version = assert_match("nginx/([%d.]+)", response.headers.server)
define("match", function(pattern, actual, message)
  local found = matches("assert_match", pattern, subject_of(actual) or "")
  if subject_of(actual) and found[2] ~= nil then return unpack(found, 1, found.n) end
  return false, message, subject_of(actual) and "the pattern does not match"
    or "expected a string, got " .. brief(actual), "a match of " .. show(pattern), show(actual)
end)

--- Asserts that a Lua pattern matches nowhere in a string.
-- @function assert_not_match
-- @param pattern a Lua pattern
-- @param actual the string
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_not_match("[Ee]xception", response.body)
define("not_match", function(pattern, actual, message)
  local found = matches("assert_not_match", pattern, subject_of(actual) or "")
  if subject_of(actual) and found[2] == nil then return true, actual end
  return false, message, subject_of(actual) and "the pattern matches " .. brief(found[2])
    or "expected a string, got " .. brief(actual), "no match of " .. show(pattern), show(actual)
end)

--- Asserts that a table holds a value or all that another table names, or that a
-- string holds a piece of text.
-- Of a table that is looked for, named fields must be there under their names,
-- tables inside in the same way, and list items anywhere in the list.
-- @function assert_contains
-- @param expected the value, the fields or the text to look for
-- @param actual the table or the string
-- @param[opt] message put before the failure's own
-- @return actual
-- @usage assert_contains({ status = "ok" }, response:json())
define("contains", function(expected, actual, message)
  if expected == nil then
    misuse("assert_contains: nothing contains nil; the arguments are (expected, actual)")
  end
  local held
  if type(actual) == "string" then
    if type(expected) ~= "string" and type(expected) ~= "number" then
      misuse("assert_contains: only a string is looked for in a string, not a %s", type(expected))
    end
    held = find(actual, tostring(expected), 1, true)
  elseif type(actual) == "table" then
    held = import("hospital.compare").contains(expected, actual)
  else
    return no_container(message, actual)
  end
  if held then return true, actual end
  return false, message, format("%s is not contained", brief(expected)),
    "something that contains " .. show(expected), show(actual)
end)


return assertions
