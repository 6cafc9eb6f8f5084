-- db.lua - what checks say of databases besides asserting: connecting, what is
-- rolled back, and values that Lua has no type for.
local host = import "hospital.host"
local probe = import "hospital.probe"
local null = import("hospital.json").json.null
local import, error, pcall, tonumber, type = import, error, pcall, tonumber, type
local match, sub = string.match, string.sub
local huge = math.huge
local misuse = probe.misuse

--- `db.null` is NULL: in rows, and as a parameter. It is `json.null`, and like that it is not false:
-- compare with `db.null`.
-- @table db.null
-- @usage assert_equal(db.null, conn:row("select null as x").x)
local db = { null = null }

local function connect(what, target, options, rolled_back)
  local session, targets = import "hospital.db_session", import "hospital.db_target"
  local place = targets.read(what, target)
  local s, failure = session.open(what, place, targets.options(what, options), rolled_back)
  if not s then host.raise(failure) end
  return s, import("hospital.db_connection").of(s)
end

--- Connects to a database.
-- The session cannot write unless it is asked to. That guards against mistakes and not against a
-- check that means to: give checks a role that may only do what they need. The server is told to give up
-- when the check has to, and every connection is closed with the check.
--
-- PostgreSQL's targets are libpq's, with all its parameters. Those of MySQL and MariaDB take
-- `ssl-mode` (disabled, preferred, required, verify-ca, verify-identity), `ssl-ca`, `ssl-capath`, `ssl-cert`,
-- `ssl-key` and `socket` behind the `?`.
-- @function db.connect
-- @param target string `postgres://user:password@host:port/database?sslmode=…`, libpq's `"host=… dbname=…"`
--   or `service=…`; `postgres:` for what the PG… variables say; `sqlite:PATH`, `sqlite::memory:`;
--   `mysql://…` or `mariadb://…`
-- @param[opt] options table or just a timeout
-- @param[opt] options.write boolean whether it may write; false
-- @param[opt] options.timeout duration for looking up, connecting and logging in; 5 s
-- @param[opt] options.statement_timeout duration of one statement; what the check has left
-- @param[opt] options.lock_timeout duration of waiting for a lock; 2 s
-- @param[opt] options.idle_timeout duration that the server lets a transaction wait for us; what the check has left
-- @param[opt] options.max_rows integer rows of one result; 10,000
-- @param[opt] options.max_bytes integer bytes of one result; 8 MB
-- @param[opt] options.numeric string "string" or "number": how what has more digits than a float arrives; "string"
-- @param[opt] options.application_name string how the server names the session; "hospital/" and the check's name
-- @return table a connection: query, row, value, exec, each, result, transaction, savepoint, rolled_back,
--   info, close
-- @raise dns, connect, tls, timeout, denied when there is no way to it
-- @raise authentication, no_database, too_many_connections, starting_up when it takes no login
-- @usage
-- local conn <close> = db.connect(env.DATABASE_URL)
-- assert_greater(conn:value("select count(*) from orders"), 0)
function db.connect(target, options)
  local _, conn = connect("db.connect", target, options)
  return conn
end

-- What fn did, and the session closed.
local function close(s, ok, ...)
  import("hospital.db_session").close(s, "it was the connection of a rolled_back, which has ended")
  if not ok then error((...), 0) end
  return ...
end

--- Makes the function of a check that may write: whatever it does is rolled back, whatever happens.
-- It connects when the check runs and closes at its end; see `conn:rolled_back` for what holds.
-- @function rolled_back
-- @param target string as for db.connect
-- @param[opt] options table as for db.connect, but `write`
-- @param fn function called with the connection
-- @return function for healthcheck
-- @usage
-- healthcheck("orders can be written", rolled_back("sqlite:/var/lib/shop.db", function(conn)
--   conn:exec("insert into orders (sku) values (?)", "healthcheck")
--   assert_equal(1, conn:value("select count(*) from orders where sku = ?", "healthcheck"))
-- end))
local function rolled_back(target, options, fn)
  if fn == nil then options, fn = nil, options end
  if type(fn) ~= "function" then misuse("rolled_back: the last argument must be a function, got %s", type(fn)) end
  if type(options) == "table" and options.write ~= nil then
    misuse("rolled_back: write is no question here: it may write, and nothing of it stays")
  end
  return function()
    local s, conn = connect("rolled_back", target, options, true)
    return close(s, pcall(import("hospital.db_transaction").run, s, "rolled_back", "rolled_back", fn, conn))
  end
end

--- Marks a string as binary, for a parameter of type bytea or blob.
-- @function db.bytes
-- @param text string any bytes
-- @return table to be a parameter
-- @usage conn:exec("insert into files (body) values ($1)", db.bytes("\0\1\2"))
function db.bytes(text)
  if type(text) ~= "string" then misuse("db.bytes: a string is needed, got %s", type(text)) end
  return { bytes = text }
end

-- --- time -----------------------------------------------------------------------

local ENDLESS = { infinity = huge, ["-infinity"] = -huge }

-- Days from 1970-01-01 to a date of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
end

local LENGTHS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function is_date(year, month, day)
  if month < 1 or month > 12 or day < 1 or day > LENGTHS[month] then return false end
  return month ~= 2 or day < 29 or year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

-- Seconds east of Greenwich: "", "Z", "+02", "-03:30", "+0530", "+01:00:30".
local function zone(text)
  if text == "" or text == "Z" or text == "z" then return 0 end
  local sign, hours, minutes, seconds = match(text, "^([+-])(%d%d):?(%d?%d?):?(%d?%d?)$")
  if not sign then return nil end
  local all = tonumber(hours) * 3600 + (tonumber(minutes) or 0) * 60 + (tonumber(seconds) or 0)
  return sign == "-" and -all or all
end

local function epoch(text)
  local year, month, day, rest = match(text, "^(%d%d%d%d+)-(%d%d)-(%d%d)(.*)$")
  if not year or not is_date(tonumber(year), tonumber(month), tonumber(day)) then return nil end
  local whole = days(tonumber(year), tonumber(month), tonumber(day)) * 86400
  if rest == "" then return whole end
  local hour, minute, second, fraction, offset = match(rest, "^[T ](%d%d):(%d%d):?(%d?%d?)(%.?%d*) ?(.*)$")
  local east = offset and zone(offset)
  if not east or fraction == "." then return nil end
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second) or 0
  if hour > 24 or minute > 59 or second > 60 then return nil end
  whole = whole + hour * 3600 + minute * 60 + second - east
  return fraction == "" and whole or whole + tonumber("0" .. fraction)
end

--- Reads a date or a time that a database wrote.
-- @function db.epoch
-- @param text string "2026-11-21T05:49:00.25Z", "2026-11-21 05:49:00+01" or "2026-11-21"; without a zone it is
--   UTC; "infinity" and "-infinity" are those of numbers
-- @return number seconds since 1970, as of os.time()
-- @usage
-- local last = conn:value("select max(created) from orders")
-- assert_greater(db.epoch(last), os.time() - 3600, "no order for an hour")
function db.epoch(text)
  if text == nil or text == null then misuse("db.epoch: %s is no time", text == nil and "nil" or "NULL") end
  if type(text) ~= "string" then misuse("db.epoch: a string is needed, got %s", type(text)) end
  return ENDLESS[text] or epoch(text)
    or misuse('db.epoch: "%s" is no time such as "2026-11-21T05:49:00Z"', sub(text, 1, 40))
end

return { db = db, rolled_back = rolled_back }
