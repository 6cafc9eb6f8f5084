-- suite.lua - what a loading file declares, in the shape that check/catalogue.c reads
-- (src/README.md, "The suite").  Every file loads this, so it holds only what
-- every file needs: odd names, options, hooks and links live in modules that are
-- imported when first asked for, and what checks have in common is one table.
local host = import "hospital.host"
local where, loading = host.where, host.loading
local error, import, tonumber, type = error, import, tonumber, type
local find, match, format = string.find, string.match, string.format

local NONE = {} -- shared: never written to
local root = { name = "", line = 0, setup = NONE, teardown = NONE, numbers = { 1 } }
local checks, bodies, afters, lines = {}, {}, {}, {}
local suite = {
  checks = checks, bodies = bodies, afters = afters, nodes = { root },
  node = root,     -- the describe that is being filled
  none = NONE,
  lines = lines,   -- id -> line of its first declaration
  -- problem       -- the first load error, kept so that no pcall can hide it
  -- linked        -- true when finish has hooks to weave or names to resolve
}

-- Raises a load error at the author's line; finish() will repeat it.
function suite.refuse(message)
  message = where() .. ": " .. message
  suite.problem = suite.problem or message
  error(message, 0)
end

-- What the ids of the checks in node begin with.
function suite.prefix(node)
  local prefix = node.prefix
  if not prefix then -- only the root: its path is set after this module is loaded
    prefix = suite.path .. "::"
    node.prefix = prefix
  end
  return prefix
end

-- Refuses what cannot be declared; returns the line of the declaration.
function suite.entry(kind, name, fn)
  if type(name) ~= "string" or not find(name, "^%w[%w _.,'()/-]*$")
    or type(fn) ~= "function" or not loading() then
    import("hospital.entry")(kind, name, fn)
  end
  return tonumber(match(where(), ":(%d+)$")) or 0
end

-- Adds a check; options may be left out.
function suite.declare(kind, name, options, fn)
  if fn == nil then options, fn = nil, options end
  local line = suite.entry(kind, name, fn)
  local node = suite.node
  local id = (node.prefix or suite.prefix(node)) .. name
  local check = {
    name = name, id = id, line = line, kind = kind, lane = 0, nodes = node.numbers, tags = NONE,
  }
  if options ~= nil or node.options then
    import("hospital.options").apply(check, node, options)
  end
  if lines[id] then
    suite.problem = suite.problem or format("%s: duplicate id %s: already declared on line %d",
      where(), id, lines[id])
  else
    lines[id] = line
  end
  local n = #checks + 1
  checks[n], bodies[n], afters[n] = check, fn, false
end

-- Called by the host when the file has run: raises the first load error, if any.
function suite.finish()
  root.name = suite.path
  if suite.node ~= root and not suite.problem then
    suite.problem = format('%s:%d: describe "%s" did not run to its end',
      suite.path, suite.node.line, suite.node.name)
  end
  if suite.problem then error(suite.problem, 0) end
  if suite.linked then import("hospital.links")(suite) end
end

return suite
