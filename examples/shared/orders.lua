-- One of two files that stand on lib/shop.lua.
local shop = require "shop"

healthcheck("orders are a list", function()
  assert_type("table", shop.get("/orders"))
end)
