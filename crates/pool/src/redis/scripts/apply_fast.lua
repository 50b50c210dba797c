-- The usual ends, before the rest is defined: attempts that rest nobody and calls of callers, as long as none of
-- them changes more than what is held and what is used. They are taken together: each account is read
-- and written once. Whatever is not usual is left to the script, which does the same for the usual case; it goes
-- on behind the records that were done here.
local owner, owned = ARGV[3], T .. ':o:' .. ARGV[3]
local values = call('HMGET', T, 'e', 'q', 'n', 'o', 'ah', 'c', 'll', 'rj', 'v', 'u', 'b:' .. owner)
if values[1] ~= ARGV[2] then return {'unknown'} end
if tonumber(ARGV[4]) <= (tonumber(values[11]) or 0) then return {'ok'} end
local at = 6 + 4 * tonumber(ARGV[5])
read_clock(values[4], values[5])

do
  local sub, args, present = string.sub, ARGV, now
  local LEAD, LATE = 2 ^ 33, 2000000
  -- Nothing rests for the breaker, and scores follow calls in flight at most.
  local usual = ahead == (tonumber(values[5]) or 0) and not values[8] and (not values[6] or sub(values[6], 1, 6) == '0|||0|')
  local led = {}
  for id in string.gmatch(usual and values[7] or '', '[^,]+') do
    local follows = match(call('HGET', T, 'k:' .. id) or '', '^%d+|%d*|%d+|(%d)|')
    if follows == '1' then led[#led + 1] = T .. ':l:' .. id elseif follows then usual = false end
  end

  -- Those that may be usual by what they say.
  local places, leases, seen, names, places_of = {}, {}, {}, {}, {}
  local place, count = at, usual and #args or 0
  while place <= count do
    local kind, lease = args[place + 1], args[place + 3]
    if seen[lease] then break end
    if kind ~= 'E' and kind ~= 'G' then break end
    seen[lease], leases[#leases + 1], places[#places + 1] = true, lease, place
    local name = kind == 'E' and args[place + 4]
    if name and not places_of[name] then names[#names + 1], places_of[name] = name, #names + 1 end
    place = place + 3 + args[place + 2]
  end

  local known = leases[1] and call('HMGET', owned, unpack(leases)) or {}
  local counts = names[1] and call('HMGET', T .. ':n', unpack(names))
  local marks = names[1] and values[10] and values[10] ~= '0' and call('HMGET', T .. ':k', unpack(names)) or {}
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
    ring_add(ring_key(account.name), TOKENS, account.tokens)
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
      account = {name = name, key = T, definition = definition, ended = 0, held = 0, reserved = tonumber(values[9]) or 0}
      if attempt then
        local place = places_of[name]
        if not counts[place] or marks[place] then break end
        account.key, account.busy = T .. ':a:' .. name, tonumber(counts[place]) or 0
        -- Only one that has limits holds tokens, or is parked as full.
        if text ~= '' then
          local v, full = unpack(call('HMGET', account.key, 'v', 'pf'))
          if full then break end
          account.reserved = tonumber(v) or 0
        end
      end
      accounts[name], order[#order + 1] = account, account
    elseif account.definition ~= definition then
      break
    end

    local lease = known[index]
    if lease then
      local hold = match(lease, '^[^|]*|(%d+)|%d+|0|')
      if not hold then break end
      ended[#ended + 1] = leases[index]
      account.ended, account.held = account.ended + 1, account.held + hold
      in_flight = max(in_flight - 1, 0)
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
  local freed, own = {}, {}
  for _, account in ipairs(order) do
    local fields = account.name == '' and own or {}
    if account.ended > 0 and account.busy then
      account.busy = max(account.busy - account.ended, 0)
      freed[#freed + 1], freed[#freed + 2] = account.name, account.busy
    end
    if account.held > 0 then fields[1], fields[2] = 'v', digits(max(account.reserved - account.held, 0)) end
    if account.tokens then charge_minute(account) end
    for index, window in ipairs(account.windows or {}) do
      if window.changed then
        fields[#fields + 1] = account.definition.names[index]
        fields[#fields + 1] = format('%d|%d|%d', window.start, window.requests, window.tokens)
      end
    end
    if fields[1] and fields ~= own then call('HSET', account.key, unpack(fields)) end
    for _, members in ipairs(account.busy and led or {}) do
      local score = call('ZSCORE', members, account.name)
      if score then call('ZADD', members, account.busy * LEAD + score % LEAD, account.name) end
    end
  end
  if freed[1] then call('HSET', T .. ':n', unpack(freed)) end
  now = present
  if at > #args then
    call('HSET', T, 'q', digits(sequence), 'n', in_flight, 'o', digits(now), 'b:' .. owner, ARGV[4], unpack(own))
    return {'ok'}
  end
  if own[1] then call('HSET', T, unpack(own)) end
  values[2], values[3] = sequence, in_flight
end
