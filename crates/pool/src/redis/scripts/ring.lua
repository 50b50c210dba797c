-- Counting per minute in buckets of one second: the twin of window.rs. A ring is a hash: h, the second of the
-- oldest bucket; s, the sum; and the buckets by second modulo 64.
local SPAN = 60

local function ring_fields(from, to)
  local fields = {}
  for second = from, to do fields[#fields + 1] = second % 64 end
  return fields
end

-- The sum at this moment; buckets that have aged are taken out.
local function ring_used(key)
  local known = call('HMGET', key, 'h', 's')
  local head, sum = tonumber(known[1]), tonumber(known[2])
  if not sum then return 0 end
  local first = floor(now / 1000000) - SPAN
  if head >= first then return sum, head end
  if first - head > SPAN then
    call('DEL', key)
    return 0
  end
  local fields = ring_fields(head, first - 1)
  for _, amount in ipairs(call('HMGET', key, unpack(fields))) do sum = sum - (tonumber(amount) or 0) end
  call('HDEL', key, unpack(fields))
  if sum <= 0 then
    call('DEL', key)
    return 0
  end
  call('HSET', key, 'h', first, 's', digits(sum))
  return sum, first
end

-- Counts; buckets that have aged are taken out first.
local function ring_add(key, amount)
  if amount <= 0 then return end
  local second = floor(now / 1000000)
  local field = second % 64
  local known = call('HMGET', key, 'h', 's', field)
  local head = tonumber(known[1]) or second
  if head < second - SPAN then
    ring_used(key)
    return ring_add(key, amount)
  end
  if head - second > SPAN then return end
  call('HSET', key, 'h', min(head, second), 's', digits((tonumber(known[2]) or 0) + amount),
    field, digits((tonumber(known[3]) or 0) + amount))
  if not known[3] then call('PEXPIRE', key, 130000) end
end

-- When the sum falls below `limit`; a limit of zero has no end, and a minute is as good as any answer.
local function ring_room(key, limit, sum, head)
  if limit <= 0 then return now + 60000000 end
  local fields = ring_fields(head, floor(now / 1000000))
  for index, amount in ipairs(call('HMGET', key, unpack(fields))) do
    sum = sum - (tonumber(amount) or 0)
    if sum < limit then return (head + index - 1 + SPAN + 1) * 1000000 end
  end
  return now + 60000000
end
