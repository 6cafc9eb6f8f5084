-- compare.lua - deep equality and containment.  Tables are read raw; of a
-- script's metatables only __eq is asked, as an ordinary call of `==`.
local error, getmetatable, next, rawequal, rawget, rawlen = error, getmetatable, next, rawequal,
  rawget, rawlen
local type, mathtype = type, math.type

local DEEPEST = 5000

local compare = {}

local function has_eq(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__eq") ~= nil
end
compare.has_eq = has_eq

local same

local function same_tables(a, b, seen, depth)
  if depth > DEEPEST then error("the values are nested too deeply to be compared", 0) end
  local row = seen[a]
  if not row then
    row = {}
    seen[a] = row
  end
  if row[b] then return true end -- being compared further out, or found equal
  row[b] = true
  for key, value in next, a do
    local other = rawget(b, key)
    if other == nil or not same(value, other, seen, depth + 1) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end

function same(a, b, seen, depth)
  if rawequal(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  if has_eq(a) or has_eq(b) then return a == b end
  return same_tables(a, b, seen, depth)
end

-- Equal by content: 1 == 1.0, NaN equals nothing, cycles are fine.
function compare.same(a, b)
  return same(a, b, {}, 1)
end

local contains

local function has_item(part, whole, seen, depth)
  for _, value in next, whole do
    if contains(part, value, seen, depth + 1) then return true end
  end
  return false
end

-- Fields of part must be in whole under their names, list items anywhere.
function contains(part, whole, seen, depth)
  if same(part, whole, {}, depth) then return true end
  if type(part) ~= "table" or type(whole) ~= "table" or depth > 100 then return false end
  if seen[part] then return false end
  seen[part] = true
  local n, held = rawlen(part), true
  for key, value in next, part do
    if mathtype(key) == "integer" and key >= 1 and key <= n then
      held = has_item(value, whole, seen, depth)
    else
      local other = rawget(whole, key)
      held = other ~= nil and contains(value, other, seen, depth + 1)
    end
    if not held then break end
  end
  seen[part] = nil
  return held
end

-- True when the table whole holds part: as a value, or field by field.
function compare.contains(part, whole)
  for _, value in next, whole do
    if same(part, value, {}, 1) then return true end
  end
  return type(part) == "table" and contains(part, whole, {}, 1)
end

return compare
