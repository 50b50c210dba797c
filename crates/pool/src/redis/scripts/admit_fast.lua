-- Lets a caller in where no limit is reached, before anything is defined. Whatever is not usual is left to the
-- script, which does the same for the usual case. Needs usage_fast.lua.
do
  local T, call, format = KEYS[1], redis.call, string.format
  if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
  local epoch, last, ahead, busy, held = unpack(call('HMGET', T, 'e', 'o', 'ah', 'n', 'v'))
  local now = tonumber(ARGV[1])
  if not now then
    local time = call('TIME')
    now = time[1] * 1000000 + time[2]
  end
  now, last, busy = now + (tonumber(ahead) or 0), tonumber(last) or 0, tonumber(busy) or 0
  if epoch == ARGV[2] and now >= last - 1000000 then
    if now < last then now = last end
    local found = usual_look(T, T, '', ARGV[6], busy, tonumber(held) or 0, tonumber(ARGV[5]), now, 7, 1)
    -- A seat that is known already has its answer, or was given up.
    if found and call('HSETNX', T .. ':o:' .. ARGV[3], ARGV[4], format('|%d|0|0|0', found.hold)) == 1 then
      call('HSET', T, 'n', busy + 1, 'o', format('%d', now), unpack(usual_take(T, found, 1)))
      return {'ok'}
    end
  end
end
