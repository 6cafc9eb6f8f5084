-- db_postgres.lua - what is PostgreSQL's own: its transactions, and the queries
-- that assertions ask.
return {
  name = "postgres", title = "PostgreSQL",
  arrays = true,
  -- Once a transaction has its snapshot, the server refuses to make it one that writes.
  begin = { read = "BEGIN READ ONLY; SELECT 1", write = "BEGIN READ WRITE", rolled_back = "BEGIN READ WRITE" },
  -- Which transaction this is: in numbers, so that no setting changes how it looks.
  identity = "select pg_catalog.pg_backend_pid(), "
    .. "(extract(epoch from pg_catalog.transaction_timestamp()) * 1000000)::bigint",
}
