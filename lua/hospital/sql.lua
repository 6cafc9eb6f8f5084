-- sql.lua - a look at the first words of a statement: those that would end the
-- transaction that a check runs in never reach the server.  It is no parser: what
-- gets by (a procedure that commits) is seen by db_session after the statement.
--
-- Each dialect has its own idea of a comment, and what hides in one here must be
-- a comment there: nested ones are PostgreSQL's alone, and /*! … */ is code to MySQL.
local byte, find, gsub, sub, upper = string.byte, string.find, string.gsub, string.sub, string.upper
local format = string.format

local WORDS = 12 -- that any rule asks for

local sql = {}

-- Behind the end of the comment that nests and begins at `at`.
local function past_nested(text, at)
  local depth = 0
  repeat
    at = find(text, "[/*][*/]", at)
    if not at then return #text + 1 end
    local two = sub(text, at, at + 1)
    depth = depth + (two == "/*" and 1 or two == "*/" and -1 or 0)
    at = at + ((two == "/*" or two == "*/") and 2 or 1)
  until depth == 0
  return at
end

-- Behind the comment that begins at `at`, or nil when none does.
local function past_comment(text, at, dialect)
  local two = sub(text, at, at + 1)
  local is_mysql = dialect == "mysql"
  if two == "--" and not (is_mysql and find(text, "^[^%s%c]", at + 2)) or is_mysql and sub(two, 1, 1) == "#" then
    return (find(text, dialect == "postgres" and "[\r\n]" or "\n", at) or #text) + 1
  end
  if is_mysql then -- its mark is blank, what stands inside is not
    local _, last = find(text, "^/%*M?!%d*", at)
    if last or two == "*/" then return (last or at + 1) + 1 end
  end
  if two ~= "/*" then return nil end
  if dialect == "postgres" then return past_nested(text, at) end
  local _, last = find(text, "*/", at + 2, true)
  return (last or #text) + 1
end

-- Behind blanks, comments and, at the beginning, empty statements.
local function past_blanks(text, at, dialect, first)
  while true do
    local from = at
    local _, last = find(text, first and "^[%s;]*" or "^%s*", at)
    at = last + 1
    if sub(text, at, at + 2) == "\239\187\191" then at = at + 3 end -- a blank to SQLite
    at = past_comment(text, at, dialect) or at
    if at == from then return at end
  end
end

-- The first words, in capitals; whatever is no word is its first character.
function sql.words(text, dialect)
  local words, at = {}, 1
  while #words < WORDS do
    at = past_blanks(text, at, dialect, #words == 0)
    if at > #text then break end
    local _, last = find(text, "^[%a_\128-\255][%w_$\128-\255]*", at)
    last = last or at
    words[#words + 1] = upper(sub(text, at, last))
    at = last + 1
  end
  return words
end

local COMMITS = "use conn:transaction(fn), which commits when fn returns"
local BEGINS = "use conn:transaction(fn) or conn:rolled_back(fn)"
local ROLLS_BACK = "use conn:rolled_back(fn), or conn:transaction(fn), which rolls back when fn raises"
local TWO_PHASES = "what is prepared outlives the connection, and no check can take it back"

local CONTROL = { COMMIT = COMMITS, END = COMMITS, BEGIN = BEGINS, ROLLBACK = ROLLS_BACK, ABORT = ROLLS_BACK,
  XA = TWO_PHASES }

-- The statement and what to do instead, when it begins or ends a transaction.
local function transaction_control(words)
  local first, second = words[1], words[2]
  if (first == "COMMIT" or first == "ROLLBACK") and second == "PREPARED"
    or first == "PREPARE" and second == "TRANSACTION" then
    return first .. " " .. second, TWO_PHASES
  end
  if first == "START" and second == "TRANSACTION" then return "START TRANSACTION", BEGINS end
  if first == "ROLLBACK" then
    local to = (second == "WORK" or second == "TRANSACTION") and words[3] or second
    if to == "TO" then return nil end
  end
  return CONTROL[first] and first, CONTROL[first]
end

local SQLITE = {
  ATTACH = "a check sees the one database it connected to", DETACH = "there is nothing to detach",
  VACUUM = "a check does not rewrite the database",
}

-- All else that MySQL may be told in a transaction could commit it.
local MYSQL = { ["("] = true }
for word in string.gmatch("SELECT INSERT UPDATE DELETE REPLACE WITH VALUES TABLE SHOW DESCRIBE DESC EXPLAIN "
  .. "SET DO SAVEPOINT ROLLBACK RELEASE USE", "%a+") do
  MYSQL[word] = true
end

local function has(words, one, other)
  for i = 2, #words do
    if words[i] == one and (not other or words[i + 1] == other) then return true end
  end
  return false
end

local function mysql(words, level)
  local first = words[1]
  if first == "SET" then
    if has(words, "AUTOCOMMIT") then return "SET autocommit", BEGINS end
    if level and (has(words, "PASSWORD") or words[2] == "STATEMENT") then
      return "SET " .. words[2], "MySQL commits before it"
    end
  elseif level and first and not MYSQL[first]
    and not ((first == "CREATE" or first == "DROP") and words[2] == "TEMPORARY" and words[3] == "TABLE") then
    return first, "in a transaction MySQL may commit by it"
  end
end

-- What would make a read-only session another one.
local function lifts_read_only(words)
  if words[1] ~= "SET" then return false end
  return has(words, "CHARACTERISTICS") or has(words, "DEFAULT_TRANSACTION_READ_ONLY")
    or has(words, "TRANSACTION_READ_ONLY") or has(words, "TX_READ_ONLY")
    or has(words, "SESSION", "TRANSACTION") and has(words, "READ", "WRITE")
end

-- PostgreSQL lets these into a transaction that only reads: what they change is no data.
local MAINTENANCE = { VACUUM = true, ANALYZE = true, ANALYSE = true, REINDEX = true, CLUSTER = true, CHECKPOINT = true,
  NOTIFY = true, LOAD = true }

-- Why the statement is not sent, or nil.  level: nil, "transaction" or
-- "rolled_back", whatever it is inside of; write: the connection may.
function sql.refusal(text, dialect, level, write)
  local words = sql.words(text, dialect)
  local name, instead = transaction_control(words)
  if not name and dialect == "sqlite" then name, instead = words[1], SQLITE[words[1]] end
  if not instead and dialect == "mysql" then name, instead = mysql(words, level) end
  if instead then
    if level == "rolled_back" and instead ~= TWO_PHASES and not SQLITE[name] then
      instead = "what a rolled back check writes cannot be committed"
    end
    return format("%s is refused: %s", name, instead)
  end
  if not write and level ~= "rolled_back" and dialect == "postgres" and MAINTENANCE[words[1]] then
    return format("%s is refused: a connection that only reads is no place for it ({ write = true })", words[1])
  end
  if not write and lifts_read_only(words) then
    return "a connection that may write is asked for with { write = true }, not with SET"
  end
end

-- A statement on one line, for a message or a report.
function sql.brief(text, most)
  local short = gsub(sub(text, 1, 4 * most), "%s+", " ")
  short = gsub(short, "^ ", "")
  if #short <= most then return short end
  while most > 0 and byte(short, most + 1) >= 0x80 and byte(short, most + 1) < 0xC0 do most = most - 1 end
  return sub(short, 1, most) .. "…"
end

return sql
