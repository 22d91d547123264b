#!lua flags=allow-oom
--!include advance_chain
-- WATERMARK: moves a partition's watermark, and the bucket's, which is the least of them.
-- ARGV[7..8]: w, c. Both state facts that stay true, so neither goes back.
local bucket = load_bucket()
local why = why_not(bucket)
if why ~= '' then
  return why
end
append_feed(bucket, 'watermark', 'w', ARGV[7], 'c', ARGV[8])

local function raise(joined, lsn)
  if lsn > cell(joined, PARTITION, LSN_WIDTH) then
    return with_cell(joined, PARTITION, LSN_WIDTH, lsn)
  end
  return joined
end

local stored = redis.call('HMGET', META, 'w', 'c')
local w, c = raise(stored[1], ARGV[7]), raise(stored[2], ARGV[8])
local least = cell(w, 0, LSN_WIDTH)
for partition = 1, bucket.count - 1 do
  local other = cell(w, partition, LSN_WIDTH)
  if other < least then
    least = other
  end
end
store_position(bucket, 'w', w, 'c', c, 'watermark', least)
local zero = string.rep('0', LSN_WIDTH)
if bucket.watermark == zero and least ~= zero then
  -- The birth barrier has passed. An answer asked for before it may lack a commit that is never streamed; and commits
  -- up to c count as applied, though they may have been so in an earlier epoch.
  local highest = redis.call('HGET', META, 'highest')
  redis.call('HSET', META, 'floors', bucket.positions, 'highest', ARGV[8] > highest and ARGV[8] or highest)
end
return 'applied'
