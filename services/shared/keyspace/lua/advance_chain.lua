-- How the scripts that apply a log record move the bucket's position. Consistency contract, section 6.
-- ARGV[1..6]: bucket epoch, partition, predecessor's position, position, its stream id, place to read on from.
local EPOCH, PARTITION, PREVIOUS, POSITION = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local STREAM_ID, NEXT_PLACE = ARGV[5], ARGV[6]
local FEED_LENGTH = 100000 -- items, approximately: more than an hour of watermarks on an idle cache

-- Tells why the record may not be applied, or ''.
local function why_not(bucket)
  if not bucket or bucket.epoch ~= EPOCH then
    return 'other_epoch'
  end
  local applied = cell(bucket.positions, PARTITION, POSITION_WIDTH)
  if applied >= POSITION then
    return 'duplicate'
  end
  if applied ~= PREVIOUS then
    return 'rewind'
  end
  return ''
end

-- Tells whether a record of evictions is there. While a cluster moves our slot, one that is on the other node already is
-- an error, and this has to come before all effects: Redis takes nothing back that a script did before an error.
local function record_whole(bucket, name)
  return redis.call('HGET', PREFIX .. name, SENTINEL) == bucket.epoch
end

-- Appends the record's one feed item. Comes first among the effects: it is the only one that can fail.
local function append_feed(bucket, kind, ...)
  redis.call('XADD', PREFIX .. 'f:' .. PARTITION, 'MAXLEN', '~', FEED_LENGTH, STREAM_ID,
    'kind', kind, 'prev', PREVIOUS, 'epoch', EPOCH, 'registry', bucket.registry, ...)
end

local function store_position(bucket, ...)
  bucket.positions = with_cell(bucket.positions, PARTITION, POSITION_WIDTH, POSITION)
  redis.call('HSET', META, 'positions', bucket.positions, 'place:' .. PARTITION, NEXT_PLACE, ...)
end
