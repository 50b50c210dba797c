-- Every script begins with this. KEYS[1] is the hash of a tag: a Provider with its credentials, or a caller.
-- All other keys are made from it and share its hash tag. Times are microseconds since the Unix epoch; numbers
-- are doubles, exact up to 2^53, and must be written with `digits`: Lua's own conversion keeps 14 of them.
-- ARGV[1] is the time where a test says what it is, else empty.
if not redis.REDIS_VERSION_NUM then redis.replicate_commands() end
local T, call, format, match = KEYS[1], redis.call, string.format, string.match
local max, min, floor, ceil, concat = math.max, math.min, math.floor, math.ceil, table.concat
-- The time at which what is done counts, and the time at present: a batch says things late.
local now, present, ahead
-- What nobody uses for 400 days goes. In milliseconds.
local STATE_TTL = '34560000000'
-- A value so long that its hash becomes a table: servers keep small ones as lists, and search them from the front.
local TABLE = string.rep('-', 65)

local function digits(number)
  if number then return format('%d', number) end
  return ''
end

-- The time. When the server's clock is set back it stands still for the moment and then keeps its pace.
local function read_clock(last, known_ahead)
  local wall
  if ARGV[1] ~= '' then
    wall = tonumber(ARGV[1])
  else
    local time = call('TIME')
    wall = time[1] * 1000000 + time[2]
  end
  ahead = tonumber(known_ahead) or 0
  last = tonumber(last) or 0
  now = wall + ahead
  if now < last - 1000000 then ahead = last - wall end
  now = max(now, last)
  present = now
end
