-- Frees the memory of entries that the rule of validity has just made dead.
local UNLINKS_PER_CALL = 500 -- members; Redis serves nobody else meanwhile. The rest is swept or runs out.

-- Takes members off a tag's index and unlinks their entries; returns how many more may be taken in this call.
-- Whatever is in the index was filled before this record, so it is older than the eviction.
-- While a cluster moves our slot, a key that is not here (it never was, or is there already) is an error: let it be.
local function unlink_members(tag, allowed)
  if allowed <= 0 then
    return 0
  end
  local members = redis.pcall('SPOP', PREFIX .. 'i:' .. tag, allowed)
  for index = 1, #members do
    redis.pcall('UNLINK', PREFIX .. 'e:' .. members[index])
  end
  return allowed - #members
end
