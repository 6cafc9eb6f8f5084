-- secrets_spec.lua: secrets never appear in any output, whatever fails and
-- whoever echoes them.
local accept = require "spec.support.accept"
local process = require "spec.support.process"
local server = require "spec.support.server"
local tree = require "spec.support.tree"

-- Each one different, so that a leak names itself.
local SECRETS = {
  SHOP_TOKEN = "tok-5f2a91c7",
  DB_PASSWORD = "pw d&1/é+\"x",
  API_KEY = "key-77aa\\b",
  CLIENT_SECRET = "multi\nline-secret-99",
  DATABASE_URL = "postgres://app:urlpass-31@db.test/shop",
}
local WRITTEN = { "in-url-11", "in-auth-22", "bearer-33", "cookie-44", "query-55", "json-66", "proxy-77", "basic-88" }

local CHECKS = [=[
local URL = "http://127.0.0.1:@port@"
local token = env.SHOP_TOKEN

healthcheck("url password", function() assert_http_response("http://probe:in-url-11@127.0.0.1:@port@/", 204) end)
healthcheck("authorization", function()
  assert_http_response(URL .. "/", { headers = { Authorization = "Token in-auth-22" }, status = 204 })
end)
healthcheck("bearer", function() assert_http_response(URL .. "/", { auth = { bearer = "bearer-33" }, status = 204 }) end)
healthcheck("basic", function() assert_http_response(URL .. "/", { auth = { user = "u", password = "basic-88" }, status = 204 }) end)
healthcheck("cookie", function() assert_http_response(URL .. "/", { headers = { Cookie = "sid=cookie-44" }, status = 204 }) end)
healthcheck("query", function() assert_http_response(URL .. "/?a=b&access_token=query-55", 204) end)
healthcheck("json", function() assert_http_response(URL .. "/", { json = { password = "json-66" }, status = 204 }) end)
healthcheck("proxy", function() assert_http_response(URL .. "/", { proxy = "http://p:proxy-77@127.0.0.1:@port@", status = 204 }) end)
healthcheck("unreachable", function()
  assert_http_response("http://probe:in-url-11@127.0.0.1:1/?token=query-55", { headers = { Cookie = "sid=cookie-44" } })
end)
healthcheck("not a url", function() assert_http_response("http://probe:in-url-11@127.0.0.1:port/", 200) end)
healthcheck("redirect", function() assert_http_response(URL .. "/redirect", 200) end)
healthcheck("env in output", function()
  print(token, env.DB_PASSWORD, env.API_KEY, env.CLIENT_SECRET, env.DATABASE_URL)
  log("as a table", { token = token, list = { env.DB_PASSWORD } })
  warn("beware of " .. env.API_KEY)
  metric("answers", 1, "s")
  assert_equal("nothing", token)
end)
healthcheck("env in assertions", function()
  expect_equal(env.DB_PASSWORD, env.API_KEY)
  expect_match("x", token, "with " .. token)
  expect_equal({ a = token }, { a = env.DB_PASSWORD })
  expect_contains(token, "text")
  error({ token = token })
end)
healthcheck("env in an error", function() error("wrong: " .. token) end)
healthcheck("env in a skip", function() skip("because of " .. token) end)
healthcheck("env through tcp", function() assert_tcp("127.0.0.1", @echo@, { send = token .. "\n", contains = "x", timeout = 0.2 }) end)
healthcheck("env in a query", function() assert_http_response(URL .. "/?a=" .. token, 204) end)
healthcheck("env sent on", function() assert_http_response(URL .. "/", { headers = { ["X-Own"] = token }, status = 204 }) end)
healthcheck("env in a path", function() assert_http_response(URL .. "/" .. token .. "/x", 204) end)
healthcheck("env as a host", function() assert_tcp(token .. ".invalid", 80) end)
healthcheck("named " .. token, { description = "uses " .. token, owner = token, tags = "t" }, function() error("x") end)
healthcheck("expected", { expected_failure = "until " .. token .. " works" }, function() error("x") end)
]=]

describe("secrets", function()
  local s, echo, root
  before_each(function()
    -- Echoes the whole request in the body, as debug endpoints do.
    s = server.http(function(request)
      if request.path == "/redirect" then
        return 302, { Location = "http://probe:in-url-11@127.0.0.1:1/?token=query-55" }, ""
      end
      local lines = { request.method .. " " .. request.path }
      for name, value in pairs(request.headers) do lines[#lines + 1] = name .. ": " .. value end
      return 500, { ["Set-Cookie"] = "sid=cookie-44" }, table.concat(lines, "\n") .. "\n\n" .. request.body
    end)
    echo = server.tcp(function(client)
      client:read_start(function(_, data)
        if data and not client:is_closing() then client:write("you said " .. data) end
      end)
    end)
    root = accept.tree({ ["shop.lua"] = accept.fill(CHECKS, { port = s.port, echo = echo.port }) })
  end)
  after_each(function()
    server.clean()
    tree.clean()
  end)

  local function env(more)
    local variables = { XDG_STATE_HOME = root .. "/.state" }
    for name, value in pairs(SECRETS) do variables[name] = value end
    for name, value in pairs(more or {}) do variables[name] = value end
    return variables
  end

  local function clean(text, where)
    assert.is_true(#text > 0, where .. ": nothing was said")
    local function absent(secret)
      local at = text:find(secret, 1, true)
      if at then error(("%s: leaks %q in\n…%s…"):format(where, secret, text:sub(math.max(1, at - 200), at + 100)), 3) end
    end
    for _, secret in ipairs(WRITTEN) do absent(secret) end
    for _, secret in pairs(SECRETS) do
      for line in secret:gmatch("[^\n]+") do
        if #line >= 4 and not line:find("^postgres") and line ~= "multi" then absent(line) end
      end
    end
    absent("urlpass-31")
    absent("multi\nline")
    absent("multi\\nline")
    -- Basic credentials, encoded.
    absent("dTpiYXNpYy04OA")
    absent("cHJvYmU6aW4tdXJsLTEx")
    -- As JSON and as URLs write them.
    absent('pw d&1/é+\\"x')
    absent("pw%20d%261")
    absent("key-77aa")
  end

  it("are in no format, in no report and not in the errors", function()
    for _, format in ipairs({ "dots", "verbose", "json", "jsonl" }) do
      local run = process.hospital({ "run", "-v", "-f", format, "--report", "json=" .. root .. "/.out.json",
        "--report", "verbose=" .. root .. "/.out.txt", root }, { env = env() })
      assert.equal(1, run.code)
      clean(run.stdout, format)
      clean(run.stderr .. ".", format .. " errors")
      clean(accept.slurp(root .. "/.out.json"), "report json")
      clean(accept.slurp(root .. "/.out.txt"), "report verbose")
      accept.has(run.stdout, "[redacted]")
    end
    assert.is_true(s.connections > 0)
  end)

  it("were sent all the same", function()
    local seen = {}
    local other = server.http(function(request)
      seen[#seen + 1] = request.path .. " " .. (request.headers.authorization or "") .. " " .. (request.headers.cookie or "")
      return 200, {}, ""
    end)
    local r = accept.run(accept.fill([[healthcheck("sends", function()
      http.get("http://127.0.0.1:@port@/?token=" .. env.SHOP_TOKEN, { auth = { bearer = env.SHOP_TOKEN }, headers = { Cookie = "sid=cookie-44" } })
    end)]], { port = other.port }), { env = SECRETS })
    assert.equal(0, r.document.summary.error)
    assert.same({ "/?token=tok-5f2a91c7 Bearer tok-5f2a91c7 sid=cookie-44" }, seen)
    clean(r.stdout, "json")
  end)

  it("are not in lists, lint, doctor, or --failed", function()
    for _, args in ipairs({ { "list", root }, { "run", "--list", root }, { "lint", "-v", root }, { "doctor" },
      { "run", "--failed", root } }) do
      local run = process.hospital(args, { env = env() })
      clean(run.stdout .. run.stderr .. ".", table.concat(args, " "))
    end
  end)

  it("are not in load errors", function()
    local broken = accept.tree({
      ["raise.lua"] = 'error("cannot use " .. env.SHOP_TOKEN)',
      ["option.lua"] = 'healthcheck("x", { [env.SHOP_TOKEN] = 1 }, function() end)',
      ["twice.lua"] = 'for _ = 1, 2 do healthcheck("n " .. env.SHOP_TOKEN, function() end) end',
      ["require.lua"] = 'require(env.SHOP_TOKEN)',
      ["needs.lua"] = 'healthcheck("x", { requires = env.SHOP_TOKEN }, function() end)',
    })
    for _, command in ipairs({ "run", "lint", "list" }) do
      local run = process.hospital({ command, broken }, { env = env() })
      assert.is_truthy(run.code ~= 0)
      clean(run.stdout .. run.stderr, command)
    end
  end)

  it("are remembered by nobody else: ids on disk are the user's own", function()
    process.hospital({ "run", root }, { env = env() })
    local listed = process.run("/usr/bin/find", { args = { root .. "/.state", "-type", "f", "-printf", "%m " } })
    assert.equal("600 ", listed.stdout)
  end)

  it("are not in usage errors of hospital's own", function()
    for _, args in ipairs({ { "run", "--timeout", SECRETS.SHOP_TOKEN, root }, { "run", "/nowhere/" .. SECRETS.SHOP_TOKEN },
      { "run", "--deny", "net=http://u:in-url-11@x/", root } }) do
      local run = process.hospital(args, { env = env() })
      assert.is_truthy(run.code ~= 0)
      -- What the operator typed himself may be shown, the environment's may not.
      accept.has_not(run.stdout .. run.stderr, SECRETS.DB_PASSWORD)
    end
  end)
end)
