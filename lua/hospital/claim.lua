-- claim.lua - makes of one test an assertion, which raises, and its expect_
-- twin, which records and goes on.  Probes' assertions are made of it too.
--
-- A test returns true and the values that the assertion returns; or false, the
-- author's message (or nil), what was not so, and if they help the expected value
-- as text, the actual one and a diff.  For misuse it calls claim.misuse.
local host = import "hospital.host"
local error, format, import, tostring, type = error, string.format, import, tostring, type

local claim = {}

-- Raises an error, not a failure, at the author's line: the check is wrong.
function claim.misuse(message, ...)
  error(host.where() .. ": " .. format(message, ...), 0)
end

local function failure(message, text, expected, actual, diff)
  if message ~= nil then
    if type(message) ~= "string" then
      message = type(message) == "number" and tostring(message)
        or import("hospital.inspect").show(message, 200)
    end
    text = message .. ": " .. text
  end
  return { kind = "assertion", message = text, expected = expected, actual = actual, diff = diff }
end

local function settle_raising(ok, ...)
  if ok then return ... end
  host.raise(failure(...))
end

local function settle_recording(ok, ...)
  if ok then return ... end
  local value = failure(...)
  if host.loading() then host.raise(value) end -- no check to record it for
  host.record("failure", value)
  return nil
end

-- Sets assert_<name> and expect_<name> in module.
function claim.define(module, name, test)
  module["assert_" .. name] = function(...)
    host.assertion()
    return settle_raising(test(...))
  end
  module["expect_" .. name] = function(...)
    host.assertion()
    return settle_recording(test(...))
  end
end

-- One assertion that raises, for callers that name it themselves.
function claim.asserting(test)
  return function(...)
    host.assertion()
    return settle_raising(test(...))
  end
end

return claim
