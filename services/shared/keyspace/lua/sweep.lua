#!lua flags=allow-oom
--!include validity
-- SWEEP: removes dead members from one tag's index, and what is left of their entries.
-- ARGV: tag, then members. Reply: how many were removed.
local bucket = load_bucket()
local tag, removed = ARGV[1], 0

-- Tells whether a member still stands for a valid entry that carries the tag; unlinks an entry that is not valid.
local function stands(member)
  local key = PREFIX .. 'e:' .. member
  local entry = redis.pcall('HMGET', key, 'epoch', 'q', 't', 'r', 's')
  if entry.err then
    return true -- a cluster moves our slot, and it may be on the other node
  end
  if not entry[1] then
    return false
  end
  if not bucket or entry[1] ~= bucket.epoch
    or why_invalid(bucket, entry[2], lines(entry[3]), lines(entry[4]), lines(entry[5])) ~= '' then
    redis.call('UNLINK', key)
    return false
  end
  return string.find('\n' .. entry[3] .. '\n', '\n' .. tag .. '\n', 1, true) ~= nil
end

for index = 2, #ARGV do
  if not stands(ARGV[index]) then
    removed = removed + redis.call('SREM', PREFIX .. 'i:' .. tag, ARGV[index])
  end
end
return removed
