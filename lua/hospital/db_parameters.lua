-- db_parameters.lua - the values that stand behind a statement, as a driver takes them.
local claim = import "hospital.claim"
local null = import("hospital.json").json.null
local import, next, rawget, rawlen, select, type = import, next, rawget, rawlen, select, type
local find = string.find
local misuse = claim.misuse

local function is_bytes(value)
  return type(rawget(value, "bytes")) == "string" and next(value) == "bytes" and next(value, "bytes") == nil
end

local function read(s, what, value)
  local kind, dialect = type(value), s.dialect
  if value ~= value and not dialect.arrays then misuse("%s: %s has no NaN", what, dialect.title) end
  if value == nil or value == null or kind == "boolean" or kind == "number" then return value end
  if kind == "string" then
    if dialect.arrays and find(value, "\0", 1, true) then
      misuse("%s: %s has no text with a NUL byte: use db.bytes", what, dialect.title)
    end
    return value
  end
  if kind ~= "table" then misuse("%s: a %s cannot be a parameter", what, kind) end
  if is_bytes(value) then return { bytes = rawget(value, "bytes") } end
  if dialect.arrays then return import("hospital.db_array")(what, value) end
  if rawlen(value) == 0 then misuse("%s: a table as a parameter is db.bytes(text)", what) end
  misuse("%s: a list as a parameter is an array, which %s does not have", what, dialect.title)
end

-- { n = count, … }: nil ones count.
return function(s, what, ...)
  local list = { n = select("#", ...) }
  for i = 1, list.n do list[i] = read(s, what, (select(i, ...))) end
  return list
end
