-- shop.lua: the web shop that the examples check: pages, orders, a login, exports
-- that take a moment, a gateway that fails at first.
local cjson = require "cjson"
local server = require "spec.support.server"

local shop = {}

local JSON = { ["Content-Type"] = "application/json" }
local function json(status, value) return status, JSON, cjson.encode(value) end

--- Starts a shop.
-- @param state what is wrong with it: { down = true } answers 503 to all pages but
--   /health, { queue = n } the length of the queue
-- @return the server, with url and requests (a list of "METHOD path")
function shop.start(state)
  local orders, sessions, exports = {}, {}, {}
  local last, flaky = 0, 0
  state = state or {}

  local routes = {}
  routes["GET /"] = function() return 200, {}, "<h1>Welcome to the shop</h1>" end
  routes["GET /health"] = function()
    return json(200, { status = state.down and "down" or "up", stock = 17, queue = { length = state.queue or 3 } })
  end
  routes["GET /sitemap.xml"] = function() return 200, {}, "<urlset></urlset>" end
  routes["GET /orders"] = function()
    local list = {}
    for _, order in pairs(orders) do list[#list + 1] = order end
    table.sort(list, function(a, b) return a.id < b.id end)
    if #list == 0 then return 200, JSON, "[]" end
    return json(200, list)
  end
  routes["POST /orders"] = function(request)
    local order = cjson.decode(request.body)
    last = last + 1
    order.id = last
    orders[last] = order
    return json(201, order)
  end
  routes["POST /login"] = function(request)
    local user, password = request.body:match("^password=([^&]*)"), request.body:match("user=([^&]*)")
    user, password = password, user
    if password ~= "correct-horse-battery" then return 401, {}, "no" end
    local id = ("s%d"):format(request.number)
    sessions[id] = user
    return 303, { Location = "/account", ["Set-Cookie"] = "session=" .. id .. "; HttpOnly; Path=/" }, ""
  end
  routes["POST /logout"] = function(request)
    sessions[request.session or ""] = nil
    return 204
  end
  routes["GET /account"] = function(request)
    local user = sessions[request.session or ""]
    if not user then return 401, {}, "log in" end
    return json(200, { user = user })
  end
  routes["GET /flaky"] = function()
    flaky = flaky + 1
    return flaky < 2 and 502 or 200, {}, "gateway"
  end
  routes["POST /exports"] = function()
    exports[1] = (exports[1] or 0) + 1
    return json(202, { id = 1 })
  end
  local asked = 0
  routes["GET /exports/1"] = function()
    asked = asked + 1
    return asked > 2 and 200 or 404, {}, "export"
  end

  local requests = {}
  local function answer(request)
    request.session = (request.headers.cookie or ""):match("session=([^;]+)")
    local key = request.method .. " " .. request.path
    requests[#requests + 1] = key
    if state.down and request.path ~= "/health" then return 503, {}, "closed" end
    local id = tonumber(request.path:match("^/orders/(%d+)$"))
    if id and orders[id] then
      if request.method == "GET" then return json(200, orders[id]) end
      orders[id] = nil
      return 204
    end
    if routes[key] then return routes[key](request) end
    return 404, {}, "not here"
  end

  local self = server.http(answer)
  self.url = "http://127.0.0.1:" .. self.port
  self.requests = requests
  return self
end

return shop
