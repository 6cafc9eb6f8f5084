-- script.lua: runs Lua text as one task in the sandbox, by spec/c/run_script.c.
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local script = {}

-- A client that hangs up early must not end the spec's own server.
local broken_pipe = uv.new_signal()
broken_pipe:start("sigpipe", function() end)
broken_pipe:unref()

script.runner = os.getenv("HOSPITAL_RUN_SCRIPT") or "build/spec/run_script"

--- Runs text; the outcome is "returned: ...", "raised: ..." or "killed: ...".
-- Raises when an operation or a watch is left open, or a sanitizer complains.
-- @param options { deadline = ms, memory = bytes, env = {}, allow = what --allow takes }
function script.run(text, options)
  options = options or {}
  local path = tree.make({ ["script.lua"] = text }) .. "/script.lua"
  local run = process.run(script.runner, {
    args = { path, tostring(options.deadline or 10000), tostring(options.memory or 16 << 20), options.allow },
    env = options.env, seconds = 30,
  })
  uv.run("nowait") -- lets what was closed be closed: luv crashes at exit otherwise
  local outcome, left = run.stdout:match("^(.*)\n(ops=[^\n]*)\n$")
  if run.code ~= 0 or not outcome or not left:find("^ops=0 watches=0 ") then
    error(("runner ended with code %s, signal %s\n%s%s"):format(run.code, run.signal, run.stdout, run.stderr), 2)
  end
  return outcome, tonumber(left:match("milliseconds=(%d+)")), tonumber(left:match("peak=(%d+)"))
end

--- The same for text that uses http and json: they are locals in it.
function script.http(text, options)
  local head = "local M = import 'hospital.http' local http, assert_http_response, expect_http_response = "
    .. "M.http, M.assert_http_response, M.expect_http_response "
    .. "local json, host = import('hospital.json').json, import 'hospital.host' "
  return script.run(head .. text, options)
end

return script
