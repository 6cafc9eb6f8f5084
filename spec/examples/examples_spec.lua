-- The examples, run by the built binary against a shop of the spec's own.
local cjson = require "cjson"
local process = require "spec.support.process"
local script = require "spec.support.script"
local server = require "spec.support.server"
local shop = require "spec.support.shop"
local tree = require "spec.support.tree"

-- Runs an example; the report by id, and the process.
local function run(example, env, ...)
  local done = process.hospital({ "run", "-f", "json", "examples/" .. example, ... }, { env = env })
  local ok, report = pcall(cjson.decode, done.stdout)
  assert(ok, done.stdout .. done.stderr)
  local found = {}
  for _, check in ipairs(report.details) do found[check.id] = check end
  return found, done, report
end

local function statuses(found)
  local list = {}
  for id, check in pairs(found) do list[id:match("::(.*)$")] = check.status end
  return list
end

describe("the example", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  it("shop is green, and cleans up after itself", function()
    local s = shop.start()
    local found, done, report = run("shop", { SHOP_URL = s.url }, "--slow", "--strict")
    assert.are.same({
      ["home page answers"] = "pass", ["health endpoint says up"] = "pass",
      ["unknown pages are 404, not an error"] = "pass",
      ["orders::can be read back"] = "pass", ["orders::are listed"] = "pass",
    }, statuses(found))
    assert.are.equal(0, done.code)
    assert.are.equal("pass", report.status)
    assert.are.equal("home_page", found["shop.lua::home page answers"].metrics[1].name)
    local deleted = 0
    for _, request in ipairs(s.requests) do
      if request:match("^DELETE /orders/%d+$") then deleted = deleted + 1 end
    end
    assert.are.equal(2, deleted)
  end)

  it("shop is red when the shop is closed, and says what came instead", function()
    local s = shop.start { down = true }
    local found, done, report = run("shop", { SHOP_URL = s.url })
    assert.are.equal(1, done.code)
    assert.are.equal("fail", report.status)
    local home = found["shop.lua::home page answers"]
    assert.are.equal("fail", home.status)
    assert.are.equal("200", home.failures[1].expected)
    assert.are.equal("503", home.failures[1].actual)
    assert.are.equal(1, report.deselected.slow)
  end)

  it("shop is red when nobody listens: a failure, not an error", function()
    local s = shop.start()
    s.close()
    local found, done = run("shop", { SHOP_URL = s.url })
    assert.are.equal(1, done.code)
    local home = found["shop.lua::home page answers"]
    assert.are.equal("fail", home.status)
    assert.are.equal("connect", home.failures[1].kind)
  end)

  it("memory is green wherever it is run", function()
    local _, done, report = run("memory", {}, "--strict")
    assert.are.equal(0, done.code, done.stdout)
    assert.are.equal(3, report.summary.pass)
  end)

  it("login goes through all steps, and no report shows the password", function()
    local s = shop.start()
    local env = { SHOP_URL = s.url, LOGIN_USER = "ada", LOGIN_PASSWORD = "correct-horse-battery" }
    local found, done = run("login", env, "--strict")
    assert.are.same({ ["a customer can log in, look and leave"] = "pass", ["a wrong password is refused"] = "pass" },
      statuses(found))
    assert.are.equal(0, done.code)
    assert.are.same({ "POST /login", "GET /account", "POST /logout", "GET /account" }, (function()
      local own = {}
      for _, request in ipairs(s.requests) do
        if not (request == "POST /login" and own[1] == request) then own[#own + 1] = request end
      end
      return own
    end)())
    assert.is_nil(done.stdout:find("correct-horse-battery", 1, true))
  end)

  it("login fails with a wrong password, which is not shown either", function()
    local s = shop.start()
    local found, done = run("login", { SHOP_URL = s.url, LOGIN_USER = "ada", LOGIN_PASSWORD = "hunter2-hunter2" })
    assert.are.equal(1, done.code)
    assert.are.equal("fail", found["login.lua::a customer can log in, look and leave"].status)
    assert.is_nil(done.stdout:find("hunter2-hunter2", 1, true))
  end)

  it("login is skipped, with the reason, without a user", function()
    local s = shop.start()
    local found = run("login", { SHOP_URL = s.url })
    local check = found["login.lua::a customer can log in, look and leave"]
    assert.are.equal("skip", check.status)
    assert.are.equal("set LOGIN_USER and LOGIN_PASSWORD", check.context)
  end)

  it("hosts makes checks for each row, and one sick host hides no other", function()
    local good, bad = shop.start(), shop.start { down = true }
    local found, done = run("hosts", { HOSTS = ("web=%s/ api=%s/"):format(good.url, bad.url) })
    assert.are.same({
      ["web::answers"] = "pass", ["web::answers quickly"] = "pass",
      ["api::answers"] = "fail", ["api::answers quickly"] = "skip",
      ["there are hosts to look at"] = "pass",
    }, statuses(found))
    assert.are.equal(1, done.code)
    assert.matches("because .*api::answers", found["hosts.lua::api::answers quickly"].context)
  end)

  it("hosts is red when the table is empty", function()
    local _, done = run("hosts", {})
    assert.are.equal(1, done.code)
  end)

  it("shared takes what it shares from lib/, which is no check itself", function()
    local s = shop.start()
    local found, done = run("shared", { SHOP_URL = s.url })
    assert.are.equal(0, done.code, done.stdout)
    assert.are.same({ ["orders are a list"] = "pass", ["something is in stock"] = "pass" }, statuses(found))
  end)

  it("verdicts shows them all, and is green", function()
    local s = shop.start { queue = 12 }
    local found, done, report = run("verdicts", { SHOP_URL = s.url })
    assert.are.same({
      ["the queue is short"] = "warn", ["the second region answers"] = "skip",
      ["old links still work"] = "expected_failure", ["the flaky gateway answers"] = "warn",
      ["an export is ready in time"] = "pass", ["all parts of the page answer"] = "pass",
    }, statuses(found))
    assert.are.equal(0, done.code)
    assert.are.equal(2, found["verdicts.lua::the flaky gateway answers"].attempts)
    assert.are.equal(1, report.deselected.slow)
    assert.are.equal(1, select(2, run("verdicts", { SHOP_URL = s.url }, "--strict")).code)
  end)

  it("diagnosis: one red check, what depends on it skipped, the diagnosis below it", function()
    local s = shop.start { down = true }
    local found, done = run("diagnosis", { SHOP_URL = s.url })
    assert.are.equal(1, done.code)
    local cause = found["diagnosis.lua::the shop answers"]
    assert.are.equal("fail", cause.status)
    assert.are.equal("skip", found["diagnosis.lua::orders::can be listed"].status)
    local diagnosis = cause.diagnoses[1].check
    assert.are.equal("what the health endpoint says", diagnosis.test)
    assert.are.equal("fail", diagnosis.status)
    assert.matches('"down"', table.concat(diagnosis.output, "\n"))
  end)

  -- The directory of a shop.db with two orders; more is SQL.
  local function database(more)
    local directory = tree.make({ ["shop.db"] = "" })
    local made = script.run(([[
      local conn = import("hospital.db").db.connect("sqlite:%s/shop.db", { write = true })
      for _, sql in ipairs { "create table schema_migrations (version text primary key)",
        "insert into schema_migrations values ('20261104120000')",
        "create table orders (id integer primary key, sku text not null, state text, total real, "
          .. "created text default (strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', 'now')))",
        "create table lines (order_id integer references orders (id), price real)",
        "insert into orders (sku, state, total) values ('cup', 'paid', 4.5), ('pot', 'sent', 20)",
        "insert into lines values (1, 4.5), (2, 12), (2, 8)", %q } do
        if sql ~= "" then conn:exec(sql) end
      end
      return "made"]]):format(directory, more or ""), { allow = "write" })
    assert.are.equal("returned: made", made)
    return directory
  end

  it("database is green, and leaves the file as it was", function()
    local directory = database()
    local function bytes()
      local file = assert(io.open(directory .. "/shop.db", "rb"))
      local all = file:read("a")
      file:close()
      return all
    end
    local before = bytes()
    local found, done = run("database", { SHOP_DATABASE = "sqlite:" .. directory .. "/shop.db" }, "--slow", "--strict",
      "--allow", "write=" .. directory)
    assert.are.same({ ["database::is up to date"] = "pass", ["database::has no order that is stuck"] = "pass",
      ["database::adds up"] = "pass", ["database::got an order lately"] = "pass", ["database::takes an order"] = "pass",
      ["database::refuses an order without goods"] = "pass", ["database::is whole"] = "pass" }, statuses(found), done.stdout)
    assert.are.equal(0, done.code)
    assert.are.equal(before, bytes())
    assert.is_nil(io.open(directory .. "/shop.db-journal"))
    local probe = found["database.lua::database::takes an order"].probes[1]
    assert.are.equal("sqlite", probe.kind)
    assert.matches("^connected in .*, SQLite 3", probe.detail)
  end)

  it("database is red when orders are stuck or do not add up, and an error where it may not write", function()
    local directory = database("update orders set created = '2026-01-01T00:00:00Z', total = total + 1")
    local found, done = run("database", { SHOP_DATABASE = "sqlite:" .. directory .. "/shop.db" })
    assert.are.equal(1, done.code)
    assert.are.same({ ["database::is up to date"] = "pass", ["database::has no order that is stuck"] = "fail",
      ["database::adds up"] = "fail", ["database::got an order lately"] = "warn", ["database::takes an order"] = "error",
      ["database::refuses an order without goods"] = "error" }, statuses(found))
    assert.matches("orders were paid a day ago and not sent: sqlite .*: 0 expected, got 1",
      found["database.lua::database::has no order that is stuck"].context)
    assert.are.equal(2, #found["database.lua::database::adds up"].failures)
    assert.matches("%-%-allow write=", found["database.lua::database::takes an order"].context)
  end)

  it("diagnosis stays silent when all is well", function()
    local s = shop.start()
    local found, done = run("diagnosis", { SHOP_URL = s.url })
    assert.are.equal(0, done.code)
    assert.are.same({ ["the shop answers"] = "pass", ["orders::can be listed"] = "pass" }, statuses(found))
  end)
end)

describe("checks/", function()
  it("is green on any machine, without a network and without a warning", function()
    local done = process.hospital { "run", "--strict", "--deny", "net", "checks" }
    assert.are.equal(0, done.code, done.stdout .. done.stderr)
  end)
end)
