-- accept.lua: the real binary as an operator meets it.  Writes check files, runs
-- `hospital run -f json` on them and finds single checks in the document.
local json = require "cjson"
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local accept = {}

--- A tree of checks; a string is the body of the file checks.lua.
function accept.tree(files)
  if type(files) == "string" then files = { ["checks.lua"] = files } end
  return tree.make(files)
end

--- Fills in @name@ from values.
function accept.fill(text, values)
  return (text:gsub("@([%w_]+)@", function(name)
    local value = values[name]
    if value == nil then error("no value for @" .. name .. "@", 0) end
    return tostring(value)
  end))
end

local function join(...)
  local all = {}
  for _, list in ipairs({ ... }) do
    for _, one in ipairs(list) do all[#all + 1] = one end
  end
  return all
end

-- Gives a finished run its document and check(name).
function accept.read(run)
  local ok, document = pcall(json.decode, run.stdout)
  if not ok then error("no JSON: " .. tostring(document) .. "\n" .. run.stdout .. "\n" .. run.stderr, 2) end
  run.document = document
  function run.check(name)
    for _, check in ipairs(document.details) do
      if check.test == name then return check end
    end
    error("no check " .. name .. " in\n" .. run.stdout, 2)
  end
  return run
end

--- Runs checks (text, files, or the path of a tree); options: args (a list), env, cwd, under (a command to run it
-- under, a list), binary.
function accept.run(files, options)
  options = options or {}
  local root = type(files) == "string" and files:sub(1, 1) == "/" and files or accept.tree(files)
  local args = join({ "run", "-f", "json" }, options.args or {}, { root })
  local env = { XDG_STATE_HOME = root .. "/.state" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local under = options.under
  local path = options.binary or process.binary
  if under then
    args = join({ table.unpack(under, 2) }, { path }, args)
    path = under[1]
  end
  local run = process.run(path, { args = args, env = env, cwd = options.cwd, seconds = options.seconds or 60 })
  run.root = root
  return accept.read(run)
end

--- One line that tells a verdict: "fail connect/connect".
function accept.verdict(check)
  local failure = check.failures and check.failures[1]
  if not failure then return check.status end
  return check.status .. " " .. failure.kind .. (failure.phase and "/" .. failure.phase or "")
end

--- Asserts the verdict and that the first failure's message holds every text.
function accept.told(check, verdict, ...)
  local got = accept.verdict(check)
  local message = check.failures and check.failures[1] and check.failures[1].message or check.context or ""
  if got ~= verdict then error(("%s: expected %s, got %s: %s"):format(check.test, verdict, got, message), 2) end
  for _, text in ipairs({ ... }) do
    if not message:find(text, 1, true) then
      error(("%s: expected %q in %q"):format(check.test, text, message), 2)
    end
  end
end

function accept.has(text, part)
  if not text:find(part, 1, true) then error(("expected %q in\n%s"):format(part, text), 2) end
end

function accept.has_not(text, part)
  if text:find(part, 1, true) then error(("did not expect %q in\n%s"):format(part, text), 2) end
end

function accept.slurp(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

--- True when the program runs and says yes.
function accept.can(...)
  local all = { ... }
  local path = table.remove(all, 1)
  if not uv.fs_stat(path) then return false end
  return process.run(path, { args = all }).code == 0
end

--- Makes what a tree holds readable for everybody.
function accept.publish(root)
  process.run("/bin/chmod", { args = { "-R", "a+rX", root } })
  return root
end

--- The binary where every user can run it; until tree.clean().
function accept.public_binary()
  local path = accept.publish(tree.make()) .. "/hospital"
  assert(uv.fs_copyfile(process.binary, path))
  assert(uv.fs_chmod(path, tonumber("755", 8)))
  return path
end

--- Turns the loop until condition() holds, looking again every few milliseconds:
-- for what makes no event on the loop.
function accept.wait(condition, what)
  local tick = uv.new_timer()
  tick:start(10, 10, function() end)
  local ok, why = pcall(process.wait, condition, 20, what)
  tick:close()
  uv.run("nowait")
  if not ok then error(why, 2) end
end

accept.is_root = uv.getuid() == 0
accept.PLAIN = { "/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups" }

return accept
