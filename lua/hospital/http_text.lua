-- http_text.lua: what a failed request or a wrong answer looks like in words.
-- Loaded with the first failure.
local host = import "hospital.host"

local format, gsub, sub = string.format, string.gsub, string.sub
local concat = table.concat

local EXCERPT = 300

local text_of = {}

function text_of.size(size)
  if size < 1000 then return size .. " B" end
  if size < 1000 * 1000 then return format("%.1f kB", size / 1000) end
  return format("%.1f MB", size / 1e6)
end

text_of.time = import("hospital.probe").time_text

local PHASES = { "dns", "connect", "tls", "first_byte", "total" }

local function timings_text(timings)
  local parts = {}
  for _, phase in ipairs(PHASES) do
    if timings[phase] then
      parts[#parts + 1] = gsub(phase, "_", " ") .. " " .. text_of.time(timings[phase])
    end
  end
  return concat(parts, ", ")
end

function text_of.excerpt(body)
  if body == "" then return "(empty)" end
  local text = gsub(sub(body, 1, EXCERPT), "[%z\1-\8\11-\31\127]", ".")
  return #body > EXCERPT and text .. format("... (%s)", text_of.size(#body)) or text
end

--- Raises: the answer is not what was wanted.
-- @local
function text_of.raise_answer(response, message, expected, actual)
  host.raise({
    kind = "assertion",
    message = format("%s %s: %s (%s)\nbody: %s", response.method, response.url, message,
      timings_text(response.timings), text_of.excerpt(response.body)),
    expected = expected, actual = actual, target = response.url, timings = response.timings,
  })
end

--- Raises: there is no answer.
-- @local
-- @param fault C's, or one made by redirects
function text_of.raise_fault(p, fault)
  host.record("probe", {
    kind = "http", target = p.target.url, timings = fault.timings,
    detail = format("%s (%s phase)", fault.message, fault.phase),
  })
  fault.target = p.target.url
  fault.message = format("%s %s: %s (%s phase, after %s)", p.request.method, p.target.url, fault.message,
    fault.phase, text_of.time(fault.timings.total))
  host.raise(fault)
end

return text_of
