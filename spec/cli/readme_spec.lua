-- What the README says is run: its first check, the console blocks below a
-- <!-- run --> mark, and its tables against the binary's own help.
local cjson = require "cjson"
local process = require "spec.support.process"
local server = require "spec.support.server"
local shop = require "spec.support.shop"
local tree = require "spec.support.tree"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local readme = read("README.md")
local BASE = "http://127.0.0.1:8080"

-- The first Lua block, under the path that its first line names.
local function first_check()
  local path, text = readme:match("```lua\n%-%- (%S+)\n(.-)```")
  return { [path] = text }
end

-- { command, output, code, json } of each marked block.
local function marked()
  local list = {}
  for mark, block in readme:gmatch("<!%-%- run (.-) %-%->\n```console\n(.-)```") do
    local command, output = block:match("^%$ hospital ([^\n]*)\n(.*)$")
    list[#list + 1] = { command = command, output = output, code = tonumber(mark:match("exit=(%d+)")),
                        json = mark:find("json") ~= nil }
  end
  return list
end

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  return list
end

-- Times differ from run to run, and so does the spec's port.
local function level(text, url)
  return (text:gsub(url, BASE, 1e3):gsub("%d+%.%d+", "N"))
end

local function escaped(text) return (text:gsub("%p", "%%%0")) end

-- Each paragraph between lines of "..." stands in text, in that order.
local function assert_shown(wanted, text)
  local at = 1
  for part in (wanted .. "...\n"):gmatch("(.-)%.%.%.\n") do
    local from, to = text:find(part, at, true)
    assert(from, "not as the README shows it:\n" .. part .. "\nbut:\n" .. text)
    at = to + 1
  end
end

-- Whatever the README's document has is there in the real one, of the same type.
local function assert_like(wanted, got, where)
  assert.are.equal(type(wanted), type(got), where)
  if type(wanted) ~= "table" then return end
  for key, value in pairs(wanted) do assert_like(value, got[key], where .. "." .. key) end
end

describe("README.md", function()
  after_each(function()
    server.clean()
    tree.clean()
  end)

  it("shows what its console blocks print", function()
    local blocks = marked()
    assert.are.equal(2, #blocks)
    for _, block in ipairs(blocks) do
      local s = shop.start { down = true }
      local done = process.hospital(words(block.command),
        { cwd = tree.make(first_check()), env = { SHOP_URL = s.url } })
      assert.are.equal(block.code, done.code, done.stderr)
      if block.json then
        assert_like(cjson.decode(block.output), cjson.decode(done.stdout), "report")
      else
        assert_shown(level(block.output, BASE), level(done.stdout, escaped(s.url)))
      end
    end
  end)

  it("names all options of run, and none that there is not", function()
    local help = process.hospital({ "help", "run" }).stdout
    for option in help:gmatch("%f[-](%-%-%l[%l-]+)") do
      assert(readme:find(option, 1, true), option .. " is not in the README")
    end
    for _, command in ipairs { "list", "lint", "new", "doctor", "version", "help" } do
      assert(readme:find("`hospital " .. command, 1, true), command .. " is not in the README")
    end
    for line in readme:gmatch("\n([^\n]*)") do
      local of_ours = line:find("hospital") or line:find("^| `%-")
      for option in (of_ours and line or ""):gmatch("%f[-](%-%-%l[%l-]+)") do
        assert(help:find(option, 1, true), option .. " is in the README and not in the help")
      end
    end
  end)

  it("says what the help says of exit codes and defaults", function()
    local help = process.hospital({ "help", "run" }).stdout
    for _, default in ipairs { "256", "10 ?s", "16M" } do
      assert.matches(default, help)
      assert.matches(default, readme)
    end
    for code, text in readme:match("| exit status | |\n|%-%-%-|%-%-%-|\n(.-)\n\n"):gmatch("| (%d) | (%a+)") do
      assert(help:find(code .. " ", 1, true), code .. " " .. text)
    end
  end)

  it("names all options of a check, as the DSL has them", function()
    local known = read("lua/hospital/options.lua")
    for _, name in ipairs { "tags", "slow", "timeout", "retries", "retry_delay", "requires", "expected_failure", "skip",
      "description", "owner", "runbook", "severity", "every", "of" } do
      assert(readme:find("`" .. name .. "`", 1, true), name)
      assert(known:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
    end
  end)

  it("has Lua that loads", function()
    for block in readme:gmatch("```lua\n(.-)```") do assert(load(block)) end
  end)

  it("links to files that exist", function()
    for _, page in ipairs { "README.md", "examples/README.md" } do
      local folder = page:match("^(.*/)") or ""
      for target in read(page):gmatch("%]%(([^)#]+)[^)]*%)") do
        assert(process.run("/usr/bin/test", { args = { "-e", folder .. target } }).code == 0, page .. ": " .. target)
      end
    end
  end)

  it("keeps quiet with -q when all is well, as its line for cron has it", function()
    local s = shop.start()
    local done = process.hospital({ "run", "-q", "--deadline", "4m", "checks" },
      { cwd = tree.make(first_check()), env = { SHOP_URL = s.url } })
    assert.are.equal(0, done.code, done.stdout)
    assert.are.equal("", done.stdout .. done.stderr)
  end)
end)

describe("src/README.md", function()
  it("names every file", function()
    local map = read("src/README.md")
    local pipe = assert(io.popen("ls src/*/*.c src/*/*.h lua/hospital/*.lua lua/hospital/*/*.lua"))
    for path in pipe:lines() do
      local stem = path:match("([^/]+)%.%w+$")
      assert(map:find("%f[%w_]" .. stem .. "%f[^%w_]"), path .. " is not on the map")
    end
    pipe:close()
  end)

  it("names no file that is gone", function()
    for path in read("src/README.md"):gmatch("`(%l+/[%l%d_]+%.[ch])`") do
      assert(io.open("src/" .. path, "rb"), path):close()
    end
  end)
end)
