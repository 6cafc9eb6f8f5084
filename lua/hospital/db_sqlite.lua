-- db_sqlite.lua - what is SQLite's own: its transactions, and the queries that
-- assertions ask.
local sqlite = {
  name = "sqlite", title = "SQLite",
  needs_write = true, -- a file that was opened to be read is never written
  begin = {
    read = "BEGIN; SELECT 1 FROM sqlite_master", write = "BEGIN IMMEDIATE", rolled_back = "BEGIN IMMEDIATE",
  },
}

function sqlite.placeholder() return "?" end
function sqlite.as_text(expression) return "cast(" .. expression .. " as text)" end

-- Of the main database, or the temporary one.
function sqlite.table(ask, schema, name)
  local temp = schema == "temp"
  if schema and not temp and schema ~= "main" then return nil end
  local found = ask("select name from " .. (temp and "sqlite_temp_master" or "sqlite_master")
    .. " where type in ('table', 'view') and name = ? collate nocase", name)[1]
  if not found then return nil end
  return {
    schema = schema, name = found.name,
    columns = ask("select name, type from pragma_table_xinfo(?, ?) where hidden <> 1", found.name,
      temp and "temp" or "main"),
  }
end

sqlite.pages = "select page_count as n from pragma_page_count()"
sqlite.quick = "select quick_check as problem from pragma_quick_check(10)"
sqlite.integrity = "select integrity_check as problem from pragma_integrity_check(10)"
sqlite.foreign_keys = 'select "table", parent, rowid as row from pragma_foreign_key_check() limit 10'

return sqlite
