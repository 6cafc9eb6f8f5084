-- http.lua: requests and what checks assert about them.
--
-- One exchange is C's (hospital.core.http); the way from the first to the final
-- answer is here.  What few checks need is elsewhere and loaded with its first
-- use: options (http_options), redirects (http_redirect), what is wanted of an
-- answer beyond its status (http_answer), and the words of failures (http_text).
local core = import "hospital.core.http"
local host = import "hospital.host"
local read_url = import("hospital.http_url").read

local find, format, gsub, lower, sub, upper =
  string.find, string.format, string.gsub, string.lower, string.sub, string.upper

local DEFAULT_TIMEOUT = 5
local DEFAULT_FOLLOW = 5
local DEFAULT_MAX_BODY = 1024 * 1024

local function misuse(...)
  import("hospital.claim").misuse(...)
end

-- The author's options (or nil) as a plan: what C is given for the first
-- exchange, and what holds for those that follow.
local function plan(url, options)
  local target = read_url(url, "url")
  local p = {
    request = { method = "GET", timeout = 0, max_body = DEFAULT_MAX_BODY, headers = {} },
    target = target,
    seen = {}, -- names of headers, in lower case
    follow = DEFAULT_FOLLOW,
    timeout = DEFAULT_TIMEOUT,
  }
  if target.user or target.password then
    p.request.user, p.request.password = target.user or "", target.password or ""
  end
  if options and next(options) ~= nil then import("hospital.http_options").apply(p, options) end
  return p
end

-- The fields that depend on where this exchange goes.
local function aim(p)
  local request, target = p.request, p.target
  request.url = target.url
  if p.proxy then
    request.proxy, request.host, request.port = p.proxy_url, p.proxy.host, p.proxy.port
    request.target_host, request.target_port = target.host, target.port
    return
  end
  request.host, request.port = target.host, target.port
  request.address = p.resolve and p.resolve[lower(target.host) .. ":" .. target.port]
  if request.address and sub(target.host, 1, 1) == "[" then
    misuse("resolve cannot replace %s, which is an address", target.host)
  end
end

-- --- results ------------------------------------------------------------------

local repeated = setmetatable({}, { __mode = "k" }) -- headers -> lower name -> list

local function all_values(headers, name)
  name = lower(name)
  if name == "all" then name = "All" end
  local list = repeated[headers] and repeated[headers][name]
  if list then return { table.unpack(list) } end
  local value = rawget(headers, name)
  return value ~= nil and { value } or {}
end

local headers_meta = {
  __name = "http.headers",
  __metatable = false,
  __index = function(headers, name)
    if type(name) ~= "string" then return nil end
    local value = rawget(headers, lower(name))
    if value == nil and name == "all" then return all_values end
    return value
  end,
}

local function make_headers(flat)
  local headers = setmetatable({}, headers_meta)
  for i = 1, #flat, 2 do
    local name, value = lower(flat[i]), flat[i + 1]
    if name == "all" then name = "All" end -- the method keeps its name
    local before = rawget(headers, name)
    if before == nil then
      rawset(headers, name, value)
    else
      local lists = repeated[headers] or {}
      repeated[headers] = lists
      lists[name] = lists[name] or { before }
      lists[name][#lists[name] + 1] = value
      rawset(headers, name, before .. ", " .. value)
    end
  end
  return headers
end

local result_meta = {
  __name = "http.response",
  __metatable = false,
  __index = function(response, key)
    if key ~= "json" then return nil end
    return function()
      local ok, value = pcall(import("hospital.json").json.decode, response.body)
      if ok then return value end
      local why = gsub(tostring(value), "^.-(not JSON)", "the body is %1")
      import("hospital.http_text").raise_answer(response, why, "JSON")
    end
  end,
}

-- --- exchanges --------------------------------------------------------------

local function with_defaults(p)
  local lines = { table.unpack(p.request.headers) }
  if not p.seen["user-agent"] then lines[#lines + 1] = "User-Agent: hospital/" .. core.version end
  if not p.seen.expect then lines[#lines + 1] = "Expect:" end
  return lines
end

-- One exchange; raises what went wrong, its timings counted from the start.
local function exchange(p, began)
  aim(p)
  local own = p.request.headers
  p.request.headers = with_defaults(p)
  p.request.timeout = p.timeout - (host.now() - began)
  local answer, fault = core.request(p.request)
  p.request.headers = own
  local timings = (answer or fault).timings
  timings.total = host.now() - began
  if fault then
    if fault.kind == "timeout" and find(fault.message, "^no complete") then
      fault.message = format("no complete answer within %.4g s", p.timeout)
    end
    import("hospital.http_text").raise_fault(p, fault)
  end
  answer.headers = make_headers(answer.headers)
  return answer
end

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local function size_text(size)
  return size < 1000 and size .. " B" or import("hospital.http_text").size(size)
end

-- Runs the plan to its final answer; stop(status) is true for one that is wanted,
-- redirect or not.
local function run(p, stop)
  local began, redirects = host.now(), {}
  while true do
    local answer = exchange(p, began)
    local location = REDIRECTS[answer.status] and rawget(answer.headers, "location")
    if not location or p.follow == 0 or stop and stop(answer.status) then
      answer.url, answer.method, answer.redirects = p.target.url, p.request.method, redirects
      host.record("probe", {
        kind = "http", target = answer.url, timings = answer.timings,
        detail = format("%d, %s%s", answer.status, answer.truncated and "over " or "", size_text(#answer.body)),
      })
      return setmetatable(answer, result_meta)
    end
    local from = p.target.url
    import("hospital.http_redirect")(p, answer, location, #redirects)
    redirects[#redirects + 1] = { url = from, status = answer.status, location = location }
  end
end

local function check_options(options, what)
  if options == nil then return nil end
  if type(options) ~= "table" then misuse("options must be a table, got %s", type(options)) end
  import("hospital.http_options").check(options, what)
  return options
end

local http = {}

--- Requests over HTTP: `http.request`, and `http.get`, `head`, `post`, `put`, `patch`,
-- `delete` and `options`, which take the same options without `method`.
-- @table http
-- @usage local health = http.get("http://127.0.0.1:8080/health").json()

--- Sends a request and waits for the answer.
-- @function http.request
-- @param url string|table the URL, or an options table with `url`
-- @param[opt] options table
--   `method` (default GET, or POST with a body); `headers` (name to string, list or `false` to send none);
--   `body`, `json` (any value) or `form` (name to value); `auth` ({user=, password=} or {bearer=});
--   `follow` (redirects: a number, or false; 5); `timeout` (whole request; 5 s), `connect_timeout`;
--   `max_body` (bytes kept; 1 MB, then `truncated`); `tls` ({verify=, ca=, cert=, key=});
--   `resolve` ({["host:port"] = address}); `unix_socket`; `family` (4 or 6); `http_version` ("1.0", "1.1", "2");
--   `proxy` (URL; the environment is never asked)
-- @return table `status`, `headers` (any case; `headers:all(name)` lists repeated ones, which are
--   otherwise joined with ", "), `body`, `json()`, `truncated`, `url` (the last), `redirects` (list of
--   {url, status, location}), `timings` (seconds each phase of the last exchange took: dns, connect, tls,
--   first_byte; and total, from the first request to the end), `remote_ip`, `http_version`, `certificate`
--   (subject issuer serial not_before not_after days_left sans fingerprint)
-- @raise a failure of kind dns, connect, tls, timeout, protocol, closed, limit or denied
-- @usage local r = http.request("http://127.0.0.1:8080/login", { json = { user = "probe" } })
function http.request(url, options)
  if type(url) == "table" and options == nil then
    options = url
    url = options.url
  elseif type(options) == "table" and options.url ~= nil then
    misuse("http.request has two URLs: an argument and options.url")
  end
  return run(plan(url, check_options(options, "http.request")))
end

--- Sends a GET request; `head`, `post`, `put`, `patch`, `delete` and `options` likewise.
-- @function http.get
-- @param url string http:// or https://
-- @param[opt] options table those of http.request but `method`
-- @return table as http.request's
-- @usage local orders = http.get("http://127.0.0.1:8080/orders.json").json()
local function shorthand(name)
  http[name] = function(url, options)
    options = check_options(options, "http." .. name)
    local copy = { method = upper(name) }
    for key, value in next, options or {} do
      if key == "url" then misuse("http.%s has two URLs: an argument and options.url", name) end
      if key == "method" then misuse("http.%s has its method in its name", name) end
      copy[key] = value
    end
    if name == "get" and options == nil then copy = nil end
    return run(plan(url, copy))
  end
end
for _, name in ipairs({ "get", "head", "post", "put", "patch", "delete", "options" }) do shorthand(name) end

-- --- assertions -------------------------------------------------------------

local function is(status)
  return function(other) return other == status end
end

-- What is wanted, and the options of the request, if any.
local function read_expected(expected)
  if type(expected) == "number" and find(tostring(expected), "^%d+$") then
    return { status = is(expected), status_text = tostring(expected) }
  end
  return import("hospital.http_answer").read(expected)
end

local function check_answer(response, wanted, options)
  if not wanted.status(response.status) then
    import("hospital.http_text").raise_answer(response,
      format("expected status %s, got %d", wanted.status_text, response.status),
      wanted.status_text, tostring(response.status))
  end
  if options then import("hospital.http_answer").check(response, wanted) end
end

-- Prefixes the author's message to a failure that passes by.
local function with_message(message, fn, ...)
  if message == nil then return fn(...) end
  local ok, result = pcall(fn, ...)
  if ok then return result end
  if host.kind(result) == "failure" then
    rawset(result, "message", tostring(message) .. ": " .. rawget(result, "message"))
  end
  error(result, 0)
end

local function assert_plan(p, wanted, options)
  local follow_given = options and options.follow ~= nil
  local response = run(p, not follow_given and wanted.status or nil)
  check_answer(response, wanted, options)
  return response
end

--- Asserts that a URL answers as expected.
-- Redirects are followed unless their status is one that is expected.
-- @function assert_http_response
-- @param url string http or https
-- @param[opt] expected a status (200), a class ("2xx", the default), a range ("200-299"), a list of these, or a
--   table of http.request's options and: `status`; `max_time` (longest total); `contains` (text or list) and
--   `matches` (Lua pattern or list) for the body; `headers_match` (name to Lua pattern); `json_path`
--   (path to value or predicate, as in {["items[1].id"] = 7}; lists count from 1)
-- @param[opt] message string put before the failure's own
-- @return table the answer, as http.request's
-- @raise a failure that says what was expected and what came, with the phase and the timings
-- @usage local r = assert_http_response("http://127.0.0.1:8080/health", {
--   status = 200, json_path = { status = "up" },
-- })
local function assert_http_response(url, expected, message)
  local wanted, options = read_expected(expected)
  local p = plan(url, options)
  host.assertion()
  return with_message(message, assert_plan, p, wanted, options)
end

--- The same, but the check goes on: the failure is recorded.
-- @function expect_http_response
-- @param url string http or https
-- @param[opt] expected as for assert_http_response
-- @param[opt] message string put before the failure's own
-- @return table|nil the answer, or nil when it was not as expected
local function expect_http_response(url, expected, message)
  local ok, result = pcall(assert_http_response, url, expected, message)
  if ok then return result end
  if host.kind(result) ~= "failure" then error(result, 0) end
  host.record("failure", result)
  return nil
end

return {
  http = http,
  assert_http_response = assert_http_response,
  expect_http_response = expect_http_response,
}
