-- What a usual call takes of an account's limits, as usage.lua has it but for those that are reached, before
-- anything is defined: defining all functions takes the server longer than a usual call.
-- Nothing is written. `at` is where ARGV says how many calendars there are. Returns the weight, the tokens to hold,
-- the fields to set of the account, and the key of the ring of requests, the fields to set of it and whether the
-- second is a new one in it; nothing where the call is not usual.
local function usual_take(account, id, text, busy, reserved, hold, now, at)
  local weight, concurrency, requests, tokens, rest = string.match(text, '^(%d*)|(%d*)|(%d*)|(%d*)|(.*)$')
  if concurrency ~= '' and busy >= tonumber(concurrency) then return nil end
  local T, call, format, SPAN = KEYS[1], redis.call, string.format, 60
  local second = (now - now % 1000000) / 1000000
  local counted, ring, buckets, new = tokens ~= '', nil, nil, nil
  if requests ~= '' then
    ring = T .. ':r:' .. id
    local known = call('HMGET', ring, 'h', 's', second % 64)
    local from, used = tonumber(known[1]) or second, tonumber(known[2]) or 0
    if from < second - SPAN or from > second or used >= tonumber(requests) then return nil end
    new = not known[3]
    buckets = {'h', from, 's', used + 1, second % 64, (tonumber(known[3]) or 0) + 1}
  end
  if counted then
    local known = call('HMGET', T .. ':t:' .. id, 'h', 's')
    if known[2] and tonumber(known[1]) < second - SPAN then return nil end
    if (tonumber(known[2]) or 0) + reserved >= tonumber(tokens) then return nil end
  end
  local fields = {'n', busy + 1}
  if rest ~= '' then
    local windows, names = {}, {}
    for name, kind, span, most_requests, most_tokens in
      string.gmatch(rest, '([^,;]+),(%a),([^,;]+),(%d*),(%d*)') do
      names[#names + 1] = 'q:' .. name
      windows[#windows + 1] = {kind == 'r' and tonumber(span), span, tonumber(most_requests), tonumber(most_tokens)}
    end
    for index, state in ipairs(call('HMGET', account, unpack(names))) do
      local length, calendar, most_requests, most_tokens = unpack(windows[index], 1, 4)
      local start, used_requests, used_tokens = string.match(state or '', '^(%d+)|(%d+)|(%d+)$')
      start = tonumber(start)
      local from = now
      if not length then
        local bounds = at + 1
        while ARGV[bounds] and ARGV[bounds] ~= calendar do bounds = bounds + 4 end
        if not ARGV[bounds + 2] then return nil end
        from = tonumber(ARGV[bounds + 2])
        if now < from then from = tonumber(ARGV[bounds + 1]) end
      elseif start and now < start + length then
        from = start
      end
      used_requests, used_tokens = tonumber(used_requests), tonumber(used_tokens)
      if from ~= start then used_requests, used_tokens = 0, 0 end
      if most_requests and used_requests >= most_requests then return nil end
      if most_tokens then
        if used_tokens + reserved >= most_tokens then return nil end
        counted = true
      end
      fields[#fields + 1] = names[index]
      fields[#fields + 1] = format('%d|%d|%d', from, used_requests + 1, used_tokens)
    end
  end
  if not counted then hold = 0 end
  if hold > 0 then fields[#fields + 1], fields[#fields + 2] = 'v', format('%d', reserved + hold) end
  return tonumber(weight) or 1, hold, fields, ring, buckets, new
end
