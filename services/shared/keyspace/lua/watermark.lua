-- WATERMARK: moves a partition's watermark, and the bucket's, which is the least of them.
-- w and c both state facts that stay true, so neither goes back.
local function move_watermark(bucket, record, w, c)
  append_feed(bucket, record, 'watermark', 'w', w, 'c', c)

  local function raised(joined, lsn)
    if lsn > cell(joined, record.partition, LSN_WIDTH) then
      return with_cell(joined, record.partition, LSN_WIDTH, lsn)
    end
    return joined
  end

  local stored = redis.call('HMGET', META, 'w', 'c')
  local all_w, all_c = raised(stored[1], w), raised(stored[2], c)
  local least = cell(all_w, 0, LSN_WIDTH)
  for partition = 1, bucket.count - 1 do
    local other = cell(all_w, partition, LSN_WIDTH)
    if other < least then
      least = other
    end
  end
  store_position(bucket, record, 'w', all_w, 'c', all_c, 'watermark', least)
  local zero = string.rep('0', LSN_WIDTH)
  if bucket.watermark == zero and least ~= zero then
    -- The birth barrier has passed. An answer asked for before it may lack a commit that is never streamed; and commits
    -- up to c count as applied, though they may have been so in an earlier epoch.
    if c > bucket.highest then
      bucket.highest = c
    end
    redis.call('HSET', META, 'floors', bucket.positions, 'highest', bucket.highest)
  end
  bucket.watermark = least
end
