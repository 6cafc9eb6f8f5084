-- db_migrations.lua - how far the schema is, as the tools that migrate it write it down.
local probe = import "hospital.probe"
local demand = import("hospital.db_fault").demand
local schema = import "hospital.db_schema"
local null = import("hospital.json").json.null
local format, match = string.format, string.match
local mathtype, next, tostring = math.type, next, tostring
local misuse = probe.misuse

-- column: the one that names a migration.  done: what holds for those that were
-- applied; bad: for those that failed or are under way; order: the latest is last.
local RAILS = { tool = "Rails", column = "version", order = "version" }
local GOLANG = { tool = "golang-migrate", column = "version", order = "version", bad = "dirty", linear = true }

local TOOLS = {
  { table = "schema_migrations", pick = function(found) return found.of.dirty and GOLANG or RAILS end },
  { table = "django_migrations", tool = "Django", column = "name", order = "id", of = "app" },
  { table = "flyway_schema_history", tool = "Flyway", column = "version", order = "installed_rank",
    done = "success and version is not null", bad = "not success" },
  { table = "alembic_version", tool = "Alembic", column = "version_num", order = "version_num" },
  { table = "databasechangelog", tool = "Liquibase", column = "id", order = "orderexecuted" },
  { table = "DATABASECHANGELOG", tool = "Liquibase", column = "ID", order = "ORDEREXECUTED" },
  { table = "_prisma_migrations", tool = "Prisma", column = "migration_name", order = "started_at",
    done = "finished_at is not null and rolled_back_at is null",
    bad = "finished_at is null and rolled_back_at is null" },
  { table = "_sqlx_migrations", tool = "sqlx", column = "version", order = "version", done = "success",
    bad = "not success" },
}

local function tool_of(found, name)
  for _, tool in next, TOOLS do
    if tool.table == name then return tool.pick and tool.pick(found) or tool end
  end
end

-- A known tool's table keeps what tells of failures when the author names a column of it.
local function with_column(tool, found, column)
  if not tool or not found.of[tool.column] then return { tool = found.name, column = column, order = column } end
  if tool.column == column then return tool end
  return { tool = tool.tool, column = column, order = tool.order, done = tool.done, bad = tool.bad }
end

-- The table and how to read it; or nil and a failure.
local function locate(given, ask)
  local dialect, options = given.place.dialect, given.options
  if not options.table then
    if options.column then misuse("%s: column needs a table", given.what) end
    for i = 1, #TOOLS do
      local found = schema.find(ask, dialect, TOOLS[i].table, options.schema)
      if found then return found, tool_of(found, TOOLS[i].table) end
    end
    return demand(given.place, "there is no table of a migration tool that is known: give table and column",
      "a table such as schema_migrations", "none")
  end
  local found = schema.find(ask, dialect, options.table, options.schema)
  if not found then
    return demand(given.place, format("there is no table %s", options.table), "a table " .. options.table, "none")
  end
  local tool = tool_of(found, found.name)
  if options.column then tool = with_column(tool, found, options.column) end
  if not tool then
    misuse("%s: table %s is not known: say which column names a migration", given.what, options.table)
  end
  if not found.of[tool.column] then
    return demand(given.place, format("table %s has no column %s", options.table, tool.column))
  end
  return found, tool
end

local function name_of(row)
  if row.app and row.app ~= null then return tostring(row.app) .. "." .. tostring(row.name) end
  return tostring(row.name)
end

-- The last row for which the condition holds, or nil.
local function last(given, ask, found, tool, condition, ...)
  local dialect = given.place.dialect
  return ask(format("select %s as name%s from %s where %s order by %s desc limit 1",
    dialect.as_text(schema.quote(dialect, tool.column)),
    tool.of and ", " .. schema.quote(dialect, tool.of) .. " as app" or "", found.quoted, condition,
    schema.quote(dialect, tool.order)), ...)[1]
end

-- The condition for the wanted version, and its parameters.
local function condition_of(given, tool)
  local dialect, version = given.place.dialect, given.options.version
  local column = schema.quote(dialect, tool.column)
  if tool.linear then
    local number = mathtype(version) == "integer" and version or tostring(version)
    if not match(tostring(number), "^%d+$") then
      misuse("%s: a version of %s is a whole number, got %s", given.what, tool.tool, tostring(version))
    end
    return column .. " >= " .. tostring(number)
  end
  local condition = dialect.as_text(column) .. " = " .. dialect.placeholder(1)
  if not tool.of then return condition, tostring(version) end
  local app, name = match(tostring(version), "^([^.]+)%.(.+)$")
  if not app then misuse('%s: a version of %s is "app.name", got %s', given.what, tool.tool, tostring(version)) end
  return format("%s and %s = %s", condition, schema.quote(dialect, tool.of), dialect.placeholder(2)), name, app
end

local function check_bad(given, ask, found, tool)
  local bad = tool.bad and last(given, ask, found, tool, tool.bad)
  if not bad then return true end
  return demand(given.place, format("migration %s (%s) has failed, or has not been completed", name_of(bad), tool.tool),
    "a completed migration", name_of(bad))
end

local function check_version(given, ask, found, tool, latest)
  if not given.options.version then return true end
  local function with(condition, ...)
    if tool.done then condition = "(" .. condition .. ") and " .. tool.done end
    return last(given, ask, found, tool, condition, ...)
  end
  if with(condition_of(given, tool)) then return true end
  local wanted = tostring(given.options.version)
  return demand(given.place, format("migration %s (%s) has not been applied; the latest is %s", wanted, tool.tool,
    latest), wanted, latest)
end

return function(given, ask)
  local found, tool = locate(given, ask)
  if not found then return nil, tool end
  local ok, failure = check_bad(given, ask, found, tool)
  if not ok then return nil, failure end
  local named = schema.quote(given.place.dialect, tool.column) .. " is not null"
  local row = last(given, ask, found, tool, tool.done or named)
  if not row then
    return demand(given.place, format("no migration has been applied: table %s (%s) is empty", found.name, tool.tool),
      given.options.version and tostring(given.options.version) or "migrations", "none")
  end
  ok, failure = check_version(given, ask, found, tool, name_of(row))
  if not ok then return nil, failure end
  return { tool = tool.tool, table = found.name, version = name_of(row) }
end
