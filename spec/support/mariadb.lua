-- mariadb.lua: real MariaDB servers for specs, each on a free port of loopback
-- and on a socket in its directory.  End with mariadb.clean(), usually in teardown.
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"

local mariadb = { clean = daemon.clean }
local server = {}
server.__index = server

-- The same for the template and for the servers, or InnoDB does not know its files.
local INNODB = { "--innodb-log-file-size=4M", "--innodb-data-file-path=ibdata1:12M:autoextend",
  "--innodb-autoextend-increment=1" }
local SETTINGS = { "--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=8M",
  "--innodb-flush-log-at-trx-commit=0", "--key-buffer-size=64K", "--aria-pagecache-buffer-size=1M",
  "--skip-log-bin", "--character-set-server=utf8mb4" }

local function join(...)
  local all = {}
  for _, list in ipairs({ ... }) do table.move(list, 1, #list, #all + 1, all) end
  return all
end

-- The files of an empty server, whose root needs no password over the socket.
local function template()
  local version = daemon.run({ "/usr/sbin/mariadbd", "--version" }):match("Ver (%d[%d.]*)")
  return daemon.template("mariadb-" .. version, function(path)
    daemon.run(join({ "/usr/bin/mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
      "--skip-test-db", "--skip-name-resolve", "--datadir=" .. path }, INNODB), path:match("^(.*)/"))
  end) .. "/data"
end

-- The server presents the certificate of that name.
local function prepare_tls(self, name)
  local dir = daemon.certificates(self.dir)
  self.ca = dir .. "/ca.crt"
  self.tls = { "--ssl-ca=" .. self.ca, ("--ssl-cert=%s/%s.crt"):format(dir, name), ("--ssl-key=%s/%s.key"):format(dir, name) }
end

--- Starts a server that was stopped, and waits until it accepts sessions.
function server:start()
  self.child = daemon.spawn(join({ "/usr/sbin/mariadbd" }, SETTINGS, INNODB, self.tls or {}, self.options.settings or {},
    { "--datadir=" .. self.dir .. "/data", "--socket=" .. self.socket, "--port=" .. self.port,
      "--pid-file=" .. self.dir .. "/pid" }), self.dir, "KILL")
  daemon.wait(function()
    if self.child.code then error("MariaDB ended: " .. self:log(), 0) end
    return self:log():find("ready for connections", 1, true)
  end, 30, "MariaDB to start")
  return self
end

--- Ends it; by "sigkill" as a machine does that loses its power.
function server:stop(signal)
  if not self.child then return end
  self:thaw()
  daemon.finish(self.child, signal or "sigterm", 30)
  self.child = nil
end

--- Stops it where it is: connections are established, and nothing ever answers.  thaw() ends it.
function server:freeze() self.child:kill("sigstop") end
function server:thaw() self.child:kill("sigcont") end

--- What the server has logged since it was started.
function server:log() return daemon.log(self.dir) end

--- Runs SQL as root over the socket: the rows as text, their fields parted by tabs.
function server:sql(text, database)
  local run = process.run("/usr/bin/mariadb", { args = { "--no-defaults", "-N", "-B", "-u", "root", "-S", self.socket,
    database }, stdin = text, seconds = 30 })
  if run.code ~= 0 then error("mariadb: " .. run.stdout .. run.stderr, 2) end
  return (run.stdout:gsub("\n$", ""))
end

--- The sessions of a user: lists of id, database, command, time (s), state, query.
function server:sessions(user)
  local rows = {}
  for line in self:sql(("select id, db, command, time, state, info from information_schema.processlist "
    .. "where user = '%s' order by id"):format(user)):gmatch("[^\n]+") do
    local row = {}
    for field in (line .. "\t"):gmatch("(.-)\t") do row[#row + 1] = field end
    rows[#rows + 1] = row
  end
  return rows
end

--- The address of the server.
-- @param with user (root), password (false: none; else the one the user was made with), database, host (127.0.0.1)
function server:url(with)
  with = with or {}
  local user = with.user or "root"
  local password = with.password
  if password == nil then password = (self.options.users or {})[user] end
  return ("mariadb://%s%s@%s:%d/%s"):format(daemon.encode(user), type(password) == "string" and ":" .. daemon.encode(password) or "",
    with.host or "127.0.0.1", with.port or self.port, daemon.encode(with.database or ""))
end

local function populate(self)
  local script = {}
  for user, password in pairs(self.options.users or {}) do
    script[#script + 1] = ("create user '%s'@'%%'%s;"):format(user,
      type(password) == "string" and " identified by '" .. password:gsub("['\\]", "\\%0") .. "'" or "")
  end
  for database, schema in pairs(self.options.databases or {}) do
    script[#script + 1] = ("create database `%s`; use `%s`;\n%s\n;"):format(database, database, schema)
  end
  if #script > 0 then self:sql(table.concat(script, "\n")) end
end

--- Starts a new server.
-- @param options settings (a list of arguments: "--max-connections=3"), users (name -> password, or true for none),
--   databases (name -> SQL to run in it, grants too), tls (true, or the name of the certificate: valid expired other self)
-- @return it, with dir, socket, port, ca (a file, with tls)
function mariadb.start(options)
  options = options or {}
  local self = setmetatable({ options = options, dir = daemon.directory(), port = daemon.free_port() }, server)
  self.socket = self.dir .. "/socket"
  daemon.register(self)
  daemon.copy(template(), self.dir .. "/data")
  if options.tls then prepare_tls(self, options.tls == true and "valid" or options.tls) end
  self:start()
  populate(self)
  return self
end

return mariadb
