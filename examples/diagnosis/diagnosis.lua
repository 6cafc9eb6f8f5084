-- When something is red at night: one cause should be one red check, and what one
-- would look at first should be in the report already.
local SHOP = env.SHOP_URL or "http://127.0.0.1:8080"

healthcheck("the shop answers", { owner = "team shop", severity = "page" }, function()
  assert_http_response(SHOP .. "/", 200)
end)

-- Without the shop these would be red as well, and say nothing new: they are
-- skipped, "because the shop answers failed".
describe("orders", { requires = "the shop answers" }, function()
  healthcheck("can be listed", function()
    assert_http_response(SHOP .. "/orders", 200)
  end)
end)

-- Runs only when a check of this file went red, and is reported under it.
diagnosis("what the health endpoint says", function()
  local response = http.get(SHOP .. "/health")
  log(response.status, response.body)
  assert_http_response(SHOP .. "/health", { json_path = { status = "up" } })
end)
