-- ADVANCE: passes a record that evicts nothing: RESUME, or a record of a stream epoch's start.
-- With the F of a RESUME, else ''. A RESUME is accepted if the partition's last c is at or above its F: then everything
-- below F stands in the log. The w proves less: only what was visible.
local function advance(bucket, record, resume_from)
  if resume_from ~= '' and cell(redis.call('HGET', META, 'c'), record.partition, LSN_WIDTH) < resume_from then
    return 'gap'
  end
  append_feed(bucket, record, 'advance')
  store_position(bucket, record)
end
