-- db_mysql.lua - what is MySQL's and MariaDB's own: their transactions, and the
-- queries that assertions ask.
return {
  name = "mysql", title = "MySQL",
  begin = {
    read = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", write = "START TRANSACTION READ WRITE",
    rolled_back = "START TRANSACTION READ WRITE",
  },
}
