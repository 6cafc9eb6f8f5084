-- What rolled_back promises, against a real PostgreSQL: whatever ends the check, what it
-- wrote is not there, nobody waits for its locks, and its session is gone.
local accept = require "spec.support.accept"
local postgres = require "spec.support.postgres"
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local SCHEMA = [[
create table orders (id serial primary key, sku text unique);
insert into orders (sku) values ('tea');
create procedure commit_inside() language plpgsql as $$ begin insert into orders (sku) values ('proc'); commit; end $$;
create table notes (text text);
]]

local HEAD = [[
local DB = "@url@"
local function write(conn) conn:exec("insert into orders (sku) values ($1)", "healthcheck") end
]]

describe("rolled_back", function()
  local server

  setup(function() server = postgres.start({ schema = SCHEMA, databases = { other = "create table other (n int);" } }) end)
  teardown(postgres.clean)
  after_each(function()
    tree.clean()
    server:wait("select count(*) from pg_stat_activity where application_name like 'hospital/%'", "0", 5)
    assert.are.equal("tea", server:sql("select string_agg(sku, ',') from orders"))
  end)

  local function run(body, options)
    return accept.run(accept.fill(HEAD .. body, { url = server:url(), other = server:url({ database = "other" }) }), options)
  end

  it("shows the check what it wrote, and takes it back when the check held", function()
    local done = run [[
healthcheck("writes", rolled_back(DB, function(conn)
  write(conn)
  assert_equal(2, conn:value("select count(*) from orders"))
end))]]
    assert.are.equal("pass", done.check("writes").status)
  end)

  it("takes it back when the check fails, raises, skips or is late", function()
    local done = run [[
healthcheck("fails", rolled_back(DB, function(conn) write(conn) assert_equal(1, 2) end))
healthcheck("raises", rolled_back(DB, function(conn) write(conn) error("oh") end))
healthcheck("skips", rolled_back(DB, function(conn) write(conn) skip("enough") end))
healthcheck("expects", rolled_back(DB, function(conn) write(conn) expect_equal(1, 2) end))
healthcheck("is late", { timeout = "300ms" }, rolled_back(DB, function(conn) write(conn) sleep(30) end))
healthcheck("is late in a statement", { timeout = "300ms" }, rolled_back(DB, function(conn)
  write(conn)
  conn:exec("select pg_sleep(30)")
end))
healthcheck("burns", { timeout = "300ms" }, rolled_back(DB, function(conn) write(conn) while true do end end))
healthcheck("breaks the transaction", rolled_back(DB, function(conn)
  write(conn)
  assert_error(function() conn:exec("select 1 / 0") end)
end))]]
    local expected = { fails = "fail", raises = "error", skips = "skip", expects = "fail", ["is late"] = "timeout",
      ["is late in a statement"] = "timeout", burns = "timeout", ["breaks the transaction"] = "pass" }
    for name, status in pairs(expected) do assert.are.equal(status, done.check(name).status, name) end
  end)

  it("refuses whatever would end the transaction, and says why", function()
    local statements = { "commit", "COMMIT AND CHAIN", " ;; end", "/* a /* b */ */ commit work", "-- x\ncommit",
      "prepare transaction 'x'", "rollback", "abort", "begin", "start transaction", "commit prepared 'x'" }
    local body = {}
    for i, statement in ipairs(statements) do
      body[#body + 1] = ("healthcheck('%d', rolled_back(DB, function(conn) write(conn) conn:exec(%q) end))"):format(i, statement)
    end
    local done = run(table.concat(body, "\n"), { args = { "-c", "1" } })
    for i, statement in ipairs(statements) do
      accept.told(done.check(tostring(i)), "error error", "is refused")
      assert.are.equal("error", done.check(tostring(i)).status, statement)
    end
  end)

  it("is not fooled by what commits from inside", function()
    local done = run [[
healthcheck("procedure", rolled_back(DB, function(conn) conn:exec("call commit_inside()") end))
healthcheck("block", rolled_back(DB, function(conn) conn:exec("do $$ begin commit; end $$") end))
healthcheck("two at once", rolled_back(DB, function(conn) conn:exec("insert into orders (sku) values ('x'); commit") end))]]
    for _, name in ipairs({ "procedure", "block", "two at once" }) do
      assert.is_true(done.check(name).status == "fail" or done.check(name).status == "error", name)
    end
  end)

  -- Checks passed that had swallowed in a pcall that their connection was lost, or that their COMMIT was refused.
  it("is red whatever a pcall swallowed", function()
    local done = run [[
local LOSE = "select pg_terminate_backend(pg_backend_pid())"
healthcheck("lost", rolled_back(DB, function(conn) write(conn) pcall(conn.exec, conn, LOSE) end))
healthcheck("lost within", rolled_back(DB, function(conn)
  pcall(conn.savepoint, conn, function() conn:exec(LOSE) end)
end))
healthcheck("lost while reading", function()
  db.connect(DB):transaction(function(conn) pcall(conn.exec, conn, LOSE) end)
end)
healthcheck("lost in a pcall", function()
  local conn = db.connect(DB)
  pcall(conn.rolled_back, conn, function() pcall(conn.exec, conn, LOSE) end)
end)
healthcheck("refused", rolled_back(DB, function(conn) write(conn) pcall(conn.exec, conn, "commit") end))
healthcheck("refused within", rolled_back(DB, function(conn)
  write(conn)
  conn:savepoint(function() pcall(conn.exec, conn, "commit") end)
end))
healthcheck("refused in a pcall", function()
  pcall(rolled_back(DB, function(conn) write(conn) pcall(conn.exec, conn, "commit") end))
end)]]
    for _, name in ipairs({ "lost", "lost within", "lost while reading", "lost in a pcall" }) do
      accept.told(done.check(name), "fail closed/query", "the connection was lost before the end of the ",
        name ~= "lost within" and "terminating connection" or "")
      assert.are.equal(1, #done.check(name).failures, name)
    end
    for _, name in ipairs({ "refused", "refused within", "refused in a pcall" }) do
      accept.told(done.check(name), "error syntax/query", "COMMIT is refused")
      assert.are.equal(1, #done.check(name).failures, name)
    end
  end)

  it("nests: each rolled back part is taken back to where it began", function()
    local done = run [[
healthcheck("nests", rolled_back(DB, function(conn)
  conn:exec("insert into orders (sku) values ('one')")
  conn:rolled_back(function(inner)
    inner:exec("insert into orders (sku) values ('two')")
    assert_equal(3, inner:value("select count(*) from orders"))
  end)
  assert_equal(2, conn:value("select count(*) from orders"))
  conn:transaction(function(inner) inner:exec("insert into orders (sku) values ('three')") end)
  assert_error(function() conn:savepoint(function(inner)
    inner:exec("insert into orders (sku) values ('four')")
    error("back")
  end) end)
  assert_equal("one,tea,three", conn:value("select string_agg(sku, ',' order by sku) from orders"))
end))]]
    assert.are.equal("pass", done.check("nests").status, done.stdout)
  end)

  it("takes several databases back together", function()
    local done = run [[
healthcheck("both", rolled_back(DB, function(conn)
  write(conn)
  db.connect("@other@"):rolled_back(function(other)
    other:exec("insert into other values (1)")
    assert_equal(1, other:value("select count(*) from other"))
  end)
end))]]
    assert.are.equal("pass", done.check("both").status, done.stdout)
    assert.are.equal("0", server:sql("select count(*) from other", "other"))
  end)

  it("leaves a connection that reads again behind", function()
    local done = run [[
healthcheck("afterwards", function()
  local conn = db.connect(DB)
  conn:rolled_back(write)
  local why = assert_error(function() write(conn) end)
  assert_equal("read_only", why.kind)
end)]]
    assert.are.equal("pass", done.check("afterwards").status, done.stdout)
  end)

  -- Both kinds of death: one between two statements, one while the server works.
  for name, last in pairs({ ["between statements"] = "sleep(30)", ["in a statement"] = "conn:exec('select pg_sleep(30)')" }) do
    it("takes it back within two seconds when the worker is killed " .. name, function()
      local root = accept.tree(accept.fill(HEAD .. [[
healthcheck("dies", { timeout = "60s" }, rolled_back(DB, function(conn)
  conn:exec("update orders set sku = 'changed' where id = 1")
  conn:exec("lock table notes in exclusive mode")
  conn:exec("set application_name = 'hospital/holds'")
  @last@
end))]], { url = server:url(), last = last }))
      local hospital = process.start(process.binary, { args = { "run", "-j", "1", root } })
      server:wait("select count(*) from pg_stat_activity where application_name = 'hospital/holds'"
        .. (last:find("sleep%(30%)$") and "" or " and query like '%pg_sleep%' and state = 'active'"), "1")
      hospital:kill("sigstop") -- so that no worker of it takes over
      local nursery = process.run("/usr/bin/pgrep", { args = { "-P", tostring(hospital.pid) } }).stdout:match("%d+")
      local worker = process.run("/usr/bin/pgrep", { args = { "-P", nursery } }).stdout:match("%d+")
      uv.kill(tonumber(worker), "sigkill")
      server:wait("select count(*) from pg_stat_activity where application_name = 'hospital/holds'", "0", 3)
      assert.are.equal("tea", server:sql("select sku from orders where id = 1"))
      server:sql("set lock_timeout = 1; update orders set sku = 'tea' where id = 1; insert into notes values ('x')")
      hospital:kill("sigkill")
      hospital:join()
    end)
  end
end)
