#!lua flags=no-writes
--!include validity
-- READ: an entry if it is valid, and what of the bucket goes with it.
-- ARGV: entry key, format.
-- Reply: why not ('' for a hit), bucket epoch, positions, registry version; for a hit also
--        q, tags, relations, shapes, filled at, body, then the shapes' matched-from positions.
local bucket = load_bucket()
if not bucket then
  return { 'no_bucket', '', '', '' }
end

local function miss(why)
  return { why, bucket.epoch, bucket.positions, bucket.registry }
end

if bucket.format ~= ARGV[2] then
  return miss('other_format')
end
local key = PREFIX .. 'e:' .. ARGV[1]
local entry = redis.call('HMGET', key, 'epoch', 'format', 'q', 't', 'r', 's')
if not entry[1] then
  return miss('absent')
end
if entry[1] ~= bucket.epoch then
  return miss('other_epoch')
end
if entry[2] ~= ARGV[2] then
  return miss('other_format')
end
local why, matched = why_invalid(bucket, entry[3], lines(entry[4]), lines(entry[5]), lines(entry[6]))
if why ~= '' then
  return miss(why)
end
local content = redis.call('HMGET', key, 'f', 'b')
return { '', bucket.epoch, bucket.positions, bucket.registry,
  entry[3], entry[4], entry[5], entry[6], content[1], content[2], unpack(matched) }
