-- db_sqlite.lua - what is SQLite's own: its transactions, and the queries that
-- assertions ask.
return {
  name = "sqlite", title = "SQLite",
  needs_write = true, -- a file that was opened to be read is never written
  begin = { read = "BEGIN; SELECT 1 FROM sqlite_master", write = "BEGIN IMMEDIATE", rolled_back = "BEGIN IMMEDIATE" },
}
