-- assert_version: precedence, demands, the suffixes of distributions.
package.path = "./spec/support/?.lua;" .. package.path
local fakehost = require "fakehost"

local function try(found, wanted, name)
  local state = fakehost.new()
  state.globals.found, state.globals.wanted = found, wanted
  return state, table.pack(state:check("\nlocal r = " .. (name or "assert_version") .. "(found, wanted)\nreturn r"))
end

local function holds(found, wanted)
  local _, result = try(found, wanted)
  assert.is_true(result[1], tostring(result[2]))
  assert.equal(found, result[2])
end

local function fails(found, wanted)
  local state, result = try(found, wanted)
  assert.is_false(result[1], found .. " should not be " .. wanted)
  assert.equal("failure", state.host.kind(result[2]), tostring(result[2]))
  return result[2]
end

describe("assert_version", function()
  it("orders as semver does", function()
    local rising = { "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
      "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-rc1", "1.0.1", "1.9.0", "1.10.0", "2.0.0" }
    for i, low in ipairs(rising) do
      holds(low, "=" .. low)
      for j = i + 1, #rising do
        holds(rising[j], "> " .. low)
        holds(low, "< " .. rising[j])
        fails(low, ">= " .. rising[j])
        fails(rising[j], "<= " .. low)
      end
    end
    holds("1.0.0+build.5", "= 1.0.0+other")
  end)

  for _, case in ipairs {
    { "1.2", ">= 1.2" }, { "1.2.0", "= 1.2" }, { "1.3", ">=1.2" }, { "v1.2.3", "1.2.3" }, { "1.2.3", "v1.2.3" },
    { "1.4.9", "~> 1.4" }, { "1.9", "~> 1.4" }, { "1.4.9", "~> 1.4.2" }, { "1.2.7", "1.2.x" },
    { "1.2", "1.2.*" }, { "1.7", "1.x" }, { "1.5.0", ">= 1.2, < 2" }, { "1.5.0", ">=1.2 <2 != 1.4" },
    { "1.9.1", "^1.4" }, { "0.2.9", "^0.2.3" }, { "3", "3" }, { "1.2.9", "1.x.x" }, { "9.9", "~> 9" },
    { "15.4-1.pgdg120+1", ">= 15.4" }, { "15.4 (Debian 15.4-1.pgdg120+1)", "15.x" },
    { "15.4-1.pgdg120+1", "= 15.4" }, { "15.4-1.pgdg120+1", "<= 15.4" }, { "5.4.4-3+deb12u1", ">= 5.4.4" },
    { "1:9.2p1-2+deb12u3", ">= 1:9.2" }, { "9.2p1", "> 9.1" }, { "1.1.1n", ">= 1.1.1" },
    { "1.1.1n", ">= 1.1.1k" }, { "1.1.1a", "> 1.1.1" }, { "1.18.0-6ubuntu14", "~> 1.18.0" }, { "2.38~rc1-1", "< 2.38" },
    { "3.12.0rc1", "< 3.12.0" }, { "1.0b2", "> 1.0b1" }, { "7.4-2", "> 7.4-1" }, { "1:9.2p1-2+deb12u3", "= 1:9.2p1" },
    { "9.2p1-3", "> 9.2p1-2" }, { "7.4", "< 7.4-1" },
  } do
    it(case[1] .. " is " .. case[2], function() holds(case[1], case[2]) end)
  end

  for _, case in ipairs {
    { "1.1", ">= 1.2" }, { "2.0", "~> 1.4" }, { "1.3.9", "~> 1.4" }, { "1.5.0", "~> 1.4.2" },
    { "2.0.0-rc1", "~> 1.4" }, { "1.3.0", "1.2.x" }, { "2.0", ">= 1.2, < 2" }, { "1.4", "!= 1.4.0" },
    { "2.0", "^1.4" }, { "0.3.0", "^0.2.3" }, { "1.2.4", "1.2.3" }, { "1.1.1k", ">= 1.1.1n" },
    { "15.4-1.pgdg120+1", "> 15.4" }, { "1.0.0-rc.1", ">= 1.0.0" }, { "9.2", ">= 1:1.0" }, { "10.0", "9.x" },
    { "1.1.1n", "= 1.1.1" },
  } do
    it(case[1] .. " is not " .. case[2], function()
      assert.equal("version " .. case[1] .. " is not " .. case[2], fails(case[1], case[2]).message)
    end)
  end

  it("fails on what is no version, whatever it is", function()
    for _, found in ipairs { "unknown", "", "1..2", "1.2.", "nginx/1.2", "1.2$",
      ("1."):rep(200) .. "1", 5, {}, false } do
      local state, result = try(found, ">= 1")
      assert.equal("failure", state.host.kind(result[2]), tostring(result[2]))
      assert.equal("this is not a version", result[2].message)
    end
    local _, result = try(nil, ">= 1")
    assert.equal("nil", result[2].actual)
  end)

  it("is misused with what is no demand", function()
    for _, wanted in ipairs { "", "newest", ">= ", "=> 1.2", 1.2, {}, ">= 1.x.2" } do
      local _, result = try("1.2", wanted)
      assert.matches("^shop%.lua:2: assert_version: .* is not a demand", tostring(result[2]))
    end
    local _, result = try("1.2", nil)
    assert.matches("nil is not a demand", result[2])
  end)

  it("has an expect_ twin", function()
    local state, result = try("1.1", ">= 1.2", "expect_version")
    assert.is_true(result[1])
    assert.equal("version 1.1 is not >= 1.2", state.records.failure[1].message)
  end)
end)
