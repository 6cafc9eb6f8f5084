-- The other file that stands on lib/shop.lua.
local shop = require "shop"

healthcheck("something is in stock", function()
  assert_greater(shop.get("/health").stock, 0)
end)
