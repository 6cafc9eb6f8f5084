-- diff.lua - where two values differ, for people: the paths of tables, the lines
-- of texts, the place in a long string.  Bounded in size and in time.
local compare = import "hospital.compare"
local inspect = import "hospital.inspect"
local concat = table.concat
local find, format, sub, byte = string.find, string.format, string.sub, string.byte
local lower, match = string.lower, string.match
local max, min, mathtype = math.max, math.min, math.type
local ipairs, next, rawequal, rawget, type = ipairs, next, rawequal, rawget, type

local MOST = 20       -- differences told
local VISITS = 20000  -- values looked at
local LINES = 200     -- lines on a side that are aligned exactly
local SHOWN = 60      -- lines told
local CONTEXT = 2     -- equal lines told around a difference

local function show(value) return inspect.show(value, 200) end

-- Lines of s, at most LINES * 10 of them; each without its end.
local function split(s)
  local lines, from = {}, 1
  while #lines < LINES * 10 do
    local at = find(s, "\n", from, true)
    lines[#lines + 1] = sub(s, from, (at or 0) - 1)
    if not at then return lines end
    from = at + 1
  end
  lines[#lines + 1] = "…"
  return lines
end

-- lengths[i][j]: the longest common subsequence of a[i..] and b[j..].
local function common(a, b, first, last_a, last_b)
  local lengths = { [last_a + 1] = {} }
  for j = first, last_b + 1 do lengths[last_a + 1][j] = 0 end
  for i = last_a, first, -1 do
    local row, below = {}, lengths[i + 1]
    row[last_b + 1] = 0
    for j = last_b, first, -1 do
      row[j] = a[i] == b[j] and below[j + 1] + 1 or max(below[j], row[j + 1])
    end
    lengths[i] = row
  end
  return lengths
end

-- Steps that make b of a: { sign, line } with sign " ", "-" or "+".
local function steps(a, b)
  local first, last_a, last_b = 1, #a, #b
  while first <= last_a and first <= last_b and a[first] == b[first] do first = first + 1 end
  while last_a >= first and last_b >= first and a[last_a] == b[last_b] do
    last_a, last_b = last_a - 1, last_b - 1
  end
  local list = {}
  local function step(sign, line) list[#list + 1] = { sign, line } end
  for i = 1, first - 1 do step(" ", a[i]) end
  local i, j = first, first
  if last_a - first < LINES and last_b - first < LINES then
    local lengths = common(a, b, first, last_a, last_b)
    while i <= last_a and j <= last_b do
      if a[i] == b[j] then
        step(" ", a[i])
        i, j = i + 1, j + 1
      elseif lengths[i + 1][j] >= lengths[i][j + 1] then
        step("-", a[i])
        i = i + 1
      else
        step("+", b[j])
        j = j + 1
      end
    end
  end
  for k = i, last_a do step("-", a[k]) end
  for k = j, last_b do step("+", b[k]) end
  for k = last_a + 1, #a do step(" ", a[k]) end
  return list
end

local function visible(line)
  local quoted = inspect.quote(line, 200)
  if find(quoted, "\\", 1, true) then return quoted end
  return sub(quoted, 2, -1 - (find(quoted, '"$') and 1 or 0))
end

local function text_diff(expected, actual)
  local list = steps(split(expected), split(actual))
  local near = {}
  for i, step in ipairs(list) do
    if step[1] ~= " " then
      for k = max(1, i - CONTEXT), min(#list, i + CONTEXT) do near[k] = true end
    end
  end
  local out, gap = { "- expected, + got:" }, false
  for i, step in ipairs(list) do
    if #out > SHOWN then
      out[#out + 1] = "… (more lines differ)"
      break
    end
    if near[i] then
      if gap then out[#out + 1] = "  …" end
      gap = false
      out[#out + 1] = step[1] .. " " .. visible(step[2])
    else
      gap = true
    end
  end
  return concat(out, "\n")
end

-- Where two long single lines part.
local function string_diff(expected, actual)
  local low, high = 0, min(#expected, #actual)
  while low < high do -- the longest common head, by halving
    local middle = (low + high + 1) // 2
    if sub(expected, 1, middle) == sub(actual, 1, middle) then
      low = middle
    else
      high = middle - 1
    end
  end
  local from = max(1, low - 20)
  while from > 1 and (byte(expected, from) or 0) >= 0x80 and (byte(expected, from) or 0) < 0xC0 do
    from = from - 1
  end
  local dots = from > 1 and "…" or ""
  local function piece(s)
    local to = min(#s, low + 40)
    local text = inspect.quote(inspect.cut(sub(s, from), to - from + 1))
    return dots .. text .. (to < #s and "…" or "")
  end
  return format("differ from byte %d on:\nexpected %s\ngot      %s", low + 1, piece(expected),
    piece(actual))
end

-- The keys of both tables, in order, without doubles.
local function union(a, b)
  local all = {}
  for _, t in next, { a, b } do
    local n = 0
    for key in next, t do
      n = n + 1
      if n > VISITS then break end
      all[key] = true
    end
  end
  return inspect.keys(all)
end

local walk

-- As in base/redact.c, which blots out one value behind a name, and here stand two.
local SECRETS = { "password", "passwd", "pwd", "passphrase", "api_key", "api-key", "apikey", "token", "secret",
  "signature", "authorization", "cookie" }

local function is_secret(path)
  local name = lower(match(path, '([^."%[%]]+)"?%]?$') or "")
  for _, ending in ipairs(SECRETS) do
    if sub(name, -#ending) == ending then return true end
  end
  return false
end

local function differ(state, path, text)
  if is_secret(path) then text = "[redacted]" end
  if #state.out >= MOST then
    state.full = true
  else
    state.out[#state.out + 1] = (path == "" and "(value)" or path) .. ": " .. text
  end
end

local function walk_tables(state, path, a, b)
  local row = state.seen[a] or {}
  state.seen[a] = row
  if row[b] then return end
  row[b] = true
  for _, key in ipairs((union(a, b))) do
    if state.full then return end
    local x, y = rawget(a, key), rawget(b, key)
    local place = path .. inspect.step(key)
    if y == nil then
      differ(state, place, "missing, expected " .. show(x))
    elseif x == nil then
      differ(state, place, "not expected, got " .. show(y))
    else
      walk(state, place, x, y)
    end
  end
end

function walk(state, path, a, b)
  state.visits = state.visits + 1
  if state.visits > VISITS or #path > 1000 then
    state.full = true
    return
  end
  if rawequal(a, b) then return end
  if type(a) == "table" and type(b) == "table"
    and not compare.has_eq(a) and not compare.has_eq(b) then
    return walk_tables(state, path, a, b)
  end
  if a == b then return end
  local x, y = show(a), show(b)
  if x == y then
    differ(state, path, a ~= a and "NaN equals nothing, itself included"
      or format("two different %ss", mathtype(a) and "number" or type(a)))
  else
    differ(state, path, format("expected %s, got %s", x, y))
  end
end

-- The differences as text; nil when expected and actual next to each other say it all.
return function(expected, actual)
  if type(expected) == "string" and type(actual) == "string" then
    if find(expected, "\n", 1, true) or find(actual, "\n", 1, true) then
      return text_diff(expected, actual)
    end
    if #expected > 60 and #actual > 60 then return string_diff(expected, actual) end
    return nil
  end
  if type(expected) ~= "table" or type(actual) ~= "table" then return nil end
  local state = { out = {}, seen = {}, visits = 0 }
  walk(state, "", expected, actual)
  if state.full then state.out[#state.out + 1] = "… (and more)" end
  return state.out[1] and concat(state.out, "\n")
end
