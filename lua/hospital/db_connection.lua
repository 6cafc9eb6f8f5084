-- db_connection.lua - the connection as authors hold it.  The object is empty: the
-- session behind it, and the driver's connection in that, are in a table of ours.
local host = import "hospital.host"
local probe = import "hospital.probe"
local session = import "hospital.db_session"
local transaction = import "hospital.db_transaction"
local parameters = import "hospital.db_parameters"
local null = import("hospital.json").json.null
local next, setmetatable, type = next, setmetatable, type
local format = string.format
local misuse = probe.misuse

local UNLIMITED = 1 << 53 -- rows that are read one by one need no room

--- What `db.connect` returns, and what a `rolled_back` function is given. Statements take their
-- values apart from the SQL, as `$1` (PostgreSQL) or `?` (SQLite, MySQL): nil and `db.null` are NULL, and
-- booleans, numbers, strings and `db.bytes(text)` themselves; a list is an array (PostgreSQL). In what comes
-- back, NULL is `db.null`, which is not false. What is told of a failed statement is its SQL, the
-- server's words and the SQLSTATE, which the failure has as `code` too; of the values only what those words repeat.
--
-- What comes back: integers exactly (above 2^63 as text), floats as numbers, `numeric` and `decimal` as text unless
-- the connection was asked for numbers, text and bytes as strings, booleans (in MySQL 0 and 1 of a
-- `tinyint(1)`, in SQLite those of a column declared boolean), JSON decoded (what `json.decode` refuses stays
-- text), arrays of PostgreSQL's own types as lists, points in time as `"2026-11-21T05:49:00.25Z"` (without the Z
-- where the column knows no zone; `db.epoch` makes seconds of them), whatever else as the server writes it.
--
-- `local conn <close> = db.connect(…)` closes it with its block; the end of the check does it at the latest.
-- @section Database connections

local sessions = setmetatable({}, { __mode = "k" })
local methods = {}

local function session_of(conn, what)
  local s = sessions[conn]
  if not s then misuse("%s is called with a colon, as in conn:query(sql)", what) end
  return s
end

-- --- statements -------------------------------------------------------------------

local function run(conn, what, how, sql, ...)
  local s = session_of(conn, what)
  local result, failure = session.run(s, what, sql, parameters(s, what, ...), how)
  if failure then host.raise(failure) end
  return result, s
end

--- Runs a statement and returns its rows.
-- @function conn:query
-- @param sql string one statement
-- @param ... values of its parameters
-- @return list of rows, each a table by column name; empty when there are none
-- @raise syntax, constraint, statement_timeout, lock_timeout, deadlock, killed, closed, query
-- @raise limit when there are more than max_rows rows or max_bytes bytes
-- @raise read_only when it writes and the connection may not
-- @usage
-- for _, order in ipairs(conn:query("select id, sku from orders where state = $1", "open")) do
--   log(order.id, order.sku)
-- end
function methods.query(conn, sql, ...)
  return run(conn, "conn:query", { shape = "named" }, sql, ...).rows
end

--- Runs a statement and returns all that came of it.
-- @function conn:result
-- @param sql string one statement
-- @param ... values of its parameters
-- @return table columns (a list of names), rows (a list of lists, by position), count (of rows), affected
--   (rows written, or nil), command ("SELECT")
-- @raise as conn:query
-- @usage log(table.concat(conn:result("select * from orders limit 0").columns, ", "))
function methods.result(conn, sql, ...)
  local result = run(conn, "conn:result", { shape = "listed" }, sql, ...)
  return {
    columns = result.columns, rows = result.rows, count = result.count, affected = result.affected,
    command = result.command,
  }
end

local function too_many(s, what, count)
  host.raise(session.failure(s, "query", "%s: one row at most was expected, got %d", what, count))
end

--- Runs a statement that has one row, or none.
-- @function conn:row
-- @param sql string one statement
-- @param ... values of its parameters
-- @return table the row by column name, or nil when there is none
-- @raise as conn:query
-- @raise query when there are several rows
-- @usage local order = assert_not_nil(conn:row("select * from orders where id = $1", 17))
function methods.row(conn, sql, ...)
  local result, s = run(conn, "conn:row", { shape = "named", most = 2 }, sql, ...)
  if result.count > 1 then too_many(s, "conn:row", result.count) end
  return result.rows[1]
end

--- Runs a statement that has one row, or none, with one column.
-- @function conn:value
-- @param sql string one statement
-- @param ... values of its parameters
-- @return the value; nil when it is NULL or there is no row
-- @raise as conn:query
-- @raise query when there are several rows
-- @usage assert_greater(conn:value("select count(*) from orders"), 0)
function methods.value(conn, sql, ...)
  local result, s = run(conn, "conn:value", { shape = "listed", most = 2 }, sql, ...)
  if #result.columns ~= 1 then misuse("conn:value: one column is needed, the statement has %d", #result.columns) end
  if result.count > 1 then too_many(s, "conn:value", result.count) end
  local value = result.rows[1] and result.rows[1][1]
  if value == null then return nil end
  return value
end

--- Runs a statement for what it does.
-- @function conn:exec
-- @param sql string one statement
-- @param ... values of its parameters
-- @return integer rows that it inserted, updated or deleted; 0 for other statements
-- @raise as conn:query
-- @usage assert_equal(1, conn:exec("update orders set state = $1 where id = $2", "paid", 17))
function methods.exec(conn, sql, ...)
  return run(conn, "conn:exec", { shape = "listed", most = 0 }, sql, ...).affected or 0
end

--- Reads the rows of a statement one by one, as many as there are.
-- The connection is busy until the loop ends; `break` drops the rest. max_bytes is of one row here, and
-- max_rows holds only when the connection was given one.
-- @function conn:each
-- @param sql string one statement
-- @param ... values of its parameters
-- @return function for a generic `for`, which has each row by column name
-- @raise as conn:query, then or at any row
-- @usage
-- for order in conn:each("select id, total from orders order by id") do
--   expect_greater(order.total, 0)
-- end
function methods.each(conn, sql, ...)
  local s = session_of(conn, "conn:each")
  local stream, failure = session.start(s, "conn:each", sql, parameters(s, "conn:each", ...), {
    shape = "named", max_rows = s.options.max_rows or UNLIMITED,
  })
  if not stream then host.raise(failure) end
  local function step()
    local row, fault = session.next(s, "conn:each", stream)
    if fault then host.raise(fault) end
    return row
  end
  local closing = setmetatable({}, { __close = function() session.stop(s, stream) end, __metatable = false })
  return step, nil, nil, closing
end

-- --- transactions -----------------------------------------------------------------

local function around(kind)
  local what = "conn:" .. kind
  return function(conn, fn)
    local s = session_of(conn, what)
    if type(fn) ~= "function" then misuse("%s: a function is needed, got %s", what, type(fn)) end
    return transaction.run(s, what, kind, fn, conn)
  end
end

--- Runs fn in a transaction: committed when fn returns, rolled back when it raises.
-- On a connection that may not write it is one snapshot, to read from. Inside another transaction it is
-- a savepoint. When a statement failed and fn returned all the same, it is rolled back, and that is a failure.
-- @function conn:transaction
-- @param fn function called with the connection
-- @return what fn returned
-- @raise query when it cannot be committed
-- @usage
-- conn:transaction(function()
--   local orders = conn:value("select count(*) from orders")
--   assert_equal(orders, conn:value("select sum(orders)::int from customers"))
-- end)
methods.transaction = around("transaction")

--- Runs fn on a savepoint: what it did is kept when it returns, and taken back when it raises.
-- @function conn:savepoint
-- @param fn function called with the connection
-- @return what fn returned
-- @usage
-- conn:savepoint(function() conn:exec("insert into orders (sku) values ($1)", "x") end)
methods.savepoint = around("savepoint")

--- Runs fn in a transaction that is rolled back, whatever happens: also after a failure, a skip, an
-- error or a deadline.
-- PostgreSQL and MySQL let any connection do it, SQLite one that was opened with `write`. What does not
-- belong to a transaction stays: numbers drawn from sequences, what functions do outside of the database.
-- A statement that would commit is refused; that the transaction is still the one that was begun is
-- verified at the end, and when it is not, that is a failure. Inside another transaction it is a savepoint.
-- @function conn:rolled_back
-- @param fn function called with the connection
-- @return what fn returned
-- @usage
-- conn:rolled_back(function()
--   conn:exec("insert into orders (sku) values ($1)", "healthcheck")
--   assert_equal(1, conn:value("select count(*) from orders where sku = $1", "healthcheck"))
-- end)
methods.rolled_back = around("rolled_back")

-- --- the connection itself ----------------------------------------------------------

--- Tells what it is connected to.
-- @function conn:info
-- @return table label, server ("PostgreSQL"), version, version_number, user, database, remote_ip, tls, timings
-- @usage assert_version(conn:info().version, ">= 13")
function methods.info(conn)
  local info = {}
  for key, value in next, session_of(conn, "conn:info").raw:info() do info[key] = value end
  return info
end

--- Closes the connection; a transaction is rolled back. Closing twice is no error.
-- @function conn:close
-- @usage conn:close()
function methods.close(conn)
  session.close(session_of(conn, "conn:close"), "the connection is closed")
end

local META = {
  __name = "db.connection",
  __metatable = false,
  __index = methods,
  __newindex = function() misuse("a connection has no fields to be set") end,
  __close = methods.close,
  __tostring = function(conn)
    local s = sessions[conn]
    return s and format("%s %s", s.place.kind, s.place.name) or "a connection"
  end,
}

local connection = {}

-- The object for a session.
function connection.of(s)
  local conn = setmetatable({}, META)
  sessions[conn] = s
  return conn
end

return connection
