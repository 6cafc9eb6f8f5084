-- policy_spec.lua: --allow and --deny, and their twins in the environment, through
-- the binary.  What is denied is an error that names the capability, and the server
-- that must not be reached never sees a connection.
local accept = require "spec.support.accept"
local process = require "spec.support.process"
local server = require "spec.support.server"
local tree = require "spec.support.tree"
local uv = require "luv"

local told = accept.told

describe("the policy", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  local function hello() return server.http(function() return 200, {}, "hello" end) end

  -- Runs one file that asks port by http and tcp under these flags; the two verdicts.
  local function ask(port, args, host, env)
    host = host or "127.0.0.1"
    local r = accept.run(accept.fill([[
      healthcheck("http", function() assert_http_response("http://@host@:@port@/", 200) end)
      healthcheck("tcp", function() assert_tcp("@host@", @port@) end)
    ]], { host = host, port = port }), { args = args, env = env })
    return accept.verdict(r.check("http")) .. ", " .. accept.verdict(r.check("tcp")), r
  end

  local DENIED = "error denied/policy, error denied/policy"

  it("refuses addresses, in every spelling, before a connection is tried", function()
    local s = hello()
    for _, spelling in ipairs({ "127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1",
      "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0" }) do
      local verdicts, r = ask(s.port, { "--deny", "net=127.0.0.0/8" }, spelling)
      assert.equal(DENIED, verdicts, spelling)
      accept.has(r.check("http").failures[1].message, "is not allowed: denied by --deny net=127.0.0.0/8")
      accept.has(r.check("tcp").failures[1].message, "is not allowed: denied by --deny net=127.0.0.0/8")
      assert.equal(1, r.code)
    end
    assert.equal(0, s.connections)
    assert.equal("pass, pass", (ask(s.port, {})))
    assert.equal(2, s.connections)
  end)

  it("knows networks, names and ports; a deny wins; the order does not matter", function()
    local s, other = hello(), hello()
    local port = tostring(s.port)
    local reaches = {
      { "--allow", "net=127.0.0.0/8" }, { "--allow", "net=127.0.0.1:" .. port }, { "--allow", "net=*:" .. port },
      { "--allow", "net=10.0.0.0/8,127.0.0.1" }, { "--allow", "net", "--deny", "net=10.0.0.0/8" },
      { "--deny", "net=127.0.0.1:1" },
    }
    for _, args in ipairs(reaches) do assert.equal("pass, pass", (ask(s.port, args)), table.concat(args, " ")) end
    local before = s.connections
    local refused = {
      { "--deny", "net" }, { "--allow", "net=10.0.0.0/8" }, { "--allow", "net=127.0.0.1:1" },
      { "--allow", "net=shop.test" }, { "--allow", "net=unix:/run" }, { "--allow", "net=127.0.0.1:" .. other.port },
      { "--allow", "net", "--deny", "net=127.0.0.1" }, { "--deny", "net=127.0.0.1", "--allow", "net=127.0.0.1" },
      { "--deny", "net=127.0.0.1:" .. port },
    }
    for _, args in ipairs(refused) do assert.equal(DENIED, (ask(s.port, args)), table.concat(args, " ")) end
    assert.equal(before, s.connections)
  end)

  it("looks at what a name resolves to", function()
    local s = hello()
    assert.equal("pass, pass", (ask(s.port, { "--allow", "net=localhost" }, "localhost")))
    assert.equal("pass, pass", (ask(s.port, { "--allow", "net=127.0.0.0/8,::1" }, "localhost")))
    local before = s.connections
    assert.equal(DENIED, (ask(s.port, { "--deny", "net=127.0.0.0/8,::1" }, "localhost")))
    assert.equal(DENIED,
      (ask(s.port, { "--allow", "net=localhost", "--deny", "net=127.0.0.0/8,::1" }, "localhost")))
    assert.equal(DENIED, (ask(s.port, { "--allow", "net=10.0.0.0/8" }, "localhost")))
    assert.equal(DENIED, (ask(s.port, { "--deny", "net=localhost" }, "LOCALHOST")))
    assert.equal(DENIED, (ask(s.port, { "--deny", "net=localhost" }, "localhost.")))
    assert.equal(DENIED, (ask(s.port, { "--allow", "net=localhost" }, "127.0.0.1")))
    assert.equal(before, s.connections)
    -- Half of its addresses denied and the other one dead: who knows what the first would have said.
    local verdicts, r = ask(s.port, { "--deny", "net=127.0.0.0/8" }, "localhost")
    assert.equal("error denied/connect, error denied/connect", verdicts)
    for _, check in ipairs(r.document.details) do
      accept.has(check.failures[1].message, "denied by --deny net=127.0.0.0/8")
    end
  end)

  it("follows no redirect, proxy or resolve= to where it may not go", function()
    local inner = hello()
    local outer = server.http(function(request)
      local where = request.path:match("^/to/(.*)")
      return 302, { Location = ("http://%s:%d/"):format(where, inner.port) }, ""
    end)
    local r = accept.run(accept.fill([[
      local OUTER = "http://127.0.0.1:@outer@"
      healthcheck("address", function() assert_http_response(OUTER .. "/to/127.0.0.1", 200) end)
      healthcheck("name", function() assert_http_response(OUTER .. "/to/localhost", 200) end)
      healthcheck("number", function() assert_http_response(OUTER .. "/to/2130706433", 200) end)
      healthcheck("proxy", function()
        assert_http_response(OUTER .. "/", { proxy = "http://127.0.0.1:@inner@", status = 302 })
      end)
      healthcheck("proxied", function()
        assert_http_response("http://10.1.2.3/", { proxy = OUTER, status = 302 })
      end)
      healthcheck("resolve", function()
        assert_http_response("http://shop.test:@inner@/", { resolve = { ["shop.test:@inner@"] = "127.0.0.1" } })
      end)
      healthcheck("allowed", function() assert_http_response(OUTER .. "/to/127.0.0.1", 302) end)
    ]], { outer = outer.port, inner = inner.port }),
      { args = { "--deny", ("net=127.0.0.1:%d,[::1]:%d,10.0.0.0/8"):format(inner.port, inner.port) } })
    for _, name in ipairs({ "address", "name", "number", "proxy", "proxied", "resolve" }) do
      local check = r.check(name)
      assert.equal("error", check.status, name)
      assert.equal("denied", check.failures[1].kind, name)
      accept.has(check.failures[1].message, "denied by --deny net=")
    end
    told(r.check("allowed"), "pass")
    assert.equal(0, inner.connections)
  end)

  it("covers Unix sockets by unix: alone, through links too", function()
    local dir = uv.fs_realpath(tree.make())
    local clients, accepted = {}, 0
    local listener = uv.new_pipe()
    assert(listener:bind(dir .. "/socket"))
    assert(listener:listen(16, function()
      local client = uv.new_pipe()
      clients[#clients + 1] = client
      listener:accept(client)
      accepted = accepted + 1
      client:read_start(function(_, data)
        if data then client:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") end
      end)
    end))
    clients[#clients + 1] = listener
    uv.fs_symlink(dir .. "/socket", dir .. "/link")
    local function try(name, ...)
      local r = accept.run(accept.fill([[
        healthcheck("tcp", function() assert_tcp("unix:@path@") end)
        healthcheck("http", function() assert_http_response("http://shop/", { unix_socket = "@path@" }) end)
      ]], { path = dir .. "/" .. name }), { args = { ... } })
      return r.check("tcp").status .. " " .. r.check("http").status, r
    end
    assert.equal("pass pass", (try("socket", "--allow", "net=unix:" .. dir)))
    assert.equal("pass pass", (try("link", "--allow", "net=unix:" .. dir .. "/socket")))
    local before = accepted
    assert.equal("error error", (try("socket", "--allow", "net=unix:/run,127.0.0.1,*")))
    assert.equal("error error", (try("socket", "--deny", "net=unix:" .. dir)))
    assert.equal("error error", (try("link", "--deny", "net=unix:" .. dir .. "/socket")))
    local verdicts, r = try("socket", "--deny", "net")
    assert.equal("error error", verdicts)
    for _, check in ipairs(r.document.details) do
      told(check, "error denied/policy", "is not allowed: denied by --deny net")
    end
    assert.equal(before, accepted)
    for _, client in ipairs(clients) do client:close() end
    uv.run("nowait")
  end)

  it("forbids ping where it forbids the address", function()
    local r = accept.run([[
      healthcheck("address", function() assert_ping("127.0.0.1", 1) end)
      healthcheck("name", function() assert_ping("localhost", 1) end)
      healthcheck("ports do not matter", function() assert_ping("127.0.0.2", 1) end)
    ]], { args = { "--deny", "net=127.0.0.1,::1", "--allow", "net=127.0.0.2:80" } })
    for _, check in ipairs(r.document.details) do
      local why = { address = "denied by --deny net=127.0.0.1", name = "--allow net=localhost would allow it",
        ["ports do not matter"] = "--allow net=127.0.0.2 would allow it" }
      told(check, "error denied/policy", why[check.test])
    end
  end)

  it("tells the very flag that would allow it", function()
    local s = hello()
    local at = ("127.0.0.1:%d"):format(s.port)
    for _, host in ipairs({ "127.0.0.1", "localhost" }) do
      local verdicts, r = ask(s.port, { "--allow", "net=10.0.0.0/8" }, host)
      assert.equal(DENIED, verdicts)
      local flags = {}
      for _, check in ipairs(r.document.details) do
        flags[#flags + 1] = check.failures[1].message:match("(%-%-allow %S+) would allow it")
      end
      assert.same({ ("--allow net=%s:%d"):format(host, s.port), ("--allow net=%s:%d"):format(host, s.port) }, flags)
      local capability = flags[1]:match(" (.*)")
      assert.equal("pass, pass", (ask(s.port, { "--allow", "net=10.0.0.0/8", "--allow", capability }, host)))
    end
    local _, r = ask(s.port, { "--allow", "net=" .. at .. ",10.0.0.0/8", "--deny", "net=*:" .. s.port })
    accept.has(r.check("http").failures[1].message, "denied by --deny net=*:" .. s.port)
    _, r = ask(s.port, {}, nil, { HOSPITAL_DENY = "net=127.0.0.0/8" })
    accept.has(r.check("tcp").failures[1].message, "denied by HOSPITAL_DENY net=127.0.0.0/8")
    _, r = ask(s.port, { "--allow", "net=10.0.0.0/8" }, "[::1]")
    accept.has(r.check("http").failures[1].message, ("--allow net=[::1]:%d would allow it"):format(s.port))
    assert.equal(s.connections, 4)
  end)

  it("adds what the site denies to what the command line says", function()
    local s = hello()
    local site = { HOSPITAL_DENY = "net=127.0.0.0/8 env=SHOP_*" }
    for _, args in ipairs({ { "--deny", "net=10.0.0.0/8" }, { "--deny", "env=A" }, { "--allow", "net" },
      { "--allow", "net=127.0.0.1" } }) do
      assert.equal(DENIED, (ask(s.port, args, nil, site)), table.concat(args, " "))
    end
    -- An allow of the site's holds for the capabilities that no flag allows a part of.
    assert.equal(DENIED, (ask(s.port, { "--allow", "env=SHOP_*" }, nil, { HOSPITAL_ALLOW = "net=10.0.0.0/8" })))
    assert.equal(0, s.connections)
    assert.equal("pass, pass", (ask(s.port, { "--allow", "net=127.0.0.1" }, nil, { HOSPITAL_ALLOW = "net=10.0.0.0/8" })))
  end)

  it("hides the environment", function()
    local text = [[healthcheck("env", function()
      print(env.SHOP_URL, env.SHOP_NAME, env.HOME)
      error("x")
    end)]]
    local env = { SHOP_URL = "u", SHOP_NAME = "n", HOME = "/h" }
    local function seen(args, more)
      local variables = {}
      for name, value in pairs(env) do variables[name] = value end
      for name, value in pairs(more or {}) do variables[name] = value end
      return accept.run(text, { args = args, env = variables }).check("env").output[1]
    end
    assert.equal("u\tn\t/h", seen({}))
    assert.equal("nil\tnil\tnil", seen({ "--deny", "env" }))
    assert.equal("u\tn\tnil", seen({ "--allow", "env=SHOP_*" }))
    assert.equal("nil\tn\tnil", seen({ "--allow", "env=SHOP_*", "--deny", "env=*_URL" }))
    assert.equal("nil\tn\tnil", seen({}, { HOSPITAL_ALLOW = "env=SHOP_*", HOSPITAL_DENY = "env=*_URL" }))
    assert.equal("nil\tnil\tnil", seen({}, { HOSPITAL_DENY = "net env" }))
    -- A word on the command line replaces its twin, as with every option.
    assert.equal("u\tn\tnil", seen({ "--allow", "env=SHOP_*" }, { HOSPITAL_ALLOW = "env=HOME" }))
  end)

  it("is the same from the environment", function()
    local s = hello()
    assert.equal(DENIED, (ask(s.port, {}, nil, { HOSPITAL_DENY = "net=127.0.0.0/8" })))
    assert.equal(DENIED, (ask(s.port, {}, nil, { HOSPITAL_ALLOW = "net=10.0.0.0/8 env" })))
    assert.equal(0, s.connections)
    assert.equal("pass, pass", (ask(s.port, {}, nil, { HOSPITAL_ALLOW = "net=10.0.0.0/8 net=127.0.0.1" })))
  end)

  it("holds for the top level of a file and for lists and lint", function()
    local s = hello()
    local root = accept.tree(accept.fill([[
      local ok = pcall(function() assert_tcp("127.0.0.1", @port@) end)
      healthcheck(env.SECRET_PLAN and "told" or "hidden", function() end)
    ]], { port = s.port }))
    for _, command in ipairs({ "list", "lint", "run" }) do
      local r = process.hospital({ command, "--deny", "env", "--deny", "net", root }, { env = { SECRET_PLAN = "plan" } })
      accept.has_not(r.stdout .. r.stderr, "told")
    end
    assert.equal(0, s.connections)
  end)

  it("reads certificate files only below what read allows", function()
    local dir = uv.fs_realpath(tree.make({ ["in/ca.crt"] = "no certificate", ["out/ca.crt"] = "no certificate" }))
    uv.fs_symlink(dir .. "/out/ca.crt", dir .. "/in/link.crt")
    local s = server.tcp(function() end)
    local r = accept.run(accept.fill([[
      local function get(tls) return function() http.get("https://127.0.0.1:@port@/", { tls = tls, timeout = 0.2 }) end end
      healthcheck("inside", get({ ca = "@dir@/in/ca.crt" }))
      healthcheck("ca outside", get({ ca = "@dir@/out/ca.crt" }))
      healthcheck("cert outside", get({ cert = "@dir@/out/ca.crt", key = "@dir@/in/ca.crt" }))
      healthcheck("key outside", get({ cert = "@dir@/in/ca.crt", key = "/etc/shadow" }))
      healthcheck("link", get({ ca = "@dir@/in/link.crt" }))
      healthcheck("dots", get({ ca = "@dir@/in/../out/ca.crt" }))
    ]], { port = s.port, dir = dir }), { args = { "--allow", "read=" .. dir .. "/in" } })
    assert.is_truthy(r.check("inside").failures[1].kind ~= "denied")
    accept.has(r.check("key outside").failures[1].message, "--allow read=/etc/shadow would allow it")
    for _, name in ipairs({ "ca outside", "cert outside", "link", "dots" }) do
      local check = r.check(name)
      assert.equal("error", check.status, name)
      assert.equal("denied", check.failures[1].kind, name)
      accept.has(check.failures[1].message, "is not allowed: --allow read=" .. dir .. "/out/ca.crt would allow it")
    end
  end)

  it("gives no way to write or to run programs, whatever is allowed", function()
    local r = accept.run([[
      healthcheck("nothing there", function()
        for _, name in ipairs { "io", "os.execute", "os.remove", "package", "debug", "loadfile", "dofile" } do
          local value = _G
          for part in name:gmatch("[^.]+") do value = value and value[part] end
          assert_nil(value, name)
        end
      end)
    ]], { args = { "--allow", "write", "--allow", "exec" } })
    told(r.check("nothing there"), "pass")
  end)

  it("refuses what it cannot read: exit 4, the pattern and the reason", function()
    local root = accept.tree('healthcheck("ok", function() assert_true(true) end)')
    for _, case in ipairs({
      { { "--allow", "net=10.0.0.0/33" }, "10.0.0.0/33" }, { { "--allow", "net=10.0.0/8" }, "10.0.0/8" },
      { { "--deny", "foo" }, "there is no such capability; they are net, read, env, write and exec" },
      { { "--deny", "net=" }, "a pattern is empty" }, { { "--deny", "net=a,,b" }, "a pattern is empty" },
      { { "--allow", "net=*.*" }, "star" }, { { "--allow", "net=127.0.0.1:99999" }, "port" },
      { { "--allow", "net=127.0.0.1:9-8" }, "9-8" }, { { "--allow", "read=here" }, "a path is absolute" },
      { { "--deny", "" }, "CAPABILITY" }, { { "--without-layer", "walls" }, "there is no layer 'walls'; they are" },
      { {}, "HOSPITAL_DENY net=bad/99", { HOSPITAL_DENY = "net=bad/99" } },
      { { "--deny", "env" }, "HOSPITAL_DENY foo: there is no such capability", { HOSPITAL_DENY = "foo" } },
      { {}, "HOSPITAL_ALLOW net=10.0.0.0/33", { HOSPITAL_ALLOW = "net=10.0.0.0/33" } },
    }) do
      local args = { "run", root }
      for _, one in ipairs(case[1]) do args[#args + 1] = one end
      local r = process.hospital(args, { env = case[3] })
      assert.equal(4, r.code, table.concat(args, " ") .. r.stdout .. r.stderr)
      assert.equal("", r.stdout)
      accept.has(r.stderr, case[2])
      assert.is_nil(r.stderr:find("is not there is"), r.stderr)
    end
  end)

  it("holds in the language layer whatever layer of confinement is left away", function()
    local s = hello()
    assert.equal(DENIED, (ask(s.port, { "--deny", "net", "--without-layer", "all" })))
    assert.equal(0, s.connections)
  end)
end)
