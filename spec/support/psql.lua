-- psql.lua: asks a PostgreSQL server from a spec, by PostgreSQL's own client and
-- not by hospital's.  Every wait is bounded.
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"

local psql = {}

psql.bin = daemon.find("/usr/lib/postgresql/*/bin", "postgresql-15")

local CLEAN = { PGOPTIONS = false, PGSERVICE = false, PGPASSWORD = false, PGSSLMODE = false }

-- target: dir (of the socket) and port; user and database as asked for.
local function arguments(target, user, database, ...)
  return { "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", target.dir, "-p", tostring(target.port),
    "-U", user or "postgres", "-d", database or "postgres", ... }
end

local function ask(target, text, database, user, ...)
  local run = process.run(psql.bin .. "/psql", { args = arguments(target, user, database, ...), stdin = text,
    env = CLEAN, seconds = 30 })
  if run.code ~= 0 then error(("psql: %s%s"):format(run.stdout, run.stderr), 3) end
  return run.stdout
end

--- Runs SQL as the superuser unless a user is named: the rows as text, their fields parted by "|".
function psql.sql(target, text, database, user)
  return (ask(target, text, database, user):gsub("\n$", ""))
end

--- The rows of one query, each a list of texts; a null is an empty text.
function psql.rows(target, text, database, user)
  local rows = {}
  for line in ask(target, text, database, user, "-F", "\31", "-R", "\30"):gmatch("([^\30]+)") do
    local row = {}
    for field in (line:gsub("\n$", "") .. "\31"):gmatch("(.-)\31") do row[#row + 1] = field end
    if #row > 1 or row[1] ~= "" then rows[#rows + 1] = row end
  end
  return rows
end

local session = {}
session.__index = session

--- A session that stays open, to hold what a spec wants held: ask() for its transactions, close() to let go.
function psql.session(target, database, user)
  local child = process.start(psql.bin .. "/psql", { args = arguments(target, user, database, "-v", "ON_ERROR_STOP=0"),
    keep_stdin = true, env = CLEAN })
  return setmetatable({ child = child, sent = 0, seen = 0, seen_err = 0 }, session)
end

--- Sends SQL and does not wait for its end: for what is to block.
function session:send(text)
  self.sent = self.sent + 1
  self.child:write(("%s\n;\n\\echo end-%d\n\\warn end-%d\n"):format(text, self.sent, self.sent))
end

--- Waits for the end of what was sent last; returns its rows as text and raises what the server refused.
function session:wait(seconds)
  local child, marker = self.child, ("end-%d\n"):format(self.sent)
  local out, err
  daemon.wait(function()
    out, err = child.stdout:find(marker, self.seen + 1, true), child.stderr:find(marker, self.seen_err + 1, true)
    return out and err or child.code
  end, seconds or 15, "the answer to a session")
  local text = child.stdout:sub(self.seen + 1, (out or 0) - 1)
  local wrong = child.stderr:sub(self.seen_err + 1, (err or 0) - 1)
  self.seen, self.seen_err = #child.stdout, #child.stderr
  if wrong ~= "" or not out then error("session: " .. wrong, 2) end
  return (text:gsub("\n$", ""))
end

--- send() and wait() in one.
function session:ask(text, seconds)
  self:send(text)
  return self:wait(seconds)
end

--- Ends the session; what it held in a transaction is rolled back.
function session:close()
  self.child:finish()
  if self.child.code == nil then self.child:kill("sigterm") end
  self.child:join(10)
end

return psql
