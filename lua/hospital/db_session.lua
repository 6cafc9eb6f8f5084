-- db_session.lua - a driver's connection, guarded.  Every statement of a check goes
-- through here: past the gate (sql.lua), to the driver, and back past a look at what
-- it did to the transaction.  A statement that ended the transaction it was in, or
-- began one, ends the connection, and `spoiled` keeps that no pcall can hide it.
--
-- A session never leaves our own Lua; what authors hold is in db_connection.lua.
-- What fails is nil and a failure, what the author did wrong is raised.
local host = import "hospital.host"
local probe = import "hospital.probe"
local faults = import "hospital.db_fault"
local sql_of = import "hospital.sql"
local targets = import "hospital.db_target"
local error, pcall, type = error, pcall, type
local find, format = string.find, string.format
local misuse, brief = probe.misuse, sql_of.brief

local TOLD = 10 -- statements of a connection that are told one by one

-- Tags of statements that end or begin a transaction; of ROLLBACK TO it is
-- ROLLBACK as well, and the state tells.
local ENDS = {
  BEGIN = true, ["START TRANSACTION"] = true, COMMIT = true, ["PREPARE TRANSACTION"] = true,
  ["COMMIT PREPARED"] = true, ["ROLLBACK PREPARED"] = true,
}

local session = {}

-- --- its life --------------------------------------------------------------------

-- rolled_back: for that alone, so that no statement is ever committed.
function session.open(what, place, options, rolled_back)
  if host.loading() then
    misuse("%s: a check connects when it runs, and this file is still loading", what)
  end
  local given = targets.complete(options)
  given.rolled_back = rolled_back or nil
  local began = host.now()
  local raw, fault = place.driver.connect(place.target, given)
  if not raw then return faults.connecting(place, fault, host.now() - began) end
  local info = raw:info()
  probe.note(place.kind, place.name, format("connected in %s, %s %s", probe.time_text(host.now() - began),
    info.server, info.version), info.timings)
  return {
    raw = raw, place = place, dialect = place.dialect, options = options, write = given.write or place.own,
    limits = targets.limits(options), for_rolled_back = rolled_back, statements = 0, seconds = 0,
    -- level: the innermost transaction or savepoint; stream: what conn:each reads
    -- waiting: a call is under way; over: why no more is possible
    -- spoiled, lost, refused: what must not go unseen
  }
end

function session.close(s, why)
  if not s.over and s.statements > TOLD then
    probe.note(s.place.kind, s.place.name, format("%d statements in all, %s", s.statements,
      probe.time_text(s.seconds)), { total = s.seconds })
  end
  s.over = s.over or why
  s.stream = nil
  s.raw:close()
end

function session.is_closed(s)
  return s.over ~= nil or s.raw:state() == "closed"
end

function session.failure(s, kind, text, ...)
  return faults.own(s.place, kind, text, ...)
end

-- --- calls -----------------------------------------------------------------------

local function settle_call(s, ok, ...)
  s.waiting = nil
  if not ok then error((...), 0) end
  return ...
end

-- One call of the driver's that waits; nobody else's may, meanwhile.
local function call(s, method, ...)
  s.waiting = true
  return settle_call(s, pcall(s.raw[method], s.raw, ...))
end

-- Raises unless a statement may be sent; what: "conn:query".
function session.ready(s, what)
  if s.over then misuse("%s: %s", what, s.over) end
  if s.waiting then
    misuse("%s: the connection is busy: another function of this check uses it. Give each of those in parallel "
      .. "a connection of its own", what)
  end
  if s.stream then
    misuse("%s: the connection is busy: the rows of a conn:each are still being read. conn:query reads them all "
      .. "at once", what)
  end
  if s.raw:state() == "closed" then
    misuse("%s: the connection was closed with what opened it: each check, setup and hook connects for itself", what)
  end
end

local function check_sql(s, what, sql)
  if type(sql) ~= "string" then misuse("%s: a statement is needed, got %s", what, type(sql)) end
  if not find(sql, "%S") then misuse("%s: a statement is needed, and this text is empty", what) end
  if find(sql, "\0", 1, true) then misuse("%s: the statement holds a NUL byte", what) end
  local level = s.level and (s.level.rolled_back and "rolled_back" or "transaction")
  local why = sql_of.refusal(sql, s.dialect.name, level, s.write)
  if not why then return end
  if level == "rolled_back" then s.refused = s.refused or why end
  misuse("%s: %s", what, why)
end

local function note(s, sql, seconds, text)
  s.statements, s.seconds = s.statements + 1, s.seconds + seconds
  if s.statements <= TOLD then
    probe.note(s.place.kind, s.place.name, format("%s: %s", brief(sql, 80), text), { query = seconds })
  end
end

local function failed(s, sql, fault, seconds)
  return nil, faults.statement(s.place, sql, fault, seconds)
end

-- Ends what is left of a transaction that is not as it should be, and the connection.
function session.break_off(s, why)
  local state = s.raw:state()
  if state == "transaction" or state == "failed" then call(s, "control", "ROLLBACK") end
  session.close(s, why)
end

-- Is the transaction what it was before the statement?  The result, or nil and a failure.
local function settle(s, what, sql, result, fault, seconds)
  local state, wanted = s.raw:state(), s.level and "transaction" or "idle"
  if result and state == wanted and not ENDS[result.command] then return result end
  if fault and (state == wanted or s.level and state == "failed") then return failed(s, sql, fault, seconds) end
  if fault and (state == "closed" or fault.closed) then
    s.lost = fault.message
    session.close(s, "the connection was lost: " .. fault.message)
    return failed(s, sql, fault, seconds)
  end
  if s.level then s.spoiled = format("the transaction had ended before its end, with: %s", brief(sql, 80)) end
  session.break_off(s, s.level and "its transaction had ended before its end" or "a statement had begun a transaction")
  if fault then
    fault.message = fault.message .. "; the transaction is over with it, and the connection was closed"
    return failed(s, sql, fault, seconds)
  end
  if s.level then
    misuse("%s: the statement ended the transaction it was in; what it wrote may have stayed, and the connection "
      .. "was closed: %s", what, brief(sql, 80))
  end
  misuse("%s: the statement began a transaction, which was rolled back, and the connection was closed: use "
    .. "conn:transaction(fn) or conn:rolled_back(fn): %s", what, brief(sql, 80))
end

-- --- statements ------------------------------------------------------------------

local function rows_text(n) return n == 1 and "1 row" or format("%d rows", n) end

local function limits(s, how)
  how.max_rows = how.max_rows or s.limits.max_rows
  how.max_bytes = how.max_bytes or s.limits.max_bytes
  return how
end

-- One statement: the driver's result; or nil and a failure.  told: what the report says
-- instead of the statement, when it is none of the author's.
function session.run(s, what, sql, parameters, how, told)
  session.ready(s, what)
  check_sql(s, what, sql)
  local began = host.now()
  local result, fault = call(s, "run", sql, parameters, limits(s, how))
  local seconds = host.now() - began
  note(s, told or sql, seconds, fault and fault.message or rows_text(result.affected or result.count or 0))
  return settle(s, what, sql, result, fault, seconds)
end

-- Begins to read rows: a stream, for next and stop; or nil and a failure.
function session.start(s, what, sql, parameters, how)
  session.ready(s, what)
  check_sql(s, what, sql)
  local stream = { sql = sql, rows = 0, began = host.now() }
  local ok, fault = call(s, "start", sql, parameters, limits(s, how))
  if ok then
    s.stream = stream
    return stream
  end
  local seconds = host.now() - stream.began
  note(s, sql, seconds, fault.message)
  return settle(s, what, sql, nil, fault, seconds)
end

-- A row; nil after the last one; or nil and a failure.
function session.next(s, what, stream)
  if stream.over then return nil end
  if s.stream ~= stream then
    misuse("%s: %s", what, s.over or "its rows were dropped: its loop or transaction ended")
  end
  if s.waiting then misuse("%s: the connection is busy: another function of this check reads from it", what) end
  local row, fault = call(s, "next")
  if row then
    stream.rows = stream.rows + 1
    return row
  end
  stream.over, s.stream = true, nil
  local seconds = host.now() - stream.began
  note(s, stream.sql, seconds, fault and fault.message or rows_text(stream.rows))
  local _, failure = settle(s, what, stream.sql, not fault and {}, fault, seconds)
  return nil, failure
end

function session.stop(s, stream)
  if s.stream ~= stream then return end
  s.stream = nil
  note(s, stream.sql, host.now() - stream.began, rows_text(stream.rows) .. ", no more were read")
  if s.raw:state() ~= "closed" then s.raw:stop() end
end

-- --- ours ------------------------------------------------------------------------

-- BEGIN and its like: true; or nil and a failure.
function session.control(s, sql)
  local began = host.now()
  local ok, fault = call(s, "control", sql)
  if ok then return true end
  return failed(s, sql, fault, host.now() - began)
end

-- A query of ours beside those of the author's: its first row; or nil and a failure.
function session.ask(s, sql)
  local began = host.now()
  local result, fault = call(s, "run", sql, { n = 0 }, limits(s, { shape = "listed", most = 1 }))
  if result then return result.rows[1] end
  return failed(s, sql, fault, host.now() - began)
end

return session
