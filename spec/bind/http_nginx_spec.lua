-- http_nginx_spec.lua: http.request against a real nginx: TLS, HTTP/2, gzip.
local nginx = require "spec.support.nginx"
local script = require "spec.support.script"
local server = require "spec.support.server"
local tree = require "spec.support.tree"

local run = script.http

local function has(outcome, text)
  if not outcome:find(text, 1, true) then error(("expected %q in\n%s"):format(text, outcome), 2) end
end

describe("http.request and nginx", function()
  local n
  setup(function() n = nginx.start() end)
  teardown(function()
    n.stop()
    tree.clean()
    server.clean()
  end)

  -- Code with PORT names in braces: {valid} and {dir}.
  local function ask(code, options)
    return (run((code:gsub("{(%w+)}", function(name) return n[name] and tostring(n[name]) end)), options))
  end

  it("speaks HTTP/1.0, 1.1 and 2", function()
    assert.equal("returned: hello HTTP/1.1   1.1",
      ask("local r = http.get('http://127.0.0.1:{plain}/hello') return r.body .. ' ' .. r.http_version"))
    assert.equal("returned: hello HTTP/1.0   1.1",
      ask("local r = http.get('http://127.0.0.1:{plain}/hello', {http_version='1.0'}) return r.body .. ' ' .. r.http_version"))
    assert.equal("returned: hello HTTP/2.0   2",
      ask("local r = http.get('http://127.0.0.1:{plain2}/hello', {http_version='2'}) return r.body .. ' ' .. r.http_version"))
    assert.equal("returned: hello HTTP/2.0   2",
      ask("local r = http.get('https://127.0.0.1:{valid}/hello', {tls={ca='{dir}/ca.crt'}}) return r.body .. ' ' .. r.http_version"))
    assert.equal("returned: 1.1",
      ask("return http.get('https://127.0.0.1:{valid}/hello', {tls={ca='{dir}/ca.crt'}, http_version='1.1'}).http_version"))
    has(ask("assert_http_response('http://127.0.0.1:{plain}/hello', {http_version='1.0'})"), "expected HTTP/1.0, got HTTP/1.1")
  end)

  it("unpacks gzip and caps what comes out", function()
    assert.equal("returned: 500000 gzip false", ask([[local r = http.get('http://127.0.0.1:{plain}/big.txt')
      return #r.body .. " " .. r.headers["content-encoding"] .. " " .. tostring(r.truncated)]]))
    assert.equal("returned: 1048576 true", ask([[local r = http.get('http://127.0.0.1:{plain}/bomb')
      return #r.body .. " " .. tostring(r.truncated)]]))
    assert.equal("returned: 500000 nil", ask([[local r = http.get('http://127.0.0.1:{plain}/big.txt',
      {headers={["Accept-Encoding"]=false}}) return #r.body .. " " .. tostring(r.headers["content-encoding"])]]))
  end)

  it("goes over a Unix socket", function()
    assert.equal("returned: hello HTTP/1.1  ", ask("return http.get('http://shop.test/hello', {unix_socket='{dir}/socket'}).body"))
  end)

  it("tells of the certificate", function()
    assert.equal("returned: CN = localhost|CN = Spec CA|14|localhost,shop.test,127.0.0.1|64|true|4096", ask([[
      local c = http.get("https://127.0.0.1:{valid}/hello", { tls = { ca = "{dir}/ca.crt" } }).certificate
      return table.concat({ c.subject, c.issuer, math.floor(c.days_left), table.concat(c.sans, ","), #c.fingerprint,
        tostring(c.not_before < os.time() and c.not_after > os.time()), tonumber(c.serial, 16) }, "|")]]))
    local process = require "spec.support.process"
    local told = process.run("/usr/bin/openssl",
      { args = { "x509", "-in", n.dir .. "/valid.crt", "-noout", "-fingerprint", "-sha256" } }).stdout
    local print_ = told:match("=(%S+)"):gsub(":", ""):lower()
    assert.equal("returned: " .. print_,
      ask("return http.get('https://127.0.0.1:{valid}/hello', {tls={ca='{dir}/ca.crt'}}).certificate.fingerprint"))
    assert.equal("returned: nil", ask("return http.get('http://127.0.0.1:{plain}/hello').certificate"))
  end)

  it("times the phases of TLS", function()
    assert.equal("returned: true", ask([[
      local t = http.get("https://127.0.0.1:{valid}/hello", { tls = { ca = "{dir}/ca.crt" } }).timings
      return t.tls > 0 and t.connect > 0 and t.connect + t.tls + t.first_byte <= t.total + 0.001]]))
  end)

  it("trusts only what it should", function()
    local function fails(name, options, text)
      local outcome = ask(([[local ok, e = pcall(http.get, "https://127.0.0.1:{%s}/hello", %s)
        return ok and "answered" or e.kind .. " " .. e.phase .. " " .. e.message]]):format(name, options))
      has(outcome, text)
    end
    fails("valid", "nil", "tls tls GET https://127.0.0.1:")
    fails("valid", "nil", "unable to get local issuer certificate")
    fails("expired", "{tls={ca='{dir}/ca.crt'}}", "certificate has expired")
    fails("other", "{tls={ca='{dir}/ca.crt'}}", "tls tls ")
    fails("other", "{tls={ca='{dir}/ca.crt'}}", "no alternative certificate subject name matches")
    fails("selfsigned", "{tls={ca='{dir}/ca.crt'}}", "self-signed certificate")
    fails("selfsigned", "{tls={verify=false}}", "answered")
    fails("expired", "{tls={verify=false}}", "answered")
    fails("other", "{tls={verify=false}}", "answered")
    fails("selfsigned", "{tls={ca='{dir}/self.crt'}}", "answered")
    fails("valid", "{tls={ca='{dir}/none.crt'}}", "internal setup GET")
    fails("valid", "{tls={ca='{dir}/none.crt'}}", "none.crt\" cannot be read")
    fails("valid", "{tls={ca='{dir}/nginx.conf'}}", "tls tls GET")
  end)

  it("checks the name that was written, wherever it leads", function()
    assert.equal("returned: 200", ask([[return http.get("https://shop.test:{valid}/hello", { tls = { ca = "{dir}/ca.crt" },
      resolve = { ["shop.test:{valid}"] = "127.0.0.1" } }).status]]))
    has(ask([[http.get("https://wrong.test:{valid}/hello", { tls = { ca = "{dir}/ca.crt" },
      resolve = { ["wrong.test:{valid}"] = "127.0.0.1" } })]]), "no alternative certificate subject name matches")
  end)

  it("shows a client certificate", function()
    assert.equal("returned: 400", ask("return http.get('https://127.0.0.1:{mutual}/hello', {tls={ca='{dir}/ca.crt'}}).status"))
    assert.equal("returned: hello HTTP/1.1  CN=probe", ask([[return http.get("https://127.0.0.1:{mutual}/hello",
      { tls = { ca = "{dir}/ca.crt", cert = "{dir}/client.crt", key = "{dir}/client.key" } }).body]]))
  end)

  it("never follows from https to http", function()
    has(ask("http.get('https://127.0.0.1:{valid}/down', {tls={ca='{dir}/ca.crt'}})"), "302 redirects from https to http://127.0.0.1:")
  end)

  it("follows within nginx", function()
    assert.equal("returned: 200 1", ask("local r = http.get('http://127.0.0.1:{plain}/from') return r.status .. ' ' .. #r.redirects"))
  end)
end)
