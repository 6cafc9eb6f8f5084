-- dsl.lua - the one declaration that every check file makes.
local declare = import("hospital.suite").declare
local getmetatable, rawequal, setmetatable = getmetatable, rawequal, setmetatable

local TAG = {} -- what getmetatable shows of a handle
local HANDLE = { __metatable = TAG, __name = "healthcheck" }
--- What a file declares while it loads.
-- @section Checks
local dsl = {}

--- Declares a healthcheck.
-- The function runs later, on its own, with a deadline. It passes unless it raises.
-- Only while the file loads: a check cannot declare another one.
-- Raises a load error, with the file and line, for an unknown option, a wrong
-- value, an empty name or one with control characters or `::`, a missing function.
-- @function healthcheck
-- @param name the title; it ends the id, `path/file.lua::describe::name`
-- @param[opt] options a table: tags, slow, timeout, retries, retry_delay, requires,
--   expected_failure, skip, description, owner, runbook, severity, every
-- @param fn the check, called without arguments
-- @return a handle, for is_healthcheck
-- @usage healthcheck("home page answers", { tags = "smoke" }, function()
--   assert_http_response("http://127.0.0.1/", 200)
-- end)
function dsl.healthcheck(name, options, fn)
  declare("check", name, options, fn)
  return setmetatable({}, HANDLE)
end

--- Tells a check from anything else.
-- @function is_healthcheck
-- @param value anything
-- @return true when value is what healthcheck or diagnosis returned
-- @usage local home = healthcheck("home", function() end)
-- assert_true(is_healthcheck(home))
function dsl.is_healthcheck(value)
  return rawequal(getmetatable(value), TAG)
end

dsl.handle = HANDLE

return dsl
