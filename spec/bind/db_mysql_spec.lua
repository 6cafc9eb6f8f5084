-- The driver for MySQL and MariaDB in the sandbox, against a real MariaDB: values, faults, limits,
-- sessions that are bounded and read-only, and what is left on the server when a check is killed.
local mariadb = require "spec.support.mariadb"
local script = require "spec.support.script"
local uv = require "luv"

-- With it, OpenSSL would read all certificates of the system for each connection.
uv.os_setenv("SSL_CERT_FILE", "")

local SCHEMA = [[
create table orders (id int auto_increment primary key, sku varchar(40) unique, quantity int,
  constraint positive check (quantity > 0)) engine=innodb;
insert into orders (sku, quantity) values ('tea', 2), ('milk', 1);
create table line_items (id int primary key, order_id int, constraint its_order foreign key (order_id)
  references orders (id)) engine=innodb;
create table kinds (a tinyint(1), b tinyint unsigned, c bigint unsigned, d bigint, e decimal(30,5), f float, g double,
  h bit(10), i varbinary(10), j json, k datetime(3), l timestamp null, m date, n time(2), o year, p enum('x','y'),
  q text, r blob, s mediumint, t smallint) engine=innodb;
insert into kinds values (1, 255, 18446744073709551615, -9223372036854775808, '-12345678901234567890.12345', 0.1, 1e300,
  b'1000000001', x'00ff', '{"up":[1,null]}', '2026-11-21 05:49:00.250', '2026-11-21 05:49:00', '2026-11-21', '-26:03:04.05',
  2026, 'y', 'größe', x'00', -8388608, -32768);
insert into kinds (a) values (2);
create procedure nothing_and_two() begin select 1 as one from orders where false; select 1 as two, 2 as three; end;
create procedure twice() begin select 1 as one; select 2 as two; end;
grant all on shop.* to shop@'%'; grant process on *.* to shop@'%';
grant all on shop.* to few@'%'; alter user few@'%' with max_user_connections 1;
grant all on shop.* to secure@'%'; alter user secure@'%' require ssl;
]]

-- The mysql client sends one statement up to a `;`: a procedure needs another end.
SCHEMA = SCHEMA:gsub("create procedure.-\n", "delimiter //\n%0//\ndelimiter ;\n"):gsub("end;\n//", "end//")

local HEAD = [[
local M, host = import "hospital.core.mysql", import "hospital.host"
local json = import("hospital.json").json
local NULL = json.null
local URL, SOCKET, CA, PORT = %q, %q, %q, %d
local function options(more)
  local all = { timeout = 5, write = false, statement_timeout = 5, lock_timeout = 1, idle_timeout = 60,
    application_name = "hospital/spec", numeric = "string" }
  for k, v in pairs(more or {}) do all[k] = v end
  return all
end
local function told(result, why)
  if result then return "ok" end
  return why.kind .. ": " .. why.message .. " [" .. why.phase .. (why.code and " " .. why.code or "") ..
    (why.constraint and " " .. why.constraint or "") .. (why.closed and " closed" or "") .. "]"
end
local function open(more, url) return M.connect(url or URL, options(more)) end
local function connect(more, url)
  local conn, why = open(more, url)
  if not conn then error(told(nil, why), 0) end
  return conn
end
local function how(more)
  local all = { shape = "named", max_rows = 10000, max_bytes = 8 << 20 }
  for k, v in pairs(more or {}) do all[k] = v end
  return all
end
local function run(conn, sql, ...)
  return conn:run(sql, { n = select("#", ...), ... }, how())
end
local function value(conn, sql, ...)
  local result, why = run(conn, sql, ...)
  if not result then error(told(nil, why), 0) end
  local _, one = next(result.rows[1])
  return one
end
]]

describe("the driver for MySQL", function()
  local server

  setup(function()
    server = mariadb.start({
      tls = true, databases = { shop = SCHEMA },
      users = { shop = "open sesame", few = "open sesame", secure = "open sesame" },
    })
  end)
  teardown(mariadb.clean)

  local function run(text, options)
    local url = server:url({ user = "shop", database = "shop" })
    return script.run(HEAD:format(url, server.socket, server.ca, server.port) .. text, options)
  end
  local function returns(wanted, text, options)
    assert.equal("returned: " .. wanted, (run(text, options)))
  end
  local function tells(wanted, text, options)
    local got = run(text, options)
    assert.is_truthy(got:find(wanted, 1, true), ("%s\n  does not say\n%s"):format(got, wanted))
    assert.is_nil(got:find("sesame", 1, true))
  end

  -- Counts what the server still does for us, until it is none or the time is over.
  local function ends(seconds)
    local until_ms = uv.now() + seconds * 1000
    repeat
      local left = server:sql("select count(*) from information_schema.processlist where user = 'shop'")
      if left == "0" then return true end
      uv.sleep(20)
      uv.update_time()
    until uv.now() > until_ms
    return false
  end

  it("gives each type its value", function()
    returns('true 255 18446744073709551615 -9223372036854775808 -12345678901234567890.12345 0.1 1e+300 513 '
      .. '2:0:255 1:null 2026-11-21T05:49:00.250 2026-11-21T05:49:00Z 2026-11-21 -26:03:04.05 2026 y größe 1 -8388608 -32768', [[
      local conn = connect()
      local r = conn:run("select * from kinds where b = 255", { n = 0 }, how()).rows[1]
      assert(math.type(r.d) == "integer" and math.type(r.h) == "integer" and r.d == math.mininteger)
      return table.concat({ tostring(r.a), r.b, r.c, r.d, r.e, r.f, r.g, r.h, #r.i .. ":" .. r.i:byte(1) .. ":" .. r.i:byte(2),
        r.j.up[1] .. (r.j.up[2] == NULL and ":null" or "?"), r.k, r.l, r.m, r.n, r.o, r.p, r.q, #r.r, r.s, r.t }, " ")]])
    returns("2 null integer float", [[
      local conn = connect({ numeric = "number" })
      local r = run(conn, "select a, b, cast(7 as decimal(5)) as c, cast(7.5 as decimal(5,1)) as d from kinds where b is null").rows[1]
      return r.a .. " " .. (r.b == NULL and "null" or "?") .. " " .. math.type(r.c) .. " " .. math.type(r.d)]])
  end)

  it("gives the same values over the text protocol", function()
    returns("same", [[
      local conn = connect()
      local a = conn:run("select * from kinds", { n = 0 }, how({ shape = "listed" }))
      assert(conn:control("prepare p from 'select * from kinds'"))
      local b = conn:run("execute p", { n = 0 }, how({ shape = "listed" })) -- not preparable itself
      for i, row in ipairs(a.rows) do
        for j = 1, 20 do
          local x, y = row[j], b.rows[i][j]
          if type(x) == "table" and x ~= NULL then x, y = x.up[1], y.up[1] end
          if x ~= y or math.type(x) ~= math.type(y) then return a.columns[j] .. ": " .. tostring(x) .. " " .. tostring(y) end
        end
      end
      return "same"]])
  end)

  it("sends parameters", function()
    returns("17 1.5 x'y;-- 1 null 2:0:255 9007199254740993", [[
      local conn = connect()
      local r = run(conn, "select ? as a, ? as b, ? as c, ? as d, ? as e, ? as f, ? as g", 17, 1.5, "x'y;-- ", true, nil,
        { bytes = "\0\255" }, 2^53|0 + 1).rows[1]
      return table.concat({ r.a, r.b, r.c .. r.d, r.e == NULL and "null" or "?",
        #r.f .. ":" .. r.f:byte(1) .. ":" .. r.f:byte(2), r.g }, " ")]])
    tells("syntax: the statement has 2 places (?) for 1 parameters", [[
      return told(run(connect(), "select ?, ?", 1))]])
    tells("parameter 1 is a function", "run(connect(), 'select ?', function() end)")
    tells("parameter 1 is -nan", "run(connect(), 'select ?', 0/0)")
    returns("300000", [[
      return tostring(#value(connect(), "select ?", ("x"):rep(300000)))]])
  end)

  it("takes one statement at a time", function()
    tells("syntax: You have an error in your SQL syntax", "return told(run(connect(), 'select 1; select 2'))")
    tells("syntax: ", "return told(run(connect(), ''))")
    returns("1", "return tostring(value(connect(), 'call twice()'))")
    returns("0 one", [[
      local r = run(connect(), "call nothing_and_two()")
      return r.count .. " " .. table.concat(r.columns, ",")]])
    returns("1 2", [[local conn = connect() run(conn, "call twice()") return value(conn, "select 1") .. " " .. value(conn, "select 2")]])
  end)

  it("is read-only unless asked otherwise", function()
    tells("read_only: Cannot execute statement in a READ ONLY transaction [query 25006]", [[
      return told(run(connect(), "insert into orders (sku, quantity) values ('x', 1)"))]])
    returns("INSERT 1 3", [[
      local conn = connect({ write = true })
      assert(conn:control("start transaction; savepoint a"))
      assert(conn:state() == "transaction")
      local r = run(conn, "insert into orders (sku, quantity) values ('x;', 1)")
      local count = value(conn, "select count(*) from orders")
      assert(conn:control("rollback to savepoint a; rollback"))
      assert(conn:state() == "idle" and value(conn, "select count(*) from orders") == 2)
      return r.command .. " " .. r.affected .. " " .. count]])
  end)

  it("sets the session as it should be", function()
    returns("5.000000 1 1 60 60 +00:00 true 1 utf8mb4 hospital/spec 0", [[
      local conn = connect()
      local s = run(conn, "select @@max_statement_time a, @@lock_wait_timeout b, @@innodb_lock_wait_timeout c, @@wait_timeout d, "
        .. "@@idle_transaction_timeout e, @@time_zone f, @@sql_mode g, @@autocommit h, @@character_set_client i").rows[1]
      return table.concat({ ("%.6f"):format(s.a), s.b, s.c, s.d, s.e, s.f, tostring(s.g:find("STRICT_ALL_TABLES") ~= nil), s.h, s.i,
        conn:info().user == "shop" and "hospital/spec" or "?", 0 }, " ")]])
  end)

  it("knows what it is connected to", function()
    returns("shop@127.0.0.1:PORT/shop MariaDB 10 true shop shop 127.0.0.1 true", [[
      local conn = connect() local i = conn:info()
      return (i.label:gsub(PORT, "PORT")) .. " " .. i.server .. " " .. i.version:match("^%d+") .. " "
        .. tostring(i.version_number > 100000) .. " " .. i.user .. " " .. i.database .. " " .. i.remote_ip .. " " .. tostring(i.tls)]])
    returns("false true", [[
      local i = connect(nil, "mysql://root@/?socket=" .. SOCKET):info()
      return tostring(i.tls) .. " " .. tostring(i.label == "root@" .. SOCKET .. "/")]])
  end)

  it("labels targets and never quotes them", function()
    returns("a@b@[::1]:3306/x", "return M.label('mysql://a%40b:p@[::1]/x')")
    returns("db:3307/", "return M.label('MARIADB://db:3307')")
    for target, wanted in pairs({
      ["mysql://u:open%zzsesame@h/"] = "the password of the target holds a %",
      ["mysql://u:open@sesame:x@h:0/"] = "port is a number",
      ["mysql://u:open/sesame@h/"] = "port is a number",
      ["mysql://h/d?sesame=1"] = "an option of the target is not known",
      ["mysql://h/d?ssl-mode=sesame"] = "ssl-mode is DISABLED, PREFERRED",
      ["mysql://sesame,b/"] = "several hosts",
      ["mysql://h/d#sesame"] = "written %23",
      ["mysql://[sesame/"] = "lacks its ]",
      ["mysql://h/?socket=sesame"] = "absolute path",
      ["http://sesame"] = "a target is mysql://",
    }) do
      tells(wanted, ("return told(M.label(%q))"):format(target))
    end
  end)

  it("tells why nobody was let in", function()
    local function login(wanted, url, more)
      tells(wanted, ("local at = (%q):gsub('PORT', PORT):gsub('CA', CA) return told(open({ %s }, at))"):format(url, more or ""))
    end
    login("authentication: access denied for user 'shop'@'127.0.0.1', with a password [login 28000 closed]",
      "mysql://shop:wrong%20sesame@127.0.0.1:PORT/")
    login("authentication: access denied for user 'shop'@'127.0.0.1', without a password", "mysql://shop@127.0.0.1:PORT/")
    login("no_database: unknown database 'nowhere' [login 42000 closed]", "mysql://root@127.0.0.1:PORT/nowhere")
    login("authentication: access denied for user 'shop'@'%' to database 'mysql' [login 42000 closed]",
      "mysql://shop:open%20sesame@127.0.0.1:PORT/mysql")
    login("connect: connection refused [connect closed]", "mysql://shop@127.0.0.1:1/")
    login("connect: no such file or directory [connect closed]", "mysql://shop@/?socket=/nowhere/at/all")
    login("dns: cannot resolve nowhere.invalid", "mysql://shop@nowhere.invalid/")
    login("authentication: ", "mysql://secure:open%20sesame@127.0.0.1:PORT/shop?ssl-mode=disabled")
    login("tls: self-signed certificate in certificate chain [tls closed]", "mysql://shop@127.0.0.1:PORT/?ssl-mode=verify_ca")
  end)

  it("verifies the name that the target was written with", function()
    returns("true", [[return tostring(connect(nil, "mysql://shop:open%20sesame@localhost:" .. PORT ..
      "/shop?ssl-mode=VERIFY_IDENTITY&ssl-ca=" .. CA):info().tls)]])
    local other = mariadb.start({ tls = "other", users = { shop = "open sesame" } })
    local function login(query)
      return ([[return told(open(nil, "mysql://shop:open%%20sesame@localhost:%d/?ssl-ca=%s&ssl-mode=%s"))]])
        :format(other.port, other.ca, query)
    end
    tells("tls: validation of SSL server certificate failed", login("VERIFY_IDENTITY"))
    returns("ok", login("VERIFY_CA"))
    other:stop("sigkill")
  end)

  it("gives each error its kind", function()
    local function fails(wanted, sql, more)
      tells(wanted, ("return told(run(connect({ write = true, %s }), %q))"):format(more or "", sql))
    end
    fails("constraint: Duplicate entry 'tea' for key 'sku' [query 23000 sku]", "insert into orders (sku, quantity) values ('tea', 1)")
    fails("[query 23000 positive]", "insert into orders (sku, quantity) values ('z', 0)")
    fails("[query 23000 its_order]", "insert into line_items values (1, 99)")
    fails("query: Table 'shop.nowhere' doesn't exist [query 42S02]", "select * from nowhere")
    fails("statement_timeout: ", "select sleep(3)", "statement_timeout = 0.2")
    fails("query: ", "load data local infile '/etc/passwd' into table orders")
    returns("26 17 1", [[
      local conn = connect()
      local function position(sql) local _, why = run(conn, sql) return why.position end
      return position("select nonsense nonsense nonsense") .. " " .. position("select 'ö' from\nwhere") .. " "
        .. position("selectx " .. ("x"):rep(200))]])
  end)

  it("tells locks and deadlocks", function()
    tells("lock_timeout: Lock wait timeout exceeded; try restarting transaction [query HY000]", [[
      local a, b = connect({ write = true }), connect({ write = true })
      assert(a:control("start transaction")) assert(run(a, "update orders set quantity = 3 where sku = 'tea'"))
      return told(run(b, "update orders set quantity = 4 where sku = 'tea'"))]])
    tells("deadlock idle", [[
      local a, b = connect({ write = true }), connect({ write = true })
      assert(a:control("start transaction")) assert(b:control("start transaction"))
      assert(run(a, "update orders set quantity = 3 where sku = 'tea'"))
      assert(run(b, "update orders set quantity = 3 where sku = 'milk'"))
      local first, second
      host.parallel(function() first = { run(a, "update orders set quantity = 4 where sku = 'milk'") } end,
        function() second = { run(b, "update orders set quantity = 4 where sku = 'tea'") } end)
      local loser, why = a, first[2]
      if first[1] then loser, why = b, second[2] end
      return why.kind .. " " .. loser:state()]])
  end)

  it("bounds results", function()
    tells("limit: the result has more than 5 rows", [[
      local conn = connect()
      local why = told(conn:run("select seq from seq_1_to_1000", { n = 0 }, how({ max_rows = 5 })))
      assert(value(conn, "select 7") == 7)
      return why]])
    tells("limit: the result has more than 100000 bytes", [[
      local conn = connect()
      local why = told(conn:run("select repeat('x', 1000) from seq_1_to_1000", { n = 0 }, how({ max_bytes = 100000 })))
      assert(value(conn, "select 7") == 7)
      return why]])
    tells("limit: the server sends a message longer than a result may be (max_bytes) [query closed]", [[
      local conn = connect()
      return told(conn:run("select repeat('x', 3000000)", { n = 0 }, how({ max_bytes = 100000 })))]])
    returns("3 1000", [[
      local r = connect():run("select seq from seq_1_to_1000", { n = 0 }, how({ most = 3 }))
      return #r.rows .. " " .. r.count]])
    tells("syntax: two columns of the result have one name", "return told(run(connect(), 'select 1 as a, 2 as a'))")
    returns("1 2", [[
      local r = connect():run("select 1 as a, 2 as a", { n = 0 }, how({ shape = "listed" })).rows[1]
      return r[1] .. " " .. r[2] ]])
    returns("0 a,b", [[
      local r = connect():run("select 1 as a, 2 as b from orders where false", { n = 0 }, how())
      return r.count .. " " .. table.concat(r.columns, ",")]])
  end)

  it("streams rows, and leaves the rest where it is", function()
    returns("5000050000", [[
      local conn, sum = connect(), 0
      assert(conn:start("select seq from seq_1_to_100000", { n = 0 }, how({ max_rows = 1 << 30 })))
      for row in conn.next, conn do sum = sum + row.seq end
      return tostring(sum)]], { memory = 1 << 20 })
    returns("1 idle 2 busy 3 transaction", [[
      local conn = connect({ write = true })
      local function begin() assert(conn:start("select seq from seq_1_to_1000000", { n = 0 }, how({ max_rows = 1 << 30 }))) end
      begin()
      local r = conn:next().seq
      conn:stop()
      local one = value(conn, "select 1")
      local state = conn:state()
      assert(conn:control("start transaction"))
      begin() conn:next()
      local busy = conn:state()
      local two = pcall(run, conn, "select 2") and "?" or "2"
      conn:stop()
      local three = value(conn, "select 3")
      return one .. " " .. state .. " " .. two .. " " .. busy .. " " .. three .. " " .. conn:state()]])
    tells("no rows are being read", "connect():next()")
  end)

  it("lets others have their turn while rows come", function()
    returns("true", [[
      local conn, slept = connect(), 0
      host.parallel(function() conn:run("select seq from seq_1_to_500000", { n = 0 }, how({ most = 1, max_rows = 1 << 30 })) end,
        function() for i = 1, 20 do host.sleep(0.001) slept = slept + 1 end end)
      return tostring(slept == 20)]])
  end)

  it("reads big values and rows", function()
    returns("5000000 17000000", [[
      local conn = connect()
      local a = #value(conn, "select repeat('y', 5000000)")
      assert(conn:control("set session max_statement_time = 20"))
      local r = conn:run("select repeat('x', 8500000) a, repeat('x', 8500000) b", { n = 0 }, how({ max_bytes = 20 << 20 })).rows[1]
      return a .. " " .. #r.a + #r.b]], { memory = 64 << 20 })
  end)

  it("ends a statement on the server when its check is killed", function()
    assert.is_true(ends(5))
    local outcome = run("run(connect({ statement_timeout = 30 }), 'select sleep(20)')", { deadline = 300 })
    assert.equal("killed: deadline", outcome)
    assert.is_true(ends(1), "a statement lives on")
    run([[local conn = connect({ write = true, statement_timeout = 30 }) conn:control("start transaction")
      run(conn, "update orders set quantity = 9 where sku = 'tea'") host.sleep(5)]], { deadline = 300 })
    assert.is_true(ends(1), "a session lives on")
    assert.equal("2", server:sql("select quantity from shop.orders where sku = 'tea'"))
  end)

  it("may be killed anywhere", function()
    for ms = 0, 60, 3 do
      local outcome = run([[
        while true do
          local conn = connect({ write = true })
          conn:control("start transaction")
          run(conn, "update orders set quantity = 7 where sku = ?", "tea")
          conn:start("select seq from seq_1_to_100000", { n = 0 }, how({ max_rows = 1 << 30 })) conn:next() conn:stop()
          value(conn, "select ?", ("x"):rep(100000))
          conn:control("rollback")
          conn:close()
        end]], { deadline = ms })
      assert.equal("killed: deadline", outcome)
    end
    assert.is_true(ends(2))
  end)

  it("survives running out of memory anywhere", function()
    local enough
    for kilobytes = 60, 600, 12 do
      local outcome = run([[
        local conn = connect()
        local r = run(conn, "select *, ? as z from kinds", ("x"):rep(1000))
        assert(conn:start("select seq from seq_1_to_10", { n = 0 }, how())) conn:next() conn:stop()
        return "done " .. #r.rows]], { memory = kilobytes * 1024 })
      enough = outcome == "returned: done 2"
      if enough then break end
    end
    assert.is_true(enough)
    assert.is_true(ends(2))
  end)

  it("asks the policy", function()
    tells("denied: connecting to it is not allowed", "return told(open(nil, 'mysql://shop@127.0.0.1:1/'))", { allow = "net=10.0.0.0/8" })
    tells("denied: connecting to ", "return told(open(nil, 'mysql://root@/?socket=' .. SOCKET))", { allow = "net=10.0.0.0/8" })
    tells("denied: reading ssl-ca ", "return told(open(nil, 'mysql://root@127.0.0.1/?ssl-ca=/etc/passwd'))", { allow = "read=/nowhere" })
  end)

  it("tells that a session was killed, and that the server went", function()
    tells("closed: the server closed the connection [query closed]closed", [[
      local a, b = connect(), connect()
      local id = value(a, "select connection_id()")
      local why
      host.parallel(function() why = told(run(a, "select sleep(3)")) end,
        function() host.sleep(0.1) b:control("kill " .. id) end)
      return why .. a:state()]])
    tells("closed: the server closed the connection [query closed]", [[
      local a, b = connect(), connect()
      local id = value(a, "select connection_id()")
      b:control("kill " .. id) host.sleep(0.1)
      return told(run(a, "select 1"))]])
    tells("killed: Query execution was interrupted", [[
      local a, b = connect(), connect()
      local id = value(a, "select connection_id()")
      local why
      host.parallel(function() why = told(run(a, "select sleep(3) from orders")) end,
        function() host.sleep(0.1) b:control("kill query " .. id) end)
      assert(value(a, "select 5") == 5)
      return why]])
  end)

  it("waits no longer than it was told", function()
    server:freeze()
    local began = uv.hrtime()
    local outcome = run("return told(open({ timeout = 0.3 }))")
    server:thaw()
    assert.is_true(uv.hrtime() - began < 2e9)
    assert.equal("returned: timeout: no answer to the login within 0.3 s [login closed]", outcome)
  end)

  it("does not wait where it cannot", function()
    tells("cannot wait here", "table.sort({ 1, 2 }, function() open() end)")
    tells("the connection is closed", "local c = connect() c:close() c:close() run(c, 'select 1')")
    returns("closed", "local c = connect() c:close() return c:state()")
    tells("is busy with another statement", [[
      local c = connect()
      host.parallel(function() run(c, "select sleep(0.2)") end, function() host.sleep(0.05) run(c, "select 1") end)]])
  end)

  it("serves many at once", function()
    returns("40", [[
      local all = {}
      for i = 1, 40 do all[i] = function() return value(connect(), "select ?", i) end end
      local got = { host.parallel(table.unpack(all)) }
      return tostring(#got)]])
  end)
end)
