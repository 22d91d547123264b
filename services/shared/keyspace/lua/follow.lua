#!lua flags=allow-oom
--!include advance_chain
--!include unlink
-- FOLLOW: from this record on a relation's changes are in the log (or, without an entry, are not any more).
-- ARGV[7..9]: relation, OID of its publication entry or '', digest of its definition.
-- Followed anew or otherwise than before, the relation is evicted as a whole: what was read earlier may be wrong.
local bucket = load_bucket()
local why = why_not(bucket)
if why ~= '' then
  return why
end
local relation, entry = ARGV[7], ARGV[8]
local followed = PREFIX .. 't'
local now = entry .. ':' .. ARGV[9]
local before = redis.call('HGET', followed, relation)
local changed = entry == '' or before ~= now
if not record_whole(bucket, 'g') then
  return 'evictions_lost'
end
append_feed(bucket, 'follow', 'relations', changed and relation or '', 'entry', entry)

if changed then
  redis.call('HSET', PREFIX .. 'g', relation, POSITION)
  unlink_members(relation .. ':*', UNLINKS_PER_CALL)
end
if entry == '' then
  redis.call('HDEL', followed, relation)
elseif changed then
  redis.call('HSET', followed, relation, now)
end
store_position(bucket)
return 'applied'
