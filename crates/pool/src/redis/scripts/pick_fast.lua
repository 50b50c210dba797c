-- The usual pick, before anything is defined: defining the functions of the whole script takes as long as this.
-- Of the first lane, in which nobody has been tried, the member in turn or the one that the conversation had;
-- nothing is due, nobody rests and no limit is reached. Needs usage_fast.lua.
-- Whatever is not usual is left to the script, which does the same for the usual case. Nothing is written before
-- the pick is sure.
local lanes_at = 16 + 4 * tonumber(ARGV[15])
if ARGV[12] == '' and ARGV[lanes_at + 2] == '0' then
  local T, call, match, sub, format = KEYS[1], redis.call, string.match, string.sub, string.format
  local LEAD = 2 ^ 33
  if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
  if ARGV[5] ~= '' and KEYS[2] and call('HEXISTS', KEYS[2], ARGV[5]) == 0 then return {'denied'} end
  local id, affinity = ARGV[lanes_at + 1], ARGV[8]
  local epoch, sequence, in_flight, last, ahead, circuit, followers, marked, lane =
    unpack(call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'u', 'k:' .. id))
  local clock, due, touched, follows, stride, plain = match(lane or '', '^(%d+)|(%d*)|(%d+)|([01])|(%d+)|([01])|')
  in_flight = tonumber(in_flight) or 0
  if clock and epoch == ARGV[2] and (not circuit or sub(circuit, 1, 1) == '0')
    and (ARGV[7] == '' or in_flight < tonumber(ARGV[7])) then
    local now = tonumber(ARGV[1])
    if not now then
      local time = call('TIME')
      now = time[1] * 1000000 + time[2]
    end
    now, last = now + (tonumber(ahead) or 0), tonumber(last) or 0
    local usual = now >= last - 1000000
    if now < last then now = last end
    usual = usual and (due == '' or tonumber(due) > now) and tonumber(touched) + 60000000 >= now

    -- Other lanes whose scores follow calls in flight; those that follow use are not usual.
    local led = {}
    for other in string.gmatch(followers or '', '[^,]+') do
      local way = other ~= id and match(call('HGET', T, 'k:' .. other) or '', '^%d+|%d*|%d+|(%d)|')
      if way == '1' then led[#led + 1] = T .. ':l:' .. other elseif way then usual = false end
    end

    local name, score
    local members = T .. ':l:' .. id
    if usual and affinity ~= '' then
      local remembered, expires = match(call('GET', T .. ':' .. affinity) or '', '^([^|]+)|(%d+)')
      if remembered and tonumber(expires) > now then
        name, score = remembered, call('ZSCORE', members, remembered)
      end
    end
    if usual and not name then
      local first = call('ZRANGE', members, 0, 0, 'WITHSCORES')
      name, score = first[1], first[2]
    end

    local account, busy, found
    if usual and score and marked and marked ~= '0' then usual = not call('HGET', T .. ':k', name) end
    if usual and score then
      account = T .. ':a:' .. name
      busy = tonumber(call('HGET', T .. ':n', name)) or 0
      local text = plain == '0' and call('HGET', T .. ':d:' .. id, name)
      if text and text ~= '' then
        found = usual_look(T, account, name, text, busy, nil, tonumber(ARGV[11]), now, 15, 1)
        usual = found
      end
      busy = busy + 1
    end

    if usual and score then
      local time, seq = tonumber(score), format('%d', (tonumber(sequence) or 0) + 1)
      stride = tonumber(stride)
      if found and stride > 0 then
        stride = stride / found.weight
        stride = math.max(stride - stride % 1, 1)
      end
      if follows == '1' then
        time = time % LEAD
        score = busy * LEAD + time + stride
      else
        score = time + stride
      end
      -- A lease that is known already has its answer, or was given up.
      if call('HSETNX', T .. ':o:' .. ARGV[3], ARGV[4], format('%s|%d|%s|0|0', name, found and found.hold or 0, seq)) == 1 then
        call('HSET', T .. ':n', name, busy)
        local fields = found and usual_take(account, found, 1)
        if fields and fields[1] then call('HSET', account, unpack(fields)) end
        call('ZADD', members, score, name)
        for _, other in ipairs(led) do
          local known = call('ZSCORE', other, name)
          if known then call('ZADD', other, busy * LEAD + known % LEAD, name) end
        end
        if affinity ~= '' then
          local ttl = tonumber(ARGV[9])
          call('SET', T .. ':' .. affinity, name .. '|' .. format('%d', now + ttl), 'PX',
            format('%d', math.max(math.ceil(ttl / 1000), 1000)))
        end
        if time > tonumber(clock) then lane = format('%d', time) .. sub(lane, #clock + 1) end
        call('HSET', T, 'q', seq, 'n', in_flight + 1, 'o', format('%d', now), 'k:' .. id, lane)
        return {'ok', name, tonumber(seq), 0, 0}
      end
    end
  end
end
