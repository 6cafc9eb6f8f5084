-- apidoc_spec.lua: what the generator of the API reference reads, and what it refuses.
local root = os.getenv("HOSPITAL_ROOT") or "."
local apidoc = dofile(root .. "/tools/apidoc.lua")

local REQUEST = [[
/*** Asks a server over HTTP.
 * Waits for the whole answer.
 *
 * A second paragraph.
 * @function http.request
 * @param url string http or https,
 *   with a host
 * @param [options] table see below
 * @param options.timeout duration of the whole exchange
 * @return table status, headers, body
 * @raise connect when nobody listens
 * @usage
 * local response = http.request("http://127.0.0.1/")
 * if response.status == 200 then
 *   log("fine")
 * end
 */
static int l_http_request(lua_State *L)
]]

describe("apidoc", function()
  local function refuses(path, text, message)
    local ok, why = pcall(apidoc.read, path, text)
    assert.is_false(ok)
    assert.are.equal(message, why)
  end

  it("reads a block comment in C", function()
    local found = apidoc.read("src/bind/http.c", REQUEST)
    assert.are.equal(1, #found)
    local entry = found[1]
    assert.are.equal("http.request", entry["function"])
    assert.are.equal("http", entry.section)
    assert.are.equal("Asks a server over HTTP.", entry.summary)
    assert.are.equal("Waits for the whole answer.\n\nA second paragraph.", entry.prose)
    assert.are.same({ name = "url", optional = false, type = "string", field = false,
      text = "http or https, with a host" }, entry.params[1])
    assert.is_true(entry.params[2].optional)
    assert.is_true(entry.params[3].field)
    assert.are.same({ "table status, headers, body" }, entry.returns)
    assert.are.same({ "connect when nobody listens" }, entry.raises)
    assert.are.equal('local response = http.request("http://127.0.0.1/")\n' ..
      'if response.status == 200 then\n  log("fine")\nend', entry.usages[1])
  end)

  it("reads lines of three slashes in C, and no other comment", function()
    local found = apidoc.read("a.c", "/* plain */\n// plain\n//// rule\n/***** rule *****/\n" ..
      "/// Sleeps.\n/// @function sleep\nint x;\n")
    assert.are.equal(1, #found)
    assert.are.equal("sleep", found[1]["function"])
    assert.are.equal("a", found[1].section)
  end)

  it("reads three dashes in Lua, leaves prose alone and keeps @local to ourselves", function()
    local found = apidoc.read("lua/hospital/assertions.lua", table.concat({
      "--- Only a comment.", "local x = 1", "-------- rule", "",
      "--- Ours.", "-- @local", "-- @param x number what we like", "local function ours(x) end", "",
      "--- Two values are equal.", "-- @function assert_equal", "-- @param expected any what should be",
      "function assertions.equal(expected) end",
    }, "\n"))
    assert.are.equal(1, #found)
    assert.are.equal("assert_equal", found[1]["function"])
    assert.are.equal("assertions", found[1].section)
  end)

  it("puts functions into the section that was opened before them", function()
    local found = apidoc.read("a.lua", "--- Words before.\n-- @section Assertions\n\n" ..
      "--- One.\n-- @function one\n\n--- Two.\n-- @function two\n-- @section Other\n")
    assert.are.same({ "Assertions", "Assertions", "Other" }, { found[1].section, found[2].section, found[3].section })
    assert.are.equal("Words before.", found[1].prose)
  end)

  it("renders sorted, whatever the order of the files", function()
    local a = apidoc.read("a.c", "/// Bees.\n/// @function b.two\n\n/// Bees.\n/// @function b.one\n")
    local b = apidoc.read("b.c", "/// Ants.\n/// @function a.one\n/// @param [x] any thing\n")
    local one = apidoc.render({ a[1], a[2], b[1] })
    assert.are.equal(one, apidoc.render({ b[1], a[2], a[1] }))
    local function at(text) return (one:find(text, 1, true)) end
    local ants, first, second = at("## a\n"), at("### `b.one()`"), at("### `b.two()`")
    assert.is_true(ants < first and first < second)
    assert.is_truthy(one:find("### `a.one([x])`\n\nAnts.\n\n- `x` (any, optional): thing\n", 1, true))
    assert.is_truthy(one:find("[`a.one`](#aonex)", 1, true))
  end)

  it("takes LDoc's optional parameters, types or none, and values that are no functions", function()
    local found = apidoc.read("a.lua", table.concat({
      "--- Skips.", "-- @function skip", "-- @param[opt] reason why", "-- @param a list of names",
      "-- @param b string|table two",
      "-- @param ... any values", "", "--- The environment.", "-- @table env",
    }, "\n"))
    local text = apidoc.render(found)
    assert.is_truthy(text:find("### `skip([reason], a, b, ...)`", 1, true))
    assert.is_truthy(text:find("- `reason` (optional): why\n- `a`: list of names\n" ..
      "- `b` (string|table): two\n- `...` (any): values\n", 1, true))
    assert.is_truthy(text:find("### `env`\n\nThe environment.\n", 1, true))
  end)

  it("tells apart the anchors of a section and a value of the same name", function()
    local text = apidoc.render(apidoc.read("env.lua", "--- The environment.\n-- @table env\n"))
    assert.is_truthy(text:find("- [env](#env): [`env`](#env-1)\n", 1, true))
  end)

  it("nests the fields of a table and shows the example", function()
    local text = apidoc.render(apidoc.read("http.c", REQUEST))
    assert.is_truthy(text:find("### `http.request(url, [options])`", 1, true))
    assert.is_truthy(text:find("\n  - `options.timeout` (duration): of the whole exchange\n", 1, true))
    assert.is_truthy(text:find('```lua\nlocal response = http.request("http://127.0.0.1/")\n', 1, true))
  end)

  it("refuses what is malformed, with its file and line", function()
    refuses("a.c", "\n/// Sleeps.\n/// @function sleep\n/// @parm x number\n", "a.c:4: unknown tag @parm")
    refuses("a.c", "\n\n/// Sleeps.\n", "a.c:3: missing @function")
    refuses("a.lua", "--- Sleeps.\n-- @param t number long\n", "a.lua:1: missing @function")
    refuses("a.c", "/// Sleeps.\n/// @function sleep\n/// @param t\n", "a.c:3: @param t without a description")
    refuses("a.c", "/// Sleeps.\n/// @function sleep\n/// @param t number\n", "a.c:3: @param t without a description")
    refuses("a.c", "/// Sleeps.\n/// @function sleep\n/// @param[out] t long\n", "a.c:3: unknown tag @param[out]")
    refuses("a.c", "/// Sleeps.\n/// @function sleep\n/// @param t! number long\n",
      "a.c:3: @param t!: not a parameter's name")
    refuses("a.c", "/// @function sleep\n", "a.c:1: sleep: missing the summary")
    refuses("a.c", "/// Sleeps.\n/// @function\n", "a.c:2: @function needs a name")
    refuses("a.c", "/// Sleeps.\n/// @function a\n/// @function b\n", "a.c:3: a second @function in one comment")
    refuses("a.c", "/// Sleeps.\n/// @function a\n/// @return\n", "a.c:3: @return without a description")
    refuses("a.c", "/// Sleeps.\n/// @function a\n/// @usage\n", "a.c:3: @usage without an example")
    refuses("a.c", "/// Words.\n/// @section a\n/// @raise x\n",
      "a.c:1: a @section takes no parameters: missing @function")
    local ok, why = pcall(apidoc.read, "a.c", "/// Sleeps.\n/// @function a\n/// @usage\n/// sleep(\n")
    assert.is_false(ok)
    assert.is_truthy(why:find("^a%.c:3: @usage is not Lua: "))
  end)

  it("refuses two documents of one function", function()
    local found = apidoc.read("a.c", "/// One.\n/// @function a\n\n/// Two.\n/// @function a\n")
    local ok, why = pcall(apidoc.render, found)
    assert.is_false(ok)
    assert.are.equal("a.c:4: a is documented already, in a.c:1", why)
  end)

  it("finds the public names that nobody described", function()
    local names = apidoc.surface([[
static const struct {
    const char *name, *module;
} globals[] = {
    {"http", "hospital.http"},
    {"assert_equal", "hospital.assertions"}, {"expect_equal", "hospital.assertions"},
    {"sleep", "hospital.time"},
    {NULL, NULL},
};
static const luaL_Reg modules[] = {
    {"hospital.host", "not a global"},
};
]])
    assert.are.equal(4, #names)
    local entries = apidoc.read("a.c", "/// One.\n/// @function http.get\n\n/// Two.\n/// @function assert_equal\n")
    assert.are.same({ { name = "sleep", line = 6 } }, apidoc.missing(names, entries))
  end)
end)

describe("apidoc as a command", function()
  local folder, run

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    run = function(arguments)
      local pipe = io.popen(("lua5.4 %s/tools/apidoc.lua %s 2>&1"):format(root, arguments:gsub("@", folder)))
      local text = pipe:read("a")
      local _, _, code = pipe:close()
      return code, text
    end
  end)

  after_each(function() os.execute("rm -r " .. folder) end)

  local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end

  it("writes, and tells a stale reference from a fresh one", function()
    write("a.c", "/// One.\n/// @function one\n")
    write("b.c", "/// Two.\n/// @function two\n")
    local code, text = run("@/b.c @/a.c")
    assert.are.equal(0, code)
    write("api.md", text)
    assert.are.same({ 0, "" }, { run("--check @/api.md @/a.c @/b.c") })
    write("api.md", text .. "more\n")
    assert.are.same({ 1, folder .. "/api.md: stale, `make docs` makes it anew\n" },
      { run("--check @/api.md @/a.c @/b.c") })
    assert.are.equal(1, (run("--check @/none.md @/a.c")))
  end)

  it("names every fault at once", function()
    write("a.c", "/// One.\n")
    write("b.c", "/// Two.\n/// @nothing two\n")
    write("surface.c", 'globals[] = {\n    {"three", "hospital.three"},\n};\n')
    local code, text = run("--surface @/surface.c @/a.c @/b.c")
    assert.are.equal(1, code)
    local expected = "@/a.c:1: missing @function\n@/b.c:2: unknown tag @nothing\n" ..
      "@/surface.c:2: three has no documentation\n"
    assert.are.equal(expected:gsub("@/", folder .. "/"), text)
  end)

  it("refuses unknown options", function()
    assert.are.equal(4, (run("--chek x")))
    assert.are.equal(4, (run("--check")))
  end)
end)
