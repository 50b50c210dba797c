-- Lets a caller in. The tag is the caller's, and its own account.
-- ARGV: clock, epoch, owner, seat, tokens to hold, definition, calendars.
-- Answers {'ok'}, {'no', limit, retry after}, {'unknown'} or {'gone'}.
local CONCURRENCY, BUDGET, SOON = 1, 4, 1000000
local owned = T .. ':o:' .. ARGV[3]
local known = call('HGET', owned, ARGV[4])
if known == 'x' then return {'gone'} end
if known then return {'ok'} end
local values = call('HMGET', T, 'e', 'o', 'ah', 'n', 'v')
if values[1] ~= ARGV[2] then return {'unknown'} end
read_clock(values[2], values[3])
read_calendars(7)
local definition = read_definition(ARGV[6])
local busy, reserved = tonumber(values[4]) or 0, tonumber(values[5]) or 0
read_windows(T, definition.windows)

local limit, till, full = minute_reached('', definition, busy, reserved)
local budget, pending = windows_reached(definition.windows, reserved)
if budget and (not till or budget > till) then limit, till = BUDGET, budget end
if not limit then limit = full or (pending and BUDGET) end
if limit then return {'no', limit, till and till - now or SOON} end

local hold = definition.counts_tokens and tonumber(ARGV[5]) or 0
if definition.requests then ring_add(T, REQUESTS, 1) end
begin_windows(definition.windows)
write_windows(T, definition.windows)
call('HSET', owned, ARGV[4], concat({'', digits(hold), '0', '0', '0'}, '|'))
call('HSET', T, 'n', busy + 1, 'v', digits(reserved + hold), 'o', digits(now), 'ah', digits(ahead))
return {'ok'}
