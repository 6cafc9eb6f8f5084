-- dots.lua: one character a check, then a block for each that went red.
local closing = require "hospital.reportkit.closing"
local style = require "hospital.reportkit.style"

local dots = {}
dots.__index = dots

function dots:check_finished(event)
  local check = event.check
  self.closing:add(check)
  if self.quiet then return end
  self.out:write(self.chars[check.status] or self.chars.error)
  local column = self.column + 1
  if column == self.width then
    self.out:write("\n")
    column = 0
  end
  self.column = column
end

function dots:diagnosis_finished(event) self.closing:diagnose(event) end

function dots:run_finished(event)
  if self.column > 0 then self.out:write("\n") end
  self.closing:finish(event)
end

local function open(out, options)
  local paint, chars = style.painter(out), {}
  for status, look in pairs(style.status) do
    chars[status] = status == "pass" and look.char or paint(look.color, look.char)
  end
  return setmetatable({
    out = out, chars = chars, quiet = options.quiet, closing = closing.new(out, options),
    column = 0, width = out.tty and out.width - 1 or 0, -- 0 is never reached: one long line
  }, dots)
end

return open, "one character a check, a block for each red one"
