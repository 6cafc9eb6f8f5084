-- db_mysql.lua - what is MySQL's and MariaDB's own: their transactions, and the
-- queries that assertions ask.
local tonumber = tonumber

local mysql = {
  name = "mysql", title = "MySQL",
  begin = {
    read = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", write = "START TRANSACTION READ WRITE",
    rolled_back = "START TRANSACTION READ WRITE",
  },
  quotes = "`",
}

function mysql.placeholder() return "?" end
function mysql.as_text(expression) return "cast(" .. expression .. " as char)" end

function mysql.table(ask, schema, name)
  local found = ask([[select table_schema as `schema`, table_name as name from information_schema.tables
    where table_name = ? and table_schema = coalesce(?, database())]], name, schema)[1]
  if not found then return nil end
  found.columns = ask([[select column_name as name, column_type as type from information_schema.columns
    where table_schema = ? and table_name = ? order by ordinal_position]], found.schema, found.name)
  return found
end

-- One connection more is kept for an administrator.
function mysql.connections(ask)
  local used = ask("show global status where variable_name = 'Threads_connected'")[1]
  return tonumber(used.Value), ask("select @@global.max_connections as most")[1].most
end

return mysql
