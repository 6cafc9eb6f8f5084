-- daemon.lua: what the servers have in common that specs start as they are
-- packaged: each runs as an ordinary user in a directory of its own, ends with
-- the spec however that ends, and begins as a copy of a template made once.
local certificates = require "spec.support.certificates"
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local daemon = {}

-- Database servers refuse to run as root.
local NOBODY = 65534
local is_root = uv.getuid() == 0
local running, directories = {}, {}

-- Nobody else takes it meanwhile: below the ports that the kernel gives to clients.
local function try_port(port)
  local socket = uv.new_tcp()
  local free = socket:bind("127.0.0.1", port) and socket:listen(1, function() end)
  socket:close()
  return free
end

--- A port of loopback that nobody listens on.
function daemon.free_port()
  for _ = 1, 100 do
    local port = math.random(15000, 31999)
    if try_port(port) then return port end
  end
  error("no free port on loopback")
end

--- The newest of the paths that a glob names, or an error that names the package.
function daemon.find(glob, package)
  local pipe = assert(io.popen("ls -d " .. glob .. " 2>/dev/null | sort -V | tail -n 1"))
  local path = pipe:read("l")
  pipe:close()
  if not path then error(("no %s: is the package %s installed?"):format(glob, package), 2) end
  return path
end

--- Gives files (everything below path) to the user whom the servers run as.
function daemon.own(path)
  if is_root then process.run("/bin/chown", { args = { "-R", NOBODY .. ":" .. NOBODY, path } }) end
  return path
end

--- A new directory of the servers' user; removed by daemon.clean(), not by tree.clean(): a server may outlive a spec.
function daemon.directory()
  local path = assert(uv.fs_mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/hospital-server-XXXXXX"))
  directories[#directories + 1] = path
  return daemon.own(path)
end

--- Certificates of spec/support/certificates.lua in dir/tls, whose path it returns.
function daemon.certificates(dir)
  local path = dir .. "/tls"
  assert(uv.fs_mkdir(path, tonumber("700", 8)))
  certificates.make(path)
  return daemon.own(path)
end

-- As an ordinary user; gets the signal when the spec's process is gone.
local function command(signal, argv)
  local args = { "--pdeathsig", signal }
  if is_root then table.move({ "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups" }, 1, 5, 3, args) end
  return table.move(argv, 1, #argv, #args + 1, args)
end

local function strings(list)
  for i, value in ipairs(list) do list[i] = tostring(value) end
  return list
end

--- Runs a program (a list) to its end as the servers' user; raises what it says when it fails.
function daemon.run(argv, cwd)
  local run = process.run("/usr/bin/setpriv", { args = strings(command("KILL", argv)), cwd = cwd, seconds = 60 })
  if run.code ~= 0 then error(table.concat(argv, " ") .. ": " .. run.stdout .. run.stderr, 2) end
  return run.stdout
end

--- Starts a server (a list) in dir, its log in dir/log; what spec/support/process.lua returns.
-- When the spec is gone it gets the signal, a name as of setpriv.
function daemon.spawn(argv, dir, signal)
  os.remove(dir .. "/log") -- nobody is to read the last one's
  local log = { "/bin/sh", "-c", 'exec "$@" >>log 2>&1', "sh" }
  local args = command(signal, table.move(argv, 1, #argv, #log + 1, log))
  return process.start("/usr/bin/setpriv", { args = strings(args), cwd = dir })
end

--- What the server in dir has logged since it was spawned.
function daemon.log(dir)
  local file = io.open(dir .. "/log", "rb")
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text
end

--- Text as a part of a URL.
function daemon.encode(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- Turns the loop until condition() holds, looking every 2 ms; raises after so many seconds.
function daemon.wait(condition, seconds, what)
  local tick = uv.new_timer()
  tick:start(2, 2, function() end)
  local ok, why = pcall(process.wait, condition, seconds, what)
  tick:close()
  uv.run("nowait")
  if not ok then error(why, 2) end
end

--- Ends a server by a signal; by SIGKILL and an error when it did not go in time.
function daemon.finish(child, signal, seconds)
  if child.code == nil then child:kill(signal) end
  child:join(seconds or 15)
end

--- A directory to copy from, which make(path) creates the first time; raced for safely, since it appears by rename.
function daemon.template(name, make)
  local path = ("%s/%s-%d"):format(process.state, name, is_root and NOBODY or uv.getuid())
  if uv.fs_stat(path) then return path end
  local fresh = daemon.directory() .. "/fresh"
  make(fresh)
  process.run("/bin/mkdir", { args = { "-p", process.state } })
  local own = assert(uv.fs_mkdtemp(path .. ".XXXXXX"))
  daemon.copy(fresh, own .. "/data")
  if not uv.fs_rename(own, path) then tree.remove(own) end -- another suite was first
  return path
end

--- Copies a tree with its owners.
function daemon.copy(from, to)
  local run = process.run("/bin/cp", { args = { "-a", from, to }, seconds = 60 })
  if run.code ~= 0 then error(run.stderr, 2) end
end

--- Has daemon.clean() call server:stop().
function daemon.register(server)
  running[#running + 1] = server
  return server
end

--- Ends all servers, and removes their directories.
function daemon.clean()
  local wrong
  for i = #running, 1, -1 do
    local ok, why = pcall(running[i].stop, running[i])
    wrong = wrong or not ok and why
    running[i] = nil
  end
  for i = #directories, 1, -1 do
    tree.remove(directories[i])
    directories[i] = nil
  end
  if wrong then error(wrong, 2) end
end

return daemon
