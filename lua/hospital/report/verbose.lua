-- verbose.lua: one line a check, with everything that is said in a word.
local block = require "hospital.reportkit.block"
local closing = require "hospital.reportkit.closing"
local style = require "hospital.reportkit.style"

local verbose = {}
verbose.__index = verbose

local words = {
  pass = "pass", warn = "warn", fail = "FAIL", error = "ERROR", timeout = "TIMEOUT", skip = "skip",
  expected_failure = "xfail", unexpected_success = "XPASS",
}

local function reason(check)
  if check.context then return check.context end
  if check.status == "warn" then return closing.first_warning(check) end
  return nil
end

function verbose:check_finished(event)
  local check = event.check
  local look = style.status[check.status] or style.status.error
  local word = words[check.status] or "ERROR"
  local parts = {
    self.paint(look.color, word) .. (" "):rep(7 - #word),
    style.line(check.id),
    style.seconds(check.duration),
  }
  if (check.attempts or 1) > 1 then parts[#parts + 1] = ("attempts=%d"):format(check.attempts) end
  for _, metric in ipairs(check.metrics or {}) do parts[#parts + 1] = block.metric(metric) end
  local why = reason(check)
  if why then parts[#parts + 1] = style.line(why) end
  self.out:write(table.concat(parts, "  "), "\n")
  for _, warning in ipairs(check.warnings or {}) do
    if warning ~= why then self.out:write("         warning: ", style.line(warning), "\n") end
  end
  self.closing:add(check)
end

function verbose:diagnosis_finished(event)
  self.closing:diagnose(event)
end

function verbose:run_finished(event)
  if self.closing.seen > 0 then self.out:write("\n") end
  self.closing:finish(event)
end

local function open(out, options)
  local self = { out = out, paint = style.painter(out), closing = closing.new(out, options) }
  self.closing.brief = false
  return setmetatable(self, verbose)
end

return open, "one line a check: status, id, duration, metrics, reason"
