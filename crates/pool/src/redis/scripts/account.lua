-- One credential; needs scope.lua, usage.lua, lane.lua and tag.lua. How many calls of each are in flight is in the hash T:n,
-- whose field without a name is p.
-- Its hash T:a:NAME has the fields v (tokens held), w (the rest of the whole), m:MODEL (that for a model),
-- cl (when all was cleared), pk (lanes in which it is parked), pf (whether it may be parked as full), q:WINDOW,
-- h (use that the upstream told: parts per million and until when), s (the version of its secret).
-- The hash T:k marks those to look at closely: that rest or are on a ladder, or were refused of late.
-- A caller's account has no name and is its tag: n, v and q:WINDOW are fields of T.
local function account_key(name)
  if name == '' then return T end
  return T .. ':a:' .. name
end

local function read_account(name, model)
  local key = account_key(name)
  local f = call('HMGET', key, 'v', 'w', 'm:' .. model, 'cl', 'pk', 'pf', 'h')
  local busy = in_flight
  if name ~= '' then busy = tonumber(call('HGET', T .. ':n', name)) or 0 end
  return {name = name, key = key, busy = busy, reserved = tonumber(f[1]) or 0,
    whole = f[2] and read_scope(f[2]), model = f[3] and read_scope(f[3]), cleared = tonumber(f[4]) or 0,
    parked = f[5] or '', parked_full = f[6], told = f[7], is_new = not f[1]}
end

-- Writes how much of an account is taken.
local function write_held(account)
  if account.name ~= '' then call('HSET', T .. ':n', account.name, account.busy) end
  call('HSET', account.key, 'v', digits(account.reserved))
end

local function is_clean(scope)
  return not (scope and (scope.reason or scope.lreason))
end

-- Marks a credential as one to look at closely.
local function mark(name)
  if call('HSET', T .. ':k', name, 1) == 1 then
    call('HSET', T, 'u', call('HLEN', T .. ':k'))
    call('PEXPIRE', T .. ':k', STATE_TTL)
  end
end

-- Takes off a mark that nothing calls for any more.
local function unmark(account)
  if not is_clean(account.whole) or not is_clean(account.model) or call('HEXISTS', T .. ':k', account.name) == 0
    or call('HEXISTS', T .. ':f', account.name) == 1 then
    return
  end
  local all = call('HGETALL', account.key)
  for index = 1, #all, 2 do
    if string.sub(all[index], 1, 2) == 'm:' and not is_clean(read_scope(all[index + 1])) then return end
  end
  call('HDEL', T .. ':k', account.name)
  call('HSET', T, 'u', call('HLEN', T .. ':k'))
end

-- What leads the account's scores in lanes that follow it, and when that falls by itself.
local function lead_of(lane, account, definition)
  if lane.follows == 0 then return 0 end
  if lane.follows == 1 then return account.busy end
  local lead, fades = 0, nil
  local function count(used, most, till)
    if not most then return end
    local part = used >= most and 1000000 or floor(used * 1000000 / most)
    if part > 0 then lead, fades = max(lead, part), min(fades or till, till) end
  end
  for _, window in ipairs(definition and definition.windows or {}) do
    if window.from then
      count(window.used_requests, window.requests, window.till)
      count(window.used_tokens, window.tokens, window.till)
    end
  end
  local told, till = match(account.told or '', '^(%d+)|(%d+)$')
  if told and tonumber(till) > now then count(tonumber(told), 1000000, tonumber(till)) end
  return lead, fades
end

-- The definition of a lane's member; nil for one that is plain.
local function definition_of(lane, name, account)
  if lane.plain then return nil end
  local text = call('HGET', key('d', lane), name)
  if not text or text == '' then return nil end
  local definition = read_definition(text)
  read_windows(account.key, definition.windows)
  return definition
end

-- Lets all lanes that follow a member's lead know it.
local function follow(account, definition)
  for id in string.gmatch(followers, '[^,]+') do
    local lane = other_lane(id)
    if lane then
      local own = definition
      if lane.follows == 2 and own == nil then own = definition_of(lane, account.name, account) end
      local lead, fades = lead_of(lane, account, own)
      set_lead(lane, account.name, lead)
      if lane.follows == 2 then
        if fades then
          call('ZADD', key('g', lane), fades, account.name)
          call('PEXPIRE', key('g', lane), LANE_KEYS_TTL)
          lane.due = min(lane.due or fades, fades)
        else
          call('ZREM', key('g', lane), account.name)
        end
      end
    end
  end
end

-- Puts an account back in turn wherever it is parked.
local function unpark_everywhere(account)
  for id in string.gmatch(account.parked, '[^,]+') do
    local lane = other_lane(id)
    if lane then
      local definition = lane.follows == 2 and definition_of(lane, account.name, account) or nil
      unpark(lane, account.name, (lead_of(lane, account, definition)))
    end
  end
  account.parked, account.parked_full, account.moved = '', nil, true
end
