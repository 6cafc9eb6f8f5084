-- options.lua - what may stand between a name and a function: validation and
-- inheritance.  Only raw access to what the script passed, so that no metatable
-- can show one thing to the validation and another to the plan.
local host = import "hospital.host"
local suite = import "hospital.suite"
local nearest = import "hospital.nearest"
local next, rawget, rawlen, tostring, type = next, rawget, rawlen, tostring, type
local find, format, sub = string.find, string.format, string.sub
local concat, sort = table.concat, table.sort
local len, mathtype = utf8.len, math.type

local options = {}

local function refuse(key, text, ...)
  suite.refuse(format("option %s " .. text, key, ...))
end

local function show(value)
  if type(value) == "string" then
    return '"' .. sub(value, 1, 60) .. (#value > 60 and "…" or "") .. '"'
  end
  return type(value) == "number" and tostring(value) or type(value)
end

-- A list of strings, or one string as a list.
local function strings(key, value)
  if type(value) == "string" then return { value } end
  if type(value) ~= "table" then
    refuse(key, "must be a string or a list of strings, not %s", show(value))
  end
  local list, n = {}, rawlen(value)
  for k in next, value do
    if mathtype(k) ~= "integer" or k < 1 or k > n then
      refuse(key, "must be a list without other keys")
    end
  end
  for i = 1, n do
    local item = rawget(value, i)
    if type(item) ~= "string" then refuse(key, "must hold strings only, not %s", show(item)) end
    list[i] = item
  end
  return list
end

local function tags(key, value)
  local list = strings(key, value)
  for _, tag in next, list do
    if tag == "" then refuse(key, "holds an empty tag") end
    if not len(tag) or find(tag, "[%c%s,\127]") then
      refuse(key, "holds %s: a tag has no spaces, commas or control characters; several are a list",
        show(tag))
    end
  end
  return list
end

local function names(key, value)
  local list = strings(key, value)
  for i, name in next, list do
    if name == "" then refuse(key, "holds an empty name") end
    list[i] = { name = name }
  end
  return list
end

local function flag(key, value)
  if type(value) ~= "boolean" then refuse(key, "must be true or false, not %s", show(value)) end
  return value
end

local function text(key, value)
  if type(value) ~= "string" or value == "" then
    refuse(key, "must be a string that is not empty, not %s", value == "" and '""' or show(value))
  end
  return value
end

local function reason(key, value)
  if type(value) == "boolean" then return value end
  if type(value) ~= "string" or value == "" then
    refuse(key, "must be true, false or a reason, not %s", show(value))
  end
  return value
end

local function duration(key, value)
  local seconds = host.duration(value)
  if not seconds then
    refuse(key, 'must be seconds or a duration such as "250ms", "2s", "5m" or "1h", not %s',
      show(value))
  end
  return seconds
end

local function positive(key, value)
  local seconds = duration(key, value)
  if seconds <= 0 then refuse(key, "must be more than 0, not %s", show(value)) end
  return seconds
end

local function count(key, value)
  if mathtype(value) ~= "integer" or value < 0 or value > 1000 then
    refuse(key, "must be a whole number from 0 to 1000, not %s", show(value))
  end
  return value
end

local READ = {
  tags = tags, slow = flag, timeout = positive, retries = count, retry_delay = duration,
  requires = names, expected_failure = reason, skip = reason, description = text, owner = text,
  runbook = text, severity = text, every = positive, of = names,
}

-- The known key nearest to key, among those that a declaration of this kind takes.
local function suggestion(key, kind)
  local known = {}
  for name in next, READ do
    if name ~= "of" or kind == "diagnosis" then known[#known + 1] = name end
  end
  sort(known)
  return nearest(key, known), concat(known, ", ")
end

local function unknown(keys, kind)
  sort(keys)
  local key = keys[1]
  if key == "of" then suite.refuse('unknown option "of": only a diagnosis is of something') end
  local near, all = suggestion(key, kind)
  suite.refuse(format("unknown option %s: the nearest is %q (known are %s)", show(key), near, all))
end

-- What given says, checked and in plain form.
local function read(kind, given, node, line)
  if type(given) ~= "table" then
    suite.refuse(format("options must be a table, not %s", show(given)))
  end
  local strange, own = {}, {}
  for key in next, given do
    if type(key) ~= "string" then
      suite.refuse("options are named, as in { tags = \"smoke\" }, but these hold a list")
    end
    if not READ[key] or key == "of" and kind ~= "diagnosis" then strange[#strange + 1] = key end
  end
  if strange[1] then unknown(strange, kind) end
  for key, value in next, given do own[key] = READ[key](key, value) end
  for _, list in next, { own.requires or suite.none, own.of or suite.none } do
    for _, item in next, list do item.node, item.line = node, line end
  end
  local tagged
  for _, tag in next, own.tags or suite.none do tagged = tagged or tag == "slow" end
  if tagged and own.slow == false then refuse("slow", 'is false, but a tag is "slow"') end
  if own.slow and not tagged then
    own.tags = own.tags or {}
    own.tags[#own.tags + 1] = "slow"
  end
  own.slow = own.slow or tagged or own.slow
  return own
end

-- The union of two lists, in order, without doubles; without `except`.
local function unite(outer, inner, key, except)
  local list, seen = {}, {}
  for _, from in next, { outer or suite.none, inner or suite.none } do
    for i = 1, #from do
      local mark = key and from[i][key] or from[i]
      if not seen[mark] and mark ~= except then
        seen[mark] = true
        list[#list + 1] = from[i]
      end
    end
  end
  return list
end

local function merge(outer, inner)
  local all = {}
  for key, value in next, outer or suite.none do all[key] = value end
  for key, value in next, inner do all[key] = value end
  all.tags = unite(outer and outer.tags, inner.tags, nil, all.slow == false and "slow" or nil)
  if all.requires then all.requires = unite(outer and outer.requires, inner.requires) end
  return all
end

-- Gives a describe the options that it passes on.
function options.group(node, given)
  node.options = merge(node.options, read("describe", given, node.parent, node.line))
end

-- Gives a check its effective options.
function options.apply(check, node, given)
  local all = node.options
  if given ~= nil then
    all = merge(all, read(check.kind, given, node, check.line))
  end
  for key, value in next, all do
    if value ~= false then check[key] = value end
  end
  if check.kind == "diagnosis" and not check.of then
    check.of = { { name = sub(suite.prefix(node), 1, -3), node = node, line = check.line } }
  end
  if check.requires or check.of then suite.linked = true end
end

return options
