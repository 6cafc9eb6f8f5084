-- http_answer.lua: what a good answer is.  Loaded for all that is more than a
-- status given as a number.
local json = import("hospital.json").json
local misuse = import("hospital.claim").misuse
local options_of = import "hospital.http_options"
local text_of = import "hospital.http_text"

local find, format, match = string.find, string.format, string.match
local concat = table.concat
local encode, null = json.encode, json.null
local want, duration, read_version = options_of.want, options_of.duration, options_of.read_version
local excerpt, raise_answer = text_of.excerpt, text_of.raise_answer

local ASSERT_KEYS = { "status", "max_time", "contains", "matches", "headers_match", "json_path" }

-- A number, "2xx", "200-299", "204", or a list of these, as a function and a text.
local function status_test(expected)
  if math.type(expected) == "integer" then
    return function(status) return status == expected end, tostring(expected)
  end
  if type(expected) == "string" then
    local class = match(expected, "^([1-5])[xX][xX]$")
    local from, to = match(expected, "^(%d%d%d)%-(%d%d%d)$")
    if class then from, to = class .. "00", class .. "99" end
    if not from then from = match(expected, "^%d%d%d$") end
    from, to = tonumber(from), tonumber(to or from)
    if from then return function(status) return status >= from and status <= to end, expected end
  end
  if type(expected) == "table" and expected[1] ~= nil then
    local tests, texts = {}, {}
    for i, one in ipairs(expected) do tests[i], texts[i] = status_test(one) end
    return function(status)
      for _, test in ipairs(tests) do
        if test(status) then return true end
      end
      return false
    end, concat(texts, " or ")
  end
  misuse("status must be a number, \"2xx\", \"200-299\" or a list of these, got %s", tostring(expected))
end

local function strings(value, name)
  if value == nil then return {} end
  if type(value) == "string" then return { value } end
  want(value, "table", name)
  for _, one in ipairs(value) do want(one, "string", name) end
  return value
end

local function show(value)
  if value == nil then return "nothing" end
  if value == null then return "null" end
  if type(value) == "string" then return format("\"%s\"", excerpt(value)) end
  if type(value) ~= "table" then return tostring(value) end
  local ok, text = pcall(encode, value)
  return ok and excerpt(text) or tostring(value)
end

local function deep_equal(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for key, value in next, a do
    if not deep_equal(value, rawget(b, key)) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end

-- "data.items[1].id" and ["a.key"] as a list of keys.
local function path_keys(path)
  local keys, rest = {}, path
  while rest ~= "" do
    local key, after = match(rest, "^%.?([^.%[%]]+)(.*)$")
    local index, behind = match(rest, "^%[(%d+)%](.*)$")
    local quoted, later = match(rest, "^%[\"([^\"]*)\"%](.*)$")
    if index then
      key, after = math.tointeger(tonumber(index)), behind
    elseif quoted then
      key, after = quoted, later
    end
    if key == nil then misuse("json_path \"%s\" is not one: see \"%s\"", path, rest) end
    keys[#keys + 1], rest = key, after
  end
  return keys
end

local function look_up(value, keys)
  for _, key in ipairs(keys) do
    if type(value) ~= "table" then return nil end
    value = rawget(value, key)
  end
  return value
end

local function check_json(response, paths)
  local document = response.json()
  for path, expected in next, paths do
    local actual = look_up(document, path_keys(path))
    if type(expected) == "function" then
      if not expected(actual) then
        raise_answer(response, format("json_path %s: the predicate does not hold for %s", path, show(actual)),
          nil, show(actual))
      end
    elseif not deep_equal(expected, actual) then
      raise_answer(response, format("json_path %s: expected %s, got %s", path, show(expected), show(actual)),
        show(expected), show(actual))
    end
  end
end

local function check_body(response, wanted)
  for _, text in ipairs(wanted.contains) do
    if not find(response.body, text, 1, true) then
      raise_answer(response, format("expected a body that contains %s", show(text)), text)
    end
  end
  for _, pattern in ipairs(wanted.matches) do
    if not find(response.body, pattern) then
      raise_answer(response, format("expected a body that matches %s", show(pattern)), pattern)
    end
  end
end

local function check_headers(response, patterns)
  for name, pattern in next, patterns do
    local value = response.headers[name]
    if not value or not find(value, pattern) then
      raise_answer(response, format("header %s: expected a match of %s, got %s", name, show(pattern), show(value)),
        pattern, value)
    end
  end
end

local answer_of = {}

--- Raises unless the answer is what is wanted; its status has been looked at.
-- @local
function answer_of.check(response, wanted)
  if wanted.http_version and response.http_version ~= wanted.http_version then
    raise_answer(response, format("expected HTTP/%s, got HTTP/%s", wanted.http_version, response.http_version),
      wanted.http_version, response.http_version)
  end
  check_headers(response, wanted.headers)
  check_body(response, wanted)
  if wanted.json then check_json(response, wanted.json) end
  if wanted.max_time and response.timings.total > wanted.max_time then
    raise_answer(response, format("expected an answer within %s, got it after %s", text_of.time(wanted.max_time),
      text_of.time(response.timings.total)), wanted.max_time, response.timings.total)
  end
end

--- What an author wants of an answer.
-- @local
-- @param expected as for assert_http_response
-- @return table what is wanted
-- @return table the options of the request
function answer_of.read(expected)
  local options = expected
  if type(expected) ~= "table" or expected[1] ~= nil then options = { status = expected } end
  options_of.check(options, "assert_http_response", ASSERT_KEYS)
  if options.url ~= nil then misuse("assert_http_response has two URLs: an argument and options.url") end
  local status = options.status
  if status == nil then status = "2xx" end
  local wanted = {
    contains = strings(options.contains, "contains"),
    matches = strings(options.matches, "matches"),
    headers = want(options.headers_match, "table", "headers_match") or {},
    json = want(options.json_path, "table", "json_path"),
    max_time = duration(options.max_time, "max_time"),
    http_version = read_version(options.http_version),
  }
  wanted.status, wanted.status_text = status_test(status)
  for path in next, wanted.json or {} do path_keys(want(path, "string", "a path in json_path")) end
  for name, pattern in next, wanted.headers do
    want(name, "string", "a name in headers_match")
    want(pattern, "string", "headers_match." .. name)
  end
  return wanted, options
end

return answer_of
