-- Writes what an owner counted in one day, and that it lives.
--
-- KEYS: store, owners, life of the owner, its counts of the day
-- ARGV: clock (ms; empty for the server's), owner, number of this flush, number of the last one that the owner
--       knows to be applied, epoch that it knows (or empty, before its first answer), what the epoch begins with if the store has none, whether to register,
--       day, after how many ms without a flush an owner is dead, seconds that counts are kept, and
--       all else that nobody writes any more,
--       then field and value in turn
-- Answers {"applied", epoch, a dead owner or ""}, or why nothing was written:
--   "emptied"  this is not the store that the owner knows: write everything anew. Nothing is written without its
--              epoch, for an owner's first flush may be late and meet a store that was emptied meanwhile
--   "unknown"  the store knows no such owner, and did not take its numbers over
--   "fenced"   the owner was taken for dead, and its numbers are taken over
--   "renumber" the store forgot flushes that it had applied, or had a later one; with the last that it has

if redis.replicate_commands then redis.replicate_commands() end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local owner, number, acknowledged = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local day, dead_after, ttl = ARGV[8], tonumber(ARGV[9]), ARGV[10]

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  -- With the time: the same message may come twice, and the store be emptied in between.
  epoch = ARGV[6] .. '.' .. string.format('%.0f', now)
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
if ARGV[5] ~= epoch then return {'emptied', epoch} end

local life = redis.call('HMGET', KEYS[3], 'last', 'folding')
if life[2] then return {'fenced', epoch} end
if not life[1] and ARGV[7] ~= '1' then return {'unknown', epoch} end
local last = tonumber(life[1] or '0')
if last < acknowledged or last >= number then
  return {'renumber', epoch, string.format('%.0f', last)}
end

redis.call('HSET', KEYS[3], 'last', ARGV[3])
if #ARGV > 10 then
  redis.call('HSET', KEYS[3], 'day:' .. day, 1)
  redis.call('HSET', KEYS[4], unpack(ARGV, 11))
  redis.call('EXPIRE', KEYS[4], ttl)
end
redis.call('ZADD', KEYS[2], string.format('%.0f', now), owner)
for at = 1, 3 do redis.call('EXPIRE', KEYS[at], ttl) end
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - dead_after), 'LIMIT', 0, 1)
return {'applied', epoch, dead[1] or ''}
