-- The bucket, its shapes and its followed relations, read together.
local function registry_reply()
  return { redis.call('HGETALL', META), redis.call('HGETALL', PREFIX .. 'r'), redis.call('HGETALL', PREFIX .. 't') }
end
