-- jsonl.lua: one JSON object an event, one event a line, as they happen.  Progress, which is for
-- the eye, is left out.
local jsonwriter = require "hospital.reportkit.jsonwriter"

local jsonl = {}
jsonl.__index = jsonl

local function plain(self, name, event)
  local body = jsonwriter.encode(event, "summary"):sub(2) -- an object, even when it is empty
  self.out:write('{"event":"', name, body == "}" and '"' or '",', body, "\n")
end

function jsonl:run_started(event) plain(self, "run_started", event) end
function jsonl:run_finished(event) plain(self, "run_finished", event) end

function jsonl:check_finished(event)
  self.out:write('{"event":"check_finished","check":', jsonwriter.check(event.check), "}\n")
end

function jsonl:diagnosis_finished(event)
  self.out:write('{"event":"diagnosis_finished","of":', jsonwriter.string(event.of),
    ',"check":', jsonwriter.check(event.check), "}\n")
end

local function open(out) return setmetatable({ out = out }, jsonl) end

return open, "one JSON object an event, one event a line"
