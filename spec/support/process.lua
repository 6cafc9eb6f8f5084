-- process.lua: runs programs for specs, on the loop that also serves the
-- spec's own servers.  Every wait is bounded; what was started is ended.
local uv = require "luv"

local process = {}

local root = os.getenv("HOSPITAL_ROOT") or uv.cwd()
process.binary = os.getenv("HOSPITAL_BINARY") or (root .. "/build/hospital")

-- Runs remember what was red, and not among what the developer's own runs remember.
local STATE = (process.binary:match("^(.*)/") or ".") .. "/spec-state"
process.state = STATE

local function environment(extra)
  local list, seen = {}, {}
  if not extra or extra.XDG_STATE_HOME == nil then
    list[1] = "XDG_STATE_HOME=" .. STATE
    seen.XDG_STATE_HOME = true
  end
  for name, value in pairs(extra or {}) do
    seen[name] = true
    if value ~= false then list[#list + 1] = name .. "=" .. value end
  end
  for name, value in pairs(uv.os_environ()) do
    if not seen[name] and not name:match("^HOSPITAL_") and name ~= "HEALTHCHECKS" then
      list[#list + 1] = name .. "=" .. value
    end
  end
  return list
end

--- Turns the loop until condition() holds.
-- @param seconds the bound; past it an error is raised that names what
function process.wait(condition, seconds, what)
  local until_ms = uv.hrtime() / 1e6 + (seconds or 10) * 1000
  local timer = uv.new_timer() -- wakes the loop: not every condition comes with an event
  timer:start(0, 20, function() end)
  while not condition() and uv.hrtime() / 1e6 < until_ms do uv.run("once") end
  timer:stop()
  timer:close()
  uv.run("nowait") -- what is left to be closed when Lua ends makes luv crash
  if not condition() then error("waited in vain for " .. (what or "a condition"), 2) end
end

--- Starts a program; its output is collected as it comes.
-- options: args, env (name -> value or false), cwd, stdin (string), keep_stdin (true: until finish()), on_output(self)
-- @return an object with pid, stdout, stderr, code, signal; kill(signal), join(seconds), write(text), finish()
function process.start(path, options)
  options = options or {}
  local self = { stdout = "", stderr = "" }
  local out, err, input = uv.new_pipe(), uv.new_pipe(), uv.new_pipe()
  local open = 3 -- two pipes and the process
  local handle, pid
  handle, pid = uv.spawn(path, {
    args = options.args, cwd = options.cwd, env = environment(options.env),
    stdio = { input, out, err },
  }, function(code, signal)
    self.code, self.signal = code, signal
    open = open - 1
    handle:close()
  end)
  assert(handle, pid)
  self.pid, self.handle = pid, handle
  local function collect(pipe, name)
    pipe:read_start(function(_, data)
      if data then
        self[name] = self[name] .. data
        if options.on_output then options.on_output(self) end
      else
        open = open - 1
        pipe:close()
      end
    end)
  end
  collect(out, "stdout")
  collect(err, "stderr")
  if options.stdin then input:write(options.stdin) end

  function self.write(_, text) input:write(text) end
  function self.finish()
    if input:is_closing() then return end
    if not input:shutdown(function() input:close() end) then input:close() end
  end
  if not options.keep_stdin then self.finish() end

  function self.kill(_, signal) return uv.kill(pid, signal or "sigkill") end
  function self.join(_, seconds)
    local ok, why = pcall(process.wait, function() return open == 0 end, seconds or 30, path .. " to end")
    if not ok then
      if not self.code then self:kill() end
      error(why .. "\nstdout: " .. self.stdout .. "\nstderr: " .. self.stderr, 2)
    end
    uv.run("nowait") -- the close callbacks: luv crashes when Lua ends before them
    return self
  end
  return self
end

--- Runs a program to its end.
function process.run(path, options)
  return process.start(path, options):join(options and options.seconds)
end

--- Runs the hospital binary: process.hospital({ "run", dir }, { env = … }).
function process.hospital(args, options)
  options = options or {}
  options.args = args
  return process.run(process.binary, options)
end

return process
