-- server.lua: servers on loopback that specs start in their own process, to
-- misbehave in ways that a real one will not on command.
local uv = require "luv"

local server = {}
local running = {}

--- A TCP server; on_connection(client, server) for each, with client:write,
-- client:read_start and client:close of luv.  On a free port unless one is given.
-- @return { port, connections, close() }
function server.tcp(on_connection, host, port)
  local self = { connections = 0, clients = {} }
  local listener = uv.new_tcp()
  assert(listener:bind(host or "127.0.0.1", port or 0))
  assert(listener:listen(4096, function(err)
    if err then return end
    local client = uv.new_tcp()
    if listener:accept(client) then
      self.connections = self.connections + 1
      self.clients[#self.clients + 1] = client
      on_connection(client, self)
    end
  end))
  self.port = listener:getsockname().port
  function self.close()
    if not listener:is_closing() then listener:close() end
    for _, client in ipairs(self.clients) do
      if not client:is_closing() then client:close() end
    end
  end
  running[#running + 1] = self
  return self
end

--- A small HTTP server: handler(request) returns status, headers (table), body.
-- request: method, path, headers (lower case), body, number (1 for the first).
-- A handler may return a string instead: it is sent raw, then the connection closes.
function server.http(handler, host, port)
  local count = 0
  return server.tcp(function(client)
    local got = ""
    client:read_start(function(_, data)
      if not data then
        if not client:is_closing() then client:close() end
        return
      end
      got = got .. data
      local head, rest = got:match("^(.-\r\n)\r\n(.*)$")
      if not head then return end
      local request = { headers = {} }
      request.method, request.path = head:match("^(%S+) (%S+)")
      for name, value in head:gmatch("\r\n([^:\r\n]+):%s*([^\r\n]*)") do
        request.headers[name:lower()] = value
      end
      local length = tonumber(request.headers["content-length"] or 0)
      if #rest < length then return end
      request.body = rest:sub(1, length)
      got = rest:sub(length + 1)
      count = count + 1
      request.number = count
      local status, headers, body = handler(request)
      if type(status) == "string" then
        client:write(status, function() if not client:is_closing() then client:close() end end)
        return
      end
      local lines = { ("HTTP/1.1 %d Status"):format(status) }
      body = body or ""
      lines[#lines + 1] = "Content-Length: " .. #body
      for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
      client:write(table.concat(lines, "\r\n") .. "\r\n\r\n" .. body)
    end)
  end, host, port)
end

function server.clean()
  for i = #running, 1, -1 do
    running[i].close()
    running[i] = nil
  end
  uv.run("nowait")
end

return server
