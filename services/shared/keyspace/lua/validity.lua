-- The rule of validity: consistency contract, section 6. Positions decide; the index of tags is not asked.

-- Tells why names were evicted after an entry was read, from one hash 'name -> position of its last eviction'.
local function evicted_since(key, names, q, bucket)
  local found = redis.call('HMGET', key, SENTINEL, unpack(names))
  if found[1] ~= bucket.epoch then
    return 'evictions_lost'
  end
  for index = 1, #names do
    local position = found[index + 1]
    if position and position > cell(q, partition_of(names[index], bucket.count), POSITION_WIDTH) then
      return 'evicted'
    end
  end
  return ''
end

-- Tells why an entry read at the positions `q` may not be used, or ''; and the shapes' matched-from positions.
-- Its epoch and format are the caller's to compare.
local function why_invalid(bucket, q, tags, relations, shapes)
  for partition = 0, bucket.count - 1 do
    if cell(q, partition, POSITION_WIDTH) < cell(bucket.floors, partition, POSITION_WIDTH) then
      return 'below_floor', {}
    end
  end
  local matched = {}
  if #shapes > 0 then
    matched = redis.call('HMGET', PREFIX .. 'r', unpack(shapes))
    for index = 1, #shapes do
      if not matched[index] then
        return 'shape_not_registered', {}
      end
      local partition = partition_of(shapes[index], bucket.count)
      if cell(q, partition, POSITION_WIDTH) < cell(matched[index], partition, POSITION_WIDTH) then
        return 'shape_registered_later', {}
      end
    end
  end
  local why = evicted_since(PREFIX .. 'l0', tags, q, bucket)
  if why == '' then
    why = evicted_since(PREFIX .. 'l1', tags, q, bucket)
  end
  if why == '' then
    why = evicted_since(PREFIX .. 'g', relations, q, bucket)
  end
  return why, matched
end
