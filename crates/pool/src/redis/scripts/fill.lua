-- Fills a lane. ARGV: clock, epoch, lane, what leads its scores, virtual time of a pick, size, whether all are plain, model,
-- calendars, and for each member its name and definition.
-- Answers {'ok'} or {'unknown'}.
-- Callers can make up models, and each is a lane: beyond so many, one that was not used for long goes. What leads
-- the scores is written to all lanes at each end of a call, so there may be fewer of those.
local MOST, MOST_FOLLOWING, SAMPLED = 1024, 256, 8
local model = ARGV[8]
local values = call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'll', 'k:' .. ARGV[3])
if values[1] ~= ARGV[2] then return {'unknown'} end
sequence, in_flight, followers = tonumber(values[2]) or 0, tonumber(values[3]) or 0, values[6] or ''
read_clock(values[4], values[5])
local lane = read_lane(ARGV[3], values[7])
local at = read_calendars(9)
local listed = call('HEXISTS', T .. ':L', ARGV[3]) == 1
if lane and lane.touched + LANE_TTL > now then
  -- Large lanes come in pieces; a piece that is there already is passed over below.
else
  lane = {id = ARGV[3], clock = 0, touched = now, follows = tonumber(ARGV[4]), stride = tonumber(ARGV[5]),
    plain = ARGV[7] == '1', size = tonumber(ARGV[6])}
  lanes[lane.id] = lane
  for _, letter in ipairs({'l', 'x', 'y', 'z', 'v', 'd', 'g'}) do call('DEL', key(letter, lane)) end
end
if not listed and call('HLEN', T .. ':L') >= (lane.follows > 0 and MOST_FOLLOWING or MOST) then
  local oldest
  for _, id in ipairs(call('HRANDFIELD', T .. ':L', SAMPLED)) do
    local other = other_lane(id)
    if not other then
      call('HDEL', T .. ':L', id)
    elseif not oldest or other.touched < oldest.touched then
      oldest = other
    end
  end
  if oldest then forget(oldest) end
end
for index = at, #ARGV, 2 do
  local name, text = ARGV[index], ARGV[index + 1]
  if not call('ZSCORE', key('l', lane), name) and call('HEXISTS', key('v', lane), name) == 0 then
    if text ~= '' then call('HSET', key('d', lane), name, text) end
    local lead, fades = 0, nil
    if lane.follows > 0 then
      local account = read_account(name, model)
      lead, fades = lead_of(lane, account, definition_of(lane, name, account))
      if fades then
        call('ZADD', key('g', lane), fades, name)
        lane.due = min(lane.due or fades, fades)
      end
    end
    enqueue(lane, name, lead, 0)
    if not listed then call('HINCRBY', T .. ':m', name, 1) end
    -- One that is not there cannot be given a time to live.
    call('HSETNX', account_key(name), 'v', 0)
    call('PEXPIRE', account_key(name), STATE_TTL)
    call('HSETNX', T .. ':n', name, 0)
  end
end
call('HSET', T .. ':L', lane.id, 1)
for _, suffix in ipairs({':L', ':m'}) do call('PEXPIRE', T .. suffix, LANE_KEYS_TTL) end
call('HSETNX', T .. ':n', '', TABLE)
call('PEXPIRE', T .. ':n', STATE_TTL)
for _, letter in ipairs({'l', 'd', 'g'}) do call('PEXPIRE', key(letter, lane), LANE_KEYS_TTL) end
if lane.follows > 0 and not string.find(followers, lane.id, 1, true) then followers = followers .. lane.id .. ',' end
write_tag('ll', followers)
return {'ok'}
