#!lua
--!include validity
-- FILL: stores an entry if it is valid. Not `allow-oom`: without memory nothing is stored.
-- ARGV: entry key, bucket epoch, format, q, tags, relations, shapes, filled at, body, time to live (ms),
--       that of the entry which lives longest (ms).
-- Reply: why not; '' when it was stored.
local bucket = load_bucket()
if not bucket then
  return 'no_bucket'
end
if bucket.epoch ~= ARGV[2] then
  return 'other_epoch'
end
if bucket.format ~= ARGV[3] then
  return 'other_format'
end
-- The birth barrier (section 4.2): before an epoch's first watermark a commit may exist that is never streamed.
if bucket.watermark == string.rep('0', LSN_WIDTH) then
  return 'no_watermark'
end
local q, tags, relations, shapes = ARGV[4], lines(ARGV[5]), lines(ARGV[6]), lines(ARGV[7])
for partition = 0, bucket.count - 1 do
  if cell(q, partition, POSITION_WIDTH) > cell(bucket.positions, partition, POSITION_WIDTH) then
    return 'beyond_bucket'
  end
end
if #relations > 0 then
  local followed = redis.call('HMGET', PREFIX .. 't', unpack(relations))
  for index = 1, #relations do
    if not followed[index] then
      return 'not_followed'
    end
  end
end
local why = why_invalid(bucket, q, tags, relations, shapes)
if why ~= '' then
  return why
end

local key = PREFIX .. 'e:' .. ARGV[1]
redis.call('HSET', key, 'epoch', bucket.epoch, 'format', bucket.format,
  'q', q, 't', ARGV[5], 'r', ARGV[6], 's', ARGV[7], 'f', ARGV[8], 'b', ARGV[9])
redis.call('PEXPIRE', key, ARGV[10])
-- An index is to free memory, and must not grow by members whose entries are gone: for each that is added two are
-- looked at, so that about as many are dead as are alive. A swept one is one less to be looked at.
-- While a cluster moves our slot, a key that is not here is an error: the entry may do without its index.
for index = 1, #tags do
  local members = PREFIX .. 'i:' .. tags[index]
  if type(redis.pcall('SADD', members, ARGV[1])) == 'number' then
    redis.call('PEXPIRE', members, ARGV[11])
    local looked_at = redis.call('SRANDMEMBER', members, 2)
    for other = 1, #looked_at do
      if redis.pcall('EXISTS', PREFIX .. 'e:' .. looked_at[other]) == 0 then
        redis.call('SREM', members, looked_at[other])
      end
    end
  end
end
return ''
