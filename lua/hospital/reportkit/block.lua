-- block.lua: everything there is to know about one red check, for people.
local style = require "hospital.reportkit.style"
local jsonwriter = require "hospital.reportkit.jsonwriter"

local block = {}

local line = style.line

local function value_text(value)
  if type(value) == "string" then return value end
  if type(value) == "table" then return jsonwriter.encode(value) end
  return tostring(value)
end

-- Adds text under a label: on its line when it is short, else indented below.
local function add_labelled(lines, indent, label, text)
  text = style.clean(text)
  if not text:find("\n", 1, true) then
    lines[#lines + 1] = indent .. label .. ": " .. text
    return
  end
  lines[#lines + 1] = indent .. label .. ":"
  for one in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = indent .. "  " .. one end
end

local function add_indented(lines, indent, text)
  for one in (style.clean(text) .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = indent .. one end
end

local function add_failure(lines, indent, failure)
  local where = failure.file and failure.line and (" (%s:%d)"):format(failure.file, failure.line)
  add_indented(lines, indent, failure.kind .. ": " .. failure.message .. (where or ""))
  local inner = indent .. "  "
  if failure.target then add_labelled(lines, inner, "target", failure.target) end
  if failure.phase then add_labelled(lines, inner, "phase", failure.phase) end
  if failure.expected ~= nil then
    add_labelled(lines, inner, "expected", value_text(failure.expected))
  end
  if failure.actual ~= nil then add_labelled(lines, inner, "actual", value_text(failure.actual)) end
  if failure.diff then add_labelled(lines, inner, "diff", failure.diff) end
  if failure.timings then
    lines[#lines + 1] = inner .. "timings: " .. style.timings(failure.timings)
  end
  if failure.traceback then
    lines[#lines + 1] = inner .. "traceback:"
    for _, frame in ipairs(failure.traceback) do
      lines[#lines + 1] = inner .. "  " .. line(frame)
    end
  end
end

local function probe_text(probe)
  local text = line(probe.kind)
  if probe.target then text = text .. " " .. line(probe.target) end
  if probe.detail then text = text .. ": " .. line(probe.detail) end
  if probe.timings then text = text .. " (" .. style.timings(probe.timings) .. ")" end
  return text
end

-- What a check said, each line behind indent.
local function add_account(lines, indent, check)
  for _, failure in ipairs(check.failures or {}) do add_failure(lines, indent, failure) end
  local first = check.failures and check.failures[1]
  local context = check.context -- most often the beginning of the first failure's message
  if context and not (first and (first.message or ""):sub(1, #context) == context) then
    add_indented(lines, indent, context)
  end
  for _, warning in ipairs(check.warnings or {}) do
    add_labelled(lines, indent, "warning", warning)
  end
  if check.probes then
    lines[#lines + 1] = indent .. "probed:"
    for _, probe in ipairs(check.probes) do
      lines[#lines + 1] = indent .. "  " .. probe_text(probe)
    end
  end
  for _, metric in ipairs(check.metrics or {}) do
    lines[#lines + 1] = indent .. "metric: " .. block.metric(metric)
  end
  if check.output then
    lines[#lines + 1] = indent .. "output:"
    for _, text in ipairs(check.output) do add_indented(lines, indent .. "  ", text) end
  end
end

function block.metric(metric)
  local unit = metric.unit and (" " .. metric.unit) or ""
  return line(("%s=%s%s"):format(metric.name, metric.value, unit))
end

--- file:line, or what is known of it.
function block.place(check)
  if not check.file then return nil end
  return line(check.file) .. (check.line and (":" .. check.line) or "")
end

--- The block of a check with the diagnoses made for it, ending in a newline.
function block.render(check, paint, diagnoses)
  local look = style.status[check.status] or style.status.error
  local lines = {
    paint("dim", ("="):rep(70)),
    paint(look.color, look.word .. ": " .. line(check.test)),
    line(check.id),
  }
  local facts = { block.place(check) or "", style.seconds(check.duration) }
  if (check.attempts or 1) > 1 then facts[#facts + 1] = ("%d attempts"):format(check.attempts) end
  if check.kind then facts[#facts + 1] = line(check.kind) end
  lines[#lines + 1] = table.concat(facts, "  ", facts[1] == "" and 2 or 1)
  for _, name in ipairs { "description", "owner", "runbook", "severity" } do
    if check[name] then add_labelled(lines, "", name, check[name]) end
  end
  lines[#lines + 1] = paint("dim", ("-"):rep(70))
  add_account(lines, "", check)
  for _, diagnosis in ipairs(diagnoses or {}) do
    lines[#lines + 1] = ("diagnosis: %s: %s"):format(line(diagnosis.test),
      (style.status[diagnosis.status] or style.status.error).word)
    add_account(lines, "  ", diagnosis)
  end
  return table.concat(lines, "\n") .. "\n\n"
end

--- Sorts diagnoses to the red checks they explain: by id, else the first red check below `of`.
-- Returns the list for each check, and what belongs to none.
function block.assign(checks, diagnoses)
  local of, loose = {}, {}
  for _, diagnosis in ipairs(diagnoses) do
    local found
    for _, check in ipairs(checks) do
      if check.id == diagnosis.of then
        found = check
        break
      end
      local below = check.id:sub(1, #diagnosis.of + 2) == diagnosis.of .. "::"
      if not found and below then found = check end
    end
    if found then
      of[found] = of[found] or {}
      table.insert(of[found], diagnosis.check)
    else
      loose[#loose + 1] = diagnosis
    end
  end
  return of, loose
end

return block
