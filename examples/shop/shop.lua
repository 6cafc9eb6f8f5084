-- A web shop from outside: its pages answer, its interface says what it should.
--
--   SHOP_URL=http://127.0.0.1:8080 hospital run examples/shop
local SHOP = env.SHOP_URL or "http://127.0.0.1:8080"

healthcheck("home page answers", { tags = "smoke", runbook = "https://wiki.example.com/shop" }, function()
  local response = assert_http_response(SHOP .. "/", 200)
  assert_match("Welcome", response.body)
  metric("home_page", response.timings.total, "s")
end)

-- All that can be said of an answer in one call.
healthcheck("health endpoint says up", { tags = "smoke" }, function()
  assert_http_response(SHOP .. "/health", {
    status = 200,
    max_time = "2s",
    headers_match = { ["content-type"] = "^application/json" },
    json_path = { status = "up", ["queue.length"] = function(n) return n < 1000 end },
  })
end)

healthcheck("unknown pages are 404, not an error", function()
  assert_http_response(SHOP .. "/no-such-page", 404)
end)

-- A describe with hooks runs its checks one after the other.
describe("orders", { tags = "orders", timeout = "5s" }, function()
  local order

  before_each(function()
    order = http.post(SHOP .. "/orders", { json = { sku = "healthcheck", count = 1 } }).json()
    log("made order", order)
  end)
  after_each(function()
    assert_http_response(SHOP .. "/orders/" .. order.id, { method = "DELETE", status = 204 })
  end)

  healthcheck("can be read back", function()
    local found = assert_http_response(SHOP .. "/orders/" .. order.id, 200).json()
    assert_equal({ id = order.id, sku = "healthcheck", count = 1 }, found)
  end)

  -- expect_… goes on after a failure, so that one run shows all that is wrong.
  healthcheck("are listed", { slow = true }, function()
    local list = assert_http_response(SHOP .. "/orders", 200).json()
    expect_greater(#list, 0)
    expect_equal("healthcheck", list[#list].sku)
  end)
end)
