-- db_assertions.lua - what checks assert about databases: which arguments there are.
-- How each is judged is in a module of its own, loaded with its first use; what a
-- database is asked is in its dialect (db_postgres, db_sqlite, db_mysql).
local host = import "hospital.host"
local probe = import "hospital.probe"
local targets = import "hospital.db_target"
local import, next, rawlen, tonumber, tostring, type, unpack =
  import, next, rawlen, tonumber, tostring, type, table.unpack
local match, mathtype = string.match, math.type
local misuse, read = probe.misuse, probe.read

--- Those of one attempt of a check share a connection for each target and options, which cannot write; with
-- `expect_` in place of `assert_` they record the failure and go on. Each takes the options of `db.connect`
-- but `write` besides its own.
-- @section Databases
local assertions = {}

-- --- arguments --------------------------------------------------------------------

-- place, own options, connect (a connection's) and message; OWN[key] reads an option.
local function given_of(what, OWN, target, options, message)
  if type(options) == "string" and not host.duration(options) and message == nil then
    options, message = nil, options -- (target, …, message)
  end
  local all = probe.options(what, options, targets.readers(OWN))
  local given = { what = what, options = {}, connect = {}, message = read.message(message, what) }
  for key, value in next, all do (OWN[key] and given.options or given.connect)[key] = value end
  given.place = targets.read(what, target)
  return given
end

-- The assertion needs the dialect to have this.
local function needs(given, feature)
  if not given.place.dialect[feature] then
    misuse("%s is not for %s", given.what, given.place.dialect.title)
  end
  return given
end

local function simple(OWN, feature)
  return function(what, target, options, message)
    return needs(given_of(what, OWN, target, options, message), feature)
  end
end

-- judge(given, ask, session) in module[name]
local function judging(module, name)
  return function(given)
    return import("hospital.db_shared").use(given.what, given.place, given.connect, function(ask, _, s)
      local judge = import(module)
      return (name and judge[name] or judge)(given, ask, s)
    end)
  end
end

local function read_percent(value, name)
  local percent = type(value) == "string" and tonumber((match(value, "^([%d.]+)%%$"))) or value
  if type(percent) ~= "number" or not (percent > 0 and percent <= 100) then
    misuse('%s must be a number above 0 and up to 100, or "80%%", got %s', name, tostring(value))
  end
  return percent
end

local function read_version(value, name)
  if type(value) ~= "string" and mathtype(value) ~= "integer" or value == "" then
    misuse("%s must be a text or a whole number, got %s", name, tostring(value))
  end
  return value
end

-- A list of names, or names with types.
local function read_columns(value, name)
  if type(value) ~= "table" then misuse("%s must be a list of names, or names with types", name) end
  for key, item in next, value do
    local listed = mathtype(key) == "integer" and key >= 1 and key <= rawlen(value)
    if type(item) ~= "string" or not listed and type(key) ~= "string" then
      misuse("%s must be a list of names, or names with types", name)
    end
  end
  return value
end

local COUNT = read.integer(0, 1 << 53)

-- --- assertions ---------------------------------------------------------------------

--- Asserts that a database takes a login and answers.
-- @function assert_database
-- @param target string as for db.connect
-- @param[opt] options table those of db.connect, or just a timeout
-- @param[opt] message string put before the failure's own
-- @return table as conn:info
-- @raise dns, connect, tls, timeout, authentication, no_database, too_many_connections, starting_up
-- @usage assert_database("postgres://app@db/shop", "2s")
probe.define(assertions, "database", simple({}, "title"), function(given)
  return import("hospital.db_shared").use(given.what, given.place, given.connect, function(ask, _, s)
    ask("select 1 as answer")
    local info = {}
    for key, value in next, s.raw:info() do info[key] = value end
    return info
  end)
end)

local function read_params(value, name)
  if type(value) ~= "table" then misuse("%s must be a list, got %s", name, type(value)) end
  return value
end

--- Asserts what a query brings.
-- A number, text, boolean or `db.null` is the one value; a table with names is the one row, a list of tables
-- all rows (in their order, so say `order by`), `{}` none; a function is called with the first value of the
-- first row (nil for NULL or no row) and the list of rows, and what it returns must be true.
-- @function assert_query
-- @param target string as for db.connect
-- @param sql string one statement, which only reads
-- @param expected value, row, list of rows or function
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.params list of values of the statement's parameters; with nils, and then `n`
-- @param[opt] message string put before the failure's own
-- @return what was compared: the value, the row or the rows
-- @raise syntax, statement_timeout and others as conn:query
-- @usage
-- assert_query("sqlite:/var/lib/shop.db", "select count(*) from orders where state = 'stuck'", 0)
-- assert_query("postgres://app@db/shop", "select id, state from orders where id = $1",
--   { id = 17, state = "paid" }, { params = { 17 } })
-- assert_query("postgres://app@db/shop", "select count(*) from jobs", function(n) return n < 1000 end)
probe.define(assertions, "query", function(what, target, sql, expected, options, message)
  if type(sql) ~= "string" then misuse("%s: the statement must be a string, got %s", what, type(sql)) end
  if expected == nil then misuse("%s: what is expected? db.null stands for NULL, {} for no row", what) end
  local given = given_of(what, { params = read_params }, target, options, message)
  given.sql, given.expected, given.brief = sql, expected, import("hospital.sql").brief(sql, 80)
  return given
end, function(given)
  local params = given.options.params or {}
  local result, failure = import("hospital.db_shared").use(given.what, given.place, given.connect, function(_, run)
    return run(given.sql, unpack(params, 1, type(params.n) == "number" and params.n or rawlen(params)))
  end)
  if not result then return nil, failure end
  return import "hospital.db_expect"(given, result)
end)

--- Asserts that a table or view is there, with its columns and about as many rows as it should have.
-- Names are matched as they are stored. Rows are counted no further than has to be known.
-- @function assert_table
-- @param target string as for db.connect
-- @param name string the table, or "schema.table"
-- @param[opt] options table those of db.connect but max_rows, and:
-- @param[opt] options.columns table a list of names, or names with types ({ id = "bigint" })
-- @param[opt] options.min_rows integer rows it has at least
-- @param[opt] options.max_rows integer rows it has at most
-- @param[opt] options.schema string the schema; then name is taken as it is, dots and all
-- @param[opt] message string put before the failure's own
-- @return table schema, name, columns (list of { name, type }), rows (as far as they were counted, else nil)
-- @raise as conn:query
-- @usage assert_table("postgres://app@db/shop", "orders", { columns = { "id", "sku" }, min_rows = 1 })
probe.define(assertions, "table", function(what, target, name, options, message)
  if type(name) ~= "string" or name == "" then misuse("%s: the table must be a name, got %s", what, type(name)) end
  local given = given_of(what, {
    columns = read_columns, min_rows = COUNT, max_rows = COUNT, schema = read.text,
  }, target, options, message)
  given.table = name
  return needs(given, "table")
end, judging("hospital.db_schema", "check_table"))

--- Asserts that migrations have been applied, and none has failed.
-- The tables of Rails (and what writes the same), golang-migrate, Django, Flyway, Alembic, Liquibase, Prisma and
-- sqlx are known; without `table`, the first of them that is there. Of golang-migrate, whose steps
-- are in a row, a later version will do.
-- @function assert_migrated
-- @param target string as for db.connect
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.version string|integer the migration that must have been applied; "app.name" for Django;
--   without it, any
-- @param[opt] options.table string where they are written down
-- @param[opt] options.column string the column that names a migration, for a table that is not known
-- @param[opt] options.schema string the table's schema
-- @param[opt] message string put before the failure's own
-- @return table tool, table, version (the latest)
-- @raise as conn:query
-- @usage assert_migrated("postgres://app@db/shop", { table = "schema_migrations", version = "20261120093000" })
probe.define(assertions, "migrated", simple({
  table = read.text, column = read.text, schema = read.text, version = read_version,
}, "table"), judging("hospital.db_migrations"))

--- Asserts that connections are left on the server.
-- Counts those of all databases against max_connections less what is reserved for administrators.
-- @function assert_connections
-- @param target string as for db.connect; PostgreSQL, MySQL
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.max_percent number|string the share that may be in use; 80
-- @param[opt] message string put before the failure's own
-- @return table used, max, percent
-- @raise as conn:query
-- @usage assert_connections("postgres://app@db/shop", { max_percent = 80 })
probe.define(assertions, "connections", simple({ max_percent = read_percent }, "connections"),
  judging("hospital.db_load", "check_connections"))

--- Asserts that no transaction has been open for long: it holds locks, and keeps dead rows from being removed.
-- Prepared transactions count. Seeing those of other roles takes the rights of pg_monitor; a role without is an
-- error, unless what it does see is too old.
-- @function assert_no_long_transactions
-- @param target string as for db.connect; PostgreSQL
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.max_age duration that one may be open; 5 min
-- @param[opt] message string put before the failure's own
-- @return table oldest (seconds), transactions (list of the oldest: pid or prepared, user, database, state, age)
-- @raise denied when the role may not see how old they are
-- @usage assert_no_long_transactions("postgres://monitor@db/shop", { max_age = "5m" })
probe.define(assertions, "no_long_transactions", simple({ max_age = read.duration }, "transactions"),
  judging("hospital.db_load", "check_transactions"))

--- Asserts that no index is invalid, as an index is that could not be built concurrently to its end.
-- One whose table is being indexed right now is none; on a standby, where that cannot be seen, an invalid one is a
-- warning.
-- @function assert_index_valid
-- @param target string as for db.connect; PostgreSQL
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.index string the one index, which must be there
-- @param[opt] options.table string those of one table
-- @param[opt] options.schema string those of one schema
-- @param[opt] message string put before the failure's own
-- @return list of the invalid ones, or of all those asked for: schema, table, name, valid, ready
-- @raise as conn:query
-- @usage assert_index_valid("postgres://app@db/shop", { table = "orders" })
probe.define(assertions, "index_valid", simple({ index = read.text, table = read.text, schema = read.text }, "indexes"),
  judging("hospital.db_schema", "check_indexes"))

--- Asserts that a standby follows its primary, or that a primary is followed.
-- On a standby: the WAL receiver streams, and what has been received is replayed soon. On a primary: replicas
-- stream and are not far behind, and no replication slot is without its consumer. Where nothing is written
-- there is no lag. A replica is a standby: backups and logical subscribers do not count as one, though they
-- may not be far behind either.
-- @function assert_replication
-- @param target string as for db.connect; PostgreSQL
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.max_lag duration that it may be behind; 30 s
-- @param[opt] options.max_lag_bytes integer bytes of WAL that it may be behind; from the primary, only this sees
--   a replay that stands still
-- @param[opt] options.replicas integer how many must be streaming from the primary, 1; a standby fails when it
--   is given
-- @param[opt] options.slots boolean false to leave a primary's replication slots out
-- @param[opt] message string put before the failure's own
-- @return table role ("standby" or "primary"), lag and lag_bytes of a standby, replicas of a primary (list of
--   name, address, sync_state, lag, lag_bytes)
-- @raise denied when the role may not see it: it takes the rights of pg_monitor
-- @usage assert_replication("postgres://monitor@db/shop", { replicas = 2, max_lag = "10s" })
probe.define(assertions, "replication", simple({
  max_lag = read.duration, max_lag_bytes = COUNT, replicas = COUNT, slots = read.boolean,
}, "replicas"), judging("hospital.db_replication"))

--- Asserts that a database file is neither damaged nor empty, and that no row refers to one that is not there.
-- @function assert_integrity
-- @param target string as for db.connect; SQLite
-- @param[opt] options table those of db.connect, and:
-- @param[opt] options.quick boolean true to leave out whether indexes match their tables: much faster; false
-- @param[opt] message string put before the failure's own
-- @return true
-- @raise as conn:query
-- @usage assert_integrity("sqlite:/var/lib/shop.db", { quick = true })
probe.define(assertions, "integrity", simple({ quick = read.boolean }, "integrity"),
  judging("hospital.db_schema", "check_integrity"))

return assertions
