-- ping.lua: ICMP echoes, and what checks assert about them.  Sending and timing
-- are C's (hospital.core.ping).
local core = import "hospital.core.ping"
local host = import "hospital.host"
local probe = import "hospital.probe"
local format, match = string.format, string.match
local min = math.min
local tonumber, tostring, type = tonumber, tostring, type
local misuse, read, time_text = probe.misuse, probe.read, probe.time_text

local COUNT = 3
local INTERVAL = 0.1 -- a check should be over soon: 0.2 s for three
local PATIENCE = 2   -- for the last reply
local SIZE = 56

-- 0.2, or "20%"
local function read_loss(value, name)
  local percent = type(value) == "string" and tonumber((match(value, "^([%d.]+)%%$")))
  local loss = percent and percent / 100 or value
  if type(loss) ~= "number" or not (loss >= 0 and loss <= 1) then
    misuse('%s must be a share from 0 to 1, or "20%%", got %s', name, tostring(value))
  end
  return loss
end

local PING = {
  count = read.integer(1, 1000), interval = read.duration, timeout = read.duration,
  size = read.integer(8, 65507), family = read.family,
}
local ASSERT = { max_loss = read_loss, max_rtt = read.duration }
for key, reader in next, PING do ASSERT[key] = reader end

-- The timeout covers everything; a default interval shrinks to fit into it.
local function plan(what, given)
  local options = given.options
  local count = options.count or COUNT
  local interval = options.interval or INTERVAL
  local timeout = options.timeout or (count - 1) * interval + PATIENCE
  if not options.interval then
    interval = min(interval, timeout / count / 2)
  elseif (count - 1) * interval >= timeout then
    misuse("%s: %d echoes with an interval of %s take %s, which is not less than the timeout of %s", what,
      count, time_text(interval), time_text((count - 1) * interval), time_text(timeout))
  end
  given.plan = {
    count = count, interval = interval, timeout = timeout,
    size = options.size or SIZE, family = options.family or 0,
  }
  return given
end

local function percent_text(share) return format("%.3g %%", share * 100) end

local function text_of(result)
  local text = format("%d of %d answered", result.received, result.sent)
  if not result.rtt then return text end
  return format("%s, rtt min/avg/max %s/%s/%s", text, time_text(result.rtt.min), time_text(result.rtt.avg),
    time_text(result.rtt.max))
end

local function timings_of(result)
  local timings = { dns = result.timings.dns, total = result.timings.total }
  if result.rtt then timings.rtt = result.rtt.avg end
  return timings
end

local function echo(given)
  local result, fault = core.ping(given.host, given.plan)
  if result then return result end
  return probe.fault("ping", given.host, fault)
end

local ping = {}

--- Sends ICMP echoes and waits for the replies.
-- Ends when all have come or at the timeout; what is missing then is lost, and that is no failure
-- here. With `timeout` alone the echoes are sent within its first half.
-- @function ping
-- @param host string a name or an address
-- @param[opt] options table or just a timeout
-- @param[opt] options.count integer echoes to send, up to 1000; 3
-- @param[opt] options.interval duration from one to the next; 0.1 s
-- @param[opt] options.timeout duration for all of it; the time to send plus 2 s
-- @param[opt] options.size integer bytes of payload, 8 to 65507; 56
-- @param[opt] options.family integer 4 or 6
-- @return table sent, received, loss (0 to 1), rtt (min, avg, max and mdev in seconds; nil when
--   nothing came), rtts (a list), remote_ip, socket ("datagram" or "raw"), timings
-- @raise dns when the name does not resolve
-- @raise connect when a router or this host says that the address cannot be reached
-- @raise denied when this host does not permit ping, or --allow net forbids it
-- @usage
-- local result = ping("10.0.0.1", { count = 5 })
-- metric("rtt", result.rtt.avg, "s")
function ping.ping(name, options)
  local given = plan("ping", { host = read.host(name, "ping"), options = probe.options("ping", options, PING) })
  local result, failure = echo(given)
  if failure then host.raise(failure) end
  probe.note("ping", name, text_of(result), timings_of(result))
  return result
end

local function arguments(what, name, options, message)
  if type(options) == "string" and not host.duration(options) and message == nil then
    options, message = nil, options -- (host, message)
  end
  return plan(what, {
    host = read.host(name, what), options = probe.options(what, options, ASSERT),
    message = read.message(message, what),
  })
end

local function too_much_loss(result, most)
  if result.loss <= most then return nil end
  return {
    kind = result.received == 0 and "timeout" or "assertion",
    message = format("%s loss (%s), at most %s expected", percent_text(result.loss), text_of(result),
      percent_text(most)),
    expected = "at most " .. percent_text(most) .. " loss", actual = percent_text(result.loss) .. " loss",
  }
end

local function too_slow(result, most)
  if not most or not result.rtt or result.rtt.avg <= most then return nil end
  return {
    message = format("rtt %s on average (%s), at most %s expected", time_text(result.rtt.avg),
      text_of(result), time_text(most)),
    expected = "at most " .. time_text(most), actual = time_text(result.rtt.avg),
  }
end

local function run(given)
  local result, failure = echo(given)
  if not result then return nil, failure end
  failure = too_much_loss(result, given.options.max_loss or 0) or too_slow(result, given.options.max_rtt)
  if failure then return probe.failure("ping", given.host, timings_of(result), failure) end
  probe.note("ping", given.host, text_of(result), timings_of(result))
  return result
end

--- Asserts that a host answers ICMP echoes.
-- Where this host does not permit ping the check is an error, never a failure: nothing is known of
-- the target. `expect_ping` records the failure and goes on.
-- @function assert_ping
-- @param host string a name or an address
-- @param[opt] options table or just a timeout
-- @param[opt] options.count integer echoes to send, up to 1000; 3
-- @param[opt] options.interval duration from one to the next; 0.1 s
-- @param[opt] options.timeout duration for all of it; the time to send plus 2 s
-- @param[opt] options.size integer bytes of payload, 8 to 65507; 56
-- @param[opt] options.family integer 4 or 6
-- @param[opt] options.max_loss number|string the share that may be lost: 0.2 or "20%"; 0
-- @param[opt] options.max_rtt duration that a reply may take on average
-- @param[opt] message string put before the failure's own
-- @return table as ping returns it
-- @raise timeout when nothing answered
-- @raise connect when a router or this host says that the address cannot be reached
-- @raise dns when the name does not resolve
-- @raise denied when this host does not permit ping, or --allow net forbids it
-- @usage
-- assert_ping("10.0.0.1", { max_loss = "20%", max_rtt = "50ms" })
-- assert_ping("10.0.0.1", 1)
probe.define(ping, "ping", arguments, run)

return ping
