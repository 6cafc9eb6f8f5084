-- db_transaction.lua - transactions, savepoints and what is rolled back whatever
-- happens, as levels around a function.  The outermost is a transaction, all within
-- it are savepoints.
--
-- Before what a rolled back check wrote is rolled back, it is verified that the
-- transaction is still the one that was begun: a statement that got past the gate and
-- committed must not stay unseen.  A level whose end is not as it should be fails,
-- even where its function did not.
local host = import "hospital.host"
local probe = import "hospital.probe"
local session = import "hospital.db_session"
local error, pcall, select = error, pcall, select
local concat, format = table.concat, string.format
local misuse = probe.misuse

local MARK = "hospital_begin" -- the savepoint that is there as long as the transaction is

local transaction = {}

-- --- in --------------------------------------------------------------------------

-- True when the server began it and it can be known again; or nil and a failure.
local function start(s, level)
  local how = level.kind == "rolled_back" and "rolled_back" or s.write and "write" or "read"
  local ok, failure = session.control(s, s.dialect.begin[how])
  if not ok or not level.rolled_back then return ok, failure end
  if not s.dialect.identity then return session.control(s, "SAVEPOINT " .. MARK) end
  local row
  row, failure = session.ask(s, s.dialect.identity)
  level.identity = row and concat(row, " ")
  return row and true, failure
end

local function begin(s, level)
  local ok, failure = start(s, level)
  local state = s.raw:state()
  if ok and state == "transaction" then return level end
  if state == "transaction" or state == "failed" then session.control(s, "ROLLBACK") end
  if s.raw:state() ~= "idle" then session.close(s, "a transaction could not be begun on it") end
  return nil, failure or session.failure(s, "query", "no transaction was begun")
end

-- A level, which is now the innermost; or nil and a failure.
local function enter(s, what, kind)
  session.ready(s, what)
  local outer = s.level
  if kind == "savepoint" and not outer then
    misuse("%s: a savepoint is within conn:transaction(fn) or conn:rolled_back(fn)", what)
  end
  if kind == "rolled_back" and not outer and not s.write and s.dialect.needs_write and not s.for_rolled_back then
    misuse("%s: a connection to %s that is rolled back is opened with { write = true }, or by rolled_back(target, fn)",
      what, s.dialect.title)
  end
  local level = {
    kind = kind, outer = outer, depth = outer and outer.depth + 1 or 1,
    rolled_back = kind == "rolled_back" or outer and outer.rolled_back or false,
  }
  if not outer then
    local failure
    level, failure = begin(s, level)
    if not level then return nil, failure end
  else
    level.name = format("hospital_%d", level.depth)
    local ok, failure = session.control(s, "SAVEPOINT " .. level.name)
    if not ok then return nil, failure end
  end
  s.level = level
  return level
end

-- --- out -------------------------------------------------------------------------

-- An error and no failure: no expected_failure and no retry makes it green.
local function ended(s)
  return session.failure(s, "internal",
    "the transaction had ended before it was rolled back: what it wrote may have stayed")
end

-- True when the transaction is the one that was begun; nil and a failure when it is not.
local function verify(s, level)
  if s.raw:state() == "failed" then return true end -- what failed was not committed
  local same, failure
  if level.identity then
    local row
    row, failure = session.ask(s, s.dialect.identity)
    same = row and concat(row, " ") == level.identity
  else
    same, failure = session.control(s, "ROLLBACK TO SAVEPOINT " .. MARK)
  end
  local state = s.raw:state()
  if same and state == "transaction" or state == "failed" then return true end
  return nil, state == "closed" and failure or ended(s)
end

-- The outermost level's end without a trace: nil, or a failure.
local function roll_back(s, level)
  local problem
  if s.raw:state() == "idle" then
    problem = ended(s)
  elseif level.rolled_back then
    problem = select(2, verify(s, level))
  end
  if s.raw:state() == "closed" then return problem end
  local ok, failure = true, nil
  if s.raw:state() ~= "idle" then ok, failure = session.control(s, "ROLLBACK") end
  if ok and s.raw:state() == "idle" then return problem end
  session.close(s, "its transaction could not be rolled back")
  return problem or failure or session.failure(s, "query", "ROLLBACK did not end the transaction")
end

local SWALLOWED = "a statement had failed: what the %s wrote was rolled back, although its function returned"

local function commit(s, level)
  if s.raw:state() == "busy" then session.ask(s, "SELECT 1") end -- rows that nobody read may still fail
  if s.raw:state() == "failed" then
    return roll_back(s, level) or session.failure(s, "query", SWALLOWED, "transaction")
  end
  if not s.write then return roll_back(s, level) end -- there is nothing to keep
  local ok, failure = session.control(s, "COMMIT")
  if ok and s.raw:state() == "idle" then return nil end
  if s.raw:state() == "closed" then
    session.close(s, "the connection was lost at COMMIT")
    failure.message = failure.message .. "\nwhether the transaction was committed is not known"
  elseif s.raw:state() ~= "idle" then
    session.break_off(s, "its transaction could not be committed")
  end
  return failure or session.failure(s, "query", "COMMIT did not end the transaction")
end

-- A savepoint's end: nil, or a failure.
local function leave_savepoint(s, level, keep)
  local swallowed = keep and s.raw:state() == "failed"
  local ok, failure
  if keep and not swallowed then
    ok, failure = session.control(s, "RELEASE SAVEPOINT " .. level.name)
  else
    ok, failure = session.control(s, "ROLLBACK TO SAVEPOINT " .. level.name)
    if ok then ok, failure = session.control(s, "RELEASE SAVEPOINT " .. level.name) end
  end
  if ok and s.raw:state() == "transaction" then
    return swallowed and session.failure(s, "query", SWALLOWED, level.kind) or nil
  end
  s.spoiled = "a savepoint was gone before its end"
  session.break_off(s, s.spoiled)
  return failure or session.failure(s, "query", "the transaction had ended before its savepoint did")
end

-- The same where the connection is closed; ok: the function returned.
local function leave_closed(s, level, ok)
  if level.outer then return nil end
  if s.spoiled then return session.failure(s, "internal", "%s: what it wrote may have stayed", s.spoiled) end
  if not ok then return nil end
  if s.lost or not s.over then
    return session.failure(s, "closed", "the connection was lost before the end of the %s, although its function "
      .. "returned%s", level.kind, s.lost and ": " .. s.lost or "")
  end
  if level.kind == "rolled_back" or not s.write then return nil end
  return session.failure(s, "closed", "the connection was closed before the %s was committed", level.kind)
end

-- A statement that was not sent, and of which nobody heard.
local function refused(s, level, ok)
  local why = s.refused
  if level.outer then return nil end
  s.refused = nil
  return ok and why and session.failure(s, "syntax", "a statement was refused, and the function returned all the "
    .. "same: %s", why) or nil
end

-- The level's end: nil; or a failure, which holds whatever its function did.
local function leave(s, level, ok)
  local keep = ok and level.kind ~= "rolled_back"
  local innermost = s.level == level
  if innermost or not level.outer then s.level = level.outer end
  if session.is_closed(s) then return leave_closed(s, level, ok) end
  if not innermost or s.waiting then
    session.close(s, "a transaction on it ended while another function of the check used it")
    return session.failure(s, "query", "the %s ended while another function of the check used its connection: "
      .. "give each of those in parallel a connection of its own", level.kind)
  end
  if s.stream then session.stop(s, s.stream) end
  if level.outer then return leave_savepoint(s, level, keep) end
  if keep then return commit(s, level) end
  return roll_back(s, level) or refused(s, level, ok)
end

-- --- around a function --------------------------------------------------------------

-- That it was not rolled back as it must be is told at once, so that no pcall around it hides it.
local function tell(problem, level)
  if level.kind == "rolled_back" and not level.outer then
    host.record("failure", problem)
    problem.told = true
  end
  host.raise(problem)
end

local function finish(s, level, ok, ...)
  local problem = leave(s, level, ok)
  if ok then
    if problem then tell(problem, level) end
    return ...
  end
  local raised = ...
  if problem then
    if host.kind(raised) == "skip" then tell(problem, level) end
    host.record("failure", problem)
  end
  error(raised, 0)
end

-- fn(...) on a level of its own: what it returned, or raised.
-- kind: "transaction", "savepoint" or "rolled_back".
function transaction.run(s, what, kind, fn, ...)
  local level, failure = enter(s, what, kind)
  if not level then host.raise(failure) end
  return finish(s, level, pcall(fn, ...))
end

return transaction
