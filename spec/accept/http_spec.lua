-- http_spec.lua: http.* and assert_http_response as an operator meets them: real
-- nginx, servers that misbehave, the verdict, the message and the JSON.
local accept = require "spec.support.accept"
local nginx = require "spec.support.nginx"
local server = require "spec.support.server"
local tree = require "spec.support.tree"

local told = accept.told

describe("http against nginx", function()
  local n
  setup(function() n = nginx.start() end)
  teardown(function()
    n.stop()
    tree.clean()
  end)

  local function run(text, options) return accept.run(accept.fill(text, n), options) end

  it("is green for what a healthy service answers, and tells what it learned", function()
    local r = run([[
      local P = "http://127.0.0.1:@plain@"
      local CA = { ca = "@dir@/ca.crt" }
      healthcheck("plain", function() assert_http_response(P .. "/hello", 200) end)
      healthcheck("class and list", function()
        assert_http_response(P .. "/hello", "2xx")
        assert_http_response(P .. "/hello", "200-299")
        assert_http_response(P .. "/code/503", { status = { 500, 503 } })
      end)
      healthcheck("tls", function()
        local r = assert_http_response("https://127.0.0.1:@valid@/hello", { status = 200, tls = CA })
        assert_greater(r.certificate.days_left, 13)
        assert_in("shop.test", r.certificate.sans)
        assert_equal("2", r.http_version)
        metric("days_left", r.certificate.days_left, "d")
      end)
      healthcheck("client certificate", function()
        local r = assert_http_response("https://127.0.0.1:@mutual@/hello",
          { tls = { ca = CA.ca, cert = "@dir@/client.crt", key = "@dir@/client.key" } })
        assert_contains("CN=probe", r.body)
      end)
      healthcheck("h2c", function() assert_http_response("http://127.0.0.1:@plain2@/hello", { http_version = "2" }) end)
      healthcheck("gzip and a large body", function()
        local r = assert_http_response(P .. "/big.txt", { status = 200, contains = "0123456789" })
        assert_equal("gzip", r.headers["Content-Encoding"])
        assert_equal(500000, #r.body)
      end)
      healthcheck("a body above the cap", function()
        local r = assert_http_response(P .. "/bomb", 200)
        assert_true(r.truncated)
        assert_equal(1024 * 1024, #r.body)
      end)
      healthcheck("redirect", function()
        local r = assert_http_response(P .. "/from", 200)
        assert_equal(1, #r.redirects)
        assert_equal(P .. "/hello", r.url)
        assert_http_response(P .. "/from", 301)
      end)
      healthcheck("unix socket", function()
        assert_http_response("http://shop.test/hello", { unix_socket = "@dir@/socket", contains = "hello" })
      end)
      healthcheck("a name by resolve", function()
        assert_http_response("https://shop.test:@valid@/hello",
          { tls = CA, resolve = { ["shop.test:@valid@"] = "127.0.0.1" } })
      end)
    ]])
    for _, check in ipairs(r.document.details) do told(check, "pass") end
    assert.equal(0, r.code)
    assert.equal("", r.stderr)
    local probe = r.check("tls").probes[1]
    assert.equal("http", probe.kind)
    assert.equal(("https://127.0.0.1:%d/hello"):format(n.valid), probe.target)
    for _, phase in ipairs({ "dns", "connect", "tls", "first_byte", "total" }) do
      assert.is_number(probe.timings[phase], phase)
    end
    assert.equal("days_left", r.check("tls").metrics[1].name)
  end)

  it("names what is wrong with a certificate, and in which phase", function()
    local r = run([[
      local CA = { ca = "@dir@/ca.crt" }
      local function get(port, tls) return function() assert_http_response("https://127.0.0.1:" .. port .. "/hello", { tls = tls }) end end
      healthcheck("expired", get(@expired@, CA))
      healthcheck("wrong host", get(@other@, CA))
      healthcheck("self-signed", get(@selfsigned@, CA))
      healthcheck("unknown authority", get(@valid@, nil))
      healthcheck("unverified", get(@selfsigned@, { verify = false }))
      healthcheck("no client certificate", get(@mutual@, CA))
      healthcheck("plain port", get(@plain@, CA))
      healthcheck("no such ca", get(@valid@, { ca = "@dir@/none.crt" }))
    ]])
    assert.equal(1, r.code)
    told(r.check("expired"), "fail tls/tls", "certificate has expired", "GET https://127.0.0.1:")
    told(r.check("wrong host"), "fail tls/tls", "127.0.0.1")
    told(r.check("self-signed"), "fail tls/tls", "self-signed certificate")
    told(r.check("unknown authority"), "fail tls/tls", "unable to get local issuer certificate")
    told(r.check("unverified"), "pass")
    told(r.check("no client certificate"), "fail assertion", "expected status 2xx, got 400")
    told(r.check("plain port"), "fail tls/tls", "the server does not speak TLS here: http?")
    assert.is_truthy(r.check("no such ca").status ~= "pass")
    local failure = r.check("expired").failures[1]
    assert.is_nil(failure.timings.first_byte)
    assert.equal("checks.lua", failure.file)
    assert.is_number(failure.line)
  end)

  it("tells expected and got", function()
    local r = run([[
      local P = "http://127.0.0.1:@plain@"
      healthcheck("status", function() assert_http_response(P .. "/code/503", 200) end)
      healthcheck("contains", function() assert_http_response(P .. "/hello", { contains = "Welcome" }) end)
      healthcheck("matches", function() assert_http_response(P .. "/hello", { matches = "^%d+$" }) end)
      healthcheck("header", function() assert_http_response(P .. "/hello", { headers_match = { ["Content-Type"] = "json" } }) end)
      healthcheck("not json", function() assert_http_response(P .. "/hello", { json_path = { a = 1 } }) end)
      healthcheck("message", function() assert_http_response(P .. "/hello", 204, "the shop") end)
      healthcheck("expect goes on", function()
        expect_http_response(P .. "/hello", 204)
        expect_http_response(P .. "/hello", 205)
      end)
      healthcheck("max_time", function() assert_http_response(P .. "/hello", { max_time = 0.000001 }) end)
    ]])
    assert.equal(1, r.code)
    told(r.check("status"), "fail assertion", "expected status 200, got 503", "body: down for maintenance", "first byte")
    local failure = r.check("status").failures[1]
    assert.equal("200", failure.expected)
    assert.equal("503", failure.actual)
    told(r.check("contains"), "fail assertion", 'contains "Welcome"', "body: hello HTTP/1.1")
    told(r.check("matches"), "fail assertion", "matches")
    told(r.check("header"), "fail assertion", "header Content-Type", "text/plain")
    told(r.check("not json"), "fail assertion", "the body is not JSON")
    told(r.check("message"), "fail assertion", "the shop: GET ")
    assert.equal(2, #r.check("expect goes on").failures)
    told(r.check("max_time"), "fail assertion", "expected an answer within 0.001 ms", "got it after")
  end)

  it("does not compare what cannot be: misuse is an error, not a failure", function()
    local r = run([[
      healthcheck("typo", function() assert_http_response("http://127.0.0.1:@plain@/", { timout = 1 }) end)
      healthcheck("scheme", function() assert_http_response("file:///etc/passwd", 200) end)
      healthcheck("no scheme", function() assert_http_response("127.0.0.1:@plain@/", 200) end)
      healthcheck("newline", function() http.get("http://127.0.0.1:@plain@/", { headers = { A = "b\r\nC: d" } }) end)
      healthcheck("status", function() assert_http_response("http://127.0.0.1:@plain@/", "ok") end)
    ]])
    for _, check in ipairs(r.document.details) do
      assert.equal("error", check.status, check.test)
      accept.has(check.failures[1].message, "checks.lua:")
    end
    accept.has(r.check("typo").failures[1].message, 'did you mean "timeout"?')
    assert.equal(1, r.code)
  end)

  it("runs 300 checks at once, and parallel requests within one", function()
    local r = run([[
      for i = 1, 300 do
        healthcheck("check " .. i, function() assert_http_response("http://127.0.0.1:@plain@/hello", 200) end)
      end
      healthcheck("parallel", function()
        local bodies = {}
        local work = {}
        for i = 1, 20 do work[i] = function() bodies[i] = http.get("http://127.0.0.1:@plain@/hello").body end end
        parallel(table.unpack(work))
        assert_equal(20, #bodies)
      end)
      healthcheck("one of several", function()
        parallel(function() assert_http_response("http://127.0.0.1:@plain@/hello", 200) end,
          function() assert_http_response("http://127.0.0.1:@plain@/hello", 418) end)
      end)
    ]], { args = { "-c", "300" } })
    for _, check in ipairs(r.document.details) do
      if check.test ~= "one of several" then told(check, "pass") end
    end
    assert.equal(301, r.document.summary.pass)
    told(r.check("one of several"), "fail assertion", "expected status 418")
  end)
end)

describe("http against servers of the spec's own", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  it("walks a login flow in several steps", function()
    local shop = server.http(function(request)
      if request.path == "/login" and request.method == "POST" then
        local ok = request.body == "password=pa%26ss&user=probe"
        return ok and 303 or 401, { ["Set-Cookie"] = "session=abc; HttpOnly", Location = "/account" }, ""
      elseif request.path == "/account" then
        if request.headers.cookie ~= "session=abc" then return 403, {}, "no session" end
        return 200, { ["Content-Type"] = "application/json" }, '{"user":{"name":"probe","roles":["a","b"]},"n":3}'
      elseif request.path == "/basic" then
        return request.headers.authorization == "Basic cHJvYmU6cGFzcw==" and 200 or 401, {}, ""
      end
      return 404, {}, ""
    end)
    local r = accept.run(accept.fill([[
      local SHOP = "http://127.0.0.1:@port@"
      healthcheck("login", function()
        local r = assert_http_response(SHOP .. "/login",
          { method = "POST", form = { user = "probe", password = "pa&ss" }, status = 303, follow = false })
        local session = assert_not_nil(r.headers["set-cookie"]:match("session=[^;]+"))
        local account = assert_http_response(SHOP .. "/account", { headers = { Cookie = session },
          json_path = { ["user.name"] = "probe", ["user.roles[1]"] = "a", n = function(n) return n > 2 end } })
        assert_equal("probe", account.json().user.name)
        assert_http_response(SHOP .. "/account", 403)
      end)
      healthcheck("basic", function()
        assert_http_response(SHOP .. "/basic", { auth = { user = "probe", password = "pass" } })
        assert_http_response("http://probe:pass@127.0.0.1:@port@/basic", 200)
        assert_http_response(SHOP .. "/basic", 401)
      end)
      healthcheck("wrong path", function()
        assert_http_response(SHOP .. "/account", { headers = { Cookie = "session=abc" }, json_path = { ["user.name"] = "root" } })
      end)
    ]], { port = shop.port }))
    told(r.check("login"), "pass")
    told(r.check("basic"), "pass")
    told(r.check("wrong path"), "fail assertion", 'json_path user.name: expected "root", got "probe"')
  end)

  it("outlives a restart in the middle of a run", function()
    local function hello() return 200, {}, "hello" end
    local shop = server.http(hello)
    local control = server.http(function(request)
      if request.path == "/stop" then shop.close() else server.http(hello, nil, shop.port) end
      return 200, {}, "done"
    end)
    local r = accept.run(accept.fill([[
      local SHOP, CONTROL = "http://127.0.0.1:@shop@/", "http://127.0.0.1:@control@"
      describe("in order", function()
        before_each(function() end)
        healthcheck("before", function() assert_http_response(SHOP, 200) end)
        healthcheck("gone", function()
          http.get(CONTROL .. "/stop")
          assert_http_response(SHOP, 200)
        end)
        healthcheck("back", function()
          http.get(CONTROL .. "/start")
          eventually("5s", function() assert_http_response(SHOP, 200) end)
        end)
      end)
    ]], { shop = shop.port, control = control.port }))
    told(r.check("before"), "pass")
    told(r.check("gone"), "fail connect/connect", "connection refused")
    told(r.check("back"), "pass")
  end)

  it("tells in which phase a server stopped being one", function()
    local function raw(text)
      return server.tcp(function(client)
        client:read_start(function(_, data)
          if data and not client:is_closing() then
            client:write(text, function() if not client:is_closing() then client:close() end end)
          end
        end)
      end).port
    end
    local ports = {
      empty = server.tcp(function(client) client:read_start(function(_, data)
        if data and not client:is_closing() then client:close() end
      end) end).port,
      smtp = raw("220 mail ESMTP\r\n"),
      cut = raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
      chunk = raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
      long = raw("HTTP/1.1 200 OK\r\n" .. ("X-A: " .. ("b"):rep(1000) .. "\r\n"):rep(100) .. "\r\n"),
      gzip = raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
      loop = raw("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
      ftp = raw("HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"),
    }
    local files = {}
    for name, port in pairs(ports) do
      files[#files + 1] = ('healthcheck("%s", function() assert_http_response("http://127.0.0.1:%d/", 200) end)')
        :format(name, port)
    end
    files[#files + 1] = 'healthcheck("refused", function() assert_http_response("http://127.0.0.1:1/", 200) end)'
    files[#files + 1] = 'healthcheck("no name", function() assert_http_response("http://shop.invalid/", 200) end)'
    local r = accept.run(table.concat(files, "\n"), { args = { "--timeout", "20s" } })
    told(r.check("empty"), "fail closed/first byte", "closed the connection without an answer")
    told(r.check("smtp"), "fail protocol/first byte", "not HTTP")
    told(r.check("cut"), "fail closed/body", "after 4 of 100 bytes")
    told(r.check("loop"), "fail protocol/redirect", "more than 5 redirects")
    told(r.check("ftp"), "fail protocol/redirect", "only http and https are followed")
    told(r.check("refused"), "fail connect/connect", "connection refused")
    assert.equal("fail", r.check("chunk").status)
    assert.equal("fail", r.check("gzip").status)
    told(r.check("long"), "fail protocol/headers", "headers are longer than")
    -- Without any resolver the lookup cannot answer: fail by another reason, never green.
    assert.equal("dns", r.check("no name").failures[1].phase)
    assert.equal(1, r.code)
  end)

  it("says once where it went and how long it took", function()
    local r = accept.run([[
      healthcheck("refused", function() assert_http_response("http://127.0.0.1:1/", 200) end)
      healthcheck("tcp", function() assert_tcp("127.0.0.1", 1) end)
    ]])
    assert.equal("connection refused (connect phase)", r.check("refused").probes[1].detail)
    assert.equal("connection refused (connect phase)", r.check("tcp").probes[1].detail)
  end)

  it("ends at the probe's timeout and at the check's deadline, in every phase", function()
    local function stall(text)
      return server.tcp(function(client)
        client:read_start(function(_, data)
          if data and text and not client:is_closing() then client:write(text) end
        end)
      end).port
    end
    local deaf = server.tcp(function() end)
    local values = {
      silent = deaf.port,
      headers = stall("HTTP/1.1 200 OK\r\nX-A: b\r\n"),
      body = stall("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
    }
    local r = accept.run(accept.fill([[
      local cases = { tls = "https://127.0.0.1:@silent@/", ["first byte"] = "http://127.0.0.1:@silent@/",
        headers = "http://127.0.0.1:@headers@/", body = "http://127.0.0.1:@body@/" }
      for phase, url in pairs(cases) do
        healthcheck("probe " .. phase, function() assert_http_response(url, { timeout = "200ms" }) end)
        healthcheck("check " .. phase, { timeout = "200ms" }, function() assert_http_response(url, 200) end)
        healthcheck("caught " .. phase, { timeout = "200ms" }, function() pcall(http.get, url) end)
      end
    ]], values))
    for _, phase in ipairs({ "tls", "first byte", "headers", "body" }) do
      told(r.check("probe " .. phase), "fail timeout/" .. phase, "no complete answer within 0.2 s")
      assert.equal("timeout", r.check("check " .. phase).status)
      accept.has(r.check("check " .. phase).failures[1].message, "200")
      assert.equal("timeout", r.check("caught " .. phase).status)
    end
    assert.equal(1, r.code)
  end)
end)
