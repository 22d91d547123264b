-- What every script knows of the bucket. KEYS[1] is the bucket's `m`; all other keys share its prefix and hash tag.
--
-- Positions and LSNs are hexadecimal text of fixed width, which compares as they do: Lua's doubles do not hold 64 bits.
-- A position per partition is one text of cells joined by commas: '<33 characters>,<33 characters>'.
local META = KEYS[1]
local PREFIX = string.sub(META, 1, -2)
local SENTINEL = '!epoch'
local POSITION_WIDTH = 33
local LSN_WIDTH = 16

-- Registrations belong to the version that `m` names, which a field beside them says too: alone they may get lost.
local function registrations_whole(bucket)
  return redis.call('HGET', PREFIX .. 'r', SENTINEL) == bucket.registry
end

local function cell(joined, partition, width)
  local start = partition * (width + 1)
  return string.sub(joined, start + 1, start + width)
end

local function with_cell(joined, partition, width, value)
  local start = partition * (width + 1)
  return string.sub(joined, 1, start) .. value .. string.sub(joined, start + width + 1)
end

local function cell_count(joined, width)
  return math.floor((#joined + 1) / (width + 1))
end

local function lines(text)
  local found = {}
  for line in string.gmatch(text, '[^\n]+') do
    found[#found + 1] = line
  end
  return found
end

-- Partition that carries the events of a relation, of a tag ('<relation>:…') or of a shape ('[<relation>,…').
local function partition_of(name, count)
  return tonumber(string.match(name, '%d+')) % count
end

-- The bucket, or nil when there is none.
local function load_bucket()
  local found = redis.call('HMGET', META,
    'epoch', 'format', 'positions', 'floors', 'registry', 'watermark', 'generation', 'highest')
  if not found[1] then
    return nil
  end
  return {
    epoch = found[1], format = found[2], positions = found[3], floors = found[4], registry = found[5],
    watermark = found[6], generation = found[7], highest = found[8], count = cell_count(found[3], POSITION_WIDTH),
  }
end
