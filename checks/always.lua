-- The two checks that hold everywhere: what a pass and a skip look like, and a
-- way to see that hospital itself, its reports and what reads them work.

healthcheck("always passes", { tags = "self" }, function()
  assert_true(true)
end)

healthcheck("is always skipped", { tags = "self", skip = "this check only shows how a skip looks" }, function()
  error("a skipped check does not run")
end)
