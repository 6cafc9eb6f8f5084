-- A shop's database, seen from beside the shop: is it whole, is it up to date, is
-- anything stuck, and can an order be written?  What a check writes is never kept.
--
-- This one is SQLite, which needs no server; only the target and the `?` of the
-- parameters ($1 for PostgreSQL) change for another database.
local SHOP = env.SHOP_DATABASE or "sqlite:/var/lib/shop/shop.db"

describe("database", { tags = "database", timeout = "5s" }, function()
  healthcheck("is up to date", function()
    assert_migrated(SHOP, { table = "schema_migrations", version = "20261104120000" })
    assert_table(SHOP, "orders", { columns = { "id", "sku", "state", "total" }, min_rows = 1 })
  end)

  healthcheck("has no order that is stuck", function()
    assert_query(SHOP, [[
      select count(*) from orders
      where state = ? and created < datetime('now', '-1 day')]], 0, { params = { "paid" } },
      "orders were paid a day ago and not sent")
  end)

  -- One connection, and one snapshot: what is read belongs together.
  healthcheck("adds up", function()
    local conn <close> = db.connect(SHOP)
    conn:transaction(function()
      local sums = {}
      for line in conn:each("select order_id, price from lines") do
        sums[line.order_id] = (sums[line.order_id] or 0) + line.price
      end
      for order in conn:each("select id, total from orders") do
        expect_almost_equal(sums[order.id] or 0, order.total, 2, "order " .. order.id)
      end
    end)
  end)

  healthcheck("got an order lately", function()
    local conn <close> = db.connect(SHOP)
    local last = conn:value("select max(created) from orders")
    metric("last_order_age", os.time() - db.epoch(last), "s")
    if os.time() - db.epoch(last) > 7 * 86400 then warn("no order for a week") end
  end)

  -- `rolled_back` makes a check that may write: it connects, begins a transaction, calls the
  -- function, and rolls back whatever happened.  It takes --allow write for the file.
  healthcheck("takes an order", rolled_back(SHOP, function(conn)
    assert_equal(1, conn:exec("insert into orders (sku, state, total) values (?, ?, ?)", "healthcheck", "new", 9.5))
    assert_equal({ sku = "healthcheck", total = 9.5 },
      conn:row("select sku, total from orders where state = ? and sku = ?", "new", "healthcheck"))
  end))

  healthcheck("refuses an order without goods", rolled_back(SHOP, function(conn)
    local failure = assert_error(function()
      conn:exec("insert into orders (sku, state, total) values (?, ?, ?)", nil, "new", 9.5)
    end, "NOT NULL")
    assert_equal("constraint", failure.kind)
  end))

  healthcheck("is whole", { slow = true, timeout = "1m" }, function()
    assert_integrity(SHOP)
  end)
end)
