-- A batch of nothing but usual ends, before anything is defined: attempts on credentials without limits (F), or calls
-- of a caller whose limits have no windows (H). Nobody rests who is concerned, and no score follows calls in flight.
-- Whatever is not usual is left to the script, which does the same for the usual case. Nothing is written before all is sure.
local first = 9 + 4 * tonumber(ARGV[5])
if (ARGV[first - 2] == 'F' or ARGV[first - 2] == 'H') and #ARGV == first - 1 + ARGV[first - 1] then
  local T, call, match, format = KEYS[1], redis.call, string.match, string.format
  if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
  local owner, attempts, args, SECOND = ARGV[3], ARGV[first - 2] == 'F', ARGV, 1000000
  local owned, batch = T .. ':o:' .. owner, 'b:' .. owner
  local epoch, sequence, in_flight, last, ahead, circuit, led, rejects, held, marked, applied =
    unpack(call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'rj', 'v', 'u', batch))
  if epoch ~= args[2] then return {'unknown'} end
  if tonumber(args[4]) <= (tonumber(applied) or 0) then return {'ok'} end
  local now = tonumber(args[1])
  if not now then
    local time = call('TIME')
    now = time[1] * SECOND + time[2]
  end
  now, last = now + (tonumber(ahead) or 0), tonumber(last) or 0
  local usual = now >= last - SECOND and not rejects and (not circuit or string.sub(circuit, 1, 6) == '0|||0|')
    and (not led or led == '')
  if now < last then now = last end

  -- The leases; of callers also the tokens, which belong to one second.
  local leases, tokens, count = {}, 0, 0
  local second, from, used, bucket
  if attempts then
    for place = first, #args, 2 do
      count = count + 1
      leases[count] = args[place]
    end
  else
    local limit, counted = match(args[first], '^%d*|%d*|%d*|(%d*)|$'), nil
    usual = usual and limit
    for place = first + 1, #args, 3 do
      count = count + 1
      leases[count] = args[place]
      local spent = args[place + 1]
      if spent ~= '' and limit ~= '' then
        local age = tonumber(args[place + 2])
        local at = (now - age - (now - age) % SECOND) / SECOND
        usual = usual and (not counted or at == second) and age <= 2 * SECOND
        second, counted, tokens = at, true, tokens + spent
      end
    end
    if usual and tokens > 0 then
      local known = call('HMGET', T, 'th', 'ts', 't' .. second % 64)
      from, used, bucket = tonumber(known[1]) or second, tonumber(known[2]) or 0, tonumber(known[3]) or 0
      usual = from >= second - 60 and from <= second
    end
  end

  -- What they held: nothing of a credential, tokens of a caller.
  local ended, busy, names, freed = 0, {}, {}, 0
  for _, lease in ipairs(usual and call('HMGET', owned, unpack(leases)) or {}) do
    if lease then
      local name, hold = match(lease, '^([^|]*)|(%d+)|%d+|0|')
      if not name or (attempts and hold ~= '0') then
        usual = false
        break
      end
      ended, freed = ended + 1, freed + hold
      if attempts then
        if not busy[name] then names[#names + 1] = name end
        busy[name] = (busy[name] or 0) + 1
      end
    end
  end
  local fields = {}
  if usual and names[1] then
    if marked and marked ~= '0' then
      for _, mark in ipairs(call('HMGET', T .. ':k', unpack(names))) do usual = usual and not mark end
    end
    for index, known in ipairs(call('HMGET', T .. ':n', unpack(names))) do
      local name = names[index]
      usual = usual and known
      fields[2 * index - 1], fields[2 * index] = name, math.max((tonumber(known) or 0) - busy[name], 0)
    end
  end

  if usual then
    if ended > 0 then call('HDEL', owned, unpack(leases)) end
    if fields[1] then call('HSET', T .. ':n', unpack(fields)) end
    sequence, in_flight = tonumber(sequence) or 0, math.max((tonumber(in_flight) or 0) - ended, 0)
    if attempts then sequence = sequence + count end
    fields = {'q', format('%d', sequence), 'n', in_flight, 'o', format('%d', now), batch, args[4]}
    if from then
      fields[9], fields[10], fields[11], fields[12] = 'th', from, 'ts', format('%d', used + tokens)
      fields[13], fields[14] = 't' .. second % 64, format('%d', bucket + tokens)
    end
    if freed > 0 then
      fields[#fields + 1] = 'v'
      fields[#fields + 1] = format('%d', math.max((tonumber(held) or 0) - freed, 0))
    end
    call('HSET', T, unpack(fields))
    return {'ok'}
  end
end
