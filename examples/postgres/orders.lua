-- A service's own PostgreSQL: is it there, is it what the release expects, and does an order
-- still go through?  What is written is always taken back.
--
--   DATABASE_URL=postgres://probe@db/shop hospital run --slow examples/postgres
local DATABASE = env.DATABASE_URL
if not DATABASE then
  healthcheck("the database", { skip = "DATABASE_URL is not set" }, function() end)
  return
end

healthcheck("answers", { tags = "smoke" }, function()
  local info = assert_database(DATABASE, { timeout = "2s" })
  assert_version(info.version, ">= 13")
  metric("login_time", info.timings.total, "s")
end)

describe("the database", { requires = "answers" }, function()
  healthcheck("is migrated to this release", function()
    assert_migrated(DATABASE, { table = "schema_migrations", version = env.SCHEMA_VERSION or "20261101" })
  end)

  healthcheck("has room for more connections", function()
    assert_connections(DATABASE, { max_percent = 80 })
  end)

  healthcheck("is held up by nobody", function()
    assert_no_long_transactions(DATABASE, { max_age = "5m" })
  end)

  healthcheck("has sound indexes", function() assert_index_valid(DATABASE) end)

  healthcheck("has orders of the last day", function()
    local conn <close> = db.connect(DATABASE)
    local newest = conn:value("select max(created_at) from orders")
    assert_not_nil(newest, "there are no orders at all")
    assert_less(os.time() - db.epoch(newest), 24 * 3600, "the newest order is old")
  end)

  healthcheck("takes an order", { slow = true }, rolled_back(DATABASE, function(conn)
    local id = conn:value("insert into orders (sku, quantity) values ($1, $2) returning id", "healthcheck", 1)
    assert_equal({ sku = "healthcheck", quantity = 1 }, conn:row("select sku, quantity from orders where id = $1", id))
    local why = assert_error(function() -- in a savepoint: the order above is not lost with it
      conn:savepoint(function() conn:exec("insert into orders (sku, quantity) values ($1, $2)", "healthcheck", -1) end)
    end)
    assert_equal("constraint", why.kind)
  end))
end)
