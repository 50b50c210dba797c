-- Lets callers in and picks for them, many at once, where all is usual: of one lane, whose members are taken in turn,
-- nobody rests and nothing is due. As many are served as there is room for within all limits; the others, and all
-- where something is not usual, ask alone. Leaves what `admit` and `pick` leave, one after the other. Needs usage_fast.lua.
-- KEYS: the Provider's tag, the callers' tags.
-- ARGV: clock, epoch, owner, the first lease, how many, lane, model, concurrency of the Provider, tokens to hold, calendars,
-- then of each caller: how many calls, epoch (empty for one without limits), definition, tokens to hold.
-- The seats of those calls follow the leases. Answers {'ok', the sequence number of the first pick, names}: the names of the credentials,
-- each followed by a comma, none for who must ask alone; or {'alone'} or {'unknown'}.
local T, call, match, sub, format = KEYS[1], redis.call, string.match, string.sub, string.format
if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
local LEAD, at = 2 ^ 33, 11 + 4 * tonumber(ARGV[10])
local owner, first, count, id = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local values = call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'k:' .. id, 'u', 'x')
if values[1] ~= ARGV[2] then return {'unknown'} end
local clock, due, touched, follows, stride, plain = match(values[8] or '', '^(%d+)|(%d*)|(%d+)|([01])|(%d+)|([01])|')
if not clock or (values[6] and sub(values[6], 1, 1) ~= '0') then return {'alone'} end

local wall = tonumber(ARGV[1])
if not wall then
  local time = call('TIME')
  wall = time[1] * 1000000 + time[2]
end
-- The time of a tag; nothing where the server's clock was set back.
local function time_of(last, ahead)
  last = tonumber(last) or 0
  local now = wall + (tonumber(ahead) or 0)
  if now >= last - 1000000 then return math.max(now, last) end
end
local now, in_flight = time_of(values[4], values[5]), tonumber(values[3]) or 0
if not now or (due ~= '' and tonumber(due) <= now) or tonumber(touched) + 60000000 < now then return {'alone'} end
local left = count
if ARGV[8] ~= '' then left = math.min(left, tonumber(ARGV[8]) - in_flight) end

-- Other lanes whose scores follow calls in flight; those that follow use are not usual.
local led = {}
for other in string.gmatch(values[7] or '', '[^,]+') do
  local way = other ~= id and match(call('HGET', T, 'k:' .. other) or '', '^%d+|%d*|%d+|(%d)|')
  if way == '1' then led[#led + 1] = T .. ':l:' .. other elseif way then return {'alone'} end
end

-- Those numbers, where none of them was given up: `strays` says how many leases of the tag were before they were taken.
local function are_open(owned, from, how_many, strays)
  local leases = {}
  for index = 1, how_many do leases[index] = format('%d', from + index - 1) end
  if not strays or strays == '0' then return leases end
  for _, known in ipairs(call('HMGET', owned, unpack(leases))) do
    if known then return nil end
  end
  return leases
end

-- How many of each caller's calls may come in.
local callers, wanted, seat = {}, 0, first + count
for place = at, #ARGV, 4 do
  local caller = {calls = tonumber(ARGV[place]), room = tonumber(ARGV[place]), seat = seat}
  callers[#callers + 1], seat = caller, seat + caller.calls
  if ARGV[place + 1] ~= '' then
    local tag = KEYS[#callers + 1]
    local known = call('HMGET', tag, 'e', 'o', 'ah', 'n', 'v', 'x')
    caller.tag, caller.now, caller.busy = tag, time_of(known[2], known[3]), tonumber(known[4]) or 0
    caller.owned = tag .. ':o:' .. owner
    caller.found = known[1] == ARGV[place + 1] and caller.now and usual_look(tag, tag, '', ARGV[place + 2],
      caller.busy, tonumber(known[5]) or 0, tonumber(ARGV[place + 3]), caller.now, 10, caller.calls)
    caller.leases = caller.found and are_open(caller.owned, caller.seat, caller.calls, known[6])
    caller.room = caller.leases and caller.found.room or 0
  end
  wanted = wanted + caller.room
end
wanted = math.min(wanted, left)
local leases = wanted > 0 and are_open(T .. ':o:' .. owner, first, count, values[10])
if not leases then return {'alone'} end

-- The members whose turn it is, in their order. Who was taken goes where its new score belongs.
local members = T .. ':l:' .. id
local names, scores, front, back = {}, {}, 1, 0
for index, value in ipairs(call('ZRANGE', members, 0, wanted - 1, 'WITHSCORES')) do
  if index % 2 == 1 then back = back + 1; names[back] = value else scores[back] = tonumber(value) end
end
-- Whether one name comes before another: by bytes, which Lua's own order does not promise.
local function precedes(a, b)
  for index = 1, math.min(#a, #b) do
    local x, y = string.byte(a, index), string.byte(b, index)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- What is known of each of them: calls in flight, whether it is to be looked at closely, and its limits.
local counts = back > 0 and call('HMGET', T .. ':n', unpack(names)) or {}
local marks = back > 0 and values[9] and values[9] ~= '0' and call('HMGET', T .. ':k', unpack(names)) or {}
local texts = back > 0 and plain == '0' and call('HMGET', T .. ':d:' .. id, unpack(names)) or {}
local places = {}
for place = 1, back do places[names[place]] = place end

local function look(name)
  local place = places[name]
  if marks[place] then return nil end
  local key, text = T .. ':a:' .. name, texts[place]
  local account = {key = key, busy = tonumber(counts[place]) or 0, taken = 0, room = wanted, stride = tonumber(stride), hold = 0}
  if text and text ~= '' then
    local found = usual_look(T, key, name, text, account.busy, nil, tonumber(ARGV[9]), now, 10, wanted)
    if not found then return nil end
    account.found, account.room, account.hold = found, found.room, found.hold
    if account.stride > 0 then account.stride = math.max(math.floor(account.stride / found.weight), 1) end
  end
  return account
end

local accounts, order, picked, latest = {}, {}, {}, tonumber(clock)
while #picked < wanted and front <= back do
  local name, time = names[front], scores[front]
  local account = accounts[name]
  if not account then
    account = look(name)
    if not account then break end
    accounts[name], order[#order + 1] = account, name
  end
  if account.taken >= account.room then break end
  account.taken = account.taken + 1
  picked[#picked + 1] = name
  local score = time + account.stride
  if follows == '1' then
    time = time % LEAD
    score = (account.busy + account.taken) * LEAD + time + account.stride
  end
  latest, account.score, front = math.max(latest, time), score, front + 1
  local place = back
  while place >= front and (scores[place] > score or (scores[place] == score and precedes(name, names[place]))) do
    names[place + 1], scores[place + 1] = names[place], scores[place]
    place = place - 1
  end
  names[place + 1], scores[place + 1], back = name, score, back + 1
end
if not picked[1] then return {'alone'} end

-- All is sure: it is written.
local sequence, served, answer, fields = tonumber(values[2]) or 0, 0, {}, {}
for _, caller in ipairs(callers) do
  local comes_in = math.min(caller.room, #picked - served)
  for index = 1, caller.calls do
    if index <= comes_in then
      served = served + 1
      local name = picked[served]
      answer[#answer + 1] = name
      fields[#fields + 1] = leases[#answer]
      fields[#fields + 1] = format('%s|%d|%d|0|0', name, accounts[name].hold, sequence + served)
    else
      answer[#answer + 1] = ''
    end
  end
  if caller.found and comes_in > 0 then
    local seats = {}
    for index = 1, comes_in do
      seats[2 * index - 1], seats[2 * index] = caller.leases[index], format('|%d|0|0|0', caller.found.hold)
    end
    call('HSET', caller.owned, unpack(seats))
    call('HSET', caller.tag, 'n', caller.busy + comes_in, 'o', format('%d', caller.now),
      unpack(usual_take(caller.tag, caller.found, comes_in)))
  end
end
call('HSET', T .. ':o:' .. owner, unpack(fields))
local ranked, held = {}, {}
for _, name in ipairs(order) do
  local account = accounts[name]
  if account.taken > 0 then
    local busy = account.busy + account.taken
    held[#held + 1], held[#held + 2] = name, busy
    local own = account.found and usual_take(account.key, account.found, account.taken)
    if own and own[1] then call('HSET', account.key, unpack(own)) end
    ranked[#ranked + 1], ranked[#ranked + 2] = account.score, name
    for _, other in ipairs(led) do
      local known = call('ZSCORE', other, name)
      if known then call('ZADD', other, busy * LEAD + known % LEAD, name) end
    end
  end
end
call('HSET', T .. ':n', unpack(held))
call('ZADD', members, unpack(ranked))
local lane = values[8]
if latest > tonumber(clock) then lane = format('%d', latest) .. sub(lane, #clock + 1) end
call('HSET', T, 'q', format('%d', sequence + served), 'n', in_flight + served, 'o', format('%d', now), 'k:' .. id, lane)
return {'ok', sequence + 1, table.concat(answer, ',') .. ','}
