-- jsonwriter.lua: JSON that every strict parser takes, whatever bytes a check prints.
-- Bytes that are no UTF-8 become U+FFFD; NaN and the infinities become null; integers are exact; an
-- empty table is [] unless its field is known to hold an object.
local style = require "hospital.reportkit.style"

local jsonwriter = {}

local find, format, gsub, byte = string.find, string.format, string.gsub, string.byte
local mathtype, concat, sort, tointeger = math.type, table.concat, table.sort, math.tointeger
local MAX_DEPTH = 100

local short = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
  ["\b"] = "\\b", ["\f"] = "\\f",
}

local function escape(c) return short[c] or format("\\u%04x", byte(c)) end
local function replacement() return "\u{FFFD}" end

--- A JSON string.
function jsonwriter.string(text)
  if not find(text, '[^ !#-Z%[%]^-~]') then return '"' .. text .. '"' end
  if find(text, "[\128-\255]") then text = style.repair(text, replacement) end
  return '"' .. gsub(text, '[%c"\\]', escape) .. '"'
end

--- A JSON number, or null.
function jsonwriter.number(value)
  if mathtype(value) == "integer" then return format("%d", value) end
  if value ~= value or value == math.huge or value == -math.huge then return "null" end
  local text = format("%.14g", value)
  if tonumber(text) ~= value then
    text = format("%.16g", value)
    if tonumber(text) ~= value then text = format("%.17g", value) end
  end
  return text
end

local objects = { timings = true, summary = true, deselected = true }

local encode

local function is_list(value)
  local n = #value
  if n == 0 then return next(value) == nil end
  local count = 0
  for _ in next, value do count = count + 1 end
  return count == n
end

local function encode_object(value, depth)
  local keys, texts = {}, {}
  for key in next, value do
    local text = type(key) == "string" and key or tostring(key)
    if texts[text] == nil then
      texts[text] = key
      keys[#keys + 1] = text
    end
  end
  sort(keys)
  for i, text in ipairs(keys) do
    keys[i] = jsonwriter.string(text) .. ":" .. encode(rawget(value, texts[text]), text, depth + 1)
  end
  return "{" .. concat(keys, ",") .. "}"
end

function encode(value, field, depth)
  local kind = type(value)
  if kind == "string" then return jsonwriter.string(value) end
  if kind == "number" then return jsonwriter.number(value) end
  if kind == "boolean" then return value and "true" or "false" end
  if kind ~= "table" then return "null" end
  if depth > MAX_DEPTH then return '"[nested too deeply]"' end
  if objects[field] or not is_list(value) then return encode_object(value, depth) end
  local items = {}
  for i = 1, #value do items[i] = encode(value[i], nil, depth + 1) end
  return "[" .. concat(items, ",") .. "]"
end

--- Any value; field is the name it will stand under.
function jsonwriter.encode(value, field) return encode(value, field, 0) end

local before = { "test", "status", "context", "id", "kind", "file", "line" }
local always = { "tags", "output", "metrics", "failures" }
local declared = { "warnings", "probes", "description", "owner", "runbook", "severity" }

local function add_present(parts, n, names, check)
  for i = 1, #names do
    local name = names[i]
    local value = check[name]
    if value ~= nil then
      n = n + 1
      parts[n] = '"' .. name .. '":' .. encode(value, name, 0)
    end
  end
  return n
end

--- A check as an object; extra is text to stand before the closing brace.
function jsonwriter.check(check, extra)
  local parts = {}
  local n = add_present(parts, 0, before, check) + 1
  parts[n] = '"started":' .. jsonwriter.number(check.started or 0) ..
    ',"duration":' .. jsonwriter.number(check.duration or 0) ..
    ',"attempts":' .. jsonwriter.number(tointeger(check.attempts) or 1)
  for i = 1, #always do
    local name = always[i]
    local value = check[name]
    n = n + 1
    parts[n] = '"' .. name .. '":' .. (value == nil and "[]" or encode(value, name, 0))
  end
  add_present(parts, n, declared, check)
  return "{" .. concat(parts, ",") .. (extra or "") .. "}"
end

return jsonwriter
