-- versions.lua - version numbers as people write them, and demands on them.
-- Precedence is that of semver 2.0.0, with two liberties for what systems say of
-- themselves: any number of numbers, and suffixes of distributions.
local claim = import "hospital.claim"
local import, tonumber, type = import, tonumber, type
local find, format, gmatch, gsub, lower, match, sub = string.find, string.format, string.gmatch,
  string.gsub, string.lower, string.match, string.sub
local max, mathtype = math.max, math.type

local versions = {}

local EARLY = { a = true, alpha = true, b = true, beta = true, c = true, rc = true, pre = true,
  preview = true, dev = true, m = true, snapshot = true }

local function identifiers(text)
  local list = {}
  for part in gmatch(text, "[^.]+") do
    list[#list + 1] = find(part, "^%d+$") and tonumber(part) or part
  end
  return list
end

-- Reads text into a table; nil when it is no version.
--   epoch, numbers
--   early     identifiers of a pre-release: 1.2.0-rc.1, 1.2~beta2, 1.2rc1
--   late      what the makers put after a release: a letter (1.1.1n), a patch (9.2p1)
--   revision  a distribution's: 5.4.4-3+deb12u1
local function parse(text)
  if type(text) ~= "string" or #text > 200 then return nil end
  text = match(text, "^%s*(%S+)")
  if not text then return nil end
  local epoch, rest = match(text, "^(%d+):(.+)$")
  rest = gsub(rest or text, "^[vV]", "")
  local core, tail = match(rest, "^(%d+[%d.]*)(.*)$")
  if not core or #core > 100 or find(core, "..", 1, true) or find(core, "%.$")
    or not find(tail, "^[%w.+~:-]*$") then
    return nil
  end
  local version = { epoch = tonumber(epoch or 0), numbers = identifiers(core) }
  tail = gsub(tail, "%+.*$", "") -- build metadata says nothing about order
  local mark, word = match(tail, "^([-~]?)(.*)$")
  if word == "" then return mark == "" and version or nil end
  if mark == "~" then
    version.early = identifiers(match(word, "^[^-~]*"))
  elseif mark == "-" and find(word, "^%d") then
    version.revision = identifiers(match(word, "^[%d.]+"))
  elseif mark == "-" then
    version.early = identifiers(match(word, "^[^~]*"))
  else
    local letters, digits, rest_of_it = match(word, "^(%a+)%.?(%d*)(.*)$")
    if not letters then return nil end
    local revision = match(rest_of_it, "^-([%d.]+)")
    version.revision = revision and identifiers(revision)
    local known = EARLY[lower(letters)]
    if known and (#letters > 1 or digits ~= "") then
      version.early = { lower(letters), tonumber(digits) }
    else
      version.late = { letters, tonumber(digits) }
    end
  end
  return version
end

-- Semver: numbers before words, fewer before more.
local function order_lists(a, b)
  for i = 1, max(#a, #b) do
    local x, y = a[i], b[i]
    if x == nil then return -1 end
    if y == nil then return 1 end
    if x ~= y then
      local nx, ny = mathtype(x) ~= nil, mathtype(y) ~= nil
      if nx ~= ny then return nx and -1 or 1 end
      if nx then return x < y and -1 or 1 end
      return import("hospital.inspect").precedes(x, y) and -1 or 1
    end
  end
  return 0
end

local function order_numbers(a, b)
  for i = 1, max(#a, #b) do
    local x, y = a[i] or 0, b[i] or 0
    if x ~= y then return x < y and -1 or 1 end
  end
  return 0
end

-- How a found version stands to b, a wanted one: -1, 0 or 1.
local function order(a, b)
  if a.epoch ~= b.epoch then return a.epoch < b.epoch and -1 or 1 end
  local by = order_numbers(a.numbers, b.numbers)
  if by ~= 0 then return by end
  if a.early or b.early then
    if not a.early then return 1 end
    if not b.early then return -1 end
    by = order_lists(a.early, b.early)
    if by ~= 0 then return by end
  end
  by = order_lists(a.late or {}, b.late or {})
  if by ~= 0 or not b.revision then return by end -- a revision nobody asked for says nothing
  return order_lists(a.revision or {}, b.revision)
end

-- True when a begins with the first n numbers of b.
local function agrees(a, b, n)
  for i = 1, n do
    if (a.numbers[i] or 0) ~= (b.numbers[i] or 0) then return false end
  end
  return true
end

local function first_not_zero(v)
  for i = 1, #v.numbers do
    if v.numbers[i] ~= 0 then return i end
  end
  return #v.numbers
end

local HOLDS = {
  [">="] = function(a, b) return order(a, b) >= 0 end,
  ["<="] = function(a, b) return order(a, b) <= 0 end,
  [">"] = function(a, b) return order(a, b) > 0 end,
  ["<"] = function(a, b) return order(a, b) < 0 end,
  ["="] = function(a, b) return order(a, b) == 0 end,
  ["!="] = function(a, b) return order(a, b) ~= 0 end,
  ["~>"] = function(a, b) return order(a, b) >= 0 and agrees(a, b, max(#b.numbers - 1, 1)) end,
  ["^"] = function(a, b) return order(a, b) >= 0 and agrees(a, b, first_not_zero(b)) end,
  ["x"] = function(a, b) return agrees(a, b, #b.numbers) end,
}
HOLDS["=="], HOLDS["~="] = HOLDS["="], HOLDS["!="]

-- ">= 1.2, < 2" as a list of { operator, version }; nil when it is none.
local function demands(wanted)
  local list = {}
  for part in gmatch(gsub(wanted, "([<>=!~^]+)%s+", "%1"), "[^%s,]+") do
    local operator, text = match(part, "^([<>=!~^]*)(.*)$")
    local stem = match(text, "^(.-)%.[xX*]$")
    if stem and operator == "" then
      while match(stem, "^(.-)%.[xX*]$") do stem = match(stem, "^(.-)%.[xX*]$") end
      operator, text = "x", stem
    end
    local version = parse(text)
    operator = operator == "" and "=" or operator
    if not version or not HOLDS[operator] then return nil end
    list[#list + 1] = { operator, version }
  end
  return list[1] and list
end

--- Asserts that a version is one that is wanted.
-- Precedence is semver's, pre-releases included: 1.0.0-rc.1 comes before 1.0.0. A letter
-- or patch (`1.1.1n`, `9.2p1`) comes after the release. A distribution's revision
-- (`15.4-1.pgdg120+1`) counts only when the demand names one too.
-- @function assert_version
-- @param found the version, as the system says it; a `v` before it is fine
-- @param wanted demands that must all hold, separated by commas or spaces: `>= 1.2`,
--   `> < <= = !=`, `~> 1.4` (at least 1.4, and 1.x), `^1.4`, `1.2.x`, or a version
-- @param[opt] message put before the failure's own
-- @return found
-- @usage assert_version(response:json().version, ">= 1.2, < 2")
claim.define(versions, "version", function(found, wanted, message)
  local list = type(wanted) == "string" and demands(wanted)
  if not list then
    claim.misuse('assert_version: %s is not a demand such as ">= 1.2", "~> 1.4" or "1.2.x"',
      import("hospital.inspect").show(wanted, 80))
  end
  local version = parse(found)
  if not version then
    return false, message, "this is not a version", wanted,
      import("hospital.inspect").show(found, 200)
  end
  for i = 1, #list do
    if not HOLDS[list[i][1]](version, list[i][2]) then
      return false, message, format("version %s is not %s", sub(found, 1, 100), wanted), wanted,
        found
    end
  end
  return true, found
end)

return versions
