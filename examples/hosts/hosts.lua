-- One check for each row of a table.  The checks run at the same time, and each
-- has a verdict of its own.
--
--   HOSTS="web=http://10.0.0.1/ api=http://10.0.0.2/health" hospital run examples/hosts
local hosts = {}
for name, url in (env.HOSTS or ""):gmatch("([^=%s]+)=(%S+)") do
  hosts[#hosts + 1] = { name = name, url = url, tags = { "host" } }
end

for _, host in ipairs(hosts) do
  describe(host.name, { tags = host.tags, timeout = "5s" }, function()
    healthcheck("answers", function()
      assert_http_response(host.url, "2xx")
    end)

    healthcheck("answers quickly", { requires = host.name .. "::answers" }, function()
      local response = assert_http_response(host.url, "2xx")
      metric("response_time", response.timings.total, "s")
      assert_less(response.timings.total, 2)
    end)
  end)
end

-- A table that came out empty is a mistake, and must not look like health.
healthcheck("there are hosts to look at", function()
  assert_greater(#hosts, 0, "HOSTS is empty")
end)
