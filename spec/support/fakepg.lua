-- fakepg.lua: a PostgreSQL that misbehaves on command, for what a real one will
-- not do.  It logs everybody in, answers housekeeping (set, begin, rollback, …)
-- as it should, and shows its manner where MANNERS says.
--
-- In a spec, on the loop of the spec: fakepg.start(manner, options), and server.clean().
-- Beside a test in C, until its parent ends:
--
--   lua5.4 spec/support/fakepg.lua MANNER [OPTION=VALUE...]
--
-- prints its URL, and then a line for each startup, query, cancel and password.
local server = require "spec.support.server"
local uv = require "luv"

local fakepg = {}

local SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
local GIGABYTE = 1 << 30

-- Messages of the server -------------------------------------------------------

local function message(kind, ...) return string.pack(">c1I4", kind, 4 + #table.concat({ ... })) .. table.concat({ ... }) end

local function fault(kind, severity, sqlstate, text)
  return message(kind, ("S%s\0V%s\0C%s\0M%s\0\0"):format(severity, severity, sqlstate, text))
end

local function row(value) return message("D", string.pack(">I2s4", 1, value)) end

local COLUMN = message("T", string.pack(">I2zI4I2I4i2i4I2", 1, "answer", 0, 0, 25, -1, -1, 0))
local AUTHENTICATED = message("R", string.pack(">I4", 0))
local NOTICE = fault("N", "NOTICE", "00000", ("by the way "):rep(20))

-- One client -------------------------------------------------------------------

local client = {}
client.__index = client

function client:send(...)
  if not self.socket:is_closing() then self.socket:write(table.concat({ ... })) end
end

-- Sends bytes for as long as they are taken.
function client:pump(bytes)
  local function again(err)
    if not err and not self.socket:is_closing() then self.socket:write(bytes, again) end
  end
  again()
end

-- Closes when what was sent is gone.
function client:hang_up()
  if not self.socket:is_closing() then
    self.socket:shutdown(function() if not self.socket:is_closing() then self.socket:close() end end)
  end
end

function client:ready() self:send(message("Z", self.transaction)) end

function client:log_in()
  self:send(AUTHENTICATED, message("S", "server_version\00015.0\0"), message("S", "client_encoding\0UTF8\0"),
    message("S", "standard_conforming_strings\0on\0"), message("K", string.pack(">I4I4", self.pid, self.key)))
  self:ready()
end

function client:describe()
  if not self.described then self:send(COLUMN) end
  self.described = true
end

-- Ends a statement; in the extended protocol Sync asks for the rest, and may have done so already.
function client:complete(...)
  self:send(...)
  self.described, self.unanswered = false, false
  if self.simple or self.synced then self:ready() end
  self.synced = false
end

function client:answer()
  self:describe()
  self:complete(row("1"), message("C", "SELECT 1\0"))
end

local function refusal(severity, options)
  return fault("E", severity, options.sqlstate or "XX000", options.message or "refused by fakepg")
end

-- Manners ----------------------------------------------------------------------
-- connected: when a client comes; ssl: at its SSLRequest; startup: instead of logging it in; password: at what it
-- answers; query: instead of answering; each a function(client, options, text).

local MANNERS = {
  proper = {},
  silent = { connected = function(c) c.deaf = true end },
  hangs_up = { connected = function(c) c:hang_up() end },
  garbage = { startup = function(c) c:send(("\xde\xad\xbe\xef"):rep(1024)) end },
  stall_login = { startup = function() end },
  error_at_login = { startup = function(c, options)
    c:send(refusal("FATAL", options))
    c:hang_up()
  end },
  notices_at_login = { startup = function(c) c:pump(NOTICE:rep(200)) end },
  cleartext = { startup = function(c) c:send(message("R", string.pack(">I4", 3))) end },
  md5 = { startup = function(c) c:send(message("R", string.pack(">I4c4", 5, "salt"))) end },
  scram = { -- asks for so many iterations (option), and proves itself wrongly
    startup = function(c) c:send(message("R", string.pack(">I4zz", 10, "SCRAM-SHA-256", ""))) end,
    password = function(c, options, text)
      local nonce = text:match("r=([^,\0]+)$")
      if not nonce then return c:send(message("R", string.pack(">I4", 12), "v=" .. ("A"):rep(43) .. "=")) end
      c:send(message("R", string.pack(">I4", 11), ("r=%sx,s=c2FsdHNhbHQ=,i=%d"):format(nonce, options.iterations or 4096)))
    end,
  },
  ssl_garbage = { ssl = function(c) c:send(("\xde\xad\xbe\xef"):rep(1024)) end },
  ssl_error = { ssl = function(c, options)
    c:send(refusal("FATAL", options))
    c:hang_up()
  end },
  ssl_stall = { ssl = function(c) c:send("S") end },
  ssl_injected = { ssl = function(c) c:send("S", AUTHENTICATED) end }, -- in plain text, before the handshake
  stall = { query = function() end },
  error = { query = function(c, options) c:complete(refusal("ERROR", options)) end },
  torn_row = { query = function(c)
    c:describe()
    c:send(row(("x"):rep(1000)):sub(1, 500))
    c:hang_up()
  end },
  huge_row = { query = function(c)
    c:describe()
    c:send(string.pack(">c1I4I2I4", "D", GIGABYTE, 1, GIGABYTE - 10))
    c:pump(("x"):rep(1 << 24))
  end },
  huge_error = { query = function(c)
    c:send(string.pack(">c1I4", "E", GIGABYTE), "SERROR\0CXX000\0M")
    c:pump(("x"):rep(1 << 24))
  end },
  rows = { query = function(c)
    c:describe()
    c:pump(row(("x"):rep(100)):rep(500))
  end },
  notices = { query = function(c) c:pump(NOTICE:rep(200)) end },
  parameters = { query = function(c) c:pump(message("S", "application_name\0" .. ("x"):rep(1000) .. "\0"):rep(50)) end },
}

-- What a client says -----------------------------------------------------------

local HOUSEKEEPING = { set = "I", reset = "I", show = "I", discard = "I", deallocate = "I", begin = "T", start = "T",
  savepoint = "T", commit = "I", rollback = "I", ["end"] = "I", abort = "I" }

local function run(c, text)
  local word = (text:match("^%s*(%a+)") or ""):lower()
  local state = HOUSEKEEPING[word]
  c.server:note("query", text)
  if state then
    if word ~= "set" and word ~= "show" then c.transaction = state end
    return c:complete(message("C", word:upper() .. "\0"))
  end
  c.asked = c.asked + 1
  local manner = MANNERS[c.server.manner].query
  if not manner or c.asked <= (c.server.options.after or 0) then return c:answer() end
  c.unanswered = true
  manner(c, c.server.options, text)
end

local MESSAGES = {
  Q = function(c, body)
    c.simple = true
    run(c, body:match("^[^\0]*"))
  end,
  P = function(c, body)
    c.simple, c.statement = false, body:match("^[^\0]*\0([^\0]*)")
    c:send(message("1"))
  end,
  B = function(c) c:send(message("2")) end,
  D = function(c, body)
    if body:sub(1, 1) == "S" then c:send(message("t", "\0\0")) end
    local word = (c.statement:match("^%s*(%a+)") or ""):lower()
    if HOUSEKEEPING[word] then c:send(message("n")) else c:describe() end
  end,
  E = function(c) run(c, c.statement) end,
  C = function(c) c:send(message("3")) end,
  S = function(c)
    c.synced = c.unanswered
    if not c.synced then c:ready() end
  end,
  X = function(c) c:hang_up() end,
  p = function(c, body)
    c.server:note("password", body)
    local manner = MANNERS[c.server.manner].password
    if manner then manner(c, c.server.options, body) else c:log_in() end
  end,
}

local function on_cancel(c, body)
  local pid, key = string.unpack(">I4I4", body)
  c.server:note("cancel", ("%d %d"):format(pid, key))
  c:hang_up()
  local other = c.server.sessions[pid]
  if other and other.key == key and c.server.options.obey then
    other:complete(fault("E", "ERROR", "57014", "canceling statement due to user request"))
  end
end

-- The first packet, or the one after a request for encryption.
local function on_startup(c, code, body)
  local manner = MANNERS[c.server.manner]
  if code == CANCEL_REQUEST then return on_cancel(c, body) end
  if code == GSS_REQUEST then return c:send("N") end
  if code == SSL_REQUEST then
    if manner.ssl then return manner.ssl(c, c.server.options) end
    return c:send("N")
  end
  c.started = true
  c.server:note("startup", (body:gsub("%z+$", ""):gsub("%z", " ")))
  if manner.startup then manner.startup(c, c.server.options) else c:log_in() end
end

-- Takes one packet off what came; true when there was one.
local function take(c)
  local head = c.started and 5 or 8
  if #c.got < head then return false end
  local size = string.unpack(">I4", c.got, head == 5 and 2 or 1) + (c.started and 1 or 0)
  if #c.got < size then return false end
  local packet = c.got:sub(1, size)
  c.got = c.got:sub(size + 1)
  if not c.started then
    on_startup(c, string.unpack(">I4", packet, 5), packet:sub(9))
  elseif MESSAGES[packet:sub(1, 1)] then
    MESSAGES[packet:sub(1, 1)](c, packet:sub(6))
  end
  return true
end

local function on_connection(self, socket)
  local pid = 1000 + self.connections
  local c = setmetatable({ socket = socket, server = self, got = "", asked = 0, transaction = "I", pid = pid,
    key = math.random(1, 1 << 30) }, client)
  socket:nodelay(true)
  self.sessions[pid] = c
  local manner = MANNERS[self.manner].connected
  if manner then manner(c, self.options) end
  socket:read_start(function(_, data)
    if not data then
      self.sessions[pid] = nil
      if not socket:is_closing() then socket:close() end
    elseif not c.deaf then
      c.got = c.got .. data
      while not socket:is_closing() and take(c) do end
    end
  end)
end

--- Starts one.
-- @param manner a name in MANNERS
-- @param options sqlstate and message of what is refused; iterations (of scram); after (queries answered as they
--   should be, before the manner shows); obey (true: a cancel ends the statement)
-- @return a server with port, url, connections and the lists startup, query, cancel ("pid key"), password; the table
--   sessions, by pid, has pid and key of those that are open
function fakepg.start(manner, options)
  if not MANNERS[manner] then error("no such manner: " .. tostring(manner), 2) end
  local self
  self = server.tcp(function(socket) on_connection(self, socket) end)
  self.manner, self.options, self.sessions = manner, options or {}, {}
  self.startup, self.query, self.cancel, self.password = {}, {}, {}, {}
  self.url = ("postgres://shop:open-sesame@127.0.0.1:%d/shop"):format(self.port)
  function self.note(_, what, text)
    self[what][#self[what] + 1] = text
    if self.options.on_note then self.options.on_note(what, text) end
  end
  return self
end

local function main(manner, ...)
  local options, parent, tick = {}, uv.os_getppid(), uv.new_timer()
  for _, one in ipairs({ ... }) do
    local name, value = one:match("^(%w+)=(.*)$")
    options[name] = tonumber(name ~= "sqlstate" and value or nil) or value
  end
  local function say(...)
    io.stdout:write(table.concat({ ... }, " "), "\n")
    io.stdout:flush()
  end
  options.on_note = function(what, text) say(what, (text:gsub("%c", "?"))) end
  uv.new_signal():start("sigpipe", function() end)
  say(fakepg.start(manner, options).url)
  tick:start(50, 50, function() if uv.os_getppid() ~= parent then os.exit(0) end end)
  uv.run()
end

if arg and (arg[0] or ""):match("fakepg%.lua$") then main(table.unpack(arg)) end

return fakepg
