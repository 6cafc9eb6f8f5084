-- entry.lua - the careful look at a declaration that suite.lua's quick one did
-- not wave through.  Returns when the name is merely unusual; raises otherwise.
local host = import "hospital.host"
local suite = import "hospital.suite"
local error, format, type = error, string.format, type
local find, len = string.find, utf8.len

local CALLS = { check = "healthcheck", diagnosis = "diagnosis", describe = "describe" }

-- Why name cannot be a name, or nil.
local function fault(name)
  if type(name) ~= "string" then return format("the name must be a string, not %s", type(name)) end
  if not find(name, "[^ ]") then return "the name is empty" end
  if not len(name) then return "the name is not valid UTF-8" end
  if find(name, "[%c\127]") or find(name, "\194[\128-\159]") -- C0, DEL, C1
    or find(name, "\226\128[\168\169]") then -- and Unicode's line ends
    return "the name holds control characters"
  end
  if find(name, "::", 1, true) then
    return format('the name %q holds "::", which separates the parts of an id', name)
  end
  if find(name, "^:") or find(name, ":$") then
    return format('the name %q begins or ends with ":", which "::" would hide', name)
  end
  if #name > 500 then return "the name is longer than 500 bytes" end
end

return function(kind, name, fn)
  local call = CALLS[kind] or kind
  if not host.loading() then
    error(format("%s: %s() inside a running check: checks are declared while the file loads",
      host.where(), call), 0)
  end
  local why = fault(name)
  if why then suite.refuse(format("%s: %s", call, why)) end
  if type(fn) ~= "function" then
    suite.refuse(format('%s "%s": the last argument must be a function, not %s',
      call, name, type(fn) == "nil" and "missing" or type(fn)))
  end
end
