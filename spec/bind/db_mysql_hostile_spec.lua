-- The driver for MySQL against servers that do what none should: nothing hangs, nothing grows,
-- and no password goes where it should not.
local fakemysql = require "spec.support.fakemysql"
local script = require "spec.support.script"
local server = require "spec.support.server"
local uv = require "luv"

uv.os_setenv("SSL_CERT_FILE", "")

local HEAD = [[
local M, host = import "hospital.core.mysql", import "hospital.host"
local function told(result, why)
  if result then return "ok" end
  return why.kind .. ": " .. why.message .. " [" .. why.phase .. (why.closed and " closed" or "") .. "]"
end
local function open(query)
  return M.connect(URL .. (query or ""), { timeout = 0.5, write = false, statement_timeout = 0.5, lock_timeout = 1,
    idle_timeout = 60, application_name = "hospital/spec", numeric = "string" })
end
local function run(conn) return conn:run("select 1 as answer", { n = 0 }, { shape = "named", max_rows = 10, max_bytes = 100000 }) end
]]

describe("the driver for MySQL, when the server misbehaves,", function()
  after_each(server.clean)

  local function run(manner, text, options)
    local fake = fakemysql.start(manner)
    local outcome, milliseconds = script.run(("local URL = %q "):format(fake.url) .. HEAD .. text, options)
    assert.is_true(milliseconds < 2500, milliseconds .. " ms")
    for _, login in ipairs(fake.logins) do assert.is_nil(login:find("sesame", 1, true), "the password was sent") end
    return outcome, fake
  end
  local function tells(wanted, manner, text, options)
    local outcome = run(manner, text or "return told(open())", options)
    assert.is_truthy(outcome:find(wanted, 1, true), ("%s: %s\n  does not say\n%s"):format(manner, outcome, wanted))
  end

  it("works with one that behaves", function()
    tells("returned: 7 MariaDB", "good", [[local c = open() return run(c).rows[1].answer .. " " .. c:info().server]])
    local outcome, fake = run("mysql", [[local c = open() return run(c).rows[1].answer .. " " .. c:info().server]])
    assert.equal("returned: 7 MySQL", outcome)
    assert.is_truthy(table.concat(fake.queries, "\n"):find("max_execution_time=500", 1, true))
  end)

  it("ends at the greeting", function()
    tells("timeout: no answer to the login within 0.5 s [login closed]", "silent")
    tells("protocol: what answers there does not speak MySQL's protocol [login closed]", "garbage")
    tells("closed: the server closed the connection while logging in", "shutting")
    tells("[login closed]", "flooding")
    tells("[login closed]", "gigabyte")
    tells("too_many_connections: too many connections [login closed]", "full")
    tells("starting_up: server shutdown in progress [login closed]", "ending")
  end)

  it("ends at TLS", function()
    tells("tls: the server offers no TLS, and ssl-mode asks for it [tls closed]", "good", "return told(open('?ssl-mode=required'))")
    tells("tls: the server offers no TLS, and ssl-mode asks for it [tls closed]", "good", "return told(open('?ssl-mode=verify_identity'))")
    tells("tls: ", "half_tls")
    tells("timeout: no TLS session within 0.5 s [tls closed]", "silent_tls")
  end)

  it("says no word of the login to one without TLS when it is required", function()
    local _, fake = run("good", "return told(open('?ssl-mode=required'))")
    assert.equal(0, #fake.logins)
  end)

  it("ends at the login", function()
    tells("timeout: no answer to the login within 0.5 s [login closed]", "silent_login")
    for _, plugin in ipairs({ "dialog", "clear", "old", "path" }) do tells("authentication: ", plugin) end
    tells("protocol: the session was to be read-only and is not", "writable")
  end)

  it("knows the plugins that do no harm", function()
    tells("returned: ok", "ed25519")
    tells("[login closed]", "sha2")
  end)

  it("ends at a statement", function()
    tells("timeout: no answer within 0.5 s, nor did the server end it by itself [query closed]", "mute", "return told(run(open()))")
    tells("closed: the server closed the connection", "dropping", "return told(run(open()))")
    tells("protocol: ", "torn_integer", "return told(run(open()))")
    tells("limit: the server sends a message longer than a result may be (max_bytes)", "columns", "return told(run(open()))")
    tells("limit: ", "endless", "return told(run(open()))")
    tells("[query closed]", "many_columns", "return told(run(open()))")
    tells("[query closed]", "announced", "return told(run(open()))")
    run("torn", "return told(run(open()))")
    run("empty_row", "return told(run(open()))")
  end)

  it("keeps files to itself", function()
    local outcome, fake = run("local_infile", "return told(run(open()))")
    assert.is_truthy(outcome:find("forbidden", 1, true), outcome)
    assert.is_nil(table.concat(fake.queries):find("root:", 1, true))
  end)

  it("goes over to text where a statement cannot be prepared", function()
    tells("returned: 1two", "refusing", "local r = run(open()).rows[1] return r.a .. r.b")
    tells("query: This command is not supported", "refusing", [[
      return told(open():run("select ?", { n = 1, 5 }, { shape = "named" }))]])
  end)

  it("may be killed anywhere", function()
    for _, manner in ipairs({ "silent", "silent_tls", "silent_login", "mute", "endless", "columns", "announced" }) do
      for ms = 0, 40, 10 do
        local outcome = run(manner, "while true do local c = open() if c then run(c) end end", { deadline = ms })
        assert.equal("killed: deadline", outcome, manner)
      end
    end
  end)
end)
