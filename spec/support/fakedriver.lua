-- fakedriver.lua - a database driver as src/README.md has it, without a database: it
-- keeps the state of a transaction as a server would, records what it was told and
-- plays the answers it was given.
--
--   local driver = fakedriver.new("postgres")
--   driver.answers["select 1"] = { columns = { "x" }, { 1 } }   -- rows by position
--   driver.answers["^insert"] = function(conn, sql, parameters, how) return nil, { kind = "constraint", … } end
local fakedriver = {}

local methods = {}

local function words(sql) return (sql:upper():gsub("%s+", " "):gsub("^ ", "")) end

-- What one statement does to the transaction; its tag, or nil and a fault.
local function obey(conn, sql)
  local text = words(sql)
  local first = text:match("^%a+") or ""
  local inside = conn.now ~= "idle"
  local function fault(message) return nil, { kind = "query", message = message, phase = "query" } end
  if first == "BEGIN" or text:find("^START TRANSACTION") then
    if not inside then conn.now, conn.savepoints = "transaction", {} end
    conn.number = (conn.number or 0) + (inside and 0 or 1)
  elseif text:find("^ROLLBACK TO") then
    local name = text:match("(%S+)$")
    while conn.savepoints and conn.savepoints[1] and conn.savepoints[#conn.savepoints] ~= name do
      table.remove(conn.savepoints)
    end
    if not inside or not conn.savepoints[1] then
      conn.now = inside and conn.driver.fails and "failed" or conn.now
      return fault("savepoint " .. name .. " does not exist")
    end
    conn.now = "transaction"
  elseif conn.now == "failed" and first ~= "ROLLBACK" and first ~= "COMMIT" then
    return nil, { kind = "query", message = "current transaction is aborted", code = "25P02", phase = "query" }
  elseif first == "ROLLBACK" then
    if text:find("AND CHAIN") then conn.number = conn.number + 1 else conn.now = "idle" end
  elseif first == "COMMIT" or first == "END" then
    first = conn.now == "failed" and "ROLLBACK" or "COMMIT"
    if conn.now == "transaction" then conn.committed = (conn.committed or 0) + 1 end
    if text:find("AND CHAIN") then conn.number = conn.number + 1 else conn.now = "idle" end
  elseif first == "SAVEPOINT" then
    if not inside then return fault("no transaction") end
    table.insert(conn.savepoints, text:match("(%S+)$"))
  elseif first == "RELEASE" then
    local name = text:match("(%S+)$")
    while conn.savepoints[1] and conn.savepoints[#conn.savepoints] ~= name do table.remove(conn.savepoints) end
    if not conn.savepoints[1] then return fault("savepoint does not exist") end
    table.remove(conn.savepoints)
  end
  return first
end

local function answer_for(driver, sql)
  if driver.answers[sql] ~= nil then return driver.answers[sql] end
  for pattern, answer in pairs(driver.answers) do
    if pattern:sub(1, 1) == "^" and sql:find(pattern) then return answer end
  end
end

local function failed(conn, fault)
  fault.phase, fault.timings = fault.phase or "query", fault.timings or { total = 0.002 }
  if fault.closed then
    conn.now = "closed"
  elseif conn.driver.fails and conn.now == "transaction" then
    conn.now = "failed"
  end
  return nil, fault
end

-- A result by position, from { columns = …, row, row } or a result.
local function play(conn, sql, parameters, how)
  local tag, fault = obey(conn, sql)
  if not tag then return failed(conn, fault) end
  local answer = answer_for(conn.driver, sql)
  if type(answer) == "function" then answer, fault = answer(conn, sql, parameters, how) end
  if fault then return failed(conn, fault) end
  answer = answer or {}
  local rows = answer.rows or { table.unpack(answer) }
  return { columns = answer.columns or { "x" }, rows = rows, affected = answer.affected, command = answer.command or tag }
end

local function shaped(result, row, how)
  if how.shape ~= "named" then return row end
  local named = {}
  for i, name in ipairs(result.columns) do named[name] = row[i] end
  return named
end

-- What stop() left is read before the next call, and may fail then.
local function drain(conn)
  if not conn.left then return end
  conn.now, conn.left = conn.stream.after, false
  for i = conn.stream.at + 1, #conn.stream.result.rows do
    if conn.stream.result.rows[i].kind then failed(conn, conn.stream.result.rows[i]) end
  end
end

local function log(conn, what, sql, parameters, how)
  local driver = conn.driver
  drain(conn)
  driver.log[#driver.log + 1] = sql or what
  driver.calls[#driver.calls + 1] = { what = what, sql = sql, parameters = parameters, how = how, conn = conn }
  driver.host.clock = driver.host.clock + 0.002
  if driver.waits then coroutine.yield(driver) end
end

local IDENTITY = "transaction_timestamp"

function methods:run(sql, parameters, how)
  drain(self)
  if not sql:find(IDENTITY, 1, true) then
    log(self, "run", sql, parameters, how)
  elseif self.now == "transaction" then
    self.driver.verified = self.driver.verified + 1
    if self.driver.unverifiable then return failed(self, self.driver.unverifiable) end
    return { columns = { "a", "b" }, rows = { { 4711, self.number } }, count = 1, command = "SELECT" }
  end
  local result, fault = play(self, sql, parameters, how)
  if not result then return nil, fault end
  local rows, all = {}, result.rows
  for i = 1, math.min(#all, how.most or #all) do rows[i] = shaped(result, all[i], how) end
  result.rows, result.count = rows, #all
  return result
end

function methods:start(sql, parameters, how)
  log(self, "start", sql, parameters, how)
  local result, fault = play(self, sql, parameters, how)
  if not result then return nil, fault end
  self.stream = { result = result, how = how, at = 0, after = self.now }
  self.now = "busy"
  return true
end

function methods:next()
  if self.driver.waits then coroutine.yield(self.driver) end
  local stream = self.stream
  stream.at = stream.at + 1
  local row = stream.result.rows[stream.at]
  if row and row.kind then
    self.now = stream.after
    return failed(self, row)
  end
  if row then return shaped(stream.result, row, stream.how) end
  self.now = stream.after
end

function methods:stop()
  log(self, "stop")
  if self.driver.lazy then
    self.left = true
  else
    self.now = self.stream.after
  end
end

function methods:control(sql)
  log(self, "control", sql)
  for one in (sql .. ";"):gmatch("%s*(.-)%s*;") do
    local answer = answer_for(self.driver, one)
    if answer then
      local _, fault = answer(self, one)
      if fault then return failed(self, fault) end
    else
      local tag, fault = obey(self, one)
      if not tag then return failed(self, fault) end
    end
  end
  return true
end

function methods:state() return self.now end

function methods:info()
  return { label = self.driver.name, server = "PostgreSQL", version = "15.8", version_number = 150008, user = "app",
    database = "shop", timings = { total = 0.012 } }
end

function methods:close()
  if self.now ~= "closed" then self.driver.log[#self.driver.log + 1] = "close" end
  self.now = "closed"
end

-- kind: "postgres", "sqlite" or "mysql".  `fails`: a failed statement fails its transaction;
-- `lazy`: stop() leaves the connection busy; `waits`: calls yield, as in parallel.
function fakedriver.new(kind, host)
  local driver = { name = "app@db:5432/shop", fails = kind == "postgres", host = host,
    answers = {}, log = {}, calls = {}, opened = {}, verified = 0 }
  function driver.label(target)
    if target:find("bad", 1, true) then return nil, { kind = "syntax", phase = "target", message = "the target has no host" } end
    return driver.name
  end
  function driver.connect(target, options)
    driver.target, driver.options = target, options
    if driver.refuse then return nil, driver.refuse end
    local conn = setmetatable({ driver = driver, now = "idle" }, { __index = methods })
    driver.opened[#driver.opened + 1] = conn
    driver.log[#driver.log + 1] = "connect"
    return conn
  end
  return driver
end

-- A fakehost state whose targets reach fake drivers: state, driver of `kind`.
function fakedriver.state(kind)
  local state = require("fakehost").new()
  state.imported["hospital.json"] = { json = { null = fakedriver.null } }
  local driver = fakedriver.new(kind or "postgres", state)
  state.imported["hospital.core." .. (kind or "postgres")] = driver
  return state, driver
end

fakedriver.null = io.stdout -- a userdata, as json.null is

return fakedriver
