-- The tag's own fields: e (epoch: lost when the state is), q (sequence), n (calls in flight), o and ah (clock),
-- c (circuit), rj (since when all is refused), ll (lanes whose scores follow their members), k:LANE (a lane),
-- p (see head.lua), b:OWNER (the last batch of a process), u (how many credentials are marked), x (how many leases are, see below).
-- Who holds what is in T:o:OWNER, a hash from lease to `account|reserved|sequence|probes`; `x` marks a lease
-- that was given up before it was taken, and p is as in T. T:w knows the owners' last signs of life, T:b when each was last heard of.
-- A caller's tag is its account too, see account.lua.
local sequence, in_flight, followers

local function next_sequence()
  sequence = sequence + 1
  return sequence
end

-- Writes back what has changed of the tag.
local function write_tag(...)
  local fields = {'q', digits(sequence), 'n', in_flight, 'o', digits(now), ...}
  if ahead > 0 then fields[#fields + 1], fields[#fields + 2] = 'ah', digits(ahead) end
  for id, lane in pairs(lanes) do
    local text = write_lane(lane)
    if text ~= lane.text then fields[#fields + 1], fields[#fields + 2] = 'k:' .. id, text end
  end
  call('HSET', T, unpack(fields))
end
