-- shape.lua: what a worker says about a check, put into the shape that reporters may rely on.
-- A worker runs other people's code: whatever is not of the promised type is turned into it or left
-- out, so that no reporter has to ask.  Only the fields named here are taken over.
local MAX_ITEMS = 10000

local function text(value)
  if type(value) == "string" then return value end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return nil
end

local function list(value, convert)
  if type(value) ~= "table" then value = { value } end
  local items = {}
  for i = 1, math.min(#value, MAX_ITEMS) do items[#items + 1] = convert(value[i]) end
  return items[1] ~= nil and items or nil
end

local function timings(value)
  if type(value) ~= "table" then return nil end
  local clean
  for name, seconds in pairs(value) do
    if type(name) == "string" and type(seconds) == "number" and seconds == seconds then
      clean = clean or {}
      clean[name] = seconds
    end
  end
  return clean
end

local function integer(value)
  return type(value) == "number" and math.tointeger(value) or nil
end

local function failure(value)
  if type(value) ~= "table" then value = { message = text(value) } end
  return {
    kind = text(value.kind) or "error",
    message = text(value.message) or "(no message)",
    file = text(value.file),
    line = integer(value.line),
    expected = value.expected,
    actual = value.actual,
    diff = text(value.diff),
    target = text(value.target),
    phase = text(value.phase),
    timings = timings(value.timings),
    traceback = value.traceback ~= nil and list(value.traceback, text) or nil,
  }
end

local function metric(value)
  if type(value) ~= "table" or type(value.value) ~= "number" then return nil end
  return { name = text(value.name) or "?", value = value.value, unit = text(value.unit) }
end

local function probe(value)
  if type(value) ~= "table" then return nil end
  return {
    kind = text(value.kind) or "?",
    target = text(value.target),
    detail = text(value.detail),
    timings = timings(value.timings),
  }
end

local lists = {
  failures = failure, output = text, metrics = metric, warnings = text, probes = probe,
}

--- Adds to check what details hold.
return function(check, details)
  if type(details) ~= "table" then return end
  for name, convert in pairs(lists) do
    if details[name] ~= nil then check[name] = list(details[name], convert) end
  end
  if check.context == nil then
    check.context = text(details.context)
  end
  if check.context == nil and check.failures then
    check.context = check.failures[1].message
  end
end
