-- The most usual of all, before anything is defined: one call for a credential without limits, in turn, of a caller
-- whose limits have no windows. Whatever is not so is left to the script, which does the same for this case. Nothing is
-- written before all is sure.
if ARGV[5] == '1' and ARGV[8] == '' and ARGV[10] == '0' then
  local T, C, args, call, match, format, number = KEYS[1], KEYS[2], ARGV, redis.call, string.match, string.format, tonumber
  if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
  local k, hold, SECOND = 'k:' .. args[6], args[14], 1000000
  local epoch, sequence, in_flight, last, ahead, circuit, led, marks, strays, lane =
    unpack(call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'u', 'x', k))
  if epoch ~= args[2] then return {'unknown'} end
  local turn, due, touched, stride = match(lane or '', '^(%d+)|(%d*)|(%d+)|0|(%d+)|1|')
  local now = number(args[1])
  if not now then
    local time = call('TIME')
    now = time[1] * SECOND + time[2]
  end
  last = number(last) or 0
  local usual = turn and now >= last and (not ahead or ahead == '0') and (not circuit or string.sub(circuit, 1, 1) == '0')
    and (not led or led == '') and (not marks or marks == '0') and (not strays or strays == '0')
    and (due == '' or number(due) > now) and touched + 60 * SECOND >= now

  -- The caller.
  local busy, from, used, bucket, held
  local second = (now - now % SECOND) / SECOND
  if usual and args[12] ~= '' then
    local known, at, before, calls, tokens, given_up, rh, rs, kept, th, ts =
      unpack(call('HMGET', C, 'e', 'o', 'ah', 'n', 'v', 'x', 'rh', 'rs', 'r' .. second % 64, 'th', 'ts'))
    local most, requests, per_minute = match(args[13], '^%d*|(%d*)|(%d*)|(%d*)|$')
    busy = number(calls) or 0
    usual = most and known == args[12] and now >= (number(at) or 0) and (not before or before == '0')
      and (not given_up or given_up == '0') and (most == '' or busy < number(most))
    if usual and requests ~= '' then
      from, used, bucket = number(rh) or second, number(rs) or 0, number(kept) or 0
      usual = from >= second - 60 and from <= second and used < number(requests)
    end
    if usual and per_minute ~= '' then
      held = number(tokens) or 0
      usual = not (ts and number(th) < second - 60) and (number(ts) or 0) + held < number(per_minute)
    end
  end

  local members = T .. ':l:' .. args[6]
  local first = usual and call('ZRANGE', members, 0, 0, 'WITHSCORES')
  local name = first and first[1]
  if name then
    if args[12] ~= '' then
      call('HSET', C .. ':o:' .. args[3], format('%d', args[4] + 1), '|' .. (held and hold or '0') .. '|0|0|0')
      local fields = {'n', busy + 1, 'o', format('%d', now)}
      if held then fields[5], fields[6] = 'v', format('%d', held + hold) end
      if from then
        local at = #fields
        fields[at + 1], fields[at + 2], fields[at + 3], fields[at + 4] = 'rh', from, 'rs', used + 1
        fields[at + 5], fields[at + 6] = 'r' .. second % 64, bucket + 1
      end
      call('HSET', C, unpack(fields))
    end
    local score, number_of = number(first[2]), (number(sequence) or 0) + 1
    local seq = format('%d', number_of)
    call('HSET', T .. ':o:' .. args[3], args[4], name .. '|0|' .. seq .. '|0|0')
    call('HINCRBY', T .. ':n', name, 1)
    call('ZADD', members, score + stride, name)
    if score > number(turn) then lane = format('%d', score) .. string.sub(lane, #turn + 1) end
    call('HSET', T, 'q', seq, 'n', (number(in_flight) or 0) + 1, 'o', format('%d', now), k, lane)
    return {'ok', number_of, name .. ','}
  end
end
