-- A login as a browser does it, in steps: the form, the cookie, the page behind it,
-- the way out.  hospital keeps no cookies: what the next step needs is passed on
-- by hand, and so is seen here.
--
-- The password comes from the environment.  Values of variables whose names say
-- PASSWORD, SECRET, TOKEN or KEY are blotted out in every report.
local SHOP = env.SHOP_URL or "http://127.0.0.1:8080"

local function session_cookie(response)
  local cookie = assert_not_nil(response.headers["set-cookie"], "no cookie was set")
  return assert_match("^session=[^;]+", cookie)
end

healthcheck("a customer can log in, look and leave", { timeout = "10s" }, function()
  local user = env.LOGIN_USER or skip("set LOGIN_USER and LOGIN_PASSWORD")

  -- 303 is what we want to see here: a status that is asked for is not followed.
  local answer = assert_http_response(SHOP .. "/login", {
    form = { user = user, password = env.LOGIN_PASSWORD },
    status = 303,
  }, "login")
  assert_equal("/account", answer.headers.location)
  local cookie = session_cookie(answer)

  local account = assert_http_response(SHOP .. "/account", {
    headers = { Cookie = cookie },
    status = 200,
  }, "account page").json()
  assert_equal(user, account.user)

  assert_http_response(SHOP .. "/logout", { method = "POST", headers = { Cookie = cookie }, status = 204 })
  assert_http_response(SHOP .. "/account", { headers = { Cookie = cookie }, status = 401 }, "after the logout")
end)

healthcheck("a wrong password is refused", function()
  assert_http_response(SHOP .. "/login", { form = { user = "nobody", password = "wrong" }, status = 401 })
end)
