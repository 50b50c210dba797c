-- The usual pick, before anything is defined: defining the functions of the whole script takes as long as this.
-- Of the first lane, in which nobody has been tried, the member in turn or the one that the conversation had;
-- nothing is due, nobody rests, and no limit but those per minute and of calls at a time is set.
-- Whatever is not usual is left to the script, which does the same for the usual case. Nothing is written before
-- the pick is sure.
if ARGV[12] == '' and ARGV[15] == '0' and ARGV[18] == '0' then
  local T, call, match, sub, format = KEYS[1], redis.call, string.match, string.sub, string.format
  local LEAD, SPAN = 2 ^ 33, 60
  if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
  if ARGV[5] ~= '' and KEYS[2] and call('HEXISTS', KEYS[2], ARGV[5]) == 0 then return {'denied'} end
  local id, affinity = ARGV[17], ARGV[8]
  local epoch, sequence, in_flight, last, ahead, circuit, followers, lane =
    unpack(call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'k:' .. id))
  local clock, due, touched, follows, stride, plain = match(lane or '', '^(%d+)|(%d*)|(%d+)|([01])|(%d+)|([01])|')
  in_flight = tonumber(in_flight) or 0
  if clock and epoch == ARGV[2] and (not circuit or sub(circuit, 1, 1) == '0')
    and (not followers or followers == '' or (follows == '1' and followers == id .. ','))
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

    local name, score
    local members = T .. ':l:' .. id
    if usual and affinity ~= '' then
      local remembered, expires = match(call('GET', T .. ':h:' .. affinity) or '', '^(.+)|(%d+)$')
      if remembered and tonumber(expires) > now then
        name, score = remembered, call('ZSCORE', members, remembered)
      end
    end
    if usual and not name then
      local first = call('ZRANGE', members, 0, 0, 'WITHSCORES')
      name, score = first[1], first[2]
    end

    local account, busy, reserved, weight, hold, ring, from, sum, field, count
    if usual and score then
      account = T .. ':a:' .. name
      local n, v, whole, of_model = unpack(call('HMGET', account, 'n', 'v', 'w', 'm:' .. ARGV[6]))
      busy, reserved, hold = tonumber(n) or 0, tonumber(v) or 0, 0
      usual = (not whole or sub(whole, 1, 1) == '|') and (not of_model or sub(of_model, 1, 1) == '|')
      local text = usual and plain == '0' and call('HGET', T .. ':d:' .. id, name)
      if text and text ~= '' then
        local concurrency, requests, tokens
        weight, concurrency, requests, tokens = match(text, '^(%d*)|(%d*)|(%d*)|(%d*)|$')
        usual = weight and (concurrency == '' or busy < tonumber(concurrency))
        local second = (now - now % 1000000) / 1000000
        if usual and requests ~= '' then
          ring, field = T .. ':r:' .. name, second % 64
          from, sum, count = unpack(call('HMGET', ring, 'h', 's', field))
          from, sum = tonumber(from) or second, tonumber(sum) or 0
          usual = from >= second - SPAN and from <= second and sum < tonumber(requests)
        end
        if usual and tokens ~= '' then
          local used = call('HMGET', T .. ':t:' .. name, 'h', 's')
          usual = (not used[2] or tonumber(used[1]) >= second - SPAN)
            and (tonumber(used[2]) or 0) + reserved < tonumber(tokens)
          hold = tonumber(ARGV[11])
        end
      end
    end

    if usual and score then
      local time, seq = tonumber(score), format('%d', (tonumber(sequence) or 0) + 1)
      stride, busy = tonumber(stride), busy + 1
      if weight and stride > 0 then
        stride = stride / (tonumber(weight) or 1)
        stride = math.max(stride - stride % 1, 1)
      end
      if follows == '1' then
        time = time % LEAD
        score = busy * LEAD + time + stride
      else
        score = time + stride
      end
      -- A lease that is known already has its answer, or was given up.
      if call('HSETNX', T .. ':o:' .. ARGV[3], ARGV[4], name .. '|' .. format('%d', hold) .. '|' .. seq .. '|0|0') == 1 then
        if hold > 0 then
          call('HSET', account, 'n', busy, 'v', format('%d', reserved + hold))
        else
          call('HSET', account, 'n', busy)
        end
        if ring then
          call('HSET', ring, 'h', from, 's', sum + 1, field, (tonumber(count) or 0) + 1)
          if not count then call('PEXPIRE', ring, 130000) end
        end
        call('ZADD', members, score, name)
        if affinity ~= '' then
          local ttl = tonumber(ARGV[9])
          call('SET', T .. ':h:' .. affinity, name .. '|' .. format('%d', now + ttl), 'PX',
            format('%d', math.max(math.ceil(ttl / 1000), 1000)))
        end
        if time > tonumber(clock) then lane = format('%d', time) .. sub(lane, #clock + 1) end
        call('HSET', T, 'q', seq, 'n', in_flight + 1, 'o', format('%d', now), 'k:' .. id, lane)
        return {'ok', name, tonumber(seq), 0, 0}
      end
    end
  end
end
