-- report_support.lua: drives a reporter with events and gives what it wrote.
local support = {}

package.path = (os.getenv("HOSPITAL_ROOT") or ".") .. "/lua/?.lua;" .. package.path

function support.out(fields)
  local out = { parts = {}, tty = false, color = false, width = 80 }
  for name, value in pairs(fields or {}) do out[name] = value end
  function out:write(...)
    for _, text in ipairs { ... } do
      assert(type(text) == "string", "a reporter writes strings")
      self.parts[#self.parts + 1] = text
    end
    return self
  end
  return out
end

function support.check(fields)
  local check = {
    id = "shop.lua::orders::can be counted", test = "can be counted", file = "shop.lua", line = 12,
    status = "pass", started = 1763695555.123456, duration = 0.0015, attempts = 1,
  }
  for name, value in pairs(fields or {}) do check[name] = value end
  return check
end

local names = {
  "pass", "warn", "fail", "error", "timeout", "skip", "expected_failure", "unexpected_success",
}

--- Runs the reporter over checks; end_fields override run_finished, options.out the output.
-- options.diagnoses: list of { of =, check = }, published after the checks
function support.run(format, checks, options, end_fields)
  options = options or {}
  local out = support.out(options.out)
  local reporter = require("hospital.report." .. format)(out, options)
  local function publish(name, event)
    if reporter[name] then reporter[name](reporter, event) end
  end
  publish("run_started",
    { started = 1763695555.5, host = "box", version = "0.1.0", files = 1, workers = 2 })
  local summary, red = { total = #checks }, false
  for _, name in ipairs(names) do summary[name] = 0 end
  for _, check in ipairs(checks) do
    summary[check.status] = summary[check.status] + 1
    red = red or not ({ pass = 1, warn = 1, skip = 1, expected_failure = 1 })[check.status]
    publish("check_finished", { check = check })
  end
  for _, event in ipairs(options.diagnoses or {}) do publish("diagnosis_finished", event) end
  local event = {
    status = (red or #checks == 0) and "fail" or "pass", summary = summary, duration = 0.1234,
    started = 1763695555.5, exit_code = red and 1 or 0, interrupted = false, not_run = 0,
    deselected = { slow = 0, other = 0 }, notes = {},
  }
  for name, value in pairs(end_fields or {}) do event[name] = value end
  publish("run_finished", event)
  return table.concat(out.parts)
end

--- Has python3 parse each line, or all, of text as strict UTF-8 JSON and print an expression of it.
-- @return what it printed, or nil and what it complained
function support.python(text, expression, by_line)
  local input, script = os.tmpname(), os.tmpname()
  local file = assert(io.open(input, "wb"))
  file:write(text)
  file:close()
  file = assert(io.open(script, "w"))
  file:write(([[
import json, sys
def refuse(name): raise ValueError(name)
def unique(pairs):
    keys = [k for k, _ in pairs]
    assert len(keys) == len(set(keys)), keys
    return dict(pairs)
def load(s): return json.loads(s, parse_constant=refuse, object_pairs_hook=unique)
text = open(%q, "rb").read().decode("utf-8", "strict")
d = %s
print(json.dumps(%s))
]]):format(input, by_line and "[load(l) for l in text.split('\\n')[:-1]]" or "load(text)",
    expression or "True"))
  file:close()
  local pipe = io.popen("python3 " .. script .. " 2>&1")
  local printed = pipe:read("a")
  local ok = pipe:close()
  os.remove(input)
  os.remove(script)
  if not ok then return nil, printed end
  return (printed:gsub("\n$", ""))
end

return support
