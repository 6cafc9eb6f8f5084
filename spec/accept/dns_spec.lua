-- dns_spec.lua: names in the real binary, against a resolver of the spec's own that is silent, fails or lies;
-- and how many connections requests make.
local accept = require "spec.support.accept"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local told = accept.told

local A = 1
local NXDOMAIN, SERVFAIL, REFUSED = 3, 2, 5

-- A resolver on loopback: answer(name, qtype) returns nil (silence), or a code and a list of IPv4 addresses.
local function resolver(answer)
  local self = { asked = {} }
  local socket = uv.new_udp()
  assert(socket:bind("127.0.0.1", 0))
  self.port = socket:getsockname().port
  self.env = { HOSPITAL_NAMESERVER = "127.0.0.1:" .. self.port }
  socket:recv_start(function(_, data, from)
    if not data or not from then return end
    local labels, at = {}, 13
    while data:byte(at) ~= 0 do
      local size = data:byte(at)
      labels[#labels + 1] = data:sub(at + 1, at + size)
      at = at + size + 1
    end
    local question = data:sub(13, at + 4)
    local name, qtype = table.concat(labels, "."):lower(), (">I2"):unpack(data, at + 1)
    self.asked[#self.asked + 1] = name
    local code, addresses = answer(name, qtype)
    if not code then return end
    local records = {}
    for _, address in ipairs(qtype == A and addresses or {}) do
      local a, b, c, d = address:match("(%d+)%.(%d+)%.(%d+)%.(%d+)")
      records[#records + 1] = (">I2I2I2I4I2BBBB"):pack(0xC00C, A, 1, 5, 4, math.tointeger(a), math.tointeger(b),
        math.tointeger(c), math.tointeger(d))
    end
    local head = data:sub(1, 2) .. (">I2I2I2I2I2"):pack(0x8180 | code, 1, #records, 0, 0)
    socket:send(head .. question .. table.concat(records), from.ip, from.port)
  end)
  function self.close()
    if not socket:is_closing() then socket:close() end
    uv.run("nowait")
  end
  return self
end

describe("names", function()
  local r
  after_each(function()
    if r then r.close() end
    r = nil
    server.clean()
    tree.clean()
  end)

  local function serve(answer)
    r = resolver(answer)
    return r
  end

  it("end at their deadline when the resolver is silent, and say who was", function()
    serve(function() end)
    local run = accept.run([[
      healthcheck("http", function() assert_http_response("http://shop.test/", { timeout = 0.3 }) end)
      healthcheck("tcp", function() assert_tcp("shop.test", 80, { timeout = 0.3 }) end)
      healthcheck("ping", function() assert_ping("shop.test", { count = 1, timeout = 0.3 }) end)
      healthcheck("deadline", { timeout = "200ms" }, function() assert_tcp("shop.test", 80) end)
    ]], { env = r.env })
    local who = "(nameserver 127.0.0.1 port " .. r.port .. ")"
    for _, name in ipairs({ "http", "tcp", "ping" }) do
      told(run.check(name), "fail dns/dns", "cannot resolve shop.test: the resolver did not answer within 270ms " .. who)
    end
    assert.equal("timeout", run.check("deadline").status)
    assert.is_true(#r.asked > 0)
  end)

  it("are told apart: no such host, no address, a resolver that fails or refuses", function()
    serve(function(name)
      if name == "none.test" then return NXDOMAIN end
      if name == "fails.test" then return SERVFAIL end
      if name == "refused.test" then return REFUSED end
      return 0, {}
    end)
    local run = accept.run([[
      for _, name in ipairs { "none", "fails", "refused", "empty" } do
        healthcheck(name .. " http", function() assert_http_response("http://" .. name .. ".test/", 200) end)
        healthcheck(name .. " tcp", function() assert_tcp(name .. ".test", 80) end)
      end
    ]], { env = r.env })
    for _, kind in ipairs({ "http", "tcp" }) do
      told(run.check("none " .. kind), "fail dns/dns", "cannot resolve none.test: no such host (nameserver 127.0.0.1")
      told(run.check("fails " .. kind), "fail dns/dns", "the resolver failed, SERVFAIL")
      told(run.check("refused " .. kind), "fail dns/dns", "the resolver refused to answer")
      told(run.check("empty " .. kind), "fail dns/dns", "it has no address")
    end
  end)

  it("may have many addresses: the one that answers counts", function()
    local s = server.http(function() return 200, {}, "ok" end)
    serve(function(name)
      if name == "two.test" then return 0, { "127.0.3.1", "127.0.0.1" } end
      local many = {}
      for i = 2, 16 do many[#many + 1] = "127.0.3." .. i end
      many[#many + 1] = "127.0.0.1" -- the others refuse: the server listens there alone
      return 0, many
    end)
    -- libcurl takes its time for each address that refuses: two are enough for http.
    local run = accept.run(accept.fill([[
      healthcheck("http", function() assert_http_response("http://two.test:@port@/", 200) end)
      healthcheck("tcp", function() assert_tcp("shop.test", @port@) end)
    ]], { port = s.port }), { env = r.env })
    told(run.check("http"), "pass")
    told(run.check("tcp"), "pass")
  end)

  it("are asked for once when many checks want them at once", function()
    local s = server.http(function() return 200, {}, "ok" end)
    serve(function() return 0, { "127.0.0.1" } end)
    local run = accept.run(accept.fill([[
      for i = 1, 50 do
        healthcheck("check " .. i, function() assert_tcp("shop.test", @port@, { family = 4 }) end)
      end
    ]], { port = s.port }), { env = r.env })
    assert.equal(50, run.document.summary.pass)
    assert.equal(1, #r.asked)
  end)

  it("that are not ASCII are misuse or no names, with what to write instead", function()
    serve(function() return 0, { "127.0.0.1" } end)
    local run = accept.run([[
      healthcheck("http", function() assert_http_response("http://bücher.test/", 200) end)
      healthcheck("tcp", function() assert_tcp("bücher.test", 80) end)
      healthcheck("punycode", function() assert_tcp("xn--bcher-kva.test", 1) end)
    ]], { env = r.env })
    assert.equal("error", run.check("http").status)
    accept.has(run.check("http").failures[1].message, "its host is not ASCII: write it in Punycode, xn--...")
    told(run.check("tcp"), "fail dns/dns", '"bücher.test" is not a host name: write it in Punycode')
    told(run.check("punycode"), "fail connect/connect", "connection refused")
  end)

  it("in /etc/hosts are known without a resolver", function()
    if not accept.is_root or not accept.can("/usr/bin/unshare", "-m", "true") then
      return pending("needs root and a mount namespace of its own")
    end
    local s = server.http(function() return 200, {}, "ok" end)
    serve(function() return NXDOMAIN end)
    local hosts = tree.make({ hosts = "127.0.0.1 shop.test other.test\n" }) .. "/hosts"
    local run = accept.run(accept.fill([[
      healthcheck("http", function() assert_http_response("http://shop.test:@port@/", 200) end)
      healthcheck("tcp", function() assert_tcp("OTHER.test", @port@) end)
      healthcheck("unknown", function() assert_tcp("third.test", @port@) end)
    ]], { port = s.port }), { env = r.env, under = { "/usr/bin/unshare", "-m", "/bin/sh", "-c",
      "mount --bind " .. hosts .. ' /etc/hosts || exit 97; exec "$@"', "sh" } })
    told(run.check("http"), "pass")
    told(run.check("tcp"), "pass")
    told(run.check("unknown"), "fail dns/dns", "no such host")
  end)
end)

describe("connections", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  -- A check that finds the connection of another one open has not shown that it can connect.
  it("are made anew for every request", function()
    local s = server.http(function() return 200, { Connection = "keep-alive" }, "ok" end)
    local r = accept.run(accept.fill([[
      local function get() assert_http_response("http://127.0.0.1:@port@/", 200) end
      describe("in order", function()
        before_each(function() end)
        healthcheck("one", get)
        healthcheck("two of one check", function() get() get() end)
      end)
    ]], { port = s.port }))
    assert.equal(2, r.document.summary.pass)
    assert.equal(3, s.connections)
  end)

  it("to a port that speaks TLS or does not: the message asks for the other one", function()
    local s = server.tcp(function(client) -- as any HTTP server answers what is not HTTP
      client:read_start(function(_, data)
        if data then client:write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") end
      end)
    end)
    local alert = server.tcp(function(client) -- as OpenSSL answers what is not TLS
      client:read_start(function(_, data)
        if data then client:write("\x15\x03\x01\x00\x02\x02\x46", function() client:close() end) end
      end)
    end)
    local r = accept.run(accept.fill([[
      healthcheck("https", function() assert_http_response("https://127.0.0.1:@plain@/", 200) end)
      healthcheck("http", function() assert_http_response("http://127.0.0.1:@tls@/", 200) end)
    ]], { plain = s.port, tls = alert.port }))
    told(r.check("https"), "fail tls/tls", "the server does not speak TLS here: http?")
    assert.equal("fail", r.check("http").status)
    accept.has(r.check("http").failures[1].message, "does the server speak TLS here: https?")
  end)
end)
