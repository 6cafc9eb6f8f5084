-- The sandbox, seen from inside: what a check must not reach is not there, and
-- what it needs is.

describe("sandbox", { tags = { "self", "sandbox" } }, function()
  healthcheck("has no way to files, programs and the debugger", function()
    for _, name in ipairs { "io", "package", "debug", "dofile", "loadfile" } do
      expect_nil(_G[name], name)
    end
    for _, name in ipairs { "execute", "exit", "getenv", "remove", "rename", "tmpname" } do
      expect_nil(os[name], "os." .. name)
    end
    expect_nil(string.dump, "string.dump")
  end)

  healthcheck("refuses bytecode", function()
    assert_nil((load("\27Lua", "bytecode", "b")))
  end)

  healthcheck("starts with a small state", function()
    local used = collectgarbage("count") * 1024
    metric("lua_memory", used, "bytes")
    assert_less(used, 1024 * 1024)
  end)

  healthcheck("keeps an error where it was raised", function()
    local raised = assert_error(function() error("as expected") end, "as expected")
    assert_match("sandbox%.lua:%d+", raised)
  end)
end)
