-- describe.lua - grouping, fixtures and diagnoses: the declarations that not
-- every file makes.
local host = import "hospital.host"
local suite = import "hospital.suite"
local handle = import("hospital.dsl").handle
local import, error, format = import, error, string.format
local setmetatable, type = setmetatable, type
local insert, unpack = table.insert, table.unpack

--- Checks of a describe or file with hooks run one after the other, in the order of their
-- declaration; all others run at the same time.
-- @section Groups, fixtures and diagnoses
local describe = {}

--- Groups checks; its options are inherited by all that is declared inside.
-- Tags and requires are united with those of the inner check; every other option
-- is overridden by the inner one. Describes nest. Two describes of one name may
-- stand side by side: each has its own hooks, and ids must still be unique.
-- @function describe
-- @param name the title; a part of the ids of the checks inside
-- @param[opt] options as for healthcheck
-- @param fn called at once, to declare what is inside
-- @usage describe("orders", { tags = "db", timeout = "5s" }, function()
--   healthcheck("can be counted", function() end)
-- end)
function describe.describe(name, options, fn)
  if fn == nil then options, fn = nil, options end
  local line = suite.entry("describe", name, fn)
  local parent, number = suite.node, #suite.nodes + 1
  local node = {
    name = name, line = line, setup = suite.none, teardown = suite.none,
    parent = parent, prefix = suite.prefix(parent) .. name .. "::", options = parent.options,
    numbers = { unpack(parent.numbers) },
  }
  node.numbers[#node.numbers + 1] = number
  if options ~= nil then import("hospital.options").group(node, options) end
  suite.nodes[number] = node
  suite.node = node -- left standing when fn raises: finish() sees it then
  fn()
  suite.node = parent
end

--- Declares what to find out when something is red.
-- It runs only after a check that it is `of` went red, and is reported under it.
-- @function diagnosis
-- @param name the title
-- @param[opt] options as for healthcheck, and `of`: an id, a describe or a file, or
--   a list of these. Without it: the describe, or the file, that it stands in.
-- @param fn the function to run
-- @return a handle, for is_healthcheck
-- @usage diagnosis("why orders fail", { of = "orders" }, function()
--   assert_tcp("127.0.0.1", 5432)
-- end)
function describe.diagnosis(name, options, fn)
  if fn == nil then options, fn = nil, options end
  if options == nil then options = {} end
  if fn == nil then suite.entry("diagnosis", name, fn) end
  suite.declare("diagnosis", name, options, fn)
  return setmetatable({}, handle)
end

-- Adds fn to a list of the current node; first puts it at the head.
local function hook(call, list, fn, first)
  if not host.loading() then
    error(format("%s: %s() inside a running check: fixtures are declared while the file loads",
      host.where(), call), 0)
  end
  if type(fn) ~= "function" then
    suite.refuse(format("%s: a function is needed, not %s", call, type(fn)))
  end
  local node = suite.node
  local fns = node[list]
  if fns == nil or fns == suite.none then
    fns = {}
    node[list] = fns
  end
  insert(fns, first and 1 or #fns + 1, fn)
  node.hooked, suite.linked = true, true
end

--- Runs fn once before the first check of this describe or file.
-- When it fails, so does each check that it was for.
-- @function setup
-- @param fn called without arguments
-- @usage setup(function() token = login() end)
function describe.setup(fn) hook("setup", "setup", fn) end

--- Runs fn once after the last check of this describe or file, whatever happened.
-- Several run in the reverse order of their declaration.
-- @function teardown
-- @param fn called without arguments
-- @usage teardown(function() logout(token) end)
function describe.teardown(fn) hook("teardown", "teardown", fn, true) end

--- Runs fn before each check of this describe or file, nested ones included.
-- Outer hooks run first, and each in the order of its declaration.
-- @function before_each
-- @param fn called without arguments
-- @usage before_each(function() log("about to touch orders") end)
function describe.before_each(fn) hook("before_each", "before", fn) end

--- Runs fn after each check of this describe or file, nested ones included,
-- whatever became of the check.
-- Inner hooks run first, and each in the reverse order of its declaration.
-- @function after_each
-- @param fn called without arguments
-- @usage after_each(function() remove_order() end)
function describe.after_each(fn) hook("after_each", "after", fn, true) end

return describe
