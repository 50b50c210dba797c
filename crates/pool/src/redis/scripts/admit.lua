-- Lets a caller in. The tag is the caller's; its account has no name.
-- ARGV: clock, epoch, owner, seat, tokens to hold, definition, calendars.
-- Answers {'ok'}, {'no', limit, retry after}, {'unknown'} or {'gone'}.
local CONCURRENCY, BUDGET, SOON = 1, 4, 1000000
local owned, account = T .. ':o:' .. ARGV[3], T .. ':a:'
local known = call('HGET', owned, ARGV[4])
if known == 'x' then return {'gone'} end
if known then return {'ok'} end
local values = call('HMGET', T, 'e', 'o', 'ah')
if values[1] ~= ARGV[2] then return {'unknown'} end
read_clock(values[2], values[3])
read_calendars(7)
local definition = read_definition(ARGV[6])
local held = call('HMGET', account, 'n', 'v')
local busy, reserved = tonumber(held[1]) or 0, tonumber(held[2]) or 0
read_windows(account, definition.windows)

local limit, till, full = minute_reached('', definition, busy, reserved)
local budget, pending = windows_reached(definition.windows, reserved)
if budget and (not till or budget > till) then limit, till = BUDGET, budget end
if not limit then limit = full or (pending and BUDGET) end
if limit then return {'no', limit, till and till - now or SOON} end

local hold = definition.counts_tokens and tonumber(ARGV[5]) or 0
if definition.requests then ring_add(T .. ':r:', 1) end
begin_windows(definition.windows)
write_windows(account, definition.windows)
call('HSET', account, 'n', busy + 1, 'v', digits(reserved + hold))
if not held[1] then call('PEXPIRE', account, STATE_TTL) end
call('HSET', owned, ARGV[4], concat({'', digits(hold), '0', '0', '0'}, '|'))
call('HSET', T, 'o', digits(now), 'ah', digits(ahead))
return {'ok'}
