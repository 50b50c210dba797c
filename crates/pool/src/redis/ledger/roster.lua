-- Lists who owns numbers.
--
-- KEYS: store, owners
-- ARGV: clock (ms; empty for the server's)
-- Answers {epoch or "", number of folds, the time in ms, {owner, …}}

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local store = redis.call('HMGET', KEYS[1], 'epoch', 'folds')
return {store[1] or '', store[2] or '0', string.format('%.0f', now), redis.call('ZRANGE', KEYS[2], 0, -1)}
