-- db_schema.lua - tables, their columns, rows and indexes: what is there, held against
-- what should be.
local host = import "hospital.host"
local demand = import("hospital.db_fault").demand
local concat = table.concat
local find, format, gsub, lower, match = string.find, string.format, string.gsub, string.lower, string.match
local max, min, next, type = math.max, math.min, next, type

local schema = {}

-- An identifier as SQL has it.
function schema.quote(dialect, name)
  local mark = dialect.quotes or '"'
  return mark .. gsub(name, mark, mark .. mark) .. mark
end

-- What is called name: "orders" or "sales.orders"; a given schema leaves the name whole.
function schema.find(ask, dialect, name, of)
  local within, bare = match(name, "^([^.]+)%.(.+)$")
  if of or not within then within, bare = of, name end
  local found = dialect.table(ask, within, bare)
  if not found then return nil end
  found.quoted = schema.quote(dialect, found.name)
  if found.schema then found.quoted = schema.quote(dialect, found.schema) .. "." .. found.quoted end
  found.of = {}
  for _, column in next, found.columns do found.of[column.name] = column.type end
  return found
end

local function column_names(found)
  local names = {}
  for i, column in next, found.columns do names[i] = column.name end
  return concat(names, ", ")
end

-- wanted: a list of names, or names with their types.
local function check_columns(given, found)
  for key, value in next, given.options.columns or {} do
    local name, wanted = key, value
    if type(key) ~= "string" then name, wanted = value, nil end
    local actual = found.of[name]
    if not actual then
      return demand(given.place, format("table %s has no column %s", given.table, name), name, column_names(found))
    end
    if wanted and lower(wanted) ~= lower(actual) then
      return demand(given.place, format("column %s of table %s is of type %s, not %s", name, given.table, actual,
        wanted), wanted, actual)
    end
  end
  return true
end

-- Counts no further than has to be known.
local function check_rows(given, found, ask)
  local least, most = given.options.min_rows, given.options.max_rows
  if not least and not most then return true end
  local limit = max(least or 0, (most or -1) + 1)
  local n = ask(format("select count(*) as n from (select 1 as x from %s limit %d) as t", found.quoted, limit))[1].n
  found.rows = n
  if least and n < least then
    return demand(given.place, format("table %s has %d rows, at least %d expected", given.table, n, least),
      format("at least %d rows", least), format("%d rows", n))
  end
  if most and n > most then
    return demand(given.place, format("table %s has more than %d rows", given.table, most),
      format("at most %d rows", most), format("more than %d rows", most))
  end
  return true
end

function schema.check_table(given, ask)
  local found = schema.find(ask, given.place.dialect, given.table, given.options.schema)
  if not found then
    return demand(given.place, format("there is no table %s", given.table), "a table " .. given.table, "none")
  end
  local ok, failure = check_columns(given, found)
  if ok then ok, failure = check_rows(given, found, ask) end
  if not ok then return nil, failure end
  return { schema = found.schema, name = found.name, columns = found.columns, rows = found.rows }
end

-- --- indexes ----------------------------------------------------------------------

local function full_name(index) return format("%s.%s on %s", index.schema, index.name, index.table) end

-- Why the index is excused for now, or nil.
local function excuse(index)
  if index.building then return "" end
  if index.hidden then return "or is being built by a session that this role cannot see (grant pg_monitor to it)" end
  if index.standby then return "or is being built on the primary: this is a standby" end
end

function schema.check_indexes(given, ask, s)
  local wanted = given.options
  local list = given.place.dialect.indexes(ask, s, wanted)
  if not list[1] and (wanted.index or wanted.table) then
    local what = wanted.index and "index " .. wanted.index or "index on a table " .. wanted.table
    return demand(given.place, "there is no " .. what, what, "none")
  end
  if not list[1] and wanted.schema and not ask(given.place.dialect.schema, wanted.schema)[1] then
    return demand(given.place, "there is no schema " .. wanted.schema, "a schema " .. wanted.schema, "none")
  end
  local bad = {}
  for _, index in next, list do
    if not (index.valid and index.ready) then
      local why = excuse(index)
      if not why then
        bad[#bad + 1] = full_name(index) .. (index.valid and " (not ready)" or "")
      elseif why ~= "" then
        host.record("warning", format("index %s is not valid, %s", full_name(index), why))
      end
    end
  end
  if not bad[1] then return list end
  local one = #bad == 1
  return demand(given.place, format("%d %s not valid, so no query uses %s: %s. REINDEX or drop and create %s", #bad,
    one and "index is" or "indexes are", one and "it" or "them", concat(bad, ", ", 1, min(#bad, 10)),
    one and "it" or "them"), "valid indexes", concat(bad, "\n", 1, min(#bad, 50)))
end

-- --- SQLite's whole file ------------------------------------------------------------

function schema.check_integrity(given, ask)
  local dialect = given.place.dialect
  local problems = {}
  if ask(dialect.pages)[1].n == 0 and not given.place.own then
    return demand(given.place, "the file is empty: there is no database in it", "a database", "0 bytes")
  end
  for _, row in next, ask(given.options.quick and dialect.quick or dialect.integrity) do
    if row.problem ~= "ok" then problems[#problems + 1] = row.problem end
  end
  for _, row in next, ask(dialect.foreign_keys) do
    problems[#problems + 1] = format("row %s of %s refers to a row of %s that is not there",
      type(row.row) == "number" and format("%d", row.row) or "?", row.table, row.parent)
  end
  if not problems[1] then return true end
  local first = find(problems[1], "\n") and match(problems[1], "^[^\n]*") or problems[1]
  return demand(given.place, format("the database is damaged: %s", first), "ok", concat(problems, "\n"))
end

return schema
