-- links.lua - what can be known only when the whole file has been read: hooks
-- declared after the checks they surround, lanes, and what names refer to.
local error, format, ipairs, next = error, string.format, ipairs, next
local find, sub, unpack = string.find, string.sub, table.unpack

-- Gives each node what it inherits.  Parents come before their children.
local function inherit(nodes)
  for number, node in ipairs(nodes) do
    local parent = node.parent
    node.lane = parent and parent.lane or node.hooked and number or 0
    if node.lane == 0 and node.hooked then node.lane = number end
    node.befores, node.afters = parent and parent.befores, parent and parent.afters
    if node.before then
      local list = { unpack(node.befores or {}) }
      for _, fn in ipairs(node.before) do list[#list + 1] = fn end
      node.befores = list
    end
    if node.after then
      local list = { unpack(node.after) }
      for _, fn in ipairs(node.afters or {}) do list[#list + 1] = fn end
      node.afters = list
    end
  end
end

local function with_befores(befores, fn)
  return function()
    for i = 1, #befores do befores[i]() end
    return fn()
  end
end

-- Every id of this file, of checks, describes and the file: id -> true.
local function identities(suite)
  local known = { [suite.path] = true }
  for id in next, suite.lines do known[id] = true end
  for _, node in ipairs(suite.nodes) do
    if node.prefix then known[sub(node.prefix, 1, -3)] = true end
  end
  return known
end

-- The one id of this file that ends with name; nil and how many when not one.
local function ending(known, name)
  local tail, id, n = "::" .. name, nil, 0
  for candidate in next, known do
    if sub(candidate, -#tail) == tail then id, n = candidate, n + 1 end
  end
  if n == 1 then return id end
  return nil, n
end

-- The full id that item names, seen from the node it was written in.
local function resolve(suite, known, item, key)
  local name = item.name
  local node = item.node
  while node do
    local id = suite.prefix(node) .. name
    if known[id] then return id end
    node = node.parent
  end
  local from, to = find(name, ".lua", 1, true)
  while from and to < #name and sub(name, to + 1, to + 2) ~= "::" do
    from, to = find(name, ".lua", to + 1, true)
  end
  if from then
    local path = sub(name, 1, to)
    if path ~= suite.path or known[name] then return name end
  end
  local id, n = ending(known, name)
  if id then return id end
  error(format('%s:%d: option %s names "%s", %s', suite.path, item.line, key, name,
    n == 0 and "but this file declares no such check or describe"
    or format("and %d checks and describes of this file end so", n)), 0)
end

local function resolve_all(suite, known, check, key)
  local list, seen = {}, {}
  for _, item in ipairs(check[key]) do
    local id = resolve(suite, known, item, key)
    if id == check.id then
      -- A describe may require its own first check: that one is then exempt.
      if item.line == check.line then
        error(format("%s:%d: option %s: a check cannot name itself", suite.path, check.line, key),
          0)
      end
    elseif not seen[id] then
      seen[id] = true
      list[#list + 1] = id
    end
  end
  check[key] = list
end

return function(suite)
  local nodes, known = suite.nodes, nil
  inherit(nodes)
  for i, check in ipairs(suite.checks) do
    local node = nodes[check.nodes[#check.nodes]]
    check.lane = node.lane
    if node.befores then suite.bodies[i] = with_befores(node.befores, suite.bodies[i]) end
    suite.afters[i] = node.afters or false
    if check.requires or check.of then
      known = known or identities(suite)
      if check.requires then resolve_all(suite, known, check, "requires") end
      if check.of then resolve_all(suite, known, check, "of") end
    end
  end
end
