-- closing.lua: how every report for people ends: the red checks, warnings and skips in short, the
-- slowest, and the verdict.  OK is printed only for a run that had checks, whose results all came,
-- and that nobody called red.
local style = require "hospital.reportkit.style"
local block = require "hospital.reportkit.block"

local closing = {}
closing.__index = closing

local SHOWN = 10 -- warnings, or reasons to skip, before "and 12 more"

function closing.new(out, options)
  return setmetatable({
    out = out, paint = style.painter(out), strict = options.strict,
    durations = options.durations or 0, brief = not options.verbose, quiet = options.quiet,
    seen = 0, reds = {}, warned = {}, warnings = 0, skipped = {}, slowest = {}, diagnoses = {},
  }, closing)
end

--- Remembers what the end has to tell of a check.
function closing:add(check)
  self.seen = self.seen + 1
  if self.durations > 0 then self.slowest[#self.slowest + 1] = { check.duration, check.id } end
  local status = check.status
  if status == "pass" then return end
  if style.is_red(status, self.strict) then
    self.reds[#self.reds + 1] = check
  elseif status == "warn" then
    self.warnings = self.warnings + 1
    if self.warnings <= SHOWN then self.warned[self.warnings] = check end
  elseif status == "skip" then
    self.skipped[#self.skipped + 1] = check
  end
end

function closing:diagnose(event) self.diagnoses[#self.diagnoses + 1] = event end

function closing:write_reds()
  local of, loose = block.assign(self.reds, self.diagnoses)
  for _, check in ipairs(self.reds) do
    self.out:write(block.render(check, self.paint, of[check]))
  end
  for _, event in ipairs(loose) do
    event.check.kind = event.check.kind or ("diagnosis of " .. event.of)
    self.out:write(block.render(event.check, self.paint))
  end
end

-- lines, at most SHOWN of them; count is how many there would be.
function closing:write_some(lines, count)
  for i = 1, math.min(#lines, SHOWN) do self.out:write(lines[i], "\n") end
  if count > SHOWN then
    self.out:write(("  and %d more (-v shows them)\n"):format(count - SHOWN))
  end
end

function closing.first_warning(check)
  return check.context or (check.warnings and check.warnings[1]) or
    ((check.attempts or 1) > 1 and ("passed at attempt %d"):format(check.attempts)) or "(no reason)"
end

function closing:write_warnings()
  local lines = {}
  for _, check in ipairs(self.warned) do
    lines[#lines + 1] = ("  %s %s: %s"):format(self.paint("yellow", "warning"),
      style.line(check.id), style.line(closing.first_warning(check)))
  end
  self:write_some(lines, self.warnings)
end

function closing:write_skips()
  local reasons, counts = {}, {}
  for _, check in ipairs(self.skipped) do
    local reason = check.context or "no reason given"
    if not counts[reason] then reasons[#reasons + 1] = reason end
    counts[reason] = (counts[reason] or 0) + 1
  end
  for i, reason in ipairs(reasons) do
    reasons[i] = ("  skipped %d: %s"):format(counts[reason], style.line(reason))
  end
  self:write_some(reasons, #reasons)
end

function closing:write_slowest()
  if self.durations == 0 then return end
  table.sort(self.slowest, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    return a[2] < b[2]
  end)
  local n = math.min(self.durations, #self.slowest)
  self.out:write(("slowest %s:\n"):format(style.count(n, "check")))
  for i = 1, n do
    self.out:write(("  %9s  %s\n"):format(style.seconds(self.slowest[i][1]),
      style.line(self.slowest[i][2])))
  end
end

local function notes(event)
  local list = {}
  local left = event.deselected or {}
  if (left.slow or 0) > 0 then
    list[1] = style.count(left.slow, "slow check") .. " left out (--slow runs them)"
  end
  if (left.other or 0) > 0 then
    list[#list + 1] = style.count(left.other, "check") .. " left out by the selection"
  end
  if event.interrupted then
    list[#list + 1] = ("interrupted: %s not run"):format(style.count(event.not_run or 0, "check"))
  elseif (event.not_run or 0) > 0 then
    list[#list + 1] = style.count(event.not_run, "check") .. " not run"
  end
  for _, note in ipairs(event.notes or {}) do list[#list + 1] = style.clean(note) end
  return list
end

local reds = { "fail", "error", "timeout", "unexpected_success" }
local greens = { "warn", "skip", "expected_failure" }

local function counts(summary, names, list)
  for _, name in ipairs(names) do
    local n = summary[name] or 0
    if n > 0 then list[#list + 1] = style.status[name].plural .. "=" .. n end
  end
  return list
end

local function with(word, list)
  return #list > 0 and ("%s (%s)"):format(word, table.concat(list, ", ")) or word
end

--- The last line: is the run green, and why not.
function closing:verdict(event)
  local summary = event.summary
  local why = counts(summary, reds, {})
  if self.strict then counts(summary, { "warn" }, why) end
  if event.interrupted then why[#why + 1] = "interrupted" end
  if summary.total == 0 then why[#why + 1] = "nothing was run" end
  if self.seen ~= summary.total then
    why[#why + 1] = "results missing=" .. (summary.total - self.seen)
  end
  if event.status == "pass" and #why == 0 and #self.reds == 0 then
    return self.paint("green", with("OK", counts(summary, greens, {})))
  end
  return self.paint("red", with("FAILED", why))
end

-- A line in the mailbox of whoever runs this from cron is one too many.
local function may_be_silent(self, event)
  return self.quiet and event.status == "pass" and #self.reds == 0
    and event.summary.total > 0 and self.seen == event.summary.total
end

function closing:finish(event)
  if may_be_silent(self, event) then return end
  local out = self.out
  self:write_reds()
  if self.brief then
    self:write_warnings()
    self:write_skips()
  end
  self:write_slowest()
  out:write(self.paint("dim", ("-"):rep(70)), "\n")
  out:write(("Ran %s in %s\n"):format(style.count(event.summary.total, "check"),
    style.seconds(event.duration)))
  for _, note in ipairs(notes(event)) do out:write(note, "\n") end
  out:write("\n", self:verdict(event), "\n")
end

return closing
