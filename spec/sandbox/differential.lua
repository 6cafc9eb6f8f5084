-- Compares our string and table functions (`ours`) with Lua's own (`stock`) on
-- generated input: the same results, or both an error with the same message.
-- Run by spec/c/library_test.c; returns how many cases there were.
local ours, stock, rounds = ...
math.randomseed(20240229)
local random, pack = math.random, table.pack

local function pick(list) return list[random(#list)] end

local function show(results)
  local out = {}
  for i = 1, results.n do
    local v = results[i]
    if type(v) == "table" then
      local items = {}
      for k, x in pairs(v) do items[#items + 1] = tostring(k) .. "=" .. tostring(x) end
      table.sort(items)
      out[i] = "{" .. table.concat(items, ",") .. "}"
    else
      out[i] = type(v) == "string" and ("%q"):format(v) or math.type(v) and ("%s:%s"):format(math.type(v), v) or tostring(v)
    end
  end
  return table.concat(out, " ")
end

-- Only Lua's own are in package.loaded, from where messages take their names.
local function call(f, ...)
  return (show(pack(pcall(f, ...))):gsub("bad argument #%d+ to '[^']*'", "bad argument"))
end

local cases = 0
local function compare(what, a, b, describe)
  cases = cases + 1
  if a ~= b then error(("%s(%s)\n  ours  %s\n  stock %s"):format(what, describe, a, b), 0) end
end

local function both(library, name, ...)
  compare(name, call(ours[library][name], ...), call(stock[library][name], ...), show(pack(...)))
end

-- Patterns and subjects ------------------------------------------------------

local alphabet = { "a", "b", "c", "A", "1", " ", ".", "-", "(", ")", "[", "]", "%", "^", "$", "\0", "\255", "x" }
local singles = { "a", "b", "c", ".", "%a", "%d", "%s", "%w", "%A", "%D", "%x", "%p", "%%", "%.", "[abc]", "[^a]", "[a-c]",
  "[%a]", "[^%d%s]", "[]]", "[^]]", "[a-]", "[%]]", "[a%-c]", "1", " ", "%z", "\0", "%g", "%u", "%l", "%c", "-", "[--a]" }
local oddities = { "%b()", "%bab", "%baa", "%f[%a]", "%f[^%a]", "%f[\0]", "%1", "%2", "()", "^", "$", "%", "[", "[^", "[a", "(", ")",
  "%b", "%ba", "%f", "%fa", "%0", "%9", "]", "[%", "*", "+", "?", "[]", "%\0" }
local suffixes = { "", "", "", "", "*", "+", "-", "?" }

local function subject()
  local out = {}
  for i = 1, random(0, 14) do out[i] = pick(alphabet) end
  return table.concat(out)
end

local function pattern(depth)
  local out = {}
  for i = 1, random(0, 4) do
    local roll = random(20)
    if roll <= 13 then out[i] = pick(singles) .. pick(suffixes)
    elseif roll <= 16 and depth < 3 then out[i] = "(" .. pattern(depth + 1) .. ")"
    else out[i] = pick(oddities) end
  end
  local text = table.concat(out)
  if random(8) == 1 then text = "^" .. text end
  if random(8) == 1 then text = text .. "$" end
  return text
end

local function init() return pick { nil, 1, 2, 3, -1, -3, 0, 9, 100, -100, math.maxinteger, math.mininteger } end

local replacements = { "", "x", "%0", "%1", "<%1%2>", "%%", "%", "%a", "%9", 7, true, { a = "A", [1] = 9, b = false, c = {} },
  function(...) return ... end, function(...) return select("#", ...) end, function() return nil end, function() return {} end,
  function() error("mine", 0) end }

local function gmatch(library, s, p, i)
  return call(function()
    local out = {}
    for a, b, c in library.string.gmatch(s, p, i) do out[#out + 1] = show(pack(a, b, c)) end
    return table.concat(out, ";")
  end)
end

for _ = 1, rounds do
  local s, p, i = subject(), pattern(0), init()
  both("string", "find", s, p, i)
  both("string", "find", s, p, i, random(2) == 1)
  both("string", "match", s, p, i)
  compare("gmatch", gmatch(ours, s, p, i), gmatch(stock, s, p, i), show(pack(s, p, i)))
  both("string", "gsub", s, p, pick(replacements), pick { nil, nil, 0, 1, 2, -1, 100 })
end

-- Depth, size and the ordinary functions ---------------------------------------

for n = 190, 210 do
  both("string", "find", ("a"):rep(300), ("a?"):rep(n))
  both("string", "match", ("a"):rep(300), ("("):rep(n))
end
for n = 30, 34 do both("string", "match", ("a"):rep(50), ("(a)"):rep(n)) end

local numbers = { 0, 1, 2, 3, -1, -2, 5, -5, 40, -40, 1.0, 1.5, "2", "x", math.maxinteger, math.mininteger, true, {} }
local function maybe() if random(4) > 1 then return pick(numbers) end end
for _ = 1, rounds // 4 do
  local s = random(20) == 1 and pick { 12, 1.5, true, {} } or subject()
  both("string", "sub", s, maybe(), maybe())
  both("string", "byte", s, maybe(), maybe())
  both("string", "char", maybe(), maybe(), random(0, 300))
  both("string", "rep", s, pick { 0, 1, 2, 7, -1, "3", 1.5, 200 }, pick { nil, "", ",", "--" })
  for _, name in ipairs { "len", "lower", "upper", "reverse" } do both("string", name, s) end
end
both("string", "rep", "x", math.maxinteger)
both("string", "rep", "xyz", math.maxinteger, "abc")
both("string", "gsub", "a", "a")
both("string", "gsub")
both("string", "find", "a")
both("string", "gmatch", "a")

-- Tables -------------------------------------------------------------------------

local function list()
  local t = {}
  for i = 1, random(0, 12) do t[i] = pick { random(100), random(100), random(100), "s" .. random(9) } end
  return t
end
local function copy(t) local c = {} for k, v in pairs(t) do c[k] = v end return setmetatable(c, getmetatable(t)) end
local proxies = { 1, "s", true, setmetatable({}, { __len = function() return 3 end }),
  setmetatable({}, { __len = function() return "x" end }), setmetatable({}, { __index = function(_, k) return k end, __len = function() return 4 end }),
  setmetatable({}, { __len = function() return -1 end }) }

local function on_copies(name, t, ...)
  local a, b = t, t
  if type(t) == "table" then a, b = copy(t), copy(t) end
  compare(name, call(ours.table[name], a, ...), call(stock.table[name], b, ...), show(pack(t, ...)))
  compare(name, show(pack(a)), show(pack(b)), show(pack(t, ...)))
end

for _ = 1, rounds // 2 do
  local t = random(12) == 1 and pick(proxies) or list()
  local function place() return pick { 1, 2, 3, 5, 0, -1, 13, 14, 1.5, "2", "x", math.maxinteger } end
  on_copies("insert", t, "v")
  on_copies("insert", t, place(), "v")
  on_copies("remove", t)
  on_copies("remove", t, place())
  on_copies("move", t, pick { 1, 2, 3, 0, -2 }, pick { 0, 1, 4, 9, "x" }, pick { 1, 2, 5, -3, math.maxinteger })
  on_copies("concat", t, pick { nil, ",", "", 7 }, pick { nil, 1, 2, 0, -1 }, pick { nil, 1, 5, 12 })
  on_copies("unpack", t, pick { nil, 1, 2, -2 }, pick { nil, 1, 5, 20 })
end
on_copies("insert", {})
on_copies("insert", {}, 1, 2, 3)
on_copies("unpack", {}, 1, 1e8)
on_copies("unpack", {}, math.mininteger, math.maxinteger)
on_copies("move", {}, math.mininteger, 1, 2)
on_copies("move", {}, 1, math.maxinteger, 2)
both("table", "pack", 1, nil, 3)
both("table", "pack")

for _ = 1, rounds // 10 do
  local t = {}
  for i = 1, random(0, 200) do t[i] = random(150) end
  on_copies("sort", t)
  on_copies("sort", t, function(a, b) return a > b end)
  local words = {}
  for i = 1, random(0, 60) do words[i] = subject() end
  on_copies("sort", words)
end
both("table", "sort", { 3, "x", 1 })
on_copies("sort", { 3, 2 }, 7)
on_copies("sort", { 1 }, 7)
-- A comparator that contradicts itself may be noticed or not; it must come back.
for n = 1, 300 do
  local t = {}
  for i = 1, n do t[i] = i end
  pcall(ours.table.sort, t, function() return true end)
  pcall(ours.table.sort, t, function() return random(2) == 1 end)
end
return cases
