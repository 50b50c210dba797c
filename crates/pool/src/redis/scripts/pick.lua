-- Picks a credential: the twin of memory/choose.rs and memory/shortage.rs.
-- ARGV: clock, epoch, owner, lease, seat ('' when nobody had to be admitted), model, the Provider's concurrency,
-- the conversation ('' none, h:HASH), how long it keeps its credential, patience, tokens to hold,
-- the only one that will do ('' any, a name, b:HASH the holder of an object), the lane of a name ('' none), looks at most,
-- calendars, number of lanes, and for each lane its id, how many of its members were tried, and their names.
-- KEYS[2], absent in a cluster, is where the caller's seats are: without its seat nothing is picked.
-- Answers {'ok', name, sequence, probes, lane}, {'no', reason, until, releasable, rest reason, now}, {'fill', lane, …},
-- {'unknown'} (the state is new or was lost), {'again'} (too much to look at in one go), {'denied'} or {'gone'}.
local EMPTY, RESTING, FULL, BREAKER_OPEN, UNKNOWN_OBJECT = 0, 1, 2, 3, 4
local SOON = 1000000
local model, looks = ARGV[6], tonumber(ARGV[14])
if ARGV[5] ~= '' and KEYS[2] and call('HEXISTS', KEYS[2], ARGV[5]) == 0 then return {'denied'} end
local owned = T .. ':o:' .. ARGV[3]
local known = call('HGET', owned, ARGV[4])
if known == 'x' then return {'gone'} end
if known then
  local name, seq, probes, lane = match(known, '^([^|]*)|%d+|(%d+)|(%d)|(%d+)$')
  return {'ok', name, tonumber(seq), tonumber(probes), tonumber(lane)}
end

local at = read_calendars(15)
local wanted, fields = {}, {'e', 'q', 'n', 'o', 'ah', 'c', 'll'}
for index = 1, tonumber(ARGV[at]) do
  local lane = {id = ARGV[at + 1], tried = {}, skip = {}}
  local tries = tonumber(ARGV[at + 2])
  for try = 1, tries do
    local name = ARGV[at + 2 + try]
    lane.tried[try], lane.skip[name] = name, true
  end
  at = at + 2 + tries
  wanted[index] = lane
  fields[#fields + 1] = 'k:' .. lane.id
end

local values = call('HMGET', T, unpack(fields))
if values[1] ~= ARGV[2] then return {'unknown'} end
sequence, in_flight, followers = tonumber(values[2]) or 0, tonumber(values[3]) or 0, values[7] or ''
read_clock(values[4], values[5])
local missing = {'fill'}
for index, lane in ipairs(wanted) do
  local found = read_lane(lane.id, values[7 + index])
  if found and found.touched + LANE_TTL > now then
    found.tried, found.skip, found.index = lane.tried, lane.skip, index
    wanted[index] = found
  else
    missing[#missing + 1] = index - 1
  end
end
if missing[2] then return missing end

local function shortage(reason, till, releasable, why)
  return {reason = reason, till = till, releasable = releasable, why = why}
end

local function answer(found)
  write_tag()
  return {'no', found.reason, found.till or 0, found.releasable and 1 or 0, found.why or 0, now}
end

read_circuit(values[6])
local gated, gated_till = gate()
if gated == CLOSED then return answer(shortage(BREAKER_OPEN, gated_till)) end
if ARGV[7] ~= '' and in_flight >= tonumber(ARGV[7]) then return answer(shortage(FULL, now + SOON, true)) end

local function touch(lane)
  if now - lane.touched > 60000000 then
    for _, letter in ipairs({'l', 'x', 'y', 'z', 'v', 'd', 'g'}) do call('PEXPIRE', key(letter, lane), LANE_KEYS_TTL) end
    lane.touched = now
  end
end

-- Looks at one member; parks it if it cannot be used. Returns what was found, or what stands in the way: 'x' a
-- rest, 'y' a window, 'z' calls under way, with its end and the reason of a rest.
local function usable(lane, name, in_turn)
  touch(lane)
  local account = read_account(name, model)
  local definition = definition_of(lane, name, account)
  local till, why, probes = nil, nil, 0
  if account.whole then
    local state, ends, reason = standing(account.whole)
    if state == CLOSED then till, why = ends, reason elseif state == HALF_OPEN then probes = 1 end
  end
  if account.model then
    local state, ends, reason = standing(account.model)
    if state == CLOSED then
      if not till or ends > till then till, why = ends, reason end
    elseif state == HALF_OPEN then
      probes = probes + 2
    end
  end
  local window, full
  if definition then
    local quota, pending = windows_reached(definition.windows, account.reserved)
    if quota and (not till or quota > till) then till, why = quota, QUOTA_EXHAUSTED end
    local _
    _, window, full = minute_reached(name, definition, account.busy, account.reserved)
    full = full or pending
  end
  local kind
  if till then
    kind, till = 'x', max(till, window or 0)
  elseif window then
    kind, till = 'y', window
  elseif full then
    kind = 'z'
  else
    if not in_turn then unpark(lane, name, (lead_of(lane, account, definition))) end
    return {lane = lane, account = account, definition = definition, probes = probes}
  end
  park(lane, name, kind, till)
  if not string.find(account.parked, lane.id, 1, true) then
    account.parked = account.parked .. lane.id .. ','
    call('HSET', account.key, 'pk', account.parked)
  end
  if kind == 'z' and not account.parked_full then call('HSET', account.key, 'pf', 1) end
  return nil, kind, till, why
end

-- Members that come back, or whose lead falls, by themselves.
local function due(lane)
  if not lane.due or lane.due > now then return end
  for _, kind in ipairs({'x', 'y'}) do
    for _, name in ipairs(call('ZRANGEBYSCORE', key(kind, lane), '-inf', now, 'LIMIT', 0, 128)) do
      local lead = 0
      if lane.follows > 0 then
        local account = read_account(name, model)
        lead = lead_of(lane, account, definition_of(lane, name, account))
      end
      unpark(lane, name, lead)
    end
  end
  if lane.follows == 2 then
    for _, name in ipairs(call('ZRANGEBYSCORE', key('g', lane), '-inf', now, 'LIMIT', 0, 128)) do
      local account = read_account(name, model)
      local lead, fades = lead_of(lane, account, definition_of(lane, name, account))
      set_lead(lane, name, lead)
      if fades then call('ZADD', key('g', lane), fades, name) else call('ZREM', key('g', lane), name) end
    end
  end
  lane.due = nil
  for _, letter in ipairs({'x', 'y', 'g'}) do
    local first = call('ZRANGE', key(letter, lane), 0, 0, 'WITHSCORES')
    if first[2] then lane.due = min(lane.due or tonumber(first[2]), tonumber(first[2])) end
  end
end

local function head(lane, skip)
  local first = call('ZRANGE', key('l', lane), 0, skip and #lane.tried or 0)
  for _, name in ipairs(first) do
    if not (skip and lane.skip[name]) then return name end
  end
end

-- Why a lane without a usable member has none.
local function short(lane)
  for _, name in ipairs(lane.tried) do usable(lane, name) end
  local window, rest, why
  while true do
    if looks <= 0 then return nil end
    looks = looks - 1
    window = nil
    local names = call('ZRANGE', key('y', lane), 0, #lane.tried, 'WITHSCORES')
    for index = 1, #names, 2 do
      if not lane.skip[names[index]] then
        window = {name = names[index], till = tonumber(names[index + 1])}
        break
      end
    end
    local _, kind, till
    local checked = true
    if window then
      _, kind, till = usable(lane, window.name)
      checked = kind == 'y' and till == window.till
    end
    if checked then
      local first = call('ZRANGE', key('x', lane), 0, 0, 'WITHSCORES')
      if not first[1] then break end
      _, kind, till, why = usable(lane, first[1])
      if kind == 'x' and till == tonumber(first[2]) then
        rest = till
        break
      end
    end
  end
  local full = call('ZCARD', key('z', lane))
  for _, name in ipairs(lane.tried) do
    if call('ZSCORE', key('z', lane), name) then full = full - 1 end
  end
  local releasable = full > 0
  local room = window and window.till
  if releasable then room = min(room or now + SOON, now + SOON) end
  if room then return shortage(FULL, min(rest or room, room), releasable) end
  local left = #lane.tried == lane.size and head(lane)
  if rest and not left then return shortage(RESTING, rest, false, why) end
  return shortage(EMPTY, nil, false)
end

-- The first usable member of a lane, or why there is none; nothing when there was too much to look at.
local lost

local function first_usable(lane)
  touch(lane)
  while true do
    due(lane)
    local name = head(lane, true)
    if name then
      if looks <= 0 then return nil end
      looks = looks - 1
      local found = usable(lane, name, true)
      if found then return found end
    else
      -- Members that are neither in turn nor parked were lost: a server that evicts takes keys one by one.
      if call('ZCARD', key('l', lane)) + call('HLEN', key('v', lane)) < lane.size then
        lost = lane
        return nil
      end
      local found = short(lane)
      if not found then return nil end
      -- Looking for the reason looks at parked members, and may find one that is usable after all.
      if not head(lane, true) then return nil, found end
    end
  end
end

-- What two tiers together are short of: being full is milder than resting, and the soonest end counts.
local function worse(a, b)
  local releasable = a.releasable or b.releasable
  local order = {[FULL] = 3, [RESTING] = 2, [BREAKER_OPEN] = 1, [EMPTY] = 0}
  local mild, other = a, b
  if order[b.reason] > order[a.reason] then mild, other = b, a end
  local till, why = mild.till, mild.why
  if mild.reason == FULL and (other.reason == FULL or other.reason == RESTING) then till = min(till, other.till) end
  if mild.reason == RESTING and other.reason == RESTING and other.till < mild.till then till, why = other.till, other.why end
  return shortage(mild.reason, till, releasable, why)
end

-- The shortage of a call that wants one credential and no other.
local function one_short(kind, till, why)
  if kind == 'x' then return shortage(RESTING, till, false, why) end
  if kind == 'y' then return shortage(FULL, till, false) end
  return shortage(FULL, now + SOON, true)
end

local is_object = string.sub(ARGV[12], 1, 2) == 'b:'

local function find()
  if ARGV[12] ~= '' and not is_object then
    if ARGV[13] == '' then return nil, shortage(EMPTY, nil, false) end
    local found, kind, till, why = usable(wanted[tonumber(ARGV[13])], ARGV[12])
    if found then return found end
    return nil, one_short(kind, till, why)
  end
  local by = is_object and ARGV[12] or ARGV[8]
  local remembered, expires = match(by ~= '' and call('GET', T .. ':' .. by) or '', '^([^|]+)|(%d+)')
  if remembered and tonumber(expires) > now then
    for _, lane in ipairs(wanted) do
      if lane.skip[remembered] then
        if is_object then return nil, shortage(EMPTY, nil, false) end
        break
      end
      if call('ZSCORE', key('l', lane), remembered) or call('HEXISTS', key('v', lane), remembered) == 1 then
        local found, kind, till, why = usable(lane, remembered)
        if found then return found end
        if is_object then return nil, one_short(kind, till, why) end
        local patience = tonumber(ARGV[10])
        -- Its place in the conversation's cache is worth the wait.
        if kind == 'z' and patience > 0 then return nil, shortage(FULL, now + SOON, true) end
        if kind == 'y' and till <= now + patience then return nil, shortage(FULL, till, false) end
        break
      end
    end
  end
  if is_object then return nil, shortage(UNKNOWN_OBJECT, nil, false) end
  local all = shortage(EMPTY, nil, false)
  for _, lane in ipairs(wanted) do
    local found, why_not = first_usable(lane)
    if found then return found end
    if not why_not then return nil end
    all = worse(all, why_not)
  end
  return nil, all
end

local found, why_not = find()
if not found then
  if why_not then return answer(why_not) end
  write_tag()
  if lost then return {'fill', lost.index - 1} end
  return {'again'}
end
local score = call('ZSCORE', key('l', found.lane), found.account.name)
if not score then
  write_tag()
  return {'fill', found.lane.index - 1}
end

local lane, account, definition = found.lane, found.account, found.definition
local lease, probes = next_sequence(), found.probes
local name, stride, hold = account.name, lane.stride, 0
account.busy = account.busy + 1
call('HSET', T .. ':n', name, account.busy)
if definition then
  if definition.counts_tokens then
    hold = tonumber(ARGV[11])
    if hold > 0 then call('HSET', account.key, 'v', digits(account.reserved + hold)) end
  end
  if definition.requests then ring_add(ring_key(name), REQUESTS, 1) end
  begin_windows(definition.windows)
  write_windows(account.key, definition.windows)
  if stride > 0 then stride = max(floor(stride / definition.weight), 1) end
end
if probes % 2 == 1 then
  account.whole.probe, account.whole.lock = lease, now + PROBE_LOCK
  call('HSET', account.key, 'w', write_scope(account.whole))
end
if probes >= 2 then
  account.model.probe, account.model.lock = lease, now + PROBE_LOCK
  call('HSET', account.key, 'm:' .. model, write_scope(account.model))
end

local time = time_of(lane, tonumber(score))
lane.clock = max(lane.clock, time)
enqueue(lane, name, (lead_of(lane, account, definition)), time + stride)
if followers ~= '' then follow(account, definition) end

in_flight = in_flight + 1
if gated == HALF_OPEN then
  probes = probes + 4
  circuit.state, circuit.lease, circuit.till = PROBING, lease, now + PROBE_LOCK
end
if ARGV[8] ~= '' then
  local ttl = tonumber(ARGV[9])
  call('SET', T .. ':' .. ARGV[8], name .. '|' .. digits(now + ttl), 'PX', digits(max(ceil(ttl / 1000), 1000)))
end
call('HSET', owned, ARGV[4], concat({name, digits(hold), digits(lease), probes, lane.index - 1}, '|'))
if gated == HALF_OPEN then write_tag('c', write_circuit()) else write_tag() end
return {'ok', name, lease, probes, lane.index - 1}
