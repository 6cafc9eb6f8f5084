-- fakehost.lua - lua/hospital/ in stock Lua: a fake "hospital.host" and an import
-- as the sandbox has it (private environment, stripped chunks), so that specs of
-- pure Lua need no binary.
local fakehost = {}

local root = os.getenv("HOSPITAL_ROOT") or "."

-- global name -> embedded module, as in src/vm/surface.c
fakehost.surface = {
  healthcheck = "dsl", is_healthcheck = "dsl", describe = "describe", diagnosis = "describe",
  setup = "describe", teardown = "describe", before_each = "describe", after_each = "describe",
  skip = "control", warn = "control", log = "control", print = "control", metric = "control",
  sleep = "control", now = "control", eventually = "control", parallel = "control", env = "env",
  assert = "assert", assert_version = "versions", expect_version = "versions",
  db = "db", rolled_back = "db",
}
for _, name in ipairs { "equal", "not_equal", "is", "is_not", "true", "false", "nil", "not_nil", "in",
  "not_in", "type", "not_type", "error", "almost_equal", "not_almost_equal", "greater",
  "greater_equal", "less", "less_equal", "match", "not_match", "contains" } do
  fakehost.surface["assert_" .. name] = "assertions"
  fakehost.surface["expect_" .. name] = "assertions"
end
for _, name in ipairs { "database", "query", "table", "migrated", "connections", "no_long_transactions", "index_valid",
  "replication", "integrity" } do
  fakehost.surface["assert_" .. name] = "db_assertions"
  fakehost.surface["expect_" .. name] = "db_assertions"
end

local UNITS = { us = 1e-6, ms = 1e-3, s = 1, m = 60, h = 3600, d = 86400, [""] = 1 }

local function duration(value)
  if type(value) == "number" then return value >= 0 and value < 1e10 and value + 0.0 or nil end
  if type(value) ~= "string" then return nil end
  local number, unit = string.match(value, "^(%d+%.?%d*)(%a*)$")
  return number and UNITS[unit] and tonumber(number) * UNITS[unit] or nil
end

local FAILURE = { __tostring = function(f) return f.message end }
local SKIP = { __tostring = function(s) return s.reason end }

-- A new state: its own modules, records and clock.
-- Fields: records (list -> values), assertions, clock, slept, loading, environment, remaining, title,
-- scope, imported (module -> what stands in for it)
function fakehost.new(path)
  local self = {
    records = { failure = {}, warning = {}, metric = {}, output = {}, probe = {} },
    assertions = 0, clock = 100.0, slept = {}, loading = true, environment = {}, imported = {},
    path = path or "shop.lua", remaining = 10.0, title = "orders can be counted", scope = 1,
  }
  local host = {}

  -- The author's frames: not ours, which are stripped, nor the spec's own.
  local function is_authors(source)
    return string.sub(source, 1, 1) == "@" and not string.find(source, "_spec.lua", 1, true)
      and not string.find(source, "fakehost", 1, true) and not string.find(source, "^@/usr")
  end

  function host.where()
    local level, info = 2, debug.getinfo(2, "Sl")
    while info and not is_authors(info.source) do
      level = level + 1
      info = debug.getinfo(level, "Sl")
    end
    return info and string.sub(info.source, 2) .. ":" .. info.currentline or self.path .. ":0"
  end

  local function placed(failure)
    local file, line = string.match(host.where(), "^(.*):(%d+)$")
    failure.file, failure.line = failure.file or file, failure.line or tonumber(line)
    return failure
  end

  function host.record(list, value)
    local records = assert(self.records[list], "no such list")
    if list == "failure" then
      local copy = {}
      for k, v in pairs(value) do copy[k] = v end
      value = placed(copy)
    end
    records[#records + 1] = value
  end
  function host.assertion() self.assertions = self.assertions + 1 end
  function host.mark()
    local mark = {}
    for list, values in pairs(self.records) do mark[list] = #values end
    return mark
  end
  function host.rewind(mark)
    for list, values in pairs(self.records) do
      for i = #values, mark[list] + 1, -1 do values[i] = nil end
    end
  end
  function host.failed(mark) return #self.records.failure > mark.failure end
  function host.raise(failure) error(setmetatable(placed(failure), FAILURE), 0) end
  function host.skip(reason) error(setmetatable({ reason = reason }, SKIP), 0) end
  function host.kind(value)
    local meta = getmetatable(value)
    return meta == FAILURE and "failure" or meta == SKIP and "skip" or nil
  end
  host.duration = duration
  function host.now() return self.clock end
  function host.sleep(seconds)
    self.slept[#self.slept + 1] = seconds
    self.clock = self.clock + seconds
  end
  function host.parallel(...)
    local results = {}
    for i, fn in ipairs { ... } do results[i] = fn() end
    return table.unpack(results)
  end
  function host.env(name) return self.environment[name] end
  function host.remaining() return self.remaining end
  function host.title() return self.title end
  function host.scope() return self.scope end
  function host.loading() return self.loading end
  self.host = host

  local private = {}
  for _, name in ipairs { "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal",
    "rawget", "rawlen", "rawset", "select", "setmetatable", "tonumber", "tostring", "type",
    "xpcall", "string", "table", "math", "utf8", "coroutine" } do
    private[name] = _G[name]
  end
  function private.import(name)
    if name == "hospital.host" then return host end
    if not self.imported[name] then
      local file = root .. "/lua/" .. string.gsub(name, "%.", "/") .. ".lua"
      local chunk = assert(loadfile(file, "t"))
      local stripped = string.dump(chunk, os.getenv("FAKEHOST_DEBUG") == nil)
      self.imported[name] = load(stripped, "=?", "b", private)()
    end
    return self.imported[name]
  end
  self.import = private.import

  -- The script's globals: pristine Lua, and the surface on first use.
  self.globals = setmetatable({}, { __index = function(_, name)
    local module = fakehost.surface[name]
    if module then return self.import("hospital." .. module)[name] end
    return _G[name]
  end })

  return setmetatable(self, { __index = fakehost })
end

-- Compiles text as the author's own, in `path`.
function fakehost:compile(text, path)
  return assert(load(text, "@" .. (path or self.path), "t", self.globals))
end

-- Runs text as a file that loads; returns the suite after its finish().
function fakehost:load(text)
  local suite = self.import("hospital.suite")
  suite.path = self.path
  self.loading = true
  self:compile(text)()
  suite.finish()
  self.loading = false
  return suite
end

-- Runs text in a running check; returns pcall's results.
function fakehost:check(text, ...)
  self.loading = false
  return pcall(self:compile(text), ...)
end

return fakehost
