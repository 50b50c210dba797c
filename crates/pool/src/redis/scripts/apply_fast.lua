-- The usual ends, before the rest is defined: attempts that rest nobody and calls of callers, as long as none of
-- them changes more than what is held and what is used. They are taken together: each account is read
-- and written once. Whatever is not usual is left to the script, which does the same for the usual case; it goes
-- on behind the records that were done here.
local values = call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'rj')
if values[1] ~= ARGV[2] then return {'unknown'} end
local owner, owned = ARGV[3], T .. ':o:' .. ARGV[3]
local applied = tonumber(match(call('HGET', T .. ':b', owner) or '', '^(%d+)|')) or 0
if tonumber(ARGV[4]) <= applied then return {'ok'} end
local at = 6 + 4 * tonumber(ARGV[5])
read_clock(values[4], values[5])

do
  local sub, args, present = string.sub, ARGV, now
  local LEAD, LATE = 2 ^ 33, 2000000
  -- Nothing rests for the breaker, nobody was refused of late, and scores follow calls in flight at most.
  local usual = ahead == (tonumber(values[5]) or 0) and not values[8] and (not values[6] or sub(values[6], 1, 6) == '0|||0|')
    and call('EXISTS', T .. ':f') == 0
  local led = {}
  for id in string.gmatch(usual and values[7] or '', '[^,]+') do
    local follows = match(call('HGET', T, 'k:' .. id) or '', '^%d+|%d*|%d+|(%d)|')
    if follows == '1' then led[#led + 1] = T .. ':l:' .. id elseif follows then usual = false end
  end

  -- Those that may be usual by what they say.
  local places, leases, seen = {}, {}, {}
  local place, count = at, usual and #args or 0
  while place <= count do
    local kind, lease = args[place + 1], args[place + 3]
    if seen[lease] then break end
    if kind ~= 'E' and kind ~= 'G' then break end
    seen[lease], leases[#leases + 1], places[#places + 1] = true, lease, place
    place = place + 3 + args[place + 2]
  end

  local known = leases[1] and call('HMGET', owned, unpack(leases)) or {}
  local accounts, order, ended, definitions, calendars = {}, {}, {}, {}, {}
  for place = 6, at - 4, 4 do
    calendars[args[place]] = {tonumber(args[place + 1]), tonumber(args[place + 2])}
  end
  local function read(text)
    local per_minute, rest = match(text, '^%d*|%d*|%d*|(%d*)|(.*)$')
    local definition = {per_minute = per_minute and per_minute ~= ''}
    for name, kind, span in string.gmatch(rest or '', '([^,;]+),(%a),([^,;]+),%d*,%d*') do
      definition.names, definition.windows = definition.names or {}, definition.windows or {}
      definition.names[#definition.names + 1] = 'q:' .. name
      definition.windows[#definition.windows + 1] = {length = kind == 'r' and tonumber(span), calendar = span}
    end
    return definition
  end

  local function charge_minute(account)
    now = account.at
    ring_add(T .. ':t:' .. account.name, account.tokens)
    account.tokens = nil
  end

  -- Charges tokens that were used at a moment to the windows of their time.
  local function charge_windows(account, moment, tokens)
    local definition = account.definition
    if not account.windows then
      account.windows = {}
      for index, state in ipairs(call('HMGET', account.key, unpack(definition.names))) do
        local start, requests, used = match(state or '', '^(%d+)|(%d+)|(%d+)$')
        account.windows[index] = {start = tonumber(start), requests = tonumber(requests), tokens = tonumber(used)}
      end
    end
    for index, window in ipairs(account.windows) do
      local length, bounds = definition.windows[index].length, calendars[definition.windows[index].calendar]
      if not length then
        local from = bounds and (moment < bounds[2] and bounds[1] or bounds[2])
        -- What happened before the present period counts in none that there is.
        if from and moment >= from then
          if window.start ~= from then window.start, window.requests, window.tokens = from, 0, 0 end
          window.tokens, window.changed = window.tokens + tokens, true
        end
      elseif window.start and moment < window.start + length then
        window.tokens, window.changed = window.tokens + tokens, true
      end
    end
  end

  local sequence, in_flight = tonumber(values[2]) or 0, tonumber(values[3]) or 0
  for index, from in ipairs(places) do
    local attempt = args[from + 1] == 'E'
    local name, tokens, text = '', args[from + 4], args[from + 5]
    if attempt then name, tokens, text = args[from + 4], args[from + 8], args[from + 9] end
    local definition = definitions[text] or read(text)
    definitions[text] = definition
    local age = tonumber(args[from])
    if age > LATE then break end

    local account = accounts[name]
    if not account then
      local model = args[from + 5]
      account = {name = name, key = T .. ':a:' .. name, definition = definition, models = {}, ended = 0,
        held = 0}
      if attempt then
        local n, v, whole, full, of_model = unpack(call('HMGET', account.key, 'n', 'v', 'w', 'pf', 'm:' .. model))
        if not n or full or (whole and sub(whole, 1, 9) ~= '|||||||||') or (of_model and sub(of_model, 1, 9) ~= '|||||||||') then
          break
        end
        account.busy, account.reserved, account.models[model] = tonumber(n) or 0, tonumber(v) or 0, true
      else
        local held = call('HMGET', account.key, 'n', 'v')
        if not held[1] then break end
        account.busy, account.reserved = tonumber(held[1]) or 0, tonumber(held[2]) or 0
      end
      accounts[name], order[#order + 1] = account, account
    elseif account.definition ~= definition then
      break
    elseif attempt and not account.models[args[from + 5]] then
      local of_model = call('HGET', account.key, 'm:' .. args[from + 5])
      if of_model and sub(of_model, 1, 9) ~= '|||||||||' then break end
      account.models[args[from + 5]] = true
    end

    local lease = known[index]
    if lease then
      local hold = match(lease, '^[^|]*|(%d+)|%d+|0|')
      if not hold then break end
      ended[#ended + 1] = leases[index]
      account.ended, account.held = account.ended + 1, account.held + hold
      if attempt then in_flight = max(in_flight - 1, 0) end
    end
    if attempt then sequence = sequence + 1 end
    if tokens ~= '' then
      local moment = present - age
      if definition.windows then charge_windows(account, moment, tonumber(tokens)) end
      if definition.per_minute then
        if account.tokens and floor(account.at / 1000000) ~= floor(moment / 1000000) then charge_minute(account) end
        account.at, account.tokens = moment, (account.tokens or 0) + tokens
      end
    end
    at = from + 3 + args[from + 2]
  end

  if ended[1] then call('HDEL', owned, unpack(ended)) end
  for _, account in ipairs(order) do
    if account.ended > 0 then
      account.busy = max(account.busy - account.ended, 0)
      if account.held > 0 then
        call('HSET', account.key, 'n', account.busy, 'v', digits(max(account.reserved - account.held, 0)))
      else
        call('HSET', account.key, 'n', account.busy)
      end
    end
    if account.tokens then charge_minute(account) end
    for index, window in ipairs(account.windows or {}) do
      if window.changed then
        call('HSET', account.key, account.definition.names[index],
          format('%d|%d|%d', window.start, window.requests, window.tokens))
      end
    end
    for _, members in ipairs(led) do
      local score = call('ZSCORE', members, account.name)
      if score then call('ZADD', members, account.busy * LEAD + score % LEAD, account.name) end
    end
  end
  now = present
  if at > #args then
    if call('HSET', T .. ':b', owner, ARGV[4] .. '|' .. digits(now)) == 1 then call('PEXPIRE', T .. ':b', STATE_TTL) end
    call('HSET', T, 'q', digits(sequence), 'n', in_flight, 'o', digits(now))
    return {'ok'}
  end
  values[2], values[3] = sequence, in_flight
end
