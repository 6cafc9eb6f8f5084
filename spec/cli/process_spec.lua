-- Workers that die, and what it costs; signals.  Only processes below the run that a spec
-- started are touched, by their ids.
local json = require "cjson"
local outcome = require "spec.support.outcome"
local process = require "spec.support.process"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local function slurp(path)
  local file = io.open(path)
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text or "" -- of a process that has just ended
end

-- pid -> name of all below pid.
local function descendants(pid, found)
  found = found or {}
  for child in slurp(("/proc/%d/task/%d/children"):format(pid, pid)):gmatch("%d+") do
    found[tonumber(child)] = slurp("/proc/" .. child .. "/comm"):gsub("\n", "")
    descendants(tonumber(child), found)
  end
  return found
end

local function workers(run)
  local list = {}
  for pid, name in pairs(descendants(run.pid)) do
    if name:match("^hospital%-w%d") then list[#list + 1] = pid end
  end
  table.sort(list)
  return list
end

local function is_gone(pid)
  local stat = slurp("/proc/" .. pid .. "/stat")
  return stat == "" or stat:match("%) Z") ~= nil
end

local function start(files, ...)
  return process.start(process.binary,
    { args = { "run", tree.make(files), "-f", "json", ... } })
end

local function finish(run)
  return outcome.read(run:join(20))
end

-- The answer is on its way to the check; once the worker burns, it has arrived.
local function await_burning(pid)
  local ticks = "%)" .. (" %S+"):rep(11) .. " (%d+)"
  local function used() return tonumber(slurp("/proc/" .. pid .. "/stat"):match(ticks)) or 0 end
  local before = used()
  process.wait(function()
    uv.sleep(5)
    uv.run("nowait")
    return used() > before + 5
  end, 10, "the worker to burn")
end

-- A server that counts the requests of each path and answers at once; `/hold` waits for release.
local function counting()
  local seen, held = {}, {}
  local http = server.tcp(function(client)
    client:read_start(function(_, data)
      local path = data and data:match("^GET (%S+)")
      if not path then return end
      seen[path] = (seen[path] or 0) + 1
      local answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
      if path:match("hold") and not held.free then
        held[#held + 1] = function() client:write(answer) end
      else
        client:write(answer)
      end
    end)
  end)
  local function release()
    held.free = true
    for _, answer in ipairs(held) do answer() end
  end
  return seen, "http://127.0.0.1:" .. http.port, release
end

local function get(url, path)
  return ('assert_http_response(%q, 200)'):format(url .. path)
end

describe("a worker that dies", function()
  after_each(function() server.clean() tree.clean() end)

  for _, name in ipairs { "SIGKILL", "SIGTRAP", "SIGSEGV", "SIGABRT" } do
    it("by " .. name .. " costs the check that ran; what waited runs again; what ended does not",
      function()
        local seen, url, release = counting()
        local run = start({ ["a.lua"] = ([[
          healthcheck("ended", function() %s end)
          healthcheck("waits", function() %s end)
          healthcheck("burns", { requires = "ended", timeout = "20s" }, function()
            %s
            while true do end
          end)]]):format(get(url, "/ended"), get(url, "/hold"), get(url, "/burns")) }, "-j", "1")
        process.wait(function() return seen["/burns"] and seen["/hold"] end, 10, "both to run")
        local pid = workers(run)[1]
        await_burning(pid)
        uv.kill(pid, name:lower())
        process.wait(function() return seen["/hold"] == 2 end, 10, "the other to run again")
        release()
        local checks, code = finish(run)
        assert.equal(1, code)
        assert.equal("error", checks["a.lua::burns"].status)
        if not process.binary:match("asan") then -- whose own handlers end it otherwise
          assert.matches(name, checks["a.lua::burns"].context)
        end
        assert.equal("pass", checks["a.lua::waits"].status)
        assert.equal(2, checks["a.lua::waits"].attempts)
        assert.equal("pass", checks["a.lua::ended"].status)
        assert.same({ 1, 2, 1 }, { seen["/ended"], seen["/hold"], seen["/burns"] })
      end)
  end

  it("with a check each time: it runs alone and is given up after three", function()
    local seen, url, release = counting()
    local run = start({ ["a.lua"] = ([[
      healthcheck("fatal", { timeout = "20s" }, function() %s end)
      healthcheck("other", function() assert_true(true) end)]]):format(get(url, "/hold")) },
      "-j", "1")
    for i = 1, 3 do
      process.wait(function() return seen["/hold"] == i end, 10, "try " .. i)
      for _, pid in ipairs(workers(run)) do uv.kill(pid, "sigkill") end
    end
    local checks, code = finish(run)
    release()
    assert.equal(1, code)
    assert.equal(3, seen["/hold"])
    assert.equal("error", checks["a.lua::fatal"].status)
    assert.matches("given up after 3", checks["a.lua::fatal"].context)
    assert.equal("pass", checks["a.lua::other"].status)
  end)

  -- Halving 32 suspects takes more losses in a row than a run that cannot start workers may have.
  it("again and again under many: they are halved, and all of them end well", function()
    local seen, url, release = counting()
    -- Each load of the file asks for a path of its own: a worker is not killed before it has loaded.
    local run = start({ ["a.lua"] = ([[
      local url = %q .. "/hold?" .. now()
      for i = 1, 32 do
        healthcheck('c' .. i, { timeout = '30s' }, function()
          assert_http_response(url, { status = 200, timeout = '30s' })
        end)
      end]]):format(url) }, "-j", "1")
    local killed, known = {}, {}
    for i = 1, 8 do
      local fresh, path
      process.wait(function()
        fresh, path = workers(run)[1], nil
        for each in pairs(seen) do path = not known[each] and each or path end
        return fresh and not killed[fresh] and path
      end, 10, "worker " .. i)
      for each in pairs(seen) do known[each] = true end
      killed[fresh] = true
      uv.kill(fresh, "sigkill")
    end
    release()
    local checks = finish(run)
    for i = 1, 32 do
      local check = checks["a.lua::c" .. i]
      -- A kill may find one in the middle of a slice: that one is named, and no other.
      if check.status ~= "pass" then assert.matches("while this check ran: .*SIGKILL", check.context) end
    end
  end)

  -- The diagnosis went back to "not asked for", was asked for again, and the run never ended.
  it("during a diagnosis: it runs again", function()
    local seen, url, release = counting()
    local run = start({ ["a.lua"] = ([[
      healthcheck("red", function() assert_true(false) end)
      diagnosis("why", { of = "red", timeout = "20s" }, function() %s end)]])
      :format(get(url, "/hold")) }, "-j", "1")
    process.wait(function() return seen["/hold"] == 1 end, 10, "the diagnosis")
    uv.kill(workers(run)[1], "sigkill")
    process.wait(function() return seen["/hold"] == 2 end, 10, "the diagnosis again")
    release()
    local checks, code = finish(run)
    assert.equal(1, code)
    assert.equal("pass", checks["a.lua::red"].diagnoses[1].check.status)
  end)

  -- All checks had their results, so nobody missed the teardown.
  it("during a teardown is seen and red", function()
    local seen, url, release = counting()
    local run = start({ ["a.lua"] = ([[
      describe("d", function()
        teardown(function() %s end)
        healthcheck("good", function() assert_true(true) end)
      end)]]):format(get(url, "/hold")) }, "-j", "1")
    process.wait(function() return seen["/hold"] == 1 end, 10, "the teardown")
    uv.kill(workers(run)[1], "sigkill")
    local checks, code = finish(run)
    release()
    assert.equal(1, code)
    assert.equal("pass", checks["a.lua::d::good"].status)
    assert.equal("error", checks["a.lua::d::teardown"].status)
    assert.matches("SIGKILL", checks["a.lua::d::teardown"].context)
  end)

  it("while a file loads costs that file and no other", function()
    local run = start({ ["a.lua"] = "local s = os.clock() while os.clock() - s < 8 do end",
      ["b.lua"] = 'healthcheck("good", function() assert_true(true) end)' }, "-j", "1")
    process.wait(function() return workers(run)[1] end, 10, "a worker")
    await_burning(workers(run)[1])
    uv.kill(workers(run)[1], "sigkill")
    local checks, code = finish(run)
    assert.equal(1, code)
    assert.equal("error", checks["a.lua"].status)
    assert.matches("while this file was loading: .*SIGKILL", checks["a.lua"].context)
    assert.equal("pass", checks["b.lua::good"].status)
  end)

  -- Ctrl-Z, or a laptop that sleeps: nobody was stuck.
  it("does not, because the whole tree was stopped for more than a second", function()
    local seen, url = counting()
    local run = start({ ["a.lua"] = ([[healthcheck("a", { timeout = "30s" }, function()
      %s
      local s = os.clock() while os.clock() - s < 2 do end end)]]):format(get(url, "/burns")) })
    process.wait(function() return seen["/burns"] end, 10, "the check to run")
    await_burning(workers(run)[1])
    local all = descendants(run.pid)
    run:kill("sigstop")
    for pid in pairs(all) do uv.kill(pid, "sigstop") end
    uv.sleep(1500)
    for pid in pairs(all) do uv.kill(pid, "sigcont") end
    run:kill("sigcont")
    local checks, code = finish(run)
    assert.equal(0, code)
    assert.equal("pass", checks["a.lua::a"].status)
    assert.equal(1, checks["a.lua::a"].attempts)
  end)

  -- The worker that it ran in was told so, though it was gone: the supervisor crashed.
  it("costs those that require the check that ran, too, and nothing else", function()
    local seen, url = counting()
    local run = start({ ["a.lua"] = ([[
      healthcheck("fatal", { timeout = "20s" }, function() %s while true do end end)
      healthcheck("needs it", { requires = "fatal" }, function() assert_true(true) end)
      healthcheck("good", function() assert_true(true) end)]]):format(get(url, "/burns")) },
      "-j", "1")
    process.wait(function() return seen["/burns"] end, 10, "the check to run")
    local pid = workers(run)[1]
    await_burning(pid)
    uv.kill(pid, "sigkill")
    local checks, code = finish(run)
    assert.equal(1, code)
    assert.equal("error", checks["a.lua::fatal"].status)
    assert.equal("skip", checks["a.lua::needs it"].status)
    assert.equal("pass", checks["a.lua::good"].status)
  end)

  -- Each check of the describe cost a worker of its own.
  it("during a setup costs the checks of that describe, all at once, and names it", function()
    local seen, url = counting()
    local run = start({ ["a.lua"] = ([[
      describe("outer", function()
        before_each(function() end)
        describe("orders", function()
          setup(function() %s while true do end end)
          healthcheck("one", { timeout = "20s" }, function() assert_true(true) end)
          healthcheck("two", function() assert_true(true) end)
          healthcheck("marked", { skip = "not today" }, function() end)
        end)
        healthcheck("three", function() assert_true(true) end)
      end)]]):format(get(url, "/burns")) }, "-j", "1")
    process.wait(function() return seen["/burns"] end, 10, "the setup to run")
    local pid = workers(run)[1]
    await_burning(pid)
    uv.kill(pid, "sigkill")
    local checks, code = finish(run)
    assert.equal(1, code)
    assert.equal(1, seen["/burns"])
    for _, name in ipairs { "one", "two" } do
      local check = checks["a.lua::outer::orders::" .. name]
      assert.equal("error", check.status)
      assert.matches('while the setup of "orders" ran: .*SIGKILL', check.context)
    end
    assert.equal("skip", checks["a.lua::outer::orders::marked"].status)
    assert.equal("pass", checks["a.lua::outer::three"].status)
  end)

  -- Those that only stood behind it in the lane were given up with it.
  it("in a lane costs nothing of what stands behind the check that ran", function()
    local seen, url, release = counting()
    local run = start({ ["a.lua"] = ([[
      before_each(function() end)
      healthcheck("one", { timeout = "20s" }, function() %s end)
      healthcheck("two", function() assert_true(true) end)]]):format(get(url, "/hold")) }, "-j", "1")
    for i = 1, 3 do
      process.wait(function() return seen["/hold"] == i end, 10, "try " .. i)
      uv.kill(workers(run)[1], "sigkill")
    end
    local checks = finish(run)
    release()
    assert.equal("error", checks["a.lua::one"].status)
    assert.equal("pass", checks["a.lua::two"].status)
    assert.equal(1, checks["a.lua::two"].attempts)
  end)

  it("because its supervisor was killed is gone within a second, and so is the nursery", function()
    local seen, url = counting()
    local run = start({ ["a.lua"] = ('healthcheck("a", { timeout = "20s" }, function() %s end)')
      :format(get(url, "/hold")) })
    process.wait(function() return seen["/hold"] end, 10, "the check to run")
    local all = descendants(run.pid)
    assert.is_truthy(next(all))
    run:kill("sigkill")
    process.wait(function()
      for pid in pairs(all) do if not is_gone(pid) then uv.sleep(5) uv.run("nowait") return false end end
      return true
    end, 1, "the workers to be gone")
    run:join(5)
  end)

  it("and the nursery that dies: red, with a clear line", function()
    local seen, url = counting()
    local run = start({ ["a.lua"] = ('healthcheck("a", { timeout = "20s" }, function() %s end)')
      :format(get(url, "/hold")) })
    process.wait(function() return seen["/hold"] end, 10, "the check to run")
    local children = slurp(("/proc/%d/task/%d/children"):format(run.pid, run.pid))
    uv.kill(tonumber(children:match("%d+")), "sigkill")
    local _, code, report = finish(run)
    assert.equal(1, code)
    assert.equal("fail", report.status)
    assert.equal(1, report.not_run)
    assert.not_equal("", run.stderr)
  end)

  -- Nothing is CPU-bound here: the worker is stopped in the middle of a slice.
  it("is killed when it hangs in the middle of a slice", function()
    local seen, url = counting()
    local run = start({ ["a.lua"] = ([[healthcheck("a", { timeout = "20s" }, function()
      %s
      while true do end end)]]):format(get(url, "/burns")) })
    process.wait(function() return seen["/burns"] end, 10, "the check to run")
    local pid = workers(run)[1]
    await_burning(pid)
    local stopped = uv.hrtime()
    -- Between two slices it would not count as stuck: go on until the stop hits a slice.
    while not run.code and uv.hrtime() - stopped < 15e9 do
      if not is_gone(pid) then
        uv.kill(pid, "sigcont")
        uv.kill(pid, "sigstop")
      end
      pcall(process.wait, function() return run.code end, 2)
    end
    local checks, code = finish(run)
    assert.equal(1, code)
    assert.equal("error", checks["a.lua::a"].status)
    assert.matches("stuck", checks["a.lua::a"].context)
  end)
end)

describe("a reader that does not read", function()
  after_each(tree.clean)

  -- The supervisor hung in write(): neither a signal nor its own deadline could end it.
  local TALKS = [[
    for i = 1, 40 do
      healthcheck("talks " .. i, function()
        for _ = 1, 60 do log(("x"):rep(1000)) end
        assert_true(false)
      end)
    end
    healthcheck("hangs", { timeout = "60s" }, function() sleep(50) end)]]

  -- Resolves to the exit code once the run has ended.
  local function start_unread(...)
    local run, out = {}, uv.new_pipe()
    local root = tree.make { ["a.lua"] = TALKS }
    run.handle, run.pid = uv.spawn(process.binary, {
      args = { "run", root, "-f", "jsonl", ... }, stdio = { nil, out, nil },
    }, function(code)
      run.code = code
      run.handle:close()
      out:close()
    end)
    return run
  end

  local function await_end(run)
    local ok, why = pcall(process.wait, function() return run.code end, 10, "the run to end")
    if not ok then
      uv.kill(run.pid, "sigkill")
      error(why, 0)
    end
  end

  it("does not keep signals from the run", function()
    local run = start_unread()
    uv.sleep(1000)
    uv.kill(run.pid, "sigint")
    await_end(run)
    assert.equal(2, run.code)
  end)

  it("nor the deadline", function()
    local run = start_unread("--deadline", "1s")
    await_end(run)
    assert.equal(1, run.code)
  end)
end)

describe("a signal", function()
  after_each(function() server.clean() tree.clean() end)

  for _, name in ipairs { "sigint", "sigterm" } do
    for _, format in ipairs { "json", "dots", "verbose", "jsonl" } do
      it(name .. ": what has finished is reported as " .. format .. ", exit 2, nothing is left",
        function()
          local seen, url = counting()
          local run = process.start(process.binary, { args = { "run", tree.make { ["a.lua"] = ([[
            healthcheck("good", function() %s end)
            healthcheck("hangs", { requires = "good", timeout = "20s" }, function() %s end)
            healthcheck("last", { requires = "hangs" }, function() end)]])
            :format(get(url, "/good"), get(url, "/hold")) }, "-f", format } })
          process.wait(function() return seen["/hold"] end, 10, "the check to hang")
          local all = descendants(run.pid)
          run:kill(name)
          run:join(5)
          assert.equal(2, run.code)
          for pid in pairs(all) do assert.is_true(is_gone(pid)) end
          if format == "json" then
            local report = json.decode(run.stdout)
            assert.equal("a.lua::good", report.details[1].id)
            assert.equal(1, #report.details)
            assert.equal(2, report.not_run)
            assert.is_true(report.interrupted)
            assert.matches("^was running: a%.lua::hangs %(%d+%.%ds%)$", report.notes[1])
            assert.equal("fail", report.status)
          end
          assert.is_nil(run.stdout:match("\nOK"))
        end)
    end
  end
end)
