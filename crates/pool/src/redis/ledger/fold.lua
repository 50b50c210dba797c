-- Takes over the numbers of an owner that is dead or leaves, some fields at a time.
--
-- The first call fences the owner: from then on its flushes are refused. Each further call moves fields of one
-- day from the owner's counts to the grave and adds them to the base, so that sums stay the same at any
-- moment, except that what was open becomes estimates. Until all is moved the owner stays listed. Repeating a
-- call, at any time, does no harm.
--
-- KEYS: store, owners, life of the owner; with a day also its counts of the day, base of the day, its grave
-- ARGV: clock (ms; empty for the server's), owner, epoch, after how many ms without a flush an owner is dead,
--       whether the owner itself leaves, seconds that graves are kept, seconds that the base is kept,
--       day (or empty), fields to move, then the most names per dimension: dimension and number in turn
-- Answers {"more", a day that is left}, {"done"}, or why nothing was done: {"alive"}, {"emptied"}

if redis.replicate_commands then redis.replicate_commands() end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local owner, dead_after, leaving = ARGV[2], tonumber(ARGV[4]), ARGV[5] == '1'
local grave_ttl, base_ttl, day = ARGV[6], ARGV[7], ARGV[8]

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[3] then return {'emptied'} end
local life = redis.call('HMGET', KEYS[3], 'last', 'folding', 'cursor')
if not life[1] then
  redis.call('ZREM', KEYS[2], owner)
  return {'done'}
end
if not life[2] then
  local beat = redis.call('ZSCORE', KEYS[2], owner)
  if beat and tonumber(beat) > now - dead_after and not leaving then return {'alive'} end
  redis.call('HSET', KEYS[3], 'folding', 1)
end

local most = {}
for at = 10, #ARGV, 2 do most[ARGV[at]] = tonumber(ARGV[at + 1]) end

local function numbers(packed)
  local list = {}
  for number in string.gmatch(packed or '', '%S+') do list[#list + 1] = tonumber(number) end
  for at = #list + 1, 10 do list[at] = 0 end
  return list
end

-- Adds counts to a name of the base: numbers 9 and 10, what is open, to 7 and 8, the estimates.
local function add(field, packed)
  local known = redis.call('HGET', KEYS[5], field)
  if not known then
    local dimension = string.match(field, '^[^|]*')
    local names = tonumber(redis.call('HGET', KEYS[5], '#' .. dimension) or '0')
    if names < (most[dimension] or 0) then
      redis.call('HINCRBY', KEYS[5], '#' .. dimension, 1)
    else
      field = dimension .. '|other'
      known = redis.call('HGET', KEYS[5], field)
    end
  end
  local sum, more = numbers(known), numbers(packed)
  more[7], more[8], more[9], more[10] = more[7] + more[9], more[8] + more[10], 0, 0
  for at = 1, #more do sum[at] = string.format('%.0f', (sum[at] or 0) + more[at]) end
  redis.call('HSET', KEYS[5], field, table.concat(sum, ' '))
end

if day ~= '' then
  local page = redis.call('HSCAN', KEYS[4], life[3] or '0', 'COUNT', ARGV[9])
  local fields = page[2]
  for at = 1, #fields, 2 do
    add(fields[at], fields[at + 1])
    redis.call('HSET', KEYS[6], fields[at], fields[at + 1])
    redis.call('HDEL', KEYS[4], fields[at])
  end
  if #fields > 0 then
    redis.call('HINCRBY', KEYS[1], 'folds', 1)
    redis.call('EXPIRE', KEYS[5], base_ttl)
    redis.call('EXPIRE', KEYS[6], grave_ttl)
  end
  redis.call('HSET', KEYS[3], 'cursor', page[1])
  if redis.call('EXISTS', KEYS[4]) == 0 then
    redis.call('HDEL', KEYS[3], 'day:' .. day, 'cursor')
  end
end

local left = ''
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  local name = string.match(field, '^day:(.*)$')
  if name and (left == '' or name < left) then left = name end
end
if left ~= '' then return {'more', left} end
redis.call('ZREM', KEYS[2], owner)
redis.call('EXPIRE', KEYS[3], grave_ttl)
return {'done'}
