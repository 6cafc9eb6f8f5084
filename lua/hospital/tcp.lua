-- tcp.lua: connections, and what checks assert about them.  Connecting, sending
-- and receiving are C's (hospital.core.tcp); where to, for how long, and what a
-- good answer is are decided here.
local core = import "hospital.core.tcp"
local host = import "hospital.host"
local probe = import "hospital.probe"
local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match, string.sub
local max, mathtype = math.max, math.type
local pcall, tostring, type = pcall, tostring, type
local misuse, read, time_text = probe.misuse, probe.read, probe.time_text

local DEFAULT_TIMEOUT = 5
local DEFAULT_MAX = 64 * 1024

local tcp = {}

-- --- where to ---------------------------------------------------------------------

local function read_port(port, what)
  if type(port) == "string" and find(port, "^%d+$") then port = tonumber(port) end
  if mathtype(port) ~= "integer" or port < 1 or port > 65535 then
    misuse("%s: the port must be a number from 1 to 65535, got %s", what, tostring(port))
  end
  return port
end

-- "shop:80" and "[::1]:80" bring their port; a bare IPv6 address does not.
local function split(name)
  local inner, port = match(name, "^%[(.+)%]:(%d+)$")
  if inner then return "[" .. inner .. "]", port end
  return match(name, "^([^:]+):(%d+)$")
end

-- Host, port, how to name them, and the arguments behind.
local function read_target(what, name, port, ...)
  read.host(name, what)
  if sub(name, 1, 5) == "unix:" then
    if #name < 6 or #name > 112 then misuse("%s: the path of a Unix socket has 1 to 107 bytes", what) end
    if port == nil then return name, 0, name, ... end -- (path, nil, options)
    return name, 0, name, port, ...
  end
  local host_part, port_part = split(name)
  if host_part then
    port_part = read_port(port_part, what)
    local target = host_part .. ":" .. port_part
    if port == nil then return host_part, port_part, target, ... end
    return host_part, port_part, target, port, ...
  end
  port = read_port(port, what)
  local bare = gsub(name, "^%[(.*)%]$", "%1")
  return name, port, format(find(bare, ":", 1, true) and "[%s]:%d" or "%s:%d", bare, port), ...
end

local function read_source(value, name)
  if type(value) ~= "string" or not core.family_of(value) then
    misuse("%s must be an address of this host, got %s", name, tostring(value))
  end
  return value
end

local CONNECT = { timeout = read.duration, family = read.family, source = read_source }

local function connect(given)
  local options = given.options
  local conn, fault = core.connect(given.host, given.port, {
    timeout = options.timeout or DEFAULT_TIMEOUT, family = options.family, source = options.source,
  }, given.target)
  if conn then return conn end
  return probe.fault("tcp", given.target, fault)
end

local function connected_text(info)
  if not info.remote_ip then return "connected in " .. time_text(info.timings.connect) end
  return format("connected to %s in %s", info.remote_ip, time_text(info.timings.connect))
end

local function connect_arguments(_, name, port, target, options)
  return { host = name, port = port, target = target, options = probe.options("tcp.connect", options, CONNECT) }
end

--- Connects to a TCP port or a Unix socket.
-- Several addresses of a name race as in RFC 8305: the next one starts when the last failed, or
-- 250 ms later. The connection is closed with the check, at the latest.
-- @function tcp.connect
-- @param host string a name, an address, "host:port" or "unix:/path"
-- @param[opt] port integer 1 to 65535; left out when host brings it
-- @param[opt] options table or just a timeout
-- @param[opt] options.timeout duration for looking up and connecting, and then for each operation; 5 s
-- @param[opt] options.family integer 4 or 6
-- @param[opt] options.source string the address of this host to connect from
-- @return userdata a connection: send, receive, receive_until, shutdown, close, info
-- @raise dns when the name does not resolve
-- @raise connect when nobody listens, or there is no way
-- @raise timeout when nobody answers
-- @raise denied when it is not allowed (--allow net)
-- @usage
-- local conn <close> = tcp.connect("127.0.0.1", 6379, { timeout = 1 })
-- conn:send("PING\r\n")
-- assert_equal("+PONG", conn:receive("line"))
function tcp.connect(name, port, options)
  local given = connect_arguments("tcp.connect", read_target("tcp.connect", name, port, options))
  local conn, failure = connect(given)
  if failure then host.raise(failure) end
  local info = conn:info()
  probe.note("tcp", given.target, connected_text(info), info.timings)
  return conn
end

-- --- assert_tcp -------------------------------------------------------------------

local function read_pattern(value, name)
  read.text(value, name)
  local ok, why = pcall(find, "", value)
  if not ok then misuse("%s is no Lua pattern: %s", name, tostring(why)) end
  return value
end

local ASSERT = {
  timeout = read.duration, family = read.family, source = read_source, max_time = read.duration,
  send = read.text, expect = read_pattern, contains = read.text, max = read.integer(1, 1 << 30),
}

local function arguments(what, ...)
  local function take(name, port, target, options, message)
    if type(options) == "string" and not host.duration(options) and message == nil then
      options, message = nil, options -- (host, port, message)
    end
    return {
      host = name, port = port, target = target,
      options = probe.options(what, options, ASSERT), message = read.message(message, what),
    }
  end
  return take(read_target(what, ...))
end

local function is_answer(banner, options)
  return (not options.expect or find(banner, options.expect))
    and (not options.contains or find(banner, options.contains, 1, true))
end

local function wanted(options)
  return options.expect and "a match of " .. probe.excerpt(options.expect)
    or "text with " .. probe.excerpt(options.contains)
end

-- What came so far when the peer stops is told: (banner) or (banner, failure).
local function read_banner(conn, options, until_time)
  local banner = ""
  while not is_answer(banner, options) do
    local room = (options.max or DEFAULT_MAX) - #banner
    if room <= 0 then return banner, { kind = "assertion", message = format("no answer in %d bytes", #banner) } end
    local more, failure = probe.attempt(conn.receive, conn, "some",
      { timeout = max(until_time - host.now(), 1e-6), max = room })
    if failure then return banner, failure end
    banner = banner .. more
  end
  return banner
end

local function converse(conn, given, result, until_time)
  local options = given.options
  if options.send then
    local _, failure = probe.attempt(conn.send, conn, options.send,
      { timeout = max(until_time - host.now(), 1e-6) })
    if failure then return failure end
  end
  if not options.expect and not options.contains then return nil end
  local failure
  result.banner, failure = read_banner(conn, options, until_time)
  if not failure then return nil end
  return {
    kind = failure.kind, phase = "answer",
    message = format("%s expected, got %s: %s", wanted(options), probe.excerpt(result.banner, 80),
      failure.kind == "timeout" and "nothing more came in time"
        or gsub(gsub(failure.message, "^tcp [^ ]+: ", ""), " %(receive phase, .*%)$", "")),
    expected = wanted(options), actual = probe.excerpt(result.banner),
  }
end

local function run(given)
  local options = given.options
  local began = host.now()
  local until_time = began + (options.timeout or DEFAULT_TIMEOUT)
  local conn, failure = connect(given)
  if not conn then return nil, failure end
  local info = conn:info()
  local result = { remote_ip = info.remote_ip, family = info.family, timings = info.timings }
  failure = converse(conn, given, result, until_time)
  conn:close()
  local total = host.now() - began
  result.timings.total = total
  if not failure and options.max_time and total > options.max_time then
    failure = {
      message = format("took %s, more than %s", time_text(total), time_text(options.max_time)),
      expected = "at most " .. time_text(options.max_time), actual = time_text(total),
    }
  end
  if failure then
    if failure.phase then
      failure.message = format("%s (%s phase, after %s)", gsub(gsub(failure.message, "^tcp [^ ]+: ", ""),
        " %(send phase, .*%)$", ""), failure.phase, time_text(total))
    end
    return probe.failure("tcp", given.target, result.timings, failure)
  end
  probe.note("tcp", given.target, connected_text(info)
    .. (result.banner and ", answered " .. probe.excerpt(result.banner, 60) or ""), result.timings)
  return result
end

--- Asserts that somebody listens, and if asked for, what they answer.
-- One timeout covers looking up, connecting, sending and the answer. `expect_tcp` records the
-- failure and goes on.
-- @function assert_tcp
-- @param host string a name, an address, "host:port" or "unix:/path"
-- @param[opt] port integer 1 to 65535; left out when host brings it
-- @param[opt] options table or just a timeout
-- @param[opt] options.timeout duration for all of it; 5 s
-- @param[opt] options.family integer 4 or 6
-- @param[opt] options.source string the address of this host to connect from
-- @param[opt] options.send string what to say once connected
-- @param[opt] options.expect string a Lua pattern that the answer must come to match
-- @param[opt] options.contains string a text that must come in the answer
-- @param[opt] options.max integer bytes of the answer to look at; 65536
-- @param[opt] options.max_time duration that it may take in all
-- @param[opt] message string put before the failure's own
-- @return table remote_ip, family, timings (dns, connect and total, in seconds), banner (what was read)
-- @raise dns when the name does not resolve
-- @raise connect when nobody listens, or there is no way
-- @raise timeout when nobody answers in time
-- @raise closed when the peer hangs up before it has answered
-- @usage
-- assert_tcp("127.0.0.1", 5432)
-- assert_tcp("cache:6379", { send = "PING\r\n", expect = "^%+PONG" })
probe.define(tcp, "tcp", arguments, run)

tcp.tcp = { connect = tcp.connect } -- the global of a check

return tcp
