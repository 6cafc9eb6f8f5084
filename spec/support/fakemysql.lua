-- fakemysql.lua: a MySQL that misbehaves on command, for what a real one will not do.  It logs
-- everybody in, answers housekeeping (set, show, kill) as it should, and shows its manner where
-- MANNERS says.  On the loop of the spec: fakemysql.start(manner), and server.clean().
local server = require "spec.support.server"

local fakemysql = {}

local PROTOCOL_41, SSL, LOCAL_FILES, SECURE, CONNECT_WITH_DB = 0x200, 0x800, 0x80, 0x8000, 8
local PLUGIN_AUTH = 0x80000
local READ_ONLY, SHOWN = "tx_read_only", "ON"
local INTEGER, STRING = 3, 253

-- Packets of the server --------------------------------------------------------

local client = {}
client.__index = client

function client:raw(bytes)
  if not self.socket:is_closing() then self.socket:write(bytes) end
end

function client:send(...)
  for _, payload in ipairs({ ... }) do
    self:raw(string.pack("<I3B", #payload, self.sequence & 255) .. payload)
    self.sequence = self.sequence + 1
  end
end

-- Sends what next() gives for as long as it is taken.
function client:pump(next)
  local function again(err)
    if err or self.socket:is_closing() then return end
    local payload = next()
    local head = string.pack("<I3B", #payload, self.sequence & 255)
    self.sequence = self.sequence + 1
    self.socket:write(head .. payload, again)
  end
  again()
end

function client:hang_up()
  if not self.socket:is_closing() then
    self.socket:shutdown(function() if not self.socket:is_closing() then self.socket:close() end end)
  end
end

local OK, EOF = "\0\0\0\2\0\0\0", "\xfe\0\0\2\0"
local function fault(number, state, text) return "\xff" .. string.pack("<I2", number) .. "#" .. state .. text end

local function column(name, type)
  return string.pack("s1s1s1s1s1s1", "def", "", "", "", name, name)
    .. string.pack("<BI2I4BI2BI2", 12, 45, 11, type or STRING, 0, 0, 0)
end

function client:table(names, ...)
  local packets = { string.char(#names) }
  for _, name in ipairs(names) do packets[#packets + 1] = column(name) end
  packets[#packets + 1] = EOF
  for _, row in ipairs({ ... }) do packets[#packets + 1] = string.pack(("s1"):rep(#row), table.unpack(row)) end
  packets[#packets + 1] = EOF
  self:send(table.unpack(packets))
end

local function greeting(manner)
  local capabilities = PROTOCOL_41 | SECURE | CONNECT_WITH_DB | PLUGIN_AUTH | LOCAL_FILES | (manner.offers_tls and SSL or 0)
  return "\10" .. string.pack("<zI4c8BI2BI2I2Bc10c12Bz", manner.version or "5.5.5-10.11.0-MariaDB", 77, "12345678", 0,
    capabilities & 0xffff, 45, 2, capabilities >> 16, 21, ("\0"):rep(10), "123456789012", 0, "mysql_native_password")
end

local function switch_to(plugin)
  return function(c) c:send("\xfe" .. plugin .. "\0" .. "12345678901234567890123456789012\0") end
end

-- Answers to an executed statement: one column, and rows in the binary protocol.
local function rows(type, ...)
  local all = { ... }
  return function(c)
    c:send("\1", column("answer", type), EOF)
    for _, row in ipairs(all) do c:send("\0\0" .. row) end
    return c
  end
end

local INFINITE = "\0\0" .. string.char(252) .. string.pack("<s2", ("x"):rep(60000))

--- What each does instead: greeting, login (the client's first packet), answer (to an execute).
local MANNERS = {
  good = {},
  silent = { greeting = function() end },
  garbage = { greeting = function(c) c:raw("HTTP/1.1 400 Bad Request\r\n\r\n") end },
  shutting = { greeting = function(c) c:hang_up() end },
  flooding = { greeting = function(c) c:pump(function() return ("x"):rep(1 << 16) end) end },
  gigabyte = { greeting = function(c) c:raw("\xff\xff\xff\0" .. ("x"):rep(1000)) end },
  full = { greeting = function(c) c:send(fault(1040, "08004", "Too many connections")) end },
  ending = { greeting = function(c) c:send(fault(1053, "08S01", "Server shutdown in progress")) end },
  half_tls = { offers_tls = true, login = function(c) c:raw("no TLS here") end },
  silent_tls = { offers_tls = true, login = function() end },
  silent_login = { login = function() end },
  dialog = { login = switch_to("dialog") },
  clear = { login = switch_to("mysql_clear_password") },
  old = { login = switch_to("mysql_old_password") },
  path = { login = switch_to("../../../../tmp/evil") },
  ed25519 = { login = function(c) c:send("\xfeclient_ed25519\0" .. ("n"):rep(32)) end },
  sha2 = { login = switch_to("caching_sha2_password") },
  writable = { shown = "OFF" },
  mysql = { version = "8.0.36" },
  mute = { answer = function() end },
  refusing = { prepare = fault(1295, "HY000", "This command is not supported in the prepared statement protocol yet"),
    text = function(c) c:table({ "a", "b" }, { "1", "two" }) end },
  local_infile = { prepare = fault(1295, "HY000", "not supported"), text = function(c) c:send("\xfb/etc/passwd") end },
  dropping = { answer = function(c) rows(INTEGER, "\1\0\0\0")(c):hang_up() end },
  torn = { answer = rows(STRING, "\252\255\255x") },
  torn_integer = { answer = function(c) rows(STRING)(c):send("\0\0\254" .. ("\255"):rep(8)) end },
  empty_row = { answer = function(c) rows(INTEGER)(c):send("\0") c:send(EOF) end },
  columns = { answer = function(c) c:send("\1") c:pump(function() return column(("c"):rep(200)) end) end },
  many_columns = { answer = function(c) c:send("\254" .. string.pack("<I8", 1 << 40)) c:send(column("a"), EOF) end },
  endless = { answer = function(c) c:send("\1", column("answer"), EOF) c:pump(function() return INFINITE end) end },
  announced = { answer = function(c)
    c:send("\1", column("answer"), EOF)
    c:raw("\xff\xff\xff\4" .. ("x"):rep(1000))
  end },
}

-- One client -----------------------------------------------------------------------

local COMMANDS = {
  ["\1"] = function(c) c:hang_up() end,
  ["\3"] = function(c, body)
    c.server.queries[#c.server.queries + 1] = body
    local word = body:match("^%s*(%a+)"):lower()
    if word == "show" then return c:table({ "Variable_name", "Value" }, { READ_ONLY, c.manner.shown or SHOWN }) end
    if word == "set" or word == "kill" or not c.manner.text then return c:send(OK) end
    c.manner.text(c)
  end,
  ["\22"] = function(c)
    if c.manner.prepare then return c:send(c.manner.prepare) end
    c:send("\0" .. string.pack("<I4I2I2BI2", 1, 1, 0, 0, 0), column("answer", INTEGER), EOF)
  end,
  ["\23"] = function(c)
    if c.manner.answer then return c.manner.answer(c) end
    rows(INTEGER, "\7\0\0\0")(c):send(EOF)
  end,
  ["\25"] = function() end,
}

local function on_packet(c, body)
  if body == "" then return c:send(OK) end -- the end of a file that was not sent
  if c.logged_in then
    local command = COMMANDS[body:sub(1, 1)]
    return command and command(c, body:sub(2)) or nil
  end
  c.server.logins[#c.server.logins + 1] = body
  if c.manner.login and not c.switched then
    c.switched = true
    return c.manner.login(c)
  end
  c.logged_in = true
  c:send(OK)
end

--- Starts one.
-- @param manner a name in MANNERS
-- @return a server with port, url, connections, logins (packets) and queries (text)
function fakemysql.start(name)
  local manner = MANNERS[name] or error("no such manner: " .. tostring(name), 2)
  local self
  self = server.tcp(function(socket)
    local c = setmetatable({ socket = socket, server = self, manner = manner, got = "", sequence = 0 }, client)
    socket:nodelay(true)
    if manner.greeting then manner.greeting(c) else c:send(greeting(manner)) end
    socket:read_start(function(_, data)
      if not data then
        if not socket:is_closing() then socket:close() end
        return
      end
      c.got = c.got .. data
      while #c.got >= 4 and not socket:is_closing() do
        local size = string.unpack("<I3", c.got)
        if #c.got < 4 + size then return end
        c.sequence = c.got:byte(4) + 1
        local body = c.got:sub(5, 4 + size)
        c.got = c.got:sub(5 + size)
        on_packet(c, body)
      end
    end)
  end)
  self.logins, self.queries = {}, {}
  self.url = ("mysql://shop:open%%20sesame@127.0.0.1:%d/shop"):format(self.port)
  return self
end

return fakemysql
