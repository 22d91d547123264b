-- EVICT: notes the eviction of tags and of whole relations, and frees what memory it can.
-- With the registry version that the record was matched with, and the end LSN of its commit.
local function evict(bucket, record, registry, end_lsn, tags, relations)
  if bucket.registry ~= registry then
    return 'reload'
  end
  if bucket.whole == nil then -- nothing in this script takes any of these away
    bucket.whole = registrations_whole(bucket) and record_whole(bucket, 'l' .. bucket.generation)
      and record_whole(bucket, 'g')
  end
  if not bucket.whole then
    return 'evictions_lost'
  end
  append_feed(bucket, record, 'evict', 'tags', tags, 'relations', relations, 'lsn', end_lsn)

  for _, tag in ipairs(lines(tags)) do
    redis.call('HSET', PREFIX .. 'l' .. bucket.generation, tag, record.position)
    unlink_members(tag)
  end
  for _, relation in ipairs(lines(relations)) do
    redis.call('HSET', PREFIX .. 'g', relation, record.position)
    unlink_members(relation .. ':*')
  end
  if end_lsn > bucket.highest then
    bucket.highest = end_lsn
  end
  store_position(bucket, record, 'highest', bucket.highest)
end
