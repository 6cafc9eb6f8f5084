-- db_shared.lua - the connections that assertions use one after the other: one for
-- each target and options, within one attempt of a check.  Those that run in parallel
-- have one each.  A connection ends with the attempt that opened it, so none is ever
-- seen by another check.
local host = import "hospital.host"
local session = import "hospital.db_session"
local parameters = import "hospital.db_parameters"
local error, next, pcall, tostring = error, next, pcall, tostring
local concat, remove, sort = table.concat, table.remove, table.sort

local shared = {}

local idle = {} -- key -> list of sessions that nobody uses; the scope is part of the key

-- Sessions of attempts that have ended are closed already.
local function sweep()
  for key, list in next, idle do
    for i = #list, 1, -1 do
      if session.is_closed(list[i]) then remove(list, i) end
    end
    if not list[1] then idle[key] = nil end
  end
end

local function key_of(place, options)
  local parts = {}
  for key, value in next, options do parts[#parts + 1] = key .. "=" .. tostring(value) end
  sort(parts)
  return concat({ tostring(host.scope()), place.target, concat(parts, "\1") }, "\0")
end

-- An open session and whether it was used before; or nil and a failure.
local function take(what, place, options, key)
  local list = idle[key]
  while list and list[1] do
    local s = remove(list)
    if s.raw:state() == "idle" and not s.over then return s, true end
  end
  local s, failure = session.open(what, place, options)
  return s, false, failure
end

local function give(s, key)
  if s.over or s.raw:state() ~= "idle" then return session.close(s, "it was given up") end
  sweep()
  idle[key] = idle[key] or {}
  idle[key][#idle[key] + 1] = s
end

local function run(s, what, shape, told, sql, ...)
  local result, failure = session.run(s, what, sql, parameters(s, what, ...), { shape = shape }, told)
  if failure then host.raise(failure) end
  return result
end

local function lost(s, raised)
  return session.is_closed(s) and host.kind(raised) == "failure"
end

-- What fn(ask, result, s) returned; or nil and a failure.  ask(sql, …) is a query of the
-- assertion's own and returns rows by column; result(sql, …) runs one of the author's and
-- returns all of its result, rows by position.  Everything is read only, so what finds
-- that the server has closed a connection meanwhile is done again.
function shared.use(what, place, options, fn)
  local key = key_of(place, options)
  while true do
    local s, used, failure = take(what, place, options, key)
    if not s then return nil, failure end
    local function ask(...) return run(s, what, "named", what, ...).rows end
    local function result(...) return run(s, what, "listed", nil, ...) end
    local ok, first, second = pcall(fn, ask, result, s)
    if not ok and used and lost(s, first) then
      session.close(s, "it was lost") -- and another is opened
    else
      give(s, key)
      if ok then return first, second end
      if host.kind(first) == "failure" then return nil, first end
      error(first, 0)
    end
  end
end

return shared
