-- ping_spec.lua: ping and assert_ping through the binary, in network namespaces
-- that the spec makes: the range for datagram sockets open and closed, as root and
-- as a plain user.  What the environment cannot do is pending, with the reason.
local accept = require "spec.support.accept"
local process = require "spec.support.process"
local tree = require "spec.support.tree"

local told = accept.told

local SHELL = "/bin/sh"
local enter = accept.is_root and { "/usr/bin/unshare", "-n" } or { "/usr/bin/unshare", "-Urn" }

-- The command that runs what follows in a namespace of its own, with lo up.
-- options: range ("0 2147483647" opens), plain (as nobody), also (shell lines)
local function namespace(options)
  local lines = { "ip link set lo up || exit 97" }
  if options.range then
    lines[#lines + 1] = ("echo '%s' > /proc/sys/net/ipv4/ping_group_range || exit 97"):format(options.range)
  end
  lines[#lines + 1] = options.also
  lines[#lines + 1] = 'exec "$@"'
  local command = { table.unpack(enter) }
  for _, one in ipairs({ SHELL, "-c", table.concat(lines, "\n"), "sh" }) do command[#command + 1] = one end
  if options.plain then
    for _, one in ipairs(accept.PLAIN) do command[#command + 1] = one end
  end
  return command
end

-- A reason to leave a test out, or nil.
local function lacks(options)
  if options.plain and not accept.is_root then return "only root can become another user" end
  local probe = namespace(options)
  probe[#probe + 1] = "/bin/true" -- runs after all that was asked for
  local run = process.run(probe[1], { args = { table.unpack(probe, 2) } })
  return run.code ~= 0 and "no network namespace here: " .. run.stderr:gsub("%s+$", "") or nil
end

local function within(options, files, more)
  local reason = lacks(options)
  if reason then return pending(reason) end
  more = more or {}
  more.under = namespace(options)
  if options.plain then more.binary = accept.public_binary() end
  return accept.run(accept.publish(accept.tree(files)), more)
end

local OPEN, CLOSED = "0 2147483647", "1 0"
local LOOPBACK = [[
  healthcheck("loopback", function()
    local r = assert_ping("127.0.0.1", { count = 2, interval = 0.001 })
    print("socket " .. r.socket)
    metric("rtt", r.rtt.avg, "s")
    assert_equal(0.0, r.loss)
    error("show the output")
  end)
  healthcheck("short", function() assert_ping("127.0.0.1", 1) end)
]]

describe("ping", function()
  after_each(tree.clean)

  for _, case in ipairs({
    { "uses datagram sockets where the range is open, as a plain user", { range = OPEN, plain = true }, "datagram" },
    { "uses datagram sockets where the range is open, as root", { range = accept.is_root and OPEN or "0 0" }, "datagram" },
    { "uses raw sockets where the range is closed, as root", { range = CLOSED }, "raw" },
  }) do
    it(case[1], function()
      local r = within(case[2], LOOPBACK)
      assert.equal("socket " .. case[3], r.check("loopback").output[1])
      told(r.check("short"), "pass")
      assert.equal("ping", r.check("short").probes[1].kind)
      accept.has(r.check("short").probes[1].detail, "3 of 3 answered, rtt min/avg/max")
      assert.is_number(r.check("short").probes[1].timings.rtt)
    end)
  end

  it("is an error, never a failure, where nothing is permitted, and tells the line that mends it", function()
    local r = within({ range = CLOSED, plain = true }, [[
      healthcheck("assert", function() assert_ping("127.0.0.1", 1) end)
      healthcheck("expect", function() expect_ping("127.0.0.1", 1) end)
      healthcheck("ping", function() ping("127.0.0.1", 1) end)
      healthcheck("other user's address", function() assert_ping("10.1.2.3", 1) end)
      healthcheck("expected to fail", { expected_failure = "it is down" }, function() assert_ping("127.0.0.1", 1) end)
    ]])
    for _, name in ipairs({ "assert", "expect", "ping", "other user's address" }) do
      local check = r.check(name)
      assert.equal("error", check.status, name)
      assert.equal("denied", check.failures[1].kind)
      accept.has(check.failures[1].message, "not permitted on this host; as root: sysctl -w net.ipv4.ping_group_range=")
    end
    -- That ping is forbidden here says nothing about the host that is expected to be down.
    assert.equal("error", r.check("expected to fail").status)
    assert.equal(1, r.code)
  end)

  it("sends 500 pings of as many checks over few sockets", function()
    local r = within({ range = OPEN, plain = true }, [[
      for i = 1, 500 do
        healthcheck("ping " .. i, function() assert_ping("127.0.0." .. i % 250 + 1, { count = 1, timeout = 5 }) end)
      end
    ]], { args = { "-c", "500" } })
    assert.equal(500, r.document.summary.pass)
    assert.equal(0, r.code)
  end)

  it("tells unreachable, refused by a route and silent apart", function()
    local r = within({ range = OPEN, plain = true,
      also = "ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up && "
        .. "ip addr add 10.9.0.1/24 dev v0 && ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0 && "
        .. "ip route add unreachable 10.8.0.0/16 && ip route add prohibit 10.7.0.0/16 && "
        .. "ip route add blackhole 10.6.0.0/16 || exit 97" }, [[
      healthcheck("no route", function() assert_ping("203.0.113.1", 1) end)
      healthcheck("unreachable", function() assert_ping("10.8.0.1", 1) end)
      healthcheck("prohibited", function() assert_ping("10.7.0.1", 1) end)
      healthcheck("blackhole", function() assert_ping("10.6.0.1", 1) end)
      healthcheck("http prohibited", function() assert_http_response("http://10.7.0.1/", 200) end)
      healthcheck("tcp prohibited", function() assert_tcp("10.7.0.1", 1) end)
      healthcheck("silent", function() assert_ping("10.9.0.2", { count = 2, timeout = 0.2 }) end)
      healthcheck("half", function() assert_ping("10.9.0.2", { count = 2, timeout = 0.2, max_loss = "50%" }) end)
      healthcheck("all may be lost", function() assert_ping("10.9.0.2", { count = 2, timeout = 0.2, max_loss = 1 }) end)
      healthcheck("rtt", function() assert_ping("127.0.0.1", { count = 1, max_rtt = 0.0000001 }) end)
      healthcheck("down is expected", { expected_failure = true }, function() assert_ping("203.0.113.1", 1) end)
      healthcheck("deadline", { timeout = "200ms" }, function() assert_ping("10.9.0.2", 5) end)
      healthcheck("name", function() assert_ping("shop.invalid", 1) end)
      healthcheck("typo", function() assert_ping("127.0.0.1", { cout = 1 }) end)
    ]])
    told(r.check("no route"), "fail connect/echo", "ping 203.0.113.1: ", "unreachable")
    told(r.check("unreachable"), "fail connect/echo", "no route to host")
    -- What this host's own firewall or routes forbid says nothing about the target: for all alike.
    told(r.check("prohibited"), "error denied/echo", "permission denied")
    told(r.check("http prohibited"), "error denied/connect", "this host does not permit it (firewall or route)")
    told(r.check("tcp prohibited"), "error denied/connect", "this host does not permit it (firewall or route)")
    assert.equal("fail", r.check("blackhole").status)
    told(r.check("silent"), "fail timeout", "100 % loss (0 of 2 answered), at most 0 % expected")
    told(r.check("half"), "fail timeout", "at most 50 % expected")
    told(r.check("all may be lost"), "pass")
    told(r.check("rtt"), "fail assertion", "on average")
    told(r.check("down is expected"), "expected_failure connect/echo")
    assert.equal("timeout", r.check("deadline").status)
    assert.equal("dns", r.check("name").failures[1].phase)
    assert.equal("error", r.check("typo").status)
    assert.equal(1, r.code)
  end)

  it("is told by doctor as it is", function()
    local function doctor(options)
      local reason = lacks(options)
      if reason then return pending(reason) end
      local command = namespace(options)
      local args = { table.unpack(command, 2) }
      args[#args + 1], args[#args + 2] = options.plain and accept.public_binary() or process.binary, "doctor"
      return process.run(command[1], { args = args })
    end
    accept.has(doctor({ range = OPEN, plain = true }).stdout, "datagram sockets are permitted")
    accept.has(doctor({ range = CLOSED, plain = true }).stdout, "not permitted on this host")
    accept.has(doctor({ range = CLOSED, plain = true }).stdout, "sysctl -w net.ipv4.ping_group_range=")
    accept.has(doctor({ range = CLOSED }).stdout, "raw sockets are permitted")
  end)
end)
