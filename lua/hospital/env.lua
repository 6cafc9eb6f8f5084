-- env.lua - the environment, to be read by name and not to be listed.
local host = import "hospital.host"
local error, format, setmetatable, type = error, string.format, setmetatable, type

local function misuse(message) error(host.where() .. ": " .. message, 0) end

--- The environment variables of the host, read-only.
-- `env.NAME` is a string, or nil when NAME is unset or the host does not allow it.
-- Assigning to it and listing it raise an error: secrets live there.
-- @table env
-- @usage local SHOP = env.SHOP_URL or "http://127.0.0.1:8080"
return {
  env = setmetatable({}, {
    __index = function(_, name)
      if type(name) ~= "string" then
        misuse(format("env takes a name, not %s", type(name)))
      end
      return host.env(name)
    end,
    __newindex = function() misuse("env is read-only") end,
    __pairs = function() misuse("env cannot be listed, only asked for a name") end,
    __len = function() misuse("env cannot be listed, only asked for a name") end,
    __metatable = false,
    __name = "env",
  }),
}
