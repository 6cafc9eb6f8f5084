-- db_fault.lua - what went wrong with a statement, for people: the server's words,
-- the line of the SQL that they are about with a caret below, and the code.
local probe = import "hospital.probe"
local brief = import("hospital.sql").brief
local format, gsub, rep, sub = string.format, string.gsub, string.rep, string.sub
local byte, find = string.byte, string.find
local concat, max, min = table.concat, math.max, math.min
local len, offset = utf8.len, utf8.offset
local tostring, type = tostring, type

local BEFORE, AFTER = 60, 40 -- characters shown on either side of the caret
local LONGEST = 500          -- of a detail or a hint

-- Where the n-th character begins, in bytes; n counts bytes where it is no UTF-8.
local function place_of(sql, n)
  n = max(n, 1)
  local whole = len(sql)
  return whole and offset(sql, min(n, whole + 1)) or min(n, #sql + 1), whole ~= nil
end

-- first, last: the line that the byte at is in; and its number.
local function line_around(sql, at)
  local first, number = 1, 1
  while true do
    local ending = find(sql, "\n", first, true) or #sql + 1
    if at <= ending then return first, ending - 1, number end
    first, number = ending + 1, number + 1
  end
end

-- The one line of the SQL, windowed, and a caret under the position.
local function excerpt(sql, position)
  local at, is_utf8 = place_of(sql, position)
  local first, last, number = line_around(sql, at)
  local from, to = max(first, at - BEFORE), min(last, at + AFTER)
  if is_utf8 then
    from = max(first, offset(sql, -BEFORE, at) or 1)
    to = min(last, (offset(sql, AFTER + 1, at) or #sql + 1) - 1)
  end
  local head, tail = sub(sql, from, at - 1), sub(sql, at, to)
  local lead = find(sql, "\n", 1, true) and format("  line %d: ", number) or "  "
  if from > first then lead = lead .. "…" end
  local text = gsub(head .. tail, is_utf8 and "[%c\127]" or "[%c\127-\255]", " ")
  local column = len(lead) + (is_utf8 and len(head) or #head)
  return lead .. text .. (to < last and "…" or "") .. "\n" .. rep(" ", column) .. "^"
end

-- One line of the server's.
local function said(what, text)
  if type(text) ~= "string" or text == "" then return nil end
  if #text > LONGEST then
    local most = LONGEST
    while most > 0 and byte(text, most + 1) >= 0x80 and byte(text, most + 1) < 0xC0 do most = most - 1 end
    text = sub(text, 1, most) .. "…"
  end
  return what .. ": " .. gsub(text, "\n", "\n  ")
end

local db_fault = { excerpt = excerpt }

local function complete(fault, began_after)
  fault.timings = fault.timings or {}
  fault.timings.total = fault.timings.total or began_after or 0
  fault.phase = fault.phase or "query"
end

-- A driver's fault of connecting as nil and a failure; the probe is noted.
function db_fault.connecting(place, fault, seconds)
  complete(fault, seconds)
  return probe.fault(place.kind, place.name, fault)
end

-- A driver's fault of a statement as a failure; the statement is noted by its session.
function db_fault.statement(place, sql, fault, seconds)
  complete(fault, seconds)
  local lines = { format("%s %s: %s (%s phase, after %s)", place.kind, place.name, fault.message, fault.phase,
    probe.time_text(fault.timings.total)) }
  local function add(text) lines[#lines + 1] = text end
  if type(fault.position) == "number" then add(excerpt(sql, fault.position)) else add("  in: " .. brief(sql, 160)) end
  add(said("detail", fault.detail))
  add(said("hint", fault.hint))
  if fault.code then add((#tostring(fault.code) == 5 and "SQLSTATE " or "code ") .. tostring(fault.code)) end
  fault.message, fault.target = concat(lines, "\n"), place.name
  return fault
end

-- What we found out ourselves.
function db_fault.own(place, kind, text, ...)
  return { kind = kind, phase = "query", target = place.name,
    message = format("%s %s: " .. text, place.kind, place.name, ...) }
end

-- A demand of an assertion's that does not hold: nil and a failure.
function db_fault.demand(place, text, expected, actual, diff)
  return nil, { kind = "assertion", target = place.name, message = format("%s %s: %s", place.kind, place.name, text),
    expected = expected, actual = actual, diff = diff }
end

return db_fault
