-- nearest.lua - the known word nearest to a misspelt one, and how many edits away it is.
local byte, min, sub = string.byte, math.min, string.sub

-- The number of single-byte edits between a and b.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local above = row[j]
      local cost = byte(a, i) == byte(b, j) and 0 or 1
      row[j] = min(above + 1, row[j - 1] + 1, diagonal + cost)
      diagonal = above
    end
  end
  return row[#b]
end

return function(word, known)
  word = sub(word, 1, 40)
  local best, least
  for i = 1, #known do
    local d = distance(word, known[i])
    if not least or d < least then best, least = known[i], d end
  end
  return best, least
end
