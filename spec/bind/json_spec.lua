-- json_spec.lua: json.encode and json.decode.
local script = require "spec.support.script"
local tree = require "spec.support.tree"

local function run(code, options) return (script.http(code, options)) end

describe("json", function()
  after_each(tree.clean)

  it("keeps integers exact and floats floats", function()
    assert.equal("returned: 9007199254740993 -9223372036854775808 1.0 1000.0 1.8446744073709552e+19 integer float",
      run([[local t = json.decode("[9007199254740993,-9223372036854775808,1.0,1e3,18446744073709551616]")
        return t[1] .. " " .. t[2] .. " " .. t[3] .. " " .. t[4] .. " " .. json.encode(t[5]) .. " "
          .. math.type(t[1]) .. " " .. math.type(t[3])]]))
    assert.equal("returned: [9007199254740993,1.0,0.1,1e+300,-0.0]",
      run("return json.encode({9007199254740993, 1.0, 0.1, 1e300, -0.0})"))
  end)

  it("tells empty arrays from empty objects", function()
    assert.equal("returned: [] {} [] {\"a\":[]}", run([[return json.encode(json.array()) .. " " .. json.encode({})
      .. " " .. json.encode(json.decode("[]")) .. " " .. json.encode(json.decode('{"a":[]}'))]]))
  end)

  it("keeps null", function()
    assert.equal("returned: [1,null,3] true", run([[local t = json.decode("[1,null,3]")
      return json.encode(t) .. " " .. tostring(t[2] == json.null)]]))
  end)

  it("escapes and unescapes", function()
    assert.equal([[returned: "a\"\\\n\u0001é"]], run([[return json.encode('a"\\\n\1é')]]))
    assert.equal("returned: /\"\\\b\f\n\r\té€😀",
      run([[return json.decode('"\\/\\"\\\\\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00"')]]))
  end)

  it("refuses what is not JSON", function()
    for text, why in pairs({
      ["[1,]"] = "a value expected at line 1, column 4", ["{\"a\":1,}"] = "a key in double quotes expected",
      ["[1 2]"] = "',' or ']' expected", ["{\"a\" 1}"] = "':' expected", ["{a:1}"] = "a key in double quotes",
      ["nan"] = "a value expected", ["NaN"] = "a value expected", ["-inf"] = "a digit expected",
      ["1e999"] = "a number too large", ["01"] = "text after the value", ["1."] = "a digit expected",
      [".5"] = "a value expected", ["+1"] = "a value expected", ["'a'"] = "a value expected",
      ["\"a"] = "the text ends in a string", ["\"\1\""] = "a control character", ["\"\\x\""] = "an unknown escape",
      ["\"\\ud800\""] = "half a surrogate pair", ["\"\\u12g4\""] = "four hex digits expected",
      [""] = "the text ends early", ["[1"] = "',' or ']' expected", ["tru"] = "a value expected",
      ["1 1"] = "text after the value", ["[\n\n x]"] = "at line 3, column 2", ["0x10"] = "text after the value",
    }) do
      local outcome = run(("json.decode(%q)"):format(text))
      assert.is_truthy(outcome:find("raised: script.lua:", 1, true), outcome)
      assert.is_truthy(outcome:find(why, 1, true), text .. "\n" .. outcome)
    end
    assert.is_truthy(run("json.decode('1\\0')"):find("text after the value", 1, true))
  end)

  it("refuses what JSON cannot say", function()
    for value, why in pairs({
      ["0/0"] = "nan", ["1/0"] = "cannot encode inf", ["-1/0"] = "-inf", ["print or pcall"] = "cannot encode a function",
      ["{1, nil, 3, x = 1}"] = "list without holes", ["{[1.5] = 1}"] = "key of type number",
      ["(function() local t = {} t.t = t return t end)()"] = "a cycle", ["{{}, coroutine.create(pcall)}"] = "a thread",
    }) do
      local outcome = run("json.encode(" .. value .. ")")
      assert.is_truthy(outcome:find(why, 1, true), value .. "\n" .. outcome)
    end
  end)

  it("holds depth, time and memory", function()
    assert.is_truthy(run("json.decode(('['):rep(129))"):find("deeper than 128", 1, true))
    assert.equal("returned: 1", run("local t = json.decode(('['):rep(128) .. (']'):rep(128)) return #t"))
    assert.equal("killed: memory", run("json.decode('[' .. ('[1],'):rep(100000) .. '1]')", { memory = 2 << 20 }))
    assert.equal("killed: deadline",
      run("local t = {} for i = 1, 100000 do t[i] = i end while true do json.encode(t) end", { deadline = 300 }))
  end)
end)
