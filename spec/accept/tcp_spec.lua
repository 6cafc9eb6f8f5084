-- tcp_spec.lua: tcp.connect and assert_tcp through the binary, against servers of
-- the spec's own: verdicts, messages, phases, timings.
local accept = require "spec.support.accept"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local told = accept.told

-- A line server: PING is answered with +PONG.
local function pong(client)
  client:read_start(function(_, data)
    if data and data:find("PING") and not client:is_closing() then client:write("+PONG\r\n") end
  end)
end

local function run(text, values, options) return accept.run(accept.fill(text, values or {}), options) end

describe("tcp", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  it("is green where somebody listens and answers as expected", function()
    local s = server.tcp(pong)
    local dir = tree.make()
    local listener = uv.new_pipe()
    assert(listener:bind(dir .. "/socket"))
    local clients = { listener }
    assert(listener:listen(16, function()
      local client = uv.new_pipe()
      listener:accept(client)
      clients[#clients + 1] = client
      client:read_start(function(_, data)
        if data then client:write("+PONG\r\n") end
      end)
    end))
    local r = run([[
      healthcheck("listens", function()
        local r = assert_tcp("127.0.0.1", @port@)
        assert_equal("127.0.0.1", r.remote_ip)
        assert_equal(4, r.family)
      end)
      healthcheck("name", function() assert_tcp("localhost", @port@, { family = 4 }) end)
      healthcheck("in one text", function() assert_tcp("127.0.0.1:@port@") end)
      healthcheck("answer", function()
        local r = assert_tcp("127.0.0.1", @port@, { send = "PING\r\n", expect = "^%+PONG" })
        assert_equal("+PONG\r\n", r.banner)
        assert_tcp("127.0.0.1", @port@, { send = "PING\r\n", contains = "PONG", timeout = "5s" })
      end)
      healthcheck("unix", function() assert_tcp("unix:@dir@/socket", { send = "PING\r\n", contains = "PONG" }) end)
      healthcheck("conversation", function()
        local conn <close> = tcp.connect("127.0.0.1", @port@)
        for _ = 1, 3 do
          conn:send("PING\r\n")
          assert_equal("+PONG", conn:receive("line"))
        end
      end)
      healthcheck("not closed", function()
        tcp.connect("127.0.0.1", @port@):send("PING\r\n")
      end)
    ]], { port = s.port, dir = dir })
    for _, client in ipairs(clients) do client:close() end
    uv.run("nowait")
    for _, check in ipairs(r.document.details) do
      if check.test ~= "not closed" then told(check, "pass") end
    end
    assert.equal(0, r.code)
    local probe = r.check("answer").probes[1]
    assert.equal("tcp", probe.kind)
    assert.equal("127.0.0.1:" .. s.port, probe.target)
    accept.has(probe.detail, 'answered "+PONG\\r\\n"')
    assert.is_number(probe.timings.connect)
    assert.is_number(probe.timings.total)
  end)

  it("tells what went wrong: refused, silent, another answer, hung up, reset", function()
    local ports = {
      port = server.tcp(pong).port,
      silent = server.tcp(function() end).port,
      hangs_up = server.tcp(function(client)
        client:write("220 hello\r\n", function() if not client:is_closing() then client:close() end end)
      end).port,
      floods = server.tcp(function(client)
        for _ = 1, 100 do client:write(("x"):rep(1000)) end
      end).port,
      resets = server.tcp(function(client)
        client:read_start(function(_, data)
          if data and not client:is_closing() then client:close_reset() end
        end)
      end).port,
    }
    local r = run([[
      healthcheck("refused", function() assert_tcp("127.0.0.1", 1) end)
      healthcheck("silent", function() assert_tcp("127.0.0.1", @silent@, { expect = "SSH", timeout = 0.2 }) end)
      healthcheck("other answer", function()
        assert_tcp("127.0.0.1", @port@, { send = "PING\r\n", expect = "^%+OK", timeout = 0.2 })
      end)
      healthcheck("hangs up", function() assert_tcp("127.0.0.1", @hangs_up@, { contains = "SSH" }) end)
      healthcheck("floods", function() assert_tcp("127.0.0.1", @floods@, { contains = "y", max = 5000 }) end)
      healthcheck("resets", function() assert_tcp("127.0.0.1", @resets@, { send = "a", contains = "y" }) end)
      healthcheck("slow", function() assert_tcp("127.0.0.1", @port@, { max_time = 0.0000001 }) end)
      healthcheck("no name", function() assert_tcp("shop.invalid", 80) end)
      healthcheck("no socket", function() assert_tcp("unix:/nonexistent/socket") end)
      healthcheck("deadline", { timeout = "200ms" }, function() assert_tcp("127.0.0.1", @silent@, { contains = "x" }) end)
      healthcheck("message", function() assert_tcp("127.0.0.1", 1, "the cache") end)
      healthcheck("twice", function()
        expect_tcp("127.0.0.1", 1)
        expect_tcp("127.0.0.1", 2)
      end)
      healthcheck("down is expected", { expected_failure = true }, function() assert_tcp("127.0.0.1", 1) end)
    ]], ports)
    assert.equal(1, r.code)
    told(r.check("refused"), "fail connect/connect", "tcp 127.0.0.1:1: connection refused (connect phase, after ")
    told(r.check("silent"), "fail timeout/answer", 'a match of "SSH" expected, got "": nothing more came in time')
    told(r.check("other answer"), "fail timeout/answer", 'a match of "^%+OK" expected, got "+PONG\\r\\n"')
    told(r.check("hangs up"), "fail closed/answer", 'got "220 hello\\r\\n"')
    told(r.check("floods"), "fail assertion/answer", "no answer in 5000 bytes")
    assert.equal("fail", r.check("resets").status)
    told(r.check("slow"), "fail assertion", "took ", "more than")
    assert.equal("dns", r.check("no name").failures[1].phase)
    told(r.check("no socket"), "fail connect/connect", "unix:/nonexistent/socket")
    assert.equal("timeout", r.check("deadline").status)
    told(r.check("message"), "fail connect/connect", "the cache: tcp 127.0.0.1:1: ")
    assert.equal(2, #r.check("twice").failures)
    told(r.check("down is expected"), "expected_failure connect/connect")
    local failure = r.check("other answer").failures[1]
    assert.equal('"+PONG\\r\\n"', failure.actual)
    for _, check in ipairs(r.document.details) do
      for _, failed in ipairs(check.failures) do
        local _, times = failed.message:gsub("after %d", "")
        assert.is_true(times <= 1, failed.message)
      end
    end
  end)

  it("is an error when the check is wrong", function()
    local r = run([[
      healthcheck("port", function() assert_tcp("127.0.0.1", 70000) end)
      healthcheck("no port", function() assert_tcp("127.0.0.1") end)
      healthcheck("option", function() assert_tcp("127.0.0.1", 1, { timout = 1 }) end)
      healthcheck("pattern", function() assert_tcp("127.0.0.1", 1, { expect = "(" }) end)
      healthcheck("space", function() assert_tcp("a b", 1) end)
    ]])
    for _, check in ipairs(r.document.details) do
      assert.equal("error", check.status, check.test)
      accept.has(check.failures[1].message, "checks.lua:")
    end
  end)

  it("runs 300 checks at once, and keeps one slow server from the others", function()
    local fast, silent = server.tcp(pong), server.tcp(function() end)
    local r = run([[
      for i = 1, 300 do
        healthcheck("check " .. i, function() assert_tcp("127.0.0.1", @fast@, { send = "PING\r\n", contains = "PONG" }) end)
      end
      for i = 1, 20 do
        healthcheck("silent " .. i, { timeout = "300ms" }, function() assert_tcp("127.0.0.1", @silent@, { contains = "x" }) end)
      end
    ]], { fast = fast.port, silent = silent.port }, { args = { "-c", "400" } })
    assert.equal(300, r.document.summary.pass)
    assert.equal(20, r.document.summary.timeout)
    assert.equal(300, fast.connections)
  end)
end)
