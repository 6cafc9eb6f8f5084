-- outcome.lua: what a run of the real binary came to, read from its JSON.
local json = require "cjson"
local process = require "spec.support.process"
local tree = require "spec.support.tree"

local outcome = {}

--- Reads what an ended `hospital run -f json` wrote.
-- @return its checks by id, its exit code, the whole document, the ended process
function outcome.read(ended)
  local report, by_id = json.decode(ended.stdout), {}
  for _, check in ipairs(report.details) do by_id[check.id] = check end
  return by_id, ended.code, report, ended
end

--- Runs checks to their end and reads the outcome; more arguments are the command's.
-- @param seconds the bound
-- @param files as for tree.make, or the path of a directory
function outcome.within(seconds, files, ...)
  local root = type(files) == "table" and tree.make(files) or files
  return outcome.read(process.hospital({ "run", root, "-f", "json", ... }, { seconds = seconds }))
end

--- The same within 20 seconds.
function outcome.run(files, ...) return outcome.within(20, files, ...) end

return outcome
