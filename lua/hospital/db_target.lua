-- db_target.lua - where a database is and how to talk to it, as authors write it:
-- targets, and the options of a connection.  A target may hold a password, so no
-- message shows one: drivers make the label that is shown.
local host = import "hospital.host"
local probe = import "hospital.probe"
local import, next, pcall, tostring, type = import, next, pcall, tostring, type
local find, gsub, lower, match, sub = string.find, string.gsub, string.lower, string.match, string.sub
local max, min = math.max, math.min
local misuse, read = probe.misuse, probe.read

local CONNECT_TIMEOUT = 5
local LOCK_TIMEOUT = 2   -- waiting longer would hold up those who wait behind us
local WITHOUT_DEADLINE = 60
local MAX_ROWS = 10000
local MAX_BYTES = 8 << 20
local NAME_MAX = 63      -- PostgreSQL's identifiers end there

local target = {}

-- --- where ----------------------------------------------------------------------

local DIALECTS = {
  postgres = "postgres", postgresql = "postgres", sqlite = "sqlite", mysql = "mysql", mariadb = "mysql",
}
local FORMS = 'postgres://…, "host=… dbname=…", sqlite:PATH, sqlite::memory:, mysql://… or mariadb://…'

local function dialect_of(what, text)
  if text == nil then misuse("%s: the target is nil: is the environment variable set?", what) end
  if type(text) ~= "string" then misuse("%s: the target must be a string, not a %s", what, type(text)) end
  if not find(text, "%S") then misuse("%s: the target is empty: is the environment variable set?", what) end
  local keywords = find(text, "^%s*[%a_][%w_]*%s*=")
  if find(text, keywords and "%z" or "%c") then misuse("%s: the target holds a control character", what) end
  if keywords then return "postgres" end
  local scheme = lower(match(text, "^(%a[%w+.-]*):") or "")
  local dialect = DIALECTS[match(scheme, "^([^+]*)")]
  if dialect and find(scheme, "+", 1, true) then
    misuse("%s: the scheme of the target names a driver of another library: leave out what follows the +", what)
  end
  if not dialect then misuse("%s: the scheme of the target is not known; a target is %s", what, FORMS) end
  local rest = sub(text, #scheme + 2)
  if dialect == "sqlite" then
    if rest == "" then misuse("%s: the target sqlite: lacks the path of the file", what) end
    if sub(rest, 1, 2) == "//" then
      misuse("%s: a SQLite target is sqlite:PATH, as in sqlite:/var/lib/shop.db, without //", what)
    end
  elseif rest ~= "" and sub(rest, 1, 2) ~= "//" or rest == "" and dialect == "mysql" then
    misuse("%s: %s: is followed by //", what, scheme)
  end
  return dialect, dialect == "sqlite" and rest or nil
end

-- { dialect = its table, driver, target (as the driver takes it), kind, name, own }: kind
-- and name are the label, "postgres" and "app@db:5432/shop"; own: nobody else sees it,
-- and it may always be written.
function target.read(what, text)
  local dialect, path = dialect_of(what, text)
  local ok, driver = pcall(import, "hospital.core." .. dialect)
  if not ok then misuse("%s: this build has no driver for %s", what, dialect) end
  if find(text, "^%a+:$") then text = lower(text) .. "//" end -- all of it from the environment
  text = path or text
  local label, why = driver.label(text)
  if not label then
    host.raise({ kind = why.kind, phase = why.phase, message = what .. ": " .. why.message })
  end
  return {
    dialect = import("hospital.db_" .. dialect), driver = driver, target = text,
    kind = dialect, name = label, own = path == ":memory:",
  }
end

-- --- how ------------------------------------------------------------------------

function read.boolean(value, name)
  if type(value) ~= "boolean" then misuse("%s must be true or false, got %s", name, type(value)) end
  return value
end

local function read_numeric(value, name)
  if value ~= "string" and value ~= "number" then
    misuse('%s must be "string" or "number", got %s', name, tostring(value))
  end
  return value
end

local function printable(text)
  text = gsub(gsub(text, "[\128-\191]", ""), "[^\32-\126]", "?")
  return sub(text, 1, NAME_MAX)
end

local READ = {
  timeout = read.duration, statement_timeout = read.duration, lock_timeout = read.duration,
  idle_timeout = read.duration, max_rows = read.integer(1, 1 << 31), max_bytes = read.integer(1, 1 << 30),
  numeric = read_numeric, application_name = function(value, name) return printable(read.text(value, name)) end,
}

-- The readers of a connection's options, and those of `more`.
function target.readers(more)
  local readers = {}
  for key, reader in next, READ do readers[key] = reader end
  for key, reader in next, more do readers[key] = reader end
  return readers
end

local OPEN = target.readers({ write = read.boolean })

function target.options(what, value)
  return probe.options(what, value, OPEN)
end

-- What the driver is given: all of it.  The server is told to give up when the
-- check has to, and never to wait long for a lock.
function target.complete(options)
  local left = max(host.remaining() or WITHOUT_DEADLINE, 0.001)
  local statement = options.statement_timeout or left
  local title = host.title()
  return {
    timeout = options.timeout or CONNECT_TIMEOUT, write = options.write == true,
    statement_timeout = statement, lock_timeout = options.lock_timeout or min(LOCK_TIMEOUT, statement),
    idle_timeout = options.idle_timeout or left,
    application_name = options.application_name or printable(title and "hospital/" .. title or "hospital"),
    numeric = options.numeric or "string",
  }
end

-- What a statement may bring.
function target.limits(options)
  return { max_rows = options.max_rows or MAX_ROWS, max_bytes = options.max_bytes or MAX_BYTES }
end

return target
