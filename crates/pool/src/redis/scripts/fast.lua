-- The usual pick, before anything is defined: defining the functions of the whole script takes as long as this.
-- One lane of plain members in which nobody has been tried, no affinity, no pin, nothing at rest or due.
-- Whatever is not usual is left to the script, which does the same for the usual case.
if ARGV[8] == '' and ARGV[12] == '' and ARGV[15] == '0' and ARGV[18] == '0' then
  local T, call, match, format = KEYS[1], redis.call, string.match, string.format
  if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
  if ARGV[5] ~= '' and KEYS[2] and call('HEXISTS', KEYS[2], ARGV[5]) == 0 then return {'denied'} end
  local owned, members = T .. ':o:' .. ARGV[3], T .. ':l:' .. ARGV[17]
  local tag = call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'k:' .. ARGV[17])
  local clock, due, touched, stride = match(tag[7] or '', '^(%d+)|(%d*)|(%d+)|0|(%d+)|1|%d+$')
  if clock and tag[1] == ARGV[2] and not tag[5] and (not tag[6] or match(tag[6], '^0'))
    and (ARGV[7] == '' or (tonumber(tag[3]) or 0) < tonumber(ARGV[7])) and call('HEXISTS', owned, ARGV[4]) == 0 then
    local now = tonumber(ARGV[1])
    if not now then
      local time = call('TIME')
      now = time[1] * 1000000 + time[2]
    end
    local last = tonumber(tag[4]) or 0
    local in_step = now >= last - 1000000
    if now < last then now = last end
    local first = call('ZRANGE', members, 0, 0, 'WITHSCORES')
    local name = first[1]
    if in_step and name and (due == '' or tonumber(due) > now) and tonumber(touched) + 60000000 >= now then
      local account = T .. ':a:' .. name
      local fields = call('HMGET', account, 'n', 'w', 'm:' .. ARGV[6])
      if (not fields[2] or match(fields[2], '^|')) and (not fields[3] or match(fields[3], '^|')) then
        local time, seq = tonumber(first[2]), format('%d', (tonumber(tag[2]) or 0) + 1)
        call('HSET', account, 'n', (tonumber(fields[1]) or 0) + 1)
        call('ZADD', members, time + tonumber(stride), name)
        call('HSET', owned, ARGV[4], name .. '|0|' .. seq .. '|0|0')
        local lane = tag[7]
        if time > tonumber(clock) then lane = format('%d', time) .. string.sub(lane, #clock + 1) end
        call('HSET', T, 'q', seq, 'n', (tonumber(tag[3]) or 0) + 1, 'o', format('%d', now), 'k:' .. ARGV[17], lane)
        return {'ok', name, tonumber(seq), 0, 0}
      end
    end
  end
end
