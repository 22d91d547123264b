-- FOLLOW: from this record on a relation's changes are in the log (or, without an entry, are not any more).
-- With the OID of its publication entry or '', and the digest of its definition.
-- Followed anew or otherwise than before, the relation is evicted as a whole: what was read earlier may be wrong.
local function follow(bucket, record, relation, entry, digest)
  local followed = PREFIX .. 't'
  local now = entry .. ':' .. digest
  local changed = entry == '' or redis.call('HGET', followed, relation) ~= now
  if not record_whole(bucket, 'g') then
    return 'evictions_lost'
  end
  append_feed(bucket, record, 'follow', 'relations', changed and relation or '', 'entry', entry)

  if changed then
    redis.call('HSET', PREFIX .. 'g', relation, record.position)
    unlink_members(relation .. ':*')
  end
  if entry == '' then
    redis.call('HDEL', followed, relation)
  elseif changed then
    redis.call('HSET', followed, relation, now)
  end
  store_position(bucket, record)
end
