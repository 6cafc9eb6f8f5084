-- with_postgres.lua: runs a command beside a PostgreSQL of its own.
--
--   lua5.4 spec/support/with_postgres.lua COMMAND [ARGUMENT...]
--
-- The command finds in its environment, and tools/test.lua runs so every C test
-- whose source names the first:
--   PG_TEST_URL         the superuser, who needs no password
--   PG_TEST_LOGIN_URL   the user shop, who logs in by SCRAM with the password "open sesame"
--   PG_TEST_SOCKET_URL  the superuser, over the socket
--   PG_TEST_TLS_URL     the user shop, over TLS, the certificate verified; the others say sslmode=disable
--   PG_TEST_PORT        for a target of another kind
-- The database is `postgres`, empty.  The exit status is the command's; both end together.
local postgres = require "spec.support.postgres"
local process = require "spec.support.process"
local uv = require "luv"

local OPTIONS = { tls = true, users = { shop = "open sesame" }, settings = { listen_addresses = "127.0.0.1,::1" },
  hba = { "host all postgres ::1/128 trust" } }

local function environment(cluster)
  local all, list = uv.os_environ(), {}
  local plain = { sslmode = "disable" }
  all.PG_TEST_URL = cluster:url({ params = plain })
  all.PG_TEST_LOGIN_URL = cluster:url({ user = "shop", params = plain })
  all.PG_TEST_SOCKET_URL = cluster:url({ socket = true })
  all.PG_TEST_TLS_URL = cluster:url({ user = "shop", params = { sslmode = "verify-full", sslrootcert = cluster.ca } })
  all.PG_TEST_PORT = cluster.port
  for name, value in pairs(all) do list[#list + 1] = name .. "=" .. value end
  return list
end

local function run(cluster)
  local code, signal
  local child, why = uv.spawn("/usr/bin/setpriv", { args = { "--pdeathsig", "KILL", table.unpack(arg) },
    env = environment(cluster), stdio = { 0, 1, 2 } }, function(...) code, signal = ... end)
  assert(child, why)
  for _, name in ipairs({ "sigint", "sigterm" }) do -- both come to their end, and then this
    uv.new_signal():start(name, function() child:kill(name) end)
  end
  process.wait(function() return code end, math.huge)
  return signal ~= 0 and 128 + signal or code
end

if #arg == 0 then
  io.stderr:write("usage: with_postgres.lua COMMAND [ARGUMENT...]\n")
  os.exit(4)
end
local ok, code = pcall(function() return run(postgres.start(OPTIONS)) end)
postgres.clean()
if not ok then io.stderr:write("with_postgres: ", tostring(code), "\n") end
uv.walk(function(handle) if not handle:is_closing() then handle:close() end end)
uv.run()
os.exit(ok and code or 1)
