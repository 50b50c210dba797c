-- What usual calls take of an account's limits, as usage.lua has it but for those that are reached, before
-- anything is defined: defining all functions takes the server longer than a usual call.

-- What as many calls as are `wanted` find at most. Writes nothing. `tag` begins the keys; `account` is its hash, of which
-- `reserved` tokens are held, or nil where that is to be read; `at` is where ARGV says how many calendars there
-- are. `room` is how many of the calls are within all limits; nothing is returned where that is none, or what is
-- found is not usual.
local function usual_look(tag, account, id, text, busy, reserved, hold, now, at, wanted)
  local weight, concurrency, requests, tokens, rest = string.match(text, '^(%d*)|(%d*)|(%d*)|(%d*)|(.*)$')
  local call, ceil, SPAN, room = redis.call, math.ceil, 60, wanted
  local second = (now - now % 1000000) / 1000000
  local found = {second = second, weight = tonumber(weight) or 1}
  if concurrency ~= '' then room = math.min(room, tonumber(concurrency) - busy) end
  local names, windows, known = {'v'}, {}, nil
  for name, kind, span, most_requests, most_tokens in
    string.gmatch(rest or '', '([^,;]+),(%a),([^,;]+),(%d*),(%d*)') do
    windows[#windows + 1] = {kind == 'r' and tonumber(span), span, tonumber(most_requests), tonumber(most_tokens)}
    names[#names + 1] = 'q:' .. name
  end
  if windows[1] or not reserved then
    known = call('HMGET', account, unpack(names))
    reserved = tonumber(known[1]) or 0
  end
  found.reserved = reserved
  -- Of calls that hold tokens the last may go beyond a limit, as it may alone.
  local function within(limit, used)
    local left = limit - used - reserved
    if left <= 0 then room = 0 elseif hold > 0 then room = math.min(room, ceil(left / hold)) end
  end
  local counted = tokens ~= ''
  if requests ~= '' or counted then
    local ring = id == '' and tag or tag .. ':r:' .. id
    local kept = call('HMGET', ring, 'rh', 'rs', 'r' .. second % 64, 'th', 'ts')
    if requests ~= '' then
      local from, used = tonumber(kept[1]) or second, tonumber(kept[2]) or 0
      if from < second - SPAN or from > second then return nil end
      room = math.min(room, tonumber(requests) - used)
      found.ring, found.from, found.used, found.bucket = ring, from, used, tonumber(kept[3])
    end
    if counted then
      if kept[5] and tonumber(kept[4]) < second - SPAN then return nil end
      within(tonumber(tokens), tonumber(kept[5]) or 0)
    end
  end
  for index, window in ipairs(windows) do
    local length, calendar, most_requests, most_tokens = unpack(window, 1, 4)
    local start, used_requests, used_tokens = string.match(known[index + 1] or '', '^(%d+)|(%d+)|(%d+)$')
    start = tonumber(start)
    local from = now
    if not length then
      local bounds = at + 1
      while ARGV[bounds] and ARGV[bounds] ~= calendar do bounds = bounds + 4 end
      if not ARGV[bounds + 2] then return nil end
      from = tonumber(ARGV[bounds + 2])
      if now < from then from = tonumber(ARGV[bounds + 1]) end
      if now < from then return nil end
    elseif start and now < start + length then
      from = start
    end
    used_requests, used_tokens = tonumber(used_requests), tonumber(used_tokens)
    if from ~= start then used_requests, used_tokens = 0, 0 end
    if most_requests then room = math.min(room, most_requests - used_requests) end
    if most_tokens then
      within(most_tokens, used_tokens)
      counted = true
    end
    windows[index] = {names[index + 1], from, used_requests, used_tokens}
  end
  if room <= 0 then return nil end
  found.windows, found.room, found.hold = windows, room, counted and hold or 0
  return found
end

-- Takes what `count` calls use of what was found, at most as many as there is room for. Returns the fields that the
-- account's hash is to be given.
local function usual_take(account, found, count)
  local call, format, fields = redis.call, string.format, {}
  if found.hold > 0 then fields[1], fields[2] = 'v', format('%d', found.reserved + found.hold * count) end
  for _, window in ipairs(found.windows) do
    fields[#fields + 1] = window[1]
    fields[#fields + 1] = format('%d|%d|%d', window[2], window[3] + count, window[4])
  end
  if found.ring then
    local kept = {'rh', found.from, 'rs', found.used + count, 'r' .. found.second % 64, (found.bucket or 0) + count}
    if found.ring == account then
      for _, value in ipairs(kept) do fields[#fields + 1] = value end
    else
      call('HSET', found.ring, unpack(kept))
      if not found.bucket then call('PEXPIRE', found.ring, 130000) end
    end
  end
  return fields
end
