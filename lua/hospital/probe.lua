-- probe.lua - what all probes do in the same way: read their options, tell what
-- they learned, and fail.  A probe's run returns its result, or nil and a failure;
-- probe.define makes the assertion, which raises it, and the expect_ twin, which
-- records it and goes on.
local host = import "hospital.host"
local claim = import "hospital.claim"
local nearest = import "hospital.nearest"
local error, next, pcall, rawget, tostring, type = error, next, pcall, rawget, tostring, type
local concat, sort = table.concat, table.sort
local byte, format, gsub, sub = string.byte, string.format, string.gsub, string.sub
local mathtype = math.type

local probe = {}
local misuse = claim.misuse
probe.misuse = misuse

-- --- options ------------------------------------------------------------------

-- The options as a plain copy; each value was read by READERS[key](value, name).
-- A number or a string is short for { timeout = … }.
function probe.options(what, value, READERS)
  if value == nil then return {} end
  if type(value) == "number" or type(value) == "string" then value = { timeout = value } end
  if type(value) ~= "table" then misuse("%s: options must be a table or a timeout, not a %s", what, type(value)) end
  local options = {}
  for key in next, value do
    local read = READERS[key]
    if not read then
      local known = {}
      for name in next, READERS do known[#known + 1] = name end
      sort(known)
      misuse('%s has no option "%s"; did you mean "%s"? It has %s', what, sub(tostring(key), 1, 40),
        nearest(tostring(key), known), concat(known, ", "))
    end
    options[key] = read(rawget(value, key), what .. ": " .. key)
  end
  return options
end

local read = {}
probe.read = read

function read.duration(value, name)
  local seconds = (type(value) == "number" or type(value) == "string") and host.duration(value)
  if not seconds or seconds <= 0 then
    misuse('%s must be a duration above zero (seconds, or "250ms"), got %s', name, tostring(value))
  end
  return seconds
end

function read.text(value, name)
  if type(value) ~= "string" or value == "" then misuse("%s must be a text, got %s", name, type(value)) end
  return value
end

function read.family(value, name)
  if value ~= 4 and value ~= 6 then misuse("%s must be 4 or 6, got %s", name, tostring(value)) end
  return value
end

function read.integer(least, most)
  return function(value, name)
    if mathtype(value) ~= "integer" or value < least or value > most then
      misuse("%s must be a whole number from %d to %d, got %s", name, least, most, tostring(value))
    end
    return value
  end
end

function read.message(value, what)
  if value ~= nil and type(value) ~= "string" and type(value) ~= "number" then
    misuse("%s: the message must be a string, got a %s", what, type(value))
  end
  return value
end

-- A host that can be put into a message.
function read.host(value, what)
  if type(value) ~= "string" or value == "" or string.find(value, "[%c%s]") then
    misuse("%s: the host must be a name or an address, got %s", what,
      type(value) == "string" and format("%q", sub(value, 1, 60)) or type(value))
  end
  return value
end

-- --- words ----------------------------------------------------------------------

function probe.time_text(seconds)
  if seconds > 0 and seconds < 0.00005 then return format("%.2g ms", seconds * 1000) end
  if seconds < 0.01 then return format("%.1f ms", seconds * 1000) end
  if seconds < 1 then return format("%.0f ms", seconds * 1000) end
  return format("%.2f s", seconds)
end

-- What came from outside, for a message: short, without control characters.
function probe.excerpt(text, most)
  local short = gsub(sub(text, 1, most or 200), "[%c\127-\255]", function(c)
    return c == "\n" and "\\n" or c == "\r" and "\\r" or format("\\x%02x", byte(c))
  end)
  return '"' .. short .. '"' .. (#text > (most or 200) and format("… (%d bytes)", #text) or "")
end

-- --- results ---------------------------------------------------------------------

-- Completes C's { kind, message, phase, timings } into a failure and records the
-- probe, which is told with its target and timings anyway: nil and the failure.
function probe.fault(kind, target, fault)
  probe.note(kind, target, format("%s (%s phase)", fault.message, fault.phase), fault.timings)
  fault.target = target
  fault.message = format("%s %s: %s (%s phase, after %s)", kind, target, fault.message, fault.phase,
    probe.time_text(fault.timings.total))
  return nil, fault
end

-- A failed demand of the assertion's; fields has at least message.
function probe.failure(kind, target, timings, fields)
  fields.kind = fields.kind or "assertion"
  fields.target, fields.timings = target, timings
  probe.note(kind, target, fields.message, timings)
  fields.message = format("%s %s: %s", kind, target, fields.message)
  return nil, fields
end

function probe.note(kind, target, detail, timings)
  host.record("probe", { kind = kind, target = target, detail = detail, timings = timings })
end

-- What fn(...) returned; or nil and the failure that it raised. Other errors go on.
local function settle(ok, ...)
  if ok then return ... end
  local raised = ...
  if host.kind(raised) == "failure" then return nil, raised end
  error(raised, 0)
end

function probe.attempt(fn, ...)
  return settle(pcall(fn, ...))
end

local function prefixed(failure, message)
  if message ~= nil then failure.message = message .. ": " .. failure.message end
  return failure
end

-- Sets assert_<name> and expect_<name> in module.  read(...) checks the author's
-- arguments and returns a table whose `message` is the author's; run(table) does
-- the probing.
function probe.define(module, name, arguments, run)
  module["assert_" .. name] = function(...)
    local given = arguments("assert_" .. name, ...)
    host.assertion()
    local result, failure = run(given)
    if failure then host.raise(prefixed(failure, given.message)) end
    return result
  end
  module["expect_" .. name] = function(...)
    local given = arguments("expect_" .. name, ...)
    host.assertion()
    local result, failure = run(given)
    if not failure then return result end
    prefixed(failure, given.message)
    if host.loading() then host.raise(failure) end -- no check to record it for
    host.record("failure", failure)
    return nil
  end
end

return probe
