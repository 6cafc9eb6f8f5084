-- db_expect.lua - what came of a query, held against what an author expects.
local probe = import "hospital.probe"
local demand = import("hospital.db_fault").demand
local null = import("hospital.json").json.null
local inspect = import "hospital.inspect"
local same = import("hospital.compare").same
local import, next, rawlen, tonumber, tostring, type = import, next, rawlen, tonumber, tostring, type
local format = string.format
local misuse = probe.misuse

local function show(value)
  if value == null then return "NULL" end
  return inspect.show(value)
end

local function rows_text(n) return n == 1 and "1 row" or format("%d rows", n) end

-- Rows by position as rows by column.
local function named(given, result)
  local rows, seen = {}, {}
  for _, name in next, result.columns do
    if seen[name] then
      misuse("%s: two columns are called %s: give them names, as in select count(*) as orders", given.what, name)
    end
    seen[name] = true
  end
  for i, row in next, result.rows do
    rows[i] = {}
    for k, name in next, result.columns do rows[i][name] = row[k] end
  end
  return rows
end

local function one_row(given, result, expected)
  if #result.rows == 1 then return true end
  return demand(given.place, format("1 row expected, got %s", rows_text(#result.rows)), expected,
    rows_text(#result.rows))
end

local function scalar(given, result)
  local expected = given.expected
  if #result.columns ~= 1 then
    misuse("%s: the statement has %d columns: expect a row, { name = value }, or a list of rows", given.what,
      #result.columns)
  end
  local ok, failure = one_row(given, result, show(expected))
  if not ok then return nil, failure end
  local actual = result.rows[1][1]
  if same(expected, actual) then return actual end
  local text = format("%s expected, got %s", show(expected), show(actual))
  if type(expected) == "number" and type(actual) == "string" and tonumber(actual) then
    text = text .. ': a numeric arrives as a string, unless { numeric = "number" } is given'
  end
  return demand(given.place, text, show(expected), show(actual), import("hospital.diff")(expected, actual))
end

local function deep(given, expected, actual, text)
  if same(expected, actual) then return actual end
  return demand(given.place, text, show(expected), show(actual), import("hospital.diff")(expected, actual))
end

local function predicate(given, result)
  local rows = named(given, result)
  local first = result.rows[1] and result.rows[1][1]
  if first == null then first = nil end
  local holds, failure = probe.attempt(function() return { given.expected(first, rows) } end)
  if failure then return nil, failure end
  if holds[1] and holds[1] ~= null then return rows end
  return demand(given.place, "the result is not as expected", "a result for which the function is true", show(rows))
end

-- What was compared; or nil and a failure.
return function(given, result)
  local expected = given.expected
  if #result.columns == 0 then
    misuse("%s: the statement brings no columns, so there is nothing to be expected of it: %s", given.what, given.brief)
  end
  if type(expected) == "function" then return predicate(given, result) end
  if type(expected) ~= "table" then return scalar(given, result) end
  local rows = named(given, result)
  if rawlen(expected) > 0 or next(expected) == nil then
    local text = #rows == rawlen(expected) and "the rows are not those that were expected"
      or format("%s expected, got %s", rows_text(rawlen(expected)), rows_text(#rows))
    return deep(given, expected, rows, text)
  end
  local ok, failure = one_row(given, result, show(expected))
  if not ok then return nil, failure end
  return deep(given, expected, rows[1], "the row is not the one that was expected: " .. tostring(given.brief))
end
