-- What is used of an account's limits; needs ring.lua. An account is a credential of a Provider (its hash is
-- T:a:NAME) or a caller (T itself). Its definition says what it may use:
--   weight|concurrency|requests per minute|tokens per minute|windows
-- with windows `name,r,length,requests,tokens` or `name,c,calendar,requests,tokens` separated by semicolons.
-- `calendars` maps a calendar to {start, end, next end} of its present period as the process saw it.
local calendars = {}

local function read_definition(text)
  local weight, concurrency, requests, tokens, rest = match(text, '^(%d*)|(%d*)|(%d*)|(%d*)|(.*)$')
  local definition = {weight = tonumber(weight) or 1, concurrency = tonumber(concurrency),
    requests = tonumber(requests), tokens = tonumber(tokens), windows = {}}
  for name, kind, span, most_requests, most_tokens in string.gmatch(rest, '([^,;]+),(%a),([^,;]+),(%d*),(%d*)') do
    local window = {name = name, requests = tonumber(most_requests), tokens = tonumber(most_tokens)}
    if kind == 'r' then window.length = tonumber(span) else window.calendar = span end
    definition.windows[#definition.windows + 1] = window
    if window.tokens then definition.counts_tokens = true end
  end
  if definition.tokens then definition.counts_tokens = true end
  return definition
end

local function read_calendars(at)
  for _ = 1, tonumber(ARGV[at]) do
    calendars[ARGV[at + 1]] = {tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])}
    at = at + 4
  end
  return at + 1
end

-- The present period of each window with what is used in it, from the account's fields.
local function read_windows(account, windows)
  if #windows == 0 then return end
  local fields = {}
  for index, window in ipairs(windows) do fields[index] = 'q:' .. window.name end
  local states = call('HMGET', account, unpack(fields))
  for index, window in ipairs(windows) do
    local start, requests, tokens = match(states[index] or '', '^(%d+)|(%d+)|(%d+)$')
    start = tonumber(start)
    window.from, window.till, window.used_requests, window.used_tokens = nil, nil, 0, 0
    if window.length then
      if start and now < start + window.length then window.from, window.till = start, start + window.length end
    else
      local bounds = calendars[window.calendar]
      if not bounds then
        -- The process says nothing of this calendar: nobody knows its period, and nothing counts in it.
      elseif now < bounds[1] then
        -- What happened before the present period, and is told only now, counts in none that there is.
        window.till = bounds[1]
      elseif now < bounds[2] then
        window.from, window.till = bounds[1], bounds[2]
      else
        window.from, window.till = bounds[2], bounds[3]
      end
    end
    if window.from and window.from == start then
      window.used_requests, window.used_tokens = tonumber(requests), tonumber(tokens)
    end
  end
end

local function write_windows(account, windows)
  for _, window in ipairs(windows) do
    if window.from then
      call('HSET', account, 'q:' .. window.name,
        concat({digits(window.from), digits(window.used_requests), digits(window.used_tokens)}, '|'))
    end
  end
end

-- A request begins in all windows.
local function begin_windows(windows)
  for _, window in ipairs(windows) do
    if window.length and not window.from then window.from, window.till = now, now + window.length end
    window.used_requests = window.used_requests + 1
  end
end

local function charge_windows(windows, tokens)
  for _, window in ipairs(windows) do
    if window.from then window.used_tokens = window.used_tokens + tokens end
  end
end

-- Windows that are used up: until when the last of them stays so, and whether calls under way may help.
local function windows_reached(windows, reserved)
  local till, full
  for _, window in ipairs(windows) do
    if (window.requests and window.used_requests >= window.requests)
      or (window.tokens and window.used_tokens >= window.tokens) then
      till = max(till or 0, window.till or (now + (window.length or 60000000)))
    elseif window.tokens and window.used_tokens + reserved >= window.tokens then
      full = true
    end
  end
  return till, full
end

-- Limits that are reached: which of the per-minute ones lasts longest and until when, and whether one depends
-- on calls under way (1 concurrency, 2 requests, 3 tokens).
local function minute_reached(id, definition, busy, reserved)
  local limit, till, full
  if definition.concurrency and busy >= definition.concurrency then full = 1 end
  local key = ring_key(id)
  if definition.requests then
    local used, head = ring_used(key, REQUESTS)
    if used >= definition.requests then
      limit, till = 2, ring_room(key, REQUESTS, definition.requests, used, head)
    end
  end
  if definition.tokens then
    local used, head = ring_used(key, TOKENS)
    if used >= definition.tokens then
      local room = ring_room(key, TOKENS, definition.tokens, used, head)
      if not till or room > till then limit, till = 3, room end
    elseif used + reserved >= definition.tokens then
      full = full or 3
    end
  end
  return limit, till, full
end
