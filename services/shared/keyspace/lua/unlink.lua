-- Frees the memory of entries that the rule of validity has just made dead.
local unlinks_left = 500 -- members in this call; Redis serves nobody else meanwhile. The rest is swept or runs out.

-- Takes members off a tag's index and unlinks their entries.
-- Whatever is in the index was filled before this record, so it is older than the eviction.
-- While a cluster moves our slot, a key that is not here (it never was, or is there already) is an error: let it be.
local function unlink_members(tag)
  if unlinks_left <= 0 then
    return
  end
  local members = redis.pcall('SPOP', PREFIX .. 'i:' .. tag, unlinks_left)
  for index = 1, #members do
    redis.pcall('UNLINK', PREFIX .. 'e:' .. members[index])
  end
  unlinks_left = unlinks_left - #members
end
