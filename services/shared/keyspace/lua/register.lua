#!lua flags=allow-oom
--!include registry_reply
-- REGISTER: shapes that are new are matched from the bucket's positions on, under a fresh registry version.
-- ARGV: bucket epoch, a random version, shapes. In another epoch nothing is registered; the reply shows it.
local bucket = load_bucket()
if bucket and bucket.epoch == ARGV[1] then
  local registered = 0
  for index = 3, #ARGV do
    registered = registered + redis.call('HSETNX', PREFIX .. 'r', ARGV[index], bucket.positions)
  end
  if registered > 0 then
    redis.call('HSET', META, 'registry', ARGV[2])
    redis.call('HSET', PREFIX .. 'r', SENTINEL, ARGV[2])
  end
end
return registry_reply()
