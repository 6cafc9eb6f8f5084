-- db_array.lua - a list as a PostgreSQL array literal: {1,NULL,"a \"b\""}.  Every
-- text is quoted, so that none is taken for NULL, a brace or a comma.
local claim = import "hospital.claim"
local null = import("hospital.json").json.null
local byte, find, format, gsub = string.byte, string.find, string.format, string.gsub
local concat, mathtype, huge = table.concat, math.type, math.huge
local next, rawget, rawlen, type = next, rawget, rawlen, type

local function quote(text) return '"' .. gsub(text, '[\\"]', "\\%0") .. '"' end

local function number(value)
  if mathtype(value) == "integer" then return format("%d", value) end
  if value ~= value then return "NaN" end
  if value == huge or value == -huge then return value > 0 and "Infinity" or "-Infinity" end
  return format("%.17g", value)
end

local function element(what, value)
  local kind = type(value)
  if value == null then return "NULL" end
  if kind == "number" then return number(value) end
  if kind == "boolean" then return value and "t" or "f" end
  local bytes = kind == "table" and rawget(value, "bytes")
  if type(bytes) == "string" then
    return quote("\\x" .. gsub(bytes, ".", function(c) return format("%02x", byte(c)) end))
  end
  if kind ~= "string" then claim.misuse("%s: a list as a parameter holds plain values, not a %s", what, kind) end
  if find(value, "\0", 1, true) then claim.misuse("%s: PostgreSQL has no text with a NUL byte: use db.bytes", what) end
  return quote(value)
end

return function(what, list)
  local items, n = {}, rawlen(list)
  for key in next, list do
    if mathtype(key) ~= "integer" or key < 1 or key > n then
      claim.misuse("%s: a table as a parameter is a list without holes (db.null for NULL), or db.bytes(text)", what)
    end
  end
  for i = 1, n do
    local value = rawget(list, i)
    if value == nil then claim.misuse("%s: the list has a hole at %d: db.null stands for NULL", what, i) end
    items[i] = element(what, value)
  end
  return "{" .. concat(items, ",") .. "}"
end
