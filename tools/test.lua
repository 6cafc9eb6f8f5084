-- test.lua: runs every suite and closes with one line over all of them.
--
--   lua5.4 tools/test.lua BUILD [PATTERN...]
--
-- A suite is a C test, spec/c/*_test.c built as BUILD/spec/*_test, or a spec file
-- of busted's, spec/*/*_spec.lua; with patterns, only those whose path contains one.  Each has
-- a process of its own and a log below BUILD/log; the log of a failed one is shown.
--
-- Exit statuses are not trusted alone (busted's is 0 when nothing ran): a suite
-- that ran nothing, ended without its count, or ended badly is a failure.
local LIMIT = 600 -- seconds for one suite

local build = table.remove(arg, 1) or "build"
local root = build:match("^/") and "" or io.popen("pwd"):read("l") .. "/"

-- What the specs start, see spec/support.
local environment = ("HOSPITAL_BINARY=%s%s/hospital HOSPITAL_RUN_SCRIPT=%s%s/spec/run_script")
  :format(root, build, root, build)

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function lines_of(command)
  local list, pipe = {}, assert(io.popen(command))
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text
end

local function write(...)
  io.stdout:write(...)
  io.stdout:flush()
end

local function wanted(path)
  for _, pattern in ipairs(arg) do
    if path:find(pattern, 1, true) then return true end
  end
  return #arg == 0
end

-- The last "N passed, N failed[, N skipped]" of a text.
local function counts_in(text)
  local found
  for line in (text .. "\n"):gmatch("(.-)\n") do
    local passed, failed, rest = line:match("^(%d+) passed, (%d+) failed(.*)$")
    if passed then
      local skipped = rest:match("^, (%d+) skipped$") or "0"
      found = { passed = tonumber(passed), failed = tonumber(failed), skipped = tonumber(skipped) }
    end
  end
  return found
end

local C = {}

-- A test that asks for the address of a PostgreSQL gets one.
local function beside(path)
  local source = read("spec/c/" .. path:match("([^/]+)$") .. ".c")
  return source:find("PG_TEST_URL", 1, true) and "lua5.4 spec/support/with_postgres.lua " or ""
end

function C.command(path)
  return "exec timeout --foreground -k 5 " .. LIMIT .. " " .. beside(path) .. quote(path)
end
function C.counts(_, log) return counts_in(read(log)) end

local BUSTED = {}

function BUSTED.command(path, counts)
  return ("HOSPITAL_COUNTS=%s exec timeout --foreground -k 5 %d lua5.4 /usr/bin/busted -o %s %s")
    :format(quote(counts), LIMIT, "spec/support/counts.lua", quote(path))
end

function BUSTED.counts(counts)
  local text, reasons = read(counts), {}
  for line in text:gmatch("[^\n]+") do reasons[#reasons + 1] = line end
  table.remove(reasons, 1)
  return counts_in(text), reasons
end

local total = { passed = 0, failed = 0, skipped = 0, seconds = 0 }
local red = {}

local function how_it_ended(how, code)
  if how == "exit" and code == 124 then return "was ended after " .. LIMIT .. " s" end
  if how == "exit" and code > 128 then how, code = "signal", code - 128 end
  if how == "signal" then return "ended by signal " .. code end
  return "ended with status " .. code
end

-- Why a suite is no success although it counted no failure, or nil.
local function distrust(counts, ok, how, code)
  if not counts then return "its count cannot be read; it " .. how_it_ended(how, code) end
  if counts.failed > 0 then return nil end
  if counts.passed + counts.skipped == 0 then return "it ran nothing" end
  if not ok then return "all passed, but it " .. how_it_ended(how, code) end
end

local function run(kind, path)
  local log = build .. "/log/" .. path:gsub("/", "-")
  local file = log .. ".counts"
  os.remove(file)
  local started = os.time()
  local ok, how, code = os.execute(("%s; %s >%s 2>&1 </dev/null"):format("export " .. environment,
    kind.command(path, file), quote(log)))
  if (how == "signal" and code or code - 128) == 2 then
    write("interrupted\n")
    os.exit(130)
  end
  local counts, reasons = kind.counts(file, log)
  local why = distrust(counts, ok, how, code)
  counts = counts or { passed = 0, failed = 0, skipped = 0 }
  if why then counts.failed = counts.failed + 1 end
  for name, number in pairs(counts) do total[name] = total[name] + number end
  write(("  %-34s %4d passed, %d failed%s  %d s\n"):format(path, counts.passed, counts.failed,
    counts.skipped > 0 and ", " .. counts.skipped .. " skipped" or "", os.time() - started))
  for _, reason in ipairs(reasons or {}) do write("      skipped: ", reason, "\n") end
  if counts.failed > 0 then
    red[#red + 1] = path
    write(why and ("%s: %s; its log:\n"):format(path, why) or "its log:\n", read(log), "\n")
  end
end

local function run_all(kind, paths)
  for _, path in ipairs(paths) do
    if wanted(path) then run(kind, path) end
  end
end

local SORTED = " | LC_ALL=C sort"
os.execute("mkdir -p " .. quote(build .. "/log"))
local programs = {}
for i, path in ipairs(lines_of("find spec/c -name '*_test.c'" .. SORTED)) do
  programs[i] = build .. "/spec/" .. path:match("([^/]+)%.c$")
end
run_all(C, programs)
run_all(BUSTED, lines_of("find spec -name '*_spec.lua'" .. SORTED))

if #red > 0 then write("red: ", table.concat(red, " "), "\n") end
local nothing = total.passed + total.failed == 0
if nothing then
  write("no suite was run\n")
  total.failed = 1
end
write(("%d passed, %d failed%s\n"):format(total.passed, total.failed,
  total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""))
os.exit(total.failed == 0)
