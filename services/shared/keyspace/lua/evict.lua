#!lua flags=allow-oom
--!include advance_chain
--!include unlink
-- EVICT: notes the eviction of tags and of whole relations, and frees what memory it can.
-- ARGV[7..10]: registry version that the record was matched with, end LSN of its commit, tags, relations.
local bucket = load_bucket()
local why = why_not(bucket)
if why ~= '' then
  return why
end
if bucket.registry ~= ARGV[7] then
  return 'reload'
end
if not (registrations_whole(bucket) and record_whole(bucket, 'l' .. bucket.generation) and record_whole(bucket, 'g')) then
  return 'evictions_lost'
end
append_feed(bucket, 'evict', 'tags', ARGV[9], 'relations', ARGV[10], 'lsn', ARGV[8])

local allowed = UNLINKS_PER_CALL
for _, tag in ipairs(lines(ARGV[9])) do
  redis.call('HSET', PREFIX .. 'l' .. bucket.generation, tag, POSITION)
  allowed = unlink_members(tag, allowed)
end
for _, relation in ipairs(lines(ARGV[10])) do
  redis.call('HSET', PREFIX .. 'g', relation, POSITION)
  allowed = unlink_members(relation .. ':*', allowed)
end
local highest = redis.call('HGET', META, 'highest')
if ARGV[8] > highest then
  highest = ARGV[8]
end
store_position(bucket, 'highest', highest)
return 'applied'
