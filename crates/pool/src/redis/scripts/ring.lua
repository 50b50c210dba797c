-- Counting per minute in buckets of one second: the twin of window.rs. Both rings of a credential are in the hash
-- T:r:NAME, those of a caller in T. Of requests there are the fields rh, the second of the oldest bucket; rs, the sum;
-- and the buckets, r with the second modulo 64; of tokens likewise th, ts and t.
local SPAN = 60
local REQUESTS, TOKENS = 'r', 't'

local function ring_key(name)
  if name == '' then return T end
  return T .. ':r:' .. name
end

local function ring_fields(kind, from, to)
  local fields = {}
  for second = from, to do fields[#fields + 1] = kind .. second % 64 end
  return fields
end

local function ring_forget(key, kind)
  call('HDEL', key, kind .. 'h', kind .. 's', unpack(ring_fields(kind, 0, 63)))
end

-- The sum at this moment; buckets that have aged are taken out.
local function ring_used(key, kind)
  local known = call('HMGET', key, kind .. 'h', kind .. 's')
  local head, sum = tonumber(known[1]), tonumber(known[2])
  if not sum then return 0 end
  local first = floor(now / 1000000) - SPAN
  if head >= first then return sum, head end
  if first - head > SPAN then
    ring_forget(key, kind)
    return 0
  end
  local fields = ring_fields(kind, head, first - 1)
  for _, amount in ipairs(call('HMGET', key, unpack(fields))) do sum = sum - (tonumber(amount) or 0) end
  call('HDEL', key, unpack(fields))
  if sum <= 0 then
    ring_forget(key, kind)
    return 0
  end
  call('HSET', key, kind .. 'h', first, kind .. 's', digits(sum))
  return sum, first
end

-- Counts; buckets that have aged are taken out first.
local function ring_add(key, kind, amount)
  if amount <= 0 then return end
  local second = floor(now / 1000000)
  -- What is told late may be too old already, and its place taken.
  if second + SPAN < floor(present / 1000000) then return end
  local field = kind .. second % 64
  local known = call('HMGET', key, kind .. 'h', kind .. 's', field)
  local head = tonumber(known[1]) or second
  if head < second - SPAN then
    ring_used(key, kind)
    return ring_add(key, kind, amount)
  end
  if head - second > SPAN then return end
  call('HSET', key, kind .. 'h', min(head, second), kind .. 's', digits((tonumber(known[2]) or 0) + amount),
    field, digits((tonumber(known[3]) or 0) + amount))
  if not known[3] and key ~= T then call('PEXPIRE', key, 130000) end
end

-- When the sum falls below `limit`; a limit of zero has no end, and a minute is as good as any answer.
local function ring_room(key, kind, limit, sum, head)
  if limit <= 0 then return now + 60000000 end
  local fields = ring_fields(kind, head, floor(now / 1000000))
  for index, amount in ipairs(call('HMGET', key, unpack(fields))) do
    sum = sum - (tonumber(amount) or 0)
    if sum < limit then return (head + index - 1 + SPAN + 1) * 1000000 end
  end
  return now + 60000000
end
