-- plain_user_spec.lua: where hospital runs is seldom a root shell with everything:
-- a plain user without a home, few descriptors, little memory, closed streams, odd
-- locales.  Never green when it should not be, and a line that tells what is amiss.
local accept = require "spec.support.accept"
local process = require "spec.support.process"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local GREEN = 'healthcheck("ok", function() assert_equal(1, 1) end)\n'
local RED = GREEN .. 'healthcheck("bad", function() assert_equal(1, 2) end)\n'

-- Runs hospital under a command, as a plain user when we are root.
local function plain(args, options)
  options = options or {}
  local all = {}
  for _, list in ipairs({ accept.is_root and accept.PLAIN or {}, options.under or {}, { accept.public_binary() }, args }) do
    for _, one in ipairs(list) do all[#all + 1] = one end
  end
  return process.run(all[1], { args = { table.unpack(all, 2) }, env = options.env, cwd = options.cwd })
end

local function published(files) return accept.publish(accept.tree(files)) end

-- Runs a line of shell in which $0 is the binary and $1 the tree.
local function shell(line, root)
  return process.run("/bin/sh", { args = { "-c", line, process.binary, root }, env = { XDG_STATE_HOME = tree.make() } })
end

local function ended(run, code, text)
  if run.code ~= code then
    error(("expected exit %d, got %s by signal %s\n%s\n%s"):format(code, run.code, run.signal, run.stdout, run.stderr), 2)
  end
  if text then accept.has(run.stdout .. run.stderr, text) end
end

describe("an unprivileged user", function()
  after_each(tree.clean)

  it("runs checks and remembers the red ones where it can", function()
    local root = published({ ["a.lua"] = RED })
    local state = tree.make()
    uv.fs_chmod(state, tonumber("777", 8))
    local env = { XDG_STATE_HOME = state, HOME = "/nonexistent" }
    ended(plain({ "run", root }, { env = env }), 1, "FAILED (failures=1)")
    local again = plain({ "run", "--failed", "-v", root }, { env = env })
    ended(again, 1, "Ran 1 check")
    assert.equal("", again.stderr)
  end)

  it("says so when it cannot remember, and does not call that red", function()
    for _, home in ipairs({ false, "/nonexistent", "/proc" }) do
      local env = { XDG_STATE_HOME = false, HOME = home }
      local green = plain({ "run", published({ ["a.lua"] = GREEN }) }, { env = env })
      ended(green, 0, "OK")
      local root = published({ ["a.lua"] = RED })
      ended(plain({ "run", "-v", root }, { env = env }), 1, "note: --failed will not know this run")
      -- In a cron's mail it would be noise.
      accept.has_not(plain({ "run", root }, { env = env }).stderr, "note:")
      local failed = plain({ "run", "--failed", root }, { env = env })
      assert.equal(4, failed.code)
      assert.equal("", failed.stdout)
      accept.has(failed.stderr, "remembered")
    end
  end)

  it("runs the shipped checks, list, lint and doctor", function()
    local checks = (os.getenv("HOSPITAL_ROOT") or uv.cwd()) .. "/checks"
    if not uv.fs_stat(checks) then return pending("no checks/ yet") end
    local root = tree.make()
    process.run("/bin/cp", { args = { "-r", checks, root } })
    accept.publish(root)
    local env = { XDG_STATE_HOME = false, HOME = false }
    for _, command in ipairs({ "run", "list", "lint" }) do
      ended(plain({ command }, { env = env, cwd = root }), 0)
    end
    local doctor = plain({ "doctor" }, { env = env, cwd = root })
    ended(doctor, 0, "confinement        a worker was refused")
    for _, layer in ipairs({ "no-new-privileges", "landlock", "seccomp" }) do accept.has(doctor.stdout, layer) end
  end)

  it("cannot read some checks: red, and they are named", function()
    if not accept.is_root then return pending("only root can make files that others cannot read") end
    local root = published({ ["ok.lua"] = GREEN, ["closed.lua"] = GREEN, ["sub/in.lua"] = GREEN })
    uv.fs_chmod(root .. "/closed.lua", 0)
    uv.fs_chmod(root .. "/sub", 0)
    local run = plain({ "run", root })
    ended(run, 1, "closed.lua")
    accept.has(run.stdout, "sub")
    accept.has(run.stdout, "ermission denied")
    accept.has(run.stdout, "errors=2")
  end)

  it("works in a directory that it cannot write, and in one that is gone", function()
    local root = published({ ["checks/a.lua"] = GREEN })
    ended(plain({ "run" }, { cwd = root }), 0, "OK")
    uv.fs_chmod(root, tonumber("755", 8))
    ended(shell('mkdir "$1/gone" && cd "$1/gone" && rmdir "$1/gone" && "$0" run "$1/checks"', root), 0, "OK")
    ended(shell('mkdir "$1/gone" && cd "$1/gone" && rmdir "$1/gone" && HEALTHCHECKS= "$0" run', root), 1, "no directory checks")
    local report = plain({ "run", "--report", "json=out.json", "checks" }, { cwd = root })
    if accept.is_root then
      assert.is_truthy(report.code ~= 0, "a report that cannot be written is not green")
      accept.has(report.stderr, "out.json")
    end
  end)
end)

describe("a meagre environment", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  it("may lack standard streams", function()
    local green, red = published({ ["a.lua"] = GREEN }), published({ ["a.lua"] = RED })
    for _, closed in ipairs({ "<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-" }) do
      local reported = not closed:find("^>&") and not closed:find(" >&") -- else nobody gets the report
      for _, format in ipairs({ "dots", "json" }) do
        ended(shell(('"$0" run -f %s "$1" %s'):format(format, closed), green), reported and 0 or 1)
        ended(shell(('"$0" run -f %s "$1" %s'):format(format, closed), red), 1)
      end
    end
    ended(shell('"$0" run "$1" >&-', green), 1, "cannot write the report stdout")
    -- What is opened first gets a low number: a report must not end up in a stream's place.
    local run = shell('"$0" run --report json="$1/.out" "$1" <&- >&- 2>&-; cat "$1/.out"', green)
    accept.has(run.stdout, '"status":"pass"')
  end)

  it("is red when what it reports cannot be written", function()
    local green = published({ ["a.lua"] = GREEN })
    for _, format in ipairs({ "dots", "verbose", "json", "jsonl" }) do
      local run = shell(('"$0" run -f %s "$1" > /dev/full'):format(format), green)
      ended(run, 1, "cannot write the report")
    end
    ended(shell('"$0" run --report json=/dev/full "$1"', green), 1, "/dev/full")
    ended(shell('"$0" run "$1" 2> /dev/full', green), 0)
  end)

  it("may have few descriptors: errors that say so, never failures of the target", function()
    local asked = {}
    local s = server.http(function(request)
      asked[#asked + 1] = request.path
      return 200, {}, "ok"
    end)
    -- Sixty connections a check, held at once.
    local text = accept.fill([[
      local function all(count, fn)
        local work = {}
        for i = 1, count do work[i] = fn end
        parallel(table.unpack(work))
      end
      healthcheck("tcp", function()
        local kept = {}
        for i = 1, 80 do kept[i] = tcp.connect("127.0.0.1", @port@) end
      end)
    ]], { port = s.port })
    local few = { "/usr/bin/prlimit", "--nofile=64:64" }
    local r = accept.run(text, { under = few })
    accept.told(r.check("tcp"), "error internal/connect", "too many open files")
    local silent = server.tcp(function() end)
    r = accept.run(accept.fill([[
      for i = 1, 100 do
        healthcheck("http " .. i, { timeout = "100ms" }, function() http.get("http://127.0.0.1:@port@/") end)
      end
    ]], { port = silent.port }), { under = few, args = { "-j", "1" } })
    -- As many at once as the descriptors do for, and a note instead of hundreds of errors.
    assert.equal(100, r.document.summary.timeout)
    accept.has(r.document.notes[1], "at most 8 checks were in flight instead of 256: a process here may open 64 files")
    assert.is_nil(accept.run(GREEN, { under = few }).document.notes[1])
    ended(shell('prlimit --nofile=64:64 "$0" run "$1"', published({ ["a.lua"] = GREEN })), 0)
    accept.has(shell('prlimit --nofile=64:64 "$0" doctor', "").stdout, "at most 64 a process")
  end)

  it("may have next to nothing: not green, with a reason, and no crash", function()
    local green = published({ ["a.lua"] = GREEN })
    for _, limit in ipairs({ 5, 6, 8 }) do
      local run = shell(("prlimit --nofile=%d:%d \"$0\" run \"$1\""):format(limit, limit), green)
      ended(run, 1, ("hospital: this process may open %d files, and needs"):format(limit))
    end
    ended(shell('prlimit --nofile=8:1000 "$0" run "$1"', green), 0) -- a low soft limit is ours to raise
    for _, limit in ipairs({ "--nofile=4:4", "--nofile=8:8", "--nofile=10:10", "--nofile=12:12",
      "--as=15000000", "--as=12000000" }) do
      local run = shell(("prlimit %s \"$0\" run \"$1\""):format(limit), green)
      assert.is_truthy(run.code and run.code < 128, limit .. ": " .. tostring(run.code) .. run.stderr)
      if run.code == 0 then accept.has(run.stdout, "Ran 1 check") else
        assert.is_truthy(#run.stdout + #run.stderr > 0, limit)
      end
    end
  end)

  it("may bound the address space", function()
    if os.getenv("HOSPITAL_SANITIZED") then return pending("AddressSanitizer reserves terabytes of it") end
    local s = server.http(function() return 200, {}, "ok" end)
    local root = published({ ["a.lua"] = accept.fill(GREEN .. [[
      healthcheck("http", function() assert_http_response("http://127.0.0.1:@port@/", 200) end)
    ]], { port = s.port }) })
    ended(shell('prlimit --as=1000000000 "$0" run "$1"', root), 0, "OK")
    local tight = shell('prlimit --as=20000000 "$0" run "$1"', root)
    if tight.code ~= 0 then ended(tight, 1, "errors=1") end -- libcurl does not fit: no failure of the server's
    -- The package is there: the memory is what is missing, for doctor and for a check.
    local doctor = shell('prlimit --as=20000000 "$0" doctor', "")
    if doctor.stdout:find("failed to map", 1, true) then
      accept.has(doctor.stdout, "mend: raise the memory limit of this process")
      accept.has_not(doctor.stdout, "apt-get install libcurl4")
      if tight.code ~= 0 then accept.has_not(tight.stdout, "install the package libcurl4") end
    end
    accept.has(shell('"$0" doctor --without-layer seccomp', "").stdout, "seccomp            switched off")
  end)

  it("may have no variables at all, or odd ones", function()
    local green, red = published({ ["a.lua"] = GREEN }), published({ ["a.lua"] = RED })
    for _, odd in ipairs({ "-u TMPDIR", "-i", "LC_ALL=C", "LC_ALL=de_DE.UTF-8", "LC_ALL=nonsense", "LANG=tr_TR.UTF-8",
      "TZ=Nowhere/At/All", "PATH=", "TERM=", "TERM=nonsense COLUMNS=0", "COLUMNS=-1", "HOME=relative" }) do
      ended(shell(('env %s "$0" run "$1"'):format(odd), green), 0, "OK")
      ended(shell(('env %s "$0" run "$1"'):format(odd), red), 1, "FAILED (failures=1)")
    end
    -- Numbers are written with points whatever the locale.
    local run = shell('LC_ALL=de_DE.UTF-8 "$0" run -f json "$1"', green)
    assert.equal(0, run.code)
    assert.is_truthy(run.stdout:match('"duration":%d+%.?%d*[eE%-%d]*[,}]'), run.stdout)
  end)

  it("may hold names that are not UTF-8: red, and they are told", function()
    local root = published({ ["ok.lua"] = GREEN, ["caf\xe9.lua"] = GREEN })
    ended(shell('"$0" run "$1"', root), 1, "UTF-8")
    local r = accept.run(root)
    assert.equal(1, r.document.summary.pass)
    assert.equal(1, r.document.summary.error)
    ended(shell('LC_ALL=C "$0" run "$1"', published({ ["café.lua"] = GREEN })), 0, "OK")
    local dir = published({ ["caf\xe9/ok.lua"] = GREEN })
    ended(shell('cd "$1"/caf* && "$0" run ok.lua', dir), 0, "OK")
  end)
end)
