package.path = "./spec/lua/?.lua;" .. package.path
local support = require "report_support"
local cjson = require "cjson"
local jsonwriter = require "hospital.reportkit.jsonwriter"

local function all_bytes()
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  return table.concat(bytes)
end

-- Sequences that lenient decoders let through: overlong, surrogate, too high, cut short.
local bad = { "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff\xfe", "a\x80b" }

describe("the JSON writer", function()
  it("writes every byte as valid UTF-8", function()
    local text = jsonwriter.string(all_bytes() .. table.concat(bad, "|"))
    assert.truthy(utf8.len(text))
    assert.truthy(support.python(text))
  end)

  it("keeps valid text exactly", function()
    local texts = { "", "plain", "q\"b\\s/", "\0\1\31\127", "ünï → 😀", "\u{2028}[]^`" }
    for _, text in ipairs(texts) do
      assert.equal(text, cjson.decode("[" .. jsonwriter.string(text) .. "]")[1])
    end
  end)

  it("replaces each byte that is no UTF-8, and no others", function()
    assert.equal('"é\u{FFFD}ü"', jsonwriter.string("é\xffü"))
    assert.equal('"\u{FFFD}\u{FFFD}"', jsonwriter.string("\xe2\x82"))
  end)

  it("writes integers exactly and floats so that they come back", function()
    assert.equal("9223372036854775807", jsonwriter.number(math.maxinteger))
    assert.equal("-9223372036854775808", jsonwriter.number(math.mininteger))
    for _, value in ipairs { 0.1, 1 / 3, 1763695555.123456, 1e308, 5e-324, 2 ^ 53 + 2.0 } do
      assert.equal(value, tonumber(jsonwriter.number(value)))
    end
    assert.equal("0.1", jsonwriter.number(0.1))
  end)

  it("writes null for what is no number", function()
    for _, value in ipairs { 0 / 0, 1 / 0, -1 / 0 } do
      assert.equal("null", jsonwriter.number(value))
    end
  end)

  it("tells lists from objects", function()
    assert.equal("[]", jsonwriter.encode({}))
    assert.equal("{}", jsonwriter.encode({}, "timings"))
    assert.equal('{"1":1,"x":2}', jsonwriter.encode({ 1, x = 2 }))
    assert.equal('{"2":1}', jsonwriter.encode({ [2] = 1 }))
  end)

  it("survives a table that holds itself", function()
    local t = {}
    t[1] = t
    assert.truthy(support.python(jsonwriter.encode(t)))
  end)
end)

describe("json", function()
  local hostile = support.check {
    status = "fail", test = all_bytes(), id = "x\xff::\27[2J", context = "\0",
    output = { all_bytes(), "" }, tags = { "a\"b" },
    metrics = { { name = "n\n", value = 0 / 0, unit = "\\" }, { name = "i", value = 2 ^ 53 | 0 } },
    failures = {
      { kind = "assertion", message = table.concat(bad), expected = { 1, { x = false } },
        actual = 2, timings = {}, traceback = { "shop.lua:1: in \xff" } },
    },
    probes = { { kind = "http", target = "http://h/\xff", timings = { dns = 0.001 } } },
  }

  it("is one document of the promised shape", function()
    local text = support.run("json", { support.check { tags = { "smoke" } }, hostile })
    assert.equal('["fail", 2, 1, 1, "box", "0.1.0"]', support.python(text, [=[
[d["status"]] + [d["summary"][k] for k in "total pass fail".split()] + \
[d["host"], d["version"]]]=]))
    local wanted = '["can be counted", "pass", "shop.lua", 12, ["smoke"], 1763695555.123456, ' ..
      "0.0015, 1, [], [], []]"
    assert.equal(wanted, support.python(text, [=[
[d["details"][0][k] for k in """test status file line tags started duration attempts
output metrics failures""".split()]]=]))
    assert.equal('[null, 9007199254740992, "\\u0000"]', support.python(text, [=[
[m["value"] for m in d["details"][1]["metrics"]] + [d["details"][1]["context"]]]=]))
    assert.equal("fail", cjson.decode(text).details[2].status)
  end)

  it("lists no details, and does not pass, when nothing ran", function()
    local text = support.run("json", {})
    assert.equal('["fail", [], []]',
      support.python(text, '[d["status"], d["details"], d["notes"]]'))
  end)

  it("puts diagnoses under the check they explain", function()
    local red = support.check { status = "error", id = "a" }
    local text = support.run("json", { support.check(), red }, {
      diagnoses = {
        { of = "a", check = support.check { test = "why" } },
        { of = "elsewhere", check = support.check() },
      },
    })
    assert.equal('["why", "elsewhere"]', support.python(text,
      '[d["details"][1]["diagnoses"][0]["check"]["test"], d["diagnoses"][0]["of"]]'))
  end)

  it("takes time in proportion to the checks", function()
    local function seconds(count)
      local checks = {}
      for i = 1, count do checks[i] = support.check() end
      local start = os.clock()
      support.run("json", checks)
      return os.clock() - start
    end
    seconds(1000)
    local small, large = seconds(5000), seconds(50000)
    assert.is_true(large < small * 30, ("%f %f"):format(small, large))
  end)
end)

describe("jsonl", function()
  it("is one object a line, one line an event", function()
    local text = support.run("jsonl", {
      support.check(), support.check { status = "fail", context = "a\nb\r\xff" },
    }, { diagnoses = { { of = "x\n", check = support.check() } } })
    local events = '["run_started", "check_finished", "check_finished", ' ..
      '"diagnosis_finished", "run_finished"]'
    assert.equal(events, support.python(text, '[e["event"] for e in d]', true))
    assert.equal('["fail", "x\\n", 2, []]', support.python(text,
      '[d[2]["check"]["status"], d[3]["of"], d[4]["summary"]["total"], d[4]["notes"]]', true))
  end)
end)
