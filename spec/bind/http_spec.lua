-- http_spec.lua: requests against servers that behave and servers that do not.
local script = require "spec.support.script"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local run = script.http

local function url(s, path) return ("http://127.0.0.1:%d%s"):format(s.port, path or "/") end

-- A server that answers every connection's first bytes with raw text, then closes
-- unless keep is set.
local function raw(text, keep)
  return server.tcp(function(client)
    client:read_start(function(_, data)
      if not data then
        if not client:is_closing() then client:close() end
        return
      end
      client:write(text, function() if not keep and not client:is_closing() then client:close() end end)
    end)
  end)
end

local function has(outcome, text)
  if not outcome:find(text, 1, true) then
    error(("expected %q in\n%s"):format(text, outcome), 2)
  end
end

local function has_not(outcome, text)
  if outcome:find(text, 1, true) then error(("expected no %q in\n%s"):format(text, outcome), 2) end
end

describe("http.request", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  it("returns status, headers, body, timings", function()
    local s = server.http(function(r)
      return 200, { ["X-Path"] = r.path, ["Content-Type"] = "text/plain" }, "hello " .. r.method
    end)
    assert.equal("returned: 200 hello GET /a?b=1 text/plain 1.1 127.0.0.1 true false 0", run(([[
      local r = http.get("%s")
      local t = r.timings
      return table.concat({ r.status, r.body, r.headers["x-path"], r.headers["CONTENT-TYPE"], r.http_version,
        r.remote_ip, tostring(t.total > 0 and t.connect > 0 and t.first_byte > 0 and t.dns >= 0 and t.tls == nil),
        tostring(r.truncated), #r.redirects }, " ")]]):format(url(s, "/a?b=1"))))
  end)

  it("joins repeated headers and lists them", function()
    local s = raw("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nAll: x\r\nContent-Length: 0\r\n\r\n")
    assert.equal("returned: a=1, b=2|a=1;b=2|1", run(([[
      local r = http.get("%s")
      return r.headers["Set-Cookie"] .. "|" .. table.concat(r.headers:all("SET-COOKIE"), ";") .. "|"
        .. #r.headers:all("all")]]):format(url(s))))
  end)

  it("sends method, headers, body, form, json, auth", function()
    local seen
    local s = server.http(function(r) seen = r return 200, {}, "" end)
    local function sent(options)
      assert.equal("returned: 200", (run(("return http.request('%s', %s).status"):format(url(s), options))))
      return seen
    end
    assert.equal("GET", sent("{}").method)
    assert.equal("hospital/0.1.0", seen.headers["user-agent"])
    assert.equal("PUT", sent("{method='put', body='x'}").method)
    assert.equal("x", seen.body)
    assert.is_nil(seen.headers["content-type"])
    assert.equal("POST", sent("{json={a={1,2}}}").method)
    assert.equal('{"a":[1,2]}', seen.body)
    assert.equal("application/json", seen.headers["content-type"])
    assert.equal("a=1%20%26&b=x&b=y", sent("{form={b={'x','y'}, a='1 &'}}").body)
    assert.equal("application/x-www-form-urlencoded", seen.headers["content-type"])
    assert.equal("Basic dTpw", sent("{auth={user='u',password='p'}}").headers.authorization)
    assert.equal("Basic dTpw", sent("{auth={'u','p'}}").headers.authorization)
    assert.equal("Bearer tok", sent("{auth={bearer='tok'}}").headers.authorization)
    assert.equal("v", sent("{headers={['X-A']='v', ['User-Agent']=false}}").headers["x-a"])
    assert.is_nil(seen.headers["user-agent"])
    assert.equal("0", sent("{method='POST'}").headers["content-length"])
    assert.equal("DELETE", sent("{method='DELETE'}").method)
    assert.is_nil(seen.headers.expect)
  end)

  it("takes credentials out of the URL and shows them nowhere", function()
    local seen
    local s = server.http(function(r) seen = r return 503, {}, "" end)
    local outcome = run(("assert_http_response('http://u:hunter2@127.0.0.1:%d/', 200)"):format(s.port))
    assert.equal("Basic dTpodW50ZXIy", seen.headers.authorization)
    has(outcome, "expected status 200, got 503")
    has_not(outcome, "hunter2")
    outcome = run("http.get('http://u:hunter2@127.0.0.1:1/')")
    has(outcome, "connection refused")
    has_not(outcome, "hunter2")
    has_not(run("http.get('http://u:hunter2@[bad/')"), "hunter2")
  end)

  it("answers HEAD, 204, 304 and 1xx without a body", function()
    local s = raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", true)
    assert.equal("returned: 200 0", run(("local r = http.head('%s') return r.status .. ' ' .. #r.body"):format(url(s))))
    s = raw("HTTP/1.1 204 No Content\r\n\r\n", true)
    assert.equal("returned: 204 0", run(("local r = http.get('%s') return r.status .. ' ' .. #r.body"):format(url(s))))
    s = raw("HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert.equal("returned: 200 ok nil",
      run(("local r = http.get('%s') return r.status .. ' ' .. r.body .. ' ' .. tostring(r.headers['x-early'])"):format(url(s))))
  end)

  it("caps the body and says so", function()
    local s = server.http(function() return 200, {}, ("x"):rep(3000000) end)
    assert.equal("returned: 1048576 true",
      run(("local r = http.get('%s') return #r.body .. ' ' .. tostring(r.truncated)"):format(url(s))))
    assert.equal("returned: 5 true",
      run(("local r = http.get('%s', {max_body=5}) return #r.body .. ' ' .. tostring(r.truncated)"):format(url(s))))
    assert.equal("returned: 3000000 false",
      run(("local r = http.get('%s', {max_body=3000000}) return #r.body .. ' ' .. tostring(r.truncated)"):format(url(s))))
  end)

  it("holds a body to the sandbox's memory", function()
    local s = server.http(function() return 200, {}, ("x"):rep(3000000) end)
    local outcome, _, peak = run(("http.get('%s', {max_body=1<<30})"):format(url(s)), { memory = 1500000 })
    has(outcome, "does not fit into the sandbox's memory")
    assert.is_true(peak <= 1500000)
  end)

  it("gives the memory of a body back", function()
    local s = server.http(function() return 200, {}, ("x"):rep(1000000) end)
    assert.equal("returned: 40000000", (run(([[local n = 0
      for _ = 1, 40 do n = n + #http.get('%s').body end
      return n]]):format(url(s)), { memory = 6 << 20 })))
  end)

  it("stops an endless body and an endless head", function()
    local function endless(text)
      return server.tcp(function(client)
        client:read_start(function() end)
        client:write("HTTP/1.1 200 OK\r\n" .. (text == "x" and "\r\n" or ""))
        local chunk = text:rep(8192 // #text)
        local function more(err)
          if not err and not client:is_closing() then client:write(chunk, more) end
        end
        more()
      end)
    end
    has(run(("return tostring(http.get('%s').truncated)"):format(url(endless("x")))), "returned: true")
    has(run(("http.get('%s')"):format(url(endless("X-A: b\r\n")))), "headers are longer than 64 kB")
  end)

  describe("says what failed:", function()
    local function failure(s, options)
      local outcome = run(([[
        local ok, e = pcall(http.get, "%s", %s)
        return ok and "answered " .. e.status or e.kind .. " | " .. e.phase .. " | " .. e.message .. " | "
          .. tostring(e.timings.total > 0)]]):format(type(s) == "string" and s or url(s), options or "{timeout=2}"))
      return (outcome:gsub("^returned: ", ""))
    end

    it("nothing listens", function()
      has(failure("http://127.0.0.1:1/"), "connect | connect | GET http://127.0.0.1:1/: connection refused (connect phase, after ")
    end)
    it("no answer ever", function()
      local s = server.tcp(function(client) client:read_start(function() end) end)
      has(failure(s, "{timeout=0.1}"), "timeout | first byte | GET " .. url(s) .. ": no complete answer within 0.1 s")
    end)
    it("headers that drip", function()
      local s = server.tcp(function(client)
        client:read_start(function() end)
        local timer, sent = uv.new_timer(), 0
        timer:start(0, 2, function()
          if client:is_closing() then
            if not timer:is_closing() then timer:close() end
          else
            sent = sent + 1
            client:write(("HTTP/1.1 200 OK\r\n" .. ("X-A: b\r\n"):rep(1000)):sub(sent, sent), function() end)
          end
        end)
      end)
      has(failure(s, "{timeout=0.2}"), "timeout | headers | ")
    end)
    it("half a body", function()
      has(failure(raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")),
        "closed | body | GET ")
      has(failure(raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")), "after 4 of 10 bytes")
      has(failure(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")), "closed | body")
    end)
    it("closed without an answer", function()
      has(failure(raw("")), "closed | first byte | ")
    end)
    it("reset", function()
      local s = server.tcp(function(client)
        client:read_start(function(_, data) if data and not client:is_closing() then client:close_reset() end end)
      end)
      has(failure(s), "closed | first byte | GET " .. url(s) .. ": the server reset the connection (first byte phase, ")
    end)
    it("garbage", function()
      has(failure(raw("SSH-2.0-OpenSSH_9.2\r\n")), "protocol | ")
      has(failure(raw("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n")), "protocol | ")
      has(failure(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")), "closed")
    end)
    it("bad gzip", function()
      has(failure(raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello")), "protocol | body")
    end)
    it("TLS spoken to a plain server", function()
      local s = raw("HTTP/1.1 200 OK\r\n\r\n")
      has(failure(("https://127.0.0.1:%d/"):format(s.port)), "tls | tls | ")
    end)
    it("a TLS handshake that never ends", function()
      local s = server.tcp(function(client) client:read_start(function() end) end)
      has(failure(("https://127.0.0.1:%d/"):format(s.port), "{timeout=0.1}"), "timeout | tls | ")
    end)
    it("no such family", function()
      has(failure("http://127.0.0.1:1/", "{family=6}"), "dns | dns | GET http://127.0.0.1:1/: 127.0.0.1 is not an IPv6 address")
    end)
    it("a Unix socket that is not there", function()
      has(failure("http://x/", "{unix_socket='/nonexistent/s'}"), "connect | connect | GET http://x/: no such file or directory")
    end)
  end)

  describe("refuses", function()
    local function misuse(code, text)
      local outcome = run(code)
      has(outcome, "raised: script.lua:1: ")
      has(outcome, text)
    end
    it("CR, LF and NUL", function()
      misuse("http.get('http://a/\\r\\nX: y')", "must not contain a carriage return")
      misuse("http.get('http://a/', {headers={A='b\\r\\nC: d'}})", "must not contain a carriage return")
      misuse("http.get('http://a/', {headers={A='b\\0'}})", "must not contain a carriage return")
      misuse("http.get('http://a/', {headers={['A\\n']='b'}})", "cannot be the name of a header")
      misuse("http.request('http://a/', {method='GET /\\r\\n'})", "cannot be a method")
      misuse("http.get('http://a/', {auth={bearer='a\\nb'}})", "must not contain a carriage return")
    end)
    it("other schemes and what is no URL", function()
      misuse("http.get('file:///etc/passwd')", "http:// or https://")
      misuse("http.get('ftp://x/')", "http:// or https://")
      misuse("http.get('127.0.0.1:80')", "is not one")
      misuse("http.get(nil)", "url must be a string, got nil")
      misuse("http.get('http://a b/')", "is not one")
    end)
    it("unknown and mistyped options", function()
      misuse("http.get('http://a/', {timout=1})", "has no option \"timout\"; did you mean \"timeout\"?")
      misuse("http.get('http://a/', {status=200})", "has no option \"status\"")
      misuse("assert_http_response('http://a/', {tls={verfy=true}})", "did you mean \"verify\"?")
      misuse("http.get('http://a/', {timeout='soon'})", "must be a duration")
      misuse("http.get('http://a/', {family=5})", "family must be 4 or 6")
      misuse("http.get('http://a/', {http_version='3'})", "http_version must be")
      misuse("http.get('http://a/', {body='a', json={}})", "exclude each other")
      misuse("http.get('http://a/', {follow=21})", "follow must be")
      misuse("http.get('http://a/', {max_body=-1})", "max_body must be")
      misuse("assert_http_response('http://a/', 'ok')", "status must be")
      misuse("assert_http_response('http://a/', {json_path={['a[']=1}})", "json_path")
    end)
    it("waiting where one cannot wait", function()
      has(run("table.sort({3,2,1}, function() http.get('http://127.0.0.1:1/') end)"), "cannot wait here")
    end)
  end)

  it("asks no proxy of the environment, but one that is named", function()
    local seen
    local proxy = server.http(function(r) seen = r.path return 200, {}, "proxied" end)
    local s = server.http(function() return 200, {}, "direct" end)
    local env = { http_proxy = url(proxy), ALL_PROXY = url(proxy), no_proxy = false }
    assert.equal("returned: direct", (run(("return http.get('%s').body"):format(url(s)), { env = env })))
    env.no_proxy = "*"
    assert.equal("returned: proxied",
      (run(("return http.get('http://nowhere.invalid/x', {proxy='%s'}).body"):format(url(proxy)), { env = env })))
    assert.equal("http://nowhere.invalid/x", seen)
  end)

  it("goes where resolve says", function()
    local seen
    local s = server.http(function(r) seen = r.headers.host return 200, {}, "ok" end)
    local code = "return http.get('http://shop.invalid:%d/', {resolve=%s}).body"
    assert.equal("returned: ok", (run(code:format(s.port, ("{['shop.invalid:%d']='127.0.0.1'}"):format(s.port)))))
    assert.equal("shop.invalid:" .. s.port, seen)
    assert.equal("returned: ok", (run(code:format(s.port, ("'shop.invalid:%d:127.0.0.1'"):format(s.port)))))
  end)

  -- libcurl keeps what RESOLVE said in a cache that all transfers share: an
  -- override of one check must not lead another astray.
  it("keeps overrides to the request that has them", function()
    local s = server.http(function() return 200, {}, "ok" end)
    has(run(([[
      local u = "http://127.0.0.1:%d/"
      local ok = pcall(http.get, u, { resolve = { ["127.0.0.1:%d"] = "127.0.0.9" }, timeout = 0.5 })
      return tostring(ok) .. " " .. http.get(u).body]]):format(s.port, s.port)), "returned: false ok")
  end)

  it("speaks IPv6", function()
    local s = server.tcp(function(client)
      client:read_start(function() end)
      client:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6")
    end, "::1")
    assert.equal("returned: v6 ::1",
      (run(("local r = http.get('http://[::1]:%d/') return r.body .. ' ' .. r.remote_ip"):format(s.port))))
    assert.equal("returned: v6", (run(("return http.get('http://localhost:%d/').body"):format(s.port))))
    assert.equal("returned: v6", (run(("return http.get('http://localhost:%d/', {family=6}).body"):format(s.port))))
  end)

  describe("redirects", function()
    it("are followed, five at most", function()
      local s = server.http(function(r)
        local n = tonumber(r.path:match("%d+"))
        return n > 0 and 302 or 200, n > 0 and { Location = "/" .. n - 1 } or {}, "at " .. n
      end)
      assert.equal("returned: at 0 5 " .. url(s, "/0"),
        (run(("local r = http.get('%s') return r.body .. ' ' .. #r.redirects .. ' ' .. r.url"):format(url(s, "/5")))))
      has(run(("http.get('%s')"):format(url(s, "/6"))), "more than 5 redirects")
      assert.equal("returned: 302", (run(("return http.get('%s', {follow=false}).status"):format(url(s, "/6")))))
      has(run(("http.get('%s', {follow=1})"):format(url(s, "/6"))), "more than 1 redirects")
    end)

    it("rewrite the method as RFC 9110 says", function()
      local seen
      local code
      local s = server.http(function(r)
        if r.path == "/" then return code, { Location = "/next" }, "" end
        seen = r.method .. " " .. r.body .. " " .. tostring(r.headers["content-type"])
        return 200, {}, ""
      end)
      local function sent(status, method)
        code = status
        run(("http.request('%s', {method='%s', json={1}})"):format(url(s), method))
        return seen
      end
      assert.equal("GET  nil", sent(301, "POST"))
      assert.equal("GET  nil", sent(302, "POST"))
      assert.equal("GET  nil", sent(303, "PUT"))
      assert.equal("PUT [1] application/json", sent(302, "PUT"))
      assert.equal("POST [1] application/json", sent(307, "POST"))
      assert.equal("POST [1] application/json", sent(308, "POST"))
    end)

    it("take no secrets to another origin", function()
      local seen
      local other = server.http(function(r) seen = r return 200, {}, "" end)
      local s = server.http(function() return 302, { Location = url(other) }, "" end)
      local code = "return http.get('http://u:pw@127.0.0.1:%d/', {headers={['X-Api-Key']='k', Cookie='c=1', "
        .. "Authorization='t'}}).status"
      assert.equal("returned: 200", (run(code:format(s.port))))
      assert.is_nil(seen.headers["x-api-key"])
      assert.is_nil(seen.headers.cookie)
      assert.is_nil(seen.headers.authorization)
      has(run(("http.get('%s', {auth={bearer='sesame'}})"):format(url(s))), "returned")
      assert.is_nil(seen.headers.authorization)
    end)

    it("take no body to another origin", function()
      local other = server.http(function() return 200, {}, "" end)
      local s = server.http(function() return 307, { Location = url(other) }, "" end)
      has(run(("http.post('%s', {body='secret'})"):format(url(s))), "redirects a body to another origin")
      assert.equal(0, other.connections)
    end)

    it("keep headers on the same origin", function()
      local seen
      local s = server.http(function(r)
        if r.path == "/" then return 302, { Location = "/b" }, "" end
        seen = r
        return 200, {}, ""
      end)
      run(("http.get('%s', {headers={['X-Api-Key']='k'}})"):format(url(s)))
      assert.equal("k", seen.headers["x-api-key"])
    end)

    it("lead nowhere but to http and https", function()
      for _, location in ipairs({ "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "javascript:x" }) do
        local s = raw("HTTP/1.1 302 Found\r\nLocation: " .. location .. "\r\nContent-Length: 0\r\n\r\n")
        local outcome = run(("http.get('%s')"):format(url(s)))
        has(outcome, "raised: ")
        has(outcome, "redirects to ")
      end
    end)

    it("without a Location are answers", function()
      local s = server.http(function() return 302, {}, "x" end)
      assert.equal("returned: 302", (run(("return http.get('%s').status"):format(url(s)))))
    end)

    it("do not stretch the timeout", function()
      local s = server.tcp(function(client)
        client:read_start(function(_, data)
          if not data then return end
          local timer = uv.new_timer()
          timer:start(100, 0, function()
            timer:close()
            if not client:is_closing() then
              client:write("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
            end
          end)
        end)
      end)
      local outcome, took = run(("http.get('%s', {timeout=0.25, follow=20})"):format(url(s)))
      has(outcome, "no complete answer within 0.25 s")
      assert.is_true(took < 1000)
    end)
  end)

  it("ends at the check's deadline, in every phase", function()
    local s = server.tcp(function(client)
      client:read_start(function(_, data)
        if data then client:write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nslow") end
      end)
    end)
    for deadline = 1, 41, 10 do
      assert.equal("killed: deadline", (run(("http.get('%s')"):format(url(s)), { deadline = deadline })))
    end
  end)
end)

describe("assert_http_response", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  local function hold(code)
    local s = server.http(function(r)
      if r.path == "/moved" then return 301, { Location = "/" }, "" end
      return 200, { ["Content-Type"] = "application/json" },
        '{"status":"up","items":[{"id":9007199254740993},{"id":2}],"none":null,"list":[1,2]}'
    end)
    return (run((code:gsub("URL", url(s)))))
  end

  it("takes a number, a class, a range, a list, options, nothing", function()
    for _, expected in ipairs({ "200", "'2xx'", "'2XX'", "'200-299'", "'200'", "{404, 200}", "{'5xx', '2xx'}",
      "{status=200}", "{}", "nil" }) do
      assert.equal("returned: 200", hold(("return assert_http_response('URL', %s).status"):format(expected)))
    end
  end)

  it("says expected and got, timings and an excerpt", function()
    for _, case in ipairs({ { "404", "expected status 404, got 200" }, { "'5xx'", "expected status 5xx, got 200" },
      { "{301,'400-499'}", "expected status 301 or 400-499, got 200" } }) do
      local outcome = hold(("assert_http_response('URL', %s, 'the shop')"):format(case[1]))
      has(outcome, "raised: the shop: GET http://127.0.0.1:")
      has(outcome, case[2])
      has(outcome, "first byte ")
      has(outcome, 'body: {"status":"up"')
    end
  end)

  it("stops at a redirect that is expected", function()
    assert.equal("returned: 301", hold("return assert_http_response('URLmoved', 301).status"))
    assert.equal("returned: 200", hold("return assert_http_response('URLmoved', 200).status"))
    has(hold("assert_http_response('URLmoved', {status=301, follow=true})"), "expected status 301, got 200")
  end)

  it("looks at the body and the headers", function()
    assert.equal("returned: 200", hold([[return assert_http_response('URL', {contains={'"up"', 'items'},
      matches='"id":%d+', headers_match={['CONTENT-TYPE']='json$'}, max_time='5s'}).status]]))
    has(hold("assert_http_response('URL', {contains='down'})"), 'expected a body that contains "down"')
    has(hold("assert_http_response('URL', {matches={'up', '^x'}})"), 'expected a body that matches "^x"')
    has(hold("assert_http_response('URL', {headers_match={['X-None']='a'}})"), 'header X-None: expected a match of "a", got nothing')
    has(hold("assert_http_response('URL', {max_time=0.000001})"), "expected an answer within 0.001 ms")
  end)

  it("looks into JSON", function()
    assert.equal("returned: 200", hold([[return assert_http_response('URL', {json_path={status='up',
      ['items[1].id']=9007199254740993, ['items[2].id']=function(v) return v > 1 end, ['["none"]']=json.null,
      list={1,2}, absent=nil}}).status]]))
    has(hold("assert_http_response('URL', {json_path={['items[2].id']=3}})"), "json_path items[2].id: expected 3, got 2")
    has(hold("assert_http_response('URL', {json_path={['a.b']=3}})"), "expected 3, got nothing")
    has(hold("assert_http_response('URL', {json_path={list=function() end}})"), "the predicate does not hold for [1,2]")
    assert.equal("returned: up", hold("return assert_http_response('URL').json().status"))
    assert.equal("returned: up", hold("return assert_http_response('URL'):json().status"))
    local s = server.http(function() return 200, {}, "<html>" end)
    local outcome = run(("http.get('%s').json()"):format(url(s)))
    has(outcome, "the body is not JSON: a value expected at line 1, column 1")
  end)

  it("has an expect_ twin that goes on", function()
    assert.equal("returned: nil", hold("return tostring(expect_http_response('URL', 404))"))
    assert.equal("returned: 200", hold("return expect_http_response('URL', 200).status"))
    has(hold("expect_http_response('URL', {nope=1})"), "has no option")
  end)

  it("raises failures, not errors", function()
    assert.equal("returned: failure assertion 404 200", hold([[
      local ok, e = pcall(assert_http_response, 'URL', 404)
      return host.kind(e) .. " " .. e.kind .. " " .. e.expected .. " " .. e.actual]]))
  end)
end)
