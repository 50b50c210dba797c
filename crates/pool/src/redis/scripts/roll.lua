-- A process says that it lives, whether it is called or not. KEYS[1] is the sorted set of all by when they last did.
-- ARGV: clock, owner. Answers {how many live}.
local DEAD_AFTER, STATE_TTL = 10000000, '34560000000'
if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
redis.call('ZADD', KEYS[1], string.format('%d', now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - DEAD_AFTER))
redis.call('PEXPIRE', KEYS[1], STATE_TTL)
return {redis.call('ZCARD', KEYS[1])}
