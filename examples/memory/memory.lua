-- To try things at one's desk: a SQLite database in memory, which needs no server, no file and
-- no permission.  Each connection has one of its own, gone when it is closed.
--
--   hospital run examples/memory
local SCHEMA = [[create table orders (id integer primary key, sku text not null, price real check (price >= 0))]]

local function shop()
  local conn = db.connect("sqlite::memory:")
  conn:exec(SCHEMA)
  for sku, price in pairs({ tea = 3.5, milk = 1.2 }) do
    conn:exec("insert into orders (sku, price) values (?, ?)", sku, price)
  end
  return conn
end

healthcheck("rows have names", function()
  assert_equal({ { sku = "milk", price = 1.2 }, { sku = "tea", price = 3.5 } },
    shop():query("select sku, price from orders order by sku"))
end)

healthcheck("a rolled back part leaves nothing", function()
  local conn = shop()
  conn:rolled_back(function()
    conn:exec("insert into orders (sku, price) values (?, ?)", "coffee", 4)
    assert_equal(3, conn:value("select count(*) from orders"))
  end)
  assert_equal(2, conn:value("select count(*) from orders"))
end)

healthcheck("a failure says what the database said", function()
  local conn = shop()
  local why = assert_error(function() conn:exec("insert into orders (sku, price) values (?, ?)", "debt", -1) end)
  assert_equal("constraint", why.kind)
  assert_match("price >= 0", tostring(why))
end)
