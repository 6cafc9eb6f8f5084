-- apidoc.lua: writes the API reference from the comments above the functions.
--
--   lua5.4 tools/apidoc.lua [--surface src/vm/surface.c] [--check docs/api.md] FILE...
--
-- In C a comment is /*** … */ or lines of ///; in Lua it is --- and the lines of -- after it:
--
--   /*** Asks a server over HTTP and waits for the whole answer.
--    * Any prose, in Markdown.
--    * @function http.request
--    * @param url string http or https
--    * @param [options] table see below
--    * @param options.timeout duration for the whole exchange; 10 s
--    * @return table status, headers, body
--    * @raise connect when nobody listens
--    * @usage
--    * local response = http.request("http://127.0.0.1:8080/")
--    */
--
-- LDoc's @param[opt] and @param[opt=7] say optional too, and its @tparam and @treturn put the type
-- first. A type is one of the words in TYPES, or several with |
-- between; it may be left out, the description may not. @table NAME describes a value that is no
-- function.
--
-- A comment with @section NAME (or @module) and no @function introduces the section of those that
-- follow it in the file; without any, a section is what stands before the dot of the name, else
-- the file's name. In Lua, prose without tags is an ordinary comment; @local, or `local function`
-- below the comment, marks a documented function as ours. Whatever is malformed is refused with
-- its file and line. The same input gives the same output, in whatever order the files are named.
local apidoc = {}

local TAGS = { ["function"] = true, table = true, param = true, ["return"] = true, raise = true,
               usage = true, section = true, module = true, ["local"] = true,
               tparam = true, treturn = true }

local TYPES = {}
for word in ("any nil boolean number integer string table list function userdata thread duration")
  :gmatch("%a+") do
  TYPES[word] = true
end

local function fault(path, line, message, ...)
  error(("%s:%d: " .. message):format(path, line, ...), 0)
end

-- Comments as lists of { line = number, text = string }, bare of their marks.

local function c_comments(lines)
  local found, current, kind = {}, nil, nil
  local function close() current, kind = nil, nil end
  for number, line in ipairs(lines) do
    local slashes = line:match("^%s*///(.*)$")
    if kind == "block" then
      local last = line:match("^(.-)%*/")
      local text = (last or line):match("^%s*%* ?(.*)$") or last or line
      current[#current + 1] = { line = number, text = text }
      if last then close() end
    elseif slashes and not slashes:match("^/") then
      if kind ~= "lines" then
        current, kind = {}, "lines"
        found[#found + 1] = current
      end
      current[#current + 1] = { line = number, text = (slashes:gsub("^ ", "")) }
    else
      close()
      local first = line:match("^%s*/%*%*%*(.*)$")
      if first and not first:match("^[*/]") then
        current, kind = {}, "block"
        found[#found + 1] = current
        local last = first:match("^(.-)%*/")
        current[1] = { line = number, text = ((last or first):gsub("^ ", "")) }
        if last then close() end
      end
    end
  end
  return found
end

local function lua_comments(lines)
  local found, current = {}, nil
  for number, line in ipairs(lines) do
    local first = line:match("^%s*%-%-%-(.*)$")
    local more = line:match("^%s*%-%-(.*)$")
    if first and first:match("^%-") then -- a rule of dashes
      current = nil
    elseif first and not current then
      current = { { line = number, text = (first:gsub("^ ", "")) } }
      found[#found + 1] = current
    elseif more and current then
      current[#current + 1] = { line = number, text = ((first or more):gsub("^ ", "")) }
    else
      if current then current.private = line:match("^%s*local function ") ~= nil end
      current = nil
    end
  end
  return found
end

-- The paragraphs before the first tag, and the tags in order: { name, line, text }, text with its
-- later lines.
local function split_tags(comment, path)
  local prose, tags = {}, {}
  for _, entry in ipairs(comment) do
    local name, modifier, text = entry.text:match("^%s*@(%w+)(%b[])%s*(.*)$")
    if not name then name, text = entry.text:match("^%s*@(%w+)%s*(.*)$") end
    if name then
      if not TAGS[name] then fault(path, entry.line, "unknown tag @%s", name) end
      local default = modifier and modifier:match("^%[opt=(.+)%]$")
      if modifier and not (name:match("^t?param$") and (modifier == "[opt]" or default)) then
        fault(path, entry.line, "unknown tag @%s%s", name, modifier)
      end
      tags[#tags + 1] = { name = name, optional = modifier ~= nil, default = default,
                          line = entry.line, lines = { text } }
    elseif #tags > 0 then
      local lines = tags[#tags].lines
      lines[#lines + 1] = entry.text
    else
      prose[#prose + 1] = entry.text
    end
  end
  for _, tag in ipairs(tags) do
    if tag.name ~= "usage" then
      tag.text = table.concat(tag.lines, " "):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
    end
  end
  return prose, tags
end

local function trim_lines(lines)
  local first, last = 1, #lines
  while first <= last and lines[first]:match("^%s*$") do first = first + 1 end
  while last >= first and lines[last]:match("^%s*$") do last = last - 1 end
  return table.move(lines, first, last, 1, {})
end

local function indented_less(lines)
  local least = math.huge
  for _, line in ipairs(lines) do
    if line:match("%S") then least = math.min(least, #line:match("^%s*")) end
  end
  for i, line in ipairs(lines) do lines[i] = line:sub(least + 1):gsub("%s+$", "") end
  return lines
end

local function read_usage(tag, path)
  local lines = indented_less(trim_lines(tag.lines))
  if #lines == 0 then fault(path, tag.line, "@usage without an example") end
  local text = table.concat(lines, "\n")
  local ok, why = load(text, "=usage")
  if not ok then fault(path, tag.line, "@usage is not Lua: %s", (why:gsub("^usage:%d+: ", ""))) end
  return text
end

local function is_type(word)
  for one in (word .. "|"):gmatch("(.-)|") do
    if not TYPES[one] then return false end
  end
  return true
end

-- LDoc's "@tparam type name text" as "@param name type text", "@treturn type text" as "@return text".
local function untype(tag, path)
  if tag.name ~= "tparam" and tag.name ~= "treturn" then return end
  local type, rest = tag.text:match("^(%S+) ?(.*)$")
  if not type or not is_type(type) then
    fault(path, tag.line, "@%s %s: not a type", tag.name, type or "")
  end
  if tag.name == "treturn" then
    tag.name, tag.text = "return", type .. ": " .. rest
  else
    tag.name, tag.text = "param", rest:gsub("^(%S+)", "%1 " .. type:gsub("%%", "%%%%"), 1)
  end
end

local function read_param(tag, path)
  local name, text = tag.text:match("^(%S+) ?(.*)$")
  if not name then fault(path, tag.line, "@param needs a name and a description") end
  local bare = name:match("^%[(.+)%]$") or name
  if bare ~= "..." and not bare:match("^[%a_][%w_.-]*$") then
    fault(path, tag.line, "@param %s: not a parameter's name", name)
  end
  local type, rest = text:match("^(%S+) ?(.*)$")
  local prose = (type == "list" or type == "table") and rest:match("^of ") -- "list of names"
  if type and is_type(type) and not prose then text = rest else type = nil end
  if text == "" then fault(path, tag.line, "@param %s without a description", name) end
  return { name = bare, optional = tag.optional or bare ~= name, default = tag.default,
           type = type, text = text, field = bare:match("^[%w_]+%.") ~= nil }
end

local function read_text(tag, path)
  if tag.text == "" then fault(path, tag.line, "@%s without a description", tag.name) end
  return tag.text
end

local function paragraphs(lines)
  return table.concat(trim_lines(lines), "\n")
end

-- One comment: a section, a function, or nil for what is no business of the reference.
local function read_comment(comment, path, language)
  local prose, tags = split_tags(comment, path)
  local line = comment[1].line
  local entry = { path = path, line = line, params = {}, returns = {}, raises = {}, usages = {} }
  for _, tag in ipairs(tags) do
    untype(tag, path)
    local kind = tag.name
    if kind == "function" or kind == "table" or kind == "section" or kind == "module" then
      entry.plain = entry.plain or kind == "table"
      kind = kind == "module" and "section" or kind == "table" and "function" or kind
      local pattern = kind == "function" and "^[%a_][%w_.:]*$" or "%S"
      if not tag.text:match(pattern) then fault(path, tag.line, "@%s needs a name", tag.name) end
      if entry[kind] then fault(path, tag.line, "a second @%s in one comment", tag.name) end
      entry[kind] = tag.text
    elseif kind == "local" then
      entry.private = true
    elseif kind == "param" then
      entry.params[#entry.params + 1] = read_param(tag, path)
    elseif kind == "return" then
      entry.returns[#entry.returns + 1] = read_text(tag, path)
    elseif kind == "raise" then
      entry.raises[#entry.raises + 1] = read_text(tag, path)
    else
      entry.usages[#entry.usages + 1] = read_usage(tag, path)
    end
  end
  if entry.private or comment.private and not entry["function"] then return nil end
  if #tags == 0 and language == "lua" then return nil end
  if not entry["function"] and not entry.section then fault(path, line, "missing @function") end
  if not entry["function"] and #entry.params + #entry.returns + #entry.raises > 0 then
    fault(path, line, "a @section takes no parameters: missing @function")
  end
  prose = trim_lines(prose)
  if entry["function"] then
    if #prose == 0 then fault(path, line, "%s: missing the summary", entry["function"]) end
    entry.summary = table.remove(prose, 1)
  end
  entry.prose = paragraphs(prose)
  return entry
end

--- Reads the comments of one file's text.
-- @local
-- @param path string chooses the language by its end, and names the file in errors
-- @param text string the file
-- @return table functions and sections, in order
function apidoc.read(path, text)
  local lines, found, section = {}, {}, nil
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\r?\n") do lines[#lines + 1] = line end
  local language = path:match("%.lua$") and "lua" or "c"
  for _, comment in ipairs((language == "lua" and lua_comments or c_comments)(lines)) do
    local entry = read_comment(comment, path, language)
    if entry then
      section = entry["function"] and section or entry.section
      local name = entry["function"]
      entry.section = entry.section or section or name:match("^(.-)[.:]") or path:match("([^/]+)%.%w+$")
      found[#found + 1] = entry
    end
  end
  return found
end

local function signature(entry)
  if entry.plain then return entry["function"] end
  local parts = {}
  for _, param in ipairs(entry.params) do
    if not param.field then parts[#parts + 1] = param.optional and "[" .. param.name .. "]" or param.name end
  end
  return entry["function"] .. "(" .. table.concat(parts, ", ") .. ")"
end

-- The anchors of headings, in their order, as Markdown renderers make them.
local function anchors()
  local taken = {}
  return function(heading)
    local name = heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
    local times = taken[name] or 0
    taken[name] = times + 1
    return times == 0 and name or name .. "-" .. times
  end
end

local function render_function(out, entry)
  local function put(text) out[#out + 1] = text end
  put("### `" .. signature(entry) .. "`\n")
  put(entry.summary .. "\n")
  if entry.prose ~= "" then put(entry.prose .. "\n") end
  for _, param in ipairs(entry.params) do
    local notes = { param.type }
    if param.default then
      notes[#notes + 1] = "default " .. param.default
    elseif param.optional then
      notes[#notes + 1] = "optional"
    end
    put(("%s- `%s`%s: %s"):format(param.field and "  " or "", param.name,
      #notes > 0 and " (" .. table.concat(notes, ", ") .. ")" or "", param.text))
  end
  if #entry.params > 0 then put("") end
  for _, text in ipairs(entry.returns) do put("Returns: " .. text .. "\n") end
  for _, text in ipairs(entry.raises) do put("Raises: " .. text .. "\n") end
  for _, usage in ipairs(entry.usages) do put("```lua\n" .. usage .. "\n```\n") end
end

--- Renders what read() found in all files.
-- @local
-- @param entries table of all files
-- @return string Markdown
function apidoc.render(entries)
  local sections, names, seen = {}, {}, {}
  for _, entry in ipairs(entries) do
    local section = sections[entry.section]
    if not section then
      section = { functions = {} }
      sections[entry.section] = section
      names[#names + 1] = entry.section
    end
    local name = entry["function"]
    local key = name or "@section " .. entry.section
    if seen[key] then
      fault(entry.path, entry.line, "%s is documented already, in %s:%d", key, seen[key].path, seen[key].line)
    end
    seen[key] = entry
    if name then table.insert(section.functions, entry) else section.prose = entry.prose end
  end
  table.sort(names)
  local out = { "# API reference\n",
    "<!-- Made by `make docs` from the comments in the sources: change those. -->\n" }
  local anchor = anchors()
  anchor("API reference")
  local function by_name(a, b) return a["function"] < b["function"] end
  for _, name in ipairs(names) do
    table.sort(sections[name].functions, by_name)
    local links, here = {}, anchor(name)
    for i, entry in ipairs(sections[name].functions) do
      links[i] = ("[`%s`](#%s)"):format(entry["function"], anchor(signature(entry)))
    end
    out[#out + 1] = ("- [%s](#%s)%s"):format(name, here, #links > 0 and ": " .. table.concat(links, " ") or "")
  end
  for _, name in ipairs(names) do
    out[#out + 1] = "\n## " .. name .. "\n"
    if (sections[name].prose or "") ~= "" then out[#out + 1] = sections[name].prose .. "\n" end
    for _, entry in ipairs(sections[name].functions) do render_function(out, entry) end
  end
  return (table.concat(out, "\n"):gsub("\n\n\n+", "\n\n"):gsub("\n*$", "\n"))
end

--- The global names that the table in surface.c publishes.
-- @local
-- @param text string surface.c
-- @return table list of { name, line }
function apidoc.surface(text)
  local names, number, inside = {}, 0, false
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if line:match("globals%[%]%s*=") then inside = true end
    if inside and line:match("^%s*};") then inside = false end
    if inside then
      for name in line:gmatch('{%s*"([%w_.]+)"%s*,%s*"[%w_.]+"%s*}') do
        names[#names + 1] = { name = name, line = number }
      end
    end
  end
  return names
end

--- Finds the public names without documentation.
-- A table has one when a function of it has; expect_x is said with assert_x.
-- @local
-- @param names table from surface()
-- @param entries table from read()
-- @return table those of names that have none
function apidoc.missing(names, entries)
  local known, missing = {}, {}
  for _, entry in ipairs(entries) do
    local name = entry["function"] or entry.section
    known[name] = true
    known[name:match("^[^.:]+")] = true
  end
  for _, public in ipairs(names) do
    local twin = public.name:gsub("^expect_", "assert_")
    if not known[public.name] and not known[twin] then missing[#missing + 1] = public end
  end
  return missing
end

local function read_file(path)
  local file, why = io.open(path, "rb")
  if not file then error(why, 0) end
  local text = file:read("a")
  file:close()
  return text
end

local function usage()
  io.stderr:write("usage: apidoc.lua [--surface src/vm/surface.c] [--check docs/api.md] FILE...\n")
  os.exit(4)
end

local function main(arguments)
  local options, paths, i = {}, {}, 1
  while i <= #arguments do
    local option = arguments[i]:match("^%-%-(%a+)$")
    if option == "surface" or option == "check" then
      i = i + 1
      options[option] = arguments[i] or usage()
    elseif arguments[i]:match("^%-") then
      usage()
    else
      paths[#paths + 1] = arguments[i]
    end
    i = i + 1
  end
  table.sort(paths)
  local entries, broken = {}, false
  local function complain(why)
    io.stderr:write(tostring(why), "\n")
    broken = true
  end
  for _, path in ipairs(paths) do
    local ok, found = pcall(function() return apidoc.read(path, read_file(path)) end)
    if ok then table.move(found, 1, #found, #entries + 1, entries) else complain(found) end
  end
  local ok, text = pcall(apidoc.render, entries)
  if not ok then complain(text) end
  if options.surface then
    local readable, source = pcall(read_file, options.surface)
    if not readable then complain(source) end
    for _, public in ipairs(apidoc.missing(apidoc.surface(readable and source or ""), entries)) do
      complain(("%s:%d: %s has no documentation"):format(options.surface, public.line, public.name))
    end
  end
  if options.check and not broken then
    local readable, old = pcall(read_file, options.check)
    if not readable or old ~= text then complain(options.check .. ": stale, `make docs` makes it anew") end
  end
  if broken then os.exit(1) end
  if not options.check then io.write(text) end
end

if arg and arg[0] and arg[0]:match("apidoc%.lua$") then main(arg) end

return apidoc
