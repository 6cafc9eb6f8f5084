-- What the checks of this directory share.  Files below lib/ are no checks; they
-- are run by require "shop", once for each file that asks, in its own sandbox.
local shop = { url = env.SHOP_URL or "http://127.0.0.1:8080" }

--- An answer of the shop's interface, decoded; fails the check when it is none.
function shop.get(path)
  return assert_http_response(shop.url .. path, { status = 200, headers = { Accept = "application/json" } }).json()
end

return shop
