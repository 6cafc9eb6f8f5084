-- postgres.lua: real PostgreSQL clusters for specs, each a server of its own on
-- a free port of loopback and on a socket in its directory.  End with
-- postgres.clean(), usually in teardown.
--
-- What the server lets in, unless options.hba has lines before: everybody over
-- the socket; over TCP `postgres` without a password and all others by
-- SCRAM; the superuser may replicate over the socket.
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"
local psql = require "spec.support.psql"
local tree = require "spec.support.tree"
local uv = require "luv"

local postgres = { clean = daemon.clean, bin = psql.bin }
local cluster = {}
cluster.__index = cluster

local SETTINGS = {
  listen_addresses = "127.0.0.1", fsync = "off", synchronous_commit = "off", full_page_writes = "off",
  autovacuum = "off", jit = "off", huge_pages = "off", shared_buffers = "4MB", max_connections = 50,
  max_wal_size = "64MB", wal_level = "replica", dynamic_shared_memory_type = "mmap", log_min_messages = "info",
  wal_receiver_status_interval = "1s", wal_retrieve_retry_interval = "100ms", timezone = "UTC",
}

local HBA = [[
local all all trust
local replication all trust
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
]]

-- A cluster as initdb makes it: a second of work, done once a build directory.
local function template()
  local version = daemon.run({ psql.bin .. "/postgres", "--version" }):match("%d[%d.]*")
  return daemon.template("postgres-" .. version, function(path)
    daemon.run({ psql.bin .. "/initdb", "--no-sync", "--auth=trust", "--username=postgres", "--locale=C",
      "--encoding=UTF8", "--wal-segsize=1", "-D", path }, path:match("^(.*)/"))
  end) .. "/data"
end

local function new(options)
  local self = setmetatable({ options = options, dir = daemon.directory(), port = daemon.free_port() }, cluster)
  self.data = self.dir .. "/data"
  return daemon.register(self)
end

local function configure(self)
  local settings = { port = self.port, unix_socket_directories = self.dir }
  for _, from in ipairs({ SETTINGS, self.tls or {}, self.options.settings or {} }) do
    for name, value in pairs(from) do settings[name] = value end
  end
  local lines = {}
  for name, value in pairs(settings) do
    lines[#lines + 1] = ("%s = '%s'\n"):format(name, (tostring(value):gsub("'", "''")))
  end
  tree.write(self.data .. "/postgresql.conf", table.concat(lines))
  tree.write(self.data .. "/pg_hba.conf", table.concat(self.options.hba or {}, "\n") .. "\n" .. HBA)
end

-- The server presents the certificate of that name and lets clients present theirs.
local function prepare_tls(self, name)
  local dir = daemon.certificates(self.dir)
  self.ca = dir .. "/ca.crt"
  self.tls = { ssl = "on", ssl_ca_file = self.ca, ssl_cert_file = ("%s/%s.crt"):format(dir, name),
    ssl_key_file = ("%s/%s.key"):format(dir, name) }
end

-- The server tells its state in a line of its pid file: "starting", "ready" or "standby".
local function state(self)
  local file = io.open(self.data .. "/postmaster.pid", "r")
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text:match("^(%d+)\n") == tostring(self.child.pid) and text:match("\n(%a+) *\n$") or "absent"
end

local function is_up(self, wait)
  local now = state(self)
  if self.child.code then error("PostgreSQL ended: " .. self:log(), 0) end
  if wait == false then return now ~= "absent" end
  if wait == "recovery" then return self:log():find("consistent recovery state reached", 1, true) end
  return now == "ready" or now == "standby"
end

--- Starts a server that was stopped.
-- @param wait nothing: until it accepts sessions; false: until it listens, and says that it is starting up;
--   "recovery": until it is a standby that can be read, or, without hot_standby, refuses to be
function cluster:start(wait)
  self.child = daemon.spawn({ psql.bin .. "/postgres", "-D", self.data }, self.dir, "QUIT")
  daemon.wait(function() return is_up(self, wait) end, 20, "PostgreSQL to start")
  return self
end

--- Starts a server that says "the database system is starting up" until release() is called.
function cluster:start_held()
  local signal, settings = self.data .. "/recovery.signal", self.options.settings or {}
  tree.write(signal, "")
  daemon.own(signal)
  self.options.settings = settings
  settings.restore_command = ("while [ ! -e %s/release ]; do sleep 0.01; done; false"):format(self.dir)
  configure(self)
  settings.restore_command = nil
  return self:start(false)
end

--- Lets a held server go on, and waits until it is up.
function cluster:release()
  tree.write(self.dir .. "/release", "")
  daemon.wait(function() return is_up(self) end, 20, "PostgreSQL to start")
end

local SIGNALS = { smart = "sigterm", fast = "sigint", immediate = "sigquit" }

--- Stops the server: "smart" (waits for the sessions), "fast" (which is meant by nothing) or "immediate".
function cluster:stop(mode)
  if not self.child then return end
  self:thaw()
  daemon.finish(self.child, SIGNALS[mode or "fast"])
  self.child = nil
end

--- Stops and starts; its port stays.
function cluster:restart(mode)
  self:stop(mode)
  return self:start()
end

-- The server and its processes, one a session and some of its own.
local function processes(self)
  local list = { self.child.pid }
  for pid in process.run("/usr/bin/pgrep", { args = { "-P", tostring(self.child.pid) } }).stdout:gmatch("%d+") do
    list[#list + 1] = tonumber(pid)
  end
  return list
end

local function signal_all(self, name)
  uv.kill(self.child.pid, "sigstop") -- it must not start others meanwhile
  for _, pid in ipairs(processes(self)) do uv.kill(pid, name) end
end

--- Kills the server and all its processes, as a machine does that loses its power.
function cluster:kill()
  local file = assert(io.open(self.data .. "/postmaster.pid"))
  local memory = file:read("a"):match("\n *%d+ +(%d+) *\n%a+ *\n$")
  file:close()
  signal_all(self, "sigkill")
  self.child:join(10)
  self.child = nil
  if memory then process.run("/usr/bin/ipcrm", { args = { "-m", memory } }) end
end

--- Stops all processes where they are: connections are established, and nothing ever answers.  thaw() ends it.
function cluster:freeze()
  signal_all(self, "sigstop")
  self.frozen = true
end

function cluster:thaw()
  if self.frozen then signal_all(self, "sigcont") end
  self.frozen = nil
end

--- What the server has logged since it was started.
function cluster:log() return daemon.log(self.dir) end

cluster.sql, cluster.rows, cluster.session = psql.sql, psql.rows, psql.session

--- The address of the server as hospital is told it.
-- @param with user (postgres), password (false: none; else the one the user was made with), database (postgres),
--   host (127.0.0.1), port, socket (true: by the socket), params (name -> value)
function cluster:url(with)
  with = with or {}
  local user, params = with.user or "postgres", {}
  local password = with.password
  if password == nil then password = (self.options.users or {})[user] end
  local authority = daemon.encode(user) .. (type(password) == "string" and ":" .. daemon.encode(password) or "") .. "@"
  for name, value in pairs(with.params or {}) do params[#params + 1] = name .. "=" .. daemon.encode(value) end
  if with.socket then
    table.move({ "host=" .. daemon.encode(self.dir), "port=" .. self.port }, 1, 2, #params + 1, params)
  else
    authority = ("%s%s:%s"):format(authority, with.host or "127.0.0.1", with.port or self.port)
  end
  table.sort(params)
  return ("postgres://%s/%s%s"):format(authority, daemon.encode(with.database or "postgres"),
    #params > 0 and "?" .. table.concat(params, "&") or "")
end

--- The sessions whose application_name begins with prefix (that of hospital, unless given): lists of pid, user,
-- database, state, application_name, query.
function cluster:sessions(prefix)
  return self:rows(("select pid, usename, datname, state, application_name, query from pg_stat_activity "
    .. "where application_name like '%s%%' and backend_type = 'client backend' order by pid"):format(prefix or "hospital/"))
end

--- The locks on tables that such sessions hold or wait for in a database: lists of table, mode, granted (t, f), pid.
function cluster:locks(database, prefix)
  return self:rows(("select relation::regclass, mode, granted, l.pid from pg_locks l join pg_stat_activity a using (pid) "
    .. "where locktype = 'relation' and application_name like '%s%%' order by 1, 2, 4"):format(prefix or "hospital/"), database)
end

--- Waits until the SQL answers the expected text.
function cluster:wait(text, expected, seconds, database)
  local got
  daemon.wait(function()
    got = self:sql(text, database)
    return got == expected
  end, seconds or 10, ("%s to be %s"):format(text, expected))
end

--- A standby that follows this server by streaming; start it anew with start("recovery") when options.settings
-- has hot_standby = "off".  options: settings (added to those of the primary), wait (as of start)
function cluster:replica(options)
  options = options or {}
  local own = { hba = self.options.hba, users = self.options.users, settings = {} }
  for _, from in ipairs({ self.options.settings or {}, options.settings or {} }) do
    for name, value in pairs(from) do own.settings[name] = value end
  end
  local other = new(own)
  other.primary, other.tls, other.ca = self, self.tls, self.ca
  daemon.run({ psql.bin .. "/pg_basebackup", "-h", self.dir, "-p", self.port, "-U", "postgres", "-D", other.data,
    "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync" }, other.dir)
  configure(other)
  return other:start(options.wait or own.settings.hot_standby == "off" and "recovery" or nil)
end

--- Has a standby receive and not apply; resume_replay() ends it.
function cluster:pause_replay()
  self:sql("select pg_wal_replay_pause()")
  self:wait("select pg_get_wal_replay_pause_state()", "paused")
end

function cluster:resume_replay() self:sql("select pg_wal_replay_resume()") end

--- Waits until a standby has applied what its primary has written by now.
function cluster:catch_up()
  local at = self.primary:sql("select pg_current_wal_lsn()")
  self:wait(("select pg_last_wal_replay_lsn() >= '%s'"):format(at), "t")
end

--- Makes a primary of a standby.
function cluster:promote() self:sql("select pg_promote(true, 15)") end

local function quoted(text, mark) return mark .. text:gsub(mark, mark .. mark) .. mark end

local function populate(self)
  local script = {}
  for user, password in pairs(self.options.users or {}) do
    script[#script + 1] = ("create role %s login%s;"):format(quoted(user, '"'),
      type(password) == "string" and " password " .. quoted(password, "'") or "")
  end
  script[#script + 1] = (self.options.schema or "") .. "\n;"
  for database, schema in pairs(self.options.databases or {}) do
    script[#script + 1] = ("\\connect postgres\ncreate database %s;\n\\connect %s\n%s\n;"):format(quoted(database, '"'),
      quoted(database, '"'), schema)
  end
  if #script > 0 then self:sql(table.concat(script, "\n")) end
end

--- Starts a new cluster.
-- @param options settings (name -> value, as in postgresql.conf), hba (lines that go first), users (name ->
--   password, or true for none), databases (name -> SQL to run in it), schema (SQL to run in the database
--   postgres), tls (true, or the name of the certificate: valid expired other self)
-- @return it, with dir (also that of the socket), port, data, ca (a file, with tls)
function postgres.start(options)
  options = options or {}
  local self = new(options)
  daemon.copy(template(), self.data)
  if options.tls then prepare_tls(self, options.tls == true and "valid" or options.tls) end
  configure(self)
  self:start()
  populate(self)
  return self
end

return postgres
