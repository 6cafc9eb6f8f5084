-- manpage.lua HOSPITAL: writes hospital(1) from what the binary's help says, so
-- that the options table stays the only place where options are described.
local binary = assert(arg[1], "usage: manpage.lua HOSPITAL")

local function help(topic)
  local pipe = assert(io.popen(("'%s' help %s"):format(binary, topic)))
  local text = pipe:read("a")
  assert(pipe:close(), "hospital help failed")
  return text
end

local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n([.'])", "\n\\&%1"):gsub("^([.'])", "\\&%1"))
end

local function put(...) io.write(table.concat({ ... }), "\n") end

-- Entries "  -t, --tag TAG     text", further lines indented to the text's column.
local function entries(block)
  local list = {}
  for line in block:gmatch("[^\n]+") do
    local head, text = line:match("^ ? ? ? ? ? ?(%S.-)%s%s+(%S.*)$")
    if line:match("^%s%s%s%s%s%s%s%s%s%s%s") then
      local last = list[#list]
      last.text = (last.text == "" and "" or last.text .. " ") .. line:match("^%s*(.-)%s*$")
    else
      list[#list + 1] = { head = head or line:match("^%s*(.-)%s*$"), text = text or "" }
    end
  end
  return list
end

local function put_entries(block)
  for _, entry in ipairs(entries(block)) do
    put(".TP\n.B ", roff(entry.head))
    put(roff(entry.text))
  end
end

put([[
.\" Made by `make docs` from hospital's own help: change src/cli/options_table.c.
.TH HOSPITAL 1
.SH NAME
hospital \- run healthchecks written in Lua
.SH SYNOPSIS
.B hospital
.I COMMAND
.RI [ OPTION ...]
.RI [ PATH ...]
.SH COMMANDS]])
put_entries(help(""):match("\nCommands:\n(.-)\n\n"))

local run = help("run")
put(".SH RUN\n", roff(run:match("\n\n(PATH.-)\n\n")))
local rest = run:match("\n\n(Select:.*)$") .. "\n\n"
for title, block in rest:gmatch("(%u[%a ]+):\n(.-)\n\n") do
  if title ~= "Exit codes" then
    put(".SS ", title)
    put_entries(block)
  end
end
put(".SH ENVIRONMENT\n", roff(run:match("(Every option has a twin.-)\n\n")))
put(".SH EXIT STATUS\n", roff((run:match("Exit codes:\n(.*)$"):gsub("\n  ", "\n"):gsub("^  ", ""))))
