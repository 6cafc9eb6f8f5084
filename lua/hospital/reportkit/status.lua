-- status.lua: the live line on a terminal.  The host throttles its events, draws what is written
-- here, and erases it before anything else is shown.
local style = require "hospital.reportkit.style"

local status = {}
status.__index = status

local function cut(text, width)
  local size = utf8.len(text)
  if not size or size <= width then return text end
  return text:sub(1, utf8.offset(text, width) - 1) .. "…"
end

function status:progress(event)
  local parts = {
    ("%d/%d"):format(event.done, event.total),
    ("%d red"):format(event.red),
    ("%d running"):format(event.running),
  }
  if event.longest then
    parts[4] = ("%.1fs %s"):format(event.longest.seconds, style.line(event.longest.id))
  end
  local line = cut(table.concat(parts, "  "), self.out.width - 1)
  self.out:write(line)
end

return function(out) return setmetatable({ out = out }, status) end
