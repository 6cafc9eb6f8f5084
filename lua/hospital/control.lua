-- control.lua - what a running check says and does besides asserting.
local host = import "hospital.host"
local error, format, import, pcall = error, string.format, import, pcall
local rawget, rawset, select, tostring, type = rawget, rawset, select, tostring, type
local find, sub = string.find, string.sub
local concat, pack, unpack = table.concat, table.pack, table.unpack
local min, huge = math.min, math.huge

--- Only while a check runs. A loading file may print and log too: it is shown when the file does
-- not load.
-- @section In a running check
local control = {}

local function misuse(message, ...)
  error(host.where() .. ": " .. format(message, ...), 0)
end

local function running(name)
  if host.loading() then
    misuse("%s() is for a running check, and this file is still loading", name)
  end
end

local function seconds(name, value)
  local result = host.duration(value)
  if not result then
    misuse('%s: seconds or a duration such as "250ms", "2s" or "5m" is needed, not %s', name,
      type(value) == "string" and '"' .. sub(value, 1, 60) .. '"' or tostring(value))
  end
  return result
end

--- Ends the check as skipped.
-- @function skip
-- @param[opt] reason why, for the report
-- @usage if not env.DATABASE_URL then skip("no database here") end
function control.skip(reason)
  running("skip")
  if reason ~= nil and type(reason) ~= "string" then
    misuse("skip: the reason must be a string, not %s", type(reason))
  end
  host.skip(reason or "skipped")
end

--- Makes the check a warning, unless it fails; the check goes on.
-- @function warn
-- @param message what is not as it should be
-- @usage if days < 30 then warn("the certificate ends in " .. days .. " days") end
function control.warn(message)
  running("warn")
  if type(message) ~= "string" and type(message) ~= "number" then
    misuse("warn: the message must be a string, not %s", type(message))
  end
  host.record("warning", tostring(message))
end

-- Records text as output, a line at a time.
local function output(text)
  local from = 1
  while true do
    local at = find(text, "\n", from, true)
    host.record("output", sub(text, from, (at or 0) - 1))
    if not at or at == #text then return end
    from = at + 1
  end
end

--- Writes to the check's output, as the stock print does.
-- The output is kept, and shown when the check is red.
-- @function print
-- @param ... any values; tabs stand between them
-- @usage print("status", response.status)
function control.print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  output(concat(parts, "\t"))
end

--- Writes to the check's output; tables are shown with their contents.
-- @function log
-- @param ... any values; tabs stand between them
-- @usage log("headers", response.headers)
function control.log(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    parts[i] = type(value) == "table" and import("hospital.inspect").show(value) or tostring(value)
  end
  output(concat(parts, "\t"))
end

--- Records a number for the reports and for monitoring.
-- @function metric
-- @param name letters, digits, `_`, `.` and `-`, beginning with a letter
-- @param value a finite number
-- @param[opt] unit such as "s", "bytes" or "%"
-- @usage metric("queue_length", queue:length(), "messages")
function control.metric(name, value, unit)
  running("metric")
  if type(name) ~= "string" or #name > 100 or not find(name, "^%a[%w_.-]*$") then
    misuse("metric: a name is made of letters, digits, _ . and - and begins with a letter")
  end
  if type(value) ~= "number" then
    misuse('metric "%s": the value must be a number, not %s', name, type(value))
  end
  if value ~= value or value == huge or value == -huge then
    misuse('metric "%s": the value must be finite, not %s', name, tostring(value))
  end
  if unit ~= nil and (type(unit) ~= "string" or not find(unit, "^[%w%%/_.-]+$") or #unit > 32) then
    misuse('metric "%s": a unit is a short word such as "s", "bytes" or "%%"', name)
  end
  host.record("metric", { name = name, value = value, unit = unit })
end

--- Waits; other checks go on meanwhile.
-- @function sleep
-- @param time seconds or a duration such as "250ms"
-- @usage sleep("250ms")
function control.sleep(time)
  return host.sleep(seconds("sleep", time))
end

--- The time in seconds, for measuring what lies between two calls.
-- @function now
-- @return seconds, with a fraction, from an arbitrary start
-- @usage local started = now()
-- connect()
-- metric("connect_time", now() - started, "s")
function control.now() return host.now() end

-- "2s" as it was written, 2 as "2s".
local function spelt(time)
  return type(time) == "string" and find(time, "%a") and time or format("%.14gs", time)
end

local function late(time, tries)
  return format("not within %s, %d %s: ", spelt(time), tries, tries == 1 and "try" or "tries")
end

local function give_up(time, tries, why)
  local prefix = late(time, tries)
  if host.kind(why) == "failure" then
    rawset(why, "message", prefix .. tostring(rawget(why, "message")))
  elseif type(why) == "string" then
    why = prefix .. why
  end
  error(why, 0)
end

--- Tries again until it holds.
-- Calls fn until it neither raises nor records a failure, waiting 50 ms and then
-- longer and longer, up to 1 s, between the tries. What failed tries recorded is
-- forgotten; the last one's failure is raised when the time is over. skip passes.
-- @function eventually
-- @param timeout seconds or a duration such as "2s"
-- @param fn called without arguments
-- @return what fn returned
-- @usage local order = eventually("2s", function()
--   return assert_not_nil(find_order(17))
-- end)
function control.eventually(timeout, fn)
  running("eventually")
  local limit = seconds("eventually", timeout)
  if type(fn) ~= "function" then misuse("eventually: a function is needed, not %s", type(fn)) end
  local mark, ending = host.mark(), host.now() + limit
  local tries, delay = 0, 0.05
  while true do
    local result = pack(pcall(fn))
    local recorded = host.failed(mark)
    tries = tries + 1
    if result[1] and not recorded then return unpack(result, 2, result.n) end
    if not result[1] and host.kind(result[2]) == "skip" then error(result[2], 0) end
    local left = ending - host.now()
    if left <= 0 then
      if not result[1] then give_up(timeout, tries, result[2]) end
      host.raise({ kind = "assertion",
        message = late(timeout, tries) .. "an expectation did not hold" })
    end
    host.rewind(mark)
    host.sleep(min(delay, left))
    delay = min(delay * 1.5, 1)
  end
end

--- Runs functions together and waits for all of them.
-- When some fail, the first failure is raised after all have ended.
-- @function parallel
-- @param ... functions, called without arguments
-- @return the first result of each, in order
-- @usage parallel(
--   function() assert_tcp("10.0.0.1", 5432) end,
--   function() assert_tcp("10.0.0.2", 5432) end)
function control.parallel(...)
  running("parallel")
  local fns = { ... }
  for i = 1, select("#", ...) do
    if type(fns[i]) ~= "function" then
      misuse("parallel: argument %d must be a function, not %s", i, type(fns[i]))
    end
  end
  if #fns == 0 then misuse("parallel: a function is needed") end
  return host.parallel(unpack(fns))
end

return control
