-- Applies a batch of what a process has to say about a tag, once and in order: the twin of memory/settle.rs.
-- ARGV: clock, epoch, owner, number of the batch, calendars, then the records: age, kind,
-- number of fields, fields. A record counts as of the moment at which it was made.
-- Answers {'ok'}, followed by what could not be applied, or {'unknown'}. What `apply_fast` has read and done comes before.
local SUCCEEDED, CALLER, CREDENTIAL, UPSTREAM, CANCELLED = 0, 1, 2, 3, 4
local REFUSAL_WINDOW = 60000000
sequence, in_flight, followers = tonumber(values[2]) or 0, tonumber(values[3]) or 0, values[7] or ''
read_circuit(values[6])
local rejects_all = tonumber(values[8])
local rests_changed
local is_marked = values[10] and values[10] ~= '0'
-- Accounts that came into being, by their keys.
local fresh = {}

local function account_of(name, model)
  local account = read_account(name, model)
  account.whole = account.whole or read_scope(nil, account.cleared)
  account.model_name = model
  if account.is_new then fresh[account.key] = true end
  return account
end

local function index_rests(account)
  local till = account.whole.reason and account.whole.till or 0
  if account.model and account.model.reason then till = max(till, account.model.till) end
  rests_changed = true
  if till > 0 then
    call('ZADD', T .. ':s', 'GT', 'CH', till, account.name)
    call('PEXPIRE', T .. ':s', STATE_TTL)
  end
end

local function save_scopes(account, whole, model)
  if whole then call('HSET', account.key, 'w', write_scope(account.whole)) end
  if model then call('HSET', account.key, 'm:' .. account.model_name, write_scope(account.model)) end
  if not (is_clean(account.whole) and is_clean(account.model)) then mark(account.name) end
  index_rests(account)
end

local function save_place(account)
  if account.moved then
    if account.parked == '' then
      call('HDEL', account.key, 'pk', 'pf')
    else
      call('HSET', account.key, 'pk', account.parked)
    end
    account.moved = nil
  end
end

-- Models that are remembered at most for one account; those that do not rest go first.
local MODELS = 256
local function bound_models(account)
  if call('HLEN', account.key) <= MODELS then return end
  local all, dropped = call('HGETALL', account.key), 0
  for index = 1, #all, 2 do
    if string.sub(all[index], 1, 2) == 'm:' then
      local scope = read_scope(all[index + 1])
      if not scope.count and (not scope.reason or (not scope.guessed and scope.till <= now)) then
        call('HDEL', account.key, all[index])
        dropped = dropped + 1
      end
    end
  end
  if dropped > 0 then return end
  for index = 1, #all, 2 do
    if string.sub(all[index], 1, 2) == 'm:' then return call('HDEL', account.key, all[index]) end
  end
end

local function read_rest(scope, reason, length, first, bound)
  if scope == '0' then return nil end
  return {of_model = scope == '2', reason = tonumber(reason), length = tonumber(length), first = tonumber(first),
    bound = tonumber(bound)}
end

-- A guessed lack of quota ends with the period that ends first, where there is one.
local function until_period_ends(rest, definition)
  if rest.length or rest.of_model or rest.reason ~= QUOTA_EXHAUSTED or not definition then return end
  for _, window in ipairs(definition.windows) do
    if window.till then rest.length = min(rest.length or window.till - now, window.till - now) end
  end
end

-- Merges in a rest, and gives what it replaced, if anything.
local function rest_account(account, lease, seq, rest, definition)
  if not rest then return end
  until_period_ends(rest, definition)
  local scope = account.whole
  if rest.of_model then
    if not account.model then
      bound_models(account)
      account.model = read_scope(nil, account.cleared, account.whole.changed)
    end
    scope = account.model
  end
  local before = refuse(scope, lease, seq, rest)
  save_scopes(account, not rest.of_model, rest.of_model)
  if before then unpark_everywhere(account) end
  return before
end

-- Takes back what a refusal put to rest: the whole credential, see `speaks_of_provider`.
local function undo(name, seq, before)
  local account = account_of(name, '')
  if withdraw(account.whole, seq, before) then
    save_scopes(account, true, false)
    unpark_everywhere(account)
    save_place(account)
  end
end

local function succeeded(account, lease, seq)
  answered(lease, seq)
  if rejects_all and rejects_all <= lease then rejects_all = nil end
  call('HDEL', T .. ':f', account.name)
  local before = write_scope(account.whole)
  local opened = succeed(account.whole, lease, seq)
  local whole = write_scope(account.whole) ~= before
  local model
  if account.model then
    before = write_scope(account.model)
    opened = succeed(account.model, lease, seq) or opened
    model = write_scope(account.model) ~= before
  end
  if whole or model then save_scopes(account, whole, model) end
  if opened then unpark_everywhere(account) end
end

-- Whether a refusal, met on many credentials, speaks of their Provider.
local function speaks_of_provider(rest)
  return rest and not rest.of_model and not rest.length and rest.reason >= 3 and rest.reason ~= 5
end

local function refused(account, lease, seq, rest, definition, open_for)
  if not speaks_of_provider(rest) then
    answered(lease, seq)
    rest_account(account, lease, seq, rest, definition)
    return
  end
  local refusals, others = call('HGETALL', T .. ':f'), {}
  for index = 1, #refusals, 2 do
    local at, refused_seq, before = match(refusals[index + 1], '^(%d+)|(%d+)|(.*)$')
    if at and at + REFUSAL_WINDOW > now and refusals[index] ~= account.name then
      others[#others + 1] = {name = refusals[index], seq = tonumber(refused_seq), before = before}
    else
      call('HDEL', T .. ':f', refusals[index])
    end
  end
  if #others + 1 >= 3 and (#others + 1) * 2 >= call('HLEN', T .. ':m') then rejects_all = rejects_all or seq end
  if rejects_all then
    trip(seq, open_for)
    call('DEL', T .. ':f')
    for _, other in ipairs(others) do
      if other.before ~= '' then undo(other.name, other.seq, other.before) end
    end
    return
  end
  answered(lease, seq)
  local before = rest_account(account, lease, seq, rest, definition)
  call('HSET', T .. ':f', account.name, concat({digits(now), digits(seq), before or ''}, '|'))
  mark(account.name)
  call('PEXPIRE', T .. ':f', STATE_TTL)
end

local function take_back(lease)
  local known = call('HGET', owned, lease)
  if not known or known == 'x' then return nil end
  call('HDEL', owned, lease)
  local name, hold, seq, probes = match(known, '^([^|]*)|(%d+)|(%d+)|(%d)|')
  return {name = name, hold = tonumber(hold), seq = tonumber(seq), probes = tonumber(probes)}
end

local function give_back(account, held)
  if not held then return end
  in_flight = max(in_flight - 1, 0)
  account.busy = max(account.busy - 1, 0)
  account.reserved = max(account.reserved - held.hold, 0)
  write_held(account)
end

local function charge(id, key, definition, tokens)
  if definition.tokens then ring_add(ring_key(id), TOKENS, tokens) end
  charge_windows(definition.windows, tokens)
  write_windows(key, definition.windows)
end

local function definition_from(text, key)
  if text == '' then return nil end
  local definition = read_definition(text)
  read_windows(key, definition.windows)
  return definition
end

local function settle(lease, name, model, seq, outcome, tokens, scope, reason, length, first, bound, open_for, failures,
  told, told_for, text)
  local held = take_back(lease)
  local account = account_of(name, model)
  local definition = definition_from(text, account.key)
  local probes = held and held.probes or 0
  local taken = held and held.seq or tonumber(seq)
  outcome = tonumber(outcome)
  give_back(account, held)
  if tokens ~= '' and definition then charge(name, account.key, definition, tonumber(tokens)) end
  if told ~= '' then
    account.told = told .. '|' .. digits(now + tonumber(told_for))
    call('HSET', account.key, 'h', account.told)
  end
  local now_seq = next_sequence()
  local rest = read_rest(scope, reason, length, first, bound)
  if outcome == SUCCEEDED then
    rest_account(account, taken, now_seq, rest, definition)
    succeeded(account, taken, now_seq)
  elseif outcome == CREDENTIAL then
    refused(account, taken, now_seq, rest, definition, tonumber(open_for))
  else
    if outcome == CALLER then
      answered(taken, now_seq)
    elseif outcome == UPSTREAM then
      failed(taken, now_seq, tonumber(failures), tonumber(open_for))
    elseif probes >= 4 then
      undecided(taken)
    end
    rest_account(account, taken, now_seq, rest, definition)
  end
  if probes % 4 > 0 then
    free_probe(account.whole, taken)
    if account.model then free_probe(account.model, taken) end
    save_scopes(account, true, account.model)
    unpark_everywhere(account)
  end
  if followers ~= '' then follow(account, definition) end
  if account.parked_full then unpark_everywhere(account) end
  save_place(account)
  if is_marked then unmark(account) end
end

local function commit(lease, name, model)
  local known = call('HGET', owned, lease)
  if not known or known == 'x' then return end
  local hold, taken, lane = match(known, '^[^|]*|(%d+)|(%d+)|%d|(%d*)$')
  local seq = next_sequence()
  local account = account_of(name, model)
  succeeded(account, tonumber(taken), seq)
  save_place(account)
  call('HSET', owned, lease, concat({name, hold, digits(seq), '0', lane}, '|'))
end

-- A call gave up before it knew what it had got.
local function cancel(lease, model)
  local known = call('HGET', owned, lease)
  if not known then
    call('HINCRBY', T, 'x', 1)
    return call('HSET', owned, lease, 'x')
  end
  if known == 'x' then return end
  local name = match(known, '^([^|]*)|')
  settle(lease, name, model, '0', CANCELLED, '', '0', '', '', '', '', '0', '0', '', '', '')
end

-- A call that was given up long ago cannot come any more.
local function forget_lease(lease)
  if call('HGET', owned, lease) ~= 'x' then return end
  call('HDEL', owned, lease)
  call('HINCRBY', T, 'x', -1)
end

-- A lease that the tag has not heard of: taken while the store was away (counted), or before the state was lost.
local function adopt(lease, name, hold, counted, text)
  if call('HEXISTS', owned, lease) == 1 then return end
  local account = account_of(name, '')
  local definition = definition_from(text, account.key)
  in_flight = in_flight + 1
  account.busy = account.busy + 1
  account.reserved = account.reserved + tonumber(hold)
  write_held(account)
  if definition and counted == '1' then
    if definition.requests then ring_add(ring_key(name), REQUESTS, 1) end
    begin_windows(definition.windows)
    write_windows(account.key, definition.windows)
  end
  call('HSET', owned, lease, concat({name, hold, digits(next_sequence()), '0', '0'}, '|'))
  if followers ~= '' then follow(account, definition) end
end

local function leave(lease, tokens, text)
  local held = take_back(lease)
  if held then
    in_flight = max(in_flight - 1, 0)
    if held.hold > 0 then call('HSET', T, 'v', digits(max((tonumber(call('HGET', T, 'v')) or 0) - held.hold, 0))) end
  end
  local definition = definition_from(text, T)
  if definition and tokens ~= '' then charge('', T, definition, tonumber(tokens)) end
end

local function report(name, model, scope, reason, length, first, bound, text)
  local account = account_of(name, model)
  local definition = definition_from(text, account.key)
  local seq = next_sequence()
  rest_account(account, seq, seq, read_rest(scope, reason, length, first, bound), definition)
  save_place(account)
end

-- Changes all scopes of an account.
local function all_scopes(name, change)
  local account = account_of(name, '')
  change(account.whole)
  call('HSET', account.key, 'w', write_scope(account.whole))
  local all = call('HGETALL', account.key)
  for index = 1, #all, 2 do
    if string.sub(all[index], 1, 2) == 'm:' then
      local scope = read_scope(all[index + 1])
      change(scope)
      call('HSET', account.key, all[index], write_scope(scope))
    end
  end
  rests_changed = true
  return account
end

local function clear_rests(name)
  local seq = next_sequence()
  local account = all_scopes(name, function(scope) clear(scope, seq) end)
  call('HSET', account.key, 'cl', digits(seq))
  unpark_everywhere(account)
  save_place(account)
end

local function new_secret(name, version)
  if call('HGET', account_key(name), 's') == version then return end
  local seq = next_sequence()
  local account = all_scopes(name, function(scope)
    scope.changed = seq
    if scope.lreason == UNAUTHORIZED then drop_ladder(scope) end
    if scope.reason == UNAUTHORIZED then lift(scope) end
  end)
  call('HSET', account.key, 's', version)
  unpark_everywhere(account)
  save_place(account)
end

local function forget_windows(key)
  local all = call('HKEYS', key)
  for _, field in ipairs(all) do
    if string.sub(field, 1, 2) == 'q:' or field == 'h' then call('HDEL', key, field) end
  end
end

local function reset_quota(name)
  forget_windows(account_key(name))
  local account = all_scopes(name, function(scope)
    if scope.lreason == QUOTA_EXHAUSTED then drop_ladder(scope) end
    if scope.reason == QUOTA_EXHAUSTED then lift(scope) end
  end)
  account.told = nil
  unpark_everywhere(account)
  save_place(account)
  if followers ~= '' then follow(account) end
end

-- What a process has used of an account in this minute and in its present periods, after the state was lost.
local function restore(name, requests, tokens, windows, text)
  local key = account_key(name)
  local ring, second_now = ring_key(name), floor(now / 1000000)
  for kind, buckets in pairs({[REQUESTS] = requests, [TOKENS] = tokens}) do
    for second, amount in string.gmatch(buckets, '(%d+):(%d+)') do
      second, amount = tonumber(second), tonumber(amount)
      if second + SPAN >= second_now then
        ring_used(ring, kind)
        second = min(second, second_now)
        local head = tonumber(call('HGET', ring, kind .. 'h'))
        if not head or second < head then call('HSET', ring, kind .. 'h', second) end
        call('HINCRBY', ring, kind .. second % 64, amount)
        call('HINCRBY', ring, kind .. 's', amount)
        if ring ~= T then call('PEXPIRE', ring, 130000) end
      end
    end
  end
  fresh[key] = true
  local definition = definition_from(text, key)
  if not definition then return end
  for window_name, start, used_requests, used_tokens in string.gmatch(windows, '([^,;]+),(%d+),(%d+),(%d+)') do
    for _, window in ipairs(definition.windows) do
      start = tonumber(start)
      if window.name == window_name then
        if window.length and now < start + window.length then
          window.from = min(window.from or start, start)
          window.till = window.from + window.length
        end
        if window.from and (window.length or window.from == start) then
          window.used_requests = window.used_requests + tonumber(used_requests)
          window.used_tokens = window.used_tokens + tonumber(used_tokens)
        end
      end
    end
  end
  write_windows(key, definition.windows)
end

-- An end that neither rests nor blames anybody.
local function finish(lease, name, model, seq, outcome, tokens, text)
  settle(lease, name, model, seq, outcome, tokens, '0', '', '', '', '', '0', '0', '', '', text)
end

-- What could not be applied.
local failures = {}
local function try(kind, apply, ...)
  local done, failure = pcall(apply, ...)
  if done then return end
  failure = type(failure) == 'table' and failure.err or tostring(failure)
  -- A server that cannot write now will be told again. Anything else is a defect of one record, which must not
  -- keep the others from being heard.
  if string.find(failure, 'OOM') or string.find(failure, 'READONLY') or string.find(failure, 'MISCONF') then error(failure) end
  failures[#failures + 1] = kind .. ' ' .. failure
end

-- Many ends, each as of its own moment.
local function finish_all(...)
  local ends = {...}
  for place = 1, #ends, 2 do
    local seq, outcome, age, name, model = match(ends[place + 1], '^(%d+)|(%d)|(%d+)|([^|]*)|(.*)$')
    now = present - age
    try('E', finish, ends[place], name, model, seq, outcome, '', '')
  end
end

local function leave_all(text, ...)
  local ends = {...}
  for place = 1, #ends, 3 do
    now = present - ends[place + 2]
    try('G', leave, ends[place], ends[place + 1], text)
  end
end

local kinds = {S = settle, E = finish, F = finish_all, H = leave_all, K = commit, C = cancel, D = forget_lease, A = adopt,
  G = leave, R = report, L = clear_rests, V = new_secret, Q = reset_quota, B = function() forget_windows(account_key('')) end, Z = restore}

read_calendars(5)
while at <= #ARGV do
  local count = tonumber(ARGV[at + 2])
  now = present - tonumber(ARGV[at])
  try(ARGV[at + 1], kinds[ARGV[at + 1]], unpack(ARGV, at + 3, at + 2 + count))
  at = at + 3 + count
end
now = present
for key in pairs(fresh) do call('PEXPIRE', key, STATE_TTL) end
local batch = 'b:' .. owner
if rests_changed then
  write_tag(batch, ARGV[4], 'c', write_circuit(), 'rv', digits(sequence))
else
  write_tag(batch, ARGV[4], 'c', write_circuit())
end
if rejects_all ~= tonumber(values[8]) then
  if rejects_all then call('HSET', T, 'rj', digits(rejects_all)) else call('HDEL', T, 'rj') end
end
return {'ok', unpack(failures)}
