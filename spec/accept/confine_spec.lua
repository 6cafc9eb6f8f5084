-- confine_spec.lua: a worker as the rest of the machine sees it, in /proc, while a
-- check of its runs: the layers that confine it, as root and as a plain user.
local accept = require "spec.support.accept"
local process = require "spec.support.process"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local function field(pid, name)
  local status = accept.slurp(("/proc/%d/status"):format(pid)) or ""
  return status:match("\n" .. name .. ":%s*([^\n]*)")
end

local function children(pid)
  local found = {}
  local list = accept.slurp(("/proc/%d/task/%d/children"):format(pid, pid))
  if list then
    for child in list:gmatch("%d+") do found[#found + 1] = math.tointeger(tonumber(child)) end
  end
  return found
end

local function links(pid)
  local found = {}
  local scan = uv.fs_scandir(("/proc/%d/fd"):format(pid))
  for name in uv.fs_scandir_next, scan do
    found[tonumber(name)] = uv.fs_readlink(("/proc/%d/fd/%s"):format(pid, name))
  end
  return found
end

local function limit(pid, name)
  return accept.slurp(("/proc/%d/limits"):format(pid)):match(name:gsub("%-", "%%-") .. "%s+(%S+)")
end

-- Gone, or dead and not yet buried (its new parent may be slow).
local function ended(pid)
  local state = field(pid, "State")
  return not state or state:sub(1, 1) == "Z" or state:sub(1, 1) == "X"
end

-- AddressSanitizer's own memory knows no bounds, so a build with it sets none.
local DATA_SIZE = os.getenv("HOSPITAL_SANITIZED") and "unlimited" or tostring(4 << 30)

describe("a worker at work", function()
  local run, s, worker, nursery

  -- A check that asks a server which never answers: it is in flight until it is ended.
  local function start(args, under)
    local asked = false
    s = server.tcp(function(client)
      client:read_start(function(_, data) asked = asked or data ~= nil end)
    end)
    local root = accept.tree(accept.fill([[
      healthcheck("waits", { timeout = "60s" }, function()
        http.get("http://127.0.0.1:@port@/", { timeout = "60s" })
      end)
    ]], { port = s.port }))
    accept.publish(root)
    local all = {}
    for _, one in ipairs(under or {}) do all[#all + 1] = one end
    for _, one in ipairs({ under == accept.PLAIN and accept.public_binary() or process.binary, "run", "-j", "1", root }) do all[#all + 1] = one end
    for _, one in ipairs(args or {}) do all[#all + 1] = one end
    run = process.start(all[1], { args = { table.unpack(all, 2) }, env = { XDG_STATE_HOME = root .. "/.state" } })
    accept.wait(function() return asked end, "the check to ask")
    nursery = assert(children(run.pid)[1], "no nursery (does the kernel list children in /proc?)")
    worker = assert(children(nursery)[1], "no worker")
  end

  after_each(function()
    if worker and not ended(worker) and field(worker, "PPid") == tostring(nursery) then uv.kill(worker, "sigkill") end
    if run and not run.code then run:kill("sigkill") end
    if run then run:join(10) end
    run = nil
    server.clean()
    tree.clean()
  end)

  it("has no new privileges, a filter, few capabilities, no core and bounded memory", function()
    start()
    assert.equal("1", field(worker, "NoNewPrivs"))
    assert.equal("2", field(worker, "Seccomp"))
    assert.equal("1", field(worker, "Threads"))
    -- but for net_raw, net_bind_service, dac_override and dac_read_search
    for _, set in ipairs({ "CapInh", "CapPrm", "CapEff", "CapAmb" }) do
      assert.equal(0, tonumber(field(worker, set), 16) & ~0x2406, set)
    end
    assert.equal("0", limit(worker, "Max core file size"))
    assert.equal(DATA_SIZE, limit(worker, "Max data size"))
    assert.is_truthy(field(worker, "Seccomp_filters") ~= "0")
  end)

  it("leaves layers away one by one, and only those", function()
    start({ "--without-layer", "seccomp,limits" })
    assert.equal("1", field(worker, "NoNewPrivs"))
    assert.equal("0", field(worker, "Seccomp"))
    assert.is_truthy(limit(worker, "Max data size") ~= tostring(4 << 30))
    assert.equal(0, tonumber(field(worker, "CapEff"), 16) & ~0x2406)
  end)

  it("inherits no descriptor but its errors: neither reports nor what the shell left open", function()
    local report = tree.make()
    start({ "--report", "json=" .. report .. "/report.json" },
      { "/bin/sh", "-c", 'exec 7</etc/hostname 9>"$0/left.txt"; exec "$@"', report })
    assert.is_truthy(links(run.pid)[9], "the shell's own is there to be inherited")
    for _, pid in ipairs({ nursery, worker }) do
      for fd, target in pairs(links(pid)) do
        local known = target:match("^socket:") or target:match("^pipe:") or target:match("^anon_inode:")
          or target == "/dev/null" or target:match("^/dev/shm/") or target:match("^/memfd:")
        assert.is_truthy(known, ("%d: descriptor %d is %s"):format(pid, fd, target))
      end
    end
    local own = links(worker)
    assert.equal("/dev/null", own[0])
    -- What a broken library prints goes to the errors, never into a report.
    assert.equal(own[2], own[1])
    assert.is_truthy(own[1] ~= links(run.pid)[1])
  end)

  it("dies with the supervisor, however that dies", function()
    start()
    run:kill("sigkill")
    run:join(10)
    accept.wait(function() return ended(worker) and ended(nursery) end, "the worker to end")
  end)

  -- A stopped process does nothing of its own accord: only the kernel's signal can end it.
  it("dies with its nursery, even when it cannot notice, and the run is red", function()
    start()
    assert(uv.kill(worker, "sigstop"))
    uv.kill(nursery, "sigkill")
    accept.wait(function() return ended(worker) end, "the worker to end")
    run:join(30)
    assert.is_truthy(run.code ~= 0)
  end)

  it("is as confined for a plain user", function()
    if not accept.is_root then return pending("only root can become another user") end
    start({}, accept.PLAIN)
    assert.equal("65534\t65534\t65534\t65534", field(worker, "Uid"))
    assert.equal("1", field(worker, "NoNewPrivs"))
    assert.equal("2", field(worker, "Seccomp"))
    assert.equal(0, tonumber(field(worker, "CapPrm"), 16))
    -- Not dumpable: what /proc tells of its memory is root's and not the user's.
    assert.equal(0, uv.fs_stat(("/proc/%d/environ"):format(worker)).uid)
    assert.equal(65534, uv.fs_stat(("/proc/%d/environ"):format(nursery)).uid)
    assert.equal(DATA_SIZE, limit(worker, "Max data size"))
    run:kill("sigkill")
    run:join(10)
    accept.wait(function() return ended(worker) and ended(nursery) end, "the worker to end")
  end)
end)
