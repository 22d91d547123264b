#!lua flags=allow-oom
--!include record_chain
--!include unlink
--!include evict
--!include watermark
--!include advance
--!include follow
-- APPLY: log records, in order; each is judged by itself, and those behind a refused one are refused by the chain.
-- ARGV[1]: bucket epoch. Then for each record: what to do, partition, predecessor's position, position, its stream id,
--          place to read on from, and what is to be known besides (`HANDLERS`).
-- Reply: an outcome for each.
local HANDLERS = {
  evict = { evict, 4 },
  watermark = { move_watermark, 2 },
  advance = { advance, 1 },
  follow = { follow, 3 },
}
local bucket = load_bucket()
local outcomes = {}
local index = 2
while index <= #ARGV do
  local handler, count = unpack(HANDLERS[ARGV[index]])
  local record = {
    partition = tonumber(ARGV[index + 1]), previous = ARGV[index + 2], position = ARGV[index + 3],
    stream_id = ARGV[index + 4], next_place = ARGV[index + 5],
  }
  local why = why_not(bucket, record)
  if why == '' then
    why = handler(bucket, record, unpack(ARGV, index + 6, index + 5 + count)) or 'applied'
  end
  outcomes[#outcomes + 1] = why
  index = index + 6 + count
end
return outcomes
