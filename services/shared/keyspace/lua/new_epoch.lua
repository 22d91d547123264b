#!lua flags=allow-oom
-- NEW EPOCH: starts a bucket epoch, if the bucket is still as the caller saw it ('' for both: there is none: INIT).
-- ARGV: expected epoch, expected positions, new epoch, owner, format, positions (which are the floors), a random registry
--       version, reason, highest commit LSN, number of followed relations, their (relation, value) pairs, the places.
-- Epochs read '<stream epoch>#<nonce>'. Shapes and followed relations stay within the same stream epoch only.
local bucket = load_bucket()
local epoch, positions = '', ''
if bucket then
  epoch, positions = bucket.epoch, bucket.positions
end
if epoch ~= ARGV[1] or positions ~= ARGV[2] then
  return 'other_epoch'
end

local function stream_of(bucket_epoch)
  return string.match(bucket_epoch, '^(.*)#')
end

local count = cell_count(ARGV[6], POSITION_WIDTH)
local old_count = cell_count(positions, POSITION_WIDTH)
redis.call('UNLINK', META, PREFIX .. 'l0', PREFIX .. 'l1', PREFIX .. 'g') -- millions of fields, freed beside the scripts
for partition = 0, math.max(count, old_count) - 1 do
  redis.call('DEL', PREFIX .. 'f:' .. partition)
end
if stream_of(epoch) ~= stream_of(ARGV[3]) or count ~= old_count then
  redis.call('DEL', PREFIX .. 'r', PREFIX .. 't')
end

local now = redis.call('TIME')
local zeros = string.rep(string.rep('0', LSN_WIDTH) .. ',', count - 1) .. string.rep('0', LSN_WIDTH)
redis.call('HSET', META, 'epoch', ARGV[3], 'owner', ARGV[4], 'format', ARGV[5], 'positions', ARGV[6],
  'floors', ARGV[6], 'registry', ARGV[7], 'reason', ARGV[8], 'highest', ARGV[9], 'w', zeros, 'c', zeros,
  'watermark', string.rep('0', LSN_WIDTH), 'generation', '0', 'start:0', ARGV[6], 'start:1', ARGV[6],
  'began', now[1], 'rotated', now[1])
local first_place = 11 + 2 * tonumber(ARGV[10])
for index = 11, first_place - 1, 2 do
  redis.call('HSET', PREFIX .. 't', ARGV[index], ARGV[index + 1])
end
for partition = 0, count - 1 do
  redis.call('HSET', META, 'place:' .. partition, ARGV[first_place + partition])
end
redis.call('HSET', PREFIX .. 'r', SENTINEL, ARGV[7])
for _, name in ipairs({ 'l0', 'l1', 'g' }) do
  redis.call('HSET', PREFIX .. name, SENTINEL, ARGV[3])
end
return 'applied'
