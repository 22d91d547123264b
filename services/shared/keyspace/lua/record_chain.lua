-- How a log record that is applied moves the bucket's position. Consistency contract, section 6.
local EPOCH = ARGV[1]
local FEED_LENGTH = 100000 -- items, approximately: more than an hour of watermarks on an idle cache

-- Tells why the record may not be applied, or ''.
local function why_not(bucket, record)
  if not bucket or bucket.epoch ~= EPOCH then
    return 'other_epoch'
  end
  local applied = cell(bucket.positions, record.partition, POSITION_WIDTH)
  if applied >= record.position then
    return 'duplicate'
  end
  if applied ~= record.previous then
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
local function append_feed(bucket, record, kind, ...)
  redis.call('XADD', PREFIX .. 'f:' .. record.partition, 'MAXLEN', '~', FEED_LENGTH, record.stream_id,
    'kind', kind, 'prev', record.previous, 'epoch', EPOCH, 'registry', bucket.registry, ...)
end

-- Stores where the bucket stands now: for each record, since the next one may fail.
local function store_position(bucket, record, ...)
  bucket.positions = with_cell(bucket.positions, record.partition, POSITION_WIDTH, record.position)
  redis.call('HSET', META, 'positions', bucket.positions, 'place:' .. record.partition, record.next_place, ...)
end
