-- What hospital needs of the host it runs on, without a network.  `hospital doctor`
-- tells more, and the line that mends what is missing.

-- 2026-01-01: no host that runs this is older.  A clock that has lost its battery
-- begins at 1970, and then certificates look as if they were not valid yet.
local RELEASED = 1767225600

describe("clock", { tags = { "self", "host" } }, function()
  healthcheck("is past the release of this check", function()
    assert_greater(os.time(), RELEASED, "the clock is slow: look at the time service")
  end)

  healthcheck("goes forward while we wait", function()
    local wall, steady = os.time(), now()
    sleep("20ms")
    assert_greater_equal(os.time(), wall, "the wall clock was set back")
    local slept = now() - steady
    metric("sleep_20ms", slept, "s")
    assert_greater_equal(slept, 0.02, "sleep() returned early")
    assert_less(slept, 5, "the host is so busy that 20 ms took seconds")
  end)
end)

healthcheck("environment can be read", { tags = { "self", "host" } }, function()
  assert_match("^/", env.PATH or skip("PATH is not set, or --deny env hides it"))
end)
