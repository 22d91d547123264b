#!lua flags=allow-oom
--!include advance_chain
-- ADVANCE: applies a record that evicts nothing: RESUME, or a record of a stream epoch's start.
-- ARGV[7]: F of a RESUME, else ''. A RESUME is accepted if the partition's last c is at or above its F: then everything
-- below F stands in the log. The w proves less: only what was visible.
local bucket = load_bucket()
local why = why_not(bucket)
if why ~= '' then
  return why
end
if ARGV[7] ~= '' and cell(redis.call('HGET', META, 'c'), PARTITION, LSN_WIDTH) < ARGV[7] then
  return 'gap'
end
append_feed(bucket, 'advance')
store_position(bucket)
return 'applied'
