-- The order of a lane's members: the twin of memory/order.rs. Members are names; ties go by name.
--   T:l:LANE  sorted set of those in turn, by score
--   T:x:LANE  those at rest and T:y:LANE those out of a window, by the end; T:z:LANE those that are full
--   T:v:LANE  hash: the virtual time of parked members
--   T:d:LANE  hash: the definitions of members that are not plain
--   T:g:LANE  sorted set of those whose lead falls by itself, by when
-- T's field k:LANE holds clock|due|touched|follows|stride|plain|size: the virtual time of the last pick, the
-- soonest moment at which a member moves by itself, when it was last used, what leads the scores (0 nothing, 1
-- calls in flight, 2 use), the virtual time of a pick at weight 1, whether all members are plain, and how many
-- there are. A score is lead * 2^33 + virtual time where something leads, else virtual time.
local LEAD = 2 ^ 33
local LANE_TTL = 600000000
-- Its keys outlive it for as long again: a process that lives forgets it before. In milliseconds.
local LANE_KEYS_TTL = 1200000
local lanes = {}

local function read_lane(id, text)
  local clock, due, touched, follows, stride, plain, size =
    match(text or '', '^(%d+)|(%d*)|(%d+)|(%d)|(%d+)|(%d)|(%d+)$')
  if not clock then return nil end
  local lane = {id = id, clock = tonumber(clock), due = tonumber(due), touched = tonumber(touched),
    follows = tonumber(follows), stride = tonumber(stride), plain = plain == '1', size = tonumber(size), text = text}
  lanes[id] = lane
  return lane
end

local function write_lane(lane)
  return concat({digits(lane.clock), digits(lane.due), digits(lane.touched), lane.follows, lane.stride,
    lane.plain and '1' or '0',
    lane.size}, '|')
end

-- A lane that is not among the call's own.
local function other_lane(id)
  return lanes[id] or read_lane(id, call('HGET', T, 'k:' .. id))
end

local function key(letter, lane)
  return T .. ':' .. letter .. ':' .. lane.id
end

local function time_of(lane, score)
  if lane.follows > 0 then return score % LEAD end
  return score
end

local function minimum(lane)
  local head = call('ZRANGE', key('l', lane), 0, 0, 'WITHSCORES')
  if head[2] then return time_of(lane, tonumber(head[2])) end
  return lane.clock
end

local function enqueue(lane, name, lead, time)
  if lane.follows > 0 then time = lead * LEAD + time end
  call('ZADD', key('l', lane), time, name)
end

-- Puts a parked member back in turn.
local function unpark(lane, name, lead)
  local own = call('HGET', key('v', lane), name)
  if not own then return end
  call('HDEL', key('v', lane), name)
  call('ZREM', key('x', lane), name)
  call('ZREM', key('y', lane), name)
  call('ZREM', key('z', lane), name)
  enqueue(lane, name, lead, max(tonumber(own), minimum(lane)))
  call('PEXPIRE', key('l', lane), LANE_KEYS_TTL)
end

-- Takes a member out of turn: 'x' until the end of a rest, 'y' of a window, 'z' until a release.
local function park(lane, name, kind, till)
  local score = call('ZSCORE', key('l', lane), name)
  if score then
    call('ZREM', key('l', lane), name)
    call('HSET', key('v', lane), name, digits(time_of(lane, tonumber(score))))
  else
    for _, other in ipairs({'x', 'y', 'z'}) do
      if other ~= kind then call('ZREM', key(other, lane), name) end
    end
  end
  call('ZADD', key(kind, lane), till or 0, name)
  call('PEXPIRE', key(kind, lane), LANE_KEYS_TTL)
  call('PEXPIRE', key('v', lane), LANE_KEYS_TTL)
  if till then lane.due = min(lane.due or till, till) end
end

-- Follows a change of a member's lead.
local function set_lead(lane, name, lead)
  local score = call('ZSCORE', key('l', lane), name)
  if score then enqueue(lane, name, lead, time_of(lane, tonumber(score))) end
end
