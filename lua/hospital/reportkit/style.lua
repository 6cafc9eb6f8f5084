-- style.lua: how text for people looks: colours where they are wanted, and nothing that a check
-- says can steer a terminal.
local style = {}

local format = string.format

local codes = { red = "31", green = "32", yellow = "33", cyan = "36", bold = "1", dim = "2" }

style.status = {
  pass = { char = ".", word = "pass", color = "green", plural = "passed" },
  warn = { char = "w", word = "WARN", color = "yellow", plural = "warnings" },
  fail = { char = "F", word = "FAIL", color = "red", plural = "failures" },
  error = { char = "E", word = "ERROR", color = "red", plural = "errors" },
  timeout = { char = "T", word = "TIMEOUT", color = "red", plural = "timeouts" },
  skip = { char = "s", word = "skip", color = "cyan", plural = "skipped" },
  expected_failure = { char = "x", word = "expected failure", color = "green",
    plural = "expected failures" },
  unexpected_success = { char = "u", word = "UNEXPECTED SUCCESS", color = "red",
    plural = "unexpected successes" },
}

local green = { pass = true, warn = true, skip = true, expected_failure = true }

--- Whether a check makes the run red; what is not known to be green does.
function style.is_red(status, strict)
  return not green[status] or (status == "warn" and strict) or false
end

--- Returns paint(color, text) for an output.
function style.painter(out)
  if not out.color then
    return function(_, text) return text end
  end
  return function(color, text)
    return "\27[" .. codes[color] .. "m" .. text .. "\27[0m"
  end
end

--- Replaces the bytes of text that are no UTF-8: by replace(byte).
function style.repair(text, replace)
  local bad = select(2, utf8.len(text))
  if not bad then return text end
  local parts, from = {}, 1
  while bad do
    parts[#parts + 1] = text:sub(from, bad - 1)
    parts[#parts + 1] = replace(text:byte(bad))
    from = bad + 1
    bad = select(2, utf8.len(text, from))
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

local function show_byte(byte) return format("\\x%02x", byte) end
local function show_control(c) return format("\\x%02x", c:byte()) end
local function show_rune(c) return format("\\u{%x}", utf8.codepoint(c)) end

-- C1 controls, Arabic letter mark, zero widths and marks, separators and embeddings, isolates, BOM.
local invisible = {
  "\xc2[\x80-\x9f]", "\xd8\x9c", "\xe2\x80[\x8b-\x8f]", "\xe2\x80[\xa8-\xae]",
  "\xe2\x81[\xa0-\xaf]", "\xef\xbb\xbf",
}

--- Text of a check, safe for a terminal: lines and tabs stay, every other control is made visible.
function style.clean(text)
  if not text:find("[^\n\t -~]") then return text end
  text = style.repair(text, show_byte)
  text = text:gsub("[\1-\8\11-\31\127%z]", show_control)
  for _, pattern in ipairs(invisible) do text = text:gsub(pattern, show_rune) end
  return text
end

--- The same on one line.
function style.line(text)
  if not text:find("[^ -~]") then return text end
  return (style.clean(text):gsub("\n", "\\n"):gsub("\t", "\\t"))
end

function style.seconds(seconds) return format("%.3fs", seconds or 0) end

--- "1 check", "2 checks".
function style.count(n, noun) return format("%d %s%s", n, noun, n == 1 and "" or "s") end

--- Names and values of a table of timings, longest last: "connect 1.2ms, total 3.4ms".
function style.timings(timings)
  local names = {}
  for name in pairs(timings) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if timings[a] ~= timings[b] then return timings[a] < timings[b] end
    return a < b
  end)
  for i, name in ipairs(names) do
    names[i] = format("%s %.1fms", style.line(name), timings[name] * 1000)
  end
  return table.concat(names, ", ")
end

return style
