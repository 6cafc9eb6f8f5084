-- db_replication.lua - whether a standby follows and a primary is followed.
local host = import "hospital.host"
local faults = import "hospital.db_fault"
local null = import("hospital.json").json.null
local age_text = import("hospital.db_load").age_text
local demand = faults.demand
local concat, format = table.concat, string.format
local huge, max = math.huge, math.max
local next = next

local LAG = 30
local LOOKS, PAUSE = 4, 0.25 -- at a standby whose last transaction is old, or that is new to its primary

local function known(value)
  if value == null then return nil end
  return value
end

local function bytes_text(n)
  if n < 10 * 1024 then return format("%d bytes", n) end
  if n < 10 << 20 then return format("%.1f KB", n / 1024) end
  return format("%.1f MB", n / (1 << 20))
end

local function hidden(given, what, user)
  return nil, faults.own(given.place, "denied", "%s is not shown to %s: grant pg_monitor to %s", what, user, user)
end

local function too_far(given, who, lag, behind)
  local most, most_bytes = given.options.max_lag or LAG, given.options.max_lag_bytes
  if lag and lag > most then
    return demand(given.place, format("%s is %s behind, at most %s expected", who, age_text(lag), age_text(most)),
      "at most " .. age_text(most), age_text(lag))
  end
  if most_bytes and behind and behind > most_bytes then
    return demand(given.place, format("%s is %s behind, at most %s expected", who, bytes_text(behind),
      bytes_text(most_bytes)), "at most " .. bytes_text(most_bytes), bytes_text(behind))
  end
  return true
end

-- --- a standby ----------------------------------------------------------------------

-- How long ago what it replayed last was written says nothing where nothing had been
-- written for a while: then what has been received is replayed at once.
local function catches_up(ask, dialect, received)
  for _ = 1, LOOKS do
    host.sleep(PAUSE)
    if ask(dialect.replayed, received)[1].done == true then return true end
  end
  return false
end

local function standby(given, ask, user)
  local dialect = given.place.dialect
  if (given.options.replicas or 0) > 0 then
    return demand(given.place,
      format("a primary with replicas (%d) is expected, but this is a standby", given.options.replicas),
      "a primary", "a standby")
  end
  local row = ask(dialect.standby)[1]
  if row.receivers == 0 then
    return demand(given.place, "this standby has no WAL receiver: it is not connected to its primary", "streaming",
      "none")
  end
  if not known(row.status) then return hidden(given, "the state of the WAL receiver", user) end
  if row.status ~= "streaming" then
    return demand(given.place, format("the WAL receiver of this standby is %s", row.status), "streaming", row.status)
  end
  local behind = max(known(row.behind) or 0, 0) -- anew, it begins before what it had replayed
  local lag = behind > 0 and (known(row.age) or huge) or 0
  if lag > (given.options.max_lag or LAG) and catches_up(ask, dialect, row.received) then lag = 0 end
  local who = row.paused == true and "this standby, whose replay is paused," or "this standby"
  if lag == huge then
    return demand(given.place, format("%s has replayed no transaction since it was started, and is %s behind", who,
      bytes_text(behind)), "what was received is replayed", bytes_text(behind))
  end
  local ok, failure = too_far(given, who, lag, behind)
  if not ok then return nil, failure end
  return { role = "standby", lag = lag, lag_bytes = behind }
end

-- --- a primary ----------------------------------------------------------------------

local function check_slots(given, ask)
  if given.options.slots == false then return true end
  local list = {}
  for _, slot in next, ask(given.place.dialect.slots) do
    list[#list + 1] = format("%s (holds back %s)", slot.name, known(slot.held) and bytes_text(slot.held) or "nothing")
  end
  if not list[1] then return true end
  local one = #list == 1
  return demand(given.place, format("%d replication %s inactive, and the server keeps its WAL for %s: %s", #list,
    one and "slot is" or "slots are", one and "it" or "them", concat(list, ", ")), "active slots", concat(list, "\n"))
end

local function check_replicas(given, streaming, seen)
  local wanted = given.options.replicas or 1
  if #streaming >= wanted then return true end
  return demand(given.place, format("%d %s streaming, %d expected%s", #streaming,
    #streaming == 1 and "replica is" or "replicas are", wanted, seen[1] and " (" .. concat(seen, ", ") .. ")" or ""),
    wanted .. " streaming", #streaming .. " streaming")
end

-- All that stream, and those of them that are standbys.
local function followers(list)
  local streaming, standbys, seen = {}, {}, {}
  for _, row in next, list do
    local is_standby = row.replays ~= false
    seen[#seen + 1] = format("%s: %s%s", row.name, row.state, is_standby and "" or ", no standby")
    if row.state == "streaming" then
      local replica = { name = row.name, address = known(row.address), sync_state = row.sync_state,
        lag = known(row.lag) or 0, lag_bytes = known(row.behind) or 0 }
      streaming[#streaming + 1] = replica
      if is_standby then standbys[#standbys + 1] = replica end
    end
  end
  return streaming, standbys, seen
end

local function primary(given, ask, user)
  local streaming, standbys, seen
  for look = 0, LOOKS do
    if look > 0 then host.sleep(PAUSE) end
    local list = ask(given.place.dialect.replicas)
    for _, row in next, list do
      if not known(row.state) then return hidden(given, "the state of the replicas", user) end
    end
    streaming, standbys, seen = followers(list)
    if #standbys == #streaming or #standbys >= (given.options.replicas or 1) then break end
  end
  local ok, failure = check_replicas(given, standbys, seen)
  for _, replica in next, streaming do
    if ok then ok, failure = too_far(given, "replica " .. replica.name, replica.lag, replica.lag_bytes) end
  end
  if ok then ok, failure = check_slots(given, ask) end
  if not ok then return nil, failure end
  return { role = "primary", replicas = standbys }
end

return function(given, ask)
  local row = ask(given.place.dialect.role)[1]
  return (row.standby == true and standby or primary)(given, ask, row.user)
end
