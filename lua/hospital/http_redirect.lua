-- http_redirect.lua: where a redirect leads, and what it may take along.
local core = import "hospital.core.http"
local raise_fault = import("hospital.http_text").raise_fault

local find, format, lower, sub = string.find, string.format, string.lower, string.sub

local function refuse_redirect(p, timings, text, ...)
  raise_fault(p, { kind = "protocol", message = format(text, ...), phase = "redirect", timings = timings })
end

local function same_origin(a, b)
  return a.scheme == b.scheme and lower(a.host) == lower(b.host) and a.port == b.port
end

-- RFC 9110, 15.4: what a redirect does to the method.
local function rewrite_method(p, status)
  local method = p.request.method
  local to_get = status == 303 and method ~= "HEAD" or (status == 301 or status == 302) and method == "POST"
  if not to_get or method == "GET" then return end
  p.request.method, p.request.body = "GET", nil
  local kept = {}
  for _, line in ipairs(p.request.headers) do
    if not find(lower(line), "^content%-") then kept[#kept + 1] = line end
  end
  p.request.headers = kept
end

-- Another origin gets none of what was meant for the first.
local function forget_secrets(p)
  local request = p.request
  request.headers, p.seen = {}, {}
  request.user, request.password, request.cert, request.key, request.unix_socket = nil, nil, nil, nil, nil
end

local function next_target(p, answer, location)
  local status = answer.status
  local joined, why = core.join(p.target.url, location)
  local target = joined and core.parse(joined)
  if not target then
    refuse_redirect(p, answer.timings, "%d redirects to \"%s\", which is not a URL: %s", status,
      sub(location, 1, 200), why or "it cannot be read")
  end
  target.port = tonumber(target.port)
  if target.scheme ~= "http" and target.scheme ~= "https" then
    refuse_redirect(p, answer.timings, "%d redirects to %s://; only http and https are followed", status, target.scheme)
  end
  if p.target.scheme == "https" and target.scheme == "http" then
    refuse_redirect(p, answer.timings, "%d redirects from https to %s", status, target.url)
  end
  return target
end

--- Turns the plan to the place that the answer names.
-- @local
-- @param count redirects followed so far
return function(p, answer, location, count)
  if count >= p.follow then
    refuse_redirect(p, answer.timings, "more than %d redirects, the last to \"%s\"", p.follow, sub(location, 1, 200))
  end
  local target = next_target(p, answer, location)
  rewrite_method(p, answer.status)
  if not same_origin(p.target, target) then
    if p.request.body then
      refuse_redirect(p, answer.timings, "%d redirects a body to another origin, %s", answer.status, target.url)
    end
    forget_secrets(p)
  end
  p.target = target
end
