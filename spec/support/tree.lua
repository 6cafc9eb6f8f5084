-- tree.lua: temporary directories of check files for specs.
local uv = require "luv"

local tree = {}

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function remove(path)
  local stat = uv.fs_lstat(path)
  if stat and stat.type == "directory" then
    uv.fs_chmod(path, tonumber("700", 8))
    for name in uv.fs_scandir_next, assert(uv.fs_scandir(path)) do remove(path .. "/" .. name) end
    uv.fs_rmdir(path)
  elseif stat then
    uv.fs_unlink(path)
  end
end

--- Makes a directory from { ["a/b.lua"] = "text", … } and returns its path.
-- Ends with tree.clean(), usually in after_each.
local made = {}
function tree.make(files)
  local root = assert(uv.fs_mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/hospital-spec-XXXXXX"))
  made[#made + 1] = root
  for path, text in pairs(files or {}) do
    local at = root
    for folder in path:gmatch("([^/]+)/") do
      at = at .. "/" .. folder
      uv.fs_mkdir(at, tonumber("755", 8))
    end
    write(root .. "/" .. path, text)
  end
  return root
end

tree.write = write
tree.remove = remove

function tree.clean()
  for i = #made, 1, -1 do
    remove(made[i])
    made[i] = nil
  end
end

return tree
