-- inspect.lua - values as text for people: bounded, the same every time, safe
-- with cycles.  It reads tables raw, so no metatable of a script runs.
local floor, huge, mathtype, min = math.floor, math.huge, math.type, math.min
local concat, sort = table.concat, table.sort
local find, format, gsub, rep, sub, byte = string.find, string.format, string.gsub,
  string.rep, string.sub, string.byte
local next, pcall, rawget, rawlen = next, pcall, rawget, rawlen
local tonumber, tostring, type = tonumber, tostring, type
local len = utf8.len

local LONGEST = 2000  -- bytes of a string, and about those of a whole value
local WIDEST = 50     -- items of a table
local DEEPEST = 8     -- tables in tables
local KEYS = 10000    -- keys that are sorted; of a larger table only so many are looked at
local LINE = 80

local inspect = {}

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }
local function escape(c) return ESCAPES[c] or format("\\x%02X", byte(c)) end

-- The first n bytes of s, without half a character at the end.
local function cut(s, n)
  if #s <= n then return s end
  while n > 0 and byte(s, n + 1) >= 0x80 and byte(s, n + 1) < 0xC0 do n = n - 1 end
  return sub(s, 1, n)
end
inspect.cut = cut

-- A string in quotes, cut with a note after limit bytes.
local function quote(s, limit)
  limit = limit or LONGEST
  local head = cut(s, limit)
  local text = gsub(head, len(head) and '[%c"\\\127]' or '[%c"\\\127-\255]', escape)
  if #head < #s then return format('"%s"… (%d bytes)', text, #s) end
  return '"' .. text .. '"'
end
inspect.quote = quote

local function number(n)
  if n ~= n then return "nan" end
  if n == huge then return "inf" end
  if n == -huge then return "-inf" end
  if mathtype(n) == "integer" then return format("%d", n) end
  if n == floor(n) and n > -1e15 and n < 1e15 then return format("%.1f", n) end
  local short = format("%.15g", n)
  return tonumber(short) == n and short or format("%.17g", n)
end

-- What has no contents to show: no addresses, they differ each time.
local function opaque(value)
  local kind = type(value)
  if kind == "userdata" then
    local ok, text = pcall(tostring, value)
    if not ok then return "<userdata>" end
    if find(text, "^userdata: %(?[0nxil]*%)?$") then return "null" end
    if not find(text, "0x", 1, true) then return "<" .. cut(text, 100) .. ">" end
  end
  return "<" .. kind .. ">"
end

local function scalar(value, limit)
  local kind = type(value)
  if kind == "string" then return quote(value, limit) end
  if kind == "number" then return number(value) end
  if kind == "nil" or kind == "boolean" then return tostring(value) end
  return opaque(value)
end

-- a before b by their bytes: `<` on strings asks the locale.
local function precedes(a, b)
  for i = 1, min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
inspect.precedes = precedes

local RANK = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then return (RANK[ta] or 4) < (RANK[tb] or 4) end
  if ta == "string" then return precedes(a, b) end
  if ta == "number" then return a < b end
  return ta == "boolean" and not a and b
end

-- The keys of t in order, but those of its first n items; and whether these are all.
local function keys_after(t, n)
  local keys, whole = {}, true
  for key in next, t do
    if n == 0 or not (mathtype(key) == "integer" and key >= 1 and key <= n) then
      if #keys == KEYS then
        whole = false
        break
      end
      keys[#keys + 1] = key
    end
  end
  sort(keys, before)
  return keys, whole
end

-- The keys of t in order, the first 10,000 met at most.
function inspect.keys(t) return (keys_after(t, 0)) end

local function is_name(key)
  return type(key) == "string" and #key <= 60 and find(key, "^[%a_][%w_]*$")
end

-- ".sku", "[3]", '["odd key"]': how a path goes on.
function inspect.step(key)
  if is_name(key) then return "." .. key end
  return "[" .. scalar(key, 100) .. "]"
end

local render

local function add(state, items, text)
  state.left = state.left - #text - 2
  items[#items + 1] = text
end

local function contents(state, t, depth)
  local items, n = {}, rawlen(t)
  local listed = 0
  while listed < n and listed < WIDEST and state.left > 0 do
    listed = listed + 1
    add(state, items, render(state, rawget(t, listed), depth))
  end
  local keys, whole = keys_after(t, n)
  local shown = 0
  while shown < #keys and #items < WIDEST and state.left > 0 do
    shown = shown + 1
    local key = keys[shown]
    local name = is_name(key) and key or "[" .. scalar(key, 100) .. "]"
    add(state, items, name .. " = " .. render(state, rawget(t, key), depth))
  end
  local total = n - listed + #keys - shown
  if total > 0 or not whole then
    items[#items + 1] = format("… (%s%d more)", whole and "" or "over ", total)
  end
  return items
end

function render(state, value, depth)
  if type(value) ~= "table" then return scalar(value, state.limit) end
  if state.open[value] then return "<cycle>" end
  if next(value) == nil then return "{}" end
  if depth >= DEEPEST or state.left <= 0 then return "{…}" end
  state.open[value] = true
  local items = contents(state, value, depth + 1)
  state.open[value] = nil
  local line = "{ " .. concat(items, ", ") .. " }"
  if #line + 2 * depth <= LINE and not find(line, "\n", 1, true) then return line end
  local pad = rep("  ", depth + 1)
  return "{\n" .. pad .. concat(items, ",\n" .. pad) .. "\n" .. rep("  ", depth) .. "}"
end

-- value as text of about limit bytes (2,000 if not said).
function inspect.show(value, limit)
  limit = limit or LONGEST
  return render({ left = limit, limit = limit, open = {} }, value, 0)
end

return inspect
