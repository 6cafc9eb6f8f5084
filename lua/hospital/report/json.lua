-- json.lua: the whole run as one document, written at its end.
local jsonwriter = require "hospital.reportkit.jsonwriter"

local json = {}
json.__index = json

function json:run_started(event) self.start = event end

-- Passing checks are kept as text: they are the many, and nothing can be added to them.
function json:check_finished(event)
  local check = event.check
  local n = #self.details + 1
  if check.status == "pass" then
    self.details[n] = jsonwriter.check(check)
  else
    self.details[n] = check
    self.by_id[check.id] = self.by_id[check.id] or n
  end
end

function json:diagnosis_finished(event)
  local n = self.by_id[event.of]
  local list = self.loose
  if n then
    list = self.diagnoses[n] or {}
    self.diagnoses[n] = list
  end
  list[#list + 1] = '{"of":' .. jsonwriter.string(event.of) .. ',"check":' ..
    jsonwriter.check(event.check) .. "}"
end

function json:run_finished(event)
  local details = self.details
  for i, check in ipairs(details) do
    if type(check) == "table" then
      local list = self.diagnoses[i]
      details[i] = jsonwriter.check(check,
        list and ',"diagnoses":[' .. table.concat(list, ",") .. "]")
    end
  end
  local start = self.start or {}
  local head = {}
  local function add(name, value) head[#head + 1] = '"' .. name .. '":' .. value end
  add("status", jsonwriter.string(event.status))
  add("summary", jsonwriter.encode(event.summary, "summary"))
  add("started", jsonwriter.number(event.started or start.started or 0))
  add("duration", jsonwriter.number(event.duration or 0))
  add("host", jsonwriter.string(start.host or ""))
  add("version", jsonwriter.string(start.version or ""))
  add("exit_code", jsonwriter.number(event.exit_code or 0))
  add("interrupted", event.interrupted and "true" or "false")
  add("not_run", jsonwriter.number(event.not_run or 0))
  add("deselected", jsonwriter.encode(event.deselected or {}, "deselected"))
  add("notes", jsonwriter.encode(event.notes or {}, "notes"))
  if #self.loose > 0 then add("diagnoses", "[" .. table.concat(self.loose, ",") .. "]") end
  self.out:write("{", table.concat(head, ","), ',"details":[\n', table.concat(details, ",\n"),
    "\n]}\n")
end

local function open(out)
  return setmetatable({ out = out, details = {}, by_id = {}, diagnoses = {}, loose = {} }, json)
end

return open, "one document, at the end"
