-- db_load.lua - how full a server is, and who holds it up.
local faults = import "hospital.db_fault"
local probe = import "hospital.probe"
local demand = faults.demand
local concat, format = table.concat, string.format
local floor, min, next = math.floor, math.min, next

local load = {}

function load.check_connections(given, ask)
  local most = given.options.max_percent or 80
  local used, room = given.place.dialect.connections(ask)
  local percent = room > 0 and used / room * 100 or 100
  local text = format("%d of %d connections are in use (%.0f %%)", used, room, percent)
  if percent <= most then return { used = used, max = room, percent = percent } end
  return demand(given.place, format("%s, at most %.4g %% expected", text, most), format("at most %.4g %%", most),
    format("%.0f %%", percent))
end

function load.age_text(seconds)
  if seconds < 60 then return probe.time_text(seconds) end
  if seconds < 3600 then return format("%d min %d s", floor(seconds / 60), floor(seconds % 60)) end
  return format("%d h %d min", floor(seconds / 3600), floor(seconds % 3600 / 60))
end

local function who(row)
  if row.prepared then
    return format("prepared transaction %s of %s in %s, %s old", probe.excerpt(row.prepared, 60), row.user,
      row.database, load.age_text(row.age))
  end
  return format("pid %d of %s in %s, %s, %s old", row.pid, row.user, row.database, row.state, load.age_text(row.age))
end

function load.check_transactions(given, ask)
  local most = given.options.max_age or 300
  local list, hidden, untracked = given.place.dialect.transactions(ask)
  local long = {}
  for _, row in next, list do
    if row.age > most then long[#long + 1] = who(row) end
  end
  if long[1] then
    return demand(given.place, format("%d %s older than %s; the oldest: %s", #long,
      #long == 1 and "transaction is" or "transactions are", load.age_text(most), long[1]),
      "at most " .. load.age_text(most), concat(long, "\n", 1, min(#long, 10)))
  end
  if hidden > 0 then
    return nil, faults.own(given.place, "denied", "how old the transactions of %d sessions of others are is not shown "
      .. "to this role: grant pg_monitor to it", hidden)
  end
  if (untracked or 0) > 0 then
    return nil, faults.own(given.place, "denied", "how old the transactions of %d sessions are is not known: "
      .. "track_activities is off for them", untracked)
  end
  return { oldest = list[1] and list[1].age or 0, transactions = list }
end

return load
