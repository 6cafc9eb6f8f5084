-- http_options.lua: what an author may ask of a request, checked and copied into
-- plain tables before C sees it.  Loaded only where a request has options.
local host = import "hospital.host"
local misuse = import("hospital.claim").misuse
local read_url = import("hospital.http_url").read

local find, format, gsub, lower, match, upper, byte =
  string.find, string.format, string.gsub, string.lower, string.match, string.upper, string.byte
local concat, sort = table.concat, table.sort

local REQUEST_KEYS = {
  "url", "method", "headers", "body", "json", "form", "auth", "follow", "timeout", "connect_timeout",
  "max_body", "tls", "resolve", "unix_socket", "family", "http_version", "proxy",
}

local options_of = {}

--- Raises for a key that none of the lists has, and names the nearest.
-- @local
function options_of.check_keys(options, what, ...)
  local known, all = {}, {}
  for _, list in ipairs({ ... }) do
    for _, key in ipairs(list) do
      known[key] = true
      all[#all + 1] = key
    end
  end
  for key in next, options do
    if not known[key] then
      local nearest, edits
      if type(key) == "string" and #key < 40 then nearest, edits = import("hospital.nearest")(key, all) end
      misuse("%s has no option \"%s\"%s", what, tostring(key),
        nearest and edits <= 3 and format("; did you mean \"%s\"?", nearest)
          or "; it has " .. concat(all, ", "))
    end
  end
end
local check_keys = options_of.check_keys

local function want(value, wanted, name)
  if value ~= nil and type(value) ~= wanted then
    misuse("%s must be a %s, got %s", name, wanted, type(value))
  end
  return value
end

local function clean(text, name)
  if find(text, "[\r\n%z]") then
    misuse("%s must not contain a carriage return, a line feed or a NUL", name)
  end
  return text
end

local function duration(value, name)
  if value == nil then return nil end
  local seconds = host.duration(value)
  if not seconds or seconds <= 0 then
    misuse("%s must be a duration above zero (seconds, or \"250ms\"), got %s", name, tostring(value))
  end
  return seconds
end

-- Headers as lines for libcurl; names in lower case are noted in seen.
local function add_header(lines, seen, name, value)
  if type(name) ~= "string" or not find(name, "^[%w!#$%%&'*+%-.^_`|~]+$") then
    misuse("\"%s\" cannot be the name of a header", tostring(name))
  end
  seen[lower(name)] = true
  if value == false then
    lines[#lines + 1] = name .. ":" -- libcurl: do not send it
  elseif type(value) == "table" then
    for _, one in ipairs(value) do add_header(lines, seen, name, one) end
  elseif type(value) == "string" or type(value) == "number" then
    value = clean(tostring(value), "header " .. name)
    lines[#lines + 1] = value == "" and name .. ";" or name .. ": " .. value
  else
    misuse("header %s must be a string, a list of strings, or false, got %s", name, type(value))
  end
end

local function escape(text)
  return (gsub(text, "[^%w%-._~]", function(c) return format("%%%02X", byte(c)) end))
end

local function encode_form(form)
  local names, pairs_ = {}, {}
  for name in next, form do
    if type(name) ~= "string" then misuse("form must have names as keys, got a %s", type(name)) end
    names[#names + 1] = name
  end
  sort(names)
  for _, name in ipairs(names) do
    local value = form[name]
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      local kind = type(one)
      if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        misuse("form.%s must be a string, a number, a boolean or a list of these", name)
      end
      pairs_[#pairs_ + 1] = escape(name) .. "=" .. escape(tostring(one))
    end
  end
  return concat(pairs_, "&")
end

local function set_body(request, options, lines, seen)
  local given = 0
  for _, key in ipairs({ "body", "json", "form" }) do
    if options[key] ~= nil then given = given + 1 end
  end
  if given > 1 then misuse("body, json and form exclude each other") end
  local kind
  if options.json ~= nil then
    local ok, text = pcall(import("hospital.json").json.encode, options.json)
    if not ok then misuse("json: %s", tostring(text)) end
    request.body, kind = text, "application/json"
  elseif options.form ~= nil then
    request.body, kind = encode_form(want(options.form, "table", "form")), "application/x-www-form-urlencoded"
  else
    request.body = want(options.body, "string", "body")
  end
  if request.body and not seen["content-type"] then
    lines[#lines + 1] = kind and "Content-Type: " .. kind or "Content-Type:"
  end
end

local function set_auth(request, auth, lines)
  want(auth, "table", "auth")
  check_keys(auth, "auth", { "user", "password", "bearer", 1, 2 })
  local bearer = want(auth.bearer, "string", "auth.bearer")
  if bearer then
    lines[#lines + 1] = "Authorization: Bearer " .. clean(bearer, "auth.bearer")
    return
  end
  request.user = clean(want(auth.user or auth[1], "string", "auth.user") or "", "auth.user")
  request.password = clean(want(auth.password or auth[2], "string", "auth.password") or "", "auth.password")
end

local function set_tls(request, tls)
  if tls == nil then return end
  want(tls, "table", "tls")
  check_keys(tls, "tls", { "verify", "ca", "cert", "key" })
  request.insecure = want(tls.verify, "boolean", "tls.verify") == false
  for _, key in ipairs({ "ca", "cert", "key" }) do
    local path = want(tls[key], "string", "tls." .. key)
    request[key] = path and clean(path, "tls." .. key)
  end
end

-- { ["shop:443"] = "10.0.0.1" } or curl's "shop:443:10.0.0.1", one or a list.
local function read_resolve(resolve)
  local found = {}
  if resolve == nil then return found end
  if type(resolve) == "string" then resolve = { resolve } end
  want(resolve, "table", "resolve")
  for key, value in next, resolve do
    if type(key) == "number" then
      local name, address = match(tostring(value), "^([^:]+:%d+):(.+)$")
      key, value = name, address
    end
    if type(key) ~= "string" or not find(key, "^[^:]+:%d+$") or type(value) ~= "string" then
      misuse("resolve must map \"host:port\" to an address, as in {[\"shop:443\"] = \"10.0.0.1\"}")
    end
    found[lower(key)] = clean(value, "resolve")
  end
  return found
end

local VERSIONS = { ["1.0"] = "1.0", ["1.1"] = "1.1", ["2"] = "2", ["2.0"] = "2", ["1"] = "1.0" }

local function read_version(version)
  if version == nil then return nil end
  return VERSIONS[tostring(version)]
    or misuse("http_version must be \"1.0\", \"1.1\" or \"2\", got %s", tostring(version))
end

local function read_method(options)
  local has_body = options.body ~= nil or options.json ~= nil or options.form ~= nil
  local method = want(options.method, "string", "method") or (has_body and "POST" or "GET")
  if not find(method, "^[%w!#$%%&'*+%-.^_`|~]+$") then misuse("\"%s\" cannot be a method", method) end
  return upper(method)
end

local function read_follow(follow)
  if follow == nil or follow == true then return 5 end
  if follow == false then return 0 end
  if math.type(follow) ~= "integer" or follow < 0 or follow > 20 then
    misuse("follow must be true, false or a number from 0 to 20, got %s", tostring(follow))
  end
  return follow
end

options_of.want, options_of.duration, options_of.read_version = want, duration, read_version

local function read_max_body(size)
  size = want(size, "number", "max_body")
  if size and (size < 0 or size > 1 << 30 or size % 1 ~= 0) then
    misuse("max_body must be a whole number of bytes up to 1 GB, got %s", tostring(size))
  end
  return size
end

local function read_family(family)
  if family ~= nil and family ~= 4 and family ~= 6 then
    misuse("family must be 4 or 6, got %s", tostring(family))
  end
  return family
end

local function read_socket(socket)
  socket = want(socket, "string", "unix_socket")
  if socket and (socket == "" or #socket > 107) then misuse("unix_socket must be a path of 1 to 107 bytes") end
  return socket and clean(socket, "unix_socket")
end

--- Raises for what http.request does not know.
-- @local
-- @param more list of keys that are known besides
function options_of.check(options, what, more)
  check_keys(options, what, REQUEST_KEYS, more or {})
end

--- Adds the author's options to the plan of a plain GET.
-- @local
function options_of.apply(p, options)
  local request, lines, seen = p.request, p.request.headers, p.seen
  request.method = read_method(options)
  for name, value in next, want(options.headers, "table", "headers") or {} do
    add_header(lines, seen, name, value)
  end
  set_body(request, options, lines, seen)
  set_tls(request, options.tls)
  if options.auth ~= nil then
    request.user, request.password = nil, nil
    set_auth(request, options.auth, lines)
  end
  request.http_version = read_version(options.http_version)
  request.connect_timeout = duration(options.connect_timeout, "connect_timeout")
  request.max_body = read_max_body(options.max_body) or request.max_body
  request.family = read_family(options.family)
  request.unix_socket = read_socket(options.unix_socket)
  p.follow = read_follow(options.follow)
  p.timeout = duration(options.timeout, "timeout") or p.timeout
  p.resolve = read_resolve(options.resolve)
  if options.proxy ~= nil then
    p.proxy, p.proxy_url = read_url(options.proxy, "proxy"), options.proxy
  end
end

return options_of
