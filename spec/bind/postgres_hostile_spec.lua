-- PostgreSQL servers that misbehave: the check hears of it in time and in kind, nothing else of the
-- worker is held up, and its memory stays what it was.
local certificates = require "spec.support.certificates"
local daemon = require "spec.support.daemon"
local fakepg = require "spec.support.fakepg"
local process = require "spec.support.process"
local script = require "spec.support.script"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local SANITIZED = os.getenv("HOSPITAL_SANITIZED")
local RESIDENT_MAX = 64 * 1024 -- KB
local LAG_MAX = SANITIZED and 1 or 0.3

-- outcome, seconds and lag: how late a sleep beside it was at worst.
local HEAD = [[
local pg, host = import "hospital.core.postgres", import "hospital.host"
local OPTIONS = { timeout = 0.8, write = true, statement_timeout = 0.5, lock_timeout = 1, idle_timeout = 1,
  application_name = "x", numeric = "string" }
local HOW = { shape = "listed", max_rows = 10000, max_bytes = 1 << 20 }
local function told(f) return f.kind .. " " .. f.phase .. ": " .. f.message end
local function measured(fn)
  local lag, over, outcome, began = 0, false, nil, host.now()
  host.parallel(function()
    outcome = fn()
    over = true
  end, function()
    while not over do
      local before = host.now()
      host.sleep(0.01)
      lag = math.max(lag, host.now() - before - 0.01)
    end
  end)
  return ("%.3f %.3f %s"):format(host.now() - began, lag, outcome)
end
]]

local function run(url, body, options)
  return script.run(HEAD .. ("local URL = %q\n"):format(url) .. body, options)
end

-- What the body says of it, in seconds at most, with nothing held up.
local function outcome(s, body, seconds, options)
  local text, _, _, resident = run(s.url, "return measured(function() " .. body .. " end)", options)
  local took, lag, said = text:match("^returned: (%S+) (%S+) (.*)$")
  if not took then error(text, 2) end
  if tonumber(took) > seconds then error(("it took %s s: %s"):format(took, said), 2) end
  if tonumber(lag) > LAG_MAX then error(("the loop was held for %s s: %s"):format(lag, said), 2) end
  if not SANITIZED and resident > RESIDENT_MAX then error(("%d KB: %s"):format(resident, said), 2) end
  return said
end

-- timeouts are longer here: what is measured is how much comes
local ENDLESS_LOGINS = { "huge_notice_at_login", "parameters_at_login" }

local LOGIN = "local c, f = pg.connect(URL, OPTIONS) return c and 'open' or told(f)"
local STATEMENT = [[
local c, f = pg.connect(URL, OPTIONS)
if not c then return 'login ' .. told(f) end
local r, f = c:run("select 1", { n = 0 }, HOW)
return (r and "rows " .. r.count or told(f)) .. " " .. c:state()]]
local STREAM = [[
local c, n, f, r = assert(pg.connect(URL, OPTIONS)), 0
r, f = c:start("select 1", { n = 0 }, HOW)
while r do
  r, f = c:next()
  n = n + (r and 1 or 0)
end
return n .. " " .. (f and told(f) or "end") .. " " .. c:state()]]

-- manner, options of the server, what is said (a pattern), within so many seconds
local LOGINS = {
  { "proper", {}, "^open$" },
  { "silent", {}, "^timeout tls: no TLS session within 0.8 s$" },
  { "hangs_up", {}, "^closed tls: " },
  { "garbage", {}, "^protocol login: expected authentication request" },
  { "stall_login", {}, "^timeout login: no answer to the login within 0.8 s$" },
  { "error_at_login", { sqlstate = "53300" }, "^too_many_connections login: refused by fakepg$" },
  { "error_at_login", { sqlstate = "57P03" }, "^starting_up login: refused by fakepg$" },
  { "error_at_login", { sqlstate = "57P03", message = "the database system is not yet accepting connections; Hot standby mode is disabled." },
    "^in_recovery login: " },
  { "error_at_login", { sqlstate = "3D000" }, "^no_database login: refused" },
  { "error_at_login", { sqlstate = "28P01" }, "^authentication login: refused" },
  { "error_at_login", { sqlstate = "XX000" }, "^query login: refused" },
  { "error_at_login", { sqlstate = "42601" }, "^protocol login: refused" },
  { "notices_at_login", {}, "^protocol login: " },
  { "drip", {}, "^protocol login: " },
  { "gss", {}, "^authentication login: GSSAPI" },
  { "unknown_method", {}, "^authentication login: authentication method 99 not supported$" },
  { "scram", {}, "^authentication login: incorrect server signature$" },
  { "ssl_garbage", {}, "^tls tls: received invalid response to SSL negotiation" },
  { "ssl_error", {}, "^tls tls: " },
  { "ssl_stall", {}, "^timeout tls: no TLS session within 0.8 s$" },
  { "ssl_injected", {}, "^%a+ tls: " },
}

local STATEMENTS = {
  { "proper", {}, "^rows 1 idle$" },
  { "stall", {}, "^timeout query: no answer within 0.5 s, nor did the server end it by itself closed$" },
  { "error", {}, "^query query: refused by fakepg idle$" },
  { "error", { sqlstate = "53200" }, "^query query: refused by fakepg idle$" },
  { "torn_row", {}, "^closed query: server closed the connection unexpectedly closed$" },
  { "huge_row", {}, "^limit query: the server sends a message longer than a result may be %(max_bytes%) closed$" },
  { "huge_error", {}, "^limit query: the server sends a message longer than a result may be %(max_bytes%) closed$" },
  { "rows", {}, "^limit query: the result has more than 10000 rows: ask for fewer %(limit%), or set max_rows closed$" },
  { "rows", { obey = true }, "^limit query: the result has more than 10000 rows" },
  { "null_rows", {}, "^limit query: the result has more than 10000 rows" },
  { "notices", {}, "^limit query: .* closed$" },
  { "notifications", {}, "^limit query: .* closed$" },
  { "parameters", {}, "^limit query: .* closed$" },
  { "errors", {}, "^%a+ query: .* closed$", 0.5 },
  { "wrong_row", {}, "^%a+ query: .* closed$" },
  { "negative_length", {}, "^rows 1 idle$" },
  { "huge_count", {}, "^%a+ query: .* closed$" },
  { "wrong_kind", {}, "^%a+ query: .* closed$" },
  { "copy_out", {}, "^syntax query: COPY from or to the client is not possible here closed$" },
  { "copy_both", {}, "^syntax query: COPY from or to the client is not possible here closed$" },
}

local function title(case)
  local parts = { case[1] }
  for name, value in pairs(case[2]) do parts[#parts + 1] = name .. "=" .. tostring(value) end
  return table.concat(parts, " ")
end

describe("a hostile PostgreSQL", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  for _, case in ipairs(LOGINS) do
    it("at login: " .. title(case), function()
      assert.matches(case[3], outcome(fakepg.start(case[1], case[2]), LOGIN, 1.5))
    end)
  end

  for _, manner in ipairs(ENDLESS_LOGINS) do
    it("that says too much at login: " .. manner, function()
      assert.equal("protocol login: the server says more than belongs to a login",
        outcome(fakepg.start(manner), "OPTIONS.timeout = 8 " .. LOGIN, 8))
    end)
  end

  for _, case in ipairs(STATEMENTS) do
    it("at a statement: " .. title(case), function()
      assert.matches(case[3], outcome(fakepg.start(case[1], case[2]), STATEMENT, case[4] or 3))
    end)
    it("while rows stream: " .. title(case), function()
      assert.matches("^%d+ %a+", outcome(fakepg.start(case[1], case[2]), STREAM, 3))
    end)
  end

  it("is left by the deadline of the check", function()
    for _, manner in ipairs({ "silent", "stall_login", "ssl_stall", "drip", "parameters_at_login", "stall", "rows", "null_rows",
      "notices", "huge_row" }) do
      local text, ms = run(fakepg.start(manner).url, [[
        OPTIONS.timeout, OPTIONS.statement_timeout = 9, 9
        local c = assert(pg.connect(URL, OPTIONS))
        c:run("select 1", { n = 0 }, { shape = "listed", max_rows = 1 << 40, max_bytes = 1 << 40, most = 0 })]], { deadline = 400 })
      assert.is_true(ms < 1500, manner .. ms)
      if text ~= "killed: deadline" then assert.matches("^r%a+ed: ", text, nil, manner) end
    end
  end)

  it("may tell in pieces that a session is read-only", function()
    local s = fakepg.start("proper", { show = "on" })
    assert.equal("rows 1 idle", outcome(s, "OPTIONS.write = false " .. STATEMENT, 1.5))
    s = fakepg.start("proper", { show = "off" })
    assert.matches("^login protocol login: the session was to be read%-only and is not: ",
      outcome(s, "OPTIONS.write = false " .. STATEMENT, 1.5))
    s = fakepg.start("proper") -- which says nothing
    assert.matches("^login protocol login: the session was to be read%-only", outcome(s, "OPTIONS.write = false " .. STATEMENT, 1.5))
  end)

  it("is asked to cancel, and left when it does not", function()
    local s = fakepg.start("stall")
    for i = 1, 5 do
      assert.equal("killed: deadline", (run(s.url, [[
        OPTIONS.statement_timeout = 9
        local all = {}
        for j = 1, 4 do all[j] = function()
          local c = assert(pg.connect(URL, OPTIONS))
          c:run("select 1", { n = 0 }, HOW)
        end end
        host.parallel(table.unpack(all))]], { deadline = 300 })))
      assert.equal(4 * i, #s.cancel)
    end
    process.wait(function() return not next(s.sessions) end, 2, "the sessions to end")
  end)

  it("that asks for an hour of SCRAM does not keep the process", function()
    local s = fakepg.start("scram", { iterations = 2147483647 })
    local before = os.time()
    local ok, why = pcall(run, s.url, LOGIN)
    assert.is_false(ok)
    assert.matches("runner ended with code 3", why)
    assert.matches("timeout login: no answer to the login within 0.8 s", why)
    ok, why = pcall(run, s.url, "pg.connect(URL, OPTIONS) host.sleep(9)")
    assert.is_false(ok)
    assert.matches("still keeps a thread busy", why)
    assert.is_true(os.time() - before < 15)
  end)

  it("hears nothing of a password that it did not ask for, and tells none", function()
    for _, url in ipairs({ "postgres://shop:open-sesame@127.0.0.1:%d/shop", "postgres://shop:open%%2Dsesame@127.0.0.1:%d/shop",
      "host=127.0.0.1 user=shop password='open-sesame' port=%d" }) do
      local s = fakepg.start("tells_password")
      local said = outcome({ url = url:format(s.port) }, LOGIN, 2)
      assert.equal("authentication login: not [redacted]", said)
    end
    local s = fakepg.start("tells_password")
    local dir = tree.make({ pgpass = "127.0.0.1:*:*:*:open-sesame\n",
      service = ("[shop]\nhost=127.0.0.1\nport=%d\npassword=open-sesame\n"):format(s.port) })
    assert(uv.fs_chmod(dir .. "/pgpass", tonumber("600", 8)))
    local url = ("postgres://shop@127.0.0.1:%d/shop"):format(s.port)
    assert.equal("authentication login: not [redacted]",
      outcome({ url = url }, LOGIN, 2, { env = { PGPASSFILE = dir .. "/pgpass" } }))
    assert.equal("authentication login: not [redacted]",
      outcome({ url = url .. "?passfile=" .. dir .. "/pgpass" }, LOGIN, 2))
    assert.equal("authentication login: not [redacted]",
      outcome({ url = "service=shop user=shop" }, LOGIN, 2, { env = { PGSERVICEFILE = dir .. "/service" } }))
    assert.equal("authentication login: not [redacted]", outcome({ url = url }, LOGIN, 2, { env = { PGPASSWORD = "open-sesame" } }))
    assert.equal(4, #s.password)
  end)

  it("that does not answer keeps nobody from another", function()
    local silent, proper = fakepg.start("silent"), fakepg.start("proper")
    local body = ("local OTHER = %q "):format(proper.url) .. [[
      local all, took = {}, 0
      for i = 1, 12 do all[i] = function() pg.connect(URL, OPTIONS) end end
      all[13] = function()
        local began = host.now()
        local c, f = pg.connect(OTHER, OPTIONS)
        took = c and host.now() - began or told(f)
      end
      host.parallel(table.unpack(all))
      return took]]
    assert.is_true(tonumber(outcome(silent, body, 6)) < 2)
  end)
end)

-- Proxies that end TLS send records of up to 16 KB.  libpq reads a part of one, OpenSSL keeps the rest, and
-- no descriptor tells of it: the statement timed out with its answer there.
describe("a proxy that ends TLS", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  local function message(kind, body) return string.pack(">c1I4", kind, 4 + #body) .. body end
  local function row(size) return message("D", string.pack(">I2s4", 1, ("x"):rep(size - 11))) end

  -- Two rows, cut so that libpq's buffer takes a part of the second record and has a whole row in it.
  local function answer()
    local text = message("1", "") .. message("2", "")
      .. message("T", string.pack(">I2zI4I2I4i2i4I2", 1, "a", 0, 0, 25, -1, -1, 0)) .. row(12000) .. row(9000)
      .. message("C", "SELECT 2\0") .. message("Z", "I")
    return text:sub(1, -16385), text:sub(-16384)
  end

  local GREETING = message("R", string.pack(">I4", 0)) .. message("S", "server_version\00015.0\0")
    .. message("K", string.pack(">I4I4", 1, 2)) .. message("Z", "I")

  -- What has TLS behind it: openssl, whose input it encrypts.
  local function terminator(port)
    local dir, greeted, answered = tree.make({}), false, false
    certificates.make(dir)
    return process.start("/usr/bin/openssl", { args = { "s_server", "-accept", "127.0.0.1:" .. port, "-quiet",
      "-cert", dir .. "/valid.crt", "-key", dir .. "/valid.key" }, keep_stdin = true, on_output = function(child)
      if not greeted then child:write(GREETING) end
      greeted = true
      if not answered and child.stdout:find("S\0\0\0\4", 1, true) then
        answered = true
        local first, second = answer()
        child:write(first)
        local timer = uv.new_timer()
        timer:start(150, 0, function()
          timer:close()
          child:write(second)
        end)
      end
    end })
  end

  -- Says S to the request for TLS and passes the rest on.
  local function proxy(port)
    return server.tcp(function(client)
      local up, asked = uv.new_tcp(), false
      client:read_start(function(_, data)
        if not data then
          if not up:is_closing() then up:close() end
        elseif asked then
          up:write(data)
        else
          asked = true
          up:connect("127.0.0.1", port, function()
            client:write("S")
            up:read_start(function(_, back) if back and not client:is_closing() then client:write(back) end end)
          end)
        end
      end)
    end)
  end

  it("may send more at once than libpq reads", function()
    local port = daemon.free_port()
    local tls = terminator(port)
    uv.sleep(300)
    local front = proxy(port)
    local said = outcome({ url = ("postgres://u@127.0.0.1:%d/x?sslmode=require"):format(front.port) }, STATEMENT, 2)
    tls:kill()
    tls:join()
    assert.equal("rows 2 idle", said)
  end)
end)
