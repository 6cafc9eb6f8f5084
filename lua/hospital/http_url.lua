-- http_url.lua: URLs as an author writes them.
local core = import "hospital.core.http"

local find, gsub = string.find, string.gsub

local function misuse(...)
  import("hospital.claim").misuse(...)
end

local url_of = {}

--- The parts of a URL of http or https, with its port as a number; misuse when it is none.
-- @local
-- @param what its name in the message
function url_of.read(url, what)
  if type(url) ~= "string" then misuse("%s must be a string, got %s", what, type(url)) end
  if find(url, "[\r\n%z]") then
    misuse("%s must not contain a carriage return, a line feed or a NUL", what)
  end
  local parsed, why = core.parse(url)
  if not parsed then
    misuse("%s \"%s\" is not one: %s", what, gsub(url, "//[^/@]*@", "//***@"), why)
  end
  if parsed.scheme ~= "http" and parsed.scheme ~= "https" then
    misuse("%s must begin with http:// or https://, got %s://", what, parsed.scheme)
  end
  parsed.port = tonumber(parsed.port)
  return parsed
end

return url_of
