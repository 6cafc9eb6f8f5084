-- Checks of MariaDB by the real binary, confined as it is: what is left on the server, what the
-- confinement lets the library load, and that no password is ever printed.
local accept = require "spec.support.accept"
local fakemysql = require "spec.support.fakemysql"
local fakes = require "spec.support.server"
local mariadb = require "spec.support.mariadb"
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

uv.os_setenv("SSL_CERT_FILE", "") -- see spec/bind/db_mysql_spec.lua

local SCHEMA = [[
create table orders (id int auto_increment primary key, sku varchar(20) unique, quantity int) engine=innodb;
insert into orders (sku, quantity) values ('tea', 2), ('milk', 1);
grant all on shop.* to shop@'%';
]]

describe("a check of MySQL", function()
  local server

  setup(function()
    server = mariadb.start({ tls = true, databases = { shop = SCHEMA }, users = { shop = "open sesame" } })
  end)
  teardown(mariadb.clean)
  after_each(function()
    tree.clean()
    fakes.clean()
  end)

  local function url() return server:url({ user = "shop", database = "shop" }) end
  local function run(body, options)
    return accept.run(accept.fill("local DB = @url@\n" .. body, { url = ("%q"):format(url()) }), options)
  end
  local function wait_for(wanted, sql, seconds)
    process.wait(function() return server:sql(sql) == wanted end, seconds, sql .. " to be " .. wanted)
  end

  it("reads values, and takes back what it writes", function()
    local done = run [[
healthcheck("values", function()
  local conn <close> = db.connect(DB)
  assert_equal({ { sku = "milk", quantity = 1 }, { sku = "tea", quantity = 2 } },
    conn:query("select sku, quantity from orders order by sku"))
  assert_equal({ sku = "tea" }, conn:row("select sku from orders where quantity = ?", 2))
  assert_equal("MariaDB", conn:info().server)
  local sum = 0
  for row in conn:each("select seq from seq_1_to_50000") do sum = sum + row.seq end
  assert_equal(1250025000, sum)
end)
healthcheck("written", rolled_back(DB, function(conn)
  conn:exec("insert into orders (sku, quantity) values (?, 1)", "soap")
  assert_equal(1, conn:value("select count(*) from orders where sku = 'soap'"))
end))
healthcheck("reads only", function() db.connect(DB):exec("delete from orders") end)
healthcheck("asserts", function() assert_query(DB, "select count(*) from orders", 2) end)]]
    assert.equal("pass", done.check("values").status, done.stdout)
    assert.equal("pass", done.check("written").status, done.stdout)
    assert.equal("error", done.check("reads only").status, done.stdout)
    assert.equal("pass", done.check("asserts").status, done.stdout)
    assert.equal("2", server:sql("select count(*) from shop.orders"))
  end)

  it("is ended on the server when its deadline has passed", function()
    local root = accept.tree(accept.fill([[
healthcheck("late", { timeout = "500ms" }, function()
  db.connect(@url@, { statement_timeout = "60s" }):query("select sleep(60), 'here i am'")
end)
healthcheck("goes on", { timeout = "20s" }, function() sleep(8) end)]], { url = ("%q"):format(url()) }))
    local hospital = process.start(process.binary, { args = { "run", root } })
    local mine = "select count(*) from information_schema.processlist where user = 'shop'"
    wait_for("1", mine, 5)
    wait_for("0", mine, 2)
    assert.is_nil(hospital.code) -- it was not the end of the process that did it
    hospital:kill("sigint")
    hospital:join()
  end)

  it("is rolled back when its worker is killed", function()
    local root = accept.tree(accept.fill([[
healthcheck("writes", { timeout = "20s" }, rolled_back(@url@, function(conn)
  conn:exec("update orders set quantity = 99") sleep(20)
end))]], { url = ("%q"):format(url()) }))
    local hospital = process.start(process.binary, { args = { "run", root } })
    local mine = "set transaction isolation level read uncommitted; select count(*) from shop.orders where quantity = 99"
    wait_for("2", mine, 5)
    hospital:kill("sigkill")
    hospital:join()
    wait_for("0", mine, 2)
  end)

  it("loads the plugins of the library inside its confinement", function()
    local fake = fakemysql.start("ed25519")
    local done = accept.run(("healthcheck('plugin', function() db.connect(%q) end)"):format(fake.url))
    assert.equal("pass", done.check("plugin").status, done.stdout)
  end)

  it("never prints a password", function()
    local body = {}
    for i, form in ipairs({
      "mysql://shop:hunter%%322@127.0.0.1:%d/shop", "mysql://shop:hunter22@127.0.0.1:%dx/shop",
      "mysql://shop:hunter22%%zz@127.0.0.1:%d/shop", "mysql://shop:hunter22@127.0.0.1:%d/?nonsense=1",
      "mysql://shop:hunter22/@127.0.0.1:%d/", "mariadb://shop:hunter22@127.0.0.1:%d/shop?ssl-mode=VERIFY_CA",
      "mysql://hunter22@[::1", "mysql://shop:hunter22#@127.0.0.1:%d/",
    }) do
      body[#body + 1] = ("healthcheck('%d', function() db.connect(%q):value('selec 1') end)")
        :format(i, (form:find("%%d") and form:format(server.port) or form))
    end
    for _, format in ipairs({ "json", "verbose" }) do
      local done = process.hospital({ "run", "-v", "-f", format, accept.tree(table.concat(body, "\n")) })
      assert.equal(1, done.code)
      for _, text in ipairs({ done.stdout, done.stderr }) do accept.has_not(text, "hunter") end
    end
  end)
end)
