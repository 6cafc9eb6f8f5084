-- counts.lua: busted's plain output, and what tools/test.lua counts by: a file,
-- named by HOSPITAL_COUNTS, that is written only when the suite came to its end.
local busted = require "busted"

-- Loaded here, since busted forgets what a spec file has loaded.
local found, uv = pcall(require, "luv")

-- A client that hangs up early must not end the spec's own server.
if found then
  local broken_pipe = uv.new_signal()
  broken_pipe:start("sigpipe", function() end)
  broken_pipe:unref()
end

-- luv crashes when the state ends while handles are still open.
local function close_handles()
  if not found then return end
  uv.walk(function(handle)
    if not handle:is_closing() then handle:close() end
  end)
  uv.run()
end

local function one_line(text) return (tostring(text):gsub("%s+", " ")) end

return function(options)
  local handler = require "busted.outputHandlers.plainTerminal"(options)
  busted.subscribe({ "suite", "end" }, function()
    local file = assert(io.open(assert(os.getenv("HOSPITAL_COUNTS")), "w"))
    file:write(("%d passed, %d failed, %d skipped\n"):format(handler.successesCount,
      handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    for _, pending in ipairs(handler.pendings) do
      file:write(one_line(pending.name), ": ", one_line(pending.message or "no reason given"), "\n")
    end
    assert(file:close())
    io.stdout:flush() -- a crash at exit must not take the report with it
    close_handles()
    return nil, true
  end)
  return handler
end
