-- What may become of a check, besides pass and fail.
local SHOP = env.SHOP_URL or "http://127.0.0.1:8080"

-- warn: green, but seen.  With --strict it is red.
healthcheck("the queue is short", function()
  local length = assert_http_response(SHOP .. "/health", 200).json().queue.length
  metric("queue_length", length, "orders")
  assert_less(length, 1000)
  if length > 10 then warn("the queue grows: " .. length) end
end)

-- skip: in the options, or on finding out that there is nothing to check.
healthcheck("the second region answers", function()
  local url = env.SECOND_REGION_URL or skip("there is no second region here")
  assert_http_response(url, 200)
end)

-- expected_failure: known and green; when it holds again, that is red, so that the
-- mark does not outlive its reason.
healthcheck("old links still work", { expected_failure = "SHOP-17: redirects were lost" }, function()
  assert_http_response(SHOP .. "/old-link", 200)
end)

-- retries: passing on a later attempt is a warning, not a pass.
healthcheck("the flaky gateway answers", { retries = 2, retry_delay = "50ms" }, function()
  assert_http_response(SHOP .. "/flaky", 200)
end)

-- eventually: for what takes its time by design.
healthcheck("an export is ready in time", { timeout = "5s" }, function()
  local export = assert_http_response(SHOP .. "/exports", { method = "POST", status = 202 }).json()
  eventually("3s", function()
    assert_http_response(SHOP .. "/exports/" .. export.id, 200)
  end)
end)

-- parallel: together, and the first failure is raised when all have ended.
healthcheck("all parts of the page answer", function()
  local pages = {}
  for i, path in ipairs { "/", "/health", "/orders" } do
    pages[i] = function() return assert_http_response(SHOP .. path, 200).timings.total end
  end
  local times = { parallel(table.unpack(pages)) }
  assert_equal(3, #times)
end)

-- slow: left out unless --slow is given; the summary says so.
healthcheck("the sitemap is complete", { slow = true, timeout = "1m" }, function()
  assert_http_response(SHOP .. "/sitemap.xml", { status = 200, contains = "</urlset>" })
end)
