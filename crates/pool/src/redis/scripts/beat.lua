-- A process says that it lives, takes back what dead ones held, and learns what rests.
-- ARGV: clock, owner, the epoch to begin where there is none, the version of the rests that it knows.
-- Answers {epoch, whether the owner is new here, its leases, owners alive, its last batch, now, whether there is more to take
-- back, version of the rests} and, when that is not the known one, for each resting account its name and scopes.
local DEAD_AFTER, TAKEN_AT_ONCE, LISTED = 10000000, 512, 1000
local owner = ARGV[2]
local epoch = call('HGET', T, 'e')
if not epoch then
  epoch = ARGV[3]
  call('HSET', T, 'e', epoch, 'p', TABLE)
end
local values = call('HMGET', T, 'q', 'n', 'o', 'ah', 'll', 'rv', 'b:' .. owner)
sequence, in_flight, followers = tonumber(values[1]) or 0, tonumber(values[2]) or 0, values[5] or ''
read_clock(values[3], values[4])

-- Takes back what a dead process held. Its probes end with their locks.
local function take_back(dead)
  local owned = T .. ':o:' .. dead
  local leases = call('HRANDFIELD', owned, TAKEN_AT_ONCE, 'WITHVALUES')
  for index = 1, #leases, 2 do
    call('HDEL', owned, leases[index])
    local name, hold = match(leases[index + 1], '^([^|]*)|(%d+)|')
    if leases[index + 1] == 'x' then
      call('HINCRBY', T, 'x', -1)
    elseif name then
      local account = read_account(name, '')
      in_flight = max(in_flight - 1, 0)
      account.busy = max(account.busy - 1, 0)
      account.reserved = max(account.reserved - tonumber(hold), 0)
      write_held(account)
      if followers ~= '' then follow(account) end
      if account.parked_full then
        unpark_everywhere(account)
        call('HDEL', account.key, 'pk', 'pf')
      end
    end
  end
  if call('HLEN', owned) > 0 then return true end
  call('HDEL', T .. ':w', dead)
  return false
end

local new = call('HSET', T .. ':w', owner, digits(now))
call('HSETNX', T .. ':o:' .. owner, 'p', TABLE)
local alive, more = 0, false
local owners = call('HGETALL', T .. ':w')
for index = 1, #owners, 2 do
  if tonumber(owners[index + 1]) + DEAD_AFTER >= now then
    alive = alive + 1
  elseif not more then
    more = take_back(owners[index])
  end
end

-- Batch numbers of processes that have not been heard of for a day.
call('HSET', T .. ':b', owner, digits(now))
if call('HLEN', T .. ':b') > 2 * alive + 16 then
  local heard = call('HGETALL', T .. ':b')
  for index = 1, #heard, 2 do
    if tonumber(heard[index + 1]) + 86400000000 < now then
      call('HDEL', T .. ':b', heard[index])
      call('HDEL', T, 'b:' .. heard[index])
    end
  end
end

-- Virtual times that come close to what a double holds are set back; only their differences matter.
local function set_back(lane, limit)
  if lane.clock < limit then return end
  local by = min(lane.clock, minimum(lane))
  for _, name in ipairs(call('ZRANGE', key('l', lane), 0, -1)) do call('ZINCRBY', key('l', lane), digits(-by), name) end
  local parked = call('HGETALL', key('v', lane))
  for index = 1, #parked, 2 do
    call('HSET', key('v', lane), parked[index], digits(max(tonumber(parked[index + 1]) - by, 0)))
  end
  lane.clock = lane.clock - by
end

for _, id in ipairs(call('HKEYS', T .. ':L')) do
  local lane = other_lane(id)
  if not lane then
    call('HDEL', T .. ':L', id)
  elseif lane.touched + LANE_TTL <= now then
    forget(lane)
  else
    set_back(lane, lane.follows > 0 and LEAD / 2 or 2 ^ 52)
  end
end
write_tag('ll', followers)
for _, suffix in ipairs({'', ':w', ':b', ':n', ':k', ':s', ':f'}) do call('PEXPIRE', T .. suffix, STATE_TTL) end
call('PEXPIRE', T .. ':o:' .. owner, STATE_TTL)
for _, suffix in ipairs({':L', ':m'}) do call('PEXPIRE', T .. suffix, LANE_KEYS_TTL) end

local answer = {epoch, new, call('HLEN', T .. ':o:' .. owner) - 1, alive,
  tonumber(values[7]) or 0, now, more and 1 or 0, values[6] or '0'}
if values[6] and values[6] ~= ARGV[4] then
  for _, name in ipairs(call('ZREVRANGE', T .. ':s', 0, LISTED - 1)) do
    local scopes, rests = {name}, false
    local all = call('HGETALL', account_key(name))
    for index = 1, #all, 2 do
      local field = all[index]
      if field == 'w' or string.sub(field, 1, 2) == 'm:' then
        local scope = read_scope(all[index + 1])
        if scope.reason and (scope.guessed or scope.till > now) then
          scopes[#scopes + 1], scopes[#scopes + 2], rests = field, all[index + 1], true
        end
      end
    end
    if rests then answer[#answer + 1] = scopes else call('ZREM', T .. ':s', name) end
  end
end
return answer
