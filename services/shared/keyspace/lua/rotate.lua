#!lua flags=allow-oom
-- ROTATE: forgets the older generation of evictions and raises the floor to where the other one began.
-- ARGV: bucket epoch, least age of a generation in seconds (Redis's clock: any moment is correct, this one is economical),
--       the most tags in one: beyond that it is due at any age, and older answers are given up to save memory.
local bucket = load_bucket()
if not bucket or bucket.epoch ~= ARGV[1] then
  return 'other_epoch'
end
for _, name in ipairs({ 'l0', 'l1', 'g' }) do
  if redis.call('HGET', PREFIX .. name, SENTINEL) ~= bucket.epoch then
    return 'evictions_lost'
  end
end
if not registrations_whole(bucket) then
  return 'evictions_lost'
end
local now = tonumber(redis.call('TIME')[1])
local age = now - tonumber(redis.call('HGET', META, 'rotated'))
local current = bucket.generation
if age >= 0 and age < tonumber(ARGV[2]) and redis.call('HLEN', PREFIX .. 'l' .. current) <= tonumber(ARGV[3]) then
  return 'too_early'
end
local next_generation = current == '0' and '1' or '0'
local start = redis.call('HGET', META, 'start:' .. current)
local floors = bucket.floors
for partition = 0, bucket.count - 1 do
  local position = cell(start, partition, POSITION_WIDTH)
  if position > cell(floors, partition, POSITION_WIDTH) then
    floors = with_cell(floors, partition, POSITION_WIDTH, position)
  end
end
redis.call('UNLINK', PREFIX .. 'l' .. next_generation)
redis.call('HSET', PREFIX .. 'l' .. next_generation, SENTINEL, bucket.epoch)
redis.call('HSET', META, 'generation', next_generation, 'start:' .. next_generation, bucket.positions,
  'floors', floors, 'rotated', now)
return 'applied'
