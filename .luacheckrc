-- luacheck: our own Lua, which runs in a private environment, its specs, and
-- check files, which see what src/vm/surface.c publishes.
std = "lua54"
max_line_length = 120
files["lua"] = { read_globals = { "import" } }
-- Tables of cases read better a case a line.
files["spec"] = { std = "lua54+busted", max_line_length = false }

local CHECK_FILES = {
  "healthcheck", "is_healthcheck", "describe", "diagnosis", "setup", "teardown", "before_each",
  "after_each", "skip", "warn", "log", "metric", "sleep", "now", "eventually", "parallel", "env",
  "http", "json", "tcp", "ping", "db", "rolled_back",
}
local ASSERTIONS = {
  "version", "equal", "not_equal", "is", "is_not", "true", "false", "nil", "not_nil", "in", "not_in",
  "type", "not_type", "error", "almost_equal", "not_almost_equal", "greater", "greater_equal", "less",
  "less_equal", "match", "not_match", "contains", "http_response", "tcp", "ping",
  "database", "query", "table", "migrated", "connections", "no_long_transactions", "index_valid", "replication",
  "integrity",
}
for i = 1, #ASSERTIONS do
  CHECK_FILES[#CHECK_FILES + 1] = "assert_" .. ASSERTIONS[i]
  CHECK_FILES[#CHECK_FILES + 1] = "expect_" .. ASSERTIONS[i]
end
files["checks"] = { read_globals = CHECK_FILES }
files["examples"] = files["checks"]
